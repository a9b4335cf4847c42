//! Reading transcripts: nothing is lost, whatever the file holds.

use std::fs;
use std::path::{Path, PathBuf};
use turnkeep_hosts::transcripts::lines::{LINE_LIMIT_BYTES, RawLines};
use turnkeep_hosts::transcripts::meta::{Content, Why};
use turnkeep_hosts::transcripts::turns::Outcome;
use turnkeep_hosts::transcripts::walk::{self, Skip};
use turnkeep_hosts::transcripts::{Format, Line, Transcript};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn open(source: &str) -> Transcript {
    open_at(&fixtures().join(source), LINE_LIMIT_BYTES)
}

fn open_at(path: &Path, limit_bytes: usize) -> Transcript {
    Transcript::open(path, Path::new("x"), limit_bytes).expect("the fixture can be read")
}

fn lines(transcript: &Transcript) -> (Vec<Line>, u32, Option<Outcome>) {
    let mut lines = transcript.lines().expect("the fixture can be read");
    let all = lines.by_ref().map(|line| line.expect("reads")).collect();
    let turns = lines.turns();
    (all, turns, lines.finish())
}

fn damaged(lines: &[Line]) -> Vec<(u64, Why, u64)> {
    let damage = lines.iter().filter_map(|line| match &line.content {
        Content::Damaged(damage) => Some((line.raw.number, damage.why, damage.at)),
        _ => None,
    });
    damage.collect()
}

