//! A session's handle: begin turns, append events, keep values, read.

use super::batch::Batch;
use super::entries::Entries;
use super::entry::Entry;
use super::handle::Journal;
use super::info::SessionInfo;
use super::shared::{Durability, NewRecord, Shared};
use super::tail::{Accepted, Tail};
use super::ticket::Ticket;
use super::turn::{Input, Turn};
use super::turn_entries::TurnEntries;
use crate::error::{Error, Result};
use crate::format::ids::{Lsn, Seq, SessionNo};
use crate::model::check::Condition;
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
    condition: Option<Condition>,
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
            condition: None,
        }
    }

    /// A handle by which whatever is appended, in a batch too, is refused unless `condition`
    /// holds; in a batch, before its first record. Reading is as ever, and so are the turns and
    /// claims that it gives.
    ///
    /// ```
    /// # use turnkeep::{Condition, Error, Journal};
    /// # let home = tempfile::tempdir()?;
    /// # let (journal, _) = Journal::open(home.path().join("j"))?;
    /// # let session = journal.session("s")?;
    /// let head = session.append("note", "mine")?;
    /// session.append("note", "somebody else's")?;
    /// let stale = session.when(Condition::Head(head)).append("note", "after mine");
    /// assert!(matches!(stale, Err(Error::Conflict { expected, .. }) if expected == head.get()));
    ///
    /// let version = session.put("todo", "[]")?;
    /// session.when(Condition::Value(Some(version))).put("todo", "[1]")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What is appended by it fails with [`Error::Conflict`], which says what was expected and
    /// what was found, or [`Error::TurnOpen`]. A known idempotency key is found before anything
    /// else is looked at: a retry gets its first answer.
    pub fn when(&self, condition: Condition) -> Session {
        Session {
            condition: Some(condition),
            ..self.clone()
        }
    }

    pub(crate) fn condition(&self) -> Option<Condition> {
        self.condition
    }

    /// The same session, without a condition.
    pub(crate) fn plain(&self) -> Session {
        Session {
            condition: None,
            ..self.clone()
        }
    }

    pub(crate) fn new_record(&self, kind: Kind) -> NewRecord<'static> {
        NewRecord {
            condition: self.condition,
            ..NewRecord::new(self.no, kind)
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

    pub(crate) fn shared(&self) -> &Shared {
        &self.journal.shared
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
        let record = input.record(self);
        let (place, _) = self.journal.shared.append(Durability::Durable, &record)?;
        self.turn_handle(place.seq, !place.existing)
    }

    /// A handle on a turn that has not ended, for example one found after a crash. It speaks for
    /// no attempt: it can read the turn and end it from outside, and to work on it needs
    /// [`Turn::started`] or [`Turn::retry`] first.
    ///
    /// # Errors
    /// [`Error::TurnEnded`], or [`Error::UnknownTurn`] if it never was, or ended longer ago than
    /// is remembered.
    pub fn turn(&self, turn: Seq) -> Result<Turn> {
        let handle = self.turn_handle(turn, false)?;
        if handle.is_ended() {
            return Err(Error::TurnEnded {
                session: self.id.to_string(),
                turn,
                state: handle.state().as_str(),
            });
        }
        Ok(handle)
    }

    pub(crate) fn turn_handle(&self, turn: Seq, is_new: bool) -> Result<Turn> {
        let found = self.look(|state| {
            let open = state.open_turn(turn);
            let mut ended = state.recent_keys.iter().rev();
            let last = state.last_ended.filter(|last| last.seq == turn);
            open.map(|open| (open.ordinal, open.attempt, open.state))
                .or(last.map(|last| (last.ordinal, 0, last.state)))
                .or(ended
                    .find(|keyed| keyed.seq == turn)
                    .and_then(|keyed| Some((keyed.ordinal, 0, keyed.ended?))))
        })?;
        let (ordinal, latest, state) = found.ok_or_else(|| Error::UnknownTurn {
            session: self.id.to_string(),
            turn,
        })?;
        Ok(Turn::new(
            self.plain(),
            turn,
            ordinal,
            latest,
            is_new,
            state,
        ))
    }

    /// The turn that was begun in place of `turn` with [`Input::supersedes`]; of several the
    /// latest. For a turn that ended longer ago than is remembered this reads the session from
    /// there to its end.
    ///
    /// # Errors
    /// As [`Session::read`], and for the first record that is damaged.
    pub fn superseded_by(&self, turn: Seq) -> Result<Option<Seq>> {
        let known = self.look(|state| match state.end_of(turn) {
            Some(_) => Some(state.superseded_by(turn)),
            None => state.open_turn(turn).map(|_| None),
        })?;
        match known {
            Some(known) => Ok(known),
            None => super::turn_entries::superseded_by(self.read(turn..)?, turn),
        }
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
        Ok(self.value(key)?.map(|entry| entry.content))
    }

    /// The record that holds the value of a key, once it is durable: the value with its version,
    /// which is the record's LSN, for [`Condition::Value`].
    pub fn value(&self, key: &str) -> Result<Option<Entry>> {
        match self.look(|state| state.values.get(key).map(|value| value.seq))? {
            Some(seq) => self.record(seq),
            None => Ok(None),
        }
    }

    /// One record, which is known to be durable and not dropped.
    pub(crate) fn record(&self, seq: Seq) -> Result<Option<Entry>> {
        self.entries(seq, seq.next(), vec![]).next().transpose()
    }

    /// The keys that hold a value, in order.
    pub fn keys(&self) -> Result<Vec<String>> {
        self.look(|state| state.values.keys().map(|key| key.to_string()).collect())
    }

    /// Drops the records from `from` on: they are gone from every read when this returns, and
    /// from every file after the next compaction. Durable when it returns. Beside this,
    /// [`Session::clear`] and [`Session::delete`] nothing that is appended takes away anything.
    ///
    /// # Errors
    /// [`Error::InputPending`] if queued input would go with them; [`Error::Invalid`] if there is
    /// nothing to drop; and as [`Session::begin`].
    pub fn truncate_from(&self, from: Seq) -> Result<Lsn> {
        let mut record = self.new_record(Kind::SessionTruncated);
        record.envelope.link = u64::from(from.get());
        Ok(self
            .journal
            .shared
            .append(Durability::Durable, &record)?
            .0
            .lsn)
    }

    /// Drops all records. Durable when it returns; see [`Session::truncate_from`], also for
    /// errors.
    pub fn clear(&self) -> Result<Lsn> {
        Ok(self
            .write(Durability::Durable, Kind::SessionCleared, "", &[])?
            .0
            .lsn)
    }

    /// Deletes the session for good, queued input and all: no recovery, old snapshot or import
    /// brings it back. Durable when it returns; see [`Session::truncate_from`].
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
        Ok(self.entries(from, to, holes))
    }

    fn entries(&self, from: Seq, to: Seq, holes: Vec<(Seq, Seq)>) -> Entries {
        let shared = &self.journal.shared;
        let locksmith = shared.options.locksmith.clone();
        Entries::new(shared.index.clone(), locksmith, self.no, from, to, holes)
    }

    /// The last `count` records, oldest first.
    pub fn last(&self, count: usize) -> Result<Vec<Entry>> {
        super::entries::last(self.read(..)?, count)
    }

    /// The records of the last `count` turns, oldest first, and whatever stands between them.
    pub fn last_turns(&self, count: usize) -> Result<Vec<Entry>> {
        super::entries::last_turns(self.read(..)?, count)
    }

    /// The records of one turn, open or ended, in order. See [`TurnEntries`].
    pub fn turn_entries(&self, turn: Seq) -> Result<TurnEntries<Entries>> {
        Ok(TurnEntries::new(self.read(turn..)?, turn))
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
        let mut record = self.new_record(kind);
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
        let mut record = self.new_record(kind);
        record.envelope.name = name;
        record.content = content;
        let (place, end_lsn) = self.journal.shared.submit(may_wait, &record)?;
        Ok(Ticket::new(self.journal.shared.clone(), place.lsn, end_lsn))
    }

    /// Looks at the session's fold, once what it saw is durable.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&SessionState) -> T) -> Result<T> {
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
