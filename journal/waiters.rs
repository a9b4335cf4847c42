//! Who waits for how much of the log.

use crate::sabotage::Sabotage;
use crate::sync::Thread;
use std::collections::VecDeque;
use std::task::Waker;

/// How somebody is woken.
pub(super) enum Wake {
    Thread(Thread),
    Task(Waker),
}

impl Wake {
    pub(super) fn wake(self) {
        match self {
            Wake::Thread(thread) => thread.unpark(),
            Wake::Task(waker) => waker.wake(),
        }
    }
}

struct Waiter {
    /// Satisfied when the mark is at least this.
    end_lsn: u64,
    wake: Wake,
}

/// Who waits for one mark, by ascending LSN.
///
/// Records are waited for in about the order in which they were accepted, so a new waiter goes
/// in at the back or near it, and those whom a group satisfies stand at the front: the cost
/// follows who is woken, not who waits.
#[derive(Default)]
pub(super) struct Waiters(VecDeque<Waiter>);

impl Waiters {
    pub(super) fn add(&mut self, end_lsn: u64, wake: Wake) {
        let later = self.0.iter().rev().take_while(|w| w.end_lsn > end_lsn);
        let at = self.0.len() - later.count();
        self.0.insert(at, Waiter { end_lsn, wake });
    }

    /// As [`Waiters::add`], unless that task waits for that record already.
    pub(super) fn add_task(&mut self, end_lsn: u64, waker: &Waker) {
        let from = self.0.partition_point(|waiter| waiter.end_lsn < end_lsn);
        let mut same = self.0.range(from..).take_while(|w| w.end_lsn == end_lsn);
        if !same.any(|waiter| matches!(&waiter.wake, Wake::Task(task) if task.will_wake(waker))) {
            self.add(end_lsn, Wake::Task(waker.clone()));
        }
    }

    /// Takes out everybody whom `mark` satisfies.
    pub(super) fn take_until(&mut self, mark: u64, wakes: &mut Vec<Wake>) {
        let mark = mark.saturating_sub(u64::from(Sabotage::LoseWakeUp.is_on()));
        let satisfied = self.0.partition_point(|waiter| waiter.end_lsn <= mark);
        wakes.extend(self.0.drain(..satisfied).map(|waiter| waiter.wake));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::{AtomicU64, Ordering};
    use std::sync::Arc;

    /// Adds its number to a sum when it is woken.
    struct Sum(u64, Arc<AtomicU64>);

    impl std::task::Wake for Sum {
        fn wake(self: Arc<Self>) {
            self.wake_by_ref();
        }
        fn wake_by_ref(self: &Arc<Self>) {
            self.1.fetch_add(self.0, Ordering::Relaxed);
        }
    }

    #[test]
    fn exactly_those_are_woken_whom_the_mark_satisfies_whatever_order_they_came_in() {
        let mut waiters = Waiters::default();
        let sum = Arc::new(AtomicU64::new(0));
        for end_lsn in [5, 3, 9, 1, 7, 3] {
            let waker = Waker::from(Arc::new(Sum(end_lsn, sum.clone())));
            waiters.add_task(end_lsn, &waker);
        }
        let mut woken_at = |mark| {
            let mut wakes = Vec::new();
            waiters.take_until(mark, &mut wakes);
            wakes.into_iter().for_each(Wake::wake);
            sum.swap(0, Ordering::Relaxed)
        };
        assert_eq!(woken_at(0), 0);
        assert_eq!(woken_at(4), 1 + 3 + 3);
        assert_eq!(woken_at(5), 5);
        assert_eq!(woken_at(u64::MAX), 7 + 9);
        assert_eq!(woken_at(u64::MAX), 0);
    }

    #[test]
    fn a_task_that_asks_again_is_woken_once() {
        let mut waiters = Waiters::default();
        let sum = Arc::new(AtomicU64::new(0));
        let wakers = [1, 1].map(|n| Waker::from(Arc::new(Sum(n, sum.clone()))));
        for waker in [&wakers[0], &wakers[1], &wakers[0], &wakers[1]] {
            waiters.add_task(8, waker);
        }
        let mut wakes = Vec::new();
        waiters.take_until(8, &mut wakes);
        assert_eq!(wakes.len(), 2, "each of the two tasks once");
    }
}
