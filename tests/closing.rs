//! The last moments of a host: closing with a limit, and making things durable in a panic.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use turnkeep::storage::sim::{CrashModel, OpKind, SimDisk};
use turnkeep::{Durability, Error, Journal, Options};

const PATH: &str = "/agents.journal";

/// More than any of these tests takes, less than a tester's patience.
const LONG: Duration = Duration::from_secs(60);

/// Less than a sync that is held takes.
const SHORT: Duration = Duration::from_millis(30);

fn options(disk: &SimDisk) -> Options {
    Journal::options()
        .storage(Arc::new(disk.clone()))
        .first_segment_bytes(64 * 4096)
}

fn accept(journal: &Journal, records: usize) {
    let session = journal.session("s").expect("opens");
    for n in 0..records {
        let later = Durability::Relaxed(Duration::from_secs(3600));
        let taken = session.append_with(later, "note", format!("{n}"));
        taken.expect("is accepted");
    }
}

fn notes(disk: &SimDisk) -> usize {
    let end = Instant::now() + LONG;
    let journal = loop {
        match options(disk).open(Path::new(PATH)) {
            // The thread that closes it is not done with it yet.
            Err(Error::Locked { .. }) if Instant::now() < end => std::thread::yield_now(),
            opened => break opened.expect("opens").0,
        }
    };
    let session = journal.find("s").expect("is there");
    session.last(1000).expect("reads").len() - 1
}

#[test]
fn closing_in_time_leaves_nothing_to_recover() {
    let disk = SimDisk::new(1);
    let (journal, _) = options(&disk).open(Path::new(PATH)).expect("opens");
    accept(&journal, 5);
    let drained = journal.close_within(LONG).expect("closes");
    assert!(drained.is_complete() && drained.in_time, "{drained}");
    let (journal, recovery) = options(&disk).open(Path::new(PATH)).expect("opens");
    assert!(recovery.clean, "{recovery}");
    drop(journal);
    assert_eq!(notes(&disk), 5);
}

#[test]
fn closing_returns_when_the_time_is_over_and_says_what_is_not_durable() {
    let disk = SimDisk::new(2);
    let (journal, _) = options(&disk).open(Path::new(PATH)).expect("opens");
    accept(&journal, 1);
    journal.sync().expect("is durable");
    let durable = journal.durable_lsn();
    disk.hold_syncs();
    accept(&journal, 7);
    let other = journal.clone();
    let began = Instant::now();
    let drained = journal.close_within(SHORT).expect("nothing failed");
    assert!(began.elapsed() >= SHORT);
    assert_eq!((drained.pending, drained.durable), (Some(7), durable));
    assert!(!drained.in_time && !drained.is_complete());
    assert!(
        drained.to_string().starts_with("7 records are not durable"),
        "{drained}"
    );
    let refused = other.session("s").and_then(|s| s.append("note", "late"));
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");

    // Somebody else who closes it waits for the same, and is told the same.
    let again = other.clone().close_within(SHORT).expect("nothing failed");
    assert_eq!((again.pending, again.in_time), (Some(7), false));
    disk.release_syncs();
    let at_last = other.close_within(LONG).expect("nothing failed");
    assert!(at_last.is_complete() && at_last.in_time, "{at_last}");
    assert_eq!(notes(&disk), 8);
}

#[test]
fn what_was_not_durable_when_the_time_was_over_may_be_lost_and_the_rest_is_there() {
    let disk = SimDisk::new(3);
    let (journal, _) = options(&disk).open(Path::new(PATH)).expect("opens");
    accept(&journal, 4);
    journal.sync().expect("is durable");
    disk.hold_syncs();
    accept(&journal, 7);
    let drained = journal.sync_within(SHORT).expect("nothing failed");
    assert_eq!(drained.pending, Some(7));
    disk.power_loss(&CrashModel::default());
    disk.release_syncs();
    disk.restart();
    let found = notes(&disk);
    assert!((4..=11).contains(&found), "{found}");
}

#[test]
fn a_sync_that_fails_in_time_is_told() {
    let disk = SimDisk::new(4);
    let (journal, _) = options(&disk).open(Path::new(PATH)).expect("opens");
    accept(&journal, 3);
    disk.fail_nth(OpKind::SyncData, 1, std::io::ErrorKind::Other, true);
    let refused = journal.sync_within(LONG).expect_err("the sync failed");
    assert!(matches!(refused, Error::Poisoned { .. }), "{refused}");
    let refused = journal.close_within(LONG).expect_err("the sync failed");
    assert!(matches!(refused, Error::Poisoned { .. }), "{refused}");
}

/// Where the child of the next test has its journal; not set in an ordinary run.
const CHILD: &str = "TURNKEEP_TEST_PANICS_AT";

#[test]
fn a_panic_hook_saves_what_only_memory_held() {
    let home = tempfile::tempdir().expect("a directory");
    for (hook, expected) in [("saves", 3), ("does nothing", 0)] {
        let path = home.path().join(hook);
        let child = Command::new(std::env::current_exe().expect("a path"))
            .args(["child_that_panics", "--exact", "--nocapture"])
            .env(CHILD, &path)
            .output()
            .expect("starts");
        assert!(!child.status.success(), "it aborts");
        let (journal, _) = Journal::open(&path).expect("opens");
        let session = journal.find("s").expect("was durable before");
        let found = session.last(10).expect("reads").len() - 1;
        assert_eq!(found, expected, "a hook that {hook}");
    }
}

/// Appends what nobody waits for and panics; the hook ends the process before anything unwinds.
#[test]
fn child_that_panics() {
    let Some(path) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    let (journal, _) = Journal::open(&path).expect("opens");
    journal.session("s").expect("opens");
    journal.sync().expect("is durable");
    accept(&journal, 3);
    let saved = path.ends_with("saves").then(|| journal.clone());
    std::panic::set_hook(Box::new(move |_| {
        let drained = saved.as_ref().map(|journal| journal.sync_within(LONG));
        assert!(drained.is_none_or(|drained| drained.expect("no failure").is_complete()));
        std::process::abort();
    }));
    panic!("the host has a fault");
}
