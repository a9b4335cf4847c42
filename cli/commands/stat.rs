//! `stat`: sizes, counts and the state of the journal.

use super::journal;
use crate::args::Cli;
use crate::exit::{Exit, Result};
use crate::output::Output;
use crate::output::table::{Align, Table, count, plural, size};
use serde::Serialize;
use turnkeep::{FileCount, Files};

/// The journal as `--json` prints it.
#[derive(Serialize)]
struct StatJson {
    journal: String,
    id: String,
    created_ms: u64,
    sessions: u64,
    turns: u64,
    open_turns: u64,
    records: u64,
    durable_lsn: u64,
    bytes: u64,
    files: Files,
    snapshots: u64,
    uncompacted_bytes: u64,
    /// What is damaged and can be done without.
    warnings: Vec<String>,
}

/// Tells how the journal stands, as far as it is durable.
pub fn run(cli: &Cli, out: &mut Output) -> Result<Exit> {
    let path = &cli.global.journal;
    let reader = journal::look(cli)?;
    let counted = reader.stat()?;
    let sessions = reader.sessions()?;
    let stat = StatJson {
        journal: path.display().to_string(),
        id: counted.journal.to_string(),
        created_ms: counted.created_ms,
        sessions: counted.sessions,
        turns: sessions.iter().map(|info| u64::from(info.turns)).sum(),
        open_turns: counted.open_turns,
        records: counted.records,
        durable_lsn: counted.durable_lsn.get(),
        bytes: counted.files.total().bytes,
        files: counted.files,
        snapshots: counted.snapshots.len() as u64,
        uncompacted_bytes: counted.uncompacted_bytes,
        warnings: reader.warnings(),
    };
    if out.is_json() {
        out.object(&stat)?;
        return Ok(Exit::Ok);
    }
    out.table(&table(&stat))?;
    out.flush()?;
    for warning in &stat.warnings {
        out.warn(warning);
    }
    Ok(Exit::Ok)
}

fn table(stat: &StatJson) -> Table {
    let mut table = Table::new(&[("JOURNAL", Align::Left), (&stat.journal, Align::Right)]);
    for (what, value) in [
        ("sessions", count(stat.sessions)),
        ("turns", count(stat.turns)),
        ("  not ended", count(stat.open_turns)),
        ("records", count(stat.records)),
        ("durable below lsn", count(stat.durable_lsn)),
        ("on disk", size(stat.bytes)),
        ("  not compacted", size(stat.uncompacted_bytes)),
    ] {
        table.row([what, &value]);
    }
    let Files {
        segments,
        spares,
        packs,
        states,
        temporary,
        foreign,
        ..
    } = stat.files;
    for (what, kind) in [
        ("  log", segments),
        ("  log, to be used again", spares),
        ("  packs", packs),
        ("  snapshots", states),
        ("  temporary", temporary),
        ("  not the journal's", foreign),
    ] {
        let FileCount { files, bytes } = kind;
        if files > 0 {
            table.row([
                what,
                &format!("{} in {}", size(bytes), plural(files, "file")),
            ]);
        }
    }
    table
}
