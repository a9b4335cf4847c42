//! Tables for people.

use super::escape::{Layout, escape};
use std::io::{self, Write};

/// Which side a column's cells stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading, in columns as wide as their widest cell. Cells are escaped.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Starts a table with these headings.
    pub fn new(columns: &[(&str, Align)]) -> Table {
        Table {
            columns: columns
                .iter()
                .map(|(name, align)| (name.to_string(), *align))
                .collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        let safe = |cell: String| escape(cell.as_bytes(), Layout::Line).into_owned();
        let cells: Vec<_> = cells.into_iter().map(|c| safe(c.as_ref().into())).collect();
        assert_eq!(cells.len(), self.columns.len(), "a cell for each column");
        self.rows.push(cells);
    }

    /// Writes it, the heading in bold if `bold`. The last column is not padded.
    pub fn write(&self, out: &mut impl Write, bold: bool) -> io::Result<()> {
        let heading: Vec<_> = self
            .columns
            .iter()
            .map(|(name, _)| escape(name.as_bytes(), Layout::Line).into_owned())
            .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().chain([&heading]);
                cells.map(|row| row[at].chars().count()).max().unwrap_or(0)
            })
            .collect();
        let heading = self.line(&heading, &widths);
        match bold {
            true => writeln!(out, "\x1b[1m{heading}\x1b[0m")?,
            false => writeln!(out, "{heading}")?,
        }
        for row in &self.rows {
            writeln!(out, "{}", self.line(row, &widths))?;
        }
        Ok(())
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let cells = cells.iter().zip(&self.columns).zip(widths);
        let cells: Vec<_> = cells
            .map(|((cell, (_, align)), width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            })
            .collect();
        cells.join("  ").trim_end().into()
    }
}

/// Writes a number with its thousands apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Writes a number of things: `1 turn`, `1,234 turns`.
pub fn plural(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {thing}{s}", count(number))
}

/// Writes a size in the largest binary unit that leaves at least one: `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{value:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_cells_cannot_break_out() {
        let mut table = Table::new(&[
            ("SESSION", Align::Left),
            ("TURNS", Align::Right),
            ("LAST", Align::Left),
        ]);
        table.row(["a", "12", "x\ny\x1b[2J"]);
        table.row(["a-long-name", "3", ""]);
        let mut out = Vec::new();
        table.write(&mut out, false).expect("memory does not fail");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "SESSION      TURNS  LAST\n\
             a               12  x\\ny\\e[2J\n\
             a-long-name      3\n"
        );
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1000, 1234567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [0, 1023, 1024, 1 << 30].map(size),
            ["0 B", "1023 B", "1.0 KiB", "1.0 GiB"]
        );
    }
}
