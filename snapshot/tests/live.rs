//! Compaction while the journal is written to and read.

use super::{contents, digest, files, open};
use crate::format::ids::Lsn;
use crate::journal::handle::Journal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

#[test]
fn readers_and_writers_go_on_while_the_background_compacts() {
    let at = tempfile::tempdir().expect("a directory");
    let options = Journal::options()
        .first_segment_bytes(128 << 10)
        .segment_bytes(128 << 10)
        .compact_after_bytes(256 << 10)
        .max_packs(4)
        .keep_snapshots(2);
    let journal = open(&at, options.clone());
    let done = AtomicBool::new(false);
    let appended: Vec<AtomicU64> = (0..4).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let (journal, appended) = (&journal, &appended[n]);
                scope.spawn(move || {
                    let session = journal.session(&format!("writer {n}")).expect("a session");
                    for i in 0..1500_u32 {
                        let text = format!("{i} {}", "y".repeat(300 + (i as usize * 7) % 400));
                        drop(session.submit("note", text).expect("goes in"));
                        if i % 50 == 0 {
                            journal.sync().expect("syncs");
                            appended.store(u64::from(i) + 1, Ordering::Release);
                        }
                    }
                })
            })
            .collect();
        let checker = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                for (n, appended) in appended.iter().enumerate() {
                    let least = appended.load(Ordering::Acquire);
                    let Ok(session) = journal.find(&format!("writer {n}")) else {
                        continue;
                    };
                    let entries = session.read(..).expect("reads");
                    let found: Vec<_> = entries.map(|e| e.expect("a whole record")).collect();
                    for (i, entry) in found.iter().skip(1).enumerate() {
                        assert!(entry.content.starts_with(format!("{i} ").as_bytes()), "{i}");
                    }
                    assert!(found.len() as u64 > least, "{} of {least}", found.len());
                }
            }
        });
        let follower = scope.spawn(|| {
            let mut next = 1;
            for entry in journal.subscribe(Lsn::new(1)) {
                assert_eq!(entry.expect("a whole record").lsn.get(), next);
                next += 1;
                if next > 4 * 1501 {
                    break;
                }
            }
        });
        let compactor = scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                journal.compact().expect("compacts");
                journal.checkpoint().expect("checkpoints");
            }
        });
        for writer in writers {
            writer.join().expect("writes");
        }
        journal.sync().expect("syncs");
        follower.join().expect("follows");
        done.store(true, Ordering::Release);
        checker.join().expect("checks");
        compactor.join().expect("compacts");
    });
    let stat = journal.stat().expect("counts");
    assert!(stat.compactions > 2, "{stat}");
    assert_eq!(stat.failed_compactions, 0, "{stat}");
    let (all, before) = (contents(&journal), digest(&journal));
    journal.close().expect("closes");
    assert!(files(&at, ".tmp").is_empty());
    let journal = open(&at, options);
    assert_eq!((contents(&journal), digest(&journal)), (all, before));
}

/// 1. A reader stands in a segment.
/// 2. Compactions pack it, and give it up.
/// 3. Its file would be used again for the segment after next.
/// 4. The reader goes on.
#[test]
fn a_segment_that_is_being_read_is_not_used_again() {
    let at = tempfile::tempdir().expect("a directory");
    let options = super::options().keep_snapshots(1);
    let journal = open(&at, options);
    let session = journal.session("s").expect("a session");
    let mut number = 0;
    let mut fill = |count: u32| {
        for _ in 0..count {
            session
                .append("note", format!("{number}"))
                .expect("goes in");
            number += 1;
        }
    };
    let mut readers = Vec::new();
    let mut reused = 0;
    for _ in 0..8 {
        fill(40);
        let mut reader = session.read(..).expect("reads").rev();
        let newest = reader
            .next()
            .expect("more")
            .expect("a whole record")
            .seq
            .get();
        readers.push((newest, reader));
        reused += journal.compact().expect("compacts").segments_reused;
    }
    assert!(reused > 0, "files are used again");
    for (newest, reader) in readers {
        let mut next = newest;
        for entry in reader {
            next -= 1;
            assert_eq!(entry.expect("a whole record").seq.get(), next);
        }
        assert_eq!(next, 1);
    }
}

#[test]
fn the_background_compacts_by_itself() {
    let at = tempfile::tempdir().expect("a directory");
    let options = Journal::options()
        .first_segment_bytes(64 << 10)
        .segment_bytes(64 << 10)
        .compact_after_bytes(128 << 10);
    let journal = open(&at, options);
    let session = journal.session("s").expect("a session");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while journal.stat().expect("counts").compactions < 2 {
        for _ in 0..50 {
            drop(session.submit("note", [7; 1000]).expect("goes in"));
        }
        journal.sync().expect("syncs");
        assert!(std::time::Instant::now() < deadline, "it never did");
    }
    let stat = journal.stat().expect("counts");
    assert!(stat.files.packs.files >= 2, "{stat}");
}
