//! hermes-webui's files, each odd case of which its users' folders are full: nothing is lost,
//! nothing comes back that was deleted, and every oddity has its code.

mod support;

use support::{Bench, codes, refused, report};
use turnkeep::InputStatus;

/// A sidecar as the host writes it: indented by two, the messages behind the metadata.
fn sidecar(id: &str, extra: &str, messages: &[String]) -> String {
    let count = messages.len();
    let messages: Vec<_> = messages.iter().map(|m| format!("    {m}")).collect();
    let messages = match count {
        0 => "[]".to_owned(),
        _ => format!("[\n{}\n  ]", messages.join(",\n")),
    };
    format!(
        "{{\n  \"session_id\": \"{id}\",\n  \"title\": \"Täglich\",\n  \"workspace\": \"/w\",\n  \
         \"updated_at\": 1778458299.0,\n{extra}  \"message_count\": {count},\n  \
         \"anchor_scene_index\": {{}},\n  \"messages\": {messages},\n  \"tool_calls\": [],\n  \
         \"anchor_activity_scenes\": {{}},\n  \"context_messages\": []\n}}"
    )
}

/// `count` questions, each with its answer.
fn dialogue(count: usize) -> Vec<String> {
    let pair = |n: usize| {
        let at = 1_778_458_282 + n * 20;
        [
            format!("{{\"role\": \"user\", \"content\": \"question {n}\", \"timestamp\": {at}}}"),
            format!(
                "{{\"role\": \"assistant\", \"content\": \"answer {n}\", \"timestamp\": {at}.5}}"
            ),
        ]
    };
    (0..count).flat_map(pair).collect()
}

fn submitted(turn: &str, at: &str, content: &str) -> String {
    format!(
        "{{\"event\":\"submitted\",\"stream_id\":\"x\",\"role\":\"user\",\"content\":\"{content}\",\
         \"attachments\":[],\"created_at\":{at},\"version\":1,\"session_id\":\"a1b2c3d4e5f6\",\
         \"turn_id\":\"{turn}\"}}\n"
    )
}

fn event(event: &str, turn: &str, at: &str) -> String {
    format!(
        "{{\"event\":\"{event}\",\"created_at\":{at},\"version\":1,\
         \"session_id\":\"a1b2c3d4e5f6\",\"turn_id\":\"{turn}\"}}\n"
    )
}

const ID: &str = "a1b2c3d4e5f6";

#[test]
fn a_sidecar_becomes_a_session_with_turns_and_comes_back() {
    let bench = Bench::new();
    bench.write("sessions/a1b2c3d4e5f6.json", sidecar(ID, "", &dialogue(3)));
    let imported = bench.import_twice();
    let report = report(&imported, "sessions/a1b2c3d4e5f6.json");
    assert_eq!(
        (report.session.as_str(), report.lines, report.turns),
        (ID, 6, 3)
    );
    assert!(report.findings.is_empty(), "{report:?}");
    let turn = ["turn_submitted", "turn_completed"];
    assert_eq!(bench.turns(ID), [turn, turn, turn].concat());
    bench.assert_comes_back(ID, "sessions/a1b2c3d4e5f6.json");
}

/// The host writes the file anew with each turn: only what is new is added, and export follows.
#[test]
fn a_sidecar_that_grew_adds_its_new_messages_only() {
    let bench = Bench::new();
    for turns in [1, 2, 5] {
        let extra = format!("  \"input_tokens\": {turns},\n");
        bench.write(
            "sessions/a1b2c3d4e5f6.json",
            sidecar(ID, &extra, &dialogue(turns)),
        );
        bench.import_twice();
        bench.assert_comes_back(ID, "sessions/a1b2c3d4e5f6.json");
    }
    assert_eq!(bench.sessions(), [ID]);
    assert_eq!(bench.contents(ID, "user").len(), 5);
    // Its title changed and nothing else.
    let changed = sidecar(ID, "  \"pinned\": true,\n", &dialogue(5));
    bench.write("sessions/a1b2c3d4e5f6.json", &changed);
    let imported = bench.import_twice();
    let report = report(&imported, "sessions/a1b2c3d4e5f6.json");
    assert_eq!((report.lines, report.already_there), (0, 10));
    bench.assert_comes_back(ID, "sessions/a1b2c3d4e5f6.json");
}

