//! Transcripts into a journal, and only what is new of them.
//!
//! What it is: [`target`] finds the session that a transcript belongs to, [`writer`] puts its
//! lines there, [`feed`] is the same for what is not lines, [`cursor`] is the durable bookmark that the next import goes on from, [`note`]
//! is what each record says about the line that it holds.
//!
//! It promises:
//! - The contents of a session's line records, one after the other, and then the kept partial
//!   line, are the file up to the bookmark. `export` relies on nothing else.
//! - Lines and the bookmark behind them are one batch: after a crash at any moment the next
//!   import neither repeats nor skips a line.
//! - What was deleted, cleared or truncated in the journal does not come back.
//! - A file that is not the one that was imported before is another session, not a mixture.
//!
//! On purpose it does not: compare the middle of a file with what was imported of it (its
//! first and last bytes and the length decide), or import the same bytes under two names.

pub mod cursor;
pub mod feed;
pub mod note;
pub mod queue;
pub mod target;
pub mod writer;
