//! Pieces into a session: batches of records among the turns, each with the bookmark behind it.

use crate::error::Result;
use crate::transcripts::turns::{Mark, Outcome, Turns};
use turnkeep::{Batch, Input, Journal, Seq, Session, Turn};

/// A batch is handed over when it has this many bytes.
const BATCH_BYTES: usize = 512 << 10;

/// Or this many records.
const BATCH_RECORDS: usize = 512;

/// The reason of turns that a host's file says were interrupted or failed.
const REASON: &str = "import";

/// How far an import has come: a value of the session, written with what it speaks of.
pub trait Bookmark {
    /// The key of the value.
    const KEY: &'static str;

    /// Takes over where the turns stand.
    fn set_turns(&mut self, turns: Turns);

    /// Encodes the value.
    fn encode(&self) -> Vec<u8>;
}

/// One record to be.
#[derive(Clone, Debug)]
pub struct Piece<'p> {
    /// Its name.
    pub name: &'p str,
    /// Who acted.
    pub actor: &'p str,
    /// What it says about the bytes.
    pub extra: Vec<u8>,
    /// The bytes.
    pub bytes: &'p [u8],
    /// Idempotency key of the turn that it begins, if it begins one.
    pub key: &'p [u8],
    /// What it means for the turn.
    pub mark: Mark,
}

/// Fills one session.
pub struct Feed<'j, B> {
    journal: &'j Journal,
    session: Session,
    /// Behind the last piece taken.
    pub bookmark: B,
    turns: Turns,
    turn: Option<Turn>,
    batch: Batch,
    batch_bytes: usize,
    begun: u64,
    /// The bookmark differs from the one in the journal.
    is_touched: bool,
}

impl<'j, B: Bookmark> Feed<'j, B> {
    /// Goes on behind `bookmark`, in which the turns stand at `turns`.
    pub fn resume(
        journal: &'j Journal,
        session: Session,
        bookmark: B,
        turns: Turns,
        open_turn: Option<Seq>,
    ) -> Feed<'j, B> {
        let turn = open_turn.and_then(|turn| session.turn(turn).ok());
        Feed {
            journal,
            session,
            bookmark,
            turns,
            turn,
            batch: Batch::new(),
            batch_bytes: 0,
            begun: 0,
            is_touched: false,
        }
    }

    /// Takes one piece; `advance` moves the bookmark behind it.
    ///
    /// # Errors
    /// The journal's.
    pub fn take(&mut self, piece: &Piece<'_>, advance: impl FnOnce(&mut B)) -> Result<()> {
        self.make_room(piece)?;
        let place = self.turns.place(piece.mark);
        if let Some(outcome) = place.closes {
            self.say_end(outcome);
        }
        advance(&mut self.bookmark);
        if place.starts {
            return self.begin(piece);
        }
        let batch = std::mem::take(&mut self.batch);
        self.batch = match (&self.turn, place.turn) {
            (Some(turn), Some(_)) => batch.turn_event(turn, piece.name, piece.bytes),
            _ => batch.event(&self.session, piece.name, piece.bytes),
        };
        self.describe(piece);
        if let Some(outcome) = place.ends {
            self.say_end(outcome);
        }
        if self.batch.len() >= BATCH_RECORDS {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Takes one piece that belongs to no turn.
    ///
    /// # Errors
    /// The journal's.
    pub fn take_outside(&mut self, piece: &Piece<'_>, advance: impl FnOnce(&mut B)) -> Result<()> {
        self.make_room(piece)?;
        advance(&mut self.bookmark);
        let batch = std::mem::take(&mut self.batch);
        self.batch = batch.event(&self.session, piece.name, piece.bytes);
        self.describe(piece);
        Ok(())
    }

    /// Ends the open turn, if there is one, because the host says so elsewhere.
    pub fn end_turn(&mut self, outcome: Outcome) {
        if outcome == Outcome::Open || self.turn.is_none() {
            return;
        }
        self.turns.place(Mark::Ends(outcome));
        self.say_end(outcome);
    }

    /// The bookmark is to be written although nothing else is.
    pub fn touch(&mut self) {
        self.is_touched = true;
    }

    /// Hands over the rest. With `is_settled` the last turn ends if its last word says that it
    /// was answered or failed. Returns how many turns were begun.
    ///
    /// # Errors
    /// The journal's.
    pub fn finish(mut self, is_settled: bool) -> Result<u64> {
        if is_settled {
            let mut turns = self.turns.clone();
            if let Some(outcome) = turns.finish()
                && outcome != Outcome::Open
                && self.turn.is_some()
            {
                self.say_end(outcome);
                self.turns = turns;
            }
        }
        self.hand_over()?;
        Ok(self.begun)
    }

    fn make_room(&mut self, piece: &Piece<'_>) -> Result<()> {
        match self.batch_bytes + piece.bytes.len() > BATCH_BYTES {
            true => self.hand_over(),
            false => Ok(()),
        }
    }

    fn describe(&mut self, piece: &Piece<'_>) {
        let batch = std::mem::take(&mut self.batch);
        self.batch = batch.actor(piece.actor).extra(&piece.extra);
        self.batch_bytes += piece.bytes.len();
    }

    /// The first piece of a turn is its input, and ends its batch: the pieces behind it must
    /// know by which number to call the turn.
    fn begin(&mut self, piece: &Piece<'_>) -> Result<()> {
        let input = Input::new(piece.name, piece.bytes)
            .actor(piece.actor)
            .key(piece.key)
            .extra(&piece.extra);
        let batch = self.with_bookmark();
        let (turn, _) = self
            .journal
            .submit_then_begin(&batch, &self.session, &input)?;
        self.begun += u64::from(turn.is_new());
        self.turn = Some(turn);
        Ok(())
    }

    fn say_end(&mut self, outcome: Outcome) {
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

    fn hand_over(&mut self) -> Result<()> {
        if self.batch.is_empty() && !self.is_touched {
            return Ok(());
        }
        let batch = self.with_bookmark();
        // Its ticket is not waited for: the journal's sync at the end waits for all.
        drop(self.journal.submit_all(&batch)?);
        Ok(())
    }

    fn with_bookmark(&mut self) -> Batch {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.is_touched = false;
        self.bookmark.set_turns(self.turns.clone());
        batch.put(&self.session, B::KEY, self.bookmark.encode())
    }
}
