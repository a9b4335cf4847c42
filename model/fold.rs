//! The fold: what each record does to the state. The same live, on replay and in compaction.

use super::check::{is_for_journal, is_remembered};
use super::event::{Envelope, Kind, UnknownKind};
use super::key::{hash_key, hash_name};
use super::session::{
    JOURNAL_SESSION, KeyedRecord, QueuedInput, SessionEntry, SessionState, Standing, Status,
    ValueRef,
};
use super::state::{Limits, State};
use super::turn::{EndedTurn, KeyedTurn, OpenCall, OpenTurn, TurnState};
use crate::format::body::Text;
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};

/// How many turns of a session that ended without an answer keep their progress.
pub const MAX_PARTIAL_TURNS: usize = 128;

/// A record as the fold sees it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its place in the journal.
    pub lsn: Lsn,
    /// Its session.
    pub session: SessionNo,
    /// Its place in the session.
    pub seq: Seq,
    /// The writer that accepted it.
    pub epoch: Epoch,
    /// What happened.
    pub kind: Kind,
    /// The envelope.
    pub envelope: &'a Envelope<'a>,
    /// Length of the content in bytes.
    pub content_len: u32,
}

/// What a record did to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// It stands in its session, and that is all.
    Recorded,
    /// Its session began.
    SessionCreated,
    /// Its session is gone, with all records.
    SessionDeleted,
    /// These records of its session, half-open, are gone.
    Dropped {
        /// The first that is gone.
        from: Seq,
        /// The first after them.
        to: Seq,
    },
    /// A turn began; its identity is the record's seq.
    TurnBegan {
        /// Which turn of the session it is, from 1.
        ordinal: u32,
    },
    /// A turn moved, and is open still.
    TurnMoved {
        /// The turn.
        turn: Seq,
        /// Where to.
        state: TurnState,
    },
    /// A turn ended.
    TurnEnded {
        /// The turn.
        turn: Seq,
        /// Its ordinal.
        ordinal: u32,
        /// How.
        state: TurnState,
    },
}

/// Why a record, or a stored session, cannot be folded: what is on disk contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FoldFault {
    /// The kind is of a later release, or never was one.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// The record is not later than one that is folded already.
    #[error("lsn {found} after lsn {last}")]
    Lsn {
        /// The latest that is folded.
        last: Lsn,
        /// The record's.
        found: Lsn,
    },
    /// The record's session was never created.
    #[error("record of session {session}, which was never created")]
    UnknownSession {
        /// The number.
        session: SessionNo,
    },
    /// The record's session was deleted before it.
    #[error("record of session {session}, which was deleted before")]
    DeletedSession {
        /// The number.
        session: SessionNo,
    },
    /// The kind has no place in the journal's own session.
    #[error("{kind} outside of a session")]
    NeedsSession {
        /// The kind.
        kind: Kind,
    },
    /// A session was created with another number than the next.
    #[error("session {found} was created where {expected} comes next")]
    SessionOrder {
        /// The next number.
        expected: SessionNo,
        /// The number found.
        found: SessionNo,
    },
    /// A session was created without a name, or with that of a live one.
    #[error("session {session} was created without a name of its own")]
    SessionName {
        /// The number.
        session: SessionNo,
    },
    /// The record is not the next of its session.
    #[error("record {found} of session {session} where {expected} comes next")]
    Seq {
        /// The session.
        session: SessionNo,
        /// The next seq.
        expected: Seq,
        /// The seq found.
        found: Seq,
    },
    /// The record speaks of a turn that is not open.
    #[error("record of turn {turn} of session {session}, which is not open")]
    Turn {
        /// The session.
        session: SessionNo,
        /// The turn.
        turn: Seq,
    },
    /// A stored session contradicts itself or another one.
    #[error("stored session {session} contradicts itself or another")]
    Loaded {
        /// The number.
        session: SessionNo,
    },
}

impl State {
    /// Folds the next record. The only way in which a state changes.
    ///
    /// # Errors
    /// [`FoldFault`], and then the state is as it was.
    pub fn apply(&mut self, record: &Record<'_>) -> Result<Effect, FoldFault> {
        if record.lsn <= self.last_lsn {
            return Err(FoldFault::Lsn {
                last: self.last_lsn,
                found: record.lsn,
            });
        }
        let effect = if record.kind == Kind::SessionCreated {
            self.create(record)?
        } else {
            self.advance(record)?
        };
        self.last_lsn = record.lsn;
        Ok(effect)
    }

    fn create(&mut self, record: &Record<'_>) -> Result<Effect, FoldFault> {
        let no = record.session;
        let name = record.envelope.name;
        if no != self.next_session() {
            return Err(FoldFault::SessionOrder {
                expected: self.next_session(),
                found: no,
            });
        }
        expect_seq(no, Seq::new(1), record.seq)?;
        if name.is_empty() || self.names.contains_key(name) || no.get() == u32::MAX {
            return Err(FoldFault::SessionName { session: no });
        }
        let mut session = Box::new(SessionState::new(no, name));
        session.parent = match u32::try_from(record.envelope.link) {
            Ok(parent) if parent != 0 => Some(SessionNo::new(parent)),
            _ => None,
        };
        // Whoever still holds the deleted session of this name sees another generation.
        session.generation = self.next_generation(name);
        session.created_lsn = record.lsn;
        session.created_ms = record.envelope.at_ms;
        session.stamp(record);
        self.names.insert(session.name.clone(), no);
        self.entries.push(SessionEntry::Live(session));
        Ok(Effect::SessionCreated)
    }

