//! Options of the rigs' commands: names with numbers.

use crate::sabotage;
use std::collections::BTreeMap;

/// What was given on the command line.
#[derive(Clone, Debug)]
pub struct Arguments(BTreeMap<String, u64>);

impl Arguments {
    /// Reads them. Anything unknown, or without a number, ends the program with a word. `--break`
    /// takes the name of a way to break the engine.
    pub fn read(known: &[&str]) -> Arguments {
        let mut found = BTreeMap::new();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next();
            if word == "--break" {
                if let Err(what) = sabotage::choose(&value.unwrap_or_default()) {
                    eprintln!("{what}");
                    std::process::exit(2);
                }
                continue;
            }
            match value.and_then(|value| value.parse().ok()) {
                Some(value) if known.contains(&word.as_str()) => drop(found.insert(word, value)),
                _ => {
                    eprintln!(
                        "{word}: options are {}, each with a number",
                        known.join(", ")
                    );
                    std::process::exit(2);
                }
            }
        }
        Arguments(found)
    }

    /// The number given to `name`, or `usual`.
    pub fn number(&self, name: &str, usual: u64) -> u64 {
        self.0.get(name).copied().unwrap_or(usual)
    }
}
