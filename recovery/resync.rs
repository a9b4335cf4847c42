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
