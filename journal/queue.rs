//! The queue of pending input: what users and hosts said that no turn has begun of yet.
//!
//! Input is queued in its session, and goes where the session goes; claims look across all
//! sessions, so that none is forgotten because nobody has it open. Claimed input is one
//! worker's until it says what becomes of it, or until its claim ends: with the handle, or with
//! the process, however that dies. Nothing leaves the queue but by a record that says so.

use super::entry::Entry;
use super::handle::{Journal, RELAXED_DELAY};
use super::session::Session;
use super::shared::{Durability, NewRecord, Shared};
use super::turn::{Input, Turn};
use crate::error::{Error, Result};
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
use crate::model::event::Kind;
use crate::model::session::{QueuedInput, SessionState, Standing};
use crate::model::state::State;
use serde::Serialize;

/// What [`Session::enqueue`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueued {
    /// The input: the sequence number of the record that queued it.
    pub input: Seq,
    /// Whether it was queued now. If not, its key was known, and this is what had it first.
    pub is_new: bool,
}

/// Input that is queued, at a glance. Its content is read with [`Session::read`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PendingInput {
    /// The session's id.
    pub session: String,
    /// The input: the sequence number of the record that queued it.
    pub input: Seq,
    /// That record's place in the journal. Of two with one priority the lower comes first.
    pub lsn: Lsn,
    /// Its class, in the host's words.
    pub class: String,
    /// The higher, the sooner.
    pub priority: u64,
    /// Where it stands.
    pub status: InputStatus,
    /// Who claimed it, while it is claimed; empty if the host did not tell.
    pub owner: String,
    /// How often it was claimed.
    pub claims: u32,
    /// How many of the claims ended with their writer.
    pub lost_claims: u32,
    /// The record that claimed or buried it.
    pub because: Option<Seq>,
    /// When it was queued, in milliseconds since the Unix epoch.
    pub queued_ms: u64,
}

/// Where queued input stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InputStatus {
    /// It can be claimed.
    Waiting,
    /// A claim of the present writer holds it.
    Claimed,
    /// It was given up: a dead letter, kept until it is released or withdrawn.
    Dead,
}

impl PendingInput {
    pub(crate) fn of(session: &SessionState, input: &QueuedInput, now: Epoch) -> Self {
        let (status, owner, because) = match &input.standing {
            Standing::Claimed { owner, seq, .. } if input.is_claimed(now) => {
                (InputStatus::Claimed, owner.to_string(), Some(*seq))
            }
            Standing::Dead { seq } => (InputStatus::Dead, String::new(), Some(*seq)),
            _ => (InputStatus::Waiting, String::new(), None),
        };
        PendingInput {
            session: session.name.to_string(),
            input: input.seq,
            lsn: input.lsn,
            class: input.class.to_string(),
            priority: input.priority,
            status,
            owner,
            claims: input.claims,
            lost_claims: input.lost_claims(now),
            because,
            queued_ms: input.queued_ms,
        }
    }

    /// All of a session, oldest first.
    pub(crate) fn all_of(
        session: &SessionState,
        now: Epoch,
    ) -> impl Iterator<Item = PendingInput> + '_ {
        let queue = session.queue.iter();
        queue.map(move |input| PendingInput::of(session, input, now))
    }
}

impl Session {
    /// Queues input until someone claims it. Durable when it returns. The input's name is its
    /// class; of equal priority the older comes first.
    ///
    /// Input whose idempotency key is known, of queued input or of an event, is not queued
    /// again: [`Enqueued::is_new`] tells.
    ///
    /// # Errors
    /// [`Error::Full`] with 8,192 inputs queued, dead letters included; and as
    /// [`Session::append`].
    pub fn enqueue(&self, input: Input) -> Result<Enqueued> {
        let mut record = input.record(self);
        record.kind = Kind::InputQueued;
        record.envelope.link = input.priority;
        let (place, _) = self.shared().append(Durability::Durable, &record)?;
        Ok(Enqueued {
            input: place.seq,
            is_new: !place.existing,
        })
    }

    /// Claims the waiting input of this session that comes next, if there is any, also while a
    /// turn is open. Durable when it returns, so that a claim that a crash ends is counted.
    ///
    /// # Errors
    /// As [`Session::append`].
    pub fn claim(&self, owner: &str) -> Result<Option<Claim>> {
        claim(self.journal(), Some((self.no(), self.id())), owner, None)
    }

    /// As [`Session::claim`], of one class.
    ///
    /// # Errors
    /// As [`Session::append`].
    pub fn claim_class(&self, owner: &str, class: &str) -> Result<Option<Claim>> {
        let scope = Some((self.no(), self.id()));
        claim(self.journal(), scope, owner, Some(class))
    }

    /// Takes queued input back: waiting input, or a dead letter. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::InputClaimed`] if a worker has it; [`Error::UnknownInput`] if it is not queued
    /// any more.
    pub fn withdraw(&self, input: Seq, reason: &str) -> Result<Lsn> {
        self.say_of_input(Kind::InputWithdrawn, input, reason)
    }

