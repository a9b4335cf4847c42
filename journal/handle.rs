//! The journal's handle: sessions, batches, the whole log, and closing.

use super::batch::Batch;
use super::info::{OpenTurnInfo, SessionInfo};
use super::log_read::LogEntries;
use super::options::Options;
use super::session::Session;
use super::shared::{Durability, NewRecord, Shared};
use super::subscription::Subscription;
use super::ticket::Ticket;
use super::turn::{Input, Turn};
use crate::error::{Error, Result};
use crate::format::ids::{Lsn, SessionNo};
use crate::model::check::Condition;
use crate::model::event::Kind;
use crate::model::turn::TurnState;
use crate::sync::Arc;
use std::fmt;
use std::path::Path;

/// Longest session id in bytes.
pub const MAX_SESSION_ID_BYTES: usize = crate::model::check::MAX_NAME_BYTES;

/// An open journal: the one writer of its directory.
///
/// It belongs to the process that opened it. In a process forked from that one every call that
/// can fail is refused with [`Error::Forked`], and dropping the handle does nothing; but until
/// the child drops it or ends, the journal stays locked even if the parent is gone.
///
/// Cheap to clone; every clone is the same journal. When the last one goes, so do its threads
/// and its lock, and nothing acknowledged is lost; but only [`Journal::close`] can report a
/// failure, and leaves a journal that opens without replaying anything.
#[derive(Clone)]
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
    /// Shuts the journal when the last handle goes; threads hold `shared` alone.
    _owner: Arc<Owner>,
}

