//! Checkpoints: a snapshot without a pack, so that opening has nothing to replay.
//!
//! A checkpoint stores the fold and the place of every record that is in no pack, up to the
//! durable edge. It moves no record, so it costs what sessions and unpacked places cost.

use super::load;
use super::plan::Survey;
use super::publish::{Draft, reclaim};
use super::write::write_state;
use crate::error::{Corruption, Error, Result};
use crate::format::ids::{Lsn, SnapshotId};
use crate::format::manifest::SnapshotRef;
use crate::journal::events::JournalEvent;
use crate::journal::handle::Journal;
use crate::journal::shared::Shared;
use crate::journal::watch::span;
use serde::Serialize;
use std::fmt;

/// A snapshot at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// Its id.
    pub id: SnapshotId,
    /// It answers for every record below.
    pub lsn: Lsn,
    /// Length of its state file in bytes.
    pub state_bytes: u64,
    /// How many packs it refers to.
    pub packs: u64,
    /// Every record below is in a pack, unless it was dropped.
    pub packed_to: Lsn,
}

impl SnapshotInfo {
    /// Reads it off the manifest's reference.
    pub fn of(snapshot: &SnapshotRef) -> Self {
        SnapshotInfo {
            id: snapshot.id,
            lsn: snapshot.lsn,
            state_bytes: snapshot.state_len,
            packs: snapshot.packs.len() as u64,
            packed_to: snapshot
                .packs
                .last()
                .map_or(Lsn::new(1), |pack| pack.lsn_to),
        }
    }
}

impl fmt::Display for SnapshotInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "snapshot {} of all records below lsn {}: {} bytes of state, {} packs up to lsn {}",
            self.id, self.lsn, self.state_bytes, self.packs, self.packed_to
        )
    }
}

impl Journal {
    /// Stores the state of everything accepted so far, so that opening replays only what comes
    /// after. Moves and drops no record: see [`Journal::compact`] for that.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`], [`Error::Corrupt`] if something that it reads does not
    /// validate: the journal is as it was. [`Error::Poisoned`], [`Error::Closed`].
    pub fn checkpoint(&self) -> Result<SnapshotInfo> {
        self.shared.commit.check_home()?;
        let _compacting = self.shared.compacting.lock();
        if self.shared.commit.is_closed() {
            return Err(Error::Closed);
        }
        checkpoint(&self.shared)
    }
}

/// As [`Journal::checkpoint`], made in any case, so that the manifest in force is published anew.
/// Forgets every kept snapshot whose state does not load, not only those newer than the one that
/// does, and removes what is garbage then.
///
/// # Errors
/// As [`Journal::checkpoint`]; [`Error::Io`] too if garbage could not be removed.
pub(crate) fn renew(journal: &Journal) -> Result<SnapshotInfo> {
    let shared = &*journal.shared;
    shared.commit.check_home()?;
    let _compacting = shared.compacting.lock();
    if shared.commit.is_closed() {
        return Err(Error::Closed);
    }
    let kept = shared.manifest.lock().snapshots.clone();
    let mut damaged = Vec::new();
    for snapshot in &kept {
        match load::load(&shared.dir, shared.journal, snapshot, 1) {
            Ok(_) => {}
            Err(Error::Corrupt(why)) => damaged.push((snapshot.id, *why)),
            Err(error) => return Err(error),
        }
    }
    make(shared, Some(&damaged))
}

/// Makes a snapshot of everything accepted so far. The caller holds the lock for it.
pub(super) fn checkpoint(shared: &Shared) -> Result<SnapshotInfo> {
    make(shared, None)
}

/// Makes a snapshot, unless the newest one is as new; with `damaged` in any case, and without
/// those.
fn make(shared: &Shared, damaged: Option<&[(SnapshotId, Corruption)]>) -> Result<SnapshotInfo> {
    span!("turnkeep.checkpoint");
    shared.commit.flush()?;
    let durable = Lsn::new(shared.commit.durable());
    let mut draft = Draft::new(shared);
    let mut survey = Survey::begin(shared, &draft.manifest)?;
    let image = &mut survey.base.image;
    if damaged.is_none()
        && survey.base.passed_over.is_empty()
        && let Some(newest) = draft.manifest.snapshots.last()
        && newest.lsn >= durable
    {
        return Ok(SnapshotInfo::of(newest));
    }
    survey.log.replay_sealed(image)?;
    // A segment that was begun since then starts behind what was durable.
    let end = durable.max(image.point.next_lsn);
    survey.log.replay_active(image, end)?;
    shared.commit.wait_durable(end.get())?;
    draft.forget(&survey.base.passed_over);
    draft.forget(damaged.unwrap_or_default());
    let snapshot = write_state(&shared.dir, shared.journal, draft.next_snapshot(), image)?;
    let info = SnapshotInfo::of(&snapshot);
    drop(survey);
    draft.add(snapshot, shared.options.keep_snapshots);
    let manifest = draft.publish(shared, false)?;
    shared.watch.tell(JournalEvent::Checkpointed {
        snapshot: info.id,
        lsn: info.lsn,
    });
    match (reclaim(shared, &manifest, true), damaged) {
        (Err(error), Some(_)) => Err(error),
        // What could not be removed is garbage still, and tried again.
        _ => Ok(info),
    }
}
