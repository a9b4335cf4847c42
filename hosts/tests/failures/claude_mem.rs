//! claude-mem: F-M1 to F-M10.

use super::support::{Bench, report};
use super::world::{World, entries, texts};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use turnkeep::sim::CrashModel;
use turnkeep::{Error, Input, InputStatus};

/// A row of the host's queue.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    session: &'static str,
    status: &'static str,
    retries: u32,
}

fn pending(session: &'static str) -> Row {
    Row {
        session,
        status: "pending",
        retries: 0,
    }
}

/// A worker claimed a row and crashed; claims looked at `pending` only.
#[test]
fn f_m1_stuck_processing() {
    let mut rows = vec![pending("s")];
    let claim = |rows: &mut Vec<Row>| {
        let row = rows.iter_mut().find(|row| row.status == "pending")?;
        row.status = "processing";
        Some(row.clone())
    };
    assert!(claim(&mut rows).is_some());
    assert!(claim(&mut rows).is_none()); // after the crash, for ever

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    session
        .enqueue(Input::new("observation", "read x").key("t1"))
        .expect("queues");
    let claimed = host
        .claim("worker 1")
        .expect("claims")
        .expect("there is one");
    world.disk.kill();
    drop((claimed, host));
    let host = world.host();
    let again = host
        .claim("worker 2")
        .expect("claims")
        .expect("it waits again");
    assert_eq!(
        (again.lost_claims(), again.entry().content.as_slice()),
        (1, &b"read x"[..])
    );
    again.confirm().expect("is done");
    world.power_loss(host, &CrashModel::HARSHEST);
    assert!(world.host().pending().expect("reads").is_empty());
}

/// Only sessions that were active in memory were ever drained.
#[test]
fn f_m2_orphaned_by_session() {
    let rows = [pending("before the restart"), pending("active")];
    let active = HashSet::from(["active"]);
    let drained = rows.iter().filter(|row| active.contains(row.session));
    assert_eq!(drained.count(), 1);

    let world = World::new();
    let host = world.host();
    for id in ["before the restart", "active"] {
        let session = host.session(id).expect("creates");
        session
            .enqueue(Input::new("observation", id))
            .expect("queues");
    }
    world.kill(host);
    let host = world.host();
    let mut drained = Vec::new();
    while let Some(claim) = host.claim("worker").expect("claims") {
        drained.push(claim.session().id().to_owned());
        claim.confirm().expect("is done");
    }
    assert_eq!(drained, ["before the restart", "active"]);
}

/// It answered "healthy" for a month, with 23 744 messages queued and none completed.
#[test]
fn f_m3_healthy_but_dead() {
    let (answers, completed) = (true, 0);
    let is_healthy = answers;
    assert!(is_healthy && completed == 0);

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    for n in 0..100 {
        let input = Input::new("observation", format!("{n}"));
        session.enqueue(input).expect("queues");
    }
    let mut turn = session.begin(Input::user("q")).expect("begins");
    turn.started().expect("starts");
    world.disk.advance_ms(31 * 86_400_000);
    // Heartbeats go on; the age of what is unfinished does not care.
    session.append("heartbeat", "ok").expect("appends");
    let age = Duration::from_secs(86_400);
    assert!(host.idle_sessions(age).expect("reads").is_empty());
    let stuck = host.sessions_open_for(age).expect("reads");
    assert_eq!(stuck.len(), 1);
    assert!(stuck[0].open_ms >= Some(31 * 86_400_000));
    assert_eq!(stuck[0].queued, 100);
    let reader = world
        .options()
        .open_read_only("/host.journal")
        .expect("opens");
    assert_eq!(reader.sessions_open_for(age).expect("reads").len(), 1);
}

/// A message that killed its worker was played again at each start, at full load.
#[test]
fn f_m4_poison_and_retry_storm() {
    let mut queue = vec!["poison"];
    let mut starts = 0;
    while let Some(message) = queue.pop() {
        starts += 1;
        if starts == 1000 {
            break;
        }
        queue.push(message); // the worker died before it said what became of it
    }
    assert_eq!(starts, 1000);

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    session
        .enqueue(Input::new("observation", "poison"))
        .expect("queues");
    session
        .enqueue(Input::new("observation", "good"))
        .expect("queues");
    world.kill(host);
    let mut starts = 0;
    let good = loop {
        let host = world.host();
        let claim = host.claim("worker").expect("claims").expect("there is one");
        if claim.entry().content == b"good" {
            claim.confirm().expect("is done");
            break host;
        }
        starts += 1;
        assert!(starts < 10, "for ever");
        world.disk.kill();
        drop((claim, host));
    };
    assert_eq!(starts, 3);
    // It is kept, where somebody can see it and let it go again.
    let kept = good.pending().expect("reads");
    assert_eq!((kept.len(), kept[0].status), (1, InputStatus::Dead));
    assert!(good.claim("worker").expect("claims").is_none());
}

