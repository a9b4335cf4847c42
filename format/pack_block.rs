//! Blocks of a pack: frames in a row, compressed where that pays.
//!
//! A block is a header of 24 bytes, the stored bytes, and zeros up to the next multiple of
//! eight. The header's checksum starts from the pack's seed and covers the block's place in the
//! file, so a block that strayed to another place, or another pack, does not verify.
//!
//! The only module that names lz4_flex.

use super::bytes::{get_u32, put_u32};
use super::checksum::{Seed, checksum, payload_checksum};
use super::fault::{Fault, expect, need, same};
use super::frame::{Frame, frame_len};
use super::group::MAX_BODY_LEN;

/// Length of a block's header.
pub const BLOCK_HEADER_LEN: usize = 24;

/// Raw bytes that a block is filled up to: large enough to compress well, small enough that
/// reading one record does not cost much more than the record. A frame that is larger gets a
/// block of its own.
pub const TARGET_BLOCK_LEN: usize = 64 << 10;

/// Most raw bytes that a block can have: one frame of the largest size that a group can hold.
pub const MAX_BLOCK_LEN: usize = MAX_BODY_LEN;

/// What a block begins with.
pub const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"TKBK");

/// LZ4 adds at most 255 bytes of output for each byte of input, so a raw length beyond this
/// multiple of the stored one is a lie that need not be allocated to be found out.
const LZ4_MAX_RATIO: usize = 255;

const _: () = assert!(BLOCK_HEADER_LEN.is_multiple_of(8) && TARGET_BLOCK_LEN <= MAX_BLOCK_LEN);
const _: () = assert!(MAX_BLOCK_LEN <= u32::MAX as usize);

/// How the bytes of a block are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockCodec {
    /// As they are.
    Raw = 0,
    /// One LZ4 block, without a frame and without a length of its own.
    #[default]
    Lz4 = 1,
}

impl BlockCodec {
    fn from_u8(raw: u8) -> Result<Self, Fault> {
        match raw {
            0 => Ok(BlockCodec::Raw),
            1 => Ok(BlockCodec::Lz4),
            other => Err(Fault::Field {
                field: "block codec",
                expected: BlockCodec::Lz4 as u64,
                found: other.into(),
            }),
        }
    }
}

/// What stands in front of a block's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Bytes that follow, without padding.
    pub stored_len: u32,
    /// Bytes that they become.
    pub raw_len: u32,
    /// Plain checksum of the stored bytes.
    pub stored_crc: u32,
    /// How they are stored.
    pub codec: BlockCodec,
}

impl BlockHeader {
    /// Writes the header of the block that begins at byte `offset` of its pack.
    pub fn encode(&self, seed: Seed, offset: u64, out: &mut [u8; BLOCK_HEADER_LEN]) {
        put_u32(out, 0, BLOCK_MAGIC);
        put_u32(out, 8, self.stored_len);
        put_u32(out, 12, self.raw_len);
        put_u32(out, 16, self.stored_crc);
        out[20] = self.codec as u8;
        out[21..].fill(0);
        let check = header_checksum(seed, offset, out);
        put_u32(out, 4, check);
    }

    /// Reads and checks the header at the start of `bytes`, which stands at byte `offset` of a
    /// pack. The lengths are plausible when this returns: no more than [`MAX_BLOCK_LEN`], and
    /// no more than the codec can make of the stored bytes.
    ///
    /// # Errors
    /// [`Fault::Short`], [`Fault::Magic`], [`Fault::Checksum`], [`Fault::Field`].
    pub fn decode(seed: Seed, offset: u64, bytes: &[u8]) -> Result<Self, Fault> {
        need("block header", bytes, BLOCK_HEADER_LEN)?;
        if get_u32(bytes, 0) != BLOCK_MAGIC {
            return Err(Fault::Magic {
                what: "block",
                found: get_u32(bytes, 0).into(),
            });
        }
        same(
            "block header",
            get_u32(bytes, 4),
            header_checksum(seed, offset, bytes),
        )?;
        let header = BlockHeader {
            stored_len: get_u32(bytes, 8),
            raw_len: get_u32(bytes, 12),
            stored_crc: get_u32(bytes, 16),
            codec: BlockCodec::from_u8(bytes[20])?,
        };
        let stored = header.stored_len as usize;
        let raw = header.raw_len as usize;
        if raw == 0 || raw > MAX_BLOCK_LEN {
            return Err(Fault::Field {
                field: "raw length of a block",
                expected: MAX_BLOCK_LEN as u64,
                found: raw as u64,
            });
        }
        let plausible = match header.codec {
            BlockCodec::Raw => stored == raw,
            BlockCodec::Lz4 => stored < raw && raw / LZ4_MAX_RATIO <= stored,
        };
        if !plausible {
            return Err(Fault::Field {
                field: "stored length of a block",
                expected: raw as u64,
                found: stored as u64,
            });
        }
        Ok(header)
    }

    /// Bytes that the block takes in the file: header, stored bytes and padding.
    pub fn extent(&self) -> u64 {
        block_extent(self.stored_len)
    }
}

