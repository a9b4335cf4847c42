//! Whether a journal is what the ledger says, after whatever was done to it.

use crate::ledger::Ledger;
use std::path::Path;
use turnkeep::{Lsn, Options};

/// Opens the journal at `dir` and compares it; opens it again, which must say the same; appends,
/// closes, and opens once more, cleanly.
///
/// # Errors
/// What is lost, altered, invented, or refused though nothing rotted.
pub fn check(dir: &Path, options: &Options, ledger: &mut Ledger) -> Result<(), String> {
    let refused = |e| format!("refused: {}", chain(&e));
    let (journal, recovery) = options.clone().open(dir).map_err(refused)?;
    ledger.check(&journal, &recovery)?;
    let next = recovery.next_lsn;
    drop(journal);

    let (journal, again) = options.clone().open(dir).map_err(refused)?;
    if again.next_lsn != next {
        return Err(format!(
            "a second opening ends before lsn {}, the first before {next}",
            again.next_lsn
        ));
    }
    ledger.oracle.check_reads(&journal)?;
    let late = journal.session("late").and_then(|s| s.append("late", "x"));
    let late = late.map_err(|e| format!("appending after recovery: {}", chain(&e)))?;
    journal.close().map_err(|e| format!("closing: {e}"))?;

    let (journal, last) = options.clone().open(dir).map_err(refused)?;
    if !last.clean || last.next_lsn != late.next() {
        return Err(format!("after a clean close: {last}"));
    }
    let entry = journal.read(Lsn::new(late.get())).map_err(refused)?.next();
    match entry {
        Some(Ok(entry)) if entry.content == b"x" => Ok(()),
        other => Err(format!("the late append reads as {other:?}")),
    }
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}
