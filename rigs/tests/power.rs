//! Some lives on the file system that forgets, in every test run.

#![cfg(target_os = "linux")]

use std::process::Command;

/// A sync failed, the host opened the journal again in the same boot, was told that what it
/// appended is durable, and after a power cut it stood behind a hole.
#[test]
fn what_is_acknowledged_after_a_failed_sync_survives_the_power_cut() {
    let output = Command::new(env!("CARGO_BIN_EXE_power"))
        .args(["--seeds", "100"])
        .output()
        .expect("the rig starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}");
    if said.starts_with("SKIPPED") {
        return;
    }
    let count = |word: &str| -> u64 {
        let before = said.split(word).next().unwrap_or_default();
        let number = before.split_whitespace().last().unwrap_or_default();
        number.parse().unwrap_or(0)
    };
    assert!(count(" reopenings in the same boot") > 50, "{said}");
    assert!(count(" mapped writes") > 100, "{said}");
    assert_eq!(count(" wrong"), 0, "{said}");
}

/// The rig itself: an engine that swallows the error of a sync, because asking for another one
/// succeeds, does not get by.
#[test]
fn the_power_cuts_find_an_engine_that_swallows_a_sync_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_power"))
        .args(["--seeds", "40", "--break", "RetrySync"])
        .output()
        .expect("the rig starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    if said.starts_with("SKIPPED") {
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    let wrong = said.lines().filter(|line| line.starts_with("WRONG: seed"));
    assert!(wrong.count() > 3, "{said}");
}
