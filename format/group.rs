//! A commit group: the frames that one write and one sync made durable together.
//!
//! A group begins on a block of its own, names how far the log was known to be durable when
//! it was written, and is there whole or not at all.

use super::bytes::{get_u32, get_u64, put_u32, put_u64};
use super::checksum::{Seed, checksum};
use super::fault::{Fault, expect, need, same};
use super::frame::{FRAME_ALIGN, FRAME_HEADER_LEN, Frame, FrameHeader, frame_len, seal};
use super::ids::{Epoch, Lsn, SegmentId};
use crate::sabotage::Sabotage;

/// Length of a group's header.
pub const GROUP_HEADER_LEN: usize = 64;
/// What a group begins with: "TKG" and the layout's number.
pub const GROUP_MAGIC: u32 = u32::from_le_bytes(*b"TKG1");
/// Nothing follows in this segment.
pub const SEAL: u32 = 1;
/// The writer closed the journal after this group.
pub const CLOSE: u32 = 2;
/// The frames were logged again by recovery.
pub const RELOG: u32 = 4;
/// Longest body of a group: lengths stay far from the end of 32 bits.
pub const MAX_BODY_LEN: usize = 1 << 30;

const _: () = assert!(GROUP_HEADER_LEN.is_multiple_of(FRAME_ALIGN));

/// The fields of a group's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// The segment it was written to.
    pub segment: SegmentId,
    /// LSN of its first frame; of the next record if it has none.
    pub first_lsn: Lsn,
    /// Everything below was durable when the group was written.
    pub durable_lsn: Lsn,
    /// Bytes of all frames.
    pub body_len: u32,
    /// How many frames.
    pub frame_count: u32,
    /// The check of the group before it in the log; 0 for the first of all.
    pub prev_group: u32,
    /// [`SEAL`], [`CLOSE`], [`RELOG`].
    pub flags: u32,
    /// The writer of the group.
    pub epoch: Epoch,
    /// Checksum over the checks of all frames.
    pub frames_check: u32,
    /// When it was written; nothing is decided by it.
    pub at_ms: u64,
}

impl GroupHeader {
    /// Writes the header into the first [`GROUP_HEADER_LEN`] bytes of `out`; returns its check.
    pub fn encode(&self, seed: Seed, out: &mut [u8]) -> u32 {
        let out = &mut out[..GROUP_HEADER_LEN];
        put_u32(out, 0, GROUP_MAGIC);
        put_u64(out, 8, self.segment.get());
        put_u64(out, 16, self.first_lsn.get());
        put_u64(out, 24, self.durable_lsn.get());
        put_u32(out, 32, self.body_len);
        put_u32(out, 36, self.frame_count);
        put_u32(out, 40, self.prev_group);
        put_u32(out, 44, self.flags);
        put_u32(out, 48, self.epoch.get());
        put_u32(out, 52, self.frames_check);
        put_u64(out, 56, self.at_ms);
        let check = checksum(seed, &out[8..]);
        put_u32(out, 4, check);
        check
    }

    /// Reads and checks a header at the start of `bytes`; also returns its check.
    ///
    /// # Errors
    /// [`Fault::Short`], [`Fault::Magic`], [`Fault::Checksum`], or [`Fault::Field`] for another
    /// segment's group or a body over [`MAX_BODY_LEN`].
    pub fn decode(
        seed: Seed,
        segment: SegmentId,
        bytes: &[u8],
    ) -> Result<(GroupHeader, u32), Fault> {
        need("group header", bytes, GROUP_HEADER_LEN)?;
        let magic = get_u32(bytes, 0);
        if magic != GROUP_MAGIC {
            return Err(Fault::Magic {
                what: "group",
                found: u64::from(magic),
            });
        }
        let check = get_u32(bytes, 4);
        same(
            "group header",
            check,
            checksum(seed, &bytes[8..GROUP_HEADER_LEN]),
        )?;
        let header = GroupHeader {
            segment: SegmentId::new(get_u64(bytes, 8)),
            first_lsn: Lsn::new(get_u64(bytes, 16)),
            durable_lsn: Lsn::new(get_u64(bytes, 24)),
            body_len: get_u32(bytes, 32),
            frame_count: get_u32(bytes, 36),
            prev_group: get_u32(bytes, 40),
            flags: get_u32(bytes, 44),
            epoch: Epoch::new(get_u32(bytes, 48)),
            frames_check: get_u32(bytes, 52),
            at_ms: get_u64(bytes, 56),
        };
        if !Sabotage::DropSeed.is_on() {
            expect("segment id", segment.get(), header.segment.get())?;
        }
        if header.body_len as usize > MAX_BODY_LEN {
            return Err(Fault::Field {
                field: "group length",
                expected: MAX_BODY_LEN as u64,
                found: u64::from(header.body_len),
            });
        }
        Ok((header, check))
    }