/// Bytes in the file of a block with `stored_len` stored bytes.
pub fn block_extent(stored_len: u32) -> u64 {
    (BLOCK_HEADER_LEN as u64 + u64::from(stored_len)).next_multiple_of(8)
}

fn header_checksum(seed: Seed, offset: u64, header: &[u8]) -> u32 {
    let mut covered = [0; 8 + BLOCK_HEADER_LEN - 8];
    covered[..8].copy_from_slice(&offset.to_le_bytes());
    covered[8..].copy_from_slice(&header[8..BLOCK_HEADER_LEN]);
    checksum(seed, &covered)
}

/// Reads the block at the start of `bytes`, which stands at byte `offset` of a pack, and
/// returns its raw bytes: borrowed from `bytes` if they are stored as they are, else
/// decompressed into `scratch`. `scratch` grows only after header and stored bytes verified.
///
/// # Errors
/// What [`BlockHeader::decode`] refuses, stored bytes or padding that do not verify, and bytes
/// that do not decompress to exactly the raw length.
pub fn decode_block<'a>(
    seed: Seed,
    offset: u64,
    bytes: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], Fault> {
    let header = BlockHeader::decode(seed, offset, bytes)?;
    let extent = header.extent() as usize;
    need("block", bytes, extent)?;
    let (stored, padding) = bytes[BLOCK_HEADER_LEN..extent].split_at(header.stored_len as usize);
    same("block", header.stored_crc, payload_checksum(stored))?;
    if let Some(&byte) = padding.iter().find(|&&byte| byte != 0) {
        expect("padding of a block", 0, byte.into())?;
    }
    match header.codec {
        BlockCodec::Raw => Ok(stored),
        BlockCodec::Lz4 => {
            scratch.clear();
            scratch.resize(header.raw_len as usize, 0);
            let raw_len =
                lz4_flex::block::decompress_into(stored, scratch).map_err(|fault| Fault::Body {
                    what: "block",
                    why: fault.to_string(),
                })?;
            expect(
                "raw length of a block",
                header.raw_len.into(),
                raw_len as u64,
            )?;
            Ok(scratch)
        }
    }
}

/// Gathers frames until they make a block. Its buffers are used again for the next one.
#[derive(Debug)]
pub struct BlockBuilder {
    seed: Seed,
    codec: BlockCodec,
    raw: Vec<u8>,
    compressed: Vec<u8>,
    link: u32,
}

impl BlockBuilder {
    /// Begins a block of the pack with this seed, to be stored by `codec` where that pays.
    pub fn new(seed: Seed, codec: BlockCodec) -> Self {
        BlockBuilder {
            seed,
            codec,
            raw: Vec::new(),
            compressed: Vec::new(),
            link: 0,
        }
    }

    /// Whether nothing was pushed since the block was begun.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Whether a frame of `frame_len` bytes may join this block. An empty one takes any frame.
    pub fn takes(&self, frame_len: usize) -> bool {
        self.is_empty() || self.raw.len() + frame_len <= TARGET_BLOCK_LEN
    }

    /// Adds a frame under the pack's seed, linked to the one before it in the block (0 if it is
    /// the first). Returns its offset and its length among the raw bytes.
    pub fn push(&mut self, frame: &Frame<'_>) -> (u32, u32) {
        let off = self.raw.len();
        assert!(
            off + frame_len(frame.payload.len()) <= MAX_BLOCK_LEN,
            "the writer makes no frame that is larger than a group can be"
        );
        self.link = frame.relocate(self.seed, self.link, &mut self.raw);
        (off as u32, (self.raw.len() - off) as u32)
    }

    /// Appends the block to `out`, to stand at byte `offset` of its pack, and begins the next.
    /// It is compressed if that saves at least an eighth.
    pub fn finish(&mut self, offset: u64, out: &mut Vec<u8>) -> BlockHeader {
        assert!(!self.is_empty(), "a block holds at least one frame");
        let (codec, stored) = match self.compress() {
            Some(len) => (BlockCodec::Lz4, &self.compressed[..len]),
            None => (BlockCodec::Raw, &self.raw[..]),
        };
        let header = BlockHeader {
            stored_len: stored.len() as u32,
            raw_len: self.raw.len() as u32,
            stored_crc: payload_checksum(stored),
            codec,
        };
        let begin = out.len();
        let mut head = [0; BLOCK_HEADER_LEN];
        header.encode(self.seed, offset, &mut head);
        out.extend_from_slice(&head);
        out.extend_from_slice(stored);
        out.resize(begin + header.extent() as usize, 0);
        self.raw.clear();
        self.link = 0;
        header
    }

