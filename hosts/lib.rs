//! What agent hosts leave on disk, into a turnkeep journal and back.
//!
//! What it is: [`detect`] says whose files are in a folder and what each is; [`importer`] brings
//! them in, one after the other; [`export`] gives them back. Files are of three kinds: lines
//! ([`transcripts`]), whole JSON documents ([`documents`]), and tables of a database ([`rows`]);
//! what a host means by its own is in the file of its name.
//!
//! It promises:
//! - A source is only read, see [`source`], and memory is bounded whatever it holds.
//! - Nothing is dropped: what is not understood is kept byte for byte, and counted.
//! - Importing again adds what is new, and nothing that was deleted in the journal.
//! - Each file has a report, with codes that stay: see [`report`].
//!
//! On purpose it does not hold any knowledge of files in a journal: everything about them it asks
//! the engine.

pub mod agenthive;
pub mod claude_mem;
pub mod claudelet;
pub mod detect;
pub mod documents;
pub mod error;
pub mod export;
pub mod hermes;
pub mod import;
pub mod importer;
pub mod report;
pub mod rows;
pub mod source;
pub mod systemprompt;
pub mod transcripts;

pub use error::{Error, Result};
