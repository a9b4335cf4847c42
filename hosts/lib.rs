//! What agent hosts leave on disk, into a turnkeep journal and back.
//!
//! What it is: readers of other tools' files ([`transcripts`]), what a journal keeps of them
//! ([`mod@import`]) and what comes back ([`export`]).
//!
//! What it promises is said in each of these. On purpose it does not hold any knowledge of files
//! in a journal: everything about them it asks the engine.

pub mod error;
pub mod export;
pub mod import;
pub mod transcripts;

pub use error::{Error, Result};
