//! A turn's handle: what one input has led to, until it ends, once.
//!
//! A handle speaks for one attempt, or for none. The attempt's number is its fencing token: the
//! fold refuses whatever an attempt says that is not the latest, or that began under an earlier
//! writer. So a worker that was given up cannot finish a turn behind its successor's back.

use super::entries::Entries;
use super::entry::Entry;
use super::handle::RELAXED_DELAY;
use super::session::Session;
use super::shared::{Durability, NewRecord};
use super::ticket::Ticket;
use super::turn_entries::TurnEntries;
use crate::error::{Error, Result};
use crate::format::ids::{Epoch, Lsn, Seq};
use crate::model::event::Kind;
use crate::model::turn::TurnState;
use crate::sync::Arc;
use serde::{Deserialize, Serialize};

/// What begins a turn, now or after it was queued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Input {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) key: Vec<u8>,
    pub(crate) actor: String,
    pub(crate) refs: Vec<String>,
    pub(crate) extra: Vec<u8>,
    pub(crate) supersedes: Seq,
    pub(crate) priority: u64,
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

    /// Begins the turn in place of one that has ended: a retry of a failed turn, another answer
    /// to the same question. See [`Session::superseded_by`].
    pub fn supersedes(mut self, turn: Seq) -> Self {
        self.supersedes = turn;
        self
    }

    /// Sets how urgent the input is while it is queued: the higher, the sooner. Default 0. A
    /// turn has no priority.
    pub fn priority(mut self, priority: u64) -> Self {
        self.priority = priority;
        self
    }

    /// The record that begins the turn.
    pub(crate) fn record(&self, session: &Session) -> NewRecord<'_> {
        let mut record = session.new_record(Kind::TurnSubmitted);
        record.envelope.name = &self.name;
        record.envelope.key = &self.key;
        record.envelope.actor = &self.actor;
        record.envelope.refs = self.refs.iter().map(String::as_str).collect();
        record.envelope.extra = &self.extra;
        record.envelope.turn = self.supersedes.get();
        record.content = &self.content;
        record
    }
}

/// The right to speak for an attempt at a turn, as numbers. See [`Turn::token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Token {
    /// The attempt.
    pub attempt: u32,
    /// The writer under which it began.
    pub epoch: Epoch,
}

/// One turn of a session.
///
/// A handle speaks for one attempt: from [`Turn::started`] or [`Turn::retry`] on until another
/// handle's retry, or until the journal is opened again. After that it is refused with
/// [`Error::Fenced`]. Before, it speaks for none: it may append to a turn that no attempt was
/// ever begun of, and cancel or interrupt any.
#[derive(Clone, Debug)]
pub struct Turn {
    session: Session,
    id: Seq,
    ordinal: u32,
    /// The attempt that it speaks for.
    attempt: u32,
    /// The latest attempt that it knows of.
    latest: u32,
    owner: Option<Arc<str>>,
    is_new: bool,
    state: TurnState,
}

