//! Damage is found, named by its file, and nothing is changed.

mod lost;
mod motion;
mod told;

use super::*;
use crate::recovery::testing::{Home, ReadOnlyDisk, fill, small};

fn look(home: &Home) -> VerifyReport {
    let before = home.files();
    let report = verify_on(Arc::new(ReadOnlyDisk), &home.path, &mut |_| ()).expect("verifies");
    assert!(before == home.files(), "verifying changed a file");
    report
}

/// The files in which damage was found.
fn blamed(report: &VerifyReport) -> Vec<&str> {
    let mut files: Vec<&str> = report.damage().filter_map(|f| f.file.as_deref()).collect();
    files.dedup();
    files
}

fn opens(home: &Home) -> bool {
    let copy = tempfile::tempdir().expect("a directory");
    for (name, bytes) in home.files() {
        std::fs::write(copy.path().join(name), bytes).expect("is copied");
    }
    small().open(copy.path()).is_ok()
}

#[test]
fn a_sound_journal_verifies_beside_its_writer_and_without() {
    let home = Home::new();
    let journal = home.open();
    let count = fill(&journal, "a", 3, 120).len();
    let report = look(&home);
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.findings, [], "{report}");
    assert_eq!(report.records, count as u64 + 3);
    assert_eq!(report.sessions, 3);
    assert_eq!(report.next_lsn, journal.durable_lsn());
    assert_eq!(report.durable_lsn, journal.durable_lsn());
    drop(journal);
    assert!(look(&home).is_sound());
    let journal = home.open();
    fill(&journal, "b", 3, 20);
    let report = look(&home);
    assert_eq!(report.findings, [], "{report}");
    assert_eq!(report.next_lsn, journal.durable_lsn());
}

#[test]
fn progress_ends_at_the_total() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 100);
    let mut last = (0, 1);
    let report = verify_on(Arc::new(DiskStorage), &home.path, &mut |p| {
        assert!(p.done_bytes >= last.0 && p.done_bytes <= p.total_bytes);
        last = (p.done_bytes, p.total_bytes);
    });
    let report = report.expect("verifies");
    assert!(report.is_sound());
    assert_eq!(last.0, last.1);
    let files = home.files();
    let ours = || files.iter().filter(|(name, _)| *name != "LOCK");
    assert_eq!(report.files, ours().count() as u64);
    assert_eq!(
        report.bytes,
        ours().map(|(_, bytes)| bytes.len() as u64).sum()
    );
    assert_eq!(last.1, report.bytes);
}

/// Damage is looked for again only if a writer was at work meanwhile.
#[test]
fn a_damaged_journal_at_rest_is_read_once() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 60);
    drop(journal);
    home.flip(&home.logged()[0], 4096 * 3 + 100);
    let mut begun = 0;
    let report = verify_on(Arc::new(DiskStorage), &home.path, &mut |p| {
        begun += usize::from(p.file == names::WATERMARK);
    });
    assert!(!report.expect("verifies").is_sound());
    assert_eq!(begun, 1);
}

#[test]
fn a_directory_under_a_files_name_is_a_warning() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 3);
    drop(journal);
    std::fs::create_dir(home.path.join("00000000000000000099.pack")).expect("is made");
    let report = verify(&home.path).expect("verifies");
    let codes: Vec<_> = report
        .findings
        .iter()
        .map(|f| (f.severity, f.code))
        .collect();
    assert_eq!(codes, [(Severity::Warning, "not_a_file")], "{report}");
}

#[test]
fn a_segment_without_its_header_is_counted_as_one() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 120);
    drop(journal);
    let count = look(&home).segments;
    assert!(count > 2);
    home.flip(&home.logged()[1], 20);
    let report = look(&home);
    assert!(!report.is_sound());
    assert_eq!(report.segments, count);
}

/// The newest manifest rots. What the one before refers to may be gone by right.
#[test]
fn what_a_damaged_newer_manifest_may_have_given_up_is_a_warning() {
    let home = Home::new();
    compacted(&home);
    let manifests = || {
        home.names("")
            .into_iter()
            .filter(|n| n.starts_with("manifest"))
    };
    let newest = manifests().max().expect("one");
    assert!(manifests().count() > 1, "the one before is kept");
    let before = crate::format::manifest::Manifest::decode(
        &home.read(&manifests().rev().nth(1).expect("two")),
    );
    let given_up: Vec<_> = before
        .expect("good")
        .snapshots
        .iter()
        .flat_map(|s| s.packs.clone())
        .map(|pack| names::pack(pack.id))
        .filter(|name| !home.path.join(name).exists())
        .collect();
    home.flip(&newest, 100);
    let report = look(&home);
    for name in given_up {
        let of = |f: &&Finding| f.file.as_deref() == Some(&*name);
        let finding = report.findings.iter().find(of).expect("is named");
        assert_eq!(finding.severity, Severity::Warning, "{report}");
        assert!(finding.what.contains("may have given it up"), "{report}");
    }
    assert!(
        report.damage().all(|f| f.file.as_deref() == Some(&*newest)),
        "{report}"
    );
}

