//! The floor: the least that a durable append costs on this machine.
//!
//! One preallocated file of written blocks, one `pwrite` and one `fdatasync` per group, and an
//! ideal group commit: whatever arrived while the last sync ran is the next group, and exactly
//! those are woken whose bytes it made durable. No checksum, no index, no format, no limits:
//! nothing here could be read back. The engine is measured beside it, in the same run.
//!
//! Two shapes, of which the better counts: the first waiter leads inline, or a thread of its
//! own leads.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{JoinHandle, Thread};

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whoever finds nobody writing.
    Inline,
    /// A thread that does nothing else.
    OwnThread,
}

/// The floor, running.
pub struct Floor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    file: File,
    file_bytes: u64,
    shape: Shape,
    state: Mutex<State>,
    /// Everything below is durable, in bytes ever appended.
    durable: AtomicU64,
    syncs: AtomicU64,
    bell: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    stage: Vec<u8>,
    idle: Vec<u8>,
    /// Bytes ever appended.
    end: u64,
    waiters: Vec<(u64, Thread)>,
    busy: bool,
    /// The flusher sleeps.
    asleep: bool,
    /// Who leads next, by the end of what it waits for.
    promoted: u64,
    /// Where the next group goes.
    offset: u64,
}

impl Floor {
    /// Makes the file at `path`, `file_bytes` long, every block of it written.
    pub fn create(path: &Path, file_bytes: u64, shape: Shape) -> io::Result<Floor> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < file_bytes {
            file.write_all_at(&zeros, at)?;
            at += zeros.len() as u64;
        }
        file.sync_all()?;
        let shared = Arc::new(Shared {
            file,
            file_bytes: at,
            shape,
            state: Mutex::default(),
            durable: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            bell: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let leader = shared.clone();
        let thread = (shape == Shape::OwnThread)
            .then(|| std::thread::spawn(move || leader.lead_until_stopped()));
        Ok(Floor { shared, thread })
    }

    /// Appends; durable when it returns.
    pub fn append(&self, payload: &[u8]) {
        let shared = &*self.shared;
        let mut state = shared.state.lock().expect("nothing panics");
        state.stage.extend_from_slice(payload);
        state.end += payload.len() as u64;
        let end = state.end;
        match shared.shape {
            Shape::Inline if !state.busy => {
                state.busy = true;
                shared.lead(state);
                return;
            }
            _ => state.waiters.push((end, std::thread::current())),
        }
        let ring = std::mem::take(&mut state.asleep);
        drop(state);
        if ring {
            shared.bell.notify_one();
        }
        shared.park_until(end);
    }

    /// Accepts; [`Floor::wait`] for the returned place tells when it is durable.
    pub fn submit(&self, payload: &[u8]) -> u64 {
        let mut state = self.shared.state.lock().expect("nothing panics");
        state.stage.extend_from_slice(payload);
        state.end += payload.len() as u64;
        let end = state.end;
        let ring = std::mem::take(&mut state.asleep);
        drop(state);
        if ring {
            self.shared.bell.notify_one();
        }
        end
    }

    /// Whether everything below `end` is durable.
    pub fn is_durable(&self, end: u64) -> bool {
        self.shared.durable.load(Ordering::Acquire) >= end
    }

    /// Returns when everything below `end` is durable.
    pub fn wait(&self, end: u64) {
        if self.is_durable(end) {
            return;
        }
        let mut state = self.shared.state.lock().expect("nothing panics");
        if self.is_durable(end) {
            return;
        }
        state.waiters.push((end, std::thread::current()));
        drop(state);
        self.shared.park_until(end);
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        drop(self.shared.state.lock());
        self.shared.bell.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn park_until(&self, end: u64) {
        loop {
            if self.durable.load(Ordering::Acquire) >= end {
                return;
            }
            if self.shape == Shape::Inline {
                let mut state = self.state.lock().expect("nothing panics");
                if state.promoted == end {
                    state.promoted = 0;
                    self.lead(state);
                    return;
                }
            }
            std::thread::park();
        }
    }

    /// Writes what is staged, and passes the lead on if more has come.
    fn lead<'s>(&'s self, mut state: MutexGuard<'s, State>) {
        let wakes = {
            let (mut group, end, offset) = self.take(&mut state);
            drop(state);
            self.write(&group, offset);
            self.durable.store(end, Ordering::Release);
            state = self.state.lock().expect("nothing panics");
            group.clear();
            state.idle = group;
            self.finished(&mut state, end)
        };
        match state.waiters.first().cloned() {
            Some((end, next)) => {
                state.promoted = end;
                drop(state);
                next.unpark();
            }
            None => {
                state.busy = false;
                drop(state);
            }
        }
        wakes.iter().for_each(Thread::unpark);
    }

    fn lead_until_stopped(&self) {
        let mut wakes = Vec::new();
        let mut state = self.state.lock().expect("nothing panics");
        loop {
            while state.stage.is_empty() {
                if self.stop.load(Ordering::Acquire) {
                    return;
                }
                state.asleep = true;
                state = self.bell.wait(state).expect("nothing panics");
            }
            let (mut group, end, offset) = self.take(&mut state);
            drop(state);
            self.write(&group, offset);
            self.durable.store(end, Ordering::Release);
            group.clear();
            state = self.state.lock().expect("nothing panics");
            state.idle = group;
            wakes.extend(self.finished(&mut state, end));
            drop(state);
            wakes.drain(..).for_each(|thread: Thread| thread.unpark());
            state = self.state.lock().expect("nothing panics");
        }
    }

    fn take(&self, state: &mut State) -> (Vec<u8>, u64, u64) {
        let idle = std::mem::take(&mut state.idle);
        let group = std::mem::replace(&mut state.stage, idle);
        if state.offset + group.len() as u64 > self.file_bytes {
            state.offset = 0;
        }
        let offset = state.offset;
        state.offset += group.len() as u64;
        (group, state.end, offset)
    }

    fn write(&self, group: &[u8], offset: u64) {
        self.file
            .write_all_at(group, offset)
            .expect("the disk works");
        self.file.sync_data().expect("the disk works");
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    fn finished(&self, state: &mut State, end: u64) -> Vec<Thread> {
        // In the order of their ends, all but for those that waited for an older ticket.
        let (done, left) = std::mem::take(&mut state.waiters)
            .into_iter()
            .partition::<Vec<_>, _>(|(at, _)| *at <= end);
        state.waiters = left;
        done.into_iter().map(|(_, thread)| thread).collect()
    }
}
