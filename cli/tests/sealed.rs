//! Sealed journals, by the command alone.

mod support;

use support::{Bench, fixtures, objects, run, text};

#[test]
fn a_journal_is_sealed_by_a_key_file_and_read_with_it() {
    let bench = Bench::new();
    let keys = bench.path("keys");
    let keys = keys.to_str().expect("UTF-8");
    let made = run(&["keygen", keys]);
    assert!(made.status.success(), "{made:?}");
    let id = text(&made.stdout).trim().to_owned();
    assert_eq!(id.len(), 16, "{id:?}");
    let again = run(&["keygen", keys]);
    assert_eq!(
        again.status.code(),
        Some(6),
        "keys are not overwritten: {again:?}"
    );

    let fed = bench.feed(&["append", "s", "--keys", keys], b"for few eyes\n");
    assert!(fed.status.success(), "{fed:?}");

    let with = bench.run(&["show", "s", "--keys", keys]);
    assert!(text(&with.stdout).contains("for few eyes"), "{with:?}");
    let without = bench.run(&["show", "s"]);
    assert!(without.status.success(), "{without:?}");
    let told = text(&without.stdout);
    assert!(
        told.contains(&format!("sealed with {id}")) && !told.contains("few"),
        "{told}"
    );
    let without = bench.run(&["log", "--json"]);
    let sealed = objects(&without.stdout)
        .into_iter()
        .any(|entry| entry["sealed"] == id.as_str());
    assert!(sealed, "{without:?}");
    assert!(bench.run(&["verify"]).status.success(), "needs no key");

    // An export without the key is refused, and leaves nothing that looks like one.
    let to = bench.path("out");
    let to = to.to_str().expect("UTF-8");
    let refused = bench.run(&["export", "--to", to]);
    assert_eq!(refused.status.code(), Some(7), "{refused:?}");
    assert!(text(&refused.stderr).contains(&id), "{refused:?}");
    let left = std::path::Path::new(to);
    assert!(!left.exists() || walk(left).is_empty());
}

#[test]
fn transcripts_come_back_byte_for_byte_from_a_sealed_journal() {
    let bench = Bench::new();
    let (old, keys) = (bench.path("old"), bench.path("keys"));
    let (old, keys) = (old.to_str().expect("UTF-8"), keys.to_str().expect("UTF-8"));
    assert!(run(&["keygen", old]).status.success());
    let source = bench.write(
        "in/a.jsonl",
        std::fs::read(fixtures(
            "claude/0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01.jsonl",
        ))
        .expect("reads"),
    );
    for _ in 0..2 {
        let imported = bench.run(&["import", &source, "--keys", old]);
        assert!(imported.status.success(), "{imported:?}");
    }
    let rotated = run(&["keygen", keys, "--rotate", old]);
    assert_eq!(text(&rotated.stdout).lines().count(), 2, "{rotated:?}");
    let to = bench.path("out");
    let to = to.to_str().expect("UTF-8");
    let exported = bench.run(&["export", "--to", to, "--keys", keys]);
    assert!(exported.status.success(), "{exported:?}");
    let found = walk(std::path::Path::new(to));
    assert_eq!(found.len(), 1, "{found:?}");
    let same = std::fs::read(&found[0]).expect("reads") == std::fs::read(&source).expect("reads");
    assert!(same, "not byte for byte");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("lists") {
        let path = entry.expect("is there").path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
