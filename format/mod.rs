//! Bytes: what each file of a journal holds, and nothing else.
//!
//! Encode stands beside decode; decoders take `&[u8]`, never panic and never allocate by a
//! length they have not checked. No I/O happens here. The writer, recovery, the command and
//! the fuzzers share this room. The layout is specified in `docs/FORMAT.md`.

pub mod body;
mod bytes;
pub mod checksum;
pub mod fault;
pub mod frame;
pub mod group;
pub mod header;
pub mod ids;
pub mod layout;
pub mod manifest;
pub mod names;
pub mod pack;
pub mod pack_block;
pub mod pack_index;
#[cfg(test)]
mod random;
pub mod seal;
pub mod segment;
pub mod state;
pub mod watermark;

pub use fault::Fault;
