//! The one-way line: each room uses only what stands to its left.
//!
//! Nothing else holds it, for the rooms are modules of one crate and the compiler lets every one
//! see every other. So the sources are read here: the module tree is followed from `lib.rs`,
//! comments and strings are left out, and every path that leads to another room is compared with
//! the line. Code that only tests compile is free to look to the right.

mod source;

use source::{Source, crate_sources, module_of, module_tree, relative, root};
use std::collections::BTreeSet;
use std::fs;

/// The rooms, from left to right, and what each may use besides the rooms to its left.
const LINE: [(&str, &[&str]); 9] = [
    // Bytes have faults of their own; a broken variant may be switched on anywhere.
    ("format", &["error", "sabotage"]),
    ("model", &["error", "sabotage"]),
    ("storage", &["error", "sync", "sabotage"]),
    ("journal", &["error", "sync", "sabotage"]),
    ("snapshot", &["error", "sync", "sabotage"]),
    ("recovery", &["error", "sync", "sabotage"]),
    ("audit", &["error", "sync", "sabotage"]),
    ("backup", &["error", "sync", "sabotage"]),
    ("aio", &["error", "sync", "sabotage"]),
];

/// Files of the root that rooms use, and what they may use themselves. An error names places in
/// the log; otherwise they stand on nothing.
const ROOT_FILES: [(&str, &[&str]); 3] = [("error", &["format"]), ("sync", &[]), ("sabotage", &[])];

/// Rooms that use less than the line allows: the disk knows nothing of what it holds.
const NARROWER: [(&str, &[&str]); 1] = [("storage", &["format", "model"])];

/// Crates that one place alone may name, so that another can take their place.
const NAMED_ONLY_IN: [(&str, &[&str]); 12] = [
    ("crc32fast", &["format/checksum.rs"]),
    ("bincode", &["format/body.rs"]),
    ("lz4_flex", &["format/pack_block.rs"]),
    ("chacha20poly1305", &["format/seal.rs"]),
    ("zeroize", &["format/seal.rs"]),
    ("memmap2", &["storage/mmap.rs"]),
    ("rustix", &["storage/"]),
    ("parking_lot", &["sync.rs"]),
    ("loom", &["sync.rs"]),
    ("tokio", &["aio/"]),
    ("metrics", &["journal/meters.rs"]),
    ("tracing", &["journal/watch.rs"]),
];

/// Parts of the standard library that one place alone may name.
const STD_ONLY_IN: [(&[&str], &[&str]); 8] = [
    (&["std", "fs"], &["storage/"]),
    (&["std", "net"], &[]),
    (&["std", "process"], &["storage/"]),
    (&["std", "env"], &["storage/"]),
    // Locks and atomics by way of `sync.rs`, where loom can follow them. The words of the
    // watermark page live in a file, where it cannot.
    (&["std", "sync", "atomic"], &["sync.rs", "storage/mmap.rs"]),
    (&["std", "sync", "Mutex"], &["sync.rs"]),
    (&["std", "sync", "RwLock"], &["sync.rs"]),
    (&["std", "sync", "Condvar"], &["sync.rs"]),
];

#[test]
fn each_room_uses_only_what_stands_to_its_left() {
    report(crate_sources().iter().flat_map(steps_out_of_line).collect());
}

#[test]
fn each_dependency_is_named_in_one_place() {
    report(crate_sources().iter().flat_map(misplaced_names).collect());
}

#[test]
fn unsafe_code_is_in_one_file() {
    let is_unsafe = |source: &Source| {
        source.file != "storage/mmap.rs"
            && source
                .words()
                .any(|word| word == "unsafe" || word == "unsafe_code")
    };
    let found = crate_sources().into_iter().filter(is_unsafe);
    report(
        found
            .map(|source| format!("{} has unsafe code", source.file))
            .collect(),
    );
}

#[test]
fn library_code_never_unwraps() {
    report(crate_sources().iter().flat_map(unwraps).collect());
}

#[test]
fn every_file_of_a_room_belongs_to_the_crate() {
    let reached: BTreeSet<String> = module_tree()
        .into_iter()
        .map(|module| module.file)
        .collect();
    let mut orphans = Vec::new();
    for (room, _) in LINE {
        let mut folders = vec![root().join(room)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("the room can be listed") {
                let path = entry.expect("the entry can be read").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    let file = relative(&path);
                    if !reached.contains(&file) {
                        orphans.push(format!("{file} is in no module"));
                    }
                }
            }
        }
    }
    report(orphans);
}

