//! The files: what programs see, what a power cut leaves, and how a sync carries one to the other.

use crate::rng::Rng;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

/// Pages are what is kept or lost as a whole.
pub const PAGE_BYTES: usize = 4096;
/// The directory that is always there.
pub const ROOT: u64 = 1;

/// An error number, as the kernel knows it.
pub type Errno = i32;

type Page = Arc<[u8; PAGE_BYTES]>;

/// When a name is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Names are journaled in order, and any sync commits all so far: ext4, XFS.
    Journaled,
    /// Names are durable once their directory was synced: what POSIX says.
    BySyncOfDirectory,
}

/// What a power cut keeps of what was not synced.
pub enum Keep<'a> {
    /// Nothing.
    Nothing,
    /// Each page and each length by the toss of a coin, and a prefix of the changes of names.
    Some(&'a mut Rng),
}

/// The bytes of a file, holes left out.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Length.
    pub len: u64,
    pages: BTreeMap<u64, Page>,
}

/// A file or directory.
#[derive(Debug, Default)]
pub struct Node {
    /// `None` for a file.
    pub names: Option<BTreeMap<OsString, u64>>,
    /// What programs see.
    pub live: Content,
    /// Permission bits.
    pub mode: u32,
    /// How often it is open.
    pub opens: u64,
    durable_names: BTreeMap<OsString, u64>,
    durable: Content,
    dirty: BTreeSet<u64>,
}

/// Names that change together: directory, name, and what it names from then on.
type Change = Vec<(u64, OsString, Option<u64>)>;

/// All files and directories.
#[derive(Debug)]
pub struct Model {
    nodes: HashMap<u64, Node>,
    pending: Vec<Change>,
    policy: Names,
    next: u64,
    /// How many bytes may be allocated.
    pub capacity: Option<u64>,
}

impl Content {
    fn allocated(&self) -> u64 {
        (self.pages.len() * PAGE_BYTES) as u64
    }

    /// Reads at most `size` bytes.
    pub fn read(&self, offset: u64, size: usize) -> Vec<u8> {
        let end = self.len.min(offset.saturating_add(size as u64));
        let mut bytes = Vec::new();
        let mut at = offset;
        while at < end {
            let within = (at % PAGE_BYTES as u64) as usize;
            let here = (PAGE_BYTES - within).min((end - at) as usize);
            match self.pages.get(&(at / PAGE_BYTES as u64)) {
                Some(page) => bytes.extend_from_slice(&page[within..within + here]),
                None => bytes.resize(bytes.len() + here, 0),
            }
            at += here as u64;
        }
        bytes
    }

    fn page_mut(&mut self, index: u64) -> &mut [u8; PAGE_BYTES] {
        Arc::make_mut(
            self.pages
                .entry(index)
                .or_insert_with(|| Arc::new([0; PAGE_BYTES])),
        )
    }

    fn put(&mut self, index: u64, page: Option<&Page>) {
        match page {
            Some(page) => self.pages.insert(index, page.clone()),
            None => self.pages.remove(&index),
        };
    }
}

impl Node {
    /// Makes the length `len`; the pages that are cut off count as changed.
    pub fn resize(&mut self, len: u64) {
        if len < self.live.len {
            let whole = len.div_ceil(PAGE_BYTES as u64);
            for index in self.live.pages.split_off(&whole).into_keys() {
                self.dirty.insert(index);
            }
            let kept = (len % PAGE_BYTES as u64) as usize;
            let last = len / PAGE_BYTES as u64;
            if kept > 0 && self.live.pages.contains_key(&last) {
                self.live.page_mut(last)[kept..].fill(0);
                self.dirty.insert(last);
            }
        }
        self.live.len = len;
    }

    fn sync(&mut self) {
        for index in std::mem::take(&mut self.dirty) {
            self.durable.put(index, self.live.pages.get(&index));
        }
        self.durable.len = self.live.len;
    }

    /// What Linux does after a failed write-back: the pages count as clean, and are not on disk.
    fn forget_to_sync(&mut self) {
        self.dirty.clear();
    }

