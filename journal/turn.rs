//! A turn's handle: what one input has led to, until it ends, once.

use super::handle::RELAXED_DELAY;
use super::session::Session;
use super::shared::{Durability, NewRecord};
use super::ticket::Ticket;
use crate::error::Result;
use crate::format::ids::{Lsn, Seq, SessionNo};
use crate::model::event::Kind;
use crate::model::turn::TurnState;

/// What begins a turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Input {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) actor: String,
    pub(crate) refs: Vec<String>,
    pub(crate) extra: Vec<u8>,
}

impl Input {
    /// Input of a kind that the host names.
    pub fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        Input {
            name: name.into(),
            content: content.as_ref().to_vec(),
            ..Self::default()
        }
    }

    /// What a user wrote.
    pub fn user(text: impl AsRef<[u8]>) -> Self {
        Self::new("user", text)
    }

    /// Sets the idempotency key: the same key in the same session is the same turn, also after
    /// a crash.
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = key.as_ref().to_vec();
        self
    }

    /// Names who acts.
    pub fn actor(mut self, actor: &str) -> Self {
        self.actor = actor.into();
        self
    }

    /// Adds a reference to an attachment that is kept elsewhere.
    pub fn reference(mut self, reference: &str) -> Self {
        self.refs.push(reference.into());
        self
    }

    /// Adds the host's own metadata, which comes back as it went in.
    pub fn extra(mut self, extra: impl AsRef<[u8]>) -> Self {
        self.extra = extra.as_ref().to_vec();
        self
    }

    /// The record that begins the turn.
    pub(crate) fn record(&self, session: SessionNo) -> NewRecord<'_> {
        let mut record = NewRecord::new(session, Kind::TurnSubmitted);
        record.envelope.name = &self.name;
        record.envelope.key = &self.key;
        record.envelope.actor = &self.actor;
        record.envelope.refs = self.refs.iter().map(String::as_str).collect();
        record.envelope.extra = &self.extra;
        record.content = &self.content;
        record
    }
}

/// One turn of a session.
///
/// A handle speaks for one attempt: after [`Turn::retry`], older handles of the same turn are
/// refused.
#[derive(Clone, Debug)]
pub struct Turn {
    session: Session,
    id: Seq,
    ordinal: u32,
    attempt: u32,
    is_new: bool,
    state: TurnState,
}

impl Turn {
    pub(crate) fn new(
        session: Session,
        id: Seq,
        ordinal: u32,
        attempt: u32,
        is_new: bool,
        state: TurnState,
    ) -> Self {
        Turn {
            session,
            id,
            ordinal,
            attempt,
            is_new,
            state,
        }
    }

    /// Its identity: the sequence number of its first record in the session.
    pub fn id(&self) -> Seq {
        self.id
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The how-manieth turn of the session, from 1.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// Which attempt this handle speaks for; 0 before [`Turn::started`].
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether [`Session::begin`] made it, rather than finding it by its key.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The state in which this handle found it.
    pub fn state(&self) -> TurnState {
        self.state
    }

    /// Whether it had ended when this handle was made.
    pub fn is_ended(&self) -> bool {
        self.state.is_ended()
    }

    /// Notes that work on it starts. Ordered now, durable soon.
    pub fn started(&mut self) -> Result<Lsn> {
        self.attempt = self.attempt.max(1);
        self.note(Kind::TurnStarted)
    }

    /// Starts the turn once more: from now on only this handle may speak for it.
    pub fn retry(&mut self) -> Result<Lsn> {
        self.attempt += 1;
        self.note(Kind::TurnStarted)
    }

    /// Notes that the answer has begun. Ordered now, durable soon.
    pub fn responding(&self) -> Result<Lsn> {
        self.note(Kind::TurnResponding)
    }

    /// Appends an event of the turn. Ordered now; its ticket tells when it, and everything
    /// before it, is durable.
    pub fn event(&self, name: &str, payload: impl AsRef<[u8]>) -> Result<Ticket> {
        self.submit(Kind::TurnEvent, name, payload.as_ref())
    }

    /// As [`Turn::event`], for what the turn's end supersedes: compaction drops it then.
    pub fn progress(&self, name: &str, payload: impl AsRef<[u8]>) -> Result<Ticket> {
        self.submit(Kind::TurnProgress, name, payload.as_ref())
    }

    /// Ends the turn with its answer. Durable when it returns.
    ///
    /// # Errors
    /// [`crate::Error::WrongState`] if it has ended already, or another attempt took over.
    pub fn complete(&self, answer: impl AsRef<[u8]>) -> Result<Lsn> {
        self.end(Kind::TurnCompleted, "", answer.as_ref())
    }

    /// Ends the turn as failed. Durable when it returns. Errors as [`Turn::complete`].
    pub fn fail(&self, reason: &str, detail: impl AsRef<[u8]>) -> Result<Lsn> {
        self.end(Kind::TurnFailed, reason, detail.as_ref())
    }

    /// Ends the turn because somebody stopped it. Durable when it returns. Errors as
    /// [`Turn::complete`].
    pub fn cancel(&self, reason: &str) -> Result<Lsn> {
        self.end(Kind::TurnCancelled, reason, &[])
    }

    /// Ends the turn because its worker is gone. Durable when it returns. Errors as
    /// [`Turn::complete`].
    pub fn interrupt(&self, reason: &str) -> Result<Lsn> {
        self.end(Kind::TurnInterrupted, reason, &[])
    }

    fn note(&self, kind: Kind) -> Result<Lsn> {
        let record = self.record(kind, "", &[]);
        let shared = &self.session.journal().shared;
        Ok(shared
            .append(Durability::Relaxed(RELAXED_DELAY), &record)?
            .0
            .lsn)
    }

    fn submit(&self, kind: Kind, name: &str, content: &[u8]) -> Result<Ticket> {
        let record = self.record(kind, name, content);
        let shared = &self.session.journal().shared;
        let (place, end_lsn) = shared.submit(true, &record)?;
        Ok(Ticket::new(shared.clone(), place.lsn, end_lsn))
    }

    fn end(&self, kind: Kind, name: &str, content: &[u8]) -> Result<Lsn> {
        let record = self.record(kind, name, content);
        Ok(self
            .session
            .journal()
            .shared
            .append(Durability::Durable, &record)?
            .0
            .lsn)
    }

    fn record<'a>(&self, kind: Kind, name: &'a str, content: &'a [u8]) -> NewRecord<'a> {
        let mut record = NewRecord::new(self.session.no(), kind);
        record.envelope.turn = self.id.get();
        record.envelope.attempt = self.attempt;
        record.envelope.name = name;
        record.content = content;
        record
    }
}
