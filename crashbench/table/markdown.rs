//! The section of `docs/EVIDENCE.md`, made from results alone.

use super::caveats::{about, of_store};
use super::{HEADINGS, numbers};
use crate::results::{Cell, Results};
use crate::schedules::Schedule;
use std::fmt::Write;

/// The whole section.
pub fn markdown(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_all(&mut text, results);
    text
}

fn write_all(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(
        out,
        "Made from `crashbench/results/` by the second line, and the results by the first:"
    )?;
    writeln!(out, "\n```sh\ncd crashbench")?;
    writeln!(out, "{}", results.command)?;
    if let Some((_, file)) = results.command.split_once("--out ") {
        writeln!(out, "cargo run -- table {file} --into ../docs/EVIDENCE.md")?;
        writeln!(out, "cargo run -- plot {file} --to ../docs/crashbench.svg")?;
    }
    writeln!(out, "```\n")?;
    writeln!(
        out,
        "{} rounds of each schedule, seed {}, {}. Every store meets the same records and the same \
         choices of the seed.\n",
        results.rounds, results.seed, results.system
    )?;
    for line in &results.skipped {
        writeln!(out, "Not run on this machine: {line}.\n")?;
    }
    writeln!(
        out,
        "![Rounds by their end, for each store and schedule](crashbench.svg)\n"
    )?;
    stores(out, results)?;
    overview(out, results)?;
    for schedule in schedules(results) {
        section(out, results, schedule)?;
    }
    Ok(())
}

fn stores(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "### The stores\n")?;
    writeln!(
        out,
        "| store | version | an acknowledgement is | meant to survive power loss |"
    )?;
    writeln!(out, "|---|---|---|---|")?;
    for store in &results.stores {
        let version = store.version.as_deref().unwrap_or("–");
        let durable = if store.durable { "yes" } else { "no" };
        writeln!(
            out,
            "| {} | {version} | {} | {durable} |",
            store.name, store.setting
        )?;
    }
    writeln!(out)?;
    for store in &results.stores {
        if let Some(caveat) = of_store(&store.name) {
            writeln!(out, "- **{}**: {caveat}", store.name)?;
        }
    }
    writeln!(out)
}

fn overview(out: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(out, "### At a glance\n")?;
    writeln!(
        out,
        "Rounds by their end. *Whole*: everything acknowledged was there, byte for byte, and \
         nothing else. *Refused*: opening, reading or verifying said that something is wrong. \
         *Silent*: records were gone or changed, and nothing said so. °: an \
         acknowledgement is not meant to survive power loss, so a loss by it breaks no promise.\n"
    )?;
    let schedules = schedules(results);
    let names: Vec<String> = schedules.iter().map(|schedule| schedule.name()).collect();
    writeln!(out, "| store | {} |", names.join(" | "))?;
    writeln!(out, "|---{}|", "|---".repeat(names.len()))?;
    for store in &results.stores {
        let ends = schedules
            .iter()
            .map(|&s| results.cell(&store.name, s).map_or_else(dash, ends));
        writeln!(
            out,
            "| {} | {} |",
            store.marked_name(),
            ends.collect::<Vec<_>>().join(" | ")
        )?;
    }
    writeln!(out)
}

fn ends(cell: &Cell) -> String {
    let ends = [
        (cell.whole, "whole"),
        (cell.refused, "refused"),
        (cell.died, "panicked"),
        (cell.hung, "hung"),
        (cell.silent, "**silent**"),
    ];
    match ends
        .iter()
        .find(|(count, _)| *count == cell.rounds && cell.rounds > 0)
    {
        Some((_, what)) => format!("all {what}"),
        None if cell.rounds == 0 => dash(),
        None => {
            let some = ends.iter().filter(|(count, _)| *count > 0);
            some.map(|(count, what)| format!("{count} {what}"))
                .collect::<Vec<_>>()
                .join(", ")
        }
    }
}

fn section(out: &mut String, results: &Results, schedule: Schedule) -> std::fmt::Result {
    writeln!(out, "### {}\n\n{}\n", schedule.name(), about(schedule))?;
    let cells: Vec<&Cell> = results
        .stores
        .iter()
        .filter_map(|store| results.cell(&store.name, schedule))
        .filter(|cell| cell.rounds > 0)
        .collect();
    writeln!(out, "| store | {} |", HEADINGS.join(" | "))?;
    writeln!(out, "|---{}|", "|--:".repeat(HEADINGS.len()))?;
    for cell in &cells {
        writeln!(out, "| {} | {} |", cell.store, numbers(cell).join(" | "))?;
    }
    writeln!(out)?;
    for (what, wanted) in [
        (
            "Whole in every round",
            (|cell| cell.whole == cell.rounds) as fn(&Cell) -> bool,
        ),
        ("Not always whole, never silent", |cell| {
            cell.whole < cell.rounds && cell.silent == 0
        }),
        ("Silent in some round", |cell| cell.silent > 0),
    ] {
        let names = cells
            .iter()
            .filter(|cell| wanted(cell))
            .map(|cell| cell.store.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        if !names.is_empty() {
            writeln!(out, "- {what}: {names}.")?;
        }
    }
    for cell in &cells {
        remarks(out, cell)?;
    }
    not_applicable(out, results, schedule)?;
    writeln!(out)
}

/// The stores that the schedule has nothing to do with, by the reason.
fn not_applicable(out: &mut String, results: &Results, schedule: Schedule) -> std::fmt::Result {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for store in &results.stores {
        let Some(cell) = results
            .cell(&store.name, schedule)
            .filter(|cell| cell.rounds == 0)
        else {
            continue;
        };
        let why = cell.notes.join("; ");
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(&store.name),
            None => reasons.push((why, vec![&store.name])),
        }
    }
    for (why, names) in reasons {
        writeln!(out, "- Not applicable ({why}): {}.", names.join(", "))?;
    }
    Ok(())
}

/// What the columns do not hold.
fn remarks(out: &mut String, cell: &Cell) -> std::fmt::Result {
    let Cell {
        store,
        append_hung,
        append_died,
        withheld,
        ..
    } = cell;
    if *append_hung > 0 {
        writeln!(
            out,
            "- {store}: a call never returned to the host, in {append_hung} rounds."
        )?;
    }
    if *append_died > 0 {
        writeln!(
            out,
            "- {store}: the process of the host was ended, in {append_died} rounds."
        )?;
    }
    let said = cell.said.first().map_or("", String::as_str);
    if cell.refused > 0 {
        let [open, read, verify] = cell.refused_at;
        writeln!(
            out,
            "- {store} refused at opening {open}, at reading {read}, at verifying {verify} times; \
             {withheld} acknowledged records were not given back then. For example: `{}`",
            said.replace('`', "'")
        )?;
    } else if !said.is_empty() {
        writeln!(out, "- {store}: `{}`", said.replace('`', "'"))?;
    }
    Ok(())
}

/// The schedules of a run, in their order.
fn schedules(results: &Results) -> Vec<Schedule> {
    let mut schedules = Vec::new();
    for cell in &results.cells {
        if !schedules.contains(&cell.schedule) {
            schedules.push(cell.schedule);
        }
    }
    schedules
}

fn dash() -> String {
    "–".to_owned()
}
