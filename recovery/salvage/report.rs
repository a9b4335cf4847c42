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

/// Lost records of which the same is known: whose they were, or can have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LostRecords {
    /// The first LSN.
    pub from: Lsn,
    /// The first LSN after them.
    pub to: Lsn,
    /// They are lost for certain; else a compaction may have dropped them before.
    pub is_certain: bool,
    /// The sessions that they can have been of: those with a gap there. If there is one, and no
    /// other is possible, they were of that one.
    pub sessions: Vec<LostOf>,
    /// How many more such sessions there are than are listed.
    pub sessions_left_out: u64,
    /// They can have been of another session than those: one of which nothing later is left, so
    /// that it shows no gap. Without any in `sessions` nothing tells whose they were.
    pub may_be_another: bool,
}

/// A session that lost records can have been of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LostOf {
    /// Its number.
    pub no: SessionNo,
    /// Its id. None for a session that was deleted, or of which nothing is left.
    pub id: Option<String>,
    /// Which records of the session they can have been.
    pub seqs: SeqRange,
}

impl LostRecords {
    /// Whether it is known whose they were, and which records of that session.
    pub fn is_known(&self) -> bool {
        let seqs = self
            .sessions
            .first()
            .map(|of| of.seqs.to.get() - of.seqs.from.get());
        self.sessions.len() == 1
            && self.sessions_left_out == 0
            && !self.may_be_another
            && seqs.map(u64::from) == Some(self.to.get() - self.from.get())
    }

    /// Takes in the ones behind, if they follow on in the same session.
    pub(super) fn join(&mut self, next: &LostRecords) -> bool {
        let joins = self.is_known()
            && next.is_known()
            && self.to == next.from
            && self.is_certain == next.is_certain
            && self.sessions[0].no == next.sessions[0].no
            && self.sessions[0].seqs.to == next.sessions[0].seqs.from;
        if joins {
            self.to = next.to;
            self.sessions[0].seqs.to = next.sessions[0].seqs.to;
        }
        joins
    }
}

impl fmt::Display for LostRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = LsnRange {
            from: self.from,
            to: self.to,
        };
        write!(f, "lsn {range}: ")?;
        match (&*self.sessions, self.is_known()) {
            ([], _) => f.write_str("session unknown")?,
            ([of], true) => write!(f, "{of}")?,
            ([of], false) => write!(f, "among {of}")?,
            ([first, more @ ..], _) => {
                write!(f, "among {first}")?;
                more.iter().try_for_each(|of| write!(f, ", or {of}"))?;
            }
        }
        match self.sessions_left_out {
            0 => {}
            n => write!(f, ", or of {n} more sessions")?,
        }
        if self.may_be_another && !self.sessions.is_empty() {
            f.write_str(", or of a session unknown")?;
        }
        match self.is_certain {
            true => Ok(()),
            false => f.write_str("; unless a compaction had dropped them"),
        }
    }
}

