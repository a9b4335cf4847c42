//! The machine: nodes, counters, and each operation's effect on them.

use super::crash::CrashModel;
use super::faults::{Faults, OpKind, powered_off};
use super::file::FileNode;
use super::moment::Moment;
use super::names::DirNode;
use super::rng::Rng;
use crate::storage::{DirEntry, OpenMode};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The node of the root directory.
pub const ROOT: u64 = 0;

/// Longest file, as on most systems.
const MAX_LEN: u64 = i64::MAX as u64;

#[derive(Clone, Debug)]
pub enum Node {
    File(Arc<FileNode>),
    Dir(Arc<DirNode>),
}

#[derive(Clone, Debug)]
pub struct State {
    pub rng: Rng,
    /// How many processes there were; handles of earlier ones are dead.
    pub life: u64,
    pub off: bool,
    /// How many more operations the power lasts.
    pub armed: Option<u64>,
    pub model: CrashModel,
    pub nodes: BTreeMap<u64, Node>,
    pub next_node: u64,
    pub faults: Faults,
    pub counters: Counters,
    pub capacity: Option<u64>,
    /// Bytes that have space, over all files with a name.
    pub used: u64,
    pub locked: BTreeSet<u64>,
    /// Open handles by file, so that files without a name go when nobody has them open.
    pub handles: BTreeMap<u64, u64>,
    pub clock_ms: u64,
    pub overwrites_in_place: bool,
    /// The machine before each change, while a recording goes on.
    pub tape: Option<Vec<Moment>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub ops: u64,
    pub syncs: u64,
    pub dir_syncs: u64,
    pub writes: u64,
    pub bytes_written: u64,
}

/// What becomes of an operation that is beginning.
pub enum Step {
    /// It happens.
    Go,
    /// It happens, or some of it does, and then the power is gone.
    LastGasp,
    /// It fails with that error.
    Fail(io::Error),
}

impl Step {
    /// For operations that have no effect when they fail.
    fn run<T>(self, effect: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            Step::Go => effect(),
            Step::LastGasp => {
                let _ = effect();
                Err(powered_off())
            }
            Step::Fail(error) => Err(error),
        }
    }
}

impl State {
    pub fn new(seed: u64) -> Self {
        State {
            rng: Rng::new(seed),
            life: 0,
            off: false,
            armed: None,
            model: CrashModel::default(),
            nodes: BTreeMap::from([(ROOT, Node::Dir(Arc::new(DirNode::new(ROOT))))]),
            next_node: ROOT + 1,
            faults: Faults::default(),
            counters: Counters::default(),
            capacity: None,
            used: 0,
            locked: BTreeSet::new(),
            handles: BTreeMap::new(),
            clock_ms: 1_700_000_000_000,
            overwrites_in_place: true,
            tape: None,
        }
    }

