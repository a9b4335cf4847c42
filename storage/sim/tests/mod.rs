//! Each promise of the simulated disk: what a power loss can leave, and what it cannot.

mod bytes;
mod faults;
mod lives;
mod moments;
mod names;

use super::*;
use crate::storage::{File, OpenMode, Storage};
use std::collections::BTreeSet;

const EIO: i32 = 5;

/// Whole sectors, powersafe: only the choice of what survives is left.
const CLEAN: CrashModel = CrashModel {
    names: NameModel::Posix,
    torn: false,
    psow: true,
    keep: Keep::Random,
    failed_syncs_may_land: false,
};

const CLEAN_ORDERED: CrashModel = CrashModel {
    names: NameModel::Ordered,
    ..CLEAN
};

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// A new file, synced with its name.
fn synced(disk: &SimDisk, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.open(path(name), OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(path("/")).unwrap();
    file
}

/// What `look` sees after many power losses from the same state.
fn outcomes<T: Ord>(
    disk: &SimDisk,
    model: &CrashModel,
    look: impl Fn(&SimDisk) -> T,
) -> BTreeSet<T> {
    (0..600)
        .map(|seed| {
            let fork = disk.fork();
            fork.reseed(seed);
            fork.power_loss(model);
            fork.restart();
            look(&fork)
        })
        .collect()
}

/// The file's bytes, one for each sector: its first, if the sector is all the same.
fn by_sector(bytes: &[u8]) -> String {
    let letter = |sector: &[u8]| match sector.iter().all(|b| *b == sector[0]) {
        true if sector[0] == 0 => '0',
        true if sector[0].is_ascii_lowercase() => char::from(sector[0]),
        _ => '?',
    };
    bytes.chunks(512).map(letter).collect()
}

fn file_by_sector(disk: &SimDisk, name: &str) -> String {
    by_sector(&disk.read_file(name).unwrap())
}

fn names(disk: &SimDisk) -> String {
    disk.list_files("/").unwrap().join(" ")
}

fn set<const N: usize>(expected: [&str; N]) -> BTreeSet<String> {
    expected.map(str::to_owned).into()
}
