//! Reading the whole journal in LSN order.

use super::entry::Entry;
use super::index::Index;
use super::keys::Locksmith;
use super::packs::{LastBlock, PackFile};
use super::segments::SegmentFile;
use super::walk::{Bookmark, Step, Stop, Walk};
use crate::error::{Corruption, Result};
use crate::format::ids::Lsn;
use crate::format::manifest::ReplayPoint;
use crate::sync::{Arc, RwLock};
use std::collections::VecDeque;

/// How many records are brought in at once from a pack, and how many bytes of them.
const CHUNK: usize = 4096;
const CHUNK_BYTES: usize = 1 << 20;

/// Iterator over durable records in LSN order. Records that compaction dropped are not there;
/// damage ends the iteration with an error that names the place.
pub struct LogEntries {
    index: Arc<RwLock<Index>>,
    next: Lsn,
    end: Lsn,
    ready: VecDeque<Entry>,
    /// Where the next group begins, while the same segment is read on.
    resume: Option<(Arc<SegmentFile>, Bookmark)>,
    failed: bool,
    locksmith: Locksmith,
    shown: Option<Shown>,
}

/// Which records are shown: those of deleted, cleared or truncated history are not, though
/// their bytes may stand in the log until the next compaction.
pub(crate) type Shown = Box<dyn Fn(&Entry) -> bool + Send + Sync>;

impl std::fmt::Debug for LogEntries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogEntries({}..{})", self.next, self.end)
    }
}

/// Where the next records are.
enum Source {
    Pack(Arc<PackFile>),
    Segment(Arc<SegmentFile>),
    Nowhere,
}

impl LogEntries {
    pub(crate) fn new(
        index: Arc<RwLock<Index>>,
        locksmith: Locksmith,
        from: Lsn,
        end: Lsn,
    ) -> Self {
        let next = from.max(Lsn::new(1));
        LogEntries {
            index,
            next,
            end,
            ready: VecDeque::new(),
            resume: None,
            failed: false,
            locksmith,
            shown: None,
        }
    }

    /// Shows only records for which `shown` holds when they are given out.
    pub(crate) fn only(mut self, shown: Shown) -> Self {
        self.shown = Some(shown);
        self
    }

    /// The LSN from which the next entry is looked for.
    pub(crate) fn position(&self) -> Lsn {
        self.ready.front().map_or(self.next, |entry| entry.lsn)
    }

    /// Moves the end, as the durable edge moves.
    pub(crate) fn extend_to(&mut self, end: Lsn) {
        self.end = end;
    }

    /// Whether it reads by `index`.
    pub(crate) fn reads(&self, index: &Arc<RwLock<Index>>) -> bool {
        Arc::ptr_eq(&self.index, index)
    }

    fn source(&self) -> Source {
        let index = self.index.read();
        if let Some(pack) = index.packs.iter().find(|pack| self.next < pack.lsn_to()) {
            return Source::Pack(pack.clone());
        }
        let segment = index
            .first_lsns
            .range(..=self.next)
            .next_back()
            .and_then(|(_, id)| index.segments.get(id).cloned());
        segment.map_or(Source::Nowhere, Source::Segment)
    }

    fn fill(&mut self) -> Result<()> {
        while self.ready.is_empty() && self.next < self.end {
            match self.source() {
                Source::Pack(pack) => {
                    self.resume = None;
                    self.fill_from_pack(&pack)?;
                }
                Source::Segment(segment) => self.fill_from_segment(segment)?,
                Source::Nowhere => {
                    let what = "no segment holds the next record";
                    return Err(Corruption::new("", what)
                        .of_lsns(self.next, self.end)
                        .into());
                }
            }
        }
        Ok(())
    }

    /// Brings in the next records of a pack. They stand by session there, so each block is read
    /// once for all that are brought in, and not once for each.
    fn fill_from_pack(&mut self, pack: &PackFile) -> Result<()> {
        let mut at = pack.lower_bound_lsn(self.next)?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        while at < pack.len() && found.len() < CHUNK && bytes < CHUNK_BYTES {
            let slot = pack.by_lsn(at)?;
            let record = pack.record(slot)?;
            if record.lsn >= self.end {
                break;
            }
            bytes += record.len as usize;
            found.push((slot, record));
            at += 1;
        }
        let mut by_block: Vec<usize> = (0..found.len()).collect();
        by_block.sort_unstable_by_key(|n| (found[*n].1.block, found[*n].1.off));
        let mut entries: Vec<Option<Entry>> = found.iter().map(|_| None).collect();
        let mut block = LastBlock::default();
        let mut damage = None;
        for n in by_block {
            match pack.entry(found[n].0, &mut block, &self.locksmith) {
                Ok(entry) => entries[n] = Some(entry),
                Err(error) if n == 0 => damage = Some(error),
                // What comes before it is given out first; then it is the next.
                Err(_) => {}
            }
        }
        if let Some(error) = damage {
            return Err(error);
        }
        for ((_, record), entry) in found.iter().zip(entries) {
            let Some(entry) = entry else { return Ok(()) };
            self.next = record.lsn.next();
            self.ready.push_back(entry);
        }
        if at >= pack.len() {
            self.next = self.next.max(pack.lsn_to());
        } else if self.ready.is_empty() {
            self.next = self.end;
        }
        Ok(())
    }

    /// Brings in the next group that holds something at or above `next`.
    fn fill_from_segment(&mut self, segment: Arc<SegmentFile>) -> Result<()> {
        let mut walk = match &self.resume {
            Some((same, at)) if Arc::ptr_eq(same, &segment) => Walk::resume(&segment, *at),
            _ => Walk::unlinked(&segment),
        };
        loop {
            match walk.step()? {
                Step::Group(_, group) if group.header.end_lsn() <= self.next => {}
                // The first group of a segment follows on nothing that was read here. One that
                // a device put there from further on would hide all that is in between.
                Step::Group(at, group) if group.header.first_lsn > self.next => {
                    let what = "a group stands where an earlier one belongs";
                    return Err(Corruption::new(segment.path(), what)
                        .at(at)
                        .in_segment(segment.id())
                        .of_lsns(self.next, group.header.first_lsn)
                        .into());
                }
                Step::Group(_, group) => {
                    for (_, frame) in group.frames() {
                        if frame.header.lsn < self.next || frame.header.lsn >= self.end {
                            continue;
                        }
                        let (header, payload) = (&frame.header, frame.payload);
                        let entry =
                            Entry::decode(header, payload, segment.path(), &self.locksmith)?;
                        self.ready.push_back(entry);
                    }
                    self.next = group.header.end_lsn().min(self.end);
                    break;
                }
                Step::End(stop) => {
                    return Err(self.damage(&segment, walk.point(), &stop).into());
                }
            }
        }
        let at = walk.bookmark();
        self.resume = Some((segment, at));
        Ok(())
    }

    fn damage(&self, segment: &SegmentFile, at: ReplayPoint, stop: &Stop) -> Corruption {
        Corruption::new(segment.path(), format!("the log does not go on: {stop:?}"))
            .at(at.offset)
            .in_segment(segment.id())
            .of_lsns(self.next, self.end)
    }
}

impl Iterator for LogEntries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        loop {
            if let Err(error) = self.fill() {
                self.failed = true;
                return Some(Err(error));
            }
            let entry = self.ready.pop_front()?;
            if self.shown.as_ref().is_none_or(|shown| shown(&entry)) {
                return Some(Ok(entry));
            }
        }
    }
}