/// hermes-webui#1558: a stub with no messages was saved over a thousand of them.
#[test]
fn a_sidecar_without_its_messages_takes_none_away() {
    let bench = Bench::new();
    let file = "sessions/a1b2c3d4e5f6.json";
    bench.write(file, sidecar(ID, "", &dialogue(500)));
    bench.import();
    bench.write(file, sidecar(ID, "  \"read_only\": true,\n", &[]));
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, file), ["document.shorter"]);
    assert_eq!(bench.contents(ID, "assistant").len(), 500);
    // Export gives the file as it is now, and says that there is more.
    let (bytes, written) = bench.export(ID);
    assert!(bytes == bench.read(file));
    assert_eq!(written.later_messages, 1000);
    // It comes back from the backup: the journal has it all already.
    bench.write(file, sidecar(ID, "", &dialogue(500)));
    bench.import_twice();
    assert_eq!(bench.sessions(), [ID]);
    bench.assert_comes_back(ID, file);
}

#[test]
fn a_sidecar_with_no_messages_beside_a_backup_with_them_is_told() {
    let bench = Bench::new();
    bench.write("sessions/a1b2c3d4e5f6.json", sidecar(ID, "", &[]));
    bench.write(
        "sessions/a1b2c3d4e5f6.json.bak",
        sidecar(ID, "", &dialogue(4)),
    );
    let imported = bench.import_twice();
    let file = "sessions/a1b2c3d4e5f6.json.bak";
    assert_eq!(codes(&imported, file), ["hermes.shrunken_live"]);
    // Both are kept, apart: that there are fewer may be what somebody wanted.
    assert_eq!(bench.contents(ID, "user").len(), 0);
    assert_eq!(bench.contents("a1b2c3d4e5f6/bak", "user").len(), 4);
    bench.assert_comes_back("a1b2c3d4e5f6/bak", file);
}

#[test]
fn an_orphan_backup_and_a_torn_backup_are_kept() {
    let bench = Bench::new();
    bench.write(
        "sessions/0000000000aa.json.bak",
        sidecar("0000000000aa", "", &dialogue(2)),
    );
    bench.write(
        "sessions/0000000000bb.json",
        sidecar("0000000000bb", "", &dialogue(1)),
    );
    let torn = sidecar("0000000000bb", "", &dialogue(3));
    bench.write("sessions/0000000000bb.json.bak", &torn[..torn.len() / 2]);
    let imported = bench.import_twice();
    let orphan = codes(&imported, "sessions/0000000000aa.json.bak");
    assert_eq!(orphan, ["hermes.orphan_backup"]);
    let file = "sessions/0000000000bb.json.bak";
    assert_eq!(
        codes(&imported, file),
        ["document.torn", "hermes.damaged_backup"]
    );
    bench.assert_comes_back("quarantine/sessions/0000000000bb.json.bak", file);
}

/// The host's own audit calls a damaged sidecar without a backup well.
#[test]
fn a_damaged_sidecar_is_told_with_and_without_a_backup() {
    let bench = Bench::new();
    for id in ["0000000000aa", "0000000000bb"] {
        let whole = sidecar(id, "", &dialogue(3));
        bench.write(&format!("sessions/{id}.json"), &whole[..whole.len() - 90]);
    }
    bench.write(
        "sessions/0000000000aa.json.bak",
        sidecar("0000000000aa", "", &dialogue(2)),
    );
    let imported = bench.import_twice();
    let with = codes(&imported, "sessions/0000000000aa.json");
    assert_eq!(with, ["document.torn"]);
    let backup = codes(&imported, "sessions/0000000000aa.json.bak");
    assert_eq!(backup, ["hermes.backup_of_damaged"]);
    let without = codes(&imported, "sessions/0000000000bb.json");
    assert_eq!(without, ["document.torn", "hermes.damaged_without_backup"]);
    for id in ["0000000000aa", "0000000000bb"] {
        let file = format!("sessions/{id}.json");
        bench.assert_comes_back(&format!("quarantine/{file}"), &file);
    }
}

