//! What stands at the end of the log and behind it: nothing, remains of an earlier life of the
//! file, a torn group, or whole groups that prove that something is missing before them.
//!
//! Looking never touches.

use super::resync::is_whole;
use super::verdict::{Found, Survivor};
use crate::error::Result;
use crate::format::checksum::Seed;
use crate::format::frame::{FRAME_ALIGN, FRAME_HEADER_LEN, FrameHeader};
use crate::format::group::{GROUP_HEADER_LEN, GROUP_MAGIC, GroupHeader};
use crate::format::ids::{Lsn, SegmentId};
use crate::journal::segments::SegmentFile;

/// How much is read at once while looking for survivors.
const CHUNK_BYTES: usize = 1 << 20;

/// How many earlier lives of a file are recognised by their seeds.
const LIVES: u64 = 64;

/// Whether a position that is no whole group holds the remains of one of this life.
///
/// Nothing is decided by it but what is reported as torn, and whether a closed segment is
/// appended to: behind a closing group there are zeros, so whatever else is there is younger.
pub(super) fn classify(segment: &SegmentFile, offset: u64) -> Result<Found> {
    let align = segment.header().group_align as usize;
    let mut block = vec![0; align.max(GROUP_HEADER_LEN)];
    let got = segment.read_at(&mut block, offset)?;
    block.truncate(got);
    if block.iter().all(|&byte| byte == 0) || is_leftover(segment, &block) {
        return Ok(Found::Nothing);
    }
    Ok(Found::BrokenGroup)
}

/// Whether a block holds the header of a group or of a frame of an earlier life of the file.
fn is_leftover(segment: &SegmentFile, block: &[u8]) -> bool {
    let journal = segment.header().journal;
    if let Some(id) = block.get(8..16).and_then(|id| id.try_into().ok()) {
        let id = SegmentId::new(u64::from_le_bytes(id));
        let seed = Seed::of_life(journal, id.get());
        if id < segment.id() && GroupHeader::decode(seed, id, block).is_ok() {
            return true;
        }
    }
    let own = segment.id().get();
    let lives = (own.saturating_sub(LIVES).max(1)..own).rev();
    let seeds: Vec<Seed> = lives.map(|id| Seed::of_life(journal, id)).collect();
    let places = (0..block.len()).step_by(FRAME_ALIGN).map(|at| &block[at..]);
    places
        .filter(|bytes| bytes.len() >= FRAME_HEADER_LEN && bytes[..8] != [0; 8])
        .any(|bytes| {
            seeds
                .iter()
                .any(|seed| FrameHeader::decode(*seed, bytes).is_ok())
        })
}

/// What whole groups there are behind the end.
#[derive(Default)]
pub(super) struct Behind {
    pub groups: u64,
    pub sealed: bool,
    pub durable_lsn: Lsn,
    pub first: Option<Survivor>,
}

impl Behind {
    /// Looks at every place where a group may begin, from `from` on.
    pub fn look(
        &mut self,
        segment: &SegmentFile,
        from: u64,
        skip: Option<u64>,
        void_from: Option<Lsn>,
    ) -> Result<()> {
        let header = segment.header();
        let (seed, align) = (header.seed(), u64::from(header.group_align));
        let magic = GROUP_MAGIC.to_le_bytes();
        let ahead = header.capacity.saturating_sub(from).min(CHUNK_BYTES as u64);
        let mut chunk = vec![0; ahead as usize + GROUP_HEADER_LEN];
        let mut offset = from;
        while offset < header.capacity {
            let got = segment.read_at(&mut chunk, offset)?;
            let mut at = 0;
            while at < ahead as usize && at + GROUP_HEADER_LEN <= got {
                let bytes = &chunk[at..got];
                let place = offset + at as u64;
                at += align as usize;
                if bytes[..4] != magic || skip == Some(place) {
                    continue;
                }
                let Ok((group, _)) = GroupHeader::decode(seed, header.id, bytes) else {
                    continue;
                };
                // What it knew when it was written is proof even if its frames are gone.
                self.durable_lsn = self.durable_lsn.max(group.durable_lsn);
                if void_from.is_some_and(|void| group.first_lsn >= void) {
                    continue;
                }
                if !is_whole(segment, place, &group)? {
                    continue;
                }
                self.groups += 1;
                let survivor = Survivor {
                    first_lsn: group.first_lsn,
                    durable_lsn: group.durable_lsn,
                };
                self.first.get_or_insert(survivor);
            }
            if got < chunk.len() {
                break;
            }
            offset += ahead;
        }
        Ok(())
    }
}

