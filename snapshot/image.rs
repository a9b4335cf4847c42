//! The image: everything that the journal said below one LSN.
//!
//! An image is the fold of the records (sessions, open turns, values), the place of every record
//! that is in no pack yet, and where the log goes on. Recovery, compaction and checkpoints all
//! make it the same way: load a snapshot, or begin empty, and apply group after group.

use crate::error::{Corruption, Error, Result};
use crate::format::body::BodyFault;
use crate::format::fault::Fault;
use crate::format::frame::Frame;
use crate::format::group::Group;
use crate::format::ids::{Epoch, Lsn, SegmentId, Seq, SessionNo};
use crate::format::manifest::{PackRef, ReplayPoint};
use crate::format::segment::SEGMENT_DATA;
use crate::journal::index::{Index, Loc, SessionLog};
use crate::journal::segments::SegmentFile;
use crate::journal::walk::{Step, Stop, Walk};
use crate::model::event::{Kind, decode_payload};
use crate::model::fold::{Effect, FoldFault, Record};
use crate::model::state::{Limits, State};
use std::collections::BTreeMap;

/// What the journal said below `point.next_lsn`.
#[derive(Clone, Debug)]
pub struct Image {
    /// The fold of all records.
    pub state: State,
    /// Where the log goes on.
    pub point: ReplayPoint,
    /// The packs that hold the older records, by ascending LSN.
    pub packs: Vec<PackRef>,
    /// The first segment that holds records which are in no pack.
    pub log_from: SegmentId,
    /// First LSN of each segment from `log_from` on.
    pub first_lsns: BTreeMap<Lsn, SegmentId>,
    /// A record was truncated, cleared or deleted, and its bytes may still be in some file.
    pub must_erase: bool,
    logs: Vec<SessionLog>,
}

/// A whole record that the fold does not take: damage that no checksum saw, or a record of a
/// later release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Misfit {
    /// The record.
    pub lsn: Lsn,
    /// Offset of its frame in the segment.
    pub offset: u64,
    /// What is wrong with it.
    pub fault: MisfitFault,
}