/// Every file below `root` that is not a link, found without the code under test.
fn files_below(root: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn assert_reassembles(path: &Path) {
    let file = fs::read(path).expect("the file can be read");
    for limit in [LINE_LIMIT_BYTES, 4096, 7] {
        let mut again = Vec::new();
        for line in RawLines::new(&file[..], limit) {
            let line = line.expect("memory does not fail");
            assert_eq!(line.offset, again.len() as u64, "{}", path.display());
            assert!(!line.bytes.is_empty() && line.bytes.len() <= limit);
            again.extend(line.bytes);
        }
        assert!(again == file, "{} at limit {limit}", path.display());
    }
    let again: Vec<u8> = lines(&open_at(path, LINE_LIMIT_BYTES))
        .0
        .into_iter()
        .flat_map(|line| line.raw.bytes)
        .collect();
    assert!(again == file, "{}", path.display());
}

#[test]
fn the_raw_lines_of_a_file_are_the_file() {
    let mut roots = vec![fixtures()];
    roots.extend(std::env::var_os("TURNKEEP_FIXTURES").map(PathBuf::from));
    for root in roots {
        let mut files = Vec::new();
        files_below(&root, &mut files);
        assert!(!files.is_empty(), "nothing below {}", root.display());
        for file in files {
            assert_reassembles(&file);
        }
    }
}

#[test]
fn a_session_is_cut_into_its_turns() {
    let transcript = open("claude/0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01.jsonl");
    assert_eq!(transcript.format, Format::ClaudeCode);
    assert_eq!(
        transcript.session_id,
        "0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01"
    );
    assert_eq!(transcript.parent_session_id, None);
    let (lines, turns, end) = lines(&transcript);
    assert_eq!((turns, end), (3, None));
    assert_eq!(damaged(&lines), []);
    let turn_of: Vec<_> = lines.iter().map(|l| l.place.turn.unwrap_or(0)).collect();
    assert_eq!(turn_of, [0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 0, 3, 3, 3]);
    let starts: Vec<_> = lines.iter().filter(|l| l.place.starts).collect();
    assert_eq!(starts.len(), 3);
    assert_eq!(lines[5].place.closes, Some(Outcome::Completed));
    assert_eq!(lines[11].place.ends, Some(Outcome::Completed));
    assert_eq!(lines[15].place.ends, Some(Outcome::Interrupted));
}

#[test]
fn a_sub_agent_knows_its_parent() {
    let agent = "claude/0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01/subagents/agent-a1b2c3.jsonl";
    let transcript = open(agent);
    let parent = "0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01";
    assert_eq!(transcript.session_id, format!("{parent}/agent-a1b2c3"));
    assert_eq!(transcript.parent_session_id.as_deref(), Some(parent));
    assert_eq!(lines(&transcript).1, 1);
}

#[test]
fn a_rollout_killed_in_the_middle_goes_on_after_the_torn_line() {
    let transcript =
        open("codex/rollout-2026-03-01T11-00-00-0199a213-81ab-7d30-9c00-5b7f6f0e1a11.jsonl");
    assert_eq!(transcript.format, Format::Codex);
    assert_eq!(
        transcript.session_id,
        "0199a213-81ab-7d30-9c00-5b7f6f0e1a11"
    );
    let (lines, turns, end) = lines(&transcript);
    assert_eq!((turns, end), (3, None));
    let damaged = damaged(&lines);
    assert_eq!(damaged.len(), 1);
    assert_eq!((damaged[0].0, damaged[0].1), (10, Why::Torn));
    let closed: Vec<_> = lines.iter().filter_map(|l| l.place.closes).collect();
    assert_eq!(closed, [Outcome::Interrupted, Outcome::Interrupted]);
    assert_eq!(lines[13].place.ends, Some(Outcome::Completed));
}

#[test]
fn a_rollout_without_tasks_is_cut_at_its_prompts() {
    let transcript =
        open("codex/rollout-2026-03-01T11-05-00-0199a213-aaaa-7d30-9c00-5b7f6f0e1a22.jsonl");
    let parent = transcript.parent_session_id.as_deref();
    assert_eq!(parent, Some("0199a213-81ab-7d30-9c00-5b7f6f0e1a11"));
    assert_eq!(lines(&transcript).1, 2);
}

/// claude-code#52387: a write was torn, the next append landed behind it on the same line, and
/// the conversation ended there for everybody who read the file later.
#[test]
fn a_torn_line_takes_neither_its_successor_nor_the_rest_with_it() {
    let (lines, turns, _) = lines(&open("damage/torn-and-glued.jsonl"));
    assert_eq!(turns, 2);
    let [(2, why, _)] = damaged(&lines)[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(why, Why::NotJson);
    let Content::Damaged(damage) = &lines[1].content else {
        panic!("{lines:?}");
    };
    let glued = damage.glued.as_ref().expect("the append is whole");
    let file = fs::read(fixtures().join("damage/torn-and-glued.jsonl")).expect("reads");
    let text = &file[glued.offset as usize..];
    assert!(text.starts_with(b"{\"parentUuid\""));
    assert_eq!(glued.meta.role.as_deref(), Some("assistant"));
    assert_eq!(lines[2].place.closes, Some(Outcome::Completed));

    let (lines, turns, _) = self::lines(&open("damage/torn-then-newline.jsonl"));
    assert_eq!(turns, 2);
    assert!(matches!(damaged(&lines)[..], [(2, Why::Torn, _)]));
}

/// claude-code#49876, #76059: after a power cut a run of NULs stood in the file.
#[test]
fn a_block_of_nul_bytes_is_one_damaged_line() {
    let (lines, turns, _) = lines(&open("damage/nul-block.jsonl"));
    assert_eq!(turns, 2);
    let nuls: Vec<_> = damaged(&lines);
    let first = lines[0].raw.bytes.len() as u64;
    // The block stands before the answer, on its line; a second one fills a line of its own.
    assert_eq!(nuls[0], (2, Why::Nul { run_bytes: 300 }, first));
    assert!(matches!(nuls[1], (3, Why::Nul { run_bytes: 40 }, _)));
    assert_eq!(nuls.len(), 2);
    assert_eq!(lines[3].place.closes, Some(Outcome::Completed));
}

#[test]
fn a_tail_cut_inside_a_character_is_located() {
    let (lines, _, _) = lines(&open("damage/torn-utf8-tail.jsonl"));
    let size = fs::metadata(fixtures().join("damage/torn-utf8-tail.jsonl")).expect("there");
    assert_eq!(damaged(&lines), [(2, Why::NotUtf8, size.len() - 2)]);
}

#[test]
fn byte_order_mark_crlf_and_separators_are_no_damage() {
    for (source, turns) in [
        ("shape/bom-crlf.jsonl", 2),
        ("shape/separators.jsonl", 1),
        ("shape/no-final-newline.jsonl", 1),
        ("shape/summary-first.jsonl", 1),
    ] {
        let (lines, got, _) = lines(&open(source));
        assert_eq!(damaged(&lines), [], "{source}");
        assert_eq!(got, turns, "{source}");
    }
    let (lines, _, _) = lines(&open("shape/bom-crlf.jsonl"));
    assert_eq!(lines[3].content, Content::Blank);
}

/// siteboon/claudecodeui#1022: a resumed session's file begins with lines of the one before.
#[test]
fn a_resumed_session_is_named_by_its_file() {
    let transcript = open("shape/7d1e8a44-3b0c-4f6f-9a52-e1c0d5b7a902.jsonl");
    assert_eq!(
        transcript.session_id,
        "7d1e8a44-3b0c-4f6f-9a52-e1c0d5b7a902"
    );
    let (lines, _, _) = lines(&transcript);
    let ids = lines.iter().filter_map(|line| match &line.content {
        Content::Known(meta) => meta.session_id.clone(),
        _ => None,
    });
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 2);
}

#[test]
fn a_line_over_the_limit_is_kept_in_pieces_and_the_next_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.jsonl");
    let user = r#"{"sessionId":"s","type":"user","message":{"role":"user","content":"hi"}}"#;
    let huge = format!(
        r#"{{"sessionId":"s","type":"progress","data":"{}"}}"#,
        "x".repeat(9000)
    );
    fs::write(&path, format!("{user}\n{huge}\n{user}\n")).expect("writes");
    let transcript = open_at(&path, 1000);
    let (lines, turns, _) = lines(&transcript);
    assert_eq!(turns, 2);
    let damaged = damaged(&lines);
    assert_eq!(damaged.len(), 10);
    assert!(
        damaged
            .iter()
            .all(|(number, why, _)| (*number, *why) == (2, Why::TooLong))
    );
    let bytes: Vec<u8> = lines.iter().flat_map(|l| l.raw.bytes.clone()).collect();
    assert_eq!(bytes, fs::read(&path).expect("reads"));
}

