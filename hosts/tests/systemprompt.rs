//! systemprompt-code-orchestrator's state directory, as its code writes it and as its
//! documentation says that it would: tasks, states, logs and reports come in, and come back.

mod support;

use support::{Bench, codes, refused, report};
use turnkeep_hosts::detect::Host;

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

fn log(message: &str) -> String {
    format!(
        "{{\"timestamp\":\"2025-07-01T10:00:01.000Z\",\"level\":\"info\",\"type\":\"system\",\
         \"prefix\":\"CLAUDE_RESULT\",\"message\":\"{message}\",\"metadata\":{{\"success\":true}}}}"
    )
}

/// A task as `JSON.stringify(task, null, 2)` writes it, but for the logs.
fn task(id: &str, status: &str, extra: &str, logs: &[String]) -> String {
    format!(
        "{{\n  \"id\": \"{id}\",\n  \"description\": \"build it\",\n  \"status\": \"{status}\",\n  \
         \"tool\": \"CLAUDECODE\",\n  \"created_at\": \"2025-07-01T10:00:00.000Z\",\n  \
         \"updated_at\": \"2025-07-01T10:00:00.000Z\",\n  \"assigned_to\": \"claude_1\",\n{extra}  \
         \"logs\": [{}]\n}}",
        logs.join(", ")
    )
}

fn state(tasks: &[String], extra: &str) -> String {
    format!(
        "{{{extra}\"tasks\":[{}],\"sessions\":[],\"metrics\":{{\"total_tasks\":{},\
         \"completed_tasks\":0,\"failed_tasks\":0,\"average_completion_time\":0}},\
         \"last_saved\":\"2025-07-01T10:00:00.000Z\"}}",
        tasks.join(","),
        tasks.len()
    )
}

fn file(id: &str) -> String {
    format!("coding-agent-state/tasks/{id}.json")
}

#[test]
fn a_task_is_one_turn_that_ends_as_its_status_says() {
    let ends = [
        ("pending", None, &[][..]),
        ("waiting", None, &[]),
        ("in_progress", None, &["systemprompt.unfinished_task"]),
        ("completed", Some("turn_completed"), &[]),
        ("failed", Some("turn_failed"), &[]),
        ("cancelled", Some("turn_cancelled"), &[]),
        ("done?", None, &["systemprompt.unknown_status"]),
    ];
    for (status, end, found) in ends {
        let bench = Bench::new();
        let logs = [log("one"), log("two")];
        bench.write(&file(ID), task(ID, status, "", &logs));
        let imported = bench.import_twice();
        assert_eq!(codes(&imported, &file(ID)), found, "{status}");
        let turns: Vec<_> = [Some("turn_submitted"), end]
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(bench.turns(ID), turns, "{status}");
        assert_eq!(bench.contents(ID, "task"), ["build it"]);
        assert_eq!(bench.contents(ID, "log/system"), logs);
        bench.assert_comes_back(ID, &file(ID));
    }
}

/// The host writes the whole task anew for each line of its log.
#[test]
fn a_task_that_grew_adds_its_new_logs_only_and_ends_once() {
    let bench = Bench::new();
    let logs: Vec<_> = (0..20).map(|n| log(&format!("step {n}"))).collect();
    for count in [0, 1, 7, 20] {
        bench.write(&file(ID), task(ID, "in_progress", "", &logs[..count]));
        bench.import_twice();
        bench.assert_comes_back(ID, &file(ID));
    }
    let result = "  \"completed_at\": \"2025-07-01T10:09:00.000Z\",\n  \"result\": {\"output\":\"ok\",\
                  \"success\":true,\"data\":{}},\n";
    bench.write(&file(ID), task(ID, "completed", result, &logs));
    let imported = bench.import_twice();
    assert_eq!(report(&imported, &file(ID)).lines, 0);
    assert_eq!(bench.turns(ID), ["turn_submitted", "turn_completed"]);
    assert_eq!(bench.contents(ID, "log/system").len(), 20);
    bench.assert_comes_back(ID, &file(ID));
}

#[test]
fn tasks_as_only_the_documentation_knows_them_are_taken_and_told() {
    let bench = Bench::new();
    let result =
        "  \"result\": {\"files_created\":[],\"tests_passed\":true},\n  \"filesAffected\": [],\n";
    bench.write(
        &file("task_123"),
        task("task_123", "completed", result, &[]),
    );
    bench.write(&file(ID), task("other", "completed", "", &[]));
    let imported = bench.import_twice();
    assert_eq!(
        codes(&imported, &file("task_123")),
        ["systemprompt.id_is_no_uuid", "systemprompt.other_result"]
    );
    assert_eq!(
        codes(&imported, &file(ID)),
        [
            "systemprompt.id_differs_from_name",
            "systemprompt.id_is_no_uuid"
        ]
    );
    bench.assert_comes_back("task_123", &file("task_123"));
    bench.assert_comes_back("other", &file(ID));
}

