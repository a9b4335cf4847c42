//! Gathering: every record that validates, wherever it is.
//!
//! What stands in a whole group, or in a block of a pack, is a record beyond doubt. What
//! validates alone, in the ruins of a group or a block, is one only if it fits: a payload may
//! hold bytes that look like a frame of this file (a host that journals a journal). So nothing
//! is looked for inside of what validates, a lone frame must lie between its neighbours by LSN,
//! and must be linked to them where they are there.

use super::source::{FrameAt, Source, Window};
use crate::format::frame::{FRAME_ALIGN, FRAME_HEADER_LEN, Frame, FrameHeader, frame_len};
use crate::format::ids::{Epoch, JournalId, Lsn, Seq, SessionNo};
use crate::model::event::{self, decode_payload};

/// A number beyond is no LSN that any journal reaches, whatever its checksum says.
pub(super) const MAX_LSN: u64 = 1 << 60;

/// How sure it is that something is a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// In a block of a pack that was read back before it was published.
    Packed,
    /// In a whole group.
    Grouped,
    /// Alone, in the ruins of a group or a block.
    Lone,
}

/// A record that validates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub lsn: Lsn,
    pub session: SessionNo,
    pub seq: Seq,
    pub payload_check: u32,
    /// The frame's own check, which the next one in the log links to.
    pub check: u32,
    pub prev: u32,
    pub place: FrameAt,
    pub rank: Rank,
}

impl Found {
    /// Whether two copies are of the same record.
    pub(super) fn is_same(&self, other: &Found) -> bool {
        let of = |f: &Found| {
            (
                f.lsn,
                f.session,
                f.seq,
                f.payload_check,
                f.place.payload_len,
            )
        };
        of(self) == of(other)
    }
}

/// A place that does not validate.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    pub source: u32,
    pub offset: u64,
    pub len: u64,
    pub what: String,
    /// The records that were there, as far as one can tell.
    pub lsn_from: Option<Lsn>,
    pub lsn_to: Option<Lsn>,
    /// Nothing of this file stands behind it: it may be no more than the end of the log.
    pub is_tail: bool,
}

/// A record that an index lists, and that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub lsn: Lsn,
    pub session: SessionNo,
    pub seq: Seq,
}

/// The header of a frame whose payload does not validate: the record is gone, whose it was is
/// known.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderOnly {
    pub record: Listed,
    /// As in [`Found`].
    pub check: u32,
    pub prev: u32,
}

/// What was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub journal: JournalId,
    pub found: Vec<Found>,
    pub damage: Vec<Damage>,
    /// Everything below was durable.
    pub durable: Lsn,
    pub epoch: Epoch,
    /// Ranges for which an index says which records there are.
    pub accounted: Vec<(Lsn, Lsn)>,
    /// Records that an index lists, and that are not there.
    pub listed_lost: Vec<Listed>,
    /// Headers of frames whose payload is damaged.
    pub headers: Vec<HeaderOnly>,
    /// What the packs in force say; see [`Gathered::close_packs`].
    in_force: InForce,
}

/// What the packs in force answer for.
#[derive(Debug, Default)]
struct InForce {
    accounted: Vec<(Lsn, Lsn)>,
    /// LSNs of the records that they list, in order.
    listed: Vec<Lsn>,
}

impl Gathered {
    /// After the packs in force were gathered: what else is gathered must not contradict them.
    pub(super) fn close_packs(&mut self) {
        let found = self.found.iter().map(|found| found.lsn);
        let mut listed: Vec<Lsn> = found
            .chain(self.listed_lost.iter().map(|l| l.lsn))
            .collect();
        listed.sort_unstable();
        let mut accounted = self.accounted.clone();
        accounted.sort_unstable();
        self.in_force = InForce { accounted, listed };
    }

    /// After everything was gathered.
    pub(super) fn finish(&mut self) {
        self.accounted.sort_unstable();
        self.listed_lost.sort_unstable();
        self.listed_lost.dedup();
    }

    /// Whether a record that is in no pack in force may be a part of the journal: not if an
    /// index answers for its place and does not list it, for then a compaction dropped it.
    pub(super) fn wants(&self, lsn: Lsn) -> bool {
        let InForce { accounted, listed } = &self.in_force;
        let at = accounted.partition_point(|(from, _)| *from <= lsn);
        let is_accounted = accounted[..at].iter().any(|(_, to)| lsn < *to);
        !is_accounted || listed.binary_search(&lsn).is_ok()
    }

