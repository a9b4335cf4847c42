//! Operations that fail on request.

use std::fmt;
use std::io;

/// The kinds of operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpKind {
    /// `Storage::open`, in any mode.
    Open,
    /// `File::read_at`.
    Read,
    /// `File::write_all_at`. When made to fail, any prefix is written.
    Write,
    /// `File::set_len`. When made to fail, the length stays.
    SetLen,
    /// `File::sync_data`. When made to fail, the un-synced sectors are marked clean
    /// without being durable, as kernels do.
    SyncData,
    /// `File::map` and `File::page`.
    Map,
    /// `Storage::create_dir`.
    CreateDir,
    /// `Storage::list`.
    List,
    /// `Storage::rename`. When made to fail, nothing was renamed.
    Rename,
    /// `Storage::remove`. When made to fail, nothing was removed.
    Remove,
    /// `Storage::sync_dir`. When made to fail, the names stay as likely to survive as before.
    SyncDir,
    /// `Storage::lock`.
    Lock,
}

/// What a failing operation fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// An error of that kind.
    Kind(io::ErrorKind),
    /// The system's error of that number, for example 5 (`EIO`) on Linux.
    Os(i32),
}

impl From<io::ErrorKind> for FaultError {
    fn from(kind: io::ErrorKind) -> Self {
        FaultError::Kind(kind)
    }
}

impl From<i32> for FaultError {
    fn from(number: i32) -> Self {
        FaultError::Os(number)
    }
}

impl From<FaultError> for io::Error {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Kind(kind) => kind.into(),
            FaultError::Os(number) => io::Error::from_raw_os_error(number),
        }
    }
}

/// Which operations fail from here on.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    waiting: Vec<Fault>,
    /// How many operations failed so far.
    pub met: u64,
}

#[derive(Clone, Debug)]
struct Fault {
    kind: OpKind,
    /// How many of the kind succeed before.
    before: u64,
    error: FaultError,
    sticky: bool,
}

impl Faults {
    pub fn add(&mut self, kind: OpKind, before: u64, error: FaultError, sticky: bool) {
        self.waiting.push(Fault {
            kind,
            before,
            error,
            sticky,
        });
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Counts one operation of `kind`; says whether it fails.
    pub fn hit(&mut self, kind: OpKind) -> Option<io::Error> {
        let mut error = None;
        self.waiting.retain_mut(|fault| {
            if fault.kind != kind {
                return true;
            }
            if fault.before > 0 {
                fault.before -= 1;
                return true;
            }
            error.get_or_insert(fault.error);
            fault.sticky
        });
        self.met += u64::from(error.is_some());
        error.map(io::Error::from)
    }
}

/// The error of every operation on a machine that is off, and of every handle from before.
#[derive(Debug)]
struct PoweredOff;

impl fmt::Display for PoweredOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("powered off")
    }
}

impl std::error::Error for PoweredOff {}

pub fn powered_off() -> io::Error {
    io::Error::other(PoweredOff)
}

/// Whether the error says that the simulated machine is off, or that the handle is of an
/// earlier life.
pub fn is_powered_off(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<PoweredOff>())
}
