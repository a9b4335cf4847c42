//! A folder with a host's files in it, a journal beside it, and what an import makes of them.

#![allow(dead_code, reason = "each test file uses its part")]

use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use turnkeep::{Entry, Journal, Options, PendingInput};
use turnkeep_hosts::detect::{Host, survey};
use turnkeep_hosts::export::session::{Exported, Written};
use turnkeep_hosts::importer::{Imported, Importer};
use turnkeep_hosts::report::FileReport;
use turnkeep_hosts::source::Limits;

pub struct Bench {
    folder: tempfile::TempDir,
    pub limits: Limits,
    pub from: Option<Host>,
}

impl Bench {
    pub fn new() -> Bench {
        Bench {
            folder: tempfile::tempdir().expect("a folder"),
            limits: Limits::default(),
            from: None,
        }
    }

    /// The folder that is imported.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    pub fn write(&self, below: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("creates");
        fs::write(&path, bytes).expect("writes");
        path
    }

    pub fn read(&self, below: &str) -> Vec<u8> {
        fs::read(self.path(below)).expect("reads")
    }

    /// Makes a database.
    pub fn database(&self, below: &str, sql: &str) -> Connection {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("creates");
        let connection = Connection::open(path).expect("opens");
        connection
            .execute_batch(sql)
            .expect("the statements are good");
        connection
    }

    fn options() -> Options {
        Journal::options()
            .max_record_bytes(70 << 20)
            .background(false)
    }

    pub fn journal(&self) -> Journal {
        let (journal, _) = Self::options()
            .open(self.folder.path().join("journal"))
            .expect("opens");
        journal
    }

    /// Imports everything, and checks that the sources are as they were.
    pub fn import(&self) -> Imported {
        let before = tree(&self.root());
        let journal = self.journal();
        let imported = self.import_into(&journal);
        journal.close().expect("closes");
        assert!(tree(&self.root()) == before, "an import changed its source");
        imported
    }

    pub fn import_into(&self, journal: &Journal) -> Imported {
        let survey = survey(&self.root(), self.from, &self.limits).expect("there is a folder");
        let importer = Importer::new(journal, self.limits).expect("the journal is sound");
        let imported = importer
            .run(&survey, &mut |_| {})
            .expect("the journal is sound");
        journal.sync().expect("the disk is sound");
        imported
    }

    /// Imports twice, and checks that the second time added nothing.
    pub fn import_twice(&self) -> Imported {
        let first = self.import();
        let before = self.durable();
        let again = self.import();
        for report in &again.reports {
            assert!(report.is_unchanged(), "again: {report:?}");
        }
        assert_eq!(self.durable(), before, "importing again added records");
        first
    }

    fn durable(&self) -> u64 {
        let reader = Self::options().open_read_only(self.folder.path().join("journal"));
        reader.expect("opens").durable_lsn().get()
    }

    /// The records of a session.
    pub fn entries(&self, session: &str) -> Vec<Entry> {
        let journal = self.journal();
        let found = journal
            .find(session)
            .unwrap_or_else(|e| panic!("{session}: {e}"));
        let entries = found.read(..).expect("reads");
        entries.map(|entry| entry.expect("reads")).collect()
    }

    /// The contents of a session's records of this name.
    pub fn contents(&self, session: &str, name: &str) -> Vec<String> {
        let entries = self.entries(session).into_iter();
        let entries = entries.filter(|entry| entry.name == name);
        entries
            .map(|entry| String::from_utf8(entry.content).expect("text"))
            .collect()
    }

    /// What kinds of records begin and end turns, in order.
    pub fn turns(&self, session: &str) -> Vec<&'static str> {
        let entries = self.entries(session).into_iter();
        let kinds = entries.map(|entry| entry.kind);
        let ends =
            kinds.filter(|kind| kind.is_turn_end() || *kind == turnkeep::Kind::TurnSubmitted);
        ends.map(|kind| kind.as_str()).collect()
    }

    pub fn pending(&self) -> Vec<PendingInput> {
        self.journal().pending().expect("reads")
    }

    pub fn sessions(&self) -> Vec<String> {
        let sessions = self.journal().sessions().expect("reads").into_iter();
        sessions
            .filter(|info| info.no.get() != 0)
            .map(|info| info.id)
            .collect()
    }

    /// What export makes of a session.
    pub fn export(&self, session: &str) -> (Vec<u8>, Written) {
        let reader = Self::options().open_read_only(self.folder.path().join("journal"));
        let reader = reader.expect("opens");
        let sessions = reader.sessions().expect("reads");
        let info = sessions.iter().find(|info| info.id == session);
        let info = info.unwrap_or_else(|| panic!("{session} is not there"));
        let exported = Exported::new(&reader, info).expect("reads");
        let mut bytes = Vec::new();
        let written = exported.write(&mut bytes, |_| b"own".to_vec(), |e| panic!("{e}"));
        (bytes, written.expect("reads"))
    }

    /// Checks that a session is exported as the file that it came from.
    pub fn assert_comes_back(&self, session: &str, file: &str) {
        let (bytes, written) = self.export(session);
        assert!(
            bytes == self.read(file),
            "{session} is not {file}: {}",
            String::from_utf8_lossy(&bytes)
        );
        assert!(!written.is_incomplete(), "{written:?}");
    }
}

/// Every file below a folder with its bytes and its time of change.
fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>, Option<std::time::SystemTime>)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("lists") {
            let entry = entry.expect("lists");
            let metadata = entry.metadata().expect("reads");
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() && metadata.len() < 64 << 20 {
                let bytes = fs::read(entry.path()).unwrap_or_default();
                files.push((entry.path(), bytes, metadata.modified().ok()));
            }
        }
    }
    files.sort();
    files
}

/// The report of one file.
pub fn report<'i>(imported: &'i Imported, file: &str) -> &'i FileReport {
    let found = imported.reports.iter().find(|report| report.file == file);
    found.unwrap_or_else(|| panic!("{file} has no report: {imported:#?}"))
}

/// The codes of a file's findings, in order.
pub fn codes(imported: &Imported, file: &str) -> Vec<&'static str> {
    let report = report(imported, file);
    let mut codes: Vec<_> = report.findings.first().iter().map(|f| f.code).collect();
    codes.sort_unstable();
    codes
}

/// Why a file was refused, as a code.
pub fn refused(imported: &Imported, file: &str) -> &'static str {
    let found = imported.refused.iter().find(|refusal| refusal.file == file);
    found
        .unwrap_or_else(|| panic!("{file} was not refused: {imported:#?}"))
        .code
}