#[test]
fn a_bit_flipped_in_any_group_is_found_in_its_file() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 100);
    drop(journal);
    let good = home.files();
    for name in home.logged() {
        let groups: Vec<usize> = (4096..good[&name].len())
            .step_by(4096)
            .filter(|at| good[&name][*at..at + 3] == *b"TKG")
            .collect();
        for (n, group) in groups.iter().enumerate() {
            // Of each group another byte: of its header, its frame's header, its payload.
            let offset = group + [5, 13, 22, 60, 64, 75, 90, 103, 106, 111][n % 10];
            home.flip(&name, offset);
            let report = look(&home);
            assert!(!report.is_sound(), "{name} at {offset}");
            assert_eq!(blamed(&report), [name.as_str()], "{report}");
            assert_eq!(report.findings[0].offset, Some(*group as u64), "{report}");
            assert!(!opens(&home), "{name} at {offset}");
            if n > 0 && n + 1 < groups.len() {
                // Nor if only the groups behind it prove that it was durable.
                home.remove("WATERMARK");
                assert_eq!(blamed(&look(&home)), [name.as_str()]);
                home.write("WATERMARK", &good["WATERMARK"]);
            }
            home.write(&name, &good[&name]);
        }
    }
}

#[test]
fn every_fault_is_named_and_not_only_the_first() {
    let home = Home::new();
    let journal = home.open();
    let count = fill(&journal, "a", 2, 100).len() as u64 + 2;
    drop(journal);
    let segments = home.logged();
    home.flip(&segments[0], 4096 * 3 + 80);
    home.flip(&segments[0], 4096 * 9 + 80);
    home.flip(&segments[3], 4096 * 5 + 80);
    home.flip(&segments[4], 20);
    let report = look(&home);
    assert_eq!(
        blamed(&report),
        [&segments[0], &segments[3], &segments[4]].map(|s| s.as_str())
    );
    let lost = report
        .damage()
        .filter(|f| f.code == "group" || f.code == "log")
        .count();
    assert_eq!(lost, 3, "{report}");
    assert_eq!(report.records, count - 3, "{report}");
}

#[test]
fn a_missing_segment_is_named() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 100);
    drop(journal);
    let segments = home.logged();
    home.remove(&segments[2]);
    let report = look(&home);
    assert!(blamed(&report).contains(&segments[2].as_str()), "{report}");
    assert!(!opens(&home));
}

#[test]
fn a_missing_last_segment_is_named() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 100);
    drop(journal);
    let logged = home.logged();
    home.remove(logged.last().expect("a segment"));
    let left = home.logged();
    let newest = left.last().expect("a segment");
    for unused in home.names(".seg").iter().filter(|name| *name > newest) {
        home.remove(unused);
    }
    let report = look(&home);
    assert!(!report.is_sound(), "{report}");
    let finding = report.damage().next().expect("damage");
    assert_eq!(finding.lsn_to, Some(report.durable_lsn));
}

#[test]
fn a_torn_tail_is_no_damage() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    session.append("event", "durable").expect("is kept");
    let mark = home.read("WATERMARK");
    session.append("event", "torn").expect("is kept");
    let bytes = home.read(&home.logged()[0]);
    drop(journal);
    // As a power cut before the last sync returned leaves it.
    home.write("WATERMARK", &mark);
    home.write(&home.logged()[0], &bytes);
    let last = (4096..bytes.len())
        .step_by(4096)
        .rfind(|at| bytes[*at..at + 3] == *b"TKG")
        .expect("a group");
    home.flip(&home.logged()[0], last + 110);
    let report = look(&home);
    assert!(report.is_sound(), "{report}");
    assert!(report.torn_bytes > 0);
    assert_eq!(report.findings[0].code, "torn_tail");
    assert!(opens(&home));
}

#[test]
fn a_damaged_manifest_or_page_is_named() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 10);
    drop(journal);
    let good = home.files();
    let manifest = "manifest-00000001";
    for offset in (0..good[manifest].len()).step_by(3) {
        home.flip(manifest, offset);
        let report = look(&home);
        assert!(blamed(&report).contains(&manifest), "{offset}: {report}");
    }
    home.remove(manifest);
    let report = look(&home);
    assert!(!report.is_sound());
    assert_eq!(
        report.next_lsn.get(),
        12,
        "the records are still read: {report}"
    );
    home.write(manifest, &good[manifest]);
    home.write("WATERMARK", &[7; 4096]);
    let report = look(&home);
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.findings[0].file.as_deref(), Some("WATERMARK"));
}

#[test]
fn foreign_files_are_noted_and_left_alone() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 3);
    home.write("notes.txt", b"hello");
    home.write("00000000000000000009.pack.tmp", b"half");
    let report = look(&home);
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.findings.len(), 2, "{report}");
    let missing = verify(home.path.join("nothing")).expect_err("is refused");
    assert_eq!(missing.code(), "not_found");
}

