//! What the demonstration shows at its end.

use super::check::Found;
use crate::output::table::{Align, Table, count, size};
use serde::Serialize;
use std::time::Duration;

/// Sums over all rounds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// What the run can be repeated with.
    pub seed: u64,
    /// Sessions at work.
    pub sessions: u32,
    /// Processes killed.
    pub kills: u64,
    /// Of these, before the journal was open.
    pub kills_while_opening: u64,
    /// Records acknowledged over the whole run.
    pub records_acknowledged: u64,
    /// Turns whose beginning was acknowledged, at the end.
    pub turns_acknowledged: u64,
    /// Turns there, at the end.
    pub turns_recovered: u64,
    /// Records there, at the end.
    pub records_recovered: u64,
    /// Records acknowledged and missing, over all rounds.
    pub lost: u64,
    /// Records there and never submitted, over all rounds.
    pub invented: u64,
    /// Turns that recovery reported as begun and not ended, over all rounds.
    pub unfinished_turns_reported: u64,
    /// Bytes that recovery cut as torn, over all rounds.
    pub torn_bytes_cut: u64,
    /// The slowest opening after a kill, in milliseconds.
    pub slowest_reopening_ms: f64,
    /// The length of the run in seconds.
    pub seconds: f64,
}

impl Totals {
    /// Adds the comparison after one kill. `found` has an entry for each session.
    pub fn compare<'a>(&mut self, found: impl IntoIterator<Item = &'a Found>) {
        (self.turns_acknowledged, self.turns_recovered) = (0, 0);
        self.records_recovered = 0;
        for found in found {
            self.lost += found.lost;
            self.invented += found.invented;
            self.turns_acknowledged += found.turns_acknowledged;
            self.turns_recovered += found.turns;
            self.records_recovered += found.records;
        }
    }

    /// Adds an opening after a kill.
    pub fn reopened(&mut self, took: Duration, torn_bytes: u64, unfinished_turns: u64) {
        self.torn_bytes_cut += torn_bytes;
        self.unfinished_turns_reported += unfinished_turns;
        self.slowest_reopening_ms = self.slowest_reopening_ms.max(took.as_secs_f64() * 1000.0);
    }

    /// Tells whether nothing was lost and nothing invented.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.invented == 0
    }

    /// Lays them out for people.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&[("RESULT", Align::Left), ("", Align::Right)]);
        for (what, value) in [
            ("kills (-9)", count(self.kills)),
            ("  while opening", count(self.kills_while_opening)),
            ("turns acknowledged", count(self.turns_acknowledged)),
            ("turns recovered", count(self.turns_recovered)),
            ("records acknowledged", count(self.records_acknowledged)),
            ("records recovered", count(self.records_recovered)),
            ("lost", count(self.lost)),
            ("invented", count(self.invented)),
            (
                "unfinished turns reported",
                count(self.unfinished_turns_reported),
            ),
            ("torn bytes cut", size(self.torn_bytes_cut)),
            (
                "slowest reopening",
                format!("{:.1} ms", self.slowest_reopening_ms),
            ),
            ("seed", self.seed.to_string()),
        ] {
            table.row([what, &value]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_and_states_do_not() {
        let found = Found {
            records: 10,
            turns: 3,
            turns_acknowledged: 2,
            lost: 1,
            ..Found::default()
        };
        let mut totals = Totals::default();
        totals.compare([&found, &found]);
        assert!(!totals.is_good());
        totals.compare([&found]);
        assert_eq!((totals.lost, totals.records_recovered), (3, 10));
        assert_eq!((totals.turns_recovered, totals.turns_acknowledged), (3, 2));
        totals.reopened(Duration::from_millis(4), 100, 2);
        totals.reopened(Duration::from_millis(3), 10, 1);
        assert_eq!(
            (totals.torn_bytes_cut, totals.unfinished_turns_reported),
            (110, 3)
        );
        assert_eq!(totals.slowest_reopening_ms, 4.0);
    }
}
