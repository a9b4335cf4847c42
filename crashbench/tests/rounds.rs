//! A few rounds of each schedule, and stores that are known to be bad: the benchmark must see it.

use crashbench::args::WorkerArgs;
use crashbench::disk;
use crashbench::ledger::Ledger;
use crashbench::process::{Finish, Lab};
use crashbench::results::{Outcome, Verdict};
use crashbench::schedules::{Round, Schedule};
use crashbench::stores;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn rounds_with(
    exe: &Path,
    store: &str,
    schedule: Schedule,
    count: u64,
    limit: u64,
) -> Vec<Outcome> {
    let lab = Lab {
        exe: exe.to_owned(),
        timeout: Duration::from_secs(limit),
    };
    let kind = stores::find(store).expect("a store of that name");
    (0..count)
        .map(|number| {
            let home = std::env::temp_dir();
            let round = Round {
                lab: &lab,
                kind: &kind,
                seed: 11,
                number,
                home,
            };
            round.run(schedule).expect("the benchmark itself works")
        })
        .collect()
}

fn rounds(store: &str, schedule: Schedule, count: u64) -> Vec<Outcome> {
    rounds_with(
        Path::new(env!("CARGO_BIN_EXE_crashbench")),
        store,
        schedule,
        count,
        60,
    )
}

/// Whether this machine can run the schedules that need a disk; says so if not.
fn has_disk() -> bool {
    match disk::missing() {
        None => true,
        Some(why) => {
            eprintln!("SKIPPED: {why}");
            false
        }
    }
}

fn assert_whole(outcomes: &[Outcome]) {
    for outcome in outcomes {
        assert_eq!(outcome.verdict, Verdict::Whole, "{outcome:?}");
        assert!(
            outcome.acked > 0 && outcome.missing == 0 && outcome.invented == 0,
            "{outcome:?}"
        );
    }
}

#[test]
fn turnkeep_keeps_what_it_acknowledged_when_it_is_killed() {
    assert_whole(&rounds("turnkeep", Schedule::Kill, 3));
}

#[test]
fn turnkeep_keeps_what_it_acknowledged_when_the_disk_fails_it() {
    if has_disk() {
        for schedule in [
            Schedule::PowerLoss,
            Schedule::PowerLossPosix,
            Schedule::FailedSync,
            Schedule::FullDisk,
        ] {
            assert_whole(&rounds("turnkeep", schedule, 4));
        }
    }
}

#[test]
fn turnkeep_is_never_silent_about_damage() {
    let outcomes = [
        rounds("turnkeep", Schedule::FlippedBit, 4),
        rounds("turnkeep", Schedule::DeletedFile, 2),
    ];
    for outcome in outcomes.iter().flatten() {
        assert!(
            matches!(outcome.verdict, Verdict::Whole | Verdict::Refused),
            "{outcome:?}"
        );
        assert_eq!(outcome.invented, 0, "{outcome:?}");
    }
    assert!(
        outcomes
            .iter()
            .flatten()
            .any(|outcome| outcome.verdict == Verdict::Refused),
        "no round did any damage: {outcomes:?}"
    );
}

/// A host that appends lines without a sync believed them kept; after a power cut they were gone.
#[test]
fn unsynced_lines_are_seen_to_be_lost() {
    if has_disk() {
        for outcome in rounds("jsonl", Schedule::PowerLoss, 4) {
            assert!(outcome.missing > 0, "{outcome:?}");
            assert_ne!(outcome.verdict, Verdict::Whole, "{outcome:?}");
        }
        // The same lines, synced, are kept: it is the sync that is seen, not the store.
        assert_whole(&rounds("jsonl-sync", Schedule::PowerLoss, 4));
    }
}

/// A killed process leaves the kernel's cache, so even unsynced lines are there.
#[test]
fn unsynced_lines_survive_a_kill() {
    assert_whole(&rounds("jsonl", Schedule::Kill, 2));
}

