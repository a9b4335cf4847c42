//! Every command that docs/BACKUP.md and docs/UPGRADING.md show is run, in the order of the page, in
//! a folder with a journal in which a host has worked.

mod support;

use std::path::Path;
use support::{Bench, text, turnkeep};

/// The commands of a page's shell blocks, without their remarks.
fn commands(page: &str) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(page);
    let page = std::fs::read_to_string(path).expect("reads");
    let blocks = page.split("\n```sh\n").skip(1);
    let lines = blocks.flat_map(|rest| {
        let (block, _) = rest.split_once("```").expect("a block that ends");
        block.lines()
    });
    let commands = lines.map(|line| {
        let command = line.split(" #").next().unwrap_or_default();
        command.split_whitespace().map(str::to_owned).collect()
    });
    commands
        .filter(|words: &Vec<_>| !words.is_empty())
        .collect()
}

/// Runs them all; each ends with 0.
fn run_page(page: &str) -> usize {
    let bench = Bench::new();
    let journal = bench.path("agents.journal");
    let journal = journal.to_str().expect("UTF-8");
    for line in ["one\n", "two\n"] {
        let fed = bench.feed(&["append", "notes", "--journal", journal], line.as_bytes());
        assert!(fed.status.success(), "{fed:?}");
    }
    let commands = commands(page);
    for words in &commands {
        let (name, args) = words.split_first().expect("not empty");
        assert_eq!(name, "turnkeep", "{words:?}");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let got = turnkeep(&args).current_dir(bench.path("")).output();
        let got = got.expect("the command starts");
        assert_eq!(
            got.status.code(),
            Some(0),
            "{}: {}",
            words.join(" "),
            text(&got.stderr)
        );
    }
    commands.len()
}

/// Somebody follows the page on the worst day of the year, and a command on it does not exist.
#[test]
fn every_command_about_backups_works_as_shown() {
    assert!(run_page("BACKUP.md") >= 12);
}

#[test]
fn every_command_about_upgrading_works_as_shown() {
    assert!(run_page("UPGRADING.md") >= 5);
}