#[test]
fn as_many_messages_of_other_words_are_another_session() {
    let bench = Bench::new();
    let file = "sessions/a1b2c3d4e5f6.json";
    bench.write(file, sidecar(ID, "", &dialogue(2)));
    bench.import();
    let other: Vec<_> = dialogue(2)
        .iter()
        .map(|m| m.replace("question", "Frage"))
        .collect();
    bench.write(file, sidecar(ID, "", &other));
    bench.import_twice();
    assert_eq!(bench.sessions(), [ID, "a1b2c3d4e5f6#2"]);
    bench.assert_comes_back("a1b2c3d4e5f6#2", file);
    let (first, _) = bench.export(ID);
    assert!(String::from_utf8_lossy(&first).contains("question 1"));
}

#[test]
fn the_index_is_compared_with_the_files() {
    let bench = Bench::new();
    bench.write(
        "sessions/0000000000aa.json",
        sidecar("0000000000aa", "", &dialogue(1)),
    );
    bench.write(
        "sessions/0000000000bb.json",
        sidecar("0000000000bb", "", &dialogue(1)),
    );
    // A list at its top: the host's own scanner once stumbled over it, for every user.
    let index = r#"[{"session_id":"0000000000aa"},{"session_id":"0000000000cc"},{"odd":1}]"#;
    bench.write("sessions/_index.json", index);
    let imported = bench.import_twice();
    let found = codes(&imported, "sessions/_index.json");
    assert_eq!(
        found,
        ["hermes.index_missing_entry", "hermes.index_missing_file"]
    );
    bench.assert_comes_back("hermes-webui/sessions/_index.json", "sessions/_index.json");
}

#[test]
fn two_names_of_one_session_are_kept_apart() {
    let bench = Bench::new();
    bench.write("sessions/a1b2c3d4e5f6.json", sidecar(ID, "", &dialogue(2)));
    let old = sidecar(ID, "", &dialogue(1));
    bench.write("sessions/session_a1b2c3d4e5f6.json", old);
    let imported = bench.import_twice();
    for file in [
        "sessions/a1b2c3d4e5f6.json",
        "sessions/session_a1b2c3d4e5f6.json",
    ] {
        assert_eq!(codes(&imported, file), ["hermes.two_files_one_session"]);
    }
    bench.assert_comes_back(ID, "sessions/a1b2c3d4e5f6.json");
    bench.assert_comes_back("a1b2c3d4e5f6/core", "sessions/session_a1b2c3d4e5f6.json");
}

#[test]
fn repeated_partials_odd_layouts_and_counts_are_told() {
    let bench = Bench::new();
    let partial = "{\"role\": \"assistant\", \"content\": \"ha\", \"_partial\": true}".to_owned();
    let mut messages = dialogue(1);
    messages.extend([partial.clone(), partial]);
    bench.write(
        "sessions/0000000000aa.json",
        sidecar("0000000000aa", "", &messages),
    );
    let legacy = r#"{"session_id":"0000000000bb","workspace":"/w","anchor_activity_scenes":{},"message_count":7,"messages":[{"role":"user","content":"x"}]}"#;
    bench.write("sessions/0000000000bb.json", legacy);
    let rebuilt = sidecar(
        "0000000000cc",
        "  \"_recovered_from_state_db\": true,\n",
        &[],
    );
    bench.write("sessions/0000000000cc.json", rebuilt);
    bench.write(
        "sessions/0000000000dd.json",
        sidecar("0000000000ee", "", &[]),
    );
    let imported = bench.import_twice();
    let codes = |name: &str| codes(&imported, &format!("sessions/{name}.json"));
    assert_eq!(codes("0000000000aa"), ["hermes.repeated_messages"]);
    assert_eq!(
        codes("0000000000bb"),
        ["hermes.count_differs", "hermes.legacy_layout"]
    );
    assert_eq!(codes("0000000000cc"), ["hermes.rebuilt"]);
    assert_eq!(codes("0000000000dd"), ["hermes.id_differs_from_name"]);
    bench.assert_comes_back("0000000000aa", "sessions/0000000000aa.json");
    bench.assert_comes_back("0000000000bb", "sessions/0000000000bb.json");
    assert_eq!(bench.contents("0000000000aa", "assistant").len(), 3);
}

