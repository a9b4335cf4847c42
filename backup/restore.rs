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

use super::copy::{copy_file, write_file};
use super::create::ticker;
use super::erased::{ErasedAgain, erased_since, tombstones_since};
use super::label::Backup;
use super::rest::AtRest;
use super::rewrite::{Change, commit, write};
use super::store::{Backups, Which};
use crate::error::{Error, Result};
use crate::format::ids::{Epoch, JournalId, Lsn};
use crate::format::names::{self, Name, TMP_SUFFIX};
use crate::recovery::create::sync_parent;
use crate::recovery::open::take_lock;
use crate::recovery::reader::expect_journal;
use crate::recovery::verify::Progress;
use crate::storage::Lock;
use crate::storage::dir::Dir;
use serde::Serialize;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

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

/// What is in the place that a journal is to be restored into.
#[derive(Debug)]
enum Present {
    Nothing,
    /// An earlier restore was interrupted here, and there had been nothing before.
    Unfinished,
    Sound(Box<AtRest>),
    Damaged(Error),
}

impl Present {
    fn look(dir: &Dir) -> Result<Present> {
        match dir.storage().list(dir.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Present::Nothing),
            Err(error) => return Err(Error::io("list", dir.path(), error)),
            Ok(listed) => {
                if listed.iter().any(|entry| entry.name == names::BACKUP) {
                    return Err(Error::IsBackup {
                        path: dir.path().to_path_buf(),
                    });
                }
                let has_manifest = |name: &str| matches!(Name::parse(name), Name::Manifest(_));
                if listed.iter().any(|entry| entry.name == marker())
                    && !listed.iter().any(|entry| has_manifest(&entry.name))
                {
                    return Ok(Present::Unfinished);
                }
            }
        }
        let loaded = match expect_journal(dir) {
            Err(Error::NotFound { .. }) => return Ok(Present::Nothing),
            expected => expected.and_then(|()| AtRest::load(dir)),
        };
        match loaded {
            Ok(journal) => Ok(Present::Sound(Box::new(journal))),
            Err(error @ Error::Corrupt(_)) => Ok(Present::Damaged(error)),
            Err(Error::Io { source, op, path }) if source.kind() == ErrorKind::NotFound => {
                Ok(Present::Damaged(Error::Io { source, op, path }))
            }
            Err(error) => Err(error),
        }
    }
}

