//! Choosing: of all copies that validate one for each LSN, and what that leaves lost.

use super::gather::{Found, Gathered, Listed, Rank};
use super::report::LsnRange;
use super::source::FrameAt;
use crate::format::ids::Lsn;
use std::cmp::Reverse;

/// What was chosen.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// One record for each LSN, ascending.
    pub records: Vec<Found>,
    /// Pairs of different records under one LSN: the first was chosen.
    pub conflicts: Vec<(Found, Found)>,
}

/// Chooses among what was gathered. `age` says how late the life of a source is.
pub(super) fn choose(gathered: &mut Gathered, age: impl Fn(u32) -> u64) -> Chosen {
    let mut chosen = Chosen::default();
    let mut found = std::mem::take(&mut gathered.found);
    // Where a later segment logged a record again, that copy counts.
    found.sort_by_key(|f| (f.lsn, f.rank, Reverse(age(f.place.source)), f.place.at));
    let mut copies = found.into_iter().peekable();
    while let Some(first) = copies.next() {
        chosen.records.push(first);
        while let Some(other) = copies.next_if(|other| other.lsn == first.lsn) {
            // A frame that stands alone has no claim against one that does not.
            if !first.is_same(&other) && other.rank != Rank::Lone {
                chosen.conflicts.push((first, other));
            }
        }
    }
    drop_unlinked(&mut chosen.records);
    drop_never_acknowledged(&mut chosen.records, gathered.durable);
    chosen
}

/// Drops frames that stand alone and are contradicted by a neighbour: each frame of the log
/// names the check of the one before it.
fn drop_unlinked(records: &mut Vec<Found>) {
    let is_of_log = |f: &Found| f.place.off == FrameAt::DIRECT && f.rank != Rank::Packed;
    let mut keep = vec![true; records.len()];
    for i in 0..records.len() {
        let this = records[i];
        if this.rank != Rank::Lone || !is_of_log(&this) {
            continue;
        }
        let before = i.checked_sub(1).map(|n| records[n]);
        let after = records.get(i + 1);
        let breaks_before = before
            .filter(|b| is_of_log(b) && b.lsn.next() == this.lsn)
            .is_some_and(|b| b.check != this.prev);
        let breaks_after = after
            .filter(|a| is_of_log(a) && a.rank == Rank::Grouped && a.lsn == this.lsn.next())
            .is_some_and(|a| a.prev != this.check);
        // A neighbour that stands alone itself may be the wrong one.
        let by_doubtful = before.is_some_and(|b| b.rank == Rank::Lone) && !breaks_after;
        keep[i] = !(breaks_after || breaks_before && !by_doubtful);
    }
    let mut keep = keep.into_iter();
    records.retain(|_| keep.next().unwrap_or(true));
}

/// What nothing proves durable is a part of the journal only as far as it goes on without a
/// gap, in whole groups: more than that no opening would have believed.
fn drop_never_acknowledged(records: &mut Vec<Found>, durable: Lsn) {
    let mut next = durable.max(Lsn::new(1));
    records.retain(|record| {
        if record.lsn < durable {
            return true;
        }
        let goes_on = record.lsn == next && record.rank != Rank::Lone;
        if goes_on {
            next = next.next();
        }
        goes_on
    });
}

/// What is missing among the LSNs of `records`.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// LSNs of records that were durable and are not there.
    pub lost: Vec<LsnRange>,
    /// LSNs of which nothing tells whether a compaction dropped them or they are lost.
    pub uncertain: Vec<LsnRange>,
}

/// Names what is missing. From `logged_from` on no compaction has dropped anything.
pub(super) fn name_missing(records: &[Found], gathered: &Gathered, logged_from: Lsn) -> Missing {
    let mut missing = Missing::default();
    let mut expected = Lsn::new(1);
    let end = gathered.durable.max(expected);
    for lsn in records.iter().map(|record| record.lsn).chain([end]) {
        if expected < lsn {
            if expected < logged_from {
                split_gap((expected, lsn.min(logged_from)), gathered, &mut missing);
            }
            if lsn > logged_from {
                push(&mut missing.lost, expected.max(logged_from), lsn);
            }
        }
        expected = expected.max(lsn.next());
    }
    missing
}

