//! Publishing snapshots, and giving up what no kept snapshot needs.
//!
//! What a crash right after each step leaves:
//!
//! 1. packs and state files are written and synced: garbage, swept at the next opening;
//! 2. their names are durable: the same;
//! 3. the manifest is published: it is in force, and everything that it refers to is durable.
//!    What the one before needed is still there, so either serves;
//! 4. segments, packs and state files that no kept snapshot needs are removed or set aside,
//!    any number of them: garbage by the manifest in force, whether their names come back or
//!    not.
//!
//! An error in 1 to 3 leaves the journal as it was: nothing is given up, and the ids that were
//! used are not used again, for a manifest whose publication failed may turn out to be in force.

use super::catalog;
use crate::error::{Corruption, Error, Result};
use crate::format::ids::{PackId, SegmentId, SnapshotId};
use crate::format::manifest::{Manifest, SnapshotRef};
use crate::format::names;
use crate::journal::segments::SegmentFile;
use crate::journal::shared::Shared;
use crate::sabotage::Sabotage;
use crate::storage::dir::Dir;
use crate::sync::Arc;

/// How many files are kept to be used again as segments.
const MAX_SPARES: usize = 2;

/// Files that were written for a snapshot and that no manifest refers to yet. Dropped, it
/// removes them.
#[derive(Debug)]
pub(super) struct Draft {
    dir: Dir,
    /// The manifest that is to follow, with the ids that are taken.
    pub manifest: Manifest,
    names: Vec<String>,
}

impl Drop for Draft {
    fn drop(&mut self) {
        for name in &self.names {
            // Best effort: what stays is garbage.
            let _ = self.dir.remove(name);
        }
    }
}

impl Draft {
    /// Begins with the manifest in force.
    pub fn new(shared: &Shared) -> Draft {
        let manifest = shared.manifest.lock().clone();
        Draft {
            dir: shared.dir.clone(),
            manifest,
            names: Vec::new(),
        }
    }

    /// Takes the id of the next pack, whose file is removed with the draft.
    pub fn next_pack(&mut self) -> PackId {
        let id = self.manifest.next_pack;
        self.manifest.next_pack = id.next();
        self.names.push(names::pack(id));
        id
    }

    /// Takes the id of the next snapshot, whose state file is removed with the draft.
    pub fn next_snapshot(&mut self) -> SnapshotId {
        let id = self.manifest.next_snapshot;
        self.manifest.next_snapshot = id.next();
        self.names.push(names::state(id));
        id
    }

    /// Leaves out snapshots that turned out to be damaged.
    pub fn forget(&mut self, damaged: &[(SnapshotId, Corruption)]) {
        let is_damaged = |id| damaged.iter().any(|(damaged, _)| *damaged == id);
        self.manifest
            .snapshots
            .retain(|snapshot| !is_damaged(snapshot.id));
    }

    /// Adds the newest snapshot; at most `keep` stay, of which two always may: the segments
    /// that only older ones need can be given up as soon as two are there.
    pub fn add(&mut self, snapshot: SnapshotRef, keep: usize) {
        let snapshots = &mut self.manifest.snapshots;
        snapshots.push(snapshot);
        let surplus = snapshots.len().saturating_sub(keep.max(2));
        snapshots.drain(..surplus);
        if snapshots.len() >= 2 {
            let needed = snapshots.iter().map(|snapshot| snapshot.log_from).min();
            self.manifest.log_floor = needed.unwrap_or_default().max(self.manifest.log_floor);
        }
    }

    /// Puts the manifest in force. The files are durable under names that are not yet.
    ///
    /// With `twice` it is published twice, so that the one before it refers to nothing else
    /// either: then nothing that was erased is referred to by any manifest.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`], [`Error::Corrupt`]. The manifest that was in force
    /// still is, as far as this process is concerned.
    pub fn publish(mut self, shared: &Shared, twice: bool) -> Result<Manifest> {
        if Sabotage::EarlyReclaim.is_on() {
            reclaim(shared, &self.manifest, false)?;
        }
        // A failed directory sync is reported once. While this is held, no name of the log
        // waits for a sync of its own whose failure could go unseen here.
        let _names = shared.maker.lock();
        if !Sabotage::EarlySnapshot.is_on() {
            self.dir.sync()?;
        }
        // From here on the manifest may be in force, whatever is reported.
        self.names.clear();
        let mut result = Ok(());
        for _ in 0..if twice { 2 } else { 1 } {
            self.manifest.generation += 1;
            result = result.and_then(|()| catalog::publish(&self.dir, &self.manifest));
        }
        let mut in_force = shared.manifest.lock();
        match result {
            Ok(()) => {
                *in_force = self.manifest.clone();
                Ok(in_force.clone())
            }
            Err(error) => {
                in_force.generation = self.manifest.generation;
                in_force.next_pack = self.manifest.next_pack;
                in_force.next_snapshot = self.manifest.next_snapshot;
                Err(error)
            }
        }
    }
}

/// What was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reclaimed {
    pub segments_removed: u64,
    pub segments_reused: u64,
    pub files_removed: u64,
}

/// Gives up what `manifest`, which is in force, says is garbage. With `reuse`, segment files
/// that nobody reads any more become spares.
///
/// # Errors
/// [`Error::Io`] for the first file that could not be removed. It is garbage still.
pub(super) fn reclaim(shared: &Shared, manifest: &Manifest, reuse: bool) -> Result<Reclaimed> {
    let retired = {
        let mut index = shared.index.write();
        let kept = index.segments.split_off(&manifest.log_floor);
        std::mem::replace(&mut index.segments, kept)
    };
    let dir = &shared.dir;
    let mut reclaimed = Reclaimed::default();
    if reuse && dir.storage().overwrites_in_place(dir.path()) {
        let mut maker = shared.maker.lock();
        for (id, segment) in retired.into_iter().rev() {
            if maker.spares.len() < MAX_SPARES && set_aside(dir, id, segment) {
                maker.spares.push(names::spare(id.get()));
                reclaimed.segments_reused += 1;
            }
        }
    }
    let swept = catalog::sweep(dir, manifest)?;
    reclaimed.segments_removed = swept.segments;
    reclaimed.files_removed = swept.files;
    Ok(reclaimed)
}

/// Turns a segment that is out of the index into a spare, unless somebody still reads it.
fn set_aside(dir: &Dir, id: SegmentId, segment: Arc<SegmentFile>) -> bool {
    // Out of the index, so nobody who has no hold on it by now will ever get one.
    Arc::try_unwrap(segment).is_ok()
        && dir
            .rename(&names::segment(id), &names::spare(id.get()))
            .is_ok()
}

/// Removes every spare, and the prepared next segment if it may have been one: nothing that
/// an earlier life left behind is in any file that the log will go on in.
///
/// # Errors
/// [`Error::Io`]; some may be gone, which costs nothing.
pub(super) fn discard_spares(shared: &Shared) -> Result<()> {
    let mut maker = shared.maker.lock();
    maker.spares.clear();
    for entry in shared.dir.list()? {
        if let names::Name::Spare(_) = names::Name::parse(&entry.name) {
            match shared.dir.remove(&entry.name) {
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
    }
    if let Some(next) = shared.commit.with_stage(|tail| tail.take_next_segment()) {
        shared.dir.remove(&names::segment(next.id()))?;
    }
    Ok(())
}
