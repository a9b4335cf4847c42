use super::*;
use crate::storage::LockError;

type Operation = fn(&SimDisk, &Arc<dyn File>) -> io::Result<()>;

/// An operation of each kind, on a disk with the synced files /f and /g.
const EACH_KIND: [(OpKind, Operation); 12] = [
    (OpKind::Open, |disk, _| {
        disk.open(path("/f"), OpenMode::Read).map(drop)
    }),
    (OpKind::Read, |_, file| {
        file.read_at(&mut [0; 9], 0).map(drop)
    }),
    (OpKind::Write, |_, file| file.write_all_at(b"new", 0)),
    (OpKind::SetLen, |_, file| file.set_len(9)),
    (OpKind::SyncData, |_, file| file.sync_data()),
    (OpKind::Map, |_, file| file.map().map(drop)),
    (OpKind::CreateDir, |disk, _| disk.create_dir(path("/dir"))),
    (OpKind::List, |disk, _| disk.list(path("/")).map(drop)),
    (OpKind::Rename, |disk, _| {
        disk.rename(path("/g"), path("/h"))
    }),
    (OpKind::Remove, |disk, _| disk.remove(path("/f"))),
    (OpKind::SyncDir, |disk, _| disk.sync_dir(path("/"))),
    (OpKind::Lock, |disk, _| match disk.lock(path("/f")) {
        Err(LockError::Io(e)) => Err(e),
        other => other.map(drop).map_err(|e| panic!("{e:?}")),
    }),
];

fn disk_with_files() -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new(1);
    let file = synced(&disk, "/f", &[b'f'; 4096]);
    synced(&disk, "/g", b"g");
    (disk, file)
}

#[test]
fn every_kind_of_operation_fails_once_on_request() {
    for (kind, operation) in EACH_KIND {
        let (disk, file) = disk_with_files();
        let hash = disk.state_hash();
        disk.fail_nth(kind, 1, EIO, false);
        let error = operation(&disk, &file).expect_err("the first fails");
        assert_eq!(error.raw_os_error(), Some(EIO), "{kind:?}");
        assert_eq!(disk.state_hash(), hash, "{kind:?} changed what is durable");
        assert_eq!(names(&disk), "f g", "{kind:?} changed names");
        operation(&disk, &file).unwrap_or_else(|e| panic!("{kind:?} fails twice: {e}"));
    }
}

#[test]
fn only_the_nth_of_the_kind_fails_and_sticky_ones_go_on() {
    for (kind, operation) in EACH_KIND {
        if matches!(kind, OpKind::CreateDir | OpKind::Rename | OpKind::Remove) {
            continue; // These cannot be repeated.
        }
        let (disk, file) = disk_with_files();
        disk.fail_nth(kind, 3, io::ErrorKind::PermissionDenied, true);
        let fails: Vec<_> = (0..5).map(|_| operation(&disk, &file).is_err()).collect();
        assert_eq!(fails, [false, false, true, true, true], "{kind:?}");
        disk.clear_faults();
        operation(&disk, &file).unwrap();
    }
}

#[test]
fn a_failed_write_may_have_written_any_prefix() {
    let mut written = BTreeSet::new();
    for seed in 0..300 {
        let (disk, file) = disk_with_files();
        disk.reseed(seed);
        disk.fail_nth(OpKind::Write, 1, EIO, false);
        file.write_all_at(&[b'n'; 9], 0).unwrap_err();
        let bytes = disk.read_file("/f").unwrap();
        let prefix = bytes.iter().take_while(|b| **b == b'n').count();
        assert!(bytes[prefix..].iter().all(|b| *b == b'f'));
        written.insert(prefix);
    }
    assert_eq!(written, (0..=9).collect());
}

#[test]
fn a_full_disk_cuts_a_write_at_any_byte() {
    for capacity in 0..=12 {
        let disk = SimDisk::new(2);
        disk.set_capacity(capacity);
        let file = disk.open(path("/f"), OpenMode::CreateNew).unwrap();
        let error = file.write_all_at(b"thirteen byte", 100).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let mut read = [0; 20];
        let len = file.read_at(&mut read, 100).unwrap();
        assert_eq!(&read[..len], &b"thirteen byte"[..capacity as usize]);
        assert_eq!(disk.used_bytes(), capacity);
        assert_eq!(disk.free_bytes(path("/")).unwrap(), 0);
    }
}

#[test]
fn overwriting_what_has_space_needs_none() {
    let disk = SimDisk::new(3);
    let file = synced(&disk, "/f", &[b'a'; 1000]);
    disk.set_capacity(1000);
    file.write_all_at(&[b'b'; 1000], 0).unwrap();
    file.set_len(1 << 40).expect("a length takes no space");
    let error = file.write_all_at(&[b'c'; 2], 999).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let mut read = [0; 2];
    file.read_at(&mut read, 999).unwrap();
    assert_eq!(&read, b"c\0");
    file.write_all_at(b"", 5000)
        .expect("nothing takes no space");
}

#[test]
fn a_write_over_several_holes_is_cut_in_the_one_that_no_longer_fits() {
    let disk = SimDisk::new(6);
    let file = synced(&disk, "/f", b"");
    file.write_all_at(b"A", 10).unwrap();
    file.write_all_at(b"B", 20).unwrap();
    disk.set_capacity(2 + 10 + 4);
    file.write_all_at(&[b'x'; 30], 0).unwrap_err();
    let bytes = disk.read_file("/f").unwrap();
    assert_eq!(bytes[..16], [&[b'x'; 15][..], b"\0"].concat());
    assert_eq!(&bytes[16..], b"\0\0\0\0B");
    assert_eq!(disk.used_bytes(), 16);
}

#[test]
fn space_comes_back_by_removing_shortening_and_replacing() {
    let disk = SimDisk::new(4);
    disk.set_capacity(2000);
    let file = synced(&disk, "/a", &[b'a'; 1000]);
    synced(&disk, "/b", &[b'b'; 1000]);
    assert!(file.write_all_at(b"x", 1000).is_err());
    disk.rename(path("/a"), path("/b")).unwrap();
    assert_eq!(disk.free_bytes(path("/")).unwrap(), 1000);
    file.set_len(10).unwrap();
    assert_eq!(disk.free_bytes(path("/")).unwrap(), 1990);
    disk.remove(path("/b")).unwrap();
    assert_eq!(disk.free_bytes(path("/")).unwrap(), 2000);
    disk.set_capacity(None);
    synced(&disk, "/c", &[b'c'; 5000]);
}

#[test]
fn rot_is_seen_by_every_reader_at_once_and_for_good() {
    let disk = SimDisk::new(5);
    let file = synced(&disk, "/f", b"sound");
    assert_eq!(file.map().unwrap().bytes(), b"sound");
    disk.rot("/f", 1, 0x01).unwrap();
    assert_eq!(disk.read_file("/f").unwrap(), b"snund");
    assert_eq!(file.map().unwrap().bytes(), b"snund");
    let seen = outcomes(&disk, &CrashModel::HARSHEST, |disk| {
        disk.read_file("/f").unwrap()
    });
    assert_eq!(seen, BTreeSet::from([b"snund".to_vec()]));
    let past = disk.rot("/f", 5, 1).unwrap_err();
    assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(
        disk.rot("/g", 0, 1).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
