use super::*;

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.expect_err("an error was expected").kind()
}

#[test]
fn what_is_written_is_read_back_short_only_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = DiskStorage.open(&path, OpenMode::CreateNew).unwrap();
    file.write_all_at(b"second", 5).unwrap();
    file.write_all_at(b"first", 0).unwrap();
    file.sync_data().unwrap();
    DiskStorage.sync_dir(dir.path()).unwrap();
    let mut buf = [b'.'; 20];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 11);
    assert_eq!(&buf[..13], b"firstsecond..");
    assert_eq!(file.read_at(&mut buf[..3], 4).unwrap(), 3);
    assert_eq!(&buf[..3], b"tse");
    assert_eq!(file.read_at(&mut buf, 11).unwrap(), 0);
    file.set_len(13).unwrap();
    assert_eq!(file.size().unwrap(), 13);
    let reader = DiskStorage.open(&path, OpenMode::Read).unwrap();
    assert_eq!(reader.map().unwrap().bytes(), b"firstsecond\0\0");
    assert!(reader.write_all_at(b"x", 0).is_err());
    assert!(reader.page().is_err());
}

#[test]
fn interrupted_and_short_transfers_are_continued() {
    let mut answers = vec![
        Err(io::Error::from(io::ErrorKind::Interrupted)),
        Ok(2),
        Err(io::Error::from(io::ErrorKind::Interrupted)),
        Ok(3),
    ]
    .into_iter();
    let mut seen = Vec::new();
    drain(b"abcde", |rest, done| {
        seen.push((rest.to_vec(), done));
        answers.next().unwrap()
    })
    .unwrap();
    assert_eq!(seen[1], (b"abcde".to_vec(), 0));
    assert_eq!(seen[3], (b"cde".to_vec(), 2));

    assert_eq!(kind(drain(b"ab", |_, _| Ok(0))), io::ErrorKind::WriteZero);

    let mut source: &[u8] = b"wxyz";
    let mut buf = [0; 6];
    let filled = fill(&mut buf, |rest, _| {
        let n = source.len().min(rest.len()).min(3);
        rest[..n].copy_from_slice(&source[..n]);
        source = &source[n..];
        Ok(n)
    });
    assert_eq!((filled.unwrap(), &buf[..4]), (4, &b"wxyz"[..]));
}

#[test]
fn create_new_refuses_a_name_that_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    DiskStorage.open(&path, OpenMode::CreateNew).unwrap();
    let again = DiskStorage.open(&path, OpenMode::CreateNew);
    assert_eq!(kind(again), io::ErrorKind::AlreadyExists);
    let absent = DiskStorage.open(&dir.path().join("absent"), OpenMode::ReadWrite);
    assert_eq!(kind(absent), io::ErrorKind::NotFound);
    let taken = DiskStorage.create_dir(&path);
    assert_eq!(kind(taken), io::ErrorKind::AlreadyExists);
}

#[test]
fn renames_stay_in_one_directory_and_replace() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let sub = dir.path().join("sub");
    DiskStorage.create_dir(&sub).unwrap();
    fs::write(&a, "new").unwrap();
    fs::write(&b, "old").unwrap();
    let across = DiskStorage.rename(&a, &sub.join("a"));
    assert_eq!(kind(across), io::ErrorKind::InvalidInput);
    DiskStorage.rename(&a, &b).unwrap();
    assert_eq!(fs::read(&b).unwrap(), b"new");
    let mut listed = DiskStorage.list(dir.path()).unwrap();
    listed.sort_by(|x, y| x.name.cmp(&y.name));
    let listed: Vec<_> = listed
        .iter()
        .map(|e| (e.name.as_str(), e.is_file))
        .collect();
    assert_eq!(listed, [("b", true), ("sub", false)]);
    DiskStorage.remove(&b).unwrap();
    assert_eq!(kind(DiskStorage.remove(&b)), io::ErrorKind::NotFound);
    assert!(
        DiskStorage.remove(&sub).is_err(),
        "a directory is not a file"
    );
    assert!(sub.exists());
}

