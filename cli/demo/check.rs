//! Compares what a session holds after a crash with what the ledger owes it.
//!
//! The rule: what is there is a prefix of the session's steps, at least as long as what was
//! acknowledged, at most as long as what was announced, every payload byte for byte the one
//! that the workload makes again here.

use super::ledger::Claim;
use super::workload::{Op, Step, Steps, Workload};

/// How far apart two records may be found swapped, doubled or missing and still be told so.
const WINDOW: usize = 256;

/// How many problems of one session are told in words.
const TOLD: usize = 3;

/// What was found of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Records there.
    pub records: u64,
    /// Turns begun there.
    pub turns: u64,
    /// Turns whose beginning was acknowledged.
    pub turns_acknowledged: u64,
    /// Records acknowledged and not there as they were.
    pub lost: u64,
    /// Records there that were never submitted like this, or that follow a hole.
    pub invented: u64,
    /// The first problems, in words.
    pub problems: Vec<String>,
}

impl Found {
    /// Tells whether all is as it must be.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.invented == 0
    }

    fn tell(&mut self, problem: impl FnOnce() -> String) {
        if self.problems.len() < TOLD {
            self.problems.push(problem());
        }
    }
}

/// Takes the records of one session in order.
#[derive(Clone, Debug)]
pub struct Check<'w> {
    workload: &'w Workload,
    claim: Claim,
    /// Where the session's next step is expected.
    steps: Steps<'w>,
    next: Step,
    found: Found,
}

