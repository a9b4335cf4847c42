//! The durable part of a journal that may be written to meanwhile, and a copy of it.
//!
//! What is durable is what the page, a snapshot or a group behind it proves: as for a reader. So a
//! copy is a prefix of the journal, and holds everything acknowledged before it was begun.

use super::copy::{copy_open, copy_unsynced, ticker, write_file};
use super::label::{Backup, BackupKind, Label, words};
use super::readback::{newest_version, verify_copy};
use crate::error::{Corruption, Error, Result};
use crate::format::ids::{Epoch, Lsn};
use crate::format::manifest::{Manifest, ReplayPoint};
use crate::format::names;
use crate::format::segment::{SEGMENT_DATA, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::format::watermark::{CLEAN, WATERMARK_LEN, Watermark};
use crate::journal::segments::SegmentFile;
use crate::journal::walk::{Step, Walk};
use crate::recovery::open::{known, read_watermark};
use crate::recovery::scan::{Known, Segments, read_log};
use crate::recovery::verify::Progress;
use crate::snapshot::catalog;
use crate::snapshot::image::Image;
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// The durable part of a journal's log.
pub(super) struct Durable {
    manifest: Manifest,
    known: Known,
    pub epoch: Epoch,
    segments: Segments,
    pub end: ReplayPoint,
    is_closed: bool,
}

impl Durable {
    pub fn of(source: &Dir, least: Lsn) -> Result<Durable> {
        let found = catalog::read_newest(source)?.ok_or_else(|| Error::NotFound {
            path: source.path().to_path_buf(),
        })?;
        let manifest = found.manifest;
        // A page that is damaged says nothing; one that cannot be read just now might have said
        // that more is durable.
        match source.read(names::WATERMARK, WATERMARK_LEN as u64) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error @ Error::Io { .. }) => return Err(error),
            _ => {}
        }
        let mark = read_watermark(source, manifest.journal);
        let mut known = known(&manifest, mark.as_ref().ok());
        known.lsn = known.lsn.max(least);
        let segments =
            Segments::open(source, manifest.journal, manifest.log_floor, OpenMode::Read)?;
        let from = match manifest.snapshots.last() {
            Some(newest) => newest.replay,
            None => Image::empty(manifest.log_floor, 1).point,
        };
        // Groups that nothing proved yet when they were met, and where the log stood before each.
        let mut held: Vec<(Lsn, ReplayPoint)> = Vec::new();
        let mut bound = known.lsn;
        let mut end = read_log(source, &segments, from, known, |_, at, group| {
            bound = bound.max(group.header.durable_lsn);
            held.retain(|(end_lsn, _)| *end_lsn > bound);
            // Without the page the last groups are proven by nothing, and may be acknowledged:
            // they are taken as an opening takes them.
            if at.end_lsn > bound && mark.is_ok() {
                held.push((at.end_lsn, at.before));
            }
            Ok(())
        })?;
        end.hold_against_page(&segments, mark.is_ok());
        // What was durable at the beginning was read; behind it a writer may be at work.
        let is_short = end.point.next_lsn < known.lsn;
        if let Some(corruption) = end.corruption
            && (is_short || read_watermark(source, manifest.journal).ok() == mark.clone().ok())
        {
            return Err(corruption.into());
        }
        let unproven = held.first().map(|(_, before)| *before);
        let point = unproven.unwrap_or(end.point);
        let is_closed = known.closed_at == Some((point.segment, point.offset));
        let wrote = mark.map_or(Epoch::default(), |mark| mark.epoch);
        Ok(Durable {
            epoch: point.epoch.max(wrote),
            manifest,
            known,
            segments,
            end: point,
            is_closed,
        })
    }

    /// Up to where the groups of a segment reach.
    fn len_of(&self, segment: &SegmentFile) -> Result<u64> {
        if segment.id() == self.end.segment {
            return Ok(self.end.offset);
        }
        let mut walk = Walk::unlinked(segment);
        while let Step::Group(..) = walk.step()? {}
        Ok(walk.point().offset.max(SEGMENT_DATA))
    }

    fn page(&self) -> Watermark {
        Watermark {
            counter: 2,
            durable_lsn: self.end.next_lsn,
            segment: self.end.segment,
            end_offset: self.end.offset,
            flags: if self.is_closed { CLEAN } else { 0 },
            epoch: self.epoch,
        }
    }
}

