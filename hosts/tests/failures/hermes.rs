//! hermes-webui: F-H1 to F-H19.

use super::support::{Bench, report};
use super::world::{World, entries, texts};
use std::collections::HashMap;
use std::sync::mpsc;
use std::time::Duration;
use turnkeep::sim::CrashModel;
use turnkeep::{Cause, Error, Input, Journal, Kind};

/// A stub that knew a session's title only was saved, atomically, over a thousand messages.
#[test]
fn f_h1_partial_view_overwrite() {
    #[derive(Clone, Default)]
    struct Sidecar {
        title: String,
        messages: Vec<String>,
    }
    let full = Sidecar {
        title: "old".into(),
        messages: vec!["message".into(); 1000],
    };
    let mut file = full.clone();
    let metadata_only = Sidecar {
        title: file.title.clone(),
        ..Sidecar::default()
    };
    file = Sidecar {
        title: "new".into(),
        ..metadata_only
    };
    assert_eq!((file.title.as_str(), file.messages.len()), ("new", 0));

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    session
        .append_all(full.messages.iter().map(|text| ("message", text)))
        .expect("appends");
    session.put("title", "old").expect("puts");
    // What a status poll holds has no method that writes.
    let poll = world
        .options()
        .open_read_only("/host.journal")
        .expect("opens");
    assert_eq!(
        poll.session("s")
            .expect("is there")
            .get("title")
            .expect("reads"),
        Some(b"old".to_vec())
    );
    session.put("title", "new").expect("puts");
    world.power_loss(host, &CrashModel::HARSHEST);
    let session = world.host().find("s").expect("is there");
    assert_eq!(texts(&session, "message").len(), 1000);
    assert_eq!(session.get("title").expect("reads"), Some(b"new".to_vec()));
}

/// The scanner met a list where it expected an object, and a broad `except` made recovery nothing.
#[test]
fn f_h2_recovery_silently_dead() {
    let files = [
        ("_index.json", "[]"),
        ("a.json", "{\"session_id\":\"a\",\"messages\":[1]}"),
    ];
    let scan = || -> Option<usize> {
        let mut recovered = 0;
        for (_, text) in files {
            let file: serde_json::Value = serde_json::from_str(text).ok()?;
            recovered += file.as_object()?.get("messages")?.as_array()?.len();
        }
        Some(recovered)
    };
    assert_eq!(scan().unwrap_or(0), 0);

    let bench = Bench::new();
    for (name, text) in files {
        bench.write(&format!("sessions/{name}"), text);
    }
    bench.write(
        "sessions/b.json",
        "{\"session_id\":\"b\",\"messages\":{}, 7",
    );
    let imported = bench.import_twice();
    assert_eq!(report(&imported, "sessions/a.json").lines, 1);
    // And what could not be understood is told.
    assert!(!report(&imported, "sessions/b.json").findings.is_empty());
    assert_eq!(imported.reports.len(), 3);
}

/// Messages were saved when a turn had ended; a restart in the middle lost all of it.
#[test]
fn f_h3_in_memory_only_turn() {
    let saved: Vec<String> = Vec::new();
    let in_memory = vec!["question".to_owned(), "half an ans".to_owned()];
    drop(in_memory); // kill -9
    assert!(saved.is_empty());

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    let mut turn = session.begin(Input::user("question")).expect("begins");
    turn.started().expect("starts");
    let said = turn.progress("token", "half an ans").expect("appends");
    said.wait().expect("is durable");
    world.kill(host);
    let host = world.host();
    let open = host.open_turns().expect("reads");
    assert_eq!((open.len(), open[0].cause()), (1, Cause::WriterGone));
    let session = host.find("s").expect("is there");
    let turn = session.turn(open[0].turn).expect("is open");
    let kept: Vec<_> = turn
        .entries()
        .expect("reads")
        .map(|entry| entry.expect("reads").content)
        .collect();
    assert!(kept.contains(&b"question".to_vec()));
    assert!(kept.contains(&b"half an ans".to_vec()));
}

/// An update made the process start itself anew in the middle of an answer.
#[test]
fn f_h4_self_restart_kills_turns() {
    let running: HashMap<&str, &str> = HashMap::from([("s", "answering")]);
    drop(running); // exec
    let after: HashMap<&str, &str> = HashMap::new();
    assert!(!after.contains_key("s"));

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    let mut turn = session.begin(Input::user("q").key("r1")).expect("begins");
    turn.started().expect("starts");
    let id = turn.id();
    world.kill(host);
    let host = world.host();
    let mut turn = host.find("s").expect("is there").turn(id).expect("is open");
    turn.retry().expect("a further attempt");
    turn.complete("answered after all").expect("completes");
    assert!(host.open_turns().expect("reads").is_empty());
}