/// Before any of the above is believed: sources that break each rule, and are found.
#[test]
fn a_broken_line_is_found() {
    let source = |file: &str, text: &str| Source::new(file, module_of(file), text);
    let out_of_line = |file, text| steps_out_of_line(&source(file, text)).len();

    assert_eq!(
        out_of_line("model/fold.rs", "use crate::format::ids::Lsn;"),
        0
    );
    assert_eq!(
        out_of_line("model/fold.rs", "use crate::journal::tail::Tail;"),
        1
    );
    assert_eq!(
        out_of_line("format/frame.rs", "use crate::{sabotage, storage::dir};"),
        1
    );
    assert_eq!(
        out_of_line(
            "journal/tail.rs",
            "use crate::{format::{ids::Lsn, group}, snapshot};"
        ),
        1
    );
    assert_eq!(
        out_of_line("storage/disk.rs", "fn f() { crate::model::x() }"),
        1
    );
    assert_eq!(
        out_of_line("journal/tail.rs", "use super::super::recovery::open;"),
        1
    );
    assert_eq!(
        out_of_line("journal/tail.rs", "use super::commit::Commit;"),
        0
    );
    assert_eq!(
        out_of_line("journal/mod.rs", "mod a { use super::super::recovery; }"),
        1
    );
    assert_eq!(
        out_of_line("journal/mod.rs", "mod a { use super::recovery; }"),
        0
    );
    assert_eq!(
        out_of_line("journal/tail.rs", "use crate::Journal;"),
        1,
        "the front page"
    );
    assert_eq!(
        out_of_line("sync.rs", "use crate::format::ids::Lsn;"),
        1,
        "stands on nothing"
    );
    assert_eq!(out_of_line("error.rs", "use crate::format::ids::Lsn;"), 0);
    assert_eq!(
        out_of_line(
            "model/a.rs",
            "// crate::journal\n/* crate::journal /* nested */ */"
        ),
        0
    );
    assert_eq!(
        out_of_line("model/a.rs", r##"let a = r#"crate::journal"#;"##),
        0
    );
    assert_eq!(
        out_of_line("model/a.rs", r#"let a = '"'; use crate::journal;"#),
        1
    );
    assert_eq!(
        out_of_line(
            "snapshot/a.rs",
            "#[cfg(test)] mod tests { use crate::recovery; } use crate::model;"
        ),
        0
    );
    assert_eq!(
        out_of_line(
            "snapshot/a.rs",
            "#[cfg(test)] use crate::recovery; use crate::recovery::open;"
        ),
        1
    );
    assert_eq!(
        out_of_line(
            "snapshot/a.rs",
            r#"#[cfg(any(test, feature = "sim"))] use crate::recovery;"#
        ),
        1,
        "not only tests compile it"
    );

    let misplaced = |file, text| misplaced_names(&source(file, text)).len();
    assert_eq!(misplaced("journal/a.rs", "use parking_lot::Mutex;"), 1);
    assert_eq!(misplaced("journal/a.rs", "let x = crc32fast::hash(b);"), 1);
    assert_eq!(misplaced("storage/disk/unix.rs", "use rustix::fs;"), 0);
    assert_eq!(misplaced("journal/a.rs", "use std::fs::File;"), 1);
    assert_eq!(
        misplaced("journal/a.rs", "use std::{io, sync::{Arc, Mutex}};"),
        1
    );
    assert_eq!(misplaced("journal/a.rs", "#[cfg(loom)] fn f() {}"), 0);

    let unwrapping = |text| unwraps(&source("model/a.rs", text)).len();
    assert_eq!(unwrapping("fn f() { g().unwrap() }"), 1);
    assert_eq!(
        unwrapping("#[cfg(test)] mod tests { fn f() { g().unwrap() } }"),
        0
    );
    assert_eq!(unwrapping("fn f() { g().unwrap_or_default() }"), 0);
}

fn report(mut broken: Vec<String>) {
    broken.sort();
    broken.dedup();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn steps_out_of_line(source: &Source) -> Vec<String> {
    let Some(home) = source.module.first().cloned() else {
        return Vec::new(); // lib.rs stands at the right end and uses everything
    };
    let rooms = LINE.iter().position(|(room, _)| *room == home);
    let mut allowed: BTreeSet<&str> = match rooms {
        Some(at) => {
            let left = LINE[..=at].iter().map(|(room, _)| *room);
            left.chain(LINE[at].1.iter().copied()).collect()
        }
        None => {
            let (_, uses) = ROOT_FILES
                .iter()
                .find(|(file, _)| *file == home)
                .unwrap_or_else(|| panic!("{home} is neither a room nor a known file of the root"));
            uses.iter().copied().chain([home.as_str()]).collect()
        }
    };
    for (room, not) in NARROWER.iter().filter(|(room, _)| *room == home) {
        assert_eq!(*room, home);
        allowed.retain(|used| !not.contains(used));
    }
    let mut broken = Vec::new();
    for path in source.paths() {
        let Some(target) = source.resolve(&path) else {
            continue;
        };
        if !allowed.contains(target.as_str()) {
            broken.push(format!("{} uses {}", source.file, path.words.join("::")));
        }
    }
    broken
}

fn misplaced_names(source: &Source) -> Vec<String> {
    let is_in = |places: &[&str]| {
        places.iter().any(|place| match place.strip_suffix('/') {
            Some(_) => source.file.starts_with(place),
            None => source.file == *place,
        })
    };
    let mut broken = Vec::new();
    for path in source.paths() {
        let found =
            |name: &[&str]| path.words.len() >= name.len() && path.words[..name.len()] == *name;
        for (name, places) in NAMED_ONLY_IN {
            if path.words.len() > 1 && found(&[name]) && !is_in(places) {
                broken.push(format!("{} names {name}", source.file));
            }
        }
        for (name, places) in STD_ONLY_IN {
            if found(name) && !is_in(places) {
                broken.push(format!("{} names {}", source.file, name.join("::")));
            }
        }
    }
    broken
}

fn unwraps(source: &Source) -> Vec<String> {
    let shapes = source.tokens.windows(3);
    shapes
        .filter(|shape| *shape == [".", "unwrap", "("])
        .map(|_| format!("{} unwraps", source.file))
        .collect()
}
