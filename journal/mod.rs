//! The live log: appending, committing, reading, following.
//!
//! [`handle`], [`session`], [`turn`] and [`queue`] are what a host holds. Under them: [`tail`] accepts
//! records, [`commit`] hands groups to whoever writes, [`log_writer`] writes and syncs them,
//! [`index`] knows where every durable record is, [`entries`] and [`log_read`] read them back.
//! [`segments`], [`walk`] and [`packs`] are the files. [`redact`] and [`keys`] stand between what a
//! host says and what is stored. [`watch`] and [`events`] tell what the log does.
//!
//! What this room does not do: it never decides what damage means and never deletes; opening
//! and repairing are the `recovery` room's, snapshots and compaction the `snapshot` room's.

pub(crate) mod batch;
pub(crate) mod commit;
#[cfg(all(loom, test))]
mod commit_model;
pub(crate) mod entries;
pub(crate) mod entry;
pub(crate) mod events;
pub(crate) mod handle;
pub(crate) mod index;
pub(crate) mod info;
#[cfg(feature = "encryption")]
pub(crate) mod key_ring;
pub(crate) mod keys;
pub(crate) mod log_read;
pub(crate) mod log_writer;
#[cfg(feature = "metrics")]
mod meters;
pub(crate) mod options;
pub(crate) mod packs;
pub(crate) mod queue;
pub(crate) mod redact;
pub(crate) mod segments;
pub(crate) mod session;
pub(crate) mod shared;
pub(crate) mod subscription;
pub(crate) mod tail;
pub(crate) mod thresholds;
pub(crate) mod ticket;
pub(crate) mod turn;
pub(crate) mod turn_entries;
mod waiters;
pub(crate) mod walk;
pub(crate) mod watch;
