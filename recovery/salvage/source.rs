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
    /// How far it has come.
    pub furthest: u64,
}

impl<'s> Window<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Window {
            file: &*source.file,
            len: source.len,
            at: 0,
            bytes: Vec::new(),
            unreadable: Vec::new(),
            furthest: 0,
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
            self.furthest = self.furthest.max(offset + fill as u64);
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
    bytes: Vec<u8>,
}

impl<'s> Fetch<'s> {
    pub(super) fn new(dir: &'s Dir, sources: &'s [Source]) -> Self {
        Fetch {
            dir,
            sources,
            blocks: VecDeque::new(),
            cached: 0,
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
        while self.cached > CACHE_BYTES && self.blocks.len() > 1 {
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
