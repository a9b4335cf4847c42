//! What opening found and did: one sentence for people, fields for programs.

use crate::format::ids::{Lsn, SnapshotId};
use serde::Serialize;
use std::fmt;

/// The report of an opening.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[must_use = "it says what a crash cost, and which turns are still open"]
pub struct Recovery {
    /// The journal was made by this opening.
    pub created: bool,
    /// The last writer closed it: nothing had to be done, and nothing was written.
    pub clean: bool,
    /// Records in the journal's history, up to what compaction has dropped.
    pub records: u64,
    /// Records that were replayed from the log.
    pub replayed_records: u64,
    /// Segments that hold them.
    pub segments: u64,
    /// The snapshot that replay began from.
    pub snapshot: Option<SnapshotId>,
    /// Bytes of a torn tail that were cut. None of them was ever acknowledged.
    pub torn_bytes: u64,
    /// Records that were not proven durable, and were logged again before anything was served.
    pub relogged_records: u64,
    /// Turns that were submitted and have not ended.
    pub open_turns: u64,
    /// The LSN of the next record.
    pub next_lsn: Lsn,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// What was found damaged and could be done without.
    pub warnings: Vec<String>,
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.created {
            return write!(f, "created an empty journal");
        }
        let verb = if self.clean { "opened" } else { "recovered" };
        write!(
            f,
            "{verb} {} records in {} segments",
            self.records, self.segments
        )?;
        if let Some(snapshot) = self.snapshot {
            write!(f, " and snapshot {snapshot}")?;
        }
        if self.torn_bytes > 0 {
            write!(f, "; cut a torn tail of {} bytes", self.torn_bytes)?;
        }
        if self.relogged_records > 0 {
            write!(
                f,
                "; logged {} unproven records again",
                self.relogged_records
            )?;
        }
        match self.open_turns {
            0 => {}
            1 => write!(f, "; 1 turn is open")?,
            n => write!(f, "; {n} turns are open")?,
        }
        for warning in &self.warnings {
            write!(f, "; {warning}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_was_found_and_leaves_out_what_was_not() {
        let clean = Recovery {
            clean: true,
            records: 12,
            segments: 2,
            ..Recovery::default()
        };
        assert_eq!(clean.to_string(), "opened 12 records in 2 segments");
        let one = Recovery {
            clean: false,
            open_turns: 1,
            torn_bytes: 1,
            ..clean.clone()
        };
        let said = "recovered 12 records in 2 segments; cut a torn tail of 1 bytes; 1 turn is open";
        assert_eq!(one.to_string(), said);
        let all = Recovery {
            snapshot: Some(SnapshotId::new(7)),
            relogged_records: 3,
            open_turns: 2,
            warnings: vec!["one".into(), "two".into()],
            ..clean.clone()
        };
        let said = "opened 12 records in 2 segments and snapshot 7; logged 3 unproven records \
                    again; 2 turns are open; one; two";
        assert_eq!(all.to_string(), said);
        let created = Recovery {
            created: true,
            ..all
        };
        assert_eq!(created.to_string(), "created an empty journal");
    }
}
