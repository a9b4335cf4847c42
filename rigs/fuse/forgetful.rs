//! A directory in memory that forgets what was not synced.
//!
//! Of each file it has what everybody sees and what is on its medium. A sync copies the pages
//! written since the last one; a failed sync takes them for clean without copying, as Linux does,
//! so that the next one succeeds and proves nothing. Names reach the medium with a sync of the
//! directory, in order. A power cut leaves the medium, any of the sectors that were still to be
//! copied, and any first part of the names.

use super::mounted::attributes;
use crate::random::Random;
use fuser::{
    BsdFileFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

/// The name of a file that is not listed: what is written to it is an order, what is read from it
/// are the counts. So the file system can be served by a process of its own.
pub const CONTROL: &str = ".control";
const CONTROL_INO: u64 = u64::MAX / 2;

const PAGE: usize = 4096;
const SECTOR: usize = 512;
/// Nobody but the kernel changes anything while it is mounted.
const TTL: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
struct Node {
    seen: Vec<u8>,
    medium: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, u64),
    Remove(String),
    Rename(String, String),
}

/// What it is told to do wrong, and what it has done.
#[derive(Debug, Default)]
pub struct State {
    nodes: BTreeMap<u64, Node>,
    names: BTreeMap<String, u64>,
    medium_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    next: u64,
    /// The sync of a file after this many fails.
    pub fail_sync_after: Option<u32>,
    /// The power goes after this many changes and syncs.
    pub off_after: Option<u32>,
    /// The power is off: everything fails.
    pub off: bool,
    /// Bytes that there is room for.
    pub capacity: Option<u64>,
    /// Syncs that failed because they were told to.
    pub failed_syncs: u64,
    /// Decides what the next power cut leaves.
    pub cut_seed: u64,
    /// Writes that came from a page that a process has mapped, or from the kernel's cache.
    pub mapped_writes: u64,
}

/// The file system; a clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Forgetful(Arc<Mutex<State>>);

impl Forgetful {
    /// Its state, to be told what to do.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no thread of the rig panics")
    }

    /// What the power cut left, as everybody sees it after.
    pub fn power_cut(&self) {
        let mut state = self.state();
        let random = &mut Random::new(state.cut_seed);
        let kept = random.below(state.pending_names.len() as u64 + 1) as usize;
        let changes: Vec<NameChange> = state.pending_names.drain(..).take(kept).collect();
        for change in changes {
            apply(&mut state.medium_names, change);
        }
        state.names = state.medium_names.clone();
        let named: BTreeSet<u64> = state.names.values().copied().collect();
        state.nodes.retain(|ino, _| named.contains(ino));
        let share = [0, 50, 100][random.below(3) as usize];
        for node in state.nodes.values_mut() {
            for page in std::mem::take(&mut node.dirty) {
                for sector in 0..PAGE / SECTOR {
                    if random.chance(share) {
                        node.copy(page * PAGE + sector * SECTOR, SECTOR);
                    }
                }
            }
            node.seen = node.medium.clone();
        }
        state.fail_sync_after = None;
        state.off_after = None;
        state.off = false;
        state.capacity = None;
    }
}

fn apply(names: &mut BTreeMap<String, u64>, change: NameChange) {
    match change {
        NameChange::Set(name, ino) => drop(names.insert(name, ino)),
        NameChange::Remove(name) => drop(names.remove(&name)),
        NameChange::Rename(from, to) => {
            if let Some(ino) = names.remove(&from) {
                names.insert(to, ino);
            }
        }
    }
}

impl Node {
    /// Copies part of what is seen to the medium.
    fn copy(&mut self, from: usize, len: usize) {
        let end = (from + len).min(self.seen.len());
        if from < end {
            if self.medium.len() < end {
                self.medium.resize(end, 0);
            }
            self.medium[from..end].copy_from_slice(&self.seen[from..end]);
        }
    }

    fn resize(&mut self, len: usize) {
        let from = self.seen.len().min(len) / PAGE;
        self.seen.resize(len, 0);
        self.dirty.extend(from..len.div_ceil(PAGE));
    }
}

impl State {
    /// Obeys an order: a word, a number, a line end.
    fn obey(&mut self, order: &str) -> Option<()> {
        let (word, number) = order.trim().split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        match word {
            "off" => self.off = number != 0,
            "fail_sync_after" => self.fail_sync_after = Some(number as u32),
            "off_after" => self.off_after = Some(number as u32),
            "capacity" => self.capacity = Some(number),
            "cut_seed" => self.cut_seed = number,
            _ => return None,
        }
        Some(())
    }

    fn counts(&self) -> String {
        let off = u64::from(self.off);
        format!("{off} {} {}\n", self.failed_syncs, self.mapped_writes)
    }

