//! What was acknowledged, kept where the journal's disk cannot touch it.
//!
//! The worker tells by a pipe how each step went, in counts alone; the ledger makes the records
//! from the script. What a step was about to add when the worker died may be there or not.

use crate::oracle::Oracle;
use crate::script::Script;
use std::collections::BTreeMap;
use turnkeep::{Error, Journal, Recovery};

/// What a worker tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The journal is open and ends before this LSN.
    Opened { next: u64 },
    /// Opening failed, with the error of this number.
    OpenFailed { code: u64 },
    /// A step was performed, successfully if `code` is 0.
    Stepped {
        code: u64,
        before: u64,
        accepted: u64,
        durable: u64,
    },
    /// The journal was closed, successfully if `code` is 0, with this accepted.
    Closed { code: u64, accepted: u64 },
    /// Something that must not be; the number says what, see [`WRONG`].
    Wrong { what: u64 },
}

/// What a worker itself finds wrong.
pub const WRONG: [&str; 2] = [
    "a poisoned journal acknowledged an append",
    "a poisoned journal does not read",
];

/// The codes of errors, by number; 0 is success.
pub const CODES: [&str; 19] = [
    "ok",
    "locked",
    "not_found",
    "not_a_journal",
    "newer_format",
    "corrupt",
    "io",
    "no_space",
    "poisoned",
    "too_large",
    "backpressure",
    "unknown_session",
    "session_deleted",
    "wrong_state",
    "invalid",
    "closed",
    "read_only",
    "unknown_turn",
    "turn_ended",
];

/// The number of a result's code.
pub fn code<T>(result: &Result<T, Error>) -> u64 {
    let Err(error) = result else { return 0 };
    let at = CODES.iter().position(|code| *code == error.code());
    at.map_or(u64::MAX, |at| at as u64)
}

impl Said {
    /// Its length as bytes.
    pub const LEN: usize = 40;

    /// As bytes.
    pub fn encode(self) -> [u8; Self::LEN] {
        let words: [u64; 5] = match self {
            Said::Opened { next } => [0, next, 0, 0, 0],
            Said::OpenFailed { code } => [1, code, 0, 0, 0],
            Said::Stepped {
                code,
                before,
                accepted,
                durable,
            } => [2, code, before, accepted, durable],
            Said::Closed { code, accepted } => [3, code, accepted, 0, 0],
            Said::Wrong { what } => [4, what, 0, 0, 0],
        };
        let mut bytes = [0; Self::LEN];
        for (at, word) in words.iter().enumerate() {
            bytes[8 * at..8 * at + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Said {
        let word = |at: usize| {
            let word = bytes[8 * at..8 * at + 8].try_into();
            u64::from_le_bytes(word.expect("eight bytes"))
        };
        match word(0) {
            0 => Said::Opened { next: word(1) },
            1 => Said::OpenFailed { code: word(1) },
            2 => Said::Stepped {
                code: word(1),
                before: word(2),
                accepted: word(3),
                durable: word(4),
            },
            3 => Said::Closed {
                code: word(1),
                accepted: word(2),
            },
            _ => Said::Wrong { what: word(1) },
        }
    }
}

/// The oracle, and where in the script the worker is.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub oracle: Oracle,
    /// How many steps were performed, over all scripts.
    steps: usize,
    /// The next step of this script.
    at: usize,
    /// How often each error was met, and by what.
    pub codes: BTreeMap<&'static str, u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger {
            oracle: Oracle {
                acknowledged: 1,
                ..Oracle::default()
            },
            steps: 0,
            at: 0,
            codes: BTreeMap::new(),
        }
    }
}

impl Ledger {
    /// The same records, at the beginning of another script.
    pub fn next_script(mut self) -> Self {
        self.at = 0;
        self
    }

