//! The same crashes and the same damage, against turnkeep and against what people use instead.
//!
//! A round has three processes. The *parent* keeps a ledger of what was acknowledged, and breaks
//! things. The *worker* opens one [`stores`] entry, appends records and says on its standard
//! output when each was acknowledged. After the crash the *reader* opens the same directory and
//! gives back all it can. The parent compares. Each is a process of its own, with a time limit, so
//! that a store that hangs or panics is a row of the table and not the end of it.
//!
//! What it promises: every store meets the same schedule with the same records, through its own
//! published code and real files. Power loss, failed syncs and full disks come from [`disk`], a
//! file system in user space below all of them alike.
//!
//! What it does not do: measure speed; say anything about a file system or a drive; try many
//! threads. A killed process shows atomicity, not durability: the kernel still has what it wrote.

pub mod args;
pub mod child;
pub mod disk;
pub mod files;
pub mod ledger;
pub mod plot;
pub mod process;
pub mod record;
pub mod results;
pub mod rng;
pub mod run;
pub mod schedules;
pub mod stores;
pub mod table;

/// What goes wrong in the benchmark itself, never in a store: in words, for the person who runs it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
