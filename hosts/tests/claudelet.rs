//! claudelet's sessions, queues and what lies around them, with each oddity that its users'
//! folders hold: nothing is lost, nothing that is a secret is taken.

mod support;

use support::{Bench, codes, refused, report};
use turnkeep::InputStatus;
use turnkeep_hosts::detect::Host;

/// A session as the host writes it.
fn session(id: &str, extra: &str, messages: &[&str]) -> String {
    format!(
        "{{\"sessionId\":\"{id}\",\"createdAt\":\"2025-12-16T14:30:00.000Z\",\
         \"updatedAt\":\"2025-12-16T14:31:00.000Z\",\"model\":\"fast\",\
         \"workingDirectory\":\"/p\",\"messages\":[{}],\"inputTokens\":0,\"outputTokens\":0{extra}}}",
        messages.join(",")
    )
}

const ACTIVE: &str = ",\"status\":\"active\"";
const ASK: &str = r#"{"role":"user","content":"hi","timestamp":"2025-12-16T14:30:01.000Z"}"#;
const TOOL: &str = r#"{"role":"tool","content":"ran","timestamp":"2025-12-16T14:30:02.000Z","toolName":"Read","toolInput":{"path":"x"},"toolResult":"…"}"#;
const ANSWER: &str =
    r#"{"role":"assistant","content":"hello","timestamp":"2025-12-16T14:30:03.000Z"}"#;

const FILE: &str = ".claudelet/sessions/2025-12-16_14-30_session-.json";
const ID: &str = "session-1765895400000-abc123";

#[test]
fn a_session_becomes_turns_and_comes_back() {
    let bench = Bench::new();
    let agents = r#","status":"completed","subAgents":[{"id":"a1","model":"smart-sonnet","status":"done","liveOutput":"…"}]"#;
    bench.write(FILE, session(ID, agents, &[ASK, TOOL, ANSWER]));
    let imported = bench.import_twice();
    let report = report(&imported, FILE);
    assert!(report.findings.is_empty(), "{report:?}");
    assert_eq!(
        (report.session.as_str(), report.lines, report.turns),
        (ID, 3, 1)
    );
    assert_eq!(bench.turns(ID), ["turn_submitted", "turn_completed"]);
    assert_eq!(bench.contents(ID, "tool"), [TOOL]);
    bench.assert_comes_back(ID, FILE);
}

/// Generated ids all begin with `session-`, so two sessions of one minute want one file name.
/// The id in the file decides, and the second one is no state of the first.
#[test]
fn two_sessions_of_one_minute_are_two() {
    let bench = Bench::new();
    bench.write(FILE, session(ID, ACTIVE, &[ASK, ANSWER]));
    bench.import_twice();
    let other = "session-1765895410000-def456";
    bench.write(FILE, session(other, ACTIVE, &[ASK, TOOL]));
    bench.import_twice();
    assert_eq!(bench.sessions(), [ID, other]);
    bench.assert_comes_back(other, FILE);
    let (first, _) = bench.export(ID);
    assert_eq!(
        String::from_utf8_lossy(&first),
        session(ID, ACTIVE, &[ASK, ANSWER])
    );
}

/// A save writes the whole file; a stale one writes an older state over a newer.
#[test]
fn a_stale_save_takes_nothing_away() {
    let bench = Bench::new();
    let long = [ASK, ANSWER, ASK, TOOL, ANSWER];
    bench.write(FILE, session(ID, ACTIVE, &long));
    bench.import();
    bench.write(FILE, session(ID, ACTIVE, &long[..2]));
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, FILE), ["document.shorter"]);
    assert_eq!(bench.contents(ID, "assistant").len(), 2);
    let (_, written) = bench.export(ID);
    assert_eq!(written.later_messages, 3);
    // The file as it was before is known, and says nothing new.
    bench.write(FILE, session(ID, ACTIVE, &long));
    let imported = bench.import_twice();
    assert!(report(&imported, FILE).findings.is_empty());
    bench.assert_comes_back(ID, FILE);
}

#[test]
fn oddities_of_a_session_have_their_codes() {
    let bench = Bench::new();
    let empty = r#"{"role":"tool","content":"","timestamp":"t","toolName":"Read"}"#;
    let file = ".claudelet/sessions/2025-12-16_14-30_otherone.json";
    bench.write(file, session(ID, "", &[ASK, empty]));
    let imported = bench.import_twice();
    assert_eq!(
        codes(&imported, file),
        [
            "claudelet.empty_content",
            "claudelet.id_differs_from_name",
            "claudelet.no_status"
        ]
    );
    // What the host's own guide would have called damaged is a session like others.
    assert_eq!(bench.contents(ID, "tool"), [empty]);
    bench.assert_comes_back(ID, file);
}

#[test]
fn torn_files_leftovers_and_what_was_set_aside_are_kept_as_they_are() {
    let bench = Bench::new();
    let whole = session(ID, ACTIVE, &[ASK, TOOL, ANSWER]);
    let cases = [
        (FILE.to_owned(), "document.torn", &whole[..whole.len() - 40]),
        (format!("{FILE}.tmp"), "claudelet.leftover", &whole[..99]),
        (
            format!("{FILE}.corrupted"),
            "claudelet.set_aside",
            &whole[..50],
        ),
    ];
    for (file, _, bytes) in &cases {
        bench.write(file, bytes);
    }
    let imported = bench.import_twice();
    for (file, code, _) in &cases {
        assert_eq!(codes(&imported, file), [*code], "{file}");
        bench.assert_comes_back(&format!("quarantine/{file}"), file);
    }
    // The torn file is saved whole: a session beside what was kept of the torn one.
    bench.write(FILE, &whole);
    bench.import_twice();
    bench.assert_comes_back(ID, FILE);
    let (kept, _) = bench.export(&format!("quarantine/{FILE}"));
    assert_eq!(kept, cases[0].2.as_bytes());
}

