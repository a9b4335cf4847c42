//! Turns: the states that a turn goes through, and what is remembered while it is open.

use super::event::Kind;
use crate::format::body::Text;
use crate::format::ids::{Epoch, Lsn, Seq};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a turn has come.
///
/// A turn moves forwards only and ends once. A host that does not report every state skips
/// some. Starting is the one step that may repeat: a higher attempt is another run of the same
/// turn. Input that is queued is no turn yet: see [`super::session::QueuedInput`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TurnState {
    /// Its input is durable; no work has begun.
    Submitted,
    /// An attempt works on it.
    Running,
    /// The answer has begun to come.
    Responding,
    /// Ended with an answer.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended because someone stopped it.
    Cancelled,
    /// Ended without its worker saying so.
    Interrupted,
}

impl TurnState {
    /// Every state, in order.
    pub const ALL: [TurnState; 7] = [
        TurnState::Submitted,
        TurnState::Running,
        TurnState::Responding,
        TurnState::Completed,
        TurnState::Failed,
        TurnState::Cancelled,
        TurnState::Interrupted,
    ];

    /// Returns the stable, machine-readable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            TurnState::Submitted => "submitted",
            TurnState::Running => "running",
            TurnState::Responding => "responding",
            TurnState::Completed => "completed",
            TurnState::Failed => "failed",
            TurnState::Cancelled => "cancelled",
            TurnState::Interrupted => "interrupted",
        }
    }

    /// Whether work may still happen.
    pub const fn is_open(self) -> bool {
        !self.is_ended()
    }

    /// Whether the turn is over for good.
    pub const fn is_ended(self) -> bool {
        matches!(
            self,
            TurnState::Completed
                | TurnState::Failed
                | TurnState::Cancelled
                | TurnState::Interrupted
        )
    }

    /// Returns the state that a record of `kind` brings a turn to; `None` if it moves none.
    pub const fn brought_by(kind: Kind) -> Option<TurnState> {
        match kind {
            Kind::TurnSubmitted => Some(TurnState::Submitted),
            Kind::TurnStarted => Some(TurnState::Running),
            Kind::TurnResponding => Some(TurnState::Responding),
            Kind::TurnCompleted => Some(TurnState::Completed),
            Kind::TurnFailed => Some(TurnState::Failed),
            Kind::TurnCancelled => Some(TurnState::Cancelled),
            Kind::TurnInterrupted => Some(TurnState::Interrupted),
            _ => None,
        }
    }

    /// Whether a turn in this state may go to `to` within one run.
    pub const fn may_become(self, to: TurnState) -> bool {
        use TurnState::{Responding, Running, Submitted};
        match (self, to) {
            (Submitted, Running | Responding) | (Running, Responding) => true,
            (from, to) => from.is_open() && to.is_ended(),
        }
    }

    /// Whether a turn in this state may be started once more, by a further run.
    pub const fn may_restart(self) -> bool {
        self.is_open()
    }
}

impl fmt::Display for TurnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A turn that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTurn {
    /// Its identity: the seq of the record that submitted it.
    pub seq: Seq,
    /// Which turn of its session it is, from 1. Never given twice.
    pub ordinal: u32,
    /// The attempt that works on it, from 1; 0 before the first. Who speaks for an older one is
    /// refused.
    pub attempt: u32,
    /// Who makes the attempt, if the host tells.
    pub owner: Text,
    /// How far it has come.
    pub state: TurnState,
    /// The writer that began it or last moved it. An attempt belongs to the writer under which
    /// it began, and is over when that writer is.
    pub epoch: Epoch,
    /// Where its submission is in the journal.
    pub submitted_lsn: Lsn,
    /// When it was submitted, in milliseconds since 1970 by the writer's clock.
    pub submitted_ms: u64,
    /// When its latest record was written, by the writer's clock.
    pub last_ms: u64,
    /// Hash of its idempotency key, if it has one.
    pub key_hash: Option<u128>,
    /// Whether it has progress, which only an answer replaces.
    pub has_progress: bool,
    /// Calls without a result, oldest first.
    pub calls: Vec<OpenCall>,
}

