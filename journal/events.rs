//! What the journal does, told as it happens: for dashboards, alarms and logs.
//!
//! A stream has room for a thousand events and never makes anybody wait: when it is full, the oldest go,
//! and are counted. No code of the host's runs on the thread that commits.

use super::shared::Shared;
use crate::format::ids::{Lsn, SegmentId, SnapshotId};
use crate::sync::{Arc, Condvar, Mutex, wait, wait_until};
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// How many events a stream holds that nobody has taken.
pub const EVENTS_KEPT: usize = 1024;

/// Something that the journal did, or that befell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum JournalEvent {
    /// A group of records became durable.
    Committed {
        /// Everything below is durable.
        durable: Lsn,
        /// Records in the group.
        records: u64,
        /// Bytes that were written for it.
        bytes: u64,
        /// How long writing and syncing took, in microseconds.
        micros: u64,
    },
    /// The log goes on in another segment.
    Rotated {
        /// The segment.
        segment: SegmentId,
        /// The first record that may be in it.
        first: Lsn,
    },
    /// The state of all records below `lsn` was stored.
    Checkpointed {
        /// The snapshot.
        snapshot: SnapshotId,
        /// It answers for every record below.
        lsn: Lsn,
    },
    /// Records moved from the log to packs.
    Compacted {
        /// The snapshot that was made.
        snapshot: SnapshotId,
        /// Every record below is in a pack, unless it was dropped.
        packed_to: Lsn,
        /// Bytes that were read.
        bytes_in: u64,
        /// Bytes that were written.
        bytes_out: u64,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A compaction in the background failed. Nothing is lost, and it is tried again.
    CompactionFailed {
        /// Why.
        why: String,
    },
    /// The log has failed: nothing more is acknowledged until the journal is opened again.
    Failed {
        /// Why.
        why: String,
    },
    /// The disk has come to have less space than is wished. Told once, until it has more again.
    LowSpace {
        /// Bytes that are free.
        free_bytes: u64,
        /// Bytes that should be: [`crate::Thresholds::low_space_bytes`].
        wished_bytes: u64,
    },
}

impl fmt::Display for JournalEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalEvent::Committed {
                durable,
                records,
                bytes,
                micros,
            } => write!(
                f,
                "committed {records} records in {bytes} bytes in {micros} us; durable up to lsn {durable}"
            ),
            JournalEvent::Rotated { segment, first } => {
                write!(f, "the log goes on in segment {segment} from lsn {first}")
            }
            JournalEvent::Checkpointed { snapshot, lsn } => {
                write!(f, "snapshot {snapshot} of all records below lsn {lsn}")
            }
            JournalEvent::Compacted {
                snapshot,
                packed_to,
                bytes_in,
                bytes_out,
                millis,
            } => write!(
                f,
                "compacted up to lsn {packed_to} into snapshot {snapshot} in {millis} ms: {bytes_in} bytes became {bytes_out}"
            ),
            JournalEvent::CompactionFailed { why } => write!(f, "a compaction failed: {why}"),
            JournalEvent::Failed { why } => {
                write!(f, "the log has failed, nothing more is acknowledged: {why}")
            }
            JournalEvent::LowSpace {
                free_bytes,
                wished_bytes,
            } => write!(f, "{free_bytes} bytes are free, {wished_bytes} are wished"),
        }
    }
}

/// What stands between the journal and one stream.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inside: Mutex<Inside>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    events: VecDeque<JournalEvent>,
    missed: u64,
    over: bool,
}

impl Mailbox {
    pub fn put(&self, event: JournalEvent) {
        let mut inside = self.inside.lock();
        if inside.events.len() == EVENTS_KEPT {
            inside.events.pop_front();
            inside.missed += 1;
        }
        inside.events.push_back(event);
        drop(inside);
        self.bell.notify_one();
    }

    /// Nothing more will come.
    pub fn end(&self) {
        self.inside.lock().over = true;
        self.bell.notify_all();
    }
}

/// The events of a journal from the call of [`crate::Journal::events`] on. Ends when the
/// journal is closed or its last handle dropped.
#[derive(Debug)]
pub struct Events {
    mailbox: Arc<Mailbox>,
}

impl Events {
    pub(crate) fn new(shared: &Shared) -> Self {
        Events {
            mailbox: shared.watch.subscribe(),
        }
    }

    /// The next event, waiting for it at most `timeout`; `None` if there was none by then, or
    /// if no more will come.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<JournalEvent> {
        let deadline = Instant::now() + timeout;
        let mut inside = self.mailbox.inside.lock();
        loop {
            let event = inside.events.pop_front();
            if event.is_some() || inside.over {
                return event;
            }
            if wait_until(&self.mailbox.bell, &mut inside, deadline) {
                return inside.events.pop_front();
            }
        }
    }

    /// How many events went because nobody took them in time.
    pub fn missed(&self) -> u64 {
        self.mailbox.inside.lock().missed
    }
}

impl Iterator for Events {
    type Item = JournalEvent;

    fn next(&mut self) -> Option<JournalEvent> {
        let mut inside = self.mailbox.inside.lock();
        loop {
            let event = inside.events.pop_front();
            if event.is_some() || inside.over {
                return event;
            }
            wait(&self.mailbox.bell, &mut inside);
        }
    }
}
