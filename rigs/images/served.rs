//! The disk as a file, served to the kernel, which makes a loop device of it.
//!
//! Served by a process of its own that never touches what is mounted from the file: the kernel
//! waits for it amid everything that a file system does.

use super::disk::{Blocks, Cut, Disk};
use crate::fuse::mounted::attributes;
use crate::random::Random;
use fuser::{
    Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The file that is the disk.
pub const DISK: &str = "disk.img";
/// A file that takes orders and tells how things are.
pub const CONTROL: &str = "control";
const DISK_INO: u64 = 2;
const CONTROL_INO: u64 = 3;
/// Sizes never change.
const TTL: Duration = Duration::from_secs(3600);

/// Two recorded disks are kept: the host's, and that of a host on one of its images.
const SLOTS: usize = 2;

#[derive(Debug)]
struct State {
    size: u64,
    sector: usize,
    /// What mkfs made.
    fresh: Blocks,
    disk: Disk,
    kept: [Disk; SLOTS],
    /// What the last cut was.
    told: String,
}

/// A clone serves the same disk.
#[derive(Clone, Debug)]
pub struct Served(Arc<Mutex<State>>);

impl Served {
    /// A disk of `size` bytes, which holds `fresh`; its writes tear between
    /// sectors of `sector` bytes.
    pub fn new(fresh: Blocks, size: u64, sector: usize) -> Served {
        Served(Arc::new(Mutex::new(State {
            size,
            sector,
            disk: Disk::new(fresh.clone()),
            fresh,
            kept: Default::default(),
            told: "0 0 0 0".into(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no thread of the rig panics")
    }
}

impl State {
    /// Obeys an order: a word, the number of a slot, a seed.
    fn obey(&mut self, order: &str) -> Option<()> {
        let mut words = order.split_whitespace();
        let word = words.next()?;
        let slot: usize = words.next()?.parse().ok()?;
        let seed: u64 = words.next()?.parse().ok()?;
        let kept = self.kept.get_mut(slot)?;
        match word {
            "fresh" => self.disk = Disk::new(self.fresh.clone()),
            // What is written from now on is of no account.
            "keep" => {
                let rest = Disk::new(self.disk.now());
                *kept = std::mem::replace(&mut self.disk, rest);
            }
            "cut" => {
                let Cut {
                    blocks,
                    point,
                    pending,
                    arrived,
                } = kept.cut(self.sector, &mut Random::new(seed));
                let print = blocks.fingerprint();
                self.told = format!("{point} {pending} {arrived} {print}");
                self.disk = Disk::new(blocks);
            }
            _ => return None,
        }
        Some(())
    }

    fn tell(&self) -> String {
        format!(
            "{} {} {}\n",
            self.disk.point(),
            self.disk.flushes(),
            self.told
        )
    }

    fn attributes(&self, ino: u64) -> Result<fuser::FileAttr, Errno> {
        match ino {
            1 => Ok(attributes(1, 0, FileType::Directory)),
            DISK_INO => Ok(attributes(ino, self.size, FileType::RegularFile)),
            CONTROL_INO => Ok(attributes(ino, 0, FileType::RegularFile)),
            _ => Err(Errno::ENOENT),
        }
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let ino = match name.to_str() {
            Some(DISK) => DISK_INO,
            Some(CONTROL) => CONTROL_INO,
            _ => return reply.error(Errno::ENOENT),
        };
        match self.state().attributes(ino) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.state().attributes(ino.0) {
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
        _: Option<u64>,
        _: Option<fuser::TimeOrNow>,
        _: Option<fuser::TimeOrNow>,
        _: Option<std::time::SystemTime>,
        _: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        // Whoever writes an order first empties the file, which is empty.
        match self.state().attributes(ino.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Nothing is cached in between: a write is recorded when the file system makes it.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
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
        let state = self.state();
        if ino.0 == CONTROL_INO {
            let told = state.tell();
            let rest = told.as_bytes().get(offset as usize..).unwrap_or_default();
            return reply.data(&rest[..rest.len().min(size as usize)]);
        }
        let len = u64::from(size).min(state.size.saturating_sub(offset));
        reply.data(&state.disk.read(offset, len as usize));
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
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
        if offset + data.len() as u64 > state.size {
            return reply.error(Errno::ENOSPC);
        }
        state.disk.write(offset, data);
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.state().disk.flush();
        reply.ok();
    }
}
