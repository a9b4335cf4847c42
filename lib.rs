//! A write-ahead turn journal: the storage engine inside agent hosts.

pub mod error;
pub mod format;
pub mod journal;
pub mod model;
pub mod recovery;
pub mod snapshot;
pub mod storage;
mod sync;

pub use error::{Error, Result};