/// A prompt that the host held while it answered waits in the queue; when the host has worked it
/// off, it does not wait here either.
#[test]
fn a_pending_prompt_waits_until_the_host_has_worked_it_off() {
    let bench = Bench::new();
    let file = "sessions/a1b2c3d4e5f6.json";
    let pending = "  \"active_stream_id\": \"s1\",\n  \"pending_user_message\": \"continue\",\n  \
                   \"pending_started_at\": 1778458300.25,\n";
    bench.write(file, sidecar(ID, pending, &dialogue(1)));
    let imported = bench.import_twice();
    assert_eq!(
        codes(&imported, file),
        ["hermes.active_stream", "hermes.pending_turn"]
    );
    assert_eq!(report(&imported, file).queued, 1);
    let waiting = bench.pending();
    assert_eq!(
        (waiting.len(), waiting[0].class.as_str()),
        (1, "pending_user_message")
    );
    assert_eq!(waiting[0].status, InputStatus::Waiting);
    assert_eq!(bench.contents(ID, "pending_user_message"), ["continue"]);
    bench.write(file, sidecar(ID, "", &dialogue(2)));
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, file), ["queue.worked_off"]);
    assert_eq!(bench.pending(), []);
}

#[test]
fn what_a_save_left_behind_is_kept_and_not_mistaken_for_a_session() {
    let bench = Bench::new();
    bench.write("sessions/a1b2c3d4e5f6.json", sidecar(ID, "", &dialogue(1)));
    let names = [
        "sessions/a1b2c3d4e5f6.tmp.4711.99",
        "sessions/a1b2c3d4e5f6.json.bak.tmp.4711.99",
        "sessions/a1b2c3d4e5f6.json.recover.tmp",
    ];
    for name in names {
        bench.write(name, sidecar(ID, "", &dialogue(2)));
    }
    let imported = bench.import_twice();
    for name in names {
        assert_eq!(codes(&imported, name), ["hermes.leftover"]);
        bench.assert_comes_back(&format!("quarantine/{name}"), name);
    }
    assert_eq!(bench.contents(ID, "user").len(), 1);
}