    /// Makes input wait again by hand: a dead letter, or input whose worker is known to hang.
    /// The claim that it had is over. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::UnknownInput`]; [`Error::InputState`] if it waits already.
    pub fn release(&self, input: Seq, reason: &str) -> Result<Lsn> {
        self.say_of_input(Kind::InputReleased, input, reason)
    }

    /// Lists the input that is queued, oldest first, dead letters included. Returns when what
    /// it shows is durable.
    ///
    /// # Errors
    /// [`Error::SessionDeleted`], [`Error::Poisoned`].
    pub fn pending(&self) -> Result<Vec<PendingInput>> {
        let now = self.shared().epoch();
        self.look(|session| PendingInput::all_of(session, now).collect())
    }

    fn say_of_input(&self, kind: Kind, input: Seq, reason: &str) -> Result<Lsn> {
        let mut record = about(self.no(), kind, input, 0, reason);
        record.condition = self.condition();
        Ok(self.shared().append(Durability::Durable, &record)?.0.lsn)
    }
}

impl Journal {
    /// Claims the waiting input that comes next, of any session: the most urgent, then the
    /// oldest. Sessions in which no further turn may begin are passed over, see
    /// [`crate::Options::max_open_turns`]. Durable when it returns.
    ///
    /// # Errors
    /// As [`Session::append`].
    pub fn claim(&self, owner: &str) -> Result<Option<Claim>> {
        claim(self, None, owner, None)
    }

    /// As [`Journal::claim`], of one class.
    ///
    /// # Errors
    /// As [`Session::append`].
    pub fn claim_class(&self, owner: &str, class: &str) -> Result<Option<Claim>> {
        claim(self, None, owner, Some(class))
    }

    /// Lists the queued input of all sessions, by session and age, dead letters included.
    /// Returns when what it shows is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn pending(&self) -> Result<Vec<PendingInput>> {
        self.shared.settled(|tail| {
            let now = tail.epoch();
            let queues = tail.state.queues();
            let pending = queues.flat_map(|session| PendingInput::all_of(session, now));
            (pending.collect(), tail.next_lsn())
        })
    }
}

/// Input that this handle has claimed. Say what becomes of it with one of the methods that take
/// the handle; dropping it makes the input wait again. On a full disk that cannot be said at
/// once: it is when somebody claims next and there is room.
#[derive(Debug)]
pub struct Claim {
    session: Session,
    entry: Entry,
    number: u32,
    lost: u32,
    /// What becomes of it was said.
    is_over: bool,
}

impl Claim {
    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The input: the sequence number of the record that queued it.
    pub fn input(&self) -> Seq {
        self.entry.seq
    }

    /// The record that queued it. Its name is the class, its link the priority.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The how-manieth claim of the input this is, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// How many claims of the input ended with their writer.
    pub fn lost_claims(&self) -> u32 {
        self.lost
    }

    /// Begins a turn with the input, which leaves the queue with the same record: after a crash
    /// there is the one or the other. Durable when it returns. If it fails, the input waits again.
    ///
    /// If the input's key has begun a turn already, it is that turn.
    ///
    /// # Errors
    /// As [`Session::begin`]; [`Error::InputClaimed`] or [`Error::UnknownInput`] if the claim was
    /// taken away by hand.
    pub fn begin(mut self) -> Result<Turn> {
        let entry = &self.entry;
        let mut record = NewRecord::new(self.session.no(), Kind::TurnSubmitted);
        record.envelope.name = &entry.name;
        record.envelope.key = entry.key.as_deref().unwrap_or_default();
        record.envelope.actor = &entry.actor;
        record.envelope.refs = entry.refs.iter().map(String::as_str).collect();
        record.envelope.extra = &entry.extra;
        record.envelope.turn = entry.supersedes.map_or(0, Seq::get);
        record.envelope.link = u64::from(entry.seq.get());
        record.envelope.attempt = self.number;
        record.content = &entry.content;
        let shared = self.session.shared();
        let (place, _) = shared.append(Durability::Durable, &record)?;
        if place.existing {
            self.say(Kind::InputConfirmed, place.seq, "")?;
        }
        self.is_over = true;
        self.session.turn_handle(place.seq, !place.existing)
    }

    /// Says that the input is done with, without a turn. Durable when it returns. To make that
    /// one with what came of it, see [`crate::Batch::confirm`].
    ///
    /// # Errors
    /// [`Error::InputClaimed`] or [`Error::UnknownInput`] if the claim was taken away by hand.
    pub fn confirm(mut self) -> Result<Lsn> {
        self.say(Kind::InputConfirmed, Seq::default(), "")
    }

    /// Says that the input became part of a turn that there is: the user steers it. Durable
    /// when it returns.
    ///
    /// # Errors
    /// As [`Claim::confirm`].
    pub fn steer(mut self, turn: &Turn) -> Result<Lsn> {
        self.say(Kind::InputConfirmed, turn.id(), "")
    }

    /// Makes the input wait again, as dropping the handle does. Durable when it returns.
    ///
    /// # Errors
    /// As [`Claim::confirm`].
    pub fn release(mut self, reason: &str) -> Result<Lsn> {
        self.say(Kind::InputReleased, Seq::default(), reason)
    }

