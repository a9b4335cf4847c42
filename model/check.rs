//! What the writer asks before it accepts a record.
//!
//! Rules about what may be said live here, and only here: the fold takes whatever an earlier
//! release accepted, as long as it can be folded. What `check` accepts, `apply` folds.

use super::event::{Envelope, Kind};
use super::key::hash_key;
use super::session::{JOURNAL_SESSION, SessionEntry, SessionState, Standing, Status};
use super::state::State;
use super::turn::{OpenTurn, TurnState};
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};

/// The longest name: of a session, an event, a key, a class of input, a reason. In bytes.
pub const MAX_NAME_BYTES: usize = 512;

/// The longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 256;

/// The longest name of whoever makes an attempt or a claim, in bytes.
pub const MAX_OWNER_BYTES: usize = 128;

/// The most records that a session may have. Below the end of the numbers by more than any batch
/// is long, so that drafts may be checked together and then applied together.
pub const MAX_SESSION_RECORDS: u32 = u32::MAX - (1 << 20);

/// A record that someone would like to append.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The writer that would append it.
    pub epoch: Epoch,
    /// The session; for [`Kind::SessionCreated`] the number of the next one.
    pub session: SessionNo,
    /// What happened.
    pub kind: Kind,
    /// The envelope.
    pub envelope: &'a Envelope<'a>,
    /// Length of the content in bytes.
    pub content_len: u32,
    /// What must hold for the record to be accepted. A creation is refused anyway when the name
    /// is taken; of conditions it knows the generation that the session is to begin with, which
    /// is 0 if none of that name was ever deleted.
    pub condition: Option<Condition>,
}

impl<'a> Draft<'a> {
    /// A draft without a condition.
    pub fn new(
        epoch: Epoch,
        session: SessionNo,
        kind: Kind,
        envelope: &'a Envelope<'a>,
        content_len: u32,
    ) -> Self {
        Draft {
            epoch,
            session,
            kind,
            envelope,
            content_len,
            condition: None,
        }
    }

    /// Accepts the record only if `condition` holds.
    pub fn when(mut self, condition: Condition) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Whether applying this draft leaves alone the verdict on any other that stands alone. If
    /// all drafts of a batch do, they can be checked first and applied then, without a savepoint.
    pub fn stands_alone(&self) -> bool {
        let plain = matches!(
            self.kind,
            Kind::SessionUpdated
                | Kind::TurnEvent
                | Kind::TurnProgress
                | Kind::Message
                | Kind::Maintenance
        );
        plain && self.envelope.key.is_empty() && self.condition.is_none()
    }
}

/// What must hold for a record to be accepted, so that nothing newer is overwritten unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// Nothing was appended to the session since: this is its newest record.
    Head(Lsn),
    /// The value of the key that the record names was set by this record; `None`: has no value.
    Value(Option<Lsn>),
    /// The session has no open turn.
    NoOpenTurn,
    /// The session was not cleared or truncated since its generation was this, nor deleted and
    /// created anew.
    Generation(u32),
}

/// What holds instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// This is the session's newest record.
    Head(Lsn),
    /// The value was set by this record, or there is none.
    Value(Option<Lsn>),
    /// This turn is open.
    OpenTurn(Seq),
    /// The session's generation is this.
    Generation(u32),
}

/// What becomes of a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be appended, and will fold.
    Accept,
    /// A turn with the same idempotency key is there: it is that turn. Nothing is to be appended.
    Existing {
        /// The turn.
        seq: Seq,
        /// Its ordinal.
        ordinal: u32,
        /// The state it is in.
        state: TurnState,
    },
    /// An event, an input or an open call with the same key is there. Nothing is to be appended.
    Duplicate {
        /// The record that is there.
        seq: Seq,
    },
}

