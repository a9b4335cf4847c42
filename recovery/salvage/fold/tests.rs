//! Which of the records below a snapshot are believed, and what is noted of those that are not
//! there.

use super::*;
use crate::format::ids::Epoch;
use crate::model::event::Envelope;
use crate::recovery::salvage::tests::made;
use crate::storage::DiskStorage;
use crate::storage::dir::Dir;
use std::sync::Arc;

fn seq(n: u32) -> Seq {
    Seq::new(n)
}

fn no(n: u32) -> SessionNo {
    SessionNo::new(n)
}

#[test]
fn ranges_join_and_are_cut() {
    let mut ranges = Vec::new();
    for (from, to) in [(5, 7), (1, 2), (7, 9), (2, 3)] {
        add(&mut ranges, seq(from), seq(to));
    }
    assert_eq!(ranges, [(seq(1), seq(3)), (seq(5), seq(9))]);
    cut(&mut ranges, seq(2), seq(6));
    assert_eq!(ranges, [(seq(1), seq(2)), (seq(6), seq(9))]);
    // At the edges nothing is left over, not even a range without a number.
    cut(&mut ranges, seq(6), seq(7));
    assert_eq!(ranges, [(seq(1), seq(2)), (seq(7), seq(9))]);
    cut(&mut ranges, seq(8), seq(9));
    assert_eq!(ranges, [(seq(1), seq(2)), (seq(7), seq(8))]);
    cut(&mut ranges, seq(0), seq(20));
    assert_eq!(ranges, []);
}

/// A state of the sessions 1, with nine records, and 2, which was deleted.
fn state() -> State {
    let mut state = State::new(Limits::default());
    let mut lsn = 0;
    let mut apply = |session, n, kind, name| {
        lsn += 1;
        let envelope = Envelope {
            name,
            ..Envelope::default()
        };
        let record = Record {
            lsn: Lsn::new(lsn),
            session: no(session),
            seq: seq(n),
            epoch: Epoch::new(1),
            kind,
            envelope: &envelope,
            content_len: 1,
        };
        state.apply(&record).expect("folds");
    };
    apply(1, 1, Kind::SessionCreated, "a");
    apply(2, 1, Kind::SessionCreated, "b");
    for n in 2..10 {
        apply(1, n, Kind::Message, "");
    }
    apply(2, 2, Kind::SessionDeleted, "");
    state
}

fn found(lsn: u64, session: u32, n: u32) -> Found {
    Found {
        session: no(session),
        seq: seq(n),
        ..made::found(lsn, Rank::Grouped, 0)
    }
}

/// Folds records that lie below the snapshot of `state`; returns those that are kept, and how
/// many were called what.
fn below(records: &[Found]) -> (Vec<u64>, Vec<&'static str>) {
    let dir = Dir::new(Arc::new(DiskStorage), "/nowhere");
    let base = Base {
        state: state(),
        lsn: Lsn::new(100),
    };
    let mut records = records.to_vec();
    let mut fetch = Fetch::new(&dir, &[]);
    let gathered = Gathered::default();
    let folded = fold(&mut fetch, Some(base), &mut records, &gathered, Lsn::new(1));
    let findings = folded.expect("folds").findings;
    (
        records.iter().map(|record| record.lsn.get()).collect(),
        findings.iter().map(|finding| finding.code).collect(),
    )
}

/// Frames of an older life of the journal validate as well: one that was restored from a backup,
/// and went on differently. What the snapshot does not know of never was a record of this one.
#[test]
fn a_record_that_the_snapshot_behind_it_does_not_know_of_is_none() {
    let known = [
        found(1, 1, 1),
        found(2, 2, 1),
        found(3, 1, 9),
        found(4, 2, 7),
    ];
    assert_eq!(below(&known), (vec![1, 2, 3, 4], vec![]));
    // One more than there were, and a session that there was not.
    let unknown = [
        found(3, 1, 9),
        found(4, 1, 10),
        found(5, 3, 1),
        found(6, 1, 11),
    ];
    assert_eq!(below(&unknown), (vec![3], vec!["misfit"; 3]));
}

/// Two records under one number of a session are not both of it. The one that stood alone in
/// ruins is dropped without a word, for it never had a claim.
#[test]
fn in_a_session_numbers_ascend() {
    let lone = |lsn, n| Found {
        rank: Rank::Lone,
        ..found(lsn, 1, n)
    };
    let ascending = [found(1, 1, 2), found(2, 2, 2), lone(3, 4), found(4, 1, 5)];
    assert_eq!(below(&ascending), (vec![1, 2, 3, 4], vec![]));
    let twice = [
        found(1, 1, 2),
        found(2, 1, 2),
        found(3, 1, 3),
        found(4, 1, 1),
    ];
    assert_eq!(below(&twice), (vec![1, 3], vec!["order"; 2]));
    let twice = [found(1, 1, 2), lone(2, 2), lone(3, 1), found(4, 1, 3)];
    assert_eq!(below(&twice), (vec![1, 4], vec![]));
}

/// What was erased before is not missed, wherever it lies in what is.
#[test]
fn of_what_is_missing_only_what_was_not_erased_is_lost() {
    for is_certain in [true, false] {
        let missed = |holes: &[(u32, u32)], from, to| {
            let mut state = state();
            for (from, to) in holes {
                state.lose(no(1), seq(*from), seq(*to));
            }
            let mut folded = Folded {
                state,
                lost: Ranges::new(),
                uncertain: Ranges::new(),
                findings: Vec::new(),
            };
            folded.miss(no(1), seq(from), seq(to), is_certain);
            for n in from..to {
                assert!(!folded.state.is_visible(no(1), seq(n)), "{n}");
            }
            let (some, none) = match is_certain {
                true => (folded.lost_of(no(1)), folded.uncertain_of(no(1))),
                false => (folded.uncertain_of(no(1)), folded.lost_of(no(1))),
            };
            assert_eq!(none, []);
            let some = some.iter().map(|r| (r.from.get(), r.to.get()));
            some.collect::<Vec<_>>()
        };
        assert_eq!(missed(&[], 2, 9), [(2, 9)]);
        assert_eq!(missed(&[(3, 4), (6, 8)], 2, 9), [(2, 3), (4, 6), (8, 9)]);
        assert_eq!(missed(&[(1, 3), (8, 10)], 2, 9), [(3, 8)]);
        assert_eq!(missed(&[(2, 9)], 3, 8), []);
        assert_eq!(missed(&[(1, 2), (5, 6), (9, 10)], 2, 9), [(2, 5), (6, 9)]);
        assert_eq!(missed(&[(1, 2), (3, 4), (5, 6)], 6, 9), [(6, 9)]);
    }
}
