//! From a line's text to its facts or its damage, whatever the format.

use super::meta::{Content, Damage, Glued, LineMeta, Why};
use super::{Format, claude, codex, hermes};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// How many places of a damaged line are tried for a whole record glued to its end.
/// A torn record has at most a few hundred nested objects before the next one begins.
const GLUE_ATTEMPTS: usize = 512;

/// How far from the end of a damaged line such a record is looked for, which bounds the time
/// that one bad line of many megabytes can take.
const GLUE_WINDOW_BYTES: usize = 1 << 20;

/// The name of records with bytes that are kept and not understood.
pub const QUARANTINE: &str = "import.quarantine";

/// Everything that a reader of a format must know about the file besides the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// The file's format.
    pub format: Format,
    /// Whether the file is a sub-agent's own, in which side-chain prompts are the prompts.
    pub sub_agent: bool,
}

/// Reads `text`, a line without its terminator that begins at `offset` of its file.
pub fn parse(text: &[u8], offset: u64, context: Context) -> Content {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Content::Blank;
    }
    match meta(text, context) {
        Ok(meta) => Content::Known(meta),
        Err((why, at)) => Content::Damaged(Damage {
            why,
            at: offset + at as u64,
            glued: glued(text, offset, context).map(Box::new),
        }),
    }
}

/// Reads one field that should be a string; anything else counts as missing.
pub(super) fn string(field: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(field?.get()).ok()
}

/// Reads one field that should be true; anything else counts as false.
pub(super) fn is_true(field: Option<&RawValue>) -> bool {
    field.is_some_and(|raw| raw.get() == "true")
}

/// The facts, or what is wrong and at which byte of `text`.
fn meta(text: &[u8], context: Context) -> Result<LineMeta, (Why, usize)> {
    match context.format {
        Format::Quarantine => return Ok(named(QUARANTINE)),
        Format::Text => return Ok(named("line")),
        _ => {}
    }
    // `contains` looks at many bytes at a time, and nearly always there is none.
    if text.contains(&0) {
        let at = text.iter().take_while(|byte| **byte != 0).count();
        let run = text[at..].iter().take_while(|byte| **byte == 0).count();
        let run_bytes = run as u64;
        return Err((Why::Nul { run_bytes }, at));
    }
    let text = std::str::from_utf8(text).map_err(|e| (Why::NotUtf8, e.valid_up_to()))?;
    let read = match context.format {
        Format::ClaudeCode => claude::read(text, context.sub_agent),
        Format::Codex => codex::read(text),
        Format::HermesTurns => hermes::read_turns(text),
        Format::HermesRun => hermes::read_run(text),
        _ => serde_json::from_str::<&RawValue>(text).map(|_| other()),
    };
    match read {
        Ok(meta) => Ok(meta),
        // Valid JSON of another shape than the host's is strange, not damaged.
        Err(e) if e.classify() == Category::Data => serde_json::from_str::<&RawValue>(text)
            .map(|_| other())
            .map_err(|e| located(&e)),
        Err(e) => Err(located(&e)),
    }
}

fn other() -> LineMeta {
    named("other")
}

fn named(kind: &str) -> LineMeta {
    LineMeta {
        kind: kind.into(),
        ..LineMeta::default()
    }
}

fn located(error: &serde_json::Error) -> (Why, usize) {
    let why = match error.classify() {
        Category::Eof => Why::Torn,
        _ => Why::NotJson,
    };
    (why, error.column().saturating_sub(1))
}

/// Finds a whole record at the end of a damaged line.
fn glued(text: &[u8], offset: u64, context: Context) -> Option<Glued> {
    if matches!(
        context.format,
        Format::Unknown | Format::Text | Format::Quarantine
    ) {
        return None;
    }
    let skipped = text.len().saturating_sub(GLUE_WINDOW_BYTES).max(1);
    let starts = text.windows(2).enumerate().skip(skipped);
    let starts = starts.filter(|(_, pair)| pair == b"{\"").map(|(at, _)| at);
    for at in starts.take(GLUE_ATTEMPTS) {
        if let Ok(meta) = meta(&text[at..], context)
            && (meta.timestamp.is_some() || meta.session_id.is_some())
            && Format::of_line(&text[at..]) == Some(context.format)
        {
            return Some(Glued {
                offset: offset + at as u64,
                meta,
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::turns::Mark;
    use super::*;

    const CLAUDE: Context = Context {
        format: Format::ClaudeCode,
        sub_agent: false,
    };
    const USER: &str =
        r#"{"sessionId":"s","type":"user","message":{"role":"user","content":"hi"},"uuid":"u"}"#;

    fn damage(text: &[u8]) -> Damage {
        match parse(text, 1000, CLAUDE) {
            Content::Damaged(damage) => damage,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn damage_is_located() {
        let cases: [(&[u8], Why, u64); 5] = [
            (br#"{"type":"user","mess"#, Why::Torn, 1019),
            (b"{\"type\":\"\0\0\0\"}", Why::Nul { run_bytes: 3 }, 1009),
            (b"{\"type\":\"\xF0\x9F", Why::NotUtf8, 1009),
            (b"hello", Why::NotJson, 1000),
            (br#"{"type":"user"} x"#, Why::NotJson, 1016),
        ];
        for (text, why, at) in cases {
            let got = damage(text);
            assert_eq!((got.why, got.at), (why, at), "{}", text.escape_ascii());
            assert_eq!(got.glued, None);
        }
    }

    #[test]
    fn the_record_after_a_torn_one_or_a_nul_block_is_found() {
        let torn = br#"{"sessionId":"s","type":"user","message":{"role":"user","cont"#;
        for before in [&torn[..], &[0; 300]] {
            let text = [before, USER.as_bytes()].concat();
            let glued = damage(&text).glued.expect("a whole record follows");
            assert_eq!(glued.offset, 1000 + before.len() as u64);
            assert_eq!(glued.meta.uuid.as_deref(), Some("u"));
            assert_eq!(glued.meta.mark, Mark::Asks { may_repeat: false });
        }
    }

    #[test]
    fn a_nested_object_at_the_tear_is_no_record() {
        let text = br#"{"sessionId":"s","type":"user","message":{"role":"user","content":"hi"}"#;
        assert_eq!(damage(text).glued, None);
        let text =
            br#"{"sessionId":"s","type":"file-history-snapshot","snapshot":{"timestamp":"t"}"#;
        assert_eq!(damage(text).glued, None);
    }

    #[test]
    fn json_of_another_shape_is_not_damaged() {
        for text in [
            "[1,2]",
            "7",
            "null",
            r#"{"type":1,"type":2}"#,
            r#"{"a":{}}"#,
        ] {
            match parse(text.as_bytes(), 0, CLAUDE) {
                Content::Known(meta) => assert_eq!(meta.kind, "other", "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(parse(b" \t", 0, CLAUDE), Content::Blank);
    }

    #[test]
    fn deep_nesting_and_lone_surrogates_are_read() {
        let deep = format!(
            r#"{{"sessionId":"s","type":"user","x":{}{},"message":{{"content":"\ud800"}}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        match parse(deep.as_bytes(), 0, CLAUDE) {
            Content::Known(meta) => assert_eq!(meta.kind, "user"),
            other => panic!("{other:?}"),
        }
    }
}
