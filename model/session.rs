//! Sessions: all that is remembered of one, without its records.
//!
//! This is what a snapshot stores. Its size follows what is open, queued, keyed and set in the
//! session, never how long its history is.

use super::key::hash_name;
use super::turn::{EndedTurn, KeyedTurn, OpenTurn, TurnState};
use crate::format::body::Text;
use crate::format::ids::{Lsn, Seq, SessionNo};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The number of the session that is the journal itself.
pub const JOURNAL_SESSION: SessionNo = SessionNo::new(0);

/// Whether a session goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It may go on at any time.
    #[default]
    Active,
    /// The host said that it is done with it. The next turn makes it active again.
    Ended {
        /// The record that said so.
        seq: Seq,
        /// Why, in the host's words.
        reason: Text,
    },
}

/// Where the current value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueRef {
    /// The record that holds it. Also its version, for conditional writes.
    pub seq: Seq,
    /// That record's place in the journal.
    pub lsn: Lsn,
    /// Length of the value in bytes.
    pub len: u32,
}

/// Input that waits for its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedInput {
    /// Its identity: the seq of the record that queued it.
    pub seq: Seq,
    /// That record's place in the journal.
    pub lsn: Lsn,
    /// Its class, in the host's words.
    pub class: Text,
    /// The higher, the sooner.
    pub priority: u64,
    /// Hash of its idempotency key, if it has one.
    pub key_hash: Option<u128>,
}

/// An event or a queued input that a session remembers by its idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedRecord {
    /// Hash of the key.
    pub key_hash: u128,
    /// The record.
    pub seq: Seq,
}

/// How many turns ended how, over all of the session's history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnCounts {
    /// Turns that ended with an answer.
    pub completed: u32,
    /// Turns that ended with an error.
    pub failed: u32,
    /// Turns that someone stopped.
    pub cancelled: u32,
    /// Turns that stopped without saying so.
    pub interrupted: u32,
    /// Turns that were open when their beginning was truncated or cleared.
    pub dropped: u32,
}

impl TurnCounts {
    pub(super) fn count(&mut self, state: TurnState) {
        let counter = match state {
            TurnState::Completed => &mut self.completed,
            TurnState::Failed => &mut self.failed,
            TurnState::Cancelled => &mut self.cancelled,
            TurnState::Interrupted => &mut self.interrupted,
            TurnState::Submitted | TurnState::Started | TurnState::Responding => return,
        };
        *counter = counter.saturating_add(1);
    }
}

/// All that is remembered of a live session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// Its number.
    pub no: SessionNo,
    /// The host's id for it. Opaque; never becomes a path.
    pub name: Text,
    /// The session that it was begun from, for sub-agents.
    pub parent: Option<SessionNo>,
    /// Whether it goes on.
    pub status: Status,
    /// One more with each clear and truncation: what a handle compares to notice them. A session
    /// that takes a deleted one's name goes on counting from there.
    pub generation: u32,
    /// The seq of its next record.
    pub next_seq: Seq,
    /// Where it was created.
    pub created_lsn: Lsn,
    /// When it was created, in milliseconds since 1970 by the writer's clock.
    pub created_ms: u64,
    /// Its latest activity. Orders sessions by freshness, whatever clocks did.
    pub active_lsn: Lsn,
    /// When that was, by the writer's clock.
    pub active_ms: u64,
    /// Its latest record, activity or not.
    pub last_lsn: Lsn,
    /// How many turns ever began, which is also the latest ordinal.
    pub turns_begun: u32,
    /// How they ended.
    pub turns_ended: TurnCounts,
    /// The turn that began last, unless it was dropped.
    pub last_turn: Option<Seq>,
    /// The turn that ended last, unless it was dropped.
    pub last_ended: Option<EndedTurn>,
    /// Turns that have not ended, oldest first.
    pub open: Vec<OpenTurn>,
    /// Turns remembered by key, oldest first. Those of open turns never leave.
    pub recent_keys: VecDeque<KeyedTurn>,
    /// Events and inputs remembered by key, oldest first.
    pub recent_events: VecDeque<KeyedRecord>,
    /// Keyed values.
    pub values: BTreeMap<Text, ValueRef>,
    /// Waiting input, oldest first.
    pub queue: Vec<QueuedInput>,
    /// Dropped records, as sorted half-open ranges that do not touch.
    pub holes: Vec<(Seq, Seq)>,
}

