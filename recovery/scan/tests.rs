//! Logs of a few segments made by hand, and what their end is taken for.

use super::*;
use crate::format::group::SEAL;
use crate::format::segment::SegmentHeader;
use crate::recovery::testing::{Home, by_hand, fill, flagged, group, segment};
use crate::storage::DiskStorage;

const BLOCK: u64 = 4096;

fn file(id: u64, parts: &[(usize, &[u8])]) -> (SegmentId, Arc<SegmentFile>) {
    let id = SegmentId::new(id);
    let header = SegmentHeader {
        id,
        ..by_hand(17 * BLOCK)
    };
    (id, Arc::new(segment(header, parts)))
}

fn log(files: &[(SegmentId, Arc<SegmentFile>)]) -> Segments {
    Segments {
        whole: files.iter().cloned().collect(),
        ..Segments::default()
    }
}

/// Reads from the first record in segment 7 on; everything below `known` is durable.
fn read(segments: &Segments, known: u64) -> LogEnd {
    let dir = Dir::new(Arc::new(DiskStorage), "/by.hand");
    let from = ReplayPoint {
        segment: SegmentId::new(7),
        offset: SEGMENT_DATA,
        next_lsn: Lsn::new(1),
        ..ReplayPoint::default()
    };
    let known = Known {
        lsn: Lsn::new(known),
        closed_at: None,
    };
    read_log(&dir, segments, from, known, |_, _, _| Ok(())).expect("reads")
}

fn broken(mut group: Vec<u8>) -> Vec<u8> {
    group[104] ^= 1; // the first byte of its payload
    group
}

fn place(end: &LogEnd) -> (SegmentId, Option<u64>, &str) {
    let corruption = end.corruption.as_ref().expect("is corrupt");
    let segment = corruption.segment.expect("is named");
    (segment, corruption.offset, &corruption.what)
}

/// The second group is broken, nothing says that it was durable; but the log went on in the next
/// segment, which it does only once everything before is synced. So it is no torn tail.
#[test]
fn a_fault_before_a_segment_with_records_is_no_torn_tail() {
    for block in 0..3 {
        let first = group(7, 1, 1, &[b"a"]);
        let fault = broken(group(7, 2, 1, &[b"b"]));
        let later = group(8, 5, 1, &[b"e"]);
        let segments = log(&[
            file(7, &[(0, &first), (1, &fault)]),
            file(8, &[(block, &later)]),
        ]);
        let end = read(&segments, 1);
        let sealed = Verdict::Corrupt(verdict::Reason::SealedBroken);
        assert_eq!(end.verdict, sealed, "{block}");
        assert_eq!(end.empty, []);
    }
    let (first, fault) = (group(7, 1, 1, &[b"a"]), broken(group(7, 2, 1, &[b"b"])));
    let alone = log(&[file(7, &[(0, &first), (1, &fault)]), file(8, &[])]);
    let end = read(&alone, 1);
    assert_eq!(end.verdict, Verdict::TornTail);
    assert_eq!(end.empty, [SegmentId::new(8)]);
    assert!(end.torn_bytes > 0);
}

/// A whole group stands where another belongs. What it knew does not make it the next one, and
/// nothing that was known to be durable is missing.
#[test]
fn a_group_at_the_place_of_another_is_a_gap() {
    let (first, other) = (group(7, 1, 1, &[b"a"]), group(7, 9, 8, &[b"i"]));
    let end = read(&log(&[file(7, &[(0, &first), (1, &other)])]), 2);
    assert_eq!(end.verdict, Verdict::Corrupt(verdict::Reason::Gap));
    let corruption = end.corruption.expect("is corrupt");
    assert_eq!(corruption.offset, Some(SEGMENT_DATA + BLOCK));
    assert_eq!(corruption.lsn_from, Some(Lsn::new(2)));
    assert_eq!(
        corruption.lsn_to, None,
        "nothing durable is known to be lost"
    );
}

/// A segment that was left for the next one, in which nothing is, or half of a group.
#[test]
fn behind_a_sealed_segment_an_empty_one_is_the_end_and_half_a_group_is_torn() {
    let sealed = flagged(7, 1, 1, &[b"a"], SEAL);
    let torn = broken(group(8, 2, 1, &[b"b"]));
    let empty = read(&log(&[file(7, &[(0, &sealed)]), file(8, &[])]), 1);
    assert_eq!((empty.verdict, empty.torn_bytes), (Verdict::CleanEnd, 0));
    assert_eq!(empty.empty, [SegmentId::new(8)]);
    let half = read(&log(&[file(7, &[(0, &sealed)]), file(8, &[(0, &torn)])]), 1);
    assert_eq!(half.verdict, Verdict::TornTail);
    assert_eq!(half.empty, []);
    assert!(half.torn_bytes > 0);
    // What was there was durable: the place to look at is where it belonged.
    let lost = read(&log(&[file(7, &[(0, &sealed)]), file(8, &[])]), 9);
    let what = verdict::Reason::ProvenLost.as_str();
    assert_eq!(place(&lost), (SegmentId::new(8), Some(SEGMENT_DATA), what));
}

