//! What is told about sessions and open turns: plain values, no way to write.

use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
use crate::model::session::{SessionState, Status};
use crate::model::turn::{Cause, OpenTurn, TurnState};
use serde::Serialize;

/// A session at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The host's id.
    pub id: String,
    /// Its number in the journal.
    pub no: SessionNo,
    /// The session that it is a child of.
    pub parent: Option<SessionNo>,
    /// Why it ended, if it did.
    pub ended: Option<String>,
    /// One more with each clear and truncation.
    pub generation: u32,
    /// Records that a reader sees, up to what compaction has dropped as superseded.
    pub records: u64,
    /// Turns begun.
    pub turns: u32,
    /// Turns that have not ended.
    pub open_turns: u32,
    /// Keys that hold a value.
    pub keys: u32,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When something last happened in it; maintenance does not count.
    pub active_ms: u64,
    /// The record of that.
    pub active_lsn: Lsn,
    /// Its newest record.
    pub last_lsn: Lsn,
}

impl SessionInfo {
    /// Reads it off the fold.
    pub fn of(state: &SessionState) -> Self {
        SessionInfo {
            id: state.name.to_string(),
            no: state.no,
            parent: state.parent,
            ended: match &state.status {
                Status::Ended { reason, .. } => Some(reason.to_string()),
                _ => None,
            },
            generation: state.generation,
            records: u64::from(state.visible_len()),
            turns: state.turns_begun,
            open_turns: state.open.len() as u32,
            keys: state.values.len() as u32,
            created_ms: state.created_ms,
            active_ms: state.active_ms,
            active_lsn: state.active_lsn,
            last_lsn: state.last_lsn,
        }
    }
}

/// A turn that was submitted and has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OpenTurnInfo {
    /// The session's id.
    pub session: String,
    /// The turn: the sequence number of its first record.
    pub turn: Seq,
    /// The how-manieth turn of the session, from 1.
    pub ordinal: u32,
    /// How far it got.
    pub state: TurnState,
    /// The latest attempt; 0 before the first.
    pub attempt: u32,
    /// Who makes it; empty if the host did not tell.
    pub owner: String,
    /// Calls without a result.
    pub open_calls: u32,
    /// The writer that last advanced it.
    pub epoch: Epoch,
    /// That writer is gone: nobody in this process works on the turn.
    pub from_earlier_writer: bool,
    /// When it was submitted, in milliseconds since the Unix epoch.
    pub submitted_ms: u64,
}

impl OpenTurnInfo {
    /// Why it is unfinished: from epochs, never from clocks. A host resumes or interrupts those
    /// that are orphaned; the journal does neither by itself.
    pub fn cause(&self) -> Cause {
        Cause::of(self.attempt, self.state, self.from_earlier_writer)
    }

    pub(crate) fn of(session: &SessionState, turn: &OpenTurn, now: Epoch) -> Self {
        OpenTurnInfo {
            session: session.name.to_string(),
            turn: turn.seq,
            ordinal: turn.ordinal,
            state: turn.state,
            attempt: turn.attempt,
            owner: turn.owner.to_string(),
            open_calls: turn.calls.len() as u32,
            epoch: turn.epoch,
            from_earlier_writer: turn.epoch < now,
            submitted_ms: turn.submitted_ms,
        }
    }
}
