//! Copies of what does not validate, for whoever wants to look closer.

use super::gather::Damage;
use super::report::Quarantined;
use super::source::Source;
use crate::error::{Error, Result};
use crate::format::names::QUARANTINE;
use crate::storage::dir::Dir;
use crate::storage::{File, OpenMode};

/// Most bytes of one damaged place that are copied.
const PLACE_BYTES: u64 = 1 << 20;
/// Most bytes that are copied in all.
const TOTAL_BYTES: u64 = 64 << 20;
/// Most copies.
const MAX_COPIES: usize = 1000;

/// Copies the damaged places, and the `files` of which nothing could be used, into the
/// directory `quarantine` of `into`.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::Io`] if a copy cannot be written. What cannot be read is left
/// out.
pub(super) fn keep(
    into: &Dir,
    sources: &[Source],
    damage: &[Damage],
    files: &[(String, std::sync::Arc<dyn File>)],
) -> Result<Vec<Quarantined>> {
    let dir = Dir::new(into.storage().clone(), into.join(QUARANTINE));
    // The target was empty.
    let made = dir.storage().create_dir(dir.path());
    made.map_err(|e| Error::io("create", dir.path(), e))?;
    let mut kept = Vec::new();
    let mut total = 0;
    let places = damage.iter().map(|damage| {
        let source = &sources[damage.source as usize];
        (&source.name, &*source.file, damage.offset, damage.len)
    });
    let whole = files.iter().map(|(name, file)| {
        let len = file.size().unwrap_or(0);
        (name, &**file, 0, len)
    });
    for (name, file, offset, len) in places.chain(whole) {
        if kept.len() == MAX_COPIES {
            break;
        }
        let want = len.min(PLACE_BYTES).min(TOTAL_BYTES - total);
        let mut bytes = vec![0; want as usize];
        let got = file.read_at(&mut bytes, offset).unwrap_or(0);
        // The name is one that the journal gives, so it is a name and not a path.
        let copy = format!("{:04}-{name}-{offset}.bin", kept.len() + 1);
        write(&dir, &copy, &bytes[..got])?;
        total += got as u64;
        kept.push(Quarantined {
            copy,
            file: name.clone(),
            offset,
            len,
            copied: got as u64,
        });
    }
    dir.sync()?;
    Ok(kept)
}

/// Writes the whole report beside the copies.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::Io`].
pub(super) fn write_report(into: &Dir, json: &str) -> Result<()> {
    let dir = Dir::new(into.storage().clone(), into.join(QUARANTINE));
    write(&dir, "report.json", json.as_bytes())?;
    dir.sync()
}

fn write(dir: &Dir, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    let file = dir.open(name, OpenMode::CreateNew)?;
    file.write_all_at(bytes, 0)
        .map_err(|e| Error::io("write", &path, e))?;
    file.sync_data().map_err(|e| Error::io("sync", &path, e))
}

#[cfg(test)]
mod tests {
    use super::super::source::Kind;
    use super::super::tests::made::source;
    use super::*;
    use crate::format::ids::JournalId;
    use crate::storage::sim::SimDisk;
    use std::sync::Arc;

    /// What is copied of so many damaged places of a file, each of which takes all of it.
    fn copied(places: usize, bytes: &[u8]) -> Vec<Quarantined> {
        let seed = crate::format::checksum::Seed::of_life(JournalId([5; 16]), 7);
        let file = source(Kind::Pack, 7, seed, bytes);
        let damage = Damage {
            source: 0,
            offset: 0,
            len: bytes.len() as u64,
            what: "damaged".into(),
            lsn_from: None,
            lsn_to: None,
            is_tail: false,
        };
        let disk = SimDisk::new(1);
        let into = Dir::new(Arc::new(disk.clone()), "/into");
        into.storage().create_dir(into.path()).expect("is made");
        let kept = keep(&into, &[file], &vec![damage; places], &[]).expect("copies");
        let files = disk.list_files("/into/quarantine").expect("lists");
        assert_eq!(files.len(), kept.len());
        kept
    }

    /// A disk that rots everywhere must not fill the one that is salvaged to.
    #[test]
    fn neither_a_place_nor_all_of_them_take_more_room_than_they_may() {
        let many = copied(MAX_COPIES + 3, b"x");
        assert_eq!(many.len(), MAX_COPIES);
        assert!(many.iter().all(|copy| copy.copied == 1));
        let long = vec![7; PLACE_BYTES as usize + 5];
        let all = copied(66, &long);
        let first = TOTAL_BYTES / PLACE_BYTES;
        for (n, copy) in (0..).zip(&all) {
            assert_eq!(copy.len, long.len() as u64);
            assert_eq!(copy.copied, if n < first { PLACE_BYTES } else { 0 }, "{n}");
        }
    }
}