/// Only a whole group that does not follow on says that a segment is missing before it.
#[test]
fn a_segment_is_called_missing_only_if_it_is() {
    let sealed = flagged(7, 1, 1, &[b"a"], SEAL);
    let there = log(&[
        file(7, &[(0, &sealed)]),
        file(8, &[(0, &group(8, 5, 1, &[b"e"]))]),
    ]);
    let gap = verdict::Reason::Gap.as_str();
    assert_eq!(
        place(&read(&there, 1)),
        (SegmentId::new(8), Some(SEGMENT_DATA), gap)
    );
    let gone = log(&[
        file(7, &[(0, &sealed)]),
        file(9, &[(0, &group(9, 5, 1, &[b"e"]))]),
    ]);
    assert_eq!(
        place(&read(&gone, 1)),
        (SegmentId::new(8), None, "a segment is missing")
    );
    let fault = broken(group(9, 5, 1, &[b"e"]));
    let unclear = log(&[file(7, &[(0, &sealed)]), file(9, &[(0, &fault)])]);
    let what = verdict::Reason::ProvenLost.as_str();
    assert_eq!(
        place(&read(&unclear, 9)),
        (SegmentId::new(9), Some(SEGMENT_DATA), what)
    );
}

/// Everything that was durable was read, up to the end of a segment that the log left, and nothing
/// is behind it.
#[test]
fn a_log_that_was_read_to_what_is_proven_has_lost_nothing() {
    let sealed = flagged(7, 1, 1, &[b"a"], SEAL);
    let segments = log(&[file(7, &[(0, &sealed)])]);
    assert_eq!(read(&segments, 2).verdict, Verdict::CleanEnd);
    let lost = read(&segments, 3);
    assert_eq!(lost.verdict, Verdict::Corrupt(verdict::Reason::ProvenLost));
}

/// A segment without its header holds a whole group, where the first one belongs: it is no segment
/// that was still being made, however far the one before it was filled.
#[test]
fn what_stands_in_a_segment_without_its_header_is_looked_for_from_its_beginning() {
    let long = group(7, 1, 1, &[&[b'a'; 12_000]]);
    let behind = group(8, 2, 1, &[b"e"]);
    let mut segments = log(&[file(7, &[(0, &long)])]);
    let empty = read(&segments, 1);
    assert_eq!(empty.verdict, Verdict::CleanEnd);
    for (part, verdict) in [
        (
            vec![(0, &behind[..])],
            Verdict::Corrupt(verdict::Reason::MarkerLost),
        ),
        (vec![], Verdict::CleanEnd),
    ] {
        let (id, headless) = file(8, &part);
        let why = Corruption::new("/by.hand/8.seg", "no header");
        segments.broken.insert(id, (headless, why));
        assert_eq!(read(&segments, 1).verdict, verdict);
    }
}

/// What a group far behind proves is not logged again.
#[test]
fn what_a_broken_group_behind_the_end_proves_is_proven() {
    let (first, fault) = (group(7, 1, 1, &[b"a"]), broken(group(7, 2, 2, &[b"b"])));
    let end = read(&log(&[file(7, &[(0, &first), (2, &fault)])]), 1);
    assert_eq!(end.proven_lsn, Lsn::new(2));
    assert!(end.unproven.is_empty(), "{:?}", end.unproven);
    let end = read(&log(&[file(7, &[(0, &first)])]), 1);
    assert_eq!(end.unproven.len(), 1);
}

/// A clean end is believed only if the log reads to it, closes there, and everything that is
/// known to be durable was read; and if the segments behind are blank.
#[test]
fn a_clean_end_is_believed_only_if_everything_agrees() {
    let id = |id| SegmentId::new(id);
    let at = ReplayPoint {
        segment: id(7),
        offset: SEGMENT_DATA + BLOCK,
        next_lsn: Lsn::new(2),
        ..ReplayPoint::default()
    };
    let remains = group(8, 5, 1, &[b"e"]);
    let is_believed = |closed_at, closed, proven, behind: &[(usize, &[u8])]| {
        let segments = log(&[file(7, &[]), file(8, behind), file(9, &[])]);
        let ids = [id(7), id(8), id(9)];
        let known = Known {
            lsn: Lsn::new(proven),
            closed_at,
        };
        let mut end = LogEnd {
            point: at,
            proven_lsn: Lsn::new(proven),
            closed,
            unproven: Vec::new(),
            empty: vec![id(9)],
            verdict: Verdict::CleanEnd,
            torn_bytes: 0,
            corruption: None,
        };
        let stop = Some((0, at, Found::Nothing));
        let is = ends_where_closed(&segments, &ids, stop, known, &mut end).expect("reads");
        let expected: &[SegmentId] = if is { &[id(9), id(8)] } else { &[id(9)] };
        assert_eq!(end.empty, expected);
        is
    };
    let here = Some((at.segment, at.offset));
    let there = Some((at.segment, at.offset + BLOCK));
    assert!(is_believed(here, true, 2, &[]));
    assert!(is_believed(here, true, 1, &[]));
    assert!(!is_believed(None, true, 2, &[]));
    assert!(!is_believed(there, true, 2, &[]));
    assert!(!is_believed(here, false, 2, &[]));
    assert!(!is_believed(here, true, 3, &[]));
    assert!(!is_believed(here, true, 2, &[(0, &remains)]));
}

/// The numbers of spares are taken, too: the next segment's file must not get one of them.
#[test]
fn the_numbers_of_spares_are_taken() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 3);
    let id = journal.stat().expect("counts").journal;
    drop(journal);
    home.write(&names::spare(77), &[0; 10]);
    let dir = Dir::new(Arc::new(DiskStorage), &home.path);
    let floor = SegmentId::new(1);
    let segments = Segments::open(&dir, id, floor, OpenMode::Read).expect("opens");
    assert_eq!(segments.highest, 77);
}
