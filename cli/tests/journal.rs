//! The commands on a journal: what they print, and how they end when something is wrong.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use support::{Bench, fixtures, objects, text};
use turnkeep_cli::demo::kills::{Kills, Since};

/// A process that holds the journal until it is dropped: `append` that waits for more.
struct Holder(Child);

impl Holder {
    fn new(bench: &Bench, session: &str) -> Holder {
        let mut child = bench
            .turnkeep(&["append", session, "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut acknowledged = String::new();
        child
            .stdin
            .as_mut()
            .expect("a pipe")
            .write_all(b"held\n")
            .expect("writes");
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut acknowledged)
            .expect("reads");
        assert!(
            acknowledged.trim().parse::<u64>().is_ok(),
            "{acknowledged:?}"
        );
        Holder(child)
    }

    fn say(&mut self, line: &str) {
        let stdin = self.0.stdin.as_mut().expect("a pipe");
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .expect("writes");
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn first_segment(bench: &Bench) -> PathBuf {
    let entries = fs::read_dir(bench.journal()).expect("reads");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let segments = paths.filter(|path| path.extension().is_some_and(|e| e == "seg"));
    segments.min().expect("there is a segment")
}

#[test]
fn appended_lines_are_acknowledged_in_order_and_come_back() {
    let bench = Bench::new();
    let lines: Vec<String> = (0..5000)
        .map(|n| format!("line {n} {}", "z".repeat(n % 300)))
        .collect();
    let got = bench.feed(&["append", "notes"], (lines.join("\n") + "\n").as_bytes());
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    let lsns: Vec<u64> = text(&got.stdout)
        .lines()
        .map(|l| l.parse().expect("an LSN"))
        .collect();
    assert_eq!(lsns.len(), lines.len());
    assert!(lsns.windows(2).all(|pair| pair[0] < pair[1]));
    let shown = bench.json(&["show", "notes"]);
    let contents: Vec<_> = shown.iter().filter(|r| r["kind"] == "message").collect();
    assert!(
        contents
            .iter()
            .map(|r| r["content"].as_str())
            .eq(lines.iter().map(|l| Some(l.as_str())))
    );
    assert!(
        contents
            .iter()
            .map(|r| r["lsn"].as_u64())
            .eq(lsns.iter().map(|lsn| Some(*lsn)))
    );
    // Bytes that are no text, an empty line, and a last one without an end.
    let got = bench.feed(
        &["append", "notes", "--json", "--kind", "raw"],
        b"\xFF\xFE\n\nlast",
    );
    let acknowledged = objects(&got.stdout);
    assert_eq!(acknowledged.len(), 3);
    assert_eq!(acknowledged[2]["line"], 3);
    let shown = bench.json(&["log", "-n", "3"]);
    assert_eq!(shown[0]["content_base64"], "//4=");
    assert_eq!(shown[1]["content"], "");
    assert_eq!(
        (&shown[2]["content"], &shown[2]["name"]),
        (&"last".into(), &"raw".into())
    );
    assert_eq!(shown[2]["lsn"], acknowledged[2]["lsn"]);
}

#[test]
fn each_line_is_acknowledged_without_waiting_for_the_next() {
    let bench = Bench::new();
    let mut child = bench
        .turnkeep(&["append", "notes", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    for number in 0..20 {
        writeln!(stdin, "{number}").expect("writes");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("reads");
        // Durable before it is printed: a reader, who sees only that, has it.
        let seen = bench.json(&["log", "-n", "1"]);
        assert_eq!(seen[0]["content"], number.to_string());
        assert_eq!(seen[0]["lsn"].to_string(), line.trim());
    }
    drop(stdin);
    assert!(child.wait().expect("ends").success());
}

#[test]
fn sessions_are_found_by_the_beginning_of_their_id() {
    let bench = Bench::new();
    bench.import(&fixtures("claude"));
    bench.feed(&["append", "beta-1"], b"a\n");
    bench.feed(&["append", "beta-2"], b"a\n");
    // A session and its sub-agent begin alike.
    assert_eq!(
        bench.json(&["show", "0b5f"])[0]["session"],
        "0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01"
    );
    assert_eq!(bench.json(&["show", "beta-2"])[0]["session"], "beta-2");
    let said = bench.fails(2, &["show", "beta"]);
    assert!(
        said.contains("beta-1, beta-2") && said.contains("next:"),
        "{said}"
    );
    for args in [
        &["show", "gamma"][..],
        &["export", "gamma"],
        &["log", "--session", "gamma"],
        &["show", ""],
    ] {
        let said = bench.fails(5, args);
        assert!(
            said.contains("no session") && said.contains("next:"),
            "{said}"
        );
    }
    let got = bench.run(&["--json", "show", "gamma"]);
    assert_eq!(objects(&got.stderr)[0]["error"]["code"], "unknown_session");
}

#[test]
fn turns_are_picked_from_the_end_or_by_number() {
    let bench = Bench::new();
    bench.import(&fixtures("claude"));
    let all = bench.json(&["show", "0b5f"]);
    let turns: Vec<u64> = all
        .iter()
        .filter(|r| r["kind"] == "turn_submitted")
        .map(|r| r["seq"].as_u64().expect("a number"))
        .collect();
    assert_eq!(turns.len(), 3);
    let from = |seq: u64| {
        all.iter()
            .filter(|r| r["seq"].as_u64() >= Some(seq))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(bench.json(&["show", "0b5f", "--last", "2"]), from(turns[1]));
    assert_eq!(bench.json(&["show", "0b5f", "--last", "3"]), from(turns[0]));
    assert_eq!(bench.json(&["show", "0b5f", "--last", "9"]), all);
    assert_eq!(bench.json(&["show", "0b5f", "--last", "0"]), from(u64::MAX));
    assert_eq!(
        bench.json(&["show", "0b5f", "--from", &turns[1].to_string()]),
        from(turns[1])
    );
    let mut reversed = bench.json(&["show", "0b5f", "--reverse"]);
    reversed.reverse();
    assert_eq!(reversed, all);
    let said = bench.fails(5, &["show", "0b5f", "--from", "1"]);
    assert!(said.contains("no turn 1"), "{said}");
    let shown = bench.good(&["show", "0b5f"]);
    assert!(text(&shown).starts_with("   SEQ"));
    assert!(text(&shown).contains("submitted"), "{}", text(&shown));
}

#[test]
fn the_log_is_told_by_number_from_its_end_and_as_it_grows() {
    let bench = Bench::new();
    bench.feed(&["append", "a"], b"1\n2\n3\n");
    bench.feed(&["append", "b"], b"4\n5\n");
    let all = bench.json(&["log"]);
    assert_eq!(all.len(), 7);
    assert!(
        all.windows(2)
            .all(|pair| pair[0]["lsn"].as_u64() < pair[1]["lsn"].as_u64())
    );
    assert_eq!(bench.json(&["log", "-n", "2"]), all[5..]);
    let from = all[3]["lsn"].to_string();
    assert_eq!(bench.json(&["log", "--from", &from]), all[3..]);
    let of_a = bench.json(&["log", "--session", "a", "-n", "2"]);
    assert_eq!(of_a, all[2..4]);

    let mut follower = bench
        .turnkeep(&["log", "--follow", "--json", "-n", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let mut next = || objects(lines.next().expect("more").expect("reads").as_bytes()).remove(0);
    assert_eq!(next(), all[6]);
    let mut holder = Holder::new(&bench, "later");
    assert_eq!(next()["kind"], "session_created");
    assert_eq!(next()["content"], "held");
    holder.say("and more");
    let more = next();
    assert_eq!(
        (&more["content"], &more["session"]),
        (&"and more".into(), &"later".into())
    );
    follower.kill().expect("kills");
    follower.wait().expect("ends");
}

#[test]
fn a_held_journal_is_refused_with_four_and_who_holds_it_and_can_be_read() {
    let bench = Bench::new();
    let holder = Holder::new(&bench, "notes");
    let pid = holder.0.id().to_string();
    for args in [
        &["append", "x"][..],
        &["compact"],
        &["import", &fixtures("claude")],
    ] {
        let said = bench.fails(4, args);
        assert!(said.contains(&pid) && said.contains("next:"), "{said}");
    }
    let got = bench.run(&["--json", "compact"]);
    assert_eq!(objects(&got.stderr)[0]["error"]["code"], "locked");
    assert_eq!(bench.json(&["sessions"])[0]["session"], "notes");
    assert_eq!(bench.json(&["show", "notes"])[1]["content"], "held");
    bench.good(&["verify"]);
    bench.good(&["stat"]);
    bench.good(&["export", "notes"]);
    // The claim dies with its process.
    drop(holder);
    bench.good(&["compact"]);
}

#[test]
fn what_is_no_journal_is_refused_and_not_touched() {
    let bench = Bench::new();
    for args in [
        &["sessions"][..],
        &["verify"],
        &["compact"],
        &["stat"],
        &["export", "x"],
        &["log"],
    ] {
        let said = bench.fails(5, args);
        assert!(
            said.contains("no journal at") && said.contains("next:"),
            "{args:?}: {said}"
        );
    }
    assert!(!bench.journal().exists(), "looking does not make one");
    fs::create_dir(bench.journal()).expect("creates");
    bench.fails(5, &["sessions"]);
    assert_eq!(fs::read_dir(bench.journal()).expect("reads").count(), 0);
    bench.write("journal/holiday.jpg", b"not yours");
    for args in [
        &["sessions"][..],
        &["verify"],
        &["compact"],
        &["append", "x"],
    ] {
        let said = bench.fails(7, args);
        assert!(
            said.contains("not a journal") && said.contains("next:"),
            "{args:?}: {said}"
        );
    }
    assert_eq!(fs::read_dir(bench.journal()).expect("reads").count(), 1);
    fs::remove_dir_all(bench.journal()).expect("removes");
    fs::write(bench.journal(), b"a file").expect("writes");
    bench.fails(7, &["sessions"]);
    assert_eq!(fs::read(bench.journal()).expect("reads"), b"a file");
}

#[test]
fn damage_is_named_with_three_and_nothing_is_changed() {
    let bench = Bench::new();
    bench.import(&fixtures(""));
    bench.feed(&["append", "after"], b"x\n");
    bench.good(&["verify"]);
    // Inside the first group of the first segment, which everything after it proves durable.
    let segment = first_segment(&bench);
    let mut bytes = fs::read(&segment).expect("reads");
    bytes[4096 + 200] ^= 0x40;
    fs::write(&segment, &bytes).expect("writes");
    let name = segment
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();

    let got = bench.run(&["verify"]);
    assert_eq!(got.status.code(), Some(3));
    assert!(text(&got.stdout).contains(&name), "{}", text(&got.stdout));
    let report = objects(&bench.run(&["--json", "verify"]).stdout);
    assert_eq!(report[0]["findings"][0]["severity"], "damage");
    assert_eq!(report[0]["findings"][0]["file"], name);
    let said = bench.fails(3, &["log"]);
    assert!(said.contains(&name) && said.contains("salvage"), "{said}");
    assert!(fs::read(&segment).expect("reads") == bytes);
}

#[test]
fn a_damaged_journal_is_salvaged_into_another_and_what_is_lost_is_told() {
    let bench = Bench::new();
    bench.import(&fixtures("claude"));
    bench.feed(&["append", "after"], b"kept\n");
    let journal_before = bench.json(&["log"]);
    let segment = first_segment(&bench);
    let mut bytes = fs::read(&segment).expect("reads");
    bytes[4096 + 200] ^= 0x40;
    fs::write(&segment, &bytes).expect("writes");
    // Opening needs only the snapshot; whoever reads there is told.
    bench.fails(3, &["log"]);

    let into = bench.path("rescued");
    let into = into.to_str().expect("UTF-8");
    let got = bench.run(&["--json", "salvage", "--into", into]);
    assert_eq!(got.status.code(), Some(1), "{}", text(&got.stderr));
    let report = objects(&got.stdout).remove(0);
    let lost: u64 = report["lost"]
        .as_array()
        .expect("ranges")
        .iter()
        .map(|range| {
            range["to"].as_u64().expect("a number") - range["from"].as_u64().expect("a number")
        })
        .sum();
    assert!(lost > 0, "{report}");
    // Whose they were is told for each, in both ways of telling.
    let named = report["lost_records"].as_array().expect("a list");
    let ids = journal_before.iter().map(|entry| &entry["session"]);
    let ids: Vec<_> = ids.collect();
    let mut spoken_of = 0;
    for range in named {
        spoken_of += range["to"].as_u64().expect("a number");
        spoken_of -= range["from"].as_u64().expect("a number");
        let sessions = range["sessions"].as_array().expect("a list");
        assert!(!sessions.is_empty(), "the snapshot knows: {range}");
        assert!(
            sessions.iter().all(|of| ids.contains(&&of["id"])),
            "{range}"
        );
    }
    assert_eq!(spoken_of, lost, "{report}");
    for journal in ["journal", "new_journal"] {
        let id = report[journal].as_str().expect("an id is text");
        assert!(
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id}"
        );
    }
    let spoken = bench.path("spoken");
    let got = bench.run(&["salvage", "--into", spoken.to_str().expect("UTF-8")]);
    let said = text(&got.stdout);
    for range in named {
        let id = range["sessions"][0]["id"].as_str().expect("an id");
        let from = format!("lost: lsn {}", range["from"]);
        let line = said.lines().find(|line| line.starts_with(&from));
        assert!(line.is_some_and(|line| line.contains(id)), "{from}: {said}");
    }
    assert!(
        fs::read(&segment).expect("reads") == bytes,
        "the damaged journal is as it was"
    );

    bench.good(&["verify", "--journal", into]);
    let kept = bench.json(&["log", "--journal", into]);
    let mut found = 0;
    for entry in &journal_before {
        found += usize::from(
            kept.iter()
                .any(|k| k["lsn"] == entry["lsn"] && k["content"] == entry["content"]),
        );
    }
    assert_eq!(found as u64 + lost, journal_before.len() as u64);
    assert_eq!(
        bench.json(&["show", "after", "--journal", into])[1]["content"],
        "kept"
    );
    // It goes on as a journal like any other.
    let got = bench.feed(&["append", "after", "--journal", into], b"more\n");
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    // And never over something.
    let said = bench.fails(7, &["salvage", "--into", into]);
    assert!(said.contains("next:"), "{said}");
}

#[test]
fn stat_tells_what_the_journal_is_made_of() {
    let bench = Bench::new();
    bench.feed(&["append", "a"], b"one\ntwo\n");
    bench.feed(&["append", "b"], b"three\n");
    let stat = bench.json(&["stat"]).remove(0);
    assert_eq!(
        (&stat["sessions"], &stat["records"]),
        (&2.into(), &5.into())
    );
    assert_eq!(stat["durable_lsn"], 6);
    let id = stat["id"].as_str().expect("an id is text");
    assert!(
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{id}"
    );
    let on_disk: u64 = fs::read_dir(bench.journal())
        .expect("reads")
        .map(|entry| entry.expect("an entry").metadata().expect("is there").len())
        .sum();
    assert_eq!(stat["bytes"], on_disk);
    assert!(
        stat["files"]["segments"]["files"].as_u64() > Some(0),
        "{stat}"
    );
    assert_eq!(stat["snapshots"], stat["files"]["states"]["files"]);
    let said = bench.good(&["stat"]);
    assert!(text(&said).contains("not compacted"), "{}", text(&said));
}

#[test]
fn the_demonstration_loses_nothing() {
    let bench = Bench::new();
    for input in [None, Some(fixtures(""))] {
        let mut args = vec![
            "demo",
            "--rounds",
            "3",
            "--sessions",
            "4",
            "--seed",
            "11",
            "--json",
        ];
        if let Some(input) = &input {
            args.extend(["--input", input]);
        }
        let got = bench.run(&args);
        assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
        let totals = objects(&got.stdout).remove(0);
        assert_eq!(
            (&totals["lost"], &totals["invented"]),
            (&0.into(), &0.into()),
            "{totals}"
        );
        assert_eq!((&totals["kills"], &totals["seed"]), (&3.into(), &11.into()));
        assert!(totals["turns_acknowledged"].as_u64() > Some(0), "{totals}");
        assert!(totals["turns_recovered"].as_u64() >= totals["turns_acknowledged"].as_u64());
    }
    assert!(!bench.journal().exists(), "it has a journal of its own");
}

#[test]
fn a_demonstration_that_is_kept_can_be_looked_at() {
    let bench = Bench::new();
    let kept = bench.path("kept");
    let kept = kept.to_str().expect("UTF-8");
    // A seed whose first kill waits for an acknowledgement, and so for a session.
    let works = |seed: &u64| {
        let kill = Kills::new(*seed).next().expect("kills never end");
        kill.since == Since::Acknowledged
    };
    let seed = (0..)
        .find(works)
        .expect("three in four are such")
        .to_string();
    let got = bench.run(&["demo", "--rounds", "1", "--seed", &seed, "--keep", kept]);
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    assert!(text(&got.stdout).contains("lost"));
    assert!(text(&got.stderr).contains(kept));
    let journal = format!("{kept}/demo.journal");
    assert!(!bench.json(&["sessions", "--journal", &journal]).is_empty());
    bench.good(&["verify", "--journal", &journal]);
    bench.fails(7, &["demo", "--keep", kept]);
}
