//! Upgrading: the files of an older format version become files of this one, when somebody says
//! so.
//!
//! Opening never needs it: every released version is read for ever, and new files are of the new
//! version beside the old ones. An upgrade ends that, and keeps what was there:
//!
//! 1. every file is copied into the store as it is, under the name [`kept_name`];
//! 2. the journal is written again beside itself, with the same LSNs and writers, and read back and
//!    compared record by record. It gets an identity of its own: a segment of the same identity
//!    that is not in force yet would prove records to the old journal that it does not have;
//! 3. it is put in force by one manifest, and the old files go;
//! 4. when its owner is content, [`Backups::confirm_upgrade`] removes the copy.
//!
//! Each step is a line in the store's `upgrade.log` before the next one begins. The way back,
//! until 4, is [`Backups::export`] of the copy, which an older release opens.

use super::change::Change;
use super::label::{Backup, words};
use super::rest::AtRest;
use super::rewrite::{commit, write};
use super::store::{Backups, Which};
use super::versions::Versions;
use crate::error::{Error, Result};
use crate::format::header::FORMAT_VERSION;
use crate::format::ids::JournalId;
use crate::recovery::open::take_lock;
use crate::recovery::reader::expect_journal;
use crate::recovery::verify::{Progress, verify_on};
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// The log of upgrades, in the store.
const LOG: &str = "upgrade.log";

/// How an upgrade is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upgrade {
    /// Only tell which versions there are.
    pub dry_run: bool,
    /// Write the journal again also if every file is of this version already.
    pub even_if_current: bool,
}

/// What an upgrade did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Upgraded {
    /// Which versions there were.
    pub before: Versions,
    /// Which there are now; none if nothing was done.
    pub after: Option<Versions>,
    /// Where the old files are until [`Backups::confirm_upgrade`].
    pub kept: Option<Backup>,
    /// Records that were written, read back and found equal.
    pub records: u64,
    /// A digest of them.
    pub digest: String,
}

impl fmt::Display for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(_), Some(kept)) = (&self.after, &self.kept) else {
            return write!(f, "{}; nothing was done", self.before);
        };
        write!(
            f,
            "upgraded from version {} to {}: {} records, compared one by one; the old files are \
             backup {} until the upgrade is confirmed",
            self.before.oldest(),
            self.before.written,
            self.records,
            kept.number
        )
    }
}

/// The name under which the files of before are kept.
fn kept_name() -> String {
    format!("before-upgrade-to-{FORMAT_VERSION}")
}

impl Backups {
    /// Upgrades the journal at `path` to the format that this release writes; its old files are
    /// kept in this store. Stop its writer.
    ///
    /// # Errors
    /// [`Error::Locked`] if the journal or the store is in use; [`Error::Corrupt`] if the journal
    /// is damaged: it is as it was; [`Error::Invalid`] if an earlier upgrade was not confirmed;
    /// [`Error::NotFound`], [`Error::NotAJournal`], [`Error::NewerFormat`], [`Error::NoSpace`],
    /// [`Error::Io`]. The journal is the old one or the new one, and whole.
    pub fn upgrade(
        &self,
        path: impl AsRef<Path>,
        options: &Upgrade,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Upgraded> {
        let dir = Dir::new(self.dir.storage().clone(), path.as_ref());
        expect_journal(&dir)?;
        let storage = dir.storage().clone();
        let mut done = Upgraded {
            before: Versions::of_on(storage.clone(), dir.path())?,
            ..Upgraded::default()
        };
        let is_wanted = !done.before.is_current() || options.even_if_current;
        if options.dry_run || !is_wanted {
            return Ok(done);
        }
        let _working = self.work()?;
        let _lock = take_lock(&dir)?;
        let from = AtRest::load(&dir)?;
        // One that was kept by an upgrade that did not come to its end is older than the journal. What
        // an upgrade kept that is in force, which has another identity, waits to be confirmed.
        if let Ok(stale) = self.find(&Which::Name(kept_name()))
            && stale.journal == from.manifest.journal
        {
            self.remove_backup(stale.number)?;
        }
        let versions = &done.before;
        self.log(format_args!("begin {}: {versions}", dir.path().display()))?;
        let kept = self.keep_verbatim(&dir, &kept_name(), progress)?;
        self.log(format_args!("kept as backup {} {}", kept.number, kept.id))?;
        let change = Change {
            journal: JournalId(
                dir.storage()
                    .entropy()
                    .map_err(|e| Error::io("draw an id for", dir.path(), e))?,
            ),
            epoch: from.epoch.next(),
            lsn: from.next_lsn(),
            erase: Vec::new(),
            tombstones: Vec::new(),
            note: (
                "upgraded",
                format!(
                    "{{\"from\":{},\"to\":{FORMAT_VERSION},\"kept_as\":{}}}",
                    versions.oldest(),
                    kept.number
                ),
            ),
            created_ms: from.manifest.created_ms,
        };
        let written = write(from, &dir, &change, progress)?;
        (done.records, done.digest) = (written.digest.records, written.digest.hex());
        let (records, digest) = (done.records, &done.digest);
        self.log(format_args!("written, {records} records equal, {digest}"))?;
        commit(&dir, written)?;
        let after = Versions::of_on(storage, dir.path())?;
        self.log(format_args!("in force: {after}"))?;
        done.after = Some(after);
        done.kept = Some(kept);
        Ok(done)
    }

    /// Removes what the last upgrade kept, after the journal at `path` was verified.
    ///
    /// # Errors
    /// [`Error::NoBackup`] if nothing waits to be confirmed; [`Error::Invalid`] if the journal
    /// does not verify, or is another one: then the old files stay. [`Error::Locked`],
    /// [`Error::Io`].
    pub fn confirm_upgrade(&self, path: impl AsRef<Path>) -> Result<Backup> {
        let dir = Dir::new(self.dir.storage().clone(), path.as_ref());
        let kept = self.find(&Which::Name(kept_name()))?;
        let _working = self.work()?;
        let refuse = |why: String| {
            Err(Error::Invalid {
                what: "confirmation of an upgrade",
                why,
            })
        };
        let report = verify_on(dir.storage().clone(), dir.path(), &mut |_| ())?;
        if let Some(damage) = report.damage().next() {
            return refuse(format!("the journal is damaged: {damage}"));
        }
        if kept.source != words(dir.path()) {
            return refuse(format!("what was kept is of {}", kept.source));
        }
        if report.next_lsn <= kept.next_lsn {
            return refuse("the upgrade did not come to its end".to_owned());
        }
        self.log(format_args!("confirmed, backup {} removed", kept.number))?;
        self.remove_backup(kept.number)?;
        Ok(kept)
    }

    /// Adds a line to the log of upgrades, and makes it durable.
    fn log(&self, line: fmt::Arguments<'_>) -> Result<()> {
        let path = self.dir.join(LOG);
        let file = match self.dir.open(LOG, OpenMode::ReadWrite) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let file = self.dir.open(LOG, OpenMode::CreateNew)?;
                self.dir.sync()?;
                file
            }
            opened => opened?,
        };
        let text = format!("{} {line}\n", self.dir.storage().unix_ms());
        let end = file.size().map_err(|e| Error::io("measure", &path, e))?;
        file.write_all_at(text.as_bytes(), end)
            .map_err(|e| Error::io("write", &path, e))?;
        file.sync_data().map_err(|e| Error::io("sync", &path, e))
    }
}
