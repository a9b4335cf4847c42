//! Opens the journal after a kill and compares every session with the ledger.

use super::check::{Check, Found};
use super::host;
use super::ledger::Ledger;
use super::workload::Workload;
use crate::exit::Result;
use std::path::Path;
use std::time::{Duration, Instant};
use turnkeep::{Error, Journal, Recovery, Seq};

/// Up to this many bytes of payload every comparison reads everything. Above, it reads what was
/// added since the one before, so that a long run does not spend its time on reading; the last
/// comparison reads everything again.
const ALL_BYTES: u64 = 128 << 20;

/// An opening after a kill, and what was there.
#[derive(Debug)]
pub struct Reopened {
    /// The report of the opening.
    pub recovery: Recovery,
    /// How long it took.
    pub took: Duration,
    /// An entry for each session.
    pub found: Vec<Found>,
}

/// Compares the sessions of one journal, kill after kill.
#[derive(Debug)]
pub struct Comparison<'w> {
    workload: &'w Workload,
    sessions: Vec<Compared<'w>>,
}

/// How far one session was compared.
#[derive(Debug)]
struct Compared<'w> {
    next: Seq,
    check: Check<'w>,
    bytes: u64,
}

impl<'w> Comparison<'w> {
    /// Begins with nothing.
    pub fn new(workload: &'w Workload, sessions: u32) -> Comparison<'w> {
        let sessions = (0..sessions).map(|session| Compared::new(workload, session));
        Comparison {
            workload,
            sessions: sessions.collect(),
        }
    }

    /// Opens the journal, compares, tells the ledger what is there from now on, and closes the
    /// journal. With `all`, nothing is taken for compared already.
    ///
    /// # Errors
    /// The journal's: that it calls something damaged is a failure of the demonstration too.
    pub fn reopen(&mut self, path: &Path, ledger: &mut Ledger, all: bool) -> Result<Reopened> {
        let started = Instant::now();
        let (journal, recovery) = host::options().open(path)?;
        let took = started.elapsed();
        let bytes: u64 = self.sessions.iter().map(|session| session.bytes).sum();
        let mut found = Vec::new();
        for (number, session) in (0..).zip(&mut self.sessions) {
            if all || bytes <= ALL_BYTES {
                *session = Compared::new(self.workload, number);
            }
            session.check.go_on(ledger.claim(number));
            session.read(&journal, &host::session_id(number))?;
            let now = session.check.found();
            ledger.rebase(number, now.records);
            found.push(now);
        }
        journal.close()?;
        Ok(Reopened {
            recovery,
            took,
            found,
        })
    }
}

impl<'w> Compared<'w> {
    fn new(workload: &'w Workload, session: u32) -> Compared<'w> {
        Compared {
            next: Seq::new(1),
            check: Check::new(workload, session, Default::default()),
            bytes: 0,
        }
    }

    fn read(&mut self, journal: &Journal, id: &str) -> Result<()> {
        let session = match journal.find(id) {
            Ok(session) => session,
            Err(Error::UnknownSession { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for entry in session.read(self.next..)? {
            let entry = entry?;
            self.next = entry.seq.next();
            self.bytes += entry.content.len() as u64;
            if let Some(op) = host::op_of(entry.kind) {
                self.check.take(op, &entry.content);
            }
        }
        Ok(())
    }
}
