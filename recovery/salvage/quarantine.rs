//! Copies of what does not validate, for whoever wants to look closer.

use super::gather::Damage;
use super::report::Quarantined;
use super::source::Source;
use crate::error::{Error, Result};
use crate::format::names::QUARANTINE;
use crate::storage::dir::Dir;
use crate::storage::{File, OpenMode};
use std::io;

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
    match dir.storage().create_dir(dir.path()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create", dir.path(), error)),
    }
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