    pub(super) fn take(&mut self, frame: &Frame<'_>, place: FrameAt, rank: Rank) {
        let FrameHeader {
            lsn, session, seq, ..
        } = frame.header;
        if lsn.get() == 0 || lsn.get() >= MAX_LSN || seq.get() == 0 || !self.wants(lsn) {
            return;
        }
        let known = event::Kind::try_from(frame.header.kind).is_ok();
        if !known || frame.header.coding().is_err() || decode_payload(frame.payload).is_err() {
            self.take_header(&frame.header, frame.check);
            self.damage.push(Damage {
                source: place.source,
                offset: place.at,
                len: frame_len(frame.payload.len()) as u64,
                what: "a record that this release cannot read".into(),
                lsn_from: Some(lsn),
                lsn_to: Some(lsn.next()),
                is_tail: false,
            });
            return;
        }
        self.epoch = self.epoch.max(frame.header.epoch);
        self.found.push(Found {
            lsn,
            session,
            seq,
            payload_check: frame.header.payload_check,
            check: frame.check,
            prev: frame.header.prev,
            place,
            rank,
        });
    }

    /// Notes a frame of which no more than the header is left.
    fn take_header(&mut self, header: &FrameHeader, check: u32) {
        let FrameHeader {
            lsn, session, seq, ..
        } = *header;
        if lsn.get() == 0 || lsn.get() >= MAX_LSN || seq.get() == 0 || !self.wants(lsn) {
            return;
        }
        self.headers.push(HeaderOnly {
            record: Listed { lsn, session, seq },
            check,
            prev: header.prev,
        });
    }

    pub(super) fn note_unreadable(&mut self, no: u32, window: &Window<'_>) {
        for (offset, len) in &window.unreadable {
            self.damage.push(Damage {
                source: no,
                offset: *offset,
                len: *len,
                what: "the disk does not give these bytes".into(),
                lsn_from: None,
                lsn_to: None,
                is_tail: false,
            });
        }
    }

    /// Gathers frames that stand alone in `range`, with LSNs in `lsns`, which ascend if they are
    /// `ordered`: they do in the log, in a block they do so for each session only.
    pub(super) fn lone(
        &mut self,
        (no, source): (u32, &Source),
        window: &mut Window<'_>,
        range: (u64, u64),
        (mut lsn_from, lsn_to): (Lsn, Lsn),
        ordered: bool,
    ) {
        let mut at = range.0.next_multiple_of(FRAME_ALIGN as u64);
        while at + FRAME_HEADER_LEN as u64 <= range.1 {
            let bytes = window.bytes(at, FRAME_HEADER_LEN);
            // A check of zero is as good as never that of a frame, and mostly no frame at all.
            let is_zero = bytes.first_chunk::<4>() == Some(&[0; 4]);
            let (header, check) = match FrameHeader::decode(source.seed, bytes) {
                Ok(read) if !is_zero && (lsn_from..lsn_to).contains(&read.0.lsn) => read,
                _ => {
                    at += FRAME_ALIGN as u64;
                    continue;
                }
            };
            let len = frame_len(header.payload_len as usize) as u64;
            if at + len > range.1 {
                self.take_header(&header, check);
                at += FRAME_ALIGN as u64;
                continue;
            }
            let place = FrameAt {
                source: no,
                at,
                off: FrameAt::DIRECT,
                payload_len: header.payload_len,
            };
            if let Ok((frame, _)) = Frame::decode(source.seed, window.bytes(at, len as usize)) {
                if ordered {
                    lsn_from = frame.header.lsn.next();
                }
                self.take(&frame, place, Rank::Lone);
            } else {
                self.take_header(&header, check);
            }
            // A header that validates knows how long its payload is, whatever became of that.
            at += len;
        }
    }
}

/// An LSN, unless it is beyond all reason.
pub(super) fn plausible(lsn: Lsn) -> Lsn {
    match lsn.get() < MAX_LSN {
        true => lsn,
        false => Lsn::default(),
    }
}
