//! The real disk with a counter at each write and sync.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use turnkeep::storage::{
    DirEntry, DiskStorage, File, Lock, LockError, Map, OpenMode, Page, Storage,
};

/// What was done to files that bear a segment's name: the log itself, without the filling of
/// files that are yet to become segments.
#[derive(Debug, Default)]
pub struct LogCounts {
    pub writes: AtomicU64,
    pub bytes: AtomicU64,
    pub syncs: AtomicU64,
}

/// Counts what goes to the log.
#[derive(Debug, Default)]
pub struct CountingStorage {
    pub log: Arc<LogCounts>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn File>,
    log: Arc<LogCounts>,
}

impl Storage for CountingStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        DiskStorage.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = DiskStorage.open(path, mode)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".seg") || name.starts_with("spare") {
            return Ok(file);
        }
        let log = self.log.clone();
        Ok(Arc::new(CountingFile { file, log }))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskStorage.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskStorage.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        DiskStorage.lock(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        DiskStorage.free_bytes(path)
    }
    fn overwrites_in_place(&self, path: &Path) -> bool {
        DiskStorage.overwrites_in_place(path)
    }
    fn entropy(&self) -> io::Result<[u8; 16]> {
        DiskStorage.entropy()
    }
    fn unix_ms(&self) -> u64 {
        DiskStorage.unix_ms()
    }
}

impl File for CountingFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.log.writes.fetch_add(1, Ordering::Relaxed);
        self.log
            .bytes
            .fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.log.syncs.fetch_add(1, Ordering::Relaxed);
        self.file.sync_data()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn map(&self) -> io::Result<Arc<dyn Map>> {
        self.file.map()
    }
    fn page(&self) -> io::Result<Arc<dyn Page>> {
        self.file.page()
    }
}
