//! The independent account: what was acknowledged, compared with what came back.

use crate::record::{Workload, fingerprint};
use std::collections::{BTreeSet, HashMap};

/// What the parent knows of a round.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    acked: BTreeSet<u64>,
    /// Everything below was given to the store, or may have been.
    submitted_below: u64,
}

/// How what came back differs from the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Acknowledged, and not there byte for byte.
    pub missing: u64,
    /// There, and never submitted in these bytes, or there more often than submitted.
    pub invented: u64,
    /// There and never acknowledged, which is a store's good right.
    pub unacknowledged: u64,
}

impl Ledger {
    /// A record was acknowledged; the next one is on its way.
    pub fn acked(&mut self, n: u64) {
        self.acked.insert(n);
        self.submitted_below = self.submitted_below.max(n + 2);
    }

    /// A record was refused. It may be there all the same: an error is not a promise.
    pub fn refused(&mut self, n: u64) {
        self.submitted_below = self.submitted_below.max(n + 2);
    }

    /// The worker began: its first record is on its way.
    pub fn began(&mut self, from: u64) {
        self.submitted_below = self.submitted_below.max(from + 1);
    }

    /// How many were acknowledged.
    pub fn count(&self) -> u64 {
        self.acked.len() as u64
    }

    /// The number of the next record that was not submitted.
    pub fn next(&self) -> u64 {
        self.submitted_below
    }

    /// The bytes that were acknowledged.
    pub fn bytes(&self, workload: &Workload) -> u64 {
        self.acked
            .iter()
            .map(|&n| workload.record(n).bytes.len() as u64)
            .sum()
    }

    /// Compares with the fingerprints of what came back.
    pub fn compare(&self, workload: &Workload, returned: &[u64]) -> Difference {
        let submitted: HashMap<u64, u64> = (0..self.submitted_below)
            .map(|n| {
                let record = workload.record(n);
                (fingerprint(record.session, &record.bytes), n)
            })
            .collect();
        let mut there = BTreeSet::new();
        let mut difference = Difference::default();
        for print in returned {
            match submitted.get(print) {
                Some(&n) if there.insert(n) => {}
                _ => difference.invented += 1,
            }
        }
        difference.missing = self.acked.difference(&there).count() as u64;
        difference.unacknowledged = there.difference(&self.acked).count() as u64;
        difference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_inventions_and_repetitions_are_told_apart() {
        let workload = Workload {
            seed: 7,
            sessions: 3,
            bytes: 64,
        };
        let print = |n| {
            let record = workload.record(n);
            fingerprint(record.session, &record.bytes)
        };
        let mut ledger = Ledger::default();
        ledger.began(0);
        (0..4).for_each(|n| ledger.acked(n));
        let whole: Vec<u64> = (0..4).map(print).collect();
        assert_eq!(ledger.compare(&workload, &whole), Difference::default());

        // 0 is lost, 2 came back twice, 4 was on its way, 9 was never submitted.
        let returned = [print(1), print(2), print(2), print(3), print(4), print(9)];
        let difference = ledger.compare(&workload, &returned);
        assert_eq!(
            difference,
            Difference {
                missing: 1,
                invented: 2,
                unacknowledged: 1
            }
        );
    }
}
