//! Making checksums good again.
//!
//! No fuzzer finds a CRC by chance, so without this nothing behind the checksums is ever reached.
//! The offsets are those of `docs/FORMAT.md`. What cannot be mended is left as it is.

use turnkeep::format::checksum::{HEADER_SEED, Seed, checksum, payload_checksum};
use turnkeep::format::frame::{FRAME_HEADER_LEN, frame_len};
use turnkeep::format::group::{GROUP_HEADER_LEN, GROUP_MAGIC};
use turnkeep::format::header::FileKind;
use turnkeep::format::ids::JournalId;
use turnkeep::format::pack_block::BLOCK_MAGIC;

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(eight.try_into().ok()?))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

/// Mends the frame at the start of `bytes`; returns how far it reaches.
pub fn frame(seed: Seed, bytes: &mut [u8]) -> Option<usize> {
    let len = u32_at(bytes, 24)? as usize;
    let end = FRAME_HEADER_LEN.checked_add(len)?;
    let sum = payload_checksum(bytes.get(FRAME_HEADER_LEN..end)?);
    put(bytes, 4, sum);
    let sum = checksum(seed, &bytes[4..FRAME_HEADER_LEN]);
    put(bytes, 0, sum);
    Some(frame_len(len).min(bytes.len()))
}

/// Mends the group at the start of `bytes`, frames and links between them included.
pub fn group(seed: Seed, bytes: &mut [u8]) -> Option<usize> {
    let body_len = u32_at(bytes, 32)? as usize;
    let count = u32_at(bytes, 36)?;
    let end = GROUP_HEADER_LEN.checked_add(body_len)?.min(bytes.len());
    let mut at = GROUP_HEADER_LEN;
    let (mut last, mut state) = (None, seed.get());
    for _ in 0..count {
        let rest = bytes.get_mut(at..end).filter(|rest| !rest.is_empty());
        let Some(rest) = rest else { break };
        if let Some(last) = last
            && rest.len() >= FRAME_HEADER_LEN
        {
            put(rest, 28, last);
        }
        let Some(taken) = frame(seed, rest) else {
            break;
        };
        let check = u32_at(rest, 0)?;
        state = (state ^ check).wrapping_mul(0x9E37_79B1).rotate_left(13);
        last = Some(check);
        at += taken;
    }
    if bytes.len() >= GROUP_HEADER_LEN {
        put(bytes, 52, checksum(seed, &state.to_le_bytes()));
        put(bytes, 0, GROUP_MAGIC);
        let sum = checksum(seed, &bytes[8..GROUP_HEADER_LEN]);
        put(bytes, 4, sum);
    }
    Some(end)
}

/// Mends a whole file of any kind, told by its first bytes.
pub fn file(bytes: &mut [u8]) -> Option<()> {
    let kinds = [
        FileKind::Segment,
        FileKind::Pack,
        FileKind::State,
        FileKind::Manifest,
        FileKind::Watermark,
    ];
    let magic: [u8; 8] = bytes.get(..64)?[..8].try_into().ok()?;
    let kind = kinds.into_iter().find(|kind| kind.magic() == magic)?;
    let journal = JournalId(bytes.get(16..32)?.try_into().ok()?);
    let id = u64_at(bytes, 32)?;
    let seed = match kind {
        FileKind::Segment => Seed::of_life(journal, id),
        FileKind::Watermark => Seed::of_life(journal, u64::MAX),
        kind => Seed::of_file(journal, id, kind.magic()),
    };
    put(bytes, 40, seed.get());
    let header_len = usize::from(u16::from_le_bytes([*bytes.get(10)?, *bytes.get(11)?]));
    let covered = [bytes.get(..12)?, bytes.get(16..header_len.max(16))?].concat();
    put(bytes, 12, checksum(HEADER_SEED, &covered));
    match kind {
        FileKind::Segment => segment(seed, bytes),
        FileKind::Pack => pack(seed, bytes),
        FileKind::State => state(seed, bytes),
        FileKind::Manifest => manifest(seed, bytes),
        FileKind::Watermark => watermark(seed, bytes),
    }
}

fn segment(seed: Seed, bytes: &mut [u8]) -> Option<()> {
    let align = u32_at(bytes, 72)?.clamp(8, 65536) as usize;
    let mut at = 4096;
    while u32_at(bytes, at)? == GROUP_MAGIC {
        at += group(seed, &mut bytes[at..])?.next_multiple_of(align);
    }
    Some(())
}

fn pack(seed: Seed, bytes: &mut [u8]) -> Option<()> {
    let header_len = FileKind::Pack.header_len();
    let footer = bytes.len().checked_sub(96)?;
    let mut at = header_len;
    while at + 24 <= footer && u32_at(bytes, at)? == BLOCK_MAGIC {
        let stored_len = u32_at(bytes, at + 8)? as usize;
        let end = (at + 24).checked_add(stored_len)?;
        let sum = payload_checksum(bytes.get(at + 24..end)?);
        put(bytes, at + 16, sum);
        let covered = [&(at as u64).to_le_bytes()[..], &bytes[at + 8..at + 24]].concat();
        put(bytes, at + 4, checksum(seed, &covered));
        at = end.checked_next_multiple_of(8)?;
    }
    let index = usize::try_from(u64_at(bytes, footer + 32)?).ok()?;
    if let Some(index) = bytes.get(index..footer) {
        let sum = checksum(seed, index);
        put(bytes, footer + 56, sum);
    }
    let sum = checksum(seed, &bytes[footer..footer + 92]);
    put(bytes, footer + 92, sum);
    Some(())
}

fn state(seed: Seed, bytes: &mut [u8]) -> Option<()> {
    let header_len = FileKind::State.header_len();
    let footer = bytes.len().checked_sub(64)?;
    let mut at = header_len;
    while at + 24 <= footer {
        let len = u32_at(bytes, at + 8)? as usize;
        let Some(body) = bytes.get(at + 24..(at + 24).checked_add(len)?) else {
            break;
        };
        let sum = payload_checksum(body);
        put(bytes, at + 4, sum);
        let sum = checksum(seed, &bytes[at + 4..at + 24]);
        put(bytes, at, sum);
        at += (24 + len).checked_next_multiple_of(8)?;
    }
    let sum = checksum(seed, bytes.get(header_len..footer)?);
    put(bytes, footer + 36, sum);
    let sum = checksum(seed, &bytes[footer..footer + 60]);
    put(bytes, footer + 60, sum);
    Some(())
}

fn manifest(seed: Seed, bytes: &mut [u8]) -> Option<()> {
    let body_len = u32::try_from(bytes.get(80..)?.len()).ok()?;
    put(bytes, 64, body_len);
    let sum = checksum(seed, &bytes[80..]);
    put(bytes, 68, sum);
    let sum = checksum(seed, &bytes[64..76]);
    put(bytes, 76, sum);
    Some(())
}

fn watermark(seed: Seed, bytes: &mut [u8]) -> Option<()> {
    for at in [512, 1024] {
        let sum = checksum(seed, bytes.get(at..at + 60)?);
        if bytes.len() >= at + 64 {
            put(bytes, at + 60, sum);
        }
    }
    Some(())
}
