//! Sets of numbers kept as ranges: which sectors are un-synced, which bytes have space.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of numbers; cost follows the count of separate ranges, not their length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// End by start; ranges neither touch nor overlap.
    ends: BTreeMap<u64, u64>,
    total: u64,
}

impl RangeSet {
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many numbers are in the set.
    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn clear(&mut self) {
        self.ends.clear();
        self.total = 0;
    }

    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ends.iter().map(|(&start, &end)| start..end)
    }

    pub fn contains(&self, number: u64) -> bool {
        let before = self.ends.range(..=number).next_back();
        before.is_some_and(|(_, &end)| number < end)
    }

    /// The parts of `range` that are in the set, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let before = self.ends.range(..range.start).next_back();
        let first = match before {
            Some((&start, &end)) if end > range.start => start,
            _ => range.start,
        };
        // An empty question must not ask the tree for a range that ends before it starts.
        let last = range.end.max(first);
        self.ends.range(first..last).map(move |(&start, &end)| {
            let start = start.max(range.start);
            start..end.min(range.end).max(start)
        })
    }

    /// The parts of `range` that are not in the set, in order.
    pub fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut from = range.start;
        for part in self.within(range.clone()) {
            if from < part.start {
                gaps.push(from..part.start);
            }
            from = part.end;
        }
        if from < range.end {
            gaps.push(from..range.end);
        }
        gaps
    }

    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // Everything that overlaps or touches melts into one.
        while let Some((&s, &e)) = self.ends.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.ends.remove(&s);
            self.total -= e - s;
            start = start.min(s);
            end = end.max(e);
        }
        self.ends.insert(start, end);
        self.total += end - start;
    }

    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        while let Some((&s, &e)) = self.ends.range(..range.end).next_back() {
            if e <= range.start {
                break;
            }
            self.ends.remove(&s);
            self.total -= e - s;
            if range.end < e {
                self.ends.insert(range.end, e);
                self.total += e - range.end;
            }
            if s < range.start {
                self.ends.insert(s, range.start);
                self.total += range.start - s;
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rng::Rng;
    use super::*;

    #[test]
    fn ranges_are_the_set_of_their_numbers() {
        const SPAN: u64 = 64;
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut ranges = RangeSet::default();
            let mut model = [false; SPAN as usize];
            for _ in 0..60 {
                let (a, b) = (rng.below(SPAN + 1), rng.below(SPAN + 1));
                let range = a.min(b)..a.max(b);
                let insert = rng.sixteenths(9);
                model[range.start as usize..range.end as usize].fill(insert);
                if insert {
                    ranges.insert(range);
                } else {
                    ranges.remove(range);
                }
                let (a, b) = (rng.below(SPAN + 1), rng.below(SPAN + 1));
                let asked = a.min(b)..a.max(b);
                let numbers =
                    |parts: Vec<Range<u64>>| parts.into_iter().flatten().collect::<Vec<_>>();
                let inside = numbers(ranges.within(asked.clone()).collect());
                let outside = numbers(ranges.missing(asked.clone()));
                let (expect_in, expect_out): (Vec<u64>, Vec<u64>) =
                    asked.partition(|i| model[*i as usize]);
                assert_eq!(inside, expect_in, "seed {seed}");
                assert_eq!(outside, expect_out, "seed {seed}");
            }
            let count = model.iter().filter(|there| **there).count() as u64;
            assert_eq!(ranges.total(), count, "seed {seed}");
            for i in 0..SPAN {
                assert_eq!(ranges.contains(i), model[i as usize], "seed {seed}");
            }
            let all: Vec<_> = ranges.iter().collect();
            assert!(all.windows(2).all(|w| w[0].end < w[1].start), "seed {seed}");
        }
    }
}
