//! Iterators of a reader: those of the journal, and a second try where a writer moved files.

use super::view::may_be_motion;
use super::{Reader, entries_now};
use crate::error::{Error, Result};
use crate::format::ids::{Lsn, Seq, SessionNo};
use crate::journal::entries::Entries;
use crate::journal::entry::Entry;
use crate::journal::log_read::LogEntries;
use std::fmt;

/// Iterator over a session's durable records. Each item may be an error of its own: damage of
/// one record does not hide those behind it.
pub struct ReaderEntries {
    reader: Reader,
    session: SessionNo,
    /// What was not given yet: `from <= seq < to`.
    from: Seq,
    to: Seq,
    holes: Vec<(Seq, Seq)>,
    entries: Entries,
    /// Generation of the manifest that `entries` goes back to.
    generation: u64,
}

impl fmt::Debug for ReaderEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ReaderEntries(session {}, {}..{})",
            self.session, self.from, self.to
        )
    }
}

impl ReaderEntries {
    pub(super) fn new(
        reader: Reader,
        session: SessionNo,
        from: Seq,
        to: Seq,
        holes: Vec<(Seq, Seq)>,
    ) -> Self {
        let (entries, generation) = entries_now(&reader, session, from, to, &holes);
        ReaderEntries {
            reader,
            session,
            from,
            to,
            holes,
            entries,
            generation,
        }
    }

    /// What to give for record `seq`, which failed to read. `None` if it is there no more, since
    /// a compaction dropped it.
    fn again(&mut self, seq: Seq, error: Error) -> Option<Result<Entry>> {
        // If the newest manifest cannot be read either, the first error says more.
        if !self.reader.has_moved_on(self.generation).unwrap_or(false) {
            return Some(Err(error));
        }
        let one = entries_now(&self.reader, self.session, seq, seq.next(), &self.holes).0;
        (self.entries, self.generation) =
            entries_now(&self.reader, self.session, self.from, self.to, &self.holes);
        { one }.next()
    }
}

impl Iterator for ReaderEntries {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let seq = match self.entries.front_seq() {
                Ok(seq) => seq?,
                Err(error) => return Some(Err(error)),
            };
            self.from = seq.next();
            let again = match self.entries.next()? {
                Err(error) => self.again(seq, error),
                read => Some(read),
            };
            if again.is_some() {
                return again;
            }
        }
    }
}

impl DoubleEndedIterator for ReaderEntries {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let seq = match self.entries.back_seq() {
                Ok(seq) => seq?,
                Err(error) => return Some(Err(error)),
            };
            self.to = seq;
            let again = match self.entries.next_back()? {
                Err(error) => self.again(seq, error),
                read => Some(read),
            };
            if again.is_some() {
                return again;
            }
        }
    }
}

/// Iterator over durable records in LSN order. Records that compaction dropped are not there;
/// damage ends the iteration with an error that names the place.
pub struct ReaderLog {
    reader: Reader,
    entries: LogEntries,
    end: Lsn,
    generation: u64,
}

impl fmt::Debug for ReaderLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReaderLog({}..{})", self.position(), self.end)
    }
}

impl ReaderLog {
    pub(super) fn new(reader: Reader, from: Lsn) -> Self {
        let (index, generation) = reader.index();
        let end = reader.durable_lsn();
        let entries = LogEntries::new(index, reader.locksmith(), from, end);
        ReaderLog {
            reader,
            entries,
            end,
            generation,
        }
    }

    /// Where to go on: the LSN from which the next entry is looked for.
    pub fn position(&self) -> Lsn {
        self.entries.position()
    }

    /// Goes on to the edge that the reader sees now.
    pub(super) fn extend(&mut self) {
        self.end = self.reader.durable_lsn();
        let (index, generation) = self.reader.index();
        if self.generation == generation && self.entries.reads(&index) {
            self.entries.extend_to(self.end);
        } else {
            self.rebase();
        }
    }

    /// Reads on from the index that the reader has now.
    fn rebase(&mut self) {
        let (index, generation) = self.reader.index();
        self.generation = generation;
        let (locksmith, from) = (self.reader.locksmith(), self.entries.position());
        self.entries = LogEntries::new(index, locksmith, from, self.end);
    }
}

impl Iterator for ReaderLog {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.entries.next() {
            Some(Err(error)) if may_be_motion(&error) => {
                if !self.reader.has_moved_on(self.generation).unwrap_or(false) {
                    return Some(Err(error));
                }
                self.rebase();
                self.entries.next()
            }
            read => read,
        }
    }
}
