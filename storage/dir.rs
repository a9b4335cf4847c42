//! A journal's directory: names instead of paths, typed errors instead of bare ones.

use super::{DirEntry, File, OpenMode, Storage};
use crate::error::{Error, Result};
use crate::sabotage::Sabotage;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One directory on one disk. Cheap to clone.
#[derive(Clone)]
pub struct Dir {
    storage: Arc<dyn Storage>,
    path: PathBuf,
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dir({})", self.path.display())
    }
}

impl Dir {
    /// Names a directory; nothing is opened.
    pub fn new(storage: Arc<dyn Storage>, path: impl Into<PathBuf>) -> Self {
        Dir {
            storage,
            path: path.into(),
        }
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk it is on.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Path of a file in it, for messages.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Lists it.
    pub fn list(&self) -> Result<Vec<DirEntry>> {
        self.storage
            .list(&self.path)
            .map_err(|e| Error::io("list", &self.path, e))
    }

    /// Opens a file in it.
    pub fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn File>> {
        let path = self.join(name);
        let op = if mode == OpenMode::CreateNew {
            "create"
        } else {
            "open"
        };
        self.storage
            .open(&path, mode)
            .map_err(|e| Error::io(op, &path, e))
    }

    /// Reads a whole file of at most `max` bytes; a longer one is refused before anything is
    /// allocated for it.
    pub fn read(&self, name: &str, max: u64) -> Result<Vec<u8>> {
        let path = self.join(name);
        let file = self.open(name, OpenMode::Read)?;
        let len = file.size().map_err(|e| Error::io("measure", &path, e))?;
        if len > max {
            return Err(Error::TooLarge {
                what: "file",
                len,
                max,
            });
        }
        let mut bytes = vec![0; len as usize];
        let got = file
            .read_at(&mut bytes, 0)
            .map_err(|e| Error::io("read", &path, e))?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// Renames a file in it. Durable only after [`Dir::sync`].
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.join(from), self.join(to));
        self.storage
            .rename(&from, &to)
            .map_err(|e| Error::io("rename", &from, e))
    }

    /// Removes a file from it. Durable only after [`Dir::sync`].
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.join(name);
        self.storage
            .remove(&path)
            .map_err(|e| Error::io("remove", &path, e))
    }

    /// Makes its names durable.
    pub fn sync(&self) -> Result<()> {
        if Sabotage::SkipDirSync.is_on() {
            return Ok(());
        }
        self.storage
            .sync_dir(&self.path)
            .map_err(|e| Error::io("sync", &self.path, e))
    }
}
