//! The real disk: std, and rustix for what std lacks.
//!
//! Each operation is one system call where the system has one for it:
//! [`File::write_all_at`] is one `pwrite`, [`File::sync_data`] one `fdatasync`, neither
//! allocates. Nothing here is buffered or remembered between calls.
//!
//! Files are created with mode 0600 and directories with 0700 whatever the umask says: a
//! transcript is nobody else's business.

use super::{DirEntry, File, Lock, LockError, Map, Meta, OpenMode, Page, Storage, lock, mmap};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(not(unix))]
#[path = "disk/other.rs"]
pub(super) mod sys;
#[cfg(unix)]
#[path = "disk/unix.rs"]
pub(super) mod sys;

/// The operating system's file systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStorage;

impl DiskStorage {
    /// Reads a file of at most `max` bytes that nobody but its owner may read or write.
    ///
    /// # Errors
    /// `PermissionDenied` if others may; `InvalidData` if it is longer, or no regular file.
    pub fn read_secret(&self, path: &Path, max: usize) -> io::Result<Vec<u8>> {
        let file = sys::open(path, OpenMode::Read)?;
        if !sys::is_private(&file)? {
            let why = "others than its owner may use it: make it private (chmod 600)";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let mut bytes = vec![0; max + 1];
        let filled = sys::read_at(&file, &mut bytes, 0)?;
        if filled > max {
            let why = format!("more than {max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// An open regular file. Its `Debug` names the path where the system knows it.
#[derive(Debug)]
struct DiskFile {
    file: fs::File,
}

impl Storage for DiskStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        sys::create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        sys::list(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(DiskFile {
            file: sys::open(path, mode)?,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if from.parent() != to.parent() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a rename across directories is not atomic",
            ));
        }
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sys::sync_dir(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        lock::acquire(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        sys::free_bytes(path)
    }

    fn overwrites_in_place(&self, path: &Path) -> bool {
        sys::overwrites_in_place(path)
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        sys::meta(path)
    }

    fn restrict(&self, path: &Path) -> io::Result<()> {
        sys::restrict(path)
    }

    fn entropy(&self) -> io::Result<[u8; 16]> {
        sys::entropy()
    }

    fn unix_ms(&self) -> u64 {
        // A clock before 1970 reads as 1970: the time is information, not an input.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64)
    }
}

impl File for DiskFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        sys::read_at(&self.file, buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        sys::write_all_at(&self.file, buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        sys::sync_data(&self.file)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn map(&self) -> io::Result<Arc<dyn Map>> {
        mmap::map(&self.file)
    }

    fn page(&self) -> io::Result<Arc<dyn Page>> {
        mmap::page(&self.file)
    }
}

/// Reads until `buf` is full or the file ends, by `read`, which is given what is left to fill
/// and how much is filled.
fn fill(
    buf: &mut [u8],
    mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match read(&mut buf[filled..], filled) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Writes until nothing is left of `buf`, by `write`, which is given what is left and how much
/// is written.
fn drain(buf: &[u8], mut write: impl FnMut(&[u8], usize) -> io::Result<usize>) -> io::Result<()> {
    let mut written = 0;
    while written < buf.len() {
        match write(&buf[written..], written) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The refusal of everything that is not a regular file.
fn not_a_regular_file(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("not a regular file but {what}"),
    )
}

#[cfg(test)]
mod tests;
