//! One transcript into its session: batches of lines, each with the bookmark behind it.

use super::cursor::{CURSOR_KEY, Cursor, PARTIAL_KEY, Window};
use super::note::Label;
use super::target::Place;
use crate::error::Error;
use crate::transcripts::lines::{At, Part};
use crate::transcripts::turns::{Outcome, Turns};
use crate::transcripts::{Line, Transcript};
use std::io;
use turnkeep::{Batch, Input, Journal, Session, Turn};

/// A batch is handed over when it has this many bytes: large enough that the bookmark in each
/// costs nothing, small enough that the disk is busy while the next one is parsed.
const BATCH_BYTES: usize = 512 << 10;

/// Or this many records.
const BATCH_RECORDS: usize = 512;

/// The reason of turns that a transcript says were interrupted or failed.
const REASON: &str = "transcript";

/// Records of the largest import are larger than its longest line by at most this.
pub const RECORD_OVERHEAD_BYTES: u32 = 1 << 20;

/// What was added to a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Lines, those in pieces once.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Turns begun.
    pub turns: u64,
    /// Length of the partial last line that is kept until it is whole.
    pub partial_bytes: u64,
}

/// Why a transcript was not read to its end. What was read before is in the journal.
#[derive(Debug)]
pub enum Stopped {
    /// The file could not be read.
    Reading(io::Error),
    /// The journal did not take it.
    Writing(Error),
}

impl From<turnkeep::Error> for Stopped {
    fn from(error: turnkeep::Error) -> Stopped {
        Stopped::Writing(error.into())
    }
}

/// Adds everything in `transcript` behind `place`. Each line is shown to `watch` before it is
/// added. Nothing is waited for: what is accepted when this
/// returns is durable after the journal's next sync.
///
/// # Errors
/// See [`Stopped`].
pub fn add(
    journal: &Journal,
    transcript: &Transcript,
    place: Place,
    mut watch: impl FnMut(&Line),
) -> Result<Added, Stopped> {
    let Place {
        session,
        cursor,
        window,
        partial,
        open_turn,
    } = place;
    let lines = transcript.lines_from(&cursor.at, cursor.turns.clone());
    let mut lines = lines.map_err(Stopped::Reading)?;
    let turn = match open_turn {
        Some(turn) => session.turn(turn).ok(),
        None => None,
    };
    let mut writer = Writer {
        journal,
        session,
        at: cursor.at,
        turns: cursor.turns.clone(),
        cursor,
        window,
        turn,
        batch: Batch::new(),
        batch_bytes: 0,
        added: Added::default(),
    };
    let mut rest = Vec::new();
    while let Some(line) = lines.next() {
        let line = match line {
            Ok(line) => line,
            Err(e) => {
                writer.hand_over()?;
                return Err(Stopped::Reading(e));
            }
        };
        if !line.raw.is_terminated() && is_last(&line) {
            rest = line.raw.bytes;
            break;
        }
        watch(&line);
        writer.take(line, lines.state())?;
    }
    writer.finish(&rest, &partial)
}

fn is_last(line: &Line) -> bool {
    match line.raw.part {
        Part::Whole => true,
        Part::Piece { last, .. } => last,
    }
}

struct Writer<'j> {
    journal: &'j Journal,
    session: Session,
    cursor: Cursor,
    /// Behind the last line taken.
    at: At,
    turns: Turns,
    window: Window,
    /// The turn that lines belong to.
    turn: Option<Turn>,
    batch: Batch,
    batch_bytes: usize,
    added: Added,
}

