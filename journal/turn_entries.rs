//! The records of one turn, out of those of its session.

use super::entry::Entry;
use crate::error::Result;
use crate::format::ids::Seq;
use crate::model::event::Kind;
use crate::model::session::SessionState;

/// Iterator over the records of one turn, from its beginning to its end, in order. Of a turn
/// that a crash cut short it gives what there was: the input, events, calls, and the pieces of
/// the answer that had come, which are those of kind [`Kind::TurnProgress`].
///
/// It reads what stands between the turn's records too: turns of a session that overlap cost
/// more. Each item may be an error of its own.
#[derive(Debug)]
pub struct TurnEntries<E> {
    entries: E,
    turn: Seq,
    has_ended: bool,
}

impl<E: Iterator<Item = Result<Entry>>> TurnEntries<E> {
    /// `entries` begin with the turn's first record.
    pub(crate) fn new(entries: E, turn: Seq) -> Self {
        TurnEntries {
            entries,
            turn,
            has_ended: false,
        }
    }
}

impl<E: Iterator<Item = Result<Entry>>> Iterator for TurnEntries<E> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let turn = self.turn;
        let of_turn = |entry: &Entry| {
            entry.turn == Some(turn)
                && (entry.kind == Kind::TurnSubmitted || entry.kind.is_within_turn())
        };
        let found = self
            .entries
            .find(|entry| entry.as_ref().map_or(true, of_turn));
        self.has_ended = match &found {
            Some(Ok(entry)) => entry.kind.is_turn_end(),
            Some(Err(_)) => false,
            None => true,
        };
        found
    }
}

/// The latest turn among `entries` that was begun in place of `turn`.
pub(crate) fn superseded_by(
    entries: impl Iterator<Item = Result<Entry>>,
    turn: Seq,
) -> Result<Option<Seq>> {
    let mut found = None;
    for entry in entries {
        let entry = entry?;
        if entry.supersedes == Some(turn) {
            found = Some(entry.seq);
        }
    }
    Ok(found)
}

/// The records of a turn's open calls, oldest first; none if the turn is not open.
pub(crate) fn open_calls(state: &SessionState, turn: Seq) -> Vec<Seq> {
    let open = state.open_turn(turn);
    open.map_or_else(Vec::new, |turn| {
        turn.calls.iter().map(|call| call.seq).collect()
    })
}
