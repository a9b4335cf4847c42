//! sled, one key for each record.
//!
//! On Linux its `flush` ends in `sync_file_range`, whose manual gives no guarantee after a crash.
//! A disk in user space is not told of that call.

use super::{Answer, Each, Kind, Store};
use crate::record::Record;
use std::path::Path;

pub const KIND: Kind = Kind {
    name: "sled",
    package: Some("sled"),
    setting: "`insert`, then `flush`, which on Linux is a `sync_file_range`",
    durable: true,
    one_file: false,
    open,
};

struct Sled(sled::Db);

fn open(dir: &Path) -> Answer<Box<dyn Store>> {
    Ok(Box::new(Sled(sled::open(dir)?)))
}

impl Store for Sled {
    fn append(&mut self, record: &Record) -> Answer<()> {
        let mut value = record.session.to_be_bytes().to_vec();
        value.extend_from_slice(&record.bytes);
        self.0.insert(record.n.to_be_bytes(), value)?;
        self.0.flush()?;
        Ok(())
    }

    fn read_all(&mut self, each: Each) -> Answer<()> {
        for row in self.0.iter() {
            let (_, value) = row?;
            let (session, bytes) = value
                .split_first_chunk()
                .ok_or("a value without a session")?;
            each(u32::from_be_bytes(*session), bytes);
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Answer<()> {
        self.0.flush()?;
        Ok(())
    }
}
