//! The files that records are gathered from, read so that nothing in them can hurt: bounded
//! windows, lengths believed only within the file, and zeros where the disk gives nothing.

use crate::error::{Error, Result};
use crate::format::checksum::Seed;
use crate::format::frame::{Frame, frame_len};
use crate::format::pack_block::{BLOCK_HEADER_LEN, block_extent, decode_block};
use crate::format::segment::SegmentHeader;
use crate::storage::File;
use crate::storage::dir::Dir;
use std::collections::VecDeque;
use std::sync::Arc;

/// How much is read at once.
const WINDOW_BYTES: usize = 1 << 20;

/// Where the disk refuses a window, it is asked for pieces of this size.
const PIECE_BYTES: usize = 4096;

/// Most bytes of blocks that are kept to be read from again.
const CACHE_BYTES: usize = 32 << 20;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A segment of the log, or one that was set aside; without its header if that is broken.
    Segment(Option<SegmentHeader>),
    /// A pack.
    Pack,
}

/// A file that records are gathered from.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name in the journal.
    pub name: String,
    pub kind: Kind,
    /// The id of its life, by its header, or else by its name.
    pub id: u64,
    /// The seed that follows.
    pub seed: Seed,
    pub file: Arc<dyn File>,
    pub len: u64,
}

/// A stretch of a file that is in memory.
pub(super) struct Window<'s> {
    file: &'s dyn File,
    len: u64,
    at: u64,
    bytes: Vec<u8>,
    /// Stretches that the disk does not give: offset and length.
    pub unreadable: Vec<(u64, u64)>,
}

