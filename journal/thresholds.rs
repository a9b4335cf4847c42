//! What is wished of a journal: past it, `health` gives an alert.

use std::time::Duration;

/// From what on something about a journal is worth an alert. A consuming builder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Thresholds {
    pub(crate) low_space_bytes: u64,
    pub(crate) stalled_sync: Duration,
    pub(crate) unfinished_after: Duration,
    pub(crate) waiting_after: Duration,
    pub(crate) dead_letters: u64,
    pub(crate) uncompacted_bytes: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            low_space_bytes: 256 << 20,
            stalled_sync: Duration::from_secs(10),
            unfinished_after: Duration::from_secs(3600),
            waiting_after: Duration::from_secs(3600),
            dead_letters: 100,
            uncompacted_bytes: 1 << 30,
        }
    }
}

impl Thresholds {
    /// The defaults below.
    pub fn new() -> Self {
        Self::default()
    }

    /// Below how many free bytes the disk is low on space. Default 256 MiB. Looked at whenever a
    /// segment is prepared or something is compacted, and by [`crate::Journal::health`].
    pub fn low_space_bytes(mut self, bytes: u64) -> Self {
        self.low_space_bytes = bytes;
        self
    }

    /// How long one sync may take. Default 10 s.
    pub fn stalled_sync(mut self, time: Duration) -> Self {
        self.stalled_sync = time;
        self
    }

    /// How old the oldest turn that has not ended may be. Default one hour.
    pub fn unfinished_after(mut self, age: Duration) -> Self {
        self.unfinished_after = age;
        self
    }

    /// How long input may wait. Default one hour.
    pub fn waiting_after(mut self, age: Duration) -> Self {
        self.waiting_after = age;
        self
    }

    /// How many dead letters may be kept. Default 100.
    pub fn dead_letters(mut self, count: u64) -> Self {
        self.dead_letters = count;
        self
    }

    /// How many bytes of sealed log may wait to be compacted. Default 1 GiB.
    pub fn uncompacted_bytes(mut self, bytes: u64) -> Self {
        self.uncompacted_bytes = bytes;
        self
    }
}
