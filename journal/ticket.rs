//! A ticket: the promise that an accepted record becomes durable, to be waited for or awaited.

use super::shared::Shared;
use crate::error::Result;
use crate::format::ids::Lsn;
use crate::sync::Arc;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Stands for an accepted record, and everything accepted before it.
///
/// Dropping a ticket gives up waiting, not the record. Ten thousand tickets are ten thousand
/// small values, not ten thousand threads.
#[derive(Clone)]
pub struct Ticket {
    shared: Arc<Shared>,
    lsn: Lsn,
    end_lsn: u64,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("lsn", &self.lsn)
            .finish_non_exhaustive()
    }
}

impl Ticket {
    pub(crate) fn new(shared: Arc<Shared>, lsn: Lsn, end_lsn: u64) -> Self {
        Ticket {
            shared,
            lsn,
            end_lsn,
        }
    }

    /// The record's place in the journal; of a batch, its last record's.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// Whether the record is durable now.
    pub fn is_durable(&self) -> bool {
        self.shared.commit.durable() >= self.end_lsn
    }

    /// Returns when the record, and everything accepted before it, is durable.
    ///
    /// # Errors
    /// [`crate::Error::Poisoned`] if a write or sync failed first: the record may or may not be
    /// there at the next opening.
    pub fn wait(&self) -> Result<Lsn> {
        self.shared.commit.wait_durable(self.end_lsn)?;
        Ok(self.lsn)
    }
}

impl Future for Ticket {
    type Output = Result<Lsn>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self
            .shared
            .commit
            .poll_durable(self.end_lsn, context.waker())
        {
            None => Poll::Pending,
            Some(result) => Poll::Ready(result.map(|()| self.lsn)),
        }
    }
}
