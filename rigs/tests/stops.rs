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
    assert_eq!(number_before("wrong"), 0, "{last}");
}
