//! Meaning: what the records of a journal say, and what follows from them.
//!
//! - [`event`]: what one record says; [`turn`], [`session`]: what is remembered
//! - [`state`]: all sessions; [`check`]: what may be appended; [`fold`]: what an append does
//! - [`mend`]: folding on behind a loss, for salvage
//! - [`retention`]: what a compaction keeps; [`finding`]: what an inspection saw
//!
//! Promises:
//! - One fold serves the writer, replay and compaction: the same records give the same state, and
//!   so does a stored state followed by the rest of the records.
//! - What [`State::check`] accepts, [`State::apply`] folds.
//! - A fault leaves the state as it was. Records come from disk: none of them makes it panic.
//! - A state's size follows what is open, queued, keyed and set, not how much was ever said.
//!
//! # What dropping means
//! A truncation drops the records from one of its choice up to itself; a clear, all but the
//! session's creation. Turns, values, waiting input, idempotency keys and an end of the session
//! whose record is dropped are forgotten; a retry with such a key begins a new turn. It does not
//! turn back time:
//! - A value that a dropped one had replaced does not come back.
//! - Input that a dropped turn had taken does not come back.
//! - A turn whose beginning stays keeps the state it has, even if the record that brought it
//!   there is dropped. Truncate at the beginning of a turn.
//! - Ordinals go on: none is given twice.
//!
//! A deletion leaves a tombstone, forever. A session created under the same name is another one,
//! with another number and a higher generation.
//!
//! On purpose not here: clocks, disks, locks, who holds the journal, and the host's content, which
//! is never looked at.

pub mod check;
pub mod event;
pub mod finding;
pub mod fold;
pub(crate) mod key;
pub mod mend;
pub mod retention;
pub mod session;
pub mod state;
pub mod turn;

#[cfg(test)]
mod tests;

pub use check::{Condition, Draft, Found, Refusal, Verdict};
pub use event::{Envelope, Kind, decode_payload, encode_payload};
pub use finding::{Finding, Severity};
pub use fold::{Effect, FoldFault, Record};
pub use retention::{Fate, RecordMeta, Retention};
pub use session::{JOURNAL_SESSION, SessionEntry, SessionState, Status, Tombstone, ValueRef};
pub use state::{Limits, Savepoint, State};
pub use turn::{Cause, OpenCall, OpenTurn, TurnState};
