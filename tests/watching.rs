//! Watching a journal: the events that it tells, and how it says it is.

use std::sync::Arc;
use std::time::Duration;
use turnkeep::sim::{OpKind, SimDisk};
use turnkeep::{
    Alert, EVENTS_KEPT, Events, Input, Journal, JournalEvent, Lsn, Options, Thresholds,
};

const PATH: &str = "/agents.journal";

fn options(disk: &SimDisk) -> Options {
    Journal::options()
        .background(false)
        .first_segment_bytes(64 << 10)
        .segment_bytes(64 << 10)
        .storage(Arc::new(disk.clone()))
}

fn open(disk: &SimDisk) -> Journal {
    options(disk).open(PATH).expect("opens").0
}

fn told(events: &mut Events) -> Vec<JournalEvent> {
    std::iter::from_fn(|| events.next_timeout(Duration::ZERO)).collect()
}

#[test]
fn what_becomes_durable_is_told_in_order_and_adds_up() {
    let disk = SimDisk::new(1);
    let journal = open(&disk);
    let mut events = journal.events();
    let session = journal.session("s").expect("opens");
    for n in 0..200 {
        session.append("note", vec![n; 900]).expect("appends");
    }
    journal.compact().expect("compacts");
    let told = told(&mut events);
    let mut edge = Lsn::new(1);
    let (mut records, mut bytes, mut segments, mut snapshots) = (0, 0, Vec::new(), 0);
    for event in &told {
        match event {
            JournalEvent::Committed {
                durable,
                records: of_group,
                bytes: of_log,
                ..
            } => {
                assert!(*durable > edge, "{event}");
                assert_eq!(durable.get() - edge.get(), *of_group, "{event}");
                edge = *durable;
                records += of_group;
                bytes += of_log;
            }
            JournalEvent::Rotated { segment, first } => {
                assert!(*first >= edge, "{event}");
                segments.push(*segment);
            }
            JournalEvent::Compacted {
                packed_to,
                bytes_in,
                bytes_out,
                ..
            } => {
                assert_eq!(*packed_to, edge, "{event}");
                assert!(bytes_in > bytes_out, "{event}");
                snapshots += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((edge, records), (journal.durable_lsn(), 201));
    assert!(segments.len() >= 3 && segments.is_sorted(), "{segments:?}");
    assert_eq!((snapshots, events.missed()), (1, 0));
    let health = journal.health().expect("tells");
    assert_eq!((health.records, health.log_bytes), (records, bytes));
    let commits = told
        .iter()
        .filter(|e| matches!(e, JournalEvent::Committed { .. }));
    assert_eq!(health.commits, commits.count() as u64);
    session.put("todo", "[]").expect("is kept");
    journal.close().expect("closes");
    // A stream ends with its journal, after its last snapshot.
    let rest: Vec<_> = events.collect();
    assert!(
        matches!(
            rest[..],
            [
                JournalEvent::Committed { .. },
                JournalEvent::Checkpointed { .. }
            ]
        ),
        "{rest:?}"
    );
}

/// A dashboard that hangs must not hold up the log, nor fill the memory.
#[test]
fn a_stream_that_nobody_reads_drops_the_oldest_and_counts_them() {
    let disk = SimDisk::new(2);
    let journal = open(&disk);
    let mut events = journal.events();
    let session = journal.session("s").expect("opens");
    let more = 50;
    for _ in 0..EVENTS_KEPT + more {
        session.append("note", "x").expect("appends");
    }
    let told = told(&mut events);
    assert_eq!(told.len(), EVENTS_KEPT);
    assert!(events.missed() >= more as u64, "{}", events.missed());
    let last = told.last().expect("there is one");
    let edge = journal.durable_lsn();
    assert!(matches!(last, JournalEvent::Committed { durable, .. } if *durable == edge));
    drop(events);
    session.append("note", "nobody listens").expect("appends");
}

#[test]
fn a_failed_sync_is_told_and_the_journal_says_that_it_takes_nothing() {
    let disk = SimDisk::new(3);
    let journal = open(&disk);
    let session = journal.session("s").expect("opens");
    session.append("note", "x").expect("appends");
    let mut events = journal.events();
    assert!(journal.health().expect("tells").is_writable);
    disk.fail_nth(OpKind::SyncData, 1, std::io::ErrorKind::Other, false);
    session.append("note", "y").expect_err("is not durable");
    let told = told(&mut events);
    assert!(
        matches!(&told[..], [JournalEvent::Failed { why }] if why.contains("sync")),
        "{told:?}"
    );
    let health = journal.health().expect("tells");
    assert!(
        !health.is_writable && health.alerts == [Alert::NotWritable],
        "{health}"
    );
    assert!(health.why_not.is_some_and(|why| why.contains("sync")));
    drop((session, journal));
    assert_eq!(events.next(), None, "it ends with the last handle");
}

#[test]
fn a_disk_that_hangs_is_seen_while_it_hangs() {
    let disk = SimDisk::new(4);
    let wished = Thresholds::new().stalled_sync(Duration::from_millis(20));
    let (journal, _) = options(&disk).thresholds(wished).open(PATH).expect("opens");
    let session = journal.session("s").expect("opens");
    session.append("note", "x").expect("appends");
    disk.hold_syncs();
    let waiting = std::thread::spawn({
        let session = session.clone();
        move || session.append("note", "y").expect("appends")
    });
    let health = loop {
        let health = journal.health().expect("does not wait for the disk");
        if health.sync_ms.is_some_and(|ms| ms >= 20) {
            break health;
        }
        std::thread::yield_now();
    };
    assert_eq!(health.alerts, [Alert::DiskStalled], "{health}");
    assert!(health.is_writable && health.accepted_lsn > health.durable_lsn);
    disk.release_syncs();
    waiting.join().expect("ends");
    let health = journal.health().expect("tells");
    assert!(health.is_good() && health.sync_ms.is_none(), "{health}");
    assert_eq!(health.accepted_lsn, health.durable_lsn);
    assert!(health.durable_ms_ago.is_some());
}

/// A watchdog of one host said "alive" for 31 days of a queue that nothing moved in.
#[test]
fn liveness_is_not_progress() {
    let disk = SimDisk::new(5);
    let hour = Duration::from_secs(3600);
    let journal = open(&disk);
    let session = journal.session("s").expect("opens");
    let mut turn = session.begin(Input::user("x")).expect("begins");
    turn.started().expect("starts");
    session
        .enqueue(Input::new("normal", "y"))
        .expect("is queued");
    let good = journal.health().expect("tells");
    assert!(
        good.is_good() && good.open_turns == 1 && good.waiting == 1,
        "{good}"
    );
    disk.advance_ms(hour.as_millis() as u64 + 1000);
    turn.event("tick", "still here")
        .expect("says")
        .wait()
        .expect("is durable");
    let late = journal.health().expect("tells");
    assert_eq!(
        late.alerts,
        [Alert::TurnUnfinished, Alert::InputOverdue],
        "{late}"
    );
    assert!(late.oldest_unfinished_ms >= Some(hour.as_millis() as u64));
    turn.complete("done").expect("ends");
    let claim = journal.claim("w").expect("claims").expect("waits");
    claim.bury("cannot be understood").expect("is buried");
    let health = journal.health().expect("tells");
    assert!(health.is_good() && health.dead_letters == 1, "{health}");
    // What a writer that is gone left is told apart.
    session
        .begin(Input::user("z"))
        .expect("begins")
        .started()
        .expect("starts");
    journal.sync().expect("is durable");
    disk.kill();
    let journal = open(&disk);
    let health = journal.health().expect("tells");
    assert_eq!((health.open_turns, health.orphaned_turns), (1, 1));
}

#[test]
fn low_space_is_told_once_until_there_is_more_again() {
    let disk = SimDisk::new(6);
    let wished = Thresholds::new().low_space_bytes(1 << 20);
    let (journal, _) = options(&disk).thresholds(wished).open(PATH).expect("opens");
    let mut events = journal.events();
    let session = journal.session("s").expect("opens");
    let is_low = |event: &JournalEvent| matches!(event, JournalEvent::LowSpace { .. });
    let mut low = |journal: &Journal| {
        let health = journal.health().expect("tells");
        let told = told(&mut events)
            .iter()
            .filter(|event| is_low(event))
            .count();
        (told, health.alerts.contains(&Alert::LowSpace))
    };
    assert_eq!(low(&journal), (0, false));
    disk.set_capacity(disk.used_bytes() + (900 << 10));
    assert_eq!(low(&journal), (1, true));
    for _ in 0..100 {
        session.append("note", vec![0; 900]).expect("appends");
    }
    assert_eq!(low(&journal), (0, true), "not once a segment");
    disk.set_capacity(None);
    assert_eq!(low(&journal), (0, false));
    disk.set_capacity(disk.used_bytes() + (900 << 10));
    for _ in 0..100 {
        session.append("note", vec![0; 900]).expect("appends");
    }
    let told = told(&mut events);
    assert_eq!(
        told.iter().filter(|event| is_low(event)).count(),
        1,
        "without being asked"
    );
}

/// The background goes on after a compaction that failed, so somebody must be told.
#[test]
fn a_compaction_that_fails_in_the_background_is_told() {
    let disk = SimDisk::new(7);
    let options = options(&disk)
        .background(true)
        .compact_after_bytes(128 << 10);
    let (journal, _) = options.open(PATH).expect("opens");
    let mut events = journal.events();
    let session = journal.session("s").expect("opens");
    let path = format!("{PATH}/00000000000000000001.seg");
    let mut is_rotten = false;
    let failed = loop {
        session.append("note", vec![0; 900]).expect("appends");
        if !is_rotten && disk.list_files(PATH).expect("lists").len() > 5 {
            disk.rot(&path, 4096 + 200, 0x40).expect("rots");
            is_rotten = true;
        }
        let failed = told(&mut events).into_iter().find_map(|event| match event {
            JournalEvent::CompactionFailed { why } => Some(why),
            _ => None,
        });
        if let Some(why) = failed {
            break why;
        }
    };
    let health = journal.health().expect("tells");
    assert!(health.alerts.contains(&Alert::CompactionFails), "{health}");
    assert!(health.is_writable && health.failed_compactions > 0);
    assert!(failed.contains("00000000000000000001.seg"), "{failed}");
}

#[test]
fn the_document_lists_every_alert() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/WATCHING.md");
    let document = std::fs::read_to_string(document).expect("the document is there");
    let rows: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    for alert in Alert::ALL {
        let row = format!("| `{alert}` |");
        assert!(rows.iter().any(|told| told.starts_with(&row)), "{alert}");
    }
    let is_alert = |row: &&&str| row.split('|').count() == 5 && !row.contains("turnkeep_");
    assert_eq!(rows.iter().filter(is_alert).count(), Alert::ALL.len());
}
