//! turnkeep: this repository's engine, as its README shows it.

use super::{Answer, Each, Kind, Store};
use crate::record::Record;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use turnkeep::{Journal, Session};

pub const KIND: Kind = Kind {
    name: "turnkeep",
    package: Some("turnkeep"),
    setting: "default options; `append` returns",
    durable: true,
    one_file: false,
    open,
};

struct Turnkeep {
    journal: Journal,
    path: PathBuf,
    sessions: HashMap<u32, Session>,
}

fn open(dir: &Path) -> Answer<Box<dyn Store>> {
    let path = dir.to_owned();
    let (journal, _recovery) = Journal::open(&path)?;
    Ok(Box::new(Turnkeep {
        journal,
        path,
        sessions: HashMap::new(),
    }))
}

impl Store for Turnkeep {
    fn append(&mut self, record: &Record) -> Answer<()> {
        let session = match self.sessions.get(&record.session) {
            Some(session) => session,
            None => {
                let session = self
                    .journal
                    .session(&format!("session-{}", record.session))?;
                self.sessions.entry(record.session).or_insert(session)
            }
        };
        session.append("turn", &record.bytes)?;
        Ok(())
    }

    fn read_all(&mut self, each: Each) -> Answer<()> {
        for info in self.journal.sessions()? {
            let number = info
                .id
                .rsplit('-')
                .next()
                .ok_or("a session without a number")?;
            let number = number.parse()?;
            for entry in self.journal.find(&info.id)?.read(..)? {
                let entry = entry?;
                if entry.name == "turn" {
                    each(number, &entry.content);
                }
            }
        }
        Ok(())
    }

    fn verify(&mut self) -> Answer<()> {
        let report = turnkeep::verify(&self.path)?;
        match report.is_sound() {
            true => Ok(()),
            false => Err(report.to_string().into()),
        }
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(self.journal.close()?)
    }
}
