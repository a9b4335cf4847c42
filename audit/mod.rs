//! Auditing: what a journal holds that somebody should know of, and what may be done about it.
//!
//! - [`codes`]: what can be found; [`report`]: what was
//! - `files`, `sessions`: looking at the directory, at what the records say
//! - [`explain`]: the life of one session; [`idle`]: sessions in which nothing is done
//! - [`orphans`]: turns whose writer is gone; [`repair`]: what can be done without losing anything
//!
//! Promises:
//! - An audit takes no lock and changes nothing, also beside a writer that appends and compacts.
//! - A code's name, once given, keeps its meaning.
//! - Why a turn is unfinished follows from epochs. Clocks only say for how long.
//!
//! On purpose not here: reading bytes off files, which `recovery` does; deciding for the host
//! what becomes of a turn; the host's content, which is never looked at.
//!
//! Uses what every host may use, and of `recovery` the fold that its readers have.

pub mod codes;
pub mod explain;
mod files;
pub mod idle;
mod interrupt;
pub mod orphans;
pub mod repair;
pub mod report;
mod sessions;

pub use codes::{Category, Code};
pub use explain::{Deleted, Explanation, Stamp};
pub use idle::{IDLE, IdleSession, Verdict};
pub use orphans::{ORPHANED, Orphan};
pub use repair::{Action, Repair, RepairReport, Step};
pub use report::{AuditFinding, AuditReport};

use crate::error::{Error, Result};
use crate::journal::options::Options;
use crate::recovery::reader::Reader;
use crate::recovery::verify::{Progress, VerifyReport, verify_on};
use crate::storage::dir::Dir;
use crate::storage::{DiskStorage, Storage};
use report::Collector;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a journal is audited.
///
/// ```
/// use turnkeep::{Audit, Journal};
///
/// # let home = tempfile::tempdir()?;
/// # let path = home.path().join("j");
/// let (journal, _) = Journal::open(&path)?;
/// journal.session("s")?.begin(turnkeep::Input::user("hello"))?;
/// drop(journal); // the host dies
/// let report = Audit::new().stopped(true).run(&path)?;
/// assert_eq!(report.findings[0].code.as_str(), "turn.never-started");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Audit {
    storage: Arc<dyn Storage>,
    pub(crate) verify: bool,
    pub(crate) stopped: bool,
    pub(crate) unfinished_after: Duration,
    pub(crate) waiting_after: Duration,
    pub(crate) lost_claims: u32,
    pub(crate) dead_letters: u64,
    pub(crate) low_space_bytes: u64,
    pub(crate) max_findings: usize,
}

impl Default for Audit {
    fn default() -> Self {
        Audit {
            storage: Arc::new(DiskStorage),
            verify: true,
            stopped: false,
            unfinished_after: Duration::from_secs(3600),
            waiting_after: Duration::from_secs(3600),
            lost_claims: 2,
            dead_letters: 100,
            low_space_bytes: 256 << 20,
            max_findings: 10_000,
        }
    }
}

impl Audit {
    /// An audit that reads everything, with the thresholds below.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether every byte is read and checked, as [`crate::verify()`] does. Default true. Without,
    /// an audit costs what opening for reading costs.
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Says that no process writes: then what the latest writer left is left for good. Default
    /// false. After a clean close, and of what earlier writers left, an audit knows it anyway.
    pub fn stopped(mut self, stopped: bool) -> Self {
        self.stopped = stopped;
        self
    }

    /// After how long without a record an open turn is overdue. Default one hour.
    pub fn unfinished_after(mut self, age: Duration) -> Self {
        self.unfinished_after = age;
        self
    }

    /// After how long input that nobody took up is overdue. Default one hour.
    pub fn waiting_after(mut self, age: Duration) -> Self {
        self.waiting_after = age;
        self
    }

    /// From how many claims on that ended with their writer input is suspect. Default 2.
    pub fn lost_claims(mut self, count: u32) -> Self {
        self.lost_claims = count;
        self
    }

    /// How many dead letters a journal may keep before that is a finding. Default 100.
    pub fn dead_letters(mut self, count: u64) -> Self {
        self.dead_letters = count;
        self
    }

    /// Below how many free bytes the disk is low on space. Default 256 MiB.
    pub fn low_space_bytes(mut self, bytes: u64) -> Self {
        self.low_space_bytes = bytes;
        self
    }

    /// How many findings are listed; beyond that they are counted. Default 10,000, at least 1.
    /// Each costs a few hundred bytes of memory.
    pub fn max_findings(mut self, count: usize) -> Self {
        self.max_findings = count;
        self
    }

    /// Sets the disk. Default: the operating system's.
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = storage;
        self
    }

    /// Audits the journal at `path`. Takes no lock and changes nothing.
    ///
    /// Damage is not an error: it is in the report.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAJournal`], [`Error::NewerFormat`]; [`Error::Io`] if the
    /// directory cannot be listed.
    pub fn run(&self, path: impl AsRef<Path>) -> Result<AuditReport> {
        self.run_with(path, &mut |_| ())
    }

    /// As [`Audit::run`], saying how far the reading has come.
    ///
    /// # Errors
    /// As [`Audit::run`].
    pub fn run_with(
        &self,
        path: impl AsRef<Path>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<AuditReport> {
        let started = Instant::now();
        let path = path.as_ref();
        let dir = Dir::new(self.storage.clone(), path);
        let verified = match self.verify {
            true => Some(verify_on(self.storage.clone(), path, progress)?),
            false => None,
        };
        let reader = match (self.open(path), &verified) {
            (Ok(reader), _) => Some(reader),
            // Whoever asked for a quick look is told what else there is.
            (Err(Error::Corrupt(_)), None) => {
                return self.clone().verify(true).run_with(path, progress);
            }
            (Err(Error::Corrupt(_) | Error::Io { .. }), Some(_)) => None,
            (Err(error), _) => return Err(error),
        };
        let mut out = Collector::new(self.max_findings);
        out.report.is_readable = reader.is_some();
        out.report.is_verified = verified.is_some();
        files::inspect(self, &dir, reader.as_ref(), verified.as_ref(), &mut out)?;
        if let Some(reader) = &reader {
            out.report.durable_lsn = reader.durable_lsn();
            sessions::inspect(self, reader, &mut out);
        }
        let mut report = out.report;
        report.finish();
        report.micros = started.elapsed().as_micros() as u64;
        Ok(report)
    }

    pub(crate) fn open(&self, path: &Path) -> Result<Reader> {
        let options = Options::default().storage(self.storage.clone());
        options.open_read_only(path)
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Storage> {
        &self.storage
    }
}