/// What the fold has against a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MisfitFault {
    /// The payload is stored in a way that this release does not know.
    #[error(transparent)]
    Coding(#[from] Fault),
    /// The payload's envelope does not decode.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// The record does not follow from those before it.
    #[error(transparent)]
    Fold(#[from] FoldFault),
}

impl Misfit {
    /// As the corruption of a segment.
    pub fn into_error(self, segment: &SegmentFile) -> Error {
        Corruption::new(segment.path(), self.to_string())
            .at(self.offset)
            .in_segment(segment.id())
            .of_lsns(self.lsn, self.lsn.next())
            .into()
    }
}

impl Image {
    /// The image of a journal without records, whose log begins with segment `first`. Sessions
    /// remember the idempotency keys of `key_window` ended turns each.
    pub fn empty(first: SegmentId, key_window: usize) -> Image {
        let point = ReplayPoint {
            segment: first,
            offset: SEGMENT_DATA,
            next_lsn: Lsn::new(1),
            link: 0,
            group_link: 0,
            epoch: Epoch::new(0),
        };
        Image::from_parts(key_window, point, Vec::new(), first)
    }

    pub(super) fn from_parts(
        key_window: usize,
        point: ReplayPoint,
        packs: Vec<PackRef>,
        log_from: SegmentId,
    ) -> Image {
        let limits = Limits {
            key_window: key_window.max(1),
            ..Limits::default()
        };
        Image {
            state: State::new(limits),
            point,
            packs,
            log_from,
            first_lsns: BTreeMap::new(),
            must_erase: false,
            logs: Vec::new(),
        }
    }

    /// Notes that the log goes on in `segment` with `first_lsn`. Whatever earlier segments hold
    /// from that LSN on is void.
    pub fn note_segment(&mut self, first_lsn: Lsn, segment: SegmentId) {
        self.first_lsns.split_off(&first_lsn);
        self.first_lsns.insert(first_lsn, segment);
    }

    /// Says where the log goes on after what was applied.
    pub fn set_point(&mut self, point: ReplayPoint) {
        self.point = point;
    }

    /// Notes that a record which is in no pack was logged again at `loc`.
    pub fn move_record(&mut self, session: SessionNo, seq: Seq, loc: Loc) {
        let log = self.log_mut(session);
        let at = seq.get().checked_sub(log.first_seq.get());
        let place = at.and_then(|at| log.places.get_mut(at as usize));
        *place.expect("only records that were applied are logged again") = loc;
    }

    /// Folds the records of the group at `offset` of `segment`, which must be the next one, and
    /// notes their places. The caller moves the image's point past it.
    ///
    /// # Errors
    /// [`Misfit`] for the first record that does not fold. The image then holds the records
    /// before it and is of no further use.
    pub fn apply_group(
        &mut self,
        segment: SegmentId,
        offset: u64,
        group: &Group<'_>,
    ) -> std::result::Result<(), Misfit> {
        if self
            .first_lsns
            .last_key_value()
            .is_none_or(|(_, last)| *last != segment)
        {
            self.note_segment(group.header.first_lsn, segment);
        }
        for (at, frame) in group.frames() {
            let offset = offset + at as u64;
            self.apply(&frame, Loc::new(segment, offset))
                .map_err(|fault| Misfit {
                    lsn: frame.header.lsn,
                    offset,
                    fault,
                })?;
        }
        Ok(())
    }

    fn apply(&mut self, frame: &Frame<'_>, loc: Loc) -> std::result::Result<(), MisfitFault> {
        let header = &frame.header;
        header.coding()?;
        let kind = Kind::try_from(header.kind).map_err(FoldFault::Kind)?;
        let (envelope, content) = decode_payload(frame.payload)?;
        let effect = self.state.apply(&Record {
            lsn: header.lsn,
            session: header.session,
            seq: header.seq,
            epoch: header.epoch,
            kind,
            envelope: &envelope,
            content_len: content.len() as u32,
        })?;
        self.must_erase |= match effect {
            Effect::SessionDeleted => true,
            Effect::Dropped { from, to } => from < to,
            _ => false,
        };
        self.log_mut(header.session).push(header.seq, loc);
        Ok(())
    }

    /// Walks `segment` from the image's point, or from its beginning if the point is in an
    /// earlier one, and folds what is there below `end`. Returns why the walk stopped.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a record that does not fold, [`Error::Io`].
    pub fn replay(&mut self, segment: &SegmentFile, end: Option<Lsn>) -> Result<Stop> {
        let walk = if self.point.segment == segment.id() {
            Walk::new(segment, self.point)
        } else {
            Walk::from_start(segment, &self.point)
        };
        let mut walk = walk.until(end);
        loop {
            match walk.step()? {
                Step::Group(offset, group) => self
                    .apply_group(segment.id(), offset, &group)
                    .map_err(|misfit| misfit.into_error(segment))?,
                Step::End(stop) => {
                    self.point = walk.point();
                    return Ok(stop);
                }
            }
        }
    }

    /// The places of each session's records that are in no pack, by session number.
    pub fn logs(&self) -> impl Iterator<Item = (SessionNo, &SessionLog)> {
        (0..).map(SessionNo::new).zip(&self.logs)
    }

    /// The places of a session's records that are in no pack.
    pub fn log(&self, session: SessionNo) -> Option<&SessionLog> {
        self.logs.get(session.get() as usize)
    }

    pub(super) fn log_mut(&mut self, session: SessionNo) -> &mut SessionLog {
        let at = session.get() as usize;
        if self.logs.len() <= at {
            self.logs.resize_with(at + 1, SessionLog::default);
        }
        &mut self.logs[at]
    }

    /// Says that `packs` hold every record before segment `active`, which begins with
    /// `first_lsn`: no place in an earlier segment is needed any more.
    pub(super) fn pack_before(&mut self, active: SegmentId, first_lsn: Lsn, packs: Vec<PackRef>) {
        self.packs = packs;
        self.log_from = active;
        for log in &mut self.logs {
            log.forget_before(active);
        }
        self.first_lsns.retain(|_, segment| *segment >= active);
        if self.first_lsns.is_empty() {
            self.first_lsns.insert(first_lsn, active);
        }
    }

    /// Makes the image the live one: the fold, and an index that lacks only the open files.
    pub fn into_live(self) -> (State, Index) {
        let mut index = Index::default();
        index.first_lsns = self.first_lsns;
        for (no, log) in (0..).map(SessionNo::new).zip(self.logs) {
            if !log.places.is_empty() {
                *index.session_mut(no) = log;
            }
        }
        (self.state, index)
    }
}
