//! Gathering: every record that validates, wherever it is.
//!
//! What stands in a whole group, or in a block of a pack, is a record beyond doubt. What
//! validates alone, in the ruins of a group or a block, is one only if it fits: a payload may
//! hold bytes that look like a frame of this file (a host that journals a journal). So nothing
//! is looked for inside of what validates, a lone frame must lie between its neighbours by LSN,
//! and must be linked to them where they are there.

use super::source::{FrameAt, Kind, Source, Window, read_block};
use crate::format::frame::{FRAME_ALIGN, FRAME_HEADER_LEN, Frame, FrameHeader, frame_len};
use crate::format::group::{GROUP_HEADER_LEN, GROUP_MAGIC, Group, GroupHeader, SEAL};
use crate::format::ids::{Epoch, JournalId, Lsn, PackId, SegmentId, Seq, SessionNo};
use crate::format::manifest::PackRef;
use crate::format::pack::{PACK_FOOTER_LEN, PACK_HEADER_LEN, PackFooter, PackHeader};
use crate::format::pack_block::{BLOCK_HEADER_LEN, BlockHeader};
use crate::format::pack_index::PackIndex;
use crate::format::segment::SEGMENT_DATA;
use crate::model::event::{self, decode_payload};

/// A number beyond is no LSN that any journal reaches, whatever its checksum says.
const MAX_LSN: u64 = 1 << 60;