/// Says of a directory without a manifest that a restore was interrupted in it.
fn marker() -> String {
    format!("restore{TMP_SUFFIX}")
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
        if _lock.is_some() {
            // A restore that was interrupted between its last two steps is in force.
            finish(&target)?;
        }
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

    /// Copies the files of a backup into `into`, which must not exist or be empty, byte for byte:
    /// a journal of the same identity and the same format version, as it was. For a release that
    /// reads no newer one, or another place; see [`Backups::restore`] for going on with it here.
    ///
    /// # Errors
    /// [`Error::NoBackup`], [`Error::DamagedBackup`]; [`Error::Invalid`] if `into` is not empty;
    /// [`Error::NoSpace`], [`Error::Io`]. `into` holds no journal then.
    pub fn export(
        &self,
        which: &Which,
        into: impl AsRef<Path>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Backup> {
        let (backup, source) = self.expect_good(which, progress)?;
        let target = Dir::new(self.dir.storage().clone(), into.as_ref());
        self.expect_outside(&target)?;
        match target.storage().list(target.path()) {
            Ok(listed) if listed.is_empty() => {}
            Ok(_) => return Err(not_empty(&target)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let storage = target.storage();
                storage
                    .create_dir(target.path())
                    .map_err(|e| Error::io("create", target.path(), e))?;
                sync_parent(&target)?;
            }
            Err(error) => return Err(Error::io("list", target.path(), error)),
        }
        let label = self.label(backup.number)?;
        let mut files = label.and_then(|label| label.ok()).unwrap_or_default().files;
        // Without a manifest it is no journal, so that comes last, when the others are durable.
        files.sort_by_key(|file| matches!(Name::parse(&file.name), Name::Manifest(_)));
        let mut tick = ticker(backup.bytes, progress);
        for file in &files {
            if matches!(Name::parse(&file.name), Name::Manifest(_)) {
                target.sync()?;
            }
            copy_file(&source, &file.name, &target, Some(file.len), &mut tick)?;
        }
        target.sync()?;
        Ok(backup)
    }

    /// The backup, after all of it was verified.
    fn expect_good(
        &self,
        which: &Which,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(Backup, Dir)> {
        let number = match which {
            Which::Number(number) => *number,
            which => self.find(which)?.number,
        };
        let report = self.verify_on(&Which::Number(number), progress)?;
        let source = self.dir_of(number);
        match (report.first_damage(&source), report.backup) {
            (None, Some(backup)) => Ok((backup, source)),
            (damage, backup) => {
                let journal = backup.map(|backup| backup.journal);
                let journal = journal.or_else(|| Some(self.newest_other(number)?.journal));
                let sound = match journal {
                    Some(journal) => self.sound_one(journal, |other| other.number != number)?,
                    None => None,
                };
                Err(Error::DamagedBackup {
                    store: self.path().to_path_buf(),
                    number,
                    sound: sound.map(|sound| sound.number),
                    cause: Box::new(damage.unwrap_or_else(|| {
                        crate::error::Corruption::new(source.path(), "it says nothing of itself")
                    })),
                })
            }
        }
    }

    fn newest_other(&self, number: u64) -> Option<Backup> {
        let listed = self.list().ok()?;
        let mut complete = listed.iter().rev().filter_map(|listed| listed.complete());
        complete.find(|backup| backup.number != number).cloned()
    }

    /// Refuses a target in the store: it would be mistaken for a backup, or overwrite one.
    fn expect_outside(&self, target: &Dir) -> Result<()> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_path_buf());
        if absolute(target.path()).starts_with(absolute(self.path())) {
            return Err(Error::Invalid {
                what: "target of a restore",
                why: format!("{} lies in the store of backups", target.path().display()),
            });
        }
        Ok(())
    }

    /// Backs up what is there.
    fn keep(
        &self,
        target: &Dir,
        present: &Present,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<Backup>> {
        let as_it_is = |store: &Backups, progress: &mut dyn FnMut(Progress<'_>)| {
            let name = format!("before-restore-{}", target.storage().unix_ms());
            store.keep_verbatim(target, &name, progress)
        };
        Ok(match present {
            Present::Nothing | Present::Unfinished => None,
            // Of a torn end nobody can tell what was acknowledged, so all of it is kept.
            Present::Sound(journal) if journal.is_settled => {
                Some(self.create_in(target, None, Lsn::default(), progress)?)
            }
            Present::Sound(_) | Present::Damaged(_) => Some(as_it_is(self, progress)?),
        })
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

/// Ends a switch that was interrupted.
pub(super) fn finish(dir: &Dir) -> Result<()> {
    match crate::snapshot::catalog::read_newest(dir) {
        Ok(Some(found)) => crate::recovery::closed::adopt_pending(dir, &found.manifest),
        _ => Ok(()),
    }
}

fn make_target(target: &Dir) -> Result<Box<dyn Lock>> {
    match target.storage().create_dir(target.path()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create", target.path(), error)),
    }
    sync_parent(target)?;
    take_lock(target)
}

/// Marks a directory without a journal as one that is being made, and removes what an interrupted
/// restore left.
fn clear_target(target: &Dir) -> Result<()> {
    let marker = marker();
    let listed = target.list()?;
    if !listed.iter().any(|entry| entry.name == marker) {
        write_file(target, &marker, b"")?;
        target.sync()?;
    }
    for entry in listed {
        match Name::parse(&entry.name) {
            Name::Lock | Name::Quarantine | Name::Backup | Name::Foreign => {}
            _ if entry.name == marker => {}
            _ => target.remove(&entry.name)?,
        }
    }
    target.sync()
}

/// What the record that documents it says. Names of deleted sessions are not in it.
fn note(report: &Restored) -> String {
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

fn not_empty(target: &Dir) -> Error {
    Error::Invalid {
        what: "target",
        why: format!("{} is not empty", target.path().display()),
    }
}
