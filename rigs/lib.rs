//! The real process under the real kernel.
//!
//! The simulated disk of the engine is a model; what is here asks the thing itself. [`stops`] runs
//! a writer under ptrace, kills it at every system call it makes and makes every call fail in every
//! way it can. What the rigs share: a [`script`] of what a host does, the [`ledger`] of what was
//! acknowledged, kept outside of the journal's disk, and the [`check`] of a journal after it.
//! [`fuse`] is a file system that forgets what was not synced: there a power cut can be had.
//! [`images`] cuts the power of real file systems, on a disk whose writes are recorded.
//!
//! What this does not show: a killed process leaves the page cache, so [`stops`] shows that steps
//! are atomic and errors are told, never that anything is durable.
//!
//! Only for Linux; the system-call stopper only for x86-64.

pub mod arguments;
pub mod check;
#[cfg(target_os = "linux")]
pub mod fuse;
#[cfg(target_os = "linux")]
pub mod images;
pub mod ledger;
#[path = "../tests/power_loss/oracle.rs"]
pub mod oracle;
pub mod random;
pub mod sabotage;
pub mod script;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod stops;
pub mod worker;
