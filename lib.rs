//! A write-ahead turn journal for agent hosts.

pub mod error;
pub mod format;
mod sabotage;
pub mod storage;
mod sync;
