//! Snapshots.

pub mod catalog;
pub mod checkpoint;
pub mod compaction;
pub mod image;
mod layout;
pub mod load;
mod merge;
pub mod plan;
mod publish;
mod replay;
mod rotate;
mod sift;
pub mod stat;
pub mod write;

#[cfg(test)]
mod tests;
