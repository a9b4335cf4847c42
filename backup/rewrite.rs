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
//!    whole. If the power fails between the two, the next opening for writing gives it the name.
//!    The old page is not its own, so that opening makes one, and sweeps.
//! 4. It is published again, so that the manifest before it is not the old journal's: rot in the
//!    newest one must not bring that back.
//! 5. What is not the new journal's is removed, any part of it: as after 3.
//! 6. The page says that the journal was closed, and the next opening is a clean one.

use super::erased::{ErasedAgain, ErasedHow};
use super::rest::{AtRest, Digest};
use crate::error::{Corruption, Error, Result};
use crate::format::checksum::payload_checksum;
use crate::format::frame::BODY_VERSION;
use crate::format::frame::{Frame, FrameHeader};
use crate::format::ids::{Epoch, JournalId, Lsn, PackId, SegmentId, SessionNo, SnapshotId};
use crate::format::manifest::{Manifest, PackRef, ReplayPoint};
use crate::format::names::{self, Name};
use crate::format::pack::PackHeader;
use crate::journal::options::Options;
use crate::model::event::{Envelope, Kind, encode_payload};
use crate::model::fold::Record;
use crate::model::session::{JOURNAL_SESSION, SessionEntry, Tombstone};
use crate::recovery::closed::{self, End};
use crate::recovery::verify::Progress;
use crate::snapshot::catalog;
use crate::snapshot::image::Image;
use crate::snapshot::load::{load, open_packs};
use crate::snapshot::sift::Keep;
use crate::snapshot::write::{PackWriter, write_state};
use crate::storage::dir::Dir;

/// What is to become of a journal when it is written again.
#[derive(Clone, Debug)]
pub struct Change {
    /// The identity that it gets.
    pub journal: JournalId,
    /// The writer of what is added.
    pub epoch: Epoch,
    /// LSN of the first record that is added.
    pub lsn: Lsn,
    /// What is erased.
    pub erase: Vec<ErasedAgain>,
    /// What is left of deleted sessions that it does not know of.
    pub tombstones: Vec<Tombstone>,
    /// Name and content of the record that documents the change.
    pub note: (&'static str, String),
    /// When the journal was created.
    pub created_ms: u64,
}

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

/// Ids above all that stand in a directory.
struct Free {
    generation: u64,
    pack: PackId,
    snapshot: SnapshotId,
    segment: SegmentId,
}

impl Free {
    fn above(dir: &Dir) -> Result<Free> {
        let (mut generation, mut pack, mut snapshot, mut segment) = (0, 0, 0, 1);
        if let Ok(Some(found)) = catalog::read_newest(dir) {
            pack = found.manifest.next_pack.get();
            snapshot = found.manifest.next_snapshot.get();
        }
        for entry in dir.list()? {
            match Name::parse(&entry.name) {
                Name::Manifest(taken) => generation = taken.max(generation),
                Name::Pack(taken) => pack = taken.get().max(pack),
                Name::State(taken) => snapshot = taken.get().max(snapshot),
                Name::Segment(taken) => segment = taken.get().max(segment),
                Name::Spare(taken) => segment = taken.max(segment),
                _ => {}
            }
        }
        Ok(Free {
            generation,
            pack: PackId::new(pack).next(),
            snapshot: SnapshotId::new(snapshot).next(),
            segment: SegmentId::new(segment).next(),
        })
    }
}

/// A record that is added.
struct Added {
    header: FrameHeader,
    payload: Vec<u8>,
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
    let manifest = &mut rewritten.manifest;
    for _ in 0..2 {
        manifest.generation += 1;
        catalog::publish(into, manifest)?;
        closed::adopt_pending(into, manifest)?;
    }
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

/// Files that no manifest refers to yet. Dropped, it removes them.
struct Draft {
    dir: Dir,
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

struct Packer<'d> {
    dir: &'d Dir,
    journal: JournalId,
    next: PackId,
    refs: Vec<PackRef>,
    draft: &'d mut Draft,
    digest: Digest,
}

impl Packer<'_> {
    fn begin(&mut self, lsn_from: Lsn, lsn_to: Lsn) -> Result<PackWriter> {
        let id = self.next;
        self.next = id.next();
        self.draft.names.push(names::pack(id));
        let header = PackHeader {
            journal: self.journal,
            id,
            lsn_from,
            lsn_to,
        };
        PackWriter::create(self.dir, header)
    }