/// Two processes appended more than a pipe's buffer at once, and their lines came out mixed.
#[test]
fn f_h5_interleaved_appends() {
    let [a, b] = ["a", "b"].map(|text| text.repeat(10_000) + "\n");
    let mut file = String::new();
    for (a, b) in a.as_bytes().chunks(4096).zip(b.as_bytes().chunks(4096)) {
        file += std::str::from_utf8(a).expect("text");
        file += std::str::from_utf8(b).expect("text");
    }
    assert!(
        file.lines()
            .all(|line| line != a.trim_end() && line != b.trim_end())
    );

    let world = World::new();
    let host = world.host();
    std::thread::scope(|scope| {
        for text in [&a, &b] {
            let session = host.session("s").expect("creates");
            scope.spawn(move || {
                for _ in 0..50 {
                    session.append("line", text).expect("appends");
                }
            });
        }
    });
    // And a second process is refused.
    let second = world.options().open("/host.journal");
    assert!(matches!(second, Err(Error::Locked { .. })));
    world.power_loss(host, &CrashModel::HARSHEST);
    let lines = texts(&world.host().find("s").expect("is there"), "line");
    for text in [&a, &b] {
        assert_eq!(lines.iter().filter(|line| *line == text).count(), 50);
    }
}

/// Two ends of one turn became one, without a word.
#[test]
fn f_h6_double_terminal() {
    let lines = [("completed", 1.0_f64), ("interrupted", 2.0)];
    let derived = lines.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    assert_eq!(derived.expect("there are two").0, "interrupted");

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    let turn = session.begin(Input::user("q")).expect("begins");
    turn.complete("a").expect("completes");
    let second = turn.interrupt("too late");
    assert!(matches!(
        second,
        Err(Error::TurnEnded {
            state: "completed",
            ..
        })
    ));
    world.kill(host);
    let session = world.host().find("s").expect("is there");
    let ends = entries(&session)
        .into_iter()
        .filter(|entry| entry.kind.is_turn_end());
    assert_eq!(
        ends.map(|entry| entry.kind).collect::<Vec<_>>(),
        [Kind::TurnCompleted]
    );
}

/// One fsync for each submitted prompt: on slow disks half a second each.
#[test]
fn f_h7_fsync_in_submit_path() {
    const PROMPTS: u64 = 64;
    let world = World::new();
    let before = world.disk.syncs();
    for n in 0..PROMPTS {
        use turnkeep::storage::{OpenMode, Storage};
        let disk = world.disk.clone();
        let path = format!("/naive-{n}");
        let file = disk
            .open(path.as_ref(), OpenMode::CreateNew)
            .expect("creates");
        file.write_all_at(b"prompt", 0).expect("writes");
        file.sync_data().expect("syncs");
    }
    assert_eq!(world.disk.syncs() - before, PROMPTS);

    let host = world.host();
    let session = host.session("s").expect("creates");
    let before = world.disk.syncs();
    let tickets: Vec<_> = (0..PROMPTS)
        .map(|_| session.submit("prompt", "prompt").expect("submits"))
        .collect();
    for ticket in tickets {
        ticket.wait().expect("is durable");
    }
    let syncs = world.disk.syncs() - before;
    assert!(syncs <= 4, "{syncs} syncs");
    world.power_loss(host, &CrashModel::NOTHING_SURVIVES);
    let session = world.host().find("s").expect("is there");
    assert_eq!(texts(&session, "prompt").len() as u64, PROMPTS);
}

