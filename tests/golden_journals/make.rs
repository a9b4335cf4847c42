//! How the kept journals are made: on the simulated disk, with everything that a journal can hold.

use crate::{options, sealing};
use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::Storage;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Backups, Batch, Durability, Input, Journal, Options, Restore, Which, salvage_on};

const PATH: &str = "/j";

/// Names of the journals, and the disk and directory that each is in when it was made.
pub fn all() -> Vec<(&'static str, SimDisk, &'static str)> {
    vec![
        ("plain", plain(), PATH),
        ("torn", torn(), PATH),
        ("packed", packed(), PATH),
        ("queue", queue(), PATH),
        ("sealed", sealed(), PATH),
        ("erased", erased(), PATH),
        ("salvaged", salvaged(), "/rescued"),
        ("restored", restored(), PATH),
        (
            "store/00000000000000000001.backup",
            restored(),
            "/store/00000000000000000001.backup",
        ),
    ]
}

fn storage(disk: &SimDisk) -> Arc<dyn Storage> {
    Arc::new(disk.clone())
}

fn open(disk: &SimDisk, options: Options) -> Journal {
    let opened = options.storage(storage(disk)).open(PATH);
    opened.expect("opens").0
}

/// Every way in which a turn goes, and all that a session keeps beside.
fn work(journal: &Journal, round: u32) {
    let session = journal.session("agent-\u{e9}").expect("opens");
    let input = Input::user(format!("question {round}\r\n\0\u{2028}"))
        .key(format!("req-{round}"))
        .actor("ann")
        .reference("sha256:00ff")
        .extra(r#"{"host":1}"#);
    let mut turn = session.begin(input).expect("begins").owner("w1");
    turn.started().expect("starts");
    turn.responding().expect("responds");
    turn.event("thought", [0, 0xFF, 0x80]).expect("is taken");
    turn.progress("partial", "so fa").expect("is taken");
    turn.call("c1", "shell", r#"{"cmd":"ls"}"#).expect("calls");
    turn.result("c1", "a\nb").expect("answers");
    turn.call("c2", "shell", "{}").expect("calls");
    turn.interrupt_calls("no answer").expect("interrupts");
    turn.complete("a".repeat(700)).expect("ends");
    let again = Input::user("again").supersedes(turn.id());
    let mut turn = session.begin(again).expect("begins");
    turn.started().expect("starts");
    turn.complete("another answer").expect("ends");
    for (n, end) in ["fail", "cancel", "interrupt"].into_iter().enumerate() {
        let mut turn = session.begin(Input::user(end)).expect("begins");
        turn.started().expect("starts");
        let ended = match n {
            0 => turn.fail("it broke", "in detail"),
            1 => turn.cancel("not wanted"),
            _ => turn.interrupt("it hung"),
        };
        ended.expect("ends");
    }
    session.append("note", "beside any turn").expect("appends");
    session.put("todo", format!("[{round}]")).expect("puts");
    session.put("gone", "x").expect("puts");
    session.remove("gone").expect("removes");
    let child = journal.child_session(&format!("child {round}"), &session);
    let child = child.expect("opens");
    let batch =
        Batch::new()
            .event(&session, "one", "of a batch")
            .event(&child, "two", "of a batch");
    journal.append_all(&batch).expect("appends");
    child.end("done").expect("ends");
}

/// Nothing but a log, closed.
fn plain() -> SimDisk {
    let disk = SimDisk::new(1);
    let journal = open(&disk, options());
    work(&journal, 0);
    let session = journal.session("cut short").expect("opens");
    for n in 0..4 {
        session.append("note", format!("{n}")).expect("appends");
    }
    let fourth = turnkeep::Seq::new(4);
    session.truncate_from(fourth).expect("truncates");
    let cleared = journal.session("cleared").expect("opens");
    cleared.append("note", "x").expect("appends");
    cleared.clear().expect("clears");
    let deleted = journal.session("deleted").expect("opens");
    deleted.append("note", "x").expect("appends");
    deleted.delete().expect("deletes");
    journal.close().expect("closes");
    disk
}

/// The power went while a turn was open, with groups at the end that nothing proves, and one that is
/// torn.
fn torn() -> SimDisk {
    let disk = SimDisk::new(2);
    let large = options().first_segment_bytes(64 << 10);
    let journal = open(&disk, large.segment_bytes(64 << 10));
    work(&journal, 0);
    let session = journal.session("late").expect("opens");
    let mut turn = session.begin(Input::user("hurry")).expect("begins");
    turn.started().expect("starts");
    turn.call("c", "shell", "{}").expect("calls");
    journal.sync().expect("syncs");
    turn.event("thought", "durable")
        .expect("is taken")
        .wait()
        .expect("is durable");
    let buffered = |text: &str| {
        let appended = session.append_with(Durability::Buffered, "note", text);
        appended.expect("is written");
    };
    buffered("whole, and proven by nothing");
    let segment = format!("{PATH}/00000000000000000001.seg");
    let before = disk.read_file(&segment).expect("reads");
    buffered(&"x".repeat(3000));
    let mut after = disk.read_file(&segment).expect("reads");
    drop((turn, journal));
    disk.kill();
    // Of the last group the first blocks arrived.
    let from = (0..after.len()).find(|&at| before[at] != after[at]);
    let torn = from.expect("it was written") / 512 * 512 + 1536;
    after[torn..].copy_from_slice(&before[torn..]);
    disk.write_file(&segment, &after).expect("writes");
    disk
}

/// Packs, two snapshots, values, and a log behind them.
fn packed() -> SimDisk {
    let disk = SimDisk::new(3);
    let journal = open(&disk, options());
    for round in 0..6 {
        work(&journal, round);
        if round % 2 == 1 {
            journal.compact().expect("compacts");
        }
    }
    work(&journal, 6);
    journal.checkpoint().expect("checkpoints");
    work(&journal, 7);
    journal.close().expect("closes");
    disk
}

/// Input in each of its states, and turns with several attempts, of two writers.
fn queue() -> SimDisk {
    let disk = SimDisk::new(4);
    let journal = open(&disk, options());
    let session = journal.session("busy").expect("opens");
    let queue = |name: &str, key: &str| {
        let input = Input::new(name, format!("about {key}")).key(key);
        session.enqueue(input.priority(3)).expect("is queued").input
    };
    for key in [
        "begun",
        "confirmed",
        "released",
        "buried",
        "steered",
        "held",
    ] {
        queue("ask", key);
    }
    queue("other", "waiting");
    let withdrawn = queue("other", "withdrawn");
    session
        .withdraw(withdrawn, "changed my mind")
        .expect("withdraws");
    let claim = || {
        session
            .claim_class("w1", "ask")
            .expect("claims")
            .expect("some")
    };
    let turn = claim().begin().expect("begins");
    claim().confirm().expect("confirms");
    claim().release("not now").expect("releases");
    let released = claim();
    assert_eq!(
        released.number(),
        2,
        "the one that was released comes first"
    );
    drop(released);
    let mut turn = turn.owner("w1");
    turn.started().expect("starts");
    session
        .claim_class("w1", "ask")
        .expect("claims")
        .expect("some")
        .bury("poison")
        .expect("buries");
    let steering = session
        .claim_class("w1", "ask")
        .expect("claims")
        .expect("some");
    steering.steer(&turn).expect("steers");
    let held = session
        .claim_class("w2", "ask")
        .expect("claims")
        .expect("some");
    journal.sync().expect("syncs");
    std::mem::forget(held);
    drop((turn, session, journal));
    // The writer died; the next one takes the turn up and leaves it open.
    disk.kill();
    let journal = open(&disk, options());
    let session = journal.find("busy").expect("is there");
    let open_turn = journal.open_turns().expect("lists").remove(0);
    let mut turn = session.turn(open_turn.turn).expect("is there").owner("w3");
    turn.retry().expect("takes it up");
    turn.call("c9", "shell", "{}").expect("calls");
    journal.checkpoint().expect("checkpoints");
    session
        .append("note", "behind the snapshot")
        .expect("appends");
    journal.close().expect("closes");
    disk
}

/// Contents under a key that the test has, in a pack and in the log.
fn sealed() -> SimDisk {
    let disk = SimDisk::new(5);
    let journal = open(&disk, sealing());
    work(&journal, 0);
    journal.compact().expect("compacts");
    work(&journal, 1);
    let session = journal.session("asks").expect("opens");
    session.enqueue(Input::new("ask", "later")).expect("queues");
    journal.close().expect("closes");
    disk
}

/// Sessions that were deleted, cleared and truncated, and nothing of them in any file.
fn erased() -> SimDisk {
    let disk = SimDisk::new(6);
    let journal = open(&disk, options());
    work(&journal, 0);
    for name in ["to go", "to clear", "to cut"] {
        let session = journal.session(name).expect("opens");
        for n in 0..5 {
            session
                .append("note", format!("{name} {n}"))
                .expect("appends");
        }
    }
    journal.compact().expect("compacts");
    journal
        .find("to go")
        .expect("is there")
        .delete()
        .expect("deletes");
    journal
        .find("to clear")
        .expect("is there")
        .clear()
        .expect("clears");
    let cut = journal.find("to cut").expect("is there");
    cut.truncate_from(turnkeep::Seq::new(3)).expect("truncates");
    journal.compact().expect("compacts");
    // The second of its name.
    let again = journal.session("to go").expect("opens");
    again.append("note", "anew").expect("appends");
    journal.close().expect("closes");
    disk
}

/// What a salvage made of a journal with a rotten pack.
fn salvaged() -> SimDisk {
    let disk = packed();
    let names = disk.list_files(PATH).expect("lists");
    let pack = names.iter().find(|name| name.ends_with(".pack"));
    let pack = format!("{PATH}/{}", pack.expect("there is one"));
    let len = disk.read_file(&pack).expect("reads").len() as u64;
    disk.rot(&pack, len / 2, 0x20).expect("rots");
    let report = salvage_on(
        storage(&disk),
        Path::new(PATH),
        Path::new("/rescued"),
        &mut |_| (),
    );
    assert!(!report.expect("salvages").is_complete());
    disk
}

/// A backup, and what a restore of it made of the journal that had gone on.
fn restored() -> SimDisk {
    let disk = SimDisk::new(8);
    let journal = open(&disk, options());
    work(&journal, 0);
    journal.compact().expect("compacts");
    work(&journal, 1);
    let store = Backups::at_on(storage(&disk), "/store");
    store.create(PATH, Some("kept")).expect("backs up");
    journal
        .find("child 0")
        .expect("is there")
        .delete()
        .expect("deletes");
    work(&journal, 2);
    journal.close().expect("closes");
    let done = store.restore(&Which::Newest, PATH, &Restore::default());
    assert_eq!(done.expect("restores").erased_again.len(), 1);
    disk
}
