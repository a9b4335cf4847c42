//! The commands that look after a journal: what they print, and how they end.

mod support;

use support::{Bench, objects, text};
use turnkeep::{Input, Journal};

/// A journal that a host left when it died, with a turn that it was at work on.
fn left_behind() -> Bench {
    let bench = Bench::new();
    let (journal, _) = Journal::open(bench.journal()).expect("opens");
    let session = journal.session("agent-7").expect("opens");
    let input = Input::user("the secret plan").actor("ann");
    let mut turn = session.begin(input).expect("begins").owner("w1");
    turn.started().expect("starts");
    let call = turn.call("c1", "shell", "{\"cmd\":\"ls\"}").expect("calls");
    call.wait().expect("is durable");
    bench
}

#[test]
fn an_audit_ends_with_one_if_there_is_something_to_see_to() {
    let bench = left_behind();
    let before = bench.json(&["log"]);
    let got = bench.run(&["audit"]);
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stdout));
    assert!(text(&got.stdout).contains("[turn.open] session agent-7"));
    let got = bench.run(&["audit", "--stopped", "--json"]);
    assert_eq!(got.status.code(), Some(1));
    let report = &objects(&got.stdout)[0];
    let finding = &report["findings"][0];
    assert_eq!(finding["code"], "turn.writer-gone");
    assert_eq!(finding["severity"], "warning");
    assert_eq!(finding["category"], "repairable");
    assert_eq!(finding["session"], "agent-7");
    assert_eq!(finding["turn"], 2);
    assert!(
        finding["todo"]
            .as_str()
            .is_some_and(|todo| todo.contains("attempt"))
    );
    assert_eq!(report["counts"]["turn.open-calls"], 1);
    assert_eq!(report["worst"], "warning");
    let said = text(&got.stdout);
    assert!(!said.contains("secret"), "no content is told: {said}");
    let got = bench.run(&["audit", "--quick", "--unfinished-after", "0s"]);
    assert_eq!(got.status.code(), Some(1));
    assert!(text(&got.stdout).contains("turn.overdue"));
    let got = bench.run(&["audit", "--stopped", "--max", "1"]);
    assert!(
        text(&got.stdout).contains("and 2 more"),
        "{}",
        text(&got.stdout)
    );
    assert_eq!(bench.json(&["log"]), before, "looking changes nothing");
    let said = bench.fails(2, &["audit", "--unfinished-after", "soon"]);
    assert!(said.contains("such as 2h"), "{said}");
}

