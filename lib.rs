//! A write-ahead turn journal for agent hosts.

pub mod error;
pub mod format;
pub mod model;
mod sabotage;
pub mod storage;
mod sync;
