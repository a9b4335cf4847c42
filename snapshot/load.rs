//! Loading a snapshot: its state file becomes an image, or a named corruption.

use super::image::Image;
use super::layout::{JournalBody, PlacesBody, SCHEMA};
use crate::error::{Corruption, Error, Result};
use crate::format::Fault;
use crate::format::body::{self, BodyFault};
use crate::format::ids::{JournalId, Lsn, SegmentId, SessionNo, SnapshotId};
use crate::format::manifest::{Manifest, PackRef, SnapshotRef};
use crate::format::names;
use crate::format::state::{EntryKind, StateEntry, StateFile};
use crate::journal::index::SessionLog;
use crate::journal::packs::PackFile;
use crate::model::session::{SessionEntry, SessionState, Tombstone};
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use crate::sync::Arc;
use std::path::PathBuf;

/// The segment that every log begins with.
const FIRST_SEGMENT: SegmentId = SegmentId::new(1);

/// Loads the snapshot that `snapshot` refers to. The packs are opened apart, by [`open_packs`].
///
/// The whole file is read and every entry checked before anything of it is believed.
///
/// # Errors
/// [`Error::Corrupt`] naming file and offset for a file that is missing, damaged, or not the one
/// referred to; [`Error::NewerFormat`]; [`Error::Io`].
pub fn load(
    dir: &Dir,
    journal: JournalId,
    snapshot: &SnapshotRef,
    key_window: usize,
) -> Result<Image> {
    let name = names::state(snapshot.id);
    let loader = Loader {
        path: dir.join(&name),
        snapshot,
    };
    let file = dir
        .open(&name, OpenMode::Read)
        .map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                loader.corrupt("the state file is missing")
            }
            error => error,
        })?;
    let io = |op| move |e, path: &PathBuf| Error::io(op, path, e);
    let len = file.size().map_err(|e| io("measure")(e, &loader.path))?;
    if len != snapshot.state_len {
        return Err(loader.differs("length of the state file", snapshot.state_len, len));
    }
    // The length is the one that a checked manifest gives, and the file has it.
    let mut bytes = vec![0; len as usize];
    let got = file
        .read_at(&mut bytes, 0)
        .map_err(|e| io("read")(e, &loader.path))?;
    bytes.truncate(got);
    loader.decode(journal, &bytes, key_window)
}

/// Opens the packs that a snapshot refers to, but for those that are `open` already.
///
/// # Errors
/// As [`PackFile::open`].
pub(crate) fn open_packs(
    dir: &Dir,
    journal: JournalId,
    packs: &[PackRef],
    open: &[Arc<PackFile>],
) -> Result<Vec<Arc<PackFile>>> {
    packs
        .iter()
        .map(|pack| match open.iter().find(|open| open.id() == pack.id) {
            Some(open) => Ok(open.clone()),
            None => PackFile::open(dir, journal, pack).map(Arc::new),
        })
        .collect()
}

/// Reads through the index of every pack that the snapshot `before` does without: if it is
/// damaged, there is another way. Those that both need are checked when they are searched, so
/// that what this costs follows what is new, not what is kept.
fn check_new(
    before: Option<&SnapshotRef>,
    refs: &[PackRef],
    packs: &[Arc<PackFile>],
) -> Result<()> {
    let is_new = |pack: &PackRef| before.is_none_or(|before| !before.packs.contains(pack));
    let mut new = refs.iter().zip(packs).filter(|(pack, _)| is_new(pack));
    new.try_for_each(|(_, file)| file.check_index_sum())
}

/// A snapshot with its packs, or the beginning of the log.
#[derive(Debug)]
pub struct Base {
    /// What is known without reading the log.
    pub image: Image,
    /// Its packs, open.
    pub packs: Vec<Arc<PackFile>>,
    /// Which snapshot it is; none if the log is to be read from its beginning.
    pub snapshot: Option<SnapshotId>,
    /// Newer snapshots that are damaged, newest first.
    pub passed_over: Vec<(SnapshotId, Corruption)>,
}

