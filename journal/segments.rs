//! Segment files: making them, reading frames from them, retiring them.
//!
//! A segment file is made under a spare name, filled with written blocks, given its header and
//! synced; only then it gets its name in the log. So a name in the log always means a whole
//! header, and a commit never changes a file's metadata.

use crate::error::{Corruption, Error, Result};
use crate::format::checksum::Seed;
use crate::format::frame::{Frame, FrameHeader, frame_len};
use crate::format::header::HEADER_LEN;
use crate::format::ids::{JournalId, Lsn, SegmentId};
use crate::format::segment::{SEGMENT_DATA, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::format::{Fault, names};
use crate::storage::dir::Dir;
use crate::storage::{File, Map, OpenMode};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// How much of a record is read before its length is known.
const FIRST_READ_BYTES: usize = 1024;

/// How much is written at once when a file is filled.
const FILL_BYTES: usize = 1 << 20;

/// A segment of the log, open.
pub struct SegmentFile {
    header: SegmentHeader,
    /// What its checksums begin from.
    seed: Seed,
    path: PathBuf,
    file: Arc<dyn File>,
    map: OnceLock<Arc<dyn Map>>,
}

impl fmt::Debug for SegmentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentFile({})", self.path.display())
    }
}

/// What a segment's header must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The journal it belongs to.
    pub journal: JournalId,
    /// The id that its name gives.
    pub id: SegmentId,
}

impl SegmentFile {
    /// Opens the segment `id` and checks its header against its name and journal.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a header that does not validate or is not this segment's,
    /// [`Error::NewerFormat`], [`Error::Io`].
    pub fn open(dir: &Dir, expected: Expected, mode: OpenMode) -> Result<SegmentFile> {
        SegmentFile::open_named(dir, &names::segment(expected.id), expected, mode)
    }

    /// As [`SegmentFile::open`], of a file that has another name.
    ///
    /// # Errors
    /// As [`SegmentFile::open`].
    pub fn open_named(
        dir: &Dir,
        name: &str,
        expected: Expected,
        mode: OpenMode,
    ) -> Result<SegmentFile> {
        let file = dir.open(name, mode)?;
        let path = dir.join(name);
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        let got = file
            .read_at(&mut bytes, 0)
            .map_err(|e| Error::io("read", &path, e))?;
        let header = SegmentHeader::decode(&bytes[..got]).map_err(|fault| match fault {
            Fault::Newer { found, supported } => Error::NewerFormat {
                path: path.clone(),
                found,
                supported,
            },
            fault => Corruption::new(&path, fault.to_string())
                .at(0)
                .in_segment(expected.id)
                .into(),
        })?;
        if header.id != expected.id || header.journal != expected.journal {
            let what = "a segment that does not belong here";
            return Err(Corruption::new(&path, what)
                .at(HEADER_LEN as u64 / 4)
                .in_segment(expected.id)
                .but(
                    format!("segment {} of journal {}", expected.id, expected.journal),
                    format!("segment {} of journal {}", header.id, header.journal),
                )
                .into());
        }
        Ok(SegmentFile {
            seed: header.seed(),
            header,
            path,
            file,
            map: OnceLock::new(),
        })
    }

    /// Opens a segment whose header does not validate as if it did. Only for looking: what is
    /// in it can still be recognised, since its seed follows from its name and journal.
    pub fn open_assuming(dir: &Dir, expected: Expected) -> Result<SegmentFile> {
        let name = names::segment(expected.id);
        let path = dir.join(&name);
        let file = dir.open(&name, OpenMode::Read)?;
        let capacity = file.size().map_err(|e| Error::io("measure", &path, e))?;
        let header = SegmentHeader {
            journal: expected.journal,
            id: expected.id,
            capacity,
            base_lsn: Lsn::default(),
            group_align: 8,
            base_link: 0,
            base_group_link: 0,
            created_ms: 0,
        };
        Ok(SegmentFile {
            seed: header.seed(),
            header,
            path,
            file,
            map: OnceLock::new(),
        })
    }

    /// Its header.
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Its id.
    pub fn id(&self) -> SegmentId {
        self.header.id
    }

    /// Its path, for messages.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The open file.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Maps the file, after which frames are read without system calls. Only for a segment that
    /// nobody writes to any more.
    pub fn map_sealed(&self) {
        if self.map.get().is_none()
            && let Ok(map) = self.file.map()
        {
            let _ = self.map.set(map);
        }
    }

