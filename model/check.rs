//! What the writer asks before it accepts a record.
//!
//! Rules about what may be said live here, and only here: the fold takes whatever an earlier
//! release accepted, as long as it can be folded. What `check` accepts, `apply` folds.

use super::event::{Envelope, Kind};
use super::key::hash_key;
use super::session::{JOURNAL_SESSION, SessionEntry, SessionState, Status};
use super::state::State;
use super::turn::TurnState;
use crate::format::ids::{Seq, SessionNo};

/// The longest name: of a session, an event, a key, a class of input, a reason. In bytes.
pub const MAX_NAME_BYTES: usize = 512;

/// The longest idempotency key, in bytes.
pub const MAX_KEY_BYTES: usize = 256;

/// The most records that a session may have. Below the end of the numbers by more than any batch
/// is long, so that drafts may be checked together and then applied together.
pub const MAX_SESSION_RECORDS: u32 = u32::MAX - (1 << 20);

/// A record that someone would like to append.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The session; for [`Kind::SessionCreated`] the number of the next one.
    pub session: SessionNo,
    /// What happened.
    pub kind: Kind,
    /// The envelope.
    pub envelope: &'a Envelope<'a>,
    /// Length of the content in bytes.
    pub content_len: u32,
    /// What must hold for the record to be accepted. A creation needs none: it is refused when
    /// the name is taken.
    pub condition: Option<Condition>,
}

impl<'a> Draft<'a> {
    /// A draft without a condition.
    pub fn new(
        session: SessionNo,
        kind: Kind,
        envelope: &'a Envelope<'a>,
        content_len: u32,
    ) -> Self {
        Draft {
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
    /// Nothing was appended to the session since: its next record has this seq.
    NextSeq(Seq),
    /// The value of the key that the record names was set by this record; `None`: has no value.
    ValueAt(Option<Seq>),
    /// The session has no open turn.
    NoOpenTurn,
    /// The session was not cleared or truncated since its generation was this.
    Generation(u32),
}

/// What holds instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// The session's next record has this seq.
    NextSeq(Seq),
    /// The value was set by this record, or there is none.
    ValueAt(Option<Seq>),
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
    /// An event or input with the same idempotency key is there. Nothing is to be appended.
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
    /// The turn to be superseded is still open.
    #[error("turn {turn} is still open")]
    TurnOpen {
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
    /// Another run works on the turn.
    #[error("attempt {attempt} of turn {turn} is not the current one, {current}")]
    Fenced {
        /// The turn.
        turn: Seq,
        /// The attempt that spoke.
        attempt: u32,
        /// The attempt that may speak.
        current: u32,
    },
    /// No such input waits: it was taken, withdrawn, or never was.
    #[error("no waiting input {input}")]
    InputUnknown {
        /// Its seq.
        input: u64,
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
    #[error("precondition does not hold, found {found:?}")]
    PreconditionFailed {
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
            kind if kind.is_within_turn() => session.check_turn_step(kind, draft.envelope)?,
            _ => self.check_plain(session, draft)?,
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
        refuse_full("sessions", u32::MAX as usize - 1, self.entries.len())
    }

    fn check_submission(&self, session: &SessionState, draft: &Draft<'_>) -> Result<(), Refusal> {
        refuse_full("open turns", self.limits.open_turns, session.open.len())?;
        let superseded = Seq::new(draft.envelope.turn);
        if superseded >= session.next_seq {
            return Err(Refusal::TurnUnknown { turn: superseded });
        }
        if session.open_at(superseded).is_some() {
            return Err(Refusal::TurnOpen { turn: superseded });
        }
        match draft.envelope.link {
            0 => Ok(()),
            input => session.check_waiting(input),
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
                refuse_full("truncated ranges", self.limits.holes, session.holes.len())
            }
            Kind::Put if !session.values.contains_key(envelope.name) => {
                refuse_full("keys with values", self.limits.values, session.values.len())
            }
            Kind::InputQueued => {
                refuse_full("waiting inputs", self.limits.queued, session.queue.len())
            }
            Kind::InputWithdrawn => session.check_waiting(envelope.link),
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

    fn check_condition(&self, condition: Condition, name: &str) -> Result<(), Refusal> {
        let (holds, found) = match condition {
            Condition::NextSeq(seq) => (seq == self.next_seq, Found::NextSeq(self.next_seq)),
            Condition::ValueAt(expected) => {
                let current = self.values.get(name).map(|value| value.seq);
                (expected == current, Found::ValueAt(current))
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
        Err(Refusal::PreconditionFailed { found })
    }

    fn check_turn_step(&self, kind: Kind, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        let turn = Seq::new(envelope.turn);
        let Some(at) = self.open_at(turn) else {
            return Err(match self.end_of(turn) {
                Some(state) => Refusal::TurnEnded { turn, state },
                None => Refusal::TurnUnknown { turn },
            });
        };
        let open = &self.open[at];
        let attempt = envelope.attempt;
        let restarts = kind == Kind::TurnStarted && attempt > open.attempt;
        // Whoever stops a turn need not be the one who runs it.
        let outside = attempt == 0 && matches!(kind, Kind::TurnCancelled | Kind::TurnInterrupted);
        if attempt != open.attempt && !restarts && !outside
            || kind == Kind::TurnStarted && attempt == 0
        {
            return Err(Refusal::Fenced {
                turn,
                attempt,
                current: open.attempt,
            });
        }
        match TurnState::brought_by(kind) {
            Some(to) if !restarts && !open.state.may_become(to) => {
                Err(Refusal::IllegalTransition {
                    turn,
                    from: open.state,
                    to,
                })
            }
            _ => Ok(()),
        }
    }

    fn check_waiting(&self, input: u64) -> Result<(), Refusal> {
        let mut waiting = self.queue.iter();
        if waiting.any(|queued| u64::from(queued.seq.get()) == input) {
            return Ok(());
        }
        Err(Refusal::InputUnknown { input })
    }
}

/// Whether records of `kind` may stand in the journal's own session.
pub(super) const fn is_for_journal(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Maintenance | Kind::Message | Kind::Put | Kind::Remove
    )
}

/// Whether an idempotency key on a record of `kind` means something.
pub(super) const fn takes_key(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TurnSubmitted | Kind::TurnEvent | Kind::Message | Kind::InputQueued
    )
}

fn check_texts(draft: &Draft<'_>) -> Result<(), Refusal> {
    let Envelope { name, key, .. } = draft.envelope;
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
    if !key.is_empty() && !takes_key(draft.kind) {
        return Err(Refusal::KeyInvalid {
            why: "has no meaning for this kind",
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
