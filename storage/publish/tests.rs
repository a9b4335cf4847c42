use super::*;
use crate::storage::DiskStorage;
use crate::storage::sim::{CrashModel, NameModel, OpKind, SimDisk, is_powered_off};
use std::collections::BTreeSet;

const DIR: &str = "/j";
const TMP: &str = "new.tmp";
const NAME: &str = "manifest";
const EIO: i32 = 5;

/// A disk whose journal directory holds an older file of the name.
fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir(Path::new(DIR)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.write_file("/j/manifest", &old()).unwrap();
    disk
}

fn old() -> Vec<u8> {
    vec![b'o'; 9000]
}

fn new() -> Vec<u8> {
    (0..200_000_u32).map(|i| (i % 251) as u8).collect()
}

fn publish_new(disk: &SimDisk) -> Result<()> {
    publish(disk, Path::new(DIR), TMP, NAME, &new(), true)
}

#[test]
fn a_published_file_survives_every_power_loss() {
    for seed in 0..100 {
        let disk = disk(seed);
        publish_new(&disk).unwrap();
        disk.power_loss(&CrashModel::HARSHEST);
        disk.restart();
        assert!(
            disk.read_file("/j/manifest").unwrap() == new(),
            "seed {seed}"
        );
        assert_eq!(disk.list_files(DIR).unwrap(), [NAME], "seed {seed}");
    }
}

#[test]
fn a_power_loss_in_any_step_leaves_the_old_file_or_the_new_one_whole() {
    let counted = disk(0);
    let before = counted.ops();
    publish_new(&counted).unwrap();
    let steps = counted.ops() - before;
    assert_eq!(
        steps, 6,
        "remove, create, write, sync, rename, sync directory"
    );
    let ordered = CrashModel {
        names: NameModel::Ordered,
        ..CrashModel::HARSHEST
    };
    for model in [CrashModel::HARSHEST, ordered] {
        for step in 0..steps {
            let run = disk(0);
            run.write_file("/j/new.tmp", b"stale").unwrap();
            run.arm_power_loss(step);
            match publish_new(&run) {
                Err(Error::Io { source, .. }) => assert!(is_powered_off(&source)),
                other => panic!("step {step}: {other:?}"),
            }
            let mut found = BTreeSet::new();
            for seed in 0..100 {
                let fork = run.fork();
                fork.reseed(seed);
                fork.power_loss(&model);
                fork.restart();
                let bytes = fork.read_file("/j/manifest").unwrap();
                assert!(bytes == old() || bytes == new(), "step {step} seed {seed}");
                found.insert(bytes == new());
            }
            let rename_was_reached = step >= 4;
            assert_eq!(found.contains(&true), rename_was_reached, "step {step}");
        }
    }
}

#[test]
fn a_failure_names_its_step_and_leaves_no_temporary_file() {
    // The kind of operation, its number among its kind, what is said, and of which file.
    let steps = [
        (OpKind::Remove, 1, "remove stale", "/j/new.tmp"),
        (OpKind::Open, 1, "create", "/j/new.tmp"),
        (OpKind::Write, 1, "write", "/j/new.tmp"),
        (OpKind::SyncData, 1, "sync", "/j/new.tmp"),
        (OpKind::Open, 2, "open to read back", "/j/new.tmp"),
        (OpKind::Read, 2, "read back", "/j/new.tmp"),
        (OpKind::Rename, 1, "rename into place", "/j/manifest"),
    ];
    for (kind, nth, op, path) in steps {
        let disk = disk(1);
        disk.fail_nth(kind, nth, EIO, false);
        match publish_new(&disk) {
            Err(Error::Io {
                op: said,
                path: at,
                source,
            }) => {
                assert_eq!((said, at.as_path()), (op, Path::new(path)));
                assert_eq!(source.raw_os_error(), Some(EIO));
            }
            other => panic!("{op}: {other:?}"),
        }
        assert_eq!(disk.list_files(DIR).unwrap(), [NAME], "{op}");
        assert!(disk.read_file("/j/manifest").unwrap() == old(), "{op}");
        publish_new(&disk).unwrap();
    }
}