impl SessionState {
    /// A session with no records yet.
    pub(super) fn new(no: SessionNo, name: &str) -> Self {
        SessionState {
            no,
            name: name.into(),
            next_seq: Seq::new(1),
            ..SessionState::default()
        }
    }

    /// Whether the session has the record `seq` and it was not dropped. O(log holes).
    pub fn is_visible(&self, seq: Seq) -> bool {
        seq.get() >= 1 && seq < self.next_seq && !self.is_dropped(seq)
    }

    /// Whether the record `seq` was truncated or cleared.
    pub fn is_dropped(&self, seq: Seq) -> bool {
        let at = self.holes.partition_point(|&(_, to)| to <= seq);
        self.holes.get(at).is_some_and(|&(from, _)| from <= seq)
    }

    /// Returns how many records are visible.
    pub fn visible_len(&self) -> u32 {
        let dropped = self.holes.iter().fold(0_u32, |sum, (from, to)| {
            sum.saturating_add(to.get().saturating_sub(from.get()))
        });
        self.next_seq
            .get()
            .saturating_sub(1)
            .saturating_sub(dropped)
    }

    /// Returns the open turn `seq`.
    pub fn open_turn(&self, seq: Seq) -> Option<&OpenTurn> {
        self.open_at(seq).map(|at| &self.open[at])
    }

    pub(super) fn open_at(&self, seq: Seq) -> Option<usize> {
        // From the back: the latest turn is the one that works.
        self.open.iter().rposition(|turn| turn.seq == seq)
    }

    /// Returns how the turn `seq` ended, as far back as that is remembered.
    pub fn end_of(&self, seq: Seq) -> Option<TurnState> {
        let last = self.last_ended.filter(|last| last.seq == seq);
        last.map(|last| last.state).or_else(|| {
            let keyed = self.recent_keys.iter().rev().find(|turn| turn.seq == seq)?;
            keyed.ended
        })
    }

    /// Returns the waiting input that is to be taken next: highest priority first, then oldest.
    pub fn next_input(&self) -> Option<&QueuedInput> {
        // Of equal maxima `max_by_key` takes the last, so it goes from the back.
        self.queue.iter().rev().max_by_key(|input| input.priority)
    }

    /// Forgets the records in `from..to`, and what hangs on them.
    pub(super) fn drop_range(&mut self, from: Seq, to: Seq) {
        if from >= to {
            return;
        }
        let gone = |seq: Seq| from <= seq && seq < to;
        let open_before = self.open.len();
        self.open.retain(|turn| !gone(turn.seq));
        self.recent_keys.retain(|turn| !gone(turn.seq));
        self.recent_events.retain(|event| !gone(event.seq));
        self.values.retain(|_, value| !gone(value.seq));
        self.queue.retain(|input| !gone(input.seq));
        self.last_turn = self.last_turn.filter(|seq| !gone(*seq));
        self.last_ended = self.last_ended.filter(|turn| !gone(turn.seq));
        if matches!(self.status, Status::Ended { seq, .. } if gone(seq)) {
            self.status = Status::Active;
        }
        self.add_hole(from, to);
        let dropped = open_before - self.open.len();
        self.turns_ended.dropped = self.turns_ended.dropped.saturating_add(dropped as u32);
    }

