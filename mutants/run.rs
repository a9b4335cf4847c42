//! Runs the tests against each mutant, the quick ones first, until one notices.

use crate::list::Mutant;
use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Some tests: an executable, and what is passed to it.
pub struct Step {
    seconds: u64,
    /// Only for mutants of files whose path begins so.
    of: String,
    bin: String,
    args: Vec<String>,
}

/// A line of a plan: how many seconds of processor time it may take, how the paths of the files begin that it is
/// for (`*`: all), the executable, its arguments.
pub fn plan(text: &str) -> Vec<Step> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    let lines = lines.filter(|line| !line.trim().is_empty());
    let steps = lines.map(|line| {
        let mut words = line.split_whitespace().map(str::to_string);
        let seconds = words.next().expect("a word");
        Step {
            seconds: seconds.parse().expect("seconds"),
            of: words.next().expect("a path").replace('*', ""),
            bin: words.next().expect("an executable"),
            args: words.collect(),
        }
    });
    steps.collect()
}

/// What the kernel sends to a process that used up its processor time.
const SIGXCPU: i32 = 24;

/// Waiting for so many times the processor time is no waiting for the processor.
const HUNG: u64 = 12;

#[derive(PartialEq)]
enum End {
    Passed,
    Failed,
    TooLong,
}

fn run(tree: &Path, step: &Step, number: usize) -> End {
    // What grows without end is stopped at some memory, and what goes on without end in time.
    let bin = std::fs::canonicalize(tree.join("bins").join(&step.bin)).expect("an executable");
    let mut child = Command::new("prlimit")
        .args(["--as=8000000000", "--core=0"])
        .arg(format!("--cpu={}", step.seconds))
        .arg(bin)
        .args(&step.args)
        .env("MUTANT", number.to_string())
        .env("RUST_BACKTRACE", "0")
        .env("RUST_TEST_THREADS", "2")
        .current_dir(tree)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a test starts");
    let began = Instant::now();
    loop {
        match child.try_wait().expect("a child") {
            Some(status) if status.success() => return End::Passed,
            Some(status) if status.signal() == Some(SIGXCPU) => return End::TooLong,
            Some(_) => return End::Failed,
            None if began.elapsed().as_secs() > step.seconds * HUNG => {
                child.kill().expect("is killed");
                child.wait().expect("ends");
                return End::TooLong;
            }
            None => std::thread::sleep(Duration::from_millis(3)),
        }
    }
}

/// Tries `numbers`, and appends a line for each to `results`: number, outcome, tests, mutant.
pub fn try_all(
    tree: &Path,
    mutants: &[Mutant],
    numbers: &BTreeSet<usize>,
    steps: &[Step],
    results: &Path,
    at_once: usize,
) {
    for step in steps {
        let name = format!("{} {}", step.bin, step.args.join(" "));
        assert!(run(tree, step, 0) == End::Passed, "fails unchanged: {name}");
    }
    let numbers: Vec<_> = numbers.iter().copied().collect();
    let next = AtomicUsize::new(0);
    let results = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(results)
        .expect("the results");
    let results = Mutex::new(results);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(&number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let file = &mutants[number - 1].file;
                    let of_it = |step: &&Step| file.starts_with(&step.of);
                    let mut its = steps.iter().filter(of_it);
                    let found = its.find_map(|step| match run(tree, step, number) {
                        End::Passed => None,
                        End::Failed => Some(("caught", step)),
                        End::TooLong => Some(("timeout", step)),
                    });
                    let (outcome, by) = match found {
                        Some((outcome, step)) => (outcome, step.bin.as_str()),
                        None => ("missed", "-"),
                    };
                    let name = &mutants[number - 1].name;
                    let line = format!("{number}\t{outcome}\t{by}\t{name}\n");
                    let mut results = results.lock().expect("no panic");
                    results.write_all(line.as_bytes()).expect("a result");
                }
            });
        }
    });
}
