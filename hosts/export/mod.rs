//! Sessions back into files.
//!
//! It promises:
//! - What was imported comes back byte for byte: the lines of its file, and the partial one.
//!   If some of them are gone from the journal, that is said.
//! - A name in a journal is a host's word and never a path: whatever it holds, files are made
//!   below the folder that was asked for and nowhere else, and none is overwritten.
//!
//! - A document comes back as it was at its last import, byte for byte; a database comes back with
//!   the rows that it had.
//!
//! [`names`] makes the file names, [`session`] writes one session, [`database`] those of one
//! database.

pub mod database;
pub mod names;
pub mod session;
