//! The end of a journal's use: in good time, or with a limit on it.
//!
//! A host that is told to stop has seconds. A disk may take longer for one sync, and a sync cannot
//! be called off: so the work goes on in a thread of its own, and who waits for it stops waiting.

use super::checkpoint::checkpoint;
use crate::error::{Error, Result};
use crate::format::ids::Lsn;
use crate::journal::handle::Journal;
use serde::Serialize;
use std::fmt;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What became durable within the time that there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[must_use = "it says what is not durable yet"]
#[non_exhaustive]
pub struct Drained {
    /// Everything below is durable.
    pub durable: Lsn,
    /// How many records were accepted and are not durable; `None` if not even that could be learned.
    pub pending: Option<u64>,
    /// Whether it was done in time. If not, it goes on for as long as the process lives.
    pub in_time: bool,
}

impl Drained {
    /// Whether everything that was accepted is durable.
    pub fn is_complete(&self) -> bool {
        self.pending == Some(0)
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pending {
            Some(0) => write!(f, "everything is durable")?,
            Some(1) => write!(f, "1 record is not durable yet")?,
            Some(n) => write!(f, "{n} records are not durable yet")?,
            None => write!(f, "what is not durable yet could not be learned")?,
        }
        write!(f, ", all below lsn {} are", self.durable)?;
        match self.in_time {
            true => Ok(()),
            false => write!(f, "; the time was over"),
        }
    }
}

impl Journal {
    /// Closes the journal: everything accepted becomes durable, the log says that it ends here,
    /// and a checkpoint saves the next opening from replaying it. Then the lock is released,
    /// whatever is returned. Waits for a compaction that runs.
    ///
    /// # Errors
    /// [`Error::Poisoned`] or [`Error::Io`] if something accepted may not be durable;
    /// [`Error::NoSpace`], [`Error::Io`] or [`Error::Corrupt`] if only the checkpoint failed,
    /// which costs nothing but time at the next opening. [`Error::Closed`].
    pub fn close(self) -> Result<()> {
        let shared = &*self.shared;
        shared.commit.check_home()?;
        let compacting = shared.compacting.lock();
        let closed = shared
            .commit
            .close()
            .and_then(|()| shared.commit.with_writer(|writer| writer.close()))
            .and_then(|()| checkpoint(shared).map(|_| ()));
        drop(compacting);
        if !matches!(closed, Err(Error::Closed)) {
            shared.shut();
        }
        closed
    }

    /// As [`Journal::close`], and returns after `limit` at the latest, saying how much is durable.
    /// What is not done by then goes on in a thread, and holds the journal's lock until it is; if
    /// the process ends before, the next opening recovers. Of a journal that is being closed by
    /// another thread, waits for that.
    ///
    /// # Errors
    /// As [`Journal::close`], if it failed within the limit, but never [`Error::Closed`].
    pub fn close_within(self, limit: Duration) -> Result<Drained> {
        self.drain(limit, |journal| {
            let shared = journal.shared.clone();
            match journal.close() {
                Err(Error::Closed) => shared.commit.flush(),
                closed => closed,
            }
        })
    }

    /// As [`Journal::sync`], and returns after `limit` at the latest, saying how much is durable.
    ///
    /// For the last moments: it needs no runtime and takes no lock in the calling thread, so it may be
    /// called in a panic hook, also when the thread that panics was appending. Not within a
    /// signal handler, where nothing may allocate: have a thread wait for the signal.
    ///
    /// # Errors
    /// [`Error::Poisoned`], if that is known within the limit; [`Error::Forked`].
    pub fn sync_within(&self, limit: Duration) -> Result<Drained> {
        self.clone().drain(limit, |journal| journal.sync())
    }

    fn drain(
        self,
        limit: Duration,
        work: impl FnOnce(Journal) -> Result<()> + Send + 'static,
    ) -> Result<Drained> {
        self.shared.commit.check_home()?;
        let end = Instant::now() + limit;
        let shared = self.shared.clone();
        let (accepted, learn_accepted) = channel();
        let (done, learn_done) = channel();
        let drain = move || {
            let _ = accepted.send(self.accepted_lsn());
            let _ = done.send(work(self));
        };
        // The thread is not waited for if it takes too long.
        std::thread::Builder::new()
            .name("turnkeep-drain".into())
            .spawn(drain)
            .map_err(|e| Error::io("start a thread for", shared.dir.path(), e))?;
        let left = || end.saturating_duration_since(Instant::now());
        let accepted = learn_accepted.recv_timeout(left()).ok();
        let in_time = match learn_done.recv_timeout(left()) {
            Ok(result) => result.map(|()| true)?,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => {
                let why = "the thread that made everything durable panicked".to_owned();
                return Err(Error::Invalid { what: "state", why });
            }
        };
        let durable = Lsn::new(shared.commit.durable());
        Ok(Drained {
            durable,
            pending: accepted.map(|lsn| lsn.get().saturating_sub(durable.get())),
            in_time,
        })
    }
}
