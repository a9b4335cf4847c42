//! Idle and orphaned sessions, and the watchdog's verdict.
//!
//! Activity is what somebody did: a record that the engine or its keeper wrote (a repair, an
//! interruption, a claim) is none, so looking after a session does not make it look alive. How
//! long ago that was is told by clocks, so a verdict is a record with its evidence, and whoever
//! reads it can judge the clocks. What it rests on is checked under the lock that accepts it: if
//! anything was appended in between, there is none.

use super::interrupt::{self, Ending};
use crate::error::Result;
use crate::format::ids::{Epoch, Lsn, Seq};
use crate::journal::handle::Journal;
use crate::journal::info::{OpenTurnInfo, SessionInfo};
use crate::journal::session::Session;
use crate::model::session::SessionState;
use crate::model::state::State;
use crate::model::turn::Cause;
use crate::recovery::reader::Reader;
use crate::recovery::salvage::json;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The reason that stands in an interruption by the watchdog.
pub const IDLE: &str = "idle";

/// A session, with how long nothing was done in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IdleSession {
    /// The session.
    #[serde(flatten)]
    pub session: SessionInfo,
    /// Since its latest activity, in milliseconds.
    pub idle_ms: u64,
    /// Since the submission of its oldest open turn, in milliseconds.
    pub open_ms: Option<u64>,
    /// Its open turns.
    #[serde(skip)]
    pub turns: Vec<OpenTurnInfo>,
    /// Input that is queued, dead letters included.
    pub queued: u64,
}

impl IdleSession {
    fn of(session: &SessionState, now: Epoch, now_ms: u64) -> Self {
        let turns = session.open.iter();
        let oldest = turns.clone().map(|turn| turn.submitted_ms).min();
        IdleSession {
            session: SessionInfo::of(session),
            idle_ms: now_ms.saturating_sub(session.active_ms),
            open_ms: oldest.map(|since| now_ms.saturating_sub(since)),
            turns: turns
                .map(|turn| OpenTurnInfo::of(session, turn, now))
                .collect(),
            queued: session.queue.len() as u64,
        }
    }
}

/// Why the watchdog interrupted a turn: what stands in the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// The session's id.
    pub session: String,
    /// The turn that was interrupted.
    pub turn: Seq,
    /// Its latest attempt; 0 if there was none.
    pub attempt: u32,
    /// Who made it; empty if the host did not tell.
    pub owner: String,
    /// The writer that had last advanced it.
    pub epoch: Epoch,
    /// Why it was unfinished, by epochs.
    pub cause: Cause,
    /// The latest activity of the session.
    pub last_activity_lsn: Lsn,
    /// When that was, by the clock of the writer that accepted it.
    pub last_activity_ms: u64,
    /// When the verdict was reached, by the clock of the one that did.
    pub judged_ms: u64,
    /// How long nothing had been done.
    pub idle_ms: u64,
    /// From when on a session is idle.
    pub threshold_ms: u64,
    /// The writer that reached it.
    pub judged_by: Epoch,
}

impl Verdict {
    /// The evidence, as it stands in the record.
    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        json::text(&mut out, "verdict", IDLE);
        json::text(&mut out, "session", &self.session);
        json::number(&mut out, "turn", self.turn.get().into());
        json::number(&mut out, "attempt", self.attempt.into());
        json::text(&mut out, "owner", &self.owner);
        json::number(&mut out, "epoch", self.epoch.get().into());
        json::text(&mut out, "cause", self.cause.as_str());
        json::number(&mut out, "last_activity_lsn", self.last_activity_lsn.get());
        json::number(&mut out, "last_activity_ms", self.last_activity_ms);
        json::number(&mut out, "judged_ms", self.judged_ms);
        json::number(&mut out, "idle_ms", self.idle_ms);
        json::number(&mut out, "threshold_ms", self.threshold_ms);
        json::number(&mut out, "judged_by", self.judged_by.get().into());
        out.push('}');
        out
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "interrupted turn {} of session {}: nothing was done in it for {} s, since lsn {}",
            self.turn,
            self.session,
            self.idle_ms / 1000,
            self.last_activity_lsn
        )
    }
}

/// Sessions that the host is not done with, and of which `is_meant` holds.
fn pick(
    state: &State,
    now: Epoch,
    now_ms: u64,
    is_meant: impl Fn(&IdleSession) -> bool,
) -> Vec<IdleSession> {
    let sessions = state.sessions().map(|s| IdleSession::of(s, now, now_ms));
    sessions.filter(is_meant).collect()
}