/// hermes-webui#5498: deleted conversations came back from whatever still had them.
#[test]
fn what_the_host_lists_as_deleted_is_left_out_wherever_it_survives() {
    let bench = Bench::new();
    let gone = "0000000000aa";
    bench.write(
        "sessions/_deleted_webui_sessions.json",
        r#"{"version":1,"ids":["0000000000aa"]}"#,
    );
    bench.write(
        "sessions/0000000000bb.json",
        sidecar("0000000000bb", "", &dialogue(1)),
    );
    bench.write(
        "sessions/0000000000aa.json.bak",
        sidecar(gone, "", &dialogue(2)),
    );
    bench.write(
        "sessions/session_0000000000aa.json",
        sidecar(gone, "", &dialogue(2)),
    );
    let line = submitted("t", "1.0", "private").replace(ID, gone);
    bench.write("sessions/_turn_journal/0000000000aa~7.jsonl", &line);
    bench.write("sessions/_run_journal/0000000000aa/r1.jsonl", &line);
    drop(bench.database(
        "state.db",
        "CREATE TABLE sessions(id TEXT PRIMARY KEY, source TEXT);
         CREATE TABLE messages(id INTEGER PRIMARY KEY, session_id TEXT, role TEXT, content TEXT);
         INSERT INTO sessions VALUES ('0000000000aa','webui'),('0000000000bb','webui');
         INSERT INTO messages VALUES (1,'0000000000aa','user','private'),
           (2,'0000000000bb','user','public');",
    ));
    let imported = bench.import_twice();
    for file in [
        "sessions/0000000000aa.json.bak",
        "sessions/session_0000000000aa.json",
        "sessions/_turn_journal/0000000000aa~7.jsonl",
        "sessions/_run_journal/0000000000aa/r1.jsonl",
    ] {
        assert_eq!(refused(&imported, file), "session.deleted_by_host");
    }
    assert_eq!(codes(&imported, "state.db"), ["session.deleted_by_host"]);
    assert!(
        bench.sessions().iter().all(|id| !id.contains(gone)),
        "{:?}",
        bench.sessions()
    );
    for id in bench.sessions() {
        let entries = bench.entries(&id);
        assert!(
            entries
                .iter()
                .all(|entry| !entry.content.windows(7).any(|w| w == b"private"))
        );
    }
}

#[test]
fn a_full_list_of_deleted_sessions_is_told() {
    let bench = Bench::new();
    let ids: Vec<_> = (0..1000).map(|n| format!("\"{n:012x}\"")).collect();
    let list = format!("{{\"version\":1,\"ids\":[{}]}}", ids.join(","));
    bench.write("sessions/_deleted_webui_sessions.json", list);
    let imported = bench.import_twice();
    let found = codes(&imported, "sessions/_deleted_webui_sessions.json");
    assert_eq!(found, ["hermes.tombstones_full"]);
}

#[test]
fn turn_journals_keep_every_line_whatever_is_wrong_with_it() {
    let bench = Bench::new();
    let torn = &submitted("t2", "2.0", "torn")[..60];
    let whole = [
        submitted("t1", "1.0", "separated\u{2028}and\u{85}so on"),
        event("worker_started", "t1", "1.1"),
        event("completed", "t1", "1.5"),
        "no json at all\n".into(),
        format!("{torn}{}", submitted("t3", "3.0", "after a tear")),
        event("interrupted", "t3", "3.5"),
    ]
    .concat();
    let mut bytes = whole.into_bytes();
    bytes.extend([0; 300]);
    bytes.extend(event("completed", "t9", "9.0").bytes());
    // A tail cut inside a character: the host's reader and its audit both fail at it.
    bytes.extend(b"{\"event\":\"submitted\",\"content\":\"\xF0\x9F");
    let file = "sessions/_turn_journal/a1b2c3d4e5f6~4711.jsonl";
    bench.write(file, &bytes);
    let imported = bench.import_twice();
    let report = report(&imported, file);
    let damage: Vec<_> = report
        .damaged
        .iter()
        .map(|d| (d.line, d.code, d.glued))
        .collect();
    assert_eq!(
        damage,
        [
            (4, "line.not_json", false),
            (5, "line.not_json", true),
            (7, "line.nul", true),
        ]
    );
    assert!(report.partial_bytes > 0);
    let session = "a1b2c3d4e5f6/turns~4711";
    assert_eq!(report.session, session);
    let ends = [
        "turn_submitted",
        "turn_completed",
        "turn_submitted",
        "turn_interrupted",
    ];
    assert_eq!(bench.turns(session), ends);
    bench.assert_comes_back(session, file);
}

