//! The worker: runs a script to its end, whatever errors it meets, and tells how each step went.

use crate::ledger::{Said, code, stepped};
use crate::script::{Script, Step};
use std::path::Path;
use turnkeep::{Error, Journal, Lsn};

/// How often opening is tried in a row.
const ATTEMPTS: usize = 3;

/// Runs `script` on the journal at `dir`, and closes it.
pub fn work(script: &Script, dir: &Path, tell: &mut dyn FnMut(Said)) {
    let Some(mut journal) = open(script, dir, tell) else {
        return;
    };
    for action in &script.actions {
        if action.step == Step::Reopen {
            close(journal, tell);
            match open(script, dir, tell) {
                Some(opened) => journal = opened,
                None => return,
            }
            continue;
        }
        let before = journal.accepted_lsn().get();
        let result = action.perform(&journal);
        tell(stepped(&journal, before, &result));
        if let Err(Error::Poisoned { .. }) = result {
            check_poisoned(&journal, tell);
            drop(journal);
            match open(script, dir, tell) {
                Some(opened) => journal = opened,
                None => return,
            }
        }
    }
    close(journal, tell);
}

fn open(script: &Script, dir: &Path, tell: &mut dyn FnMut(Said)) -> Option<Journal> {
    for _ in 0..ATTEMPTS {
        let opened = script.options().open(dir);
        match opened {
            Ok((journal, recovery)) => {
                let next = recovery.next_lsn.get();
                tell(Said::Opened { next });
                return Some(journal);
            }
            Err(_) => tell(Said::OpenFailed {
                code: code(&opened),
            }),
        }
    }
    None
}

fn close(journal: Journal, tell: &mut dyn FnMut(Said)) {
    let accepted = journal.accepted_lsn().get();
    let result = journal.close();
    tell(Said::Closed {
        code: code(&result),
        accepted,
    });
}

/// After a failure nothing more is acknowledged, and what is durable still reads.
fn check_poisoned(journal: &Journal, tell: &mut dyn FnMut(Said)) {
    let late = journal.session("a").and_then(|s| s.append("late", "x"));
    if late.is_ok() {
        tell(Said::Wrong { what: 0 });
    }
    let read = journal.read(Lsn::new(1));
    if !read.is_ok_and(|mut entries| entries.all(|entry| entry.is_ok())) {
        tell(Said::Wrong { what: 1 });
    }
}
