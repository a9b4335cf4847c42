//! Gathering the facts: which segments there are, how far the log reads, and what is behind.
//!
//! Looking never touches: nothing here writes, syncs or removes.

use super::closed;
use super::remains::{Behind, classify, torn_bytes};
use super::verdict::{self, Facts, Found, Verdict};
use crate::error::{Corruption, Error, Result};
use crate::format::group::{CLOSE, Group};
use crate::format::ids::{JournalId, Lsn, SegmentId};
use crate::format::manifest::ReplayPoint;
use crate::format::names::{self, Name};
use crate::format::segment::SEGMENT_DATA;
use crate::journal::segments::{Expected, SegmentFile};
use crate::journal::walk::{Step, Stop, Walk};
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// The segment files of a journal, by id.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// Those whose header validates.
    pub whole: BTreeMap<SegmentId, Arc<SegmentFile>>,
    /// Those whose header does not, and why; open as if it did, for what they hold may still
    /// prove something.
    pub broken: BTreeMap<SegmentId, (Arc<SegmentFile>, Corruption)>,
    /// Ids and numbers that are taken, spares included.
    pub highest: u64,
    /// The one that the log begins in, if it is still called a spare.
    pub pending: Option<SegmentId>,
}

impl Segments {
    /// Opens every segment from `floor` on.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::Io`]. A damaged header is noted, not an error here.
    pub fn open(dir: &Dir, journal: JournalId, floor: SegmentId, mode: OpenMode) -> Result<Self> {
        let mut segments = Segments {
            highest: floor.get(),
            ..Self::default()
        };
        let mut may_be_pending = false;
        for entry in dir.list()? {
            let id = match Name::parse(&entry.name) {
                Name::Segment(id) => id,
                Name::Spare(number) => {
                    may_be_pending |= number == floor.get();
                    segments.highest = segments.highest.max(number);
                    continue;
                }
                _ => continue,
            };
            segments.highest = segments.highest.max(id.get());
            if id < floor {
                continue;
            }
            match SegmentFile::open(dir, Expected { journal, id }, mode) {
                Ok(file) => drop(segments.whole.insert(id, Arc::new(file))),
                Err(Error::Corrupt(why)) => {
                    let file = Arc::new(SegmentFile::open_assuming(dir, Expected { journal, id })?);
                    segments.broken.insert(id, (file, *why));
                }
                Err(error) => return Err(error),
            }
        }
        let is_there = segments.whole.contains_key(&floor) || segments.broken.contains_key(&floor);
        let expected = Expected { journal, id: floor };
        if !is_there
            && may_be_pending
            && let Some(file) = closed::find_pending(dir, expected, mode)?
        {
            segments.whole.insert(floor, Arc::new(file));
            segments.pending = Some(floor);
        }
        Ok(segments)
    }

    /// From which LSN on a segment is void: a later one logged it again.
    pub fn void_from(&self, id: SegmentId) -> Option<Lsn> {
        self.whole
            .range(id.next()..)
            .map(|(_, later)| later.header().base_lsn)
            .filter(|base| base.get() != 0)
            .min()
    }
}

/// A group that was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupAt {
    pub segment: SegmentId,
    pub offset: u64,
    pub end_lsn: Lsn,
    /// Where the log stood before it.
    pub before: ReplayPoint,
}

/// How far the log reads, and what stands behind.
#[derive(Debug)]
pub(crate) struct LogEnd {
    /// Where the next group would go.
    pub point: ReplayPoint,
    /// Everything below was durable.
    pub proven_lsn: Lsn,
    /// The last group says that the writer closed the journal.
    pub closed: bool,
    /// Groups that hold records not proven durable, in order.
    pub unproven: Vec<GroupAt>,
    /// Segments behind the end, without any group.
    pub empty: Vec<SegmentId>,
    /// What the end is.
    pub verdict: Verdict,
    /// Bytes that a torn tail takes, as far as one can see.
    pub torn_bytes: u64,
    /// What to say if the verdict is corruption.
    pub corruption: Option<Corruption>,
}