    fn pack(
        &mut self,
        lsn_from: Lsn,
        lsn_to: Lsn,
        fill: &mut dyn FnMut(&mut Keep<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut writer = self.begin(lsn_from, lsn_to)?;
        let digest = &mut self.digest;
        fill(&mut |frame| {
            digest.add(frame);
            writer.push(frame)
        })?;
        self.refs.push(writer.finish()?);
        Ok(())
    }

    fn pack_added(&mut self, from: Lsn, to: Lsn, mut added: Vec<Added>) -> Result<()> {
        let mut writer = self.begin(from, to)?;
        added.sort_by_key(|added| (added.header.session, added.header.seq));
        for added in &added {
            writer.push(&Frame {
                header: added.header,
                check: 0,
                payload: &added.payload,
            })?;
        }
        self.refs.push(writer.finish()?);
        Ok(())
    }
}

/// Folds what is erased, what was deleted elsewhere, and the note; gives the records of it that
/// can be read afterwards.
fn fold_change(from: &mut AtRest, change: &Change, at_ms: u64) -> Result<Vec<Added>> {
    let mut added = Vec::new();
    let mut lsn = change.lsn.max(from.next_lsn());
    for erased in &change.erase {
        let (kind, link) = match erased.how {
            ErasedHow::Deleted => (Kind::SessionDeleted, 0),
            ErasedHow::DroppedFrom(seq) => (Kind::SessionTruncated, u64::from(seq.get())),
        };
        let envelope = Envelope {
            at_ms,
            name: "erased since the backup",
            link,
            ..Envelope::default()
        };
        let record = add(from, change, (erased.no, kind, lsn), &envelope, b"")?;
        if kind != Kind::SessionDeleted {
            added.push(record);
        }
        lsn = lsn.next();
    }
    for tombstone in &change.tombstones {
        let no = from.image.state.next_session();
        let entry = SessionEntry::Deleted(Tombstone { no, ..*tombstone });
        let loaded = from.image.state.insert_loaded(entry);
        loaded.map_err(|fault| unfolded(fault.to_string()))?;
    }
    let (name, content) = &change.note;
    let envelope = Envelope {
        at_ms,
        name,
        ..Envelope::default()
    };
    let place = (JOURNAL_SESSION, Kind::Maintenance, lsn);
    added.push(add(from, change, place, &envelope, content.as_bytes())?);
    Ok(added)
}

fn add(
    from: &mut AtRest,
    change: &Change,
    (session, kind, lsn): (SessionNo, Kind, Lsn),
    envelope: &Envelope<'_>,
    content: &[u8],
) -> Result<Added> {
    let mut payload = Vec::new();
    encode_payload(envelope, content, &mut payload).map_err(|e| unfolded(e.to_string()))?;
    let state = &mut from.image.state;
    let seq = state.next_seq(session);
    let seq = seq.ok_or_else(|| unfolded(format!("there is no session {session}")))?;
    let header = FrameHeader {
        payload_check: payload_checksum(&payload),
        lsn,
        session,
        seq,
        payload_len: payload.len() as u32,
        prev: 0,
        epoch: change.epoch,
        kind: kind.get(),
        flags: 0,
        codec: 0,
        body_version: BODY_VERSION,
    };
    let record = Record {
        lsn,
        session,
        seq,
        epoch: change.epoch,
        kind,
        envelope,
        content_len: content.len() as u32,
    };
    let applied = state.apply(&record);
    applied.map_err(|fault| unfolded(fault.to_string()))?;
    Ok(Added { header, payload })
}

fn unfolded(why: String) -> Error {
    Error::Invalid {
        what: "state of the journal",
        why,
    }
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