    /// Begins an operation that may change the disk: the power may fail in it.
    fn begin(&mut self, kind: OpKind) -> Step {
        self.keep_moment(Some(kind));
        self.counters.ops += 1;
        self.clock_ms += 1;
        match &mut self.armed {
            Some(0) => {
                self.armed = None;
                self.off = true;
                return Step::LastGasp;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.faults.hit(kind).map_or(Step::Go, Step::Fail)
    }

    /// Begins an operation that changes nothing.
    fn look(&mut self, kind: OpKind) -> io::Result<()> {
        self.faults.hit(kind).map_or(Ok(()), Err)
    }

    pub fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let step = self.begin(OpKind::CreateDir);
        step.run(|| {
            let (dir, name) = self.parent(path)?;
            if self.dir(dir)?.volatile.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let id = self.add(Node::Dir(Arc::new(DirNode::new(dir))));
            self.dir_mut(dir)?.link(name, id);
            Ok(())
        })
    }

    pub fn list(&mut self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.look(OpKind::List)?;
        let dir = self.dir(self.walk(path)?)?;
        let entry = |(name, id): (&String, &u64)| DirEntry {
            name: name.clone(),
            is_file: matches!(self.nodes.get(id), Some(Node::File(_))),
        };
        Ok(dir.volatile.iter().map(entry).collect())
    }

    pub fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<u64> {
        let id = if mode == OpenMode::CreateNew {
            let step = self.begin(OpKind::Open);
            step.run(|| self.create(path))?
        } else {
            self.look(OpKind::Open)?;
            let id = self.walk(path)?;
            self.regular(id)?;
            id
        };
        *self.handles.entry(id).or_default() += 1;
        Ok(id)
    }

    fn create(&mut self, path: &Path) -> io::Result<u64> {
        let (dir, name) = self.parent(path)?;
        if self.dir(dir)?.volatile.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.add(Node::File(Arc::new(FileNode::new(dir))));
        self.dir_mut(dir)?.link(name, id);
        Ok(id)
    }

    pub fn close(&mut self, id: u64) {
        if let Some(count) = self.handles.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.handles.remove(&id);
                self.reap(id);
            }
        }
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let step = self.begin(OpKind::Rename);
        step.run(|| {
            if from.parent() != to.parent() {
                let why = "a rename across directories is not atomic";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            let (dir, from) = self.parent(from)?;
            let (_, to) = self.parent(to)?;
            let entries = self.dir(dir)?.volatile.clone();
            let id = *entries.get(from).ok_or(io::ErrorKind::NotFound)?;
            if let Node::Dir(_) = self.node(id)? {
                let why = "only files are renamed";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            if from == to {
                return Ok(());
            }
            if let Some(&replaced) = entries.get(to) {
                if let Node::Dir(_) = self.node(replaced)? {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                self.unlinked(replaced);
            }
            self.dir_mut(dir)?.rename(from, to, id);
            Ok(())
        })
    }

    pub fn remove(&mut self, path: &Path) -> io::Result<()> {
        let step = self.begin(OpKind::Remove);
        step.run(|| {
            let (dir, name) = self.parent(path)?;
            let id = self.walk(path)?;
            if let Node::Dir(_) = self.node(id)? {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            self.unlinked(id);
            self.dir_mut(dir)?.unlink(name);
            Ok(())
        })
    }

    pub fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let step = self.begin(OpKind::Remove);
        step.run(|| {
            let (dir, name) = self.parent(path)?;
            let id = self.walk(path)?;
            if !self.dir(id)?.volatile.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            self.dir_mut(dir)?.unlink(name);
            Ok(())
        })
    }

    pub fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let step = self.begin(OpKind::SyncDir);
        self.counters.dir_syncs += 1;
        let id = self.walk(path)?;
        self.dir(id)?;
        match step {
            Step::Go => {}
            // What was pending survives or does not; both are among the states to choose from.
            Step::LastGasp => return Err(powered_off()),
            Step::Fail(error) => return Err(error),
        }
        for gone in self.dir_mut(id)?.sync() {
            self.reap(gone);
        }
        Ok(())
    }

    /// Takes the lock; `Err(None)` if it is held.
    pub fn lock(&mut self, path: &Path) -> Result<u64, Option<io::Error>> {
        let step = self.begin(OpKind::Lock);
        let taken = step.run(|| {
            let id = match self.walk(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => self.create(path)?,
                found => found?,
            };
            self.regular(id)?;
            Ok((id, self.locked.insert(id)))
        });
        match taken {
            Ok((id, true)) => Ok(id),
            Ok((_, false)) => Err(None),
            Err(error) => Err(Some(error)),
        }
    }

    pub fn read(&mut self, id: u64, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.look(OpKind::Read)?;
        Ok(self.file(id)?.volatile.read(buf, offset))
    }

    pub fn map(&mut self, id: u64) -> io::Result<Arc<[u8]>> {
        self.look(OpKind::Map)?;
        Ok(self.file(id)?.whole())
    }

    pub fn page(&mut self, id: u64) -> io::Result<()> {
        self.look(OpKind::Map)?;
        if self.file(id)?.volatile.len() < crate::storage::PAGE_LEN as u64 {
            let why = "the file is shorter than a page";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        *self.handles.entry(id).or_default() += 1;
        Ok(())
    }

    pub fn write(&mut self, id: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let step = self.begin(OpKind::Write);
        if offset
            .checked_add(bytes.len() as u64)
            .is_none_or(|end| end > MAX_LEN)
        {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.counters.writes += 1;
        let (bytes, outcome) = match step {
            Step::Go => (bytes, Ok(())),
            // Any of its sectors may survive; that is chosen when the power comes back.
            Step::LastGasp => (bytes, Err(powered_off())),
            Step::Fail(error) => {
                let prefix = self.rng.below(bytes.len() as u64 + 1) as usize;
                (&bytes[..prefix], Err(error))
            }
        };
        let fitting = self.fitting(id, bytes, offset)?;
        self.store(id, fitting, offset)?;
        self.counters.bytes_written += fitting.len() as u64;
        if fitting.len() < bytes.len() {
            return outcome.and(Err(io::ErrorKind::StorageFull.into()));
        }
        outcome
    }

    /// Writes without asking for permission or space.
    pub fn store(&mut self, id: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(id, |file, rng| file.write(bytes, offset, rng))
    }

    /// As much of `bytes` as there is space for.
    fn fitting<'a>(&self, id: u64, bytes: &'a [u8], offset: u64) -> io::Result<&'a [u8]> {
        let Some(capacity) = self.capacity else {
            return Ok(bytes);
        };
        let mut free = capacity.saturating_sub(self.used);
        let end = offset + bytes.len() as u64;
        for gap in self.file(id)?.allocated.missing(offset..end) {
            let needed = gap.end - gap.start;
            if needed > free {
                return Ok(&bytes[..(gap.start + free - offset) as usize]);
            }
            free -= needed;
        }
        Ok(bytes)
    }

    pub fn set_len(&mut self, id: u64, len: u64) -> io::Result<()> {
        let step = self.begin(OpKind::SetLen);
        step.run(|| {
            if len > MAX_LEN {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            self.change(id, |file, rng| file.set_len(len, rng))
        })
    }

    pub fn sync_data(&mut self, id: u64) -> io::Result<()> {
        let step = self.begin(OpKind::SyncData);
        self.counters.syncs += 1;
        match step {
            Step::Go => {}
            Step::LastGasp => return Err(powered_off()),
            Step::Fail(error) => {
                self.change(id, |file, _| file.fail_sync())?;
                return Err(error);
            }
        }
        if self.file(id)?.has_unsynced() {
            self.change(id, |file, _| file.sync())?;
        }
        let mut child = id;
        let mut dir = self.file(id)?.dir;
        // Also the directories it is in: without them its creation would mean nothing.
        loop {
            if self.dir(dir)?.has_later_pending() {
                self.dir_mut(dir)?.child_was_synced(child);
            }
            if dir == ROOT {
                return Ok(());
            }
            child = dir;
            dir = self.dir(dir)?.above;
        }
    }

    /// Changes a file, keeping count of the space it takes.
    pub fn change(
        &mut self,
        id: u64,
        change: impl FnOnce(&mut FileNode, &mut Rng),
    ) -> io::Result<()> {
        let Some(Node::File(file)) = self.nodes.get_mut(&id) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file = Arc::make_mut(file);
        let before = file.allocated.total();
        change(file, &mut self.rng);
        if file.linked {
            self.used = self.used - before + file.allocated.total();
        }
        Ok(())
    }

    /// Notes that no name leads to the file any more.
    pub fn unlinked(&mut self, id: u64) {
        if let Some(Node::File(file)) = self.nodes.get_mut(&id) {
            let file = Arc::make_mut(file);
            file.linked = false;
            self.used -= file.allocated.total();
        }
    }

    /// Forgets a file that nobody has open and no name can lead to again.
    pub fn reap(&mut self, id: u64) {
        if self.handles.contains_key(&id) {
            return;
        }
        if let Some(Node::File(file)) = self.nodes.get(&id)
            && !file.linked
            && !self.dir(file.dir).is_ok_and(|dir| dir.refers_to(id))
        {
            self.nodes.remove(&id);
        }
    }

    /// All handles are dead and all locks released.
    pub fn end_process(&mut self) {
        self.life += 1;
        self.locked.clear();
        self.handles.clear();
        let nameless = |node: &Node| matches!(node, Node::File(file) if !file.linked);
        let nodes = self.nodes.iter().filter(|(_, node)| nameless(node));
        let nodes: Vec<u64> = nodes.map(|(id, _)| *id).collect();
        nodes.into_iter().for_each(|id| self.reap(id));
    }
}