    fn advance(&mut self, record: &Record<'_>) -> Result<Effect, FoldFault> {
        let no = record.session;
        let Some(entry) = self.entries.get_mut(no.get() as usize) else {
            return Err(FoldFault::UnknownSession { session: no });
        };
        let SessionEntry::Live(session) = entry else {
            return Err(FoldFault::DeletedSession { session: no });
        };
        if no == JOURNAL_SESSION && !is_for_journal(record.kind) {
            return Err(FoldFault::NeedsSession { kind: record.kind });
        }
        expect_seq(no, session.next_seq, record.seq)?;
        if record.kind == Kind::SessionDeleted {
            let tombstone = session.tombstone(record.seq, record.lsn);
            self.open_turns -= session.open.len();
            self.names.remove(&session.name);
            self.tombstones.insert(hash_name(&session.name), no);
            *entry = SessionEntry::Deleted(tombstone);
            self.queues.remove(&no);
            return Ok(Effect::SessionDeleted);
        }
        let open_before = session.open.len();
        let had_queue = !session.queue.is_empty();
        let effect = session.fold(record, &self.limits)?;
        session.stamp(record);
        self.open_turns = self.open_turns - open_before + session.open.len();
        if had_queue == session.queue.is_empty() {
            self.note_queue(no);
        }
        Ok(effect)
    }
}

fn expect_seq(session: SessionNo, expected: Seq, found: Seq) -> Result<(), FoldFault> {
    // The last number has none after it.
    if expected == found && found.get() < u32::MAX {
        return Ok(());
    }
    Err(FoldFault::Seq {
        session,
        expected,
        found,
    })
}

impl SessionState {
    pub(super) fn stamp(&mut self, record: &Record<'_>) {
        self.next_seq = record.seq.next();
        self.last_lsn = record.lsn;
        if record.kind.is_activity() {
            self.active_lsn = record.lsn;
            self.active_ms = record.envelope.at_ms;
        }
    }

    fn fold(&mut self, record: &Record<'_>, limits: &Limits) -> Result<Effect, FoldFault> {
        let envelope = record.envelope;
        let effect = match record.kind {
            Kind::TurnSubmitted => self.begin_turn(record, limits),
            kind if kind.is_within_turn() => self.step_turn(record)?,
            Kind::SessionEnded => {
                self.status = Status::Ended {
                    seq: record.seq,
                    reason: envelope.name.into(),
                };
                Effect::Recorded
            }
            Kind::SessionCleared => self.drop_until(record, 2),
            Kind::SessionTruncated => self.drop_until(record, envelope.link),
            Kind::Put => {
                let value = ValueRef {
                    seq: record.seq,
                    lsn: record.lsn,
                    len: record.content_len,
                };
                // Setting a key anew is the common case, and allocates nothing.
                match self.values.get_mut(envelope.name) {
                    Some(current) => *current = value,
                    None => drop(self.values.insert(envelope.name.into(), value)),
                }
                Effect::Recorded
            }
            Kind::Remove => {
                self.values.remove(envelope.name);
                Effect::Recorded
            }
            Kind::InputQueued => {
                self.queue.push(QueuedInput {
                    seq: record.seq,
                    lsn: record.lsn,
                    class: envelope.name.into(),
                    priority: envelope.link,
                    key_hash: key_hash_of(envelope),
                    queued_ms: envelope.at_ms,
                    claims: 0,
                    lost_claims: 0,
                    standing: Standing::Waiting,
                });
                Effect::Recorded
            }
            Kind::InputWithdrawn | Kind::InputConfirmed => {
                self.take_input(envelope.link);
                Effect::Recorded
            }
            kind if kind.is_about_input() => {
                if let Some(input) = self.queued_mut(envelope.link) {
                    input.fold(record);
                }
                Effect::Recorded
            }
            _ => Effect::Recorded,
        };
        if is_remembered(record.kind) {
            self.remember_event(record, limits);
        }
        Ok(effect)
    }

