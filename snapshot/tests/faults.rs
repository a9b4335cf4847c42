//! A compaction that meets a failing disk, or the end of the power, costs nothing.

use super::{Said, contents, digest, fill, options};
use crate::error::Error;
use crate::journal::handle::Journal;
use crate::journal::options::Options;
use crate::snapshot::compaction::compact;
use crate::snapshot::rotate;
use crate::storage::sim::{CrashModel, OpKind, SimDisk};
use crate::storage::{DirEntry, File, Lock, LockError, Map, OpenMode, Page, Storage};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "/agents.journal";

fn on(disk: &SimDisk, options: Options) -> Journal {
    let (journal, _) = options
        .storage(Arc::new(disk.clone()))
        .open(PATH)
        .expect("opens");
    journal
}

/// A journal with a pack, a snapshot, and a log that is sealed behind them.
fn prepare(seed: u64) -> (SimDisk, Journal) {
    let disk = SimDisk::new(seed);
    let journal = on(&disk, options().max_packs(2));
    fill(&journal, 12);
    journal.compact().expect("compacts");
    fill(&journal, 12);
    journal.compact().expect("compacts");
    fill(&journal, 12);
    rotate::seal(&journal.shared).expect("seals");
    fill(&journal, 2);
    (disk, journal)
}

fn assert_sound(journal: &Journal, all: &BTreeMap<String, Vec<Said>>, before: u128, what: &str) {
    assert_eq!(digest(journal), before, "{what}");
    let found = contents(journal);
    assert!(found.keys().eq(all.keys()), "{what}");
    for (id, entries) in all {
        let found = &found[id];
        // Whether the compaction took place or not, what must stay is there, and nothing else.
        assert!(
            found.iter().all(|entry| entries.contains(entry)),
            "{what}: {id}"
        );
        let droppable = |entry: &Said| {
            use crate::model::event::Kind::{Put, Remove, TurnProgress};
            matches!(entry.kind, TurnProgress | Put | Remove)
        };
        for entry in entries.iter().filter(|entry| !droppable(entry)) {
            assert!(found.contains(entry), "{what}: {id} lost {entry:?}");
        }
    }
}

fn assert_tidy(disk: &SimDisk, what: &str) {
    let names = disk.list_files(PATH).expect("lists");
    assert!(
        names.iter().all(|name| !name.ends_with(".tmp")),
        "{what}: {names:?}"
    );
}