#[test]
fn what_no_shard_alone_shows_is_told_of_all_of_them() {
    let bench = Bench::new();
    let shard = |pid: u32| format!("sessions/_turn_journal/a1b2c3d4e5f6~{pid}.jsonl");
    let first = [
        submitted("two-ends", "1.0", "x"),
        event("completed", "two-ends", "2.0"),
        submitted("goes-on", "3.0", "x"),
        event("completed", "goes-on", "4.0"),
        submitted("open", "5.0", "x"),
        submitted("iso", "\"2026-05-11T00:11:22Z\"", "x"),
        event("completed", "iso", "\"2026-05-11T00:11:23Z\""),
        submitted("equal", "6.0", "x"),
    ];
    let second = [
        event("interrupted", "two-ends", "2.5"),
        event("assistant_started", "goes-on", "4.5"),
        event("interrupted", "no-begin", "5.5"),
        event("completed", "equal", "6.0"),
    ];
    bench.write(&shard(11), first.concat());
    bench.write(&shard(12), second.concat());
    // The layout before there were shards.
    bench.write(
        "sessions/_turn_journal/a1b2c3d4e5f6.jsonl",
        submitted("old", "0.5", "x"),
    );
    let imported = bench.import_twice();
    let found = codes(&imported, "sessions/_turn_journal/a1b2c3d4e5f6.jsonl");
    assert_eq!(
        found,
        [
            "hermes.end_without_submit",
            "hermes.equal_times",
            "hermes.event_after_terminal",
            "hermes.time_not_a_number",
            "hermes.two_terminals",
            "hermes.unfinished_turn",
        ]
    );
    bench.assert_comes_back("a1b2c3d4e5f6/turns~11", &shard(11));
    bench.assert_comes_back(
        "a1b2c3d4e5f6/turns~legacy",
        "sessions/_turn_journal/a1b2c3d4e5f6.jsonl",
    );
}

#[test]
fn ids_that_are_no_file_names_are_ids() {
    let bench = Bench::new();
    bench.write(
        "sessions/_turn_journal/..~7.jsonl",
        submitted("t", "1.0", "x"),
    );
    bench.write(
        "sessions/_turn_journal/.~7.jsonl",
        submitted("t", "1.0", "x"),
    );
    bench.import_twice();
    bench.assert_comes_back("../turns~7", "sessions/_turn_journal/..~7.jsonl");
    bench.assert_comes_back("./turns~7", "sessions/_turn_journal/.~7.jsonl");
}

#[test]
fn a_run_is_kept_with_its_twice_given_number() {
    let bench = Bench::new();
    let line = |seq: u32, event: &str| {
        format!(
            "{{\"version\":1,\"event_id\":\"r1:{seq}\",\"seq\":{seq},\"run_id\":\"r1\",\
             \"session_id\":\"{ID}\",\"event\":\"{event}\",\"created_at\":1.5,\"terminal\":false,\
             \"payload\":{{\"text\":\"x\"}}}}\n"
        )
    };
    let torn = &line(2, "token")[..40];
    let bytes = [
        &line(1, "token")[..],
        torn,
        &line(2, "token"),
        &line(3, "done"),
    ]
    .concat();
    let file = "sessions/_run_journal/a1b2c3d4e5f6/r1.jsonl";
    bench.write(file, bytes);
    let imported = bench.import_twice();
    let report = report(&imported, file);
    assert_eq!((report.lines, report.damaged_lines()), (3, 1));
    assert!(report.damaged[0].glued);
    bench.assert_comes_back("a1b2c3d4e5f6/runs/r1", file);
}