/// A renamed file was empty after a power cut: its name was kept and its bytes were not.
#[test]
fn a_rename_without_a_sync_is_seen_to_lose_the_file() {
    if has_disk() {
        let outcomes = rounds("json-file", Schedule::PowerLoss, 4);
        assert!(
            outcomes.iter().all(|outcome| outcome.missing > 0),
            "{outcomes:?}"
        );
        let torn = |outcome: &Outcome| outcome.verdict == Verdict::Refused;
        assert!(outcomes.iter().any(torn), "{outcomes:?}");
    }
}

/// Text has no checksum: a letter that changed is a different record, and nothing says so.
#[test]
fn a_changed_letter_is_seen_as_lost_and_invented() {
    let outcomes = rounds("jsonl-sync", Schedule::FlippedBit, 4);
    let silent = outcomes
        .iter()
        .filter(|outcome| outcome.verdict == Verdict::Silent);
    assert!(silent.clone().count() > 0, "{outcomes:?}");
    assert!(
        silent.clone().all(|o| o.missing == 1 && o.invented == 1),
        "{outcomes:?}"
    );
}

/// Stands in for a store whose `process`, worker or reader, does something else `instead`.
#[cfg(unix)]
fn stand_in(process: &str, instead: &str, home: &Path) -> PathBuf {
    let exe = home.join(format!("{process}-{}", instead.len()));
    let real = env!("CARGO_BIN_EXE_crashbench");
    let script =
        format!("#!/bin/sh\ncase $1 in\n{process}) {instead};;\n*) exec {real} \"$@\";;\nesac\n");
    // By another process: one that a test beside this one starts would hold our file open for
    // writing, and a file that is open for writing cannot be run.
    let write = r#"printf '%s' "$1" > "$0" && chmod 755 "$0""#;
    let written = Command::new("sh")
        .args(["-c", write])
        .arg(&exe)
        .arg(script)
        .status();
    assert!(written.expect("a shell").success());
    exe
}

#[cfg(unix)]
const PANIC: &str = "echo 'thread panicked at src/lib.rs:1:1:' >&2; echo 'torn page' >&2; exit 101";

#[cfg(unix)]
#[test]
fn a_reader_that_hangs_or_panics_is_a_row_and_not_the_end() {
    let home = tempfile::tempdir().expect("a directory");
    let hangs = stand_in("reader", "exec sleep 30", home.path());
    let outcome = &rounds_with(&hangs, "jsonl", Schedule::Kill, 1, 1)[0];
    assert_eq!(outcome.verdict, Verdict::Hung, "{outcome:?}");

    let panics = stand_in("reader", PANIC, home.path());
    let outcome = &rounds_with(&panics, "jsonl", Schedule::Kill, 1, 10)[0];
    assert_eq!(outcome.verdict, Verdict::Died, "{outcome:?}");
    assert_eq!(
        outcome.said.as_deref(),
        Some("panicked: torn page"),
        "{outcome:?}"
    );
}

#[cfg(unix)]
#[test]
fn an_append_that_never_returns_is_told_from_one_that_ends_the_process() {
    let home = tempfile::tempdir().expect("a directory");
    let finish = |instead: &str| {
        let exe = stand_in("worker", instead, home.path());
        let lab = Lab {
            exe,
            timeout: Duration::from_secs(1),
        };
        let args = WorkerArgs {
            store: "jsonl".to_owned(),
            dir: home.path().to_owned(),
            seed: 1,
            sessions: 1,
            bytes: 64,
            from: 0,
            count: 9,
            give_up: 3,
            pause: None,
            close: false,
        };
        let mut ledger = Ledger::default();
        let finish = lab.worker(&args).expect("a worker").finish(&mut ledger);
        (finish, ledger.count())
    };
    let hung = finish("echo opened; echo ack 0; exec sleep 30");
    assert_eq!(hung, (Finish::Hung, 1));
    let died = finish(&format!("echo opened; echo ack 0; echo ack 1; {PANIC}"));
    assert_eq!(died, (Finish::Died("panicked: torn page".to_owned()), 2));
    let told =
        finish("echo opened; echo ack 0; echo err 1 disk full; echo ack 2; echo done; exit 0");
    assert_eq!(told, (Finish::Told("disk full".to_owned()), 2));
}
