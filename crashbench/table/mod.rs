//! The table: plain for a terminal, Markdown for `docs/EVIDENCE.md`.

mod caveats;
mod markdown;

use crate::Result;
use crate::args::TableArgs;
use crate::results::{Cell, Results};
use std::path::Path;

pub use markdown::markdown;

/// Where the table stands in a document.
const BEGIN: &str = "<!-- crashbench -->\n";
const END: &str = "<!-- /crashbench -->\n";

/// Runs `crashbench table`.
pub fn command(args: &TableArgs) -> Result<()> {
    let results = Results::load(&args.results)?;
    if let Some(document) = &args.into {
        replace(document, &markdown(&results))?;
    } else if args.markdown {
        print!("{}", markdown(&results));
    } else {
        print!("{}", plain(&results));
    }
    Ok(())
}

/// The part of a document between its marks.
pub fn between_marks(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(BEGIN)?;
    Some(rest.split_once(END)?.0)
}

fn replace(document: &Path, table: &str) -> Result<()> {
    let text = std::fs::read_to_string(document)
        .map_err(|e| format!("cannot read {}: {e}", document.display()))?;
    let missing = || {
        format!(
            "{} has no {} and {}",
            document.display(),
            BEGIN.trim(),
            END.trim()
        )
    };
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(std::fs::write(
        document,
        [before, BEGIN, table, END, after].concat(),
    )?)
}

/// Columns for a terminal.
pub fn plain(results: &Results) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
    rows[0].insert(0, "schedule".to_owned());
    for cell in &results.cells {
        let mut row = numbers(cell).to_vec();
        row.insert(0, cell.store.clone());
        row.insert(0, cell.schedule.name());
        rows.push(row);
    }
    rows[0].insert(1, "store".to_owned());
    let mut text = String::new();
    let columns = rows[0].len();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for row in &rows {
        let padded: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (word, &width))| match column {
                0 | 1 => format!("{word:<width$}"),
                _ => format!("{word:>width$}"),
            })
            .collect();
        text += padded.join("  ").trim_end();
        text.push('\n');
    }
    for line in &results.skipped {
        text += &format!("skipped {line}\n");
    }
    text
}

/// What [`numbers`] are.
const HEADINGS: [&str; 9] = [
    "rounds",
    "whole",
    "acknowledged",
    "lost",
    "invented",
    "silent",
    "refused",
    "reopen ms",
    "on disk KiB",
];

/// A cell in columns; dashes where the schedule had nothing to do.
fn numbers(cell: &Cell) -> [String; 9] {
    if cell.rounds == 0 {
        return HEADINGS.map(|_| "–".to_owned());
    }
    let reopen = match cell.reopen_micros {
        Some((median, longest)) => format!("{} ({})", millis(median), millis(longest)),
        None => "–".to_owned(),
    };
    [
        cell.rounds.to_string(),
        cell.whole.to_string(),
        cell.acked.to_string(),
        cell.lost.to_string(),
        cell.invented.to_string(),
        cell.silent.to_string(),
        refusals(cell),
        reopen,
        format!(
            "{} ({})",
            cell.space_bytes / 1024,
            cell.payload_bytes / 1024
        ),
    ]
}

/// Refusals, and panics and hangs beside them.
fn refusals(cell: &Cell) -> String {
    let mut text = cell.refused.to_string();
    for (count, what) in [(cell.died, "panicked"), (cell.hung, "hung")] {
        if count > 0 {
            text += &format!(" + {count} {what}");
        }
    }
    text
}

fn millis(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{}.{}", micros / 1000, micros / 100 % 10),
        _ => (micros / 1000).to_string(),
    }
}
