//! claude-mem's database, in the variants that it had: every row of every table comes in and
//! comes back, what waited waits, and the host's files stay as they are.

mod support;

use support::{Bench, codes, refused, report};
use turnkeep::InputStatus;

const NOW: &str = include_str!("databases/claude_mem_now.sql");
const OCTOBER_2025: &str = include_str!("databases/claude_mem_october_2025.sql");
const JANUARY_2026: &str = include_str!("databases/claude_mem_january_2026.sql");

const FILE: &str = ".claude-mem/claude-mem.db";

#[test]
fn the_database_of_today_becomes_sessions_with_turns_and_comes_back() {
    let bench = Bench::new();
    drop(bench.database(FILE, NOW));
    let imported = bench.import_twice();
    let report = report(&imported, FILE);
    assert_eq!(
        codes(&imported, FILE),
        [
            "claude_mem.made_up_hash",
            "claude_mem.no_memory_session",
            "claude_mem.stuck_message",
            "claude_mem.sync_rev_real",
            "claude_mem.unknown_project",
            "row.orphan",
        ]
    );
    assert_eq!((report.sessions, report.turns), (Some(3), 3));
    // Observations and summaries know claude-mem's own id alone, and are led to the agent's.
    let session = "c-1/claude-mem";
    assert_eq!(bench.contents(session, "observations").len(), 2);
    assert_eq!(bench.contents(session, "session_summaries").len(), 2);
    assert_eq!(
        bench.turns(session),
        [
            "turn_submitted",
            "turn_completed",
            "turn_submitted",
            "turn_completed"
        ]
    );
    let lost = bench.contents("m-9/claude-mem", "observations");
    assert!(lost[0].contains("nobody knows whose"), "{lost:?}");
    bench.assert_rows_come_back(FILE);
}

/// Durable queues of this host lost what a worker had claimed and never finished.
#[test]
fn what_waited_in_the_queue_waits_and_what_was_claimed_waits_again() {
    let bench = Bench::new();
    drop(bench.database(FILE, NOW));
    bench.import_twice();
    let pending = bench.pending();
    let classes: Vec<_> = pending.iter().map(|p| p.class.as_str()).collect();
    assert_eq!(classes, ["observation", "summarize"]);
    assert!(pending.iter().all(|p| p.status == InputStatus::Waiting));
    assert!(pending.iter().all(|p| p.session == "c-2/claude-mem"));
    // The host works one of them off: it deletes the row.
    let host = rusqlite::Connection::open(bench.path(FILE)).expect("opens");
    host.execute(
        "DELETE FROM pending_messages WHERE message_type='observation'",
        [],
    )
    .expect("deletes");
    drop(host);
    let imported = bench.import_twice();
    let found = codes(&imported, FILE);
    assert!(found.contains(&"queue.worked_off"), "{found:?}");
    assert!(found.contains(&"row.gone"), "{found:?}");
    assert_eq!(bench.pending().len(), 1);
    bench.assert_rows_come_back(FILE);
}

#[test]
fn the_database_of_october_2025_is_read_with_its_old_names() {
    let bench = Bench::new();
    drop(bench.database(FILE, OCTOBER_2025));
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, FILE), [""; 0]);
    let session = "c-1/claude-mem";
    for table in ["observations", "session_summaries", "sdk_sessions"] {
        assert_eq!(bench.contents(session, table).len(), 1, "{table}");
    }
    assert_eq!(
        bench.contents(session, "transcript_events"),
        [
            r#"{"event_index":1,"event_type":"user","id":2,"raw_json":"{\"a\":1}","session_id":"c-1"}"#,
            r#"{"event_index":2,"event_type":"assistant","id":1,"raw_json":"{\"b\":1}","session_id":"c-1"}"#,
        ]
    );
    let memories = bench.contents("claude-mem/tables", "memories");
    assert!(memories[0].contains("remembered"));
    // One of the two was processed.
    assert_eq!(bench.pending().len(), 1);
    bench.assert_rows_come_back(FILE);
}

#[test]
fn the_queue_of_january_2026_tells_its_four_states_apart() {
    let bench = Bench::new();
    drop(bench.database(FILE, JANUARY_2026));
    let imported = bench.import_twice();
    assert_eq!(
        codes(&imported, FILE),
        ["claude_mem.failed_message", "claude_mem.stuck_message"]
    );
    assert_eq!(bench.pending().len(), 2);
    bench.assert_rows_come_back(FILE);
}

