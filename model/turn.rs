//! Turns: the states that a turn goes through, and what is remembered while it is open.

use super::event::Kind;
use crate::format::ids::{Epoch, Lsn, Seq};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far a turn has come.
///
/// A turn moves forwards only and ends once. A host that does not report every state skips
/// some. Starting is the one step that may repeat: a higher attempt is another run of the same
/// turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TurnState {
    /// Its input is durable; no work has begun.
    Submitted,
    /// A run works on it.
    Started,
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
        TurnState::Started,
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
            TurnState::Started => "started",
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
            Kind::TurnStarted => Some(TurnState::Started),
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
        use TurnState::{Responding, Started, Submitted};
        match (self, to) {
            (Submitted, Started | Responding) | (Started, Responding) => true,
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
    /// The run that works on it, from 1; 0 before the first. Who speaks for an older run is
    /// refused.
    pub attempt: u32,
    /// How far it has come.
    pub state: TurnState,
    /// The writer that began it or last moved it. If that is not this writer, its worker died.
    pub epoch: Epoch,
    /// Where its submission is in the journal.
    pub submitted_lsn: Lsn,
    /// When it was submitted, in milliseconds since 1970 by the writer's clock.
    pub submitted_ms: u64,
    /// When its latest record was written, by the writer's clock.
    pub last_ms: u64,
    /// Hash of its idempotency key, if it has one.
    pub key_hash: Option<u128>,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: from. Columns: to. Both in the order of `ALL`.
    #[test]
    fn the_transition_table_is_exactly_this() {
        let table = [
            // Sub Sta Res Com Fai Can Int
            ".xxxxxx", // submitted
            "..xxxxx", // started
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
