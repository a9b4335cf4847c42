//! redb, one transaction for each record.

use super::{Answer, Each, Kind, Store};
use crate::record::Record;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use std::path::Path;

pub const KIND: Kind = Kind {
    name: "redb",
    package: Some("redb"),
    setting: "default durability (immediate); `commit` returns",
    durable: true,
    one_file: true,
    open,
};

const TURNS: TableDefinition<u64, (u32, &[u8])> = TableDefinition::new("turns");

struct Redb(Database);

fn open(dir: &Path) -> Answer<Box<dyn Store>> {
    Ok(Box::new(Redb(Database::create(dir.join("turns.redb"))?)))
}

impl Store for Redb {
    fn append(&mut self, record: &Record) -> Answer<()> {
        let transaction = self.0.begin_write()?;
        let value = (record.session, record.bytes.as_slice());
        transaction.open_table(TURNS)?.insert(record.n, value)?;
        Ok(transaction.commit()?)
    }

    fn read_all(&mut self, each: Each) -> Answer<()> {
        let table = match self.0.begin_read()?.open_table(TURNS) {
            // Before the first record there is none.
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            table => table?,
        };
        for row in table.iter()? {
            let (_, value) = row?;
            let (session, bytes) = value.value();
            each(session, bytes);
        }
        Ok(())
    }

    fn verify(&mut self) -> Answer<()> {
        match self.0.check_integrity()? {
            true => Ok(()),
            false => Err("the integrity check failed, and was repaired".into()),
        }
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(())
    }
}
