//! One file: what is durable, what the running process sees, and every state between that a
//! power loss may choose from.

use super::content::{Content, SECTOR};
use super::ranges::RangeSet;
use super::rng::Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// How many earlier states of a sector, and how many earlier lengths, are remembered between
/// two syncs. Past that each new one takes the place of a random one, so that any of them can
/// still be what a power loss leaves, for some seed.
const REMEMBERED: usize = 32;

#[derive(Clone, Debug)]
pub struct FileNode {
    /// What a power loss cannot take away.
    pub durable: Content,
    /// What the running process sees.
    pub volatile: Content,
    /// Sectors written since they were last synced.
    pub dirty: RangeSet,
    /// Sectors that a failed sync marked clean: seen, not durable, and no later sync helps.
    pub lost: RangeSet,
    /// States that dirty sectors had since the last sync, but for the newest.
    pub versions: BTreeMap<u64, Vec<Arc<[u8; SECTOR]>>>,
    /// Lengths the file had since the last sync, but for the newest.
    pub lens: Vec<u64>,
    /// Bytes that have space on the disk, as seen.
    pub allocated: RangeSet,
    /// Bytes that have space on the disk, durably.
    durable_allocated: RangeSet,
    /// The directory it is in.
    pub dir: u64,
    /// Whether a name leads to it, as seen. Without one it takes no space.
    pub linked: bool,
    /// All of the seen bytes in one piece, once they were asked for; shared by copies.
    whole: Arc<OnceLock<Arc<[u8]>>>,
}

impl FileNode {
    pub fn new(dir: u64) -> Self {
        FileNode {
            durable: Content::default(),
            volatile: Content::default(),
            dirty: RangeSet::default(),
            lost: RangeSet::default(),
            versions: BTreeMap::new(),
            lens: Vec::new(),
            allocated: RangeSet::default(),
            durable_allocated: RangeSet::default(),
            dir,
            linked: true,
            whole: Arc::default(),
        }
    }

    /// A file whose bytes are durable.
    pub fn settled(dir: u64, bytes: &[u8]) -> Self {
        let mut file = FileNode::new(dir);
        file.durable.write(bytes, 0);
        file.allocated.insert(0..bytes.len() as u64);
        file.settle(file.durable.clone());
        file
    }

    /// Whether what is seen is not all durable, or was not always what it is.
    pub fn has_unsynced(&self) -> bool {
        !self.dirty.is_empty()
            || !self.lost.is_empty()
            || !self.lens.is_empty()
            || self.volatile.len() != self.durable.len()
    }

    /// Writes what the running process sees.
    pub fn write(&mut self, bytes: &[u8], offset: u64, rng: &mut Rng) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        self.touch(sectors(&(offset..end)), rng);
        if end > self.volatile.len() {
            self.remember_len(rng);
        }
        self.volatile.write(bytes, offset);
        self.allocated.insert(offset..end);
        self.whole = Arc::default();
    }

    /// Sets the length that the running process sees.
    pub fn set_len(&mut self, len: u64, rng: &mut Rng) {
        let old = self.volatile.len();
        if len == old {
            return;
        }
        if len < old {
            // What is cut reads as zeros should the file grow again: the same as writing them.
            let cut: Vec<_> = self.allocated.within(len..old).collect();
            for part in cut {
                self.touch(sectors(&part), rng);
            }
            self.allocated.remove(len..u64::MAX);
        }
        self.remember_len(rng);
        self.volatile.set_len(len);
        self.whole = Arc::default();
    }

    /// Makes everything seen durable, but for what an earlier failed sync lost.
    pub fn sync(&mut self) {
        self.durable = self.synced();
        self.durable_allocated = self.allocated.clone();
        self.dirty.clear();
        self.versions.clear();
        self.lens.clear();
    }

    /// What is durable after a sync.
    pub fn synced(&self) -> Content {
        if self.lost.is_empty() {
            return self.volatile.clone();
        }
        let mut content = self.durable.clone();
        for sector in self.dirty.iter().flatten() {
            content.write_sector(sector, &self.volatile.sector(sector));
        }
        content.set_len(self.volatile.len());
        content
    }

    /// Marks everything clean that is not durable. The length is not forgotten: it is the file
    /// system's own and goes with its journal.
    pub fn fail_sync(&mut self) {
        for range in self.dirty.iter() {
            self.lost.insert(range);
        }
        self.dirty.clear();
        self.versions.clear();
    }

    /// This file with `content` as what is seen and durable.
    pub fn settled_as(&self, content: Content) -> Self {
        let mut file = FileNode::new(self.dir);
        file.allocated = self.allocated.clone();
        file.durable_allocated = self.durable_allocated.clone();
        file.settle(content);
        file
    }

    /// Makes `content` what is seen and durable.
    pub fn settle(&mut self, content: Content) {
        for range in self.durable_allocated.iter() {
            self.allocated.insert(range);
        }
        self.allocated.remove(content.len()..u64::MAX);
        self.durable_allocated = self.allocated.clone();
        self.volatile = content.clone();
        self.durable = content;
        self.dirty.clear();
        self.lost.clear();
        self.versions.clear();
        self.lens.clear();
        self.linked = true;
        self.whole = Arc::default();
    }

    /// Flips bits of one byte, as seen and on the medium. False if the file has no such byte.
    pub fn rot(&mut self, offset: u64, xor: u8) -> bool {
        let mut there = false;
        for content in [&mut self.durable, &mut self.volatile] {
            let mut byte = [0];
            if content.read(&mut byte, offset) == 1 {
                content.write(&[byte[0] ^ xor], offset);
                there = true;
            }
        }
        self.whole = Arc::default();
        there
    }

    /// All bytes seen, in one piece.
    pub fn whole(&self) -> Arc<[u8]> {
        let whole = self.whole.get_or_init(|| self.volatile.to_vec().into());
        whole.clone()
    }

    /// Remembers the states of `sectors` that are about to be replaced, and marks them dirty.
    fn touch(&mut self, sectors: Range<u64>, rng: &mut Rng) {
        for sector in self.dirty.within(sectors.clone()).flatten() {
            let versions = self.versions.entry(sector).or_default();
            remember(versions, Arc::new(self.volatile.sector(sector)), rng);
        }
        if !self.lost.is_empty() {
            self.lost.remove(sectors.clone());
        }
        self.dirty.insert(sectors);
    }

    fn remember_len(&mut self, rng: &mut Rng) {
        let len = self.volatile.len();
        if len != self.durable.len() {
            remember(&mut self.lens, len, rng);
        }
    }
}

fn remember<T>(earlier: &mut Vec<T>, state: T, rng: &mut Rng) {
    if earlier.len() < REMEMBERED {
        earlier.push(state);
    } else {
        earlier[rng.below(REMEMBERED as u64) as usize] = state;
    }
}

fn sectors(bytes: &Range<u64>) -> Range<u64> {
    bytes.start / SECTOR as u64..bytes.end.div_ceil(SECTOR as u64)
}
