//! What the command prints: data on standard output, messages on standard error.
//!
//! It promises:
//! - With `--json` standard output has one JSON object per line and nothing else.
//! - A reader that goes away (`| head`) ends the command quietly.
//! - Text of hosts cannot drive the terminal: see [`mod@escape`].
//! - Progress is drawn only when a terminal watches standard error.

pub mod entry;
pub mod escape;
pub mod table;
pub mod time;

use crate::args::{Color, Global};
use crate::exit::{Exit, Failure, Result};
use escape::{Layout, escape};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use table::Table;

/// The two streams and how to write on them.
#[derive(Debug)]
pub struct Output {
    out: BufWriter<Stdout>,
    json: bool,
    quiet: bool,
    out_is_terminal: bool,
    bold: bool,
}

impl Output {
    /// Starts with nothing printed.
    pub fn new(global: &Global) -> Output {
        let out_is_terminal = io::stdout().is_terminal();
        let wants_color = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Output {
            out: BufWriter::new(io::stdout()),
            json: global.json,
            quiet: global.quiet,
            out_is_terminal,
            bold: match global.color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => out_is_terminal && wants_color,
            },
        }
    }

    /// Tells whether data is to be JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one object as a line of JSON.
    pub fn object(&mut self, object: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.out, object).map_err(io::Error::from)?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// Prints one line of text for people.
    pub fn line(&mut self, text: impl Display) -> Result<()> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Prints lines of text in which a host's words may stand.
    pub fn host_text(&mut self, text: impl Display) -> Result<()> {
        let text = text.to_string();
        self.line(escape(text.as_bytes(), Layout::Block))
    }

    /// Prints a table.
    pub fn table(&mut self, table: &Table) -> Result<()> {
        Ok(table.write(&mut self.out, self.bold)?)
    }

    /// Prints bytes of a host: as they are into a file or pipe, harmless on a terminal.
    pub fn host_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.host_writer().write_all(bytes)?)
    }

    /// As [`Output::host_bytes`], for whoever writes them piece by piece.
    pub fn host_writer(&mut self) -> impl Write {
        HostWriter(self)
    }

    /// Prints a whole document and ends well.
    pub fn document(&mut self, bytes: &[u8]) -> Result<Exit> {
        self.out.write_all(bytes)?;
        Ok(Exit::Ok)
    }

    /// Hands everything printed so far to the system: an acknowledgement is no use in a buffer.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    /// Says something on standard error, unless asked to be quiet.
    pub fn say(&self, message: impl Display) {
        if !self.quiet {
            self.warn(message);
        }
    }

    /// Says something on standard error that must be heard.
    pub fn warn(&self, message: impl Display) {
        let message = message.to_string();
        // Nobody to tell if this fails.
        let _ = writeln!(
            io::stderr(),
            "{}",
            escape(message.as_bytes(), Layout::Block)
        );
    }

    /// Starts a progress bar over `total` bytes on standard error.
    pub fn byte_bar(&self, what: &'static str, total: u64) -> ProgressBar {
        self.bar(what, total, "{msg} {bar:32} {bytes}/{total_bytes} {eta}")
    }

    /// Starts a progress bar over `total` things on standard error.
    pub fn count_bar(&self, what: &'static str, total: u64) -> ProgressBar {
        self.bar(what, total, "{msg} {bar:32} {human_pos}/{human_len} {eta}")
    }

    /// Starts a line on standard error that tells how things stand.
    pub fn ticker(&self, what: &'static str) -> ProgressBar {
        self.bar(what, 0, "{spinner} {wide_msg}")
    }

    fn bar(&self, what: &'static str, total: u64, template: &str) -> ProgressBar {
        // The target hides itself when no terminal watches.
        let target = match self.quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let style = ProgressStyle::with_template(template).expect("the templates above are valid");
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style);
        bar.set_message(what);
        bar
    }
}

struct HostWriter<'o>(&'o mut Output);

impl Write for HostWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.out_is_terminal {
            true => {
                let safe = escape(bytes, Layout::Block);
                self.0.out.write_all(safe.as_bytes())?;
                Ok(bytes.len())
            }
            false => self.0.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.out.flush()
    }
}

/// Says on standard error why the command failed.
pub fn report(failure: &Failure, json: bool) {
    if failure.is_broken_pipe() {
        return;
    }
    let mut text = String::new();
    if json {
        let object = serde_json::json!({ "error": failure });
        text.push_str(&format!("{object}\n"));
    } else {
        text.push_str(&format!("turnkeep: {}\n", failure.message));
        for cause in &failure.causes {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
        if let Some(advice) = failure.advice {
            text.push_str(&format!("  next: {advice}\n"));
        }
    }
    // Nobody to tell if this fails.
    let _ = io::stderr().write_all(escape(text.as_bytes(), Layout::Block).as_bytes());
}
