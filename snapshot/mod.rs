//! What the log said, kept: snapshots, packs, and what is given up for them.
//!
//! A *snapshot* is everything live below one LSN: a state file (the fold of all records, and
//! where the records are that are in no pack) and packs (the records themselves, by session).
//! Packs are immutable and shared by successive snapshots, so a snapshot costs what is new, not
//! what is kept. A *manifest* says which snapshots are kept.
//!
//! - [`image`]: the fold with its places, and the one way in which records get into it
//! - [`load`], [`write`], `layout`: an image to and from disk, packs to disk
//! - [`catalog`]: manifests, and which files are garbage; `publish`: how one comes into force
//! - [`compaction`], [`plan`], [`checkpoint`]: what makes snapshots; `replay`, `sift`, `merge`,
//!   `rotate`: their parts
//! - [`close`]: the end of its use; [`stat`]: the journal in numbers; [`health`]: how it is
//!
//! Promises:
//! - A snapshot is published only when its bytes are durable and were read back.
//! - Log and older snapshots go only when a newer manifest is durable, and two recovery paths
//!   are left.
//! - What was deleted, cleared or truncated is in no file after the next compaction.
//! - A compaction that fails leaves the journal as it was, and never poisons it. (Sealing the
//!   active segment for it is an act of the log, whose failures are.)
//! - Memory follows sessions and the number of records that are in no pack, not their bytes.
//!
//! On purpose not here: deciding what damage means, which is recovery's; and choosing what may
//! be dropped, which is the model's.
//!
//! Recovery builds on [`image`], [`load`] and [`catalog`]; hosts see [`compaction`],
//! [`checkpoint`], [`close`], [`plan`], [`stat`] and [`health`] through the journal's handle.

pub mod catalog;
pub mod checkpoint;
pub mod close;
pub mod compaction;
pub mod health;
pub mod image;
mod layout;
pub mod load;
mod merge;
pub mod plan;
mod publish;
pub(crate) mod replay;
mod rotate;
pub(crate) mod sift;
pub mod stat;
pub mod write;

#[cfg(test)]
mod tests;
