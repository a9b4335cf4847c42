//! Writing the salvaged journal: packs with what is kept, one that documents what is lost, a
//! snapshot, and a fresh segment that is closed already.
//!
//! The manifest comes last, so a salvage that stops half way leaves no journal.

use super::gather::Found;
use super::source::Fetch;
use crate::error::{Error, Result};
use crate::format::frame::BODY_VERSION;
use crate::format::frame::{Frame, FrameHeader};
use crate::format::ids::{Epoch, JournalId, Lsn, PackId, SegmentId, Seq, SnapshotId};
use crate::format::manifest::{Manifest, PackRef};
use crate::format::pack::PackHeader;
use crate::journal::options::Options;
use crate::model::event::{Envelope, Kind, encode_payload};
use crate::model::fold::Record;
use crate::model::session::JOURNAL_SESSION;
use crate::model::state::State;
use crate::recovery::closed;
use crate::snapshot::catalog;
use crate::snapshot::image::Image;
use crate::snapshot::write::{PackWriter, write_state};
use crate::storage::dir::Dir;

/// A pack is ended at this many bytes of payload, or
const PACK_BYTES: u64 = 512 << 20;
/// at this many records, so that its index stays small enough to be held while it is written.
const PACK_RECORDS: usize = 4 << 20;

/// The segment that the log goes on in. Not the first of all, so that a damaged snapshot is
/// never mistaken for a log that can be read from its beginning.
const SEGMENT: SegmentId = SegmentId::new(2);

/// What the journal is to hold.
pub(super) struct Content<'c> {
    pub journal: JournalId,
    pub state: State,
    /// Ascending by LSN.
    pub records: &'c [Found],
    /// LSN of the record that documents the salvage: after all there ever were.
    pub note_lsn: Lsn,
    /// What it says.
    pub note: String,
    /// The salvage's own epoch: later than all there were.
    pub epoch: Epoch,
    pub created_ms: u64,
}

/// Writes the journal into `dir`, which is empty but for the quarantine and the lock.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::Io`]; [`Error::Corrupt`] if what was written reads back
/// differently; [`Error::TooLarge`].
pub(super) fn write(
    dir: &Dir,
    fetch: &mut Fetch<'_>,
    mut content: Content<'_>,
    on_record: &mut dyn FnMut(u64),
) -> Result<Lsn> {
    let settings = Options::default();
    let mut packs = Vec::new();
    let mut from = Lsn::new(1);
    let mut rest = content.records;
    while !rest.is_empty() {
        let slice;
        (slice, rest) = rest.split_at(slice_len(rest));
        let to = rest.first().map_or(content.note_lsn, |next| next.lsn);
        let id = PackId::new(packs.len() as u64 + 1);
        packs.push(write_pack(
            dir,
            fetch,
            (content.journal, id, from, to),
            slice,
            on_record,
        )?);
        from = to;
    }
    let id = PackId::new(packs.len() as u64 + 1);
    packs.push(write_note(dir, &mut content, id)?);
    let next_lsn = content.note_lsn.next();
    let end = closed::End {
        journal: content.journal,
        segment: SEGMENT,
        next_lsn,
        epoch: content.epoch,
        created_ms: content.created_ms,
    };
    let point = closed::make_segment(dir, &end, &settings)?;

    let mut image = Image::empty(SEGMENT, settings.key_window);
    image.state = content.state;
    image.packs = packs;
    image.set_point(point);
    image.note_segment(next_lsn, SEGMENT);
    let snapshot = write_state(dir, content.journal, SnapshotId::new(1), &image)?;
    closed::make_page(dir, content.journal, &point, settings.group_align)?;
    dir.sync()?;
    let manifest = Manifest {
        journal: content.journal,
        generation: 1,
        created_ms: content.created_ms,
        group_align: settings.group_align,
        next_snapshot: SnapshotId::new(2),
        next_pack: id.next(),
        log_floor: SEGMENT,
        snapshots: vec![snapshot],
    };
    catalog::publish(dir, &manifest)?;
    Ok(next_lsn)
}

