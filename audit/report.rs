//! What an audit saw: findings and counts, one sentence for people, fields for programs.

use super::codes::{Category, Code};
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
use crate::model::finding::Severity;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// One thing that an audit found. Parts that are not known are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AuditFinding {
    /// What kind of thing.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// What can be done about it.
    pub category: Category,
    /// The session's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The session's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_no: Option<SessionNo>,
    /// The turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<Seq>,
    /// The queued input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Seq>,
    /// Name of the file, within the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Byte offset in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// First record concerned, inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn_from: Option<Lsn>,
    /// Last record concerned, exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn_to: Option<Lsn>,
    /// What was seen, in words.
    pub what: String,
    /// What to do, in words.
    pub todo: &'static str,
}

impl AuditFinding {
    pub(super) fn new(code: Code, what: impl Into<String>) -> Self {
        AuditFinding {
            code,
            severity: code.severity(),
            category: code.category(),
            session: None,
            session_no: None,
            turn: None,
            input: None,
            file: None,
            offset: None,
            lsn_from: None,
            lsn_to: None,
            what: what.into(),
            todo: code.todo(),
        }
    }

    pub(super) fn in_file(mut self, name: &str) -> Self {
        self.file = Some(name.to_owned());
        self
    }

    pub(super) fn of_session(mut self, id: &str, no: SessionNo) -> Self {
        self.session = Some(id.to_owned());
        self.session_no = Some(no);
        self
    }

    pub(super) fn of_turn(mut self, turn: Seq) -> Self {
        self.turn = Some(turn);
        self
    }

    pub(super) fn of_input(mut self, input: Seq) -> Self {
        self.input = Some(input);
        self
    }
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.severity, self.code)?;
        if let Some(session) = &self.session {
            write!(f, " session {session}")?;
        }
        if let Some(turn) = self.turn {
            write!(f, " turn {turn}")?;
        }
        if let Some(input) = self.input {
            write!(f, " input {input}")?;
        }
        if let Some(file) = &self.file {
            write!(f, " {file}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        match (self.lsn_from, self.lsn_to) {
            (Some(from), Some(to)) if from.next() == to => write!(f, " lsn {from}")?,
            (Some(from), Some(to)) => write!(f, " lsn {from}..{to}")?,
            (Some(from), None) => write!(f, " from lsn {from}")?,
            (None, _) => {}
        }
        write!(f, ": {} ({}: {})", self.what, self.category, self.todo)
    }
}

/// The report of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[must_use = "it says what was found"]
pub struct AuditReport {
    /// The worst that was found; nothing if nothing was.
    pub worst: Option<Severity>,
    /// Whether sessions, turns and queue were looked at: not if the journal does not open.
    pub is_readable: bool,
    /// Whether every byte was read and checked.
    pub is_verified: bool,
    /// Everything below is durable, and was looked at.
    pub durable_lsn: Lsn,
    /// The latest writer that is known of.
    pub epoch: Epoch,
    /// That writer is known to be gone, or was said to be.
    pub writer_is_gone: bool,
    /// Sessions that were looked at.
    pub sessions: u64,
    /// Turns ever begun in them.
    pub turns: u64,
    /// Turns that have not ended.
    pub open_turns: u64,
    /// Input that is queued, dead letters included.
    pub queued: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Age of the oldest turn that has not ended, or input that waits, in milliseconds: whether
    /// anything progresses.
    pub oldest_unfinished_ms: Option<u64>,
    /// Snapshots that the journal keeps.
    pub snapshots: u64,
    /// Files of the directory.
    pub files: u64,
    /// Bytes of the journal.
    pub bytes: u64,
    /// Bytes free on the disk, if that could be learned.
    pub free_bytes: Option<u64>,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// How often each code was found.
    pub counts: BTreeMap<Code, u64>,
    /// What was found, worst first; at most as many as [`super::Audit::max_findings`] says.
    pub findings: Vec<AuditFinding>,
}

