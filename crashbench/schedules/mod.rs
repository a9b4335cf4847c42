//! What goes wrong: one function for each schedule, the same for every store.

mod damage;
mod kill;
#[cfg(target_os = "linux")]
mod on_disk;

use crate::Result;
use crate::args::{ReaderArgs, WorkerArgs};
use crate::files;
use crate::ledger::Ledger;
use crate::process::{Lab, Worker};
use crate::record::Workload;
use crate::results::{Outcome, Verdict};
use crate::rng::Rng;
use crate::stores::Kind;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// SIGKILL at a random moment. The kernel keeps what was written.
    Kill,
    /// Power fails at a random write, sync or rename. Names are kept in order, as journaling file
    /// systems do: a sync of any file also keeps every name made before it.
    PowerLoss,
    /// The same where a name is only kept by a sync of its directory, which is all that POSIX says.
    PowerLossPosix,
    /// One sync fails, and its pages are dropped, as Linux does. The worker goes on if it can; in
    /// every second round it stops at the error and is started again. Then power fails.
    FailedSync,
    /// The disk fills up. The worker tries three more records. Then there is space again.
    FullDisk,
    /// One bit flips after a clean close, in some block that holds anything.
    FlippedBit,
    /// A file between the first and the last is deleted after a clean close.
    DeletedFile,
}

impl Schedule {
    /// What the command line calls it.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it needs the disk that loses power.
    pub fn needs_disk(self) -> bool {
        use Schedule::*;
        matches!(self, PowerLoss | PowerLossPosix | FailedSync | FullDisk)
    }
}

/// What a worker is to do that meets trouble half way.
#[cfg(target_os = "linux")]
struct Plan {
    /// How many records it appends at most.
    count: u64,
    /// After how many acknowledgements it waits for the trouble.
    pause: u64,
    /// After how many errors in a row it gives up.
    give_up: u64,
}

/// One round: a store, a schedule, a seed.
pub struct Round<'a> {
    /// How processes are started.
    pub lab: &'a Lab,
    /// The store.
    pub kind: &'a Kind,
    /// The seed of the run.
    pub seed: u64,
    /// Which round of the cell.
    pub number: u64,
    /// Where directories are made.
    pub home: PathBuf,
}

impl Round<'_> {
    /// Runs it. The same seed and number choose the same records and damage for every store.
    ///
    /// # Errors
    /// What goes wrong in the benchmark, never in the store.
    pub fn run(&self, schedule: Schedule) -> Result<Outcome> {
        let rng = Rng::of(self.seed, &[&schedule.name()], self.number);
        match schedule {
            Schedule::Kill => kill::run(self, rng),
            Schedule::FlippedBit => damage::flipped_bit(self, rng),
            Schedule::DeletedFile => damage::deleted_file(self, rng),
            #[cfg(target_os = "linux")]
            Schedule::PowerLoss | Schedule::PowerLossPosix => {
                on_disk::power_loss(self, schedule, rng)
            }
            #[cfg(target_os = "linux")]
            Schedule::FailedSync => on_disk::failed_sync(self, rng),
            #[cfg(target_os = "linux")]
            Schedule::FullDisk => on_disk::full_disk(self, rng),
            #[cfg(not(target_os = "linux"))]
            _ => Err("needs Linux".into()),
        }
    }

    /// The records of this round, `bytes` long in the mean.
    fn workload(&self, bytes: usize) -> Workload {
        let seed = Rng::of(self.seed, &["workload"], self.number).next_u64();
        Workload {
            seed,
            sessions: 8,
            bytes,
        }
    }

    /// Starts a worker with the next records, and lets it come as far as its pause.
    #[cfg(target_os = "linux")]
    fn paused_worker(
        &self,
        dir: &Path,
        workload: &Workload,
        ledger: &mut Ledger,
        plan: Plan,
    ) -> Result<Worker> {
        let mut args = self.worker_args(dir, workload, ledger, plan.count);
        (args.pause, args.give_up) = (Some(plan.pause), plan.give_up);
        let mut worker = self.lab.worker(&args)?;
        match worker.paused(ledger) {
            None => Ok(worker),
            Some(event) => {
                Err(format!("{} failed on a good disk: {event:?}", self.kind.name).into())
            }
        }
    }

    /// Starts a worker with the next `count` records.
    fn worker(
        &self,
        dir: &Path,
        workload: &Workload,
        ledger: &mut Ledger,
        count: u64,
        close: bool,
    ) -> Result<Worker> {
        let mut args = self.worker_args(dir, workload, ledger, count);
        args.close = close;
        self.lab.worker(&args)
    }

    fn worker_args(
        &self,
        dir: &Path,
        workload: &Workload,
        ledger: &mut Ledger,
        count: u64,
    ) -> WorkerArgs {
        let from = ledger.next();
        ledger.began(from);
        WorkerArgs {
            store: self.kind.name.to_owned(),
            dir: dir.to_owned(),
            seed: workload.seed,
            sessions: workload.sessions,
            bytes: workload.bytes,
            from,
            count,
            give_up: 3,
            pause: None,
            close: false,
        }
    }

    /// Opens and reads what is left, and compares it with the ledger.
    fn judge(
        &self,
        dir: &Path,
        workload: &Workload,
        ledger: &Ledger,
        note: Option<String>,
    ) -> Result<Outcome> {
        let args = ReaderArgs {
            store: self.kind.name.to_owned(),
            dir: dir.to_owned(),
        };
        let (lines, status, complaint) = self.lab.read(&args)?;
        let mut prints = Vec::new();
        let mut reopen_micros = None;
        let mut refused = None;
        let mut verified = false;
        for line in &lines {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("record", print) => prints.push(print.parse()?),
                ("read", micros) => reopen_micros = Some(micros.parse()?),
                ("fail", why) => refused = Some(why.to_owned()),
                ("verified", "") => verified = true,
                _ => {}
            }
        }
        let difference = ledger.compare(workload, &prints);
        let differs = difference.missing + difference.invented > 0;
        let (verdict, said) = match (status, refused) {
            (None, _) => (Verdict::Hung, Some("hung".to_owned())),
            (_, Some(why)) => (Verdict::Refused, Some(why)),
            _ if !verified => (Verdict::Died, Some(complaint)),
            _ if differs => (Verdict::Silent, None),
            _ => (Verdict::Whole, None),
        };
        Ok(Outcome {
            verdict,
            acked: ledger.count(),
            missing: difference.missing,
            invented: difference.invented,
            reopen_micros,
            space_bytes: files::allocated_bytes(dir)?,
            payload_bytes: ledger.bytes(workload),
            append_hung: false,
            append_died: false,
            said,
            note,
        })
    }
}

/// A round in which there was nothing to do, and why.
fn not_applicable(why: &str) -> Outcome {
    Outcome {
        verdict: Verdict::NotApplicable,
        acked: 0,
        missing: 0,
        invented: 0,
        reopen_micros: None,
        space_bytes: 0,
        payload_bytes: 0,
        append_hung: false,
        append_died: false,
        said: None,
        note: Some(why.to_owned()),
    }
}
