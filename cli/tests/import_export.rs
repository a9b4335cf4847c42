//! What was imported comes back byte for byte, whatever it was and whatever happened between.

mod support;

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;
use support::{Bench, fixtures, text};

const SESSION: &str = "0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01";

/// A transcript with `turns` turns of `lines` lines.
fn transcript(session: &str, turns: usize, lines: usize) -> Vec<u8> {
    let mut file = String::new();
    for turn in 0..turns {
        file += &format!(
            r#"{{"type":"user","sessionId":"{session}","uuid":"u{turn}","message":{{"role":"user","content":"question {turn}"}}}}"#
        );
        file.push('\n');
        for line in 0..lines {
            let text = "x".repeat((turn * 31 + line * 17) % 900);
            file += &format!(
                r#"{{"type":"assistant","sessionId":"{session}","message":{{"role":"assistant","content":[{{"type":"text","text":"{text} {turn}.{line}"}}]}}}}"#
            );
            file.push('\n');
        }
    }
    file.into_bytes()
}

/// Exports everything and compares it with the files below `root` that were imported.
fn assert_comes_back(bench: &Bench, root: &Path, out: &str) -> usize {
    let out = bench.path(out);
    let exported = bench.json(&["export", "--to", out.to_str().expect("UTF-8")]);
    for file in &exported {
        let name = file["file"].as_str().expect("a name");
        let was = fs::read(root.join(name)).expect("it was imported from there");
        let is = fs::read(out.join(name)).expect("it is there");
        assert!(was == is, "{name} differs");
        let session = file["session"].as_str().expect("an id");
        assert!(bench.good(&["export", session]) == was, "{session} differs");
    }
    exported.len()
}

#[test]
fn every_transcript_comes_back_byte_for_byte() {
    let mut roots = vec![(fixtures(""), Some(13))];
    if let Ok(root) = std::env::var("TURNKEEP_FIXTURES") {
        roots.push((root, None));
    }
    for (root, expected) in roots {
        let bench = Bench::new();
        let imported = bench.json(&["import", &root]);
        let files = imported.iter().filter(|o| o.get("file").is_some()).count();
        assert!(expected.is_none_or(|expected| expected == files), "{files}");
        bench.good(&["verify"]);
        assert_eq!(assert_comes_back(&bench, Path::new(&root), "out"), files);
        // Also out of packs and a snapshot.
        bench.good(&["compact"]);
        bench.good(&["verify"]);
        assert_eq!(
            assert_comes_back(&bench, Path::new(&root), "compacted"),
            files
        );
        // And again adds nothing.
        let before = bench.durable_lsn();
        let again = bench.import(&root);
        assert_eq!(
            (&again["imported_files"], &again["lines"]),
            (&Value::from(0), &Value::from(0))
        );
        assert_eq!(again["unchanged_files"], files);
        assert_eq!(bench.durable_lsn(), before);
    }
}

#[test]
fn turns_and_damage_are_where_they_were() {
    let bench = Bench::new();
    let imported = bench.json(&["import", &fixtures("")]);
    let torn = imported
        .iter()
        .find(|o| o["file"] == "damage/torn-and-glued.jsonl");
    assert_eq!(torn.expect("it is listed")["damaged"][0]["line"], 2);
    let sessions = bench.json(&["sessions"]);
    let session = |id: &str| {
        let found = sessions.iter().find(|session| session["session"] == id);
        found.unwrap_or_else(|| panic!("{id} is listed")).clone()
    };
    assert_eq!(
        (&session(SESSION)["turns"], &session(SESSION)["open_turns"]),
        (&3.into(), &0.into())
    );
    let agent = session(&format!("{SESSION}/agent-a1b2c3"));
    assert_eq!(agent["parent_session"], SESSION);
    let entries = bench.json(&["show", SESSION]);
    let kinds = entries
        .iter()
        .map(|entry| entry["kind"].as_str().expect("a kind"));
    let ends: Vec<_> = kinds
        .filter(|kind| kind.starts_with("turn_") && *kind != "turn_event")
        .collect();
    assert_eq!(
        ends,
        [
            "turn_submitted",
            "turn_completed",
            "turn_submitted",
            "turn_completed",
            "turn_submitted",
            "turn_interrupted"
        ]
    );
    // Records of a damaged line say what and where.
    let log = bench.json(&["log"]);
    let damaged: Vec<_> = log
        .iter()
        .filter(|entry| entry["name"] == "damaged")
        .collect();
    assert!(damaged.len() >= 5, "{}", damaged.len());
    for entry in damaged {
        assert!(entry["extra"]["damage"].is_string(), "{entry}");
    }
}

