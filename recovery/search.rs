//! Searching the journal's own files for bytes: how an erasure is checked by whoever must know.
//!
//! It reads every file of the directory, also those that nothing refers to, as bytes: it trusts
//! no index, no manifest and no fold. Compressed blocks of packs are searched as what they were
//! before. It takes no lock and changes nothing; beside a writer it sees some moment of each
//! file, so an erasure is checked after [`crate::Journal::compact`] and before the next append.
//!
//! On purpose not here: what the file system, the disk or a backup keeps of removed files, and
//! bytes that a block before [`crate::Journal::compact`] held in compressed form only and that
//! does not validate any more.

use super::reader::expect_journal;
use crate::error::{Error, Result};
use crate::format::header::FileKind;
use crate::format::pack::{PACK_HEADER_LEN, PackHeader};
use crate::format::pack_block::{BLOCK_HEADER_LEN, BlockHeader, decode_block};
use crate::storage::dir::Dir;
use crate::storage::{DiskStorage, File, OpenMode, Storage};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// How much of a file is read at once.
const WINDOW_BYTES: usize = 1 << 20;

/// Most findings that are returned.
const MAX_HITS: usize = 1000;

/// A place where the bytes stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Hit {
    /// Name of the file in the journal's directory.
    pub file: String,
    /// Byte offset in the file; of a compressed block, where the block begins.
    pub offset: u64,
}

/// Finds where in the files of the journal at `path` the bytes `needle` stand. At most 1,000
/// places are returned, by file.
///
/// ```
/// # use turnkeep::Journal;
/// # let home = tempfile::tempdir()?;
/// # let path = home.path().join("j");
/// let (journal, _) = Journal::open(&path)?;
/// let session = journal.session("s")?;
/// session.append("note", "the secret")?;
/// assert!(!turnkeep::search(&path, "the secret")?.is_empty());
/// session.delete()?;
/// journal.compact()?;
/// assert!(turnkeep::search(&path, "the secret")?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAJournal`]; [`Error::Io`] if a file cannot be read;
/// [`Error::Invalid`] for no bytes, or more than a mebibyte.
pub fn search(path: impl AsRef<Path>, needle: impl AsRef<[u8]>) -> Result<Vec<Hit>> {
    search_on(Arc::new(DiskStorage), path, needle)
}

/// As [`search`], on another disk.
///
/// # Errors
/// As [`search`].
pub fn search_on(
    storage: Arc<dyn Storage>,
    path: impl AsRef<Path>,
    needle: impl AsRef<[u8]>,
) -> Result<Vec<Hit>> {
    let needle = needle.as_ref();
    if needle.is_empty() || needle.len() > WINDOW_BYTES {
        return Err(Error::Invalid {
            what: "needle",
            why: "it has no bytes, or more than a mebibyte".to_owned(),
        });
    }
    let dir = Dir::new(storage, path.as_ref());
    expect_journal(&dir)?;
    let mut names: Vec<String> = dir.list()?.into_iter().map(|entry| entry.name).collect();
    names.sort();
    let mut hits = Vec::new();
    for name in names {
        let path = dir.join(&name);
        let file = match dir.open(&name, OpenMode::Read) {
            Ok(file) => file,
            // Given up by a writer since it was listed, or a directory.
            Err(Error::Io { source, .. })
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        let searched = search_raw(&*file, needle, &mut found)
            .and_then(|()| search_blocks(&*file, needle, &mut found));
        searched.map_err(|error| Error::io("read", &path, error))?;
        found.sort_unstable();
        found.dedup();
        hits.extend(found.into_iter().map(|offset| Hit {
            file: name.clone(),
            offset,
        }));
        if hits.len() >= MAX_HITS {
            hits.truncate(MAX_HITS);
            break;
        }
    }
    Ok(hits)
}

/// Where `needle` begins in the file's own bytes.
fn search_raw(file: &dyn File, needle: &[u8], found: &mut Vec<u64>) -> std::io::Result<()> {
    let len = file.size()?;
    let mut window = vec![0; WINDOW_BYTES + needle.len()];
    let mut at = 0;
    while at < len && found.len() < MAX_HITS {
        let got = file.read_at(&mut window, at)?;
        if got < needle.len() {
            break;
        }
        found.extend(places(&window[..got], needle).map(|i| at + i as u64));
        // The next window begins with what may be the beginning of the bytes.
        at += (got - needle.len() + 1) as u64;
    }
    Ok(())
}

/// Where blocks begin whose raw bytes hold `needle`, if the file is a pack.
fn search_blocks(file: &dyn File, needle: &[u8], found: &mut Vec<u64>) -> std::io::Result<()> {
    let len = file.size()?;
    let mut bytes = vec![0; PACK_HEADER_LEN];
    if file.read_at(&mut bytes, 0)? < PACK_HEADER_LEN || !bytes.starts_with(&FileKind::Pack.magic())
    {
        return Ok(());
    }
    let Ok(header) = PackHeader::decode(&bytes) else {
        return Ok(());
    };
    let seed = header.seed();
    let (mut at, mut scratch) = (PACK_HEADER_LEN as u64, Vec::new());
    while found.len() < MAX_HITS {
        bytes.resize(BLOCK_HEADER_LEN, 0);
        let got = file.read_at(&mut bytes, at)?;
        let Ok(block) = BlockHeader::decode(seed, at, &bytes[..got]) else {
            // The index, or damage: `verify` tells which.
            return Ok(());
        };
        if at + block.extent() > len {
            return Ok(());
        }
        bytes.resize(block.extent() as usize, 0);
        let got = file.read_at(&mut bytes, at)?;
        if let Ok(raw) = decode_block(seed, at, &bytes[..got], &mut scratch)
            && places(raw, needle).next().is_some()
        {
            found.push(at);
        }
        at += block.extent();
    }
    Ok(())
}

/// Offsets of `needle` in `bytes`.
fn places<'b>(bytes: &'b [u8], needle: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    let starts = bytes.len().saturating_sub(needle.len() - 1);
    let (first, rest) = (needle[0], &needle[1..]);
    bytes[..starts]
        .iter()
        .enumerate()
        .filter(move |(_, byte)| **byte == first)
        .map(|(at, _)| at)
        .filter(move |at| bytes[at + 1..].starts_with(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_places_are_all_found() {
        let found = |bytes: &str, needle: &str| -> Vec<usize> {
            places(bytes.as_bytes(), needle.as_bytes()).collect()
        };
        assert_eq!(found("aaaa", "aa"), [0, 1, 2]);
        assert_eq!(found("abcabd", "abd"), [3]);
        assert_eq!(found("ab", "abc"), []);
        assert_eq!(found("", "a"), []);
        assert_eq!(found("xa", "a"), [1]);
    }
}
