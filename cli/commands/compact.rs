//! `compact`: settle what is settled, and give space back.

use super::journal;
use crate::args::{Cli, Compact};
use crate::exit::{Exit, Result};
use crate::output::Output;
use turnkeep::Journal;

/// Compacts, or tells what that would do.
pub fn run(cli: &Cli, args: &Compact, out: &mut Output) -> Result<Exit> {
    let options = Journal::options().create(false);
    let journal = journal::open(cli, options, out)?;
    if args.dry_run {
        let plan = journal.plan_compaction()?;
        match out.is_json() {
            true => out.object(&plan)?,
            false => out.line(plan)?,
        }
    } else {
        let bar = out.ticker("compacting");
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        let done = journal.compact();
        bar.finish_and_clear();
        let done = done?;
        match out.is_json() {
            true => out.object(&done)?,
            false => out.line(done)?,
        }
    }
    journal::close(journal)?;
    Ok(Exit::Ok)
}
