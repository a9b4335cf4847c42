//! Every state that a power loss may leave at one moment, one by one instead of by chance.
//!
//! A recording keeps the machine as it was before each change ([`SimDisk::start_recording`]).
//! [`Moment::pending`] lists what was not durable then as a row of choices, each with its
//! options; one option for each choice ([`Pending::leave`]) makes one crash state. Sharing
//! pages, a state costs microseconds, so a workload runs once and all its crash states after.

use super::content::{Content, SECTOR};
use super::crash::{CrashModel, NameModel, SECTORS_PER_BLOCK};
use super::disk::{Node, State};
use super::faults::OpKind;
use super::file::FileNode;
use super::rng::Rng;
use super::{SimDisk, crash};
use std::ops::Range;
use std::sync::Arc;

/// The machine as it was before one change.
#[derive(Clone, Debug)]
pub struct Moment {
    state: State,
    next: Option<OpKind>,
}

/// What was not durable at a moment, and what a power loss could make of it.
#[derive(Clone, Debug)]
pub struct Pending {
    state: State,
    options: Vec<u32>,
    dirs: Vec<PendingDir>,
    files: Vec<PendingFile>,
    sectors: Vec<usize>,
    neighbours: Vec<(usize, u64)>,
}

#[derive(Clone, Debug)]
struct PendingDir {
    id: u64,
    /// Operations that survive in any case; what is chosen begins behind them.
    floor: usize,
    names: NameModel,
    choices: Range<usize>,
}

#[derive(Clone, Debug)]
struct PendingFile {
    id: u64,
    /// The sectors to choose for; choice `first + i` is `sectors[i]`.
    first: usize,
    sectors: Vec<PendingSector>,
    /// The choice of the length, if there is one.
    len_choice: Option<usize>,
    lens: Vec<u64>,
}

#[derive(Clone, Debug)]
struct PendingSector {
    sector: u64,
    /// The durable state first, the newest last.
    versions: Vec<Arc<[u8; SECTOR]>>,
}

/// Harm to one sector beyond old and new, for models that allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Harm {
    /// The sector of [`Pending::sectors`] at that position is the chosen option up to a byte,
    /// and another from there on.
    Torn {
        /// Position in [`Pending::sectors`].
        sector: usize,
        /// The option that the rest is of.
        rest: u32,
        /// The first byte of the rest.
        cut: usize,
    },
    /// The sector of [`Pending::sectors`] at that position is nonsense.
    Garbage {
        /// Position in [`Pending::sectors`].
        sector: usize,
        /// What decides the nonsense.
        seed: u64,
    },
    /// A synced sector whose block was being written is nonsense: without powersafe overwrite.
    Neighbour {
        /// Position, below [`Pending::neighbours`].
        neighbour: usize,
        /// What decides the nonsense.
        seed: u64,
    },
}

impl SimDisk {
    /// From here on keeps a copy of the machine before every operation that may change the
    /// disk, stores to pages included. Copies share what did not change.
    pub fn start_recording(&self) {
        self.shared.state.lock().tape = Some(Vec::new());
    }

    /// How many moments were recorded so far: what happens next is behind them.
    pub fn recorded(&self) -> usize {
        let state = self.shared.state.lock();
        state.tape.as_ref().map_or(0, Vec::len)
    }

    /// Ends the recording. The last moment is the present one.
    pub fn take_recording(&self) -> Vec<Moment> {
        let mut state = self.shared.state.lock();
        let mut moments = state.tape.take().unwrap_or_default();
        moments.push(Moment {
            state: state.clone(),
            next: None,
        });
        moments
    }
}

impl State {
    /// Keeps the present state, if a recording goes on.
    pub fn keep_moment(&mut self, next: Option<OpKind>) {
        if let Some(mut moments) = self.tape.take() {
            moments.push(Moment {
                state: self.clone(),
                next,
            });
            self.tape = Some(moments);
        }
    }
}

impl Moment {
    /// The operation that was about to begin; none for a store to a page and at the end.
    pub fn next(&self) -> Option<OpKind> {
        self.next
    }