/// What is known of the log's end without reading the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Everything below is durable: the watermark page or a snapshot says so.
    pub lsn: Lsn,
    /// Where the writer that closed the journal says that it ends, once that was synced.
    pub closed_at: Option<(SegmentId, u64)>,
}

impl LogEnd {
    /// Refuses to take a segment whose header is broken for one that holds nothing, unless the
    /// watermark page says so. A header is durable before the file has its name, so no crash
    /// breaks it; and without the page nothing tells what was in there. Nor can another segment
    /// stand for the one that replay begins in: the next opening would begin there again.
    pub fn hold_against_page(&mut self, segments: &Segments, page_validates: bool) {
        let begins_there = segments.broken.contains_key(&self.point.segment);
        if self.verdict != Verdict::Recreate || page_validates && !begins_there {
            return;
        }
        let behind = segments.broken.range(self.point.segment..).next();
        if let Some((_, (_, why))) = behind {
            self.verdict = Verdict::Corrupt(verdict::Reason::HeaderLost);
            self.corruption = Some(why.clone());
        }
    }
}

/// Reads the log from `from` on and hands every group to `on_group`, up to the first position
/// that is not the next one; then looks behind it for what proves that something was lost.
///
/// A log that reads to where it was closed is whole, so nothing is looked for behind that: what
/// opening after a clean close costs does not depend on how large a segment is.
///
/// # Errors
/// [`Error::Io`], [`Error::Corrupt`] for a missing segment, and whatever `on_group` returns.
/// A damaged log is described in the result, not an error here.
pub(crate) fn read_log(
    dir: &Dir,
    segments: &Segments,
    from: ReplayPoint,
    known: Known,
    mut on_group: impl FnMut(&Arc<SegmentFile>, &GroupAt, &Group<'_>) -> Result<()>,
) -> Result<LogEnd> {
    let mut reader = Reader {
        segments,
        point: from,
        proven_lsn: known.lsn,
        closed: false,
        unproven: Vec::new(),
    };
    if !segments.whole.contains_key(&from.segment) && !segments.broken.contains_key(&from.segment) {
        let path = dir.join(&names::segment(from.segment));
        return Err(Corruption::new(path, "a segment is missing")
            .in_segment(from.segment)
            .of_lsns(from.next_lsn, known.lsn.max(from.next_lsn))
            .into());
    }
    let mut stop = None;
    let mut empty = Vec::new();
    // Where the next group belongs, if that is not where the walk ended: behind a sealed segment
    // it belongs into the next one, also if nothing is there.
    let mut belongs = None;
    let mut missing = None;
    let mut sealed = None;
    let start_of = |segment, point| ReplayPoint {
        segment,
        offset: SEGMENT_DATA,
        ..point
    };
    let ids = segments.whole.keys().chain(segments.broken.keys());
    let mut ids: Vec<SegmentId> = ids.copied().filter(|id| *id >= from.segment).collect();
    ids.sort();
    for (i, id) in ids.iter().enumerate() {
        let Some(segment) = segments.whole.get(id) else {
            // Its seed follows from its id, so what it holds can still prove something.
            let at = ReplayPoint {
                segment: *id,
                offset: 0,
                ..reader.point
            };
            stop = Some((i, at, Found::BrokenHeader));
            break;
        };
        match reader.read_segment(segment, *id == from.segment, &mut on_group)? {
            SegmentEnd::GoesOn => (belongs, sealed) = (None, Some(*id)),
            SegmentEnd::Empty => {
                belongs.get_or_insert(start_of(*id, reader.point));
                empty.push(*id);
            }
            SegmentEnd::Stops(at, found) => {
                // The log leaves a segment for the next number. If what follows does not follow
                // on, and that number is not there, it is what is missing.
                let next = sealed.map(SegmentId::next).filter(|next| next < id);
                if found == Found::OutOfOrder && at.offset == SEGMENT_DATA && empty.is_empty() {
                    missing = next;
                }
                stop = Some((i, at, found));
                break;
            }
        }
    }
    // Where the log leaves a segment, the next one holds the group that it was left for, so that
    // not being there is where the log ends: whole groups behind it would prove it lost.
    let stop = stop.or_else(|| {
        let at = belongs?;
        let i = ids.iter().position(|id| *id == at.segment)?;
        Some((i, at, Found::Nothing))
    });
    let Reader {
        point,
        proven_lsn,
        closed,
        unproven,
        ..
    } = reader;
    let mut end = LogEnd {
        point,
        proven_lsn,
        closed,
        unproven,
        empty,
        verdict: Verdict::CleanEnd,
        torn_bytes: 0,
        corruption: None,
    };
    if !ends_where_closed(segments, &ids, stop, known, &mut end)? {
        judge(dir, segments, &ids, stop, belongs, &mut end)?;
    }
    if let (Some(corruption), Some(id)) = (&mut end.corruption, missing) {
        corruption.path = dir.join(&names::segment(id));
        (corruption.segment, corruption.offset) = (Some(id), None);
        corruption.what = "a segment is missing".to_owned();
    }
    let proven_lsn = end.proven_lsn;
    end.unproven.retain(|group| group.end_lsn > proven_lsn);
    Ok(end)
}

struct Reader<'s> {
    segments: &'s Segments,
    point: ReplayPoint,
    proven_lsn: Lsn,
    closed: bool,
    unproven: Vec<GroupAt>,
}

