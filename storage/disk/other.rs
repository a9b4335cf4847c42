//! Systems other than Unix, in practice Windows: what std offers.
//!
//! Names are made durable by the file system's own journal there; a directory cannot be
//! synced, so [`sync_dir`] only checks that it is one. Access rights are inherited from the
//! directory above.

use super::super::{DirEntry, FileKind, Meta, OpenMode};
use super::{drain, fill, not_a_regular_file};
use std::fs;
use std::io;
use std::os::windows::fs::FileExt;
use std::path::Path;

pub fn open(path: &Path, mode: OpenMode) -> io::Result<fs::File> {
    if mode != OpenMode::CreateNew && !fs::symlink_metadata(path)?.is_file() {
        return Err(not_a_regular_file("something else"));
    }
    fs::OpenOptions::new()
        .read(true)
        .write(mode != OpenMode::Read)
        .create_new(mode == OpenMode::CreateNew)
        .open(path)
}

/// Whether nobody but its owner may use the file: the access list of the folder decides, which is
/// the user's own unless somebody changed it.
pub fn is_private(_file: &fs::File) -> io::Result<bool> {
    Ok(true)
}

pub fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

pub fn list(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let is_file = match entry.file_type() {
            Ok(kind) => kind.is_file(),
            // Gone between the listing and the question: a reader races with compaction.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        entries.push(DirEntry {
            name: entry.file_name().to_string_lossy().into_owned(),
            is_file,
        });
    }
    Ok(entries)
}

pub fn meta(path: &Path) -> io::Result<Meta> {
    let kind = fs::symlink_metadata(path)?.file_type();
    Ok(Meta {
        kind: match kind {
            _ if kind.is_file() => FileKind::File,
            _ if kind.is_dir() => FileKind::Dir,
            _ if kind.is_symlink() => FileKind::Link,
            _ => FileKind::Other,
        },
        mode: None,
    })
}

pub fn restrict(_: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn sync_dir(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        Ok(())
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

pub fn sync_data(file: &fs::File) -> io::Result<()> {
    file.sync_data()
}

pub fn read_at(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    fill(buf, |rest, done| file.seek_read(rest, offset + done as u64))
}

pub fn write_all_at(file: &fs::File, buf: &[u8], offset: u64) -> io::Result<()> {
    drain(buf, |rest, done| {
        file.seek_write(rest, offset + done as u64)
    })
}

pub fn free_bytes(_path: &Path) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn overwrites_in_place(_path: &Path) -> bool {
    true
}

/// As [`overwrites_in_place`], for an open file.
pub fn file_overwrites_in_place(_file: &fs::File) -> bool {
    true
}

pub fn entropy() -> io::Result<[u8; 16]> {
    use std::hash::{BuildHasher, RandomState};
    // std seeds a thread's hashers from the system's generator; two hashes of different words
    // under those 128 bits are as unlike another process's as an id has to be.
    let state = RandomState::new();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&state.hash_one(1_u64).to_le_bytes());
    bytes[8..].copy_from_slice(&state.hash_one(2_u64).to_le_bytes());
    Ok(bytes)
}

/// Takes the exclusive lock of the open file; `false` if another open file has it.
pub fn try_lock(file: &fs::File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(e)) => Err(e),
    }
}

/// Whether `path` still leads to the open file. A locked file cannot be replaced here.
pub fn is_at(_file: &fs::File, _path: &Path) -> io::Result<bool> {
    Ok(true)
}

/// When this process began; not cheap to learn here.
pub fn process_start() -> Option<u64> {
    None
}
