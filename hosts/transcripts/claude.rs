//! Claude Code transcripts: `<session uuid>.jsonl`, sub-agents in
//! `<session uuid>/subagents/agent-*.jsonl`.
//!
//! A line is an object with `type`, which may stand after `message`; the variant written by
//! Cursor has `role` in its place. Prompts, tool results and what the host puts into the
//! conversation are all of type `user`, told apart here.

use super::claude_content::Content;
use super::meta::LineMeta;
use super::parse::{is_true, string};
use super::turns::{Mark, Outcome};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Beginnings of user lines that are output of the host's own commands.
const LOCAL_OUTPUT: [&str; 4] = [
    "<local-command-stdout>",
    "<local-command-caveat>",
    "<bash-stdout>",
    "<bash-stderr>",
];

/// Beginning of the user line that stands where somebody pressed escape.
const INTERRUPTED: &str = "[Request interrupted by user";

/// A line. What stands in `message` is read with it, or left for later.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a, M> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    role: Option<&'a RawValue>,
    subtype: Option<&'a RawValue>,
    uuid: Option<&'a RawValue>,
    parent_uuid: Option<&'a RawValue>,
    message_id: Option<&'a RawValue>,
    leaf_uuid: Option<&'a RawValue>,
    session_id: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    is_meta: Option<&'a RawValue>,
    is_sidechain: Option<&'a RawValue>,
    is_compact_summary: Option<&'a RawValue>,
    is_api_error_message: Option<&'a RawValue>,
    message: Option<M>,
}

#[derive(Deserialize)]
struct Message<'a, C> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    content: Option<C>,
    stop_reason: Option<&'a RawValue>,
}

// Derived it would ask the same of `C`.
impl<C> Default for Message<'_, C> {
    fn default() -> Self {
        Message {
            role: None,
            content: None,
            stop_reason: None,
        }
    }
}

impl<M> Record<'_, M> {
    /// Whether a line with these fields is one of this format.
    fn is_ours(&self) -> bool {
        match string(self.kind).as_deref() {
            Some("summary") => self.leaf_uuid.is_some(),
            Some("file-history-snapshot") => self.message_id.is_some(),
            Some(_) => string(self.session_id).is_some(),
            None => string(self.role).is_some() && self.message.is_some(),
        }
    }
}

/// Tells whether `text` is a line of this format.
pub(super) fn recognises(text: &str) -> bool {
    serde_json::from_str::<Record<'_, &RawValue>>(text).is_ok_and(|record| record.is_ours())
}

/// Reads the facts of a line. `sub_agent` tells that the whole file is one side chain.
///
/// Nearly every line is of the shape that the host writes, and read in one go. Any other is read
/// step by step, each of which may fail for itself.
pub(super) fn read(text: &str, sub_agent: bool) -> serde_json::Result<LineMeta> {
    if let Ok(record) = serde_json::from_str::<Record<'_, Message<'_, Content<'_>>>>(text) {
        let message = record.message.as_ref();
        return Ok(facts(
            &record,
            message.unwrap_or(&Message::default()),
            sub_agent,
        ));
    }
    let record: Record<'_, &RawValue> = serde_json::from_str(text)?;
    let message: Message<'_, &RawValue> = record
        .message
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    let content = message.content.map(Content::of);
    let message = Message {
        role: message.role,
        content,
        stop_reason: message.stop_reason,
    };
    Ok(facts(&record, &message, sub_agent))
}