    /// What a power loss at this moment chooses from.
    pub fn pending(&self, model: &CrashModel) -> Pending {
        let mut pending = Pending {
            state: self.state.clone(),
            options: Vec::new(),
            dirs: Vec::new(),
            files: Vec::new(),
            sectors: Vec::new(),
            neighbours: Vec::new(),
        };
        for (&id, node) in &self.state.nodes {
            match node {
                Node::Dir(dir) if dir.has_unsynced_names() => {
                    let (floor, count) = dir.pending_names();
                    let first = pending.options.len();
                    let floor = match model.names {
                        NameModel::Posix => {
                            pending.options.resize(first + count, 2);
                            0
                        }
                        NameModel::Ordered => {
                            pending.options.push((count - floor) as u32 + 1);
                            floor
                        }
                    };
                    pending.dirs.push(PendingDir {
                        id,
                        floor,
                        names: model.names,
                        choices: first..pending.options.len(),
                    });
                }
                Node::File(file) if file.has_unsynced() => pending.add_file(id, file, model),
                _ => {}
            }
        }
        pending.state.handles.clear();
        pending.state.off = false;
        pending
    }
}

impl Pending {
    fn add_file(&mut self, id: u64, file: &FileNode, model: &CrashModel) {
        let first = self.options.len();
        let mut sectors = Vec::new();
        for sector in file.dirty.iter().flatten() {
            let old = file.durable.sector(sector);
            let earlier = file.versions.get(&sector).map_or(&[][..], Vec::as_slice);
            let newest = Arc::new(file.volatile.sector(sector));
            let mut versions = vec![Arc::new(old)];
            for version in earlier.iter().chain([&newest]) {
                if !versions.contains(version) {
                    versions.push(version.clone());
                }
            }
            // The newest is the last, also if the sector was the same before.
            let at = versions.iter().position(|version| *version == newest);
            let at = at.unwrap_or_default();
            if at > 0 {
                let newest = versions.remove(at);
                versions.push(newest);
            }
            if versions.len() > 1 {
                self.sectors.push(self.options.len());
                self.options.push(versions.len() as u32);
                sectors.push(PendingSector { sector, versions });
            }
        }
        let mut lens = vec![file.durable.len()];
        for len in file.lens.iter().chain([&file.volatile.len()]) {
            lens.retain(|other| other != len || *other == file.durable.len());
            if *len != file.durable.len() {
                lens.push(*len);
            }
        }
        let len_choice = (lens.len() > 1).then_some(self.options.len());
        if len_choice.is_some() {
            self.options.push(lens.len() as u32);
        }
        let place = self.files.len();
        if !model.psow {
            let mut blocks: Vec<u64> = sectors
                .iter()
                .map(|pending| pending.sector / SECTORS_PER_BLOCK)
                .collect();
            blocks.dedup();
            let clean = blocks
                .iter()
                .flat_map(|block| block * SECTORS_PER_BLOCK..(block + 1) * SECTORS_PER_BLOCK)
                .filter(|sector| !file.dirty.contains(*sector));
            self.neighbours.extend(clean.map(|sector| (place, sector)));
        }
        self.files.push(PendingFile {
            id,
            first,
            sectors,
            len_choice,
            lens,
        });
    }

    /// How many options each choice has. Option 0 is what was durable, the last one what the
    /// process saw, others lie between.
    pub fn options(&self) -> &[u32] {
        &self.options
    }

    /// The choices that are about a sector, which can be torn.
    pub fn sectors(&self) -> &[usize] {
        &self.sectors
    }

    /// What a choice is about, in words.
    pub fn about(&self, choice: usize) -> String {
        for dir in &self.dirs {
            if dir.choices.contains(&choice)
                && let Some(Node::Dir(node)) = self.state.nodes.get(&dir.id)
            {
                let names = match dir.names {
                    NameModel::Posix => dir.floor + choice - dir.choices.start,
                    NameModel::Ordered => return format!("names {}", node.story(dir.floor..)),
                };
                return format!("name {}", node.story(names..=names));
            }
        }
        let file = self.files.iter().rev().find(|file| {
            file.first <= choice && (file.len_choice.is_some() || !file.sectors.is_empty())
        });
        match file {
            Some(file) if file.len_choice == Some(choice) => {
                format!("length of {}, of {:?}", self.name(file.id), file.lens)
            }
            Some(file) => {
                let sector = file.sectors[choice - file.first].sector;
                format!("sector {sector} of {}", self.name(file.id))
            }
            None => "nothing".to_owned(),
        }
    }

