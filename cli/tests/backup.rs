//! Backups and upgrades by the command alone: what they print, and how they end.

mod support;

use std::fs;
use std::path::PathBuf;
use support::{Bench, objects, run, text};
use turnkeep::Journal;

/// A journal with two sessions, closed.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.feed(&["append", "notes"], b"one\ntwo\n");
    bench.feed(&["append", "gone"], b"secret\n");
    bench
}

/// The store beside the journal.
fn store(bench: &Bench) -> PathBuf {
    bench.path("journal.backups")
}

fn of_number(bench: &Bench, number: u64) -> PathBuf {
    store(bench).join(format!("{number:020}.backup"))
}

/// Every file below a folder, byte for byte.
fn bytes(folder: &std::path::Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("is there").path();
        match path.is_dir() {
            true => found.extend(bytes(&path)),
            false => found.push((path.clone(), fs::read(&path).expect("reads"))),
        }
    }
    found.sort();
    found
}

fn rot(bench: &Bench, number: u64) {
    let dir = of_number(bench, number);
    let segment = bytes(&dir)
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|e| e == "seg"));
    let (path, mut bytes) = segment.expect("there is one");
    bytes[4096 + 100] ^= 0x40;
    fs::write(path, bytes).expect("writes");
}

#[test]
fn a_backup_is_made_listed_verified_and_read_as_a_journal() {
    let bench = bench();
    let said = bench.good(&["backup", "list"]);
    assert!(said.is_empty(), "{}", text(&said));
    let before = bytes(&bench.journal());
    let made = &bench.json(&["backup", "create"])[0];
    assert_eq!(
        (&made["number"], &made["kind"]),
        (&1.into(), &"consistent".into())
    );
    let named = &bench.json(&["backup", "create", "--name", "before-the-move"])[0];
    assert_eq!(named["name"], "before-the-move");
    assert_eq!(bytes(&bench.journal()), before, "the journal is as it was");

    let listed = bench.json(&["backup", "list"]);
    let states: Vec<_> = listed.iter().map(|l| (&l["number"], &l["state"])).collect();
    assert_eq!(
        states,
        [
            (&1.into(), &"complete".into()),
            (&2.into(), &"complete".into())
        ]
    );
    let table = bench.good(&["backup", "list"]);
    assert!(text(&table).contains("before-the-move"), "{}", text(&table));

    for which in [&["1"][..], &["before-the-move"], &["newest"], &[]] {
        let args = [&["backup", "verify"], which].concat();
        assert!(text(&bench.good(&args)).contains(": good"), "{which:?}");
    }
    let all = bench.json(&["backup", "verify", "--all"]);
    assert_eq!(all.len(), 2);
    assert_eq!(all[1]["backup"]["name"], "before-the-move");
    bench.fails(2, &["backup", "verify", "1", "--all"]);
    assert!(
        bench
            .fails(5, &["backup", "verify", "7"])
            .contains("no backup")
    );
    bench.fails(7, &["backup", "create", "--name", "before-the-move"]);

    let dir = of_number(&bench, 1);
    let dir = dir.to_str().expect("UTF-8");
    let sessions = bench.json(&["sessions", "--journal", dir]);
    assert_eq!(sessions.len(), 2);
    // Reading is one thing, writing to it another.
    let refused = bench.feed(&["append", "notes", "--journal", dir], b"x\n");
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
}

/// A copy that was never looked at is found to be rotten on the day it is needed.
#[test]
fn a_rotten_backup_is_told_not_restored_and_not_counted() {
    let bench = bench();
    for _ in 0..3 {
        bench.good(&["backup", "create"]);
    }
    rot(&bench, 3);
    let got = bench.run(&["backup", "verify"]);
    assert_eq!(got.status.code(), Some(3), "{}", text(&got.stdout));
    assert!(
        text(&got.stdout).contains("damaged"),
        "{}",
        text(&got.stdout)
    );
    assert_eq!(
        bench.run(&["backup", "verify", "--all"]).status.code(),
        Some(3)
    );
    let before = bytes(&bench.journal());
    let said = bench.fails(3, &["backup", "restore"]);
    assert!(said.contains("backup 2"), "it names a sound one: {said}");
    assert_eq!(bytes(&bench.journal()), before);
    let pruned = bench.run(&["backup", "prune", "--keep", "1", "--json"]);
    assert_eq!(pruned.status.code(), Some(1), "{pruned:?}");
    let pruned = &objects(&pruned.stdout)[0];
    assert_eq!(pruned["damaged"], serde_json::json!([3]));
    assert_eq!(pruned["kept"][0]["number"], 2, "the last good one");
    assert_eq!(pruned["removed"][0]["number"], 1);
    // Its label broken too, it is still named.
    fs::write(of_number(&bench, 3).join("BACKUP"), "x").expect("writes");
    assert_eq!(bench.run(&["backup", "list"]).status.code(), Some(1));
}

