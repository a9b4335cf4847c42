//! The index of a pack: four tables that are read where they lie.
//!
//! Sessions, blocks, records grouped by session, and the records' order by LSN. Decoding
//! validates every entry once, against its neighbours and the footer; lookups then allocate
//! nothing. They stay total even if the bytes change afterwards: a lookup in a map whose
//! medium rots finds nothing or something that the frame's own checksum refuses.

use super::bytes::{get_u32, get_u64};
use super::checksum::{Seed, checksum};
use super::fault::{Fault, expect, same};
use super::frame::{FRAME_ALIGN, FRAME_HEADER_LEN};
use super::ids::{Lsn, Seq, SessionNo};
use super::pack::{PACK_HEADER_LEN, PackFooter};
use super::pack_block::{BLOCK_HEADER_LEN, BlockHeader, MAX_BLOCK_LEN, block_extent};
use std::ops::Range;

/// Length of an entry of the session table.
pub const SESSION_ENTRY_LEN: usize = 8;
/// Length of an entry of the block table.
pub const BLOCK_ENTRY_LEN: usize = 24;
/// Length of an entry of the record table.
pub const RECORD_ENTRY_LEN: usize = 24;
/// Length of an entry of the LSN order.
pub const ORDER_ENTRY_LEN: usize = 4;

/// Where a record of a pack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSlot {
    /// Its place in the journal.
    pub lsn: Lsn,
    /// Its place in its session.
    pub seq: Seq,
    /// The block that holds it.
    pub block: u32,
    /// Where its frame begins among the block's raw bytes.
    pub off: u32,
    /// Length of its frame, padding included.
    pub len: u32,
}

/// Where a block of a pack is, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSlot {
    /// Its offset in the file.
    pub offset: u64,
    /// Bytes stored, without header and padding.
    pub stored_len: u32,
    /// Bytes that they become.
    pub raw_len: u32,
    /// Checksum of the stored bytes: so the index's checksum answers for every byte of the pack.
    pub stored_crc: u32,
    /// The first record in it; it holds those up to the next block's first.
    pub first_record: u32,
}

impl BlockSlot {
    /// The bytes of the file that the block takes.
    pub fn extent(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(block_extent(self.stored_len))
    }

    /// Returns a fault unless `header` is that of the block which the index means.
    pub fn expect_header(&self, header: &BlockHeader) -> Result<(), Fault> {
        expect(
            "stored length of a block",
            self.stored_len.into(),
            header.stored_len.into(),
        )?;
        expect(
            "raw length of a block",
            self.raw_len.into(),
            header.raw_len.into(),
        )?;
        same("block", self.stored_crc, header.stored_crc)
    }
}

/// The index of a pack, over the bytes of it.
#[derive(Clone, Copy, Debug)]
pub struct PackIndex<'a> {
    sessions: &'a [u8],
    blocks: &'a [u8],
    records: &'a [u8],
    order: &'a [u8],
}

impl<'a> PackIndex<'a> {
    /// Length of an index with that many entries, or `None` if it is beyond all reason.
    pub fn len_for(sessions: u32, blocks: u32, records: u32) -> Option<u64> {
        let order = (u64::from(records) * ORDER_ENTRY_LEN as u64).next_multiple_of(8);
        (u64::from(sessions) * SESSION_ENTRY_LEN as u64)
            .checked_add(u64::from(blocks) * BLOCK_ENTRY_LEN as u64)?
            .checked_add(u64::from(records) * RECORD_ENTRY_LEN as u64)?
            .checked_add(order)
    }

    /// Reads and checks the whole index: its checksum, and every entry of every table.
    ///
    /// # Errors
    /// [`Fault::Checksum`], or [`Fault::Field`] for the first entry that contradicts the footer
    /// or its neighbours.
    pub fn decode(seed: Seed, footer: &PackFooter, bytes: &'a [u8]) -> Result<Self, Fault> {
        let index = PackIndex::view(footer, bytes)?;
        same("pack index", footer.index_crc, checksum(seed, bytes))?;
        index.check_sessions()?;
        index.check_blocks(footer)?;
        index.check_records(footer)?;
        index.check_order(footer)?;
        Ok(index)
    }

