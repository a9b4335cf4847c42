//! SIGKILL. It shows atomicity, not durability: what was written, the kernel still has.

use super::Round;
use crate::Result;
use crate::ledger::Ledger;
use crate::results::Outcome;
use crate::rng::Rng;
use std::time::Duration;

/// Kills the worker some records in, and a random part of a millisecond after an acknowledgement.
pub fn run(round: &Round, mut rng: Rng) -> Result<Outcome> {
    let home = tempfile::tempdir_in(&round.home)?;
    let workload = round.workload(1024);
    let mut ledger = Ledger::default();
    let mut worker = round.worker(home.path(), &workload, &mut ledger, 1 << 20, false)?;
    let stopped = worker.acks(rng.between(10, 200), &mut ledger);
    if let Some(event) = stopped {
        return Err(format!(
            "{} did not get as far as the kill: {event:?}",
            round.kind.name
        )
        .into());
    }
    std::thread::sleep(Duration::from_micros(rng.between(0, 1000)));
    worker.kill()?;
    worker.bury(&mut ledger);
    round.judge(home.path(), &workload, &ledger, None)
}