/// Shuts the journal when it is dropped.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        // In a forked child there is nothing to shut: threads and unwritten records are the
        // parent's. The descriptors go with `Shared`, and the parent's lock stays.
        if self.0.commit.check_home().is_err() {
            return;
        }
        // What nobody waited for is not thrown away; but if this fails, nobody is told.
        let _ = self.0.commit.flush();
        self.0.shut();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl Journal {
    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Journal {
            _owner: Arc::new(Owner(shared.clone())),
            shared,
        }
    }

    /// Begins to describe how a journal is opened.
    pub fn options() -> Options {
        Options::default()
    }

    /// The journal's directory.
    pub fn path(&self) -> &Path {
        self.shared.dir.path()
    }

    /// Opens the session `id`, making it if it is not there.
    ///
    /// A new session is durable together with the first durable record after it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty id or one over [`MAX_SESSION_ID_BYTES`], and whatever an
    /// append returns.
    pub fn session(&self, id: &str) -> Result<Session> {
        self.open_session(id, None)
    }

    /// As [`Journal::session`]; a session that is made becomes a child of `parent`.
    pub fn child_session(&self, id: &str, parent: &Session) -> Result<Session> {
        self.open_session(id, Some(parent.no()))
    }

    /// Makes the session `id`, or fails if one of that id is there or ever was. Durable when it
    /// returns. [`Journal::session`] would make an empty one in the place of a deleted one, which
    /// a late writer or an import must not.
    ///
    /// # Errors
    /// [`Error::SessionExists`], [`Error::SessionDeleted`]; else as [`Journal::session`].
    pub fn create_session(&self, id: &str) -> Result<Session> {
        check_id(id)?;
        let mut record = NewRecord::new(SessionNo::default(), Kind::SessionCreated);
        record.envelope.name = id;
        record.condition = Some(Condition::Generation(0));
        match self.shared.append(Durability::Durable, &record) {
            Ok((place, _)) => Ok(Session::new(self.clone(), place.session, id)),
            Err(Error::Conflict { .. }) => Err(Error::SessionDeleted { id: id.to_owned() }),
            Err(error) => Err(error),
        }
    }

    fn open_session(&self, id: &str, parent: Option<SessionNo>) -> Result<Session> {
        check_id(id)?;
        self.shared.commit.check_home()?;
        let known = |tail: &mut super::tail::Tail| tail.state.find(id);
        if let Some(no) = self.shared.commit.with_stage(known) {
            return Ok(Session::new(self.clone(), no, id));
        }
        let mut record = NewRecord::new(SessionNo::default(), Kind::SessionCreated);
        record.envelope.name = id;
        record.envelope.link = parent.map_or(0, |no| u64::from(no.get()));
        match self
            .shared
            .append(Durability::Relaxed(RELAXED_DELAY), &record)
        {
            Ok((place, _)) => Ok(Session::new(self.clone(), place.session, id)),
            Err(error) => match self.shared.commit.with_stage(known) {
                // Another thread made it in between.
                Some(no) if matches!(error, Error::SessionExists { .. }) => {
                    Ok(Session::new(self.clone(), no, id))
                }
                _ => Err(error),
            },
        }
    }

    /// Opens the session `id` if it is there.
    ///
    /// # Errors
    /// [`Error::UnknownSession`], or [`Error::SessionDeleted`] if there was one of that id.
    pub fn find(&self, id: &str) -> Result<Session> {
        self.shared.commit.check_home()?;
        let found = self.shared.commit.with_stage(|tail| {
            let deleted = tail.state.find_deleted(id).is_some();
            tail.state.find(id).ok_or(deleted)
        });
        match found {
            Ok(no) => Ok(Session::new(self.clone(), no, id)),
            Err(true) => Err(Error::SessionDeleted { id: id.to_owned() }),
            Err(false) => Err(Error::UnknownSession { id: id.to_owned() }),
        }
    }

    /// Lists all sessions, oldest first. Returns when what it shows is durable.
    pub fn sessions(&self) -> Result<Vec<SessionInfo>> {
        self.shared.settled(|tail| {
            (
                tail.state.sessions().map(SessionInfo::of).collect(),
                tail.next_lsn(),
            )
        })
    }

    /// Lists every turn that was submitted and has not ended: after a crash, those that the
    /// host must resume or interrupt. Returns when what it shows is durable.
    pub fn open_turns(&self) -> Result<Vec<OpenTurnInfo>> {
        self.shared.settled(|tail| {
            let epoch = tail.epoch();
            let turns = tail
                .state
                .open_turns()
                .map(|(session, turn)| OpenTurnInfo::of(session, turn, epoch))
                .collect();
            (turns, tail.next_lsn())
        })
    }

    /// Appends all records of `batch`, or none, across any crash; durable when it returns.
    /// Returns the last record's LSN.
    ///
    /// # Errors
    /// As [`Session::append`]; then none was accepted.
    pub fn append_all(&self, batch: &Batch) -> Result<Lsn> {
        self.submit_all(batch)?.wait()
    }

    /// As [`Journal::append_all`], without waiting for the disk.
    pub fn submit_all(&self, batch: &Batch) -> Result<Ticket> {
        let (lsn, end_lsn) = self.shared.submit_batch(&batch.records(&self.shared)?)?;
        Ok(Ticket::new(self.shared.clone(), lsn, end_lsn))
    }

    /// Accepts `batch` and, behind it, the beginning of a turn of `session`: all or nothing,
    /// across any crash, without waiting for the disk.
    ///
    /// # Errors
    /// As [`Session::begin`]. [`Error::Invalid`] if the batch is not empty and the input's
    /// idempotency key was seen before: then the turn is there, and nothing was accepted.
    pub fn submit_then_begin(
        &self,
        batch: &Batch,
        session: &Session,
        input: &Input,
    ) -> Result<(Turn, Ticket)> {
        if !Arc::ptr_eq(&session.journal().shared, &self.shared) {
            return Err(Error::Invalid {
                what: "session",
                why: "it belongs to another journal".to_owned(),
            });
        }
        let mut records = batch.records(&self.shared)?;
        records.push(input.record(session));
        let (places, end_lsn) = self.shared.submit_records(&records)?;
        let place = places.last().expect("there is a place for each record");
        let ticket = Ticket::new(self.shared.clone(), Lsn::new(end_lsn - 1), end_lsn);
        if place.existing {
            return Ok((session.turn_handle(place.seq, false)?, ticket));
        }
        let ordinal = self.shared.commit.with_stage(|tail| {
            let state = tail.state.session(session.no())?;
            state.open_turn(place.seq).map(|turn| turn.ordinal)
        });
        match ordinal {
            Some(ordinal) => {
                let state = TurnState::Submitted;
                Ok((
                    Turn::new(session.plain(), place.seq, ordinal, 0, true, state),
                    ticket,
                ))
            }
            // Another thread ended it, or cleared the session, in between.
            None => Ok((session.turn_handle(place.seq, true)?, ticket)),
        }
    }

    /// Reads the whole journal in LSN order, from `from` to the durable edge of now. Records of
    /// deleted, cleared and truncated history are not shown.
    pub fn read(&self, from: Lsn) -> Result<LogEntries> {
        self.shared.commit.check_home()?;
        let end = Lsn::new(self.shared.commit.durable());
        let entries = LogEntries::new(
            self.shared.index.clone(),
            self.shared.options.locksmith.clone(),
            from,
            end,
        );
        Ok(entries.only(self.shared.shown()))
    }

    /// Follows the journal from `from` on, as records become durable.
    pub fn subscribe(&self, from: Lsn) -> Subscription {
        Subscription::new(self.shared.clone(), from)
    }

    /// Everything below is durable.
    pub fn durable_lsn(&self) -> Lsn {
        Lsn::new(self.shared.commit.durable())
    }

    /// Everything below is accepted.
    pub fn accepted_lsn(&self) -> Lsn {
        self.shared.commit.with_stage(|tail| tail.next_lsn())
    }

    /// Returns when everything accepted so far is durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn sync(&self) -> Result<()> {
        self.shared.commit.flush()
    }
}

/// How long records may wait whose caller does not.
pub(crate) const RELAXED_DELAY: std::time::Duration = std::time::Duration::from_millis(20);

fn check_id(id: &str) -> Result<()> {
    let why = match id.len() {
        0 => "it is empty".to_owned(),
        len if len > MAX_SESSION_ID_BYTES => {
            format!("it has {len} bytes, the most is {MAX_SESSION_ID_BYTES}")
        }
        _ => return Ok(()),
    };
    Err(Error::Invalid {
        what: "session id",
        why,
    })
}
