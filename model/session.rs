//! Sessions: all that is remembered of one, without its records.
//!
//! This is what a snapshot stores. Its size follows what is open, queued, keyed and set in the
//! session, never how long its history is.

use super::key::hash_name;
use super::turn::{EndedTurn, KeyedTurn, OpenTurn, TurnState};
use crate::format::body::Text;
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
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

/// Input that waits for its turn; claimed, or given up and kept.
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
    /// When it was queued, in milliseconds since 1970 by the writer's clock.
    pub queued_ms: u64,
    /// How often it was claimed, which is also the number of the latest claim.
    pub claims: u32,
    /// How many of the claims ended with their writer, since it was last released by hand.
    pub lost_claims: u32,
    /// Where it stands.
    pub standing: Standing,
}

/// Where queued input stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It can be claimed.
    #[default]
    Waiting,
    /// Its latest claim has not said what becomes of it. The claim ends with its writer: then
    /// the input waits again, without a record that says so.
    Claimed {
        /// The writer under which it was claimed.
        epoch: Epoch,
        /// By whom, if the host tells.
        owner: Text,
        /// The record of the claim.
        seq: Seq,
    },
    /// It was given up, and is kept until someone releases or withdraws it.
    Dead {
        /// The record that says why.
        seq: Seq,
    },
}

impl QueuedInput {
    /// Whether it can be claimed under the writer `now`.
    pub fn is_waiting(&self, now: Epoch) -> bool {
        match &self.standing {
            Standing::Waiting => true,
            Standing::Claimed { epoch, .. } => *epoch < now,
            Standing::Dead { .. } => false,
        }
    }

    /// Whether a claim holds it under the writer `now`.
    pub fn is_claimed(&self, now: Epoch) -> bool {
        matches!(self.standing, Standing::Claimed { .. }) && !self.is_waiting(now)
    }

    /// Whether it is among the dead letters.
    pub fn is_dead(&self) -> bool {
        matches!(self.standing, Standing::Dead { .. })
    }

    /// How many claims of it are lost under the writer `now`, the latest included.
    pub fn lost_claims(&self, now: Epoch) -> u32 {
        let latest = matches!(self.standing, Standing::Claimed { epoch, .. } if epoch < now);
        self.lost_claims.saturating_add(u32::from(latest))
    }
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
            TurnState::Submitted | TurnState::Running | TurnState::Responding => return,
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
    /// The latest turns that ended without an answer and left progress, oldest first: their
    /// progress is all there is of one, so compaction keeps it.
    pub partial: VecDeque<Seq>,
    /// Events and inputs remembered by key, oldest first.
    pub recent_events: VecDeque<KeyedRecord>,
    /// Keyed values.
    pub values: BTreeMap<Text, ValueRef>,
    /// Input that waits, is claimed, or was given up and is kept; oldest first.
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

    /// Returns the turn that was begun in place of `seq`, as far back as that is remembered.
    pub fn superseded_by(&self, seq: Seq) -> Option<Seq> {
        let last = self.last_ended.filter(|last| last.seq == seq);
        let keyed = || self.recent_keys.iter().rev().find(|turn| turn.seq == seq);
        match last {
            Some(last) => last.superseded_by,
            None => keyed()?.superseded_by,
        }
    }

    pub(super) fn supersede(&mut self, seq: Seq, by: Seq) {
        if let Some(last) = self.last_ended.as_mut().filter(|last| last.seq == seq) {
            last.superseded_by = Some(by);
        }
        let mut keyed = self.recent_keys.iter_mut().rev();
        if let Some(keyed) = keyed.find(|turn| turn.seq == seq) {
            keyed.superseded_by = Some(by);
        }
    }

    /// Returns how many calls of open turns have no result.
    pub fn open_calls(&self) -> usize {
        self.open.iter().map(|turn| turn.calls.len()).sum()
    }

    /// Returns how the turn `seq` ended, as far back as that is remembered.
    pub fn end_of(&self, seq: Seq) -> Option<TurnState> {
        let last = self.last_ended.filter(|last| last.seq == seq);
        last.map(|last| last.state).or_else(|| {
            let keyed = self.recent_keys.iter().rev().find(|turn| turn.seq == seq)?;
            keyed.ended
        })
    }

    /// Returns the queued input `seq`.
    pub fn queued(&self, seq: u64) -> Option<&QueuedInput> {
        let at = u32::try_from(seq).ok()?;
        let found = self.queue.binary_search_by_key(&Seq::new(at), |i| i.seq);
        found.ok().map(|at| &self.queue[at])
    }

    pub(super) fn queued_mut(&mut self, seq: u64) -> Option<&mut QueuedInput> {
        let at = u32::try_from(seq).ok()?;
        let found = self.queue.binary_search_by_key(&Seq::new(at), |i| i.seq);
        found.ok().map(|at| &mut self.queue[at])
    }

    /// Returns the waiting input that is to be taken next under the writer `now`, of `class` if
    /// one is asked for: highest priority first, then oldest. O(queue).
    pub fn next_input(&self, now: Epoch, class: Option<&str>) -> Option<&QueuedInput> {
        let waiting = self.queue.iter().rev().filter(|input| {
            input.is_waiting(now) && class.is_none_or(|class| class == &*input.class)
        });
        // Of equal maxima `max_by_key` takes the last, so it goes from the back.
        waiting.max_by_key(|input| input.priority)
    }

    /// Forgets the records in `from..to`, and what hangs on them.
    pub(super) fn drop_range(&mut self, from: Seq, to: Seq) {
        if from >= to {
            return;
        }
        let gone = |seq: Seq| from <= seq && seq < to;
        let open_before = self.open.len();
        self.open.retain(|turn| !gone(turn.seq));
        for turn in &mut self.open {
            turn.calls.retain(|call| !gone(call.seq));
        }
        self.partial.retain(|turn| !gone(*turn));
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
            && self
                .open
                .iter()
                .all(|turn| rise(turn.calls.iter().map(|call| call.seq), next))
            && self.partial.iter().all(|turn| known(*turn))
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