#[test]
fn whatever_fails_the_journal_goes_on_and_the_next_compaction_succeeds() {
    let kinds = [
        OpKind::Open,
        OpKind::Read,
        OpKind::Write,
        OpKind::SyncData,
        OpKind::Map,
        OpKind::List,
        OpKind::Rename,
        OpKind::Remove,
        OpKind::SyncDir,
    ];
    let mut failures = 0;
    for kind in kinds {
        for nth in 1.. {
            let what = format!("{kind:?} {nth} fails");
            let (disk, journal) = prepare(nth);
            let (all, before) = (contents(&journal), digest(&journal));
            disk.fail_nth(kind, nth, io::ErrorKind::Other, false);
            let result = compact(&journal.shared, false);
            disk.clear_faults();
            let is_over = result.is_ok();
            if let Err(error) = result {
                failures += 1;
                assert!(matches!(error, Error::Io { .. }), "{what}: {error}");
            }
            assert!(
                journal.shared.commit.failure().is_none(),
                "{what}: poisoned"
            );
            assert_tidy(&disk, &what);
            assert_sound(&journal, &all, before, &what);
            fill(&journal, 1);
            let (all, before) = (contents(&journal), digest(&journal));
            // Opening finds one of the manifests, and everything that it refers to.
            let other = disk.fork();
            other.power_loss(&CrashModel::default());
            other.restart();
            assert_sound(&on(&other, options()), &all, before, &what);
            let done = journal.compact().expect("compacts");
            assert!(done.snapshot.is_some(), "{what}");
            assert_sound(&journal, &all, before, &what);
            assert_tidy(&disk, &what);
            let stat = journal.stat().expect("counts");
            assert!(
                stat.files.states.files <= 3 && stat.files.packs.files <= 6,
                "{what}: {stat}"
            );
            drop(journal);
            assert_sound(&on(&disk, options()), &all, before, &what);
            if is_over && nth > 25 {
                break;
            }
        }
    }
    assert!(failures > 30, "{failures}");
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing_behind() {
    let (disk, journal) = prepare(1);
    let files = disk.list_files(PATH).expect("lists");
    for room in [0, 10, 3000, 4096, 8000] {
        let (all, before) = (contents(&journal), digest(&journal));
        disk.set_capacity(disk.used_bytes() + room);
        match compact(&journal.shared, false) {
            Err(Error::NoSpace { path, .. }) => assert_eq!(path, Path::new(PATH)),
            other => panic!("room for {room} bytes: {other:?}"),
        }
        assert_eq!(
            disk.list_files(PATH).expect("lists"),
            files,
            "room for {room} bytes"
        );
        assert_sound(&journal, &all, before, "a full disk");
        let session = journal.find("session 1").expect("there");
        session
            .put("room", room.to_string())
            .expect("goes in where there is room already");
    }
    disk.set_capacity(None);
    compact(&journal.shared, false).expect("compacts");
}

/// 1. A manifest is renamed into place; making its name durable fails, so it may be in force.
/// 2. The next compaction writes other files.
/// 3. The power goes, and the manifest is there: what it refers to must be what it was.
#[test]
fn what_a_manifest_in_doubt_refers_to_stays_as_it_was() {
    for after in 0..40 {
        let what = format!("power loss after {after} operations");
        let (disk, journal) = prepare(after);
        disk.fail_nth(OpKind::SyncDir, 2, io::ErrorKind::Other, false);
        assert!(
            matches!(compact(&journal.shared, false), Err(Error::Io { .. })),
            "{what}"
        );
        disk.clear_faults();
        fill(&journal, 5);
        rotate::seal(&journal.shared).expect("seals");
        let (all, before) = (contents(&journal), digest(&journal));
        disk.arm_power_loss(after);
        let _ = compact(&journal.shared, false);
        disk.disarm();
        drop(journal);
        disk.power_loss(&CrashModel::HARSHEST);
        disk.restart();
        let opened = options().storage(Arc::new(disk.clone())).open(PATH);
        let (journal, recovery) = opened.expect("opens");
        let damaged = recovery
            .warnings
            .iter()
            .any(|warning| warning.contains("snapshot"));
        assert!(!damaged, "{what}: {recovery}");
        assert_sound(&journal, &all, before, &what);
    }
}

/// The power goes in the middle of every single operation of a compaction, erasing or not.
#[test]
fn power_loss_at_any_operation_of_a_compaction_loses_and_revives_nothing() {
    for erasing in [false, true] {
        let operations = (0..).find(|&after| !loses_power(erasing, after));
        assert!(operations > Some(20), "{operations:?} operations were all");
    }
}

/// Returns whether there was an operation left to lose power in.
fn loses_power(erasing: bool, after: u64) -> bool {
    let what = format!("power loss after {after} operations, erasing: {erasing}");
    let (disk, journal) = prepare(after);
    if erasing {
        journal
            .find("session 5")
            .expect("there")
            .delete()
            .expect("deletes");
        journal
            .find("session 6")
            .expect("there")
            .clear()
            .expect("clears");
    }
    let (all, before) = (contents(&journal), digest(&journal));
    disk.arm_power_loss(after);
    let _ = journal.compact();
    let was_off = disk.is_off();
    disk.disarm();
    drop(journal);
    disk.power_loss(&CrashModel::HARSHEST);
    disk.restart();
    let journal = on(&disk, options().max_packs(2));
    assert_sound(&journal, &all, before, &what);
    assert!(journal.find("session 5").is_ok() != erasing, "{what}");
    fill(&journal, 1);
    let (all, before) = (contents(&journal), digest(&journal));
    // Erasing may be over; if it is not, it is not forgotten.
    journal
        .compact()
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_sound(&journal, &all, before, &what);
    for name in disk.list_files(PATH).expect("lists") {
        let bytes = disk.read_file(format!("{PATH}/{name}")).expect("reads");
        let holds = bytes.windows(9).any(|window| window == b"session 5");
        assert!(
            !(erasing && holds),
            "{what}: {name} still names the deleted session"
        );
    }
    drop(journal);
    assert_sound(&on(&disk, options()), &all, before, &what);
    was_off
}

#[test]
fn what_rots_on_the_way_to_the_disk_is_not_published() {
    for suffix in [".pack.tmp", ".state.tmp", "manifest-00000004.tmp"] {
        let (disk, journal) = prepare(3);
        drop(journal);
        let rotting = Rotting {
            disk: disk.clone(),
            suffix,
        };
        let (journal, _) = options()
            .max_packs(2)
            .storage(Arc::new(rotting))
            .open(PATH)
            .expect("opens");
        let (all, before) = (contents(&journal), digest(&journal));
        let result = compact(&journal.shared, false);
        assert!(
            matches!(result, Err(Error::Corrupt(_))),
            "{suffix}: {result:?}"
        );
        assert_tidy(&disk, suffix);
        assert_sound(&journal, &all, before, suffix);
        drop(journal);
        let journal = on(&disk, options());
        assert_sound(&journal, &all, before, suffix);
        journal.compact().expect("compacts");
    }
}

/// A disk that changes one bit of whatever is written to files of one kind.
#[derive(Debug)]
struct Rotting {
    disk: SimDisk,
    suffix: &'static str,
}

#[derive(Debug)]
struct RottingFile(Arc<dyn File>);

impl Storage for Rotting {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        Ok(match path.to_string_lossy().ends_with(self.suffix) {
            true => Arc::new(RottingFile(file)),
            false => file,
        })
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        self.disk.lock(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
    fn overwrites_in_place(&self, path: &Path) -> bool {
        self.disk.overwrites_in_place(path)
    }
    fn entropy(&self) -> io::Result<[u8; 16]> {
        self.disk.entropy()
    }
    fn unix_ms(&self) -> u64 {
        self.disk.unix_ms()
    }
}

impl File for RottingFile {
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut rotten = buf.to_vec();
        if let Some(byte) = rotten.last_mut() {
            *byte ^= 1;
        }
        self.0.write_all_at(&rotten, offset)
    }
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn map(&self) -> io::Result<Arc<dyn Map>> {
        self.0.map()
    }
    fn page(&self) -> io::Result<Arc<dyn Page>> {
        self.0.page()
    }
}
