//! Writing a whole journal again: with another identity, or of another format version.
//!
//! The records keep their LSNs, sequence numbers, sessions and writers. The files get ids above
//! every one that stands in the target, so that they stand beside whatever is there, and neither
//! can be taken for a part of the other. What a crash right after each step leaves:
//!
//! 1. Packs, a closed segment and two state files are written, synced and read back: garbage of
//!    the journal that is there. The segment is called a spare, for under its own name the journal
//!    that is there would meet it in its log. Where there is none, a directory that a marker says is unfinished.
//! 2. Every record of the new packs is compared with what was to be written: the same.
//! 3. The manifest is published, and the segment gets its name: the new journal is in force,
//!    whole. Between the two, readers look for it under the name of a spare; if the power fails there,
//!    the next opening for writing gives it its name. The old page is not its own, so that opening
//!    makes one, and sweeps.
//! 4. It is published again, so that the manifest before it is not the old journal's: rot in the
//!    newest one must not bring that back.
//! 5. What is not the new journal's is removed, any part of it: as after 3.
//! 6. The page says that the journal was closed, and the next opening is a clean one.

use super::change::{Change, fold_change};
use super::packer::{Draft, Free, Packer};
use super::rest::{AtRest, Digest};
use crate::error::{Corruption, Result};
use crate::format::ids::{JournalId, Lsn};
use crate::format::manifest::{Manifest, ReplayPoint};
use crate::format::names::{self, Name};
use crate::journal::options::Options;
use crate::journal::segments::{Expected, adopt_spare};
use crate::recovery::closed::{self, End};
use crate::recovery::verify::Progress;
use crate::snapshot::catalog;
use crate::snapshot::image::Image;
use crate::snapshot::load::{load, open_packs};
use crate::snapshot::write::write_state;
use crate::storage::OpenMode;
use crate::storage::dir::Dir;

/// A journal that is written, whole and durable, and not in force.
#[derive(Debug)]
#[must_use = "it is not in force yet"]
pub struct Rewritten {
    manifest: Manifest,
    point: ReplayPoint,
    align: u32,
    /// Every record in it that the source had.
    pub digest: Digest,
    /// The LSN after its last record.
    pub next_lsn: Lsn,
}

/// Writes `from`, changed by `change`, into `into`, without putting it in force: steps 1 and 2.
///
/// # Errors
/// [`Error::Corrupt`] if a record that is read does not validate, or what was written reads back
/// differently; [`Error::NoSpace`], [`Error::Io`], [`Error::TooLarge`]. What was written is
/// removed again as far as that is possible, and garbage otherwise.
pub fn write(
    mut from: AtRest,
    into: &Dir,
    change: &Change,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Rewritten> {
    let mut draft = Draft {
        dir: into.clone(),
        names: Vec::new(),
    };
    let free = Free::above(into)?;
    let settings = Options::default();
    let added = fold_change(&mut from, change, into.storage().unix_ms())?;
    let total_bytes = from.image.packs.iter().map(|pack| pack.bytes).sum();
    let mut packer = Packer {
        dir: into,
        journal: change.journal,
        next: free.pack,
        refs: Vec::new(),
        draft: &mut draft,
        digest: Digest::default(),
    };
    let mut done_bytes = 0;
    for at in 0..from.packs.len() {
        let old = from.image.packs[at];
        packer.pack(old.lsn_from, old.lsn_to, &mut |keep| {
            from.read_pack(at, keep)
        })?;
        done_bytes += old.bytes;
        progress(Progress {
            file: &names::pack(old.id),
            done_bytes,
            total_bytes,
        });
    }
    let (packed_to, end) = (from.packed_to(), from.next_lsn());
    if packed_to < end {
        packer.pack(packed_to, end, &mut |keep| from.read_log(keep))?;
    }
    let (written, carried) = (packer.digest, packer.refs.len());
    let next_lsn = added.last().map_or(end, |last| last.header.lsn.next());
    packer.pack_added(end, next_lsn, added)?;
    let (refs, next_pack) = (packer.refs, packer.next);

    let closing = End {
        journal: change.journal,
        segment: free.segment,
        next_lsn,
        epoch: change.epoch,
        created_ms: into.storage().unix_ms(),
    };
    draft.names.push(names::spare(free.segment.get()));
    let point = closed::make_spare_segment(into, &closing, &settings)?;
    let mut image = Image::empty(free.segment, 1);
    image.state = from.image.state;
    image.packs = refs;
    image.set_point(point);
    image.note_segment(next_lsn, free.segment);
    let mut manifest = Manifest {
        journal: change.journal,
        generation: free.generation,
        created_ms: change.created_ms,
        group_align: settings.group_align,
        next_snapshot: free.snapshot,
        next_pack,
        log_floor: free.segment,
        snapshots: Vec::new(),
    };
    // Two, so that rot in one costs nothing.
    for _ in 0..2 {
        let id = manifest.next_snapshot;
        draft.names.push(names::state(id));
        let snapshot = write_state(into, change.journal, id, &image)?;
        manifest.snapshots.push(snapshot);
        manifest.next_snapshot = id.next();
    }
    into.sync()?;
    compare(into, &manifest, &image, carried, written)?;
    draft.names.clear();
    Ok(Rewritten {
        manifest,
        point,
        align: settings.group_align,
        digest: written,
        next_lsn,
    })
}

/// Puts it in force: steps 3 to 6. The caller holds the lock of the journal that is there.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::Io`], [`Error::Corrupt`]. It may be in force nevertheless, and is
/// whole then.
pub fn commit(into: &Dir, mut rewritten: Rewritten) -> Result<JournalId> {
    let segment = rewritten.point.segment;
    let manifest = &mut rewritten.manifest;
    manifest.generation += 1;
    catalog::publish(into, manifest)?;
    adopt_spare(into, &names::spare(segment.get()), segment)?;
    manifest.generation += 1;
    catalog::publish(into, manifest)?;
    catalog::sweep(into, manifest)?;
    for entry in into.list()? {
        // What an earlier life left in them is no business of this journal.
        if let Name::Spare(_) = Name::parse(&entry.name) {
            into.remove(&entry.name)?;
        }
    }
    into.sync()?;
    closed::make_page(into, manifest.journal, &rewritten.point, rewritten.align)?;
    Ok(manifest.journal)
}

/// Reads everything that was written through fresh handles, and compares it with what was read.
fn compare(
    into: &Dir,
    manifest: &Manifest,
    image: &Image,
    carried: usize,
    expected: Digest,
) -> Result<()> {
    let packs = open_packs(into, manifest.journal, &image.packs[..carried], &[])?;
    let mut found = Digest::default();
    for pack in &packs {
        super::rest::read_all(&image.state, pack, &mut |frame| {
            found.add(frame);
            Ok(())
        })?;
    }
    let segment = Expected {
        journal: manifest.journal,
        id: manifest.log_floor,
    };
    if closed::find_pending(into, segment, OpenMode::Read)?.is_none() {
        let path = into.join(&names::spare(manifest.log_floor.get()));
        return Err(Corruption::new(path, "the segment reads back differently").into());
    }
    if found != expected {
        return Err(Corruption::new(into.path(), "records read back differ")
            .but(expected.hex(), found.hex())
            .into());
    }
    let digest = image.state.digest();
    for snapshot in &manifest.snapshots {
        let state = load(into, manifest.journal, snapshot, usize::MAX)?.state;
        if state.digest() != digest {
            let path = into.join(&names::state(snapshot.id));
            return Err(Corruption::new(path, "the state read back differs").into());
        }
    }
    Ok(())
}
