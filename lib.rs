//! A write-ahead turn journal for agent hosts: every turn is on disk before work on it starts, and
//! whatever was acknowledged survives.
//!
//! A [`Journal`] is a directory that one process writes. In it are any number of [`Session`]s; a
//! session is an ordered list of [`Turn`]s with their events, input that is queued until somebody
//! [claims](Claim) it, and a few keyed values. Every change is a record in one log that all sessions
//! share, made durable by group commit. Opening is recovery, and says what it found.
//!
//! ```
//! use turnkeep::{Input, Journal, Seq};
//!
//! # let home = tempfile::tempdir()?;
//! # let path = home.path().join("agents.journal");
//! let (journal, recovery) = Journal::open(&path)?;
//! println!("{recovery}"); // created an empty journal
//!
//! let session = journal.session("agent-7f3a")?;
//! // Durable when it returns. The same key is the same turn, also after a crash.
//! let mut turn = session.begin(Input::user("what is a torn tail?").key("req-81"))?;
//! turn.started()?;
//! let call = turn.event("tool_call", "{}")?; // in its place, not awaited
//! turn.event("tool_result", "{}")?.wait()?; // durable, and so is everything before it
//! assert!(call.is_durable());
//! turn.complete("what a crash left unfinished")?;
//! journal.close()?;
//!
//! let (journal, recovery) = Journal::open(&path)?;
//! assert!(recovery.clean);
//! let entries = journal.find("agent-7f3a")?.last_turns(1)?;
//! assert_eq!(entries[0].content, b"what is a torn tail?");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! - What was acknowledged is there, byte for byte and in order, after kill -9 at any instruction,
//!   power loss at any moment, a failed write or sync, and a full disk.
//! - What survives of the log is a prefix, and so is every session. Batches are whole or not at all.
//! - A torn tail is cut and reported. Damage to what was durable is refused by name, and nothing on
//!   disk is changed; [`salvage()`] keeps the rest, in another directory.
//! - After a failed sync nothing more is acknowledged, and the next opening believes no byte that is
//!   not proven durable.
//! - Readers, in this process ([`Session::read`], [`Journal::subscribe`]) and in others
//!   ([`Options::open_read_only`]), see only what no crash can undo.
//! - Memory, queues and the time to open are bounded by settings, not by history. What is deleted
//!   leaves every file at the next compaction.
//!
//! In full, with what is assumed of disks, in `docs/GUARANTEES.md`.
//!
//! # Limits
//!
//! - Rot in the very last group before an unclean stop can look like a torn tail.
//! - A flush that does not flush takes acknowledged records with it.
//! - One writer at a time; a second one is refused with [`Error::Locked`].
//! - Idempotency keys of ended turns are remembered within [`Options::key_window`].
//! - Developed and tested on Linux; macOS and Windows are written for and untested.
//! - The format is version 1 and frozen: a journal that this release writes is opened by every later
//!   one. An older one refuses what a newer version wrote; `docs/UPGRADING.md` has the way back.
//!
//! # Finding the way
//!
//! The crate is made of rooms, each using only those to its left: [`mod@format`] (bytes), [`model`]
//! (meaning), [`storage`] (the disk), `journal` (the live log), `snapshot` (what it said),
//! [`recovery`] (opening and looking), [`audit`] (what should be known of it), `backup` (copies that are
//! kept), `aio` (all of it, awaited). Hosts need what stands on this page. The rooms that are public are so
//! for tools and tests, and change more freely.
//! With the feature `sim`, `turnkeep::sim` is a disk that loses power, for crash-testing a host;
//! `examples/crash_test.rs` shows how. With the feature `encryption`, `Options::keys` seals what is stored.
//!
//! No call blocks but for the disk, and none needs an async runtime; a [`Ticket`] is also a future. For
//! programs on Tokio there is `turnkeep::aio`, with the feature `tokio`.

#[cfg(feature = "tokio")]
pub mod aio;
pub mod audit;
mod backup;
pub mod error;
pub mod format;
mod journal;
pub mod model;
pub mod recovery;
mod sabotage;
mod snapshot;
pub mod storage;
mod sync;

pub use audit::{
    Audit, AuditFinding, AuditReport, Explanation, IdleSession, Orphan, Repair, RepairReport,
    Stamp, Verdict,
};
pub use backup::{
    Backup, BackupKind, BackupProblem, BackupReport, Backups, ErasedAgain, ErasedHow, KeepBackups,
    ListedBackup, Pruned, Restore, Restored, Upgrade, Upgraded, Versions, Which,
};
pub use error::{Corruption, Error, Result};
pub use format::ids::{Epoch, JournalId, Lsn, PackId, SegmentId, Seq, SessionNo, SnapshotId};
#[cfg(feature = "encryption")]
pub use format::seal::Key;
pub use format::seal::KeyId;
pub use journal::batch::Batch;
pub use journal::entries::Entries;
pub use journal::entry::Entry;
pub use journal::events::{EVENTS_KEPT, Events, JournalEvent};
pub use journal::handle::{Journal, MAX_SESSION_ID_BYTES};
pub use journal::info::{OpenTurnInfo, SessionInfo};
#[cfg(feature = "encryption")]
pub use journal::key_ring::KeyRing;
#[cfg(feature = "encryption")]
pub use journal::keys::Keys;
pub use journal::log_read::LogEntries;
pub use journal::options::Options;
pub use journal::queue::{Claim, Enqueued, InputStatus, PendingInput};
pub use journal::redact::Unstored;
pub use journal::session::Session;
pub use journal::shared::Durability;
pub use journal::subscription::Subscription;
pub use journal::thresholds::Thresholds;
pub use journal::ticket::Ticket;
pub use journal::turn::{Input, Token, Turn};
pub use journal::turn_entries::TurnEntries;
pub use model::check::Condition;
pub use model::event::Kind;
pub use model::retention::Retention;
pub use model::turn::{Cause, TurnState};
pub use recovery::{
    Follow, Hit, LostOf, LostRecords, LsnRange, Progress, Quarantined, Reader, ReaderEntries,
    ReaderLog, ReaderSession, Recovery, SalvageReport, SalvagedSession, SegmentReport, SeqRange,
    VerifyReport, salvage, salvage_on, search, search_on, verify, verify_on, verify_segment,
};
pub use snapshot::checkpoint::SnapshotInfo;
pub use snapshot::close::Drained;
pub use snapshot::compaction::Compaction;
pub use snapshot::health::{Alert, Health};
pub use snapshot::plan::CompactionPlan;
pub use snapshot::stat::{FileCount, Files, Stat};

#[cfg(feature = "sim")]
pub use storage::sim;

#[cfg(feature = "sim")]
#[doc(hidden)]
pub use sabotage::Sabotage;
