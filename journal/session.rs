//! A session's handle: begin turns, append events, keep values, read.

use super::batch::Batch;
use super::entries::Entries;
use super::entry::Entry;
use super::handle::Journal;
use super::info::SessionInfo;
use super::shared::{Durability, NewRecord};
use super::tail::{Accepted, Tail};
use super::ticket::Ticket;
use super::turn::{Input, Turn};
use crate::error::{Error, Result};
use crate::format::ids::{Lsn, Seq, SessionNo};
use crate::model::event::Kind;
use crate::model::session::SessionState;
use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

/// One session of a journal. Cheap to clone.
#[derive(Clone)]
pub struct Session {
    journal: Journal,
    no: SessionNo,
    id: Arc<str>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({:?}, no {})", self.id, self.no)
    }
}

impl Session {
    pub(crate) fn new(journal: Journal, no: SessionNo, id: &str) -> Self {
        Session {
            journal,
            no,
            id: id.into(),
        }
    }

    /// The host's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its number in the journal.
    pub fn no(&self) -> SessionNo {
        self.no
    }

    /// The journal that it belongs to.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Begins a turn: durable when it returns, before any work on it starts.
    ///
    /// An input whose idempotency key was seen before gives the turn that it began, whatever
    /// has become of it: [`Turn::is_new`] tells.
    ///
    /// # Errors
    /// [`Error::SessionDeleted`], [`Error::TooLarge`], [`Error::NoSpace`], [`Error::Poisoned`],
    /// [`Error::Closed`].
    pub fn begin(&self, input: Input) -> Result<Turn> {
        let record = input.record(self.no);
        let (place, _) = self.journal.shared.append(Durability::Durable, &record)?;
        self.turn_handle(place.seq, !place.existing)
    }

    /// A handle on a turn that has not ended, for example one found after a crash.
    ///
    /// # Errors
    /// [`Error::WrongState`] if it has ended or never was.
    pub fn turn(&self, turn: Seq) -> Result<Turn> {
        let handle = self.turn_handle(turn, false)?;
        if handle.is_ended() {
            return Err(Error::WrongState {
                what: "resume",
                session: self.id.to_string(),
                turn: turn.get(),
                state: "ended or unknown".into(),
            });
        }
        Ok(handle)
    }

    pub(crate) fn turn_handle(&self, turn: Seq, is_new: bool) -> Result<Turn> {
        let found = self.look(|state| {
            let open = state.open.iter().find(|open| open.seq == turn);
            let ended = state
                .recent_keys
                .iter()
                .rev()
                .find(|keyed| keyed.seq == turn);
            open.map(|open| (open.ordinal, open.attempt, open.state))
                .or(ended.and_then(|keyed| Some((keyed.ordinal, 0, keyed.ended?))))
        })?;
        let (ordinal, attempt, state) = found.ok_or_else(|| Error::WrongState {
            what: "resume",
            session: self.id.to_string(),
            turn: turn.get(),
            state: "ended or unknown".into(),
        })?;
        Ok(Turn::new(
            self.clone(),
            turn,
            ordinal,
            attempt,
            is_new,
            state,
        ))
    }

    /// Appends an event outside of any turn. When it returns, the record survives power loss.
    ///
    /// # Errors
    /// As [`Session::begin`].
    pub fn append(&self, name: &str, payload: impl AsRef<[u8]>) -> Result<Lsn> {
        self.append_with(Durability::Durable, name, payload)
    }

    /// As [`Session::append`], as durable as is asked for.
    pub fn append_with(
        &self,
        durability: Durability,
        name: &str,
        payload: impl AsRef<[u8]>,
    ) -> Result<Lsn> {
        let (place, _) = self.write(durability, Kind::Message, name, payload.as_ref())?;
        Ok(place.lsn)
    }

    /// Accepts an event, without waiting for the disk: it is in its place, and its ticket tells
    /// when it is durable. Waits only while too many bytes are pending.
    pub fn submit(&self, name: &str, payload: impl AsRef<[u8]>) -> Result<Ticket> {
        self.submit_kind(true, Kind::Message, name, payload.as_ref())
    }

    /// As [`Session::submit`], and never waits.
    ///
    /// # Errors
    /// [`Error::Backpressure`] if too many bytes are pending; nothing was accepted.
    pub fn try_submit(&self, name: &str, payload: impl AsRef<[u8]>) -> Result<Ticket> {
        self.submit_kind(false, Kind::Message, name, payload.as_ref())
    }

    /// Appends events, all or none; durable when it returns. Returns the last one's LSN.
    pub fn append_all<'e, P: AsRef<[u8]>>(
        &self,
        events: impl IntoIterator<Item = (&'e str, P)>,
    ) -> Result<Lsn> {
        let batch = events
            .into_iter()
            .fold(Batch::new(), |batch, (name, payload)| {
                batch.event(self, name, payload)
            });
        self.journal.append_all(&batch)
    }

    /// Sets the value of a key; the latest wins. Durable when it returns.
    pub fn put(&self, key: &str, value: impl AsRef<[u8]>) -> Result<Lsn> {
        let (place, _) = self.write(Durability::Durable, Kind::Put, key, value.as_ref())?;
        Ok(place.lsn)
    }