    /// Reads up to `buf.len()` bytes at `offset`.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.file
            .read_at(buf, offset)
            .map_err(|e| Error::io("read", &self.path, e))
    }

    /// Reads and checks the frame at `offset` and shows it to `look`. Until the file is mapped, it
    /// is read into `scratch`, which callers keep from one record to the next.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the offset, [`Error::Io`], and whatever `look` returns.
    pub fn with_frame<T>(
        &self,
        offset: u64,
        scratch: &mut Vec<u8>,
        look: impl FnOnce(&FrameHeader, &[u8]) -> Result<T>,
    ) -> Result<T> {
        let bytes = match self.map.get() {
            Some(map) => usize::try_from(offset)
                .ok()
                .and_then(|at| map.bytes().get(at..))
                .unwrap_or_default(),
            None => self.read_whole_frame(offset, scratch)?,
        };
        let (frame, _) =
            Frame::decode(self.seed, bytes).map_err(|fault| self.damaged(offset, &fault))?;
        look(&frame.header, frame.payload)
    }

    /// Reads as many bytes at `offset` as a frame there says it has.
    fn read_whole_frame<'s>(&self, offset: u64, scratch: &'s mut Vec<u8>) -> Result<&'s [u8]> {
        // One guess covers most records; a longer payload takes a second read.
        if scratch.len() < FIRST_READ_BYTES {
            scratch.resize(FIRST_READ_BYTES, 0);
        }
        let got = self.read_at(&mut scratch[..FIRST_READ_BYTES], offset)?;
        let (header, _) = FrameHeader::decode(self.seed, &scratch[..got])
            .map_err(|fault| self.damaged(offset, &fault))?;
        let len = frame_len(header.payload_len as usize);
        if got >= len || got < FIRST_READ_BYTES {
            return Ok(&scratch[..got.min(len)]);
        }
        let end = offset + len as u64;
        if end > self.header.capacity {
            let fault = Fault::Short {
                what: "frame",
                needed: end,
                have: self.header.capacity,
            };
            return Err(self.damaged(offset, &fault));
        }
        if scratch.len() < len {
            scratch.resize(len, 0);
        }
        let more = self.read_at(&mut scratch[got..len], offset + got as u64)?;
        Ok(&scratch[..got + more])
    }

    fn damaged(&self, offset: u64, fault: &Fault) -> Error {
        Corruption::new(&self.path, fault.to_string())
            .at(offset)
            .in_segment(self.id())
            .into()
    }
}

/// Makes a segment file under a spare name: written blocks, header, sync. Nothing in the log
/// knows of it yet.
///
/// A crash anywhere here leaves a spare file, which recovery neither reads nor needs.
///
/// # Errors
/// [`Error::NoSpace`] or [`Error::Io`]; what was begun is removed again.
pub fn make_spare(dir: &Dir, header: &SegmentHeader, spare_from: Option<&str>) -> Result<String> {
    let name = names::spare(header.id.get());
    let path = dir.join(&name);
    if let Some(old) = spare_from {
        // An old file has written blocks already; what they hold cannot verify under the new
        // life's seed.
        let file = dir.open(old, OpenMode::ReadWrite)?;
        let size = file
            .size()
            .map_err(|e| Error::io("measure", &dir.join(old), e))?;
        if size >= header.capacity {
            write_header(&*file, header, &dir.join(old))?;
            if old != name {
                dir.rename(old, &name)?;
            }
            return Ok(name);
        }
        dir.remove(old)?;
    }
    let file = match dir.open(&name, OpenMode::CreateNew) {
        Ok(file) => file,
        // A spare of that number is a leftover of a failed attempt.
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
            dir.remove(&name)?;
            dir.open(&name, OpenMode::CreateNew)?
        }
        Err(error) => return Err(error),
    };
    let filled = fill(&*file, header, &path);
    if let Err(error) = filled {
        drop(file);
        let _ = dir.remove(&name);
        return Err(match error {
            Error::NoSpace { .. } => Error::NoSpace {
                path: dir.path().to_path_buf(),
                needed_bytes: header.capacity,
            },
            error => error,
        });
    }
    Ok(name)
}

/// Gives a spare file its name in the log, and makes that name durable.
///
/// A crash before the directory sync leaves either name; both are met: a spare is ignored, a
/// segment without groups is an empty one.
pub fn adopt_spare(dir: &Dir, spare: &str, id: SegmentId) -> Result<()> {
    dir.rename(spare, &names::segment(id))?;
    dir.sync()
}

fn fill(file: &dyn File, header: &SegmentHeader, path: &std::path::Path) -> Result<()> {
    let io = |op| move |e| Error::io(op, path, e);
    let zeros = vec![0; FILL_BYTES.min(header.capacity as usize)];
    let mut offset = 0;
    while offset < header.capacity {
        let len = (header.capacity - offset).min(zeros.len() as u64) as usize;
        file.write_all_at(&zeros[..len], offset)
            .map_err(io("fill"))?;
        offset += len as u64;
    }
    write_header(file, header, path)
}

fn write_header(file: &dyn File, header: &SegmentHeader, path: &std::path::Path) -> Result<()> {
    let mut block = vec![0; SEGMENT_DATA as usize];
    block[..SEGMENT_HEADER_LEN].copy_from_slice(&header.encode());
    file.write_all_at(&block, 0)
        .map_err(|e| Error::io("write", path, e))?;
    file.sync_data().map_err(|e| Error::io("sync", path, e))
}
