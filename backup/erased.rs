//! What was erased since a backup was made: it is erased again, before anything is restored.
//!
//! A backup knows nothing of what came after it, so restoring it would bring back sessions that
//! were deleted, and history that was cleared or truncated. Whether somebody wanted that or lost
//! it, no comparison of contents can tell; the present journal can, for it keeps what is left of
//! each deletion and the range of each truncation for ever.
//!
//! A session is known by its name and where it was created. So this holds between a journal and
//! its own backups, and through any number of restores; of two lines that went apart, clears and
//! truncations of what they have not in common are not compared.

use crate::format::ids::{Seq, SessionNo};
use crate::model::key::hash_name;
use crate::model::session::{SessionEntry, SessionState, Tombstone};
use crate::model::state::State;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How something is erased again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErasedHow {
    /// The session is deleted.
    Deleted,
    /// Its records are dropped from this one on. Clearing drops them from the second one on.
    DroppedFrom(Seq),
}

/// Something that the backup holds, and that was erased since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ErasedAgain {
    /// The session, as the backup calls it.
    pub session: String,
    /// Its number in the backup.
    #[serde(skip)]
    pub no: SessionNo,
    /// What is done to it.
    pub how: ErasedHow,
}

impl fmt::Display for ErasedAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            ErasedHow::Deleted => write!(f, "session {:?} was deleted since", self.session),
            ErasedHow::DroppedFrom(from) => write!(
                f,
                "session {:?} was cleared or truncated since, from record {from} on",
                self.session
            ),
        }
    }
}

/// What is erased in `now` of what `then` holds.
pub fn erased_since(then: &State, now: &State) -> Vec<ErasedAgain> {
    let erased = then.sessions().filter_map(|session| {
        Some(ErasedAgain {
            session: session.name.to_string(),
            no: session.no,
            how: how_of(session, now)?,
        })
    });
    erased.collect()
}

fn how_of(then: &SessionState, now: &State) -> Option<ErasedHow> {
    let deleted = now.find_deleted(&then.name);
    if deleted.is_some_and(|tombstone| tombstone.generation > then.generation) {
        return Some(ErasedHow::Deleted);
    }
    let present = now.session(now.find(&then.name)?)?;
    if present.created_lsn != then.created_lsn {
        return None;
    }
    // What was dropped since ends at the record that dropped it, which the backup does not have.
    let since = |(from, to): &&(Seq, Seq)| *from < then.next_seq && *to >= then.next_seq;
    let from = present.holes.iter().find(since)?.0;
    let is_new = (from.get()..then.next_seq.get()).any(|seq| then.is_visible(Seq::new(seq)));
    is_new.then_some(ErasedHow::DroppedFrom(from))
}

/// What is left in `now` of deleted sessions that `then`, with what is erased in it again, has
/// nothing of, or something older: without it an import could bring them back.
pub fn tombstones_since(then: &State, now: &State) -> Vec<Tombstone> {
    let mut generations: BTreeMap<u128, u32> = BTreeMap::new();
    for entry in then.entries() {
        let (name_hash, generation) = match entry {
            SessionEntry::Live(session) => (hash_name(&session.name), session.generation),
            SessionEntry::Deleted(tombstone) => (tombstone.name_hash, tombstone.generation),
        };
        let known = generations.entry(name_hash).or_default();
        *known = generation.max(*known);
    }
    let mut latest: BTreeMap<u128, Tombstone> = BTreeMap::new();
    for entry in now.entries() {
        if let SessionEntry::Deleted(tombstone) = entry {
            latest.insert(tombstone.name_hash, *tombstone);
        }
    }
    let is_newer = |tombstone: &Tombstone| {
        let known = generations.get(&tombstone.name_hash);
        known.is_none_or(|generation| tombstone.generation > *generation)
    };
    latest.into_values().filter(is_newer).collect()
}
