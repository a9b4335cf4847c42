//! Damage to files at rest, after a clean close.

use super::{Round, not_applicable};
use crate::Result;
use crate::files;
use crate::ledger::Ledger;
use crate::process::Finish;
use crate::record::Workload;
use crate::results::Outcome;
use crate::rng::Rng;
use tempfile::TempDir;

/// Flips one bit.
pub fn flipped_bit(round: &Round, mut rng: Rng) -> Result<Outcome> {
    let (home, workload, ledger) = closed_store(round, 300, 1024)?;
    let what = files::flip_a_bit(home.path(), &mut rng)?;
    round.judge(home.path(), &workload, &ledger, Some(what))
}

/// Deletes one file from the middle. The store is given six megabytes, to have a middle.
pub fn deleted_file(round: &Round, mut rng: Rng) -> Result<Outcome> {
    if round.kind.one_file {
        return Ok(not_applicable("keeps everything in one file"));
    }
    let (home, workload, ledger) = closed_store(round, 400, 16 << 10)?;
    match files::delete_a_middle_file(home.path(), &mut rng)? {
        Some(name) => round.judge(home.path(), &workload, &ledger, Some(name)),
        None => Ok(not_applicable("has fewer than three files")),
    }
}

/// A store with records in it, closed in good order.
fn closed_store(round: &Round, count: u64, bytes: usize) -> Result<(TempDir, Workload, Ledger)> {
    let home = tempfile::tempdir_in(&round.home)?;
    let workload = round.workload(bytes);
    let mut ledger = Ledger::default();
    let mut worker = round.worker(home.path(), &workload, &mut ledger, count, true)?;
    match worker.finish(&mut ledger) {
        Finish::Well => {}
        other => {
            return Err(format!("{} failed on a good disk: {other:?}", round.kind.name).into());
        }
    }
    worker.bury(&mut ledger);
    Ok((home, workload, ledger))
}