impl<'w> Check<'w> {
    /// Starts with the first step of `session`, of which `claim` is owed.
    pub fn new(workload: &'w Workload, session: u32, claim: Claim) -> Check<'w> {
        let mut steps = workload.steps(session);
        let next = steps.next().expect("steps never end");
        Check {
            workload,
            claim,
            steps,
            next,
            found: Found::default(),
        }
    }

    /// Goes on after a good comparison, when more was appended: `claim` is owed now.
    pub fn go_on(&mut self, claim: Claim) {
        self.claim = claim;
    }

    /// Takes the next record.
    pub fn take(&mut self, op: Op, payload: &[u8]) {
        self.found.records += 1;
        self.found.turns += u64::from(op == Op::Begin);
        let session = self.next.session;
        if self.is(&self.next, op, payload) {
            if self.next.index >= self.claim.announced {
                let index = self.next.index;
                self.found.invented += 1;
                self.found
                    .tell(|| format!("session {session}: step {index} was never submitted"));
            }
            self.advance();
            return;
        }
        let ahead = self.steps.clone().take(WINDOW);
        if let Some(found) = ahead.into_iter().find(|step| self.is(step, op, payload)) {
            let (from, to) = (self.next.index, found.index);
            self.found
                .tell(|| format!("session {session}: steps {from}..{to} are missing"));
            if from >= self.claim.acknowledged {
                // Nothing acknowledged is missing, yet what follows a hole must not be there.
                self.found.invented += 1;
            }
            while self.next.index < to {
                self.lose();
            }
            self.advance();
            return;
        }
        self.found.invented += 1;
        let index = self.next.index;
        let first = index.saturating_sub(WINDOW as u64);
        let mut before = self.workload.steps(session);
        let mut before = before
            .by_ref()
            .skip(first as usize)
            .take((index - first) as usize);
        if let Some(again) = before.find(|step| self.is(step, op, payload)) {
            let again = again.index;
            self.found
                .tell(|| format!("session {session}: step {again} comes again before {index}"));
        } else {
            self.found
                .tell(|| format!("session {session}: step {index} is altered"));
            self.lose();
        }
    }

    /// Compares what came so far. The session may go on afterwards if that was good.
    pub fn found(&self) -> Found {
        self.clone().finish()
    }

    /// Ends the session.
    pub fn finish(mut self) -> Found {
        let session = self.next.session;
        if self.next.index < self.claim.acknowledged {
            let (from, to) = (self.next.index, self.claim.acknowledged);
            self.found
                .tell(|| format!("session {session}: steps {from}..{to} are missing at the end"));
        }
        while self.next.index < self.claim.acknowledged {
            self.lose();
        }
        self.found
    }

    fn is(&self, step: &Step, op: Op, payload: &[u8]) -> bool {
        step.op == op && *self.workload.payload(step) == *payload
    }

    /// The next step is not there.
    fn lose(&mut self) {
        self.found.lost += u64::from(self.next.index < self.claim.acknowledged);
        self.advance();
    }

    fn advance(&mut self) {
        if self.next.op == Op::Begin && self.next.index < self.claim.acknowledged {
            self.found.turns_acknowledged += 1;
        }
        self.next = self.steps.next().expect("steps never end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Workload = Workload::Generated { seed: 5 };

    fn records(count: usize) -> Vec<(Op, Vec<u8>)> {
        let steps = WORK.steps(2).take(count);
        steps
            .map(|s| (s.op, WORK.payload(&s).into_owned()))
            .collect()
    }

    fn check(records: &[(Op, Vec<u8>)], acknowledged: u64, announced: u64) -> (u64, u64) {
        let claim = Claim {
            announced,
            acknowledged,
        };
        let mut check = Check::new(&WORK, 2, claim);
        for (op, payload) in records {
            check.take(*op, payload);
        }
        let found = check.finish();
        assert_eq!(found.records, records.len() as u64);
        assert_eq!(found.is_good(), found.problems.is_empty(), "{found:?}");
        (found.lost, found.invented)
    }

    #[test]
    fn a_prefix_between_acknowledged_and_announced_is_good() {
        for count in 50..=60 {
            assert_eq!(check(&records(count), 50, 60), (0, 0));
        }
        assert_eq!(check(&[], 0, 60), (0, 0));
    }

    #[test]
    fn an_acknowledged_record_cut_off_is_lost() {
        assert_eq!(check(&records(47), 50, 60), (3, 0));
        assert_eq!(check(&[], 50, 60), (50, 0));
    }

    #[test]
    fn a_record_that_was_never_submitted_is_invented() {
        assert_eq!(check(&records(61), 50, 60), (0, 1));
        let mut foreign = records(55);
        foreign.push((Op::Event, b"of somebody else".to_vec()));
        assert_eq!(check(&foreign, 50, 60), (0, 1));
    }

    #[test]
    fn a_record_missing_in_the_middle_is_lost_and_the_rest_still_counts() {
        let mut holed = records(55);
        holed.drain(10..13);
        assert_eq!(check(&holed, 50, 60), (3, 0));
    }

    #[test]
    fn a_hole_among_what_was_not_acknowledged_is_no_prefix() {
        let mut holed = records(58);
        holed.remove(54);
        assert_eq!(check(&holed, 50, 60), (0, 1));
    }

    #[test]
    fn an_altered_record_is_lost_and_invented() {
        let mut altered = records(55);
        altered[20].1[100] ^= 1;
        assert_eq!(check(&altered, 50, 60), (1, 1));
        let mut altered = records(55);
        let other = if altered[20].0 == Op::Event {
            Op::Complete
        } else {
            Op::Event
        };
        altered[20].0 = other;
        assert_eq!(check(&altered, 50, 60), (1, 1));
    }

    #[test]
    fn a_doubled_record_is_invented() {
        let mut doubled = records(55);
        let again = doubled[20].clone();
        doubled.insert(21, again);
        assert_eq!(check(&doubled, 50, 60), (0, 1));
    }

    #[test]
    fn swapped_records_do_not_pass() {
        let mut swapped = records(55);
        swapped.swap(20, 21);
        assert_ne!(check(&swapped, 50, 60), (0, 0));
    }

    #[test]
    fn a_comparison_goes_on_where_the_last_one_ended() {
        let all = records(100);
        let claim = |acknowledged, announced| Claim {
            announced,
            acknowledged,
        };
        let mut check = Check::new(&WORK, 2, claim(50, 60));
        all[..55]
            .iter()
            .for_each(|(op, payload)| check.take(*op, payload));
        assert!(check.found().is_good());
        check.go_on(claim(90, 95));
        assert_eq!(check.found().lost, 35);
        all[55..92]
            .iter()
            .for_each(|(op, payload)| check.take(*op, payload));
        let found = check.found();
        assert!(found.is_good());
        assert_eq!(found.records, 92);
        check.take(all[93].0, &all[93].1);
        assert!(!check.found().is_good(), "step 92 is missing");
    }

    #[test]
    fn turns_are_counted() {
        let all = records(100);
        let begins = |n: usize| all[..n].iter().filter(|r| r.0 == Op::Begin).count() as u64;
        let claim = Claim {
            announced: 100,
            acknowledged: 60,
        };
        let mut check = Check::new(&WORK, 2, claim);
        for (op, payload) in &all {
            check.take(*op, payload);
        }
        let found = check.finish();
        assert_eq!(
            (found.turns, found.turns_acknowledged),
            (begins(100), begins(60))
        );
    }
}
