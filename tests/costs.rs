//! What things cost, in counts that no noise touches: syncs, writes, bytes, operations of the disk.
//! Nothing may grow with what came before; a change that makes something dearer is seen here.

use std::sync::Arc;
use turnkeep::sim::SimDisk;
use turnkeep::{Input, Journal, Options, Session};

const PATH: &str = "/agents.journal";
const KIB: [u8; 1024] = [0x5A; 1024];

fn options(disk: &SimDisk) -> Options {
    Journal::options()
        .background(false)
        .compact_after_bytes(u64::MAX)
        .storage(Arc::new(disk.clone()))
}

fn open(disk: &SimDisk) -> Journal {
    options(disk).open(PATH).expect("opens").0
}

/// What the disk was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    syncs: u64,
    writes: u64,
    bytes: u64,
    ops: u64,
}

fn cost_of(disk: &SimDisk, work: impl FnOnce()) -> Cost {
    let now = || Cost {
        syncs: disk.syncs(),
        writes: disk.writes(),
        bytes: disk.bytes_written(),
        ops: disk.ops(),
    };
    let before = now();
    work();
    let after = now();
    Cost {
        syncs: after.syncs - before.syncs,
        writes: after.writes - before.writes,
        bytes: after.bytes - before.bytes,
        ops: after.ops - before.ops,
    }
}

/// The cheapest of several: without the rotation that may fall into one of them.
fn least(disk: &SimDisk, mut work: impl FnMut()) -> Cost {
    let costs = (0..8).map(|_| cost_of(disk, &mut work));
    costs.min().expect("there are eight")
}

fn turn(session: &Session) {
    let turn = session.begin(Input::user(KIB)).expect("begins");
    turn.event("note", KIB).expect("goes in");
    turn.complete(KIB).expect("ends");
}

#[test]
fn an_append_is_one_write_of_whole_blocks_and_one_sync() {
    let disk = SimDisk::new(1);
    let journal = open(&disk);
    let session = journal.session("s").expect("opens");
    session.append("note", KIB).expect("appends");
    let cost = least(&disk, || {
        session.append("note", KIB).expect("appends");
    });
    // The record and its group's header fit a block; the page is stored, and not synced.
    assert_eq!((cost.syncs, cost.writes, cost.bytes), (1, 1, 4096));
}

/// The bound is the one that the log keeps with 64 writers, 1 KiB each.
#[test]
fn records_that_are_waited_for_together_share_a_write_and_a_sync() {
    let disk = SimDisk::new(2);
    let journal = open(&disk);
    let session = journal.session("s").expect("opens");
    let cost = least(&disk, || {
        let submit = |_| session.submit("note", KIB).expect("goes in");
        let tickets: Vec<_> = (0..64).map(submit).collect();
        tickets.last().expect("is one").wait().expect("is durable");
    });
    assert_eq!((cost.syncs, cost.writes), (1, 1));
    let per_byte = cost.bytes as f64 / (64.0 * 1024.0);
    assert!(per_byte <= 1.13, "{per_byte} bytes for a byte of payload");
}

/// A stream of tickets, such as an import, would make a sync of every few records.
#[test]
fn tickets_that_nobody_waits_for_may_wait_for_company() {
    let disk = SimDisk::new(6);
    let hour = std::time::Duration::from_secs(3600);
    let options = options(&disk).background(true).ticket_delay(hour);
    let (journal, _) = options.open(PATH).expect("opens");
    let session = journal.session("s").expect("opens");
    session.append("note", KIB).expect("appends");
    // Not the disk's own counts: the next segment is being made meanwhile.
    let commits = || journal.health().expect("tells").commits;
    let before = commits();
    let submit = |_| session.submit("note", KIB).expect("goes in");
    let tickets: Vec<_> = (0..50).map(submit).collect();
    std::thread::sleep(std::time::Duration::from_millis(30));
    assert!(!tickets[0].is_durable(), "nobody waits");
    tickets[0].wait().expect("is durable");
    assert!(tickets[49].is_durable());
    assert_eq!(commits() - before, 1);
    // And with nobody waiting at all they are durable in time.
    drop((session, journal));
    let soon = std::time::Duration::from_millis(5);
    let (journal, _) = self::options(&disk)
        .background(true)
        .ticket_delay(soon)
        .open(PATH)
        .expect("opens");
    let session = journal.session("s").expect("opens");
    let ticket = session.submit("note", KIB).expect("goes in");
    let begun = std::time::Instant::now();
    while !ticket.is_durable() {
        assert!(begun.elapsed() < hour / 60, "nobody committed it");
        std::thread::sleep(soon);
    }
}

#[test]
fn a_turn_costs_the_same_whatever_its_session_holds() {
    let disk = SimDisk::new(3);
    let journal = open(&disk);
    let session = journal.session("s").expect("opens");
    turn(&session);
    let first = least(&disk, || turn(&session));
    for n in 0..5000 {
        let turn = session
            .begin(Input::user("x").key(format!("k{n}")))
            .expect("begins");
        turn.complete("y").expect("ends");
        if n % 1000 == 0 {
            journal.compact().expect("compacts");
        }
    }
    assert_eq!(least(&disk, || turn(&session)), first);
}

/// A closed journal with so many turns of a session, all of it packed.
fn packed(turns: usize) -> SimDisk {
    let disk = SimDisk::new(4);
    let journal = open(&disk);
    let session = journal.session("s").expect("opens");
    for n in 0..turns {
        turn(&session);
        if n % 500 == 499 {
            journal.compact().expect("compacts");
        }
    }
    journal.compact().expect("compacts");
    journal.close().expect("closes");
    disk
}

#[test]
fn opening_closing_and_storing_the_state_follow_what_is_new() {
    let costs = [1, 10, 100].map(|times| {
        let disk = packed(20 * times);
        let mut journal = None;
        let opening = cost_of(&disk, || journal = Some(open(&disk)));
        let journal = journal.expect("is open");
        let session = journal.find("s").expect("is there");
        for _ in 0..10 {
            turn(&session);
        }
        let checkpoint = cost_of(&disk, || {
            journal.checkpoint().expect("is taken");
        });
        let closing = cost_of(&disk, || journal.close().expect("closes"));
        (opening, checkpoint, closing)
    });
    let [small, medium, large] = costs;
    for (of, grown) in [(&medium, 10), (&large, 100)] {
        assert_eq!(of.0.bytes, 0, "opening what was closed writes nothing");
        // One more file to open for each pack, of which there are a few.
        assert!(
            of.0.ops <= small.0.ops + 24,
            "{grown} times: {of:?} for {small:?}"
        );
        for (cost, base) in [(of.1, small.1), (of.2, small.2)] {
            assert!(
                cost.syncs <= base.syncs,
                "{grown} times: {cost:?} for {base:?}"
            );
            // Places of what is not packed take 8 bytes each; a pack in the state some forty.
            let bytes = base.bytes + 4096;
            assert!(cost.bytes <= bytes, "{grown} times: {cost:?} for {base:?}");
        }
    }
}
