//! An ordinary user on a small file system that fills up: what a home directory with a quota is.

#![cfg(target_os = "linux")]

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Uid, fork, setgid, setgroups, setuid};
use std::path::Path;
use turnkeep::{Error, Journal};

const NOBODY: u32 = 65534;

/// Fills the disk, is refused, makes room, goes on, and reads everything back. The status says
/// how far it got.
fn fill(home: &Path) -> i32 {
    let path = home.join("journal");
    let ballast = home.join("ballast");
    if std::fs::write(&ballast, vec![1; 1 << 20]).is_err() {
        return 1;
    }
    let options = || {
        Journal::options()
            .background(false)
            .first_segment_bytes(64 << 10)
            .segment_bytes(128 << 10)
    };
    let Ok((journal, _)) = options().open(&path) else {
        return 2;
    };
    let Ok(session) = journal.session("a") else {
        return 3;
    };
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for n in 0..100_000_u32 {
        let content = n.to_le_bytes().repeat(1000);
        match session.append("note", &content) {
            Ok(_) => acknowledged.push(content),
            Err(Error::NoSpace { .. }) if refused < 5 => refused += 1,
            Err(Error::NoSpace { .. }) => break,
            Err(_) => return 4,
        }
    }
    if refused != 5 || std::fs::remove_file(&ballast).is_err() {
        return 5;
    }
    let late = b"there is room".to_vec();
    if session.append("note", &late).is_err() {
        return 6;
    }
    acknowledged.push(late);
    drop((session, journal));
    let Ok((journal, _)) = options().open(&path) else {
        return 7;
    };
    let Ok(entries) = journal.find("a").and_then(|session| session.read(..)) else {
        return 8;
    };
    let contents = entries.map(|entry| entry.map(|entry| entry.content).unwrap_or_default());
    // The first record made the session.
    if !contents.skip(1).eq(acknowledged) {
        return 9;
    }
    0
}

#[test]
fn an_ordinary_user_on_a_full_disk_loses_nothing_and_goes_on_when_there_is_room() {
    if !Uid::effective().is_root() {
        println!("SKIPPED: mounting a small file system takes the superuser");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let size = Some(format!("size=4m,mode=0700,uid={NOBODY}"));
    let kind = Some("tmpfs");
    let mounted = mount(kind, home.path(), kind, MsFlags::empty(), size.as_deref());
    if let Err(error) = mounted {
        println!("SKIPPED: a small file system cannot be mounted: {error}");
        return;
    }
    // SAFETY: the only test of this file; the child opens a journal of its own and ends at once.
    let ended = match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => waitpid(child, None).unwrap(),
        ForkResult::Child => {
            nix::unistd::alarm::set(60);
            // The way to the directory is the superuser's alone, so the child is there first.
            let ordinary = std::env::set_current_dir(home.path()).is_ok()
                && setgroups(&[]).is_ok()
                && setgid(Gid::from_raw(NOBODY)).is_ok()
                && setuid(Uid::from_raw(NOBODY)).is_ok();
            let status = if ordinary { fill(Path::new(".")) } else { 10 };
            // SAFETY: ends the child without running what belongs to the test.
            unsafe { libc::_exit(status) }
        }
    };
    umount2(home.path(), MntFlags::MNT_DETACH).unwrap();
    assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
}
