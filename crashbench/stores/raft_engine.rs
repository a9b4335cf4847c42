//! raft-engine, a group for each session, an entry for each record.

use super::{Answer, Each, Kind, Store};
use crate::record::Record;
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};
use std::path::{Path, PathBuf};

pub const KIND: Kind = Kind {
    name: "raft-engine",
    package: Some("raft-engine"),
    setting: "`write` with sync; files of 1 MiB instead of 128",
    durable: true,
    one_file: false,
    open,
};

/// An entry: its index in eight bytes, then the record.
struct Turn;

impl MessageExt for Turn {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry
            .value
            .first_chunk()
            .map_or(0, |index| u64::from_be_bytes(*index))
    }
}

struct RaftEngine {
    /// Gone once the files were verified, which is done without it.
    engine: Option<Engine>,
    path: PathBuf,
}

fn open(dir: &Path) -> Answer<Box<dyn Store>> {
    let path = dir.to_owned();
    let engine = Engine::open(Config {
        dir: path.to_str().ok_or("a path that is not text")?.to_owned(),
        target_file_size: ReadableSize::mb(1),
        ..Config::default()
    })?;
    Ok(Box::new(RaftEngine {
        engine: Some(engine),
        path,
    }))
}

impl RaftEngine {
    fn engine(&self) -> Answer<&Engine> {
        self.engine.as_ref().ok_or_else(|| "closed".into())
    }
}

impl Store for RaftEngine {
    fn append(&mut self, record: &Record) -> Answer<()> {
        let engine = self.engine()?;
        let group = u64::from(record.session) + 1;
        let index = engine.last_index(group).unwrap_or(0) + 1;
        let mut entry = BytesValue::new();
        entry.value = index.to_be_bytes().to_vec();
        entry.value.extend_from_slice(&record.bytes);
        let mut batch = LogBatch::default();
        batch.add_entries::<Turn>(group, &[entry])?;
        engine.write(&mut batch, true)?;
        Ok(())
    }

    fn read_all(&mut self, each: Each) -> Answer<()> {
        let engine = self.engine()?;
        for group in engine.raft_groups() {
            let (Some(first), Some(last)) = (engine.first_index(group), engine.last_index(group))
            else {
                continue;
            };
            let mut entries = Vec::new();
            engine.fetch_entries_to::<Turn>(group, first, last + 1, None, &mut entries)?;
            for entry in entries {
                let (_, bytes) = entry
                    .value
                    .split_first_chunk::<8>()
                    .ok_or("a short entry")?;
                each(u32::try_from(group - 1)?, bytes);
            }
        }
        Ok(())
    }

    fn verify(&mut self) -> Answer<()> {
        self.engine = None;
        let broken = Engine::consistency_check(&self.path)?;
        match broken.is_empty() {
            true => Ok(()),
            false => {
                Err(format!("inconsistent groups (group, last valid index): {broken:?}").into())
            }
        }
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(())
    }
}
