//! Many hands on one journal, on a real disk.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Durability, Error, Journal, Lsn, Options, Seq};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn small() -> Options {
    Journal::options()
        .first_segment_bytes(64 << 10)
        .segment_bytes(256 << 10)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn every_thread_finds_its_records_in_the_order_it_appended_them() {
    let home = home();
    let path = home.path().join("j");
    let (journal, _) = small().open(&path).expect("opens");
    let (threads, each) = (12, 60);
    thread::scope(|scope| {
        for t in 0..threads {
            let journal = journal.clone();
            scope.spawn(move || {
                let session = journal.session(&format!("s{}", t % 5)).expect("opens");
                let mut last = Lsn::new(0);
                for n in 0..each {
                    let text = format!("{t}:{n}:{}", "x".repeat(n * 7 % 900));
                    let lsn = match n % 3 {
                        0 => session.append("note", &text).expect("is kept"),
                        1 => session
                            .submit("note", &text)
                            .expect("goes in")
                            .wait()
                            .expect("is kept"),
                        _ => block_on(session.submit("note", &text).expect("goes in"))
                            .expect("is kept"),
                    };
                    assert!(lsn > last && lsn < journal.durable_lsn());
                    last = lsn;
                }
            });
        }
    });
    drop(journal);
    let (journal, recovery) = small().open(&path).expect("opens again");
    assert_eq!(recovery.records, threads * each as u64 + 5, "{recovery}");
    let mut next: HashMap<String, usize> = HashMap::new();
    for entry in journal.read(Lsn::new(1)).expect("reads") {
        let entry = entry.expect("reads");
        let text = String::from_utf8(entry.content).expect("is text");
        let mut parts = text.split(':');
        if let (Some(t), Some(n)) = (parts.next(), parts.next()) {
            let next = next.entry(t.to_owned()).or_default();
            assert_eq!(n.parse(), Ok(*next), "thread {t}");
            *next += 1;
        }
    }
    assert!(next.values().all(|count| *count == each));
}

#[test]
fn a_subscription_follows_from_a_saved_position_while_others_append() {
    let home = home();
    let (journal, _) = small().open(home.path().join("j")).expect("opens");
    let session = journal.session("s").expect("opens");
    let total = 400;
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut position = Lsn::new(1);
            let mut seen = Vec::new();
            while seen.len() < total + 1 {
                // As a consumer does that restarts now and then.
                let mut subscription = journal.subscribe(position);
                for _ in 0..50 {
                    let wait = Duration::from_secs(20);
                    let entry = subscription
                        .next_timeout(wait)
                        .expect("reads")
                        .expect("comes");
                    assert!(entry.lsn < journal.durable_lsn(), "only what is durable");
                    seen.push(entry.lsn.get());
                    if seen.len() == total + 1 {
                        break;
                    }
                }
                position = subscription.position();
            }
            seen
        });
        for n in 0..total {
            let ticket = session.submit("note", n.to_string()).expect("goes in");
            if n % 37 == 0 {
                ticket.wait().expect("is kept");
            }
        }
        journal.sync().expect("is kept");
        let seen = reader.join().expect("no panic");
        assert_eq!(seen, (1..=total as u64 + 1).collect::<Vec<_>>());
    });
}

#[test]
fn a_relaxed_record_becomes_durable_by_itself_and_a_buffered_one_with_the_next_sync() {
    let home = home();
    let (journal, _) = small().open(home.path().join("j")).expect("opens");
    let session = journal.session("s").expect("opens");
    let level = Durability::Relaxed(Duration::from_millis(5));
    let lsn = session.append_with(level, "note", "soon").expect("goes in");
    let mut subscription = journal.subscribe(lsn);
    let entry = subscription
        .next_timeout(Duration::from_secs(20))
        .expect("reads");
    assert_eq!(entry.expect("comes by itself").lsn, lsn);
    let lsn = session
        .append_with(Durability::Buffered, "note", "later")
        .expect("goes in");
    let shown = journal.read(Lsn::new(1)).expect("reads");
    assert!(
        shown
            .map(|entry| entry.expect("reads").lsn)
            .all(|shown| shown < lsn)
    );
    journal.sync().expect("syncs");
    assert_eq!(session.last(1).expect("reads")[0].lsn, lsn);
}

#[test]
fn back_pressure_refuses_only_those_who_will_not_wait() {
    let home = home();
    let options = small().max_pending_bytes(8 << 10).background(false);
    let (journal, _) = options.open(home.path().join("j")).expect("opens");
    let session = journal.session("s").expect("opens");
    let refused = (0..100).find_map(|_| session.try_submit("note", vec![b'x'; 1000]).err());
    assert!(matches!(refused, Some(Error::Backpressure { pending_bytes }) if pending_bytes > 4000));
    session
        .submit("note", vec![b'x'; 1000])
        .expect("waits for room")
        .wait()
        .expect("is kept");
    session
        .try_submit("note", "there is room again")
        .expect("goes in");
}

