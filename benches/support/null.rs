//! A disk whose log goes nowhere: for what an append costs beside the disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::{
    DirEntry, DiskStorage, File, Lock, LockError, Map, OpenMode, Page, Storage,
};

/// The real disk, but what is written to segments is thrown away.
#[derive(Debug)]
pub struct NullStorage;

#[derive(Debug)]
struct NullFile(Arc<dyn File>);

impl Storage for NullStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        DiskStorage.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = DiskStorage.open(path, mode)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.ends_with(".seg") {
            return Ok(file);
        }
        Ok(Arc::new(NullFile(file)))
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

impl File for NullFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        // Headers are kept, so that a segment can be opened.
        if offset == 0 {
            return self.0.write_all_at(&buf[..buf.len().min(4096)], 0);
        }
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn map(&self) -> io::Result<Arc<dyn Map>> {
        self.0.map()
    }
    fn page(&self) -> io::Result<Arc<dyn Page>> {
        self.0.page()
    }
}