/// A turn that its registry did not know was called dead; then its answer was dropped as stale.
#[test]
fn f_h8_false_interrupted() {
    let registry: Vec<&str> = Vec::new(); // filled by another thread a moment later
    let mut turn = "running";
    if !registry.contains(&"s") {
        turn = "interrupted";
    }
    let answer_is_kept = turn == "running";
    assert!(!answer_is_kept);

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    let mut turn = session.begin(Input::user("q")).expect("begins");
    turn.started().expect("starts");
    world.disk.advance_ms(3_600_000);
    // However long it takes: it is held by who lives.
    let open = host.open_turns().expect("reads");
    assert_eq!(open[0].cause(), Cause::Held);
    turn.complete("the answer").expect("completes");
    // And once the writer is gone, no worker of its can finish a turn that another took over.
    let mut turn = session.begin(Input::user("q2")).expect("begins");
    turn.started().expect("starts");
    let (id, token) = (turn.id(), turn.token().expect("durable"));
    world.kill(host);
    let host = world.host();
    let session = host.find("s").expect("is there");
    let mut taken = session.turn(id).expect("is open");
    taken.retry().expect("a further attempt");
    let stale = session.turn(id).expect("is open").with_token(token);
    assert!(matches!(stale, Err(Error::Fenced { .. })));
    taken.complete("by the new one").expect("completes");
}

/// The tokens were on disk, and the transcript said that there was no output.
#[test]
fn f_h9_undelivered_partial_output() {
    let (tokens, failed) = (["half ", "an answer"], true);
    let shown = if failed {
        "no output recovered".to_owned()
    } else {
        tokens.concat()
    };
    assert!(!shown.contains("half"));

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    let mut turn = session.begin(Input::user("q")).expect("begins");
    turn.started().expect("starts");
    for token in tokens {
        turn.progress("token", token).expect("appends");
    }
    turn.call("c1", "read", "{}").expect("appends");
    turn.fail("provider", "500").expect("fails");
    let id = turn.id();
    world.kill(host);
    let session = world.host().find("s").expect("is there");
    let said: Vec<_> = session
        .turn_entries(id)
        .expect("reads")
        .map(|entry| entry.expect("reads"))
        .collect();
    let partial: Vec<_> = said
        .iter()
        .filter(|entry| entry.name == "token")
        .flat_map(|entry| entry.content.clone())
        .collect();
    assert_eq!(partial, b"half an answer");
    assert!(said.iter().any(|entry| entry.name == "read"));
}

/// Lines that were written and not synced were not there for the process after the crash.
#[test]
fn f_h10_page_cache_visibility() {
    let world = World::new();
    world.append_file("/run.jsonl", b"{\"event\":\"token\"}\n");
    assert!(!world.read_file("/run.jsonl").is_empty());
    let host = world.host();
    let session = host.session("s").expect("creates");
    session.append("token", "said").expect("appends");
    world.power_loss(host, &CrashModel::NOTHING_SURVIVES);
    assert!(world.read_file("/run.jsonl").is_empty());
    let session = world.host().find("s").expect("is there");
    assert_eq!(texts(&session, "token"), ["said"]);
}

/// Backups were put back whenever they had more messages: what users had deleted, cleared or
/// undone came back.
#[test]
fn f_h11_resurrection() {
    let (live, backup) = (vec!["kept"], vec!["kept", "cleared by the user"]);
    let restored = if backup.len() > live.len() {
        backup
    } else {
        live
    };
    assert!(restored.contains(&"cleared by the user"));

    // Through every way that the journal has: a crash, an old snapshot, an import.
    let bench = Bench::new();
    let sidecar = |id: &str| {
        format!("{{\"session_id\":\"{id}\",\"workspace\":\"/w\",\"messages\":[\"secret {id}\"]}}")
    };
    for id in ["deleted", "cleared"] {
        bench.write(&format!("sessions/{id}.json"), sidecar(id));
        bench.write(&format!("sessions/{id}.json.bak"), sidecar(id));
    }
    bench.import();
    let journal = bench.journal();
    journal.checkpoint().expect("a snapshot");
    for id in ["deleted", "deleted/bak"] {
        journal
            .find(id)
            .expect("is there")
            .delete()
            .expect("deletes");
    }
    for id in ["cleared", "cleared/bak"] {
        journal.find(id).expect("is there").clear().expect("clears");
    }
    drop(journal);
    bench.import_twice();
    let journal = bench.journal();
    for id in ["deleted", "deleted/bak"] {
        assert!(matches!(
            journal.find(id),
            Err(Error::SessionDeleted { .. })
        ));
    }
    for id in ["cleared", "cleared/bak"] {
        let left = entries(&journal.find(id).expect("is there"));
        assert!(
            left.iter().all(|entry| entry.content.is_empty()),
            "{left:?}"
        );
    }
}

