//! Which packs are written anew: those that hold erased records, and runs of neighbours where
//! there are too many packs.
//!
//! Merging the cheapest run keeps small packs from piling up while large ones are rarely
//! copied: a record is copied about as often as the number of packs can be halved.

use std::ops::Range;

/// A pack, as the choice sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub bytes: u64,
    /// It holds records that must go.
    pub must_go: bool,
}

/// Chooses runs of packs, each to become one new pack, so that at most `max` remain and no
/// record that must go stays. The runs ascend and do not overlap.
pub(super) fn choose(packs: &[Candidate], max: usize) -> Vec<Range<usize>> {
    let max = max.max(1);
    let merged = if packs.len() > max {
        let len = packs.len() - max + 1;
        let cost = |at: usize| {
            packs[at..at + len]
                .iter()
                .map(|pack| pack.bytes)
                .sum::<u64>()
        };
        let at = (0..=packs.len() - len)
            .min_by_key(|at| cost(*at))
            .unwrap_or(0);
        at..at + len
    } else {
        0..0
    };
    let alone = (0..packs.len()).filter(|at| packs[*at].must_go && !merged.contains(at));
    let mut runs: Vec<Range<usize>> = alone.map(|at| at..at + 1).collect();
    if !merged.is_empty() {
        runs.push(merged);
    }
    runs.sort_by_key(|run| run.start);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs(sizes: &[u64], must_go: &[usize]) -> Vec<Candidate> {
        let candidate = |(i, &bytes)| Candidate {
            bytes,
            must_go: must_go.contains(&i),
        };
        sizes.iter().enumerate().map(candidate).collect()
    }

    #[test]
    fn as_many_packs_as_allowed_are_left_alone() {
        assert!(choose(&packs(&[], &[]), 2).is_empty());
        assert!(choose(&packs(&[5, 1, 1], &[]), 3).is_empty());
    }

    #[test]
    fn the_cheapest_neighbours_become_one() {
        assert_eq!(choose(&packs(&[90, 5, 4, 80, 7], &[]), 4), vec![1..3]);
        assert_eq!(choose(&packs(&[90, 5, 4, 80, 7], &[]), 3), vec![1..4]);
        assert_eq!(choose(&packs(&[3, 3], &[]), 1), vec![0..2]);
        assert_eq!(
            choose(&packs(&[3, 3], &[]), 0),
            vec![0..2],
            "one pack is the least"
        );
    }

    #[test]
    fn packs_with_erased_records_are_rewritten_once() {
        assert_eq!(choose(&packs(&[9, 9, 9], &[0, 2]), 3), [0..1, 2..3]);
        assert_eq!(choose(&packs(&[9, 1, 1, 9], &[1, 3]), 3), [1..3, 3..4]);
    }
}
