//! The schedules that need a disk of their own: power loss, a failed sync, a full disk.

use super::{Plan, Round, Schedule, not_applicable};
use crate::Result;
use crate::disk::{Disk, Fault, Keep, Names};
use crate::ledger::Ledger;
use crate::process::{Finish, Worker};
use crate::results::Outcome;
use crate::rng::Rng;
use std::time::Duration;

/// After how long without any change on the disk the power is cut all the same.
const IDLE: Duration = Duration::from_secs(10);

/// Cuts the power at one of the next changes after some acknowledgements. In even rounds nothing
/// survives that was not synced, in odd rounds a part of it.
pub fn power_loss(round: &Round, schedule: Schedule, mut rng: Rng) -> Result<Outcome> {
    let names = match schedule {
        Schedule::PowerLossPosix => Names::BySyncOfDirectory,
        _ => Names::Journaled,
    };
    let mut disk = Disk::mount(names)?;
    let workload = round.workload(record_bytes(round));
    let mut ledger = Ledger::default();
    let plan = Plan {
        count: 1 << 20,
        pause: rng.between(10, 300),
        give_up: 3,
    };
    let mut worker = round.paused_worker(&disk.home(), &workload, &mut ledger, plan)?;
    let change = rng.between(1, 30);
    disk.arm(Fault::PowerOff { change });
    worker.go()?;
    cut(&disk, worker, &mut ledger)?;
    let (keep, what) = match round.number.is_multiple_of(2) {
        true => (Keep::Nothing, "nothing un-synced kept"),
        false => (Keep::Some(&mut rng), "part of what was un-synced kept"),
    };
    disk.power_on(keep)?;
    round.judge(&disk.home(), &workload, &ledger, Some(what.to_owned()))
}

/// Lets one sync fail. In even rounds the host goes on with its next records as far as the store
/// lets it; in odd rounds it stops at the first error and is started again, while the kernel still
/// shows what never reached the disk. Then power fails.
pub fn failed_sync(round: &Round, mut rng: Rng) -> Result<Outcome> {
    let mut disk = Disk::mount(Names::Journaled)?;
    let workload = round.workload(record_bytes(round));
    let mut ledger = Ledger::default();
    let starts_again = !round.number.is_multiple_of(2);
    let pause = rng.between(10, 120);
    let give_up = if starts_again { 1 } else { 3 };
    let plan = Plan {
        count: pause + 80,
        pause,
        give_up,
    };
    let mut worker = round.paused_worker(&disk.home(), &workload, &mut ledger, plan)?;
    disk.arm(Fault::FailSync);
    worker.go()?;
    let mut seen = Seen::new(worker.finish(&mut ledger));
    if !disk.met() {
        worker.bury(&mut ledger);
        return Ok(not_applicable("asked for no sync in 80 records"));
    }
    if starts_again {
        worker.bury(&mut ledger);
        worker = round.worker(&disk.home(), &workload, &mut ledger, 30, false)?;
        seen = seen.and_then(worker.finish(&mut ledger));
    }
    disk.arm(Fault::PowerOff { change: 1 });
    disk.wait_for_cut(Duration::ZERO);
    worker.kill()?;
    disk.release();
    worker.bury(&mut ledger);
    disk.power_on(Keep::Nothing)?;
    Ok(seen.enter(round.judge(&disk.home(), &workload, &ledger, None)?))
}

/// Fills the disk. After three refusals in a row the host stops; then there is space again.
pub fn full_disk(round: &Round, mut rng: Rng) -> Result<Outcome> {
    let disk = Disk::mount(Names::Journaled)?;
    let workload = round.workload(4096);
    let mut ledger = Ledger::default();
    let plan = Plan {
        count: 4000,
        pause: rng.between(10, 60),
        give_up: 3,
    };
    let mut worker = round.paused_worker(&disk.home(), &workload, &mut ledger, plan)?;
    let free_bytes = rng.between(0, 64 << 10);
    disk.arm(Fault::Full { free_bytes });
    worker.go()?;
    let seen = Seen::new(worker.finish(&mut ledger));
    worker.bury(&mut ledger);
    if !disk.met() {
        return Ok(not_applicable("16 MB did not fill the disk"));
    }
    disk.empty_the_rest();
    Ok(seen.enter(round.judge(&disk.home(), &workload, &ledger, None)?))
}

/// Small records, and in every third and fourth round large ones, so that stores come to the end of
/// their first file, and to their first checkpoint.
fn record_bytes(round: &Round) -> usize {
    match round.number % 4 {
        0 | 1 => 1 << 10,
        _ => 16 << 10,
    }
}

/// Waits for the cut, kills the worker while the disk holds its requests, and lets them go.
fn cut(disk: &Disk, mut worker: Worker, ledger: &mut Ledger) -> Result<()> {
    disk.wait_for_cut(IDLE);
    worker.kill()?;
    disk.release();
    worker.bury(ledger);
    Ok(())
}

/// What a host saw of a store in trouble.
struct Seen {
    notes: Vec<String>,
    hung: bool,
    died: bool,
}

impl Seen {
    fn new(finish: Finish) -> Seen {
        let (hung, died) = (finish == Finish::Hung, matches!(finish, Finish::Died(_)));
        let note = match finish {
            Finish::Well => "the host met no error".to_owned(),
            Finish::Told(why) => format!("told the host: {why}"),
            Finish::Died(why) => format!("ended the host: {why}"),
            Finish::Hung => "never returned to the host".to_owned(),
        };
        let notes = vec![note];
        Seen { notes, hung, died }
    }

    /// The same host, started again.
    fn and_then(mut self, finish: Finish) -> Seen {
        let Seen { notes, hung, died } = Seen::new(finish);
        self.notes
            .extend(notes.iter().map(|note| format!("started again: {note}")));
        Seen {
            notes: self.notes,
            hung: self.hung || hung,
            died: self.died || died,
        }
    }

    fn enter(self, outcome: Outcome) -> Outcome {
        let note = Some(self.notes.join("; "));
        Outcome {
            append_hung: self.hung,
            append_died: self.died,
            note,
            ..outcome
        }
    }
}