/// An update of the host renames columns and adds tables; its rows are then others, and the
/// database comes back as it is now.
#[test]
fn a_migrated_database_comes_back_as_it_is_now() {
    let bench = Bench::new();
    let host = bench.database(FILE, OCTOBER_2025);
    bench.import_twice();
    host.execute_batch(
        "ALTER TABLE sdk_sessions RENAME COLUMN claude_session_id TO content_session_id;
         ALTER TABLE sdk_sessions RENAME COLUMN sdk_session_id TO memory_session_id;
         ALTER TABLE observations RENAME COLUMN sdk_session_id TO memory_session_id;
         ALTER TABLE observations ADD COLUMN content_hash TEXT;
         DROP TABLE memories; DROP TABLE streaming_sessions;
         CREATE INDEX by_hash ON observations(content_hash);
         INSERT INTO observations(memory_session_id,project,text,type,created_at,created_at_epoch,content_hash)
           VALUES ('m-1','p','more','bugfix','t',1760695400000,'h');",
    )
    .expect("migrates");
    drop(host);
    let imported = bench.import_twice();
    assert!(codes(&imported, FILE).contains(&"row.gone"));
    assert_eq!(bench.contents("c-1/claude-mem", "observations").len(), 3);
    bench.assert_rows_come_back(FILE);
}

/// Deleting a session cascades through the tables. The journal keeps the rows as history; what
/// export gives does not bring them back.
#[test]
fn rows_that_the_host_deleted_are_not_resurrected() {
    let bench = Bench::new();
    drop(bench.database(FILE, NOW));
    bench.import();
    let host = rusqlite::Connection::open(bench.path(FILE)).expect("opens");
    host.execute_batch("PRAGMA foreign_keys=ON; DELETE FROM sdk_sessions WHERE id=1;")
        .expect("deletes");
    drop(host);
    let imported = bench.import_twice();
    assert!(codes(&imported, FILE).contains(&"row.gone"));
    assert_eq!(report(&imported, FILE).gone, 7);
    bench.assert_rows_come_back(FILE);
    // It is put back, as from a backup.
    std::fs::remove_file(bench.path(FILE)).expect("removes");
    drop(bench.database(FILE, NOW));
    bench.import_twice();
    bench.assert_rows_come_back(FILE);
}

/// A page that cannot be read hides rows; they are not gone.
#[test]
fn rows_of_a_damaged_page_are_not_taken_for_deleted() {
    let bench = Bench::new();
    let more = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT 2000)
        INSERT INTO user_prompts(content_session_id,prompt_number,prompt_text,created_at,created_at_epoch)
        SELECT 'c-1', x, hex(randomblob(50)), 't', 1777629601000 + x FROM n;";
    drop(bench.database(FILE, &format!("{NOW}{more}")));
    bench.import_twice();
    let mut bytes = bench.read(FILE);
    let at = bytes.len() - 10 * 4096;
    bytes[at..at + 4096].fill(0xA5);
    bench.write(FILE, &bytes);
    let imported = bench.import_twice();
    let found = codes(&imported, FILE);
    assert!(found.contains(&"database.damaged"), "{found:?}");
    assert!(!found.contains(&"row.gone"), "{found:?}");
    bench.assert_comes_back(&format!("quarantine/{FILE}"), FILE);
}

/// While the host runs, what it committed last is in the log beside the file; and reading must
/// make no `-wal` and no `-shm` where there was none.
#[test]
fn a_database_in_use_is_read_with_its_log_and_stays_as_it_is() {
    let bench = Bench::new();
    let host = bench.database(
        FILE,
        &format!("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;{NOW}"),
    );
    bench.import_twice();
    bench.assert_rows_come_back(FILE);
    host.execute_batch("BEGIN IMMEDIATE; DELETE FROM user_prompts;")
        .expect("locks");
    bench.import_twice();
    assert_eq!(bench.contents("c-1/claude-mem", "user_prompts").len(), 2);
    host.execute_batch("ROLLBACK").expect("gives up");
    drop(host);
    let names = bench.names(".claude-mem");
    bench.import_twice();
    assert_eq!(bench.names(".claude-mem"), names);
    assert_eq!(names, ["claude-mem.db"]);
}