/// Longest index of a pack that is read.
const MAX_INDEX_BYTES: u64 = 4 << 30;

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
    fn wants(&self, lsn: Lsn) -> bool {
        let InForce { accounted, listed } = &self.in_force;
        let at = accounted.partition_point(|(from, _)| *from <= lsn);
        let is_accounted = accounted[..at].iter().any(|(_, to)| lsn < *to);
        !is_accounted || listed.binary_search(&lsn).is_ok()
    }

    fn take(&mut self, frame: &Frame<'_>, place: FrameAt, rank: Rank) {
        let FrameHeader {
            lsn, session, seq, ..
        } = frame.header;
        if lsn.get() == 0 || lsn.get() >= MAX_LSN || seq.get() == 0 || !self.wants(lsn) {
            return;
        }
        let known = event::Kind::try_from(frame.header.kind).is_ok();
        if !known || frame.header.codec != 0 || decode_payload(frame.payload).is_err() {
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

    /// Gathers from a segment. Nothing at or above `void_from` counts: a later one logged it
    /// again.
    pub(super) fn segment(&mut self, no: u32, source: &Source, void_from: Option<Lsn>) {
        let Kind::Segment(header) = &source.kind else {
            return;
        };
        let mut window = Window::new(source);
        let mut scan = SegmentScan {
            gathered: self,
            no,
            source,
            // Without a header nothing says where groups begin, but that frames are aligned.
            align: header.map_or(FRAME_ALIGN as u64, |header| header.group_align.into()),
            void_from: void_from.unwrap_or(Lsn::new(MAX_LSN)),
            expected: None,
        };
        scan.run(&mut window, header.is_some());
        self.note_unreadable(no, &window);
    }

    fn note_unreadable(&mut self, no: u32, window: &Window<'_>) {
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
    fn lone(
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
            let header = match FrameHeader::decode(source.seed, bytes) {
                Ok((header, _)) if !is_zero && (lsn_from..lsn_to).contains(&header.lsn) => header,
                _ => {
                    at += FRAME_ALIGN as u64;
                    continue;
                }
            };
            let len = frame_len(header.payload_len as usize) as u64;
            if at + len > range.1 {
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
            }
            // A header that validates knows how long its payload is, whatever became of that.
            at += len;
        }
    }

    /// Gathers from a pack; `reference` is how the manifest refers to it.
    pub(super) fn pack(&mut self, no: u32, source: &Source, reference: Option<&PackRef>) {
        let mut window = Window::new(source);
        let own = PackHeader::decode(window.bytes(0, PACK_HEADER_LEN));
        let blame = |offset: u64, len: u64, what: String, range: Option<(Lsn, Lsn)>| Damage {
            source: no,
            offset,
            len: len.min(source.len.saturating_sub(offset)),
            what,
            lsn_from: range.map(|(from, _)| from),
            lsn_to: range.map(|(_, to)| to),
            is_tail: false,
        };
        let header = match (own, reference) {
            (Ok(header), _) => Some(header),
            (Err(fault), reference) => {
                let what = fault.to_string();
                self.damage
                    .push(blame(0, PACK_HEADER_LEN as u64, what, None));
                reference.map(|r| header_of(self.journal, r, source))
            }
        };
        let index = header.map(|header| read_index(&mut window, source, &header));
        match (header, index) {
            (Some(header), Some(Ok((footer, bytes)))) => {
                if let Ok(index) = PackIndex::view(&footer, &bytes) {
                    self.accounted.push((header.lsn_from, header.lsn_to));
                    self.indexed_blocks(no, source, &mut window, &index);
                }
            }
            (header, index) => {
                let range = header.map(|header| (header.lsn_from, header.lsn_to));
                if let Some(Err((what, at))) = index {
                    let len = source.len.saturating_sub(at);
                    self.damage.push(blame(at, len, what, range));
                }
                self.blocks(no, source, &mut window, range);
            }
        }
        self.note_unreadable(no, &window);
    }

    /// The blocks of a pack whose index validates.
    fn indexed_blocks(
        &mut self,
        no: u32,
        source: &Source,
        window: &mut Window<'_>,
        index: &PackIndex<'_>,
    ) {
        let (mut i, mut session) = (0, 0);
        for number in 0..index.block_count() {
            let Some(slot) = index.block(number) else {
                continue;
            };
            let raw = read_block(source, slot.offset);
            let is_plain = slot.stored_len == slot.raw_len;
            let mut lost: Option<(Lsn, Lsn)> = None;
            while let Some(record) = index.record(i).filter(|r| r.block == number) {
                while (index.session_at(session)).is_some_and(|(_, slots)| slots.end <= i) {
                    session += 1;
                }
                i += 1;
                let filed = index.session_at(session).map(|(no, _)| no);
                let direct = slot.offset + BLOCK_HEADER_LEN as u64 + u64::from(record.off);
                let (bytes, place) = match &raw {
                    Ok(raw) => {
                        let bytes = raw.get(record.off as usize..).unwrap_or_default();
                        (bytes, (slot.offset, record.off))
                    }
                    Err(_) if is_plain => {
                        let bytes = window.bytes(direct, record.len as usize);
                        (bytes, (direct, FrameAt::DIRECT))
                    }
                    Err(_) => (&[][..], (0, 0)),
                };
                let frame = Frame::decode(source.seed, bytes)
                    .ok()
                    .map(|(frame, _)| frame);
                let frame = frame.filter(|frame| {
                    let header = &frame.header;
                    header.lsn == record.lsn
                        && header.seq == record.seq
                        && Some(header.session) == filed
                });
                match frame {
                    Some(frame) => {
                        let place = FrameAt {
                            source: no,
                            at: place.0,
                            off: place.1,
                            payload_len: frame.header.payload_len,
                        };
                        self.take(&frame, place, Rank::Packed);
                    }
                    None if !self.wants(record.lsn) => {}
                    None => {
                        self.listed_lost.push(Listed {
                            lsn: record.lsn,
                            session: filed.unwrap_or_default(),
                            seq: record.seq,
                        });
                        let (from, to) = lost.get_or_insert((record.lsn, record.lsn.next()));
                        (*from, *to) = ((*from).min(record.lsn), (*to).max(record.lsn.next()));
                    }
                }
            }
            if let Err((what, _)) = raw {
                let extent = slot.extent();
                self.damage.push(Damage {
                    source: no,
                    offset: extent.start,
                    len: extent.end - extent.start,
                    what,
                    lsn_from: lost.map(|(from, _)| from),
                    lsn_to: lost.map(|(_, to)| to),
                    is_tail: false,
                });
            }
        }
    }

    /// The blocks of a pack without an index, wherever one begins.
    fn blocks(
        &mut self,
        no: u32,
        source: &Source,
        window: &mut Window<'_>,
        range: Option<(Lsn, Lsn)>,
    ) {
        let lsns = range.unwrap_or((Lsn::new(1), Lsn::new(MAX_LSN)));
        let mut at = PACK_HEADER_LEN as u64;
        while at + BLOCK_HEADER_LEN as u64 <= source.len {
            let bytes = window.bytes(at, BLOCK_HEADER_LEN);
            let Ok(header) = BlockHeader::decode(source.seed, at, bytes) else {
                at += FRAME_ALIGN as u64;
                continue;
            };
            match read_block(source, at) {
                Ok(raw) => {
                    let mut off = 0;
                    while let Ok((frame, taken)) = Frame::decode(source.seed, &raw[off..]) {
                        let place = FrameAt {
                            source: no,
                            at,
                            off: off as u32,
                            payload_len: frame.header.payload_len,
                        };
                        self.take(&frame, place, Rank::Packed);
                        off += taken;
                    }
                }
                Err((what, _)) => {
                    let len = header.extent().min(source.len - at);
                    self.damage.push(Damage {
                        source: no,
                        offset: at,
                        len,
                        what,
                        lsn_from: range.map(|(from, _)| from),
                        lsn_to: range.map(|(_, to)| to),
                        is_tail: false,
                    });
                    if header.stored_len == header.raw_len {
                        let plain = (at + BLOCK_HEADER_LEN as u64, at + len);
                        self.lone((no, source), window, plain, lsns, false);
                    }
                }
            }
            at += header.extent();
        }
    }
}

/// The header that a pack must have had.
fn header_of(journal: JournalId, reference: &PackRef, source: &Source) -> PackHeader {
    PackHeader {
        journal,
        id: PackId::new(source.id),
        lsn_from: reference.lsn_from,
        lsn_to: reference.lsn_to,
    }
}

/// Reads footer and index. An error says why, and from where on the file is damaged.
fn read_index(
    window: &mut Window<'_>,
    source: &Source,
    header: &PackHeader,
) -> std::result::Result<(PackFooter, Vec<u8>), (String, u64)> {
    let footer_at = source.len.saturating_sub(PACK_FOOTER_LEN as u64);
    let bytes = window.bytes(footer_at, PACK_FOOTER_LEN);
    let footer = PackFooter::decode(header, source.len, bytes)
        .map_err(|fault| (fault.to_string(), footer_at))?;
    if footer.index_len > MAX_INDEX_BYTES {
        return Err(("an index longer than any can be".into(), footer_at));
    }
    let at = footer.index_offset;
    let bytes = window.bytes(at, footer.index_len as usize).to_vec();
    match PackIndex::decode(source.seed, &footer, &bytes) {
        Ok(_) => Ok((footer, bytes)),
        Err(fault) => Err((fault.to_string(), at)),
    }
}

/// A walk through the ruins of a segment.
struct SegmentScan<'g> {
    gathered: &'g mut Gathered,
    no: u32,
    source: &'g Source,
    align: u64,
    void_from: Lsn,
    /// The LSN after the last group.
    expected: Option<Lsn>,
}

