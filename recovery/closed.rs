//! The end of a journal that is made whole: a segment with nothing but a closing group, and the
//! page that says so. Salvage, restoring and upgrading end with it.
//!
//! Everything before it is in packs, and proven by the group, the page and the snapshot alike; so
//! the journal opens as one that its writer closed.

use crate::error::{Error, Result};
use crate::format::group::{CLOSE, GROUP_HEADER_LEN, GroupBuffer, Place};
use crate::format::ids::{Epoch, JournalId, Lsn, SegmentId};
use crate::format::manifest::ReplayPoint;
use crate::format::names;
use crate::format::segment::{SEGMENT_DATA, SegmentHeader};
use crate::format::watermark::{CLEAN, Watermark};
use crate::journal::options::Options;
use crate::journal::segments::{Expected, SegmentFile, adopt_spare, make_spare};
use crate::journal::walk::{Step, Walk};
use crate::storage::dir::Dir;
use crate::storage::{OpenMode, publish};

/// Where a whole journal ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub journal: JournalId,
    pub segment: SegmentId,
    pub next_lsn: Lsn,
    pub epoch: Epoch,
    pub created_ms: u64,
}

/// Makes the segment that the log goes on in, with a closing group. Returns where replay begins.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::Io`].
pub(crate) fn make_segment(dir: &Dir, end: &End, settings: &Options) -> Result<ReplayPoint> {
    let point = make_spare_segment(dir, end, settings)?;
    adopt_spare(dir, &names::spare(end.segment.get()), end.segment)?;
    Ok(point)
}

/// As [`make_segment`], under the name of a spare, which no other journal takes for a part of its
/// log. It gets its own name when the manifest that refers to it is in force; until then whoever
/// looks finds it by [`find_pending`].
///
/// # Errors
/// As [`make_segment`].
pub(crate) fn make_spare_segment(dir: &Dir, end: &End, settings: &Options) -> Result<ReplayPoint> {
    let header = SegmentHeader {
        journal: end.journal,
        id: end.segment,
        capacity: settings.first_segment_bytes.next_multiple_of(4096),
        base_lsn: Lsn::default(),
        group_align: settings.group_align,
        base_link: 0,
        base_group_link: 0,
        created_ms: end.created_ms,
    };
    let spare = make_spare(dir, &header, None)?;
    let path = dir.join(&spare);
    let mut group = GroupBuffer::default();
    group.seal(&Place {
        seed: header.seed(),
        segment: end.segment,
        next_lsn: end.next_lsn,
        durable_lsn: end.next_lsn,
        link: 0,
        prev_group: 0,
        flags: CLOSE,
        epoch: end.epoch,
        at_ms: end.created_ms,
        align: header.group_align as usize,
    });
    let file = dir.open(&spare, OpenMode::ReadWrite)?;
    file.write_all_at(group.bytes(), SEGMENT_DATA)
        .map_err(|e| Error::io("write", &path, e))?;
    file.sync_data().map_err(|e| Error::io("sync", &path, e))?;
    Ok(ReplayPoint {
        segment: end.segment,
        offset: SEGMENT_DATA,
        next_lsn: end.next_lsn,
        link: 0,
        group_link: 0,
        epoch: end.epoch,
    })
}

/// Makes the watermark page, which says that the journal was closed behind the closing group.
///
/// # Errors
/// As [`publish`].
pub(crate) fn make_page(dir: &Dir, journal: JournalId, at: &ReplayPoint, align: u32) -> Result<()> {
    let mark = Watermark {
        counter: 2,
        durable_lsn: at.next_lsn,
        segment: at.segment,
        end_offset: at.offset + u64::from(align).max(GROUP_HEADER_LEN as u64),
        flags: CLEAN,
        epoch: at.epoch,
    };
    let page = Watermark::encode_page(journal, mark);
    let tmp = format!("{}{}", names::WATERMARK, names::TMP_SUFFIX);
    let storage = &**dir.storage();
    publish(storage, dir.path(), &tmp, names::WATERMARK, &page, true)
}

/// The segment `id` of a journal that was put in the place of another, if it is still called a
/// spare: the power failed right behind the manifest that refers to it. It holds a closing group
/// and nothing else, so no spare of another kind is taken for it.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn find_pending(
    dir: &Dir,
    expected: Expected,
    mode: OpenMode,
) -> Result<Option<SegmentFile>> {
    let spare = names::spare(expected.id.get());
    let segment = match SegmentFile::open_named(dir, &spare, expected, mode) {
        Err(Error::Corrupt(_) | Error::NewerFormat { .. }) => return Ok(None),
        opened => opened?,
    };
    let is_closed = match Walk::unlinked(&segment).step()? {
        Step::Group(_, group) => group.header.flags & CLOSE != 0 && group.last_check.is_none(),
        Step::End(_) => false,
    };
    Ok(is_closed.then_some(segment))
}
