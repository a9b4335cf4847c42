//! okaywal as a log that is kept whole: no checkpoints, one entry for each record.

use super::{Answer, Each, Kind, Store};
use crate::record::Record;
use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

pub const KIND: Kind = Kind {
    name: "okaywal",
    package: Some("okaywal"),
    setting: "`commit` returns; no checkpoints, so that the log keeps everything",
    durable: true,
    one_file: true,
    open,
};

type Entries = Arc<Mutex<Vec<Vec<Vec<u8>>>>>;

/// Gathers what opening finds, as the crate's documentation shows.
#[derive(Debug)]
struct Gather(Entries);

impl LogManager for Gather {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        if let Some(chunks) = entry.read_all_chunks()? {
            self.0.lock().expect("nobody panics with it").push(chunks);
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        _entries: &mut SegmentReader,
        _log: &WriteAheadLog,
    ) -> io::Result<()> {
        Err(io::Error::other("this log is never checkpointed"))
    }
}

struct OkayWal {
    log: WriteAheadLog,
    found: Entries,
}

fn open(dir: &Path) -> Answer<Box<dyn Store>> {
    let found = Entries::default();
    let configuration = Configuration::default_for(dir);
    let log = configuration
        .checkpoint_after_bytes(1 << 40)
        .open(Gather(found.clone()))?;
    Ok(Box::new(OkayWal { log, found }))
}

impl Store for OkayWal {
    fn append(&mut self, record: &Record) -> Answer<()> {
        let mut entry = self.log.begin_entry()?;
        entry.write_chunk(&record.session.to_be_bytes())?;
        entry.write_chunk(&record.bytes)?;
        entry.commit()?;
        Ok(())
    }

    fn read_all(&mut self, each: Each) -> Answer<()> {
        for chunks in self.found.lock().expect("nobody panics with it").iter() {
            let [session, bytes] = chunks.as_slice() else {
                return Err("an entry that is not two chunks".into());
            };
            each(u32::from_be_bytes(session.as_slice().try_into()?), bytes);
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(self.log.shutdown()?)
    }
}