#[test]
fn entropy_differs_and_the_clock_is_of_this_century() {
    assert_ne!(
        DiskStorage.entropy().unwrap(),
        DiskStorage.entropy().unwrap()
    );
    assert!(DiskStorage.unix_ms() > 1_600_000_000_000);
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// Names the directory to a second process that runs only [`creates_under_a_umask`]: the
    /// umask belongs to the whole process, where other tests are creating files.
    const UNDER: &str = "TURNKEEP_TEST_UMASK";

    #[test]
    fn creates_under_a_umask() {
        let Some(dir) = std::env::var_os(UNDER) else {
            return;
        };
        let dir = Path::new(&dir);
        for mask in [0o000, 0o022, 0o277, 0o777] {
            rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
            let sub = dir.join(format!("dir-{mask}"));
            DiskStorage.create_dir(&sub).unwrap();
            let file = sub.join("file");
            DiskStorage.open(&file, OpenMode::CreateNew).unwrap();
            assert_eq!(mode(&sub), 0o700, "directory under umask {mask:o}");
            assert_eq!(mode(&file), 0o600, "file under umask {mask:o}");
        }
    }

    #[test]
    fn files_are_0600_and_directories_0700_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "storage::disk::tests::unix::creates_under_a_umask",
            ])
            .env(UNDER, dir.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4, "{said}");
    }

    #[test]
    fn links_pipes_directories_and_devices_are_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, "untouched").unwrap();
        let link = dir.path().join("link");
        symlink(&target, &link).unwrap();
        let dangling = dir.path().join("dangling");
        symlink(dir.path().join("absent"), &dangling).unwrap();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let device = Path::new("/dev/null");
        for path in [&link, &dangling, &pipe, dir.path(), &socket, device] {
            for mode in [OpenMode::Read, OpenMode::ReadWrite] {
                let refused = DiskStorage.open(path, mode);
                assert_eq!(
                    kind(refused),
                    io::ErrorKind::InvalidInput,
                    "{path:?} {mode:?}"
                );
            }
            let taken = DiskStorage.open(path, OpenMode::CreateNew);
            assert_eq!(kind(taken), io::ErrorKind::AlreadyExists, "{path:?}");
            assert!(
                matches!(DiskStorage.lock(path), Err(LockError::Io(_))),
                "{path:?}"
            );
        }
        assert_eq!(fs::read(&target).unwrap(), b"untouched");
        assert!(!dir.path().join("absent").exists());
        let listed = DiskStorage.list(dir.path()).unwrap();
        let files: Vec<_> = listed.iter().filter(|e| e.is_file).collect();
        assert_eq!(files.len(), 1, "{listed:?}");
    }

    #[test]
    fn descriptors_are_not_inherited() {
        let dir = tempfile::tempdir().unwrap();
        let file = sys::open(&dir.path().join("file"), OpenMode::CreateNew).unwrap();
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn the_lock_file_is_private_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let _lock = DiskStorage.lock(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn free_space_is_what_this_user_can_use() {
        let dir = tempfile::tempdir().unwrap();
        assert!(DiskStorage.free_bytes(dir.path()).unwrap() > 0);
        let absent = DiskStorage.free_bytes(&dir.path().join("absent"));
        assert_eq!(kind(absent), io::ErrorKind::NotFound);
    }

    #[test]
    fn syncing_a_directory_needs_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        assert_eq!(
            kind(DiskStorage.sync_dir(&path)),
            io::ErrorKind::NotADirectory
        );
        let absent = dir.path().join("absent");
        assert_eq!(kind(DiskStorage.sync_dir(&absent)), io::ErrorKind::NotFound);
        assert!(
            !DiskStorage.overwrites_in_place(&absent),
            "nothing is claimed of it"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_name_is_described_without_following_it_and_restricted_without_touching_its_bytes() {
    use super::super::{FileKind, Meta};
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    fs::write(&file, b"bytes").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    symlink(&file, &link).unwrap();
    let meta = |path: &Path| DiskStorage.meta(path).unwrap();
    let wide = Meta {
        kind: FileKind::File,
        mode: Some(0o664),
    };
    assert_eq!(meta(&file), wide);
    assert_eq!(meta(&link).kind, FileKind::Link);
    assert!(DiskStorage.restrict(&link).is_err());
    assert_eq!(meta(&file), wide, "the link was not followed");
    DiskStorage.restrict(&file).unwrap();
    assert_eq!(meta(&file).mode, Some(0o600));
    assert_eq!(fs::read(&file).unwrap(), b"bytes");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    DiskStorage.restrict(&dir.path().join(".")).unwrap();
    let dir = meta(dir.path());
    assert_eq!((dir.kind, dir.mode), (FileKind::Dir, Some(0o700)));
    assert_eq!(
        kind(DiskStorage.meta(&file.join("x"))),
        io::ErrorKind::NotADirectory
    );
}
