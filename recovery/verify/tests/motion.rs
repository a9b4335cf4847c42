//! Verifying beside a writer: files that go away or appear between one look and the next, and a
//! log that goes on.

use super::*;
use crate::journal::options::Options;
use crate::snapshot::catalog;
use crate::storage::sim::SimDisk;
use crate::storage::{DirEntry, Lock, LockError};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

const PATH: &str = "/agents.journal";

/// A disk on which something happens whenever a file is opened, to it or instead of it.
struct Busy<F> {
    disk: SimDisk,
    /// Gets the file's name, and how often it was opened before.
    on_open: F,
    opened: std::sync::Mutex<BTreeMap<String, u64>>,
}

impl<F> std::fmt::Debug for Busy<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Busy")
    }
}

impl<F: Fn(&str, u64) -> io::Result<()> + Send + Sync + 'static> Busy<F> {
    fn new(disk: &SimDisk, on_open: F) -> Arc<Busy<F>> {
        Arc::new(Busy {
            disk: disk.clone(),
            on_open,
            opened: Default::default(),
        })
    }

    fn verify(self: &Arc<Self>) -> Result<VerifyReport> {
        verify_on(self.clone(), PATH, &mut |_| ())
    }

    /// How often a file was opened.
    fn times(&self, name: &str) -> u64 {
        let opened = self.opened.lock().expect("no panic");
        opened.get(name).copied().unwrap_or(0)
    }
}