    /// Reads an index that was decoded before: only its length is looked at.
    ///
    /// # Errors
    /// [`Fault::Field`] if `bytes` is not as long as the footer says.
    pub fn view(footer: &PackFooter, bytes: &'a [u8]) -> Result<Self, Fault> {
        let PackFooter {
            sessions,
            blocks,
            records,
            ..
        } = *footer;
        let expected = PackIndex::len_for(sessions, blocks, records).unwrap_or(u64::MAX);
        expect("pack index length", expected, bytes.len() as u64)?;
        let (sessions, rest) = bytes.split_at(sessions as usize * SESSION_ENTRY_LEN);
        let (blocks, rest) = rest.split_at(blocks as usize * BLOCK_ENTRY_LEN);
        let (records, order) = rest.split_at(records as usize * RECORD_ENTRY_LEN);
        Ok(PackIndex {
            sessions,
            blocks,
            records,
            order,
        })
    }

    /// How many sessions have records in the pack.
    pub fn session_count(&self) -> u32 {
        (self.sessions.len() / SESSION_ENTRY_LEN) as u32
    }

    /// How many records the pack holds.
    pub fn record_count(&self) -> u32 {
        (self.records.len() / RECORD_ENTRY_LEN) as u32
    }

    /// How many blocks the pack has.
    pub fn block_count(&self) -> u32 {
        (self.blocks.len() / BLOCK_ENTRY_LEN) as u32
    }

    /// The `i`-th session in order of numbers, and the range of its records.
    pub fn session_at(&self, i: u32) -> Option<(SessionNo, Range<u32>)> {
        let entry = entry(self.sessions, i, SESSION_ENTRY_LEN)?;
        let first = get_u32(entry, 4);
        let end = i
            .checked_add(1)
            .and_then(|next| self::entry(self.sessions, next, SESSION_ENTRY_LEN))
            .map_or(self.record_count(), |next| get_u32(next, 4));
        Some((SessionNo::new(get_u32(entry, 0)), first..end))
    }

    /// The range of the records of a session; `None` if the pack has none of it.
    pub fn session(&self, no: SessionNo) -> Option<Range<u32>> {
        let i = lower_bound(0..self.session_count(), |i| {
            self.session_at(i).is_some_and(|(at, _)| at < no)
        });
        self.session_at(i)
            .filter(|(at, _)| *at == no)
            .map(|(_, records)| records)
    }

    /// The `i`-th record, in order of sessions, then of sequence.
    pub fn record(&self, i: u32) -> Option<RecordSlot> {
        let entry = entry(self.records, i, RECORD_ENTRY_LEN)?;
        Some(RecordSlot {
            lsn: Lsn::new(get_u64(entry, 0)),
            seq: Seq::new(get_u32(entry, 8)),
            block: get_u32(entry, 12),
            off: get_u32(entry, 16),
            len: get_u32(entry, 20),
        })
    }

    /// The number of the `i`-th record in order of LSN.
    pub fn by_lsn(&self, i: u32) -> Option<u32> {
        entry(self.order, i, ORDER_ENTRY_LEN)
            .filter(|_| i < self.record_count())
            .map(|entry| get_u32(entry, 0))
    }

    /// The place in LSN order of the first record at or after `lsn`; the number of records if
    /// there is none.
    pub fn lower_bound_lsn(&self, lsn: Lsn) -> u32 {
        lower_bound(0..self.record_count(), |i| {
            self.by_lsn(i)
                .and_then(|record| self.record(record))
                .is_some_and(|slot| slot.lsn < lsn)
        })
    }

    /// The records of a session from `seq` on: empty if there are none.
    pub fn lower_bound_seq(&self, session: SessionNo, seq: Seq) -> Range<u32> {
        let Some(records) = self.session(session) else {
            return 0..0;
        };
        let first = lower_bound(records.clone(), |i| {
            self.record(i).is_some_and(|slot| slot.seq < seq)
        });
        first..records.end
    }

    /// Where the `i`-th block is.
    pub fn block(&self, i: u32) -> Option<BlockSlot> {
        let entry = entry(self.blocks, i, BLOCK_ENTRY_LEN)?;
        Some(BlockSlot {
            offset: get_u64(entry, 0),
            stored_len: get_u32(entry, 8),
            raw_len: get_u32(entry, 12),
            stored_crc: get_u32(entry, 16),
            first_record: get_u32(entry, 20),
        })
    }