#[test]
fn after_a_failed_directory_sync_the_new_file_is_visible_and_not_promised() {
    let disk = disk(2);
    disk.fail_nth(OpKind::SyncDir, 1, EIO, false);
    let failed = publish_new(&disk);
    let Err(Error::Io { op, path, .. }) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!((op, path.as_path()), ("sync directory", Path::new(DIR)));
    assert!(disk.read_file("/j/manifest").unwrap() == new());
    disk.power_loss(&CrashModel::NOTHING_SURVIVES);
    disk.restart();
    assert!(disk.read_file("/j/manifest").unwrap() == old());
}

#[test]
fn a_full_disk_is_told_as_such_and_leaves_no_temporary_file() {
    let disk = disk(3);
    disk.set_capacity(disk.used_bytes() + 1000);
    match publish_new(&disk) {
        Err(Error::NoSpace { path, needed_bytes }) => {
            assert_eq!((path.as_path(), needed_bytes), (Path::new(DIR), 200_000));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(disk.list_files(DIR).unwrap(), [NAME]);
    assert_eq!(disk.used_bytes(), 9000);
}

/// Shows a byte on the medium that is not the one written, from the first sync on.
#[derive(Debug)]
struct LyingDisk {
    disk: SimDisk,
    lie_at: u64,
    cut_to: Option<u64>,
}

impl LyingDisk {
    fn publish(lie_at: u64, cut_to: Option<u64>, verify: bool) -> (SimDisk, Result<()>) {
        let lying = LyingDisk {
            disk: disk(4),
            lie_at,
            cut_to,
        };
        let result = publish(&lying, Path::new(DIR), TMP, NAME, &new(), verify);
        (lying.disk, result)
    }
}

impl Storage for LyingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<std::sync::Arc<dyn File>> {
        if mode == OpenMode::Read {
            match self.cut_to {
                Some(len) => self.disk.open(path, OpenMode::ReadWrite)?.set_len(len)?,
                None => self.disk.rot(path, self.lie_at, 0x40)?,
            }
        }
        self.disk.open(path, mode)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<crate::storage::DirEntry>> {
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
    fn lock(
        &self,
        path: &Path,
    ) -> std::result::Result<Box<dyn crate::storage::Lock>, crate::storage::LockError> {
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

#[test]
fn bytes_that_read_back_differently_are_never_published() {
    for lie_at in [0, 1, 65_535, 65_536, 199_999] {
        let (disk, result) = LyingDisk::publish(lie_at, None, true);
        let Err(Error::Corrupt(corruption)) = result else {
            panic!("{result:?}");
        };
        assert_eq!(corruption.offset, Some(lie_at));
        assert_eq!(corruption.path, Path::new("/j/new.tmp"));
        assert!(disk.read_file("/j/manifest").unwrap() == old());
        assert_eq!(disk.list_files(DIR).unwrap(), [NAME]);
    }
    for wrong_len in [199_999, 200_001] {
        let (disk, result) = LyingDisk::publish(0, Some(wrong_len), true);
        assert!(matches!(result, Err(Error::Corrupt(_))), "{result:?}");
        assert!(disk.read_file("/j/manifest").unwrap() == old());
    }
    let (_, unverified) = LyingDisk::publish(0, None, false);
    unverified.expect("nobody looked");
}

#[test]
fn publishing_works_on_the_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    for bytes in [&b""[..], &new(), b"short again"] {
        std::fs::write(dir.path().join(TMP), "stale").unwrap();
        publish(&DiskStorage, dir.path(), TMP, NAME, bytes, true).unwrap();
        assert!(std::fs::read(dir.path().join(NAME)).unwrap() == bytes);
        assert!(!dir.path().join(TMP).exists());
    }
}
