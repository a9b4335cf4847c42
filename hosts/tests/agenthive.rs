//! AgentHive's trackers, checkpoints, backups, locks, contexts and its mesh database: what its
//! own repair would have invented is not, and what is there comes back.

mod support;

use support::{Bench, codes, refused, report};

/// A tracker as the host writes it; `week` is what changes.
fn tracker(session: &str, week: u32) -> String {
    format!(
        "{{\n  \"sessionInfo\": {{\n    \"sessionId\": {session},\n    \"currentPhase\": 2,\n    \
         \"currentWeek\": {week},\n    \"currentDay\": 0,\n    \"totalSessions\": 7\n  }},\n  \
         \"baselineStatus\": {{ \"phase1Complete\": false, \"database\": \"http://a/b\" }},\n  \
         \"phases\": {{\n    \"phase1\": {{ \"status\": \"completed\", \"components\": [\"it's\", \"b\"] }},\n    \
         \"phase2\": {{ \"weeks\": {{ \"week1\": {{ \"components\": [{{\"name\":\"x\"}}] }} }} }}\n  }},\n  \
         \"backupStrategy\": {{ \"restorePoints\": [] }}\n}}\n"
    )
}

const FILE: &str = "packages/system-api/phase-tracker.json";

#[test]
fn each_state_of_a_tracker_is_kept_and_the_last_comes_back() {
    let bench = Bench::new();
    for week in 1..=5 {
        bench.write(FILE, tracker("\"s1\"", week));
        let imported = bench.import_twice();
        assert!(report(&imported, FILE).findings.is_empty());
        bench.assert_comes_back(&format!("agenthive/{FILE}"), FILE);
    }
    let session = format!("agenthive/{FILE}");
    assert_eq!(bench.contents(&session, "import.frame").len(), 5);
    assert_eq!(bench.sessions(), [session]);
}

/// The host's `repairTracker` answers a torn tracker with a session of its own invention; and its
/// "common fixes" cut `http://…` at the slashes and swap every apostrophe.
#[test]
fn a_damaged_tracker_is_kept_and_nothing_is_made_up() {
    let bench = Bench::new();
    let whole = tracker("\"s1\"", 3);
    bench.write(FILE, &whole[..whole.len() / 2]);
    bench.write("empty/phase-tracker.json", "  \n");
    bench.write("no/phase-tracker.json", tracker("null", 0));
    let imported = bench.import_twice();
    assert_eq!(codes(&imported, FILE), ["document.torn"]);
    assert_eq!(
        codes(&imported, "empty/phase-tracker.json"),
        ["document.empty"]
    );
    assert_eq!(
        codes(&imported, "no/phase-tracker.json"),
        ["agenthive.no_session"]
    );
    bench.assert_comes_back(&format!("quarantine/{FILE}"), FILE);
    bench.assert_comes_back(
        "quarantine/empty/phase-tracker.json",
        "empty/phase-tracker.json",
    );
    bench.assert_comes_back("agenthive/no/phase-tracker.json", "no/phase-tracker.json");
    assert!(bench.sessions().iter().all(|id| !id.contains("s1")));
}

/// Checkpoints of one day and one name overwrite each other on disk.
#[test]
fn checkpoints_of_one_name_are_kept_each() {
    let bench = Bench::new();
    let file = "checkpoints/before-2025-10-01.json";
    let checkpoint = |week: u32| {
        format!(
            "{{\"name\":\"before\",\"timestamp\":\"2025-10-01T10:0{week}:00.000Z\",\"phase\":2,\
             \"week\":{week},\"tracker\":{}}}",
            tracker("\"s1\"", week)
        )
    };
    for week in [1, 2] {
        bench.write(file, checkpoint(week));
        bench.import_twice();
    }
    let session = format!("agenthive/{file}");
    let states = bench.contents(&session, "import.frame");
    assert_eq!(states.len(), 2);
    assert!(states[0].contains("10:01:00") && states[1].contains("10:02:00"));
    bench.assert_comes_back(&session, file);
}

#[test]
fn backups_of_both_namings_and_what_a_save_left_come_back() {
    let bench = Bench::new();
    let names = [
        "agenthive-backups/phase-tracker.json.1759312800000.bak",
        "agenthive-backups/phase-tracker.json.before.2025-10-01T10-00-00.bak",
        "packages/system-api/phase-tracker.json.tmp.1759312800000.4711",
    ];
    bench.write(FILE, tracker("\"s1\"", 9));
    for (week, name) in (1..).zip(names) {
        bench.write(name, tracker("\"s1\"", week));
    }
    let torn = "agenthive-backups/phase-tracker.json.1759312900000.bak";
    bench.write(torn, &tracker("\"s1\"", 4)[..99]);
    let imported = bench.import_twice();
    bench.assert_comes_back(&format!("agenthive/{FILE}"), FILE);
    for name in &names[..2] {
        bench.assert_comes_back(&format!("agenthive/{name}"), name);
    }
    assert_eq!(codes(&imported, names[2]), ["agenthive.leftover"]);
    bench.assert_comes_back(&format!("quarantine/{}", names[2]), names[2]);
    assert_eq!(codes(&imported, torn), ["document.torn"]);
    bench.assert_comes_back(&format!("quarantine/{torn}"), torn);
}

