//! How a journal is, for whoever watches it: can it be written, does the disk answer, does
//! anything progress.
//!
//! That something is alive says little: a queue whose worker hangs is alive. So the ages of the
//! oldest turn that has not ended and of the oldest input that waits are told, whoever lives.

use super::compaction::uncompacted_bytes;
use crate::error::Result;
use crate::format::ids::{Epoch, Lsn};
use crate::journal::events::Events;
use crate::journal::handle::Journal;
use crate::journal::shared::Shared;
use crate::journal::thresholds::Thresholds;
use crate::model::session::SessionState;
use serde::{Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// Something about a journal that is past what was wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Alert {
    /// The log has failed, or the journal was closed: nothing is accepted.
    NotWritable,
    /// The disk has been at one sync for too long.
    DiskStalled,
    /// The disk has less space than is wished.
    LowSpace,
    /// The oldest turn that has not ended was submitted too long ago, whatever is done in it. An
    /// audit's `turn.overdue` is another thing: one that nothing was heard of for long.
    TurnUnfinished,
    /// The oldest input that waits was queued too long ago.
    InputOverdue,
    /// More dead letters are kept than is wished.
    ManyDeadLetters,
    /// More of the log waits to be compacted than is wished.
    CompactionBehind,
    /// Compactions in the background have failed.
    CompactionFails,
}

impl Alert {
    /// Every alert there is.
    pub const ALL: [Alert; 8] = [
        Alert::NotWritable,
        Alert::DiskStalled,
        Alert::LowSpace,
        Alert::TurnUnfinished,
        Alert::InputOverdue,
        Alert::ManyDeadLetters,
        Alert::CompactionBehind,
        Alert::CompactionFails,
    ];

    /// Returns the stable, machine-readable name. What an audit finds too has the name of its code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Alert::NotWritable => "log.not-writable",
            Alert::DiskStalled => "disk.stalled",
            Alert::LowSpace => "disk.low-space",
            Alert::TurnUnfinished => "turn.unfinished",
            Alert::InputOverdue => "queue.overdue",
            Alert::ManyDeadLetters => "queue.many-dead-letters",
            Alert::CompactionBehind => "compaction.behind",
            Alert::CompactionFails => "compaction.fails",
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Alert {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How a journal is. Ages are in milliseconds; those of turns and input are told by the clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Whether anything is accepted.
    pub is_writable: bool,
    /// Why not.
    pub why_not: Option<String>,
    /// Everything below is accepted.
    pub accepted_lsn: Lsn,
    /// Everything below is durable.
    pub durable_lsn: Lsn,
    /// Bytes that are accepted and not durable.
    pub pending_bytes: u64,
    /// How long ago a group became durable; none since the journal was opened.
    pub durable_ms_ago: Option<u64>,
    /// For how long the disk has been at the sync under way.
    pub sync_ms: Option<u64>,
    /// Bytes free on the disk, if that could be learned.
    pub free_bytes: Option<u64>,
    /// Turns that have not ended.
    pub open_turns: u64,
    /// Those of them whose writer is gone.
    pub orphaned_turns: u64,
    /// Age of the oldest turn that has not ended.
    pub oldest_unfinished_ms: Option<u64>,
    /// Input that waits.
    pub waiting: u64,
    /// Age of the oldest input that waits.
    pub oldest_waiting_ms: Option<u64>,
    /// Dead letters.
    pub dead_letters: u64,
    /// Snapshots that the journal keeps.
    pub snapshots: u64,
    /// Durable records that came after the newest: an opening after a crash replays them.
    pub records_since_snapshot: u64,
    /// Bytes of sealed segments whose records are in no pack.
    pub uncompacted_bytes: u64,
    /// Compactions in the background that failed since the journal was opened.
    pub failed_compactions: u64,
    /// Why the last of them failed.
    pub last_failure: Option<String>,
    /// Groups that became durable since the journal was opened.
    pub commits: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes that were written for them.
    pub log_bytes: u64,
    /// What is past what was wished.
    pub alerts: Vec<Alert>,
}

impl Health {
    /// Whether nothing is past what was wished.
    pub fn is_good(&self) -> bool {
        self.alerts.is_empty()
    }

    fn count(&mut self, session: &SessionState, now: Epoch) {
        self.open_turns += session.open.len() as u64;
        let orphaned = session.open.iter().filter(|turn| turn.epoch < now);
        self.orphaned_turns += orphaned.count() as u64;
        self.dead_letters += session.queue.iter().filter(|i| i.is_dead()).count() as u64;
        self.waiting += session.queue.iter().filter(|i| i.is_waiting(now)).count() as u64;
    }

