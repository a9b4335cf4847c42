//! The header of a segment file: who it is, and from where it takes over.

use super::bytes::{get_u32, get_u64, put_u32, put_u64};
use super::checksum::Seed;
use super::fault::{Fault, expect};
use super::header::{FileHeader, FileKind};
use super::ids::{JournalId, Lsn, SegmentId};

/// Offset of the first group: the header has a block of its own, so that it is never rewritten
/// together with records.
pub const SEGMENT_DATA: u64 = 4096;

/// The first place at or behind `offset` where a group may begin. Groups are aligned to `align`
/// counted from [`SEGMENT_DATA`], where the first one begins.
pub const fn group_place(offset: u64, align: u64) -> u64 {
    SEGMENT_DATA + offset.saturating_sub(SEGMENT_DATA).next_multiple_of(align)
}

/// Length of the header's fields.
pub const SEGMENT_HEADER_LEN: usize = FileKind::Segment.header_len();

/// The fields of a segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The journal.
    pub journal: JournalId,
    /// This life's id.
    pub id: SegmentId,
    /// Bytes of the file, header included.
    pub capacity: u64,
    /// If not 0: whatever earlier segments hold from this LSN on is void, because recovery
    /// logged it again here.
    pub base_lsn: Lsn,
    /// Groups begin at multiples of this, counted from [`SEGMENT_DATA`].
    pub group_align: u32,
    /// With a base: the check of the frame before it.
    pub base_link: u32,
    /// With a base: the check of the group before it.
    pub base_group_link: u32,
    /// When the file was made; nothing is decided by it.
    pub created_ms: u64,
}

impl SegmentHeader {
    /// The seed of this life's checksums.
    pub fn seed(&self) -> Seed {
        Seed::of_life(self.journal, self.id.get())
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = [0; SEGMENT_HEADER_LEN];
        put_u64(&mut out, 48, self.capacity);
        put_u64(&mut out, 56, self.base_lsn.get());
        put_u32(&mut out, 72, self.group_align);
        put_u32(&mut out, 76, self.base_link);
        put_u32(&mut out, 80, self.base_group_link);
        put_u64(&mut out, 88, self.created_ms);
        FileHeader {
            kind: FileKind::Segment,
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
    /// As [`FileHeader::decode`], and [`Fault::Field`] for a seed that is not this life's or an
    /// alignment that is no power of two between 8 and 65536.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, Fault> {
        let file = FileHeader::decode(FileKind::Segment, bytes)?;
        let header = SegmentHeader {
            journal: file.journal,
            id: SegmentId::new(file.id),
            capacity: get_u64(bytes, 48),
            base_lsn: Lsn::new(get_u64(bytes, 56)),
            group_align: get_u32(bytes, 72),
            base_link: get_u32(bytes, 76),
            base_group_link: get_u32(bytes, 80),
            created_ms: get_u64(bytes, 88),
        };
        expect("seed", u64::from(header.seed().get()), u64::from(file.seed))?;
        if !header.group_align.is_power_of_two() || !(8..=65536).contains(&header.group_align) {
            return Err(Fault::Field {
                field: "group alignment",
                expected: 4096,
                found: u64::from(header.group_align),
            });
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alignment_that_no_writer_chooses_is_refused() {
        let with = |group_align| {
            let header = SegmentHeader {
                journal: JournalId([3; 16]),
                id: SegmentId::new(12),
                capacity: 1 << 20,
                base_lsn: Lsn::new(88),
                group_align,
                base_link: 7,
                base_group_link: 8,
                created_ms: 99,
            };
            SegmentHeader::decode(&header.encode())
        };
        for good in [8, 512, 4096, 65536] {
            assert!(with(good).is_ok(), "{good}");
        }
        for bad in [0, 1, 4, 24, 4095, 65537, 131_072] {
            assert!(
                matches!(with(bad), Err(Fault::Field { field: "group alignment", found, .. })
                    if found == u64::from(bad)),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_header_reads_back_and_another_lifes_seed_is_refused() {
        let header = SegmentHeader {
            journal: JournalId([3; 16]),
            id: SegmentId::new(12),
            capacity: 1 << 20,
            base_lsn: Lsn::new(88),
            group_align: 4096,
            base_link: 7,
            base_group_link: 8,
            created_ms: 99,
        };
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                SegmentHeader::decode(&bad).is_err(),
                "bit {bit} was flipped unseen"
            );
        }
    }
}