    /// Bytes that header and frames take, without the padding to the next block.
    pub const fn len(&self) -> usize {
        GROUP_HEADER_LEN + self.body_len as usize
    }

    /// Whether the group holds no frames, only news about the log.
    pub const fn is_empty(&self) -> bool {
        self.frame_count == 0
    }

    /// LSN after the last frame.
    pub const fn end_lsn(&self) -> Lsn {
        Lsn::new(self.first_lsn.get().saturating_add(self.frame_count as u64))
    }
}

/// Where in a group the first fault lies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct GroupFault {
    /// What is wrong.
    pub fault: Fault,
    /// Offset from the group's first byte.
    pub offset: usize,
    /// LSN of the first frame that is not there, if the group's header is good.
    pub lsn: Option<Lsn>,
}

/// A whole group that was checked, frame by frame.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Its header.
    pub header: GroupHeader,
    /// The header's check, which the next group names.
    pub check: u32,
    /// The link that its first frame holds; `None` without frames.
    pub first_prev: Option<u32>,
    /// The check of its last frame; `None` without frames.
    pub last_check: Option<u32>,
    body: &'a [u8],
}

impl<'a> Group<'a> {
    /// Reads and checks the group at the start of `bytes`, with every frame in it: LSNs without
    /// a gap, each frame linked to the one before, every payload whole.
    ///
    /// # Errors
    /// [`GroupFault`] with the place of the first fault.
    pub fn decode(seed: Seed, segment: SegmentId, bytes: &'a [u8]) -> Result<Self, GroupFault> {
        let (mut header, check) =
            GroupHeader::decode(seed, segment, bytes).map_err(|fault| GroupFault {
                fault,
                offset: 0,
                lsn: None,
            })?;
        let mut lsn = header.first_lsn;
        let mut offset = GROUP_HEADER_LEN;
        let at = |fault, offset, lsn| GroupFault {
            fault,
            offset,
            lsn: Some(lsn),
        };
        need("group", bytes, header.len()).map_err(|fault| at(fault, offset, lsn))?;
        let body = &bytes[GROUP_HEADER_LEN..header.len()];
        if Sabotage::TrustLength.is_on() {
            let mut frames = Frames { body, offset: 0 }.map(|(_, frame)| frame);
            let first = frames.next();
            let first_prev = first.map(|frame| frame.header.prev);
            let last_check = frames.last().or(first).map(|frame| frame.check);
            return Ok(Group {
                header,
                check,
                first_prev,
                last_check,
                body,
            });
        }
        let (mut first_prev, mut last_check) = (None, None);
        let mut checks = FrameChecks::new(seed);
        for n in 0..header.frame_count {
            let decoded = Frame::decode(seed, &body[offset - GROUP_HEADER_LEN..]);
            if Sabotage::HalfGroups.is_on() && decoded.is_err() && n > 0 {
                header.frame_count = n;
                let body = &body[..offset - GROUP_HEADER_LEN];
                return Ok(Group {
                    header,
                    check,
                    first_prev,
                    last_check,
                    body,
                });
            }
            let (frame, taken) = decoded.map_err(|fault| at(fault, offset, lsn))?;
            expect("lsn", lsn.get(), frame.header.lsn.get())
                .and_then(|()| match last_check {
                    None => Ok(()),
                    Some(last) => expect("link", u64::from(last), u64::from(frame.header.prev)),
                })
                .map_err(|fault| at(fault, offset, lsn))?;
            first_prev.get_or_insert(frame.header.prev);
            last_check = Some(frame.check);
            checks.add(frame.check);
            offset += taken;
            lsn = lsn.next();
        }
        expect("group length", header.len() as u64, offset as u64)
            .and_then(|()| same("frames of the group", header.frames_check, checks.finish()))
            .map_err(|fault| at(fault, offset, lsn))?;
        Ok(Group {
            header,
            check,
            first_prev,
            last_check,
            body,
        })
    }

