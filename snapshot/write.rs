//! Writing what snapshots are made of: state files and packs.
//!
//! A file is written under a temporary name, synced, read back and compared, and only then gets
//! its name. What a crash leaves at any step is garbage: no manifest refers to it yet. The names
//! become durable by one directory sync, which the caller makes before it publishes.
//!
//! Writing is paced: at most [`DIRTY_BYTES`] wait for a sync, so that the syncs of the log never
//! queue behind a large file of ours.

use super::image::Image;
use super::layout::{JournalBody, PlacesBody, SCHEMA};
use crate::error::{Corruption, Error, Result};
use crate::format::body::{self, BodyFault, MAX_BODY_BYTES};
use crate::format::checksum::{HEADER_SEED, Running};
use crate::format::frame::Frame;
use crate::format::ids::{JournalId, SnapshotId};
use crate::format::manifest::{PackRef, SnapshotRef};
use crate::format::names::{self, TMP_SUFFIX};
use crate::format::pack::{Pack, PackEncoder, PackHeader};
use crate::format::pack_block::BlockCodec;
use crate::format::state::{EntryKind, StateEncoder, StateHeader};
use crate::model::session::{JOURNAL_SESSION, SessionEntry, SessionState};
use crate::sabotage::Sabotage;
use crate::storage::dir::Dir;
use crate::storage::{File, OpenMode};
use crate::sync::Arc;
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

/// How much is handed to the system at once.
const CHUNK_BYTES: usize = 1 << 20;

/// How much may wait for a sync: about what a disk takes in the time of a few commits.
const DIRTY_BYTES: u64 = 4 << 20;

/// Writes the state file of `image` as snapshot `id`, whose name is not durable yet. Returns
/// how a manifest refers to it.
///
/// # Errors
/// [`Error::NoSpace`], [`Error::Io`]; [`Error::Corrupt`] if the bytes read back are not those
/// written; [`Error::TooLarge`] for a session whose state is too large to be stored. Nothing is
/// left behind.
pub fn write_state(
    dir: &Dir,
    journal: JournalId,
    id: SnapshotId,
    image: &Image,
) -> Result<SnapshotRef> {
    let mut file = NewFile::create(dir, names::state(id))?;
    let header = StateHeader {
        journal,
        id,
        lsn: image.point.next_lsn,
        created_ms: dir.storage().unix_ms(),
    };
    let mut encoder = StateEncoder::new(header, &mut file.buffer);
    for entry in image.state.entries() {
        let no = entry.no();
        let body = &mut file.buffer;
        match entry {
            SessionEntry::Live(session) if no == JOURNAL_SESSION => {
                let journal = JournalBody {
                    must_erase: image.must_erase,
                    first_lsns: image
                        .first_lsns
                        .iter()
                        .map(|(&lsn, &id)| (lsn, id))
                        .collect(),
                    session: Cow::Borrowed(session),
                };
                encoder.push_with(EntryKind::Journal, no, SCHEMA, body, |out| {
                    body::encode(&journal, out)
                })
            }
            SessionEntry::Live(session) => {
                encoder.push_with(EntryKind::Session, no, SCHEMA, body, |out| {
                    body::encode(&**session, out)
                })
            }
            SessionEntry::Deleted(tombstone) if Sabotage::ForgetTombstones.is_on() => {
                let name = format!("forgotten {}", tombstone.no);
                let revived = SessionState {
                    no: tombstone.no,
                    name: name.as_str().into(),
                    next_seq: tombstone.last_seq.next(),
                    last_lsn: tombstone.last_lsn,
                    ..SessionState::default()
                };
                encoder.push_with(EntryKind::Session, no, SCHEMA, body, |out| {
                    body::encode(&revived, out)
                })
            }
            SessionEntry::Deleted(tombstone) => {
                encoder.push_with(EntryKind::Tombstone, no, SCHEMA, body, |out| {
                    body::encode(tombstone, out)
                })
            }
        }
        .map_err(|_| too_large())?;
        file.flush_chunks()?;
        for places in image.log(no).into_iter().flat_map(PlacesBody::split) {
            encoder
                .push_with(EntryKind::Places, no, SCHEMA, &mut file.buffer, |out| {
                    body::encode(&places, out)
                })
                .map_err(|_: BodyFault| too_large())?;
            file.flush_chunks()?;
        }
    }
    let summary = encoder.finish(&mut file.buffer);
    let written = file.finish()?;
    written.compare()?;
    written.into_place()?;
    Ok(SnapshotRef {
        id,
        lsn: image.point.next_lsn,
        state_len: summary.len,
        state_crc: summary.crc,
        packs: image.packs.clone(),
        log_from: image.log_from,
        replay: image.point,
    })
}

fn too_large() -> Error {
    let max = MAX_BODY_BYTES as u64;
    Error::TooLarge {
        what: "state of a session",
        len: max + 1,
        max,
    }
}

/// A pack that is being written.
#[derive(Debug)]
pub struct PackWriter {
    encoder: PackEncoder,
    file: NewFile,
}

impl PackWriter {
    /// Begins a pack.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`].
    pub fn create(dir: &Dir, header: PackHeader) -> Result<PackWriter> {
        let mut file = NewFile::create(dir, names::pack(header.id))?;
        let encoder = PackEncoder::new(header, BlockCodec::default(), &mut file.buffer);
        Ok(PackWriter { encoder, file })
    }

    /// Adds a record: sessions ascending, in each the sequence ascending.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`].
    pub fn push(&mut self, frame: &Frame<'_>) -> Result<()> {
        self.encoder.push(frame, &mut self.file.buffer);
        self.file.flush_chunks()
    }