    /// Which step of the script comes next.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Books what a worker told.
    ///
    /// # Errors
    /// What cannot be, given what was acknowledged before.
    pub fn hear(&mut self, script: &Script, said: Said) -> Result<(), String> {
        let mut count = |code: u64| {
            let name = CODES.get(code as usize).copied().unwrap_or("unknown");
            *self.codes.entry(name).or_default() += 1;
        };
        match said {
            Said::Opened { next } => return self.opened(next),
            Said::OpenFailed { code } => count(code),
            Said::Stepped {
                code,
                before,
                accepted,
                durable,
            } => {
                count(code);
                self.stepped(script, before, accepted, durable)?;
            }
            Said::Closed { code, accepted } => {
                count(code);
                self.at += 1;
                self.steps += 1;
                if code == 0 {
                    self.acknowledge(accepted)?;
                }
            }
            Said::Wrong { what } => return Err(WRONG[what as usize % WRONG.len()].into()),
        }
        Ok(())
    }

    /// What was once visible after an opening stays.
    fn opened(&mut self, next: u64) -> Result<(), String> {
        if next < self.oracle.acknowledged {
            return Err(format!(
                "lost: lsn {next}..{} were acknowledged, and are not there when opened",
                self.oracle.acknowledged
            ));
        }
        let count = next as usize - 1;
        if count > self.oracle.accepted.len() {
            return Err(format!(
                "invented: {count} records at opening, {} accepted",
                self.oracle.accepted.len()
            ));
        }
        self.oracle.accepted.truncate(count);
        self.oracle.acknowledged = next;
        Ok(())
    }

    fn stepped(
        &mut self,
        script: &Script,
        before: u64,
        accepted: u64,
        durable: u64,
    ) -> Result<(), String> {
        if before as usize - 1 != self.oracle.accepted.len() {
            return Err(format!(
                "the log ended before lsn {before}, {} records were accepted",
                self.oracle.accepted.len()
            ));
        }
        let drafts = script.actions[self.at].drafts(&self.oracle, self.steps);
        let added = (accepted - before) as usize;
        if added > drafts.len() {
            return Err(format!(
                "{added} records accepted, {} offered",
                drafts.len()
            ));
        }
        self.oracle.accepted.extend(drafts.into_iter().take(added));
        self.at += 1;
        self.steps += 1;
        self.acknowledge(durable)
    }

    fn acknowledge(&mut self, below: u64) -> Result<(), String> {
        if below as usize > self.oracle.accepted.len() + 1 {
            return Err(format!("lsn {below} is acknowledged and was not accepted"));
        }
        self.oracle.acknowledged = self.oracle.acknowledged.max(below);
        Ok(())
    }

    /// The worker is gone: what it was about to add may be there, and may not.
    pub fn died(&mut self, script: &Script) {
        if let Some(action) = script.actions.get(self.at) {
            let drafts = action.drafts(&self.oracle, self.steps);
            self.oracle.accepted.extend(drafts);
        }
        self.steps += 1;
    }

    /// Performs the next step of the script on `journal`, in this process, and books it.
    ///
    /// # Errors
    /// What cannot be. The inner result is the step's own.
    pub fn perform(
        &mut self,
        script: &Script,
        journal: &Journal,
    ) -> Result<Result<(), Error>, String> {
        let before = journal.accepted_lsn().get();
        let result = script.actions[self.at].perform(journal);
        let said = stepped(journal, before, &result);
        self.hear(script, said)?;
        Ok(result.map(|_| ()))
    }

    /// Compares a journal that was just opened.
    ///
    /// # Errors
    /// What is lost, altered or invented.
    pub fn check(&mut self, journal: &Journal, recovery: &Recovery) -> Result<(), String> {
        self.oracle.check(journal, recovery)
    }
}

/// How a step went.
pub fn stepped(journal: &Journal, before: u64, result: &Result<bool, Error>) -> Said {
    let accepted = journal.accepted_lsn().get();
    Said::Stepped {
        code: code(result),
        before,
        accepted,
        durable: match result {
            Ok(true) => accepted,
            _ => journal.durable_lsn().get(),
        },
    }
}
