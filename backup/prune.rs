//! Giving up old backups, by count and by age, and never the last good one.

use super::label::Backup;
use super::store::{Backups, ListedBackup, Which};
use crate::error::Result;
use crate::format::ids::JournalId;
use crate::recovery::verify::Progress;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;

/// Which backups are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepBackups {
    /// So many good ones of each journal, the youngest, however old they are. A damaged one does
    /// not count. At least one: the last good one is never given up.
    pub last: NonZeroU32,
    /// Also all that are younger than so many milliseconds, by the clock.
    pub within_ms: Option<u64>,
}

/// What pruning did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Pruned {
    /// Those that are kept, oldest first. Named ones are among them.
    pub kept: Vec<Backup>,
    /// Those of the kept that are damaged. They count for nothing.
    pub damaged: Vec<u64>,
    /// Those that were removed, oldest first.
    pub removed: Vec<Backup>,
    /// Nothing was removed.
    pub dry_run: bool,
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.dry_run {
            "would remove"
        } else {
            "removed"
        };
        let kept = self.kept.len();
        write!(f, "{verb} {} backups, kept {kept}", self.removed.len())?;
        for backup in &self.removed {
            write!(f, "\n{verb} {backup}")?;
        }
        for number in &self.damaged {
            write!(f, "\ndamaged: backup {number}")?;
        }
        Ok(())
    }
}

impl Backups {
    /// Removes backups without a name beyond what `keep` says. Each of those that are kept for
    /// their number is verified now, so what this costs is reading them.
    ///
    /// # Errors
    /// [`crate::Error::Locked`], [`crate::Error::Io`].
    pub fn prune(&self, keep: &KeepBackups, dry_run: bool) -> Result<Pruned> {
        self.prune_on(keep, dry_run, &mut |_| ())
    }

    /// As [`Backups::prune`], saying how far each verification has come.
    ///
    /// # Errors
    /// As [`Backups::prune`].
    pub fn prune_on(
        &self,
        keep: &KeepBackups,
        dry_run: bool,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Pruned> {
        let _working = match dry_run {
            true => None,
            false => Some(self.work()?),
        };
        let now = self.dir.storage().unix_ms();
        let mut pruned = Pruned {
            dry_run,
            ..Pruned::default()
        };
        let mut good: BTreeMap<JournalId, u32> = BTreeMap::new();
        let listed = self.list()?;
        for backup in listed.iter().rev().filter_map(ListedBackup::complete) {
            if backup.name.is_some() {
                pruned.kept.push(backup.clone());
                continue;
            }
            let good = good.entry(backup.journal).or_default();
            let age = now.saturating_sub(backup.created_ms);
            let is_young = keep.within_ms.is_some_and(|within| age <= within);
            if *good >= keep.last.get() && !is_young {
                pruned.removed.push(backup.clone());
                continue;
            }
            match self
                .verify_on(&Which::Number(backup.number), progress)?
                .is_good()
            {
                true => *good += 1,
                false => pruned.damaged.push(backup.number),
            }
            pruned.kept.push(backup.clone());
        }
        pruned.kept.reverse();
        pruned.removed.reverse();
        if !dry_run {
            for backup in &pruned.removed {
                self.remove_backup(backup.number)?;
            }
        }
        Ok(pruned)
    }
}