    fn begin_turn(&mut self, record: &Record<'_>, limits: &Limits) -> Effect {
        let envelope = record.envelope;
        let key_hash = key_hash_of(envelope);
        self.turns_begun = self.turns_begun.saturating_add(1);
        let ordinal = self.turns_begun;
        self.open.push(OpenTurn {
            seq: record.seq,
            ordinal,
            attempt: 0,
            owner: Text::default(),
            state: TurnState::Submitted,
            epoch: record.epoch,
            submitted_lsn: record.lsn,
            submitted_ms: envelope.at_ms,
            last_ms: envelope.at_ms,
            key_hash,
            has_progress: false,
            calls: Vec::new(),
        });
        if envelope.turn != 0 {
            self.supersede(Seq::new(envelope.turn), record.seq);
        }
        if let Some(key_hash) = key_hash {
            self.trim_keys(limits.key_window);
            self.recent_keys.push_back(KeyedTurn {
                key_hash,
                seq: record.seq,
                ordinal,
                ended: None,
                superseded_by: None,
            });
        }
        self.take_input(envelope.link);
        self.last_turn = Some(record.seq);
        self.status = Status::Active;
        Effect::TurnBegan { ordinal }
    }

    fn step_turn(&mut self, record: &Record<'_>) -> Result<Effect, FoldFault> {
        let seq = Seq::new(record.envelope.turn);
        let Some(at) = self.open_at(seq) else {
            return Err(FoldFault::Turn {
                session: self.no,
                turn: seq,
            });
        };
        let turn = &mut self.open[at];
        turn.last_ms = record.envelope.at_ms;
        let Some(state) = TurnState::brought_by(record.kind) else {
            turn.note(record);
            return Ok(Effect::Recorded);
        };
        if state.is_open() {
            turn.state = state;
            turn.epoch = record.epoch;
            if record.kind == Kind::TurnStarted {
                turn.attempt = turn.attempt.max(record.envelope.attempt);
                // Most hosts name nobody, and then nothing is allocated.
                turn.owner = record.envelope.actor.into();
            }
            return Ok(Effect::TurnMoved { turn: seq, state });
        }
        let turn = self.open.remove(at);
        let ordinal = turn.ordinal;
        self.turns_ended.count(state);
        self.last_ended = Some(EndedTurn {
            seq,
            ordinal,
            state,
            superseded_by: None,
        });
        if turn.has_progress && state != TurnState::Completed {
            while self.partial.len() >= MAX_PARTIAL_TURNS {
                self.partial.pop_front();
            }
            self.partial.push_back(seq);
        }
        if turn.key_hash.is_some() {
            let mut keyed = self.recent_keys.iter_mut().rev();
            if let Some(keyed) = keyed.find(|keyed| keyed.seq == seq) {
                keyed.ended = Some(state);
            }
        }
        Ok(Effect::TurnEnded {
            turn: seq,
            ordinal,
            state,
        })
    }

    /// Drops the records from `from` up to this one. The session's creation always stays.
    fn drop_until(&mut self, record: &Record<'_>, from: u64) -> Effect {
        let from = u32::try_from(from.max(2)).map_or(record.seq, Seq::new);
        let from = from.min(record.seq);
        self.drop_range(from, record.seq);
        self.generation = self.generation.saturating_add(1);
        Effect::Dropped {
            from,
            to: record.seq,
        }
    }

    fn take_input(&mut self, seq: u64) {
        if seq != 0 {
            self.queue.retain(|input| u64::from(input.seq.get()) != seq);
        }
    }

    fn remember_event(&mut self, record: &Record<'_>, limits: &Limits) {
        if let Some(key_hash) = key_hash_of(record.envelope) {
            while self.recent_events.len() >= limits.key_window.max(1) {
                self.recent_events.pop_front();
            }
            self.recent_events.push_back(KeyedRecord {
                key_hash,
                seq: record.seq,
            });
        }
    }
}

impl QueuedInput {
    /// Takes in a record that says where it stands.
    fn fold(&mut self, record: &Record<'_>) {
        let Record { epoch, seq, .. } = *record;
        match record.kind {
            Kind::InputClaimed => {
                self.lost_claims = self.lost_claims(epoch);
                self.claims = self.claims.saturating_add(1).max(record.envelope.attempt);
                let owner = record.envelope.actor.into();
                self.standing = Standing::Claimed { epoch, owner, seq };
            }
            Kind::InputReleased => {
                if record.envelope.attempt == 0 {
                    self.lost_claims = 0;
                }
                self.standing = Standing::Waiting;
            }
            Kind::InputBuried => {
                self.lost_claims = self.lost_claims(epoch);
                self.standing = Standing::Dead { seq };
            }
            _ => {}
        }
    }
}

impl OpenTurn {
    /// Takes in a record of the turn that does not move it.
    fn note(&mut self, record: &Record<'_>) {
        match record.kind {
            Kind::TurnProgress => self.has_progress = true,
            Kind::TurnCall => {
                let id_hash = hash_key(record.envelope.key);
                if self.call_at(id_hash).is_none() {
                    let seq = record.seq;
                    self.calls.push(OpenCall { seq, id_hash });
                }
            }
            Kind::TurnResult | Kind::TurnCallInterrupted => {
                if let Some(at) = self.call_at(hash_key(record.envelope.key)) {
                    self.calls.remove(at);
                }
            }
            _ => {}
        }
    }
}

fn key_hash_of(envelope: &Envelope<'_>) -> Option<u128> {
    match envelope.key {
        [] => None,
        key => Some(hash_key(key)),
    }
}
