//! A batch: records of any sessions that are there all or not at all.

use super::queue::Claim;
use super::session::Session;
use super::shared::{NewRecord, Shared};
use super::turn::{Input, Turn};
use crate::error::{Error, Result};
use crate::format::ids::SessionNo;
use crate::model::check::Condition;
use crate::model::event::{Envelope, Kind};
use crate::sync::Arc;

/// Records to be appended together, see [`crate::Journal::append_all`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    items: Vec<Item>,
    /// Identity of the journal, to refuse sessions of another.
    journal: Option<usize>,
    mixed: bool,
}

#[derive(Clone, Debug)]
struct Item {
    condition: Option<Condition>,
    session: SessionNo,
    kind: Kind,
    turn: u32,
    attempt: u32,
    link: u64,
    key: Vec<u8>,
    refs: Vec<String>,
    name: String,
    actor: String,
    extra: Vec<u8>,
    content: Vec<u8>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds an event of a session, outside of any turn.
    pub fn event(self, session: &Session, name: &str, payload: impl AsRef<[u8]>) -> Self {
        self.push(session, Kind::Message, name, payload.as_ref(), None)
    }

    /// Adds an event of a turn.
    pub fn turn_event(self, turn: &Turn, name: &str, payload: impl AsRef<[u8]>) -> Self {
        self.push(
            turn.session(),
            Kind::TurnEvent,
            name,
            payload.as_ref(),
            Some(turn),
        )
    }

    /// Adds the completion of a turn.
    pub fn complete(self, turn: &Turn, answer: impl AsRef<[u8]>) -> Self {
        self.push(
            turn.session(),
            Kind::TurnCompleted,
            "",
            answer.as_ref(),
            Some(turn),
        )
    }

    /// Adds the failure of a turn.
    pub fn fail(self, turn: &Turn, reason: &str, detail: impl AsRef<[u8]>) -> Self {
        self.push(
            turn.session(),
            Kind::TurnFailed,
            reason,
            detail.as_ref(),
            Some(turn),
        )
    }

    /// Adds the cancellation of a turn.
    pub fn cancel(self, turn: &Turn, reason: &str) -> Self {
        self.push(turn.session(), Kind::TurnCancelled, reason, &[], Some(turn))
    }

    /// Adds the interruption of a turn.
    pub fn interrupt(self, turn: &Turn, reason: &str) -> Self {
        self.push(
            turn.session(),
            Kind::TurnInterrupted,
            reason,
            &[],
            Some(turn),
        )
    }

    /// Adds input that is queued: what is still to be done is there if, and only if, what made
    /// it necessary is. A batch with input whose idempotency key is known is refused.
    pub fn enqueue(self, session: &Session, input: Input) -> Self {
        let (kind, name) = (Kind::InputQueued, &input.name);
        let mut batch = self.push(session, kind, name, &input.content, None);
        if let Some(item) = batch.items.last_mut() {
            item.turn = input.supersedes.get();
            item.link = input.priority;
            item.key = input.key;
            item.refs = input.refs;
            item.actor = input.actor;
            item.extra = input.extra;
        }
        batch
    }

    /// Adds the confirmation of claimed input: it is done with if what came of it is there, and
    /// waits again if not. The claim itself says nothing more; drop it after the batch.
    pub fn confirm(self, claim: &Claim) -> Self {
        let mut batch = self.push(claim.session(), Kind::InputConfirmed, "", &[], None);
        if let Some(item) = batch.items.last_mut() {
            item.attempt = claim.number();
            item.link = u64::from(claim.input().get());
        }
        batch
    }

    /// Adds the setting of a value.
    pub fn put(self, session: &Session, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.push(session, Kind::Put, key, value.as_ref(), None)
    }

    /// Adds the removal of a value.
    pub fn remove(self, session: &Session, key: &str) -> Self {
        self.push(session, Kind::Remove, key, &[], None)
    }

    /// Names who acted in the record that was added last.
    pub fn actor(mut self, actor: &str) -> Self {
        if let Some(item) = self.items.last_mut() {
            item.actor = actor.to_owned();
        }
        self
    }

    /// Adds the host's own metadata to the record that was added last.
    pub fn extra(mut self, extra: impl AsRef<[u8]>) -> Self {
        if let Some(item) = self.items.last_mut() {
            item.extra = extra.as_ref().to_vec();
        }
        self
    }

    fn push(
        mut self,
        session: &Session,
        kind: Kind,
        name: &str,
        content: &[u8],
        turn: Option<&Turn>,
    ) -> Self {
        let journal = Arc::as_ptr(&session.journal().shared) as usize;
        self.mixed |= *self.journal.get_or_insert(journal) != journal;
        self.items.push(Item {
            condition: session.condition(),
            session: session.no(),
            kind,
            turn: turn.map_or(0, |turn| turn.id().get()),
            attempt: turn.map_or(0, Turn::attempt),
            link: 0,
            key: Vec::new(),
            refs: Vec::new(),
            name: name.to_owned(),
            actor: String::new(),
            extra: Vec::new(),
            content: content.to_vec(),
        });
        self
    }

    /// The records, to be appended to the journal that `shared` belongs to. A session is a number
    /// in there: the records of another journal's would go to whichever has that number.
    pub(crate) fn records(&self, shared: &Arc<Shared>) -> Result<Vec<NewRecord<'_>>> {
        let own = Arc::as_ptr(shared) as usize;
        let why = match self.journal {
            _ if self.mixed => "its sessions belong to different journals",
            Some(journal) if journal != own => "its sessions belong to another journal",
            _ => return Ok(self.items.iter().map(Item::record).collect()),
        };
        let why = why.to_owned();
        Err(Error::Invalid { what: "batch", why })
    }
}

impl Item {
    fn record(&self) -> NewRecord<'_> {
        NewRecord {
            condition: self.condition,
            session: self.session,
            kind: self.kind,
            envelope: Envelope {
                turn: self.turn,
                attempt: self.attempt,
                link: self.link,
                key: &self.key,
                refs: self.refs.iter().map(String::as_str).collect(),
                name: &self.name,
                actor: &self.actor,
                extra: &self.extra,
                ..Envelope::default()
            },
            content: &self.content,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