#[test]
fn reading_finds_any_part_of_a_session_from_either_end() {
    let home = home();
    let (journal, _) = small().open(home.path().join("j")).expect("opens");
    let (a, b) = (
        journal.session("a").expect("opens"),
        journal.session("b").expect("opens"),
    );
    for n in 0..500 {
        a.submit("note", n.to_string()).expect("goes in");
        b.submit("note", n.to_string()).expect("goes in");
    }
    journal.sync().expect("syncs");
    let seqs = |entries: turnkeep::Entries| -> Vec<u32> {
        entries
            .map(|entry| entry.expect("reads").seq.get())
            .collect()
    };
    assert_eq!(
        seqs(a.read(..).expect("reads")),
        (1..=501).collect::<Vec<_>>()
    );
    let part = a.read(Seq::new(100)..Seq::new(400)).expect("reads");
    assert_eq!(seqs(part), (100..400).collect::<Vec<_>>());
    let back: Vec<u32> = b
        .read(..)
        .expect("reads")
        .rev()
        .map(|entry| entry.expect("reads").seq.get())
        .collect();
    assert_eq!(back, (1..=501).rev().collect::<Vec<_>>());
    // From both ends at once, nothing is given twice and nothing is left out.
    let mut entries = a.read(..).expect("reads");
    let mut met = Vec::new();
    while let Some(entry) = if met.len() % 3 == 0 {
        entries.next_back()
    } else {
        entries.next()
    } {
        met.push(entry.expect("reads").seq.get());
    }
    met.sort_unstable();
    assert_eq!(met, (1..=501).collect::<Vec<_>>());
    assert_eq!(a.last(3).expect("reads").len(), 3);
}

#[test]
fn compaction_in_the_background_moves_records_under_readers_and_loses_none() {
    let home = home();
    let path = home.path().join("j");
    let options = || {
        Journal::options()
            .first_segment_bytes(32 << 10)
            .segment_bytes(64 << 10)
            .compact_after_bytes(64 << 10)
            .max_packs(4)
            .keep_snapshots(1)
    };
    let (journal, _) = options().open(&path).expect("opens");
    let (threads, each) = (4, 400);
    thread::scope(|scope| {
        for t in 0..threads {
            let journal = journal.clone();
            scope.spawn(move || {
                let session = journal.session(&format!("s{t}")).expect("opens");
                for n in 0..each {
                    let text = format!("{n}:{}", "y".repeat(200 + n % 800));
                    let ticket = session.submit("note", &text).expect("goes in");
                    if n % 20 == 19 {
                        ticket.wait().expect("is kept");
                        let last = session.last(30).expect("reads");
                        assert_eq!(last.last().expect("there is one").content, text.as_bytes());
                        assert!(last.is_sorted_by_key(|entry| entry.seq));
                        assert_eq!(last.len(), 30.min(n + 2));
                        let all = session.read(..).expect("reads");
                        assert_eq!(all.filter(|entry| entry.is_ok()).count(), n + 2);
                    }
                }
            });
        }
        let journal = journal.clone();
        scope.spawn(move || {
            for _ in 0..20 {
                let entries = journal.read(Lsn::new(1)).expect("reads");
                let lsns: Vec<u64> = entries.map(|e| e.expect("reads").lsn.get()).collect();
                assert_eq!(lsns, (1..=lsns.len() as u64).collect::<Vec<_>>());
                thread::sleep(Duration::from_millis(5));
            }
        });
    });
    let compaction = journal.compact().expect("compacts");
    println!("{compaction}");
    let stat = journal.stat().expect("tells");
    println!("{stat:?}");
    journal.close().expect("closes");
    let (journal, recovery) = options().open(&path).expect("opens again");
    assert!(recovery.clean, "{recovery}");
    assert_eq!(recovery.records, (threads * (each + 1)) as u64);
    for t in 0..threads {
        let session = journal.find(&format!("s{t}")).expect("is there");
        for (n, entry) in session.read(..).expect("reads").skip(1).enumerate() {
            let text = String::from_utf8(entry.expect("reads").content).expect("is text");
            assert!(text.starts_with(&format!("{n}:")), "{n}: {}", &text[..10]);
        }
    }
}

struct Release<'d>(&'d SimDisk);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.release_syncs();
    }
}

/// A disk behind a controller that resets itself takes half a minute for one sync. Whoever reads
/// the log goes on, whoever waits waits, nobody is told too early, and nothing grows without bound.
#[test]
fn a_sync_that_takes_very_long_holds_up_only_those_who_wait_for_it() {
    let disk = SimDisk::new(30);
    let options = small()
        .max_pending_bytes(8 << 10)
        .storage(Arc::new(disk.clone()));
    let (journal, _) = options.open("/j").expect("opens");
    let session = journal.session("s").expect("opens");
    session.append("note", "before").expect("is kept");
    let durable = journal.durable_lsn();

    disk.hold_syncs();
    thread::scope(|scope| {
        // Also if a check fails, or the scope would wait forever.
        let release = Release(&disk);
        let append = scope.spawn(|| session.append("note", "held").expect("is kept"));
        while disk.held_syncs() == 0 {
            thread::yield_now();
        }
        disk.advance_ms(30_000);
        // Room for what may be pending, and then a refusal.
        let mut tickets = Vec::new();
        let refused = loop {
            match session.try_submit("note", vec![b'x'; 500]) {
                Ok(ticket) => tickets.push(ticket),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Backpressure { pending_bytes } if pending_bytes > 4000));
        assert!(!append.is_finished());
        assert_eq!(journal.durable_lsn(), durable);
        assert!(tickets.iter().all(|ticket| !ticket.is_durable()));
        let log = journal.read(Lsn::new(1)).expect("reads");
        let last = log.last().expect("there are records").expect("reads");
        assert_eq!(last.content, b"before", "nobody sees what may be lost");

        drop(release);
        let lsn = append.join().expect("no panic");
        assert!(lsn >= durable);
        for ticket in tickets {
            ticket.wait().expect("is kept");
        }
    });
    assert!(journal.durable_lsn() > durable);
    journal.close().expect("closes");
}
