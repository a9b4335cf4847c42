//! The store: which backups there are.
//!
//! Looking takes no lock. Whoever makes, restores or removes one holds the store's lock, and
//! first removes what an interrupted one before him left.

use super::label::{Backup, Label, MAX_LABEL_BYTES, check_name};
use crate::error::{Error, Result};
use crate::format::names;
use crate::recovery::create::sync_parent;
use crate::recovery::open::take_lock;
use crate::storage::dir::Dir;
use crate::storage::{DiskStorage, Lock, Storage};
use serde::Serialize;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory of backups.
///
/// ```
/// # fn main() -> turnkeep::Result<()> {
/// # let home = tempfile::tempdir().expect("a directory");
/// # let (path, store) = (home.path().join("j"), home.path().join("store"));
/// use turnkeep::{Backups, Journal, KeepBackups, Restore, Which};
///
/// let (journal, _) = Journal::open(&path)?;
/// journal.session("notes")?.append("line", "before")?;
/// let backup = journal.backup(&store)?; // the host goes on writing meanwhile
/// journal.session("notes")?.append("line", "after")?;
/// journal.close()?;
///
/// let store = Backups::at(&store);
/// assert!(store.verify(&Which::Newest)?.is_good());
/// let done = store.restore(&Which::Number(backup.number), &path, &Restore::default())?;
/// assert_eq!(done.records_since, 1); // and what was there is in the store
/// let (journal, _) = Journal::open(&path)?;
/// assert_eq!(journal.find("notes")?.read(..)?.count(), 2); // created, and the first line
///
/// let keep = KeepBackups { last: 7.try_into().expect("not zero"), within_ms: None };
/// assert!(store.prune(&keep, false)?.removed.is_empty());
/// # journal.close() }
/// ```
#[derive(Clone, Debug)]
pub struct Backups {
    pub(super) dir: Dir,
}

/// Which backup is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The youngest complete one.
    #[default]
    Newest,
    /// The one of this number.
    Number(u64),
    /// The one of this name; of several, the youngest.
    Name(String),
}

impl Which {
    /// Reads what a person writes: a number, a name, or `newest`.
    pub fn parse(text: &str) -> Which {
        match text.parse() {
            Ok(number) => Which::Number(number),
            Err(_) if text == "newest" => Which::Newest,
            Err(_) => Which::Name(text.to_owned()),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Which::Newest => write!(f, "at all"),
            Which::Number(number) => write!(f, "{number}"),
            Which::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// What stands in a store under one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ListedBackup {
    /// It was finished, and verified when it was. Only [`Backups::verify`] knows about now.
    Complete(Backup),
    /// It was never finished. The next one to work in the store removes it.
    Unfinished {
        /// Its number.
        number: u64,
    },
    /// What it says of itself does not validate: it was finished, and is damaged.
    Damaged {
        /// Its number.
        number: u64,
        /// What is wrong with the label.
        why: String,
    },
}

impl ListedBackup {
    /// Its number.
    pub fn number(&self) -> u64 {
        match self {
            ListedBackup::Complete(backup) => backup.number,
            ListedBackup::Unfinished { number } | ListedBackup::Damaged { number, .. } => *number,
        }
    }

    /// The backup, if it is one.
    pub fn complete(&self) -> Option<&Backup> {
        match self {
            ListedBackup::Complete(backup) => Some(backup),
            _ => None,
        }
    }
}

impl Backups {
    /// The store in the directory at `path`, which the first backup makes.
    pub fn at(path: impl AsRef<Path>) -> Backups {
        Backups::at_on(Arc::new(DiskStorage), path)
    }

    /// As [`Backups::at`], on any disk. A journal and its backups are on one [`Storage`]; that
    /// may span file systems.
    pub fn at_on(storage: Arc<dyn Storage>, path: impl AsRef<Path>) -> Backups {
        Backups {
            dir: Dir::new(storage, path.as_ref()),
        }
    }

    /// The store beside the journal at `path`, where its named checkpoints are: `path.backups`.
    pub fn beside(path: impl AsRef<Path>) -> Backups {
        Backups::beside_on(Arc::new(DiskStorage), path)
    }

    /// As [`Backups::beside`], on any disk.
    pub fn beside_on(storage: Arc<dyn Storage>, path: impl AsRef<Path>) -> Backups {
        // Without a separator at the end, behind which the store would stand in the journal.
        let path = path.as_ref().components().as_path();
        let path = match path.file_name() {
            Some(_) => path.to_path_buf(),
            None => std::path::absolute(path).unwrap_or(path.to_path_buf()),
        };
        let mut name = path.into_os_string();
        name.push(".backups");
        Backups::at_on(storage, PathBuf::from(name))
    }

    /// The store's directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The directory of one backup: a journal, to be opened for reading.
    pub fn path_of(&self, number: u64) -> PathBuf {
        self.dir.join(&names::backup(number))
    }

    /// Lists what is there, oldest first. Without a store there is nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(&self) -> Result<Vec<ListedBackup>> {
        let mut listed = Vec::new();
        for number in self.numbers()? {
            listed.push(match self.label(number)? {
                Some(Ok(label)) => ListedBackup::Complete(label.backup),
                Some(Err(why)) => ListedBackup::Damaged { number, why },
                None => ListedBackup::Unfinished { number },
            });
        }
        Ok(listed)
    }

    /// Finds one.
    ///
    /// # Errors
    /// [`Error::NoBackup`], [`Error::Io`].
    pub fn find(&self, which: &Which) -> Result<Backup> {
        let listed = self.list()?;
        let mut complete = listed.iter().filter_map(ListedBackup::complete);
        let found = match which {
            Which::Newest => complete.next_back(),
            Which::Number(number) => complete.find(|backup| backup.number == *number),
            Which::Name(name) => complete.rfind(|backup| backup.name.as_ref() == Some(name)),
        };
        found.cloned().ok_or_else(|| self.missing(which))
    }

    pub(super) fn missing(&self, which: &Which) -> Error {
        Error::NoBackup {
            store: self.path().to_path_buf(),
            wanted: which.to_string(),
        }
    }

    pub(super) fn dir_of(&self, number: u64) -> Dir {
        Dir::new(self.dir.storage().clone(), self.path_of(number))
    }

    fn numbers(&self) -> Result<Vec<u64>> {
        let listed = match self.dir.storage().list(self.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.map_err(|e| Error::io("list", self.path(), e))?,
        };
        let dirs = listed.iter().filter(|entry| !entry.is_file);
        let mut numbers: Vec<u64> = dirs
            .filter_map(|entry| names::parse_backup(&entry.name))
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// What a backup says of itself: `None` if it says nothing, for it is not finished.
    pub(super) fn label(&self, number: u64) -> Result<Option<std::result::Result<Label, String>>> {
        let dir = self.dir_of(number);
        let bytes = match dir.read(names::BACKUP, MAX_LABEL_BYTES) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error @ Error::TooLarge { .. }) => return Ok(Some(Err(error.to_string()))),
            read => read?,
        };
        Ok(Some(Label::decode(&bytes).and_then(|label| {
            let says = label.backup.number;
            match says == number {
                true => Ok(label),
                false => Err(format!("it is that of backup {says}")),
            }
        })))
    }