/// Loads the newest snapshot that validates with its packs, some of which may be `open`
/// already. If there is none, the log is read from its beginning, as long as that is there.
///
/// # Errors
/// [`Error::Corrupt`] with the newest snapshot's damage if no path is left;
/// [`Error::NewerFormat`], [`Error::Io`].
pub fn load_newest(
    dir: &Dir,
    manifest: &Manifest,
    key_window: usize,
    open: &[Arc<PackFile>],
) -> Result<Base> {
    let mut passed_over: Vec<(SnapshotId, Corruption)> = Vec::new();
    for (i, snapshot) in manifest.snapshots.iter().enumerate().rev() {
        let loaded = load(dir, manifest.journal, snapshot, key_window).and_then(|image| {
            let packs = open_packs(dir, manifest.journal, &snapshot.packs, open)?;
            let before = i.checked_sub(1).map(|before| &manifest.snapshots[before]);
            check_new(before, &snapshot.packs, &packs)?;
            Ok((image, packs))
        });
        match loaded {
            Ok((image, packs)) => {
                return Ok(Base {
                    image,
                    packs,
                    snapshot: Some(snapshot.id),
                    passed_over,
                });
            }
            Err(Error::Corrupt(why)) => passed_over.push((snapshot.id, *why)),
            Err(error) => return Err(error),
        }
    }
    // The floor is raised only when there are two snapshots, so until then the first segment
    // of all is there.
    match passed_over.first() {
        Some((_, why)) if manifest.log_floor != FIRST_SEGMENT => Err(why.clone().into()),
        _ => {
            let image = Image::empty(manifest.log_floor, key_window);
            Ok(Base {
                image,
                packs: Vec::new(),
                snapshot: None,
                passed_over,
            })
        }
    }
}

struct Loader<'r> {
    path: PathBuf,
    snapshot: &'r SnapshotRef,
}

