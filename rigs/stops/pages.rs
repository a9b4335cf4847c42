//! Pages that a failed sync leaves clean, and not on disk.
//!
//! The kernel under the worker is sound, so a sync that is made to fail changes nothing there. What
//! a sick disk would have done is done afterwards: whatever was written for that sync is taken back.

use nix::unistd::Pid;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A write, and what was there before.
#[derive(Clone, Debug)]
struct Write {
    file: PathBuf,
    offset: u64,
    before: Vec<u8>,
}

/// What was written and not synced, and what a failed sync has lost.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    unsynced: Vec<Write>,
    lost: Vec<Write>,
}

impl Pages {
    /// The worker is about to write `len` bytes at `offset`.
    pub fn written(&mut self, worker: Pid, fd: u64, offset: u64, len: u64) {
        let Some(file) = path(worker, fd) else {
            return;
        };
        let end = offset + len;
        // A later write to the same place is a later sync's.
        self.lost.retain(|write| {
            let its_end = write.offset + write.before.len() as u64;
            write.file != file || its_end <= offset || end <= write.offset
        });
        let mut before = vec![0; len as usize];
        let mut done = 0;
        // What lies behind the end of the file reads as zeros, once the file is longer.
        if let Ok(open) = File::open(&file) {
            while done < before.len()
                && let Ok(more @ 1..) = open.read_at(&mut before[done..], offset + done as u64)
            {
                done += more;
            }
        }
        self.unsynced.push(Write {
            file,
            offset,
            before,
        });
    }

    /// The worker is about to sync a file, which will fail or not.
    pub fn synced(&mut self, worker: Pid, fd: u64, fails: bool) {
        let Some(file) = path(worker, fd) else {
            return;
        };
        let of_it = self.unsynced.extract_if(.., |write| write.file == file);
        match fails {
            true => self.lost.extend(of_it),
            false => drop(of_it.count()),
        }
    }

    /// Whether a failed sync has lost anything.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty()
    }

    /// Takes back what was lost, in a copy of the journal.
    ///
    /// # Errors
    /// What the system says.
    pub fn forget(&self, copy: &Path) -> io::Result<()> {
        for write in self.lost.iter().rev() {
            let name = write.file.file_name().unwrap_or_default();
            match File::options().write(true).open(copy.join(name)) {
                Ok(file) => file.write_all_at(&write.before, write.offset)?,
                // Nobody believed in it, and it is gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn path(worker: Pid, fd: u64) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{worker}/fd/{fd}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::fd::AsRawFd;

    #[test]
    fn what_a_failed_sync_was_for_is_taken_back_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a.seg");
        fs::write(&path, [1; 30]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let fd = file.as_raw_fd() as u64;
        let me = Pid::this();
        let mut pages = Pages::default();
        let write = |pages: &mut Pages, offset, byte| {
            pages.written(me, fd, offset, 10);
            file.write_all_at(&[byte; 10], offset).unwrap();
        };
        write(&mut pages, 0, 2);
        pages.synced(me, fd, false);
        assert!(pages.is_whole());
        write(&mut pages, 10, 3);
        write(&mut pages, 20, 4);
        write(&mut pages, 25, 5);
        pages.synced(me, fd, true);
        assert!(!pages.is_whole());
        // Rewritten and synced after: that is there.
        write(&mut pages, 10, 6);
        pages.synced(me, fd, false);
        pages.forget(home.path()).unwrap();
        let bytes = [&[2; 10][..], &[6; 10], &[1; 10], &[0; 5]].concat();
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}