/// For half a year the end of a session threw its queue away, and later a counter did.
#[test]
fn f_m5_cleanup_destroys_work() {
    let mut rows = vec![
        pending("s"),
        Row {
            retries: 3,
            ..pending("t")
        },
    ];
    rows.retain(|row| row.session != "s"); // SessionEnd
    rows.retain(|row| row.retries < 3);
    assert!(rows.is_empty());

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    session
        .enqueue(Input::new("observation", "work"))
        .expect("queues");
    session.end("prompt_input_exit").expect("ends");
    host.compact().expect("compacts");
    host.close().expect("closes");
    let host = world.host();
    let claim = host
        .claim("worker")
        .expect("claims")
        .expect("it is still there");
    assert_eq!(claim.entry().content, b"work");
    // Given up by hand it is a dead letter with a reason, and can be released again.
    let (input, session) = (claim.input(), claim.session().clone());
    claim.bury("three times").expect("buries");
    assert_eq!(host.pending().expect("reads")[0].status, InputStatus::Dead);
    session.release(input, "once more").expect("releases");
    assert!(host.claim("worker").expect("claims").is_some());
}

/// No hook says reliably that a session is over: 155 processes stayed.
#[test]
fn f_m6_zombies() {
    let mut workers: HashMap<u32, &str> = (0..155).map(|pid| (pid, "session")).collect();
    let ended: Vec<u32> = Vec::new(); // the hook that never came
    workers.retain(|pid, _| !ended.contains(pid));
    assert_eq!(workers.len(), 155);

    let world = World::new();
    let host = world.host();
    for n in 0..155 {
        let session = host.session(&format!("s{n}")).expect("creates");
        let mut turn = session.begin(Input::user("q")).expect("begins");
        turn.started().expect("starts");
    }
    world.disk.advance_ms(2 * 3_600_000);
    host.find("s7")
        .expect("is there")
        .append("alive", "")
        .expect("appends");
    let age = Duration::from_secs(3600);
    let idle = host.idle_sessions(age).expect("reads");
    assert_eq!(idle.len(), 154);
    for idle in idle {
        let session = host.find(&idle.session.id).expect("is there");
        assert_eq!(session.interrupt_idle(age).expect("judges").len(), 1);
    }
    world.kill(host);
    let open = world.host().open_turns().expect("reads");
    assert_eq!(open.len(), 1);
}

/// The key was a hash of what a model had written, which differs each time.
#[test]
fn f_m7_duplicates() {
    let generated = ["The file was read.", "It read the file.", "Read: the file"];
    let hashes: HashSet<_> = generated.iter().collect();
    assert_eq!(hashes.len(), 3);

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    let first = session.enqueue(Input::new("observation", generated[0]).key("toolu_1"));
    assert!(first.expect("queues").is_new);
    world.kill(host);
    let host = world.host();
    let session = host.find("s").expect("is there");
    for text in generated {
        let again = session.enqueue(Input::new("observation", text).key("toolu_1"));
        assert!(!again.expect("queues").is_new);
    }
    let claim = host.claim("worker").expect("claims").expect("there is one");
    claim.confirm().expect("is done");
    // Also after it was worked off.
    let again = session.enqueue(Input::new("observation", generated[1]).key("toolu_1"));
    assert!(!again.expect("queues").is_new);
    assert!(host.claim("worker").expect("claims").is_none());
}

/// One row whose session was missing broke a migration, and nothing could be opened.
#[test]
fn f_m8_open_aborts_on_one_bad_row() {
    let rows = "CREATE TABLE sdk_sessions(id INTEGER PRIMARY KEY, content_session_id TEXT, memory_session_id TEXT UNIQUE);
        CREATE TABLE observations(id INTEGER PRIMARY KEY, memory_session_id TEXT, text TEXT);
        INSERT INTO sdk_sessions VALUES (1,'c-1','m-1');
        INSERT INTO observations VALUES (1,'m-1','good'),(2,'m-9','its session is missing');";
    let naive = rusqlite::Connection::open_in_memory().expect("opens");
    let migrated = naive.execute_batch(&format!(
        "{rows} PRAGMA foreign_keys=ON; BEGIN;
         CREATE TABLE observations_new(id INTEGER PRIMARY KEY, memory_session_id TEXT
           REFERENCES sdk_sessions(memory_session_id), text TEXT);
         INSERT INTO observations_new SELECT * FROM observations; COMMIT;"
    ));
    assert!(migrated.is_err());

    let bench = Bench::new();
    drop(bench.database(".claude-mem/claude-mem.db", rows));
    let imported = bench.import_twice();
    let report = report(&imported, ".claude-mem/claude-mem.db");
    assert!(report.findings.has("row.orphan"));
    assert_eq!(bench.contents("c-1/claude-mem", "observations").len(), 1);
    assert_eq!(bench.contents("m-9/claude-mem", "observations").len(), 1);
    // And the journal itself: one record that rotted costs that record, and says so.
    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    for n in 0..100 {
        session
            .append("row", format!("row number {n:03}"))
            .expect("appends");
    }
    host.close().expect("closes");
    let name = world.disk.list_files("/host.journal").expect("lists");
    let rotted = name.iter().find_map(|name| {
        let path = format!("/host.journal/{name}");
        let bytes = world.disk.read_file(&path).expect("reads");
        let needle = b"row number 050";
        let at = bytes
            .windows(needle.len())
            .position(|window| window == needle)?;
        Some((path, at as u64))
    });
    let (path, at) = rotted.expect("it is somewhere");
    world.disk.rot(path, at, 1).expect("rots");
    let storage = std::sync::Arc::new(world.disk.clone());
    let saved = turnkeep::salvage_on(storage, "/host.journal", "/saved.journal", &mut |_| {})
        .expect("salvages");
    assert!(!saved.is_complete());
    let (host, _) = world.options().open("/saved.journal").expect("opens");
    let rows = texts(&host.find("s").expect("is there"), "row");
    assert_eq!(rows.len(), 99);
    assert!(!rows.contains(&"row number 050".to_owned()));
}