impl OpenTurn {
    /// Whether the attempt may speak under the writer `now`. An attempt that began under
    /// another one is over; before the first, whoever speaks for none may.
    pub(super) fn is_held_by(&self, attempt: u32, now: Epoch) -> bool {
        attempt == self.attempt && (attempt == 0 || self.epoch == now)
    }

    /// Returns why it is unfinished, as seen under the writer `now`.
    pub fn cause(&self, now: Epoch) -> Cause {
        Cause::of(self.attempt, self.state, self.epoch < now)
    }

    pub(super) fn call_at(&self, id_hash: u128) -> Option<usize> {
        self.calls.iter().rposition(|call| call.id_hash == id_hash)
    }
}

/// A call of a turn, of a tool say, that has no result yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCall {
    /// The record of the call.
    pub seq: Seq,
    /// Hash of its id, by which the result names it.
    pub id_hash: u128,
}

/// Why a turn is unfinished. It follows from epochs, which number the openings of the journal
/// for writing: no clock, no process id and no text has a say in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// It was submitted under the present writer and no attempt has begun.
    Waiting,
    /// An attempt that began under the present writer holds it. Whether that worker still
    /// lives, its process knows.
    Held,
    /// It was submitted under an earlier writer, and no attempt was ever reported.
    NeverStarted,
    /// An attempt was under way when its writer ended. It is over: who made it can no longer
    /// finish the turn. A further attempt can.
    WriterGone,
}

impl Cause {
    /// Returns why a turn in `state` is unfinished. `is_earlier`: it was last moved under an
    /// earlier writer than the present one.
    pub const fn of(attempt: u32, state: TurnState, is_earlier: bool) -> Cause {
        let began = attempt > 0 || !matches!(state, TurnState::Submitted);
        match (began, is_earlier) {
            (false, false) => Cause::Waiting,
            (true, false) => Cause::Held,
            (false, true) => Cause::NeverStarted,
            (true, true) => Cause::WriterGone,
        }
    }

    /// Returns the stable, machine-readable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Waiting => "waiting",
            Cause::Held => "held",
            Cause::NeverStarted => "never_started",
            Cause::WriterGone => "writer_gone",
        }
    }

    /// Whether the host must decide: take the turn up again, or interrupt it.
    pub const fn is_orphaned(self) -> bool {
        matches!(self, Cause::NeverStarted | Cause::WriterGone)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A turn that a session remembers by its idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedTurn {
    /// Hash of the key.
    pub key_hash: u128,
    /// The turn.
    pub seq: Seq,
    /// Its ordinal.
    pub ordinal: u32,
    /// How it ended; `None` while it is open.
    pub ended: Option<TurnState>,
    /// The latest turn that was begun in its place.
    pub superseded_by: Option<Seq>,
}

/// The turn that ended last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedTurn {
    /// The turn.
    pub seq: Seq,
    /// Its ordinal.
    pub ordinal: u32,
    /// How it ended.
    pub state: TurnState,
    /// The latest turn that was begun in its place.
    pub superseded_by: Option<Seq>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: from. Columns: to. Both in the order of `ALL`.
    #[test]
    fn the_transition_table_is_exactly_this() {
        let table = [
            // Sub Run Res Com Fai Can Int
            ".xxxxxx", // submitted
            "..xxxxx", // running
            "...xxxx", // responding
            ".......", // completed
            ".......", // failed
            ".......", // cancelled
            ".......", // interrupted
        ];
        for (from, row) in TurnState::ALL.into_iter().zip(table) {
            for (to, cell) in TurnState::ALL.into_iter().zip(row.chars()) {
                assert_eq!(from.may_become(to), cell == 'x', "{from} to {to}");
            }
            assert_eq!(from.may_restart(), row.contains('x'), "{from} restarts");
            assert_ne!(from.is_open(), from.is_ended());
        }
    }

    #[test]
    fn each_state_is_brought_by_one_kind() {
        for state in TurnState::ALL {
            let kinds = Kind::ALL
                .iter()
                .filter(|kind| TurnState::brought_by(**kind) == Some(state));
            assert_eq!(kinds.count(), 1, "{state}");
        }
        for kind in Kind::ALL {
            let ends = TurnState::brought_by(*kind).is_some_and(TurnState::is_ended);
            assert_eq!(ends, kind.is_turn_end(), "{kind}");
        }
    }
}
