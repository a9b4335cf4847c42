//! What a verification says: of directories that are no journals, of files that nothing refers
//! to, of records that log and packs hold differently, and in which words.

use super::*;
use crate::recovery::testing::files;

#[test]
fn what_holds_no_file_of_a_journal_is_refused_and_anything_else_is_looked_at() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 3);
    drop(journal);
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("notes.txt"), "x").expect("is written");
    let refused = verify(dir.path()).expect_err("is refused");
    assert_eq!(refused.code(), "not_a_journal");
    // A copy of one segment among other things.
    let name = &home.logged()[0];
    std::fs::write(dir.path().join(name), home.read(name)).expect("is written");
    let report = verify(dir.path()).expect("verifies");
    assert!(!report.is_sound());
    assert_eq!(report.records, 4, "{report}");
}

/// A crash left behind what publications gave up: a pack, a state file, a segment, a spare. They
/// are noted, and read to their last byte.
#[test]
fn what_nothing_refers_to_is_noted_and_read_through() {
    let home = Home::new();
    compacted(&home);
    let before = home.files();
    let journal = small().max_packs(2).open(&home.path).expect("opens").0;
    for round in 0..6 {
        fill(&journal, &format!("more{round}"), 3, 60);
        journal.compact().expect("compacts");
    }
    drop(journal);
    let now = home.files();
    let mut left = Vec::new();
    for ending in [".pack", ".state", ".seg"] {
        let gone = |name: &&String| {
            name.ends_with(ending) && !name.starts_with("spare") && !now.contains_key(*name)
        };
        let name = before.keys().find(gone).expect("one was given up");
        home.write(name, &before[name]);
        left.push(name.clone());
    }
    home.write(&names::spare(3), &[0; 5000]);
    let mut seen = BTreeMap::new();
    let mut last = (0, 1);
    let report = verify_on(Arc::new(DiskStorage), &home.path, &mut |p| {
        *seen.entry(p.file.to_owned()).or_insert(0) += p.done_bytes - last.0;
        last = (p.done_bytes, p.total_bytes);
    });
    let report = report.expect("verifies");
    let noted = report
        .findings
        .iter()
        .map(|f| (f.severity, f.code, f.file.clone()));
    left.sort();
    let expected: Vec<_> = left
        .iter()
        .map(|name| (Severity::Note, "unreferenced", Some(name.clone())))
        .collect();
    assert_eq!(noted.collect::<Vec<_>>(), expected, "{report}");
    for (name, bytes) in files(&home.path) {
        if name != "LOCK" {
            assert_eq!(seen.get(&name).copied(), Some(bytes.len() as u64), "{name}");
        }
    }
    assert_eq!(last.0, last.1);
}

/// A segment comes from a copy of the journal that went another way: under one LSN the log holds
/// a record, and a pack another one. Both validate.
#[test]
fn a_record_that_the_log_and_a_pack_hold_differently_is_named() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    for n in 0..4 {
        session
            .append("event", format!("common {n}"))
            .expect("is kept");
    }
    drop((session, journal));
    let copied = home.files();
    let go_on = |content: &str| {
        let journal = home.open();
        let session = journal.session("s").expect("opens");
        let lsn = session.append("event", content).expect("is kept");
        journal.compact().expect("compacts");
        lsn
    };
    let one = go_on("this way");
    let packed = home.files();
    for name in packed.keys() {
        home.remove(name);
    }
    for (name, bytes) in &copied {
        home.write(name, bytes);
    }
    assert_eq!(go_on("that way"), one);
    let other = home.files();
    for name in other.keys() {
        home.remove(name);
    }
    for (name, bytes) in &packed {
        home.write(name, bytes);
    }
    assert_eq!(look(&home).findings, []);
    let at = |bytes: &[u8]| bytes.windows(8).position(|w| w == b"that way");
    let (name, offset) = other
        .iter()
        .filter(|(name, _)| name.ends_with(".seg") && packed.contains_key(*name))
        .find_map(|(name, bytes)| Some((name, at(bytes)?)))
        .expect("the log holds it still");
    home.write(name, &other[name]);
    let report = look(&home);
    let disagree = report.findings.iter().find(|f| f.code == "disagree");
    let disagree = disagree.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(disagree.severity, Severity::Damage);
    assert_eq!(disagree.file.as_ref(), Some(name));
    assert_eq!(
        (disagree.lsn_from, disagree.lsn_to),
        (Some(one), Some(one.next()))
    );
    // Where the record's frame begins: in the block whose first bytes are the group's header.
    assert_eq!(disagree.offset, Some((offset / 4096 * 4096 + 64) as u64));
}