/// A host is writing while we import: whole lines come when they are whole, and a turn that
/// was open goes on.
#[test]
fn a_growing_file_is_followed_without_repeating_or_skipping_a_byte() {
    let whole = fs::read(fixtures(&format!("claude/{SESSION}.jsonl"))).expect("reads");
    let bench = Bench::new();
    let name = format!("{SESSION}.jsonl");
    let mut shown = Vec::new();
    let mut len = whole.iter().position(|byte| *byte == b'\n').expect("lines");
    while len < whole.len() {
        len = (len + 1 + len * 7 % 613).min(whole.len());
        let path = bench.write(&format!("in/{name}"), &whole[..len]);
        bench.import(&path);
        assert!(bench.good(&["export", SESSION]) == whole[..len], "at {len}");
        let records = bench.json(&["show", SESSION]);
        let lines: Vec<_> = records
            .iter()
            .filter(|r| r["extra"]["number"].is_u64())
            .collect();
        let numbers: Vec<_> = lines
            .iter()
            .map(|r| r["extra"]["number"].as_u64())
            .collect();
        assert!(
            numbers
                .iter()
                .copied()
                .eq((1..=numbers.len() as u64).map(Some)),
            "{numbers:?}"
        );
        shown = lines
            .iter()
            .map(|r| (r["content"].clone(), r["name"].clone()))
            .collect();
    }
    assert_eq!(bench.json(&["sessions"]).len(), 1);
    // The same as if it had been imported at once, but for turns that ended when they had to.
    let once = Bench::new();
    once.import(&once.write(&name, &whole));
    let records = once.json(&["show", SESSION]);
    let lines = records.iter().filter(|r| r["extra"]["number"].is_u64());
    let lines: Vec<_> = lines
        .map(|r| (r["content"].clone(), r["name"].clone()))
        .collect();
    assert_eq!(shown, lines);
    assert_eq!(bench.json(&["sessions"])[0]["turns"], 3);
}

#[test]
fn a_partial_line_is_kept_and_replaced_by_the_whole_one() {
    let bench = Bench::new();
    let file = transcript("s", 1, 1);
    let cut = file.len() - 10;
    bench.import(&bench.write("s.jsonl", &file[..cut]));
    let before = bench.durable_lsn();
    bench.import(&bench.write("s.jsonl", &file[..cut]));
    assert_eq!(
        bench.durable_lsn(),
        before,
        "the same partial line is not written again"
    );
    assert!(bench.good(&["export", "s"]) == file[..cut]);
    let first = file
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("two lines")
        + 1;
    let said = bench.run(&["import", &bench.write("s.jsonl", &file[..first])]);
    assert!(
        text(&said.stderr).contains("older copy"),
        "{}",
        text(&said.stderr)
    );
    bench.import(&bench.write("s.jsonl", &file));
    assert!(bench.good(&["export", "s"]) == file);
    // A host threw its torn tail away and wrote another line: nothing that was kept is dropped.
    bench.import(&bench.write("s.jsonl", [&file[..], b"{\"torn"].concat()));
    let other = [&file[..], &transcript("s", 1, 0)].concat();
    bench.import(&bench.write("s.jsonl", &other));
    assert!(bench.good(&["export", "s"]) == [&file[..], b"{\"torn"].concat());
    assert!(bench.good(&["export", "s#2"]) == other);
    bench.good(&["verify"]);
}

#[test]
fn another_file_with_the_same_id_is_another_session() {
    let bench = Bench::new();
    let (first, second) = (transcript("s", 2, 2), transcript("s", 3, 3));
    bench.import(&bench.write("a/s.jsonl", &first));
    bench.import(&bench.write("b/s.jsonl", &second));
    assert!(bench.good(&["export", "s"]) == first);
    assert!(bench.good(&["export", "s#2"]) == second);
    // Each goes on in its own.
    let longer = [&second[..], &transcript("s", 1, 1)[..]].concat();
    bench.import(&bench.write("c/s.jsonl", &longer));
    assert!(bench.good(&["export", "s#2"]) == longer);
    assert_eq!(bench.json(&["sessions"]).len(), 2);
    // An older copy adds nothing, and says so.
    let before = bench.durable_lsn();
    let said = bench.run(&[
        "import",
        &bench.write("old/s.jsonl", &first[..first.len() / 2]),
    ]);
    assert!(
        text(&said.stderr).contains("older copy"),
        "{}",
        text(&said.stderr)
    );
    assert_eq!(bench.durable_lsn(), before);
    // Both want the name s.jsonl.
    let out = bench.path("out");
    bench.good(&["export", "--to", out.to_str().expect("UTF-8")]);
    assert!(fs::read(out.join("s.jsonl")).expect("there") == first);
    assert!(fs::read(out.join("s~2.jsonl")).expect("there") == longer);
}

/// hermes-webui#5498: deleted conversations came back from whatever still had them.
#[test]
fn what_was_deleted_or_cleared_does_not_come_back_by_import() {
    let bench = Bench::new();
    let paths = ["gone", "cleared", "kept"].map(|id| {
        let path = bench.write(&format!("in/{id}.jsonl"), transcript(id, 2, 2));
        bench.import(&path);
        path
    });
    let (journal, _) = turnkeep::Journal::open(bench.journal()).expect("opens");
    journal
        .find("gone")
        .and_then(|s| s.delete())
        .expect("deletes");
    journal
        .find("cleared")
        .and_then(|s| s.clear())
        .expect("clears");
    journal.close().expect("closes");
    for compacted in [false, true] {
        for path in &paths {
            let got = bench.run(&["import", path]);
            assert_eq!(got.status.code(), Some(0));
        }
        bench.fails(5, &["show", "gone"]);
        let sessions = bench.json(&["sessions"]);
        let ids: Vec<_> = sessions
            .iter()
            .map(|s| s["session"].as_str().expect("an id"))
            .collect();
        assert_eq!(ids, ["cleared", "kept"], "compacted: {compacted}");
        assert!(
            bench
                .json(&["show", "cleared"])
                .iter()
                .all(|r| r["extra"].is_null())
        );
        bench.good(&["compact"]);
    }
}

