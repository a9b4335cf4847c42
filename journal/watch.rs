//! Watching: counters, what the disk is at, and to whom events are told.
//!
//! All of it is beside the log: nothing here can make an append fail or wait.

use super::events::{JournalEvent, Mailbox};
#[cfg(feature = "metrics")]
use super::meters::Meters;
use crate::error::Error;
use crate::format::ids::Lsn;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, Ordering};
use std::path::Path;
use std::sync::Weak;
use std::time::{Duration, Instant};

/// Opens a span of the `tracing` facade until the end of the block, if the crate has that feature.
macro_rules! span {
    ($name:literal) => {
        #[cfg(feature = "tracing")]
        let _span = tracing::info_span!($name).entered();
    };
}
pub(crate) use span;

/// Microseconds since the journal was opened, plus one; 0 for never.
type Moment = AtomicU64;

#[derive(Debug)]
pub(crate) struct Watch {
    opened: Instant,
    /// When the sync under way began.
    syncing: Moment,
    /// When a group last became durable.
    synced: Moment,
    commits: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    is_low: AtomicBool,
    is_told: AtomicBool,
    streams: Mutex<Streams>,
    #[cfg(feature = "metrics")]
    pub(crate) meters: Meters,
}

#[derive(Debug, Default)]
struct Streams {
    mailboxes: Vec<Weak<Mailbox>>,
    over: bool,
}

/// What a journal has written since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub commits: u64,
    pub records: u64,
    pub bytes: u64,
}

impl Watch {
    /// Watches the journal in the directory at `path`.
    pub fn new(path: &Path) -> Self {
        #[cfg(not(feature = "metrics"))]
        let _ = path;
        Watch {
            opened: Instant::now(),
            syncing: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            is_low: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            streams: Mutex::new(Streams::default()),
            #[cfg(feature = "metrics")]
            meters: Meters::new(path),
        }
    }

    pub(super) fn subscribe(&self) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox::default());
        let mut streams = self.streams.lock();
        if streams.over {
            mailbox.end();
        }
        streams.mailboxes.retain(|stream| stream.strong_count() > 0);
        streams.mailboxes.push(Arc::downgrade(&mailbox));
        self.is_told.store(true, Ordering::Release);
        mailbox
    }

    /// Tells everybody who listens, if anybody does.
    pub fn tell(&self, event: JournalEvent) {
        #[cfg(feature = "tracing")]
        trace(&event);
        if !self.is_told.load(Ordering::Acquire) {
            return;
        }
        let mut streams = self.streams.lock();
        streams.mailboxes.retain(|stream| match stream.upgrade() {
            Some(mailbox) => {
                mailbox.put(event.clone());
                true
            }
            None => false,
        });
        if streams.mailboxes.is_empty() {
            self.is_told.store(false, Ordering::Release);
        }
    }

    /// Ends every stream.
    pub fn end(&self) {
        let mut streams = self.streams.lock();
        streams.over = true;
        for mailbox in streams.mailboxes.drain(..).filter_map(|s| s.upgrade()) {
            mailbox.end();
        }
    }

    fn now(&self) -> u64 {
        self.opened.elapsed().as_micros() as u64 + 1
    }

    fn since(&self, moment: &Moment) -> Option<Duration> {
        let then = moment.load(Ordering::Relaxed);
        (then > 0).then(|| Duration::from_micros(self.now().saturating_sub(then)))
    }

    /// A sync begins, and goes on until what is returned is dropped.
    pub fn syncing(&self) -> Syncing<'_> {
        self.syncing.store(self.now(), Ordering::Relaxed);
        Syncing(self)
    }

    /// How long the sync under way has been.
    pub fn sync_age(&self) -> Option<Duration> {
        self.since(&self.syncing)
    }

    /// How long ago a group became durable.
    pub fn durable_age(&self) -> Option<Duration> {
        self.since(&self.synced)
    }

    pub fn written(&self) -> Written {
        Written {
            commits: self.commits.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// A group is durable; writing it began at `begun`.
    pub fn committed(&self, durable: Lsn, records: u64, bytes: u64, begun: Instant) {
        let took = begun.elapsed();
        self.synced.store(self.now(), Ordering::Relaxed);
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        self.meters.committed(records, bytes, took);
        self.tell(JournalEvent::Committed {
            durable,
            records,
            bytes,
            micros: took.as_micros() as u64,
        });
    }

    /// The log has failed.
    pub fn failed(&self, error: &Error) {
        #[cfg(feature = "metrics")]
        self.meters.failures.increment(1);
        self.tell(JournalEvent::Failed {
            why: error.to_string(),
        });
    }

    /// The disk has `free_bytes`, and should have `wished_bytes`. Told when that begins.
    pub fn has_space(&self, free_bytes: u64, wished_bytes: u64) {
        #[cfg(feature = "metrics")]
        self.meters.free_bytes.set(free_bytes as f64);
        let is_low = free_bytes < wished_bytes;
        let was_low = self.is_low.swap(is_low, Ordering::Relaxed);
        if is_low && !was_low {
            self.tell(JournalEvent::LowSpace {
                free_bytes,
                wished_bytes,
            });
        }
    }
}

/// A sync that is under way.
pub(crate) struct Syncing<'a>(&'a Watch);

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        self.0.syncing.store(0, Ordering::Relaxed);
    }
}

#[cfg(feature = "tracing")]
fn trace(event: &JournalEvent) {
    let level = match event {
        JournalEvent::Committed { .. } => {
            return tracing::trace!(target: "turnkeep", "{event}");
        }
        JournalEvent::Failed { .. } => tracing::Level::ERROR,
        JournalEvent::CompactionFailed { .. } | JournalEvent::LowSpace { .. } => {
            tracing::Level::WARN
        }
        _ => tracing::Level::INFO,
    };
    match level {
        tracing::Level::ERROR => tracing::error!(target: "turnkeep", "{event}"),
        tracing::Level::WARN => tracing::warn!(target: "turnkeep", "{event}"),
        _ => tracing::info!(target: "turnkeep", "{event}"),
    }
}
