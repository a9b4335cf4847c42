//! Transcripts of Claude Code, Codex and Copilot: F-T1 to F-T12.

use super::support::{Bench, report};
use super::world::{World, entries, texts};
use std::collections::HashMap;
use turnkeep::sim::{CrashModel, OpKind};
use turnkeep::{Error, Input, InputStatus};

const ID: &str = "0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01";

fn line(uuid: &str, role: &str) -> String {
    format!(
        "{{\"type\":\"{role}\",\"sessionId\":\"{ID}\",\"uuid\":\"{uuid}\",\"message\":\
         {{\"role\":\"{role}\",\"content\":\"{uuid}\"}}}}\n"
    )
}

/// A reader in the hosts' manner: line by line, until one is no JSON.
fn read_until_damage(bytes: &[u8]) -> usize {
    let lines = bytes.split(|byte| *byte == b'\n');
    let good = lines.take_while(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok());
    good.count()
}

/// A torn line, and everything behind it was not shown any more.
#[test]
fn f_t1_torn_tail_hides_everything() {
    let torn = &line("torn", "assistant")[..40];
    let file = [
        line("q1", "user"),
        format!("{torn}\n"),
        line("a1", "assistant"),
        line("q2", "user"),
        line("a2", "assistant"),
    ]
    .concat();
    assert_eq!(read_until_damage(file.as_bytes()), 1);

    let bench = Bench::new();
    let name = format!("{ID}.jsonl");
    bench.write(&name, &file);
    let imported = bench.import_twice();
    assert_eq!(
        (
            report(&imported, &name).lines,
            report(&imported, &name).turns
        ),
        (5, 2)
    );
    bench.assert_comes_back(ID, &name);
    // The journal's own tail, torn in the middle of a write: what was acknowledged is there, and
    // what is written afterwards too.
    for seed in 0..40 {
        let world = World::seeded(seed);
        let host = world.host();
        let session = host.session("s").expect("creates");
        session.append("line", "acknowledged").expect("appends");
        world.disk.arm_power_loss(seed % 3);
        let torn = session.append("line", "x".repeat(9000)).is_err();
        world.power_loss(host, &CrashModel::HARSHEST);
        let host = world.host();
        let session = host.find("s").expect("is there");
        session.append("line", "after").expect("appends");
        let lines = texts(&session, "line");
        assert_eq!(lines[0], "acknowledged");
        assert_eq!(lines.last().map(String::as_str), Some("after"));
        assert!(torn || lines.len() == 3, "seed {seed}");
    }
}

/// The next append stood on the torn line, and both were lost.
#[test]
fn f_t2_torn_and_next_append_concatenated() {
    let world = World::new();
    world.append_file("/t.jsonl", line("a", "user").as_bytes());
    world.append_file("/t.jsonl", &line("b", "assistant").as_bytes()[..50]); // killed here
    world.append_file("/t.jsonl", line("c", "user").as_bytes());
    let file = world.read_file("/t.jsonl");
    assert_eq!(read_until_damage(&file), 1);

    let bench = Bench::new();
    let name = format!("{ID}.jsonl");
    bench.write(&name, &file);
    let imported = bench.import_twice();
    let damaged = &report(&imported, &name).damaged;
    assert_eq!((damaged.len(), damaged[0].glued), (1, true));
    // The prompt that was glued to the torn line is a turn as it should be.
    assert_eq!(report(&imported, &name).turns, 2);
    bench.assert_comes_back(ID, &name);
}

