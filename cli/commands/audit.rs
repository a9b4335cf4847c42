//! `audit`: what somebody should know of the journal.

use crate::args::{Cli, upkeep};
use crate::exit::{Exit, Result};
use crate::output::Output;
use turnkeep::Audit;
use turnkeep::model::Severity;

/// Audits the journal and tells what was found.
pub fn run(cli: &Cli, args: &upkeep::Audit, out: &mut Output) -> Result<Exit> {
    let bar = out.byte_bar("auditing", 0);
    let audit = Audit::new()
        .verify(!args.quick)
        .stopped(args.stopped)
        .unfinished_after(args.unfinished_after)
        .waiting_after(args.waiting_after)
        .low_space_bytes(args.low_space << 20)
        .max_findings(args.max);
    let report = audit.run_with(&cli.global.journal, &mut |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    });
    bar.finish_and_clear();
    let report = report?;
    match out.is_json() {
        true => out.object(&report)?,
        false => out.host_text(&report)?,
    }
    out.flush()?;
    Ok(match report.worst {
        None | Some(Severity::Note) => Exit::Ok,
        Some(Severity::Warning) => Exit::Damaged,
        Some(Severity::Damage) => Exit::Corrupt,
    })
}