    /// The frames, each with its offset from the group's first byte.
    pub fn frames(&self) -> Frames<'a> {
        Frames {
            body: self.body,
            offset: 0,
        }
    }
}

/// Iterator over the frames of a checked group.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    body: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for Frames<'a> {
    type Item = (usize, Frame<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self
            .body
            .get(self.offset..)
            .filter(|rest| rest.len() >= FRAME_HEADER_LEN)?;
        let header = FrameHeader::read(bytes);
        let payload_len = header.payload_len as usize;
        let payload = bytes.get(FRAME_HEADER_LEN..FRAME_HEADER_LEN + payload_len)?;
        let at = GROUP_HEADER_LEN + self.offset;
        self.offset += frame_len(payload_len);
        Some((
            at,
            Frame {
                header,
                check: get_u32(bytes, 0),
                payload,
            },
        ))
    }
}

/// Checksum over the checks of a group's frames: a group with a missing frame is not there.
struct FrameChecks {
    seed: Seed,
    state: u32,
}

impl FrameChecks {
    fn new(seed: Seed) -> Self {
        FrameChecks {
            seed,
            state: seed.get(),
        }
    }

    fn add(&mut self, check: u32) {
        // A chained bijection per step: cheaper than a second pass, and it sees order.
        self.state = (self.state ^ check)
            .wrapping_mul(0x9E37_79B1)
            .rotate_left(13);
    }

    fn finish(&self) -> u32 {
        checksum(self.seed, &self.state.to_le_bytes())
    }
}

/// Frames that are being gathered for the next group.
///
/// The buffer is the bytes that will be written: room for the group's header, then frames.
/// Checksums that depend on where the group goes are filled in by [`GroupBuffer::seal`].
#[derive(Debug)]
pub struct GroupBuffer {
    bytes: Vec<u8>,
    frame_count: u32,
    first_lsn: Lsn,
}

/// What [`GroupBuffer::seal`] needs to know about the group's place.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Seed of the segment's life.
    pub seed: Seed,
    /// The segment.
    pub segment: SegmentId,
    /// First LSN of a group without frames.
    pub next_lsn: Lsn,
    /// Everything below is durable now.
    pub durable_lsn: Lsn,
    /// The check of the last frame before the group.
    pub link: u32,
    /// The check of the group before it.
    pub prev_group: u32,
    /// [`SEAL`], [`CLOSE`], [`RELOG`].
    pub flags: u32,
    /// The writer.
    pub epoch: Epoch,
    /// Now.
    pub at_ms: u64,
    /// The group is padded with zeros to a multiple of this.
    pub align: usize,
}

/// What the next group links to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    /// Check of the last frame.
    pub link: u32,
    /// Check of the group.
    pub group_link: u32,
}

impl Default for GroupBuffer {
    fn default() -> Self {
        GroupBuffer {
            bytes: vec![0; GROUP_HEADER_LEN],
            frame_count: 0,
            first_lsn: Lsn::default(),
        }
    }
}

impl GroupBuffer {
    /// Adds a frame. `header.prev` is ignored; the link is set by [`GroupBuffer::seal`].
    pub fn push(&mut self, header: &FrameHeader, payload: &[u8]) {
        debug_assert_eq!(header.payload_len as usize, payload.len());
        if self.frame_count == 0 {
            self.first_lsn = header.lsn;
        }
        let start = self.bytes.len();
        let mut fixed = [0; FRAME_HEADER_LEN];
        put_u32(&mut fixed, 4, header.payload_check);
        put_u64(&mut fixed, 8, header.lsn.get());
        put_u32(&mut fixed, 16, header.session.get());
        put_u32(&mut fixed, 20, header.seq.get());
        put_u32(&mut fixed, 24, header.payload_len);
        put_u32(&mut fixed, 32, header.epoch.get());
        fixed[36..40].copy_from_slice(&[
            header.kind,
            header.flags,
            header.codec,
            header.body_version,
        ]);
        self.bytes.extend_from_slice(&fixed);
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(start + frame_len(payload.len()), 0);
        self.frame_count += 1;
    }

