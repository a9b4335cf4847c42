//! The state of the whole journal: every session, as its records up to one LSN left it.
//!
//! [`State::check`](super::check) says whether a record may be appended, and
//! [`State::apply`](super::fold) folds one that was. Nothing else changes a state.

use super::fold::FoldFault;
use super::key::{hash_name, hash_onto};
use super::session::{JOURNAL_SESSION, QueuedInput, SessionEntry, SessionState, Tombstone};
use super::turn::OpenTurn;
use crate::format::body::{self, Text};
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Bounds on what a session may keep in memory. A record that would exceed one is refused; what
/// is on disk already is folded whatever they say.
///
/// With the defaults a session's state stays below the longest body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many idempotency keys a session remembers, of turns and of events each. Default 128,
    /// at least 1; each costs 32 bytes of memory. Open turns are remembered beyond it.
    pub key_window: usize,
    /// How many turns of a session may be open at once. Default 1,024.
    pub open_turns: usize,
    /// How many calls of a session's open turns may be without a result. Default 4,096.
    pub open_calls: usize,
    /// How many keys with values a session may have. Default 8,192.
    pub values: usize,
    /// How much input of a session may be queued, dead letters included. Default 8,192.
    pub queued: usize,
    /// How many separate ranges of a session may be truncated. Default 65,536.
    pub holes: usize,
}

/// The most turns of a session that may be open at once, whatever the settings say.
pub const MAX_OPEN_TURNS: usize = 1 << 10;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            key_window: 128,
            open_turns: MAX_OPEN_TURNS,
            open_calls: 4 << 10,
            values: 8 << 10,
            queued: 8 << 10,
            holes: 64 << 10,
        }
    }
}

/// Every session of a journal, up to one LSN.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) limits: Limits,
    /// By number: numbers are given in order and never reused, so there are no gaps. The first
    /// is the journal itself.
    pub(super) entries: Vec<SessionEntry>,
    /// Live sessions by name.
    pub(super) names: BTreeMap<Text, SessionNo>,
    /// The latest deleted session of each name, by hash.
    pub(super) tombstones: BTreeMap<u128, SessionNo>,
    pub(super) last_lsn: Lsn,
    pub(super) open_turns: usize,
    /// Sessions whose queue is not empty: what a claim across sessions looks at.
    pub(super) queues: BTreeSet<SessionNo>,
}

impl Default for State {
    fn default() -> Self {
        State::new(Limits::default())
    }
}

impl State {
    /// The state of a journal without records.
    pub fn new(limits: Limits) -> Self {
        let journal = SessionState::new(JOURNAL_SESSION, "");
        State {
            limits,
            entries: vec![SessionEntry::Live(Box::new(journal))],
            names: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            last_lsn: Lsn::new(0),
            open_turns: 0,
            queues: BTreeSet::new(),
        }
    }

    /// Notes whether the session's queue is empty.
    pub(super) fn note_queue(&mut self, no: SessionNo) {
        let is_empty = self.session(no).is_none_or(|s| s.queue.is_empty());
        if is_empty {
            self.queues.remove(&no);
        } else {
            self.queues.insert(no);
        }
    }

    /// Iterates over the sessions that have queued input, in the order of their creation.
    pub fn queues(&self) -> impl Iterator<Item = &SessionState> {
        self.queues.iter().filter_map(|no| self.session(*no))
    }

    /// Returns the waiting input of all sessions that is to be taken next under the writer
    /// `now`: highest priority first, then oldest. Sessions are passed over in which no further
    /// turn may begin: those that have as many open turns and claimed inputs as turns may be
    /// open. O(all queued input).
    pub fn next_input(
        &self,
        now: Epoch,
        class: Option<&str>,
    ) -> Option<(&SessionState, &QueuedInput)> {
        let may_begin = |session: &SessionState| {
            let claimed = session.queue.iter().filter(|input| input.is_claimed(now));
            session.open.len() + claimed.count() < self.limits.open_turns
        };
        self.queues()
            .filter(|session| may_begin(session))
            .filter_map(|session| Some((session, session.next_input(now, class)?)))
            .max_by_key(|(_, input)| (input.priority, Reverse(input.lsn)))
    }