/// After a power cut files had runs of NUL: they had grown without their data.
#[test]
fn f_t3_nul_runs_after_power_loss() {
    let mut harm = 0;
    for seed in 0..60 {
        let world = World::seeded(seed);
        world
            .disk
            .write_file("/t.jsonl", line("old", "user").as_bytes())
            .expect("writes");
        let host = world.host();
        let session = host.session("s").expect("creates");
        for n in 0..30 {
            let text = line(&format!("{n:0>200}"), "assistant");
            world.append_file("/t.jsonl", text.as_bytes());
            session.append("line", text).expect("appends");
        }
        world.power_loss(host, &CrashModel::HARSHEST);
        let whole = read_until_damage(&world.read_file("/t.jsonl"));
        harm += usize::from(whole < 31);
        let session = world.host().find("s").expect("is there");
        let kept = texts(&session, "line");
        assert_eq!(kept.len(), 30, "seed {seed}");
        assert!(kept.iter().all(|text| !text.contains('\0')));
    }
    assert!(harm > 30, "{harm} of 60");
    // A file that already has them is imported around them.
    let bench = Bench::new();
    let name = format!("{ID}.jsonl");
    let file = [
        line("q", "user").as_bytes(),
        &[0; 700],
        line("a", "assistant").as_bytes(),
    ]
    .concat();
    bench.write(&name, &file);
    let imported = bench.import_twice();
    assert_eq!(report(&imported, &name).damaged[0].code, "line.nul");
    assert!(report(&imported, &name).damaged[0].glued);
    bench.assert_comes_back(ID, &name);
}

/// Parts of one process wrote one file without knowing of each other: spliced and missing lines.
#[test]
fn f_t4_unsynchronised_writers() {
    // Both took the end of the file before either wrote.
    let (a, b) = (line("aaaa", "user"), line("bb", "assistant"));
    let end = 0;
    let mut file = vec![0; a.len().max(b.len())];
    file[end..end + a.len()].copy_from_slice(a.as_bytes());
    file[end..end + b.len()].copy_from_slice(b.as_bytes());
    assert!(read_until_damage(&file) < 2);

    let world = World::new();
    let host = world.host();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let session = host.session("s").expect("creates");
            scope.spawn(move || {
                for n in 0..100 {
                    let text = format!("{writer}.{n} {}", "x".repeat(n * 37));
                    drop(session.submit("line", text).expect("submits"));
                }
            });
        }
    });
    host.sync().expect("syncs");
    world.power_loss(host, &CrashModel::HARSHEST);
    let lines = texts(&world.host().find("s").expect("is there"), "line");
    assert_eq!(lines.len(), 800);
    for writer in 0..8 {
        let own = lines
            .iter()
            .filter(|line| line.starts_with(&format!("{writer}.")));
        // Each writer's own order is kept.
        let numbers = own.map(|line| {
            line.split([' ', '.'])
                .nth(1)
                .and_then(|n| n.parse::<u32>().ok())
        });
        assert!(numbers.is_sorted());
    }
}

/// History was a list of links, of which one led to a line that was never written.
#[test]
fn f_t5_phantom_parents() {
    let parents = HashMap::from([("d", "c"), ("c", "never written"), ("b", "a")]);
    let mut history = vec!["d"];
    while let Some(parent) = history.last().and_then(|node| parents.get(node)) {
        history.push(parent);
    }
    assert!(!history.contains(&"a"));

    // Order is the order of the records; a link that leads nowhere hides none.
    let bench = Bench::new();
    let name = format!("{ID}.jsonl");
    let linked = |uuid: &str, parent: &str, role: &str| {
        line(uuid, role).replacen('{', &format!("{{\"parentUuid\":\"{parent}\","), 1)
    };
    let file = [
        linked("a", "", "user"),
        linked("b", "a", "assistant"),
        linked("c", "never written", "user"),
        linked("d", "c", "assistant"),
    ];
    bench.write(&name, file.concat());
    let imported = bench.import_twice();
    assert_eq!(report(&imported, &name).turns, 2);
    let held: Vec<_> = bench
        .entries(ID)
        .into_iter()
        .filter(|e| !e.extra.is_empty())
        .collect();
    assert_eq!(held.len(), 4);
    bench.assert_comes_back(ID, &name);
}

