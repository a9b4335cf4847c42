//! What a power loss leaves.

use super::content::{Content, SECTOR};
use super::disk::{Node, State};
use super::file::FileNode;
use super::rng::Rng;
use std::collections::BTreeSet;
use std::sync::Arc;

pub const SECTORS_PER_BLOCK: u64 = 4096 / SECTOR as u64;

/// How un-synced names behave at a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameModel {
    /// All that the standard promises: each un-synced creation, rename or removal survives
    /// or not, whatever happened to the others. A rename is atomic.
    Posix,
    /// What journaling file systems do: the un-synced operations on a directory survive up to
    /// some point in time, and syncing a file makes its creation and all before it durable.
    Ordered,
}

/// How much of what was not synced survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Keep {
    /// The seed decides for each piece.
    Random,
    /// Nothing at all, and nothing is torn or garbled.
    Nothing,
    /// Everything, as if there had been time to write it, and nothing is torn or garbled.
    Everything,
}

/// What the medium and the file system may do at a power loss. The default is the worst that
/// the journal's guarantees allow for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CrashModel {
    /// How un-synced names behave.
    pub names: NameModel,
    /// Whether a sector that was being written may be torn at any byte, or be garbage.
    /// If not, it is one of the versions written, or the old one.
    pub torn: bool,
    /// Whether overwriting is powersafe. If not, a 4096-byte block with any un-synced sector
    /// may lose its synced sectors too.
    pub psow: bool,
    /// How much survives.
    pub keep: Keep,
    /// Whether sectors that a failed sync marked clean may have reached the medium after
    /// all. If not, the old bytes are there for certain.
    pub failed_syncs_may_land: bool,
}

impl CrashModel {
    /// Every freedom that the journal's guarantees grant a disk.
    pub const HARSHEST: CrashModel = CrashModel {
        names: NameModel::Posix,
        torn: true,
        psow: false,
        keep: Keep::Random,
        failed_syncs_may_land: false,
    };

    /// A journaling file system on a disk with whole sectors.
    pub const ORDERED: CrashModel = CrashModel {
        names: NameModel::Ordered,
        torn: false,
        psow: true,
        keep: Keep::Random,
        failed_syncs_may_land: false,
    };

    /// Exactly what was synced survives.
    pub const NOTHING_SURVIVES: CrashModel = CrashModel {
        keep: Keep::Nothing,
        ..CrashModel::HARSHEST
    };

    /// Whatever was written survives.
    pub const EVERYTHING_SURVIVES: CrashModel = CrashModel {
        keep: Keep::Everything,
        ..CrashModel::HARSHEST
    };
}

impl Default for CrashModel {
    fn default() -> Self {
        CrashModel::HARSHEST
    }
}

impl State {
    /// Turns what was durable and what was not into what is found after the power loss.
    pub fn crash(&mut self) {
        let (model, rng) = (self.model, &mut self.rng);
        for node in self.nodes.values_mut() {
            if let Node::Dir(dir) = node
                && dir.has_unsynced_names()
            {
                Arc::make_mut(dir).crash(&model, rng);
            }
        }
        self.drop_unreachable();
        let rng = &mut self.rng;
        self.used = 0;
        for node in self.nodes.values_mut() {
            if let Node::File(file) = node {
                if file.has_unsynced() {
                    let content = survivors(file, &model, rng);
                    Arc::make_mut(file).settle(content);
                } else if !file.linked {
                    // The removal did not survive.
                    Arc::make_mut(file).linked = true;
                }
                self.used += file.allocated.total();
            }
        }
    }

    /// Forgets every node that no durable name leads to.
    pub fn drop_unreachable(&mut self) {
        let mut reachable = BTreeSet::from([super::disk::ROOT]);
        let mut dirs = vec![super::disk::ROOT];
        while let Some(dir) = dirs.pop() {
            if let Some(Node::Dir(dir)) = self.nodes.get(&dir) {
                for &id in dir.durable.values() {
                    reachable.insert(id);
                    dirs.push(id);
                }
            }
        }
        self.nodes.retain(|id, _| reachable.contains(id));
    }
}

