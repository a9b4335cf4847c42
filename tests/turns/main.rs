//! Turns, queued input and preconditions, as a host sees them, across crashes.
//!
//! What the rules allow is tested in the model. Here: that the handles keep them, what a kill or
//! a power cut leaves at each step, and that whoever opens the journal next, or reads beside the
//! writer, sees it.

mod attempts;
mod erase;
mod preconditions;
mod queue;
mod steps;

use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Entry, Journal, Kind, Options, Session};

const PATH: &str = "/agents.journal";

/// A host on a disk of its own, which dies without notice.
struct Host {
    disk: SimDisk,
    journal: Option<Journal>,
    set: fn(Options) -> Options,
}

impl Host {
    fn new() -> Host {
        Host::with(|options| options)
    }

    fn with(set: fn(Options) -> Options) -> Host {
        let mut host = Host {
            disk: SimDisk::new(7),
            journal: None,
            set,
        };
        host.open();
        host
    }

    fn options(&self) -> Options {
        let options = Journal::options()
            .background(false)
            .storage(Arc::new(self.disk.clone()))
            .first_segment_bytes(8 * 4096)
            .segment_bytes(64 * 4096);
        (self.set)(options)
    }

    fn open(&mut self) {
        let (journal, _) = self.options().open(Path::new(PATH)).expect("opens");
        self.journal = Some(journal);
    }

    fn journal(&self) -> &Journal {
        self.journal.as_ref().expect("is open")
    }

    fn session(&self) -> Session {
        self.journal().session("s").expect("opens")
    }

    /// The process is killed, and another one opens the journal.
    fn killed(&mut self) {
        self.disk.kill();
        self.journal = None;
        self.open();
    }

    /// The power fails: what was not synced is gone.
    fn lost_power(&mut self) {
        self.disk.power_loss(&turnkeep::storage::sim::CrashModel {
            keep: turnkeep::storage::sim::Keep::Nothing,
            ..Default::default()
        });
        self.disk.restart();
        self.journal = None;
        self.open();
    }

    /// Everything is packed, so that what follows is read from a snapshot.
    fn packed(&mut self) {
        self.journal().compact().expect("compacts");
        self.killed();
    }
}

fn said(entries: impl IntoIterator<Item = turnkeep::Result<Entry>>) -> Vec<(Kind, String)> {
    entries
        .into_iter()
        .map(|entry| {
            let entry = entry.expect("reads");
            let content = String::from_utf8(entry.content).expect("is text");
            (entry.kind, content)
        })
        .collect()
}

fn code<T: std::fmt::Debug>(result: turnkeep::Result<T>) -> &'static str {
    result.expect_err("is refused").code()
}
