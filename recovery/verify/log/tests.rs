//! What is looked at in single groups, made by hand.

use super::*;
use crate::format::checksum::payload_checksum;
use crate::format::frame::FrameHeader;
use crate::format::group::{GroupBuffer, Place};
use crate::format::ids::{Epoch, SessionNo};
use crate::format::segment::SegmentHeader;
use crate::recovery::testing::{by_hand, group, segment};

fn checker() -> Checker {
    Checker {
        held: Held::default(),
        next_seqs: Vec::new(),
        records: 0,
        findings: Vec::new(),
        ends: BTreeMap::new(),
    }
}

/// Shows the checker a group of records: LSN, session and place in it.
fn show(checker: &mut Checker, records: &[(u64, u32, u32)]) {
    let header = by_hand(16 * 4096);
    let mut buffer = GroupBuffer::default();
    for &(lsn, session, seq) in records {
        let frame = FrameHeader {
            payload_check: payload_checksum(b"x"),
            lsn: Lsn::new(lsn),
            session: SessionNo::new(session),
            seq: Seq::new(seq),
            payload_len: 1,
            prev: 0,
            epoch: Epoch::new(1),
            kind: 19,
            flags: 0,
            codec: 0,
            body_version: 0,
        };
        buffer.push(&frame, b"x");
    }
    buffer.seal(&Place {
        seed: header.seed(),
        segment: header.id,
        next_lsn: Lsn::new(records[0].0),
        durable_lsn: Lsn::new(1),
        link: 0,
        prev_group: 0,
        flags: 0,
        epoch: Epoch::new(1),
        at_ms: 1,
        align: 4096,
    });
    let segment = segment(header, &[(0, buffer.bytes())]);
    let group = Group::decode(header.seed(), header.id, buffer.bytes()).expect("is whole");
    checker.group(&segment, SEGMENT_DATA, &group);
}

/// Code, record and session of what was said.
fn said(checker: &Checker) -> Vec<(&'static str, u64, u32)> {
    let findings = checker.findings.iter();
    let of = |f: &Finding| {
        let lsn = f.lsn_from.expect("a record");
        (f.code, lsn.get(), f.session.expect("a session").get())
    };
    findings.map(of).collect()
}

/// In each session records are numbered without a gap. A number that is left out, or comes twice,
/// is named by its record, though every checksum and every link is right.
#[test]
fn a_number_that_does_not_come_next_in_its_session_is_named() {
    let mut checker = checker();
    show(&mut checker, &[(1, 1, 1), (2, 2, 7), (3, 1, 2), (4, 0, 3)]);
    show(&mut checker, &[(5, 2, 8), (6, 1, 3), (7, 0, 4)]);
    assert_eq!(said(&checker), []);
    show(
        &mut checker,
        &[(8, 1, 5), (9, 2, 8), (10, 2, 9), (11, 1, 6)],
    );
    assert_eq!(said(&checker), [("sequence", 8, 1), ("sequence", 9, 2)]);
    // Behind damage nobody knows what comes next.
    checker.forget_sequences();
    show(&mut checker, &[(12, 1, 50), (13, 2, 60), (14, 1, 51)]);
    assert_eq!(checker.findings.len(), 2);
    assert_eq!(checker.records, 14);
}

/// Whatever number of a session stands there, the memory that it takes is bounded.
#[test]
fn a_number_far_beyond_all_others_is_no_session() {
    let mut checker = checker();
    show(
        &mut checker,
        &[(1, (1 << 20) - 1, 1), (2, (1 << 20) - 1, 3)],
    );
    assert_eq!(said(&checker), [("sequence", 2, (1 << 20) - 1)]);
    let known = checker.next_seqs.len();
    assert_eq!(known, 1 << 20);
    for beyond in [u32::MAX, 1 << 21] {
        show(&mut checker, &[(3, beyond, 1), (4, beyond, 9)]);
        assert_eq!(checker.next_seqs.len(), known, "{beyond}");
    }
    assert_eq!(checker.findings.len(), 1);
}

/// Where a loss ends is known when the next record is there; only of the loss that was named last,
/// and only once.
#[test]
fn the_end_of_a_loss_is_that_of_the_last_one_named() {
    let mut checker = checker();
    let mut loss = Finding::new(Severity::Damage, "group", "broken");
    loss.lsn_from = Some(Lsn::new(5));
    checker.say(loss);
    let ends = |checker: &Checker| checker.findings[0].lsn_to.map(Lsn::get);
    checker.end_last_loss(Lsn::new(6), Lsn::new(9));
    assert_eq!(ends(&checker), None);
    checker.end_last_loss(Lsn::new(5), Lsn::new(9));
    assert_eq!(ends(&checker), Some(9));
    checker.end_last_loss(Lsn::new(5), Lsn::new(12));
    assert_eq!(ends(&checker), Some(9));
}

/// What packs hold below the log is not held in memory: the log has nothing to compare it with.
#[test]
fn the_log_begins_with_its_first_whole_group() {
    let of = |id, parts: &[(usize, &[u8])]| {
        let header = SegmentHeader {
            id: SegmentId::new(id),
            ..by_hand(16 * 4096)
        };
        (header.id, Arc::new(segment(header, parts)))
    };
    let (late, broken) = (group(8, 5, 5, &[b"a"]), group(8, 4, 4, &[b"b"]));
    let mut broken = broken.clone();
    broken[104] ^= 1;
    let log = |files: Vec<(SegmentId, Arc<SegmentFile>)>| Segments {
        whole: files.into_iter().collect(),
        ..Segments::default()
    };
    let both = log(vec![of(7, &[]), of(8, &[(0, &broken), (3, &late)])]);
    assert_eq!(first_lsn(&both).expect("reads"), Some(Lsn::new(5)));
    let none = log(vec![of(7, &[]), of(8, &[(0, &broken)])]);
    assert_eq!(first_lsn(&none).expect("reads"), None);
}