    fn judge(&mut self, wished: &Thresholds) {
        let past = |ms: Option<u64>, limit: Duration| {
            ms.is_some_and(|ms| u128::from(ms) >= limit.as_millis())
        };
        let alerts = [
            (Alert::NotWritable, !self.is_writable),
            (Alert::DiskStalled, past(self.sync_ms, wished.stalled_sync)),
            (
                Alert::LowSpace,
                self.free_bytes
                    .is_some_and(|free| free < wished.low_space_bytes),
            ),
            (
                Alert::TurnUnfinished,
                past(self.oldest_unfinished_ms, wished.unfinished_after),
            ),
            (
                Alert::InputOverdue,
                past(self.oldest_waiting_ms, wished.waiting_after),
            ),
            (
                Alert::ManyDeadLetters,
                self.dead_letters > wished.dead_letters,
            ),
            (
                Alert::CompactionBehind,
                self.uncompacted_bytes > wished.uncompacted_bytes,
            ),
            (Alert::CompactionFails, self.failed_compactions > 0),
        ];
        let past = alerts.into_iter().filter(|(_, is_past)| *is_past);
        self.alerts = past.map(|(alert, _)| alert).collect();
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why_not {
            Some(why) => write!(f, "not writable: {why}")?,
            None => write!(f, "writable")?,
        }
        write!(f, ", durable up to lsn {}", self.durable_lsn)?;
        let lag = self
            .accepted_lsn
            .get()
            .saturating_sub(self.durable_lsn.get());
        if lag > 0 {
            write!(f, ", {lag} records behind")?;
        }
        if let Some(ms) = self.sync_ms {
            write!(f, ", syncing for {ms} ms")?;
        }
        write!(f, "; {} turns open", self.open_turns)?;
        if let Some(ms) = self.oldest_unfinished_ms {
            write!(f, ", the oldest for {} s", ms / 1000)?;
        }
        write!(f, "; {} inputs wait", self.waiting)?;
        if let Some(ms) = self.oldest_waiting_ms {
            write!(f, ", the oldest for {} s", ms / 1000)?;
        }
        if let Some(free) = self.free_bytes {
            write!(f, "; {free} bytes free")?;
        }
        for (n, alert) in self.alerts.iter().enumerate() {
            write!(f, "{} {alert}", if n == 0 { "; alerts:" } else { "," })?;
        }
        Ok(())
    }
}

impl Journal {
    /// Tells how the journal is, and what is past [`crate::Options::thresholds`]. Waits for no
    /// sync, also while the disk hangs; O(sessions).
    ///
    /// # Errors
    /// [`crate::Error::Forked`]. A journal that has failed is told, and no error.
    pub fn health(&self) -> Result<Health> {
        let shared = &*self.shared;
        shared.commit.check_home()?;
        let mut health = of_log(shared);
        let now_ms = shared.dir.storage().unix_ms();
        shared.commit.with_stage(|tail| {
            health.accepted_lsn = tail.next_lsn();
            health.pending_bytes = tail.pending_bytes() as u64;
            let now = tail.epoch();
            let (mut submitted, mut queued) = (None, None);
            for session in tail.state.sessions() {
                health.count(session, now);
                let turns = session.open.iter().map(|turn| turn.submitted_ms);
                submitted = submitted.into_iter().chain(turns).min();
                let waiting = session.queue.iter().filter(|i| i.is_waiting(now));
                queued = queued.into_iter().chain(waiting.map(|i| i.queued_ms)).min();
            }
            let age = |since: u64| now_ms.saturating_sub(since);
            health.oldest_unfinished_ms = submitted.map(age);
            health.oldest_waiting_ms = queued.map(age);
        });
        // Last: a disk that hangs may hang here too.
        health.free_bytes = shared.dir.storage().free_bytes(shared.dir.path()).ok();
        if let Some(free) = health.free_bytes {
            let wished = shared.options.thresholds.low_space_bytes;
            shared.watch.has_space(free, wished);
        }
        health.judge(&shared.options.thresholds);
        Ok(health)
    }

    /// Follows what the journal does from now on: commits, rotations, snapshots, compactions,
    /// failures, low space. See [`Events`].
    pub fn events(&self) -> Events {
        Events::new(&self.shared)
    }
}

/// What is known without a look at the sessions.
fn of_log(shared: &Shared) -> Health {
    let why_not = match shared.commit.failure() {
        Some(cause) => Some(cause.to_string()),
        None if shared.commit.is_closed() => Some("it was closed".to_owned()),
        None => None,
    };
    let durable_lsn = Lsn::new(shared.commit.durable());
    let ms = |age: Duration| age.as_millis() as u64;
    let written = shared.watch.written();
    let (snapshots, newest) = {
        let manifest = shared.manifest.lock();
        let newest = manifest.snapshots.last().map(|snapshot| snapshot.lsn);
        (
            manifest.snapshots.len() as u64,
            newest.unwrap_or(Lsn::new(1)),
        )
    };
    let upkeep = shared.upkeep.lock().clone();
    Health {
        is_writable: why_not.is_none(),
        why_not,
        durable_lsn,
        durable_ms_ago: shared.watch.durable_age().map(ms),
        sync_ms: shared.watch.sync_age().map(ms),
        snapshots,
        records_since_snapshot: durable_lsn.get().saturating_sub(newest.get()),
        uncompacted_bytes: uncompacted_bytes(shared),
        failed_compactions: upkeep.failures,
        last_failure: upkeep.last_failure,
        commits: written.commits,
        records: written.records,
        log_bytes: written.bytes,
        ..Health::default()
    }
}
