//! Restoring: a journal with the records of a backup, in the place of what is there.
//!
//! 1. The backup is verified, every byte and every record. A damaged one is refused, with the
//!    number of one that is not.
//! 2. What is there is read: what was erased since the backup is erased in what is restored, and
//!    LSNs and writers go on behind all that were handed out.
//! 3. What is there is backed up into the store: as a backup if all of it is proven durable, else
//!    file by file as it is.
//! 4. The journal is written beside it, and put in force: see [`super::rewrite`].
//!
//! It gets an identity of its own: it is another journal than the one that went on, and a copy of
//! a file of that one must never be taken for its own. It gets the epoch [`EPOCHS_APART`] above the
//! highest that is known, for writers may have come and gone since the backup of which nobody is
//! left to tell; so whoever holds a token of theirs is fenced off.

use super::change::Change;
use super::erased::{erased_since, tombstones_since};
use super::present::{Present, clear_target, make_target};
use super::rest::AtRest;
use super::restored::{Restored, note};
use super::rewrite::{commit, write};
use super::store::{Backups, Which};
use crate::error::{Error, Result};
use crate::format::ids::{Epoch, JournalId};
use crate::recovery::open::take_lock;
use crate::recovery::verify::Progress;
use crate::storage::Lock;
use crate::storage::dir::Dir;
use std::path::Path;

/// How far behind the highest known writer the restored journal goes on: more openings than a
/// journal sees between two backups, and 65,536 restores until the range ends.
const EPOCHS_APART: u32 = 1 << 16;

/// What is restored how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restore {
    /// Only tell what would happen. Nothing is written.
    pub dry_run: bool,
    /// What was deleted, cleared or truncated since the backup comes back. Without, it does not,
    /// and a damaged journal, which cannot tell what was, is not restored over.
    pub bring_back: bool,
}

impl Backups {
    /// Restores a backup into `into`: a directory that is not there or empty, or a journal, which
    /// is backed up first and then replaced. Stop its writer.
    ///
    /// # Errors
    /// As [`Backups::restore_on`].
    pub fn restore(
        &self,
        which: &Which,
        into: impl AsRef<Path>,
        options: &Restore,
    ) -> Result<Restored> {
        self.restore_on(which, into, options, &mut |_| ())
    }

    /// As [`Backups::restore`], saying how far it has come.
    ///
    /// # Errors
    /// [`Error::NoBackup`]; [`Error::DamagedBackup`]; [`Error::Locked`] if the journal or the store
    /// is in use; [`Error::NotAJournal`]; [`Error::IsBackup`]; [`Error::Invalid`] if the journal
    /// that is there is damaged and [`Restore::bring_back`] is not set; [`Error::NoSpace`],
    /// [`Error::Io`]. What is there is in force still, or the backup is; either is whole.
    pub fn restore_on(
        &self,
        which: &Which,
        into: impl AsRef<Path>,
        options: &Restore,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Restored> {
        let _working = match options.dry_run {
            true => None,
            false => Some(self.work()?),
        };
        let (backup, source) = self.expect_good(which, progress)?;
        let target = Dir::new(self.dir.storage().clone(), into.as_ref());
        self.expect_outside(&target)?;
        let is_there = target.storage().list(target.path()).is_ok();
        let _lock: Option<Box<dyn Lock>> = match options.dry_run {
            false if is_there => {
                // Before anything is created in it.
                Present::look(&target)?;
                Some(take_lock(&target)?)
            }
            _ => None,
        };
        let present = Present::look(&target)?;
        let then = AtRest::load(&source)?;
        let mut report = Restored {
            backup,
            into: target.path().to_path_buf(),
            dry_run: options.dry_run,
            sessions: then.image.state.sessions().count() as u64,
            ..Restored::default()
        };
        let mut change = Change {
            journal: JournalId::default(),
            epoch: then.epoch,
            lsn: then.next_lsn(),
            erase: Vec::new(),
            tombstones: Vec::new(),
            note: ("restored", String::new()),
            created_ms: then.manifest.created_ms,
        };
        compare(&then, &present, options, &mut change, &mut report)?;
        change.epoch = Epoch::new(change.epoch.get().saturating_add(EPOCHS_APART));
        report.epoch = change.epoch;
        report.next_lsn = change.lsn;
        if options.dry_run {
            return Ok(report);
        }
        report.kept = self.keep(&target, &present, progress)?;
        change.journal = JournalId(
            target
                .storage()
                .entropy()
                .map_err(|e| Error::io("draw an id for", target.path(), e))?,
        );
        change.note.1 = note(&report);
        let _lock = match present {
            Present::Nothing | Present::Unfinished => {
                let lock = match _lock {
                    Some(lock) => lock,
                    None => make_target(&target)?,
                };
                clear_target(&target)?;
                Some(lock)
            }
            _ => _lock,
        };
        let written = write(then, &target, &change, progress)?;
        report.records = written.digest.records;
        report.next_lsn = written.next_lsn;
        report.journal = Some(commit(&target, written)?);
        Ok(report)
    }
}

/// What is there, and what the backup knows nothing of.
fn compare(
    then: &AtRest,
    present: &Present,
    options: &Restore,
    change: &mut Change,
    report: &mut Restored,
) -> Result<()> {
    match present {
        Present::Nothing | Present::Unfinished => {}
        Present::Damaged(why) if options.bring_back => report.damaged = Some(why.to_string()),
        Present::Damaged(why) => {
            return Err(Error::Invalid {
                what: "restore over a damaged journal",
                why: format!(
                    "what was deleted since the backup cannot be read any more ({why}): restore \
                     into another directory, or say that it may come back"
                ),
            });
        }
        Present::Sound(now) => {
            let (old, new) = (&then.image.state, &now.image.state);
            let erased = erased_since(old, new);
            let only_there = |name: &str| old.find(name).is_none();
            report.sessions_since = new.sessions().filter(|s| only_there(&s.name)).count() as u64;
            report.records_since = now.next_lsn().get().saturating_sub(then.next_lsn().get());
            report.replaced = Some(now.manifest.journal);
            change.epoch = change.epoch.max(now.epoch);
            change.lsn = change.lsn.max(now.next_lsn());
            if options.bring_back {
                report.brought_back = erased;
            } else {
                change.erase.clone_from(&erased);
                change.tombstones = tombstones_since(old, new);
                report.erased_again = erased;
            }
        }
    }
    Ok(())
}