enum SegmentEnd {
    /// Nothing more belongs here; the next segment follows on.
    GoesOn,
    /// Not a single group is here.
    Empty,
    /// The first position that is not the next group.
    Stops(ReplayPoint, Found),
}

impl Reader<'_> {
    fn read_segment(
        &mut self,
        segment: &Arc<SegmentFile>,
        is_first: bool,
        on_group: &mut impl FnMut(&Arc<SegmentFile>, &GroupAt, &Group<'_>) -> Result<()>,
    ) -> Result<SegmentEnd> {
        let walk = if is_first {
            Walk::new(segment, self.point)
        } else {
            Walk::from_start(segment, &self.point)
        };
        let mut walk = walk.until(self.segments.void_from(segment.id()));
        loop {
            let before = walk.point();
            match walk.step()? {
                Step::Group(offset, group) => {
                    let header = &group.header;
                    let at = GroupAt {
                        segment: segment.id(),
                        offset,
                        end_lsn: header.end_lsn(),
                        before,
                    };
                    on_group(segment, &at, &group)?;
                    self.closed = header.flags & CLOSE != 0;
                    self.proven_lsn = self.proven_lsn.max(header.durable_lsn);
                    let proven_lsn = self.proven_lsn;
                    self.unproven.retain(|group| group.end_lsn > proven_lsn);
                    if !group.header.is_empty() {
                        self.unproven.push(at);
                    }
                    self.point = walk.point();
                }
                Step::End(Stop::Sealed | Stop::Full) => return Ok(SegmentEnd::GoesOn),
                Step::End(Stop::OutOfOrder { .. }) => {
                    return Ok(SegmentEnd::Stops(before, Found::OutOfOrder));
                }
                Step::End(Stop::Fault(_)) => {
                    let at_start = before.offset == SEGMENT_DATA;
                    let found = classify(segment, before.offset)?;
                    // Behind a closing group nothing was written, so what is here is older.
                    let is_empty =
                        at_start && !is_first && (found == Found::Nothing || self.closed);
                    return Ok(if is_empty {
                        SegmentEnd::Empty
                    } else {
                        SegmentEnd::Stops(before, found)
                    });
                }
            }
        }
    }
}

