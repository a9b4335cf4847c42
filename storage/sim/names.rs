//! Directories: what is durable, what the running process sees, and what lies between.

use super::crash::{CrashModel, Keep, NameModel};
use super::rng::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Node number by name.
pub type Entries = BTreeMap<String, u64>;

#[derive(Clone, Debug)]
pub struct DirNode {
    /// The directory it is in; the root's is itself.
    pub above: u64,
    /// What a power loss cannot take away.
    pub durable: Arc<Entries>,
    /// What the running process sees.
    pub volatile: Arc<Entries>,
    /// What leads from the one to the other, oldest first.
    pending: Vec<NameOp>,
    /// How many of the oldest pending operations a file's sync made durable, on file systems
    /// that keep them in order.
    ordered_floor: usize,
}

/// One change of the names in a directory.
#[derive(Clone, Debug)]
pub enum NameOp {
    Link { name: String, id: u64 },
    Rename { from: String, to: String, id: u64 },
    Unlink { name: String },
}

impl DirNode {
    pub fn new(above: u64) -> Self {
        DirNode {
            above,
            durable: Arc::default(),
            volatile: Arc::default(),
            pending: Vec::new(),
            ordered_floor: 0,
        }
    }

    pub fn link(&mut self, name: &str, id: u64) {
        Arc::make_mut(&mut self.volatile).insert(name.to_owned(), id);
        self.pending.push(NameOp::Link {
            name: name.to_owned(),
            id,
        });
    }

    pub fn unlink(&mut self, name: &str) {
        Arc::make_mut(&mut self.volatile).remove(name);
        self.pending.push(NameOp::Unlink {
            name: name.to_owned(),
        });
    }

    /// Renames the node `id` from `from` to `to`.
    pub fn rename(&mut self, from: &str, to: &str, id: u64) {
        let volatile = Arc::make_mut(&mut self.volatile);
        volatile.remove(from);
        volatile.insert(to.to_owned(), id);
        self.pending.push(NameOp::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
            id,
        });
    }

    /// Makes the visible names durable. Returns the nodes that no name leads to any more.
    pub fn sync(&mut self) -> Vec<u64> {
        let mut gone: Vec<u64> = Vec::new();
        if !self.pending.is_empty() {
            gone.extend(self.durable.values());
            gone.extend(self.pending.iter().filter_map(NameOp::node));
            gone.sort_unstable();
            gone.dedup();
            for id in self.volatile.values() {
                if let Ok(at) = gone.binary_search(id) {
                    gone.remove(at);
                }
            }
        }
        self.durable = self.volatile.clone();
        self.pending.clear();
        self.ordered_floor = 0;
        gone
    }

    /// Notes that the file or directory `id` in here was synced.
    pub fn child_was_synced(&mut self, id: u64) {
        let later = &self.pending[self.ordered_floor..];
        let created = later
            .iter()
            .position(|op| matches!(op, NameOp::Link { id: linked, .. } if *linked == id));
        if let Some(position) = created {
            self.ordered_floor += position + 1;
        }
    }

    /// Whether [`DirNode::child_was_synced`] could change anything.
    pub fn has_later_pending(&self) -> bool {
        self.pending.len() > self.ordered_floor
    }

    /// Whether a power loss has anything to decide here.
    pub fn has_unsynced_names(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether any name, now or after a power loss, leads to `id`.
    pub fn refers_to(&self, id: u64) -> bool {
        self.volatile.values().any(|v| *v == id)
            || self.durable.values().any(|v| *v == id)
            || self.pending.iter().any(|op| op.node() == Some(id))
    }

    /// Makes `name` lead to `id` (or nowhere) at once and durably, leaving all else as it is.
    pub fn settle(&mut self, name: &str, id: Option<u64>) {
        let floor = self.ordered_floor;
        let mut index = 0;
        let mut dropped_below_floor = 0;
        self.pending.retain(|op| {
            let keep = !op.touches(name);
            dropped_below_floor += usize::from(!keep && index < floor);
            index += 1;
            keep
        });
        self.ordered_floor -= dropped_below_floor;
        for entries in [&mut self.durable, &mut self.volatile] {
            let entries = Arc::make_mut(entries);
            match id {
                Some(id) => entries.insert(name.to_owned(), id),
                None => entries.remove(name),
            };
        }
    }

    /// Chooses which pending operations the power loss left, and settles on the outcome.
    pub fn crash(&mut self, model: &CrashModel, rng: &mut Rng) {
        if self.pending.is_empty() {
            return;
        }
        let count = self.pending.len();
        let floor = self.ordered_floor;
        let mut entries = (*self.durable).clone();
        match (model.names, model.keep) {
            (_, Keep::Everything) => self.apply(&mut entries, |_| true),
            (NameModel::Posix, Keep::Nothing) => {}
            (NameModel::Posix, Keep::Random) => {
                let odds = [2, 8, 8, 14][rng.below(4) as usize];
                self.apply(&mut entries, |_| rng.sixteenths(odds));
            }
            (NameModel::Ordered, Keep::Nothing) => self.apply(&mut entries, |i| i < floor),
            (NameModel::Ordered, Keep::Random) => {
                let survive = floor + rng.below((count - floor) as u64 + 1) as usize;
                self.apply(&mut entries, |i| i < survive);
            }
        }
        self.volatile = Arc::new(entries);
        self.sync();
    }

    /// How many of the oldest pending operations survive on file systems that keep them in
    /// order, and how many there are.
    pub fn pending_names(&self) -> (usize, usize) {
        (self.ordered_floor, self.pending.len())
    }

    /// Some of the pending operations, in words.
    pub fn story(&self, which: impl std::slice::SliceIndex<[NameOp], Output = [NameOp]>) -> String {
        format!("{:?}", &self.pending[which])
    }

    /// Settles on what those pending operations leave that survive.
    pub fn survive(&mut self, survives: impl FnMut(usize) -> bool) {
        let mut entries = (*self.durable).clone();
        self.apply(&mut entries, survives);
        self.durable = Arc::new(entries);
        self.volatile = self.durable.clone();
        self.pending.clear();
        self.ordered_floor = 0;
    }

    fn apply(&self, entries: &mut Entries, mut survives: impl FnMut(usize) -> bool) {
        for (i, op) in self.pending.iter().enumerate() {
            if !survives(i) {
                continue;
            }
            match op {
                NameOp::Link { name, id } => {
                    entries.insert(name.clone(), *id);
                }
                NameOp::Rename { from, to, id } => {
                    // Also where the name before this one did not survive: old or new, never both.
                    entries.retain(|name, node| node != id && name != from);
                    entries.insert(to.clone(), *id);
                }
                NameOp::Unlink { name } => {
                    entries.remove(name);
                }
            }
        }
    }
}

impl NameOp {
    fn node(&self) -> Option<u64> {
        match self {
            NameOp::Link { id, .. } | NameOp::Rename { id, .. } => Some(*id),
            NameOp::Unlink { .. } => None,
        }
    }

    fn touches(&self, asked: &str) -> bool {
        match self {
            NameOp::Link { name, .. } | NameOp::Unlink { name } => name == asked,
            NameOp::Rename { from, to, .. } => from == asked || to == asked,
        }
    }
}
