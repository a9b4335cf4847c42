//! Records of a journal, as lines for people and as JSON.

use super::escape::{Layout, escape, shorten};
use super::time::utc;
use serde::Serialize;
use serde_json::value::RawValue;
use turnkeep::{Entry, Kind};
use turnkeep_hosts::import::note::{ItemNote, Note};
use turnkeep_hosts::transcripts::gist::gist;

/// How much of a record's content stands in its line.
const SHOWN_CHARS: usize = 100;

/// How much of a name stands in its column.
const NAME_CHARS: usize = 24;

/// How much of a time, written by ISO 8601, is up to its seconds.
const TIME_CHARS: usize = 19;

/// How much of a content is looked at for its first line, if it has no words to find.
const LOOKED_AT_BYTES: usize = 4096;

/// A record as `--json` prints it.
#[derive(Debug, Serialize)]
pub struct EntryJson<'e> {
    lsn: u64,
    session: &'e str,
    seq: u32,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<u32>,
    #[serde(skip_serializing_if = "is_zero")]
    attempt: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'e str,
    #[serde(skip_serializing_if = "str::is_empty")]
    actor: &'e str,
    at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "is_zero_link")]
    link: u64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    refs: &'e [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<Extra<'e>>,
    /// The key that would open the content, which is as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    #[serde(flatten)]
    content: Content<'e>,
}

/// A host's metadata: as it is if it is JSON.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Extra<'e> {
    Json(&'e RawValue),
    Bytes(Content<'e>),
}

/// A host's bytes: a string if they are one, so that nothing is lost in either case.
#[derive(Debug, Serialize)]
pub enum Content<'e> {
    /// They are text.
    #[serde(rename = "content")]
    Text(&'e str),
    /// They are not.
    #[serde(rename = "content_base64")]
    Bytes(String),
}

impl<'e> EntryJson<'e> {
    /// Describes `entry`, which is of the session called `session`.
    pub fn new(entry: &'e Entry, session: &'e str) -> EntryJson<'e> {
        EntryJson {
            lsn: entry.lsn.get(),
            session,
            seq: entry.seq.get(),
            kind: entry.kind.as_str(),
            turn: entry.turn.map(|turn| turn.get()),
            attempt: entry.attempt,
            name: &entry.name,
            actor: &entry.actor,
            at_ms: entry.at_ms,
            key: entry
                .key
                .as_deref()
                .map(|key| escape(key, Layout::Line).into_owned()),
            link: entry.link,
            refs: &entry.refs,
            extra: match entry.extra.as_slice() {
                [] => None,
                extra => Some(match serde_json::from_slice(extra) {
                    Ok(json) => Extra::Json(json),
                    Err(_) => Extra::Bytes(Content::of(extra)),
                }),
            },
            sealed: entry.sealed.map(|key| key.to_string()),
            content: Content::of(&entry.content),
        }
    }
}

impl<'e> Content<'e> {
    /// Describes `bytes`.
    pub fn of(bytes: &'e [u8]) -> Content<'e> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Content::Text(text),
            Err(_) => Content::Bytes(base64(bytes)),
        }
    }
}

/// The heading over what [`line()`] writes.
pub fn heading(is_log: bool) -> String {
    let place = if is_log {
        "     LSN  SESSION               "
    } else {
        "   SEQ"
    };
    format!("{place}    TURN  TIME                 KIND          NAME                      TEXT")
}

/// A record in one line. With `session`, as a record of the journal, else as one of its session.
pub fn line(entry: &Entry, session: Option<&str>) -> String {
    let safe = |text: &str, width| {
        let text = escape(text.as_bytes(), Layout::Line);
        shorten(&text, width).into_owned()
    };
    let place = match session {
        Some(session) => format!("{:>8}  {:<20}", entry.lsn.get(), safe(session, 20)),
        None => format!("{:>6}", entry.seq.get()),
    };
    let turn = entry
        .turn
        .map_or(String::new(), |turn| turn.get().to_string());
    let note = Note::decode(&entry.extra);
    let item = ItemNote::decode(&entry.extra).and_then(|item| item.time);
    let own = note.as_ref().and_then(|note| note.time.as_deref());
    let time = match own.or(item.as_deref()) {
        // The host's own, mostly ISO 8601.
        Some(time) => {
            let time: String = time.chars().take(TIME_CHARS).collect();
            safe(&time.replace('T', " "), TIME_CHARS)
        }
        None => utc(entry.at_ms),
    };
    let kind = short_kind(entry.kind);
    let name = match entry.actor.as_str() {
        "" => safe(&entry.name, NAME_CHARS),
        actor if actor == entry.name => safe(actor, NAME_CHARS),
        actor => safe(&format!("{actor} {}", entry.name), NAME_CHARS),
    };
    let text = safe(&text(entry, note.as_ref()), SHOWN_CHARS);
    let line =
        format!("{place}  {turn:>6}  {time:<TIME_CHARS$}  {kind:<12}  {name:<NAME_CHARS$}  {text}");
    line.trim_end().to_owned()
}

/// Kinds without what is clear from the column that they stand in.
fn short_kind(kind: Kind) -> &'static str {
    let name = kind.as_str();
    let after = ["turn_", "session_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    after.unwrap_or(name)
}

fn text(entry: &Entry, note: Option<&Note>) -> String {
    let damage = note.and_then(|note| note.damage.as_deref());
    if let Some(damage) = damage {
        return format!("[{damage}]");
    }
    if let Some(key) = entry.sealed {
        return format!("[{} bytes, sealed with {key}]", entry.content.len());
    }
    if entry.kind == Kind::Put {
        return format!("[{} bytes]", entry.content.len());
    }
    if let Some(text) = gist(&entry.content) {
        return text;
    }
    if note.is_some() {
        // A transcript's line that says nothing; `--content` shows it.
        return String::new();
    }
    let start = &entry.content[..entry.content.len().min(LOOKED_AT_BYTES)];
    let first_line = start
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    escape(first_line, Layout::Line).into_owned()
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_zero_link(number: &u64) -> bool {
    *number == 0
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for at in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() {
                letter as char
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"\xFF\xFE\xFD", "//79"),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }
}
