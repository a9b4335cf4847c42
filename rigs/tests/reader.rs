//! A reader in another process, while a host writes, rotates, compacts, and is killed.

#![cfg(unix)]

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use turnkeep::Journal;

fn options() -> turnkeep::Options {
    Journal::options()
        .first_segment_bytes(24 << 10)
        .segment_bytes(64 << 10)
        .max_packs(3)
}

/// Appends numbers for good, and tells of each when it is durable.
fn write(path: &Path, mut tell: File) -> turnkeep::Result<()> {
    let (journal, _) = options().open(path)?;
    let session = journal.session("a")?;
    let first = session.read(..)?.count() as u32 - 1;
    for n in first.. {
        session.append("note", n.to_le_bytes().repeat(100))?;
        let _ = tell.write_all(&[1]);
        if n % 50 == 49 {
            journal.compact()?;
        }
    }
    Ok(())
}

/// How many numbers a fresh reader sees, from 0 on and without a gap.
fn seen(path: &Path) -> Option<u32> {
    // Before the first opening is through there is no journal to read.
    let reader = Journal::options().open_read_only(path).ok()?;
    let session = reader.find("a").ok()?;
    let mut count = 0;
    for entry in session.read(..).expect("the session reads").skip(1) {
        let content = entry.expect("what is durable reads").content;
        assert_eq!(
            content,
            u32::to_le_bytes(count).repeat(100),
            "a gap after {count}"
        );
        count += 1;
    }
    Some(count)
}

#[test]
fn a_reader_sees_every_acknowledged_record_while_the_host_writes_and_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("journal");
    let (mut acknowledged, mut before, mut readings) = (0_u32, 0, 0);
    for life in 0..3 {
        let (from, to) = pipe().unwrap();
        // SAFETY: the only test of this file, and it starts no thread; the child opens a journal
        // of its own and is killed.
        let writer = match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                nix::unistd::alarm::set(60);
                let _ = write(&path, to.into());
                // SAFETY: ends the child without running what belongs to the test.
                unsafe { libc::_exit(1) }
            }
        };
        drop(to);
        let mut from = File::from(from);
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            let mut told = [0; 4096];
            acknowledged += from.read(&mut told).unwrap() as u32;
            let now = seen(&path).expect("acknowledged, so there is a session");
            assert!(
                now >= acknowledged,
                "life {life}: {acknowledged} acknowledged, {now} seen"
            );
            assert!(now >= before, "life {life}: {before} were seen, now {now}");
            before = now;
            readings += 1;
        }
        kill(writer, Signal::SIGKILL).unwrap();
        waitpid(writer, None).unwrap();
        let mut rest = Vec::new();
        acknowledged += from.read_to_end(&mut rest).unwrap() as u32;
        let now = seen(&path).unwrap();
        assert!(
            now >= acknowledged,
            "killed: {acknowledged} acknowledged, {now} seen"
        );
    }
    println!("{readings} readings, {acknowledged} records acknowledged");
    assert!(readings > 20 && acknowledged > 200);
}
