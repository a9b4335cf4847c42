//! Group commit: the hand-over between those who append and whoever writes.
//!
//! Everything accepted while the last sync ran is the next group. One thread at a time
//! *leads*: it takes the stage, writes and syncs it with no lock held, publishes how far the
//! log is durable, and wakes exactly those whose records that covers. A lone appender leads
//! inline, without a hand-over; as soon as others wait, the committer thread takes over.
//!
//! Which lock protects what: `state` protects the stage, the waiters and who leads; it is held
//! for memory work only. `writer` belongs to whoever leads (`State::busy`), so it is never
//! contended; it is held across the write and the sync. No waker runs under a lock.
//!
//! After a failed write or sync, or a panic while leading, the log is *failed* for good: every
//! waiter is told, nothing more is accepted. There is no way back but opening again.
//!
//! This file does no I/O and knows no bytes: it is model-checked with loom as it stands.

use super::waiters::{Waiters, Wake};
use crate::error::{Error, Result};
use crate::storage::Home;
use crate::sync::{
    Arc, AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, current, park, wait,
    wait_until,
};
use std::task::Waker;
use std::time::{Duration, Instant};

/// What is gathered until the next group. Runs under the state lock: memory work only.
pub(crate) trait Stage {
    /// What one write makes durable.
    type Group;
    /// Whether nothing waits to be written.
    fn is_empty(&self) -> bool;
    /// The LSN after the last record accepted.
    fn end_lsn(&self) -> u64;
    /// Takes everything that waits.
    fn take(&mut self) -> Self::Group;
    /// Takes back a group that was written, so that its memory and its bytes are free again.
    fn give_back(&mut self, group: Self::Group);
}

/// Who writes. Runs with no lock held but its own.
pub(crate) trait Write {
    /// What one write makes durable.
    type Group;
    /// Writes the group and, if asked, makes it and everything before it durable. Returns the
    /// LSN after the group.
    fn write(&mut self, group: &mut Self::Group, sync: bool) -> Result<u64>;
}

/// What the stage says to an append.
pub(crate) enum Admission<T> {
    /// Accepted; the record's end is the LSN after it.
    Accepted { value: T, end_lsn: u64 },
    /// Nothing had to be written: what was asked for is there already, below `end_lsn`.
    Already { value: T, end_lsn: u64 },
    /// Too many bytes wait: come back when some are durable.
    Wait { pending_bytes: u64 },
    /// No segment has room: make one of at least this capacity.
    Segment { capacity: u64 },
}

impl<T> Admission<T> {
    /// The same with another value.
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Admission<U> {
        match self {
            Admission::Accepted { value, end_lsn } => Admission::Accepted {
                value: with(value),
                end_lsn,
            },
            Admission::Already { value, end_lsn } => Admission::Already {
                value: with(value),
                end_lsn,
            },
            Admission::Wait { pending_bytes } => Admission::Wait { pending_bytes },
            Admission::Segment { capacity } => Admission::Segment { capacity },
        }
    }
}

/// How soon an accepted record must be on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    /// Whenever somebody else wants something.
    Nothing,
    /// To the operating system, now.
    Written,
    /// To the medium, now.
    Durable,
}

struct State<S> {
    stage: S,
    want: Want,
    deadline: Option<Instant>,
    /// Who waits for the durable mark.
    waiters: Waiters,
    /// Who waits for the written mark.
    written_waiters: Waiters,
    /// Somebody leads, or is about to.
    busy: bool,
    /// Leading was handed to the committer thread, which has not begun yet.
    handed: bool,
    /// Something was written and not synced.
    unsynced: bool,
    /// How many appenders wait for space.
    blocked: usize,
    /// How many subscriptions wait for the durable edge to move.
    watchers: usize,
    closed: bool,
    stop: bool,
    failed: Option<Arc<Error>>,
}

/// The hand-over. `S` gathers, `W` writes.
pub(crate) struct Commit<S, W> {
    state: Mutex<State<S>>,
    writer: Mutex<W>,
    /// Exclusive: everything below is durable.
    durable: AtomicU64,
    /// Exclusive: everything below was handed to the operating system.
    written: AtomicU64,
    failed: AtomicBool,
    /// The committer thread waits here.
    committer: Condvar,
    /// Appenders that were told to wait, and a closer, wait here.
    space: Condvar,
    /// Subscriptions wait here.
    edge: Condvar,
    threaded: AtomicBool,
    /// The process whose log this is.
    home: Home,
}