/// What was deleted stayed readable under a name that nobody removed.
#[test]
fn f_h12_privacy() {
    let world = World::new();
    world.append_file("/session_s.json", b"a private question");
    assert!(world.disk.remove_file("/s.json").is_err());
    assert_eq!(world.read_file("/session_s.json"), b"a private question");

    let host = world.host();
    let session = host.session("s").expect("creates");
    let turn = session
        .begin(Input::user("a private question"))
        .expect("begins");
    turn.complete("a private answer").expect("completes");
    host.checkpoint().expect("a snapshot");
    assert!(world.holds(b"a private"));
    session.delete().expect("deletes");
    host.compact().expect("compacts");
    host.close().expect("closes");
    assert!(!world.holds(b"a private"));
}

/// Every token of every run that was ever completed was kept: gigabytes.
#[test]
fn f_h13_unbounded_growth() {
    let token = vec![b't'; 1000];
    let world = World::new();
    for _ in 0..2000 {
        world.append_file("/runs.jsonl", &token);
    }
    assert_eq!(world.read_file("/runs.jsonl").len(), 2_000_000);

    let options = world
        .options()
        .max_record_bytes(64 << 10)
        .segment_bytes(1 << 20);
    let (host, _) = options.open("/host.journal").expect("opens");
    let session = host.session("s").expect("creates");
    for _ in 0..20 {
        let mut turn = session.begin(Input::user("q")).expect("begins");
        turn.started().expect("starts");
        for _ in 0..100 {
            turn.progress("token", &token).expect("appends");
        }
        turn.complete("the answer as a whole").expect("completes");
    }
    let done = host.compact().expect("compacts");
    assert!(done.records_superseded >= 2000, "{done:?}");
    assert!(done.bytes_out * 20 < done.bytes_in, "{done:?}");
    host.close().expect("closes");
    let session = world.host().find("s").expect("is there");
    let answers = entries(&session)
        .into_iter()
        .filter(|e| e.kind == Kind::TurnCompleted);
    assert_eq!(answers.count(), 20);
}

/// Two processes with one home rewrote one map, and each lost the other's marks.
#[test]
fn f_h14_two_processes_one_home() {
    let file: HashMap<&str, &str> = HashMap::new();
    let (mut first, mut second) = (file.clone(), file);
    first.insert("a", "by the first");
    second.insert("b", "by the second");
    let [_, file] = [first, second]; // the last one to write
    assert!(!file.contains_key("a"));

    let world = World::new();
    let host = world.host();
    host.session("a")
        .expect("creates")
        .append("mark", "x")
        .expect("appends");
    let second = world.options().open("/host.journal");
    assert!(matches!(second, Err(Error::Locked { .. })));
    // It can read, and it can take over when the first is gone.
    let reader = world
        .options()
        .open_read_only("/host.journal")
        .expect("opens");
    assert_eq!(
        reader
            .sessions()
            .expect("reads")
            .iter()
            .filter(|s| s.id == "a")
            .count(),
        1
    );
    world.kill(host);
    let host = world.host();
    host.session("b")
        .expect("creates")
        .append("mark", "x")
        .expect("appends");
    assert_eq!(texts(&host.find("a").expect("is there"), "mark"), ["x"]);
}

/// The store was busy for seconds, attempts were counted, and the turn was thrown away.
#[test]
fn f_h15_write_lock_patience() {
    let (mut attempts, mut kept) = (0, false);
    let busy_until = 10;
    while attempts < 3 && !kept {
        attempts += 1;
        kept = attempts > busy_until;
    }
    assert!(!kept);

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    world.disk.hold_syncs();
    std::thread::scope(|scope| {
        let (done, told) = mpsc::channel();
        let session = &session;
        scope.spawn(move || done.send(session.append("turn", "kept")));
        // It waits as long as the disk does, and says nothing until it knows.
        assert!(told.recv_timeout(Duration::from_millis(200)).is_err());
        world.disk.release_syncs();
        told.recv().expect("an answer").expect("appends");
    });
    world.power_loss(host, &CrashModel::NOTHING_SURVIVES);
    let session = world.host().find("s").expect("is there");
    assert_eq!(texts(&session, "turn"), ["kept"]);
}

/// A turn that its user had stopped was run again after a crash.
#[test]
fn f_h16_stop_then_crash_continues() {
    let marker_on_disk = Some("s"); // written at the beginning, retired at the end: not by a stop
    let stopped = true;
    assert!(stopped && marker_on_disk.is_some()); // what the next start looks at

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    let mut turn = session.begin(Input::user("q")).expect("begins");
    turn.started().expect("starts");
    turn.cancel("stopped by its user").expect("cancels");
    world.power_loss(host, &CrashModel::HARSHEST);
    let host = world.host();
    assert!(host.open_turns().expect("reads").is_empty());
    assert!(host.pending().expect("reads").is_empty());
}

