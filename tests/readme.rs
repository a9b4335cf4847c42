//! What README and pages promise, as far as a machine can check it.

use std::fs;
use std::path::Path;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The code blocks of a page, by their language.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let fence = format!("\n```{language}\n");
    let begun = page.split(fence.as_str()).skip(1);
    begun
        .map(|rest| rest.split_once("```").expect("a block that ends").0)
        .collect()
}

/// Somebody copies the host from the README, and it does not compile.
#[test]
fn the_host_in_the_readme_is_the_example_that_compiles() {
    let readme = read("README.md");
    let [host] = blocks(&readme, "rust")[..] else {
        panic!("the README has one block of Rust");
    };
    let example = read("examples/host.rs");
    assert_eq!(host, example);
    assert_eq!(example.lines().count(), 30, "thirty lines are promised");
}

/// Somebody follows a link to a page that was renamed.
#[test]
fn links_between_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in ["docs", "docs/decisions", "docs/evidence"] {
        let listed = fs::read_dir(root.join(folder)).expect("the folder can be listed");
        let paths = listed.map(|entry| entry.expect("the entry can be read").path());
        pages.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    let mut dead = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page can be read");
        for rest in text.split("](").skip(1) {
            let (target, _) = rest.split_once(')').expect("a link that ends");
            let file = target.split('#').next().unwrap_or_default();
            let is_elsewhere = file.contains("://") || file.is_empty();
            if !is_elsewhere && !page.with_file_name(file).exists() {
                dead.push(format!("{} links to {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "\n{}", dead.join("\n"));
}

/// The first thing that CI runs is what the README tells everybody to run.
#[test]
fn ci_runs_the_test_command_of_the_readme_first() {
    let script = read(".ci/run");
    let first = script.lines().find(|line| line.contains("cargo "));
    assert!(
        first.is_some_and(|line| line.ends_with("cargo test")),
        "{first:?}"
    );
    assert!(read("README.md").contains("\ncargo test\n"));
}

/// A row of the recovery table names a test that nobody wrote, or that has another name by now.
#[test]
fn every_test_that_the_recovery_table_names_is_there() {
    let page = read("docs/ARCHITECTURE.md");
    let (_, table) = page.split_once("## The recovery table").expect("the table");
    let (table, _) = table.split_once("\n## ").expect("the end of its section");
    let code = ["recovery/verdict.rs", "tests/recovery_rows.rs"]
        .map(read)
        .concat();
    let words = table.split('`').skip(1).step_by(2);
    let named: Vec<&str> = words.filter(|word| word.contains("_is_")).collect();
    assert!(named.len() >= 8, "{named:?}");
    for name in named {
        assert!(
            code.contains(&format!("fn {name}()")),
            "there is no test {name}"
        );
    }
}