    /// Sets how many turns of a session may be open when another one is to begin.
    pub fn set_max_open_turns(&mut self, count: usize) {
        self.limits.open_turns = count;
    }

    /// Takes one entry of a snapshot. They come in the order of their numbers, from the journal
    /// itself (0) on, into a new state.
    ///
    /// # Errors
    /// [`FoldFault`] if the entry is out of order or contradicts itself or an earlier one; the
    /// state is then as it was.
    pub fn insert_loaded(&mut self, entry: SessionEntry) -> Result<(), FoldFault> {
        let no = entry.no();
        if no == JOURNAL_SESSION {
            let pristine = self.entries.len() == 1 && self.last_lsn == Lsn::new(0);
            match &entry {
                SessionEntry::Live(session)
                    if pristine && session.is_sound() && session.open.is_empty() => {}
                _ => return Err(FoldFault::Loaded { session: no }),
            }
            self.last_lsn = entry.last_lsn();
            self.entries[0] = entry;
            return Ok(());
        }
        if no != self.next_session() {
            return Err(FoldFault::SessionOrder {
                expected: self.next_session(),
                found: no,
            });
        }
        match &entry {
            SessionEntry::Live(session) => {
                let fresh = !session.name.is_empty() && !self.names.contains_key(&session.name);
                if !fresh || !session.is_sound() {
                    return Err(FoldFault::Loaded { session: no });
                }
                self.names.insert(session.name.clone(), no);
                self.open_turns += session.open.len();
            }
            SessionEntry::Deleted(tombstone) => {
                self.tombstones.insert(tombstone.name_hash, no);
            }
        }
        self.last_lsn = self.last_lsn.max(entry.last_lsn());
        self.entries.push(entry);
        self.note_queue(no);
        Ok(())
    }