    /// Bytes that the group will take, without padding.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of the frames alone, sealed or not.
    pub fn frames_len(&self) -> usize {
        self.unpadded_len() - GROUP_HEADER_LEN
    }

    /// Whether no frame was added.
    pub fn is_empty(&self) -> bool {
        self.frame_count == 0
    }

    /// Links and checks every frame for its place, writes the group's header and pads with
    /// zeros. After this the buffer's bytes are what goes to the disk.
    pub fn seal(&mut self, place: &Place) -> Links {
        let body_len = self.bytes.len() - GROUP_HEADER_LEN;
        debug_assert!(body_len <= MAX_BODY_LEN);
        let mut link = place.link;
        let mut checks = FrameChecks::new(place.seed);
        let mut offset = GROUP_HEADER_LEN;
        for _ in 0..self.frame_count {
            let header = &mut self.bytes[offset..offset + FRAME_HEADER_LEN];
            link = seal(place.seed, header, link);
            checks.add(link);
            offset += frame_len(get_u32(header, 24) as usize);
        }
        let header = GroupHeader {
            segment: place.segment,
            first_lsn: if self.frame_count == 0 {
                place.next_lsn
            } else {
                self.first_lsn
            },
            durable_lsn: place.durable_lsn,
            body_len: body_len as u32,
            frame_count: self.frame_count,
            prev_group: place.prev_group,
            flags: place.flags,
            epoch: place.epoch,
            frames_check: checks.finish(),
            at_ms: place.at_ms,
        };
        let group_link = header.encode(place.seed, &mut self.bytes);
        let padded = self
            .bytes
            .len()
            .next_multiple_of(place.align.max(FRAME_ALIGN));
        self.bytes.resize(padded, 0);
        Links { link, group_link }
    }

