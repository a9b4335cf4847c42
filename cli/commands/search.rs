//! `search`: whether some bytes are in any file of the journal.

use crate::args::{Cli, upkeep};
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::output::table::plural;
use serde::Serialize;
use std::io::Read;
use std::path::Path;

/// A place as `--json` prints it.
#[derive(Serialize)]
struct Place<'p> {
    file: &'p str,
    offset: u64,
}

/// Tells every place where the bytes stand, as they are stored.
pub fn run(cli: &Cli, args: &upkeep::Search, out: &mut Output) -> Result<Exit> {
    let needle = match &args.text {
        Some(text) => text.clone().into_bytes(),
        None => {
            let mut needle = Vec::new();
            let most = 1 + (1 << 20);
            std::io::stdin()
                .take(most)
                .read_to_end(&mut needle)
                .map_err(|e| Failure::io("read", Path::new("standard input"), &e))?;
            needle
        }
    };
    let hits = turnkeep::search(&cli.global.journal, needle)?;
    for hit in &hits {
        let (file, offset) = (&*hit.file, hit.offset);
        match out.is_json() {
            true => out.object(&Place { file, offset })?,
            false => out.line(format_args!("{file} at byte {offset}"))?,
        }
    }
    out.flush()?;
    out.say(format_args!("{} found", plural(hits.len() as u64, "place")));
    Ok(match hits.is_empty() {
        true => Exit::Ok,
        false => Exit::Damaged,
    })
}