/// A plain write that was cut: the host itself skips the task without a word.
#[test]
fn a_torn_task_is_kept_and_the_others_are_imported() {
    let bench = Bench::new();
    let other = "650e8400-e29b-41d4-a716-446655440000";
    let whole = task(ID, "in_progress", "", &[log("one")]);
    bench.write(&file(ID), &whole[..whole.len() / 2]);
    bench.write(&file(other), task(other, "completed", "", &[]));
    bench.write(&file("750e8400-e29b-41d4-a716-446655440000"), [0; 4096]);
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, &file(ID)), ["document.torn"]);
    assert_eq!(
        codes(&imported, &file("750e8400-e29b-41d4-a716-446655440000")),
        ["document.nul"]
    );
    bench.assert_comes_back(&format!("quarantine/{}", file(ID)), &file(ID));
    bench.assert_comes_back(other, &file(other));
}

/// Updates of logs touch the task's file and not `state.json`; deleting does it the other way
/// round. Neither is taken for the truth about the other.
#[test]
fn a_state_and_its_tasks_that_disagree_are_both_kept() {
    let bench = Bench::new();
    let gone = "650e8400-e29b-41d4-a716-446655440000";
    let old = task(ID, "pending", "", &[]);
    let whole = state(&[old, task(gone, "pending", "", &[])], "");
    let place = "coding-agent-state/state.json";
    bench.write(place, &whole);
    bench.write(&file(ID), task(ID, "in_progress", "", &[log("one")]));
    let imported = bench.import_twice();
    assert!(report(&imported, place).findings.is_empty());
    assert_eq!(bench.sessions(), ["systemprompt/state.json", ID]);
    bench.assert_comes_back("systemprompt/state.json", place);
    bench.assert_comes_back(ID, &file(ID));
}

#[test]
fn states_backups_and_what_a_migration_left_come_back() {
    let bench = Bench::new();
    let root = "coding-agent-state";
    for (name, saved) in [
        ("state.json", 3),
        ("state.backup.1751364000000.json", 1),
        ("state.backup.1751364030000.json", 2),
    ] {
        let tasks: Vec<_> = (0..saved)
            .map(|n| task(&format!("t{n}"), "pending", "", &[]))
            .collect();
        bench.write(&format!("{root}/{name}"), state(&tasks, ""));
    }
    let before = format!("{root}/state.pre-migration.backup.json");
    bench.write(&before, state(&[], "\"version\":\"1.0.0\","));
    let words = format!("{root}/state.migration-v1-to-v2.log");
    bench.write(&words, "migrated 2 tasks\nfailed 1");
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, &before), ["systemprompt.version_field"]);
    for name in [
        "state.json",
        "state.backup.1751364000000.json",
        "state.backup.1751364030000.json",
        "state.pre-migration.backup.json",
    ] {
        let place = format!("{root}/{name}");
        bench.assert_comes_back(&format!("systemprompt/{name}"), &place);
    }
    bench.assert_comes_back("systemprompt/state.migration-v1-to-v2.log", &words);
}

#[test]
fn each_state_that_was_imported_is_a_record() {
    let bench = Bench::new();
    let place = "coding-agent-state/state.json";
    for count in 0..4 {
        let tasks: Vec<_> = (0..count)
            .map(|n| task(&format!("t{n}"), "pending", "", &[]))
            .collect();
        bench.write(place, state(&tasks, ""));
        bench.import_twice();
    }
    let session = "systemprompt/state.json";
    assert_eq!(bench.contents(session, "import.frame").len(), 4);
    bench.assert_comes_back(session, place);
}

#[test]
fn logs_and_reports_come_in_and_process_files_do_not() {
    let bench = Bench::new();
    let root = "coding-agent-state";
    let log = format!("{root}/logs/session_s1_1751364000000.log");
    let bridge = format!("{root}/logs/host-bridge.log");
    let pid = format!("{root}/logs/daemon.pid");
    let result = format!("{root}/reports/report_{ID}_1751364000000.json");
    bench.write(&log, "[2025-07-01T10:00:00.000Z] started\u{2028}");
    bench.write(&bridge, b"line\n\xFF\xFE not text\n".as_slice());
    bench.write(&pid, "4711");
    bench.write(&result, "{\"task\":1}");
    let imported = bench.import_twice();
    bench.assert_comes_back("systemprompt/session_s1_1751364000000.log", &log);
    bench.assert_comes_back("systemprompt/host-bridge.log", &bridge);
    bench.assert_comes_back(&format!("systemprompt/{result}"), &result);
    assert_eq!(refused(&imported, &pid), "host.process_file");
}

/// `STATE_PATH` may name any folder.
#[test]
fn a_folder_of_another_name_is_taken_when_the_host_is_named() {
    let mut bench = Bench::new();
    bench.from = Some(Host::Systemprompt);
    let place = format!("elsewhere/tasks/{ID}.json");
    bench.write(&place, task(ID, "completed", "", &[]));
    bench.write("elsewhere/odd.json", "{\"x\":1}");
    let imported = bench.import_twice();
    assert_eq!(
        report(&imported, "elsewhere/odd.json").format,
        "systemprompt-document"
    );
    bench.assert_comes_back(ID, &place);
    bench.assert_comes_back("systemprompt/elsewhere/odd.json", "elsewhere/odd.json");
}
