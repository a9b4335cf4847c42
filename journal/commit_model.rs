//! Every hand-over of the commit protocol, in every interleaving that loom finds.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release --lib commit_model`. The code under test
//! is [`super::commit`] as it runs in production; stage and writer are counters.

use super::commit::{Admission, Commit, Stage, Want, Write};
use crate::error::{Error, Result};
use crate::sabotage::Sabotage;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use loom::sync::Arc;
use loom::thread;
use std::io;
use std::path::Path;
use std::task::{Context, Poll, Waker};

/// Counts records instead of holding them.
struct Counts {
    next_lsn: u64,
    staged: u64,
    in_flight: u64,
    limit: u64,
    /// A group is asked for, with or without records.
    wanted: bool,
}

impl Stage for Counts {
    type Group = u64;

    fn is_empty(&self) -> bool {
        self.staged == 0 && !self.wanted
    }

    fn end_lsn(&self) -> u64 {
        self.next_lsn
    }

    fn take(&mut self) -> u64 {
        self.wanted = false;
        self.in_flight += std::mem::take(&mut self.staged);
        self.next_lsn
    }

    fn give_back(&mut self, _end: u64) {
        self.in_flight = 0;
    }
}

/// The disk: what was written, and what of it was synced.
struct Disk {
    synced: Arc<AtomicU64>,
    fails: bool,
    writing: Arc<AtomicBool>,
}

impl Write for Disk {
    type Group = u64;

    fn write(&mut self, end: &mut u64, sync: bool) -> Result<u64> {
        assert!(
            !self.writing.swap(true, Ordering::AcqRel),
            "two write at once"
        );
        if self.fails {
            self.writing.store(false, Ordering::Release);
            let error = io::Error::from(io::ErrorKind::Other);
            return Err(Error::io("sync", Path::new("log"), error));
        }
        if sync {
            self.synced.store(*end, Ordering::Release);
        }
        self.writing.store(false, Ordering::Release);
        Ok(*end)
    }
}

struct Model {
    commit: Commit<Counts, Disk>,
    synced: Arc<AtomicU64>,
}

impl Model {
    fn new(limit: u64, fails: bool) -> Arc<Model> {
        let synced = Arc::new(AtomicU64::new(1));
        let writing = Arc::new(AtomicBool::new(false));
        let disk = Disk {
            synced: synced.clone(),
            fails,
            writing,
        };
        let counts = Counts {
            next_lsn: 1,
            staged: 0,
            in_flight: 0,
            limit,
            wanted: false,
        };
        Arc::new(Model {
            commit: Commit::new(counts, disk, 1),
            synced,
        })
    }

    fn offer(counts: &mut Counts) -> Result<Admission<u64>> {
        if counts.staged + counts.in_flight >= counts.limit {
            return Ok(Admission::Wait {
                pending_bytes: counts.staged + counts.in_flight,
            });
        }
        let value = counts.next_lsn;
        counts.next_lsn += 1;
        counts.staged += 1;
        Ok(Admission::Accepted {
            value,
            end_lsn: counts.next_lsn,
        })
    }

    /// Appends one record; if that is acknowledged, it is on the disk.
    fn append(&self) -> Result<u64> {
        let (lsn, end) = self
            .commit
            .append(Want::Durable, &|_| Ok(()), &mut Self::offer)?;
        assert!(
            self.synced.load(Ordering::Acquire) >= end,
            "acknowledged before it was synced"
        );
        assert!(
            self.commit.durable() >= end,
            "acknowledged above the watermark"
        );
        Ok(lsn)
    }

    fn submit(&self) -> Result<u64> {
        let (_, end) =
            self.commit
                .submit(Want::Durable, None, true, &|_| Ok(()), &mut Self::offer)?;
        Ok(end)
    }
}

fn spawn(model: &Arc<Model>, work: impl FnOnce(&Model) + 'static) -> thread::JoinHandle<()> {
    let model = model.clone();
    thread::spawn(move || work(&model))
}

/// Runs the committer thread while `work` runs.
fn with_committer(model: &Arc<Model>, work: impl FnOnce()) {
    model.commit.set_threaded(true);
    let committer = spawn(model, |model| model.commit.run_committer());
    work();
    model.commit.stop_committer();
    committer.join().expect("the committer ends");
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 50_000;
    builder.check(model);
}

#[test]
fn appenders_are_acknowledged_after_the_sync_that_covers_them() {
    check(|| {
        let model = Model::new(8, false);
        let other = spawn(&model, |model| drop(model.append().expect("nothing fails")));
        model.append().expect("nothing fails");
        other.join().expect("no panic");
        assert_eq!(model.commit.durable(), 3);
    });
}

#[test]
fn a_group_that_is_asked_for_is_written_whoever_leads() {
    check(|| {
        let model = Model::new(8, false);
        let other = spawn(&model, |model| drop(model.append().expect("nothing fails")));
        model.commit.with_stage(|counts| counts.wanted = true);
        let driven = model.commit.drive(&|counts| !counts.wanted);
        driven.expect("nothing fails");
        other.join().expect("no panic");
        assert!(model.commit.with_stage(|counts| !counts.wanted));
    });
}

#[test]
fn leading_is_handed_to_the_committer_and_nobody_is_forgotten() {
    check(|| {
        let model = Model::new(8, false);
        with_committer(&model, || {
            let other = spawn(&model, |model| drop(model.append().expect("nothing fails")));
            model.append().expect("nothing fails");
            other.join().expect("no panic");
        });
    });
}