impl<'s> Window<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Window {
            file: &*source.file,
            len: source.len,
            at: 0,
            bytes: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// `want` bytes at `offset`, fewer at the end of the file.
    pub(super) fn bytes(&mut self, offset: u64, want: usize) -> &[u8] {
        let have = self.len.saturating_sub(offset);
        let want = (want as u64).min(have) as usize;
        let end = offset + want as u64;
        if offset < self.at || end > self.at + self.bytes.len() as u64 {
            let fill = (want.max(WINDOW_BYTES) as u64).min(have) as usize;
            self.bytes.resize(fill, 0);
            self.at = offset;
            self.fill();
        }
        let start = (offset - self.at) as usize;
        &self.bytes[start..start + want]
    }

    fn fill(&mut self) {
        match self.file.read_at(&mut self.bytes, self.at) {
            Ok(got) => self.bytes[got..].fill(0),
            Err(_) => {
                for (n, piece) in self.bytes.chunks_mut(PIECE_BYTES).enumerate() {
                    let at = self.at + (n * PIECE_BYTES) as u64;
                    match self.file.read_at(piece, at) {
                        Ok(got) => piece[got..].fill(0),
                        Err(_) => {
                            piece.fill(0);
                            match self.unreadable.last_mut() {
                                Some((from, len)) if *from + *len == at => {
                                    *len += piece.len() as u64;
                                }
                                _ => self.unreadable.push((at, piece.len() as u64)),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameAt {
    /// Number of the source.
    pub source: u32,
    /// Offset of the frame in the file, or of the block that holds it.
    pub at: u64,
    /// Offset of the frame among the block's raw bytes; [`FrameAt::DIRECT`] without a block.
    pub off: u32,
    /// Length of the payload.
    pub payload_len: u32,
}

impl FrameAt {
    pub(super) const DIRECT: u32 = u32::MAX;
}

/// Reads frames that were found, again.
pub(super) struct Fetch<'s> {
    dir: &'s Dir,
    sources: &'s [Source],
    blocks: VecDeque<((u32, u64), Vec<u8>)>,
    cached: usize,
    most_cached: usize,
    bytes: Vec<u8>,
}

impl<'s> Fetch<'s> {
    pub(super) fn new(dir: &'s Dir, sources: &'s [Source]) -> Self {
        Fetch {
            dir,
            sources,
            blocks: VecDeque::new(),
            cached: 0,
            most_cached: CACHE_BYTES,
            bytes: Vec::new(),
        }
    }

    /// Reads the frame at a place where one was found.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not there any more, [`Error::Io`].
    pub(super) fn frame(&mut self, place: FrameAt) -> Result<Frame<'_>> {
        let source = &self.sources[place.source as usize];
        let path = self.dir.join(&source.name);
        let changed = |why: String| {
            let what = format!("a record changed while it was read: {why}");
            Error::from(crate::error::Corruption::new(&path, what).at(place.at))
        };
        let len = frame_len(place.payload_len as usize);
        let bytes = if place.off == FrameAt::DIRECT {
            self.bytes.resize(len, 0);
            let got = source.file.read_at(&mut self.bytes, place.at);
            let got = got.map_err(|e| Error::io("read", &path, e))?;
            &self.bytes[..got]
        } else {
            let block = self.block(place).map_err(&changed)?;
            block.get(place.off as usize..).unwrap_or_default()
        };
        let (frame, _) = Frame::decode(source.seed, bytes).map_err(|e| changed(e.to_string()))?;
        Ok(frame)
    }

    fn block(&mut self, place: FrameAt) -> std::result::Result<&[u8], String> {
        let key = (place.source, place.at);
        if let Some(n) = self.blocks.iter().rposition(|(cached, _)| *cached == key) {
            return Ok(&self.blocks[n].1);
        }
        let source = &self.sources[place.source as usize];
        let raw = read_block(source, place.at).map_err(|(why, _)| why)?;
        self.cached += raw.len();
        self.blocks.push_back((key, raw));
        while self.cached > self.most_cached && self.blocks.len() > 1 {
            let evicted = self.blocks.pop_front();
            self.cached -= evicted.map_or(0, |(_, raw)| raw.len());
        }
        Ok(self.blocks.back().map_or(&[], |(_, raw)| raw))
    }
}

/// Reads and decodes the block at `offset` of a pack. An error says why, and how many bytes of
/// the file the block takes as far as its header tells.
pub(super) fn read_block(
    source: &Source,
    offset: u64,
) -> std::result::Result<Vec<u8>, (String, Option<u64>)> {
    use crate::format::pack_block::BlockHeader;
    let mut header = [0; BLOCK_HEADER_LEN];
    let read = |buf: &mut [u8], at| {
        let got = source.file.read_at(buf, at);
        got.map_err(|e| (format!("the disk does not give it: {e}"), None))
    };
    let got = read(&mut header, offset)?;
    let header = BlockHeader::decode(source.seed, offset, &header[..got])
        .map_err(|fault| (fault.to_string(), None))?;
    let extent = block_extent(header.stored_len);
    if extent > source.len.saturating_sub(offset) {
        return Err(("the file ends in the middle of a block".into(), None));
    }
    let mut bytes = vec![0; extent as usize];
    let got = read(&mut bytes, offset)?;
    let mut scratch = Vec::new();
    decode_block(source.seed, offset, &bytes[..got], &mut scratch)
        .map(<[u8]>::to_vec)
        .map_err(|fault| (fault.to_string(), Some(extent)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::checksum::payload_checksum;
    use crate::format::frame::FrameHeader;
    use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
    use crate::format::pack_block::{BlockBuilder, BlockCodec};
    use crate::storage::{DiskStorage, Map, Page};
    use std::io;
    use std::ops::Range;
    use std::sync::Mutex;

    /// A file of which the disk refuses some stretches, and that counts what it is asked for.
    #[derive(Debug, Default)]
    struct Worn {
        bytes: Vec<u8>,
        refused: Vec<Range<u64>>,
        asked: Mutex<Vec<u64>>,
    }

    impl File for Worn {
        fn size(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }
        fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
            self.asked.lock().expect("no panic").push(offset);
            let end = offset + buf.len() as u64;
            if self.refused.iter().any(|r| r.start < end && offset < r.end) {
                return Err(io::Error::other("a bad sector"));
            }
            let rest = self.bytes.get(offset as usize..).unwrap_or_default();
            let len = rest.len().min(buf.len());
            buf[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        }
        fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            unreachable!("salvaging changes nothing")
        }
        fn sync_data(&self) -> io::Result<()> {
            unreachable!("salvaging changes nothing")
        }
        fn set_len(&self, _: u64) -> io::Result<()> {
            unreachable!("salvaging changes nothing")
        }
        fn map(&self) -> io::Result<Arc<dyn Map>> {
            unreachable!("a fault of a map would end the process")
        }
        fn page(&self) -> io::Result<Arc<dyn Page>> {
            unreachable!("salvaging changes nothing")
        }
    }

    fn seed() -> Seed {
        Seed::of_life(Default::default(), 9)
    }

    fn source(file: &Arc<Worn>) -> Source {
        Source {
            name: "9.pack".into(),
            kind: Kind::Pack,
            id: 9,
            seed: seed(),
            file: file.clone(),
            len: file.bytes.len() as u64,
        }
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    /// A file larger than what is read at once, read forwards, backwards, across the edges of what
    /// is in memory, and beyond its end.
    #[test]
    fn a_file_larger_than_a_window_reads_as_it_is() {
        let bytes = noise(3 * WINDOW_BYTES + 100);
        let file = Arc::new(Worn {
            bytes: bytes.clone(),
            ..Worn::default()
        });
        let source = source(&file);
        let mut window = Window::new(&source);
        let w = WINDOW_BYTES as u64;
        let places = [
            (w, 10),
            (w + 5, 100),
            (2 * w - 100, 100),
            (2 * w - 100, 101),
            (2 * w + 7, 64),
            (10, 20),
            (w - 30, 90),
            (w + 60, WINDOW_BYTES + 8),
            (3 * w + 90, 50),
            (3 * w + 100, 8),
        ];
        for (offset, want) in places {
            let end = bytes.len().min(offset as usize + want);
            let expected = &bytes[offset as usize..end];
            assert!(window.bytes(offset, want) == expected, "{want} at {offset}");
        }
        assert_eq!(window.bytes(4 * w, 8), []);
        assert_eq!(window.unreadable, []);
    }

    #[test]
    fn what_is_in_memory_is_not_read_again() {
        let file = Arc::new(Worn {
            bytes: noise(3 * WINDOW_BYTES),
            ..Worn::default()
        });
        let source = source(&file);
        let mut window = Window::new(&source);
        for at in (0..3 * WINDOW_BYTES as u64).step_by(4096) {
            window.bytes(at, 64);
            window.bytes(at, 64);
            window.bytes(at + 64, 4096 - 64);
        }
        let w = WINDOW_BYTES as u64;
        assert_eq!(*file.asked.lock().expect("no panic"), [0, w, 2 * w]);
    }

    /// What the disk refuses is zeros, in pieces of a sector or so, and all else is there.
    #[test]
    fn around_a_bad_sector_everything_is_read() {
        let piece = PIECE_BYTES as u64;
        let bytes = noise(12 * PIECE_BYTES + 100);
        let begin = piece + 512;
        let at = |n: u64| begin + n * piece;
        let file = Arc::new(Worn {
            bytes: bytes.clone(),
            // Two pieces, the one between them not; and the short last one.
            refused: vec![
                at(1) + 5..at(1) + 6,
                at(2)..at(2) + 1,
                at(4)..at(4) + 9,
                at(10) + 600..at(10) + 601,
            ],
            ..Worn::default()
        });
        let source = source(&file);
        let mut window = Window::new(&source);
        let all = window.bytes(begin, bytes.len()).to_vec();
        let last = bytes.len() as u64 - at(10);
        let lost = [(at(1), 2 * piece), (at(4), piece), (at(10), last)];
        assert_eq!(window.unreadable, lost);
        let mut expected = bytes.clone();
        for (from, len) in lost {
            expected[from as usize..(from + len) as usize].fill(0);
        }
        assert!(all == expected[begin as usize..]);
    }

    fn frame(lsn: u64, payload: &[u8]) -> Frame<'_> {
        Frame {
            header: FrameHeader {
                payload_check: payload_checksum(payload),
                lsn: Lsn::new(lsn),
                session: SessionNo::new(1),
                seq: Seq::new(lsn as u32),
                payload_len: payload.len() as u32,
                prev: 0,
                epoch: Epoch::new(1),
                kind: 19,
                flags: 0,
                codec: 0,
                body_version: 0,
            },
            check: 0,
            payload,
        }
    }

    /// `count` blocks with a record of a thousand bytes each, and where they begin.
    fn blocks(count: u64) -> (Vec<u8>, Vec<FrameAt>) {
        let (mut bytes, mut places) = (vec![0; 64], Vec::new());
        for lsn in 1..=count {
            let at = bytes.len() as u64;
            let mut block = BlockBuilder::new(seed(), BlockCodec::Raw);
            let payload = noise(1000);
            let (off, _) = block.push(&frame(lsn, &payload));
            block.finish(at, &mut bytes);
            places.push(FrameAt {
                source: 0,
                at,
                off,
                payload_len: 1000,
            });
        }
        (bytes, places)
    }

    #[test]
    fn a_block_that_ends_with_its_file_is_read_and_one_that_is_cut_is_not() {
        let (bytes, places) = blocks(1);
        let whole = Arc::new(Worn {
            bytes: bytes.clone(),
            ..Worn::default()
        });
        assert_eq!(
            read_block(&source(&whole), places[0].at)
                .expect("is whole")
                .len(),
            frame_len(1000)
        );
        for cut in 1..bytes.len() - 64 {
            let cut = Arc::new(Worn {
                bytes: bytes[..bytes.len() - cut].to_vec(),
                ..Worn::default()
            });
            let refused = read_block(&source(&cut), places[0].at).expect_err("is cut");
            assert_eq!(refused.1, None, "{}", refused.0);
        }
    }

    /// Records are written in the order of sessions and read from blocks in whichever order that
    /// is: a block is decoded once as long as there is room for it, and memory stays bounded.
    #[test]
    fn blocks_are_kept_as_long_as_there_is_room_and_no_longer() {
        let (bytes, places) = blocks(6);
        let file = Arc::new(Worn {
            bytes,
            ..Worn::default()
        });
        let sources = [source(&file)];
        let dir = Dir::new(Arc::new(DiskStorage), "/nowhere");
        let mut fetch = Fetch::new(&dir, &sources);
        let block = frame_len(1000);
        fetch.most_cached = 3 * block;
        let mut read = |n: usize| {
            file.asked.lock().expect("no panic").clear();
            let frame = fetch.frame(places[n]).expect("is there");
            assert_eq!(frame.header.lsn.get(), n as u64 + 1);
            assert!(fetch.cached <= 3 * block);
            assert_eq!(fetch.cached, fetch.blocks.len() * block);
            !file.asked.lock().expect("no panic").is_empty()
        };
        // The first three stay.
        assert_eq!(
            [0, 1, 2, 0, 1, 2].map(&mut read),
            [true, true, true, false, false, false]
        );
        // The one that came first goes, and the others stay.
        assert_eq!([3, 1, 2, 3].map(&mut read), [true, false, false, false]);
        assert_eq!([0, 2, 3].map(&mut read), [true, false, false]);
        // One that is larger than all the room there is stays until the next.
        fetch.most_cached = 1;
        let mut read = |n: usize| {
            fetch.frame(places[n]).expect("is there");
            fetch.blocks.len()
        };
        assert_eq!([4, 4, 5].map(&mut read), [1, 1, 1]);
    }
}
