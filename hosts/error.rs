//! What can go wrong with an import or an export as a whole.

use std::io;
use std::path::{Path, PathBuf};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an import or an export could not go on. What is wrong with one file is not among this: it
/// is reported, and the next file is read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The journal's own word.
    #[error(transparent)]
    Journal(#[from] turnkeep::Error),
    /// The system refused something about a file outside of the journal.
    #[error("cannot {op} {}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A database could not be written.
    #[error("cannot write the database {}", path.display())]
    Database {
        /// Which file.
        path: PathBuf,
        /// SQLite's word.
        source: rusqlite::Error,
    },
    /// More different files claim to be one session than can be an accident.
    #[error("{count} different files claim to be session {id:?}")]
    TooManyNamesakes {
        /// The session's id.
        id: String,
        /// How many.
        count: u32,
    },
    /// The bookmark of an earlier import is of a later release or was damaged by another program.
    #[error("cannot go on importing into session {id:?}: {why}")]
    Cursor {
        /// The session's id.
        id: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// The system refused `op` on `path`.
    pub fn io(op: &'static str, path: &Path, source: io::Error) -> Error {
        let path = path.to_path_buf();
        Error::Io { op, path, source }
    }
}
