//! A host forks while it holds a journal: to start a tool, or because a library does.
//!
//! The child has every handle and none of the threads. Had it written, the parent would have
//! written the same bytes of the log again; had it waited for the committer, it would have waited
//! for good.

#![cfg(unix)]

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use turnkeep::{Batch, Error, Input, Journal, Lsn, Options};

/// A child has the descriptors of every journal that any thread holds: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A child that waits for good is ended after this long; being refused takes no time at all.
const CHILD_SECONDS: u32 = 3;
/// And the parent, should it be what waits.
const TEST_SECONDS: u32 = 30;

fn alone() -> MutexGuard<'static, ()> {
    let alone = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    nix::unistd::alarm::set(TEST_SECONDS);
    alone
}

/// Ends what other threads do, also when the test fails: they would be waited for.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `child` in a fork of this process, and returns the status that it ended with.
fn in_fork(child: impl FnOnce() -> i32) -> WaitStatus {
    // SAFETY: the child calls the journal, whose first act is to refuse, then ends at once. What
    // it allocates, glibc has made safe after a fork.
    match unsafe { fork() }.expect("a fork") {
        ForkResult::Child => {
            nix::unistd::alarm::set(CHILD_SECONDS);
            let status = child();
            // SAFETY: ends the child without running what belongs to the test.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => waitpid(child, None).expect("a child"),
    }
}

fn is_forked<T>(result: turnkeep::Result<T>) -> bool {
    let me = std::process::id();
    matches!(result, Err(Error::Forked { owner }) if owner != me)
}

/// Tries everything, and returns the number of the first thing that was not refused.
fn try_all(journal: Journal) -> i32 {
    let session = journal.session("a");
    let tries = [
        is_forked(session),
        is_forked(journal.find("a")),
        is_forked(journal.sessions()),
        is_forked(journal.open_turns()),
        is_forked(journal.append_all(&Batch::new())),
        is_forked(journal.read(Lsn::new(1)).map(drop)),
        is_forked(journal.sync()),
        is_forked(journal.checkpoint()),
        is_forked(journal.compact()),
        is_forked(journal.plan_compaction()),
        is_forked(journal.stat()),
        is_forked(journal.clone().close()),
    ];
    drop(journal);
    tries
        .iter()
        .position(|refused| !refused)
        .map_or(0, |at| at as i32 + 1)
}

fn options(background: bool) -> Options {
    Journal::options().background(background)
}

fn check_parent_goes_on(path: &Path, journal: Journal, before: Lsn) {
    let second = options(false).open(path);
    assert!(
        matches!(second, Err(Error::Locked { .. })),
        "the child released the lock"
    );
    let session = journal.session("a").unwrap();
    let after = session.append("note", "parent, after").unwrap();
    assert!(after >= before);
    journal.close().unwrap();
    let (journal, recovery) = options(false).open(path).unwrap();
    assert!(recovery.clean);
    let contents = journal.find("a").unwrap().read(..).unwrap();
    let contents: Vec<Vec<u8>> = contents.map(|entry| entry.unwrap().content).collect();
    let child = |content: &Vec<u8>| content.starts_with(b"child");
    assert!(!contents.iter().any(child), "the child wrote");
    assert_eq!(contents.last().unwrap(), b"parent, after");
}

#[test]
fn a_forked_child_is_refused_and_the_parent_goes_on() {
    let _alone = alone();
    for background in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("journal");
        let (journal, _) = options(background).open(&path).unwrap();
        let session = journal.session("a").unwrap();
        let turn = session.begin(Input::user("parent")).unwrap();
        let ticket = session.submit("note", "parent, pending").unwrap();
        let before = journal.accepted_lsn();

        let status = in_fork(|| {
            let tries = [
                is_forked(session.append("note", "child")),
                is_forked(session.submit("note", "child")),
                is_forked(session.try_submit("note", "child")),
                is_forked(session.begin(Input::user("child"))),
                is_forked(session.put("k", "child")),
                is_forked(session.get("k")),
                is_forked(turn.event("call", "child")),
                is_forked(turn.complete("child")),
                is_forked(journal.append_all(&Batch::new().event(&session, "x", "child"))),
                ticket.is_durable() || is_forked(ticket.wait()),
            ];
            match tries.iter().position(|refused| !refused) {
                Some(at) => 100 + at as i32,
                None => try_all(journal.clone()),
            }
        });
        assert_eq!(status_of(status), 0, "background: {background}");
        ticket.wait().unwrap();
        drop((session, turn, ticket));
        check_parent_goes_on(&path, journal, before);
    }
}

/// The locks of the journal are held by other threads of the parent at the moment of the fork.
#[test]
fn a_child_forked_amid_appends_is_refused_at_once() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("journal");
    let (journal, _) = options(true).open(&path).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&stop);
        for _ in 0..3 {
            scope.spawn(|| {
                let session = journal.session("a").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    session.submit("note", "parent").unwrap();
                }
            });
        }
        for round in 0..40 {
            let status = in_fork(|| try_all(journal.clone()));
            let round = format!("round {round}: {status:?}");
            assert_eq!(status_of(status), 0, "{round}");
        }
    });
    let before = journal.accepted_lsn();
    check_parent_goes_on(&path, journal, Lsn::new(before.get() - 1));
}

/// A child that holds no more than the descriptors lets go of the lock when it drops them.
#[test]
fn the_lock_goes_with_the_last_process_that_has_it() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("journal");
    let (journal, _) = options(false).open(&path).unwrap();
    let status = in_fork(move || {
        drop(journal);
        0
    });
    assert_eq!(status_of(status), 0);
    // The parent's handle went with the closure's other copy.
    let (journal, _) = options(false).open(&path).unwrap();
    drop(journal);
}

/// What a child opens is its own: refused is what it inherited, and in its child again.
#[test]
fn a_child_uses_a_journal_of_its_own() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let (journal, _) = options(false).open(home.path().join("parent")).unwrap();
    let session = journal.session("a").unwrap();
    let status = in_fork(|| {
        let Ok((own, _)) = options(false).open(home.path().join("child")) else {
            return 1;
        };
        let Ok(note) = own.session("a") else { return 2 };
        if note.append("note", "child").is_err() {
            return 3;
        }
        if !is_forked(session.append("note", "child")) {
            return 4;
        }
        let grandchild = in_fork(|| {
            let refused = [
                is_forked(note.append("note", "grandchild")),
                is_forked(session.append("note", "grandchild")),
                options(false).open(home.path().join("grandchild")).is_ok(),
                // Asking again after having a life of its own.
                is_forked(note.append("note", "grandchild")),
            ];
            refused.iter().filter(|refused| !**refused).count() as i32
        });
        match own.close() {
            Ok(_) => 10 * status_of(grandchild),
            Err(_) => 5,
        }
    });
    assert_eq!(status_of(status), 0);
    session.append("note", "parent").unwrap();
}

fn status_of(status: WaitStatus) -> i32 {
    match status {
        WaitStatus::Exited(_, status) => status,
        other => panic!("the child ended by {other:?}"),
    }
}