fn is_idle(session: &IdleSession, age: Duration) -> bool {
    session.session.ended.is_none() && past(session.idle_ms, age)
}

fn is_open(session: &IdleSession, age: Duration) -> bool {
    session.open_ms.is_some_and(|open| past(open, age))
}

fn past(ms: u64, age: Duration) -> bool {
    u128::from(ms) >= age.as_millis()
}

impl Journal {
    /// Lists the sessions in which nothing was done for at least `age`, oldest first, unless
    /// the host is done with them. Returns when what it shows is durable. O(sessions).
    ///
    /// # Errors
    /// [`crate::Error::Poisoned`].
    pub fn idle_sessions(&self, age: Duration) -> Result<Vec<IdleSession>> {
        self.picked(|session| is_idle(session, age))
    }

    /// Lists the sessions with a turn that was submitted at least `age` ago and has not ended,
    /// whatever is done in them: a turn may progress and never come to an end.
    ///
    /// # Errors
    /// [`crate::Error::Poisoned`].
    pub fn sessions_open_for(&self, age: Duration) -> Result<Vec<IdleSession>> {
        self.picked(|session| is_open(session, age))
    }

    fn picked(&self, is_meant: impl Fn(&IdleSession) -> bool) -> Result<Vec<IdleSession>> {
        let now_ms = self.shared.dir.storage().unix_ms();
        self.shared.settled(|tail| {
            let picked = pick(&tail.state, tail.epoch(), now_ms, is_meant);
            (picked, tail.next_lsn())
        })
    }
}

impl Reader {
    /// As [`Journal::idle_sessions`], of what this reader sees.
    pub fn idle_sessions(&self, age: Duration) -> Result<Vec<IdleSession>> {
        Ok(self.picked(|session| is_idle(session, age)))
    }

    /// As [`Journal::sessions_open_for`], of what this reader sees.
    pub fn sessions_open_for(&self, age: Duration) -> Result<Vec<IdleSession>> {
        Ok(self.picked(|session| is_open(session, age)))
    }

    fn picked(&self, is_meant: impl Fn(&IdleSession) -> bool) -> Vec<IdleSession> {
        let now_ms = self.unix_ms();
        self.fold(|state, writer| pick(state, writer.now(false), now_ms, is_meant))
    }
}

impl Session {
    /// Interrupts the open turns of this session if nothing was done in it for at least `age`,
    /// and their open calls with them: all in one batch, with [`IDLE`] as the reason and a
    /// [`Verdict`] as the content of each. Durable when it returns. Returns no verdict if there
    /// is no open turn, or if something was done, be it in the last moment.
    ///
    /// That is no activity, so the session stays as idle as it was. A worker that is still
    /// there is told by [`crate::Error::TurnEnded`].
    ///
    /// # Errors
    /// As [`Session::append`].
    pub fn interrupt_idle(&self, age: Duration) -> Result<Vec<Verdict>> {
        loop {
            let (head, verdicts) = self.judge(age)?;
            if verdicts.is_empty() {
                return Ok(verdicts);
            }
            let endings = verdicts.iter().map(|verdict| Ending {
                turn: verdict.turn,
                reason: IDLE,
                evidence: verdict.to_json(),
            });
            let endings: Vec<_> = endings.collect();
            // If something was appended since, whether that was activity, the fold knows.
            if interrupt::end(self, head, &endings)? {
                return Ok(verdicts);
            }
        }
    }

    /// What the watchdog would say, and the head of the session that it rests on.
    fn judge(&self, age: Duration) -> Result<(Lsn, Vec<Verdict>)> {
        let judged_ms = self.shared().dir.storage().unix_ms();
        let judged_by = self.shared().epoch();
        self.look(|state| {
            let idle_ms = judged_ms.saturating_sub(state.active_ms);
            if !past(idle_ms, age) {
                return (state.last_lsn, Vec::new());
            }
            let verdicts = state.open.iter().map(|turn| Verdict {
                session: state.name.to_string(),
                turn: turn.seq,
                attempt: turn.attempt,
                owner: turn.owner.to_string(),
                epoch: turn.epoch,
                cause: turn.cause(judged_by),
                last_activity_lsn: state.active_lsn,
                last_activity_ms: state.active_ms,
                judged_ms,
                idle_ms,
                threshold_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                judged_by,
            });
            (state.last_lsn, verdicts.collect())
        })
    }
}
