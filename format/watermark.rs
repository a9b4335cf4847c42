//! The watermark page: how far the log is durable, kept without a system call.
//!
//! Two slots are stored in turn after each sync returned, so whatever a crash leaves, an intact
//! slot is a lower bound of what is durable. Each slot has a sector of its own.

use super::bytes::{get_u32, get_u64, put_u32, put_u64};
use super::checksum::{Seed, checksum};
use super::fault::{Fault, need, same};
use super::header::{FileHeader, FileKind, HEADER_LEN};
use super::ids::{Epoch, JournalId, Lsn, SegmentId};
use crate::sabotage::Sabotage;

/// Length of the file.
pub const WATERMARK_LEN: usize = 4096;
/// Length of a slot.
pub const SLOT_LEN: usize = 64;
/// Where the two slots are.
pub const SLOT_OFFSETS: [usize; 2] = [512, 1024];
/// The journal was closed at this point, and nothing was written behind it: before a writer
/// writes again, it overwrites both slots and syncs the page.
pub const CLEAN: u32 = 1;

/// What a slot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// One more with each store.
    pub counter: u64,
    /// Everything below is durable.
    pub durable_lsn: Lsn,
    /// The segment in which that ends.
    pub segment: SegmentId,
    /// The offset in it after the last durable group, padding included.
    pub end_offset: u64,
    /// [`CLEAN`].
    pub flags: u32,
    /// The writer.
    pub epoch: Epoch,
}

impl Watermark {
    /// Where this counter's slot is.
    pub const fn slot_offset(&self) -> usize {
        SLOT_OFFSETS[(self.counter % 2) as usize]
    }

    /// A slot's bytes.
    pub fn encode(&self, journal: JournalId) -> [u8; SLOT_LEN] {
        let mut out = [0; SLOT_LEN];
        put_u64(&mut out, 0, self.counter);
        put_u64(&mut out, 8, self.durable_lsn.get());
        put_u64(&mut out, 16, self.segment.get());
        put_u64(&mut out, 24, self.end_offset);
        put_u32(&mut out, 32, self.flags);
        put_u32(&mut out, 36, self.epoch.get());
        let check = checksum(seed(journal), &out[..60]);
        put_u32(&mut out, 60, check);
        out
    }

    fn decode_slot(journal: JournalId, bytes: &[u8]) -> Result<Watermark, Fault> {
        need("watermark slot", bytes, SLOT_LEN)?;
        same(
            "watermark slot",
            get_u32(bytes, 60),
            checksum(seed(journal), &bytes[..60]),
        )?;
        Ok(Watermark {
            counter: get_u64(bytes, 0),
            durable_lsn: Lsn::new(get_u64(bytes, 8)),
            segment: SegmentId::new(get_u64(bytes, 16)),
            end_offset: get_u64(bytes, 24),
            flags: get_u32(bytes, 32),
            epoch: Epoch::new(get_u32(bytes, 36)),
        })
    }

    /// A new page whose two slots both hold `first`.
    pub fn encode_page(journal: JournalId, first: Watermark) -> [u8; WATERMARK_LEN] {
        let mut page = [0; WATERMARK_LEN];
        FileHeader {
            kind: FileKind::Watermark,
            journal,
            id: 1,
            seed: seed(journal).get(),
        }
        .encode(&mut page[..HEADER_LEN]);
        for counter in [first.counter, first.counter + 1] {
            let slot = Watermark { counter, ..first };
            let at = slot.slot_offset();
            page[at..at + SLOT_LEN].copy_from_slice(&slot.encode(journal));
        }
        page
    }

    /// The newest intact slot of a page. One damaged slot is normal (it was being stored);
    /// with both damaged, or the header, nothing is known.
    ///
    /// # Errors
    /// The fault of the header, or of the second slot when neither validates.
    pub fn decode_page(journal: JournalId, page: &[u8]) -> Result<Watermark, Fault> {
        need("watermark page", page, WATERMARK_LEN)?;
        let file = FileHeader::decode(FileKind::Watermark, page)?;
        if file.journal != journal {
            return Err(Fault::Field {
                field: "journal of the watermark",
                expected: 0,
                found: 1,
            });
        }
        let [a, b] = SLOT_OFFSETS.map(|at| Self::decode_slot(journal, &page[at..at + SLOT_LEN]));
        match (a, b) {
            (Ok(a), Ok(b)) if Sabotage::StaleWatermark.is_on() => {
                Ok(if a.counter < b.counter { a } else { b })
            }
            (Ok(a), Ok(b)) => Ok(if a.counter > b.counter { a } else { b }),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(_), Err(fault)) => Err(fault),
        }
    }
}

fn seed(journal: JournalId) -> Seed {
    Seed::of_life(journal, u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOURNAL: JournalId = JournalId([5; 16]);

    fn mark(counter: u64, lsn: u64) -> Watermark {
        Watermark {
            counter,
            durable_lsn: Lsn::new(lsn),
            ..Watermark::default()
        }
    }

    #[test]
    fn a_damaged_slot_never_raises_the_bound() {
        let mut page = Watermark::encode_page(JOURNAL, mark(4, 10));
        let newer = mark(6, 20);
        let at = newer.slot_offset();
        page[at..at + SLOT_LEN].copy_from_slice(&newer.encode(JOURNAL));
        assert_eq!(Watermark::decode_page(JOURNAL, &page), Ok(newer));
        for bit in at * 8..(at + SLOT_LEN) * 8 {
            let mut bad = page;
            bad[bit / 8] ^= 1 << (bit % 8);
            let found = Watermark::decode_page(JOURNAL, &bad).expect("the other slot is whole");
            assert_eq!(found.durable_lsn, Lsn::new(10), "bit {bit}");
        }
    }

    #[test]
    fn another_journals_page_says_nothing() {
        let page = Watermark::encode_page(JournalId([6; 16]), mark(4, 10));
        assert!(Watermark::decode_page(JOURNAL, &page).is_err());
        assert!(Watermark::decode_page(JOURNAL, &[0; WATERMARK_LEN]).is_err());
    }
}