#[test]
fn the_queue_waits_here_in_its_order_until_the_host_has_worked_it_off() {
    let bench = Bench::new();
    let file = ".claudelet/queues/session-1.json";
    let item = |id: &str, text: &str, priority: &str| {
        format!(
            r#"{{"id":"{id}","text":"{text}","priority":"{priority}","addedAt":"2025-12-16T14:30:00.000Z"}}"#
        )
    };
    let items = [
        item("msg-1", "first", "normal"),
        item("msg-2", "then", "normal"),
        item("msg-3", "at once", "urgent"),
        item("msg-4", "some day", "todo"),
    ];
    bench.write(file, format!("[{}]", items.join(",")));
    bench.import_twice();
    let pending = bench.pending();
    assert!(pending.iter().all(|p| p.status == InputStatus::Waiting));
    assert_eq!(bench.claimed(4), ["at once", "first", "then", "some day"]);
    bench.assert_comes_back("session-1/queue", file);
    bench.write(file, format!("[{}]", items[1..2].join(",")));
    let imported = bench.import_twice();
    assert_eq!(
        codes(&imported, file),
        ["queue.worked_off", "queue.worked_off", "queue.worked_off"]
    );
    assert_eq!(bench.pending().len(), 1);
    bench.assert_comes_back("session-1/queue", file);
}

/// The guide keeps the queue inside of the session as well.
#[test]
fn pending_messages_of_a_session_are_queued_but_not_those_of_its_backups() {
    let bench = Bench::new();
    let pending = |id: &str| {
        format!(
            ",\"status\":\"active\",\"pendingMessages\":[{{\"id\":\"{id}\",\"text\":\"next\",\
             \"priority\":\"urgent\",\"addedAt\":\"t\"}}]"
        )
    };
    bench.write(FILE, session(ID, &pending("msg-2"), &[ASK, ANSWER]));
    let backup = ".claudelet/backups/daily/2025-12-15/2025-12-16_14-30_session-.json";
    bench.write(backup, session(ID, &pending("msg-1"), &[ASK]));
    let imported = bench.import_twice();
    assert_eq!(report(&imported, FILE).queued, 1);
    assert_eq!(report(&imported, backup).queued, 0);
    let waiting = bench.pending();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].session, ID);
    // A backup is an earlier state of the same session, and adds none of its messages again.
    assert_eq!(bench.sessions(), [ID]);
    assert_eq!(bench.contents(ID, "user").len(), 1);
    bench.assert_comes_back(ID, FILE);
}

/// A backup alone is the session.
#[test]
fn a_backup_without_its_session_is_imported_and_then_continued() {
    let bench = Bench::new();
    let backup = ".claudelet/backups/daily/2025-12-15/2025-12-16_14-30_session-.json";
    bench.write(backup, session(ID, ACTIVE, &[ASK]));
    bench.import_twice();
    bench.assert_comes_back(ID, backup);
    bench.write(FILE, session(ID, ACTIVE, &[ASK, ANSWER]));
    bench.import_twice();
    assert_eq!(bench.sessions(), [ID]);
    bench.assert_comes_back(ID, FILE);
}

#[test]
fn keys_tokens_and_locks_are_left_alone_and_their_bytes_are_nowhere() {
    let mut bench = Bench::new();
    bench.write(FILE, session(ID, ACTIVE, &[ASK]));
    let token = r#"{"type":"oauth","oauthTokens":{"type":"oauth","refresh":"s3cret-r","access":"s3cret-a","expires":0}}"#;
    let secrets = [
        (".claude-agent-auth.json", "host.credentials", token),
        (
            ".claude-agent-key",
            "host.credentials",
            "s3cret-key-of-32-bytes-and-more",
        ),
        (".claudelet/.lock_session-1", "host.lock_file", "4711"),
    ];
    for (file, _, bytes) in secrets {
        bench.write(file, bytes);
    }
    // Also when the folder is said to be of another host, which takes every document for its own.
    for from in [None, Some(Host::Agenthive), Some(Host::Claudelet)] {
        bench.from = from;
        let imported = bench.import_twice();
        for (file, code, _) in secrets {
            assert_eq!(refused(&imported, file), code);
        }
    }
    assert!(bench.journal_holds(ASK.as_bytes()));
    assert!(!bench.journal_holds(b"s3cret"));
}

#[test]
fn the_recovery_log_and_the_todo_list_are_kept() {
    let bench = Bench::new();
    bench.write(FILE, session(ID, ACTIVE, &[ASK]));
    let log = ".claudelet/recovery/transaction.log";
    bench.write(log, "begin 1\ncommit 1\nbegin 2");
    let todos = ".claudelet/.todos.md";
    bench.write(todos, "- [ ] write it down (2025-12-16T14:30:00.000Z)\n");
    let imported = bench.import_twice();
    bench.assert_comes_back(&format!("claudelet/{log}"), log);
    assert_eq!(report(&imported, todos).lines, 1);
    bench.assert_comes_back(&format!("claudelet/{todos}"), todos);
}
