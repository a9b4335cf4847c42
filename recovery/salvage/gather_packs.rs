//! Gathering from packs: by their index, or, without one, block by block wherever one begins.

use super::gather::{Damage, Gathered, Listed, MAX_LSN, Rank};
use super::source::{FrameAt, Source, Window, read_block};
use crate::format::frame::{FRAME_ALIGN, Frame};
use crate::format::ids::{JournalId, Lsn, PackId};
use crate::format::manifest::PackRef;
use crate::format::pack::{PACK_FOOTER_LEN, PACK_HEADER_LEN, PackFooter, PackHeader};
use crate::format::pack_block::{BLOCK_HEADER_LEN, BlockHeader};
use crate::format::pack_index::PackIndex;

/// Longest index of a pack that is read.
const MAX_INDEX_BYTES: u64 = 4 << 30;

impl Gathered {
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
