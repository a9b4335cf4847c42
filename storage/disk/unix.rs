//! Unix: descriptors never inherited, links never followed, pipes never waited for.

use super::super::{DirEntry, FileKind, Meta, OpenMode};
use super::{drain, fill, not_a_regular_file};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// 0600.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// 0700.
const DIR_MODE: Mode = Mode::RWXU;

/// File systems that write changed blocks to a new place, by the numbers of Linux's
/// `magic.h` and of the out-of-tree ones' own headers.
#[cfg(any(target_os = "linux", target_os = "android"))]
const COPY_ON_WRITE: [u32; 3] = [
    0x9123_683E, // btrfs
    0x2FC1_2FC1, // zfs
    0xCA45_1A4E, // bcachefs
];

pub fn open(path: &Path, mode: OpenMode) -> io::Result<fs::File> {
    // NONBLOCK changes nothing for a regular file; a pipe without a writer would hang the open.
    let common = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = match mode {
        OpenMode::Read => OFlags::RDONLY,
        OpenMode::ReadWrite => OFlags::RDWR,
        OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
    };
    let opened = rustix::io::retry_on_intr(|| rustix::fs::open(path, common | flags, FILE_MODE));
    let fd = opened.map_err(|errno| match errno {
        Errno::LOOP | Errno::MLINK => not_a_regular_file("a symbolic link"),
        Errno::ISDIR => not_a_regular_file("a directory"),
        Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP => not_a_regular_file("a socket or device"),
        errno => errno.into(),
    })?;
    let stat = rustix::fs::fstat(&fd)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(not_a_regular_file("a directory")),
        FileType::Fifo => return Err(not_a_regular_file("a pipe")),
        _ => return Err(not_a_regular_file("a device")),
    }
    if mode == OpenMode::CreateNew && Mode::from_raw_mode(stat.st_mode) != FILE_MODE {
        // A umask can only take bits away, but those may be the owner's own.
        if let Err(errno) = rustix::fs::fchmod(&fd, FILE_MODE) {
            // The name was free a moment ago, so what is there is this file: leave nothing.
            let _ = fs::remove_file(path);
            return Err(errno.into());
        }
    }
    Ok(fs::File::from(fd))
}

/// Whether nobody but its owner may use the file.
pub fn is_private(file: &fs::File) -> io::Result<bool> {
    let mode = Mode::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
    Ok(!mode.intersects(Mode::RWXG | Mode::RWXO))
}

pub fn create_dir(path: &Path) -> io::Result<()> {
    rustix::fs::mkdir(path, DIR_MODE)?;
    // The set-group-id bit that some directories hand down does no harm.
    let permissions = Mode::RWXU | Mode::RWXG | Mode::RWXO;
    let given = Mode::from_raw_mode(rustix::fs::lstat(path)?.st_mode);
    if given & permissions == DIR_MODE {
        return Ok(());
    }
    // Through a descriptor if the umask left the owner a way in, else by name.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => rustix::fs::fchmod(&fd, DIR_MODE)?,
        Err(Errno::ACCESS) => rustix::fs::chmod(path, DIR_MODE)?,
        Err(errno) => return Err(errno.into()),
    }
    Ok(())
}

pub fn list(path: &Path) -> io::Result<Vec<DirEntry>> {
    // Not std's: it panics if closing the directory fails, which it may on a sick file system.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
    let mut dir = Dir::new(fd)?;
    let mut entries = Vec::new();
    while let Some(entry) = dir.read() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                match rustix::fs::statat(dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    // Gone between the listing and the question: a reader races with compaction.
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(errno.into()),
                }
            }
            kind => kind,
        };
        entries.push(DirEntry {
            name: name.to_string_lossy().into_owned(),
            is_file: kind == FileType::RegularFile,
        });
    }
    Ok(entries)
}

pub fn meta(path: &Path) -> io::Result<Meta> {
    let stat = rustix::fs::lstat(path)?;
    Ok(Meta {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Dir,
            FileType::Symlink => FileKind::Link,
            _ => FileKind::Other,
        },
        mode: Some(Mode::from_raw_mode(stat.st_mode).bits() & 0o777),
    })
}

pub fn restrict(path: &Path) -> io::Result<()> {
    // Through a descriptor, so that a link which takes the name meanwhile is not followed.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    Ok(rustix::fs::fchmod(&fd, mode & !(Mode::RWXG | Mode::RWXO))?)
}

pub fn sync_dir(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::fs::fsync(&fd)?;
    // On macOS std asks for F_FULLFSYNC, without which the drive may keep names in its cache.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fs::File::from(fd).sync_all()?;
    Ok(())
}

pub fn sync_data(file: &fs::File) -> io::Result<()> {
    // Not std's: it asks again when interrupted, and only the first answer can be believed.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::fs::fdatasync(file)?;
    // On macOS std asks for F_FULLFSYNC.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    file.sync_all()?;
    Ok(())
}

pub fn read_at(file: &fs::File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    fill(buf, |rest, done| file.read_at(rest, offset + done as u64))
}

pub fn write_all_at(file: &fs::File, buf: &[u8], offset: u64) -> io::Result<()> {
    drain(buf, |rest, done| file.write_at(rest, offset + done as u64))
}

pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::io::retry_on_intr(|| rustix::fs::statvfs(path))?;
    let unit = if stat.f_frsize == 0 {
        stat.f_bsize
    } else {
        stat.f_frsize
    };
    Ok(stat.f_bavail.saturating_mul(unit))
}

pub fn overwrites_in_place(path: &Path) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        rustix::fs::statfs(path).is_ok_and(|stat| !COPY_ON_WRITE.contains(&(stat.f_type as u32)))
    }
    // APFS copies on write; elsewhere nothing is claimed that is not known.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = path;
        false
    }
}

/// As [`overwrites_in_place`], for an open file.
pub fn file_overwrites_in_place(file: &fs::File) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        rustix::fs::fstatfs(file).is_ok_and(|stat| !COPY_ON_WRITE.contains(&(stat.f_type as u32)))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = file;
        false
    }
}

pub fn entropy() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let mut filled = 0;
        while filled < bytes.len() {
            let flags = rustix::rand::GetRandomFlags::empty();
            match rustix::rand::getrandom(&mut bytes[filled..], flags) {
                Ok(n) => filled += n,
                Err(Errno::INTR) => {}
                // A kernel or sandbox without the call still has the device.
                Err(Errno::NOSYS | Errno::PERM) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        if filled == bytes.len() {
            return Ok(bytes);
        }
    }
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

/// Takes the exclusive lock of the open file; `false` if another open file has it.
pub fn try_lock(file: &fs::File) -> io::Result<bool> {
    let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    match rustix::io::retry_on_intr(|| rustix::fs::flock(file, operation)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether `path` still leads to the open file.
pub fn is_at(file: &fs::File, path: &Path) -> io::Result<bool> {
    let open = rustix::fs::fstat(file)?;
    match rustix::fs::lstat(path) {
        Ok(named) => Ok((open.st_dev, open.st_ino) == (named.st_dev, named.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// When this process began, in clock ticks since boot, which tells apart two processes that
/// had the same pid; `None` where that is not cheap to learn.
pub fn process_start() -> Option<u64> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name, second field, may contain anything, also spaces and brackets; start time
        // is field 22, thus the 20th after it.
        let (_, after_name) = stat.rsplit_once(')')?;
        after_name.split_ascii_whitespace().nth(19)?.parse().ok()
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    None
}
