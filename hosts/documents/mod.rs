//! Whole JSON documents: files that a host writes anew whenever something in them changes.
//!
//! What it is: a document is one list of messages (or logs, or queued input) in a *frame*, which
//! is everything around them. [`split`] cuts a file so, [`place`] finds the session that it
//! belongs to, [`writer`] puts what is new of it there.
//!
//! It promises:
//! - Frame and messages together are the file, byte for byte.
//! - A message that is there already is not added again. Each frame that was ever seen is a
//!   record of its own, so every state of the file that was imported can be told.
//! - A file whose messages are others than those that are there is another session, not a
//!   mixture; also if there are as many, and whatever its clock says.
//! - A file that has fewer messages takes none away: count and time are no intent.
//! - Memory is bounded by [`crate::source::Limits::document_bytes`].
//!
//! On purpose it does not understand what a host means by its fields; the hosts' own files do.

pub mod cursor;
pub mod place;
pub mod split;
pub mod writer;

use crate::detect::Host;
use crate::report::Finding;
use crate::transcripts::meta::LineMeta;
use crate::transcripts::turns::Outcome;
use split::Split;
use std::path::Path;

/// One kind of document of one host, and who understands it.
pub struct DocumentKind {
    /// Whose it is.
    pub host: Host,
    /// What it is to that host.
    pub format: &'static str,
    /// Fields of which the first that is a list holds the messages; `""` is a document that is
    /// one itself.
    pub lists: &'static [&'static str],
    /// Reads what the document says about itself; the path is the one below the folder that is
    /// imported.
    pub read: fn(&Split<'_>, &Path) -> Reading,
    /// Reads what one message says about itself.
    pub item: fn(&str) -> LineMeta,
}

impl std::fmt::Debug for DocumentKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.format)
    }
}

/// What a document says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The session that it is.
    pub session: String,
    /// The session that this one came out of.
    pub parent: Option<String>,
    /// Whether it is a copy that the host made of another file, which is not what export gives.
    pub is_copy: bool,
    /// A record that stands for the whole document and begins its one turn: a task.
    pub lead: Option<Lead>,
    /// How that turn ended, by the document's word.
    pub end: Option<Outcome>,
    /// Input that waits.
    pub queue: Vec<Waiting>,
    /// What is odd.
    pub findings: Vec<Finding>,
}

/// What a document is about, as a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lead {
    /// The record's name.
    pub name: &'static str,
    /// Who works on it.
    pub actor: String,
    /// What it is.
    pub content: String,
    /// When it was asked for, as the host wrote it.
    pub time: Option<String>,
}

/// Input that waits in a host's queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// By which it is told from others of the session.
    pub key: String,
    /// Its class in the host's words.
    pub class: String,
    /// The higher, the sooner.
    pub priority: u64,
    /// What was said.
    pub content: String,
}

/// A message that is an object with a role, as most hosts have it; `time` names its time's field
/// and `id` its own.
pub fn message(raw: &str, time: &str, id: &str) -> LineMeta {
    use crate::transcripts::turns::Mark;
    let fields = Split::new(raw.as_bytes(), &[]);
    let Ok(fields) = fields else {
        return LineMeta {
            kind: "other".into(),
            ..LineMeta::default()
        };
    };
    let role = fields.string("role");
    let calls = fields.is_set("tool_calls");
    let mark = match role.as_deref() {
        Some("user") => Mark::Asks { may_repeat: false },
        Some("assistant") if calls => Mark::Calls,
        Some("assistant") => Mark::Done,
        _ => Mark::Other,
    };
    let time = fields.string(time).or_else(|| {
        let raw = fields.raw(time)?;
        raw.starts_with(|c: char| c.is_ascii_digit())
            .then(|| raw.to_owned())
    });
    LineMeta {
        kind: role.clone().unwrap_or_else(|| "other".into()),
        role,
        uuid: fields.string(id),
        timestamp: time,
        mark,
        ..LineMeta::default()
    }
}
