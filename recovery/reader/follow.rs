//! Following a journal that another process writes.

use super::Reader;
use super::entries::ReaderLog;
use crate::error::Result;
use crate::format::ids::Lsn;
use crate::journal::entry::Entry;
use std::time::{Duration, Instant};

/// How often the watermark page is looked at while there is nothing to read: soon enough for a
/// person who watches, and a few system calls each time.
const POLL: Duration = Duration::from_millis(20);

/// Iterator over all records from a position on, past the durable edge of now: it waits there
/// for more, and ends only with an error.
///
/// There is no word from the writer: the watermark page is looked at every 20 ms, or as
/// [`Follow::poll_every`] says.
#[derive(Debug)]
pub struct Follow {
    reader: Reader,
    log: ReaderLog,
    poll: Duration,
    failed: bool,
}

impl Follow {
    pub(super) fn new(reader: Reader, from: Lsn) -> Self {
        Follow {
            log: ReaderLog::new(reader.clone(), from),
            reader,
            poll: POLL,
            failed: false,
        }
    }

    /// Sets how often the watermark page is looked at while there is nothing to read.
    pub fn poll_every(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// Where to go on: the LSN of the next entry, or the edge.
    pub fn position(&self) -> Lsn {
        self.log.position()
    }

    /// The next entry, waiting for it at most `timeout`; `None` if there was none by then.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] or [`crate::Error::Io`] from reading.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Entry>> {
        self.advance(Instant::now().checked_add(timeout))
    }

    /// `until: None` waits for as long as it takes.
    fn advance(&mut self, until: Option<Instant>) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.log.next() {
                return entry.map(Some);
            }
            self.reader.refresh()?;
            self.log.extend();
            if self.reader.durable_lsn() > self.log.position() {
                continue;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() => return Ok(None),
                Some(left) => std::thread::sleep(left.min(self.poll)),
                None => std::thread::sleep(self.poll),
            }
        }
    }
}

impl Iterator for Follow {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.advance(None);
        self.failed = entry.is_err();
        entry.transpose()
    }
}
