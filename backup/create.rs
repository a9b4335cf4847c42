//! Making a backup: what the manifest in force refers to, and the log as far as it is durable.
//!
//! 1. The manifest in force, the watermark, and how far the log is durable: that is what the
//!    backup will hold. With the journal's handle, everything accepted is made durable first, and
//!    no compaction runs meanwhile. Without it, beside a writer in another process, a file may
//!    vanish or become another one: then everything is begun again from the newest manifest.
//! 2. State files and packs are copied whole, for they never change. Segments are copied up to
//!    where their groups end; what an earlier life of the file left behind stays behind.
//! 3. A page of its own says how far the log of the copy goes. The manifest comes last.
//! 4. Files and names are synced. The copy is verified, every record of it.
//! 5. The label is published. Only now it is a backup.
//!
//! A crash, a full disk, or damage met anywhere before 5 leaves a directory without a label.

use super::durable::copy_journal;
use super::label::{Backup, Label};
use super::store::Backups;
use super::verbatim::copy_verbatim;
use crate::error::{Error, Result};
use crate::format::ids::Lsn;
use crate::format::names::{self, TMP_SUFFIX};
use crate::recovery::reader::{expect_journal, may_be_motion};
use crate::recovery::verify::Progress;
use crate::snapshot::catalog;
use crate::storage::dir::Dir;
use crate::storage::publish;
use std::path::Path;

/// How often a copy is begun again because a writer changed the files meanwhile.
const ATTEMPTS: usize = 64;

impl Backups {
    /// Backs up the journal at `path`, beside its writer or without one. It holds everything
    /// acknowledged before the call.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the journal is damaged: there is no such backup of it. As
    /// [`Backups::create_on`].
    pub fn create(&self, path: impl AsRef<Path>, name: Option<&str>) -> Result<Backup> {
        self.create_on(path, name, &mut |_| ())
    }

    /// As [`Backups::create`], saying how far it has come.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAJournal`], [`Error::NewerFormat`], [`Error::Corrupt`];
    /// [`Error::Invalid`] for a name that cannot be given or was; [`Error::Locked`] if somebody
    /// else works in the store; [`Error::NoSpace`], [`Error::Io`]. Nothing is left behind.
    pub fn create_on(
        &self,
        path: impl AsRef<Path>,
        name: Option<&str>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Backup> {
        let source = Dir::new(self.dir.storage().clone(), path.as_ref());
        expect_journal(&source)?;
        let _working = self.work()?;
        self.create_in(&source, name, Lsn::default(), progress)
    }

    /// Makes a backup while the store is held. It holds at least everything below `least`.
    pub(super) fn create_in(
        &self,
        source: &Dir,
        name: Option<&str>,
        least: Lsn,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Backup> {
        self.finish_or_remove(name, &mut |target| {
            let mut before = None;
            for attempt in 1.. {
                let error = match copy_journal(source, target, least, progress) {
                    Err(error) if may_be_motion(&error) && attempt < ATTEMPTS => error,
                    copied => return copied,
                };
                let now = (error.to_string(), generation(source)?);
                if before.replace(now) == before {
                    return Err(error);
                }
                empty(target)?;
            }
            unreachable!("the last attempt returns")
        })
    }

    /// Keeps every file of a directory as it is, under a name of its own.
    pub(super) fn keep_verbatim(
        &self,
        source: &Dir,
        name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Backup> {
        self.finish_or_remove(Some(name), &mut |target| {
            copy_verbatim(source, target, progress)
        })
    }

    fn finish_or_remove(
        &self,
        name: Option<&str>,
        fill: &mut dyn FnMut(&Dir) -> Result<Label>,
    ) -> Result<Backup> {
        if let Some(name) = name {
            self.expect_free(name)?;
        }
        let (number, target) = self.make_next()?;
        let made = fill(&target).and_then(|label| self.put_label(number, &target, name, label));
        if made.is_err() {
            // What stays is unfinished, and removed by the next one.
            let _ = self.remove_files(number);
        }
        made
    }

    fn put_label(
        &self,
        number: u64,
        target: &Dir,
        name: Option<&str>,
        mut label: Label,
    ) -> Result<Backup> {
        let storage = self.dir.storage();
        let id = storage
            .entropy()
            .map_err(|e| Error::io("draw an id for", target.path(), e))?;
        label.files.sort_by(|a, b| a.name.cmp(&b.name));
        label.backup.number = number;
        label.backup.id = format!("{:032x}", u128::from_be_bytes(id));
        label.backup.name = name.map(str::to_owned);
        label.backup.created_ms = storage.unix_ms();
        let bytes = label.encode();
        let tmp = format!("{}{TMP_SUFFIX}", names::BACKUP);
        publish(&**storage, target.path(), &tmp, names::BACKUP, &bytes, true)?;
        let read = Label::decode(&bytes).map_err(|why| Error::Invalid {
            what: "label of the backup",
            why,
        })?;
        Ok(read.backup)
    }
}

fn empty(target: &Dir) -> Result<()> {
    for entry in target.list()? {
        target.remove(&entry.name)?;
    }
    target.sync()
}

fn generation(source: &Dir) -> Result<Option<u64>> {
    Ok(catalog::read_newest(source)?.map(|found| found.manifest.generation))
}
