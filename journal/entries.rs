//! Reading one session: forwards, backwards, from anywhere, without scanning the log.

use super::entry::Entry;
use super::index::{self, Index, Place, Side};
use super::keys::Locksmith;
use super::packs::LastBlock;
use crate::error::{Corruption, Result};
use crate::format::ids::{Seq, SessionNo};
use crate::format::names;
use crate::model::event::Kind;
use crate::sync::{Arc, RwLock};
use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};

/// How many places are looked up at once.
const CHUNK: usize = 128;

/// Iterator over a session's durable records. Each item may be an error of its own: damage of
/// one record does not hide those behind it.
pub struct Entries {
    index: Arc<RwLock<Index>>,
    session: SessionNo,
    /// What has not been looked up: `from <= seq < to`.
    from: Seq,
    to: Seq,
    holes: Vec<(Seq, Seq)>,
    front: VecDeque<(Seq, Place)>,
    back: VecDeque<(Seq, Place)>,
    locksmith: Locksmith,
    /// What is read goes here first.
    scratch: Scratch,
}

/// Memory that one read leaves to the next.
#[derive(Default)]
struct Scratch {
    frame: Vec<u8>,
    block: LastBlock,
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Entries(session {}, {}..{})",
            self.session, self.from, self.to
        )
    }
}

impl Entries {
    pub(crate) fn new(
        index: Arc<RwLock<Index>>,
        locksmith: Locksmith,
        session: SessionNo,
        from: Seq,
        to: Seq,
        holes: Vec<(Seq, Seq)>,
    ) -> Self {
        let (front, back) = (VecDeque::new(), VecDeque::new());
        Entries {
            index,
            session,
            from,
            to,
            holes,
            front,
            back,
            locksmith,
            scratch: Scratch::default(),
        }
    }

    fn visible(&self, seq: Seq) -> bool {
        !self
            .holes
            .iter()
            .any(|(from, to)| (*from..*to).contains(&seq))
    }

    /// Looks up more places; returns whether there were any.
    fn fill_front(&mut self) -> Result<bool> {
        let found = self.look_up(Side::Front)?;
        self.from = found.last().map_or(self.to, |(seq, _)| seq.next());
        self.front.extend(found);
        Ok(!self.front.is_empty())
    }

    fn fill_back(&mut self) -> Result<bool> {
        let found = self.look_up(Side::Back)?;
        self.to = found.last().map_or(self.from, |(seq, _)| *seq);
        self.back.extend(found);
        Ok(!self.back.is_empty())
    }

    /// If a pack's index is damaged, what it says of this session is not known: this is told
    /// once, and the iteration ends.
    fn look_up(&mut self, side: Side) -> Result<Vec<(Seq, Place)>> {
        let range = self.from..self.to;
        let found = index::places(&self.index, self.session, range, CHUNK, side);
        if found.is_err() {
            self.to = self.from;
            self.front.clear();
            self.back.clear();
        }
        found
    }

    /// The sequence number of the record that [`Iterator::next`] will read.
    pub(crate) fn front_seq(&mut self) -> Result<Option<Seq>> {
        loop {
            if self.front.is_empty() && !self.fill_front()? {
                // What was looked up from the other end is all that is left.
                self.front.extend(self.back.drain(..).rev());
            }
            match self.front.front() {
                None => return Ok(None),
                Some((seq, _)) if self.visible(*seq) => return Ok(Some(*seq)),
                Some(_) => drop(self.front.pop_front()),
            }
        }
    }

    /// The sequence number of the record that [`DoubleEndedIterator::next_back`] will read.
    pub(crate) fn back_seq(&mut self) -> Result<Option<Seq>> {
        loop {
            if self.back.is_empty() && !self.fill_back()? {
                self.back.extend(self.front.drain(..).rev());
            }
            match self.back.front() {
                None => return Ok(None),
                Some((seq, _)) if self.visible(*seq) => return Ok(Some(*seq)),
                Some(_) => drop(self.back.pop_front()),
            }
        }
    }

    /// Reads the record at a place and checks that it is the one that belongs there.
    fn read(&mut self, place: &Place) -> Result<Entry> {
        let (session, locksmith) = (self.session, &self.locksmith);
        let Scratch { frame, block } = &mut self.scratch;
        match place {
            Place::Log {
                segment,
                offset,
                seq,
            } => segment.with_frame(*offset, frame, |header, payload| {
                if header.session != session || header.seq != *seq {
                    return Err(
                        Corruption::new(segment.path(), "another record stands here")
                            .at(*offset)
                            .in_segment(segment.id())
                            .of_lsns(header.lsn, header.lsn.next())
                            .but(
                                format!("record {seq} of session {session}"),
                                format!("record {} of session {}", header.seq, header.session),
                            )
                            .into(),
                    );
                }
                Entry::decode(header, payload, segment.path(), locksmith)
            }),
            Place::Pack { pack, slot } => pack.entry(*slot, block, locksmith),
            Place::Lost { segment } => {
                let what = format!("no open segment for a record of session {session}");
                Err(Corruption::new(names::segment(*segment), what)
                    .in_segment(*segment)
                    .into())
            }
        }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.front_seq() {
            return Some(Err(error));
        }
        let (_, place) = self.front.pop_front()?;
        Some(self.read(&place))
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        if let Err(error) = self.back_seq() {
            return Some(Err(error));
        }
        let (_, place) = self.back.pop_front()?;
        Some(self.read(&place))
    }
}

/// Half-open bounds of any range.
pub(crate) fn bounds(range: impl RangeBounds<Seq>) -> (Seq, Seq) {
    let from = match range.start_bound() {
        Bound::Included(seq) => *seq,
        Bound::Excluded(seq) => seq.next(),
        Bound::Unbounded => Seq::new(0),
    };
    let to = match range.end_bound() {
        Bound::Included(seq) => seq.next(),
        Bound::Excluded(seq) => *seq,
        Bound::Unbounded => Seq::new(u32::MAX),
    };
    (from, to)
}

/// The last `count` entries, oldest first.
pub(crate) fn last(
    entries: impl DoubleEndedIterator<Item = Result<Entry>>,
    count: usize,
) -> Result<Vec<Entry>> {
    let mut found = entries.rev().take(count).collect::<Result<Vec<_>>>()?;
    found.reverse();
    Ok(found)
}

/// The entries from the first of the last `count` turns on, oldest first.
pub(crate) fn last_turns(
    entries: impl DoubleEndedIterator<Item = Result<Entry>>,
    count: usize,
) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut turns = 0;
    for entry in entries.rev() {
        let entry = entry?;
        turns += usize::from(entry.kind == Kind::TurnSubmitted);
        found.push(entry);
        if turns == count {
            break;
        }
    }
    if count == 0 {
        found.clear();
    }
    found.reverse();
    Ok(found)
}