    /// Length of the compressed bytes, if they are at most seven eighths of the raw ones.
    fn compress(&mut self) -> Option<usize> {
        if self.codec == BlockCodec::Raw {
            return None;
        }
        let room = lz4_flex::block::get_maximum_output_size(self.raw.len());
        if self.compressed.len() < room {
            self.compressed.resize(room, 0);
        }
        let len = lz4_flex::block::compress_into(&self.raw, &mut self.compressed).ok()?;
        (len <= self.raw.len() / 8 * 7).then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::frame::tests::sample;
    use crate::format::ids::JournalId;
    use crate::format::random::Random;

    fn seed() -> Seed {
        Seed::of_life(JournalId([8; 16]), 3)
    }

    fn block(codec: BlockCodec, payload: &[u8], offset: u64) -> Vec<u8> {
        let mut builder = BlockBuilder::new(seed(), codec);
        let frame = Frame {
            header: sample(payload),
            check: 0,
            payload,
        };
        builder.push(&frame);
        let mut out = Vec::new();
        builder.finish(offset, &mut out);
        out
    }

    #[test]
    fn a_block_is_valid_in_its_own_place_only() {
        for codec in [BlockCodec::Raw, BlockCodec::Lz4] {
            let bytes = block(codec, &[b'x'; 500], 96);
            let mut scratch = Vec::new();
            assert!(decode_block(seed(), 96, &bytes, &mut scratch).is_ok());
            assert!(decode_block(seed(), 104, &bytes, &mut scratch).is_err());
            let other = Seed::of_life(JournalId([8; 16]), 4);
            assert!(decode_block(other, 96, &bytes, &mut scratch).is_err());
        }
    }

    #[test]
    fn a_length_that_cannot_be_allocates_nothing() {
        let lies = [
            (BlockCodec::Lz4, 100, MAX_BLOCK_LEN as u32),
            (BlockCodec::Lz4, 100, MAX_BLOCK_LEN as u32 + 1),
            (BlockCodec::Lz4, 100, u32::MAX),
            (BlockCodec::Lz4, u32::MAX, 100),
            (BlockCodec::Lz4, 100, 0),
            (BlockCodec::Raw, 100, 99),
            (BlockCodec::Raw, u32::MAX, u32::MAX),
            // Plausible, but the bytes are not there.
            (
                BlockCodec::Lz4,
                MAX_BLOCK_LEN as u32 / 4,
                MAX_BLOCK_LEN as u32,
            ),
        ];
        for (codec, stored_len, raw_len) in lies {
            let header = BlockHeader {
                stored_len,
                raw_len,
                stored_crc: payload_checksum(&[0; 100]),
                codec,
            };
            let mut bytes = [0; BLOCK_HEADER_LEN + 104];
            let mut head = [0; BLOCK_HEADER_LEN];
            header.encode(seed(), 96, &mut head);
            bytes[..BLOCK_HEADER_LEN].copy_from_slice(&head);
            let mut scratch = Vec::new();
            assert!(decode_block(seed(), 96, &bytes, &mut scratch).is_err());
            assert_eq!(scratch.capacity(), 0, "{codec:?} {stored_len} {raw_len}");
        }
    }

    /// Payloads of which a part repeats, from none to most of it.
    #[test]
    fn a_block_is_compressed_where_that_saves_an_eighth() {
        let mut seen = [0; 2];
        for unlike in (50..1000).step_by(50) {
            let mut random = Random::new(unlike);
            let mut payload = random.bytes(unlike as usize);
            payload.resize(1000, b'x');
            let raw = block(BlockCodec::Raw, &payload, 96);
            let raw_len = BlockHeader::decode(seed(), 96, &raw).expect("good").raw_len;
            let frames = &raw[BLOCK_HEADER_LEN..][..raw_len as usize];
            let mut room = vec![0; lz4_flex::block::get_maximum_output_size(frames.len())];
            let compressed = lz4_flex::block::compress_into(frames, &mut room).expect("room");
            let header = BlockHeader::decode(seed(), 96, &block(BlockCodec::Lz4, &payload, 96))
                .expect("good");
            let pays = compressed * 8 <= raw_len as usize * 7;
            seen[usize::from(pays)] += 1;
            let (codec, stored_len) = match pays {
                true => (BlockCodec::Lz4, compressed),
                false => (BlockCodec::Raw, raw_len as usize),
            };
            assert_eq!(
                (header.codec, header.stored_len as usize),
                (codec, stored_len)
            );
        }
        assert!(seen[0] > 1 && seen[1] > 10, "{seen:?}");
    }

    #[test]
    fn bytes_that_do_not_decompress_to_the_raw_length_are_a_fault() {
        let good = block(BlockCodec::Lz4, &[b'x'; 500], 96);
        let header = BlockHeader::decode(seed(), 96, &good).expect("good");
        assert_eq!(header.codec, BlockCodec::Lz4);
        for raw_len in [header.raw_len - 8, header.raw_len + 8] {
            let mut bad = good.clone();
            let mut head = [0; BLOCK_HEADER_LEN];
            BlockHeader { raw_len, ..header }.encode(seed(), 96, &mut head);
            bad[..BLOCK_HEADER_LEN].copy_from_slice(&head);
            assert!(decode_block(seed(), 96, &bad, &mut Vec::new()).is_err());
        }
    }
}
