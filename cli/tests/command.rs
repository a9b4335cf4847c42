//! The command as its users meet it: streams, exit codes, help.

mod support;

use std::process::Stdio;
use support::{fixtures, run, text, turnkeep};

#[test]
fn help_teaches_and_lists_the_exit_codes() {
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for word in [
        "import",
        "salvage",
        "demo",
        "Exit codes:",
        "TURNKEEP_JOURNAL",
        "agents.journal",
    ] {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
    assert!(!text(&help.stdout).contains("demo-host"));
    assert!(text(&run(&["import", "--help"]).stdout).contains("Examples:"));
}

#[test]
fn usage_errors_end_with_two_and_say_so_on_standard_error() {
    for args in [
        &["no-such-command"][..],
        &["show"],
        &["export"],
        &["log", "--from", "7", "--last", "2"],
        &["demo", "--sessions", "0"],
        &["--color", "sometimes", "stat"],
        &[],
    ] {
        let got = run(args);
        assert_eq!(got.status.code(), Some(2), "{args:?}");
        assert!(got.stdout.is_empty(), "{args:?}");
        assert!(!got.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_path_that_is_not_there_ends_with_five() {
    let got = run(&["import", "--dry-run", "/no/such/folder"]);
    assert_eq!(got.status.code(), Some(5));
    assert!(got.stdout.is_empty());
    assert!(text(&got.stderr).contains("/no/such/folder"));

    let got = run(&["--json", "import", "--dry-run", "/no/such/folder"]);
    let error: serde_json::Value = serde_json::from_slice(&got.stderr).expect("JSON");
    assert_eq!(error["error"]["code"], "not_found");
}

#[test]
fn a_dry_run_tells_what_is_there_and_what_is_damaged() {
    let got = run(&["import", "--dry-run", "--json", &fixtures("")]);
    assert_eq!(got.status.code(), Some(0));
    assert!(got.stderr.is_empty(), "{}", text(&got.stderr));
    let objects: Vec<serde_json::Value> = text(&got.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is an object"))
        .collect();
    let file = |name: &str| {
        let found = objects.iter().find(|o| o["file"] == name);
        found.unwrap_or_else(|| panic!("{name} is listed")).clone()
    };
    let session = file("claude/0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01.jsonl");
    assert_eq!(session["turns"], 3);
    assert_eq!(session["format"], "claude-code");
    assert_eq!(session["lines"], 16);
    let torn = file("damage/torn-and-glued.jsonl");
    assert_eq!(torn["damaged"][0]["line"], 2);
    assert_eq!(torn["damaged"][0]["glued"], true);
    let skipped: Vec<_> = objects
        .iter()
        .filter(|o| o.get("skipped").is_some())
        .collect();
    assert_eq!(skipped.len(), 7);

    let got = run(&["import", "--dry-run", &fixtures("")]);
    assert!(text(&got.stdout).starts_with("SESSION"));
    assert!(text(&got.stderr).contains("torn-then-newline.jsonl: line 2, byte"));
    let got = run(&["import", "--dry-run", "--quiet", &fixtures("")]);
    assert!(got.stderr.is_empty());
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_does_not_end_the_walk_but_shows_in_the_exit_code() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let good = folder.path().join("b.jsonl");
    let closed = folder.path().join("a.jsonl");
    for path in [&good, &closed] {
        std::fs::copy(fixtures("shape/separators.jsonl"), path).expect("copies");
    }
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).expect("closes");
    if std::fs::File::open(&closed).is_ok() {
        return; // A user whom permissions do not bind.
    }
    let path = folder.path().to_str().expect("a path in UTF-8");
    let got = run(&["import", "--dry-run", "--quiet", path]);
    assert_eq!(got.status.code(), Some(1));
    assert!(text(&got.stdout).contains("b.jsonl"));
    assert!(text(&got.stderr).contains("a.jsonl"));
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    for args in [
        &["man"][..],
        &["completions", "bash"],
        &["--json", "import", "--dry-run", &fixtures("claude")],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let got = turnkeep(args)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(|child| child.wait_with_output())
            .expect("the command starts");
        assert_eq!(got.status.code(), Some(0), "{args:?}");
        assert!(got.stderr.is_empty(), "{args:?}: {}", text(&got.stderr));
    }
}

#[test]
fn completions_and_man_page_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.status.code(), Some(0));
        assert!(text(&script.stdout).contains("salvage"), "{shell}");
    }
    let page = run(&["man"]);
    assert_eq!(page.status.code(), Some(0));
    for word in [
        ".TH",
        "TURNKEEP SALVAGE",
        "TURNKEEP BACKUP RESTORE",
        "TURNKEEP UPGRADE",
        "Exit codes",
        "TURNKEEP_JOURNAL",
        "dry\\-run",
    ] {
        assert!(text(&page.stdout).contains(word), "{word}");
    }
    assert!(!text(&page.stdout).contains("DEMO\\-HOST"));
}

#[test]
fn names_in_files_cannot_drive_the_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = r#"{"sessionId":"a\u001b[2Jb\u202ec","type":"user","message":{"content":"x"}}"#;
    std::fs::write(folder.path().join("s.jsonl"), format!("{line}\n{{torn\n")).expect("writes");
    let path = folder.path().to_str().expect("a path in UTF-8");
    let got = run(&["import", "--dry-run", path]);
    for stream in [&got.stdout, &got.stderr] {
        assert!(text(stream).chars().all(|c| c == '\n' || !c.is_control()));
        assert!(!text(stream).contains('\u{202e}'));
    }
    assert!(text(&got.stdout).contains("a\\e[2Jb\\u{202e}c"));
}