    /// What the process calls the file.
    fn name(&self, id: u64) -> String {
        let Some(Node::File(file)) = self.state.nodes.get(&id) else {
            return "nothing".to_owned();
        };
        let names = self.state.dir(file.dir).map(|dir| dir.volatile.clone());
        let names = names.unwrap_or_default();
        let name = names.iter().find(|(_, node)| **node == id);
        name.map_or_else(|| format!("removed file {id}"), |(name, _)| name.clone())
    }

    /// How many synced sectors a disk without powersafe overwrite may take along.
    pub fn neighbours(&self) -> usize {
        self.neighbours.len()
    }

    /// The machine that is found when the power comes back, if these options were chosen and
    /// this harm was done.
    ///
    /// # Panics
    /// If there is not one option for each choice, or no such option.
    pub fn leave(&self, picks: &[u32], harms: &[Harm]) -> SimDisk {
        assert_eq!(picks.len(), self.options.len(), "an option for each choice");
        let mut state = self.state.clone();
        for dir in &self.dirs {
            if let Some(Node::Dir(node)) = state.nodes.get_mut(&dir.id) {
                let picks = &picks[dir.choices.clone()];
                Arc::make_mut(node).survive(|op| match dir.names {
                    NameModel::Posix => picks[op] == 1,
                    NameModel::Ordered => op < dir.floor + picks[0] as usize,
                });
            }
        }
        state.drop_unreachable();
        for (place, pending) in self.files.iter().enumerate() {
            // A file that lost its name is gone.
            if let Some(Node::File(file)) = state.nodes.get_mut(&pending.id) {
                let content = self.content(place, file, picks, harms);
                *file = Arc::new(file.settled_as(content));
            }
        }
        state.used = 0;
        for node in state.nodes.values_mut() {
            if let Node::File(file) = node {
                if !file.linked {
                    // The removal did not survive.
                    Arc::make_mut(file).linked = true;
                }
                state.used += file.allocated.total();
            }
        }
        state.life += 1;
        state.locked.clear();
        SimDisk::machine(state)
    }

    fn content(&self, place: usize, file: &FileNode, picks: &[u32], harms: &[Harm]) -> Content {
        let pending = &self.files[place];
        let mut content = file.durable.clone();
        for (i, sector) in pending.sectors.iter().enumerate() {
            let pick = picks[pending.first + i] as usize;
            if pick > 0 {
                content.write_sector(sector.sector, &sector.versions[pick]);
            }
        }
        for harm in harms {
            let (choice, seed) = match *harm {
                Harm::Torn { sector, .. } => (self.sectors[sector], 0),
                Harm::Garbage { sector, seed } => (self.sectors[sector], seed),
                Harm::Neighbour { neighbour, seed } => {
                    let (of, sector) = self.neighbours[neighbour];
                    if of == place {
                        let nonsense = crash::nonsense(&mut Rng::new(seed));
                        content.write_sector(sector, &nonsense);
                    }
                    continue;
                }
            };
            let Some(i) = choice.checked_sub(pending.first) else {
                continue;
            };
            let Some(sector) = pending.sectors.get(i) else {
                continue;
            };
            let mut bytes = *sector.versions[picks[choice] as usize];
            match *harm {
                Harm::Torn { rest, cut, .. } => {
                    bytes[cut..].copy_from_slice(&sector.versions[rest as usize][cut..]);
                }
                _ => bytes = crash::nonsense(&mut Rng::new(seed)),
            }
            content.write_sector(sector.sector, &bytes);
        }
        let len = pending
            .len_choice
            .map_or(0, |choice| picks[choice] as usize);
        content.set_len(pending.lens[len]);
        content
    }
}