impl Turn {
    pub(crate) fn new(
        session: Session,
        id: Seq,
        ordinal: u32,
        latest: u32,
        is_new: bool,
        state: TurnState,
    ) -> Self {
        Turn {
            session,
            id,
            ordinal,
            attempt: 0,
            latest,
            owner: None,
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

    /// Which attempt this handle speaks for; 0 for none, as before [`Turn::started`].
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Names who will make the attempt: others are told when they are fenced off, and
    /// [`crate::Journal::open_turns`] shows it. At most 128 bytes.
    pub fn owner(mut self, owner: &str) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// What a worker in another process needs to speak for this handle's attempt, by way of
    /// [`Turn::with_token`]. The attempt's beginning is durable when this returns: until then a
    /// crash could make its number another's.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::SessionDeleted`].
    pub fn token(&self) -> Result<Token> {
        self.session.look(|_| ())?;
        Ok(Token {
            attempt: self.attempt,
            epoch: self.session.shared().epoch(),
        })
    }

    /// Speaks for the attempt of a worker that was given `token`.
    ///
    /// # Errors
    /// [`Error::Fenced`] if the attempt is over because its writer is. If another attempt has
    /// taken over, whatever the handle appends is refused with that.
    pub fn with_token(self, token: Token) -> Result<Turn> {
        if token.epoch == self.session.shared().epoch() {
            let attempt = token.attempt;
            return Ok(Turn { attempt, ..self });
        }
        let open = self.session.look(|state| {
            let open = state.open_turn(self.id);
            open.map(|open| (open.attempt, open.owner.to_string(), open.epoch))
        })?;
        let (current, owner, epoch) = open.unwrap_or_default();
        Err(Error::Fenced {
            session: self.session.id().to_owned(),
            turn: self.id,
            attempt: token.attempt,
            current,
            owner,
            epoch,
        })
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

    /// Begins the first attempt. Ordered now, durable soon.
    ///
    /// # Errors
    /// [`Error::Fenced`] if an attempt was begun before, by this handle or another;
    /// [`Turn::retry`] takes over. Then the handle speaks for what it spoke for before.
    pub fn started(&mut self) -> Result<Lsn> {
        self.start(true, 1)
    }

    /// As [`Turn::started`], and never waits.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_started(&mut self) -> Result<Lsn> {
        self.start(false, 1)
    }

    /// Begins a further attempt: from now on only this handle may speak for the turn.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another handle began one since this handle was made: of two that
    /// take over at once, one does.
    pub fn retry(&mut self) -> Result<Lsn> {
        self.start(true, self.next_attempt())
    }

    /// As [`Turn::retry`], and never waits.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_retry(&mut self) -> Result<Lsn> {
        self.start(false, self.next_attempt())
    }

    fn next_attempt(&self) -> u32 {
        self.latest.max(self.attempt).saturating_add(1)
    }

    fn start(&mut self, may_wait: bool, attempt: u32) -> Result<Lsn> {
        let mut record = self.record(Kind::TurnStarted, "", &[]);
        record.envelope.attempt = attempt;
        record.envelope.actor = self.owner.as_deref().unwrap_or_default();
        let lsn = self.note_record(may_wait, &record)?;
        // Only now: who was refused does not speak for the attempt.
        self.attempt = attempt;
        self.latest = attempt;
        Ok(lsn)
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

    /// Appends a call, of a tool say, that waits for its result. `id` is the host's, and
    /// unique among the open calls of the turn; the same id is the same call. Ordered now, as
    /// [`Turn::event`].
    pub fn call(&self, id: &str, name: &str, payload: impl AsRef<[u8]>) -> Result<Ticket> {
        self.submit_record(&self.call_record(Kind::TurnCall, id, name, payload.as_ref()))
    }

    /// Appends the result of the call `id`. Each call gets one.
    ///
    /// # Errors
    /// [`Error::UnknownCall`] if no such call is open.
    pub fn result(&self, id: &str, payload: impl AsRef<[u8]>) -> Result<Ticket> {
        self.submit_record(&self.call_record(Kind::TurnResult, id, "", payload.as_ref()))
    }

    /// The calls without a result, oldest first. An entry's key is the call's id.
    pub fn open_calls(&self) -> Result<Vec<Entry>> {
        let calls = self
            .session
            .look(|state| super::turn_entries::open_calls(state, self.id))?;
        calls
            .into_iter()
            .filter_map(|seq| self.session.record(seq).transpose())
            .collect()
    }

    /// Records for each open call that it will get no result, and returns those calls. Nothing
    /// else is changed and nothing made up: who reads the turn, or sends it to a model again,
    /// finds a call and its interruption. Durable when it returns. Allowed to an attempt that
    /// holds the turn, and to a handle that speaks for none.
    ///
    /// # Errors
    /// As [`Turn::complete`].
    pub fn interrupt_calls(&self, reason: &str) -> Result<Vec<Entry>> {
        let shared = &self.session.journal().shared;
        loop {
            let calls = self.open_calls()?;
            let records: Vec<_> = self.interruptions(&calls, reason).collect();
            match shared.submit_batch(&records) {
                Ok((_, end_lsn)) => {
                    shared.commit.wait_durable(end_lsn)?;
                    return Ok(calls);
                }
                // One of them got its result in between.
                Err(Error::UnknownCall { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn interruptions<'a>(
        &'a self,
        calls: &'a [Entry],
        reason: &'a str,
    ) -> impl Iterator<Item = NewRecord<'a>> {
        calls.iter().map(move |call| {
            let mut record = self.record(Kind::TurnCallInterrupted, reason, &[]);
            record.envelope.key = call.key.as_deref().unwrap_or_default();
            record
        })
    }

    /// The turn's records so far, in order: after a crash, what it had. See [`TurnEntries`].
    pub fn entries(&self) -> Result<TurnEntries<Entries>> {
        self.session.turn_entries(self.id)
    }

    /// Ends the turn with its answer. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::TurnEnded`] if it has ended already, [`Error::Fenced`] if another attempt took
    /// over, [`Error::OpenCalls`] if a call has no result; and whatever an append returns.
    pub fn complete(&self, answer: impl AsRef<[u8]>) -> Result<Lsn> {
        self.append(&self.record(Kind::TurnCompleted, "", answer.as_ref()))
    }

    /// Ends the turn as failed. Its open calls are interrupted with it. Durable when it
    /// returns. Errors as [`Turn::complete`], but for the calls.
    pub fn fail(&self, reason: &str, detail: impl AsRef<[u8]>) -> Result<Lsn> {
        self.end(Kind::TurnFailed, reason, detail.as_ref())
    }

    /// Ends the turn because somebody stopped it. As [`Turn::fail`].
    pub fn cancel(&self, reason: &str) -> Result<Lsn> {
        self.end(Kind::TurnCancelled, reason, &[])
    }

    /// Ends the turn because its worker is gone. As [`Turn::fail`].
    pub fn interrupt(&self, reason: &str) -> Result<Lsn> {
        self.end(Kind::TurnInterrupted, reason, &[])
    }

    fn note(&self, kind: Kind) -> Result<Lsn> {
        self.note_record(true, &self.record(kind, "", &[]))
    }

    fn note_record(&self, may_wait: bool, record: &NewRecord<'_>) -> Result<Lsn> {
        let shared = &self.session.journal().shared;
        let (place, _) = shared.note(may_wait, RELAXED_DELAY, record)?;
        Ok(place.lsn)
    }

    fn submit(&self, kind: Kind, name: &str, content: &[u8]) -> Result<Ticket> {
        self.submit_record(&self.record(kind, name, content))
    }

    fn submit_record(&self, record: &NewRecord<'_>) -> Result<Ticket> {
        let shared = &self.session.journal().shared;
        let (place, end_lsn) = shared.submit(true, record)?;
        Ok(Ticket::new(shared.clone(), place.lsn, end_lsn))
    }

    fn append(&self, record: &NewRecord<'_>) -> Result<Lsn> {
        let shared = &self.session.journal().shared;
        Ok(shared.append(Durability::Durable, record)?.0.lsn)
    }

    /// Ends the turn without an answer; with it, in one batch, its open calls.
    fn end(&self, kind: Kind, reason: &str, content: &[u8]) -> Result<Lsn> {
        let end = self.record(kind, reason, content);
        let shared = &self.session.journal().shared;
        let mut ended = self.append(&end);
        // A worker that is still there may call once more in between.
        while let Err(Error::OpenCalls { .. }) = ended {
            let calls = self.open_calls()?;
            let mut records: Vec<_> = self.interruptions(&calls, reason).collect();
            records.push(end.clone());
            ended = match shared.submit_batch(&records) {
                Ok((lsn, end_lsn)) => shared.commit.wait_durable(end_lsn).map(|()| lsn),
                // One of them has its result by now.
                Err(Error::UnknownCall { .. }) => self.append(&end),
                Err(error) => Err(error),
            };
        }
        ended
    }

    fn call_record<'a>(
        &self,
        kind: Kind,
        id: &'a str,
        name: &'a str,
        content: &'a [u8],
    ) -> NewRecord<'a> {
        let mut record = self.record(kind, name, content);
        record.envelope.key = id.as_bytes();
        record
    }

    pub(crate) fn record<'a>(&self, kind: Kind, name: &'a str, content: &'a [u8]) -> NewRecord<'a> {
        let mut record = NewRecord::new(self.session.no(), kind);
        record.envelope.turn = self.id.get();
        record.envelope.attempt = self.attempt;
        record.envelope.name = name;
        record.content = content;
        record
    }
}