/// Writing failed, nobody was told, and ten days were lost while the session seemed to work.
#[test]
fn f_t6_silent_stop_of_persistence() {
    let write = |_: &str| -> Result<(), &str> { Err("disk") };
    let shown: Vec<&str> = ["one", "two"]
        .into_iter()
        .inspect(|text| {
            let _ = write(text);
        })
        .collect();
    assert_eq!(shown.len(), 2);

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    session.append("line", "before").expect("appends");
    world
        .disk
        .fail_nth(OpKind::SyncData, 1, std::io::ErrorKind::Other, false);
    assert!(session.append("line", "not acknowledged").is_err());
    // From then on everything says so, also what has nothing to do with that line.
    assert!(matches!(
        session.append("line", "later"),
        Err(Error::Poisoned { .. })
    ));
    assert!(matches!(
        host.session("other").map(drop),
        Err(Error::Poisoned { .. })
    ));
    assert!(host.sync().is_err());
    world.power_loss(host, &CrashModel::NOTHING_SURVIVES);
    let session = world.host().find("s").expect("is there");
    assert_eq!(texts(&session, "line")[0], "before");
    session.append("line", "goes on").expect("appends");
}

/// Opening a session to resume it wrote its file anew, from nothing.
#[test]
fn f_t7_truncated_on_open() {
    let mut file = vec!["turn"; 52];
    let open = |file: &mut Vec<&str>| file.clear();
    open(&mut file);
    assert!(file.is_empty());

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    for n in 0..52 {
        let turn = session.begin(Input::user(format!("q{n}"))).expect("begins");
        turn.complete("a").expect("completes");
    }
    world.kill(host);
    for _ in 0..10 {
        let host = world.host();
        let session = host.session("s").expect("opens");
        assert_eq!(session.info().expect("reads").turns, 52);
        world.kill(host);
    }
    // To create is another word, and refused.
    let host = world.host();
    assert!(matches!(
        host.create_session("s"),
        Err(Error::SessionExists { .. })
    ));
}

/// Files were removed by their age, without a word, and the index still named them.
#[test]
fn f_t8_silent_retention_delete() {
    let mut files = HashMap::from([("old", 60), ("new", 1)]);
    let index = ["old", "new"];
    files.retain(|_, days| *days < 30);
    let ghosts = index.iter().filter(|name| !files.contains_key(*name));
    assert_eq!(ghosts.count(), 1);

    let world = World::new();
    let host = world.host();
    let session = host.session("old").expect("creates");
    session.append("line", "kept").expect("appends");
    for _ in 0..12 {
        world.disk.advance_ms(30 * 86_400_000);
        host.compact().expect("compacts");
        host.checkpoint().expect("a snapshot");
    }
    host.close().expect("closes");
    let host = world.host();
    assert_eq!(
        texts(&host.find("old").expect("is there"), "line"),
        ["kept"]
    );
    // What is deleted by somebody's word is in no list either.
    host.find("old")
        .expect("is there")
        .delete()
        .expect("deletes");
    assert!(
        host.sessions()
            .expect("reads")
            .iter()
            .all(|info| info.id != "old")
    );
    assert!(matches!(
        host.find("old"),
        Err(Error::SessionDeleted { .. })
    ));
}

/// On a full disk settings were truncated before they were written: nothing was left.
#[test]
fn f_t9_disk_full() {
    let (mut file, room) = (b"settings and keys".to_vec(), 0);
    file.clear();
    file.extend(&b"settings and keys"[..room]);
    assert!(file.is_empty());

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    session.put("settings", "keys").expect("puts");
    world.disk.set_capacity(world.disk.used_bytes());
    let mut taken = 0;
    let full = loop {
        match session.append("line", vec![b'x'; 200_000]) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 10_000);
    };
    assert!(matches!(full, Error::NoSpace { .. }), "{full:?}");
    assert_eq!(
        session.get("settings").expect("reads"),
        Some(b"keys".to_vec())
    );
    // There is room again: it goes on, and nothing that was acknowledged is gone.
    world.disk.set_capacity(None);
    session.append("line", "after").expect("appends");
    world.power_loss(host, &CrashModel::HARSHEST);
    let session = world.host().find("s").expect("is there");
    assert_eq!(
        entries(&session)
            .iter()
            .filter(|e| e.name == "line")
            .count(),
        taken + 1
    );
    assert_eq!(
        session.get("settings").expect("reads"),
        Some(b"keys".to_vec())
    );
}

