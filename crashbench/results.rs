//! What a run found: one cell for each store and schedule, kept as JSON.

use crate::Result;
use crate::schedules::Schedule;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Everything acknowledged is there, nothing else is, and no error was met.
    Whole,
    /// Records are lost or invented, and neither opening nor reading nor verifying said so.
    Silent,
    /// Opening, reading or verifying answered with an error.
    Refused,
    /// The reader panicked or was ended by a signal.
    Died,
    /// The reader did not end in time.
    Hung,
    /// The schedule has nothing to do here; `note` says why.
    NotApplicable,
}

/// A round.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its end.
    pub verdict: Verdict,
    /// Records acknowledged.
    pub acked: u64,
    /// Of these, not given back.
    pub missing: u64,
    /// Given back, and never submitted.
    pub invented: u64,
    /// From the call that opens to the last record read.
    pub reopen_micros: Option<u64>,
    /// Blocks on disk after the reader.
    pub space_bytes: u64,
    /// Bytes of the records acknowledged.
    pub payload_bytes: u64,
    /// Whether a call of the store never returned to the host that appended.
    pub append_hung: bool,
    /// Whether the store ended the process that appended.
    pub append_died: bool,
    /// The store's words, if it refused.
    pub said: Option<String>,
    /// What was done, or what else was seen.
    pub note: Option<String>,
}

/// The results file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// What made it.
    pub command: String,
    /// The seed of all rounds.
    pub seed: u64,
    /// Rounds of each cell.
    pub rounds: u64,
    /// System and machine, in words.
    pub system: String,
    /// The rows.
    pub stores: Vec<StoreInfo>,
    /// The cells.
    pub cells: Vec<Cell>,
    /// Schedules that this machine could not run, and why.
    pub skipped: Vec<String>,
}

/// A store of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreInfo {
    /// Its name here.
    pub name: String,
    /// Its exact version.
    pub version: Option<String>,
    /// What an acknowledgement rests on.
    pub setting: String,
    /// Whether an acknowledgement is meant to survive power loss.
    pub durable: bool,
}

impl StoreInfo {
    /// Its name, marked if an acknowledgement is not meant to survive power loss.
    pub fn marked_name(&self) -> String {
        if self.durable {
            self.name.clone()
        } else {
            format!("{} °", self.name)
        }
    }
}

/// All rounds of one schedule against one store.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The store's name.
    pub store: String,
    /// The schedule.
    pub schedule: Schedule,
    /// Rounds in which the schedule had something to do.
    pub rounds: u64,
    /// Rounds after which everything was there and nothing was said.
    pub whole: u64,
    /// Rounds with a loss or an invention that nothing mentioned.
    pub silent: u64,
    /// Rounds in which the store answered with an error.
    pub refused: u64,
    /// Of these, by the stage that answered: opening, reading, verifying.
    pub refused_at: [u64; 3],
    /// Rounds in which the reader panicked or was ended by a signal.
    pub died: u64,
    /// Rounds in which the reader did not end.
    pub hung: u64,
    /// Rounds in which a call never returned to the host that appended.
    pub append_hung: u64,
    /// Rounds in which the store ended the host that appended.
    pub append_died: u64,
    /// Records acknowledged in all rounds.
    pub acked: u64,
    /// Acknowledged records that are absent from what was given back without an error.
    pub lost: u64,
    /// Acknowledged records that were not given back, where an error was.
    pub withheld: u64,
    /// Records given back that were never submitted, or with other bytes.
    pub invented: u64,
    /// Microseconds from opening to the last record read: median, and the longest.
    pub reopen_micros: Option<(u64, u64)>,
    /// Bytes on disk after, median.
    pub space_bytes: u64,
    /// Bytes of acknowledged records, median.
    pub payload_bytes: u64,
    /// Different answers of the store, the first few.
    pub said: Vec<String>,
    /// Why rounds were not applicable, and what was seen besides; the first few.
    pub notes: Vec<String>,
}

/// How many different texts a cell keeps.
const KEPT_TEXTS: usize = 4;

impl Cell {
    /// Adds up the rounds.
    pub fn of(store: &str, schedule: Schedule, outcomes: &[Outcome]) -> Cell {
        let met: Vec<&Outcome> = outcomes
            .iter()
            .filter(|o| o.verdict != Verdict::NotApplicable)
            .collect();
        let ended = |verdict| met.iter().filter(|o| o.verdict == verdict).count() as u64;
        let told = |o: &&&Outcome| !matches!(o.verdict, Verdict::Whole | Verdict::Silent);
        let missing = |loud| -> u64 {
            met.iter()
                .filter(|o| told(o) == loud)
                .map(|o| o.missing)
                .sum()
        };
        let refused_at = |stage: &str| {
            let told = met.iter().filter(|o| o.verdict == Verdict::Refused);
            told.filter(|o| o.said.as_ref().is_some_and(|s| s.starts_with(stage)))
                .count() as u64
        };
        let mut reopened: Vec<u64> = met.iter().filter_map(|o| o.reopen_micros).collect();
        reopened.sort_unstable();
        Cell {
            store: store.to_owned(),
            schedule,
            rounds: met.len() as u64,
            whole: ended(Verdict::Whole),
            silent: ended(Verdict::Silent),
            refused: ended(Verdict::Refused),
            refused_at: ["open ", "read ", "verify "].map(refused_at),
            died: ended(Verdict::Died),
            hung: ended(Verdict::Hung),
            append_hung: met.iter().filter(|o| o.append_hung).count() as u64,
            append_died: met.iter().filter(|o| o.append_died).count() as u64,
            acked: met.iter().map(|o| o.acked).sum(),
            lost: missing(false),
            withheld: missing(true),
            invented: met.iter().map(|o| o.invented).sum(),
            reopen_micros: reopened.last().map(|&longest| (median(&reopened), longest)),
            space_bytes: median(&sorted(met.iter().map(|o| o.space_bytes))),
            payload_bytes: median(&sorted(met.iter().map(|o| o.payload_bytes))),
            said: different(outcomes.iter().filter_map(|o| o.said.as_deref())),
            notes: different(outcomes.iter().filter_map(|o| o.note.as_deref())),
        }
    }
}

impl Results {
    /// Reads a results file.
    pub fn load(path: &Path) -> Result<Results> {
        let text =
            std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Writes a results file.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(std::fs::write(path, text)?)
    }

    /// The cell of a store and a schedule.
    pub fn cell(&self, store: &str, schedule: Schedule) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| cell.store == store && cell.schedule == schedule)
    }
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

fn median(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// The directories of a round mean nothing after it.
fn without_paths(said: &str) -> String {
    let words = said.split(' ').map(|word| match word.rsplit_once('/') {
        Some((directory, name)) if directory.starts_with('/') => name,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

fn different<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for text in texts.map(without_paths) {
        if kept.len() < KEPT_TEXTS && !kept.contains(&text) {
            kept.push(text);
        }
    }
    kept
}