    /// Gives the input up: it is kept among the dead letters, see [`Journal::pending`]. Durable
    /// when it returns.
    ///
    /// # Errors
    /// As [`Claim::confirm`].
    pub fn bury(mut self, reason: &str) -> Result<Lsn> {
        self.say(Kind::InputBuried, Seq::default(), reason)
    }

    fn say(&mut self, kind: Kind, turn: Seq, reason: &str) -> Result<Lsn> {
        let mut record = about(self.session.no(), kind, self.entry.seq, self.number, reason);
        record.envelope.turn = turn.get();
        let shared = self.session.shared();
        let (place, _) = shared.append(Durability::Durable, &record)?;
        self.is_over = true;
        Ok(place.lsn)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let_go(
            self.session.shared(),
            Dropped {
                no: self.session.no(),
                input: self.input(),
                number: self.number,
            },
        );
    }
}

/// A claim whose handle is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropped {
    no: SessionNo,
    input: Seq,
    number: u32,
}

/// Makes the input of a dropped claim wait again. If there is no room to say so, it is said when
/// somebody claims next; in any other case the claim is over, or ends with the writer.
fn let_go(shared: &Shared, claim: Dropped) {
    let Dropped { no, input, number } = claim;
    let record = about(no, Kind::InputReleased, input, number, "");
    let level = Durability::Relaxed(RELAXED_DELAY);
    if let Err(Error::NoSpace { .. }) = shared.append(level, &record) {
        shared.dropped_claims.lock().push(claim);
    }
}

/// A record about queued input, by claim `claim` or, if that is 0, by hand.
fn about(session: SessionNo, kind: Kind, input: Seq, claim: u32, reason: &str) -> NewRecord<'_> {
    let mut record = NewRecord::new(session, kind);
    record.envelope.link = u64::from(input.get());
    record.envelope.attempt = claim;
    record.envelope.name = reason;
    record
}

/// Why input was buried that no worker survived.
const LOST_TOO_OFTEN: &str = "its claims ended with their writer too often";

/// Input that may be claimed, as the fold had it a moment ago.
struct Candidate {
    no: SessionNo,
    name: String,
    input: Seq,
    claims: u32,
    lost: u32,
}

impl Candidate {
    fn find(
        state: &State,
        now: Epoch,
        scope: Option<SessionNo>,
        class: Option<&str>,
    ) -> Option<Candidate> {
        let (session, input) = match scope {
            None => state.next_input(now, class)?,
            Some(no) => {
                let session = state.session(no)?;
                (session, session.next_input(now, class)?)
            }
        };
        Some(Candidate {
            no: session.no,
            name: session.name.to_string(),
            input: input.seq,
            claims: input.claims,
            lost: input.lost_claims(now),
        })
    }
}

fn claim(
    journal: &Journal,
    scope: Option<(SessionNo, &str)>,
    owner: &str,
    class: Option<&str>,
) -> Result<Option<Claim>> {
    let shared = &journal.shared;
    shared.commit.check_home()?;
    let most = shared.options.max_lost_claims;
    let dropped = std::mem::take(&mut *shared.dropped_claims.lock());
    dropped.into_iter().for_each(|claim| let_go(shared, claim));
    loop {
        let found = shared.commit.with_stage(|tail| {
            let is_there = scope.is_none_or(|(no, _)| tail.state.session(no).is_some());
            let scope = scope.map(|(no, _)| no);
            is_there.then(|| Candidate::find(&tail.state, tail.epoch(), scope, class))
        });
        let Some(found) = found else {
            let id = scope.map_or_else(String::new, |(_, id)| id.to_owned());
            return Err(Error::SessionDeleted { id });
        };
        let Some(found) = found else { return Ok(None) };
        let number = found.claims.saturating_add(1);
        let is_poison = found.lost >= most;
        let record = match is_poison {
            true => about(found.no, Kind::InputBuried, found.input, 0, LOST_TOO_OFTEN),
            false => {
                let mut record = about(found.no, Kind::InputClaimed, found.input, number, "");
                record.envelope.actor = owner;
                record
            }
        };
        match shared.append(Durability::Durable, &record) {
            Ok(_) if is_poison => {}
            Ok(_) => {
                let session = Session::new(journal.clone(), found.no, &found.name);
                match session.record(found.input) {
                    Ok(Some(entry)) => {
                        return Ok(Some(Claim {
                            session,
                            entry,
                            number,
                            lost: found.lost,
                            is_over: false,
                        }));
                    }
                    // Its session was deleted since.
                    Ok(None) => {}
                    Err(error) => {
                        let Candidate { no, input, .. } = found;
                        let_go(shared, Dropped { no, input, number });
                        return Err(error);
                    }
                }
            }
            // Someone else was faster, with this input or its session.
            Err(
                Error::InputClaimed { .. }
                | Error::UnknownInput { .. }
                | Error::InputState { .. }
                | Error::SessionDeleted { .. },
            ) => {}
            Err(error) => return Err(error),
        }
    }
}
