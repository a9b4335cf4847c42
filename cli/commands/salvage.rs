//! `salvage`: keeps everything that is whole in a damaged journal, in another one.

use crate::args::{Cli, Salvage};
use crate::exit::{Exit, Result};
use crate::output::Output;
use crate::output::table::{Align, Table, count};
use std::sync::Arc;
use turnkeep::storage::disk::DiskStorage;
use turnkeep::{SalvageReport, SalvagedSession, SeqRange, salvage_on};

/// How many ranges of lost records stand in one cell.
const SHOWN_RANGES: usize = 6;

/// How many lines say whose the lost records were.
const SHOWN_LOSSES: usize = 20;

/// Salvages into a new journal and tells what is lost.
pub fn run(cli: &Cli, args: &Salvage, out: &mut Output) -> Result<Exit> {
    let bar = out.byte_bar("salvaging", 0);
    let disk = Arc::new(DiskStorage);
    let report = salvage_on(disk, &cli.global.journal, &args.into, &mut |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    });
    bar.finish_and_clear();
    let report = report?;
    if out.is_json() {
        out.object(&report)?;
    } else {
        out.host_text(&report)?;
        if report.sessions.iter().any(has_losses) {
            out.table(&losses(&report))?;
        }
        for lost in report.lost_records.iter().take(SHOWN_LOSSES) {
            out.host_text(format_args!("lost: {lost}"))?;
        }
        let more = report.lost_records.len().saturating_sub(SHOWN_LOSSES);
        if more > 0 {
            out.line(format_args!(
                "lost: {more} more ranges of records; `--json` and quarantine/report.json name all"
            ))?;
        }
    }
    out.flush()?;
    let into = args.into.display();
    if !report.quarantined.is_empty() {
        out.say(format_args!("the damaged bytes are in {into}/quarantine"));
    }
    out.say(format_args!(
        "next: `turnkeep verify --journal {into}`; the damaged journal is as it was"
    ));
    Ok(match report.is_complete() {
        true => Exit::Ok,
        false => Exit::Damaged,
    })
}

fn has_losses(session: &SalvagedSession) -> bool {
    !session.lost.is_empty() || !session.uncertain.is_empty()
}

fn losses(report: &SalvageReport) -> Table {
    let mut table = Table::new(&[
        ("SESSION", Align::Left),
        ("KEPT", Align::Right),
        ("LOST RECORDS", Align::Left),
        ("LOST, OR DROPPED BY A COMPACTION", Align::Left),
    ]);
    for session in report.sessions.iter().filter(|s| has_losses(s)) {
        table.row([
            &session.id,
            &count(session.kept),
            &ranges(&session.lost),
            &ranges(&session.uncertain),
        ]);
    }
    table
}

fn ranges(ranges: &[SeqRange]) -> String {
    let shown = ranges.iter().take(SHOWN_RANGES);
    let shown = shown.map(|range| match range.to.get() - range.from.get() {
        1 => range.from.to_string(),
        _ => format!("{}..{}", range.from, range.to),
    });
    let mut text = shown.collect::<Vec<_>>().join(", ");
    let more = ranges.len().saturating_sub(SHOWN_RANGES);
    if more > 0 {
        text.push_str(&format!(" and {more} more ranges"));
    }
    text
}