/// Whether the log ends exactly where it was closed, with nothing in the blocks where something
/// written later would begin. If so, the segments behind are empty.
fn ends_where_closed(
    segments: &Segments,
    ids: &[SegmentId],
    stop: Option<(usize, ReplayPoint, Found)>,
    known: Known,
    end: &mut LogEnd,
) -> Result<bool> {
    let Some((i, at, Found::Nothing)) = stop else {
        return Ok(false);
    };
    let is_there = known.closed_at == Some((at.segment, at.offset));
    if !is_there || !end.closed || end.proven_lsn > end.point.next_lsn {
        return Ok(false);
    }
    let behind = &ids[i + 1..];
    for id in behind {
        let blank = match segments.whole.get(id) {
            Some(segment) => classify(segment, SEGMENT_DATA)? == Found::Nothing,
            None => false,
        };
        if !blank {
            return Ok(false);
        }
    }
    end.empty.extend(
        behind
            .iter()
            .filter(|id| !end.empty.contains(id))
            .collect::<Vec<_>>(),
    );
    Ok(true)
}

/// Looks behind the first position that is not the next group, and decides.
fn judge(
    dir: &Dir,
    segments: &Segments,
    ids: &[SegmentId],
    stop: Option<(usize, ReplayPoint, Found)>,
    belongs: Option<ReplayPoint>,
    end: &mut LogEnd,
) -> Result<()> {
    let Some((i, at, found)) = stop else {
        // The log was read to the last segment's end.
        if end.proven_lsn > end.point.next_lsn {
            end.verdict = Verdict::Corrupt(verdict::Reason::ProvenLost);
            let at = belongs.unwrap_or(end.point);
            end.corruption = Some(describe(dir, at, end, verdict::Reason::ProvenLost));
        }
        return Ok(());
    };
    let mut behind = Behind::default();
    for (n, id) in ids[i..].iter().enumerate() {
        let from = if n == 0 {
            at.offset.max(SEGMENT_DATA)
        } else {
            SEGMENT_DATA
        };
        let before = behind.groups;
        let whole = segments.whole.get(id);
        if let Some(segment) = whole.or(segments.broken.get(id).map(|(file, _)| file)) {
            // What stands at the end itself was looked at already.
            let skip = (n == 0 && found != Found::BrokenHeader).then_some(at.offset);
            behind.look(segment, from, skip, segments.void_from(*id))?;
        }
        let any = behind.groups > before;
        behind.sealed |= n > 0 && any;
        if n > 0 && !any && whole.is_some() && !end.empty.contains(id) {
            end.empty.push(*id);
        }
    }
    end.proven_lsn = end.proven_lsn.max(behind.durable_lsn);
    let facts = Facts {
        found,
        next_lsn: end.point.next_lsn,
        proven_lsn: end.proven_lsn,
        sealed: behind.sealed,
        survivor: behind.first,
    };
    end.verdict = verdict::verdict(&facts);
    match end.verdict {
        Verdict::Corrupt(reason) => {
            let at = belongs.unwrap_or(at);
            end.corruption = Some(describe(dir, at, end, reason));
        }
        Verdict::TornTail => {
            if let Some(segment) = segments.whole.get(&at.segment) {
                end.torn_bytes = torn_bytes(segment, at.offset)?;
            }
        }
        Verdict::CleanEnd | Verdict::Recreate => {}
    }
    Ok(())
}

fn describe(dir: &Dir, at: ReplayPoint, end: &LogEnd, reason: verdict::Reason) -> Corruption {
    let next = end.point.next_lsn;
    let mut corruption = Corruption::new(dir.join(&names::segment(at.segment)), reason.as_str())
        .at(at.offset)
        .in_segment(at.segment);
    corruption.lsn_from = Some(next);
    if end.proven_lsn > next {
        corruption.lsn_to = Some(end.proven_lsn);
        corruption = corruption.but(
            format!(
                "records up to lsn {}, which were durable",
                end.proven_lsn.get() - 1
            ),
            format!("records up to lsn {}", next.get().saturating_sub(1)),
        );
    }
    corruption
}