/// The first event came before the worker was up, and was dropped.
#[test]
fn f_m9_first_event_race() {
    let worker: Option<Vec<&str>> = None;
    let mut delivered = Vec::new();
    if let Some(worker) = worker {
        delivered.extend(worker);
    }
    assert!(delivered.is_empty());

    let world = World::new();
    let hook = world.host();
    let session = hook.session("s").expect("creates");
    session
        .enqueue(Input::new("observation", "the first"))
        .expect("queues");
    session
        .enqueue(Input::new("summarize", "the last"))
        .expect("queues");
    world.power_loss(hook, &CrashModel::NOTHING_SURVIVES);
    let worker = world.host();
    let mut delivered = Vec::new();
    while let Some(claim) = worker.claim("worker").expect("claims") {
        delivered.push(String::from_utf8_lossy(&claim.entry().content).into_owned());
        claim.confirm().expect("is done");
    }
    assert_eq!(delivered, ["the first", "the last"]);
}

/// A worker of an old version lived on beside the new one and wrote over its work.
#[test]
fn f_m10_stale_worker() {
    let mut summary = "by the new version";
    assert_eq!(summary, "by the new version");
    summary = "by the old version, which nobody stopped";
    assert_ne!(summary, "by the new version");

    let world = World::new();
    let old = world.host();
    let session = old.session("s").expect("creates");
    let mut turn = session.begin(Input::user("summarize")).expect("begins");
    turn.started().expect("starts");
    let id = turn.id();
    // Its lock goes with its process, of which something lives on and still has its handle.
    world.disk.kill();
    let new = world.host();
    let mut taken = new.find("s").expect("is there").turn(id).expect("is open");
    taken.retry().expect("a further attempt");
    assert!(turn.complete("by the old version").is_err());
    taken.complete("by the new version").expect("completes");
    drop(old);
    // In one process too: an attempt that was taken over is over.
    let session = new.find("s").expect("is there");
    let mut first = session.begin(Input::user("again")).expect("begins");
    first.started().expect("starts");
    let mut second = session.turn(first.id()).expect("is open");
    second.retry().expect("a further attempt");
    assert!(matches!(first.complete("stale"), Err(Error::Fenced { .. })));
    second.complete("fresh").expect("completes");
    let answers: Vec<_> = entries(&session)
        .into_iter()
        .filter(|entry| entry.kind.is_turn_end())
        .map(|entry| String::from_utf8_lossy(&entry.content).into_owned())
        .collect();
    assert_eq!(answers, ["by the new version", "fresh"]);
}

/// The transcript that is the truth grew to gigabytes, and was read from its beginning each time.
#[test]
fn f_m11_transcript_growth() {
    let line = |n: u32| {
        format!(
            "{{\"type\":\"user\",\"sessionId\":\"s\",\"uuid\":\"u{n}\",\"message\":{{\"role\":\"user\",\
             \"content\":\"{}\"}}}}\n",
            "x".repeat(1000)
        )
    };
    let (mut file, mut read) = (String::new(), 0);
    for n in 0..50 {
        file += &line(n);
        read += file.len();
    }
    assert!(read > 25 * file.len());

    let bench = Bench::new();
    let (mut file, mut new) = (String::new(), 0);
    for n in 0..50 {
        file += &line(n);
        bench.write("s.jsonl", &file);
        let imported = bench.import();
        assert_eq!(report(&imported, "s.jsonl").lines, 1);
        new += report(&imported, "s.jsonl").bytes;
    }
    assert_eq!(new, file.len() as u64);
    bench.assert_comes_back("s", "s.jsonl");
}
