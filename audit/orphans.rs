//! Turns whose writer is gone, interrupted on record.
//!
//! Recovery ends no turn: the host resumes it or interrupts it. This is for the host that resumes
//! none, and for whoever keeps its journal. What has been orphaned follows from epochs alone.

use super::interrupt::{self, Ending};
use crate::error::Result;
use crate::format::ids::{Epoch, Lsn, Seq};
use crate::journal::session::Session;
use crate::model::turn::Cause;
use crate::recovery::salvage::json;
use serde::Serialize;
use std::fmt;

/// The reason that stands in an interruption of an orphaned turn.
pub const ORPHANED: &str = "orphaned";

/// A turn that was interrupted because its writer is gone: what stands in the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Orphan {
    /// The session's id.
    pub session: String,
    /// The turn.
    pub turn: Seq,
    /// Its latest attempt; 0 if there was none.
    pub attempt: u32,
    /// Who made it; empty if the host did not tell.
    pub owner: String,
    /// The writer that had last advanced it.
    pub epoch: Epoch,
    /// Why it was unfinished.
    pub cause: Cause,
    /// Calls that got no result, and were interrupted with it.
    pub open_calls: u64,
    /// The writer that judged so.
    pub judged_by: Epoch,
}

impl Orphan {
    fn to_json(&self) -> String {
        let mut out = String::from("{");
        json::text(&mut out, "verdict", ORPHANED);
        json::text(&mut out, "session", &self.session);
        json::number(&mut out, "turn", self.turn.get().into());
        json::number(&mut out, "attempt", self.attempt.into());
        json::text(&mut out, "owner", &self.owner);
        json::number(&mut out, "epoch", self.epoch.get().into());
        json::text(&mut out, "cause", self.cause.as_str());
        json::number(&mut out, "open_calls", self.open_calls);
        json::number(&mut out, "judged_by", self.judged_by.get().into());
        out.push('}');
        out
    }
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "interrupted turn {} of session {}: {}, since writer {} is gone",
            self.turn, self.session, self.cause, self.epoch
        )
    }
}

impl Session {
    /// Interrupts the turns of this session that earlier writers left open, and their open calls
    /// with them: all in one batch, with [`ORPHANED`] as the reason and an [`Orphan`] as the
    /// content of each. Durable when it returns. A turn that this writer has taken up is left.
    ///
    /// What such a turn had is kept, and a new one may stand in for it:
    /// [`crate::Input::supersedes`].
    ///
    /// # Errors
    /// As [`Session::append`].
    pub fn interrupt_orphans(&self) -> Result<Vec<Orphan>> {
        loop {
            let (head, orphans) = self.orphans()?;
            let endings = orphans.iter().map(|orphan| Ending {
                turn: orphan.turn,
                reason: ORPHANED,
                evidence: orphan.to_json(),
            });
            let endings: Vec<_> = endings.collect();
            if endings.is_empty() || interrupt::end(self, head, &endings)? {
                return Ok(orphans);
            }
        }
    }

    fn orphans(&self) -> Result<(Lsn, Vec<Orphan>)> {
        let judged_by = self.shared().epoch();
        self.look(|state| {
            let open = state.open.iter();
            let gone = open.filter(|turn| turn.cause(judged_by).is_orphaned());
            let orphans = gone.map(|turn| Orphan {
                session: state.name.to_string(),
                turn: turn.seq,
                attempt: turn.attempt,
                owner: turn.owner.to_string(),
                epoch: turn.epoch,
                cause: turn.cause(judged_by),
                open_calls: turn.calls.len() as u64,
                judged_by,
            });
            (state.last_lsn, orphans.collect())
        })
    }
}
