//! A machine on which a host runs: its journal, the plain files that it would write otherwise,
//! and the ways in which either process or machine ends.

use std::path::Path;
use std::sync::Arc;
use turnkeep::sim::{CrashModel, SimDisk};
use turnkeep::storage::{OpenMode, Storage};
use turnkeep::{Entry, Journal, Options, Session};

const JOURNAL: &str = "/host.journal";

pub struct World {
    pub disk: SimDisk,
}

impl World {
    pub fn new() -> World {
        World::seeded(7)
    }

    pub fn seeded(seed: u64) -> World {
        let disk = SimDisk::new(seed);
        World { disk }
    }

    pub fn options(&self) -> Options {
        let disk = Arc::new(self.disk.clone());
        Journal::options().storage(disk).background(false)
    }

    /// A host starts.
    pub fn host(&self) -> Journal {
        self.options().open(JOURNAL).expect("opens").0
    }

    /// Its process is killed; what was written stays visible.
    pub fn kill(&self, host: Journal) {
        self.disk.kill();
        drop(host);
    }

    /// The power fails, and the disk does whatever a disk may.
    pub fn power_loss(&self, host: Journal, model: &CrashModel) {
        self.disk.power_loss(model);
        drop(host);
        self.disk.restart();
    }

    /// Whether the journal's files hold these bytes.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let files = self.disk.list_files(JOURNAL).expect("lists");
        files.iter().any(|name| {
            let file = self.disk.read_file(Path::new(JOURNAL).join(name));
            let file = file.expect("it is there");
            file.windows(bytes.len()).any(|window| window == bytes)
        })
    }

    /// Appends to a plain file, as hosts do: written, and not synced.
    pub fn append_file(&self, path: &str, bytes: &[u8]) {
        let disk = self.disk.clone();
        let file = match disk.open(Path::new(path), OpenMode::ReadWrite) {
            Ok(file) => file,
            Err(_) => disk
                .open(Path::new(path), OpenMode::CreateNew)
                .expect("creates"),
        };
        let end = file.size().expect("tells");
        file.write_all_at(bytes, end).expect("writes");
    }

    /// The plain file; empty if it is not there.
    pub fn read_file(&self, path: &str) -> Vec<u8> {
        self.disk.read_file(path).unwrap_or_default()
    }
}

/// Everything in a session.
pub fn entries(session: &Session) -> Vec<Entry> {
    let entries = session.read(..).expect("reads");
    entries.map(|entry| entry.expect("reads")).collect()
}

/// The contents of a session's records of this name.
pub fn texts(session: &Session, name: &str) -> Vec<String> {
    let entries = entries(session).into_iter();
    let named = entries.filter(|entry| entry.name == name);
    named
        .map(|entry| String::from_utf8(entry.content).expect("text"))
        .collect()
}