/// How many of `records` go into the next pack.
fn slice_len(records: &[Found]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Found| {
        bytes += u64::from(record.place.payload_len);
        bytes <= PACK_BYTES
    };
    let len = records.iter().take(PACK_RECORDS).take_while(fits).count();
    len.max(1)
}

fn write_pack(
    dir: &Dir,
    fetch: &mut Fetch<'_>,
    (journal, id, lsn_from, lsn_to): (JournalId, PackId, Lsn, Lsn),
    records: &[Found],
    on_record: &mut dyn FnMut(u64),
) -> Result<PackRef> {
    let header = PackHeader {
        journal,
        id,
        lsn_from,
        lsn_to,
    };
    let mut order: Vec<&Found> = records.iter().collect();
    order.sort_unstable_by_key(|record| (record.session, record.seq));
    let mut writer = PackWriter::create(dir, header)?;
    for record in order {
        let frame = fetch.frame(record.place)?;
        on_record(frame.payload.len() as u64);
        writer.push(&frame)?;
    }
    writer.finish()
}

/// Writes the pack with the one record that documents the salvage, and folds it.
fn write_note(dir: &Dir, content: &mut Content<'_>, id: PackId) -> Result<PackRef> {
    let envelope = Envelope {
        at_ms: content.created_ms,
        name: "salvaged",
        ..Envelope::default()
    };
    let mut payload = Vec::new();
    let too_long = |_| Error::TooLarge {
        what: "note of the salvage",
        len: content.note.len() as u64,
        max: u32::MAX.into(),
    };
    encode_payload(&envelope, content.note.as_bytes(), &mut payload).map_err(too_long)?;
    let seq = content.state.next_seq(JOURNAL_SESSION);
    let header = FrameHeader {
        payload_check: crate::format::checksum::payload_checksum(&payload),
        lsn: content.note_lsn,
        session: JOURNAL_SESSION,
        seq: seq.unwrap_or(Seq::new(1)),
        payload_len: payload.len() as u32,
        prev: 0,
        epoch: content.epoch,
        kind: Kind::Maintenance.get(),
        flags: 0,
        codec: 0,
        body_version: BODY_VERSION,
    };
    let record = Record {
        lsn: header.lsn,
        session: header.session,
        seq: header.seq,
        epoch: header.epoch,
        kind: Kind::Maintenance,
        envelope: &envelope,
        content_len: content.note.len() as u32,
    };
    let misfit = |why: crate::model::fold::FoldFault| Error::Invalid {
        what: "salvaged state",
        why: why.to_string(),
    };
    content.state.apply(&record).map_err(misfit)?;
    let pack = PackHeader {
        journal: content.journal,
        id,
        lsn_from: content.note_lsn,
        lsn_to: content.note_lsn.next(),
    };
    let mut writer = PackWriter::create(dir, pack)?;
    writer.push(&Frame {
        header,
        check: 0,
        payload: &payload,
    })?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::super::gather::Rank;
    use super::super::tests::made::found;
    use super::*;

    #[test]
    fn a_pack_takes_as_many_records_as_it_has_room_for_and_one_at_least() {
        let of = |lens: &[u64]| {
            let record = |len: &u64| {
                let mut record = found(1, Rank::Packed, 0);
                record.place.payload_len = *len as u32;
                record
            };
            slice_len(&lens.iter().map(record).collect::<Vec<_>>())
        };
        assert_eq!(of(&[10; 50]), 50);
        assert_eq!(of(&[PACK_BYTES / 2; 5]), 2);
        assert_eq!(of(&[PACK_BYTES / 2 + 1; 5]), 1);
        assert_eq!(of(&[PACK_BYTES / 4, PACK_BYTES / 4, PACK_BYTES / 2, 1]), 3);
        assert_eq!(of(&[PACK_BYTES + 1, 1]), 1);
    }
}
