//! Opening, verifying, searching, salvaging.
//!
//! Looking never touches: `scan` gathers facts, `verdict` decides by a pure table, `repair`
//! acts. Opening is recovery, and a clean open is the case in which there was nothing to do.

pub(crate) mod closed;
pub(crate) mod create;
pub(crate) mod open;
pub mod reader;
mod remains;
mod repair;
pub mod report;
mod resync;
pub mod salvage;
pub(crate) mod scan;
pub mod search;
pub mod verdict;
pub mod verify;

#[cfg(test)]
mod testing;

pub use reader::{Follow, Reader, ReaderEntries, ReaderLog, ReaderSession};
pub use report::Recovery;
pub use salvage::{
    LostOf, LostRecords, LsnRange, Quarantined, SalvageReport, SalvagedSession, SeqRange, salvage,
    salvage_on,
};
pub use search::{Hit, search, search_on};
pub use verify::{Progress, SegmentReport, VerifyReport, verify, verify_on, verify_segment};