impl SegmentScan<'_> {
    fn run(&mut self, window: &mut Window<'_>, ends_at_seal: bool) {
        let id = SegmentId::new(self.source.id);
        let mut offset = SEGMENT_DATA;
        while offset + GROUP_HEADER_LEN as u64 <= self.source.len {
            let head = window.bytes(offset, GROUP_HEADER_LEN);
            let Ok((header, _)) = GroupHeader::decode(self.source.seed, id, head) else {
                match self.ruins(window, offset) {
                    Some(next) => offset = next,
                    None => return,
                }
                continue;
            };
            self.gathered.durable = self.gathered.durable.max(plausible(header.durable_lsn));
            let end = offset + header.len() as u64;
            let bytes = window.bytes(offset, header.len());
            match Group::decode(self.source.seed, id, bytes) {
                Ok(group) => {
                    for (at, frame) in group.frames() {
                        if frame.header.lsn >= self.void_from {
                            break;
                        }
                        let place = FrameAt {
                            source: self.no,
                            at: offset + at as u64,
                            off: FrameAt::DIRECT,
                            payload_len: frame.header.payload_len,
                        };
                        self.gathered.take(&frame, place, Rank::Grouped);
                    }
                }
                Err(fault) => {
                    let lsns = (header.first_lsn, header.end_lsn());
                    if header.first_lsn < self.void_from {
                        self.blame(
                            offset,
                            end,
                            fault.to_string(),
                            Some(lsns.0),
                            Some(lsns.1),
                            false,
                        );
                    }
                    let range = (offset + GROUP_HEADER_LEN as u64, end.min(self.source.len));
                    let lsns = (lsns.0, lsns.1.min(self.void_from));
                    self.gathered
                        .lone((self.no, self.source), window, range, lsns, true);
                }
            }
            self.expected = Some(header.end_lsn());
            if ends_at_seal && header.flags & SEAL != 0 {
                return;
            }
            offset = end.next_multiple_of(self.align);
        }
    }

    /// What stands where no group's header is: goes through it frame by frame up to the next
    /// header. Returns where that is.
    fn ruins(&mut self, window: &mut Window<'_>, offset: u64) -> Option<u64> {
        let next = self.next_header(window, offset + self.align);
        let end = next.map_or(self.source.len, |(at, _)| at);
        let from = self.expected.unwrap_or(Lsn::new(1));
        if from >= self.void_from {
            return next.map(|(at, _)| at);
        }
        let to = next.map(|(_, first)| first);
        // Between groups that follow on each other there was nothing, or a marker.
        let is_gap = to.is_none_or(|to| from < to);
        if is_gap {
            let what = "no group, where one belongs".to_owned();
            self.blame(offset, end, what, self.expected, to, next.is_none());
            let lsns = (from, to.unwrap_or(self.void_from).min(self.void_from));
            self.gathered
                .lone((self.no, self.source), window, (offset, end), lsns, true);
        } else if self.source_has_header() {
            let what = "a closing or sealing group does not validate".to_owned();
            self.blame(offset, end, what, None, None, false);
        }
        next.map(|(at, _)| at)
    }

    fn source_has_header(&self) -> bool {
        matches!(self.source.kind, Kind::Segment(Some(_)))
    }

    fn next_header(&self, window: &mut Window<'_>, from: u64) -> Option<(u64, Lsn)> {
        let id = SegmentId::new(self.source.id);
        let magic = GROUP_MAGIC.to_le_bytes();
        let mut at = from.next_multiple_of(self.align);
        while at + GROUP_HEADER_LEN as u64 <= self.source.len {
            let bytes = window.bytes(at, GROUP_HEADER_LEN);
            if bytes[..4] == magic
                && let Ok((header, _)) = GroupHeader::decode(self.source.seed, id, bytes)
            {
                return Some((at, header.first_lsn));
            }
            at += self.align;
        }
        None
    }

    fn blame(
        &mut self,
        from: u64,
        to: u64,
        what: String,
        lsn_from: Option<Lsn>,
        lsn_to: Option<Lsn>,
        is_tail: bool,
    ) {
        self.gathered.damage.push(Damage {
            source: self.no,
            offset: from,
            len: to.min(self.source.len).saturating_sub(from),
            what,
            lsn_from,
            lsn_to,
            is_tail,
        });
    }
}

/// An LSN, unless it is beyond all reason.
pub(super) fn plausible(lsn: Lsn) -> Lsn {
    match lsn.get() < MAX_LSN {
        true => lsn,
        false => Lsn::default(),
    }
}
