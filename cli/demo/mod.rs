//! The demonstration: kill a journaling process again and again, and compare.
//!
//! What it is: a workload that two processes make independently of each other ([`workload`],
//! [`script`] for real transcripts), moments to kill at ([`kills`]), a process that is started,
//! heard and killed ([`host`], [`round`]), a ledger of what it said ([`ledger`]), and the
//! comparison of ledger and journal ([`compare`], [`check`]).
//!
//! It promises: a record that was acknowledged and is missing, altered, doubled or moved is
//! seen, and so is one that was never submitted. The same seed makes the same work and the same
//! moments; where in the work a moment falls is up to the machine.
//!
//! It does not show a power cut: a killed process leaves everything it handed to the system.
//! The power-loss simulation in the library's tests does.

pub mod check;
pub mod compare;
pub mod host;
pub mod kills;
pub mod ledger;
pub mod rng;
pub mod round;
pub mod script;
pub mod totals;
pub mod workload;