    /// Makes the store if it is not there, holds it against others, and removes what is unfinished.
    ///
    /// # Errors
    /// [`Error::Locked`] if somebody else works in it; [`Error::Io`].
    pub(super) fn work(&self) -> Result<Working> {
        match self.dir.storage().create_dir(self.path()) {
            Ok(()) => sync_parent(&self.dir)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", self.path(), error)),
        }
        let lock = take_lock(&self.dir)?;
        for number in self.numbers()? {
            if self.label(number)?.is_none() {
                self.remove_files(number)?;
            }
        }
        Ok(Working { _lock: lock })
    }

    /// Removes a backup for good, named or not.
    ///
    /// # Errors
    /// [`Error::NoBackup`]; [`Error::Invalid`] if no other of its journal is sound, for then
    /// nothing would be left; [`Error::Locked`], [`Error::Io`].
    pub fn remove(&self, which: &Which) -> Result<Backup> {
        let _working = self.work()?;
        let backup = self.find(which)?;
        let others = self.sound_one(backup.journal, |other| other.number != backup.number)?;
        if others.is_none() && backup.name.is_none() {
            return Err(Error::Invalid {
                what: "backup to be removed",
                why: "no other of its journal is sound".to_owned(),
            });
        }
        self.remove_backup(backup.number)?;
        Ok(backup)
    }

    /// Removes a complete backup: first it stops being one, then its files go.
    pub(super) fn remove_backup(&self, number: u64) -> Result<()> {
        let dir = self.dir_of(number);
        dir.remove(names::BACKUP)?;
        dir.sync()?;
        self.remove_files(number)
    }

    /// Removes the files of an unfinished backup, then its directory.
    pub(super) fn remove_files(&self, number: u64) -> Result<()> {
        let dir = self.dir_of(number);
        for entry in dir.list()? {
            dir.remove(&entry.name)?;
        }
        dir.sync()?;
        match dir.storage().remove_dir(dir.path()) {
            // Such a disk keeps an empty directory, which is an unfinished backup.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            removed => removed.map_err(|e| Error::io("remove", dir.path(), e))?,
        }
        self.dir.sync()
    }

    /// Takes the next number and makes its directory.
    pub(super) fn make_next(&self) -> Result<(u64, Dir)> {
        let number = self.numbers()?.last().map_or(1, |last| last + 1);
        let dir = self.dir_of(number);
        self.dir
            .storage()
            .create_dir(dir.path())
            .map_err(|e| Error::io("create", dir.path(), e))?;
        self.dir.sync()?;
        Ok((number, dir))
    }

    /// Refuses a name that cannot be given, or was.
    pub(super) fn expect_free(&self, name: &str) -> Result<()> {
        let refuse = |why: &str| {
            Err(Error::Invalid {
                what: "name of a backup",
                why: format!("{name:?}: {why}"),
            })
        };
        if let Err(why) = check_name(name) {
            return refuse(why);
        }
        match self.find(&Which::Name(name.to_owned())) {
            Err(Error::NoBackup { .. }) => Ok(()),
            Ok(_) => refuse("there is one of that name; remove it first"),
            Err(error) => Err(error),
        }
    }
}

/// The store, held against others.
#[derive(Debug)]
pub(super) struct Working {
    _lock: Box<dyn Lock>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that a shell completed ends with a slash: what is put behind that stands in the
    /// journal, and goes with it.
    #[test]
    fn the_store_beside_a_journal_is_never_in_it() {
        for (path, store) in [
            ("a/j", "a/j.backups"),
            ("a/j/", "a/j.backups"),
            ("a/j/.", "a/j.backups"),
            ("/j", "/j.backups"),
        ] {
            assert_eq!(Backups::beside(path).path(), Path::new(store), "{path}");
        }
        let here = std::path::absolute(".").expect("there is a directory");
        let beside = Backups::beside(".");
        assert!(!beside.path().starts_with(&here), "{beside:?}");
        assert_eq!(beside.path().parent(), here.parent());
    }
}
