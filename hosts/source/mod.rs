//! Reading what others left: only regular files, never through a link, never without a bound.
//!
//! It promises:
//! - A source is opened for reading and for nothing else.
//! - A name is opened without following a link and without waiting for a pipe, and what was
//!   opened is looked at before a byte is read: what is no regular file is refused, also if it
//!   took the place of one since the folder was listed.
//! - What is read into memory at once is bounded by [`Limits`].
//!
//! On purpose it does not defend against who can swap folders above a file while it runs: who
//! can do that owns the files.

mod limits;

pub use limits::Limits;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// Opens the regular file at `path` for reading. A link as the last name of the path is refused.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for a link, a pipe, a socket, a device.
pub fn open(path: &Path) -> io::Result<File> {
    let file = open_unchecked(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_regular()),
    }
}

#[cfg(unix)]
fn open_unchecked(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    // Without waiting: a pipe would otherwise be waited for before it can be looked at.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path);
    opened.map_err(|e| match rustix::io::Errno::from_io_error(&e) {
        Some(rustix::io::Errno::LOOP) => not_regular(),
        _ => e,
    })
}

#[cfg(not(unix))]
fn open_unchecked(path: &Path) -> io::Result<File> {
    match path.symlink_metadata()?.is_symlink() {
        true => Err(not_regular()),
        false => OpenOptions::new().read(true).open(path),
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// What [`read_whole`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Whole {
    /// All of it.
    Bytes(Vec<u8>),
    /// It has more bytes than were asked for.
    TooLong,
}

/// Reads the regular file at `path` if it has at most `limit_bytes`.
///
/// # Errors
/// As [`open`], and the system's.
pub fn read_whole(path: &Path, limit_bytes: u64) -> io::Result<Whole> {
    let file = open(path)?;
    let expected = file.metadata()?.len();
    if expected > limit_bytes {
        return Ok(Whole::TooLong);
    }
    let mut bytes = Vec::with_capacity(expected as usize);
    // One more than allowed: it may have grown since.
    file.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit_bytes {
        true => Ok(Whole::TooLong),
        false => Ok(Whole::Bytes(bytes)),
    }
}

/// Reads the first `count` bytes of the regular file at `path`, or all if it has fewer.
///
/// # Errors
/// As [`open`], and the system's.
pub fn read_start(path: &Path, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count);
    open(path)?.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_regular_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f");
        fs::write(&path, b"12345").expect("writes");
        assert_eq!(
            read_whole(&path, 5).expect("reads"),
            Whole::Bytes(b"12345".to_vec())
        );
        assert_eq!(read_whole(&path, 4).expect("reads"), Whole::TooLong);
        assert_eq!(read_start(&path, 2).expect("reads"), b"12");
        assert_eq!(read_start(&path, 9).expect("reads"), b"12345");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_refused_and_never_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), b"x").expect("writes");
        std::os::unix::fs::symlink("file", at("link")).expect("links");
        std::os::unix::fs::symlink("loop", at("loop")).expect("links");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from(0o600),
            0,
        )
        .expect("makes a pipe");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("binds");
        for name in ["link", "loop", "pipe"] {
            let error = open(&at(name)).expect_err(name);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        for path in [at("socket"), "/dev/zero".into(), at(""), at("absent")] {
            assert!(open(&path).is_err(), "{}", path.display());
        }
        open(&at("file")).expect("it is one");
    }
}
