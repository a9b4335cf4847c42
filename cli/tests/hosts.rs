//! What hosts left on disk through the command: in, verified, compacted, and out again.

mod support;

use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use support::Bench;

const SIDECAR: &str = r#"{
  "session_id": "a1b2c3d4e5f6",
  "workspace": "/w",
  "message_count": 1,
  "messages": [
    {"role": "user", "content": "hi"}
  ]
}"#;
const SESSION: &str = r#"{"sessionId":"session-1-a","createdAt":"t","updatedAt":"t","model":"fast","workingDirectory":"/p","messages":[{"role":"user","content":"hi","timestamp":"t"}],"status":"active","pendingMessages":[{"id":"m1","text":"next","priority":"urgent","addedAt":"t"}]}"#;
const TASK: &str = r#"{"id":"550e8400-e29b-41d4-a716-446655440000","description":"build it","status":"completed","logs":[]}"#;
const TRACKER: &str = r#"{"sessionInfo":{"sessionId":"s"},"phases":{}}"#;

/// A file of each host, by the name that `--as` takes.
fn homes(root: &Path) -> Vec<(&'static str, Vec<&'static str>)> {
    let homes = [
        ("hermes-webui", "sessions/a1b2c3d4e5f6.json", SIDECAR),
        (
            "claudelet",
            ".claudelet/sessions/2025-12-16_14-30_session-.json",
            SESSION,
        ),
        (
            "systemprompt",
            "coding-agent-state/tasks/550e8400-e29b-41d4-a716-446655440000.json",
            TASK,
        ),
        ("agenthive", "packages/phase-tracker.json", TRACKER),
    ];
    for (_, file, content) in homes {
        let path = root.join(file);
        fs::create_dir_all(path.parent().expect("in a folder")).expect("creates");
        fs::write(path, content).expect("writes");
    }
    let path = root.join(".claude-mem/claude-mem.db");
    fs::create_dir_all(path.parent().expect("in a folder")).expect("creates");
    let database = Connection::open(path).expect("opens");
    let rows = "CREATE TABLE user_prompts(id INTEGER PRIMARY KEY, content_session_id TEXT, prompt_text TEXT);
                INSERT INTO user_prompts VALUES (1,'c-1','hi'),(2,'c-1','more');";
    database.execute_batch(rows).expect("fills");
    let files = homes.map(|(host, file, _)| (host, vec![file]));
    let rows = ("claude-mem", vec![".claude-mem/claude-mem.db"]);
    files.into_iter().chain([rows]).collect()
}

fn prompts(path: &Path) -> Vec<String> {
    let database = Connection::open(path).expect("opens");
    let mut select = database
        .prepare("SELECT prompt_text FROM user_prompts ORDER BY id")
        .expect("it is there");
    let texts = select.query_map([], |row| row.get(0)).expect("selects");
    texts.map(|text| text.expect("reads")).collect()
}

#[test]
fn files_of_every_host_come_in_and_go_out() {
    let bench = Bench::new();
    let root = bench.path("hosts");
    let homes = homes(&root);
    let from = root.to_str().expect("UTF-8");
    assert_eq!(bench.import(from)["queued"], 1);
    assert_eq!(bench.import(from)["unchanged_files"], 5);
    bench.good(&["verify"]);
    bench.good(&["compact"]);
    bench.good(&["verify"]);
    for (host, files) in homes {
        let out = bench.path(&format!("out-{host}"));
        let to = out.to_str().expect("UTF-8");
        let exported = bench.json(&["export", "--as", host, "--to", to]);
        let names: BTreeSet<_> = exported
            .iter()
            .map(|file| file["file"].as_str().expect("a name").to_owned())
            .collect();
        assert_eq!(
            names,
            files.iter().map(|f| (*f).to_owned()).collect(),
            "{host}"
        );
        for file in files {
            let (is, was) = (out.join(file), root.join(file));
            match file.ends_with(".db") {
                true => assert_eq!(prompts(&is), prompts(&was)),
                false => assert_eq!(
                    fs::read_to_string(is).expect("reads"),
                    fs::read_to_string(was).expect("reads")
                ),
            }
        }
    }
    let out = bench.path("none");
    let to = out.to_str().expect("UTF-8");
    let said = bench.fails(5, &["export", "--as", "codex", "--to", to]);
    assert!(
        said.contains("nothing in the journal came from codex"),
        "{said}"
    );
}

/// `--from` says whose a folder is: every document in it is taken for that host's.
#[test]
fn a_folder_is_taken_for_that_of_the_host_that_was_named() {
    let bench = Bench::new();
    let root = bench.path("hosts");
    homes(&root);
    let from = root.to_str().expect("UTF-8");
    let told = bench.json(&["import", from, "--from", "agenthive"]);
    let sessions: BTreeSet<_> = told
        .iter()
        .filter_map(|object| object["session"].as_str())
        .collect();
    assert!(sessions.contains("agenthive/packages/phase-tracker.json"));
    assert!(
        sessions.iter().all(|id| id.starts_with("agenthive/")),
        "{sessions:?}"
    );
}
