//! A pack: live records of a range of LSNs, grouped by session, in checksummed blocks, indexed.
//!
//! A pack is written once, read back, published by a manifest and never changed. From front to
//! back: header, blocks, index, footer. Its end is where the footer is, and the footer says how
//! long the file must be.

use super::bytes::{get_u32, get_u64, put_u32, put_u64};
use super::checksum::{Seed, checksum};
use super::fault::{Fault, expect, need, same};
use super::frame::{Frame, frame_len};
use super::header::{FileHeader, FileKind};
use super::ids::{JournalId, Lsn, PackId};
use super::manifest::PackRef;
use super::pack_block::{BlockBuilder, BlockCodec, BlockHeader, decode_block};
use super::pack_index::{IndexEncoder, PackIndex, RecordSlot};
use std::ops::Range;

/// Length of a pack's header; the first block follows it.
pub const PACK_HEADER_LEN: usize = FileKind::Pack.header_len();

/// Length of a pack's footer, the last bytes of the file.
pub const PACK_FOOTER_LEN: usize = 96;

/// What the footer begins with.
pub const PACK_FOOTER_MAGIC: [u8; 8] = *b"TKPEND\x1a\n";

const _: () = assert!(PACK_HEADER_LEN.is_multiple_of(8) && PACK_FOOTER_LEN.is_multiple_of(8));

/// The fields of a pack's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackHeader {
    /// The journal.
    pub journal: JournalId,
    /// Its id.
    pub id: PackId,
    /// First LSN that the pack answers for.
    pub lsn_from: Lsn,
    /// First LSN after those.
    pub lsn_to: Lsn,
}

impl PackHeader {
    /// The seed of this pack's checksums.
    pub fn seed(&self) -> Seed {
        Seed::of_file(self.journal, self.id.get(), FileKind::Pack.magic())
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; PACK_HEADER_LEN] {
        let mut out = [0; PACK_HEADER_LEN];
        put_u64(&mut out, 48, self.lsn_from.get());
        put_u64(&mut out, 56, self.lsn_to.get());
        FileHeader {
            kind: FileKind::Pack,
            journal: self.journal,
            id: self.id.get(),
            seed: self.seed().get(),
        }
        .encode(&mut out);
        out
    }

    /// Reads and checks a header.
    ///
    /// # Errors
    /// As [`FileHeader::decode`], and [`Fault::Field`] for a seed that is not this pack's or an
    /// empty range of LSNs.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let file = FileHeader::decode(FileKind::Pack, bytes)?;
        let header = PackHeader {
            journal: file.journal,
            id: PackId::new(file.id),
            lsn_from: Lsn::new(get_u64(bytes, 48)),
            lsn_to: Lsn::new(get_u64(bytes, 56)),
        };
        expect("seed", header.seed().get().into(), file.seed.into())?;
        if header.lsn_from >= header.lsn_to || header.lsn_from.get() == 0 {
            return Err(Fault::Field {
                field: "end of a pack's lsns",
                expected: header.lsn_from.next().get(),
                found: header.lsn_to.get(),
            });
        }
        Ok(header)
    }
}

/// The fields of a pack's footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackFooter {
    /// The pack's id, as in its header.
    pub id: PackId,
    /// Its first LSN, as in its header.
    pub lsn_from: Lsn,
    /// The first LSN after it, as in its header.
    pub lsn_to: Lsn,
    /// Where the index begins.
    pub index_offset: u64,
    /// Length of the index.
    pub index_len: u64,
    /// Length of the whole file.
    pub file_len: u64,
    /// Checksum of the index.
    pub index_crc: u32,
    /// Entries of the session table.
    pub sessions: u32,
    /// Entries of the block table.
    pub blocks: u32,
    /// Entries of the record table, and of the order by LSN.
    pub records: u32,
}

impl PackFooter {
    /// The footer's bytes.
    pub fn encode(&self, seed: Seed) -> [u8; PACK_FOOTER_LEN] {
        let mut out = [0; PACK_FOOTER_LEN];
        out[..8].copy_from_slice(&PACK_FOOTER_MAGIC);
        put_u64(&mut out, 8, self.id.get());
        put_u64(&mut out, 16, self.lsn_from.get());
        put_u64(&mut out, 24, self.lsn_to.get());
        put_u64(&mut out, 32, self.index_offset);
        put_u64(&mut out, 40, self.index_len);
        put_u64(&mut out, 48, self.file_len);
        put_u32(&mut out, 56, self.index_crc);
        put_u32(&mut out, 60, self.sessions);
        put_u32(&mut out, 64, self.blocks);
        put_u32(&mut out, 68, self.records);
        let check = checksum(seed, &out[..92]);
        put_u32(&mut out, 92, check);
        out
    }

