//! The rows of a database, as a database again.
//!
//! The tables are made by the statements that made them, and get each row as it was imported
//! last. Search indexes and triggers are not: the host makes its own when it opens the file.

use super::session::{Exported, Origin};
use crate::error::Result;
use crate::import::note::ItemNote;
use crate::rows::listing::quoted;
use crate::rows::row::{Row, to_sqlite};
use crate::rows::writer::SCHEMA;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::Path;
use turnkeep::{Entry, Reader, Seq, SessionInfo};

/// A database that was imported: its sessions, by the place that it had.
pub type Databases<'s> = BTreeMap<(String, String), Vec<&'s SessionInfo>>;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Rows.
    pub rows: u64,
    /// Rows whose table did not take them.
    pub refused: u64,
}

/// Groups those of `sessions` that came out of databases.
///
/// # Errors
/// The journal's.
pub fn group<'s>(reader: &Reader, sessions: &[&'s SessionInfo]) -> Result<Databases<'s>> {
    let mut databases = Databases::new();
    for info in sessions {
        if let Origin::Rows(cursor) = Exported::new(reader, info)?.origin {
            let place = (cursor.format, cursor.source);
            databases.entry(place).or_default().push(info);
        }
    }
    Ok(databases)
}

/// Writes the rows of `sessions` into the empty file at `path`.
///
/// # Errors
/// The journal's, and [`crate::Error::Database`] when the file does not become a database.
pub fn restore(reader: &Reader, sessions: &[&SessionInfo], path: &Path) -> Result<Restored> {
    let failed = |source| crate::Error::Database {
        path: path.to_path_buf(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let setting = "PRAGMA trusted_schema=OFF; PRAGMA foreign_keys=OFF;";
    connection.execute_batch(setting).map_err(failed)?;
    let transaction = connection.transaction().map_err(failed)?;
    let mut indexes = Vec::new();
    for info in sessions {
        let exported = Exported::new(reader, info)?;
        let last = last_states(&exported)?;
        for entry in exported.entries()? {
            let entry = entry?;
            if entry.name != SCHEMA || !last.is_last(&entry) {
                continue;
            }
            let sql = String::from_utf8_lossy(&entry.content).into_owned();
            // They come out of a journal, and may be anybody's.
            let words = sql.to_ascii_uppercase();
            match () {
                () if words.starts_with("CREATE TABLE") => {
                    // Some are there once the first was made: sqlite_sequence.
                    let _ = transaction.execute(&sql, []);
                }
                () if words.starts_with("CREATE") && words.contains(" INDEX ") => indexes.push(sql),
                () => {
                    let version = sql.strip_prefix("PRAGMA user_version = ");
                    if let Some(version) = version.and_then(|number| number.parse::<i64>().ok()) {
                        let set = transaction.pragma_update(None, "user_version", version);
                        set.map_err(failed)?;
                    }
                }
            }
        }
    }
    let mut restored = Restored::default();
    for info in sessions {
        let exported = Exported::new(reader, info)?;
        let last = last_states(&exported)?;
        for entry in exported.entries()? {
            let entry = entry?;
            if entry.name == SCHEMA || !last.is_last(&entry) {
                continue;
            }
            match Row::decode(&entry.content).map(|row| insert(&transaction, &entry.name, &row)) {
                Some(Ok(_)) => restored.rows += 1,
                _ => restored.refused += 1,
            }
        }
    }
    for sql in indexes {
        // An index that its rows contradict was broken before.
        let _ = transaction.execute(&sql, []);
    }
    transaction.commit().map_err(failed)?;
    Ok(restored)
}

/// The records that hold rows as they were at the last import. A row that changed is there as
/// often as it did; one that the host has no more is not among them.
struct Last(BTreeMap<String, Seq>);

impl Last {
    fn is_last(&self, entry: &Entry) -> bool {
        let row = ItemNote::decode(&entry.extra).and_then(|note| note.row);
        row.is_some_and(|row| self.0.get(&row) == Some(&entry.seq))
    }
}

fn last_states(exported: &Exported) -> Result<Last> {
    let mut last = BTreeMap::new();
    for entry in exported.entries()? {
        let entry = entry?;
        let note = ItemNote::decode(&entry.extra).unwrap_or_default();
        match note.row {
            Some(row) if note.gone => last.remove(&row),
            Some(row) => last.insert(row, entry.seq),
            None => None,
        };
    }
    Ok(Last(last))
}

fn insert(connection: &Connection, table: &str, row: &Row) -> rusqlite::Result<usize> {
    let columns: Vec<_> = row.columns().collect();
    let names: Vec<_> = columns.iter().map(|(name, _)| quoted(name)).collect();
    let places: Vec<_> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
    let sql = format!(
        "INSERT OR REPLACE INTO {} ({}) VALUES ({})",
        quoted(table),
        names.join(", "),
        places.join(", ")
    );
    let values = columns.iter().map(|(_, value)| to_sqlite(value));
    let mut statement = connection.prepare_cached(&sql)?;
    statement.execute(rusqlite::params_from_iter(values))
}