#[test]
fn a_walk_is_ordered_and_says_why_it_leaves_something_out() {
    let walked = walk::walk(&fixtures()).expect("the fixtures are there");
    let seen: Vec<_> = walked
        .iter()
        .map(|entry| {
            let source = entry.source.to_string_lossy().replace('\\', "/");
            (source, walk::open(entry, LINE_LIMIT_BYTES).err())
        })
        .collect();
    let s = "claude/0b5f2c1e-9a37-4d5e-8f10-2c6a7d9e4b01";
    let codex = "codex/rollout-2026-03-01T11";
    let expected = [
        (".gitattributes".into(), Some(Skip::NotJsonl)),
        (format!("{s}.jsonl"), None),
        (format!("{s}/subagents/agent-a1b2c3.jsonl"), None),
        (format!("{s}/tool-results/big.txt"), Some(Skip::NotJsonl)),
        (
            format!("{codex}-00-00-0199a213-81ab-7d30-9c00-5b7f6f0e1a11.jsonl"),
            None,
        ),
        (
            format!("{codex}-05-00-0199a213-aaaa-7d30-9c00-5b7f6f0e1a22.jsonl"),
            None,
        ),
        ("damage/all-nul.jsonl".into(), Some(Skip::UnknownFormat)),
        ("damage/nul-block.jsonl".into(), None),
        ("damage/torn-and-glued.jsonl".into(), None),
        ("damage/torn-then-newline.jsonl".into(), None),
        ("damage/torn-utf8-tail.jsonl".into(), None),
        ("foreign/hooks.jsonl".into(), Some(Skip::UnknownFormat)),
        ("foreign/notes.md".into(), Some(Skip::NotJsonl)),
        ("foreign/prose.jsonl".into(), Some(Skip::UnknownFormat)),
        (
            "shape/7d1e8a44-3b0c-4f6f-9a52-e1c0d5b7a902.jsonl".into(),
            None,
        ),
        ("shape/bom-crlf.jsonl".into(), None),
        ("shape/empty.jsonl".into(), Some(Skip::Empty)),
        ("shape/no-final-newline.jsonl".into(), None),
        ("shape/separators.jsonl".into(), None),
        ("shape/summary-first.jsonl".into(), None),
    ];
    assert_eq!(seen, expected);
}

#[cfg(unix)]
#[test]
fn links_and_pipes_are_neither_followed_nor_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    fs::create_dir(root.join("a")).expect("creates");
    std::os::unix::fs::symlink(root, root.join("a/loop.jsonl")).expect("links");
    std::os::unix::fs::symlink(root.join("gone"), root.join("a/dangling.jsonl")).expect("links");
    let made = std::process::Command::new("mkfifo")
        .arg(root.join("a/pipe.jsonl"))
        .status();
    assert!(made.expect("mkfifo is part of every unix").success());
    let walked = walk::walk(root).expect("the folder is there");
    let reasons: Vec<_> = walked.into_iter().filter_map(|e| e.skipped).collect();
    assert_eq!(
        reasons,
        [Skip::SymbolicLink, Skip::SymbolicLink, Skip::NotAFile]
    );
}

#[test]
fn a_single_file_is_walked_whatever_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("copy.txt");
    fs::copy(fixtures().join("shape/separators.jsonl"), &path).expect("copies");
    let walked = walk::walk(&path).expect("the file is there");
    assert_eq!(walked.len(), 1);
    assert_eq!(walked[0].source, Path::new("copy.txt"));
    assert!(walk::open(&walked[0], LINE_LIMIT_BYTES).is_ok());
    assert!(walk::walk(&folder.path().join("missing")).is_err());
}

#[test]
fn a_file_that_cannot_be_read_is_one_skipped_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.jsonl");
    fs::copy(fixtures().join("shape/separators.jsonl"), &path).expect("copies");
    let walked = walk::walk(folder.path()).expect("the folder is there");
    fs::remove_file(&path).expect("removes");
    let skip = walk::open(&walked[0], LINE_LIMIT_BYTES).expect_err("it has gone");
    assert!(skip.is_failure(), "{skip}");
}
