//! `log`: all records in the order in which they were written.

use super::journal;
use crate::args::{Cli, Log};
use crate::exit::{Exit, Result};
use crate::output::Output;
use crate::output::entry::{EntryJson, heading, line};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use turnkeep::{Entry, Lsn, Reader, SessionNo};

/// How long following waits before what was shown is flushed and the next look is taken.
const PATIENCE: Duration = Duration::from_millis(200);

/// Shows the records that the arguments ask for.
pub fn run(cli: &Cli, args: &Log, out: &mut Output) -> Result<Exit> {
    let reader = journal::look(cli)?;
    let sessions = reader.sessions()?;
    let only = match &args.session {
        Some(wanted) => Some(journal::find(&sessions, wanted)?.no),
        None => None,
    };
    let names = sessions.into_iter().map(|info| (info.no, info.id));
    let mut shown = Shown {
        names: names.collect(),
        reader,
        only,
        out,
    };
    if !shown.out.is_json() {
        shown.out.line(heading(true))?;
    }
    let edge = shown.reader.durable_lsn();
    match args.last {
        Some(last) => shown.last(last, edge)?,
        None if args.follow && args.from.is_none() => {}
        None => shown.from(Lsn::new(args.from.unwrap_or(0)))?,
    }
    match args.follow {
        true => shown.follow(edge.max(Lsn::new(args.from.unwrap_or(0)))),
        false => Ok(Exit::Ok),
    }
}

struct Shown<'o> {
    reader: Reader,
    names: HashMap<SessionNo, String>,
    only: Option<SessionNo>,
    out: &'o mut Output,
}

impl Shown<'_> {
    fn from(&mut self, from: Lsn) -> Result<()> {
        for entry in self.reader.read(from)? {
            self.show(&entry?)?;
        }
        Ok(())
    }

    /// The last `count` records below `edge`. Compaction leaves holes in the numbers, so it may
    /// take several attempts to go back far enough.
    fn last(&mut self, count: u64, edge: Lsn) -> Result<()> {
        let mut back = count.max(1);
        loop {
            let from = Lsn::new(edge.get().saturating_sub(back));
            let mut found = VecDeque::new();
            for entry in self.reader.read(from)? {
                let entry = entry?;
                if self.is_wanted(&entry) && entry.lsn < edge {
                    found.push_back(entry);
                }
                if found.len() as u64 > count {
                    found.pop_front();
                }
            }
            if found.len() as u64 >= count || from.get() <= 1 {
                return found.iter().try_for_each(|entry| self.show(entry));
            }
            back = back.saturating_mul(8);
        }
    }

    fn follow(&mut self, from: Lsn) -> Result<Exit> {
        let mut follow = self.reader.follow(from);
        loop {
            self.out.flush()?;
            let mut next = follow.next_timeout(PATIENCE)?;
            while let Some(entry) = next {
                self.show(&entry)?;
                next = follow.next_timeout(Duration::ZERO)?;
            }
        }
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        self.only.is_none_or(|only| only == entry.session)
    }

    fn show(&mut self, entry: &Entry) -> Result<()> {
        if !self.is_wanted(entry) {
            return Ok(());
        }
        if !self.names.contains_key(&entry.session) {
            self.reader.refresh()?;
            let sessions = self.reader.sessions()?.into_iter();
            self.names.extend(sessions.map(|info| (info.no, info.id)));
        }
        // Deleted sessions have no name any more.
        let nameless = format!("(session {})", entry.session);
        let name = self.names.get(&entry.session).unwrap_or(&nameless);
        match self.out.is_json() {
            true => self.out.object(&EntryJson::new(entry, name)),
            false => self.out.line(line(entry, Some(name))),
        }
    }
}
