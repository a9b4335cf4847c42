//! Hostile files through the command: each is told and kept, and none of them makes it take more
//! memory than it says. One test alone, as the system tells the largest of all commands that ran.

#![cfg(target_os = "linux")]

mod support;

use nix::sys::resource::{UsageWho, getrusage};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use support::Bench;

/// What an import may take, whatever it is given: `Limits` and docs/IMPORT.md say so.
const BOUND_BYTES: i64 = 192 << 20;

/// What an import of ordinary transcripts may take, whatever their size. It is mostly what the
/// journal knows of its records, some 40 bytes of each.
const ORDINARY_BYTES: i64 = 64 << 20;

const LINE: &str = r#"{"type":"user","sessionId":"0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01","uuid":"u","message":{"role":"user","content":"hi"}}"#;

fn file(root: &Path, name: &str) -> BufWriter<File> {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("in a folder")).expect("creates");
    BufWriter::new(File::create_new(path).expect("creates"))
}

/// `before`, then `what` as often as it fits into `bytes`, then `after`.
fn fill(root: &Path, name: &str, before: &str, what: &str, bytes: usize, after: &str) {
    let mut out = file(root, name);
    out.write_all(before.as_bytes()).expect("writes");
    for _ in 0..bytes / what.len() {
        out.write_all(what.as_bytes()).expect("writes");
    }
    out.write_all(after.as_bytes()).expect("writes");
    out.flush().expect("writes");
}

/// The most that a command of this test took so far.
fn took() -> i64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("tells");
    usage.max_rss() * 1024
}

#[test]
fn no_file_makes_an_import_take_more_memory_than_it_says() {
    let bench = Bench::new();
    let ordinary = bench.path("ordinary");
    for name in 0..8 {
        let line = format!("{}{}\n", &LINE[..LINE.len() - 3], "x".repeat(1000) + "\"}}");
        fill(
            &ordinary,
            &format!("{name}.jsonl"),
            &line,
            &line,
            8 << 20,
            "",
        );
    }
    bench.import(ordinary.to_str().expect("UTF-8"));
    println!(
        "an import of ordinary transcripts took {} MiB",
        took() >> 20
    );
    assert!(took() < ORDINARY_BYTES, "it took {} MiB", took() >> 20);

    let root = bench.path("hostile");
    let session = "0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b0";
    let first = format!("{LINE}\n");
    // Long lines: of a record's size, of more, of brackets, and of nothing but a hole.
    let x = format!("{LINE}\n{{\"type\":\"user\",\"x\":\"");
    let end = format!("\"}}\n{LINE}\n");
    fill(
        &root,
        &format!("p/{session}1.jsonl"),
        &x,
        "x",
        15 << 20,
        &end,
    );
    fill(
        &root,
        &format!("p/{session}2.jsonl"),
        &x,
        "x",
        40 << 20,
        &end,
    );
    fill(
        &root,
        &format!("p/{session}3.jsonl"),
        &first,
        "[",
        15 << 20,
        "\n",
    );
    fill(
        &root,
        &format!("p/{session}4.jsonl"),
        &first,
        "{\"a\":",
        20 << 20,
        "",
    );
    let mut hole = file(&root, &format!("p/{session}5.jsonl"));
    hole.write_all(first.as_bytes()).expect("writes");
    hole.seek(SeekFrom::Start(200 << 20)).expect("seeks");
    hole.write_all(format!("\n{LINE}\n").as_bytes())
        .expect("writes");
    drop(hole);
    // Documents: quotes, which double in a record; a million messages; depth; too large.
    let head = r#"{"session_id":"a1b2c3d4e5f6","workspace":"/w","messages":["#;
    let many = r#"{"role":"user","content":"0"},"#;
    fill(
        &root,
        "a/sessions/a1.json",
        &head[..head.len() - 13],
        "\\\"",
        5 << 20,
        "",
    );
    let text = r#"{"session_id":"a2","workspace":"/w","x":""#;
    fill(&root, "a/sessions/a2.json", text, "\\\"", 5 << 20, "\"}");
    fill(&root, "a/sessions/a3.json", text, "\\\"", 20 << 20, "\"}");
    fill(&root, "a/sessions/a4.json", head, many, 15 << 20, "{}]}");
    fill(&root, "a/sessions/a5.json", head, "[", 10 << 20, "");
    fill(&root, "a/sessions/a6.json", head, "0,", 2 << 20, "0]}");
    fill(&root, "a/sessions/a7.json", head, many, 60 << 20, "{}]}");
    // A list with more in it than is told apart, and a database with rows of every size.
    fill(&root, "a/sessions/a8.json", head, "0,", 4 << 20, "0]}");
    let path = root.join("m/claude-mem.db");
    fs::create_dir_all(path.parent().expect("in a folder")).expect("creates");
    let database = rusqlite::Connection::open(path).expect("opens");
    database
        .execute_batch(
            "CREATE TABLE odd(x); INSERT INTO odd VALUES (zeroblob(7000000)),
             (CAST(zeroblob(8000000) AS TEXT)), (zeroblob(30000000)), ('kept');",
        )
        .expect("fills");
    drop(database);
    let from = root.to_str().expect("UTF-8");
    let told = bench.json(&["import", from]);
    let took = getrusage(UsageWho::RUSAGE_CHILDREN)
        .expect("tells")
        .max_rss()
        * 1024;
    println!("an import of hostile files took {} MiB", took >> 20);
    assert!(took < BOUND_BYTES, "it took {} MiB", took >> 20);
    // Nothing was taken at the price of leaving something out.
    let skipped: Vec<_> = told.iter().filter(|o| o.get("skipped").is_some()).collect();
    assert!(skipped.is_empty(), "{skipped:?}");
    fs::remove_dir_all(&ordinary).expect("removes");
    let out = bench.path("out");
    bench.good(&["export", "--to", out.to_str().expect("UTF-8")]);
    // What is compared below: the ordinary ones have had their turn elsewhere.
    for file in told.iter().filter_map(|object| object["file"].as_str()) {
        let (is, was) = (out.join(file), root.join(file));
        assert!(same(&is, &was), "{file} differs");
    }
    assert_eq!(told.iter().filter(|o| o.get("file").is_some()).count(), 14);
}

/// Compares without reading whole files at once.
fn same(a: &Path, b: &Path) -> bool {
    let mut files = [a, b].map(|path| File::open(path).expect("it is there"));
    let lengths = [a, b].map(|path| fs::metadata(path).expect("it is there").len());
    let mut pieces = [vec![0; 1 << 20], vec![0; 1 << 20]];
    let mut rest = lengths[0];
    while lengths[0] == lengths[1] && rest > 0 {
        let len = rest.min(1 << 20) as usize;
        for (file, piece) in files.iter_mut().zip(&mut pieces) {
            file.read_exact(&mut piece[..len]).expect("reads");
        }
        if pieces[0][..len] != pieces[1][..len] {
            return false;
        }
        rest -= len as u64;
    }
    lengths[0] == lengths[1]
}