/// Copies it, verifies the copy, and says what a label is to say of it.
///
/// # Errors
/// As [`super::Backups::create_on`]; [`may_be_motion`](crate::recovery::reader::may_be_motion) may explain them.
pub(super) fn copy_journal(
    source: &Dir,
    target: &Dir,
    least: Lsn,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Label> {
    let durable = Durable::of(source, least)?;
    let manifest = &durable.manifest;
    let mut lens: BTreeMap<String, u64> = BTreeMap::new();
    for snapshot in &manifest.snapshots {
        lens.insert(names::state(snapshot.id), snapshot.state_len);
        let packs = snapshot.packs.iter();
        lens.extend(packs.map(|pack| (names::pack(pack.id), pack.bytes)));
    }
    // All are opened before the first is copied: what a compaction removes meanwhile stays
    // readable. Only a segment may be used again, so those are copied first, and synced when all
    // of them are there: a busy writer comes round to the oldest in less time than syncs take.
    let mut opened = Vec::new();
    for (name, len) in lens {
        let file = source.open(&name, OpenMode::Read)?;
        opened.push((name, file, len));
    }
    let mut log = Vec::new();
    for segment in durable.segments.whole.range(..=durable.end.segment) {
        log.push((segment.1, durable.len_of(segment.1)?));
    }
    let log_bytes: u64 = log.iter().map(|(_, len)| len).sum();
    let other_bytes: u64 = opened.iter().map(|(.., len)| len).sum();
    let mut tick = ticker(log_bytes + other_bytes, progress);
    let mut copies = Vec::new();
    for (segment, len) in log {
        let name = names::segment(segment.id());
        let file = (&*name, &**segment.file());
        copies.push(copy_unsynced(source, file, target, Some(len), &mut tick)?);
        expect_unchanged(segment)?;
    }
    let mut files = Vec::new();
    for copy in copies {
        files.push(copy.finish()?);
    }
    for (name, file, len) in &opened {
        let file = (&**name, &**file);
        files.push(copy_open(source, file, target, Some(*len), &mut tick)?);
    }
    let page = Watermark::encode_page(manifest.journal, durable.page());
    files.push(write_file(target, names::WATERMARK, &page)?);
    let mut bytes = Vec::new();
    manifest
        .encode(&mut bytes)
        .map_err(|fault| Error::Invalid {
            what: "manifest",
            why: fault.to_string(),
        })?;
    let name = names::manifest(manifest.generation);
    files.push(write_file(target, &name, &bytes)?);
    target.sync()?;
    verify_copy(target, &files)?;
    // It holds what was acknowledged, or it is none.
    if durable.end.next_lsn < durable.known.lsn {
        return Err(
            Corruption::new(source.path(), "durable records are missing")
                .of_lsns(durable.end.next_lsn, durable.known.lsn)
                .into(),
        );
    }
    let format = newest_version(target, &files)?;
    Ok(Label {
        backup: Backup {
            kind: BackupKind::Consistent,
            journal: manifest.journal,
            source: words(source.path()),
            next_lsn: durable.end.next_lsn,
            epoch: durable.epoch,
            format,
            ..Backup::default()
        },
        files,
    })
}

/// A file that is used again gets its new header before anything else: while it has the old one,
/// all that was read of it is of the segment that it was.
fn expect_unchanged(segment: &SegmentFile) -> Result<()> {
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    let got = segment.read_at(&mut bytes, 0)?;
    match SegmentHeader::decode(&bytes[..got]) {
        Ok(header) if header == *segment.header() => Ok(()),
        _ => Err(Corruption::new(segment.path(), "a segment changed meanwhile").into()),
    }
}