impl Loader<'_> {
    fn decode(&self, journal: JournalId, bytes: &[u8], key_window: usize) -> Result<Image> {
        let file = StateFile::decode(bytes).map_err(|fault| match fault {
            Fault::Newer { found, supported } => Error::NewerFormat {
                path: self.path.clone(),
                found,
                supported,
            },
            fault => self.damaged(fault.to_string(), StateFile::first_fault(bytes)),
        })?;
        if file.header.journal != journal || file.header.id != self.snapshot.id {
            return Err(self.corrupt("this is the state file of another snapshot"));
        }
        if file.header.lsn != self.snapshot.lsn {
            return Err(self.differs("lsn of the state file", self.snapshot.lsn, file.header.lsn));
        }
        if file.summary.crc != self.snapshot.state_crc {
            let (expected, found) = (self.snapshot.state_crc, file.summary.crc);
            return Err(self.differs("checksum of the state file", expected, found));
        }
        let mut image = Image::from_parts(
            key_window,
            self.snapshot.replay,
            self.snapshot.packs.clone(),
            self.snapshot.log_from,
        );
        let mut entries = 0_u32;
        for entry in file.entries() {
            let entry = entry.map_err(|fault| self.corrupt(fault.to_string()))?;
            // The body is a part of `bytes`, so this is its offset in the file.
            let offset = (entry.body.as_ptr().addr() - bytes.as_ptr().addr()) as u64;
            if entry.schema > SCHEMA {
                let (found, supported) = (entry.schema, SCHEMA);
                return Err(Error::NewerFormat {
                    path: self.path.clone(),
                    found,
                    supported,
                });
            }
            if entry.schema < SCHEMA {
                let why = "a release before the format was settled wrote this state";
                return Err(self.damaged(why, offset));
            }
            if (entries == 0) != (entry.kind == EntryKind::Journal) {
                return Err(self.damaged("the journal's entry is not the first one", offset));
            }
            self.take(&mut image, &entry)
                .map_err(|why| self.damaged(why, offset))?;
            entries += 1;
        }
        if entries == 0 {
            return Err(self.corrupt("the state file has no entries"));
        }
        for (no, log) in image.logs() {
            self.check_log(&image, no, log)
                .map_err(|why| self.corrupt(why))?;
        }
        if image.state.last_lsn() >= image.point.next_lsn {
            let what = "latest record of the state";
            return Err(self.differs(what, image.point.next_lsn, image.state.last_lsn()));
        }
        Ok(image)
    }

    /// Takes one entry. An error says what is wrong with it.
    fn take(&self, image: &mut Image, entry: &StateEntry<'_>) -> std::result::Result<(), String> {
        let undecodable = |fault: BodyFault| fault.to_string();
        match entry.kind {
            EntryKind::Journal => {
                let body: JournalBody<'_> = body::decode(entry.body).map_err(undecodable)?;
                image.must_erase = body.must_erase;
                let mut before = (Lsn::new(0), self.snapshot.log_from);
                for &(lsn, segment) in &body.first_lsns {
                    let last = self.snapshot.replay;
                    let in_order = before.0 < lsn && before.1 <= segment;
                    if !in_order || lsn > last.next_lsn || segment > last.segment {
                        return Err(format!("segment {segment} from lsn {lsn} is out of order"));
                    }
                    before = (lsn, segment);
                    image.first_lsns.insert(lsn, segment);
                }
                let own = SessionEntry::Live(Box::new(body.session.into_owned()));
                self.insert(image, entry.session, own)
            }
            EntryKind::Session => {
                let session: SessionState = body::decode(entry.body).map_err(undecodable)?;
                self.insert(image, entry.session, SessionEntry::Live(Box::new(session)))
            }
            EntryKind::Tombstone => {
                let tombstone: Tombstone = body::decode(entry.body).map_err(undecodable)?;
                self.insert(image, entry.session, SessionEntry::Deleted(tombstone))
            }
            EntryKind::Places => {
                let body: PlacesBody = body::decode(entry.body).map_err(undecodable)?;
                let segments = self.snapshot.log_from..=self.snapshot.replay.segment;
                if image.state.entry(entry.session).is_none() || !segments.contains(&body.segment) {
                    return Err(format!(
                        "places of session {} in segment {}, which are not of this snapshot",
                        entry.session, body.segment
                    ));
                }
                body.append_to(image.log_mut(entry.session))
            }
        }
    }

    fn insert(
        &self,
        image: &mut Image,
        no: SessionNo,
        entry: SessionEntry,
    ) -> std::result::Result<(), String> {
        if no != entry.no() {
            return Err(format!("entry {no} holds session {}", entry.no()));
        }
        image
            .state
            .insert_loaded(entry)
            .map_err(|fault| fault.to_string())
    }

    /// Places of a session end with its latest record.
    fn check_log(
        &self,
        image: &Image,
        no: SessionNo,
        log: &SessionLog,
    ) -> std::result::Result<(), String> {
        let end = match image.state.entry(no) {
            Some(SessionEntry::Live(session)) => session.next_seq,
            Some(SessionEntry::Deleted(tombstone)) => tombstone.last_seq.next(),
            None => return Err(format!("places of session {no}, which is not there")),
        };
        if log.places.is_empty() || log.end_seq() == end {
            return Ok(());
        }
        Err(format!(
            "places of session {no} end at {}, its records at {end}",
            log.end_seq()
        ))
    }

    fn corrupt(&self, what: impl Into<String>) -> Error {
        self.corruption(what).into()
    }

    fn damaged(&self, what: impl Into<String>, offset: u64) -> Error {
        self.corruption(what).at(offset).into()
    }

    fn differs(&self, what: &str, expected: impl ToString, found: impl ToString) -> Error {
        self.corruption(what).but(expected, found).into()
    }

    fn corruption(&self, what: impl Into<String>) -> Corruption {
        Corruption::new(&self.path, what)
    }
}