/// How far bytes of this life seem to reach from `offset` on: up to the last byte, within the
/// stretch of blocks that are neither zero nor the beginning of an earlier life's group.
pub(super) fn torn_bytes(segment: &SegmentFile, offset: u64) -> Result<u64> {
    let header = segment.header();
    let mut first = vec![0; GROUP_HEADER_LEN];
    let got = segment.read_at(&mut first, offset)?;
    if let Ok((group, _)) = GroupHeader::decode(header.seed(), header.id, &first[..got]) {
        return Ok(group.len() as u64);
    }
    let align = (header.group_align as usize).max(512);
    let mut block = vec![0; align];
    let (mut at, mut torn) = (offset, 0);
    while at < header.capacity {
        let got = segment.read_at(&mut block, at)?;
        let Some(last) = block[..got].iter().rposition(|&byte| byte != 0) else {
            break;
        };
        if is_leftover(segment, &block[..got]) {
            break;
        }
        torn = at + last as u64 + 1 - offset;
        at += align as u64;
    }
    Ok(torn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment::SEGMENT_DATA;
    use crate::recovery::testing::{by_hand, group, segment, segment_of};

    fn place(block: u64) -> u64 {
        SEGMENT_DATA + block * 4096
    }

    /// Four groups of two records each, at these blocks.
    fn four(blocks: [u64; 4]) -> SegmentFile {
        let groups = [1, 3, 5, 7].map(|first| group(7, first, first - 1, &[b"a", b"b"]));
        let parts: Vec<(usize, &[u8])> = (0..4)
            .map(|n| (blocks[n] as usize, &groups[n][..]))
            .collect();
        segment(by_hand(place(1024)), &parts)
    }

    fn behind(segment: &SegmentFile, from: u64, skip: Option<u64>, void: Option<u64>) -> Behind {
        let mut behind = Behind::default();
        let looked = behind.look(segment, from, skip, void.map(Lsn::new));
        looked.expect("reads");
        behind
    }

    /// Every whole group behind the end counts, once, in whichever stretch of the file it is.
    #[test]
    fn every_whole_group_behind_the_end_is_seen_once() {
        for blocks in [[0, 1, 2, 3], [0, 255, 256, 257], [100, 511, 512, 1023]] {
            let segment = four(blocks);
            let all = behind(&segment, SEGMENT_DATA, None, None);
            assert_eq!(
                (all.groups, all.durable_lsn),
                (4, Lsn::new(6)),
                "{blocks:?}"
            );
            let first = all.first.expect("one");
            assert_eq!(
                (first.first_lsn, first.durable_lsn),
                (Lsn::new(1), Lsn::new(0))
            );
            let from_second = behind(&segment, place(blocks[1]), None, None);
            assert_eq!(from_second.groups, 3, "{blocks:?}");
            assert_eq!(from_second.first.expect("one").first_lsn, Lsn::new(3));
            // What stands at the end itself was looked at already.
            let skipped = Some(place(blocks[1]));
            let without = behind(&segment, place(blocks[1]), skipped, None);
            assert_eq!(without.groups, 2, "{blocks:?}");
            assert_eq!(without.first.expect("one").first_lsn, Lsn::new(5));
        }
    }

    /// A header that lies, with a checksum that is right: the search ends where the file does.
    #[test]
    fn a_length_that_no_file_has_is_not_searched_through() {
        let one = group(7, 1, 1, &[b"one"]);
        let long = segment_of(by_hand(1 << 60), place(300) as usize, &[(299, &one)]);
        let found = |from| behind(&long, from, None, None).groups;
        assert_eq!((found(SEGMENT_DATA), found(place(300))), (1, 0));
    }

    /// A file that was cut in the middle of a frame, so that it ends at no multiple of anything.
    #[test]
    fn the_last_bytes_of_a_file_that_was_cut_are_torn() {
        for rest in [1, 5, 63, 101] {
            let len = place(1) + rest;
            let noise = vec![0xAB; rest as usize];
            let cut = segment(by_hand(len), &[(1, &noise)]);
            let found = classify(&cut, place(1)).expect("reads");
            assert_eq!(found, Found::BrokenGroup, "{rest}");
            assert_eq!(torn_bytes(&cut, place(1)).expect("reads"), rest);
        }
    }

    /// What a later segment logged again is no survivor, though it knew what was durable. What
    /// stands before that is one.
    #[test]
    fn what_was_logged_again_elsewhere_proves_nothing_missing() {
        let segment = four([0, 1, 2, 3]);
        let behind = behind(&segment, place(1), None, Some(5));
        assert_eq!((behind.groups, behind.durable_lsn), (1, Lsn::new(6)));
        assert_eq!(behind.first.expect("one").first_lsn, Lsn::new(3));
    }

    /// A group whose frames are gone is no survivor; what it knew when it was written is proof.
    #[test]
    fn a_group_that_is_not_whole_still_says_what_was_durable() {
        let mut broken = group(7, 5, 4, &[b"a", b"b"]);
        broken[130] ^= 1;
        let whole = group(7, 7, 3, &[b"c"]);
        let segment = segment(by_hand(place(16)), &[(1, &broken), (2, &whole)]);
        let behind = behind(&segment, SEGMENT_DATA, None, None);
        assert_eq!((behind.groups, behind.durable_lsn), (1, Lsn::new(4)));
        assert_eq!(behind.first.expect("one").first_lsn, Lsn::new(7));
    }

    /// A closing group that an earlier life of the file left behind holds no frame to be known by.
    #[test]
    fn an_empty_group_of_an_earlier_life_is_nothing() {
        for (life, found) in [(6, Found::Nothing), (8, Found::BrokenGroup)] {
            let empty = group(life, 5, 5, &[]);
            let segment = segment(by_hand(place(16)), &[(1, &empty)]);
            assert_eq!(
                classify(&segment, place(1)).expect("reads"),
                found,
                "{life}"
            );
            let torn = torn_bytes(&segment, place(1)).expect("reads");
            assert_eq!(torn == 0, found == Found::Nothing, "{life}");
        }
        let zeros = segment(by_hand(place(16)), &[]);
        assert_eq!(classify(&zeros, place(1)).expect("reads"), Found::Nothing);
        assert_eq!(torn_bytes(&zeros, place(1)).expect("reads"), 0);
    }
}
