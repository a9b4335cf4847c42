//! The catalog: which manifest is in force, publishing the next one, and what is garbage.
//!
//! Manifests are numbered. The highest one that validates is in force; the one before it stays,
//! so that rot in the newest costs a longer replay and nothing else.

use crate::error::{Corruption, Error, Result};
use crate::format::Fault;
use crate::format::body::MAX_BODY_BYTES;
use crate::format::ids::{PackId, SnapshotId};
use crate::format::manifest::{MANIFEST_HEADER_LEN, Manifest};
use crate::format::names::{self, Name, TMP_SUFFIX};
use crate::storage::dir::Dir;
use std::collections::BTreeSet;

/// Longest manifest file that is read.
const MAX_MANIFEST_BYTES: u64 = (MANIFEST_HEADER_LEN + MAX_BODY_BYTES) as u64;

/// What [`read_newest`] found.
#[derive(Debug)]
pub struct Found {
    /// The manifest in force.
    pub manifest: Manifest,
    /// Newer ones that do not validate, newest first, by generation.
    pub damaged: Vec<(u64, Corruption)>,
}

/// Reads the manifest in force; `None` if there is no manifest at all.
///
/// # Errors
/// [`Error::NewerFormat`] if a later release wrote the newest one; [`Error::Corrupt`] if there
/// are manifests and none validates; [`Error::Io`].
pub fn read_newest(dir: &Dir) -> Result<Option<Found>> {
    let mut generations: Vec<u64> = dir
        .list()?
        .into_iter()
        .filter_map(|entry| match Name::parse(&entry.name) {
            Name::Manifest(generation) if entry.is_file => Some(generation),
            _ => None,
        })
        .collect();
    generations.sort_unstable();
    let mut damaged = Vec::new();
    for generation in generations.into_iter().rev() {
        match read(dir, generation)? {
            Ok(manifest) => return Ok(Some(Found { manifest, damaged })),
            Err(corruption) => damaged.push((generation, corruption)),
        }
    }
    match damaged.into_iter().next() {
        None => Ok(None),
        Some((_, corruption)) => Err(corruption.into()),
    }
}

/// Reads one manifest; the inner error says what is wrong with its bytes.
///
/// # Errors
/// [`Error::NewerFormat`], [`Error::Io`].
pub fn read(dir: &Dir, generation: u64) -> Result<std::result::Result<Manifest, Corruption>> {
    let name = names::manifest(generation);
    let path = dir.join(&name);
    let bytes = match dir.read(&name, MAX_MANIFEST_BYTES) {
        Ok(bytes) => bytes,
        Err(Error::TooLarge { len, .. }) => {
            let corruption = Corruption::new(path, "a manifest longer than any can be");
            return Ok(Err(
                corruption.but(format!("at most {MAX_MANIFEST_BYTES}"), len)
            ));
        }
        Err(error) => return Err(error),
    };
    match Manifest::decode(&bytes) {
        Ok(manifest) if manifest.generation == generation => Ok(Ok(manifest)),
        Ok(manifest) => Ok(Err(Corruption::new(path, "generation of the manifest")
            .but(generation, manifest.generation))),
        Err(Fault::Newer { found, supported }) => Err(Error::NewerFormat {
            path,
            found,
            supported,
        }),
        Err(fault) => Ok(Err(Corruption::new(path, fault.to_string()).at(0))),
    }
}

/// Publishes `manifest`: when this returns, it is in force and durable, whatever it refers to
/// being durable already. Then manifests older than the one before it are removed.
///
/// # Errors
/// [`Error::Invalid`] for one that contradicts itself; [`Error::NoSpace`], [`Error::Io`],
/// [`Error::Corrupt`] if it reads back differently. It may be in force nevertheless, for the
/// last thing that can fail is making its name durable: so nothing that it refers to, and
/// nothing that the one before refers to, may be touched after an error.
pub fn publish(dir: &Dir, manifest: &Manifest) -> Result<()> {
    let mut bytes = Vec::new();
    manifest
        .encode(&mut bytes)
        .map_err(|fault| Error::Invalid {
            what: "manifest",
            why: fault.to_string(),
        })?;
    let name = names::manifest(manifest.generation);
    let tmp = format!("{name}{TMP_SUFFIX}");
    crate::storage::publish(&**dir.storage(), dir.path(), &tmp, &name, &bytes, true)?;
    // Best effort: an old manifest says nothing as long as a newer one is there.
    if let Ok(listed) = dir.list() {
        let listed: Vec<&str> = listed.iter().map(|entry| &*entry.name).collect();
        for name in garbage(listed, manifest) {
            if let Name::Manifest(_) = Name::parse(name) {
                let _ = dir.remove(name);
            }
        }
    }
    Ok(())
}

/// Which of a journal's files are garbage while `manifest` is in force and nothing is being
/// written: temporary files, packs and state files that no kept snapshot refers to, segments
/// below the log's floor, and all but one of the older manifests.
///
/// Spares, and whatever is not ours, are never garbage. Neither is a newer manifest that does
/// not validate: it is evidence.
pub fn garbage<'n>(names: impl IntoIterator<Item = &'n str>, manifest: &Manifest) -> Vec<&'n str> {
    let states: BTreeSet<SnapshotId> = manifest.snapshots.iter().map(|s| s.id).collect();
    let packs: BTreeSet<PackId> = manifest
        .snapshots
        .iter()
        .flat_map(|s| &s.packs)
        .map(|pack| pack.id)
        .collect();
    let mut older = Vec::new();
    let mut found: Vec<&str> = names
        .into_iter()
        .filter(|name| match Name::parse(name) {
            Name::Tmp => true,
            Name::Pack(id) => !packs.contains(&id),
            Name::State(id) => !states.contains(&id),
            Name::Segment(id) => id < manifest.log_floor,
            Name::Manifest(generation) if generation < manifest.generation => {
                older.push((generation, *name));
                false
            }
            Name::Manifest(_)
            | Name::Spare(_)
            | Name::Lock
            | Name::Watermark
            | Name::Quarantine
            | Name::Backup
            | Name::Foreign => false,
        })
        .collect();
    older.sort_unstable();
    older.pop();
    found.extend(older.into_iter().map(|(_, name)| name));
    found
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Segments of the log.
    pub segments: u64,
    /// Other files.
    pub files: u64,
}

/// Removes what is garbage while `manifest`, which is durable, is in force.
///
/// A crash in between leaves garbage, which the next sweep removes. Nobody else makes packs,
/// state files or manifests meanwhile: the caller holds the lock for that.
///
/// # Errors
/// [`Error::Io`] for the first file that could not be removed; the others were.
pub fn sweep(dir: &Dir, manifest: &Manifest) -> Result<Swept> {
    let listed = dir.list()?;
    let files = listed
        .iter()
        .filter(|entry| entry.is_file)
        .map(|entry| &*entry.name);
    let mut swept = Swept::default();
    let mut failed = None;
    for name in garbage(files, manifest) {
        match dir.remove(name) {
            Ok(()) if matches!(Name::parse(name), Name::Segment(_)) => swept.segments += 1,
            Ok(()) => swept.files += 1,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => drop(failed.get_or_insert(error)),
        }
    }
    match failed {
        None => Ok(swept),
        Some(error) => Err(error),
    }
}