impl<F: Fn(&str, u64) -> io::Result<()> + Send + Sync + 'static> Storage for Busy<F> {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let before = {
            let mut opened = self.opened.lock().expect("no panic");
            let times = opened.entry(name.to_string()).or_default();
            *times += 1;
            *times - 1
        };
        (self.on_open)(&name, before)?;
        self.disk.open(path, mode)
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
    fn lock(&self, path: &Path) -> std::result::Result<Box<dyn Lock>, LockError> {
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

fn options(disk: &SimDisk) -> Options {
    small().storage(Arc::new(disk.clone()))
}

fn path(name: &str) -> String {
    format!("{PATH}/{name}")
}

/// A journal with two manifests, packs and a log, whose process was killed; its first segment,
/// its older manifest.
fn killed() -> (SimDisk, String, String) {
    let disk = SimDisk::new(7);
    let (journal, _) = options(&disk).open(PATH).expect("opens");
    for round in 0..3 {
        fill(&journal, &format!("r{round}"), 2, 30);
        journal.compact().expect("compacts");
    }
    fill(&journal, "tail", 2, 10);
    drop(journal);
    disk.kill();
    let files = disk.list_files(PATH).expect("lists");
    let first = |kind: &dyn Fn(&str) -> bool| {
        let found = files.iter().find(|name| kind(name));
        found.expect("is there").clone()
    };
    let segment = first(&|name| name.ends_with(".seg") && !name.starts_with("spare"));
    let manifests = files.iter().filter(|name| name.starts_with("manifest"));
    assert!(manifests.count() > 1);
    (disk, segment, first(&|name| name.starts_with("manifest")))
}

#[test]
fn a_manifest_that_a_writer_gives_up_meanwhile_is_not_missed() {
    let (disk, _, older) = killed();
    let name = older.clone();
    let writer = disk.clone();
    let busy = Busy::new(&disk, move |opened, before| {
        if opened == name && before == 1 {
            writer.remove_file(path(&name))?;
        }
        Ok(())
    });
    let report = busy.verify().expect("verifies");
    assert_eq!(report.findings, [], "{report}");
    assert_eq!(busy.times(&older), 2);
}

#[test]
fn a_manifest_that_the_system_does_not_give_is_named() {
    let (disk, _, older) = killed();
    let name = older.clone();
    let busy = Busy::new(&disk, move |opened, before| {
        match opened == name && before % 2 == 1 {
            true => Err(ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        }
    });
    let report = busy.verify().expect("verifies");
    assert_eq!(blamed(&report), [&*older], "{report}");
    assert_eq!(report.findings[0].code, "unreadable");
}

/// A segment goes away between listing and opening it, as it does when a compaction ends: what
/// is there now is looked at. If it never comes to rest, the error is told, after some attempts.
#[test]
fn what_moves_is_looked_at_again_and_not_for_ever() {
    for failures in [1, 3, u64::MAX] {
        let (disk, segment, _) = killed();
        let name = segment.clone();
        // Opened once to be measured, and once to be read.
        let busy = Busy::new(&disk, move |opened, before| {
            match opened == name && before % 2 == 1 && before / 2 < failures {
                true => Err(ErrorKind::NotFound.into()),
                false => Ok(()),
            }
        });
        let verified = busy.verify();
        if failures == u64::MAX {
            assert_eq!(verified.expect_err("is told").code(), "io");
            assert_eq!(busy.times(&segment), 2 * ATTEMPTS as u64);
        } else {
            let report = verified.expect("verifies");
            assert_eq!(report.findings, [], "{report}");
            assert_eq!(busy.times(&segment), 2 * (failures + 1));
        }
    }
}

#[test]
fn what_the_system_refuses_is_told_at_once() {
    let (disk, segment, _) = killed();
    let name = segment.clone();
    let busy = Busy::new(&disk, move |opened, before| {
        match opened == name && before % 2 == 1 {
            true => Err(ErrorKind::PermissionDenied.into()),
            false => Ok(()),
        }
    });
    assert_eq!(busy.verify().expect_err("is told").code(), "io");
    assert_eq!(busy.times(&segment), 2);
}

/// Another page, with a later counter: as if a writer had synced something.
fn turn_page(disk: &SimDisk) -> io::Result<()> {
    let dir = crate::storage::dir::Dir::new(Arc::new(disk.clone()), PATH);
    let found = catalog::read_newest(&dir)
        .expect("reads")
        .expect("is there");
    let journal = found.manifest.journal;
    let page = disk.read_file(path(names::WATERMARK))?;
    let mut mark = Watermark::decode_page(journal, &page).expect("good");
    mark.counter += 2;
    let page = Watermark::encode_page(journal, mark);
    disk.write_file(path(names::WATERMARK), &page)
}

/// A pack is damaged, and a writer syncs all the time: the damage is told all the same.
#[test]
fn damage_beside_a_writer_that_never_rests_is_told() {
    let (disk, _, _) = killed();
    let files = disk.list_files(PATH).expect("lists");
    let pack = files.iter().find(|name| name.ends_with(".pack"));
    let pack = pack.expect("a pack").clone();
    let mut bytes = disk.read_file(path(&pack)).expect("reads");
    bytes[200] ^= 1;
    disk.write_file(path(&pack), &bytes).expect("writes");
    let writer = disk.clone();
    let turned = AtomicU64::new(0);
    let busy = Busy::new(&disk, move |opened, _| {
        if opened == names::WATERMARK {
            turned.fetch_add(1, Ordering::Relaxed);
            turn_page(&writer)?;
        }
        Ok(())
    });
    let report = busy.verify().expect("verifies");
    assert_eq!(blamed(&report), [&*pack], "{report}");
    let at_rest = verify_on(Arc::new(disk), PATH, &mut |_| ()).expect("verifies");
    assert_eq!(report.findings, at_rest.findings);
}

/// The log is read while a group is being written into it, of which a part is there and what
/// comes behind it too. Everything that was durable when the verification began was read, and
/// more has become durable since: no damage, but a writer at work.
#[test]
fn a_log_that_goes_on_meanwhile_is_not_damaged() {
    let disk = SimDisk::new(7);
    let (journal, _) = options(&disk).open(PATH).expect("opens");
    fill(&journal, "a", 1, 5);
    let session = journal.session("s0").expect("opens");
    let (page, durable) = (
        disk.read_file(path(names::WATERMARK)),
        journal.durable_lsn(),
    );
    session.append("event", "half written").expect("is kept");
    session.append("event", "and behind it").expect("is kept");
    let later = disk.read_file(path(names::WATERMARK)).expect("reads");
    drop((session, journal));
    disk.kill();
    let name = names::segment(SegmentId::new(1));
    let mut bytes = disk.read_file(path(&name)).expect("reads");
    let half = bytes.windows(4).position(|w| w == b"half").expect("there");
    bytes[half] ^= 1;
    disk.write_file(path(&name), &bytes).expect("writes");
    disk.write_file(path(names::WATERMARK), &page.expect("reads"))
        .expect("writes");
    let writer = disk.clone();
    let turned = later.clone();
    let busy = Busy::new(&disk, move |opened, before| {
        if opened == name && before == 1 {
            writer.write_file(path(names::WATERMARK), &turned)?;
        }
        Ok(())
    });
    let report = busy.verify().expect("verifies");
    assert!(report.is_sound(), "{report}");
    let codes: Vec<_> = report.findings.iter().map(|f| f.code).collect();
    assert_eq!(codes, ["live"], "{report}");
    assert_eq!(report.next_lsn, durable);
    // At rest it is what it is.
    assert!(!busy.verify().expect("verifies").is_sound());
}

/// A pack that nothing refers to goes away before it is read: a writer swept it. One that the
/// system does not give is named.
#[test]
fn a_leftover_that_cannot_be_read_is_named_and_one_that_is_swept_is_not() {
    for refused in [ErrorKind::NotFound, ErrorKind::PermissionDenied] {
        let (disk, _, _) = killed();
        let leftover = names::pack(PackId::new(999));
        disk.write_file(path(&leftover), b"half a pack")
            .expect("writes");
        let name = leftover.clone();
        let busy = Busy::new(&disk, move |opened, before| {
            match opened == name && before % 2 == 1 {
                true => Err(refused.into()),
                false => Ok(()),
            }
        });
        let report = busy.verify().expect("verifies");
        let expected: &[&str] = match refused {
            ErrorKind::NotFound => &[],
            _ => &[&leftover],
        };
        assert_eq!(blamed(&report), expected, "{report}");
    }
}