#[test]
fn a_damaged_block_is_named_by_where_it_begins() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    for n in 0..4_u8 {
        session.append("event", vec![n; 40_000]).expect("is kept");
    }
    journal.compact().expect("compacts");
    drop((session, journal));
    let name = home.names(".pack")[0].clone();
    let bytes = home.read(&name);
    let blocks: Vec<usize> = (0..bytes.len() - 4)
        .step_by(8)
        .filter(|at| bytes[*at..*at + 4] == *b"TKBK")
        .collect();
    assert!(blocks.len() > 1);
    for block in blocks {
        home.flip(&name, block + 30);
        let report = look(&home);
        let offsets: Vec<_> = report.damage().map(|f| f.offset).collect();
        assert_eq!(offsets, [Some(block as u64)], "{report}");
        let is_named = |f: &Finding| f.lsn_from.is_some() && f.lsn_from < f.lsn_to;
        assert!(report.damage().all(is_named), "{report}");
        home.write(&name, &bytes);
    }
}

#[test]
fn a_missing_pack_is_said_once() {
    let home = Home::new();
    compacted(&home);
    home.remove(&home.names(".pack")[0]);
    let report = look(&home);
    let of_packs = report.damage().filter(|f| f.file.is_some());
    assert_eq!(of_packs.count(), 1, "{report}");
}

#[test]
fn a_report_is_one_sentence_and_a_line_for_each_finding() {
    let mut report = VerifyReport {
        records: 7,
        sessions: 2,
        files: 3,
        bytes: 8192,
        ..VerifyReport::default()
    };
    let read = "read 7 records of 2 sessions in 3 files, 8192 bytes";
    assert_eq!(report.to_string(), format!("sound: {read}"));
    report.torn_bytes = 1;
    assert_eq!(
        report.to_string(),
        format!("sound: {read}; a torn tail of 1 bytes will be cut at opening")
    );
    report.torn_bytes = 0;
    let finding = Finding::new(Severity::Damage, "group", "bad").in_file("1.seg");
    report.findings = vec![finding.clone()];
    assert_eq!(
        report.to_string(),
        format!("damaged in 1 place: {read}\n{finding}")
    );
    let note = Finding::new(Severity::Note, "foreign", "not ours");
    report.findings = vec![finding.clone(), finding.clone(), note.clone()];
    assert_eq!(
        report.to_string(),
        format!("damaged in 2 places: {read}\n{finding}\n{finding}\n{note}")
    );
}

#[test]
fn what_was_expected_and_what_was_found_is_a_part_of_the_finding() {
    let why = Corruption::new("/j/1.seg", "an id").at(3).but(7, 9);
    let finding = finding_of("segment_header", &why);
    assert_eq!(finding.what, "an id: expected 7, found 9");
    assert_eq!(
        (finding.file.as_deref(), finding.offset),
        (Some("1.seg"), Some(3))
    );
    let plain = finding_of("segment_header", &Corruption::new("/j/1.seg", "an id"));
    assert_eq!(plain.what, "an id");
}

#[test]
fn a_segment_by_itself_is_named_by_its_id() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 60);
    let id = journal.stat().expect("counts").journal;
    drop(journal);
    let name = home.logged()[1].clone();
    let report = verify_segment(home.path.join(&name)).expect("verifies");
    assert_eq!(names::segment(report.id), name);
    assert_eq!(report.journal, id);
}
