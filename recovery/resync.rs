//! Finding the next group behind a place that does not validate.

use crate::error::Result;
use crate::format::group::{GROUP_HEADER_LEN, GROUP_MAGIC, Group, GroupHeader};
use crate::format::segment::group_place;
use crate::journal::segments::SegmentFile;

/// How much is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What to stop at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A group whose every frame validates.
    WholeGroup,
    /// A group's header, whatever has become of its frames.
    Header,
}

/// Looks at every place of `segment` where a group may begin, from `from` on, and returns the
/// first that holds what is wanted.
///
/// # Errors
/// [`crate::Error::Io`].
pub(super) fn next_group(
    segment: &SegmentFile,
    from: u64,
    wanted: Wanted,
) -> Result<Option<(u64, GroupHeader)>> {
    let header = segment.header();
    let align = u64::from(header.group_align);
    let magic = GROUP_MAGIC.to_le_bytes();
    let mut chunk = vec![0; CHUNK_BYTES + GROUP_HEADER_LEN];
    let mut offset = group_place(from, align);
    while offset < header.capacity {
        let got = segment.read_at(&mut chunk, offset)?;
        let places = (0..CHUNK_BYTES).step_by(align as usize);
        for at in places.take_while(|at| at + GROUP_HEADER_LEN <= got) {
            let bytes = &chunk[at..got];
            if bytes[..4] != magic {
                continue;
            }
            let Ok((group, _)) = GroupHeader::decode(header.seed(), header.id, bytes) else {
                continue;
            };
            let place = offset + at as u64;
            if wanted == Wanted::Header || is_whole(segment, place, &group)? {
                return Ok(Some((place, group)));
            }
        }
        if got < chunk.len() {
            break;
        }
        offset += CHUNK_BYTES as u64;
    }
    Ok(None)
}

/// Whether the group that `header` begins at `offset` is there to its last frame.
pub(super) fn is_whole(segment: &SegmentFile, offset: u64, header: &GroupHeader) -> Result<bool> {
    let end = offset.checked_add(header.len() as u64);
    if end.is_none_or(|end| end > segment.header().capacity) {
        return Ok(false);
    }
    let size = segment.file().size().unwrap_or(0);
    if offset + header.len() as u64 > size {
        return Ok(false);
    }
    let mut bytes = vec![0; header.len()];
    let got = segment.read_at(&mut bytes, offset)?;
    Ok(Group::decode(segment.header().seed(), segment.id(), &bytes[..got]).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::segment::SEGMENT_DATA;
    use crate::recovery::testing::{by_hand, group, segment, segment_of};

    fn place(block: u64) -> u64 {
        SEGMENT_DATA + block * 4096
    }

    /// Whatever lies between, up to several times as much as is read at once, the next whole
    /// group is found, also where it is the last that the file has room for.
    #[test]
    fn the_next_group_is_found_however_far_away_it_is() {
        let one = group(7, 1, 1, &[b"one"]);
        for block in [0, 1, 254, 255, 256, 257, 511, 512, 700, 1022] {
            let segment = segment(by_hand(place(1023)), &[(block as usize, &one)]);
            for from in [
                SEGMENT_DATA,
                SEGMENT_DATA + 1,
                place(block / 2),
                place(block),
            ] {
                let is_behind = from <= place(block);
                let found = next_group(&segment, from, Wanted::WholeGroup).expect("reads");
                let at = found.map(|(at, _)| at);
                assert_eq!(at, is_behind.then_some(place(block)), "{block} from {from}");
            }
            let beyond = next_group(&segment, place(block) + 1, Wanted::WholeGroup);
            assert_eq!(beyond.expect("reads"), None);
        }
    }

    /// A header that lies, with a checksum that is right: the search ends where the file does.
    #[test]
    fn a_length_that_no_file_has_is_not_searched_through() {
        let one = group(7, 1, 1, &[b"one"]);
        let long = segment_of(by_hand(1 << 60), place(300) as usize, &[(299, &one)]);
        let found = |from| next_group(&long, from, Wanted::WholeGroup).expect("reads");
        assert_eq!(found(SEGMENT_DATA).map(|(at, _)| at), Some(place(299)));
        assert_eq!(found(place(299) + 1), None);
        assert_eq!(found(place(9_000)), None);
    }

    /// A group of several blocks, of which the file has the last byte, or not.
    #[test]
    fn a_group_is_whole_up_to_the_last_byte_of_its_file() {
        let long = group(7, 1, 1, &[&[b'x'; 9_000]]);
        assert_eq!(long.len(), 3 * 4096);
        let is_found = |segment: &SegmentFile, wanted| {
            let found = next_group(segment, SEGMENT_DATA, wanted).expect("reads");
            found.is_some_and(|(at, _)| at == place(2))
        };
        let len = {
            let ends_with_it = segment(by_hand(place(5)), &[(2, &long)]);
            assert!(is_found(&ends_with_it, Wanted::WholeGroup));
            let found = next_group(&ends_with_it, SEGMENT_DATA, Wanted::Header);
            found.expect("reads").expect("is there").1.len() as u64
        };
        // To the byte, without what only fills the last block.
        let exact = segment(by_hand(place(2) + len), &[(2, &long[..len as usize])]);
        assert!(is_found(&exact, Wanted::WholeGroup));
        let short = segment(
            by_hand(place(2) + len - 1),
            &[(2, &long[..len as usize - 1])],
        );
        assert!(!is_found(&short, Wanted::WholeGroup));
        assert!(is_found(&short, Wanted::Header));
        let mut broken = long.clone();
        broken[8_000] ^= 1;
        let broken = segment(by_hand(place(5)), &[(2, &broken)]);
        assert!(!is_found(&broken, Wanted::WholeGroup));
        assert!(is_found(&broken, Wanted::Header));
    }
}
