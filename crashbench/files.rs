//! What is done to files between worker and reader, and what is measured of them.

use crate::Result;
use crate::rng::Rng;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where a flipped bit can be: blocks of this size that are not all zero.
const BLOCK_BYTES: usize = 512;

/// All regular files under `dir`, by path.
pub fn walk(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => files.extend(walk(&entry.path())?),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files.sort();
    Ok(files)
}

/// What the files under `dir` take of the disk: blocks, not lengths.
pub fn allocated_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in walk(dir)? {
        let metadata = fs::metadata(&file)?;
        #[cfg(unix)]
        {
            bytes += std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
        }
        #[cfg(not(unix))]
        {
            bytes += metadata.len();
        }
    }
    Ok(bytes)
}

/// Flips one bit in some block that holds anything, of any file. Says where.
pub fn flip_a_bit(dir: &Path, rng: &mut Rng) -> Result<String> {
    let mut blocks = Vec::new();
    for file in walk(dir)? {
        for (index, block) in fs::read(&file)?.chunks(BLOCK_BYTES).enumerate() {
            if block.iter().any(|&byte| byte != 0) {
                blocks.push((file.clone(), (index * BLOCK_BYTES) as u64, block.to_vec()));
            }
        }
    }
    if blocks.is_empty() {
        return Err("the store left nothing on disk".into());
    }
    let (file, offset, block) = &blocks[rng.between(0, blocks.len() as u64) as usize];
    let at = rng.between(0, block.len() as u64);
    let bit = rng.between(0, 8);
    let byte = block[at as usize] ^ (1 << bit);
    let mut open = OpenOptions::new().write(true).open(file)?;
    open.seek(SeekFrom::Start(offset + at))?;
    open.write_all(&[byte])?;
    let name = file.strip_prefix(dir)?.display().to_string();
    Ok(format!("bit {bit} of byte {} of {name}", offset + at))
}

/// Deletes one of the files that stand between the first and the last by path, empty ones not
/// counted. Says which; `None` if there is no such file.
pub fn delete_a_middle_file(dir: &Path, rng: &mut Rng) -> Result<Option<String>> {
    let mut files = Vec::new();
    for file in walk(dir)? {
        if fs::metadata(&file)?.len() > 0 {
            files.push(file);
        }
    }
    if files.len() < 3 {
        return Ok(None);
    }
    let file = &files[rng.between(1, files.len() as u64 - 1) as usize];
    fs::remove_file(file)?;
    Ok(Some(file.strip_prefix(dir)?.display().to_string()))
}