    fn add_hole(&mut self, mut from: Seq, mut to: Seq) {
        // All holes that overlap or touch `from..to` become one with it.
        let first = self.holes.partition_point(|&(_, end)| end < from);
        let last = self.holes.partition_point(|&(start, _)| start <= to);
        if let Some(&(start, _)) = self.holes[first..last].first() {
            from = from.min(start);
        }
        if let Some(&(_, end)) = self.holes[first..last].last() {
            to = to.max(end);
        }
        self.holes.splice(first..last, [(from, to)]);
    }

    /// Makes room for one more key within `window`.
    pub(super) fn trim_keys(&mut self, window: usize) {
        while self.recent_keys.len() >= window.max(1) {
            match self
                .recent_keys
                .iter()
                .position(|turn| turn.ended.is_some())
            {
                Some(0) => drop(self.recent_keys.pop_front()),
                Some(at) => drop(self.recent_keys.remove(at)),
                None => return,
            }
        }
    }

    /// What remains of the session after its record `last_seq` deleted it.
    pub(super) fn tombstone(&self, last_seq: Seq, last_lsn: Lsn) -> Tombstone {
        Tombstone {
            no: self.no,
            name_hash: hash_name(&self.name),
            generation: self.generation.saturating_add(1),
            last_seq,
            last_lsn,
        }
    }

    /// Whether what was loaded can be folded on without breaking the state's own rules.
    pub(super) fn is_sound(&self) -> bool {
        let next = self.next_seq;
        let known = |seq: Seq| seq.get() >= 1 && seq < next;
        let mut end = None;
        next.get() >= 1
            && rise(self.open.iter().map(|turn| turn.seq), next)
            && self.open.iter().all(|turn| turn.state.is_open())
            && rise(self.recent_keys.iter().map(|turn| turn.seq), next)
            && rise(self.recent_events.iter().map(|event| event.seq), next)
            && rise(self.queue.iter().map(|input| input.seq), next)
            && self.values.values().all(|value| known(value.seq))
            && self.holes.iter().all(|&(from, to)| {
                // Ranges that touch would have been merged.
                let apart = end.is_none_or(|end| end < from);
                end = Some(to);
                known(from) && from < to && to <= next && apart
            })
    }
}

/// Whether each of `seqs` is greater than the one before, from 1 on, and below `next`.
fn rise(mut seqs: impl Iterator<Item = Seq>, next: Seq) -> bool {
    let mut last = Seq::new(0);
    seqs.all(|seq| {
        let rises = last < seq && seq < next;
        last = seq;
        rises
    })
}

/// What remains of a deleted session, forever: enough to refuse what would bring it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Its number.
    pub no: SessionNo,
    /// Hash of its name. The name itself is gone.
    pub name_hash: u128,
    /// Its generation after the deletion.
    pub generation: u32,
    /// Its last record, which deleted it.
    pub last_seq: Seq,
    /// That record's place in the journal.
    pub last_lsn: Lsn,
}

/// One session of the table: live, or what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionEntry {
    /// It can be read and appended to.
    Live(Box<SessionState>),
    /// It was deleted.
    Deleted(Tombstone),
}

impl SessionEntry {
    /// Returns the session's number.
    pub fn no(&self) -> SessionNo {
        match self {
            SessionEntry::Live(session) => session.no,
            SessionEntry::Deleted(tombstone) => tombstone.no,
        }
    }

    /// Returns where its latest record is.
    pub fn last_lsn(&self) -> Lsn {
        match self {
            SessionEntry::Live(session) => session.last_lsn,
            SessionEntry::Deleted(tombstone) => tombstone.last_lsn,
        }
    }

    /// Returns the session, unless it was deleted.
    pub fn live(&self) -> Option<&SessionState> {
        match self {
            SessionEntry::Live(session) => Some(session),
            SessionEntry::Deleted(_) => None,
        }
    }

    /// Whether the record `seq` is there to be read.
    pub fn is_visible(&self, seq: Seq) -> bool {
        self.live().is_some_and(|session| session.is_visible(seq))
    }

    pub(super) fn open_turns(&self) -> usize {
        self.live().map_or(0, |session| session.open.len())
    }
}
