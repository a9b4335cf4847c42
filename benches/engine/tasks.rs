//! The smallest executor: one task for each session, each awaiting its own ticket.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use turnkeep::{Session, Ticket};

/// Tasks that were woken, and the thread that runs them.
struct Ready {
    woken: Mutex<Vec<usize>>,
    runner: Thread,
}

struct TaskWaker {
    task: usize,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut woken = self.ready.woken.lock().expect("nothing panics");
        let first = woken.is_empty();
        woken.push(self.task);
        drop(woken);
        if first {
            self.ready.runner.unpark();
        }
    }
}

/// Runs a task for each of `sessions`: append, await, and again, `times` times.
pub fn run(sessions: &[Session], times: usize, submit: &dyn Fn(&Session) -> Ticket) {
    let ready = Arc::new(Ready {
        woken: Mutex::default(),
        runner: std::thread::current(),
    });
    let wakers: Vec<_> = (0..sessions.len())
        .map(|task| {
            let ready = ready.clone();
            Waker::from(Arc::new(TaskWaker { task, ready }))
        })
        .collect();
    let mut tickets: Vec<_> = sessions.iter().map(submit).collect();
    let mut left = vec![times; sessions.len()];
    let mut runnable: Vec<usize> = (0..sessions.len()).collect();
    let mut unfinished = sessions.len();
    while unfinished > 0 {
        for task in runnable.drain(..) {
            let mut context = Context::from_waker(&wakers[task]);
            while let Poll::Ready(result) = Pin::new(&mut tickets[task]).poll(&mut context) {
                result.expect("is durable");
                left[task] -= 1;
                if left[task] == 0 {
                    unfinished -= 1;
                    break;
                }
                tickets[task] = submit(&sessions[task]);
            }
        }
        while unfinished > 0 && runnable.is_empty() {
            std::mem::swap(
                &mut *ready.woken.lock().expect("nothing panics"),
                &mut runnable,
            );
            if runnable.is_empty() {
                std::thread::park();
            }
        }
    }
}