    /// Ends the pack, reads every byte of it back through a fresh handle, and gives it its name,
    /// which is not durable yet.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`], and [`Error::Corrupt`] if what was read back does not
    /// verify. Nothing is left behind.
    pub fn finish(mut self) -> Result<PackRef> {
        let reference = self.encoder.finish(&mut self.file.buffer);
        let written = self.file.finish()?;
        written.verify_pack(&reference)?;
        written.into_place()?;
        Ok(reference)
    }
}

/// A file under its temporary name. Removed when dropped before it got its own.
#[derive(Debug)]
struct NewFile {
    /// What was encoded and not yet written.
    buffer: Vec<u8>,
    file: Arc<dyn File>,
    at: Temporary,
    written: u64,
    synced: u64,
    running: Running,
}

/// A file's names.
#[derive(Debug)]
struct Temporary {
    dir: Dir,
    name: String,
    tmp: String,
    placed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // Best effort: what stays is garbage by its name, and swept later.
            let _ = self.dir.remove(&self.tmp);
        }
    }
}

impl Temporary {
    fn path(&self) -> PathBuf {
        self.dir.join(&self.tmp)
    }

    fn failed(&self, op: &'static str, source: io::Error, needed_bytes: u64) -> Error {
        match Error::io(op, &self.path(), source) {
            Error::NoSpace { .. } => Error::NoSpace {
                path: self.dir.path().to_path_buf(),
                needed_bytes,
            },
            error => error,
        }
    }
}

impl NewFile {
    fn create(dir: &Dir, name: String) -> Result<NewFile> {
        let tmp = format!("{name}{TMP_SUFFIX}");
        let file = match dir.open(&tmp, OpenMode::CreateNew) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                // Left behind by an earlier attempt.
                dir.remove(&tmp)?;
                dir.open(&tmp, OpenMode::CreateNew)?
            }
            opened => opened?,
        };
        Ok(NewFile {
            buffer: Vec::new(),
            file,
            at: Temporary {
                dir: dir.clone(),
                name,
                tmp,
                placed: false,
            },
            written: 0,
            synced: 0,
            running: Running::new(HEADER_SEED),
        })
    }

    fn flush_chunks(&mut self) -> Result<()> {
        if self.buffer.len() < CHUNK_BYTES {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        let needed = self.buffer.len() as u64;
        for chunk in self.buffer.chunks(CHUNK_BYTES) {
            self.file
                .write_all_at(chunk, self.written)
                .map_err(|e| self.at.failed("write", e, needed))?;
            self.written += chunk.len() as u64;
            self.running.update(chunk);
            if self.written - self.synced >= DIRTY_BYTES {
                self.file
                    .sync_data()
                    .map_err(|e| self.at.failed("sync", e, needed))?;
                self.synced = self.written;
            }
        }
        self.buffer.clear();
        // One huge record must not keep its memory to the end.
        self.buffer.shrink_to(2 * CHUNK_BYTES);
        Ok(())
    }

    /// Writes the rest and makes every byte durable.
    fn finish(mut self) -> Result<Written> {
        self.flush()?;
        if !Sabotage::EarlySnapshot.is_on() {
            self.file
                .sync_data()
                .map_err(|e| self.at.failed("sync", e, 0))?;
        }
        Ok(Written {
            at: self.at,
            len: self.written,
            check: self.running.finish(),
        })
    }
}

/// A file whose bytes are durable under its temporary name.
#[derive(Debug)]
struct Written {
    at: Temporary,
    len: u64,
    check: u32,
}

impl Written {
    /// Reads the file through a fresh handle and compares it with what was written.
    fn compare(&self) -> Result<()> {
        let file = self.at.dir.open(&self.at.tmp, OpenMode::Read)?;
        let size = file.size().map_err(|e| self.at.failed("measure", e, 0))?;
        if size != self.len {
            let corruption = Corruption::new(self.at.path(), "length read back");
            return Err(corruption.but(self.len, size).into());
        }
        let mut running = Running::new(HEADER_SEED);
        let mut chunk = vec![0; CHUNK_BYTES.min(self.len as usize)];
        let mut offset = 0;
        while offset < self.len {
            let got = file
                .read_at(&mut chunk, offset)
                .map_err(|e| self.at.failed("read back", e, 0))?;
            if got == 0 {
                break;
            }
            running.update(&chunk[..got]);
            offset += got as u64;
        }
        let check = running.finish();
        if offset != self.len || check != self.check {
            let corruption = Corruption::new(self.at.path(), "bytes read back differ");
            let (expected, found) = (format!("{:#010x}", self.check), format!("{check:#010x}"));
            return Err(corruption.but(expected, found).into());
        }
        Ok(())
    }

    /// Reads every block and every frame of a pack through a fresh handle.
    fn verify_pack(&self, reference: &PackRef) -> Result<()> {
        self.compare()?;
        let file = self.at.dir.open(&self.at.tmp, OpenMode::Read)?;
        let map = file.map().map_err(|e| self.at.failed("map", e, 0))?;
        let pack = Pack::decode(map.bytes()).and_then(|pack| {
            pack.verify(&mut Vec::new())?;
            Ok(pack)
        });
        let corrupt = |what: String| -> Error {
            Corruption::new(self.at.path(), format!("read back: {what}"))
                .of_lsns(reference.lsn_from, reference.lsn_to)
                .into()
        };
        let pack = pack.map_err(|fault| corrupt(fault.to_string()))?;
        if pack.footer.index_crc != reference.index_crc || pack.footer.id != reference.id {
            return Err(corrupt("this is not the pack that was written".into()));
        }
        Ok(())
    }

    fn into_place(mut self) -> Result<()> {
        self.at.dir.rename(&self.at.tmp, &self.at.name)?;
        self.at.placed = true;
        Ok(())
    }
}
