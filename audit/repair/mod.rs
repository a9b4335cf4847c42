//! Repairing what an audit found, as far as nothing can be lost by it.
//!
//! A repair opens the journal, which is what cuts a torn tail, writes into the journal what it is
//! about to do, and does it; an audit before and one after say what came of it. If nothing is to
//! be repaired, the journal is not opened and not a byte is written, so a second repair does
//! nothing.
//!
//! What a crash leaves: before the record is durable, what an opening leaves; after it, the
//! record of what was planned and any part of it done. Each step alone is a batch, a manifest or a
//! change of rights, so each is there or not, and the next repair plans what is left.
//!
//! On purpose not here: anything about damage, which [`crate::salvage()`] rescues into another
//! directory; anything that only the host can decide, unless it said how.

mod plan;
mod report;

pub use plan::{Action, Step};
pub use report::RepairReport;

use super::orphans::Orphan;
use super::report::AuditReport;
use super::{Audit, Progress};
use crate::error::Result;
use crate::format::ids::Lsn;
use crate::journal::handle::Journal;
use crate::journal::options::Options;
use crate::journal::shared::{Durability, NewRecord};
use crate::model::event::Kind;
use crate::model::session::JOURNAL_SESSION;
use crate::recovery::report::Recovery;
use crate::snapshot::checkpoint;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// The name of the record in which a repair tells what it is about to do.
pub const REPAIRED: &str = "repaired";

/// How a journal is repaired. The host must be stopped: its lock is taken.
///
/// ```
/// use turnkeep::{Input, Journal, Repair};
///
/// # let home = tempfile::tempdir()?;
/// # let path = home.path().join("j");
/// let (journal, _) = Journal::open(&path)?;
/// journal.session("s")?.begin(Input::user("hello"))?;
/// drop(journal); // the host dies
/// let repair = Repair::new().interrupt_orphans(true);
/// assert_eq!(repair.plan(&path)?.steps.len(), 1); // nothing is written
/// assert!(repair.run(&path)?.is_done());
/// assert!(repair.run(&path)?.steps.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Repair {
    audit: Audit,
    options: Options,
    interrupt_orphans: bool,
}

impl Default for Repair {
    fn default() -> Self {
        Repair {
            audit: Audit::new(),
            options: Options::default(),
            interrupt_orphans: false,
        }
    }
}

impl Repair {
    /// A repair of files only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the disk and the keys. What would drop something (snapshots beyond a count, keys that
    /// are no longer remembered, compaction) is not taken from them.
    pub fn options(mut self, options: Options) -> Self {
        self.audit = self.audit.storage(options.disk());
        self.options = options;
        self
    }

    /// Whether turns whose writer is gone are interrupted on record, as
    /// [`crate::Session::interrupt_orphans`] does it. Default no: a host may want to resume them.
    pub fn interrupt_orphans(mut self, interrupt: bool) -> Self {
        self.interrupt_orphans = interrupt;
        self
    }