fn facts<M>(
    record: &Record<'_, M>,
    message: &Message<'_, Content<'_>>,
    sub_agent: bool,
) -> LineMeta {
    let nothing = Content::default();
    let content = message.content.as_ref().unwrap_or(&nothing);
    let role = string(message.role).or_else(|| string(record.role));
    let kind = string(record.kind).or_else(|| string(record.role));
    let tool_use = content.parts.iter().find(|part| part.is("tool_use"));
    let tool_name = tool_use.and_then(|part| string(part.name));
    let elsewhere = is_true(record.is_sidechain) && !sub_agent;
    let mark = match kind.as_deref() {
        _ if elsewhere => Mark::Other,
        Some("user") => user_mark(record, content),
        Some("assistant") => assistant_mark(record, message, content),
        Some("system") if string(record.subtype).as_deref() == Some("turn_duration") => {
            Mark::Ends(Outcome::Completed)
        }
        _ => Mark::Other,
    };
    LineMeta {
        kind: match (kind, string(record.subtype)) {
            (Some(kind), Some(subtype)) => format!("{kind}/{subtype}"),
            (Some(kind), None) => kind,
            (None, _) => "other".into(),
        },
        role,
        uuid: string(record.uuid),
        parent_uuid: string(record.parent_uuid),
        timestamp: string(record.timestamp),
        session_id: string(record.session_id),
        parent_session_id: None,
        turn_id: None,
        tool_name,
        mark,
    }
}

fn user_mark<M>(record: &Record<'_, M>, content: &Content<'_>) -> Mark {
    if is_true(record.is_meta)
        || is_true(record.is_compact_summary)
        || content.parts.iter().any(|part| part.is("tool_result"))
    {
        return Mark::Other;
    }
    let text = content.beginning.as_deref().unwrap_or_default();
    if text.starts_with(INTERRUPTED) {
        Mark::Ends(Outcome::Interrupted)
    } else if LOCAL_OUTPUT.iter().any(|tag| text.starts_with(tag)) {
        Mark::Other
    } else if content.beginning.is_some() || !content.parts.is_empty() {
        Mark::Asks { may_repeat: false }
    } else {
        Mark::Other
    }
}

