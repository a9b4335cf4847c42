//! The journal on Tokio: nothing holds up the runtime, and a future may be dropped at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use turnkeep::aio::AsyncJournal;
use turnkeep::sim::{OpKind, SimDisk};
use turnkeep::{Error, Input, Journal, Options};

const PATH: &str = "/agents.journal";

/// After how long the disk answers again, for a test that has failed by then.
const RESCUE: Duration = Duration::from_secs(10);

fn options(disk: &SimDisk) -> Options {
    Journal::options().storage(Arc::new(disk.clone()))
}

async fn open(disk: &SimDisk) -> AsyncJournal {
    let opened = AsyncJournal::open_with(options(disk), PATH).await;
    opened.expect("opens").0
}

/// Counts how often a task of the same, only thread gets to run.
fn ticking() -> (Arc<AtomicU64>, tokio::task::JoinHandle<()>) {
    let ticks = Arc::new(AtomicU64::new(0));
    let counter = ticks.clone();
    let task = tokio::spawn(async move {
        loop {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    (ticks, task)
}

/// The disk answers no sync until it is released, or until [`RESCUE`]: a runtime that is held up
/// would hang for ever otherwise.
fn hold_syncs(disk: &SimDisk) {
    disk.hold_syncs();
    let rescue = disk.clone();
    std::thread::spawn(move || {
        std::thread::sleep(RESCUE);
        rescue.release_syncs();
    });
}

/// Waits until something is at work on the disk that does not answer.
async fn hangs(disk: &SimDisk) {
    let begun = std::time::Instant::now();
    while disk.held_syncs() == 0 {
        assert!(begun.elapsed() < RESCUE, "the runtime stood still");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_turn_from_begin_to_end_survives() {
    let disk = SimDisk::new(1);
    let journal = open(&disk).await;
    let session = journal.create_session("s").await.expect("is made");
    let mut turn = session
        .begin(Input::user("hello").key("k"))
        .await
        .expect("begins");
    assert!(turn.is_new());
    turn.started().await.expect("starts");
    turn.call("c1", "shell", "{}").await.expect("calls");
    let early = turn.complete("too early").await;
    assert!(matches!(early, Err(Error::OpenCalls { .. })), "{early:?}");
    turn.result("c1", "{}").await.expect("results");
    turn.complete("done").await.expect("ends");
    let again = session
        .begin(Input::user("hello").key("k"))
        .await
        .expect("finds");
    assert!(!again.is_new() && again.is_ended() && again.id() == turn.id());
    let mut failed = session.begin(Input::user("more")).await.expect("begins");
    failed.started().await.expect("starts");
    failed.call("c2", "shell", "{}").await.expect("calls");
    failed
        .fail("overloaded", "")
        .await
        .expect("ends, and its call with it");
    session.put("todo", "[]").await.expect("is kept");
    let queued = session
        .enqueue(Input::new("normal", "later"))
        .await
        .expect("is queued");
    let claim = journal.claim("w1").await.expect("claims").expect("waits");
    assert_eq!(claim.input(), queued.input);
    claim.confirm().expect("is done");
    let sealed = session.append("note", vec![0; 17 << 20]).await;
    assert!(matches!(sealed, Err(Error::TooLarge { .. })), "{sealed:?}");
    disk.kill();

    let journal = open(&disk).await;
    let session = journal.find("s").await.expect("is there");
    assert_eq!(journal.open_turns().await.expect("lists"), []);
    assert_eq!(
        session.get("todo").await.expect("reads"),
        Some(b"[]".to_vec())
    );
    let entries = session.last_turns(2).await.expect("reads");
    assert_eq!(entries[0].content, b"hello");
    journal.close().await.expect("closes");
}

/// Sixty-four agents on one thread share syncs, which a thread that waited for each could not.
#[tokio::test]
async fn many_tasks_on_one_thread_share_a_sync() {
    let disk = SimDisk::new(2);
    let journal = open(&disk).await;
    let session = journal.session("s").await.expect("opens");
    session.append("note", "x").await.expect("is durable");
    let before = disk.syncs();
    hold_syncs(&disk);
    let first = tokio::spawn({
        let session = session.clone();
        async move { session.append("note", "first").await }
    });
    hangs(&disk).await;
    let others: Vec<_> = (0..64)
        .map(|n: u32| {
            let session = session.clone();
            tokio::spawn(async move { session.append("note", n.to_le_bytes()).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(5)).await;
    disk.release_syncs();
    first.await.expect("ends").expect("is durable");
    for other in others {
        let lsn = other.await.expect("ends").expect("is durable");
        assert!(lsn < journal.blocking().durable_lsn());
    }
    let syncs = disk.syncs() - before;
    assert!(syncs <= 6, "{syncs} syncs for 65 records");
}

#[tokio::test]
async fn a_disk_that_hangs_holds_up_no_other_task() {
    let disk = SimDisk::new(3);
    let small = options(&disk).max_pending_bytes(8 << 10);
    let (journal, _) = AsyncJournal::open_with(small, PATH).await.expect("opens");
    let session = journal.session("s").await.expect("opens");
    session.append("note", "x").await.expect("is durable");
    hold_syncs(&disk);
    // More than may be pending: most of them wait for room.
    let appends: Vec<_> = (0..64)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.append("note", vec![0; 1000]).await })
        })
        .collect();
    let beginning = tokio::spawn({
        let session = session.clone();
        async move {
            let mut turn = session.begin(Input::user("hello")).await?;
            turn.started().await?;
            turn.event("tick", "").await
        }
    });
    let reading = tokio::spawn({
        let session = session.clone();
        async move { session.last_turns(1).await }
    });
    hangs(&disk).await;
    let (ticks, ticker) = ticking();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(ticks.load(Ordering::Relaxed) > 5, "the runtime stood still");
    assert!(!appends.iter().any(|append| append.is_finished()));
    disk.release_syncs();
    for append in appends {
        append.await.expect("ends").expect("is durable");
    }
    beginning.await.expect("ends").expect("is durable");
    reading.await.expect("ends").expect("reads");
    ticker.abort();
    journal.close().await.expect("closes");
}

/// `select!` and timeouts drop futures. What was accepted stays accepted, once.
#[tokio::test]
async fn a_dropped_future_gives_up_waiting_and_not_the_record() {
    let disk = SimDisk::new(4);
    let journal = open(&disk).await;
    let session = journal.session("s").await.expect("opens");
    session.append("note", "x").await.expect("is durable");
    let never_polled = session.append("note", "never polled");
    drop(never_polled);
    hold_syncs(&disk);
    let input = || Input::user("hello").key("k");
    let begun = tokio::time::timeout(Duration::from_millis(20), session.begin(input())).await;
    assert!(begun.is_err(), "the disk does not answer");
    disk.release_syncs();
    let turn = session.begin(input()).await.expect("is the same turn");
    assert!(!turn.is_new());
    let turn = session.turn(turn.id()).await.expect("is open");
    turn.cancel("the user went away").await.expect("ends");
    journal.sync().await.expect("is durable");
    let entries = session
        .run(|session| session.last(10))
        .await
        .expect("reads");
    let told: Vec<_> = entries.iter().map(|entry| &entry.content[..]).collect();
    assert_eq!(told[1..], [&b"x"[..], b"hello", b""]);
}

/// A claim that was made for nobody would keep its input until the host's death.
#[tokio::test]
async fn a_claim_that_nobody_waits_for_lets_its_input_wait_again() {
    let disk = SimDisk::new(5);
    let journal = open(&disk).await;
    let session = journal.session("s").await.expect("opens");
    session
        .enqueue(Input::new("normal", "x"))
        .await
        .expect("is queued");
    hold_syncs(&disk);
    let claimed = tokio::time::timeout(Duration::from_millis(20), journal.claim("w1")).await;
    assert!(claimed.is_err(), "the disk does not answer");
    disk.release_syncs();
    let claim = loop {
        // The first claim is let go of when the disk has answered.
        if let Some(claim) = journal.claim("w2").await.expect("claims") {
            break claim;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(claim.lost_claims(), 0, "letting go is no loss");
}

#[tokio::test]
async fn a_failed_sync_fails_every_task_that_waits() {
    let disk = SimDisk::new(6);
    let journal = open(&disk).await;
    let session = journal.session("s").await.expect("opens");
    session.append("note", "x").await.expect("is durable");
    disk.fail_nth(OpKind::SyncData, 1, std::io::ErrorKind::Other, true);
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.append("note", "y").await })
        })
        .collect();
    for task in waiting {
        let failed = task.await.expect("ends");
        assert!(matches!(failed, Err(Error::Poisoned { .. })), "{failed:?}");
    }
    assert!(
        !journal
            .run(Journal::health)
            .await
            .expect("tells")
            .is_writable
    );
}

#[tokio::test]
async fn without_threads_of_its_own_whoever_awaits_commits() {
    let disk = SimDisk::new(7);
    let alone = options(&disk).background(false);
    let (journal, _) = AsyncJournal::open_with(alone, PATH).await.expect("opens");
    let session = journal.session("s").await.expect("opens");
    for n in 0..300_u32 {
        session
            .append("note", vec![n as u8; 900])
            .await
            .expect("is durable");
    }
    let left = journal
        .close_within(Duration::from_secs(60))
        .await
        .expect("closes");
    assert!(left.is_complete(), "{left}");
}