    /// Where the `i`-th block begins in the file.
    pub fn block_offset(&self, i: u32) -> Option<u64> {
        self.block(i).map(|block| block.offset)
    }

    /// Sessions ascend, and each has at least one record.
    fn check_sessions(&self) -> Result<(), Fault> {
        let mut before: Option<(SessionNo, u32)> = None;
        for i in 0..self.session_count() {
            let (no, records) = self.session_at(i).expect("i is below the count");
            match before {
                None => expect("first record of a session", 0, records.start.into())?,
                Some((last, _)) => above("session of a pack", last.get(), no.get())?,
            }
            if let Some((_, first)) = before {
                above("first record of a session", first, records.start)?;
            }
            before = Some((no, records.start));
        }
        match before {
            None => expect("records without a session", 0, self.record_count().into()),
            Some((_, first)) => above("records of a pack", first, self.record_count()),
        }
    }

    /// In each session sequence and LSN ascend; frames follow one another through the blocks
    /// without a gap.
    fn check_records(&self, footer: &PackFooter) -> Result<(), Fault> {
        for s in 0..self.session_count() {
            let (_, records) = self.session_at(s).expect("s is below the count");
            let mut before = (Seq::new(0), Lsn::new(0));
            for i in records {
                let slot = self.record(i).ok_or(beyond("record", i))?;
                above("sequence of a record", before.0.get(), slot.seq.get())?;
                if slot.lsn <= before.1 || !(footer.lsn_from..footer.lsn_to).contains(&slot.lsn) {
                    return Err(Fault::Field {
                        field: "lsn of a record",
                        expected: before.1.next().max(footer.lsn_from).get(),
                        found: slot.lsn.get(),
                    });
                }
                before = (slot.seq, slot.lsn);
            }
        }
        let mut place = (0, 0);
        for i in 0..self.record_count() {
            let slot = self.record(i).expect("i is below the count");
            let block = place.0;
            if i > 0 && slot.block == block + 1 {
                place = (block + 1, 0);
            } else {
                expect("block of a record", block.into(), slot.block.into())?;
            }
            let held = self
                .block(slot.block)
                .ok_or(beyond("block of a record", slot.block))?;
            if place.1 == 0 {
                expect(
                    "first record of a block",
                    i.into(),
                    held.first_record.into(),
                )?;
            }
            expect("offset of a record", place.1.into(), slot.off.into())?;
            let end = slot.off.saturating_add(slot.len);
            let whole = slot.len as usize >= FRAME_HEADER_LEN
                && (slot.len as usize).is_multiple_of(FRAME_ALIGN)
                && end <= held.raw_len;
            if !whole {
                return Err(Fault::Field {
                    field: "length of a record",
                    expected: (held.raw_len - slot.off.min(held.raw_len)).into(),
                    found: slot.len.into(),
                });
            }
            let last_of_block = self
                .record(i + 1)
                .is_none_or(|next| next.block != slot.block);
            if last_of_block {
                expect("end of a block", held.raw_len.into(), end.into())?;
            }
            place.1 = end;
        }
        let used = if self.record_count() == 0 {
            0
        } else {
            place.0 + 1
        };
        expect(
            "blocks with records",
            used.into(),
            self.block_count().into(),
        )
    }

    /// Blocks fill the file from its header to the index.
    fn check_blocks(&self, footer: &PackFooter) -> Result<(), Fault> {
        let mut offset = PACK_HEADER_LEN as u64;
        for i in 0..self.block_count() {
            let block = self.block(i).expect("i is below the count");
            expect("offset of a block", offset, block.offset)?;
            if block.raw_len as usize > MAX_BLOCK_LEN || block.stored_len > block.raw_len {
                return Err(Fault::Field {
                    field: "raw length of a block",
                    expected: MAX_BLOCK_LEN as u64,
                    found: block.raw_len.into(),
                });
            }
            offset = block.extent().end;
        }
        expect("end of the blocks", footer.index_offset, offset)
    }