    /// Removes a key. Durable when it returns.
    pub fn remove(&self, key: &str) -> Result<Lsn> {
        let (place, _) = self.write(Durability::Durable, Kind::Remove, key, &[])?;
        Ok(place.lsn)
    }

    /// The value of a key, once it is durable.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let Some(seq) = self.look(|state| state.values.get(key).map(|value| value.seq))? else {
            return Ok(None);
        };
        let mut found = Entries::new(
            self.journal.shared.index.clone(),
            self.no,
            seq,
            seq.next(),
            vec![],
        );
        let entry = found.next().transpose()?;
        Ok(entry.map(|entry| entry.content))
    }

    /// The keys that hold a value, in order.
    pub fn keys(&self) -> Result<Vec<String>> {
        self.look(|state| state.values.keys().map(|key| key.to_string()).collect())
    }

    /// Drops the records from `from` on: they are gone from every read when this returns, and
    /// from every file after the next compaction. Durable when it returns.
    pub fn truncate_from(&self, from: Seq) -> Result<Lsn> {
        let mut record = NewRecord::new(self.no, Kind::SessionTruncated);
        record.envelope.link = u64::from(from.get());
        Ok(self
            .journal
            .shared
            .append(Durability::Durable, &record)?
            .0
            .lsn)
    }

    /// Drops all records. Durable when it returns; see [`Session::truncate_from`].
    pub fn clear(&self) -> Result<Lsn> {
        Ok(self
            .write(Durability::Durable, Kind::SessionCleared, "", &[])?
            .0
            .lsn)
    }

    /// Deletes the session for good: no recovery, old snapshot or import brings it back.
    /// Durable when it returns; see [`Session::truncate_from`].
    pub fn delete(&self) -> Result<Lsn> {
        Ok(self
            .write(Durability::Durable, Kind::SessionDeleted, "", &[])?
            .0
            .lsn)
    }

    /// Notes that the host is done with the session. A new turn brings it back.
    pub fn end(&self, reason: &str) -> Result<Lsn> {
        Ok(self
            .write(Durability::Durable, Kind::SessionEnded, reason, &[])?
            .0
            .lsn)
    }

    /// The session at a glance, once that is durable.
    pub fn info(&self) -> Result<SessionInfo> {
        self.look(SessionInfo::of)
    }

    /// Reads durable records by their place in the session, forwards, or backwards with
    /// [`Iterator::rev`]. Truncated and cleared records are not there.
    ///
    /// What was accepted in this session before the call is waited for, so that a host reads what
    /// it wrote: beside a sync that takes long this takes as long. [`Journal::read`] does not wait.
    ///
    /// # Errors
    /// [`Error::SessionDeleted`]. Damage is an item of its own. After a failed sync what is
    /// durable still reads.
    pub fn read(&self, range: impl RangeBounds<Seq>) -> Result<Entries> {
        let (from, to) = super::entries::bounds(range);
        let holes = match self.look(|state| state.holes.clone()) {
            // A truncation among what is not durable hides records until the journal is opened
            // again, which decides whether it happened.
            Err(Error::Poisoned { .. }) => self.journal.shared.commit.with_stage(|tail| {
                let state = tail.state.session(self.no);
                state.map(|state| state.holes.clone()).unwrap_or_default()
            }),
            holes => holes?,
        };
        Ok(Entries::new(
            self.journal.shared.index.clone(),
            self.no,
            from,
            to,
            holes,
        ))
    }

    /// The last `count` records, oldest first.
    pub fn last(&self, count: usize) -> Result<Vec<Entry>> {
        super::entries::last(self.read(..)?, count)
    }

    /// The records of the last `count` turns, oldest first, and whatever stands between them.
    pub fn last_turns(&self, count: usize) -> Result<Vec<Entry>> {
        super::entries::last_turns(self.read(..)?, count)
    }

    /// The records from a turn's first one on.
    pub fn from_turn(&self, turn: Seq) -> Result<Entries> {
        self.read(turn..)
    }

    pub(crate) fn write(
        &self,
        durability: Durability,
        kind: Kind,
        name: &str,
        content: &[u8],
    ) -> Result<(Accepted, u64)> {
        let mut record = NewRecord::new(self.no, kind);
        record.envelope.name = name;
        record.content = content;
        self.journal.shared.append(durability, &record)
    }

    fn submit_kind(
        &self,
        may_wait: bool,
        kind: Kind,
        name: &str,
        content: &[u8],
    ) -> Result<Ticket> {
        let mut record = NewRecord::new(self.no, kind);
        record.envelope.name = name;
        record.content = content;
        let (place, end_lsn) = self.journal.shared.submit(may_wait, &record)?;
        Ok(Ticket::new(self.journal.shared.clone(), place.lsn, end_lsn))
    }

    /// Looks at the session's fold, once what it saw is durable.
    fn look<T>(&self, look: impl FnOnce(&SessionState) -> T) -> Result<T> {
        let found =
            self.journal
                .shared
                .settled(|tail: &Tail| match tail.state.session(self.no) {
                    Some(state) => (Some(look(state)), state.last_lsn.next()),
                    None => (None, Lsn::default()),
                })?;
        found.ok_or_else(|| Error::SessionDeleted {
            id: self.id.to_string(),
        })
    }
}
