//! What is lost is named: by file, by place and by the records that were there.

use super::*;
use crate::format::group::GroupHeader;
use crate::format::segment::SegmentHeader;

/// Where a group stands, and its records.
#[derive(Clone, Debug)]
struct At {
    file: String,
    offset: usize,
    first: u64,
    end: u64,
}

/// The groups of all segments, in order.
fn groups(home: &Home) -> Vec<At> {
    let mut found = Vec::new();
    for file in home.logged() {
        let bytes = home.read(&file);
        let header = SegmentHeader::decode(&bytes).expect("good");
        for offset in (4096..bytes.len()).step_by(4096) {
            let group = GroupHeader::decode(header.seed(), header.id, &bytes[offset..]);
            found.extend(group.ok().map(|(group, _)| At {
                file: file.clone(),
                offset,
                first: group.first_lsn.get(),
                end: group.end_lsn().get(),
            }));
        }
    }
    found
}

type Said = (
    &'static str,
    Option<String>,
    Option<u64>,
    Option<u64>,
    Option<u64>,
);

/// Code, file, offset, first record and the one behind the last, of all damage.
fn said(home: &Home) -> Vec<Said> {
    let report = look(home);
    let damage = report.damage().map(|f| {
        let lsn = |lsn: Option<Lsn>| lsn.map(Lsn::get);
        (
            f.code,
            f.file.clone(),
            f.offset,
            lsn(f.lsn_from),
            lsn(f.lsn_to),
        )
    });
    damage.collect()
}

fn lost(code: &'static str, at: &At, from: u64, to: u64) -> Said {
    let (file, offset) = (Some(at.file.clone()), Some(at.offset as u64));
    (code, file, offset, Some(from), Some(to))
}

fn wipe(home: &Home, at: &At) {
    home.flip(&at.file, at.offset + 70);
}

/// A journal whose log is several segments long, below a snapshot: no compaction yet.
fn covered() -> (Home, Vec<At>) {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 60);
    journal.checkpoint().expect("is taken");
    fill(&journal, "b", 2, 3);
    drop(journal);
    let groups = groups(&home);
    assert_eq!(said(&home), []);
    (home, groups)
}

/// Positions of the groups with records in the `n`-th segment.
fn in_segment(groups: &[At], n: usize) -> Vec<&At> {
    let mut files: Vec<&String> = groups.iter().map(|at| &at.file).collect();
    files.dedup();
    let of = groups.iter().filter(|at| at.file == *files[n]);
    of.filter(|at| at.first < at.end).collect()
}

#[test]
fn groups_that_are_lost_below_a_snapshot_are_named_by_their_records() {
    let (home, groups) = covered();
    let (first, second) = (in_segment(&groups, 0), in_segment(&groups, 1));
    // One, two in a row, and one in another segment.
    for at in [first[2], first[5], first[6], second[4]] {
        wipe(&home, at);
    }
    let expected = [
        lost("group", first[2], first[2].first, first[2].end),
        lost("group", first[5], first[5].first, first[6].end),
        lost("group", second[4], second[4].first, second[4].end),
    ];
    assert_eq!(said(&home), expected);
}

#[test]
fn the_first_and_the_last_group_of_a_segment_are_named_by_their_records() {
    let (home, groups) = covered();
    let second = in_segment(&groups, 1);
    let last = second.last().expect("several");
    wipe(&home, second[0]);
    wipe(&home, last);
    let expected = [
        lost("group", second[0], second[0].first, second[0].end),
        lost("group", last, last.first, last.end),
    ];
    assert_eq!(said(&home), expected);
}

#[test]
fn missing_segments_below_a_snapshot_are_named_by_their_records() {
    let (home, groups) = covered();
    let segments: Vec<_> = (0..5).map(|n| in_segment(&groups, n)).collect();
    let named = |said: &[Said], code, n: usize, to: usize| {
        let first = segments[n][0];
        let last = segments[to].last().expect("several");
        let expected = (
            code,
            Some(first.file.clone()),
            None,
            Some(first.first),
            Some(last.end),
        );
        assert!(said.contains(&expected), "{expected:?} in {said:?}");
    };
    home.remove(&segments[1][0].file);
    let one = said(&home);
    named(&one, "segment_missing", 1, 1);
    home.remove(&segments[2][0].file);
    let two = said(&home);
    named(&two, "segment_missing", 1, 2);
    let report = look(&home);
    let what = format!(
        "segments up to {} are missing",
        segments[2][0]
            .file
            .trim_start_matches('0')
            .trim_end_matches(".seg")
    );
    assert!(report.to_string().contains(&what), "{report}");
    home.remove(&segments[0][0].file);
    let three = said(&home);
    assert!(
        three
            .iter()
            .any(|said| said.3 == Some(1) && said.4 == Some(segments[2].last().expect("one").end)),
        "{three:?}"
    );
}

/// A group stands a second time, over the one before it.
#[test]
fn a_group_over_another_is_named_as_what_it_is() {
    let (home, groups) = covered();
    let first = in_segment(&groups, 0);
    let mut bytes = home.read(&first[3].file);
    bytes.copy_within(first[4].offset..first[4].offset + 4096, first[3].offset);
    home.write(&first[3].file, &bytes);
    let said = said(&home);
    let gap = lost("gap", first[3], first[3].first, first[3].end);
    assert!(said.contains(&gap), "{said:?}");
    let again = lost("order", first[4], first[4].first, first[4].end);
    assert!(said.contains(&again), "{said:?}");
    assert_eq!(said.len(), 2, "{said:?}");
}

/// The same behind the newest snapshot, where an opening reads.
#[test]
fn what_is_lost_behind_the_snapshot_is_named_by_its_records() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 60);
    drop(journal);
    let groups = groups(&home);
    let (first, second) = (in_segment(&groups, 0), in_segment(&groups, 1));
    for at in [first[3], first[4], second[2]] {
        wipe(&home, at);
    }
    let expected = [
        lost("log", first[3], first[3].first, first[4].end),
        lost("group", second[2], second[2].first, second[2].end),
    ];
    assert_eq!(said(&home), expected);
}

/// Without a snapshot that loads nothing is replayed, and everything is looked at.
#[test]
fn without_a_manifest_what_is_lost_is_named_by_its_records() {
    let (home, groups) = covered();
    for name in home
        .names("")
        .iter()
        .filter(|name| name.starts_with("manifest"))
    {
        home.remove(name);
    }
    let second = in_segment(&groups, 1);
    wipe(&home, second[3]);
    let said = said(&home);
    let expected = lost("group", second[3], second[3].first, second[3].end);
    assert!(said.contains(&expected), "{said:?}");
    let codes: Vec<_> = said.iter().map(|said| said.0).collect();
    assert_eq!(
        codes.iter().filter(|code| **code == "group").count(),
        1,
        "{said:?}"
    );
    let report = look(&home);
    assert_eq!(report.next_lsn.get(), groups.last().expect("several").end);
}

/// The page is gone, and a group in the middle rots: nothing proves that it was durable but what
/// stands behind it. Nobody is writing, so it is damage.
#[test]
fn damage_of_a_journal_at_rest_is_not_taken_for_a_writer_at_work() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 8);
    drop(journal);
    home.remove("WATERMARK");
    let groups = groups(&home);
    let first = in_segment(&groups, 0);
    wipe(&home, first[3]);
    let report = look(&home);
    assert!(!report.is_sound(), "{report}");
    assert!(
        !report.findings.iter().any(|f| f.code == "live"),
        "{report}"
    );
    assert_eq!(
        said(&home),
        [lost("log", first[3], first[3].first, first[3].end)]
    );
}
