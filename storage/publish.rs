//! Putting a whole file in place, or nothing.
//!
//! What a crash right after each step leaves, given that `final_name` named an older file
//! (or nothing) before:
//!
//! 1. A stale temporary file of an earlier attempt is removed. *Crash:* the old file, and
//!    perhaps the stale temporary one, as its removal was never synced.
//! 2. The temporary file is created. *Crash:* the old file, perhaps an empty temporary one.
//! 3. The bytes are written to it. *Crash:* the old file, perhaps a temporary one of any
//!    length with any part of the bytes.
//! 4. It is synced. *Crash:* the old file, perhaps the whole temporary one: its bytes are
//!    durable, its name is not.
//! 5. It is read back through its name and compared. Changes nothing on disk.
//! 6. It is renamed to `final_name`. *Crash:* the old file or the new one, whole in either
//!    case, perhaps with the temporary name still there beside the old one.
//! 7. The directory is synced. *Crash:* the new file, and no temporary one.
//!
//! So whatever is found under `final_name` was whole when it got there, and temporary files
//! are garbage at any time that nobody is publishing.

use super::{File, OpenMode, Storage};
use crate::error::{Corruption, Error, Result};
use std::io;
use std::path::{Path, PathBuf};

/// How much is read back at a time.
const READ_BACK_BYTES: usize = 64 * 1024;

/// Publishes `bytes` as `dir/final_name` by way of `dir/tmp_name`, replacing what is there.
///
/// When this returns, name and bytes survive a power loss. With `verify_read_back` the bytes
/// were also read again and found equal before they got their name. The caller makes sure
/// that nobody else publishes under the same `tmp_name` meanwhile.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::Io`] with the step that failed, or [`Error::Corrupt`] if the
/// bytes read back are not the bytes written. After an error of any step before the last, what
/// `final_name` names is as it was, unless it was the rename that failed, which may have
/// happened; the temporary file is removed if that is possible. After a failed last step
/// the new file is visible, and whether it survives a power loss is not known.
pub fn publish(
    storage: &dyn Storage,
    dir: &Path,
    tmp_name: &str,
    final_name: &str,
    bytes: &[u8],
    verify_read_back: bool,
) -> Result<()> {
    let publication = Publication {
        storage,
        dir,
        tmp: dir.join(tmp_name),
        bytes,
    };
    let target = dir.join(final_name);
    publication
        .stage(verify_read_back)
        .and_then(|()| {
            let renamed = storage.rename(&publication.tmp, &target);
            renamed.map_err(|e| publication.failed("rename into place", &target, e))
        })
        .inspect_err(|_| {
            // Best effort: what stays behind is garbage by its name, and swept later.
            let _ = storage.remove(&publication.tmp);
        })?;
    let synced = storage.sync_dir(dir);
    synced.map_err(|e| publication.failed("sync directory", dir, e))
}

struct Publication<'a> {
    storage: &'a dyn Storage,
    dir: &'a Path,
    tmp: PathBuf,
    bytes: &'a [u8],
}

impl Publication<'_> {
    /// Steps 1 to 5: everything before the new file has its name.
    fn stage(&self, verify_read_back: bool) -> Result<()> {
        let (storage, tmp) = (self.storage, self.tmp.as_path());
        match storage.remove(tmp) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(self.failed("remove stale", tmp, e));
            }
            _ => {}
        }
        let file = storage.open(tmp, OpenMode::CreateNew);
        let file = file.map_err(|e| self.failed("create", tmp, e))?;
        let written = file.write_all_at(self.bytes, 0);
        written.map_err(|e| self.failed("write", tmp, e))?;
        file.sync_data().map_err(|e| self.failed("sync", tmp, e))?;
        if verify_read_back {
            let reopened = storage.open(tmp, OpenMode::Read);
            let reopened = reopened.map_err(|e| self.failed("open to read back", tmp, e))?;
            self.compare(reopened.as_ref())?;
        }
        Ok(())
    }

    fn compare(&self, file: &dyn File) -> Result<()> {
        let size = file
            .size()
            .map_err(|e| self.failed("measure", &self.tmp, e))?;
        if size != self.bytes.len() as u64 {
            return Err(Corruption::new(&self.tmp, "length read back")
                .but(self.bytes.len(), size)
                .into());
        }
        let mut buf = vec![0; self.bytes.len().min(READ_BACK_BYTES)];
        let mut offset = 0;
        for written in self.bytes.chunks(READ_BACK_BYTES) {
            let read = &mut buf[..written.len()];
            let len = file.read_at(read, offset as u64);
            let len = len.map_err(|e| self.failed("read back", &self.tmp, e))?;
            if len != written.len() || read != written {
                let differs = |i: &usize| *i >= len || read[*i] != written[*i];
                let first = (0..written.len()).find(differs).unwrap_or(len);
                return Err(Corruption::new(&self.tmp, "bytes read back differ")
                    .at((offset + first) as u64)
                    .into());
            }
            offset += written.len();
        }
        Ok(())
    }

    fn failed(&self, op: &'static str, path: &Path, source: io::Error) -> Error {
        match Error::io(op, path, source) {
            Error::NoSpace { .. } => Error::NoSpace {
                path: self.dir.to_path_buf(),
                needed_bytes: self.bytes.len() as u64,
            },
            error => error,
        }
    }
}

#[cfg(test)]
mod tests;