    /// Sets how the journal is audited before and after: thresholds and how many findings the
    /// reports list. The disk is that of [`Repair::options`].
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = audit.storage(self.options.disk());
        self
    }

    /// Tells what [`Repair::run`] would do if no host runs. Takes no lock and changes nothing.
    ///
    /// # Errors
    /// As [`Audit::run`].
    pub fn plan(&self, path: impl AsRef<Path>) -> Result<RepairReport> {
        self.plan_with(path.as_ref(), &mut |_| ())
    }

    /// As [`Repair::plan`], saying how far the reading has come.
    ///
    /// # Errors
    /// As [`Audit::run`].
    pub fn plan_with(
        &self,
        path: impl AsRef<Path>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<RepairReport> {
        let (before, steps) = self.look(path.as_ref(), progress)?;
        Ok(RepairReport::planned(before, steps))
    }

    /// Repairs the journal at `path`. A journal with damage is left as it is:
    /// [`RepairReport::is_blocked`].
    ///
    /// # Errors
    /// [`crate::Error::Locked`] if a host runs, if there is anything to do; [`crate::Error::NoSpace`],
    /// [`crate::Error::Io`], and as [`Options::open`] and [`Audit::run`]. What was done by then is on
    /// record, and running it again does the rest.
    pub fn run(&self, path: impl AsRef<Path>) -> Result<RepairReport> {
        self.run_with(path.as_ref(), &mut |_| ())
    }

    /// As [`Repair::run`], saying how far the reading has come; it reads everything twice.
    ///
    /// # Errors
    /// As [`Repair::run`].
    pub fn run_with(
        &self,
        path: impl AsRef<Path>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<RepairReport> {
        let path = path.as_ref();
        let (before, steps) = self.look(path, progress)?;
        let mut report = RepairReport::planned(before, steps);
        report.is_dry_run = false;
        if report.is_blocked || report.steps.is_empty() {
            return Ok(report);
        }
        let (journal, recovery) = self.open(path)?;
        let done = self.work(&journal, &recovery, &mut report);
        // Whatever failed, what was appended by then becomes durable.
        let closed = journal.close();
        done.and(closed)?;
        report.recovery = Some(recovery);
        let (after, left) = self.look(path, progress)?;
        report.finish(after, &left);
        Ok(report)
    }

    /// What there is, and what is to be done about it: as if no host ran, and without leaving any
    /// of it out.
    fn look(
        &self,
        path: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(AuditReport, Vec<Step>)> {
        let listed = self.audit.max_findings;
        let all = self.audit.clone().stopped(true).verify(true);
        let mut found = all.max_findings(usize::MAX).run_with(path, progress)?;
        let steps = plan::steps(&found, self.interrupt_orphans);
        found.findings.truncate(listed.max(1));
        Ok((found, steps))
    }

    /// Opens it so that nothing is dropped that another opening would have kept.
    fn open(&self, path: &Path) -> Result<(Journal, Recovery)> {
        let options = self.options.clone().create(false).background(false);
        let options = options.keep_snapshots(usize::MAX).key_window(usize::MAX);
        // Without the keys, a call can still be interrupted.
        options.show_sealed(true).open(path)
    }

    fn work(&self, journal: &Journal, found: &Recovery, report: &mut RepairReport) -> Result<()> {
        let note = report.note(found);
        report.record = Some(record(journal, &note)?);
        let dir = &journal.shared.dir;
        for step in &mut report.steps {
            if step.action == Action::Restrict
                && let Some(file) = &step.file
                && let Err(error) = dir.storage().restrict(&dir.join(file))
                // A leftover that the opening has removed.
                && error.kind() != io::ErrorKind::NotFound
            {
                step.why = Some(error.to_string());
            }
        }
        if self.interrupt_orphans {
            report.interrupted = interrupt(journal)?;
        }
        if report.steps.iter().any(|s| s.action == Action::Renew) {
            checkpoint::renew(journal)?;
        }
        Ok(())
    }
}

/// Writes down what is about to be done. Durable when it returns.
fn record(journal: &Journal, note: &str) -> Result<Lsn> {
    let mut record = NewRecord::new(JOURNAL_SESSION, Kind::Maintenance);
    record.envelope.name = REPAIRED;
    record.content = note.as_bytes();
    let (place, _) = journal.shared.append(Durability::Durable, &record)?;
    Ok(place.lsn)
}

fn interrupt(journal: &Journal) -> Result<Vec<Orphan>> {
    let open = journal.open_turns()?;
    let orphaned = open.iter().filter(|turn| turn.cause().is_orphaned());
    let sessions: BTreeSet<&str> = orphaned.map(|turn| &*turn.session).collect();
    let mut interrupted = Vec::new();
    for session in sessions {
        interrupted.extend(journal.find(session)?.interrupt_orphans()?);
    }
    Ok(interrupted)
}