impl AuditReport {
    /// Whether there is nothing to do: nothing was found but notes.
    pub fn is_clean(&self) -> bool {
        self.worst.is_none_or(|worst| worst == Severity::Note)
    }

    /// How many findings there were, listed or not.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many findings of a category there were, listed or not.
    pub fn count_of(&self, category: Category) -> u64 {
        let counts = self.counts.iter();
        let of = counts.filter(|(code, _)| code.category() == category);
        of.map(|(_, count)| count).sum()
    }

    /// Sorts the findings: worst first, then by file, session and place.
    pub(super) fn finish(&mut self) {
        self.findings.sort_by(|a, b| {
            let place = |f: &AuditFinding| {
                let at = (f.offset, f.lsn_from, f.turn, f.input);
                (f.file.clone(), f.session_no, at)
            };
            let by_severity = b.severity.cmp(&a.severity);
            by_severity.then_with(|| place(a).cmp(&place(b)).then(a.code.cmp(&b.code)))
        });
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.worst {
            None => write!(f, "nothing found")?,
            Some(_) => {
                let (repairable, manual) = (Category::Repairable, Category::Manual);
                write!(f, "{} found", self.total())?;
                write!(f, ", {} repairable", self.count_of(repairable))?;
                write!(f, ", {} to decide", self.count_of(manual))?;
            }
        }
        if !self.is_readable {
            write!(
                f,
                "; the journal does not open, so its sessions are unknown"
            )?;
        } else {
            write!(
                f,
                ": {} sessions, {} turns, {} of them open, {} inputs queued, {} snapshots",
                self.sessions, self.turns, self.open_turns, self.queued, self.snapshots
            )?;
        }
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        let listed = self.findings.len() as u64;
        if self.total() > listed {
            write!(f, "\nand {} more", self.total() - listed)?;
        }
        Ok(())
    }
}

/// Takes findings in, counts all, and lists those that matter most.
pub(super) struct Collector {
    pub report: AuditReport,
    max: usize,
    /// How many are listed of each severity.
    listed: [usize; 3],
}

impl Collector {
    pub fn new(max: usize) -> Self {
        Collector {
            report: AuditReport::default(),
            max: max.max(1),
            listed: [0; 3],
        }
    }

    /// Takes a finding in. When the list is full, it takes the place of one that matters less,
    /// or is only counted.
    pub fn add(&mut self, finding: AuditFinding) {
        let report = &mut self.report;
        *report.counts.entry(finding.code).or_default() += 1;
        report.worst = report.worst.max(Some(finding.severity));
        let rank = finding.severity as usize;
        if report.findings.len() < self.max {
            report.findings.push(finding);
        } else if self.listed[..rank].iter().any(|count| *count > 0) {
            let less = |f: &AuditFinding| f.severity < finding.severity;
            if let Some(at) = report.findings.iter().rposition(less) {
                self.listed[report.findings[at].severity as usize] -= 1;
                report.findings[at] = finding;
            }
        } else {
            return;
        }
        self.listed[rank] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_list_keeps_what_matters_most_and_counts_everything() {
        let mut collector = Collector::new(3);
        let codes = [
            Code::TurnOpen,
            Code::TurnOpen,
            Code::TurnWriterGone,
            Code::LogDamaged,
            Code::TurnOpen,
            Code::TurnWriterGone,
            Code::TurnWriterGone,
        ];
        for code in codes {
            collector.add(AuditFinding::new(code, "seen"));
        }
        let mut report = collector.report;
        report.finish();
        let listed: Vec<_> = report.findings.iter().map(|f| f.code).collect();
        let (gone, damaged) = (Code::TurnWriterGone, Code::LogDamaged);
        assert_eq!(listed, [damaged, gone, gone]);
        assert_eq!(report.total(), 7);
        assert_eq!(report.counts[&Code::TurnOpen], 3);
        assert_eq!(report.count_of(Category::Repairable), 3);
        assert_eq!(report.worst, Some(Severity::Damage));
    }
}