/// Somebody restored yesterday's backup to see what it was, and today was gone.
#[test]
fn a_restore_says_first_what_it_costs_and_can_be_taken_back() {
    let bench = bench();
    bench.good(&["backup", "create"]);
    let then = bench.json(&["show", "notes"]);
    bench.feed(&["append", "notes"], b"three\n");
    let (journal, _) = Journal::open(bench.journal()).expect("opens");
    let gone = journal.find("gone").expect("is there");
    gone.delete().expect("is deleted");
    journal.close().expect("closes");
    let now = bench.json(&["show", "notes"]);

    let before = (bytes(&bench.journal()), bytes(&store(&bench)));
    let told = text(&bench.good(&["backup", "restore", "--dry-run"])).to_owned();
    assert!(told.contains("would restore"), "{told}");
    assert!(told.contains("stays erased: session \"gone\""), "{told}");
    assert_eq!((bytes(&bench.journal()), bytes(&store(&bench))), before);

    let done = &bench.json(&["backup", "restore"])[0];
    assert_eq!(done["backup"]["number"], 1);
    assert_eq!(done["kept"]["number"], 2);
    assert_eq!(done["erased_again"][0]["session"], "gone");
    assert_eq!(bench.json(&["show", "notes"]), then);
    bench.fails(5, &["show", "gone"]);
    bench.good(&["verify"]);
    let appended = bench.feed(&["append", "notes"], b"four\n");
    assert!(appended.status.success(), "{appended:?}");

    bench.good(&["backup", "restore", "2"]);
    assert_eq!(bench.json(&["show", "notes"]), now);
    let elsewhere = bench.path("elsewhere");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    bench.good(&["backup", "restore", "1", "--into", elsewhere]);
    // Into a place where nothing was deleted, all of it comes.
    bench.good(&["show", "gone", "--journal", elsewhere]);
    bench.good(&["backup", "restore", "1", "--bring-back"]);
    bench.good(&["show", "gone"]);
}

#[test]
fn a_journal_in_use_is_backed_up_and_not_restored_over() {
    let bench = bench();
    bench.good(&["backup", "create"]);
    let (journal, _) = Journal::open(bench.journal()).expect("opens");
    let notes = journal.session("notes").expect("opens");
    notes.append("line", "five").expect("appends");
    let made = &bench.json(&["backup", "create"])[0];
    assert_eq!(made["next_lsn"], journal.durable_lsn().get());
    bench.fails(4, &["backup", "restore", "1"]);
    bench.fails(4, &["upgrade", "--rewrite"]);
    drop(journal);
}

/// A rotation by count alone removed the only copy of before the mistake.
#[test]
fn pruning_goes_by_count_and_age_and_spares_names() {
    let bench = bench();
    bench.good(&["backup", "create", "--name", "first"]);
    for _ in 0..3 {
        bench.good(&["backup", "create"]);
    }
    let numbers = |pruned: &serde_json::Value, of: &str| -> Vec<u64> {
        let backups = pruned[of].as_array().expect("a list");
        let numbers = backups.iter().map(|b| b["number"].as_u64());
        numbers.map(|n| n.expect("a number")).collect()
    };
    let young = &bench.json(&["backup", "prune", "--keep", "1", "--older-than", "1d"])[0];
    assert_eq!(numbers(young, "kept"), [1, 2, 3, 4]);
    let planned = &bench.json(&["backup", "prune", "--keep", "1", "--dry-run"])[0];
    assert_eq!(numbers(planned, "removed"), [2, 3]);
    assert_eq!(bench.json(&["backup", "list"]).len(), 4);
    let done = &bench.json(&["backup", "prune", "--keep", "1"])[0];
    assert_eq!(numbers(done, "removed"), [2, 3]);
    assert_eq!(numbers(done, "kept"), [1, 4]);
    bench.fails(2, &["backup", "prune"]);
    bench.fails(2, &["backup", "prune", "--keep", "0"]);
    bench.good(&["backup", "remove", "first"]);
    let said = bench.fails(7, &["backup", "remove", "4"]);
    assert!(said.contains("no other"), "{said}");
    bench.fails(5, &["backup", "remove", "first"]);
}