    /// Reads and checks the footer, the last [`PACK_FOOTER_LEN`] bytes of a file that is
    /// `file_len` bytes long and begins with `header`.
    ///
    /// # Errors
    /// [`Fault::Short`], [`Fault::Magic`], [`Fault::Checksum`], or [`Fault::Field`] for a footer
    /// that contradicts the header, the file's length or itself.
    pub fn decode(header: &PackHeader, file_len: u64, bytes: &[u8]) -> Result<Self, Fault> {
        need("pack footer", bytes, PACK_FOOTER_LEN)?;
        if bytes[..8] != PACK_FOOTER_MAGIC {
            return Err(Fault::Magic {
                what: "pack footer",
                found: get_u64(bytes, 0),
            });
        }
        same(
            "pack footer",
            get_u32(bytes, 92),
            checksum(header.seed(), &bytes[..92]),
        )?;
        let footer = PackFooter {
            id: PackId::new(get_u64(bytes, 8)),
            lsn_from: Lsn::new(get_u64(bytes, 16)),
            lsn_to: Lsn::new(get_u64(bytes, 24)),
            index_offset: get_u64(bytes, 32),
            index_len: get_u64(bytes, 40),
            file_len: get_u64(bytes, 48),
            index_crc: get_u32(bytes, 56),
            sessions: get_u32(bytes, 60),
            blocks: get_u32(bytes, 64),
            records: get_u32(bytes, 68),
        };
        expect("pack id", header.id.get(), footer.id.get())?;
        expect("first lsn", header.lsn_from.get(), footer.lsn_from.get())?;
        expect("end of lsns", header.lsn_to.get(), footer.lsn_to.get())?;
        expect("file length", footer.file_len, file_len)?;
        let index_len =
            PackIndex::len_for(footer.sessions, footer.blocks, footer.records).unwrap_or(u64::MAX);
        expect("pack index length", index_len, footer.index_len)?;
        let index_end = footer.index_offset.saturating_add(footer.index_len);
        expect(
            "end of the pack index",
            file_len.saturating_sub(PACK_FOOTER_LEN as u64),
            index_end,
        )?;
        if footer.index_offset < PACK_HEADER_LEN as u64 {
            return Err(Fault::Field {
                field: "offset of the pack index",
                expected: PACK_HEADER_LEN as u64,
                found: footer.index_offset,
            });
        }
        Ok(footer)
    }

    /// Where the index is in the file.
    pub fn index_range(&self) -> Range<u64> {
        self.index_offset..self.index_offset.saturating_add(self.index_len)
    }
}

/// A whole pack over its bytes, usually a map of the file.
#[derive(Clone, Copy, Debug)]
pub struct Pack<'a> {
    /// Its header.
    pub header: PackHeader,
    /// Its footer.
    pub footer: PackFooter,
    /// Its index.
    pub index: PackIndex<'a>,
    bytes: &'a [u8],
}

impl<'a> Pack<'a> {
    /// Decodes header and footer alone, which say that the file is the whole of its pack.
    ///
    /// # Errors
    /// [`Fault`] for what does not validate.
    pub fn ends(bytes: &[u8]) -> Result<(PackHeader, PackFooter), Fault> {
        let header = PackHeader::decode(bytes)?;
        let footer_at = bytes.len().saturating_sub(PACK_FOOTER_LEN);
        let footer = PackFooter::decode(&header, bytes.len() as u64, &bytes[footer_at..])?;
        Ok((header, footer))
    }

