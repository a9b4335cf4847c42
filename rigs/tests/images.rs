//! Some power cuts of each real file system, in every test run; the many are the command's.

#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};

const FILE_SYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// What the rig says, and whether it found nothing wrong; `None` where it cannot run.
fn images(options: &[&str]) -> Option<(String, bool)> {
    let output = Command::new(env!("CARGO_BIN_EXE_images"))
        .args(options)
        .stderr(Stdio::null())
        .output()
        .expect("the rig starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{said}");
    (!said.starts_with("SKIPPED")).then(|| (said, output.status.success()))
}

/// The power went while a journal on a real file system was written to; the kernel replayed its
/// own journal, and something that had been acknowledged was not there.
#[test]
fn what_is_acknowledged_on_a_real_file_system_survives_the_power_cut() {
    for kind in FILE_SYSTEMS {
        let options = ["--fs", kind, "--images", "20", "--per-host", "10", "--json"];
        let Some((said, good)) = images(&options) else {
            continue;
        };
        assert!(good, "{said}");
        let count = |word: &str| -> u64 {
            let word = format!("\"{word}\":");
            let after = said.split(word.as_str()).nth(1).unwrap_or_default();
            let digits = after.split(|c: char| !c.is_ascii_digit()).next();
            digits.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        assert_eq!(count("images"), 20, "{said}");
        assert!(count("distinct") > 12, "{said}");
        assert!(count("flushes") > 50, "{said}");
        assert!(count("acknowledged") > 150, "{said}");
    }
}

/// The rig itself: an engine that acknowledges what it has not synced does not get by.
#[test]
fn the_cuts_find_an_engine_that_does_not_sync() {
    for kind in FILE_SYSTEMS {
        for variant in ["SkipSync", "AckBeforeSync"] {
            let keep = tempfile::tempdir().expect("a directory");
            let keep = keep.path().to_str().expect("a name in UTF-8");
            let options = ["--fs", kind, "--images", "60", "--keep", keep];
            let options = [&options[..], &["--enough", "1", "--break", variant]].concat();
            if let Some((said, good)) = images(&options) {
                assert!(!good && said.contains("WRONG: "), "{variant}: {said}");
                // The image that was kept shows it again.
                let replay = said.split("--replay ").nth(1).unwrap_or_default();
                let image = replay.lines().next().unwrap_or_default();
                let (said, good) = images(&["--replay", image]).expect("it just ran");
                assert!(!good && said.contains("WRONG: "), "{variant}: {said}");
            }
        }
    }
}
