//! What a line says about itself, as far as an importer needs it.

use super::turns::Mark;

/// What was understood of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// JSON, with these facts.
    Known(LineMeta),
    /// Nothing but white space.
    Blank,
    /// No JSON. The bytes are kept like those of any other line.
    Damaged(Damage),
}

/// The facts of one line. Every one but the kind may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineMeta {
    /// The host's own name of the line's type; a subtype follows after a slash, as in
    /// `event_msg/task_started`. `other` for JSON of an unexpected shape.
    pub kind: String,
    /// `user`, `assistant`, `developer`, `system`.
    pub role: Option<String>,
    /// The line's own id.
    pub uuid: Option<String>,
    /// The id of the line before it in the conversation, which need not be the one above.
    pub parent_uuid: Option<String>,
    /// When it was written, as the host wrote it.
    pub timestamp: Option<String>,
    /// The session that the line says it belongs to.
    pub session_id: Option<String>,
    /// The session that started this one, if the line tells.
    pub parent_session_id: Option<String>,
    /// The host's id of the turn.
    pub turn_id: Option<String>,
    /// The tool called.
    pub tool_name: Option<String>,
    /// What it means for the turn.
    pub mark: Mark,
}

/// Why and where a line is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong.
    pub why: Why,
    /// Offset in the file at which it was noticed.
    pub at: u64,
    /// A whole record glued to the end of the damaged one: the append after a torn line.
    pub glued: Option<Box<Glued>>,
}

/// A whole record at the end of a damaged line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glued {
    /// Offset in the file at which it begins.
    pub offset: u64,
    /// Its facts.
    pub meta: LineMeta,
}

/// The kinds of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// NUL bytes, as a power cut leaves them in a file that grew without its data.
    Nul {
        /// Length of the first run.
        run_bytes: u64,
    },
    /// No UTF-8, for example a tail cut inside a character.
    NotUtf8,
    /// JSON that ends too early: a torn write.
    Torn,
    /// Something else that is no JSON.
    NotJson,
    /// Longer than the limit; it was not parsed and comes in pieces.
    TooLong,
}

impl Why {
    /// A stable, machine-readable name.
    pub fn code(self) -> &'static str {
        match self {
            Why::Nul { .. } => "line.nul",
            Why::NotUtf8 => "line.not_utf8",
            Why::Torn => "line.torn",
            Why::NotJson => "line.not_json",
            Why::TooLong => "line.too_long",
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Nul { run_bytes } => write!(f, "a run of {run_bytes} NUL bytes"),
            Why::NotUtf8 => write!(f, "not UTF-8"),
            Why::Torn => write!(f, "torn: the JSON ends too early"),
            Why::NotJson => write!(f, "not JSON"),
            Why::TooLong => write!(f, "longer than the limit"),
        }
    }
}
