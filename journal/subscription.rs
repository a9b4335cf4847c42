//! Following the journal as records become durable.

use super::entry::Entry;
use super::log_read::LogEntries;
use super::shared::Shared;
use crate::error::{Error, Result};
use crate::format::ids::Lsn;
use crate::sync::Arc;
use std::time::Duration;

/// Iterator over all records from a position on, past the durable edge of now: it waits there
/// for more. It ends when the journal is closed or has failed.
///
/// Save [`Subscription::position`] after handling an entry, and subscribe from it the next time.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    entries: LogEntries,
}

impl Subscription {
    pub(crate) fn new(shared: Arc<Shared>, from: Lsn) -> Self {
        let edge = Lsn::new(shared.commit.durable());
        let entries = LogEntries::new(
            shared.index.clone(),
            shared.options.locksmith.clone(),
            from,
            edge,
        )
        .only(shared.shown());
        Subscription { shared, entries }
    }

    /// Where to go on: the LSN of the next entry, or the edge.
    pub fn position(&self) -> Lsn {
        self.entries.position()
    }

    /// The next entry, waiting for it at most `timeout`; `None` if there was none by then.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] from reading; [`Error::Poisoned`] or
    /// [`Error::Closed`] when everything durable was given and nothing more will come.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<Entry>> {
        self.advance(Some(timeout))
    }

    fn advance(&mut self, timeout: Option<Duration>) -> Result<Option<Entry>> {
        self.shared.commit.check_home()?;
        loop {
            self.entries
                .extend_to(Lsn::new(self.shared.commit.durable()));
            if let Some(entry) = self.entries.next() {
                return entry.map(Some);
            }
            if !self
                .shared
                .commit
                .wait_beyond(self.entries.position().get(), timeout)
            {
                return match self.shared.commit.failure() {
                    Some(cause) => Err(Error::Poisoned { cause }),
                    None if self.shared.commit.is_closed() => Err(Error::Closed),
                    None => Ok(None),
                };
            }
        }
    }
}

impl Iterator for Subscription {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance(None) {
            Ok(entry) => entry.map(Ok),
            Err(Error::Closed | Error::Poisoned { .. }) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