#[test]
fn an_export_is_a_journal_of_its_own_and_overwrites_nothing() {
    let bench = bench();
    bench.good(&["backup", "create"]);
    let to = bench.path("exported");
    let to = to.to_str().expect("UTF-8");
    bench.good(&["backup", "export", "newest", "--to", to]);
    assert_eq!(
        bench.json(&["show", "notes", "--journal", to]),
        bench.json(&["show", "notes"])
    );
    bench.good(&["verify", "--journal", to]);
    let before = bytes(to.as_ref());
    bench.fails(7, &["backup", "export", "1", "--to", to]);
    assert_eq!(bytes(to.as_ref()), before);
    let appended = bench.feed(&["append", "notes", "--journal", to], b"x\n");
    assert!(appended.status.success(), "{appended:?}");
}

#[test]
fn a_store_of_its_own_is_named_once_for_all() {
    let bench = bench();
    let mine = bench.path("mine");
    let mine = mine.to_str().expect("UTF-8");
    bench.good(&["backup", "--store", mine, "create"]);
    bench.good(&["backup", "create", "--store", mine]);
    let mut by_variable = bench.turnkeep(&["backup", "list", "--json"]);
    let listed = by_variable.env("TURNKEEP_BACKUPS", mine).output();
    assert_eq!(objects(&listed.expect("runs").stdout).len(), 2);
    assert!(!store(&bench).exists());
    bench.fails(5, &["backup", "create", "--journal", "/no/such/journal"]);
    bench.fails(5, &["backup", "restore"]);
    let bare = run(&["backup"]);
    assert_eq!(bare.status.code(), Some(2));
    assert!(text(&bare.stderr).contains("Examples:"), "it teaches");
}

#[test]
fn an_upgrade_keeps_the_old_files_until_it_is_confirmed() {
    let bench = bench();
    let then = bench.json(&["show", "notes"]);
    let told = &bench.json(&["upgrade", "--dry-run"])[0];
    assert_eq!(told["after"], serde_json::Value::Null);
    assert!(!store(&bench).exists(), "nothing was written");
    let told = text(&bench.good(&["upgrade"])).to_owned();
    assert!(told.contains("nothing was done"), "{told}");
    bench.fails(5, &["upgrade", "--confirm"]);

    let before = bytes(&bench.journal());
    let done = &bench.json(&["upgrade", "--rewrite"])[0];
    let number = done["kept"]["number"].as_u64().expect("a number");
    assert!(done["records"].as_u64() >= Some(5), "{done}");
    assert_eq!(bench.json(&["show", "notes"]), then);
    let log = fs::read_to_string(store(&bench).join("upgrade.log")).expect("reads");
    for step in ["begin", "kept as backup", "records equal", "in force"] {
        assert!(log.contains(step), "{step}: {log}");
    }
    // The way back: the files of before, byte for byte.
    let old = bench.path("old");
    let name = done["kept"]["name"]
        .as_str()
        .expect("it has one")
        .to_owned();
    let to = old.to_str().expect("UTF-8");
    bench.good(&["backup", "export", &name, "--to", to]);
    let file = |(path, bytes): &(PathBuf, Vec<u8>)| {
        let name = path.file_name().expect("has one").to_owned();
        (name != "LOCK").then(|| (name, bytes.clone()))
    };
    let files_before: Vec<_> = before.iter().filter_map(file).collect();
    let files_old: Vec<_> = bytes(&old).iter().filter_map(file).collect();
    assert_eq!(files_old, files_before);

    // From another directory, where the journal's path is another one.
    let mut confirm = bench.turnkeep(&["upgrade", "--confirm", "--journal", "journal"]);
    let confirmed = confirm.current_dir(bench.path("")).output().expect("runs");
    assert!(confirmed.status.success(), "{confirmed:?}");
    assert!(!of_number(&bench, number).exists());
    let log = fs::read_to_string(store(&bench).join("upgrade.log")).expect("reads");
    assert!(log.contains("confirmed"), "{log}");
    bench.fails(2, &["upgrade", "--confirm", "--dry-run"]);
}
