//! Last activity, and the watchdog whose verdict is a record.

use std::sync::Arc;
use std::time::Duration;
use turnkeep::audit::IDLE;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Cause, Error, Input, Journal, Kind, Options, Reader, Seq, SessionInfo};

const HOUR: Duration = Duration::from_secs(3600);
const PATH: &str = "/agents.journal";

fn options(disk: &SimDisk) -> Options {
    let options = Journal::options().background(false);
    options.storage(Arc::new(disk.clone()))
}

fn open(disk: &SimDisk) -> Journal {
    options(disk).open(PATH).expect("opens").0
}

fn look(disk: &SimDisk) -> Reader {
    options(disk).open_read_only(PATH).expect("opens")
}

fn info(journal: &Journal) -> SessionInfo {
    journal
        .find("s")
        .expect("is there")
        .info()
        .expect("is told")
}

fn later(disk: &SimDisk, age: Duration) {
    disk.advance_ms(age.as_millis() as u64);
}

/// Hermes' cleanup set `updated_at`, and old sessions came up as the newest.
#[test]
fn maintenance_is_no_activity_however_the_journal_is_kept() {
    let disk = SimDisk::new(7);
    let journal = open(&disk);
    let session = journal.session("s").expect("opens");
    session
        .enqueue(Input::new("normal", "x"))
        .expect("is queued");
    let mut turn = session.begin(Input::user("x")).expect("begins");
    turn.started().expect("starts");
    turn.call("c", "shell", "{}")
        .expect("calls")
        .wait()
        .expect("is durable");
    let active = info(&journal);
    later(&disk, 2 * HOUR);
    drop(journal.claim("w").expect("claims"));
    turn.interrupt_calls("gone").expect("are interrupted");
    assert_eq!(session.interrupt_idle(HOUR).expect("judges").len(), 1);
    journal.compact().expect("compacts");
    drop((session, turn));
    disk.kill();
    for journal in [journal, open(&disk)] {
        let now = info(&journal);
        assert_eq!(now.active_ms, active.active_ms);
        assert_eq!(now.active_lsn, active.active_lsn);
        assert!(now.last_lsn > active.last_lsn);
        let _ = journal.compact();
        disk.kill();
    }
    let idle = look(&disk).idle_sessions(HOUR).expect("lists");
    assert_eq!(idle.len(), 1);
    assert!(idle[0].idle_ms >= 7_200_000, "{:?}", idle[0]);
    assert_eq!(idle[0].queued, 1);
}

#[test]
fn sessions_are_idle_or_open_past_an_age() {
    let disk = SimDisk::new(7);
    let journal = open(&disk);
    let names = |found: Vec<turnkeep::IdleSession>| -> Vec<String> {
        found.into_iter().map(|idle| idle.session.id).collect()
    };
    let session = |id: &str| journal.session(id).expect("opens");
    session("quiet").append("note", "x").expect("appends");
    let ended = session("ended");
    ended.append("note", "x").expect("appends");
    ended.end("logout").expect("ends");
    let turn = session("long").begin(Input::user("x")).expect("begins");
    later(&disk, HOUR);
    turn.event("still", "here")
        .expect("appends")
        .wait()
        .expect("is durable");
    session("fresh").begin(Input::user("x")).expect("begins");
    assert_eq!(
        names(journal.idle_sessions(HOUR).expect("lists")),
        ["quiet"]
    );
    assert_eq!(
        names(journal.sessions_open_for(HOUR).expect("lists")),
        ["long"]
    );
    assert_eq!(journal.idle_sessions(2 * HOUR).expect("lists"), []);
    assert_eq!(journal.idle_sessions(Duration::MAX).expect("lists"), []);
    let reader = look(&disk);
    assert_eq!(names(reader.idle_sessions(HOUR).expect("lists")), ["quiet"]);
    assert_eq!(
        names(reader.sessions_open_for(HOUR).expect("lists")),
        ["long"]
    );
}

/// claude-mem's zombies were found by timers in memory; whoever looked later saw `failed`, and
/// nothing of why.
#[test]
fn a_verdict_is_a_record_with_its_evidence_and_ends_the_turn_once() {
    let disk = SimDisk::new(7);
    let journal = open(&disk);
    let session = journal.session("s").expect("opens");
    let mut turn = session
        .begin(Input::user("x"))
        .expect("begins")
        .owner("w\"1");
    turn.started().expect("starts");
    turn.call("c", "shell", "{}")
        .expect("calls")
        .wait()
        .expect("is durable");
    let active = info(&journal);
    let head = active.last_lsn;
    assert_eq!(session.interrupt_idle(HOUR).expect("judges"), []);
    assert_eq!(info(&journal).last_lsn, head, "nothing was written");
    later(&disk, HOUR);
    let verdicts = session.interrupt_idle(HOUR).expect("judges");
    assert_eq!(verdicts.len(), 1);
    let verdict = &verdicts[0];
    assert_eq!((verdict.turn, verdict.attempt), (turn.id(), 1));
    assert_eq!(
        (verdict.cause, verdict.owner.as_str()),
        (Cause::Held, "w\"1")
    );
    assert_eq!(verdict.last_activity_lsn, active.active_lsn);
    assert_eq!(verdict.threshold_ms, 3_600_000);
    assert_eq!(
        verdict.idle_ms,
        verdict.judged_ms - verdict.last_activity_ms
    );
    // A worker that was alive after all is told, and its answer is not taken for the turn's.
    assert!(matches!(
        turn.complete("late"),
        Err(Error::TurnEnded { .. })
    ));
    assert_eq!(session.interrupt_idle(HOUR).expect("judges"), [], "once");
    disk.kill();
    let reader = look(&disk);
    let entries = reader
        .session("s")
        .expect("is there")
        .last(2)
        .expect("reads");
    assert_eq!(entries[0].kind, Kind::TurnCallInterrupted);
    assert_eq!(entries[1].kind, Kind::TurnInterrupted);
    assert_eq!(
        (entries[1].name.as_str(), entries[1].turn),
        (IDLE, Some(Seq::new(2)))
    );
    let evidence = String::from_utf8(entries[1].content.clone()).expect("is text");
    assert_eq!(evidence, verdict.to_json());
    let start = "{\"verdict\":\"idle\",\"session\":\"s\",\"turn\":2,\"attempt\":1,\
                 \"owner\":\"w\\\"1\",\"epoch\":1,\"cause\":\"held\",\"last_activity_lsn\":4,";
    assert!(evidence.starts_with(start), "{evidence}");
}

/// Hermes judged by a registry, then wrote; a worker that spoke in between lost its answer.
#[test]
fn a_worker_that_speaks_while_it_is_judged_is_not_interrupted() {
    let disk = SimDisk::new(7);
    let journal = open(&disk);
    for round in 0..2_000 {
        let session = journal.session(&format!("s{round}")).expect("opens");
        let mut turn = session.begin(Input::user("x")).expect("begins");
        turn.started().expect("starts");
        later(&disk, HOUR);
        let start = std::sync::Barrier::new(2);
        let (judged, spoke) = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                start.wait();
                // A little later each time, so that it comes at every moment of the judgement.
                (0..round).for_each(|n| assert!(std::hint::black_box(n) < round));
                turn.event("alive", "x").map(|_| ())
            });
            start.wait();
            let judged = session.interrupt_idle(HOUR).expect("judges");
            (judged, worker.join().expect("does not panic"))
        });
        assert_ne!(judged.is_empty(), spoke.is_err(), "one of them was first");
    }
}
