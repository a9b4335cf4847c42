//! Walking the log: group after group, each checked and each the next one.
//!
//! A walk only looks. It stops at the first position that is not the next group and says why;
//! what that means is for others to decide.

use super::segments::SegmentFile;
use crate::error::Result;
use crate::format::Fault;
use crate::format::group::{GROUP_HEADER_LEN, Group, GroupFault, GroupHeader};
use crate::format::ids::Lsn;
use crate::format::manifest::ReplayPoint;
use crate::format::segment::{SEGMENT_DATA, group_place};

/// How much is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Why a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A group says that nothing follows in this segment.
    Sealed,
    /// The segment is full to its last block.
    Full,
    /// What stands here is no whole group.
    Fault(GroupFault),
    /// A whole group stands here, but not the one that comes next.
    OutOfOrder {
        /// What does not follow on.
        fault: Fault,
        /// First LSN of the group that is there.
        first_lsn: Lsn,
        /// The watermark that it carries.
        durable_lsn: Lsn,
    },
}

/// One step of a walk.
#[derive(Debug)]
pub enum Step<'w> {
    /// The next group, with its offset in the segment.
    Group(u64, Group<'w>),
    /// There is no next group here.
    End(Stop),
}

/// Where a reader's walk was left.
#[derive(Clone, Copy, Debug)]
pub struct Bookmark {
    at: ReplayPoint,
    link_unknown: bool,
}

/// A walk through one segment.
#[derive(Debug)]
pub struct Walk<'s> {
    segment: &'s SegmentFile,
    /// Where the next group must begin, and what it must link to.
    at: ReplayPoint,
    chunk: Vec<u8>,
    chunk_at: u64,
    sealed: bool,
    /// Which group comes next is not known, so the first one is believed.
    unlinked: bool,
    /// Nor what its first frame links to.
    link_unknown: bool,
    /// Nothing at or above this LSN is looked at: a later segment logged it again.
    void_from: Option<Lsn>,
    /// What the segment goes on from is not what came before it.
    gap: Option<Fault>,
}

impl<'s> Walk<'s> {
    /// Begins at `at`, which must be in `segment`.
    pub fn new(segment: &'s SegmentFile, at: ReplayPoint) -> Self {
        debug_assert_eq!(segment.id(), at.segment);
        Walk {
            segment,
            at,
            chunk: Vec::new(),
            chunk_at: 0,
            sealed: false,
            unlinked: false,
            link_unknown: false,
            void_from: None,
            gap: None,
        }
    }

    /// Begins at the first group of `segment`, following on `before`.
    pub fn from_start(segment: &'s SegmentFile, before: &ReplayPoint) -> Self {
        Walk {
            gap: gap_before(segment, before),
            ..Self::new(segment, start_of(segment, before))
        }
    }

    /// Begins at the first group of `segment`, whatever it follows on. For readers of what
    /// recovery or the writer has checked already.
    pub fn unlinked(segment: &'s SegmentFile) -> Self {
        let at = ReplayPoint {
            segment: segment.id(),
            offset: SEGMENT_DATA,
            ..ReplayPoint::default()
        };
        Walk {
            unlinked: true,
            link_unknown: true,
            ..Self::new(segment, at)
        }
    }

    /// As [`Walk::unlinked`], from `offset` on, where a group must begin.
    pub fn unlinked_at(segment: &'s SegmentFile, offset: u64) -> Self {
        let mut walk = Self::unlinked(segment);
        walk.at.offset = offset;
        walk
    }

    /// Where a reader's walk stands, to go on from later.
    pub fn bookmark(&self) -> Bookmark {
        Bookmark {
            at: self.at,
            link_unknown: self.link_unknown,
        }
    }

    /// Goes on from a bookmark in the same segment.
    pub fn resume(segment: &'s SegmentFile, bookmark: Bookmark) -> Self {
        Walk {
            link_unknown: bookmark.link_unknown,
            ..Self::new(segment, bookmark.at)
        }
    }

    /// Ends the walk before the group that holds `lsn`.
    pub fn until(mut self, lsn: Option<Lsn>) -> Self {
        self.void_from = lsn;
        self
    }

    /// Where the walk stands: the end of the last group it gave.
    pub fn point(&self) -> ReplayPoint {
        self.at
    }