#[test]
fn an_audit_of_damage_ends_with_three_and_of_no_journal_with_five() {
    let bench = left_behind();
    bench.feed(&["append", "after"], b"x\n");
    let segment = bench.journal().join("00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).expect("reads");
    bytes[4096 + 100] ^= 0x40;
    std::fs::write(&segment, bytes).expect("writes");
    let got = bench.run(&["audit", "--json"]);
    assert_eq!(got.status.code(), Some(3), "{}", text(&got.stdout));
    assert_eq!(objects(&got.stdout)[0]["findings"][0]["severity"], "damage");
    let said = Bench::new().fails(5, &["audit"]);
    assert!(said.contains("no journal at"), "{said}");
}

#[test]
fn a_session_is_explained_without_its_content_unless_asked() {
    let bench = left_behind();
    let got = bench.good(&["explain", "agent", "--stopped"]);
    let said = text(&got);
    assert!(
        said.contains("turn started, turn 2, attempt 1 by w1"),
        "{said}"
    );
    assert!(
        said.contains("[turn.writer-gone] session agent-7 turn 2"),
        "{said}"
    );
    assert!(!said.contains("secret") && !said.contains("cmd"), "{said}");
    let told = bench.json(&["explain", "agent-7"]);
    assert_eq!(told[1]["kind"], "turn_submitted");
    assert_eq!(
        (&told[1]["who"], &told[1]["bytes"]),
        (&"ann".into(), &15.into())
    );
    assert_eq!(told[1].get("content"), None);
    assert_eq!(told.last().expect("a line")["explanation"]["records"], 4);
    let told = bench.json(&["explain", "agent-7", "--content"]);
    assert_eq!(told[1]["content"], "the secret plan");
    let got = bench.good(&["explain", "agent-7", "--content"]);
    assert!(text(&got).contains("the secret plan"));
    bench.fails(5, &["explain", "nobody"]);
    let (journal, _) = Journal::open(bench.journal()).expect("opens");
    journal
        .find("agent-7")
        .expect("is there")
        .delete()
        .expect("is deleted");
    drop(journal);
    let told = bench.json(&["explain", "agent-7"]);
    assert_eq!(told[0]["explanation"]["deleted"]["generation"], 1);
}

#[test]
fn idle_sessions_are_listed_and_interrupted_with_evidence() {
    let bench = left_behind();
    let listed = bench.json(&["idle", "--older-than", "0s"]);
    assert_eq!(listed[0]["id"], "agent-7");
    assert_eq!(listed[0]["open_turns"], 1);
    assert!(listed[0]["idle_ms"].is_u64() && listed[0]["open_ms"].is_u64());
    assert_eq!(bench.json(&["idle", "--older-than", "2h"]).len(), 0);
    assert_eq!(
        bench.json(&["idle", "--older-than", "0s", "--open"]).len(),
        1
    );
    let got = bench.good(&["idle", "--older-than", "0s"]);
    assert!(text(&got).starts_with("SESSION"), "{}", text(&got));
    assert_eq!(
        bench
            .json(&["idle", "--older-than", "2h", "--interrupt"])
            .len(),
        0
    );
    let verdicts = bench.json(&["idle", "--older-than", "0s", "--interrupt"]);
    assert_eq!(verdicts[0]["turn"], 2);
    assert_eq!(verdicts[0]["cause"], "writer_gone");
    assert_eq!(
        bench
            .json(&["idle", "--older-than", "0s", "--interrupt"])
            .len(),
        0
    );
    let told = bench.json(&["explain", "agent-7"]);
    let ends = told
        .iter()
        .find(|stamp| stamp["kind"] == "turn_interrupted");
    let evidence = ends.expect("it ended")["evidence"]
        .as_str()
        .expect("text")
        .to_owned();
    let evidence: serde_json::Value = serde_json::from_str(&evidence).expect("JSON");
    assert_eq!(evidence["threshold_ms"], 0);
    assert_eq!(evidence["judged_by"], 3, "two came before it: {evidence}");
    bench.fails(2, &["idle"]);
    bench.fails(2, &["idle", "--older-than", "1h", "--open", "--interrupt"]);
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("is set");
}

#[test]
fn a_repair_shows_what_it_would_do_then_does_it_then_has_nothing_to_do() {
    let bench = left_behind();
    let tmp = bench.journal().join("00000000000000000099.pack.tmp");
    std::fs::write(&tmp, b"x").expect("writes");
    set_mode(&tmp, 0o644);
    let got = bench.run(&["repair", "--interrupt"]);
    assert_eq!(got.status.code(), Some(1), "{}", text(&got.stdout));
    let said = text(&got.stdout);
    assert!(
        said.contains("would: interrupt [turn.writer-gone] session agent-7 turn 2"),
        "{said}"
    );
    assert!(
        text(&got.stderr).contains("repair --safe"),
        "{}",
        text(&got.stderr)
    );
    let got = bench.run(&["repair", "--safe", "--dry-run"]);
    assert_eq!(got.status.code(), Some(1));
    assert!(text(&got.stdout).contains("left: turns whose writer is gone"));
    assert!(tmp.exists() && bench.json(&["sessions"])[0]["open_turns"] == 1);

    let done = bench.json(&["repair", "--safe", "--interrupt"]);
    assert_eq!(done[0]["is_dry_run"], false);
    assert_eq!(done[0]["interrupted"][0]["owner"], "w1");
    let steps = done[0]["steps"].as_array().expect("a list");
    let is_done = |step: &serde_json::Value| step["is_done"] == true && step.get("why").is_none();
    assert!(steps.len() == 3 && steps.iter().all(is_done), "{steps:?}");
    assert!(!tmp.exists());
    assert_eq!(bench.json(&["sessions"])[0]["open_turns"], 0);
    let before = bench.json(&["log"]);
    let got = bench.good(&["repair", "--safe", "--interrupt"]);
    assert!(
        text(&got).starts_with("nothing to repair"),
        "{}",
        text(&got)
    );
    assert_eq!(bench.json(&["log"]), before);
    bench.good(&["audit"]);
}

#[test]
fn what_waits_and_what_has_not_ended_is_listed_and_decided_about() {
    let bench = left_behind();
    let turns = bench.json(&["turns"]);
    assert_eq!(turns.len(), 1);
    assert_eq!(
        (&turns[0]["turn"], &turns[0]["owner"]),
        (&2.into(), &"w1".into())
    );
    let got = bench.good(&["turns", "--session", "agent"]);
    let said = text(&got);
    assert!(said.contains("running") && said.contains("w1"), "{said}");
    assert_eq!(bench.json(&["turns", "--session", "nobody"]).len(), 0);

    let (journal, _) = Journal::open(bench.journal()).expect("opens");
    let session = journal.find("agent-7").expect("is there");
    for content in ["first", "second"] {
        session
            .enqueue(Input::new("todo", content))
            .expect("is queued");
    }
    let claim = session.claim("w2").expect("claims").expect("waits");
    claim.bury("cannot be understood").expect("is buried");
    journal.close().expect("closes");
    let queue = bench.json(&["queue"]);
    let states: Vec<_> = queue.iter().map(|input| input["status"].clone()).collect();
    assert_eq!(states, ["dead", "waiting"]);
    let dead = queue[0]["input"].to_string();
    let got = bench.good(&["queue", "--dead"]);
    let said = text(&got);
    assert!(said.contains("dead") && !said.contains("waiting"), "{said}");
    bench.good(&["queue", "release", "agent", &dead]);
    assert_eq!(bench.json(&["queue", "--dead"]).len(), 0);
    bench.good(&[
        "queue",
        "withdraw",
        "agent-7",
        &dead,
        "--reason",
        "asked twice",
    ]);
    assert_eq!(bench.json(&["queue"]).len(), 1);
    let log = bench.json(&["log"]);
    let withdrawn = log.iter().rfind(|entry| entry["kind"] == "input_withdrawn");
    assert_eq!(withdrawn.expect("is on record")["name"], "asked twice");
    bench.fails(7, &["queue", "release", "agent-7", &dead]);
    let (_held, _) = Journal::open(bench.journal()).expect("opens");
    bench.fails(4, &["queue", "withdraw", "agent-7", "1"]);
    assert_eq!(bench.json(&["queue"]).len(), 1, "looking takes no lock");
}

#[test]
fn a_search_tells_where_a_secret_is_until_it_is_gone() {
    let bench = left_behind();
    let got = bench.run(&["search", "the secret plan"]);
    assert_eq!(got.status.code(), Some(1));
    assert!(
        text(&got.stdout).contains(".seg at byte"),
        "{}",
        text(&got.stdout)
    );
    let (journal, _) = Journal::open(bench.journal()).expect("opens");
    let session = journal.find("agent-7").expect("is there");
    session.delete().expect("is deleted");
    journal.close().expect("closes");
    bench.good(&["compact"]);
    assert!(bench.good(&["search", "the secret plan"]).is_empty());
    let fed = bench.feed(&["search"], b"the secret plan");
    assert!(fed.status.success(), "{}", text(&fed.stderr));
    bench.fails(7, &["search", ""]);
}
