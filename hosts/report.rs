//! What an import tells about each file: what of it is new, what was odd, or why it was refused.

use crate::detect::Host;
use crate::transcripts::meta::Damage;
use crate::transcripts::turns::Outcome;
use serde::Serialize;

/// Something odd about a file that did not keep it from being imported, or the one thing that
/// did. Codes are stable; scripts rely on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable, machine-readable name.
    pub code: &'static str,
    /// What was found, in words.
    pub what: String,
    /// The line, from 1, of a file of lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Where in the file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Finding {
    /// Something found about the whole file.
    pub fn new(code: &'static str, what: impl Into<String>) -> Finding {
        Finding {
            code,
            what: what.into(),
            line: None,
            offset: None,
        }
    }

    /// Adds where in the file.
    pub fn at(mut self, offset: u64) -> Finding {
        self.offset = Some(offset);
        self
    }

    /// Adds the line.
    pub fn on_line(mut self, line: u64) -> Finding {
        self.line = Some(line);
        self
    }
}

/// Findings of one file. The first ones are kept in full and all are counted, so that a file
/// with a million bad lines takes no more memory than one with a thousand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings {
    first: Vec<Finding>,
    #[serde(skip)]
    more: u64,
}

/// How many findings of one file are kept in full.
const KEPT_FINDINGS: usize = 1000;

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        match self.first.len() < KEPT_FINDINGS {
            true => self.first.push(finding),
            false => self.more += 1,
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.first.len() as u64 + self.more
    }

    /// The first ones.
    pub fn first(&self) -> &[Finding] {
        &self.first
    }

    /// Whether the first ones are all there are.
    pub fn is_all_kept(&self) -> bool {
        self.more == 0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Whether one of this code is among the first.
    pub fn has(&self, code: &str) -> bool {
        self.first.iter().any(|finding| finding.code == code)
    }
}

impl Extend<Finding> for Findings {
    fn extend<T: IntoIterator<Item = Finding>>(&mut self, findings: T) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }
}

/// What became of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// Where it is below the folder that was imported.
    pub file: String,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// What it is to that host.
    pub format: &'static str,
    /// The session that it went to; of a database, how it is called in front of its sessions.
    pub session: String,
    /// That session's parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// How many sessions it went to, if it can be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<u64>,
    /// The hosts' ids of these.
    #[serde(skip)]
    pub session_ids: Vec<String>,
    /// New lines, messages or rows.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// New turns.
    pub turns: u64,
    /// Lines, messages or rows that were there already.
    pub already_there: u64,
    /// Rows that the host has no more, newly marked so.
    #[serde(skip_serializing_if = "is_zero")]
    pub gone: u64,
    /// Input that waits in the host's queue, newly queued here.
    #[serde(skip_serializing_if = "is_zero")]
    pub queued: u64,
    /// Lines kept as they were found, because they are damaged: the first ones.
    pub damaged: Vec<DamagedLine>,
    /// How many more there were.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_damaged: u64,
    /// What else was odd.
    pub findings: Findings,
    /// How the last turn stands, if it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_turn: Option<Outcome>,
    /// Length of a last line without end, which is kept until it is whole.
    #[serde(skip_serializing_if = "is_zero")]
    pub partial_bytes: u64,
}

impl FileReport {
    /// Nothing imported yet.
    pub fn new(file: &std::path::Path, host: Option<Host>, format: &'static str) -> FileReport {
        FileReport {
            file: file.to_string_lossy().into_owned(),
            host,
            format,
            session: String::new(),
            parent: None,
            sessions: None,
            session_ids: Vec::new(),
            lines: 0,
            bytes: 0,
            turns: 0,
            already_there: 0,
            gone: 0,
            queued: 0,
            damaged: Vec::new(),
            more_damaged: 0,
            findings: Findings::default(),
            last_turn: None,
            partial_bytes: 0,
        }
    }

    /// Notes a damaged line.
    pub fn note_damage(&mut self, line: u64, damage: &Damage) {
        if self.damaged.len() == KEPT_FINDINGS {
            self.more_damaged += 1;
            return;
        }
        self.damaged.push(DamagedLine {
            code: damage.why.code(),
            line,
            offset: damage.at,
            why: damage.why.to_string(),
            glued: damage.glued.is_some(),
        });
    }

    /// How many lines are damaged.
    pub fn damaged_lines(&self) -> u64 {
        self.damaged.len() as u64 + self.more_damaged
    }

    /// Whether the import changed nothing because of this file.
    pub fn is_unchanged(&self) -> bool {
        let new = [self.lines, self.bytes, self.partial_bytes, self.queued];
        new == [0; 4] && self.gone == 0
    }
}

/// One damaged line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedLine {
    /// A stable, machine-readable name of the damage.
    pub code: &'static str,
    /// The line, from 1.
    pub line: u64,
    /// Where in the file it was noticed.
    pub offset: u64,
    /// The damage in words.
    pub why: String,
    /// Whether a whole record is glued to it.
    pub glued: bool,
}

/// A file that gave nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Where it is below the folder that was imported.
    pub file: String,
    /// A stable, machine-readable name of the reason.
    pub code: &'static str,
    /// The reason in words.
    pub why: String,
    /// Whether something may be missing from the import because of this.
    pub is_failure: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
