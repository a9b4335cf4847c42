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
    /// Variables that are set for it.
    env: Vec<(String, String)>,
    bin: String,
    args: Vec<String>,
}

/// A line of a plan: how many seconds of processor time it may take, how the paths of the files
/// begin that it is for (`*`: all), variables (`NAME=value`), the executable, its arguments.
pub fn plan(text: &str) -> Vec<Step> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    let lines = lines.filter(|line| !line.trim().is_empty());
    let steps = lines.map(|line| {
        let mut words = line.split_whitespace().map(str::to_string).peekable();
        let seconds = words.next().expect("a word");
        let of = words.next().expect("a path").replace('*', "");
        let mut env = Vec::new();
        while let Some(word) = words.next_if(|word| word.contains('=')) {
            let (name, value) = word.split_once('=').expect("was seen");
            env.push((name.to_string(), value.to_string()));
        }
        Step {
            seconds: seconds.parse().expect("seconds"),
            of,
            env,
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

/// A step that passes unchanged takes at most one in so many of the seconds that it has, so that
/// one that uses them up under a mutant does not end at all.
const SPARE: f64 = 3.0;

#[derive(PartialEq)]
enum End {
    Passed,
    Failed,
    /// It used up its processor time.
    Endless,
    /// It waits, or the machine is too full to tell.
    Hung,
}

/// The processor time of all children that have ended.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    // The 14th and 15th behind the name in brackets are those of ended children, in hundredths.
    let fields = stat.rsplit(") ").next().expect("fields").split(' ');
    let ticks = fields
        .skip(13)
        .take(2)
        .map(|field| field.parse::<f64>().expect("ticks"));
    ticks.sum::<f64>() / 100.0
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
        .envs(step.env.iter().cloned())
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
            Some(status) if status.signal() == Some(SIGXCPU) => return End::Endless,
            Some(_) => return End::Failed,
            None if began.elapsed().as_secs() > step.seconds * HUNG => {
                child.kill().expect("is killed");
                child.wait().expect("ends");
                return End::Hung;
            }
            None => std::thread::sleep(Duration::from_millis(3)),
        }
    }
}

/// The mutants that have a line in `results`.
pub fn done(results: &Path) -> BTreeSet<usize> {
    let text = std::fs::read_to_string(results).unwrap_or_default();
    let number = |line: &str| line.split('\t').next().and_then(|n| n.parse().ok());
    text.lines().filter_map(number).collect()
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
    let files: BTreeSet<&str> = numbers.iter().map(|n| &*mutants[n - 1].file).collect();
    let needed = |step: &&Step| files.iter().any(|file| file.starts_with(&step.of));
    for step in steps.iter().filter(needed) {
        let name = format!("{} {}", step.bin, step.args.join(" "));
        let before = processor_seconds();
        assert!(run(tree, step, 0) == End::Passed, "fails unchanged: {name}");
        let took = processor_seconds() - before;
        println!("{took:6.1} of {} s: {} {name}", step.seconds, step.of);
        let allowed = step.seconds as f64 / SPARE;
        assert!(
            took <= allowed,
            "takes {took:.1} s, too long for its limit: {name}"
        );
    }
    let numbers: Vec<_> = numbers.iter().copied().collect();
    let next = AtomicUsize::new(0);
    let path = results;
    let results = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("the results");
    let results = Mutex::new(results);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(&number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Another process may have tried it meanwhile.
                    if done(path).contains(&number) {
                        continue;
                    }
                    let file = &mutants[number - 1].file;
                    let of_it = |step: &&Step| file.starts_with(&step.of);
                    let mut its = steps.iter().filter(of_it);
                    let found = its.find_map(|step| match run(tree, step, number) {
                        End::Passed => None,
                        End::Failed => Some(("caught", step)),
                        End::Endless => Some(("endless", step)),
                        End::Hung => Some(("hung", step)),
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
