//! The model, spoken to by the kernel.

use super::model::{Errno, Model, Node, PAGE_BYTES};
use super::shared::{Asks, Shared};
use fuser::{
    BsdFileFlags, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long the kernel may remember names and attributes. It alone changes them.
const REMEMBER: Duration = Duration::from_secs(3600);
/// What a disk without a limit says is free.
const ENDLESS_BYTES: u64 = 1 << 40;

/// The file system.
pub struct Files(pub Arc<Shared>);

impl Files {
    fn make(
        &self,
        dir: u64,
        name: &OsStr,
        mode: u32,
        is_dir: bool,
    ) -> Result<FileAttr, fuser::Errno> {
        self.0.change(|model| {
            let ino = model.create(dir, name, mode, is_dir)?;
            attributes(model, ino)
        })
    }

    fn remove(&self, dir: u64, name: &OsStr, empty: bool) -> Result<(), fuser::Errno> {
        self.0.change(|model| {
            let ino = model.lookup(dir, name)?;
            let has_names = model
                .node(ino)?
                .names
                .as_ref()
                .is_some_and(|names| !names.is_empty());
            if empty && has_names {
                return Err(libc::ENOTEMPTY);
            }
            model.change(vec![(dir, name.to_owned(), None)])
        })
    }

    fn sync(&self, ino: u64) -> Result<(), fuser::Errno> {
        self.0.request(Asks::ToChange, |state| {
            let fails = std::mem::take(&mut state.fail_sync);
            state.met |= fails;
            state.model.sync(ino, fails)
        })
    }

    fn opens(&self, ino: u64, more: bool) -> Result<(), fuser::Errno> {
        self.0.request(Asks::ToLook, |state| {
            let node = state.model.node_mut(ino)?;
            node.opens = if more {
                node.opens + 1
            } else {
                node.opens.saturating_sub(1)
            };
            Ok(())
        })
    }
}

fn attributes(model: &Model, ino: u64) -> Result<FileAttr, Errno> {
    let Node {
        names, live, mode, ..
    } = model.node(ino)?;
    let epoch = SystemTime::UNIX_EPOCH;
    Ok(FileAttr {
        ino: INodeNo(ino),
        size: live.len,
        blocks: model.allocated_bytes(ino) / 512,
        atime: epoch,
        mtime: epoch,
        ctime: epoch,
        crtime: epoch,
        kind: if names.is_some() {
            FileType::Directory
        } else {
            FileType::RegularFile
        },
        perm: *mode as u16,
        nlink: model.links(ino).max(1) as u32,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: PAGE_BYTES as u32,
        flags: 0,
    })
}

macro_rules! answer {
    ($done:expr, $reply:ident, $value:pat => $good:expr) => {
        match $done {
            Ok($value) => $good,
            Err(errno) => $reply.error(errno),
        }
    };
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self
            .0
            .look(|model| attributes(model, model.lookup(parent.0, name)?));
        answer!(found, reply, attr => reply.entry(&REMEMBER, &attr, Generation(0)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self.0.look(|model| attributes(model, ino.0));
        answer!(found, reply, attr => reply.attr(&REMEMBER, &attr));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
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
        let done = self.0.change(|model| {
            let node = model.node_mut(ino.0)?;
            node.mode = mode.map_or(node.mode, |mode| mode & 0o7777);
            if let Some(size) = size {
                node.resize(size);
            }
            attributes(model, ino.0)
        });
        answer!(done, reply, attr => reply.attr(&REMEMBER, &attr));
    }

    fn mkdir(&self, _: &Request, dir: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let made = self.make(dir.0, name, mode, true);
        answer!(made, reply, attr => reply.entry(&REMEMBER, &attr, Generation(0)));
    }

    fn create(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let made = self.make(dir.0, name, mode, false).and_then(|attr| {
            self.opens(attr.ino.0, true)?;
            Ok(attr)
        });
        answer!(made, reply, attr => {
            reply.created(&REMEMBER, &attr, Generation(0), FileHandle(0), FopenFlags::empty())
        });
    }

    fn unlink(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(self.remove(dir.0, name, false), reply, () => reply.ok());
    }

    fn rmdir(&self, _: &Request, dir: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer!(self.remove(dir.0, name, true), reply, () => reply.ok());
    }

    fn rename(
        &self,
        _: &Request,
        dir: INodeNo,
        name: &OsStr,
        to_dir: INodeNo,
        to_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.0.change(|model| {
            let ino = model.lookup(dir.0, name)?;
            if flags.contains(RenameFlags::RENAME_EXCHANGE) {
                return Err(libc::EINVAL);
            }
            let taken = model.lookup(to_dir.0, to_name).is_ok();
            if taken && flags.contains(RenameFlags::RENAME_NOREPLACE) {
                return Err(libc::EEXIST);
            }
            model.change(vec![
                (dir.0, name.to_owned(), None),
                (to_dir.0, to_name.to_owned(), Some(ino)),
            ])
        });
        answer!(done, reply, () => reply.ok());
    }

    fn link(&self, _: &Request, ino: INodeNo, dir: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let done = self.0.change(|model| {
            if model.lookup(dir.0, name).is_ok() {
                return Err(libc::EEXIST);
            }
            model.change(vec![(dir.0, name.to_owned(), Some(ino.0))])?;
            attributes(model, ino.0)
        });
        answer!(done, reply, attr => reply.entry(&REMEMBER, &attr, Generation(0)));
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let done = self.opens(ino.0, true);
        answer!(done, reply, () => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE));
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        answer!(self.opens(ino.0, false), reply, () => reply.ok());
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
        let read = self
            .0
            .look(|model| Ok(model.node(ino.0)?.live.read(offset, size as usize)));
        answer!(read, reply, bytes => reply.data(&bytes));
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
        let done = self.0.change(|model| model.write(ino.0, offset, data));
        answer!(done, reply, written => reply.written(written as u32));
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let range = offset..offset.saturating_add(length);
        let zeros = mode & (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE) != 0;
        let done = self.0.change(|model| {
            if zeros {
                model.zero(ino.0, range.clone())?;
            }
            if mode & libc::FALLOC_FL_PUNCH_HOLE == 0 {
                model.allocate(ino.0, range.clone())?;
            }
            let node = model.node_mut(ino.0)?;
            if mode & libc::FALLOC_FL_KEEP_SIZE == 0 && node.live.len < range.end {
                node.resize(range.end);
            }
            Ok(())
        });
        answer!(done, reply, () => reply.ok());
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(self.sync(ino.0), reply, () => reply.ok());
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer!(self.sync(ino.0), reply, () => reply.ok());
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.0.look(|model| {
            let names = model.names(ino.0)?.iter();
            let kind = |ino: u64| match model.node(ino) {
                Ok(node) if node.names.is_none() => FileType::RegularFile,
                _ => FileType::Directory,
            };
            Ok(names
                .map(|(name, &ino)| (ino, kind(ino), name.clone()))
                .collect::<Vec<_>>())
        });
        answer!(listed, reply, names => {
            let dots = [".", ".."].map(|dot| (ino.0, FileType::Directory, dot.into()));
            let all = dots.into_iter().chain(names).zip(1u64..);
            for ((ino, kind, name), next) in all.skip(offset as usize) {
                if reply.add(INodeNo(ino), next, kind, name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let said = self.0.look(|model| {
            Ok((
                model.used_bytes(),
                model.free_bytes().unwrap_or(ENDLESS_BYTES),
            ))
        });
        answer!(said, reply, (used, free) => {
            let page = PAGE_BYTES as u64;
            let (all, free) = ((used + free) / page, free / page);
            reply.statfs(all, free, free, 1 << 20, 1 << 20, PAGE_BYTES as u32, 255, PAGE_BYTES as u32);
        });
    }
}
