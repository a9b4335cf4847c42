//! A folder with a host's files in it, a journal beside it, and what an import makes of them.

#![allow(dead_code, reason = "each test file uses its part")]

use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use turnkeep::{Entry, Journal, Options, PendingInput};
use turnkeep_hosts::detect::{Host, survey};
use turnkeep_hosts::export::database::{self, Restored};
use turnkeep_hosts::export::names::SafePath;
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

    /// The names in a folder.
    pub fn names(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).expect("lists");
        let mut names: Vec<_> = entries
            .map(|entry| {
                entry
                    .expect("lists")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
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

    /// What is claimed first, second, and so on; it waits again afterwards.
    pub fn claimed(&self, count: usize) -> Vec<String> {
        let journal = self.journal();
        let claim = || journal.claim("worker").expect("the disk is sound");
        let claims: Vec<_> = std::iter::repeat_with(claim)
            .take(count)
            .flatten()
            .collect();
        let texts = claims.iter();
        texts
            .map(|claim| String::from_utf8_lossy(&claim.entry().content).into_owned())
            .collect()
    }

    /// Whether any file of the journal holds these bytes.
    pub fn journal_holds(&self, bytes: &[u8]) -> bool {
        let files = tree(&self.folder.path().join("journal"));
        let mut all = files.iter().map(|(_, content, _)| content);
        all.any(|content| content.windows(bytes.len()).any(|window| window == bytes))
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

    /// Everything that was imported, as files again below a folder.
    pub fn export_all(&self) -> (tempfile::TempDir, Vec<Restored>) {
        let reader = Self::options().open_read_only(self.folder.path().join("journal"));
        let reader = reader.expect("opens");
        let sessions = reader.sessions().expect("reads");
        let wanted: Vec<_> = sessions.iter().filter(|info| info.no.get() != 0).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let mut restored = Vec::new();
        for ((_, source), sessions) in database::group(&reader, &wanted).expect("reads") {
            let made = SafePath::of_source(&source).create(folder.path());
            let (_, below) = made.expect("makes");
            let path = folder.path().join(below);
            restored.push(database::restore(&reader, &sessions, &path).expect("restores"));
        }
        (folder, restored)
    }

    /// Checks that a database comes back with the tables, indexes and rows that it has now.
    pub fn assert_rows_come_back(&self, file: &str) {
        let (folder, restored) = self.export_all();
        assert!(restored.iter().all(|r| r.refused == 0), "{restored:?}");
        let (is, was) = (dump(&folder.path().join(file)), dump(&self.path(file)));
        assert!(!was.is_empty());
        for (table, rows) in &was {
            assert_eq!(is.get(table), Some(rows), "{table}");
        }
        assert_eq!(is.len(), was.len());
    }
}

/// All tables and indexes but those of search, and all rows, each value with its type.
pub fn dump(path: &Path) -> BTreeMap<String, Vec<String>> {
    let connection = Connection::open(path).expect("opens");
    let list = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL \
                AND type IN ('table','index') AND name NOT LIKE '%\\_fts%' ESCAPE '\\'";
    let mut statement = connection.prepare(list).expect("prepares");
    let all = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let all: Vec<(String, String, String)> =
        all.expect("lists").map(|row| row.expect("reads")).collect();
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let version = version.expect("reads").to_string();
    let mut dump = BTreeMap::from([("user_version".to_owned(), vec![version])]);
    for (kind, name, sql) in all {
        let mut rows = vec![sql];
        if kind == "table" {
            let quoted = name.replace('"', "\"\"");
            let mut select = connection
                .prepare(&format!("SELECT * FROM \"{quoted}\""))
                .expect("prepares");
            let columns = select.column_count();
            let mut found = select.query([]).expect("selects");
            while let Some(row) = found.next().expect("reads") {
                let values =
                    (0..columns).map(|at| format!("{:?}", row.get_ref(at).expect("reads")));
                rows.push(values.collect::<Vec<_>>().join(","));
            }
            rows[1..].sort();
        }
        dump.insert(name, rows);
    }
    dump
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
