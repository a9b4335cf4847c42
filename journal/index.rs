//! Where each session's records are: which packs there are, and for the part of the log that
//! no pack covers, the place of every record.
//!
//! Only durable records are indexed, so whoever reads by the index sees only what no crash can
//! undo. Memory follows sessions and the unpacked log, not the history.

use super::packs::PackFile;
use super::segments::SegmentFile;
use crate::error::Result;
use crate::format::ids::{Lsn, SegmentId, Seq, SessionNo};
use crate::sync::RwLock;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// The place of a record in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loc {
    segment: u32,
    /// In units of 8 bytes.
    offset: u32,
}

impl Loc {
    /// A place in a segment. Offsets are multiples of 8 below 32 GiB; segment ids are far
    /// below 2^32, since each stands for at least a file made.
    pub fn new(segment: SegmentId, offset: u64) -> Loc {
        debug_assert!(offset.is_multiple_of(8));
        Loc {
            segment: segment.get() as u32,
            offset: (offset / 8) as u32,
        }
    }

    /// The segment.
    pub fn segment(&self) -> SegmentId {
        SegmentId::new(u64::from(self.segment))
    }

    /// The offset in it.
    pub fn offset(&self) -> u64 {
        u64::from(self.offset) * 8
    }
}

/// The unpacked records of one session: consecutive, from `first_seq`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionLog {
    /// Sequence number of the first place.
    pub first_seq: Seq,
    /// A place for each record.
    pub places: VecDeque<Loc>,
}

impl SessionLog {
    /// The sequence number after the last place.
    pub fn end_seq(&self) -> Seq {
        Seq::new(self.first_seq.get() + self.places.len() as u32)
    }

    /// Adds the place of record `seq`, which is the next one, or the first known here.
    pub fn push(&mut self, seq: Seq, loc: Loc) {
        if self.places.is_empty() {
            self.first_seq = seq;
        }
        debug_assert_eq!(self.end_seq(), seq);
        self.places.push_back(loc);
    }

    /// Forgets the places before `segment`: packs cover them now.
    pub fn forget_before(&mut self, segment: SegmentId) {
        while let Some(loc) = self.places.front()
            && loc.segment() < segment
        {
            self.places.pop_front();
            self.first_seq = self.first_seq.next();
        }
        if self.places.is_empty() {
            self.places.shrink_to(4);
        }
    }
}

/// A record's place, with what is needed to read it.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the log.
    Log {
        /// The segment.
        segment: Arc<SegmentFile>,
        /// The offset of its frame.
        offset: u64,
        /// Which record of its session it must be.
        seq: Seq,
    },
    /// In a segment that is not open, which cannot be while the index is right.
    Lost {
        /// The segment.
        segment: SegmentId,
    },
    /// In a pack.
    Pack {
        /// The pack.
        pack: Arc<PackFile>,
        /// Its slot in the pack's record table.
        slot: u32,
    },
}

/// The index of a journal.
#[derive(Debug, Default)]
pub struct Index {
    /// Packs, by ascending LSN.
    pub packs: Vec<Arc<PackFile>>,
    /// Open segments.
    pub segments: BTreeMap<SegmentId, Arc<SegmentFile>>,
    /// First LSN of each segment that holds records.
    pub first_lsns: BTreeMap<Lsn, SegmentId>,
    sessions: Vec<SessionLog>,
}

impl Index {
    /// The unpacked records of a session.
    pub fn session(&self, session: SessionNo) -> Option<&SessionLog> {
        self.sessions.get(session.get() as usize)
    }

    /// The unpacked records of a session, to be changed.
    pub fn session_mut(&mut self, session: SessionNo) -> &mut SessionLog {
        let at = session.get() as usize;
        if self.sessions.len() <= at {
            self.sessions.resize_with(at + 1, SessionLog::default);
        }
        &mut self.sessions[at]
    }

    /// How many sessions have an entry, for walking over them in parts.
    pub fn session_slots(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes of memory that the unpacked part takes, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.sessions
            .iter()
            .map(|s| size_of::<SessionLog>() + s.places.capacity() * size_of::<Loc>())
            .sum()
    }

    /// Places in the log of a session's records with `from <= seq < to`, at most `limit`, from
    /// the side that is read first, and the packs that hold what is older.
    fn look(&self, session: SessionNo, range: Range<Seq>, limit: usize, side: Side) -> Look {
        let packs = self.packs.clone();
        let log = self.session(session).filter(|log| !log.places.is_empty());
        let Some(log) = log else {
            return Look {
                packs,
                packs_to: range.end,
                places: Vec::new(),
            };
        };
        let from = range.start.max(log.first_seq).get();
        let to = range.end.min(log.end_seq()).get().max(from);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let (from, to) = match side {
            Side::Front => (from, to.min(from.saturating_add(limit))),
            Side::Back => (from.max(to.saturating_sub(limit)), to),
        };
        let places = (from..to).map(Seq::new);
        Look {
            packs,
            packs_to: range.end.min(log.first_seq),
            places: places.map(|seq| (seq, self.log_place(log, seq))).collect(),
        }
    }

    fn log_place(&self, log: &SessionLog, seq: Seq) -> Place {
        let loc = log.places[(seq.get() - log.first_seq.get()) as usize];
        match self.segments.get(&loc.segment()) {
            Some(segment) => Place::Log {
                segment: segment.clone(),
                offset: loc.offset(),
                seq,
            },
            None => Place::Lost {
                segment: loc.segment(),
            },
        }
    }
}

/// From which end of a range places are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The oldest first.
    Front,
    /// The newest first.
    Back,
}

/// What one look at the index gives. Packs are searched after it was let go, for the first
/// search of one reads its index through.
struct Look {
    packs: Vec<Arc<PackFile>>,
    /// Records from here on are not looked for in packs.
    packs_to: Seq,
    /// Ascending.
    places: Vec<(Seq, Place)>,
}

/// Some places of a session's records with `from <= seq < to`, at most `limit`, in the order in
/// which they are read from `side`; none only if there are none. They come from one pack or from
/// the log, so that no pack is searched before it is needed.
///
/// # Errors
/// [`crate::Error::Corrupt`] if the index of a pack does not validate.
pub fn places(
    index: &RwLock<Index>,
    session: SessionNo,
    range: Range<Seq>,
    limit: usize,
    side: Side,
) -> Result<Vec<(Seq, Place)>> {
    let from = range.start;
    let Look {
        packs,
        packs_to,
        mut places,
    } = index.read().look(session, range, limit, side);
    let in_pack = |pack: &Arc<PackFile>| -> Result<Vec<(Seq, Place)>> {
        let slots = pack.slots(session, from, packs_to)?;
        match side {
            Side::Front => slots
                .take(limit)
                .map(|slot| pack_place(pack, slot))
                .collect(),
            Side::Back => slots
                .rev()
                .take(limit)
                .map(|slot| pack_place(pack, slot))
                .collect(),
        }
    };
    if side == Side::Back && !places.is_empty() {
        places.reverse();
        return Ok(places);
    }
    if from < packs_to {
        for i in 0..packs.len() {
            let found = in_pack(match side {
                Side::Front => &packs[i],
                Side::Back => &packs[packs.len() - 1 - i],
            })?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Ok(places)
}

fn pack_place(pack: &Arc<PackFile>, slot: u32) -> Result<(Seq, Place)> {
    let seq = pack.seq_at(slot)?;
    let pack = pack.clone();
    Ok((seq, Place::Pack { pack, slot }))
}
