//! The three disks: what is assumed of each, and how thoroughly its states are gone through.

use crate::choices::Budget;
use crate::explore::Depth;
use turnkeep::storage::sim::{CrashModel, NameModel};

/// A disk and its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Model {
    /// What the standard promises and no more: any un-synced sector, length and name survives or
    /// not, whatever became of the others. Only here a missing sync of a directory shows.
    Posix,
    /// What ext4 does: names survive in the order in which they changed, and syncing a new file
    /// keeps its name.
    Ordered,
    /// As the first, and a block of 4096 bytes that was being written may lose its synced
    /// sectors too: no powersafe overwrite.
    NoPsow,
}

impl Model {
    pub const ALL: [Model; 3] = [Model::Posix, Model::Ordered, Model::NoPsow];

    pub fn name(self) -> &'static str {
        match self {
            Model::Posix => "posix",
            Model::Ordered => "ordered",
            Model::NoPsow => "nopsow",
        }
    }

    pub fn crash(self) -> CrashModel {
        let psow = self != Model::NoPsow;
        match self {
            Model::Ordered => CrashModel {
                names: NameModel::Ordered,
                ..CrashModel::ORDERED
            },
            _ => CrashModel {
                psow,
                ..CrashModel::HARSHEST
            },
        }
    }

    /// Where groups begin: tight where the disk is powersafe, so that files are small.
    pub fn align(self) -> u32 {
        match self {
            Model::NoPsow => 4096,
            _ => 512,
        }
    }

    /// How thoroughly: every eighth seed tries all states of a moment with up to a dozen pending
    /// sectors, the others spend their time on more moments.
    pub fn depth(self, seed: u64) -> Depth {
        let whole = if seed.is_multiple_of(8) { 4096 } else { 384 };
        let harmed = if self.crash().torn { 96 } else { 0 };
        Depth {
            budget: Budget { whole, harmed },
            again_in: 384,
            again: Budget {
                whole: 16,
                harmed: harmed / 24,
            },
            crashes: 3,
            twice_in: 32,
        }
    }
}
