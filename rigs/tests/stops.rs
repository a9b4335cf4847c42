//! A small sweep in every test run; the large ones are the binary's.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::process::Command;

/// A host was killed between two system calls, and what it had been told was durable was not
/// whole; or a call failed, and the host was told that nothing had.
#[test]
fn a_kill_or_an_error_at_any_system_call_loses_nothing_acknowledged() {
    let output = Command::new(env!("CARGO_BIN_EXE_stops"))
        .args(["--seeds", "1", "--steps", "8", "--recoveries", "1"])
        .args(["--fault-seeds", "1", "--fault-steps", "3"])
        .args(["--threaded", "40", "--from", "3"])
        .output()
        .expect("the sweep starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}");
    let last = said.lines().last().expect("it says something");
    let number_before = |word: &str| -> u64 {
        let words: Vec<&str> = last.split_whitespace().collect();
        let at = words.iter().position(|w| w.starts_with(word));
        at.and_then(|at| words[at - 1].parse().ok()).unwrap_or(0)
    };
    assert!(number_before("stops") > 500, "{last}");
    assert!(number_before("(call,") > 1000, "{last}");
    assert!(number_before("lasting") > 100, "{last}");
    assert!(number_before("journals") > 20, "{last}");
    assert_eq!(number_before("wrong"), 0, "{last}");
}

/// The rig itself: a sync fails, the pages are taken for clean, and an engine that asks for another
/// sync and believes it does not get by.
#[test]
fn the_sweep_finds_an_engine_that_swallows_a_sync_error() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path().to_str().expect("a name in UTF-8");
    let output = Command::new(env!("CARGO_BIN_EXE_stops"))
        .args(["--seeds", "0", "--threaded", "0", "--recoveries", "0"])
        .args(["--fault-seeds", "1", "--fault-steps", "3"])
        .args(["--home", home, "--break", "RetrySync"])
        .args(["--fault-calls", "fdatasync"])
        .output()
        .expect("the sweep starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let found = "fdatasync, EIO: without what the failed sync was for: ";
    assert!(said.contains(found), "{said}");
}