impl fmt::Display for LostOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seqs.to.get() - self.seqs.from.get() {
            1 => write!(f, "record {}", self.seqs.from)?,
            _ => write!(f, "records {}..{}", self.seqs.from, self.seqs.to)?,
        }
        match &self.id {
            Some(id) => write!(f, " of session {id:?}"),
            None if self.no.get() == 0 => f.write_str(" of the journal itself"),
            None => write!(f, " of session number {}, whose id is gone", self.no),
        }
    }
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
    /// Whose the lost records were, for each LSN in `lost` and `uncertain`, ascending.
    pub lost_records: Vec<LostRecords>,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(no: u32, from: u32, to: u32) -> LostOf {
        LostOf {
            no: SessionNo::new(no),
            id: Some(format!("s{no}")),
            seqs: SeqRange {
                from: Seq::new(from),
                to: Seq::new(to),
            },
        }
    }

    fn lost(from: u64, to: u64, sessions: Vec<LostOf>) -> LostRecords {
        LostRecords {
            from: Lsn::new(from),
            to: Lsn::new(to),
            is_certain: true,
            sessions,
            sessions_left_out: 0,
            may_be_another: false,
        }
    }

    #[test]
    fn whose_they_were_is_known_only_if_nothing_else_is_possible() {
        let known = lost(10, 13, vec![of(1, 5, 8)]);
        assert!(known.is_known());
        assert!(lost(10, 11, vec![of(1, 5, 6)]).is_known());
        let doubtful = [
            // More records of the session than LSNs, or fewer; more sessions, or others.
            lost(10, 13, vec![of(1, 5, 9)]),
            lost(10, 13, vec![of(1, 5, 6)]),
            lost(10, 13, vec![of(1, 5, 8), of(2, 1, 4)]),
            lost(10, 13, vec![]),
            LostRecords {
                sessions_left_out: 1,
                ..known.clone()
            },
            LostRecords {
                may_be_another: true,
                ..known
            },
        ];
        for lost in doubtful {
            assert!(!lost.is_known(), "{lost}");
        }
    }

    #[test]
    fn only_what_follows_on_in_the_same_session_is_joined() {
        let first = lost(10, 13, vec![of(1, 5, 8)]);
        let next = lost(13, 15, vec![of(1, 8, 10)]);
        let mut joined = first.clone();
        assert!(joined.join(&next));
        assert_eq!(joined, lost(10, 15, vec![of(1, 5, 10)]));
        let others = [
            lost(14, 16, vec![of(1, 8, 10)]),
            lost(13, 15, vec![of(2, 8, 10)]),
            lost(13, 15, vec![of(1, 9, 11)]),
            lost(13, 15, vec![of(1, 8, 11)]),
            LostRecords {
                is_certain: false,
                ..next.clone()
            },
        ];
        for other in others {
            let mut joined = first.clone();
            assert!(!joined.join(&other), "{other}");
            assert_eq!(joined, first);
        }
        let mut doubtful = lost(10, 13, vec![of(1, 5, 9)]);
        assert!(!doubtful.join(&lost(13, 15, vec![of(1, 9, 11)])));
    }

    #[test]
    fn lost_records_are_told_with_what_is_known_of_them() {
        let said = |lost: &LostRecords| lost.to_string();
        let known = lost(10, 11, vec![of(1, 5, 6)]);
        assert_eq!(said(&known), "lsn 10: record 5 of session \"s1\"");
        let some = lost(10, 13, vec![of(1, 5, 9)]);
        assert_eq!(
            said(&some),
            "lsn 10..13: among records 5..9 of session \"s1\""
        );
        let nameless = LostOf {
            id: None,
            ..of(3, 5, 6)
        };
        let journal = LostOf {
            id: None,
            ..of(0, 1, 2)
        };
        let all = LostRecords {
            is_certain: false,
            sessions_left_out: 4,
            may_be_another: true,
            ..lost(10, 13, vec![nameless, journal])
        };
        assert_eq!(
            said(&all),
            "lsn 10..13: among record 5 of session number 3, whose id is gone, or record 1 of the \
             journal itself, or of 4 more sessions, or of a session unknown; unless a compaction \
             had dropped them"
        );
        let nobody = LostRecords {
            may_be_another: true,
            ..lost(10, 11, vec![])
        };
        assert_eq!(said(&nobody), "lsn 10: session unknown");
    }

    #[test]
    fn a_report_lists_what_is_lost_and_stops_somewhere() {
        let range = |from: u64, to: u64| LsnRange {
            from: Lsn::new(from),
            to: Lsn::new(to),
        };
        let mut report = SalvageReport {
            into: "kept".into(),
            records_kept: 7,
            ..SalvageReport::default()
        };
        assert!(report.is_complete());
        let kept = "kept 7 records of 0 sessions in kept";
        assert_eq!(
            report.to_string(),
            format!("{kept}; no record is known to be lost")
        );
        report.lost = vec![range(3, 4)];
        assert!(!report.is_complete());
        assert_eq!(
            report.to_string(),
            format!("{kept}; 1 record is lost: lsn 3")
        );
        report.lost = vec![range(3, 4), range(6, 9)];
        let said = format!("{kept}; 4 records are lost: lsn 3, 6..9");
        assert_eq!(report.to_string(), said);
        report.lost = (0..8).map(|n| range(n * 10, n * 10 + 1)).collect();
        assert!(report.to_string().ends_with("60, 70"), "{report}");
        report.lost = (0..10).map(|n| range(n * 10, n * 10 + 1)).collect();
        assert!(
            report.to_string().ends_with("60, 70, and 2 more ranges"),
            "{report}"
        );
        report.lost.clear();
        report.uncertain = vec![range(3, 9)];
        assert!(!report.is_complete());
        let said = "; no record is known to be lost; lost, or dropped by a compaction before: lsn";
        assert_eq!(report.to_string(), format!("{kept}{said} 3..9"));
        report.uncertain.clear();
        report.sessions = [true, false, true]
            .map(|is_renamed| SalvagedSession {
                no: SessionNo::new(1),
                id: "s".to_owned(),
                kept: 0,
                lost: Vec::new(),
                uncertain: Vec::new(),
                is_renamed,
            })
            .to_vec();
        report.quarantined = vec![Quarantined {
            copy: "c".to_owned(),
            file: "f".to_owned(),
            offset: 0,
            len: 1,
            copied: 1,
        }];
        let said = "; 2 sessions lost their id; 1 damaged places are in quarantine";
        assert!(report.to_string().ends_with(said), "{report}");
    }
}