impl Writer<'_> {
    /// Takes a line; `after` is where the reading stands behind it.
    fn take(&mut self, line: Line, after: (At, Turns)) -> Result<(), Stopped> {
        // A line of many megabytes gets a batch that is little larger than itself.
        if self.batch_bytes + line.raw.bytes.len() > BATCH_BYTES {
            self.hand_over()?;
        }
        if let Some(outcome) = line.place.closes {
            self.end_turn(outcome);
        }
        (self.at, self.turns) = after;
        self.window.push(&line.raw.bytes);
        let is_first_piece = !matches!(line.raw.part, Part::Piece { index: 1.., .. });
        self.added.lines += u64::from(is_first_piece);
        self.added.bytes += line.raw.bytes.len() as u64;
        let label = Label::of(&line, self.session.id());
        if line.place.starts {
            return self.begin_turn(&line.raw.bytes, &label);
        }
        let (name, bytes) = (&label.name, &line.raw.bytes);
        let batch = std::mem::take(&mut self.batch);
        let batch = match (&self.turn, line.place.turn) {
            (Some(turn), Some(_)) => batch.turn_event(turn, name, bytes),
            _ => batch.event(&self.session, name, bytes),
        };
        self.batch = batch.actor(&label.actor).extra(label.note.encode());
        self.batch_bytes += bytes.len();
        if let Some(outcome) = line.place.ends {
            self.end_turn(outcome);
        }
        // A long line is held no longer than it must be: the journal has copies of its own.
        drop(line);
        if self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES {
            self.hand_over()?;
        }
        Ok(())
    }

    /// The turn's first line is its input. It ends its batch: the lines behind it must know by
    /// which number to call the turn.
    fn begin_turn(&mut self, line: &[u8], label: &Label) -> Result<(), Stopped> {
        self.added.turns += 1;
        let input = Input::new(&label.name, line)
            .actor(&label.actor)
            .extra(label.note.encode());
        let batch = self.with_cursor(b"");
        let (turn, _) = self
            .journal
            .submit_then_begin(&batch, &self.session, &input)?;
        self.turn = Some(turn);
        Ok(())
    }

    fn end_turn(&mut self, outcome: Outcome) {
        let Some(turn) = self.turn.take() else { return };
        let batch = std::mem::take(&mut self.batch);
        self.batch = match outcome {
            Outcome::Completed => batch.complete(&turn, b""),
            Outcome::Interrupted => batch.interrupt(&turn, REASON),
            Outcome::Failed => batch.fail(&turn, REASON, b""),
            Outcome::Cancelled => batch.cancel(&turn, REASON),
            Outcome::Open => batch,
        };
    }

    fn hand_over(&mut self) -> Result<(), Stopped> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = self.with_cursor(b"");
        // Its ticket is not waited for: the journal's sync at the end waits for all.
        drop(self.journal.submit_all(&batch)?);
        Ok(())
    }

    /// The records collected, and the bookmark behind them. `partial` is all there is of the
    /// line that begins there.
    fn with_cursor(&mut self, partial: &[u8]) -> Batch {
        let mut batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if !partial.is_empty() {
            batch = batch.put(&self.session, PARTIAL_KEY, partial);
        } else if self.cursor.partial_bytes > 0 {
            batch = batch.remove(&self.session, PARTIAL_KEY);
        }
        self.cursor.partial_bytes = partial.len() as u64;
        self.cursor
            .advance(self.at, self.turns.clone(), &self.window);
        batch.put(&self.session, CURSOR_KEY, self.cursor.encode())
    }

    /// Ends the transcript: `rest` is the partial line behind the last whole one, `kept` the one
    /// that the journal had when this import began.
    fn finish(mut self, rest: &[u8], kept: &[u8]) -> Result<Added, Stopped> {
        self.added.partial_bytes = rest.len() as u64;
        let mut turns = self.turns.clone();
        if rest.is_empty()
            && let Some(outcome) = turns.finish()
            && outcome != Outcome::Open
        {
            self.end_turn(outcome);
            self.turns = turns;
        }
        let had_partial = self.cursor.partial_bytes > 0;
        let same_partial =
            self.cursor.partial_bytes == rest.len() as u64 && (!had_partial || rest == kept);
        if self.batch.is_empty() && self.cursor.at == self.at && same_partial {
            return Ok(self.added);
        }
        // The two together may be more than a record takes.
        if self.batch_bytes + rest.len() > BATCH_BYTES {
            self.hand_over()?;
        }
        let batch = self.with_cursor(rest);
        drop(self.journal.submit_all(&batch)?);
        Ok(self.added)
    }
}