#[test]
fn a_ticket_is_served_by_the_committer() {
    check(|| {
        let model = Model::new(8, false);
        with_committer(&model, || {
            let end = model.submit().expect("nothing fails");
            model.commit.wait_durable(end).expect("nothing fails");
            assert!(model.synced.load(Ordering::Acquire) >= end);
        });
    });
}

#[test]
fn a_ticket_without_a_committer_is_served_by_whoever_waits() {
    check(|| {
        let model = Model::new(8, false);
        let other = spawn(&model, |model| {
            let end = model.submit().expect("nothing fails");
            model.commit.wait_durable(end).expect("nothing fails");
        });
        let end = model.submit().expect("nothing fails");
        model.commit.wait_durable(end).expect("nothing fails");
        other.join().expect("no panic");
    });
}

#[test]
fn a_polled_ticket_is_woken() {
    check(|| {
        let model = Model::new(8, false);
        with_committer(&model, || {
            let end = model.submit().expect("nothing fails");
            let done =
                loom::future::block_on(std::future::poll_fn(
                    |context: &mut Context<'_>| match model
                        .commit
                        .poll_durable(end, context.waker())
                    {
                        None => Poll::Pending,
                        Some(result) => Poll::Ready(result),
                    },
                ));
            done.expect("nothing fails");
        });
    });
}

#[test]
fn a_ticket_that_outlives_the_committer_is_served() {
    check(|| {
        let model = Model::new(8, false);
        with_committer(&model, || drop(model.submit().expect("nothing fails")));
        let end = model.submit().expect("nothing fails");
        let poll = |context: &mut Context<'_>| match model.commit.poll_durable(end, context.waker())
        {
            None => Poll::Pending,
            Some(result) => Poll::Ready(result),
        };
        loom::future::block_on(std::future::poll_fn(poll)).expect("nothing fails");
    });
}

#[test]
fn a_failed_sync_is_told_to_everybody_and_stays() {
    check(|| {
        let model = Model::new(8, true);
        let other = spawn(&model, |model| {
            assert!(matches!(model.append(), Err(Error::Poisoned { .. })));
        });
        assert!(matches!(model.append(), Err(Error::Poisoned { .. })));
        other.join().expect("no panic");
        assert_eq!(model.commit.durable(), 1, "nothing was acknowledged");
        assert!(model.append().is_err(), "there is no way back");
        assert!(
            model
                .commit
                .poll_durable(2, Waker::noop())
                .is_some_and(|done| done.is_err())
        );
    });
}

#[test]
fn back_pressure_waits_for_room_and_gets_it() {
    check(|| {
        let model = Model::new(1, false);
        let other = spawn(&model, |model| drop(model.append().expect("nothing fails")));
        model.append().expect("nothing fails");
        other.join().expect("no panic");
        assert_eq!(model.commit.durable(), 3);
    });
}

#[test]
fn closing_waits_for_whoever_leads_and_makes_everything_durable() {
    check(|| {
        let model = Model::new(8, false);
        let other = spawn(&model, |model| match model.append() {
            Ok(_) | Err(Error::Closed) => {}
            Err(error) => panic!("{error}"),
        });
        let end = model.submit().expect("not closed yet");
        model.commit.close().expect("nothing fails");
        assert!(model.synced.load(Ordering::Acquire) >= end);
        other.join().expect("no panic");
        assert!(matches!(model.append(), Err(Error::Closed)));
    });
}

#[test]
fn a_subscription_at_the_edge_is_woken_by_the_next_record() {
    check(|| {
        let model = Model::new(8, false);
        let reader = spawn(&model, |model| assert!(model.commit.wait_beyond(1, None)));
        model.append().expect("nothing fails");
        reader.join().expect("no panic");
    });
}

#[test]
fn a_subscription_ends_when_the_log_fails_or_closes() {
    check(|| {
        let model = Model::new(8, true);
        let reader = spawn(&model, |model| assert!(!model.commit.wait_beyond(1, None)));
        assert!(model.append().is_err());
        reader.join().expect("no panic");
    });
    check(|| {
        let model = Model::new(8, false);
        let reader = spawn(&model, |model| assert!(!model.commit.wait_beyond(1, None)));
        model.commit.close().expect("nothing fails");
        reader.join().expect("no panic");
    });
}

/// Remembers that it was woken.
#[derive(Default)]
struct Flag(std::sync::atomic::AtomicBool);

impl std::task::Wake for Flag {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Asks once, without waiting: whoever was told to wait is woken by the group that covers it.
fn ask_once() {
    let model = Model::new(8, false);
    let flag = std::sync::Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    let mut asked = (0, None);
    with_committer(&model, || {
        let end = model.submit().expect("nothing fails");
        asked = (end, model.commit.poll_durable(end, &waker));
    });
    let (end, done) = asked;
    if done.is_none() && model.commit.durable() >= end {
        assert!(flag.0.load(Ordering::Acquire), "nobody was told");
    }
}

#[test]
fn whoever_was_told_to_wait_is_woken() {
    check(ask_once);
}

/// No crash finds a lost wake-up: nothing is lost but time. So one is put in, and has to be found
/// here.
#[test]
#[should_panic(expected = "nobody was told")]
fn a_lost_wake_up_is_found() {
    Sabotage::set(Some(Sabotage::LoseWakeUp));
    check(ask_once);
}