/// A gap in what compactions have seen: where an index answers, it says what is lost.
fn split_gap((from, to): (Lsn, Lsn), gathered: &Gathered, missing: &mut Missing) {
    let Missing { lost, uncertain } = missing;
    let listed = &gathered.listed_lost;
    let first = listed.partition_point(|l| l.lsn < from);
    for Listed { lsn, .. } in listed[first..].iter().take_while(|l| l.lsn < to) {
        push(lost, *lsn, lsn.next());
    }
    let mut at = from;
    for (start, end) in &gathered.accounted {
        if *end <= at {
            continue;
        }
        if *start >= to {
            break;
        }
        if at < *start {
            push(uncertain, at, *start);
        }
        at = at.max(*end);
    }
    if at < to {
        push(uncertain, at, to);
    }
}

fn push(ranges: &mut Vec<LsnRange>, from: Lsn, to: Lsn) {
    match ranges.last_mut() {
        Some(last) if last.to >= from => last.to = last.to.max(to),
        _ => ranges.push(LsnRange { from, to }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::made::found as frame;
    use super::*;
    use crate::format::ids::{Seq, SessionNo};

    fn linked(lsn: u64, rank: Rank) -> Found {
        frame(lsn, rank, (lsn as u32 - 1) * 10)
    }

    fn packed(lsn: u64) -> Found {
        let mut found = frame(lsn, Rank::Packed, 0);
        found.place.off = 40;
        found
    }

    fn lsns(records: &[Found]) -> Vec<u64> {
        records.iter().map(|record| record.lsn.get()).collect()
    }

    fn after_links(records: &[Found]) -> Vec<u64> {
        let mut records = records.to_vec();
        drop_unlinked(&mut records);
        lsns(&records)
    }

    fn ranges(ranges: &[LsnRange]) -> Vec<(u64, u64)> {
        ranges.iter().map(|r| (r.from.get(), r.to.get())).collect()
    }

    use Rank::{Grouped, Lone};

    #[test]
    fn a_lone_frame_that_a_neighbour_contradicts_is_none() {
        let (one, three) = (linked(1, Grouped), linked(3, Grouped));
        assert_eq!(after_links(&[one, linked(2, Lone), three]), [1, 2, 3]);
        // It does not link to the one before, or the one behind does not link to it.
        assert_eq!(after_links(&[one, frame(2, Lone, 77), three]), [1, 3]);
        assert_eq!(
            after_links(&[one, linked(2, Lone), frame(3, Grouped, 77)]),
            [1, 3]
        );
        // What stands in a whole group is a record beyond doubt.
        assert_eq!(after_links(&[one, frame(2, Grouped, 77), three]), [1, 2, 3]);
    }

    #[test]
    fn only_a_neighbour_in_the_log_contradicts() {
        let (far, lone) = (linked(1, Grouped), frame(3, Lone, 77));
        assert_eq!(after_links(&[far, lone, linked(5, Grouped)]), [1, 3, 5]);
        // Frames of a pack link to others of their pack.
        assert_eq!(after_links(&[packed(2), lone, packed(4)]), [2, 3, 4]);
        let mut of_block = lone;
        of_block.place.off = 0;
        assert_eq!(after_links(&[linked(2, Grouped), of_block]), [2, 3]);
    }

    #[test]
    fn of_two_lone_frames_the_later_one_is_not_blamed_for_the_earlier() {
        let (two, three) = (linked(2, Lone), frame(3, Lone, 77));
        assert_eq!(after_links(&[two, three]), [2, 3]);
        // A whole group behind it decides.
        assert_eq!(after_links(&[two, three, linked(4, Grouped)]), [2, 3, 4]);
        assert_eq!(after_links(&[two, three, frame(4, Grouped, 99)]), [2, 4]);
        assert_eq!(after_links(&[two, three, frame(4, Lone, 99)]), [2, 3, 4]);
    }

    #[test]
    fn what_nothing_proves_goes_on_without_a_gap_in_whole_groups() {
        let after = |durable, records: &[Found]| {
            let mut records = records.to_vec();
            drop_never_acknowledged(&mut records, Lsn::new(durable));
            lsns(&records)
        };
        let grouped = |lsn| linked(lsn, Grouped);
        let all = [
            grouped(1),
            linked(2, Lone),
            grouped(3),
            grouped(4),
            grouped(6),
        ];
        assert_eq!(after(7, &all), [1, 2, 3, 4, 6]);
        assert_eq!(after(3, &all), [1, 2, 3, 4]);
        assert_eq!(after(2, &all), [1], "a lone frame is no whole group");
        assert_eq!(after(0, &all), [1]);
        assert_eq!(after(0, &all[2..]), [0; 0]);
    }

    fn missing(records: &[u64], gathered: &Gathered, logged_from: u64) -> Missing {
        let records: Vec<_> = records.iter().map(|lsn| linked(*lsn, Grouped)).collect();
        name_missing(&records, gathered, Lsn::new(logged_from))
    }

    fn gathered(durable: u64, accounted: &[(u64, u64)], listed: &[u64]) -> Gathered {
        let mut gathered = Gathered::default();
        gathered.durable = Lsn::new(durable);
        let accounted = accounted.iter().map(|(a, b)| (Lsn::new(*a), Lsn::new(*b)));
        gathered.accounted = accounted.collect();
        let listed = listed.iter().map(|lsn| Listed {
            lsn: Lsn::new(*lsn),
            session: SessionNo::new(1),
            seq: Seq::new(*lsn as u32),
        });
        gathered.listed_lost = listed.collect();
        gathered
    }

    #[test]
    fn every_gap_below_what_was_durable_is_named() {
        let to = |durable| gathered(durable, &[], &[]);
        let all = missing(&[1, 2, 3], &to(4), 1);
        assert_eq!((all.lost.len(), all.uncertain.len()), (0, 0));
        let some = missing(&[2, 3, 6], &to(9), 1);
        assert_eq!(ranges(&some.lost), [(1, 2), (4, 6), (7, 9)]);
        assert_eq!(some.uncertain, []);
        // What is there beyond the proof is no gap.
        assert_eq!(ranges(&missing(&[1, 2, 3], &to(2), 1).lost), []);
        assert_eq!(ranges(&missing(&[], &to(0), 1).lost), []);
    }

    #[test]
    fn below_what_was_logged_compactions_may_have_dropped_it() {
        let of = |records: &[u64], logged_from| {
            let missing = missing(records, &gathered(11, &[], &[]), logged_from);
            (ranges(&missing.lost), ranges(&missing.uncertain))
        };
        let all = vec![(1, 11)];
        assert_eq!(of(&[], 1), (all.clone(), vec![]));
        assert_eq!(of(&[], 11), (vec![], all));
        assert_eq!(of(&[], 5), (vec![(5, 11)], vec![(1, 5)]));
        // A gap that ends where the log begins is all uncertain, one that begins there all lost.
        assert_eq!(of(&[5], 5), (vec![(6, 11)], vec![(1, 5)]));
        assert_eq!(of(&[1, 2, 3, 4, 8], 5), (vec![(5, 8), (9, 11)], vec![]));
    }

    #[test]
    fn where_an_index_answers_it_says_what_is_lost() {
        let of = |accounted: &[(u64, u64)], listed: &[u64], records: &[u64]| {
            let missing = missing(records, &gathered(21, accounted, listed), 21);
            (ranges(&missing.lost), ranges(&missing.uncertain))
        };
        // All is accounted for: only what is listed is lost, the rest was dropped.
        assert_eq!(
            of(&[(1, 21)], &[4, 5, 9], &[]),
            (vec![(4, 6), (9, 10)], vec![])
        );
        // Neighbouring accounts leave nothing between them, others do.
        assert_eq!(of(&[(1, 8), (8, 21)], &[], &[]), (vec![], vec![]));
        assert_eq!(of(&[(1, 8), (9, 21)], &[], &[]), (vec![], vec![(8, 9)]));
        assert_eq!(
            of(&[(3, 8), (6, 12)], &[], &[]),
            (vec![], vec![(1, 3), (12, 21)])
        );
        // Records at the edges of the accounts and of the list.
        assert_eq!(
            of(&[(1, 5), (10, 15)], &[4, 10, 14], &[5, 15]),
            (vec![(4, 5), (10, 11), (14, 15)], vec![(6, 10), (16, 21)])
        );
        assert_eq!(
            of(&[(1, 10), (10, 21)], &[10], &[9, 11]),
            (vec![(10, 11)], vec![])
        );
    }
}
