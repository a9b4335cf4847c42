//! `repair`: what can be set right without losing anything.

use super::journal;
use crate::args::{Cli, upkeep};
use crate::exit::{Exit, Result};
use crate::output::Output;
use turnkeep::{Journal, Repair};

/// Repairs the journal, or tells what would be done.
pub fn run(cli: &Cli, args: &upkeep::Repair, out: &mut Output) -> Result<Exit> {
    let options = journal::with_keys(cli, Journal::options())?;
    let repair = Repair::new()
        .options(options)
        .interrupt_orphans(args.interrupt);
    let is_meant = args.safe && !args.dry_run;
    let bar = out.byte_bar(if is_meant { "repairing" } else { "auditing" }, 0);
    let mut progress = |progress: turnkeep::Progress<'_>| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    };
    let path = &cli.global.journal;
    let report = match is_meant {
        true => repair.run_with(path, &mut progress),
        false => repair.plan_with(path, &mut progress),
    };
    bar.finish_and_clear();
    let report = report?;
    match out.is_json() {
        true => out.object(&report)?,
        false => out.host_text(&report)?,
    }
    out.flush()?;
    if !is_meant && !report.steps.is_empty() {
        out.say("nothing was changed; `turnkeep repair --safe` does it, once the host is stopped");
    }
    Ok(match (report.is_blocked, report.is_done()) {
        (true, _) => Exit::Corrupt,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Damaged,
    })
}