/// Why a draft is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No session of that number.
    #[error("no session {session}")]
    UnknownSession {
        /// The number.
        session: SessionNo,
    },
    /// The session was deleted.
    #[error("session {session} is deleted")]
    Deleted {
        /// The number.
        session: SessionNo,
    },
    /// The session has ended already, and only a turn makes it active again.
    #[error("session {session} has ended already")]
    SessionEnded {
        /// The number.
        session: SessionNo,
    },
    /// The kind has no place in the journal's own session.
    #[error("{kind} needs a session")]
    NeedsSession {
        /// The kind.
        kind: Kind,
    },
    /// A live session has the name.
    #[error("session {session} has that name")]
    NameTaken {
        /// That session.
        session: SessionNo,
    },
    /// A name is missing or too long.
    #[error("name {why}")]
    NameInvalid {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The idempotency key is too long, or the kind takes none.
    #[error("idempotency key {why}")]
    KeyInvalid {
        /// What is wrong with it.
        why: &'static str,
    },
    /// No open turn of that seq, and none is remembered.
    #[error("no open turn {turn}")]
    TurnUnknown {
        /// The seq.
        turn: Seq,
    },
    /// The turn has ended.
    #[error("turn {turn} is {state}")]
    TurnEnded {
        /// The turn.
        turn: Seq,
        /// How it ended.
        state: TurnState,
    },
    /// The turn to be superseded is still open, or the session has as many open turns as it may
    /// have, this being the latest.
    #[error("turn {turn} is still open")]
    TurnOpen {
        /// The turn.
        turn: Seq,
    },
    /// The turn has calls without a result, and so cannot end.
    #[error("turn {turn} has {calls} calls without a result")]
    OpenCalls {
        /// The turn.
        turn: Seq,
        /// How many.
        calls: u32,
    },
    /// The turn has no open call of that id.
    #[error("turn {turn} has no open call of that id")]
    CallUnknown {
        /// The turn.
        turn: Seq,
    },
    /// The turn cannot go there from where it is.
    #[error("turn {turn} cannot go from {from} to {to}")]
    IllegalTransition {
        /// The turn.
        turn: Seq,
        /// The state it is in.
        from: TurnState,
        /// The state asked for.
        to: TurnState,
    },
    /// Another attempt holds the turn, or the attempt is over because its writer is.
    #[error(
        "attempt {attempt} of turn {turn} is fenced off: attempt {current} of writer {epoch} is the latest"
    )]
    Fenced {
        /// The turn.
        turn: Seq,
        /// The attempt that spoke.
        attempt: u32,
        /// The latest attempt.
        current: u32,
        /// The writer under which that began.
        epoch: Epoch,
    },
    /// No such input is queued: it was taken, confirmed, withdrawn, or never was.
    #[error("no queued input {input}")]
    InputUnknown {
        /// Its seq.
        input: u64,
    },
    /// Another claim holds the input, or the claim is over because its writer is.
    #[error("input {input} has claim {claim} of writer {epoch}")]
    InputClaimed {
        /// Its seq.
        input: u64,
        /// The latest claim.
        claim: u32,
        /// The writer under which it was made.
        epoch: Epoch,
    },
    /// The input does not stand where that could be done with it: it is not claimed, or it is
    /// among the dead letters.
    #[error("input {input} is {standing}")]
    InputStanding {
        /// Its seq.
        input: u64,
        /// Where it stands.
        standing: &'static str,
    },
    /// Input is queued among the records to be dropped, and would go with them unseen.
    #[error("input {input} is still queued")]
    InputPending {
        /// The seq of the oldest.
        input: Seq,
    },
    /// The first seq to drop is the session's creation, or nothing that there is.
    #[error("cannot truncate from {from}: records are 2 to {next}, exclusive")]
    TruncationInvalid {
        /// The first seq to drop.
        from: u64,
        /// The session's next seq.
        next: Seq,
    },
    /// The draft's condition does not hold.
    #[error("precondition does not hold: expected {expected:?}, found {found:?}")]
    PreconditionFailed {
        /// What was to hold.
        expected: Condition,
        /// What holds instead.
        found: Found,
    },
    /// The session, or the journal, has as many of these as it may have.
    #[error("no more than {max} {what}")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        max: u64,
    },
}

impl State {
    /// Says what becomes of `draft`. Changes nothing.
    ///
    /// A known idempotency key is found before anything else about the session is looked at: a
    /// retry gets its first answer, whatever happened since.
    ///
    /// # Errors
    /// [`Refusal`], by what the caller would do about it.
    pub fn check(&self, draft: &Draft<'_>) -> Result<Verdict, Refusal> {
        check_texts(draft)?;
        if draft.kind == Kind::SessionCreated {
            return self.check_creation(draft).map(|()| Verdict::Accept);
        }
        let session = self.live(draft.session)?;
        if draft.session == JOURNAL_SESSION && !is_for_journal(draft.kind) {
            return Err(Refusal::NeedsSession { kind: draft.kind });
        }
        if !draft.envelope.key.is_empty()
            && !is_call(draft.kind)
            && let Some(known) = session.known(draft.kind, hash_key(draft.envelope.key))
        {
            return Ok(known);
        }
        if let Some(condition) = draft.condition {
            session.check_condition(condition, draft.envelope.name)?;
        }
        refuse_full(
            "records of a session",
            MAX_SESSION_RECORDS as usize,
            session.next_seq.get() as usize,
        )?;
        match draft.kind {
            Kind::TurnSubmitted => self.check_submission(session, draft)?,
            kind if kind.is_within_turn() => return self.check_turn_step(session, draft),
            _ => self.check_plain(session, draft)?,
        }
        Ok(Verdict::Accept)
    }

