//! One JSON file, written anew for each change and renamed into place: what many small tools do.

use super::{Answer, Each, Kind, Store};
use crate::record::Record;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

pub const SYNCED: Kind = Kind {
    name: "json-file-sync",
    package: None,
    setting: "whole file anew; sync of file, rename, sync of directory",
    durable: true,
    one_file: true,
    open: |dir| open(dir, true),
};

pub const UNSYNCED: Kind = Kind {
    name: "json-file",
    package: None,
    setting: "whole file anew; rename, no sync",
    durable: false,
    one_file: true,
    open: |dir| open(dir, false),
};

struct JsonFile {
    dir: PathBuf,
    turns: Vec<(u32, String)>,
    sync: bool,
}

fn open(dir: &Path, sync: bool) -> Answer<Box<dyn Store>> {
    let turns = match fs::read(dir.join("turns.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(Box::new(JsonFile {
        dir: dir.to_owned(),
        turns,
        sync,
    }))
}

impl JsonFile {
    fn save(&self) -> Answer<()> {
        let temporary = self.dir.join("turns.json.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&self.turns)?)?;
        if self.sync {
            file.sync_all()?;
        }
        fs::rename(&temporary, self.dir.join("turns.json"))?;
        if self.sync {
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }
}

impl Store for JsonFile {
    fn append(&mut self, record: &Record) -> Answer<()> {
        self.turns
            .push((record.session, String::from_utf8(record.bytes.clone())?));
        self.save().inspect_err(|_| {
            self.turns.pop();
        })
    }

    fn read_all(&mut self, each: Each) -> Answer<()> {
        for (session, content) in &self.turns {
            each(*session, content.as_bytes());
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(())
    }
}
