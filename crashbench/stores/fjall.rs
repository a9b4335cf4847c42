//! fjall, one key for each record.

use super::{Answer, Each, Kind, Store};
use crate::record::Record;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

pub const KIND: Kind = Kind {
    name: "fjall",
    package: Some("fjall"),
    setting: "`insert`, then `persist(SyncAll)`",
    durable: true,
    one_file: false,
    open,
};

struct Fjall {
    db: Database,
    turns: Keyspace,
}

fn open(dir: &Path) -> Answer<Box<dyn Store>> {
    let db = Database::builder(dir).open()?;
    let turns = db.keyspace("turns", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { db, turns }))
}

impl Store for Fjall {
    fn append(&mut self, record: &Record) -> Answer<()> {
        let mut value = record.session.to_be_bytes().to_vec();
        value.extend_from_slice(&record.bytes);
        self.turns.insert(record.n.to_be_bytes(), value)?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    fn read_all(&mut self, each: Each) -> Answer<()> {
        for row in self.turns.iter() {
            let value = row.value()?;
            let (session, bytes) = value
                .split_first_chunk()
                .ok_or("a value without a session")?;
            each(u32::from_be_bytes(*session), bytes);
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(())
    }
}