    /// Iterates over all entries in the order of their numbers, the journal itself first: what a
    /// snapshot stores.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &SessionEntry> {
        self.entries.iter()
    }

    /// Iterates over the sessions that were not deleted, in the order of their creation, without
    /// the journal itself.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionState> {
        self.entries[1..].iter().filter_map(SessionEntry::live)
    }

    /// Returns the entry of a number that was ever given.
    pub fn entry(&self, no: SessionNo) -> Option<&SessionEntry> {
        self.entries.get(no.get() as usize)
    }

    /// Returns the session, unless it was deleted or never was.
    pub fn session(&self, no: SessionNo) -> Option<&SessionState> {
        self.entry(no)?.live()
    }

    /// Returns the number of the live session of that name. O(log sessions).
    pub fn find(&self, name: &str) -> Option<SessionNo> {
        self.names.get(name).copied()
    }

    /// Iterates over the live sessions whose names begin with `prefix`, in order of name.
    pub fn find_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, SessionNo)> + 'a {
        self.names
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(name, _)| name.starts_with(prefix))
            .map(|(name, no)| (&**name, *no))
    }

    /// Returns what is left of the latest deleted session of that name.
    pub fn find_deleted(&self, name: &str) -> Option<&Tombstone> {
        self.tombstone(hash_name(name))
    }

    /// The generation with which a session of that name begins when it is created.
    pub(super) fn next_generation(&self, name: &str) -> u32 {
        self.find_deleted(name)
            .map_or(0, |tombstone| tombstone.generation.saturating_add(1))
    }

    pub(super) fn tombstone(&self, name_hash: u128) -> Option<&Tombstone> {
        match self.entry(*self.tombstones.get(&name_hash)?)? {
            SessionEntry::Deleted(tombstone) => Some(tombstone),
            SessionEntry::Live(_) => None,
        }
    }

    /// Returns the number that the next created session gets.
    pub fn next_session(&self) -> SessionNo {
        // Fits: creation is refused at the end of the range.
        SessionNo::new(self.entries.len() as u32)
    }

    /// Returns the seq of the session's next record, unless it was deleted or never was. For the
    /// number of the next session this is the seq of its creation.
    pub fn next_seq(&self, no: SessionNo) -> Option<Seq> {
        if no == self.next_session() {
            return Some(Seq::new(1));
        }
        self.session(no).map(|session| session.next_seq)
    }

    /// Returns the LSN of the latest record; 0 if there is none.
    pub fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }

    /// Returns how many turns are open.
    pub fn open_turn_count(&self) -> usize {
        self.open_turns
    }

    /// Iterates over all open turns, by session and then by age. O(sessions).
    pub fn open_turns(&self) -> impl Iterator<Item = (&SessionState, &OpenTurn)> {
        self.sessions()
            .flat_map(|session| session.open.iter().map(move |turn| (session, turn)))
    }

    /// Whether the record is there to be read: neither truncated, cleared, deleted, nor yet to
    /// come. O(log holes).
    pub fn is_visible(&self, session: SessionNo, seq: Seq) -> bool {
        self.entry(session)
            .is_some_and(|entry| entry.is_visible(seq))
    }

    /// Returns how many records of the session are there to be read. O(holes).
    pub fn visible_len(&self, session: SessionNo) -> u32 {
        self.session(session).map_or(0, SessionState::visible_len)
    }

    /// Returns a hash of everything that a snapshot of this state would store. Two folds of the
    /// same records have the same digest.
    pub fn digest(&self) -> u128 {
        let mut bytes = Vec::new();
        self.entries.iter().fold(0, |digest, entry| {
            bytes.clear();
            // A state too large to be stored still has a digest, if a coarser one.
            match body::encode(entry, &mut bytes) {
                Ok(()) => hash_onto(digest, &bytes),
                Err(_) => hash_onto(digest, &entry.last_lsn().get().to_le_bytes()),
            }
        })
    }

    /// Remembers these sessions as they are, and that no later ones exist, so that a batch whose
    /// third record is refused leaves nothing of the first two. Costs a copy of each session.
    pub fn savepoint(&self, sessions: impl IntoIterator<Item = SessionNo>) -> Savepoint {
        let mut saved: Vec<SessionNo> = sessions.into_iter().collect();
        saved.sort_unstable();
        saved.dedup();
        Savepoint {
            len: self.entries.len(),
            last_lsn: self.last_lsn,
            saved: saved
                .into_iter()
                .filter_map(|no| self.entry(no).cloned())
                .collect(),
        }
    }

    /// Goes back to `savepoint`, since which only records of its sessions and of new ones were
    /// applied.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        let mut undeleted = false;
        for created in self.entries.drain(savepoint.len..) {
            match created {
                SessionEntry::Live(session) => {
                    self.open_turns -= session.open.len();
                    self.names.remove(&session.name);
                    self.queues.remove(&session.no);
                }
                SessionEntry::Deleted(_) => undeleted = true,
            }
        }
        for entry in savepoint.saved {
            let slot = &mut self.entries[entry.no().get() as usize];
            let undone = std::mem::replace(slot, entry);
            self.open_turns = self.open_turns + slot.open_turns() - undone.open_turns();
            if let (SessionEntry::Live(session), SessionEntry::Deleted(_)) = (&*slot, &undone) {
                self.names.insert(session.name.clone(), session.no);
                undeleted = true;
            }
            self.note_queue(undone.no());
        }
        self.last_lsn = savepoint.last_lsn;
        if undeleted {
            // Rare enough for a full count.
            self.tombstones.clear();
            for entry in &self.entries {
                if let SessionEntry::Deleted(tombstone) = entry {
                    self.tombstones.insert(tombstone.name_hash, tombstone.no);
                }
            }
        }
    }
}

/// Sessions as they were before a batch. See [`State::savepoint`].
#[derive(Clone, Debug)]
pub struct Savepoint {
    len: usize,
    last_lsn: Lsn,
    saved: Vec<SessionEntry>,
}
