//! What tests of looking share: a journal to look at, and a disk that refuses to be written.

use crate::format::checksum::{Seed, payload_checksum};
use crate::format::frame::FrameHeader;
use crate::format::group::{GroupBuffer, Place};
use crate::format::ids::{Epoch, JournalId, Lsn, SegmentId, Seq, SessionNo};
use crate::format::names;
use crate::format::segment::{SEGMENT_DATA, SegmentHeader};
use crate::journal::handle::Journal;
use crate::journal::options::Options;
use crate::journal::segments::{Expected, SegmentFile};
use crate::storage::dir::Dir;
use crate::storage::sim::SimDisk;
use crate::storage::{DirEntry, DiskStorage, File, Lock, LockError, Map, OpenMode, Page, Storage};
use crate::sync::Arc;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A temporary directory with a journal in it.
pub(super) struct Home {
    _dir: tempfile::TempDir,
    pub path: PathBuf,
}

impl Home {
    pub(super) fn new() -> Home {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("agents.journal");
        Home { _dir: dir, path }
    }

    /// Opens it for writing, with small segments and nothing in the background.
    pub(super) fn open(&self) -> Journal {
        small().open(&self.path).expect("opens").0
    }

    /// Every file's name and bytes.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.path)
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path.join(name)).expect("a file")
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path.join(name), bytes).expect("is written");
    }

    pub(super) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path.join(name)).expect("is removed");
    }

    pub(super) fn remove_if_there(&self, name: &str) {
        let _ = std::fs::remove_file(self.path.join(name));
    }

    /// Flips bits of the byte at `offset` of a file.
    pub(super) fn flip(&self, name: &str, offset: usize) {
        let mut bytes = self.read(name);
        bytes[offset] ^= 0x40;
        self.write(name, &bytes);
    }

    /// Names of the files that end in `ending`, in order.
    pub(super) fn names(&self, ending: &str) -> Vec<String> {
        let files = self.files().into_keys();
        files.filter(|name| name.ends_with(ending)).collect()
    }

    /// Names of the segments that hold groups, in order.
    pub(super) fn logged(&self) -> Vec<String> {
        let mut names = self.names(".seg");
        names.retain(|name| !name.starts_with("spare") && self.read(name)[4096..4100] != [0; 4]);
        names
    }
}

/// Settings for small journals that do everything in the caller.
pub(super) fn small() -> Options {
    Options::default()
        .background(false)
        .first_segment_bytes(64 << 10)
        .segment_bytes(64 << 10)
}

/// Every file of a directory, with its bytes.
pub(super) fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(path).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        if entry.path().is_dir() {
            for (inner, bytes) in self::files(&entry.path()) {
                files.insert(format!("{name}/{inner}"), bytes);
            }
        } else {
            files.insert(name, std::fs::read(entry.path()).expect("a file"));
        }
    }
    files
}

/// Appends `count` events to each of `sessions` sessions, in turn; `tag` makes them unlike others.
pub(super) fn fill(journal: &Journal, tag: &str, sessions: usize, count: usize) -> Vec<Lsn> {
    let handles: Vec<_> = (0..sessions)
        .map(|n| journal.session(&format!("s{n}")).expect("a session"))
        .collect();
    let mut lsns = Vec::new();
    for i in 0..count {
        for (n, session) in handles.iter().enumerate() {
            let payload = format!("{tag} {n} {i} {}", "x".repeat((i * 37 + n) % 300));
            lsns.push(session.append("event", payload).expect("is kept"));
        }
    }
    lsns
}

/// The header of a segment that is made by hand.
pub(super) fn by_hand(capacity: u64) -> SegmentHeader {
    SegmentHeader {
        journal: JournalId([5; 16]),
        id: SegmentId::new(7),
        capacity,
        base_lsn: Lsn::default(),
        group_align: 4096,
        base_link: 0,
        base_group_link: 0,
        created_ms: 1,
    }
}

