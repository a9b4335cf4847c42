//! Across the shards of one session's turn journal: what each shard alone does not show.
//!
//! The host derives a turn's state from the event with the latest clock, over all shards. Where
//! that is not the whole truth it is told here; the lines themselves are kept as they are.

use crate::report::Finding;
use crate::source::Limits;
use crate::transcripts::lines::{Part, RawLines};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::io::{self, BufReader};
use std::path::Path;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    turn_id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
}

/// What is known of one turn.
#[derive(Default)]
struct Seen {
    is_submitted: bool,
    terminals: u32,
    last_terminal: f64,
    /// The latest event, by the host's rule.
    latest: f64,
    latest_is_terminal: bool,
    /// Shards that spoke of it, as the last one's number and whether there were others.
    shard: Option<usize>,
    crosses: bool,
    equal_times: bool,
    time_not_a_number: bool,
}

/// Reads the shards of one session and tells what is odd about its turns.
///
/// # Errors
/// The system's.
pub fn audit(shards: &[&Path], limits: &Limits) -> io::Result<Vec<Finding>> {
    let mut turns: HashMap<String, Seen> = HashMap::new();
    for (number, shard) in shards.iter().enumerate() {
        let file = BufReader::new(crate::source::open(shard)?);
        for line in RawLines::new(file, limits.line_bytes) {
            let line = line?;
            if line.part != Part::Whole {
                continue;
            }
            let Ok(event) = serde_json::from_slice::<Event<'_>>(line.text().0) else {
                continue;
            };
            if let (Some(name), Some(turn)) = (&event.event, &event.turn_id) {
                let seen = turns.entry(turn.to_string()).or_default();
                seen.take(name, event.created_at, number);
            }
        }
    }
    Ok(findings(&turns))
}

impl Seen {
    fn take(&mut self, event: &str, created_at: Option<&RawValue>, shard: usize) {
        let time = created_at.and_then(|raw| raw.get().parse::<f64>().ok());
        self.time_not_a_number |= time.is_none();
        let time = time.unwrap_or(0.0);
        let is_terminal = matches!(event, "completed" | "interrupted");
        self.is_submitted |= event == "submitted";
        let other = self.shard.is_some_and(|before| before != shard);
        self.crosses |= other;
        self.equal_times |= other && time == self.latest;
        self.shard = Some(shard);
        if is_terminal {
            self.terminals += 1;
            self.last_terminal = time;
        }
        if time >= self.latest {
            self.latest = time;
            self.latest_is_terminal = is_terminal;
        }
    }
}

fn findings(turns: &HashMap<String, Seen>) -> Vec<Finding> {
    type Test = fn(&Seen) -> bool;
    let tests: [(&str, Test, &str); 6] = [
        (
            "hermes.two_terminals",
            |seen| seen.terminals > 1,
            "have more than one end",
        ),
        (
            "hermes.event_after_terminal",
            |seen| seen.terminals > 0 && !seen.latest_is_terminal,
            "have ended, and by the clock something came later, so the host takes them for running",
        ),
        (
            "hermes.end_without_submit",
            |seen| seen.terminals > 0 && !seen.is_submitted,
            "have an end and no beginning",
        ),
        (
            "hermes.unfinished_turn",
            |seen| seen.terminals == 0,
            "have no end",
        ),
        (
            "hermes.equal_times",
            |seen| seen.equal_times,
            "have events of two processes with equal times, whose order nothing tells",
        ),
        (
            "hermes.time_not_a_number",
            |seen| seen.time_not_a_number,
            "have a time that is no number, which the host's own reader fails at",
        ),
    ];
    let mut findings = Vec::new();
    for (code, test, what) in tests {
        let mut ids: Vec<_> = turns.iter().filter(|(_, seen)| test(seen)).collect();
        ids.sort_by_key(|(id, _)| id.as_str());
        if let Some((first, _)) = ids.first() {
            let count = ids.len();
            findings.push(Finding::new(
                code,
                format!("{count} turns {what}; first {first:?}"),
            ));
        }
    }
    findings
}
