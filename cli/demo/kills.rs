//! When to kill.

use super::rng::Rng;
use std::time::Duration;

/// One in this many kills falls into the opening of the journal, most likely, and so into a
/// recovery.
const EARLY: u64 = 4;

/// A moment to kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// Counted from here.
    pub since: Since,
    /// After this long.
    pub after: Duration,
}

/// Where the waiting begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// When the process was started: it may still be opening the journal.
    Started,
    /// When it acknowledged for the first time: it is at full speed.
    Acknowledged,
}

/// Iterates over the moments of all rounds, for ever.
#[derive(Clone, Debug)]
pub struct Kills(Rng);

impl Kills {
    /// The moments of `seed`.
    pub fn new(seed: u64) -> Kills {
        Kills(Rng::of(&[seed, 3]))
    }
}

impl Iterator for Kills {
    type Item = Kill;

    fn next(&mut self) -> Option<Kill> {
        let Kills(rng) = self;
        let (since, low_ms, high_ms) = match rng.below(EARLY) {
            0 => (Since::Started, 0.5, 60.0),
            _ => (Since::Acknowledged, 2.0, 4_000.0),
        };
        Some(Kill {
            since,
            after: Duration::from_secs_f64(rng.spread(low_ms, high_ms) / 1000.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_repeatable_spread_and_bounded() {
        let kills: Vec<_> = Kills::new(9).take(1000).collect();
        assert_eq!(kills, Kills::new(9).take(1000).collect::<Vec<_>>());
        assert_ne!(kills, Kills::new(10).take(1000).collect::<Vec<_>>());
        let early = kills.iter().filter(|k| k.since == Since::Started).count();
        assert!((200..300).contains(&early), "{early}");
        let longest = kills.iter().map(|k| k.after).max();
        assert!(longest <= Some(Duration::from_millis(4000)));
        let quick = kills
            .iter()
            .filter(|k| k.after < Duration::from_millis(20))
            .count();
        assert!(quick > 300, "{quick}");
    }
}
