//! Backups through the journal's own handle, and named checkpoints.
//!
//! With the handle, everything accepted before the call is made durable first, and no compaction
//! runs meanwhile: what is copied is neither given up nor used again. Appends go on.

use super::label::Backup;
use super::store::{Backups, Which};
use crate::error::{Error, Result};
use crate::format::ids::Lsn;
use crate::journal::handle::Journal;
use std::path::Path;

impl Journal {
    /// Backs up the journal into the store at `store`, while it goes on being written to. What
    /// was accepted before the call is in it; compaction waits meanwhile.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something that it reads does not validate; [`Error::Poisoned`],
    /// [`Error::Closed`], and as [`Backups::create_on`].
    pub fn backup(&self, store: impl AsRef<Path>) -> Result<Backup> {
        let store = Backups::at_on(self.shared.dir.storage().clone(), store);
        self.backup_into(&store, None)
    }

    /// Gives the present state a name: a backup in the store beside the journal
    /// ([`Backups::beside`]), which stays, whatever is compacted or pruned, until
    /// [`Journal::drop_checkpoint`].
    ///
    /// It pins nothing in the journal, and takes the space of a copy. What is deleted in the
    /// journal afterwards is still in it.
    ///
    /// # Errors
    /// As [`Journal::backup`]; [`Error::Invalid`] if there is one of that name.
    pub fn checkpoint_named(&self, name: &str) -> Result<Backup> {
        self.backup_into(&self.store(), Some(name))
    }

    /// Lists the named checkpoints, oldest first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn checkpoints(&self) -> Result<Vec<Backup>> {
        let listed = self.store().list()?;
        let complete = listed.into_iter().filter_map(|l| l.complete().cloned());
        Ok(complete.filter(|backup| backup.name.is_some()).collect())
    }

    /// Removes a named checkpoint.
    ///
    /// # Errors
    /// [`Error::NoBackup`], [`Error::Locked`], [`Error::Io`].
    pub fn drop_checkpoint(&self, name: &str) -> Result<Backup> {
        let named = Which::Name(name.to_owned());
        self.store().remove(&named)
    }

    fn store(&self) -> Backups {
        Backups::beside_on(self.shared.dir.storage().clone(), self.path())
    }

    fn backup_into(&self, store: &Backups, name: Option<&str>) -> Result<Backup> {
        let shared = &self.shared;
        shared.commit.check_home()?;
        let _working = store.work()?;
        // Nothing that is copied is given up meanwhile.
        let _compacting = shared.compacting.lock();
        if shared.commit.is_closed() {
            return Err(Error::Closed);
        }
        shared.commit.flush()?;
        let least = Lsn::new(shared.commit.durable());
        store.create_in(&shared.dir, name, least, &mut |_| ())
    }
}