    /// Counts one change or sync, and refuses everything once the power is off.
    fn step(&mut self) -> Result<(), Errno> {
        if let Some(left) = &mut self.off_after {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => self.off = true,
            }
        }
        self.powered()
    }

    fn powered(&self) -> Result<(), Errno> {
        if self.off { Err(Errno::EIO) } else { Ok(()) }
    }

    fn node(&mut self, ino: INodeNo) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino.0).ok_or(Errno::ENOENT)
    }

    fn used(&self) -> u64 {
        self.nodes.values().map(|node| node.seen.len() as u64).sum()
    }

    fn change_name(&mut self, change: NameChange) {
        self.pending_names.push(change.clone());
        apply(&mut self.names, change);
    }

    fn create(&mut self, name: &str) -> Result<u64, Errno> {
        self.step()?;
        if self.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        self.next = self.next.max(1) + 1;
        let ino = self.next;
        self.nodes.insert(ino, Node::default());
        self.change_name(NameChange::Set(name.to_owned(), ino));
        Ok(ino)
    }

    fn write(&mut self, ino: INodeNo, offset: usize, data: &[u8]) -> Result<(), Errno> {
        self.step()?;
        let used = self.used();
        let capacity = self.capacity;
        let node = self.node(ino)?;
        let end = offset + data.len();
        let grown = end.saturating_sub(node.seen.len()) as u64;
        if grown > 0 && capacity.is_some_and(|most| used + grown > most) {
            return Err(Errno::ENOSPC);
        }
        if end > node.seen.len() {
            node.resize(end);
        }
        node.seen[offset..end].copy_from_slice(data);
        node.dirty.extend(offset / PAGE..end.div_ceil(PAGE));
        Ok(())
    }

    fn sync(&mut self, ino: INodeNo) -> Result<(), Errno> {
        self.step()?;
        let fails = match &mut self.fail_sync_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        if fails {
            self.fail_sync_after = None;
            self.failed_syncs += 1;
        }
        let node = self.node(ino)?;
        let dirty = std::mem::take(&mut node.dirty);
        if fails {
            return Err(Errno::EIO);
        }
        node.medium.resize(node.seen.len(), 0);
        for page in dirty {
            node.copy(page * PAGE, PAGE);
        }
        Ok(())
    }

    fn sync_names(&mut self) -> Result<(), Errno> {
        self.step()?;
        for change in std::mem::take(&mut self.pending_names) {
            apply(&mut self.medium_names, change);
        }
        Ok(())
    }

    fn attributes(&mut self, ino: INodeNo) -> Result<fuser::FileAttr, Errno> {
        if ino.0 == CONTROL_INO {
            return Ok(attributes(ino.0, 0, FileType::RegularFile));
        }
        self.powered()?;
        if ino == INodeNo::ROOT {
            return Ok(attributes(1, 0, FileType::Directory));
        }
        let size = self.node(ino)?.seen.len() as u64;
        Ok(attributes(ino.0, size, FileType::RegularFile))
    }
}

fn text(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

fn done(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Forgetful {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut state = self.state();
        if name == CONTROL {
            let control = attributes(CONTROL_INO, 0, FileType::RegularFile);
            return reply.entry(&TTL, &control, Generation(0));
        }
        let found = state.names.get(&text(name)).copied();
        let found = found.ok_or(Errno::ENOENT);
        match found.and_then(|ino| state.attributes(INodeNo(ino))) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.state().attributes(ino) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        let resized = match size {
            Some(size) if ino.0 != CONTROL_INO => state
                .step()
                .and_then(|()| state.node(ino).map(|node| node.resize(size as usize))),
            _ => Ok(()),
        };
        match resized.and_then(|()| state.attributes(ino)) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.state().create(&text(name)) {
            Ok(ino) => reply.created(
                &TTL,
                &attributes(ino, 0, FileType::RegularFile),
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if ino.0 == CONTROL_INO {
            return reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
        }
        match self.state().powered() {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = self.state();
        if ino.0 == CONTROL_INO {
            let counts = state.counts();
            return reply.data(counts.as_bytes().get(offset as usize..).unwrap_or_default());
        }
        let powered = state.powered();
        match powered.and_then(|()| state.node(ino)) {
            Ok(node) => {
                let from = (offset as usize).min(node.seen.len());
                let to = (from + size as usize).min(node.seen.len());
                reply.data(&node.seen[from..to]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.state();
        if ino.0 == CONTROL_INO {
            return match state.obey(&String::from_utf8_lossy(data)) {
                Some(()) => reply.written(data.len() as u32),
                None => reply.error(Errno::EINVAL),
            };
        }
        state.mapped_writes += u64::from(flags.contains(WriteFlags::FUSE_WRITE_CACHE));
        match state.write(ino, offset as usize, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.state().sync(ino));
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.state().sync_names());
    }

    fn unlink(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        let result = state.step();
        if result.is_ok() {
            state.change_name(NameChange::Remove(text(name)));
        }
        done(reply, result);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        name: &OsStr,
        _: INodeNo,
        to: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        let result = state.step();
        if result.is_ok() {
            state.change_name(NameChange::Rename(text(name), text(to)));
        }
        done(reply, result);
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.state();
        if let Err(error) = state.powered() {
            return reply.error(error);
        }
        let dots = [
            (".", 1, FileType::Directory),
            ("..", 1, FileType::Directory),
        ];
        let names = state.names.iter();
        let files = names.map(|(name, ino)| (name.as_str(), *ino, FileType::RegularFile));
        let all = dots.into_iter().chain(files).enumerate();
        for (at, (name, ino, kind)) in all.skip(offset as usize) {
            if reply.add(INodeNo(ino), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let state = self.state();
        let most = state.capacity.unwrap_or(1 << 30);
        let free = most.saturating_sub(state.used()) / PAGE as u64;
        let page = PAGE as u32;
        reply.statfs(
            most / PAGE as u64,
            free,
            free,
            1 << 20,
            1 << 20,
            page,
            255,
            page,
        );
    }
}
