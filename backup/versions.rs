//! Which format versions the files of a journal have.

use crate::error::{Error, Result};
use crate::format::header::{FORMAT_VERSION, HEADER_LEN, version_in};
use crate::format::names::Name;
use crate::recovery::reader::expect_journal;
use crate::snapshot::catalog;
use crate::storage::dir::Dir;
use crate::storage::{DiskStorage, OpenMode, Storage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The format versions of a journal's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Versions {
    /// How many files there are of each version.
    pub files: BTreeMap<u16, u64>,
    /// The version that this release writes.
    pub written: u16,
}

impl Versions {
    /// Looks at the journal at `path`. Nothing is changed, no lock is taken.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAJournal`], [`Error::Io`].
    pub fn of(path: impl AsRef<Path>) -> Result<Versions> {
        Versions::of_on(Arc::new(DiskStorage), path)
    }

    /// As [`Versions::of`], on any disk.
    ///
    /// # Errors
    /// As [`Versions::of`].
    pub fn of_on(storage: Arc<dyn Storage>, path: impl AsRef<Path>) -> Result<Versions> {
        let dir = Dir::new(storage, path.as_ref());
        expect_journal(&dir)?;
        let mut versions = Versions {
            written: FORMAT_VERSION,
            ..Versions::default()
        };
        let listed = dir.list()?;
        // What an interrupted upgrade left is of no journal.
        let found = catalog::read_newest(&dir).ok().flatten();
        let names = listed.iter().map(|entry| &*entry.name);
        let garbage = found.map(|found| catalog::garbage(names, &found.manifest));
        let garbage = garbage.unwrap_or_default();
        for entry in &listed {
            if entry.is_file
                && !garbage.contains(&&*entry.name)
                && let Some(version) = version_of(&dir, &entry.name)?
            {
                *versions.files.entry(version).or_default() += 1;
            }
        }
        Ok(versions)
    }

    /// Whether no file is of an older version than this release writes.
    pub fn is_current(&self) -> bool {
        self.files.keys().all(|version| *version >= self.written)
    }

    /// The oldest version among the files.
    pub fn oldest(&self) -> u16 {
        self.files.keys().next().copied().unwrap_or(self.written)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (version, files) in &self.files {
            write!(f, "{files} files of format version {version}; ")?;
        }
        write!(f, "this release writes version {}", self.written)
    }
}

/// The format version of a file; `None` for one that has none, whose header is damaged, or that
/// is gone.
pub(super) fn version_of(dir: &Dir, name: &str) -> Result<Option<u16>> {
    match Name::parse(name) {
        Name::Segment(_) | Name::Pack(_) | Name::State(_) | Name::Manifest(_) | Name::Watermark => {
        }
        _ => return Ok(None),
    }
    let mut header = [0; 2 * HEADER_LEN];
    let read = match dir.open(name, OpenMode::Read) {
        Ok(file) => file.read_at(&mut header, 0),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let got = read.map_err(|e| Error::io("read", &dir.join(name), e))?;
    Ok(version_in(&header[..got]))
}