    fn lose_power(&mut self, keep: &mut Keep) {
        if let Keep::Some(rng) = keep {
            for index in std::mem::take(&mut self.dirty) {
                if rng.coin() {
                    self.durable.put(index, self.live.pages.get(&index));
                }
            }
            if rng.coin() {
                self.durable.len = self.live.len;
            }
            let whole = self.durable.len.div_ceil(PAGE_BYTES as u64);
            self.durable.pages.split_off(&whole);
        }
        self.dirty.clear();
        self.live = self.durable.clone();
        self.opens = 0;
    }
}

impl Model {
    /// An empty disk.
    pub fn new(policy: Names) -> Model {
        let root = Node {
            names: Some(BTreeMap::new()),
            mode: 0o755,
            ..Node::default()
        };
        let nodes = HashMap::from([(ROOT, root)]);
        Model {
            nodes,
            pending: Vec::new(),
            policy,
            next: ROOT + 1,
            capacity: None,
        }
    }

    /// The node of that number.
    pub fn node(&self, ino: u64) -> Result<&Node, Errno> {
        self.nodes.get(&ino).ok_or(libc::ENOENT)
    }

    /// The node of that number, to be changed.
    pub fn node_mut(&mut self, ino: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino).ok_or(libc::ENOENT)
    }

    /// The names in a directory.
    pub fn names(&self, dir: u64) -> Result<&BTreeMap<OsString, u64>, Errno> {
        self.node(dir)?.names.as_ref().ok_or(libc::ENOTDIR)
    }

    /// What `name` in `dir` names.
    pub fn lookup(&self, dir: u64, name: &OsStr) -> Result<u64, Errno> {
        self.names(dir)?.get(name).copied().ok_or(libc::ENOENT)
    }

    /// How many names a node has.
    pub fn links(&self, ino: u64) -> u64 {
        let names = self.nodes.values().filter_map(|node| node.names.as_ref());
        names
            .flat_map(|names| names.values())
            .filter(|&&named| named == ino)
            .count() as u64
    }

    /// Makes a file or directory.
    pub fn create(
        &mut self,
        dir: u64,
        name: &OsStr,
        mode: u32,
        is_dir: bool,
    ) -> Result<u64, Errno> {
        if self.names(dir)?.contains_key(name) {
            return Err(libc::EEXIST);
        }
        let ino = self.next;
        self.next += 1;
        let names = is_dir.then(BTreeMap::new);
        self.nodes.insert(
            ino,
            Node {
                names,
                mode: mode & 0o7777,
                ..Node::default()
            },
        );
        self.change(vec![(dir, name.to_owned(), Some(ino))])?;
        Ok(ino)
    }

    /// Changes names, together.
    pub fn change(&mut self, change: Change) -> Result<(), Errno> {
        for (dir, name, ino) in &change {
            let names = self.node_mut(*dir)?.names.as_mut().ok_or(libc::ENOTDIR)?;
            match ino {
                Some(ino) => names.insert(name.clone(), *ino),
                None => names.remove(name),
            };
        }
        self.pending.push(change);
        Ok(())
    }

    /// Writes as much as fits; `ENOSPC` if nothing does.
    pub fn write(&mut self, ino: u64, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let mut room = self
            .free_bytes()
            .map_or(u64::MAX, |free| free / PAGE_BYTES as u64);
        let node = self.node_mut(ino)?;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (index, within) = (at / PAGE_BYTES as u64, (at % PAGE_BYTES as u64) as usize);
            if !node.live.pages.contains_key(&index) {
                match room.checked_sub(1) {
                    Some(left) => room = left,
                    None if done == 0 => return Err(libc::ENOSPC),
                    None => break,
                }
            }
            let here = (PAGE_BYTES - within).min(bytes.len() - done);
            node.live.page_mut(index)[within..within + here]
                .copy_from_slice(&bytes[done..done + here]);
            node.dirty.insert(index);
            done += here;
            node.live.len = node.live.len.max(offset + done as u64);
        }
        Ok(done)
    }

    /// Allocates pages of zeros, all or none.
    pub fn allocate(&mut self, ino: u64, range: std::ops::Range<u64>) -> Result<(), Errno> {
        let page = PAGE_BYTES as u64;
        let room = self.free_bytes().map_or(u64::MAX, |free| free / page);
        let node = self.node_mut(ino)?;
        let new: Vec<u64> = (range.start / page..range.end.div_ceil(page))
            .filter(|index| !node.live.pages.contains_key(index))
            .collect();
        if new.len() as u64 > room {
            return Err(libc::ENOSPC);
        }
        for index in new {
            node.live.page_mut(index);
            node.dirty.insert(index);
        }
        Ok(())
    }

    /// Makes the range read as zeros.
    pub fn zero(&mut self, ino: u64, range: std::ops::Range<u64>) -> Result<(), Errno> {
        let node = self.node_mut(ino)?;
        let mut at = range.start;
        while at < range.end.min(node.live.len) {
            let (index, within) = (at / PAGE_BYTES as u64, (at % PAGE_BYTES as u64) as usize);
            let here = (PAGE_BYTES - within).min((range.end - at) as usize);
            if node.live.pages.contains_key(&index) {
                node.live.page_mut(index)[within..within + here].fill(0);
                node.dirty.insert(index);
            }
            at += here as u64;
        }
        Ok(())
    }

    /// Makes a file, or the names of a directory, durable; or fails to.
    pub fn sync(&mut self, ino: u64, fails: bool) -> Result<(), Errno> {
        let node = self.node_mut(ino)?;
        if fails {
            node.forget_to_sync();
            return Err(libc::EIO);
        }
        node.sync();
        let policy = self.policy;
        let committed = |change: &Change| match policy {
            Names::Journaled => true,
            Names::BySyncOfDirectory => change.iter().any(|(dir, ..)| *dir == ino),
        };
        for change in std::mem::take(&mut self.pending) {
            match committed(&change) {
                true => self.commit(change),
                false => self.pending.push(change),
            }
        }
        Ok(())
    }

    fn commit(&mut self, change: Change) {
        for (dir, name, ino) in change {
            let Some(node) = self.nodes.get_mut(&dir) else {
                continue;
            };
            match ino {
                Some(ino) => node.durable_names.insert(name, ino),
                None => node.durable_names.remove(&name),
            };
        }
    }

    /// Makes everything durable, as if it had always been there.
    pub fn settle(&mut self) {
        self.nodes.values_mut().for_each(Node::sync);
        let pending = std::mem::take(&mut self.pending);
        pending.into_iter().for_each(|change| self.commit(change));
    }

    /// Goes back to what is durable, and what is kept besides.
    pub fn lose_power(&mut self, mut keep: Keep) {
        let mut pending = std::mem::take(&mut self.pending);
        match &mut keep {
            Keep::Nothing => pending.clear(),
            Keep::Some(rng) => pending.truncate(rng.between(0, pending.len() as u64 + 1) as usize),
        }
        pending.into_iter().for_each(|change| self.commit(change));
        // In the order of their numbers, so that a seed keeps the same pages again.
        let mut numbers: Vec<u64> = self.nodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(node) = self.nodes.get_mut(&number) else {
                continue;
            };
            node.lose_power(&mut keep);
            if let Some(names) = &mut node.names {
                *names = node.durable_names.clone();
            }
        }
    }

    /// Bytes in pages of files that have a name or are open.
    pub fn used_bytes(&self) -> u64 {
        let named: BTreeSet<u64> = self
            .nodes
            .values()
            .filter_map(|node| node.names.as_ref())
            .flat_map(|names| names.values().copied())
            .collect();
        let held = self
            .nodes
            .iter()
            .filter(|(ino, node)| node.opens > 0 || named.contains(ino));
        held.map(|(_, node)| node.live.allocated()).sum()
    }

    /// Bytes that may still be allocated; `None` without a limit.
    pub fn free_bytes(&self) -> Option<u64> {
        Some(self.capacity?.saturating_sub(self.used_bytes()))
    }

    /// Bytes in a node's pages.
    pub fn allocated_bytes(&self, ino: u64) -> u64 {
        self.nodes.get(&ino).map_or(0, |node| node.live.allocated())
    }
}