    fn check_turn_step(
        &self,
        session: &SessionState,
        draft: &Draft<'_>,
    ) -> Result<Verdict, Refusal> {
        let envelope = draft.envelope;
        let turn = session.check_speaker(draft)?;
        let seq = turn.seq;
        match draft.kind {
            Kind::TurnCall => {
                if let Some(at) = turn.call_at(hash_key(envelope.key)) {
                    let seq = turn.calls[at].seq;
                    return Ok(Verdict::Duplicate { seq });
                }
                refuse_full("open calls", self.limits.open_calls, session.open_calls())?;
            }
            Kind::TurnResult | Kind::TurnCallInterrupted => {
                if turn.call_at(hash_key(envelope.key)).is_none() {
                    return Err(Refusal::CallUnknown { turn: seq });
                }
            }
            // A start is of a higher attempt, from wherever the one before had come to.
            Kind::TurnStarted => {}
            kind => {
                if let Some(to) = TurnState::brought_by(kind) {
                    turn.check_move(to)?;
                }
            }
        }
        Ok(Verdict::Accept)
    }

    fn live(&self, no: SessionNo) -> Result<&SessionState, Refusal> {
        match self.entry(no) {
            Some(SessionEntry::Live(session)) => Ok(session),
            Some(SessionEntry::Deleted(_)) => Err(Refusal::Deleted { session: no }),
            None => Err(Refusal::UnknownSession { session: no }),
        }
    }

    fn check_creation(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
        if let Some(session) = self.find(draft.envelope.name) {
            return Err(Refusal::NameTaken { session });
        }
        if draft.session != self.next_session() {
            return Err(Refusal::UnknownSession {
                session: draft.session,
            });
        }
        if draft.envelope.link != 0 {
            let parent = u32::try_from(draft.envelope.link).unwrap_or(u32::MAX);
            self.live(SessionNo::new(parent))?;
        }
        if let Some(expected @ Condition::Generation(generation)) = draft.condition {
            let found = self.next_generation(draft.envelope.name);
            if generation != found {
                let found = Found::Generation(found);
                return Err(Refusal::PreconditionFailed { expected, found });
            }
        }
        refuse_full("sessions", u32::MAX as usize - 1, self.entries.len())
    }

    /// Whether `condition` holds in the session, for a record that names `name`.
    ///
    /// # Errors
    /// [`Refusal::PreconditionFailed`] if not; as [`State::check`] if there is no such session.
    pub fn check_condition(
        &self,
        no: SessionNo,
        condition: Condition,
        name: &str,
    ) -> Result<(), Refusal> {
        self.live(no)?.check_condition(condition, name)
    }

    fn check_submission(&self, session: &SessionState, draft: &Draft<'_>) -> Result<(), Refusal> {
        if session.open.len() >= self.limits.open_turns
            && let Some(latest) = session.open.last()
        {
            return Err(Refusal::TurnOpen { turn: latest.seq });
        }
        let superseded = Seq::new(draft.envelope.turn);
        if superseded >= session.next_seq {
            return Err(Refusal::TurnUnknown { turn: superseded });
        }
        if session.open_at(superseded).is_some() {
            return Err(Refusal::TurnOpen { turn: superseded });
        }
        match draft.envelope.link {
            0 => Ok(()),
            _ => session.check_input(draft),
        }
    }