/// Cleaning up counted as activity, and old sessions came up again.
#[test]
fn f_h17_maintenance_counted_as_activity() {
    struct Session {
        updated_at: u64,
    }
    let mut file = Session { updated_at: 1 };
    let cleanup = |file: &mut Session| file.updated_at = 1_000_000;
    cleanup(&mut file);
    assert_eq!(file.updated_at, 1_000_000);

    let world = World::new();
    let host = world.host();
    let session = host.session("old").expect("creates");
    let mut turn = session.begin(Input::user("q")).expect("begins");
    turn.started().expect("starts");
    let active = session.info().expect("reads").active_ms;
    world.disk.advance_ms(86_400_000);
    let verdicts = session
        .interrupt_idle(Duration::from_secs(3600))
        .expect("judges");
    assert_eq!(verdicts.len(), 1);
    host.compact().expect("compacts");
    host.checkpoint().expect("a snapshot");
    world.kill(host);
    let host = world.host();
    let session = host.find("old").expect("is there");
    assert_eq!(session.info().expect("reads").active_ms, active);
    assert_eq!(
        host.idle_sessions(Duration::from_secs(3600))
            .expect("reads")
            .len(),
        1
    );
}

/// One store had the session and the other not: it could be shown and not be continued.
#[test]
fn f_h18_get_200_post_404() {
    let (rows, sidecars) = (vec!["s"], Vec::<&str>::new());
    assert!(rows.contains(&"s") && !sidecars.contains(&"s"));

    let world = World::new();
    let host = world.host();
    let shows = |host: &Journal| host.sessions().expect("reads").iter().any(|s| s.id == "s");
    let takes = |host: &Journal| host.find("s").is_ok_and(|s| s.append("x", "x").is_ok());
    assert_eq!((shows(&host), takes(&host)), (false, false));
    host.session("s").expect("creates");
    assert_eq!((shows(&host), takes(&host)), (true, true));
    world.kill(host);
    let host = world.host();
    assert_eq!((shows(&host), takes(&host)), (true, true));
    host.find("s").expect("is there").delete().expect("deletes");
    world.power_loss(host, &CrashModel::HARSHEST);
    let host = world.host();
    assert_eq!((shows(&host), takes(&host)), (false, false));
}

/// What running their code showed: pending turns that vanish once a worker starts, prompts that
/// are told by their text, separators inside of text, tears, and clocks that step back.
#[test]
fn f_h19_found_by_running_their_code() {
    // By the latest event with content, and by the text of a prompt.
    let lines = [
        ("submitted", Some("continue"), 2.0_f64),
        ("worker_started", None, 1.0),
    ];
    let latest = lines.last().expect("there are two");
    assert!(latest.1.is_none(), "no content, so no finding");
    let history = ["continue"];
    assert!(
        history.contains(&"continue"),
        "the same words, so no finding"
    );
    let by_clock = lines.iter().max_by(|a, b| a.2.total_cmp(&b.2));
    assert_eq!(
        by_clock.expect("there are two").0,
        "submitted",
        "an older state"
    );
    // By lines of text.
    let text = "separated\u{2028}by\u{85}these";
    let is_end = |c| matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}');
    assert_eq!(text.split(is_end).count(), 3);

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    let done = session
        .begin(Input::user("continue").key("r1"))
        .expect("begins");
    done.complete("ok").expect("completes");
    let mut turn = session
        .begin(Input::user("continue").key("r2"))
        .expect("begins");
    assert!(turn.is_new());
    turn.started().expect("starts");
    turn.event("text", text)
        .expect("appends")
        .wait()
        .expect("is durable");
    world.kill(host);
    let host = world.host();
    // The clock is an hour back; order comes from the journal's own numbers.
    let session = host.find("s").expect("is there");
    let open = host.open_turns().expect("reads");
    assert_eq!((open.len(), open[0].ordinal), (1, 2));
    assert_eq!(texts(&session, "text"), [text]);
    let mut turn = session.turn(open[0].turn).expect("is open");
    turn.retry().expect("a further attempt");
    turn.complete("late").expect("completes");
    let order: Vec<_> = entries(&session).iter().map(|entry| entry.lsn).collect();
    assert!(order.is_sorted());
    assert!(host.open_turns().expect("reads").is_empty());
}
