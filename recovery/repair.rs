//! Acting on a verdict: what was not proven durable is logged again, in a fresh segment.
//!
//! After a failed sync the page cache shows bytes that are not on the medium, and a second sync
//! proves nothing. So no byte that is not proven is believed: it is copied to a file of its own,
//! synced there, and only then served. What a crash right after each step leaves:
//!
//! 1. the names are synced: nothing new;
//! 2. an empty segment whose header does not validate is removed, another one becomes a spare:
//!    the log never held anything in it;
//! 3. the fresh segment is written and synced under a spare name: ignored, the next opening
//!    comes to the same verdict and does the same again;
//! 4. it gets its name, not yet durable: either of 3 and 5;
//! 5. the name is durable: its base says that everything it holds is void elsewhere, and its
//!    last group proves that it is durable.
//!
//! The segment that was torn is never appended to again.

use super::scan::{GroupAt, LogEnd, Segments};
use crate::error::{Corruption, Error, Result};
use crate::format::group::{Group, GroupBuffer, GroupHeader, Place, RELOG};
use crate::format::ids::{Epoch, JournalId, Lsn, SegmentId};
use crate::format::manifest::ReplayPoint;
use crate::format::names;
use crate::format::segment::{SEGMENT_DATA, SegmentHeader};
use crate::journal::index::Loc;
use crate::journal::options::Options;
use crate::journal::segments::{Expected, SegmentFile, adopt_spare, make_spare};
use crate::snapshot::image::Image;
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use std::sync::Arc;

/// Who repairs, and for what.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub dir: &'a Dir,
    pub options: &'a Options,
    pub journal: JournalId,
    /// The epoch that this opening will append with.
    pub epoch: Epoch,
    /// The last segment that a snapshot refers to.
    pub referred_to: SegmentId,
}

/// What repairing came to.
pub(super) struct Repaired {
    /// The segment that the log goes on in.
    pub active: Arc<SegmentFile>,
    /// Where in it.
    pub point: ReplayPoint,
    /// How many records were logged again.
    pub relogged_records: u64,
    /// The highest segment id that is taken now.
    pub highest: u64,
}

/// Makes the log end in a fresh segment that holds, and proves, everything that was not proven.
/// `image` learns where the records are now.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::Io`]: the log is as it was, and the next opening tries again.
pub(super) fn relog(
    by: &Writer<'_>,
    segments: &mut Segments,
    end: &LogEnd,
    image: &mut Image,
) -> Result<Repaired> {
    let Writer {
        dir,
        options,
        journal,
        epoch,
        referred_to,
    } = *by;
    dir.sync()?;
    let bytes = unproven_bytes(segments, &end.unproven)?;
    let base = end.unproven.first().map_or(end.point, |first| first.before);
    let id = SegmentId::new(segments.highest + 1);
    let torn = segments
        .whole
        .get(&end.point.segment)
        .map_or(0, |s| s.header().capacity);
    let align = u64::from(options.group_align);
    let least = SEGMENT_DATA + bytes + (end.unproven.len() as u64 + 8) * align.max(4096);
    let header = SegmentHeader {
        journal,
        id,
        capacity: torn
            .clamp(options.first_segment_bytes, options.segment_bytes)
            .max(least.next_multiple_of(4096)),
        base_lsn: base.next_lsn,
        group_align: options.group_align,
        base_link: base.link,
        base_group_link: base.group_link,
        created_ms: dir.storage().unix_ms(),
    };
    let spare = make_spare(
        dir,
        &header,
        retire_empty(dir, segments, end, header.capacity)?.as_deref(),
    )?;
    // A newest segment whose header does not validate, and which held nothing. Its removal is
    // durable with the new segment's name.
    for id in segments.broken.keys().filter(|id| **id > end.point.segment) {
        dir.remove(&names::segment(*id))?;
    }
    let written = write_groups(dir, segments, end, &header, &spare, epoch)?;
    adopt_spare(dir, &spare, id)?;
    let active = Arc::new(SegmentFile::open(
        dir,
        Expected { journal, id },
        OpenMode::ReadWrite,
    )?);
    for (session, seq, loc) in &written.moved {
        image.move_record(*session, *seq, *loc);
    }
    image.note_segment(base.next_lsn, id);
    remove_void(dir, segments, base.next_lsn, referred_to);
    segments.whole.insert(id, active.clone());
    Ok(Repaired {
        active,
        point: written.point,
        relogged_records: written.moved.len() as u64,
        highest: id.get(),
    })
}

/// Removes the segments of earlier recoveries of which the fresh one leaves nothing valid, so
/// that a process which dies again and again does not fill the disk. Should a crash undo a
/// removal, the segment is void all the same. What a snapshot may begin its replay in stays.
fn remove_void(dir: &Dir, segments: &mut Segments, from: Lsn, referred_to: SegmentId) {
    segments.whole.retain(|id, segment| {
        let base = segment.header().base_lsn;
        let is_void = base.get() != 0 && base >= from && *id > referred_to;
        !is_void || dir.remove(&names::segment(*id)).is_err()
    });
}