#[test]
fn a_session_of_a_host_is_not_mixed_with_a_transcript() {
    let bench = Bench::new();
    bench.feed(&["append", "s"], b"a host's own\n");
    let file = transcript("s", 1, 1);
    bench.import(&bench.write("s.jsonl", &file));
    assert!(bench.good(&["export", "s#2"]) == file);
    assert!(text(&bench.good(&["export", "s"])).contains("a host's own"));
    // And what a host adds to an imported session is not part of the file, but not silent.
    bench.feed(&["append", "s#2"], b"a remark\n");
    let got = bench.run(&["export", "s#2"]);
    assert!(got.stdout == file);
    assert!(
        text(&got.stderr).contains("1 record"),
        "{}",
        text(&got.stderr)
    );
}

/// claude-code#24118: one line of 12.8 million characters.
#[test]
fn lines_of_any_length_come_back() {
    let bench = Bench::new();
    // The longest line seen in the wild had 12.8 million characters.
    let text = "y".repeat(13 << 20);
    let mut file = transcript("s", 1, 1);
    file.extend(
        format!(
            r#"{{"type":"user","sessionId":"s","message":{{"role":"user","content":"{text}"}}}}"#
        )
        .bytes(),
    );
    file.push(b'\n');
    file.extend(transcript("s", 1, 1));
    let path = bench.write("s.jsonl", &file);
    bench.import(&path);
    assert!(bench.good(&["export", "s"]) == file);
    assert_eq!(bench.json(&["sessions"])[0]["turns"], 3);
    bench.good(&["verify"]);
    // In pieces, where it is over the limit.
    let pieces = Bench::new();
    let imported = pieces.json(&["import", "--line-limit", "3", &path]);
    assert_eq!(imported[0]["damaged"][0]["why"], "longer than the limit");
    assert!(pieces.good(&["export", "s"]) == file);
    assert_eq!(pieces.import(&path)["unchanged_files"], 1);
}

/// A kill at any moment of an import, and the next import goes on as if nothing had been.
#[cfg(unix)]
#[test]
fn a_killed_import_is_finished_by_the_next() {
    let bench = Bench::new();
    for number in 0..40 {
        let id = format!("session-{number:02}");
        bench.write(&format!("in/{id}.jsonl"), transcript(&id, 30, 8));
    }
    let input = bench.path("in");
    let input = input.to_str().expect("UTF-8");
    let mut kills = 0;
    for attempt in 0..12 {
        let mut child = bench
            .turnkeep(&["import", "--quiet", input])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("starts");
        std::thread::sleep(Duration::from_millis(3 + attempt * 7));
        kills += u32::from(child.try_wait().expect("waits").is_none());
        child.kill().expect("kills");
        child.wait().expect("ends");
    }
    assert!(kills > 0, "none of the imports was caught at work");
    bench.import(input);
    bench.good(&["verify"]);
    assert_eq!(assert_comes_back(&bench, Path::new(input), "out"), 40);
    for session in bench.json(&["sessions"]) {
        assert_eq!(session["turns"], 30, "{session}");
    }
}

#[test]
fn hostile_names_stay_inside_the_folder() {
    let bench = Bench::new();
    let (journal, _) = turnkeep::Journal::open(bench.journal()).expect("opens");
    for id in [
        "../../escape",
        "/etc/escape",
        "..",
        "a/../../escape",
        "nul\0",
        "con",
    ] {
        let session = journal.session(id).expect("any text is an id");
        session.append("note", id).expect("appends");
    }
    // A bookmark that some other program wrote.
    let session = journal.session("forged").expect("makes");
    let forged = br#"{"version":1,"source":"../../../escape.jsonl","format":"codex","offset":0,"number":1,"pieces":0,"turns":{"count":0,"open":null},"head":0,"tail":0,"partial_bytes":0}"#;
    session.put("import.cursor", forged).expect("puts");
    journal.close().expect("closes");
    let out = bench.path("deep/er/out");
    bench.good(&["export", "--to", out.to_str().expect("UTF-8")]);
    let names: Vec<_> = fs::read_dir(bench.path("deep/er"))
        .expect("reads")
        .collect();
    assert_eq!(names.len(), 1);
    assert_eq!(fs::read_dir(bench.path("deep")).expect("reads").count(), 1);
    assert!(!bench.path("escape.jsonl").exists() && !bench.path("escape").exists());
    let again = bench.fails(7, &["export", "--to", out.to_str().expect("UTF-8")]);
    assert!(again.contains("not empty"), "{again}");
}
