//! The only door to the operating system.
//!
//! Everything the engine does to a disk goes through [`Storage`] and [`File`]:
//! about a dozen operations, each documented with what it promises after a power
//! loss. [`disk`] is the real one; `sim` (feature `sim`) is a seeded disk that
//! loses power, tears sectors, fails syncs and fills up. [`mod@publish`] puts a whole
//! file in place, or nothing.
//!
//! This room knows nothing of segments or records. It never retries a failed
//! sync, never deletes on its own (but for the temporary file of a failed
//! publication), opens nothing that is not a regular file, and opens no file
//! through a symbolic link. The directory itself may be reached through one: that
//! is the host's choice.
//!
//! Used by every room that touches a file; uses nothing but `error` and `sync`.

#[cfg(test)]
mod conformance;
pub mod dir;
pub mod disk;
pub mod home;
mod lock;
mod mmap;
pub mod publish;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

pub use disk::DiskStorage;
pub use home::Home;
pub use publish::publish;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How [`Storage::open`] opens a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Reading only; the file must exist.
    Read,
    /// Reading and writing; the file must exist.
    ReadWrite,
    /// Reading and writing; the file must not exist and is created with mode 0600.
    /// The name is durable only after [`Storage::sync_dir`].
    CreateNew,
}

/// Who holds a journal, as far as the lock file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Process id of the holder, if known. Only for messages: the lock itself decides.
    pub pid: Option<u32>,
    /// What the holder wrote about itself.
    pub note: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.note.as_str()) {
            (None, _) => write!(f, "an unknown process"),
            (Some(pid), "") => write!(f, "process {pid}"),
            (Some(pid), note) => write!(f, "process {pid} ({note})"),
        }
    }
}

/// Length of a [`Page`] in bytes.
pub const PAGE_LEN: usize = 4096;

/// Why a lock could not be taken.
#[derive(Debug)]
pub enum LockError {
    /// Another handle, in this process or another, holds it.
    Held(Holder),
    /// The system refused for another reason.
    Io(io::Error),
}

/// A held lock; dropping it releases the claim, and so does the death of the process.
pub trait Lock: Send + Sync + fmt::Debug {}

/// A memory-mapped, immutable file.
pub trait Map: Send + Sync + fmt::Debug {
    /// The file's bytes, as long as they were when it was mapped.
    fn bytes(&self) -> &[u8];
}

/// A small page of a file that is stored to without a system call.
pub trait Page: Send + Sync + fmt::Debug {
    /// Stores `bytes` at `offset` of the page; other processes reading the file see it.
    ///
    /// After a power loss the sector holds any of the states that were ever stored to it,
    /// or garbage. A killed process loses nothing. Offsets and lengths are multiples of 8;
    /// anything else, or going past [`PAGE_LEN`], panics.
    fn store(&self, offset: usize, bytes: &[u8]);
}

/// An open file. All methods take `&self`: positions are explicit and never shared.
pub trait File: Send + Sync + fmt::Debug {
    /// The file's length in bytes now.
    fn size(&self) -> io::Result<u64>;

    /// Reads up to `buf.len()` bytes at `offset`; short only at the end of the file.
    /// Interrupted calls are retried.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `buf` at `offset`, extending the file if needed. Interrupted and short
    /// writes are continued. After an error any part of `buf` may have been written.
    /// Not durable before [`File::sync_data`].
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Makes every byte written so far, and the length, durable. After an error nothing
    /// is known about the bytes written since the last success, and a second call proves
    /// nothing (the kernel may have marked the pages clean). An interrupted sync is an error
    /// like any other: asking again could swallow the one report of a failed write.
    fn sync_data(&self) -> io::Result<()>;

    /// Sets the length; bytes gained read as zeros. Not durable before [`File::sync_data`].
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Maps the whole file for reading. Only for files that nobody changes any more.
    fn map(&self) -> io::Result<Arc<dyn Map>>;

    /// Maps the first [`PAGE_LEN`] bytes for storing to. The file must be open for writing, at
    /// least that long, and its first page written and synced, not merely lengthened over: a
    /// store into a hole would need space at a moment when nobody can be told there is none.
    fn page(&self) -> io::Result<Arc<dyn Page>>;
}

/// What a directory entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Name within the directory.
    pub name: String,
    /// True for a regular file, false for anything else (a directory, a link, a device).
    pub is_file: bool,
}

/// What a name leads to, without following a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// What is known of a name without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: FileKind,
    /// Who may do what with it, as the nine bits of Unix; `None` where there are none.
    pub mode: Option<u32>,
}

/// A disk.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Creates one directory with mode 0700. Durable only after the parent was synced.
    /// Fails with `AlreadyExists` if the name is taken.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Lists a directory, in no particular order. Names that are not UTF-8 are listed lossily.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Opens a regular file, never through a symbolic link. Anything else at the path (a
    /// directory, a link, a pipe, a device) is refused with `InvalidInput`, without waiting.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Renames a file within one directory, replacing the target; across directories is
    /// `InvalidInput`. Atomic with respect to a crash,
    /// durable only after [`Storage::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable only after [`Storage::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory. Durable only after its parent was synced.
    ///
    /// A disk may do without: whoever asks leaves an empty directory behind then.
    fn remove_dir(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the exclusive lock on the file at `path`, creating it if missing, and notes
    /// the holder in it. Never waits. The kernel releases it when the holder dies. The file
    /// stays when the lock is released.
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError>;

    /// Bytes free for this user on the file system of `path`. Fails with `Unsupported` where
    /// the system cannot be asked.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Whether overwriting blocks in place is what the file system does. False on
    /// copy-on-write file systems, where reusing segments gains nothing.
    fn overwrites_in_place(&self, path: &Path) -> bool;

    /// What stands at `path`, which is not followed if it is a link. Fails with `Unsupported`
    /// where that cannot be told.
    fn meta(&self, path: &Path) -> io::Result<Meta> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes away whatever others than the owner may do with the file or directory at `path`;
    /// never through a link, and nothing else is touched. Fails with `Unsupported` where there
    /// are no such rights.
    fn restrict(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// 16 random bytes.
    fn entropy(&self) -> io::Result<[u8; 16]>;

    /// Milliseconds since the Unix epoch. Only informational: nothing is ordered by it.
    fn unix_ms(&self) -> u64;
}