/// A group of the segment `id`, whose writer knew that everything below `durable` was durable.
pub(super) fn group(id: u64, first: u64, durable: u64, payloads: &[&[u8]]) -> Vec<u8> {
    flagged(id, first, durable, payloads, 0)
}

/// As [`group`], with flags.
pub(super) fn flagged(
    id: u64,
    first: u64,
    durable: u64,
    payloads: &[&[u8]],
    flags: u32,
) -> Vec<u8> {
    let header = by_hand(0);
    let mut buffer = GroupBuffer::default();
    for (lsn, payload) in (first..).zip(payloads) {
        let frame = FrameHeader {
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
        };
        buffer.push(&frame, payload);
    }
    buffer.seal(&Place {
        seed: Seed::of_life(header.journal, id),
        segment: SegmentId::new(id),
        next_lsn: Lsn::new(first),
        durable_lsn: Lsn::new(durable),
        link: 0,
        prev_group: 0,
        flags,
        epoch: Epoch::new(1),
        at_ms: 1,
        align: header.group_align as usize,
    });
    buffer.bytes().to_vec()
}

/// A segment with these bytes at these blocks, counted from where groups begin.
pub(super) fn segment(header: SegmentHeader, parts: &[(usize, &[u8])]) -> SegmentFile {
    segment_of(header, header.capacity as usize, parts)
}

/// As [`segment`], with a file of `len` bytes, whatever its header says.
pub(super) fn segment_of(
    header: SegmentHeader,
    len: usize,
    parts: &[(usize, &[u8])],
) -> SegmentFile {
    let mut bytes = vec![0; len];
    let encoded = header.encode();
    bytes[..encoded.len()].copy_from_slice(&encoded);
    for (block, part) in parts {
        let at = SEGMENT_DATA as usize + block * 4096;
        bytes[at..at + part.len()].copy_from_slice(part);
    }
    let disk = SimDisk::new(1);
    let dir = Dir::new(Arc::new(disk.clone()), "/by.hand");
    dir.storage().create_dir(dir.path()).expect("is made");
    let path = dir.join(&names::segment(header.id));
    disk.write_file(path, &bytes).expect("is written");
    let (journal, id) = (header.journal, header.id);
    SegmentFile::open(&dir, Expected { journal, id }, OpenMode::Read).expect("opens")
}

/// The real disk, as one that refuses every operation that could change it.
#[derive(Debug)]
pub(super) struct ReadOnlyDisk;

#[derive(Debug)]
struct ReadOnlyFile(Arc<dyn File>);

fn refused<T>(what: &str) -> T {
    panic!("a reader tried to {what}")
}

impl File for ReadOnlyFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused("write")
    }
    fn sync_data(&self) -> io::Result<()> {
        refused("sync")
    }
    fn set_len(&self, _: u64) -> io::Result<()> {
        refused("set a length")
    }
    fn map(&self) -> io::Result<Arc<dyn Map>> {
        self.0.map()
    }
    fn page(&self) -> io::Result<Arc<dyn Page>> {
        refused("map a page for writing")
    }
}

impl Storage for ReadOnlyDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused("create a directory")
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        DiskStorage.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        match mode {
            OpenMode::Read => Ok(Arc::new(ReadOnlyFile(DiskStorage.open(path, mode)?))),
            _ => refused("open a file for writing"),
        }
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused("rename")
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        refused("remove")
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused("sync a directory")
    }
    fn lock(&self, _: &Path) -> Result<Box<dyn Lock>, LockError> {
        refused("take the lock")
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        DiskStorage.free_bytes(path)
    }
    fn overwrites_in_place(&self, path: &Path) -> bool {
        DiskStorage.overwrites_in_place(path)
    }
    fn entropy(&self) -> io::Result<[u8; 16]> {
        DiskStorage.entropy()
    }
    fn unix_ms(&self) -> u64 {
        DiskStorage.unix_ms()
    }
}