    fn check_plain(&self, session: &SessionState, draft: &Draft<'_>) -> Result<(), Refusal> {
        let envelope = draft.envelope;
        match draft.kind {
            Kind::SessionEnded => match session.status {
                Status::Active => Ok(()),
                Status::Ended { .. } => Err(Refusal::SessionEnded {
                    session: session.no,
                }),
            },
            Kind::SessionTruncated => {
                if envelope.link < 2 || envelope.link >= u64::from(session.next_seq.get()) {
                    return Err(Refusal::TruncationInvalid {
                        from: envelope.link,
                        next: session.next_seq,
                    });
                }
                session.check_nothing_queued(envelope.link)?;
                refuse_full("truncated ranges", self.limits.holes, session.holes.len())
            }
            Kind::SessionCleared => session.check_nothing_queued(0),
            Kind::Put if !session.values.contains_key(envelope.name) => {
                refuse_full("keys with values", self.limits.values, session.values.len())
            }
            Kind::InputQueued => {
                refuse_full("queued inputs", self.limits.queued, session.queue.len())
            }
            kind if kind.is_about_input() => session.check_input(draft),
            _ => Ok(()),
        }
    }
}

impl SessionState {
    /// Finds what has the key already, among those that a record of `kind` could be.
    fn known(&self, kind: Kind, key_hash: u128) -> Option<Verdict> {
        if kind == Kind::TurnSubmitted {
            let keyed = self
                .recent_keys
                .iter()
                .rev()
                .find(|turn| turn.key_hash == key_hash)?;
            let state = match keyed.ended {
                Some(state) => state,
                None => self.open_turn(keyed.seq)?.state,
            };
            return Some(Verdict::Existing {
                seq: keyed.seq,
                ordinal: keyed.ordinal,
                state,
            });
        }
        let remembered = self
            .recent_events
            .iter()
            .rev()
            .find(|event| event.key_hash == key_hash);
        let seq = match remembered {
            Some(event) => event.seq,
            None if kind == Kind::InputQueued => {
                // Input may wait for longer than its key is remembered.
                let mut waiting = self.queue.iter();
                waiting.find(|input| input.key_hash == Some(key_hash))?.seq
            }
            None => return None,
        };
        Some(Verdict::Duplicate { seq })
    }

    /// Whether `condition` holds; `name` is the key of a value.
    pub(super) fn check_condition(&self, expected: Condition, name: &str) -> Result<(), Refusal> {
        let (holds, found) = match expected {
            Condition::Head(lsn) => (lsn == self.last_lsn, Found::Head(self.last_lsn)),
            Condition::Value(lsn) => {
                let current = self.values.get(name).map(|value| value.lsn);
                (lsn == current, Found::Value(current))
            }
            Condition::NoOpenTurn => match self.open.last() {
                None => return Ok(()),
                Some(turn) => (false, Found::OpenTurn(turn.seq)),
            },
            Condition::Generation(generation) => (
                generation == self.generation,
                Found::Generation(self.generation),
            ),
        };
        if holds {
            return Ok(());
        }
        Err(Refusal::PreconditionFailed { expected, found })
    }

    /// Finds the open turn that the draft speaks of, if it may.
    fn check_speaker(&self, draft: &Draft<'_>) -> Result<&OpenTurn, Refusal> {
        let seq = Seq::new(draft.envelope.turn);
        let Some(turn) = self.open_turn(seq) else {
            return Err(match self.end_of(seq) {
                Some(state) => Refusal::TurnEnded { turn: seq, state },
                None => Refusal::TurnUnknown { turn: seq },
            });
        };
        let attempt = draft.envelope.attempt;
        let may_speak = match draft.kind {
            Kind::TurnStarted => attempt > turn.attempt,
            // Whoever stops a turn need not be the one who makes the attempt.
            Kind::TurnCancelled | Kind::TurnInterrupted | Kind::TurnCallInterrupted
                if attempt == 0 =>
            {
                true
            }
            _ => turn.is_held_by(attempt, draft.epoch),
        };
        if may_speak {
            return Ok(turn);
        }
        Err(Refusal::Fenced {
            turn: seq,
            attempt,
            current: turn.attempt,
            epoch: turn.epoch,
        })
    }