#[test]
fn verifying_while_a_thread_writes_finds_nothing() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 1);
    let writer = std::thread::spawn({
        let journal = journal.clone();
        move || fill(&journal, "b", 4, 200)
    });
    while !writer.is_finished() {
        let durable = journal.durable_lsn();
        let report = verify(&home.path).expect("verifies");
        assert!(report.is_sound(), "{report}");
        assert!(report.next_lsn >= durable);
    }
    writer.join().expect("writes");
}

#[test]
fn one_segment_verifies_by_itself() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 100);
    drop(journal);
    let name = home.logged()[1].clone();
    let report = verify_segment(home.path.join(&name)).expect("verifies");
    assert!(report.sealed && report.findings.is_empty(), "{report:?}");
    assert_eq!(
        report.records,
        report.end_lsn.get() - report.first_lsn.get()
    );
    home.flip(&name, 4096 * 4 + 100);
    let damaged = verify_segment(home.path.join(&name)).expect("verifies");
    assert_eq!((damaged.sealed, damaged.bytes), (false, 4096 * 4));
    let other = verify_segment(home.path.join("LOCK")).expect_err("is refused");
    assert_eq!(other.code(), "invalid");
}

/// A journal with packs, two snapshots, and a log behind them.
fn compacted(home: &Home) {
    let journal = home.open();
    for round in 0..3 {
        fill(&journal, &format!("r{round}"), 3, 60);
        journal.compact().expect("compacts");
    }
    fill(&journal, "tail", 3, 30);
    journal.checkpoint().expect("is kept");
    fill(&journal, "after", 3, 5);
}

#[test]
fn packs_and_snapshots_verify_and_count_each_record_once() {
    let home = Home::new();
    compacted(&home);
    let journal = home.open();
    let report = look(&home);
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.records + 1, journal.durable_lsn().get(), "{report}");
    assert!(report.packs > 1 && report.snapshots > 1);
    journal.close().expect("closes");
    let report = look(&home);
    assert_eq!(report.findings, [], "{report}");
    assert_eq!(report.records + 1, report.next_lsn.get());
}

#[test]
fn a_bit_flipped_anywhere_in_a_published_file_is_found_in_it() {
    let home = Home::new();
    compacted(&home);
    let good = home.files();
    let manifest = home
        .names("")
        .into_iter()
        .rfind(|name| name.starts_with("manifest"));
    let mut files = home.names(".pack");
    files.extend(home.names(".state"));
    files.extend(manifest);
    for name in files {
        let len = good[&name].len();
        for offset in (0..len).step_by(len / 40 + 1).chain(len - 8..len) {
            home.flip(&name, offset);
            let report = look(&home);
            assert_eq!(blamed(&report), [name.as_str()], "byte {offset}: {report}");
            for block in report.findings.iter().filter(|f| f.code == "pack_block") {
                assert!(block.lsn_from < block.lsn_to, "which records are concerned");
            }
            home.write(&name, &good[&name]);
        }
    }
}

#[test]
fn a_missing_file_of_a_snapshot_is_named() {
    let home = Home::new();
    compacted(&home);
    let good = home.files();
    for name in home.names(".pack").into_iter().chain(home.names(".state")) {
        home.remove(&name);
        let report = look(&home);
        assert_eq!(blamed(&report), [name.as_str()], "{report}");
        home.write(&name, &good[&name]);
    }
    assert!(look(&home).is_sound());
}

#[test]
fn verifying_while_a_thread_appends_and_compacts_finds_nothing() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 1);
    let writer = std::thread::spawn({
        let journal = journal.clone();
        move || {
            for round in 0..8 {
                fill(&journal, &format!("b{round}"), 3, 40);
                journal.compact().expect("compacts");
            }
        }
    });
    while !writer.is_finished() {
        let report = verify(&home.path).expect("verifies");
        assert!(report.is_sound(), "{report}");
    }
    writer.join().expect("writes");
}

/// The newest segment is cut, below what a snapshot covers: reading there is refused, and verify,
/// which took the cut for the end of the log, said that everything was sound.
#[test]
fn a_cut_below_the_snapshot_is_seen() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 6);
    let end = journal.durable_lsn();
    journal.close().expect("closes");
    let name = home.logged().pop().expect("a segment");
    let bytes = home.read(&name);
    for blocks in 1..6 {
        for more in [0, 1, 100] {
            home.write(&name, &bytes[..blocks * 4096 + more]);
            let report = verify(&home.path).expect("verifies");
            assert!(!report.is_sound(), "{blocks} {more}: {report}");
            let named = report.damage().find(|f| f.file.as_deref() == Some(&*name));
            let named = named.expect("the segment is named");
            assert_eq!(named.offset, Some(blocks as u64 * 4096), "{report}");
            assert_eq!(named.lsn_to, Some(end), "{report}");
        }
    }
    home.write(&name, &bytes);
    assert!(verify(&home.path).expect("verifies").is_sound());
}
