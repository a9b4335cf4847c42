//! JSON lines, appended: what most agent hosts do.
//!
//! Read as a careful host reads it: a last line without its end is cut off at opening, any other
//! line that does not parse is an error.

use super::{Answer, Each, Kind, Store};
use crate::record::Record;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

pub const SYNCED: Kind = Kind {
    name: "jsonl-sync",
    package: None,
    setting: "one `write`, then `fdatasync`, for each line",
    durable: true,
    one_file: true,
    open: |dir| open(dir, true),
};

pub const UNSYNCED: Kind = Kind {
    name: "jsonl",
    package: None,
    setting: "one `write` for each line, no sync",
    durable: false,
    one_file: true,
    open: |dir| open(dir, false),
};

#[derive(serde::Serialize, serde::Deserialize)]
struct Line {
    session: u32,
    content: String,
}

struct Jsonl {
    file: File,
    path: PathBuf,
    sync: bool,
}

fn open(dir: &Path, sync: bool) -> Answer<Box<dyn Store>> {
    let path = dir.join("turns.jsonl");
    let file = OpenOptions::new()
        .append(true)
        .read(true)
        .create(true)
        .open(&path)?;
    let bytes = std::fs::read(&path)?;
    let whole = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    if whole < bytes.len() {
        file.set_len(whole as u64)?;
    }
    if sync {
        file.sync_all()?;
        File::open(dir)?.sync_all()?;
    }
    Ok(Box::new(Jsonl { file, path, sync }))
}

impl Store for Jsonl {
    fn append(&mut self, record: &Record) -> Answer<()> {
        let content = String::from_utf8(record.bytes.clone())?;
        let mut line = serde_json::to_vec(&Line {
            session: record.session,
            content,
        })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        if self.sync {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn read_all(&mut self, each: Each) -> Answer<()> {
        for line in BufReader::new(File::open(&self.path)?).split(b'\n') {
            let line: Line = serde_json::from_slice(&line?)?;
            each(line.session, line.content.as_bytes());
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(())
    }
}