/// A byte order mark, a line end inside of a string, a NUL in a tool's output: each broke every
/// later reading.
#[test]
fn f_t11_encoding() {
    let texts_of_users = [
        "\u{FEFF}bom",
        "two\nlines",
        "nul\0inside",
        "\u{2028}",
        "\u{7f}\u{85}",
    ];
    let naive = texts_of_users
        .map(|text| format!("{{\"text\":\"{text}\"}}\n"))
        .concat();
    assert!(read_until_damage(naive.as_bytes()) < texts_of_users.len());

    let world = World::new();
    let host = world.host();
    let session = host.session("s").expect("creates");
    for text in texts_of_users {
        session.append("text", text).expect("appends");
    }
    session
        .append("bytes", [0xFF, 0xFE, 0, b'\n'])
        .expect("appends");
    world.power_loss(host, &CrashModel::HARSHEST);
    let session = world.host().find("s").expect("is there");
    assert_eq!(texts(&session, "text"), texts_of_users);
    assert_eq!(
        session.last(1).expect("reads")[0].content,
        [0xFF, 0xFE, 0, b'\n']
    );
}

/// It crashed when a prompt was queued, and the session was in no list any more.
#[test]
fn f_t12_crash_at_enqueue_vanishes_from_the_list() {
    let mut list: Vec<&str> = Vec::new();
    let at_exit = |list: &mut Vec<&str>| list.push("s");
    let crashed = true;
    if !crashed {
        at_exit(&mut list);
    }
    assert!(list.is_empty());

    for after_ops in 0..12 {
        let world = World::new();
        let host = world.host();
        let session = host.session("s").expect("creates");
        host.sync().expect("syncs");
        world.disk.arm_power_loss(after_ops);
        let queued = session.enqueue(Input::user("a prompt").key("p1")).is_ok();
        world.power_loss(host, &CrashModel::HARSHEST);
        let host = world.host();
        assert!(
            host.sessions()
                .expect("reads")
                .iter()
                .any(|info| info.id == "s")
        );
        let pending = host.pending().expect("reads");
        assert!(!queued || pending.len() == 1, "after {after_ops}");
        assert!(
            pending
                .iter()
                .all(|input| input.status == InputStatus::Waiting)
        );
        // Asked again, as its user would: once.
        let session = host.find("s").expect("is there");
        session
            .enqueue(Input::user("a prompt").key("p1"))
            .expect("queues");
        assert_eq!(host.pending().expect("reads").len(), 1);
    }
}

/// A line of thirteen million characters, read nine times over, took twelve gigabytes.
#[test]
fn f_t10_size() {
    let long = line(&"x".repeat(6_400_000), "assistant");
    let file = [line("q", "user"), long, line("q2", "user")].concat();
    let objects: Vec<serde_json::Value> = file
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let held: usize = objects.iter().map(|value| value.to_string().len()).sum();
    assert!(held >= 12_800_000); // all of it, whatever is asked for

    // It is one record among others, and what is asked for is read, not the whole. What a whole
    // import takes is measured in cli/tests/bounded.rs.
    let bench = Bench::new();
    let name = format!("{ID}.jsonl");
    bench.write(&name, &file);
    let imported = bench.import_twice();
    assert_eq!(report(&imported, &name).damaged_lines(), 0);
    bench.assert_comes_back(ID, &name);
    let session = bench.journal().find(ID).expect("is there");
    let last = session.last_turns(1).expect("reads");
    assert!(last.iter().all(|entry| entry.content.len() < 1000));
}
