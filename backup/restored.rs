//! What restoring did, in words for a person and in the record that documents it.

use super::erased::ErasedAgain;
use super::label::Backup;
use crate::format::ids::{Epoch, JournalId, Lsn};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// What restoring did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// The backup.
    pub backup: Backup,
    /// Where the journal is now.
    pub into: PathBuf,
    /// Nothing was written.
    pub dry_run: bool,
    /// Where what was there before is kept; none if nothing was there, and in a dry run.
    pub kept: Option<Backup>,
    /// The journal that was there.
    pub replaced: Option<JournalId>,
    /// What is wrong with the journal that was there, if it is damaged.
    pub damaged: Option<String>,
    /// Records of the journal that was there which the backup does not have, by LSN.
    pub records_since: u64,
    /// Sessions that are there and not in the backup.
    pub sessions_since: u64,
    /// What the backup holds and was erased since: it is erased in what is restored.
    pub erased_again: Vec<ErasedAgain>,
    /// What the backup holds and was erased since, and comes back because that was asked for.
    pub brought_back: Vec<ErasedAgain>,
    /// The new identity.
    pub journal: Option<JournalId>,
    /// Records that were restored.
    pub records: u64,
    /// Sessions that were restored.
    pub sessions: u64,
    /// The LSN of the next record.
    pub next_lsn: Lsn,
    /// Writers before this one are fenced off.
    pub epoch: Epoch,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry_run {
            "would restore"
        } else {
            "restored"
        };
        write!(
            f,
            "{verb} {} into {}: {} sessions",
            self.backup,
            self.into.display(),
            self.sessions
        )?;
        if !self.dry_run {
            write!(f, ", {} records", self.records)?;
        }
        if self.records_since > 0 || self.sessions_since > 0 {
            write!(
                f,
                "\nlost by it: {} records and {} sessions that came after the backup",
                self.records_since, self.sessions_since
            )?;
        }
        for erased in &self.erased_again {
            write!(f, "\nstays erased: {erased}")?;
        }
        for erased in &self.brought_back {
            write!(f, "\ncomes back: {erased}")?;
        }
        match (&self.kept, &self.replaced, &self.damaged) {
            (Some(kept), ..) => write!(f, "\nwhat was there is backup {} now", kept.number),
            (None, Some(_), _) | (None, _, Some(_)) if self.dry_run => {
                write!(f, "\nwhat is there would be backed up first")
            }
            _ => Ok(()),
        }
    }
}

/// What the record that documents it says. Names of deleted sessions are not in it.
pub(super) fn note(report: &Restored) -> String {
    let hex = |journal: Option<JournalId>| match journal {
        Some(journal) => format!("\"{journal}\""),
        None => "null".to_owned(),
    };
    format!(
        "{{\"backup\":\"{}\",\"number\":{},\"of_journal\":\"{}\",\"backup_next_lsn\":{},\
         \"replaced_journal\":{},\"kept_as\":{},\"erased_again\":{},\"brought_back\":{}}}",
        report.backup.id,
        report.backup.number,
        report.backup.journal,
        report.backup.next_lsn,
        hex(report.replaced),
        report
            .kept
            .as_ref()
            .map_or("null".to_owned(), |kept| kept.number.to_string()),
        report.erased_again.len(),
        report.brought_back.len(),
    )
}
