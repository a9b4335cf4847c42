//! SQLite in WAL mode, one row for each record, in the two settings people choose between.

use super::{Answer, Each, Kind, Store};
use crate::record::Record;
use rusqlite::Connection;
use std::path::Path;

pub const FULL: Kind = Kind {
    name: "sqlite-full",
    package: Some("rusqlite"),
    setting: "WAL, synchronous=FULL; the statement returns",
    durable: true,
    one_file: true,
    open: |dir| open(dir, "FULL"),
};

pub const NORMAL: Kind = Kind {
    name: "sqlite-normal",
    package: Some("rusqlite"),
    setting: "WAL, synchronous=NORMAL, which does not promise the last transactions after power loss",
    durable: false,
    one_file: true,
    open: |dir| open(dir, "NORMAL"),
};

struct Sqlite(Connection);

fn open(dir: &Path, synchronous: &str) -> Answer<Box<dyn Store>> {
    let db = Connection::open(dir.join("turns.sqlite"))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", synchronous)?;
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS turns (n INTEGER PRIMARY KEY, session INTEGER, content BLOB)",
    )?;
    Ok(Box::new(Sqlite(db)))
}

impl Store for Sqlite {
    fn append(&mut self, record: &Record) -> Answer<()> {
        let mut insert = self
            .0
            .prepare_cached("INSERT INTO turns VALUES (?1, ?2, ?3)")?;
        insert.execute((record.n as i64, record.session, &record.bytes))?;
        Ok(())
    }

    fn read_all(&mut self, each: Each) -> Answer<()> {
        let mut select = self
            .0
            .prepare("SELECT session, content FROM turns ORDER BY n")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            each(row.get(0)?, row.get_ref(1)?.as_blob()?);
        }
        Ok(())
    }

    fn verify(&mut self) -> Answer<()> {
        let said: String = self
            .0
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if said == "ok" {
            Ok(())
        } else {
            Err(said.into())
        }
    }

    fn close(self: Box<Self>) -> Answer<()> {
        self.0.close().map_err(|(_, error)| error.into())
    }
}