    /// Reads and checks header, footer and index. The blocks are checked when they are read.
    ///
    /// # Errors
    /// The first fault found; see the decoders of the parts.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (header, footer) = Pack::ends(bytes)?;
        let footer_at = bytes.len() - PACK_FOOTER_LEN;
        let index_at = footer.index_offset as usize;
        let index = PackIndex::decode(header.seed(), &footer, &bytes[index_at..footer_at])?;
        Ok(Pack {
            header,
            footer,
            index,
            bytes,
        })
    }

    /// Reads a pack that was decoded before, without checking it again. The caller kept its
    /// header and footer, and `bytes` are those of the same file.
    ///
    /// # Errors
    /// [`Fault::Field`] if `bytes` is not as long as the footer says.
    pub fn view(header: &PackHeader, footer: &PackFooter, bytes: &'a [u8]) -> Result<Self, Fault> {
        expect("file length", footer.file_len, bytes.len() as u64)?;
        let range = footer.index_range();
        let index = bytes
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default();
        Ok(Pack {
            header: *header,
            footer: *footer,
            index: PackIndex::view(footer, index)?,
            bytes,
        })
    }

    /// The raw bytes of the `i`-th block, borrowed from the file or decompressed into `scratch`.
    ///
    /// # Errors
    /// [`Fault::Field`] for a block that there is not, and as [`decode_block`].
    pub fn block<'s>(&self, i: u32, scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Fault>
    where
        'a: 's,
    {
        let slot = self.index.block(i).ok_or(Fault::Field {
            field: "block of a pack",
            expected: self.index.block_count().into(),
            found: i.into(),
        })?;
        let extent = slot.extent();
        let bytes = self
            .bytes
            .get(extent.start as usize..extent.end as usize)
            .unwrap_or_default();
        let header = BlockHeader::decode(self.header.seed(), slot.offset, bytes)?;
        slot.expect_header(&header)?;
        decode_block(self.header.seed(), slot.offset, bytes, scratch)
    }

    /// The frame of a record among its block's raw bytes: checked, and the one that the index
    /// means.
    ///
    /// # Errors
    /// As [`Frame::decode`], and [`Fault::Field`] for another record's frame.
    pub fn frame<'r>(&self, slot: &RecordSlot, raw: &'r [u8]) -> Result<Frame<'r>, Fault> {
        let begin = slot.off as usize;
        let bytes = begin
            .checked_add(slot.len as usize)
            .and_then(|end| raw.get(begin..end))
            .unwrap_or_default();
        let (frame, taken) = Frame::decode(self.header.seed(), bytes)?;
        expect("length of a record", slot.len.into(), taken as u64)?;
        expect("lsn", slot.lsn.get(), frame.header.lsn.get())?;
        expect(
            "sequence",
            slot.seq.get().into(),
            frame.header.seq.get().into(),
        )?;
        Ok(frame)
    }

    /// Reads every block and every frame, and checks that each frame belongs to the session
    /// that the index files it under and links to the one before it in its block.
    ///
    /// # Errors
    /// The first fault found.
    pub fn verify(&self, scratch: &mut Vec<u8>) -> Result<(), Fault> {
        let mut session = 0;
        let mut i = 0;
        for block in 0..self.index.block_count() {
            let raw = self.block(block, scratch)?;
            let mut link = 0;
            while let Some(slot) = self.index.record(i).filter(|slot| slot.block == block) {
                let frame = self.frame(&slot, raw)?;
                while self
                    .index
                    .session_at(session)
                    .is_some_and(|(_, records)| records.end <= i)
                {
                    session += 1;
                }
                let filed = self.index.session_at(session).map_or(0, |(no, _)| no.get());
                expect("session", filed.into(), frame.header.session.get().into())?;
                expect(
                    "link to the previous frame",
                    u64::from(link),
                    frame.header.prev.into(),
                )?;
                link = frame.check;
                i += 1;
            }
        }
        expect("records of a pack", self.footer.records.into(), i.into())
    }
}

/// Writes a pack from front to back.
///
/// Every call appends to the buffer it is given; the caller may write the buffer out and clear
/// it between calls, so that memory follows the block and the index, not the pack.
#[derive(Debug)]
pub struct PackEncoder {
    header: PackHeader,
    seed: Seed,
    block: BlockBuilder,
    index: IndexEncoder,
    position: u64,
}

impl PackEncoder {
    /// Begins a pack and appends its header to `out`. Blocks are stored by `codec` where that
    /// pays.
    pub fn new(header: PackHeader, codec: BlockCodec, out: &mut Vec<u8>) -> Self {
        assert!(
            header.lsn_from < header.lsn_to && header.lsn_from.get() > 0,
            "a pack answers for at least one lsn"
        );
        out.extend_from_slice(&header.encode());
        PackEncoder {
            header,
            seed: header.seed(),
            block: BlockBuilder::new(header.seed(), codec),
            index: IndexEncoder::default(),
            position: PACK_HEADER_LEN as u64,
        }
    }

    /// Adds a record: sessions ascending, in each the sequence (and with it the LSN) ascending.
    /// The frame is written again under the pack's seed.
    pub fn push(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) {
        let header = &frame.header;
        assert!(
            (self.header.lsn_from..self.header.lsn_to).contains(&header.lsn),
            "a record lies in the range of its pack"
        );
        if !self.block.takes(frame_len(frame.payload.len())) {
            self.finish_block(out);
        }
        let (off, len) = self.block.push(frame);
        self.index
            .record(header.session, header.lsn, header.seq, off, len);
    }

    /// Ends the pack: appends the last block, the index and the footer. The result is how a
    /// manifest refers to it.
    pub fn finish(mut self, out: &mut Vec<u8>) -> PackRef {
        if !self.block.is_empty() {
            self.finish_block(out);
        }
        let (sessions, blocks, records) = (
            self.index.session_count(),
            self.index.block_count(),
            self.index.record_count(),
        );
        let begin = out.len();
        let index_crc = self.index.finish(self.seed, out);
        let index_len = (out.len() - begin) as u64;
        let footer = PackFooter {
            id: self.header.id,
            lsn_from: self.header.lsn_from,
            lsn_to: self.header.lsn_to,
            index_offset: self.position,
            index_len,
            file_len: self.position + index_len + PACK_FOOTER_LEN as u64,
            index_crc,
            sessions,
            blocks,
            records,
        };
        out.extend_from_slice(&footer.encode(self.seed));
        PackRef {
            id: footer.id,
            lsn_from: footer.lsn_from,
            lsn_to: footer.lsn_to,
            records: records.into(),
            bytes: footer.file_len,
            index_crc,
        }
    }

    fn finish_block(&mut self, out: &mut Vec<u8>) {
        let header = self.block.finish(self.position, out);
        self.index.block(self.position, &header);
        self.position += header.extent();
    }
}

#[cfg(test)]
mod lies;
#[cfg(test)]
pub(super) mod tests;
