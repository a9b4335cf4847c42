//! What a salvage kept and what is lost: one sentence for people, fields for programs.

use crate::format::ids::{JournalId, Lsn, Seq, SessionNo};
use crate::model::finding::Finding;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// LSNs from one up to, and not including, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LsnRange {
    /// The first.
    pub from: Lsn,
    /// The first after them.
    pub to: Lsn,
}

impl LsnRange {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.to.get() - self.from.get()
    }
}

impl fmt::Display for LsnRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count() {
            1 => write!(f, "{}", self.from),
            _ => write!(f, "{}..{}", self.from, self.to),
        }
    }
}

/// Records of a session from one up to, and not including, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SeqRange {
    /// The first.
    pub from: Seq,
    /// The first after them.
    pub to: Seq,
}

/// What became of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SalvagedSession {
    /// Its number, which it keeps.
    pub no: SessionNo,
    /// Its id. If its creation is lost: `lost+found/session-` and its number.
    pub id: String,
    /// Records that were kept.
    pub kept: u64,
    /// Records that are lost.
    pub lost: Vec<SeqRange>,
    /// Records that are lost, unless a compaction had dropped them.
    pub uncertain: Vec<SeqRange>,
    /// Its id is lost, and was made up.
    pub is_renamed: bool,
}

/// A copy of bytes that do not validate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Quarantined {
    /// The copy, in the directory `quarantine` of the salvaged journal.
    pub copy: String,
    /// The file that the bytes are from.
    pub file: String,
    /// Where in it they are.
    pub offset: u64,
    /// How many do not validate there.
    pub len: u64,
    /// How many of them were copied.
    pub copied: u64,
}

/// The report of a salvage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[must_use = "it says what is lost"]
pub struct SalvageReport {
    /// The journal that was read, and not changed.
    pub from: PathBuf,
    /// The journal that was made.
    pub into: PathBuf,
    /// The identity of the journal that was read.
    pub journal: JournalId,
    /// The identity of the one that was made: it is another journal.
    pub new_journal: JournalId,
    /// Records that were kept.
    pub records_kept: u64,
    /// Bytes of their payloads.
    pub bytes_kept: u64,
    /// Records that validate and were not kept: truncated, cleared, or of a deleted session.
    pub records_erased: u64,
    /// LSNs of records that are lost.
    pub lost: Vec<LsnRange>,
    /// LSNs of records that are lost, unless a compaction had dropped them: what would tell is
    /// damaged too.
    pub uncertain: Vec<LsnRange>,
    /// The sessions.
    pub sessions: Vec<SalvagedSession>,
    /// What was seen.
    pub findings: Vec<Finding>,
    /// Copies of what does not validate.
    pub quarantined: Vec<Quarantined>,
    /// The LSN of the next record of the journal that was made.
    pub next_lsn: Lsn,
    /// How long it took, in microseconds.
    pub micros: u64,
}

impl SalvageReport {
    /// How many records are lost for certain.
    pub fn records_lost(&self) -> u64 {
        self.lost.iter().map(LsnRange::count).sum()
    }

    /// Whether everything is there.
    pub fn is_complete(&self) -> bool {
        self.lost.is_empty() && self.uncertain.is_empty()
    }
}

impl fmt::Display for SalvageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kept {} records of {} sessions in {}",
            self.records_kept,
            self.sessions.len(),
            self.into.display()
        )?;
        match self.records_lost() {
            0 => write!(f, "; no record is known to be lost")?,
            1 => write!(f, "; 1 record is lost: lsn {}", self.lost[0])?,
            n => {
                write!(f, "; {n} records are lost: lsn ")?;
                list(f, &self.lost)?;
            }
        }
        if !self.uncertain.is_empty() {
            write!(f, "; lost, or dropped by a compaction before: lsn ")?;
            list(f, &self.uncertain)?;
        }
        let renamed = self.sessions.iter().filter(|s| s.is_renamed).count();
        if renamed > 0 {
            write!(f, "; {renamed} sessions lost their id")?;
        }
        if !self.quarantined.is_empty() {
            write!(
                f,
                "; {} damaged places are in quarantine",
                self.quarantined.len()
            )?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, ranges: &[LsnRange]) -> fmt::Result {
    for (n, range) in ranges.iter().take(8).enumerate() {
        write!(f, "{}{range}", if n > 0 { ", " } else { "" })?;
    }
    if ranges.len() > 8 {
        write!(f, ", and {} more ranges", ranges.len() - 8)?;
    }
    Ok(())
}