#[test]
fn state_db_of_any_version_gives_its_rows() {
    let bench = Bench::new();
    drop(bench.database(
        "oldest/state.db",
        "CREATE TABLE sessions(id TEXT PRIMARY KEY); INSERT INTO sessions VALUES ('x1');",
    ));
    drop(bench.database(
        "now/state.db",
        "CREATE TABLE schema_version(version INTEGER NOT NULL); INSERT INTO schema_version VALUES (41);
         CREATE TABLE sessions(id TEXT PRIMARY KEY, source TEXT NOT NULL, title TEXT, hidden INTEGER);
         CREATE TABLE messages(id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,
           role TEXT NOT NULL, content TEXT, tool_calls TEXT, timestamp REAL NOT NULL, display_identity BLOB);
         CREATE VIRTUAL TABLE messages_fts USING fts5(content);
         INSERT INTO sessions VALUES ('s1','cli',NULL,0);
         INSERT INTO messages(session_id,role,content,timestamp,display_identity) VALUES
           ('s1','user','hi',1.5,x'00ff'),('s1','assistant','hello',2.5,NULL),
           ('s2','user','no session row',3.5,NULL);
         CREATE TABLE future_table(a, b); INSERT INTO future_table VALUES (1, 'kept');",
    ));
    drop(bench.database("empty/state.db", ""));
    let imported = bench.import_twice();
    let report = report(&imported, "now/state.db");
    assert_eq!(report.sessions, Some(2));
    assert_eq!(
        codes(&imported, "now/state.db"),
        ["hermes.state_db_missing_sidecar"]
    );
    assert_eq!(
        bench.turns("s1/state.db"),
        ["turn_submitted", "turn_completed"]
    );
    let messages = bench.contents("s1/state.db", "messages");
    assert!(
        messages[0].contains(r#""display_identity":{"$blob":"00ff"}"#),
        "{}",
        messages[0]
    );
    assert_eq!(bench.contents("s2/state.db", "messages").len(), 1);
    assert_eq!(
        bench.contents("x1/state.db", "sessions"),
        [r#"{"id":"x1"}"#]
    );
    let rest = bench.contents("state.db/tables", "future_table");
    assert_eq!(rest, [r#"{"a":1,"b":"kept"}"#]);
}

#[test]
fn a_locked_state_db_with_a_log_is_read_and_followed() {
    let bench = Bench::new();
    let host = bench.database(
        "state.db",
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
         CREATE TABLE sessions(id TEXT PRIMARY KEY, title TEXT);
         CREATE TABLE messages(id INTEGER PRIMARY KEY, session_id TEXT, role TEXT, content TEXT, timestamp REAL);
         INSERT INTO sessions VALUES ('s','one'); INSERT INTO messages VALUES (1,'s','user','a',1.0);",
    );
    host.execute_batch("BEGIN IMMEDIATE; INSERT INTO messages VALUES (2,'s','user','open',2.0);")
        .expect("locks");
    bench.import_twice();
    assert_eq!(bench.contents("s/state.db", "messages").len(), 1);
    host.execute_batch("COMMIT; UPDATE sessions SET title='two'; DELETE FROM messages WHERE id=1;")
        .expect("writes");
    let imported = bench.import_twice();
    // The new row, and the one that changed; a deleted one is not taken away.
    assert_eq!(report(&imported, "state.db").lines, 2);
    assert_eq!(bench.contents("s/state.db", "messages").len(), 2);
    assert_eq!(bench.contents("s/state.db", "sessions").len(), 2);
}

#[test]
fn a_damaged_state_db_gives_what_can_be_read_and_is_kept_whole() {
    let bench = Bench::new();
    drop(bench.database(
        "state.db",
        "CREATE TABLE sessions(id TEXT PRIMARY KEY);
         CREATE TABLE messages(id INTEGER PRIMARY KEY, session_id TEXT, role TEXT, content TEXT, timestamp REAL);
         INSERT INTO sessions VALUES ('s');
         WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT 2000)
           INSERT INTO messages SELECT x, 's', 'user', hex(randomblob(100)), x FROM n;",
    ));
    let mut bytes = bench.read("state.db");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xA5);
    bench.write("state.db", &bytes);
    bench.write(
        "not-one/state.db",
        [&b"SQLite format 3\0"[..], &[7; 900]].concat(),
    );
    let imported = bench.import_twice();
    for file in ["state.db", "not-one/state.db"] {
        assert!(
            codes(&imported, file).contains(&"database.damaged"),
            "{file}"
        );
        bench.assert_comes_back(&format!("quarantine/{file}"), file);
    }
}