    /// Takes a step.
    ///
    /// # Errors
    /// [`crate::Error::Io`] when the segment cannot be read.
    pub fn step(&mut self) -> Result<Step<'_>> {
        if self.sealed {
            return Ok(Step::End(Stop::Sealed));
        }
        if self.void_from.is_some_and(|void| self.at.next_lsn >= void) {
            return Ok(Step::End(Stop::Full));
        }
        if let Some(fault) = &self.gap {
            return Ok(Step::End(Stop::OutOfOrder {
                fault: fault.clone(),
                first_lsn: self.at.next_lsn,
                durable_lsn: self.at.next_lsn,
            }));
        }
        let capacity = self.segment.header().capacity;
        let offset = self.at.offset;
        if offset + GROUP_HEADER_LEN as u64 > capacity {
            return Ok(Step::End(Stop::Full));
        }
        self.load(offset, GROUP_HEADER_LEN)?;
        let seed = self.segment.header().seed();
        let id = self.segment.id();
        let start = (offset - self.chunk_at) as usize;
        let stop = |fault, lsn| {
            Ok(Step::End(Stop::Fault(GroupFault {
                fault,
                offset: 0,
                lsn,
            })))
        };
        let (header, _) = match GroupHeader::decode(seed, id, &self.chunk[start..]) {
            Ok(found) => found,
            Err(fault) => return stop(fault, None),
        };
        if offset + header.len() as u64 > capacity {
            let (needed, have) = (offset + header.len() as u64, capacity);
            return stop(
                Fault::Short {
                    what: "group",
                    needed,
                    have,
                },
                Some(header.first_lsn),
            );
        }
        self.load(offset, header.len())?;
        let start = (offset - self.chunk_at) as usize;
        let group = match Group::decode(seed, id, &self.chunk[start..]) {
            Ok(group) => group,
            Err(fault) => return Ok(Step::End(Stop::Fault(fault))),
        };
        if std::mem::take(&mut self.unlinked) {
            self.at.next_lsn = group.header.first_lsn;
        } else if let Some(fault) = self.out_of_order(&group) {
            let GroupHeader {
                first_lsn,
                durable_lsn,
                ..
            } = group.header;
            return Ok(Step::End(Stop::OutOfOrder {
                fault,
                first_lsn,
                durable_lsn,
            }));
        }
        let align = u64::from(self.segment.header().group_align);
        self.at.offset = group_place(offset + group.header.len() as u64, align);
        self.at.next_lsn = group.header.end_lsn();
        self.link_unknown &= group.header.is_empty();
        self.at.link = group.last_check.unwrap_or(self.at.link);
        self.at.group_link = group.check;
        self.at.epoch = group.header.epoch;
        self.sealed = group.header.flags & crate::format::group::SEAL != 0;
        Ok(Step::Group(offset, group))
    }

    /// What keeps a whole group from being the next one.
    fn out_of_order(&self, group: &Group<'_>) -> Option<Fault> {
        let header = &group.header;
        let differs = |field, expected: u64, found: u64| {
            (expected != found).then_some(Fault::Field {
                field,
                expected,
                found,
            })
        };
        differs("first lsn", self.at.next_lsn.get(), header.first_lsn.get())
            .or_else(|| {
                differs(
                    "group link",
                    self.at.group_link.into(),
                    header.prev_group.into(),
                )
            })
            .or_else(|| {
                group
                    .first_prev
                    .filter(|_| !self.link_unknown)
                    .and_then(|prev| {
                        differs(
                            "link to the previous frame",
                            self.at.link.into(),
                            prev.into(),
                        )
                    })
            })
            .or_else(|| {
                (header.epoch < self.at.epoch).then_some(Fault::Field {
                    field: "epoch",
                    expected: self.at.epoch.get().into(),
                    found: header.epoch.get().into(),
                })
            })
    }

    /// Brings `len` bytes at `offset` into the chunk, fewer at the end of the file.
    fn load(&mut self, offset: u64, len: usize) -> Result<()> {
        let end = self.chunk_at + self.chunk.len() as u64;
        if offset >= self.chunk_at && offset + len as u64 <= end {
            return Ok(());
        }
        let room = self.segment.header().capacity.saturating_sub(offset);
        let want = (len.max(CHUNK_BYTES) as u64).min(room) as usize;
        self.chunk.resize(want, 0);
        self.chunk_at = offset;
        let got = self.segment.read_at(&mut self.chunk, offset)?;
        self.chunk.truncate(got);
        Ok(())
    }
}

/// What keeps a segment that an opening made from going on where `before` ends. It says where it
/// goes on from, and all before that was logged: what is not there was lost.
fn gap_before(segment: &SegmentFile, before: &ReplayPoint) -> Option<Fault> {
    let header = segment.header();
    let (base, next) = (header.base_lsn, before.next_lsn);
    if base > next {
        return Some(Fault::Field {
            field: "base lsn",
            expected: next.get(),
            found: base.get(),
        });
    }
    (base == next && header.base_link != before.link).then_some(Fault::Field {
        field: "base link",
        expected: before.link.into(),
        found: header.base_link.into(),
    })
}

/// Where the first group of `segment` must begin, and what it must link to, after `before`.
pub fn start_of(segment: &SegmentFile, before: &ReplayPoint) -> ReplayPoint {
    let header = segment.header();
    let mut at = ReplayPoint {
        segment: header.id,
        offset: SEGMENT_DATA,
        ..*before
    };
    if header.base_lsn.get() != 0 {
        at.next_lsn = header.base_lsn;
        at.link = header.base_link;
        at.group_link = header.base_group_link;
    }
    at
}
