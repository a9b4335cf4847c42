//! Gathering from segments: group by group, and frame by frame where a group is broken.

use super::gather::{Damage, Gathered, MAX_LSN, Rank, plausible};
use super::source::{FrameAt, Kind, Source, Window};
use crate::format::frame::FRAME_ALIGN;
use crate::format::group::{GROUP_HEADER_LEN, GROUP_MAGIC, Group, GroupHeader, SEAL};
use crate::format::ids::{Lsn, SegmentId};
use crate::format::segment::{SEGMENT_DATA, group_place};

impl Gathered {
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
            offset = group_place(end, self.align);
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
        let mut at = group_place(from, self.align);
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