/// Fails the log unless it is disarmed: a panic while leading must not leave waiters asleep.
struct FailOnDrop<'c, S: Stage, W: Write<Group = S::Group>> {
    commit: &'c Commit<S, W>,
    armed: bool,
}

impl<S: Stage, W: Write<Group = S::Group>> Drop for FailOnDrop<'_, S, W> {
    fn drop(&mut self) {
        if self.armed {
            let why = "a thread panicked while it changed the log".to_owned();
            let cause = Error::Invalid { what: "state", why };
            let wakes = self.commit.fail(self.commit.state.lock(), cause);
            wake_all(wakes);
        }
    }
}

impl<S: Stage, W: Write<Group = S::Group>> Commit<S, W> {
    /// Begins with everything below `durable` durable.
    pub(crate) fn new(stage: S, writer: W, durable: u64) -> Self {
        Commit {
            state: Mutex::new(State {
                stage,
                want: Want::Nothing,
                deadline: None,
                waiters: Waiters::default(),
                written_waiters: Waiters::default(),
                busy: false,
                handed: false,
                unsynced: false,
                blocked: 0,
                watchers: 0,
                closed: false,
                stop: false,
                failed: None,
            }),
            writer: Mutex::new(writer),
            durable: AtomicU64::new(durable),
            written: AtomicU64::new(durable),
            failed: AtomicBool::new(false),
            committer: Condvar::new(),
            space: Condvar::new(),
            edge: Condvar::new(),
            threaded: AtomicBool::new(false),
            home: Home::here(),
        }
    }

    /// Refuses whoever inherited this by a fork, before any lock is taken: one that a thread of
    /// the parent's held is held here for good, and whatever is written here the parent writes
    /// as well.
    ///
    /// # Errors
    /// [`Error::Forked`].
    #[inline]
    pub(crate) fn check_home(&self) -> Result<()> {
        match self.home.is_here() {
            true => Ok(()),
            false => Err(Error::Forked {
                owner: self.home.pid(),
            }),
        }
    }