    /// Whether the claim that the draft speaks for, or none, may do that with the input.
    fn check_input(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
        let (input, claim) = (draft.envelope.link, draft.envelope.attempt);
        let Some(queued) = self.queued(input) else {
            return Err(Refusal::InputUnknown { input });
        };
        let now = draft.epoch;
        let claimed = || {
            let epoch = match queued.standing {
                Standing::Claimed { epoch, .. } => epoch,
                _ => Epoch::default(),
            };
            let claim = queued.claims;
            Err(Refusal::InputClaimed {
                input,
                claim,
                epoch,
            })
        };
        let standing = |standing| Err(Refusal::InputStanding { input, standing });
        if draft.kind == Kind::InputClaimed {
            return match (queued.is_waiting(now), queued.is_dead()) {
                (true, _) if claim == queued.claims.saturating_add(1) => Ok(()),
                (_, true) => standing("buried"),
                _ => claimed(),
            };
        }
        if claim != 0 {
            return match queued.is_claimed(now) && claim == queued.claims {
                true => self.check_turn_of(draft),
                false => claimed(),
            };
        }
        match draft.kind {
            // By hand: a worker that is known to be gone, a dead letter that is to be tried.
            Kind::InputReleased => match queued.standing {
                Standing::Waiting => standing("waiting"),
                _ => Ok(()),
            },
            Kind::InputConfirmed => standing("not claimed by who confirms it"),
            _ if queued.is_claimed(now) => claimed(),
            Kind::InputWithdrawn => Ok(()),
            _ if queued.is_dead() => standing("buried"),
            _ => Ok(()),
        }
    }

    /// Input is confirmed within a turn that there is, or within none.
    fn check_turn_of(&self, draft: &Draft<'_>) -> Result<(), Refusal> {
        let turn = Seq::new(draft.envelope.turn);
        match draft.kind == Kind::InputConfirmed && turn >= self.next_seq {
            true => Err(Refusal::TurnUnknown { turn }),
            false => Ok(()),
        }
    }

    /// What is queued leaves the queue one by one, so that none goes unseen.
    fn check_nothing_queued(&self, from: u64) -> Result<(), Refusal> {
        let mut queued = self.queue.iter().map(|input| input.seq);
        match queued.find(|seq| u64::from(seq.get()) >= from) {
            Some(input) => Err(Refusal::InputPending { input }),
            None => Ok(()),
        }
    }
}

impl OpenTurn {
    fn check_move(&self, to: TurnState) -> Result<(), Refusal> {
        let (turn, from) = (self.seq, self.state);
        if !from.may_become(to) {
            return Err(Refusal::IllegalTransition { turn, from, to });
        }
        if to.is_ended() && !self.calls.is_empty() {
            let calls = self.calls.len() as u32;
            return Err(Refusal::OpenCalls { turn, calls });
        }
        Ok(())
    }
}

/// Whether records of `kind` may stand in the journal's own session.
pub(super) const fn is_for_journal(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Maintenance | Kind::Message | Kind::Put | Kind::Remove
    )
}

/// Whether a record of `kind` is remembered by its idempotency key, beside turns.
pub(super) const fn is_remembered(kind: Kind) -> bool {
    matches!(kind, Kind::TurnEvent | Kind::Message | Kind::InputQueued)
}

/// Whether the key of a record of `kind` is the id of a call.
const fn is_call(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TurnCall | Kind::TurnResult | Kind::TurnCallInterrupted
    )
}

fn check_texts(draft: &Draft<'_>) -> Result<(), Refusal> {
    let Envelope {
        name, key, actor, ..
    } = draft.envelope;
    if name.len() > MAX_NAME_BYTES {
        return Err(Refusal::NameInvalid {
            why: "is longer than 512 bytes",
        });
    }
    let needs_name = matches!(draft.kind, Kind::SessionCreated | Kind::Put | Kind::Remove);
    if name.is_empty() && needs_name {
        return Err(Refusal::NameInvalid { why: "is empty" });
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(Refusal::KeyInvalid {
            why: "is longer than 256 bytes",
        });
    }
    let takes_key = draft.kind == Kind::TurnSubmitted || is_remembered(draft.kind);
    if !key.is_empty() && !takes_key && !is_call(draft.kind) {
        return Err(Refusal::KeyInvalid {
            why: "has no meaning for this kind",
        });
    }
    if key.is_empty() && is_call(draft.kind) {
        return Err(Refusal::KeyInvalid {
            why: "is empty, but it names the call",
        });
    }
    let is_owner = matches!(draft.kind, Kind::TurnStarted | Kind::InputClaimed);
    if is_owner && actor.len() > MAX_OWNER_BYTES {
        return Err(Refusal::NameInvalid {
            why: "of the owner is longer than 128 bytes",
        });
    }
    Ok(())
}

fn refuse_full(what: &'static str, max: usize, len: usize) -> Result<(), Refusal> {
    if len < max {
        return Ok(());
    }
    Err(Refusal::Full {
        what,
        max: max as u64,
    })
}
