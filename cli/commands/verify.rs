//! `verify`: reads every byte, changes none.

use crate::args::Cli;
use crate::exit::{Exit, Result};
use crate::output::Output;
use std::sync::Arc;
use turnkeep::storage::disk::DiskStorage;
use turnkeep::verify_on;

/// Verifies the journal and tells what was found.
pub fn run(cli: &Cli, out: &mut Output) -> Result<Exit> {
    let bar = out.byte_bar("verifying", 0);
    let path = &cli.global.journal;
    let report = verify_on(Arc::new(DiskStorage), path, &mut |progress| {
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
    if report.is_sound() {
        return Ok(Exit::Ok);
    }
    out.say(
        "next: nothing was changed; `turnkeep salvage --into DIR` makes a journal of everything \
         that is whole",
    );
    Ok(Exit::Corrupt)
}