    /// The order names records of ascending LSN, so each one exactly once.
    fn check_order(&self, footer: &PackFooter) -> Result<(), Fault> {
        let mut before = Lsn::new(0);
        for i in 0..self.record_count() {
            let record = self.by_lsn(i).expect("i is below the count");
            let slot = self.record(record).ok_or(beyond("record", record))?;
            if slot.lsn <= before {
                return Err(Fault::Field {
                    field: "order by lsn",
                    expected: before.next().get(),
                    found: slot.lsn.get(),
                });
            }
            before = slot.lsn;
        }
        let padding = &self.order[footer.records as usize * ORDER_ENTRY_LEN..];
        expect(
            "padding of a pack index",
            0,
            padding.iter().copied().max().unwrap_or(0).into(),
        )
    }
}

/// The `i`-th entry of a table.
fn entry(table: &[u8], i: u32, len: usize) -> Option<&[u8]> {
    let begin = (i as usize).checked_mul(len)?;
    table.get(begin..begin.checked_add(len)?)
}

/// The first of `range` for which `is_before` does not hold.
fn lower_bound(range: Range<u32>, is_before: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (range.start, range.end.max(range.start));
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn above(field: &'static str, before: u32, found: u32) -> Result<(), Fault> {
    if found <= before {
        return Err(Fault::Field {
            field,
            expected: u64::from(before) + 1,
            found: found.into(),
        });
    }
    Ok(())
}

fn beyond(field: &'static str, found: u32) -> Fault {
    Fault::Field {
        field,
        expected: 0,
        found: found.into(),
    }
}

/// Gathers the tables while a pack is written.
#[derive(Debug, Default)]
pub struct IndexEncoder {
    sessions: Vec<u8>,
    blocks: Vec<u8>,
    records: Vec<u8>,
    lsns: Vec<(Lsn, u32)>,
    block_count: u32,
    block_first: u32,
    last: Option<(SessionNo, Seq)>,
}

impl IndexEncoder {
    /// Adds the next record, which stands in the block that is being gathered: sessions
    /// ascending, and sequence ascending in each.
    pub fn record(&mut self, session: SessionNo, lsn: Lsn, seq: Seq, off: u32, len: u32) {
        assert!(
            self.last < Some((session, seq)) && seq.get() > 0,
            "records come by session, then by sequence"
        );
        let i = self.record_count();
        if self.last.is_none_or(|(last, _)| last != session) {
            self.sessions
                .extend_from_slice(&session.get().to_le_bytes());
            self.sessions.extend_from_slice(&i.to_le_bytes());
        }
        self.last = Some((session, seq));
        self.records.extend_from_slice(&lsn.get().to_le_bytes());
        for field in [seq.get(), self.block_count, off, len] {
            self.records.extend_from_slice(&field.to_le_bytes());
        }
        self.lsns.push((lsn, i));
    }

    /// Adds the block that holds the records added since the one before.
    pub fn block(&mut self, offset: u64, header: &BlockHeader) {
        self.blocks.extend_from_slice(&offset.to_le_bytes());
        for field in [
            header.stored_len,
            header.raw_len,
            header.stored_crc,
            self.block_first,
        ] {
            self.blocks.extend_from_slice(&field.to_le_bytes());
        }
        self.block_count += 1;
        self.block_first = self.record_count();
    }

    /// How many records were added.
    pub fn record_count(&self) -> u32 {
        self.lsns.len() as u32
    }

    /// How many sessions they belong to.
    pub fn session_count(&self) -> u32 {
        (self.sessions.len() / SESSION_ENTRY_LEN) as u32
    }

    /// How many blocks were added.
    pub fn block_count(&self) -> u32 {
        self.block_count
    }

    /// Appends the tables to `out` and returns their checksum.
    pub fn finish(mut self, seed: Seed, out: &mut Vec<u8>) -> u32 {
        let begin = out.len();
        out.extend_from_slice(&self.sessions);
        out.extend_from_slice(&self.blocks);
        out.extend_from_slice(&self.records);
        self.lsns.sort_unstable();
        for (_, record) in &self.lsns {
            out.extend_from_slice(&record.to_le_bytes());
        }
        let padded = begin + (out.len() - begin).next_multiple_of(8);
        out.resize(padded, 0);
        checksum(seed, &out[begin..])
    }
}

const _: () = assert!(BLOCK_HEADER_LEN.is_multiple_of(8) && BLOCK_ENTRY_LEN.is_multiple_of(8));