#[test]
fn locks_are_left_alone_whole_or_empty_or_damaged() {
    let bench = Bench::new();
    let lock = r#"{"pid":4711,"timestamp":1759312800000,"identifier":"tracker"}"#;
    let token = r#"{"token":"9f","pid":4711,"timestamp":1759312800000,"resourceId":"contexts"}"#;
    bench.write("agenthive-locks/tracker.lock", lock);
    bench.write("agenthive-locks/torn.lock", &lock[..9]);
    bench.write("data/locks/0cc175b9c0f1b6a831c399e269772661.lock", token);
    let imported = bench.import_twice();
    for file in [
        "agenthive-locks/tracker.lock",
        "agenthive-locks/torn.lock",
        "data/locks/0cc175b9c0f1b6a831c399e269772661.lock",
    ] {
        assert_eq!(refused(&imported, file), "host.lock_file", "{file}");
    }
    assert_eq!(bench.sessions(), [""; 0]);
}

/// Ids of contexts hold colons, and the hierarchy is in the path.
#[test]
fn contexts_their_index_and_the_session_log_come_back() {
    let bench = Bench::new();
    let context = "base/contexts/org/team/memory/memory:1:2.json";
    bench.write(
        context,
        r#"{"id":"memory:1:2","type":"memory","data":{"k":"\u2028"},"hierarchy":["org","team"]}"#,
    );
    let index = "base/indexes/contexts.json";
    bench.write(index, r#"{"contexts":{"memory:1:2":{"path":"x"}}}"#);
    let log = "agenthive-session.log.old";
    bench.write(log, "[10:00] start\r\n[10:01] complete");
    bench.import_twice();
    bench.assert_comes_back(&format!("agenthive/{context}"), context);
    bench.assert_comes_back(&format!("agenthive/{index}"), index);
    bench.assert_comes_back(&format!("agenthive/{log}"), log);
}

/// What a full backup writes beside the archives.
#[test]
fn a_full_backup_gives_its_documents_and_leaves_its_archives() {
    let bench = Bench::new();
    let folder = "backups/full/before-2025-10-01T10-00-00";
    for name in [
        "git-info.json",
        "db-info.json",
        "config-info.json",
        "system-info.json",
    ] {
        bench.write(&format!("{folder}/{name}"), "{\"timestamp\":\"t\"}");
    }
    bench.write(&format!("{folder}/repo.bundle"), "# v2 git bundle\n");
    bench.write(&format!("{folder}/b1.tar.gz"), [0x1F, 0x8B, 8, 0]);
    let imported = bench.import_twice();
    for name in [
        "git-info.json",
        "db-info.json",
        "config-info.json",
        "system-info.json",
    ] {
        let file = format!("{folder}/{name}");
        bench.assert_comes_back(&format!("agenthive/{file}"), &file);
    }
    for name in ["repo.bundle", "b1.tar.gz"] {
        let code = refused(&imported, &format!("{folder}/{name}"));
        assert_eq!(code, "file.no_known_host");
    }
}

const MESH: &str = "
CREATE TABLE mesh_sessions(session_id TEXT PRIMARY KEY,user_id TEXT NOT NULL,prompt TEXT NOT NULL,
 status TEXT DEFAULT 'active' CHECK(status IN('active','paused','completed','failed','cancelled')),
 created_at DATETIME,execution_plan TEXT,current_turn INTEGER DEFAULT 0,cost_usd REAL,metadata TEXT);
CREATE TABLE session_checkpoints(checkpoint_id TEXT PRIMARY KEY,session_id TEXT NOT NULL,
 checkpoint_number INTEGER NOT NULL,session_state TEXT NOT NULL,is_valid BOOLEAN DEFAULT 1,
 FOREIGN KEY(session_id) REFERENCES mesh_sessions(session_id) ON DELETE CASCADE);
CREATE TABLE agent_executions(execution_id TEXT PRIMARY KEY,session_id TEXT,agent_id TEXT,status TEXT,
 created_at DATETIME);
CREATE TABLE agent_messages(message_id TEXT PRIMARY KEY,session_id TEXT,from_agent TEXT,status TEXT,
 created_at DATETIME);
CREATE TABLE migrations(name TEXT, version INTEGER, applied_at TEXT);
CREATE INDEX by_status ON mesh_sessions(status);
INSERT INTO migrations VALUES ('001_init', 1, '2025-10-01');
INSERT INTO mesh_sessions VALUES ('m1','u','build it','active','2025-10-01 10:00:00',NULL,3,0.125,'{}'),
 ('m2','u','done','completed','2025-10-01 09:00:00',NULL,1,NULL,NULL);
INSERT INTO agent_executions VALUES ('e1','m1','coder','running','2025-10-01 10:00:01');
INSERT INTO agent_messages VALUES ('a1','m1','coder','delivered','2025-10-01 10:00:02'),
 ('a2','m9','lost','failed','2025-10-01 10:00:03');
INSERT INTO session_checkpoints VALUES ('c1','m1',1,'{\"turn\":3}',1);
";

#[test]
fn the_mesh_database_gives_sessions_with_turns_and_comes_back_row_for_row() {
    let bench = Bench::new();
    drop(bench.database("data/mesh.db", MESH));
    let imported = bench.import_twice();
    let report = report(&imported, "data/mesh.db");
    assert_eq!(
        codes(&imported, "data/mesh.db"),
        ["agenthive.unfinished_session"]
    );
    assert_eq!((report.sessions, report.turns), (Some(3), 2));
    assert_eq!(bench.turns("m1/mesh"), ["turn_submitted"]);
    assert_eq!(bench.contents("m1/mesh", "agent_messages").len(), 1);
    assert_eq!(bench.contents("m9/mesh", "agent_messages").len(), 1);
    bench.assert_rows_come_back("data/mesh.db");
}
