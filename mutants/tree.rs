//! The woven tree: writes the files, builds the tests, takes out what does not compile.

use crate::list::Mutant;
use crate::weave::weave;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

/// The switch, appended to `lib.rs`.
const SWITCH: &str = r#"
static MUTANT_ON: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(u32::MAX);

#[cold]
fn mutant_on() -> u32 {
    let on = std::env::var("MUTANT").map_or(0, |on| on.parse().expect("a number"));
    MUTANT_ON.store(on, std::sync::atomic::Ordering::Relaxed);
    on
}

#[inline(always)]
pub(crate) fn mutant(number: u32) -> bool {
    let mut on = MUTANT_ON.load(std::sync::atomic::Ordering::Relaxed);
    if on == u32::MAX {
        on = mutant_on();
    }
    on == number
}
"#;

/// What became of the mutants, by number.
pub struct Woven {
    pub on: BTreeSet<usize>,
    /// The compiler refuses them.
    pub refused: BTreeSet<usize>,
}

/// Weaves the sources of `from` into the copy `tree` of it, and builds its tests.
pub fn make(from: &Path, tree: &Path, mutants: &[Mutant]) -> Woven {
    let lib = std::fs::read_to_string(from.join("lib.rs")).expect("lib.rs");
    std::fs::write(tree.join("lib.rs"), lib + SWITCH).expect("lib.rs is written");
    let mut by_file: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (index, mutant) in mutants.iter().enumerate() {
        let numbered = (index + 1, mutant);
        by_file.entry(&mutant.file).or_default().push(numbered);
    }
    let mut refused = BTreeSet::new();
    loop {
        let mut on = BTreeSet::new();
        for (file, numbered) in &by_file {
            let source = std::fs::read_to_string(from.join(file)).expect("a source");
            let kept: Vec<_> = numbered
                .iter()
                .filter(|(number, _)| !refused.contains(number))
                .copied()
                .collect();
            let (text, numbers) = weave(&source, &kept);
            on.extend(numbers);
            std::fs::write(tree.join(file), text).expect("a woven source");
        }
        let errors = build(tree);
        if errors.is_empty() {
            return Woven { on, refused };
        }
        let before = refused.len();
        for (file, line, message) in errors {
            match culprit(tree, &file, line) {
                Some(number) => {
                    refused.insert(number);
                }
                None => panic!("{file}:{line}: {message}"),
            }
        }
        eprintln!("{} do not compile", refused.len());
        assert!(refused.len() > before, "the same errors again");
    }
}

/// The mutant whose switch is the last one up to a line.
fn culprit(tree: &Path, file: &str, line: usize) -> Option<usize> {
    let text = std::fs::read_to_string(tree.join(file)).ok()?;
    let lines: Vec<_> = text.lines().take(line).collect();
    lines.iter().rev().find_map(|line| {
        let (_, after) = line.split_once("crate::mutant(")?;
        after.split_once(')')?.0.parse().ok()
    })
}

/// Builds all tests; their executables are in `bins` afterwards. Errors, by place.
fn build(tree: &Path) -> Vec<(String, usize, String)> {
    let bins = tree.join("bins");
    let _ = std::fs::remove_dir_all(&bins);
    std::fs::create_dir(&bins).expect("bins");
    let or = |name, or: &str| std::env::var(name).unwrap_or(or.to_owned());
    let output = Command::new("cargo")
        .args(["test", "-p", "turnkeep", "--no-run", "--lib"])
        .args(["--profile", &or("MUTANTS_PROFILE", "dev")])
        .args(or("MUTANTS_TESTS", "--tests").split(' '))
        .args(["--message-format=json"])
        .current_dir(tree)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    let mut errors = Vec::new();
    for line in output.stdout.split(|&byte| byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if let Some(executable) = message["executable"].as_str() {
            let target = &message["target"];
            let name = match target["kind"][0].as_str() {
                Some("lib") => "lib",
                _ => target["name"].as_str().expect("a name"),
            };
            let _ = std::os::unix::fs::symlink(executable, bins.join(name));
        }
        if message["message"]["level"] == "error" {
            let spans = message["message"]["spans"].as_array();
            let primary = spans.and_then(|all| all.iter().find(|span| span["is_primary"] == true));
            if let Some(span) = primary {
                errors.push((
                    span["file_name"].as_str().expect("a file").to_string(),
                    span["line_start"].as_u64().expect("a line") as usize,
                    message["message"]["message"].to_string(),
                ));
            }
        }
    }
    assert!(
        output.status.success() || !errors.is_empty(),
        "cargo failed without an error in a source"
    );
    errors
}