    /// The durable watermark: everything below is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The first failure, if there was one.
    pub(crate) fn failure(&self) -> Option<Arc<Error>> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        self.state.lock().failed.clone()
    }

    /// Looks at the stage, or changes what is no record.
    pub(crate) fn with_stage<T>(&self, look: impl FnOnce(&mut S) -> T) -> T {
        let mut guard = FailOnDrop {
            commit: self,
            armed: true,
        };
        let value = look(&mut self.state.lock().stage);
        guard.armed = false;
        value
    }

    /// Offers something to the stage, waiting for room if `may_wait`. `prepare` makes a segment
    /// of at least the given capacity; it runs with no lock held.
    pub(crate) fn submit<T>(
        &self,
        want: Want,
        within: Option<Duration>,
        may_wait: bool,
        prepare: &dyn Fn(u64) -> Result<()>,
        offer: &mut dyn FnMut(&mut S) -> Result<Admission<T>>,
    ) -> Result<(T, u64)> {
        self.check_home()?;
        let mut guard = FailOnDrop {
            commit: self,
            armed: true,
        };
        let result = self.admit(want, within, may_wait, prepare, offer);
        guard.armed = false;
        let (value, end_lsn, state) = result?;
        if let Some(mut state) = state
            && want == Want::Durable
            && !state.busy
            && self.threaded.load(Ordering::Relaxed)
        {
            state.busy = true;
            state.handed = true;
            drop(state);
            self.committer.notify_one();
        }
        Ok((value, end_lsn))
    }

    /// As [`Commit::submit`], and returns when the record is durable (or written, if that is all
    /// that is wanted).
    pub(crate) fn append<T>(
        &self,
        want: Want,
        prepare: &dyn Fn(u64) -> Result<()>,
        offer: &mut dyn FnMut(&mut S) -> Result<Admission<T>>,
    ) -> Result<(T, u64)> {
        self.check_home()?;
        let mut guard = FailOnDrop {
            commit: self,
            armed: true,
        };
        let result = self.admit(want, None, true, prepare, offer);
        guard.armed = false;
        let (value, end_lsn, state) = result?;
        let written_is_enough = want != Want::Durable;
        match state {
            Some(state) => self.join(state, end_lsn, written_is_enough)?,
            None => self.wait_for(end_lsn, written_is_enough)?,
        }
        Ok((value, end_lsn))
    }

    /// Returns when everything below `end_lsn` is durable.
    pub(crate) fn wait_durable(&self, end_lsn: u64) -> Result<()> {
        if self.durable() >= end_lsn {
            return Ok(());
        }
        self.check_home()?;
        self.wait_for(end_lsn, false)
    }

    /// Whether everything below `end_lsn` is durable; if not, `waker` is woken when it is, or
    /// when the log has failed.
    pub(crate) fn poll_durable(&self, end_lsn: u64, waker: &Waker) -> Option<Result<()>> {
        if self.durable() >= end_lsn {
            return Some(Ok(()));
        }
        if let Err(error) = self.check_home() {
            return Some(Err(error));
        }
        let mut state = self.state.lock();
        if self.durable() >= end_lsn {
            return Some(Ok(()));
        }
        if let Some(cause) = &state.failed {
            return Some(Err(Error::Poisoned {
                cause: cause.clone(),
            }));
        }
        state.want = Want::Durable;
        state.waiters.add_task(end_lsn, waker);
        if state.busy {
            return None;
        }
        state.busy = true;
        if self.threaded.load(Ordering::Relaxed) {
            state.handed = true;
            drop(state);
            self.committer.notify_one();
            return None;
        }
        drop(state);
        self.lead(false);
        (self.durable() >= end_lsn).then_some(Ok(()))
    }

    /// Waits until something at or above `lsn` is durable, at most `timeout`. Returns whether
    /// it is; a log that has failed or closed returns at once.
    pub(crate) fn wait_beyond(&self, lsn: u64, timeout: Option<Duration>) -> bool {
        if self.durable() > lsn {
            return true;
        }
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.state.lock();
        state.watchers += 1;
        while self.durable() <= lsn && state.failed.is_none() && !state.closed {
            match deadline {
                None => wait(&self.edge, &mut state),
                Some(deadline) => {
                    if wait_until(&self.edge, &mut state, deadline) {
                        break;
                    }
                }
            }
        }
        state.watchers -= 1;
        self.durable() > lsn
    }

    /// Ends the log: nothing more is accepted. Returns when nobody leads any more, so that the
    /// caller alone may use [`Commit::with_writer`]. What is staged is still to be written.
    ///
    /// # Errors
    /// [`Error::Poisoned`] if the log has failed, also when everything accepted is durable: what
    /// was written last may be a hole, and nothing may come to stand behind it.
    pub(crate) fn close(&self) -> Result<()> {
        self.check_home()?;
        let mut state = self.state.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        state.closed = true;
        self.space.notify_all();
        self.edge.notify_all();
        drop(state);
        let flushed = self.flush();
        let mut state = self.state.lock();
        while state.busy {
            wait(&self.space, &mut state);
        }
        match &state.failed {
            Some(cause) => Err(Error::Poisoned {
                cause: cause.clone(),
            }),
            None => flushed,
        }
    }

    /// Makes everything accepted so far durable.
    pub(crate) fn flush(&self) -> Result<()> {
        self.check_home()?;
        let end_lsn = self.state.lock().stage.end_lsn();
        self.wait_durable(end_lsn)
    }

    /// Whether [`Commit::close`] was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Has groups written, even without records, until `done` says that what they were to bring
    /// about has happened. The stage must not be empty before that.
    pub(crate) fn drive(&self, done: &dyn Fn(&S) -> bool) -> Result<()> {
        self.check_home()?;
        loop {
            let mut state = self.state.lock();
            if let Some(cause) = &state.failed {
                return Err(Error::Poisoned {
                    cause: cause.clone(),
                });
            }
            if done(&state.stage) {
                return Ok(());
            }
            if state.closed {
                return Err(Error::Closed);
            }
            state.want = Want::Durable;
            if state.busy {
                // Woken by the next group, whatever it holds; then it is looked at again.
                let wake = Wake::Thread(current());
                state.written_waiters.add(0, wake);
                drop(state);
                park();
            } else {
                state.busy = true;
                drop(state);
                self.lead(false);
            }
        }
    }

    /// Uses the writer while nobody leads. The caller has made sure of that by closing.
    pub(crate) fn with_writer<T>(&self, work: impl FnOnce(&mut W) -> T) -> T {
        work(&mut self.writer.lock())
    }

    /// Fails the log by hand, as a failed write would.
    pub(crate) fn poison(&self, cause: Error) {
        let wakes = self.fail(self.state.lock(), cause);
        wake_all(wakes);
    }

    /// Leads whenever leading is handed over, until [`Commit::stop_committer`].
    pub(crate) fn run_committer(&self) {
        loop {
            let mut state = self.state.lock();
            loop {
                if state.handed {
                    state.handed = false;
                    break;
                }
                if state.stop {
                    // A ticket may outlive the handles: whoever waits for it leads from now on.
                    self.threaded.store(false, Ordering::Relaxed);
                    return;
                }
                match state.deadline {
                    None => wait(&self.committer, &mut state),
                    Some(deadline) => {
                        if wait_until(&self.committer, &mut state, deadline) {
                            state.deadline = None;
                            state.want = Want::Durable;
                            if !state.busy {
                                state.busy = true;
                                break;
                            }
                        }
                    }
                }
            }
            drop(state);
            self.lead(true);
        }
    }

    /// Says that a committer thread is there to be handed to.
    pub(crate) fn set_threaded(&self, threaded: bool) {
        self.threaded.store(threaded, Ordering::Relaxed);
    }

    /// Asks the committer thread to end once nothing is handed to it.
    pub(crate) fn stop_committer(&self) {
        let mut state = self.state.lock();
        state.stop = true;
        drop(state);
        self.committer.notify_all();
    }

    /// Gets an offer accepted. Returns the lock as it was held when it was, or `None` if
    /// nothing was to be written.
    #[allow(clippy::type_complexity)] // the guard is passed on so that no second lock is taken
    fn admit<T>(
        &self,
        want: Want,
        within: Option<Duration>,
        may_wait: bool,
        prepare: &dyn Fn(u64) -> Result<()>,
        offer: &mut dyn FnMut(&mut S) -> Result<Admission<T>>,
    ) -> Result<(T, u64, Option<MutexGuard<'_, State<S>>>)> {
        let mut state = self.state.lock();
        loop {
            if let Some(cause) = &state.failed {
                return Err(Error::Poisoned {
                    cause: cause.clone(),
                });
            }
            if state.closed {
                return Err(Error::Closed);
            }
            match offer(&mut state.stage)? {
                Admission::Accepted { value, end_lsn } => {
                    state.want = state.want.max(want);
                    if let Some(within) = within {
                        self.set_deadline(&mut state, within);
                    }
                    return Ok((value, end_lsn, Some(state)));
                }
                Admission::Already { value, end_lsn } => return Ok((value, end_lsn, None)),
                Admission::Wait { pending_bytes } if !may_wait => {
                    return Err(Error::Backpressure { pending_bytes });
                }
                Admission::Wait { .. } => {
                    state.want = Want::Durable;
                    if state.busy {
                        state.blocked += 1;
                        wait(&self.space, &mut state);
                        state.blocked -= 1;
                    } else {
                        state.busy = true;
                        drop(state);
                        self.lead(false);
                        state = self.state.lock();
                    }
                }
                Admission::Segment { capacity } => {
                    drop(state);
                    prepare(capacity)?;
                    state = self.state.lock();
                }
            }
        }
    }

    /// Waits for a record just accepted, leading if nobody does.
    fn join(
        &self,
        mut state: MutexGuard<'_, State<S>>,
        end_lsn: u64,
        written_is_enough: bool,
    ) -> Result<()> {
        if !state.busy {
            state.busy = true;
            drop(state);
            self.lead(false);
        } else {
            let wake = Wake::Thread(current());
            if written_is_enough {
                state.written_waiters.add(end_lsn, wake);
            } else {
                state.waiters.add(end_lsn, wake);
            }
            drop(state);
        }
        self.park_until(end_lsn, written_is_enough)
    }

    fn wait_for(&self, end_lsn: u64, written_is_enough: bool) -> Result<()> {
        let mut state = self.state.lock();
        if self.reached(end_lsn, written_is_enough) {
            return Ok(());
        }
        if let Some(cause) = &state.failed {
            return Err(Error::Poisoned {
                cause: cause.clone(),
            });
        }
        state.want = state.want.max(if written_is_enough {
            Want::Written
        } else {
            Want::Durable
        });
        self.join(state, end_lsn, written_is_enough)
    }

    fn park_until(&self, end_lsn: u64, written_is_enough: bool) -> Result<()> {
        loop {
            if self.reached(end_lsn, written_is_enough) {
                return Ok(());
            }
            if let Some(cause) = self.failure() {
                return Err(Error::Poisoned { cause });
            }
            park();
        }
    }

    fn reached(&self, end_lsn: u64, written_is_enough: bool) -> bool {
        let mark = if written_is_enough {
            &self.written
        } else {
            &self.durable
        };
        mark.load(Ordering::Acquire) >= end_lsn
    }

    /// Writes group after group while somebody wants something. The caller has set `busy`.
    /// A thread that leads inline hands over after its own group, if there is whom to hand to.
    fn lead(&self, is_committer: bool) {
        let mut guard = FailOnDrop {
            commit: self,
            armed: true,
        };
        let mut state = self.state.lock();
        let mut wakes = Vec::new();
        loop {
            let want = std::mem::replace(&mut state.want, Want::Nothing);
            let sync = want == Want::Durable;
            let nothing = state.stage.is_empty() && !(sync && state.unsynced);
            if want == Want::Nothing || nothing || state.failed.is_some() {
                state.busy = false;
                break;
            }
            if sync {
                state.deadline = None;
            }
            let mut group = state.stage.take();
            drop(state);
            let result = self.writer.lock().write(&mut group, sync);
            state = self.state.lock();
            match result {
                Ok(end_lsn) => self.publish(&mut state, group, end_lsn, sync, &mut wakes),
                Err(cause) => {
                    state.busy = false;
                    wakes = self.fail(state, cause);
                    guard.armed = false;
                    wake_all(wakes);
                    return;
                }
            }
            let hand_over = state.want != Want::Nothing
                && !is_committer
                && self.threaded.load(Ordering::Relaxed);
            if hand_over {
                state.handed = true;
                self.committer.notify_one();
                break;
            }
            if !wakes.is_empty() {
                drop(state);
                wakes.drain(..).for_each(Wake::wake);
                state = self.state.lock();
            }
        }
        guard.armed = false;
        if state.blocked > 0 || state.closed {
            self.space.notify_all();
        }
        drop(state);
        wake_all(wakes);
    }

    /// Advances the marks past a written group and picks out whom that satisfies.
    fn publish(
        &self,
        state: &mut State<S>,
        group: S::Group,
        end_lsn: u64,
        sync: bool,
        wakes: &mut Vec<Wake>,
    ) {
        self.written.store(end_lsn, Ordering::Release);
        if sync {
            self.durable.store(end_lsn, Ordering::Release);
        }
        state.unsynced = !sync;
        state.stage.give_back(group);
        let durable = self.durable.load(Ordering::Relaxed);
        state.waiters.take_until(durable, wakes);
        state.written_waiters.take_until(end_lsn, wakes);
        if state.blocked > 0 {
            self.space.notify_all();
        }
        if state.watchers > 0 {
            self.edge.notify_all();
        }
    }

    /// Records the first failure; returns everybody who waits.
    fn fail(&self, mut state: MutexGuard<'_, State<S>>, cause: Error) -> Vec<Wake> {
        state.failed.get_or_insert_with(|| Arc::new(cause));
        self.failed.store(true, Ordering::Release);
        self.space.notify_all();
        self.edge.notify_all();
        let mut wakes = Vec::new();
        state.waiters.take_until(u64::MAX, &mut wakes);
        state.written_waiters.take_until(u64::MAX, &mut wakes);
        wakes
    }

    fn set_deadline(&self, state: &mut State<S>, within: Duration) {
        let deadline = Instant::now() + within;
        if state.deadline.is_none_or(|earlier| deadline < earlier) {
            state.deadline = Some(deadline);
            self.committer.notify_one();
        }
    }
}

fn wake_all(wakes: Vec<Wake>) {
    wakes.into_iter().for_each(Wake::wake);
}
