//! The two other processes of a round, and the words in which they tell the parent.
//!
//! One line for each thing, on standard output, written at once: what was said before a kill has
//! been said. The worker: `opened`, `ack N`, `err N WHY`, `paused`
//! (until it is given a line), `done`. The reader: `opened MICROS`,
//! `record FINGERPRINT`, `read MICROS`, `verified`. Either: `fail STAGE WHY`, its last line.

pub mod reader;
pub mod worker;

use std::fmt::Display;

/// A cause in one line.
fn in_a_line(error: &dyn Display) -> String {
    let text = error.to_string();
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(300)
        .collect()
}
