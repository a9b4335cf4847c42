//! Retention: which records a compaction keeps.
//!
//! Only records that the state no longer needs may go, so what is dropped here never changes
//! what a fold gives. It changes what can be read.

use super::event::Kind;
use super::session::SessionEntry;
use crate::format::ids::Seq;

/// What a compaction keeps beyond what it must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Keep the progress of turns that have ended. Default false: their answer replaced it. The
    /// progress of the latest turns that ended without an answer is kept in any case, 128 of
    /// each session. Costs the bytes of every streamed piece of every answer.
    pub keep_progress_of_ended_turns: bool,
    /// Keep values that were replaced or removed, and their removals. Default false. Costs the
    /// bytes of every version of every value.
    pub keep_replaced_values: bool,
}

/// What is known of a record when its fate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMeta<'a> {
    /// Its place in the session.
    pub seq: Seq,
    /// What happened.
    pub kind: Kind,
    /// The envelope's turn.
    pub turn: u32,
    /// The envelope's name.
    pub name: &'a str,
    /// The envelope's link.
    pub link: u64,
}

/// What becomes of a record in a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It stays.
    Keep,
    /// It may go, because something later stands for it.
    Superseded,
    /// It must go: it was truncated, cleared, or its session deleted.
    Erased,
}

impl Retention {
    /// Says what becomes of a record of `session`. Pure: a dry run asks the same.
    ///
    /// `session` must be folded at least up to the record; a later record is kept.
    pub fn fate(&self, session: &SessionEntry, record: &RecordMeta<'_>) -> Fate {
        let SessionEntry::Live(session) = session else {
            return Fate::Erased;
        };
        if record.seq >= session.next_seq {
            return Fate::Keep;
        }
        if session.is_dropped(record.seq) {
            return Fate::Erased;
        }
        let superseded = match record.kind {
            Kind::TurnProgress => {
                let turn = Seq::new(record.turn);
                let needed = session.open_turn(turn).is_some() || session.partial.contains(&turn);
                !needed && !self.keep_progress_of_ended_turns
            }
            Kind::Put => {
                let current = session.values.get(record.name);
                current.is_none_or(|value| value.seq != record.seq) && !self.keep_replaced_values
            }
            // Who had claimed it is of no interest once it is done with.
            Kind::InputClaimed | Kind::InputReleased => session.queued(record.link).is_none(),
            Kind::Remove => !self.keep_replaced_values,
            _ => false,
        };
        if superseded {
            Fate::Superseded
        } else {
            Fate::Keep
        }
    }
}