    /// The bytes to write. Only meaningful after [`GroupBuffer::seal`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The frames gathered so far, each with its offset from the group's first byte.
    pub fn frames(&self) -> Frames<'_> {
        let end = self.unpadded_len();
        Frames {
            body: &self.bytes[GROUP_HEADER_LEN..end],
            offset: 0,
        }
    }

    /// Empties the buffer, keeping its memory unless it is over `keep_bytes`.
    pub fn clear(&mut self, keep_bytes: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(keep_bytes.max(GROUP_HEADER_LEN));
        self.bytes.resize(GROUP_HEADER_LEN, 0);
        self.frame_count = 0;
        self.first_lsn = Lsn::default();
    }

    /// After sealing, the header knows the body's length; before, nothing is padded yet.
    fn unpadded_len(&self) -> usize {
        match get_u32(&self.bytes, 0) {
            GROUP_MAGIC => GROUP_HEADER_LEN + get_u32(&self.bytes, 32) as usize,
            _ => self.bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::checksum::payload_checksum;
    use crate::format::frame::tests::sample;
    use crate::format::ids::JournalId;

    fn place() -> Place {
        Place {
            seed: Seed::of_life(JournalId([4; 16]), 9),
            segment: SegmentId::new(9),
            next_lsn: Lsn::new(50),
            durable_lsn: Lsn::new(48),
            link: 0x1111,
            prev_group: 0x2222,
            flags: 0,
            epoch: Epoch::new(2),
            at_ms: 5,
            align: 4096,
        }
    }

    fn group_of(payloads: &[&[u8]]) -> (GroupBuffer, Links) {
        let mut buffer = GroupBuffer::default();
        for (i, payload) in payloads.iter().enumerate() {
            let header = FrameHeader {
                lsn: Lsn::new(50 + i as u64),
                ..sample(payload)
            };
            buffer.push(&header, payload);
        }
        let links = buffer.seal(&place());
        (buffer, links)
    }

    #[test]
    fn a_sealed_group_reads_back_frame_by_frame() {
        let (buffer, links) = group_of(&[b"one", b"", b"three"]);
        assert_eq!(buffer.bytes().len(), 4096);
        let p = place();
        let group = Group::decode(p.seed, p.segment, buffer.bytes()).expect("a good group");
        assert_eq!(group.first_prev, Some(p.link));
        assert_eq!(group.last_check, Some(links.link));
        assert_eq!(group.check, links.group_link);
        assert_eq!(group.header.end_lsn(), Lsn::new(53));
        let payloads: Vec<_> = group.frames().map(|(_, frame)| frame.payload).collect();
        assert_eq!(payloads, [&b"one"[..], b"", b"three"]);
        assert_eq!(buffer.frames().count(), 3);
        for (offset, frame) in group.frames() {
            let (again, _) = Frame::decode(p.seed, &buffer.bytes()[offset..]).expect("alone");
            assert_eq!(again, frame, "a frame is verifiable alone");
            assert_eq!(payload_checksum(frame.payload), frame.header.payload_check);
        }
    }

    /// What is held back until it is on the disk is counted by it.
    #[test]
    fn the_frames_of_a_group_are_as_long_before_it_is_sealed_as_after() {
        let mut buffer = GroupBuffer::default();
        assert!(buffer.is_empty());
        assert_eq!(buffer.frames_len(), 0);
        buffer.push(&sample(b"one"), b"one");
        buffer.push(&sample(b"twenty-one bytes long"), b"twenty-one bytes long");
        let frames = frame_len(3) + frame_len(21);
        assert!(!buffer.is_empty());
        assert_eq!(buffer.frames_len(), frames);
        assert_eq!(buffer.len(), GROUP_HEADER_LEN + frames);
        buffer.seal(&place());
        assert_eq!(buffer.bytes().len(), 4096);
        assert_eq!(buffer.frames_len(), frames);
        buffer.clear(0);
        assert!(buffer.is_empty());
        assert_eq!(buffer.frames_len(), 0);
    }

    #[test]
    fn every_flipped_bit_of_a_group_is_seen() {
        let (buffer, _) = group_of(&[b"one", b"two and a half"]);
        let p = place();
        let body = Group::decode(p.seed, p.segment, buffer.bytes())
            .expect("good")
            .header
            .len();
        let mut padding_seen = 0;
        for bit in 0..body * 8 {
            let mut bad = buffer.bytes().to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            match Group::decode(p.seed, p.segment, &bad) {
                Err(_) => {}
                Ok(group) => {
                    // Only the zeros that fill up a frame may differ, and they hold nothing.
                    let payloads: Vec<_> = group.frames().map(|(_, f)| f.payload).collect();
                    assert_eq!(payloads, [&b"one"[..], b"two and a half"], "bit {bit}");
                    padding_seen += 1;
                }
            }
        }
        assert_eq!(
            padding_seen,
            (5 + 2) * 8,
            "the padding of the two frames, nothing else"
        );
    }

    #[test]
    fn a_group_with_a_missing_or_swapped_frame_is_not_there() {
        let (buffer, _) = group_of(&[b"aaaaaaaa", b"bbbbbbbb", b"cccccccc"]);
        let p = place();
        let frame = frame_len(8);
        let mut without = buffer.bytes().to_vec();
        without.copy_within(64 + 2 * frame..64 + 3 * frame, 64 + frame);
        assert!(Group::decode(p.seed, p.segment, &without).is_err());
        let mut swapped = buffer.bytes().to_vec();
        let first = swapped[64..64 + frame].to_vec();
        swapped.copy_within(64 + frame..64 + 2 * frame, 64);
        swapped[64 + frame..64 + 2 * frame].copy_from_slice(&first);
        assert!(Group::decode(p.seed, p.segment, &swapped).is_err());
    }

    #[test]
    fn another_segments_group_and_uniform_blocks_are_no_groups() {
        let (buffer, _) = group_of(&[b"one"]);
        let p = place();
        assert!(Group::decode(p.seed, SegmentId::new(8), buffer.bytes()).is_err());
        assert!(Group::decode(p.seed, p.segment, &[0; 4096]).is_err());
        assert!(Group::decode(p.seed, p.segment, &[0xFF; 4096]).is_err());
    }
}