/// Text that is no text, numbers to the last bit, and a row larger than what is read.
#[test]
fn values_of_every_type_come_back_and_a_huge_row_is_told() {
    let bench = Bench::new();
    let host = bench.database(
        FILE,
        "CREATE TABLE odd(id INTEGER PRIMARY KEY, x);
         INSERT INTO odd VALUES (1,1.1),(2,1777629601000.1234),(3,9e999),(4,x'00ff'),
           (5,CAST(x'f09f' AS TEXT)),(6,NULL),(7,-9223372036854775808),(8,'\u{2028}'),(9,'');",
    );
    host.execute("INSERT INTO odd SELECT 10, CAST(zeroblob(3) AS TEXT)", [])
        .expect("inserts");
    drop(host);
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, FILE), [""; 0]);
    bench.assert_rows_come_back(FILE);
    let host = rusqlite::Connection::open(bench.path(FILE)).expect("opens");
    host.execute("INSERT INTO odd VALUES (11, zeroblob(17000000))", [])
        .expect("inserts");
    host.execute("DELETE FROM odd WHERE id=1", [])
        .expect("deletes");
    drop(host);
    let imported = bench.import_twice();
    // What was not read is not told to be gone, and the file is kept with it.
    assert_eq!(codes(&imported, FILE), ["row.too_large"]);
    assert_eq!(bench.contents("claude-mem/tables", "odd").len(), 10);
    bench.assert_comes_back(&format!("quarantine/{FILE}"), FILE);
}

/// NUL bytes in a text are six bytes each as JSON, more than a record takes.
#[test]
fn a_row_that_grows_too_large_on_its_way_is_told_and_kept() {
    let bench = Bench::new();
    drop(bench.database(
        FILE,
        "CREATE TABLE odd(id INTEGER PRIMARY KEY, x);
         INSERT INTO odd VALUES (1, CAST(zeroblob(4000000) AS TEXT)), (2, 'kept'),
           (3, zeroblob(7000000));",
    ));
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, FILE), ["row.too_large"]);
    assert_eq!(bench.contents("claude-mem/tables", "odd").len(), 2);
    bench.assert_comes_back(&format!("quarantine/{FILE}"), FILE);
}

#[test]
fn settings_keys_and_process_files_are_left_alone() {
    let bench = Bench::new();
    drop(bench.database(FILE, OCTOBER_2025));
    let files = [
        ("settings.json", "host.settings", "{\"key\":\"s3cret\"}"),
        (".env", "host.settings", "ANTHROPIC_API_KEY=s3cret"),
        ("worker.pid", "host.process_file", "{\"pid\":4711}"),
        ("spawn.lock", "host.process_file", "{\"pid\":4711}"),
        ("supervisor.json", "host.process_file", "{\"processes\":{}}"),
        (
            ".server-beta.json",
            "host.settings",
            "{\"token\":\"s3cret\"}",
        ),
        (
            ".claude-mem.db.4711.0123456789ab.tmp",
            "file.no_known_host",
            "half",
        ),
        (
            "transcript-watch-state.json",
            "host.process_file",
            "{\"offsets\":{\"/x\":12}}",
        ),
        (
            "transcript-watch.json",
            "host.settings",
            "{\"version\":1,\"watches\":[]}",
        ),
        ("logs/worker.log", "file.no_known_host", "line"),
    ];
    for (name, _, bytes) in files {
        bench.write(&format!(".claude-mem/{name}"), bytes);
    }
    let imported = bench.import_twice();
    for (name, code, _) in files {
        assert_eq!(
            refused(&imported, &format!(".claude-mem/{name}")),
            code,
            "{name}"
        );
    }
    assert!(bench.journal_holds(b"remembered"));
    assert!(!bench.journal_holds(b"s3cret"));
}

/// An old bug of the host made a folder of the name `~`.
#[test]
fn a_folder_that_is_called_tilde_is_a_folder() {
    let bench = Bench::new();
    drop(bench.database("~/.claude-mem/claude-mem.db", JANUARY_2026));
    drop(bench.database(FILE, OCTOBER_2025));
    let imported = bench.import_twice();
    assert_eq!(imported.reports.len(), 2);
    // Two databases that number their rows alike are not mixed.
    let (folder, restored) = bench.export_all();
    assert_eq!(restored.len(), 2);
    for file in [FILE, "~/.claude-mem/claude-mem.db"] {
        let (is, was) = (
            support::dump(&folder.path().join(file)),
            support::dump(&bench.path(file)),
        );
        assert_eq!(is, was, "{file}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_not_even_beside_the_database() {
    let bench = Bench::new();
    drop(bench.database("elsewhere/claude-mem.db", OCTOBER_2025));
    std::fs::create_dir_all(bench.path(".claude-mem")).expect("creates");
    std::os::unix::fs::symlink("../elsewhere/claude-mem.db", bench.path(FILE)).expect("links");
    std::os::unix::fs::symlink("/etc/passwd", bench.path("elsewhere/claude-mem.db-wal"))
        .expect("links");
    let imported = bench.import();
    assert_eq!(refused(&imported, FILE), "file.symbolic_link");
    assert_eq!(
        refused(&imported, "elsewhere/claude-mem.db"),
        "file.unreadable"
    );
    assert_eq!(bench.sessions(), [""; 0]);
}