/// An empty segment behind the end can be used again, under a new life: its name goes first, so
/// that no name in the log ever stands for another life's header.
fn retire_empty(
    dir: &Dir,
    segments: &mut Segments,
    end: &LogEnd,
    capacity: u64,
) -> Result<Option<String>> {
    let fits = |id: &&SegmentId| {
        segments
            .whole
            .get(id)
            .is_some_and(|s| s.header().capacity >= capacity)
    };
    let Some(id) = end.empty.iter().find(fits).copied() else {
        return Ok(None);
    };
    if !dir.storage().overwrites_in_place(dir.path()) {
        return Ok(None);
    }
    let spare = names::spare(id.get());
    dir.rename(&names::segment(id), &spare)?;
    dir.sync()?;
    segments.whole.remove(&id);
    Ok(Some(spare))
}

struct Written {
    point: ReplayPoint,
    moved: Vec<(crate::format::ids::SessionNo, crate::format::ids::Seq, Loc)>,
}

/// Writes the unproven groups and the group that proves them, and syncs each part.
fn write_groups(
    dir: &Dir,
    segments: &Segments,
    end: &LogEnd,
    header: &SegmentHeader,
    spare: &str,
    epoch: Epoch,
) -> Result<Written> {
    let path = dir.join(spare);
    let file = dir.open(spare, OpenMode::ReadWrite)?;
    let mut point = end.unproven.first().map_or(end.point, |first| first.before);
    point.segment = header.id;
    point.offset = SEGMENT_DATA;
    let mut moved = Vec::new();
    let mut put =
        |buffer: &mut GroupBuffer, point: &mut ReplayPoint, proven, group_epoch, end_lsn| {
            let links = buffer.seal(&Place {
                seed: header.seed(),
                segment: header.id,
                next_lsn: point.next_lsn,
                durable_lsn: proven,
                link: point.link,
                prev_group: point.group_link,
                flags: RELOG,
                epoch: group_epoch,
                at_ms: dir.storage().unix_ms(),
                align: header.group_align as usize,
            });
            file.write_all_at(buffer.bytes(), point.offset)
                .map_err(|e| Error::io("write", &path, e))?;
            for (at, frame) in buffer.frames() {
                let loc = Loc::new(header.id, point.offset + at as u64);
                moved.push((frame.header.session, frame.header.seq, loc));
            }
            point.offset += buffer.bytes().len() as u64;
            point.next_lsn = end_lsn;
            point.link = links.link;
            point.group_link = links.group_link;
            point.epoch = group_epoch;
            Ok::<(), Error>(())
        };
    for at in &end.unproven {
        let bytes = read_group(segments, at)?;
        let segment = &segments.whole[&at.segment];
        let group = Group::decode(segment.header().seed(), at.segment, &bytes)
            .map_err(|fault| changed(segment, at, &fault.to_string()))?;
        let mut buffer = GroupBuffer::default();
        group
            .frames()
            .for_each(|(_, frame)| buffer.push(&frame.header, frame.payload));
        put(
            &mut buffer,
            &mut point,
            end.proven_lsn,
            group.header.epoch,
            at.end_lsn,
        )?;
    }
    let sync = || file.sync_data().map_err(|e| Error::io("sync", &path, e));
    sync()?;
    let next_lsn = point.next_lsn;
    put(
        &mut GroupBuffer::default(),
        &mut point,
        next_lsn,
        epoch,
        next_lsn,
    )?;
    sync()?;
    Ok(Written { point, moved })
}

fn unproven_bytes(segments: &Segments, unproven: &[GroupAt]) -> Result<u64> {
    let mut bytes = 0;
    for at in unproven {
        bytes += read_group(segments, at)?.len() as u64;
    }
    Ok(bytes)
}

/// Reads the bytes of a group that was read before.
fn read_group(segments: &Segments, at: &GroupAt) -> Result<Vec<u8>> {
    let segment = &segments.whole[&at.segment];
    let mut header = [0; crate::format::group::GROUP_HEADER_LEN];
    let got = segment.read_at(&mut header, at.offset)?;
    let (decoded, _) = GroupHeader::decode(segment.header().seed(), at.segment, &header[..got])
        .map_err(|fault| changed(segment, at, &fault.to_string()))?;
    let mut bytes = vec![0; decoded.len()];
    let got = segment.read_at(&mut bytes, at.offset)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// A group that read well a moment ago does not any more.
fn changed(segment: &SegmentFile, at: &GroupAt, why: &str) -> Error {
    Corruption::new(
        segment.path(),
        format!("a group changed while it was read: {why}"),
    )
    .at(at.offset)
    .in_segment(at.segment)
    .of_lsns(at.before.next_lsn, at.end_lsn)
    .into()
}
