//! The plot: a bar for each store and schedule, divided by how the rounds ended.

use crate::Result;
use crate::args::PlotArgs;
use crate::results::{Cell, Results};
use crate::schedules::Schedule;
use clap::ValueEnum;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Colours that a reader with any kind of sight can tell apart (Okabe and Ito).
const WHOLE: RGBColor = RGBColor(0, 158, 115);
const REFUSED: RGBColor = RGBColor(86, 180, 233);
const DIED: RGBColor = RGBColor(204, 121, 167);
const SILENT: RGBColor = RGBColor(213, 94, 0);
const NOTHING: RGBColor = RGBColor(225, 225, 225);
const INK: RGBColor = RGBColor(40, 40, 40);

const LEFT: i32 = 130;
const TOP: i32 = 64;
const COLUMN: i32 = 124;
const ROW: i32 = 30;
const GAP: i32 = 6;

/// Runs `crashbench plot`.
pub fn command(args: &PlotArgs) -> Result<()> {
    let results = Results::load(&args.results)?;
    Ok(std::fs::write(&args.to, svg(&results)?)?)
}

/// The plot as SVG.
pub fn svg(results: &Results) -> Result<String> {
    let schedules: Vec<Schedule> = Schedule::value_variants()
        .iter()
        .copied()
        .filter(|schedule| results.cells.iter().any(|cell| cell.schedule == *schedule))
        .collect();
    let width = LEFT + COLUMN * schedules.len() as i32 + GAP;
    let height = TOP + ROW * results.stores.len() as i32 + 40;
    let mut text = String::new();
    {
        let area =
            SVGBackend::with_string(&mut text, (width as u32, height as u32)).into_drawing_area();
        area.fill(&WHITE)?;
        let title = format!("How {} rounds of each schedule ended", results.rounds);
        write(&area, &title, (GAP, 18), 16, HPos::Left)?;
        for (column, schedule) in (0..).zip(&schedules) {
            let middle = LEFT + COLUMN * column + COLUMN / 2;
            write(
                &area,
                &schedule.name(),
                (middle, TOP - 14),
                12,
                HPos::Center,
            )?;
        }
        for (row, store) in (0..).zip(&results.stores) {
            let top = TOP + ROW * row;
            write(
                &area,
                &store.marked_name(),
                (LEFT - GAP, top + ROW / 2),
                12,
                HPos::Right,
            )?;
            for (column, schedule) in (0..).zip(&schedules) {
                if let Some(cell) = results.cell(&store.name, *schedule) {
                    bar(&area, cell, LEFT + COLUMN * column, top)?;
                }
            }
        }
        let mark = "° not meant to survive power loss";
        write(&area, mark, (width - GAP, 18), 12, HPos::Right)?;
        let mut left = LEFT;
        for (colour, what) in [
            (WHOLE, "all there"),
            (REFUSED, "refused, saying so"),
            (DIED, "panicked or hung"),
            (SILENT, "lost or changed, silently"),
            (NOTHING, "not applicable"),
        ] {
            let top = height - 26;
            area.draw(&Rectangle::new(
                [(left, top), (left + 12, top + 12)],
                colour.filled(),
            ))?;
            write(&area, what, (left + 18, top + 6), 12, HPos::Left)?;
            left += 40 + 7 * what.len() as i32;
        }
        area.present()?;
    }
    text.push('\n');
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn bar(area: &Area, cell: &Cell, left: i32, top: i32) -> Result<()> {
    let width = COLUMN - GAP;
    let parts = match cell.rounds {
        0 => vec![(1, NOTHING)],
        _ => vec![
            (cell.whole, WHOLE),
            (cell.refused, REFUSED),
            (cell.died + cell.hung, DIED),
            (cell.silent, SILENT),
        ],
    };
    let all: u64 = parts.iter().map(|(count, _)| count).sum();
    let mut before = 0;
    for (count, colour) in parts {
        let x = |rounds: u64| left + (rounds * width as u64 / all.max(1)) as i32;
        let corners = [
            (x(before), top + GAP / 2),
            (x(before + count), top + ROW - GAP / 2),
        ];
        if count > 0 {
            area.draw(&Rectangle::new(corners, colour.filled()))?;
        }
        if count > 0 && cell.rounds > 0 {
            let middle = ((corners[0].0 + corners[1].0) / 2, top + ROW / 2);
            write(area, &count.to_string(), middle, 11, HPos::Center)?;
        }
        before += count;
    }
    Ok(())
}

fn write(area: &Area, text: &str, at: (i32, i32), size: i32, side: HPos) -> Result<()> {
    let style = TextStyle::from(("sans-serif", size).into_font())
        .color(&INK)
        .pos(Pos::new(side, VPos::Center));
    Ok(area.draw(&Text::new(text.to_owned(), at, style))?)
}
