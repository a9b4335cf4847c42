//! The table, plain and as Markdown.

use crate::Result;
use crate::args::TableArgs;
use crate::results::Results;

/// Runs `crashbench table`.
pub fn command(args: &TableArgs) -> Result<()> {
    let results = Results::load(&args.results)?;
    print!("{}", plain(&results));
    Ok(())
}

/// Columns for a terminal.
pub fn plain(results: &Results) -> String {
    let mut text = String::new();
    for cell in &results.cells {
        text += &format!(
            "{:<15} {:<17} rounds {:>3} whole {:>3} silent {:>3} refused {:>3} died {} hung {} acked {:>6} lost {:>5} withheld {:>5} invented {:>3}\n",
            cell.store,
            cell.schedule.name(),
            cell.rounds,
            cell.whole,
            cell.silent,
            cell.refused,
            cell.died,
            cell.hung,
            cell.acked,
            cell.lost,
            cell.withheld,
            cell.invented
        );
    }
    text
}
