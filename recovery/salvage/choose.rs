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
