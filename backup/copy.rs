//! Copying single files, with the checksum of what was copied.
//!
//! Nobody reads a backup before its label is there, so files are written under their own names. A
//! crash leaves any part of them, in a directory that is unfinished.

use super::label::FileSum;
use crate::error::{Corruption, Error, Result};
use crate::format::checksum::Crc;
use crate::recovery::verify::Progress;
use crate::storage::dir::Dir;
use crate::storage::{File, OpenMode};
use std::io::ErrorKind;
use std::sync::Arc;

/// How much is read and written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// How much may wait for a sync: a journal on the same disk syncs its log meanwhile.
const DIRTY_BYTES: u64 = 4 << 20;

/// Copies the first `len` bytes of a file, or all of it, and makes them durable. The name is
/// durable after a sync of the directory.
///
/// # Errors
/// [`Error::Io`], [`Error::NoSpace`]; [`Error::Corrupt`] if the file is shorter than `len`.
pub fn copy_file(
    from: &Dir,
    name: &str,
    to: &Dir,
    len: Option<u64>,
    tick: &mut dyn FnMut(&str, u64),
) -> Result<FileSum> {
    let source = from.open(name, OpenMode::Read)?;
    copy_open(from, (name, &*source), to, len, tick)
}

/// As [`copy_file`], of a file that is open.
pub fn copy_open(
    from: &Dir,
    file: (&str, &dyn File),
    to: &Dir,
    len: Option<u64>,
    tick: &mut dyn FnMut(&str, u64),
) -> Result<FileSum> {
    copy_unsynced(from, file, to, len, tick)?.finish()
}

/// As [`copy_open`], for files that are copied against time: what is left to sync is synced by
/// [`NewFile::finish`].
pub fn copy_unsynced(
    from: &Dir,
    (name, source): (&str, &dyn File),
    to: &Dir,
    len: Option<u64>,
    tick: &mut dyn FnMut(&str, u64),
) -> Result<NewFile> {
    let path = from.join(name);
    let size = source.size().map_err(|e| Error::io("measure", &path, e))?;
    let len = len.unwrap_or(size);
    let mut writer = NewFile::create(to, name)?;
    let mut chunk = vec![0; CHUNK_BYTES.min(len as usize)];
    while writer.len < len {
        let want = chunk.len().min((len - writer.len) as usize);
        let got = source
            .read_at(&mut chunk[..want], writer.len)
            .map_err(|e| Error::io("read", &path, e))?;
        if got == 0 {
            return Err(Corruption::new(path, "the file ends too early")
                .but(len, writer.len)
                .into());
        }
        writer.write(&chunk[..got])?;
        tick(name, got as u64);
    }
    Ok(writer)
}

/// Writes a whole file and makes its bytes durable.
///
/// # Errors
/// [`Error::Io`], [`Error::NoSpace`].
pub fn write_file(to: &Dir, name: &str, bytes: &[u8]) -> Result<FileSum> {
    let mut writer = NewFile::create(to, name)?;
    writer.write(bytes)?;
    writer.finish()
}

/// Reads a file through. Returns its length and checksum; `None` if it is not there.
///
/// # Errors
/// [`Error::Io`].
pub fn sum_file(
    dir: &Dir,
    name: &str,
    tick: &mut dyn FnMut(&str, u64),
) -> Result<Option<(u64, u32)>> {
    let file = match dir.open(name, OpenMode::Read) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let path = dir.join(name);
    let (mut crc, mut offset) = (Crc::default(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let got = file
            .read_at(&mut chunk, offset)
            .map_err(|e| Error::io("read", &path, e))?;
        if got == 0 {
            return Ok(Some((offset, crc.finish())));
        }
        crc.update(&chunk[..got]);
        offset += got as u64;
        tick(name, got as u64);
    }
}

/// Turns bytes copied into progress.
pub(super) fn ticker(
    total_bytes: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> impl FnMut(&str, u64) {
    let mut done_bytes = 0;
    move |file, bytes| {
        done_bytes += bytes;
        progress(Progress {
            file,
            done_bytes,
            total_bytes: total_bytes.max(done_bytes),
        });
    }
}

/// A file that is being written.
pub struct NewFile {
    file: Arc<dyn File>,
    dir: Dir,
    name: String,
    len: u64,
    synced: u64,
    crc: Crc,
}

impl NewFile {
    fn create(dir: &Dir, name: &str) -> Result<NewFile> {
        Ok(NewFile {
            file: dir.open(name, OpenMode::CreateNew)?,
            dir: dir.clone(),
            name: name.to_owned(),
            len: 0,
            synced: 0,
            crc: Crc::default(),
        })
    }

    fn failed(&self, op: &'static str, error: std::io::Error) -> Error {
        Error::io(op, &self.dir.join(&self.name), error)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all_at(bytes, self.len)
            .map_err(|e| self.failed("write", e))?;
        self.len += bytes.len() as u64;
        self.crc.update(bytes);
        if self.len - self.synced >= DIRTY_BYTES {
            self.file.sync_data().map_err(|e| self.failed("sync", e))?;
            self.synced = self.len;
        }
        Ok(())
    }

    /// Makes its bytes durable.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NoSpace`].
    pub fn finish(self) -> Result<FileSum> {
        self.file.sync_data().map_err(|e| self.failed("sync", e))?;
        Ok(FileSum {
            name: self.name,
            len: self.len,
            crc: self.crc.finish(),
        })
    }
}
