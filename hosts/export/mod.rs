//! Sessions back into files.
//!
//! It promises:
//! - What was imported comes back byte for byte: the lines of its file, and the partial one.
//!   If some of them are gone from the journal, that is said.
//! - A name in a journal is a host's word and never a path: whatever it holds, files are made
//!   below the folder that was asked for and nowhere else, and none is overwritten.
//!
//! [`names`] makes the file names, [`session`] writes one session.

pub mod names;
pub mod session;
