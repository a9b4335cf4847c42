//! Backups: a journal copied while it is written, kept, verified, restored; and named
//! checkpoints and upgrades, which are the same thing.
//!
//! A *store* is a directory of backups. A backup is a directory in it that is itself a journal,
//! readable with everything that reads journals, plus a file `BACKUP` that says what it is a
//! backup of and what the checksum of every file is. That file comes last: a directory without it
//! is unfinished, is never listed as a backup, and is removed by whoever works in the store next.
//! A *named checkpoint* is a backup with a name, in the store beside the journal: nothing in the
//! journal is pinned by it, so compaction and retention need not know of it.
//!
//! - [`store`], [`label`], [`copy`]: which backups there are, what one says of itself, its files
//! - [`create`], [`online`], [`durable`], [`verbatim`], [`readback`]: making one, beside a writer or
//!   by his handle; of what is durable, or of the files as they are; reading it back
//! - [`check`], [`prune`], [`export`]: verifying it, giving up the old ones, taking one out
//! - [`rest`], [`change`], [`packer`], [`rewrite`]: a journal at rest; what is to become of it; the
//!   packs; written again with another identity, behind all that was handed out
//! - [`erased`], [`present`], [`restore`], [`restored`]: without what was deleted since, in the place of
//!   what is there
//! - [`upgrade`], [`versions`]: written again in place, from an older format
//!
//! Promises:
//! - A backup holds everything acknowledged before it was asked for, and is a prefix.
//! - One that was interrupted anywhere is not there; the source is never changed by making one.
//! - What is listed was whole when it was made. What rots is named, and never restored.
//! - Restoring replaces the journal by publishing one manifest: a crash leaves the old one or the
//!   new one. What was there is in the store before. What was deleted since stays deleted, unless
//!   the caller says otherwise.
//! - Pruning never removes the last good backup of a journal, nor any with a name.
//!
//! On purpose not here: a schedule, a network, and deleting inside backups. What was deleted in
//! the journal is in its older backups until those are removed.

mod change;
mod check;
mod copy;
mod create;
mod durable;
mod erased;
mod export;
mod label;
mod online;
mod packer;
mod present;
mod prune;
mod readback;
mod rest;
mod restore;
mod restored;
mod rewrite;
mod store;
mod upgrade;
mod verbatim;
mod versions;

pub use check::{BackupProblem, BackupReport};
pub use erased::{ErasedAgain, ErasedHow};
pub use label::{Backup, BackupKind};
pub use prune::{KeepBackups, Pruned};
pub use restore::Restore;
pub use restored::Restored;
pub use store::{Backups, ListedBackup, Which};
pub use upgrade::{Upgrade, Upgraded};
pub use versions::Versions;