fn assistant_mark<M>(
    record: &Record<'_, M>,
    message: &Message<'_, Content<'_>>,
    content: &Content<'_>,
) -> Mark {
    if is_true(record.is_api_error_message) {
        return Mark::Fails;
    }
    if content.parts.iter().any(|part| part.is("tool_use")) {
        return Mark::Calls;
    }
    match string(message.stop_reason).as_deref() {
        Some("end_turn" | "stop_sequence") => Mark::Done,
        _ => Mark::Says,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKS: Mark = Mark::Asks { may_repeat: false };

    fn mark(rest: &str) -> Mark {
        let line = format!(r#"{{"sessionId":"s",{rest}}}"#);
        read(&line, false).expect("valid JSON").mark
    }

    #[test]
    fn only_human_content_starts_a_turn() {
        let cases = [
            (r#""type":"user","message":{"content":"hi"}"#, ASKS),
            (r#""message":{"content":"hi"},"type":"user""#, ASKS),
            (
                r#""type":"user","message":{"content":[{"type":"text","text":"hi"}]}"#,
                ASKS,
            ),
            (
                r#""type":"user","message":{"content":[{"type":"image","source":{}}]}"#,
                ASKS,
            ),
            (
                r#""role":"user","message":{"content":[{"type":"text","text":"hi"}]}"#,
                ASKS,
            ),
            (
                r#""type":"user","isMeta":true,"message":{"content":"hi"}"#,
                Mark::Other,
            ),
            (
                r#""type":"user","isSidechain":true,"message":{"content":"hi"}"#,
                Mark::Other,
            ),
            (
                r#""type":"user","isCompactSummary":true,"message":{"content":"hi"}"#,
                Mark::Other,
            ),
            (
                r#""type":"user","message":{"content":[{"type":"tool_result","content":"x"}]}"#,
                Mark::Other,
            ),
            (
                r#""type":"user","message":{"content":"<local-command-stdout>ok"}"#,
                Mark::Other,
            ),
            (
                r#""type":"user","message":{"content":[{"type":"text","text":"[Request interrupted by user for tool use]"}]}"#,
                Mark::Ends(Outcome::Interrupted),
            ),
            (r#""type":"user""#, Mark::Other),
            (
                r#""type":"progress","data":{"message":{"type":"user"}}"#,
                Mark::Other,
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(mark(line), expected, "{line}");
        }
    }

    #[test]
    fn what_the_agent_did_is_told_apart() {
        let tool = r#""type":"assistant","message":{"stop_reason":null,"content":[{"type":"text"},{"type":"tool_use","name":"Bash"}]}"#;
        assert_eq!(mark(tool), Mark::Calls);
        let meta = read(&format!(r#"{{"sessionId":"s",{tool}}}"#), false).expect("valid JSON");
        assert_eq!(meta.tool_name.as_deref(), Some("Bash"));
        assert_eq!(
            mark(
                r#""type":"assistant","message":{"content":[{"type":"text"}],"stop_reason":"end_turn"}"#
            ),
            Mark::Done
        );
        assert_eq!(
            mark(r#""type":"assistant","isApiErrorMessage":true,"message":{"content":[]}"#),
            Mark::Fails
        );
        assert_eq!(
            mark(r#""type":"system","subtype":"turn_duration""#),
            Mark::Ends(Outcome::Completed)
        );
    }

    /// What is of another shape than the host writes is read as far as it goes, and the line is
    /// none the worse for it.
    #[test]
    fn parts_of_another_shape_are_nothing() {
        let cases = [
            (r#""type":"user","message":7"#, Mark::Other),
            (r#""type":"user","message":"hi""#, Mark::Other),
            (r#""type":"user","message":["hi"]"#, Mark::Other),
            (r#""type":"user","message":{"content":7}"#, Mark::Other),
            (r#""type":"user","message":{"content":1e999}"#, Mark::Other),
            (
                r#""type":"user","message":{"content":{"text":"hi"}}"#,
                Mark::Other,
            ),
            (r#""type":"user","message":{"content":[]}"#, Mark::Other),
            (r#""type":"user","message":{"content":["hi"]}"#, Mark::Other),
            (
                r#""type":"user","message":{"content":[{"type":"text","text":"hi"},7]}"#,
                Mark::Other,
            ),
            (
                r#""type":"user","message":{"content":"hi","content":"ho"}"#,
                Mark::Other,
            ),
            (
                r#""type":"user","message":{"content":[{"type":"text","type":"text"}]}"#,
                Mark::Other,
            ),
            (r#""type":"user","message":{"content":"\ud800"}"#, ASKS),
            (
                r#""type":"user","message":{"content":"<bash-stdout>\n\"quoted\""}"#,
                Mark::Other,
            ),
            (
                r#""type":"user","message":{"content":"\n<bash-stdout>"}"#,
                ASKS,
            ),
            (
                r#""type":"user","message":{"content":[{"type":"text","text":7}]}"#,
                ASKS,
            ),
            (r#""type":"assistant","message":null"#, Mark::Says),
            (
                r#""type":"assistant","message":{"content":[7],"stop_reason":"end_turn"}"#,
                Mark::Done,
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(mark(line), expected, "{line}");
        }
    }

    #[test]
    fn a_sub_agents_prompt_starts_a_turn_in_its_own_file() {
        let line = r#"{"sessionId":"s","isSidechain":true,"type":"user","message":{"role":"user","content":"go"}}"#;
        assert_eq!(read(line, true).expect("valid JSON").mark, ASKS);
        assert_eq!(read(line, false).expect("valid JSON").mark, Mark::Other);
    }

    #[test]
    fn foreign_lines_are_not_recognised() {
        assert!(recognises(
            r#"{"type":"summary","summary":"x","leafUuid":"y"}"#
        ));
        assert!(recognises(r#"{"sessionId":"s","type":"brand-new-kind"}"#));
        assert!(recognises(r#"{"role":"user","message":{"content":[]}}"#));
        for foreign in [
            r#"{"session_id":"s","hook_event_name":"Stop"}"#,
            r#"{"type":"user"}"#,
            r#"{"role":"user","content":"hi"}"#,
            "[]",
        ] {
            assert!(!recognises(foreign), "{foreign}");
        }
    }
}