/// The bytes of `file` after the power loss.
fn survivors(file: &FileNode, model: &CrashModel, rng: &mut Rng) -> Content {
    match model.keep {
        Keep::Nothing => return file.durable.clone(),
        Keep::Everything if file.lost.is_empty() => return file.volatile.clone(),
        Keep::Everything => return file.synced(),
        Keep::Random => {}
    }
    let mut content = file.durable.clone();
    let len = length(file, rng);
    // Each file draws how much of it the disk got to, so that all and nothing are as likely
    // as anything between, and whether the heads were on it when the power failed.
    let odds = [0, 2, 8, 8, 14, 16][rng.below(6) as usize];
    let tears = model.torn && rng.sixteenths(8);
    let garbles = !model.psow && rng.sixteenths(8);
    for range in file.dirty.iter() {
        for sector in range {
            if tears && rng.sixteenths(3) {
                let there = match rng.sixteenths(12) {
                    true => file.durable.sector(sector),
                    false => pick(file, sector, rng),
                };
                let torn = torn(there, pick(file, sector, rng), rng);
                content.write_sector(sector, &torn);
            } else if rng.sixteenths(odds) {
                content.write_sector(sector, &pick(file, sector, rng));
            }
        }
    }
    if model.failed_syncs_may_land {
        for sector in file.lost.iter().flatten() {
            if rng.sixteenths(odds) {
                content.write_sector(sector, &file.volatile.sector(sector));
            }
        }
    }
    if garbles {
        garble(file, &mut content, rng);
    }
    content.set_len(len);
    content
}

/// One of the lengths the file had since its last sync, or the synced one.
fn length(file: &FileNode, rng: &mut Rng) -> u64 {
    let choice = rng.below(file.lens.len() as u64 + 2) as usize;
    match choice {
        0 => file.durable.len(),
        1 => file.volatile.len(),
        later => file.lens[later - 2],
    }
}

/// One of the states of `sector` that were written and not synced.
fn pick(file: &FileNode, sector: u64, rng: &mut Rng) -> [u8; SECTOR] {
    let earlier = file.versions.get(&sector).map_or(&[][..], Vec::as_slice);
    let choice = rng.below(earlier.len() as u64 + 1) as usize;
    match earlier.get(choice) {
        Some(version) => **version,
        None => file.volatile.sector(sector),
    }
}

/// A sector caught in the middle of being written: one state up to some byte and the other
/// after it, or nonsense.
fn torn(old: [u8; SECTOR], new: [u8; SECTOR], rng: &mut Rng) -> [u8; SECTOR] {
    let cut = rng.below(SECTOR as u64 + 1) as usize;
    let (mut sector, rest) = match rng.below(3) {
        0 => (new, old),
        1 => (old, new),
        _ => return nonsense(rng),
    };
    sector[cut..].copy_from_slice(&rest[cut..]);
    sector
}

/// A sector of nobody's bytes.
pub fn nonsense(rng: &mut Rng) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    match rng.below(4) {
        0 => {}
        1 => sector.fill(0xFF),
        _ => rng.fill(&mut sector),
    }
    sector
}

/// Takes synced sectors along whose block was being written.
fn garble(file: &FileNode, content: &mut Content, rng: &mut Rng) {
    let mut done_to = 0;
    for range in file.dirty.iter() {
        let first = (range.start / SECTORS_PER_BLOCK).max(done_to);
        let last = (range.end - 1) / SECTORS_PER_BLOCK;
        for block in first..=last {
            if !rng.sixteenths(6) {
                continue;
            }
            for sector in block * SECTORS_PER_BLOCK..(block + 1) * SECTORS_PER_BLOCK {
                if !file.dirty.contains(sector) && rng.sixteenths(8) {
                    content.write_sector(sector, &nonsense(rng));
                }
            }
        }
        done_to = last + 1;
    }
}
