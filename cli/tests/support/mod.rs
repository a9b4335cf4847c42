//! The command, run as its users run it.

#![allow(dead_code, reason = "each test file uses its part")]

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The command with these arguments and nothing of the tester's environment.
pub fn turnkeep(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnkeep"));
    command
        .args(args)
        .env_remove("TURNKEEP_JOURNAL")
        .env_remove("TURNKEEP_KEYS")
        .stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(args: &[&str]) -> Output {
    turnkeep(args).output().expect("the command starts")
}

/// What it printed, as text.
pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the command prints UTF-8")
}

/// The objects of `--json`.
pub fn objects(bytes: &[u8]) -> Vec<Value> {
    let lines = text(bytes).lines();
    lines
        .map(|line| serde_json::from_str(line).expect("every line is an object"))
        .collect()
}

/// A path below the tests' fixtures.
pub fn fixtures(below: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../hosts/tests/fixtures")
        .join(below);
    path.to_str().expect("a path in UTF-8").into()
}

/// A folder with a journal in it.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        Bench { folder }
    }

    /// A path in the folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Writes a file in the folder.
    pub fn write(&self, below: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("creates");
        fs::write(&path, bytes).expect("writes");
        path.to_str().expect("a path in UTF-8").into()
    }

    pub fn journal(&self) -> PathBuf {
        self.path("journal")
    }

    /// The command on the folder's journal.
    pub fn turnkeep(&self, args: &[&str]) -> Command {
        let mut command = turnkeep(args);
        command.env("TURNKEEP_JOURNAL", self.journal());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.turnkeep(args).output().expect("the command starts")
    }

    /// Runs it with something on standard input.
    pub fn feed(&self, args: &[&str], input: &[u8]) -> Output {
        use std::io::Write;
        let mut child = self
            .turnkeep(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut stdin = child.stdin.take().expect("it is a pipe");
        let input = input.to_vec();
        let feeder = std::thread::spawn(move || {
            // The command may end before it has read everything.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("it ends");
        feeder.join().expect("the feeder does not panic");
        output
    }

    /// Runs it, expects success, and returns what it printed.
    pub fn good(&self, args: &[&str]) -> Vec<u8> {
        let got = self.run(args);
        assert_eq!(
            got.status.code(),
            Some(0),
            "{args:?}: {}",
            text(&got.stderr)
        );
        got.stdout
    }

    /// As [`Bench::good`], with `--json`.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        objects(&self.good(&[&["--json"], args].concat()))
    }

    /// Runs it, expects this exit code, and returns what it said.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let got = self.run(args);
        let said = text(&got.stderr).to_owned();
        assert_eq!(got.status.code(), Some(code), "{args:?}: {said}");
        said
    }

    /// The summary of an import.
    pub fn import(&self, path: &str) -> Value {
        let mut objects = self.json(&["import", path]);
        objects.pop().expect("there is a summary")["summary"].take()
    }

    /// How many records there are, ever were, and will not be given again.
    pub fn durable_lsn(&self) -> u64 {
        self.json(&["stat"])[0]["durable_lsn"]
            .as_u64()
            .expect("a number")
    }
}
