//! The journal for programs on Tokio: the same handles, awaited.
//!
//! Appends are tickets underneath: ten thousand that wait are ten thousand small values, and no
//! thread of the runtime waits for the disk. What reads, and what is rare (opening, ending a turn
//! with open calls, closing), runs on the runtime's threads for blocking work; [`AsyncJournal::run`]
//! and [`AsyncSession::run`] do the same for whatever has no method here.
//!
//! *Cancellation.* A future that was never polled has done nothing. One that is dropped later gives
//! up waiting, and not the work, as if the process had died between the call and its answer: what
//! was appended is there or it is not, whole. An idempotency key finds out, and a claim that nobody
//! waits for any more makes its input wait again.
//!
//! ```
//! use turnkeep::Input;
//! use turnkeep::aio::AsyncJournal;
//!
//! # let home = tempfile::tempdir()?;
//! # let path = home.path().join("j");
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let (journal, _) = AsyncJournal::open(&path).await?;
//! let session = journal.session("agent-7f3a").await?;
//! let mut turn = session.begin(Input::user("what is a torn tail?").key("req-81")).await?;
//! turn.started().await?;
//! turn.event("note", "thinking").await?; // durable, and so is everything before it
//! turn.complete("what a crash left unfinished").await?;
//! journal.close().await?;
//! # Ok::<(), turnkeep::Error>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Uses what every host may use, and the submission of records without waiting.

mod session;
mod turn;

pub use session::AsyncSession;
pub use turn::AsyncTurn;

use crate::error::{Error, Result};
use crate::format::ids::Lsn;
use crate::journal::batch::Batch;
use crate::journal::handle::Journal;
use crate::journal::info::OpenTurnInfo;
use crate::journal::options::Options;
use crate::journal::queue::Claim;
use crate::journal::shared::Shared;
use crate::journal::ticket::Ticket;
use crate::recovery::report::Recovery;
use crate::snapshot::close::Drained;
use crate::sync::Arc;
use std::path::Path;
use std::time::Duration;

/// A [`Journal`], awaited. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct AsyncJournal {
    journal: Journal,
}

impl From<Journal> for AsyncJournal {
    fn from(journal: Journal) -> Self {
        AsyncJournal { journal }
    }
}

impl AsyncJournal {
    /// As [`Journal::open`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<(AsyncJournal, Recovery)> {
        Self::open_with(Options::default(), path).await
    }

    /// As [`Options::open`]. With [`Options::background`] switched off, whoever awaits commits, on
    /// the runtime's thread.
    ///
    /// # Errors
    /// As [`Options::open`].
    pub async fn open_with(
        options: Options,
        path: impl AsRef<Path>,
    ) -> Result<(AsyncJournal, Recovery)> {
        let path = path.as_ref().to_path_buf();
        let (journal, recovery) = blocking(move || options.open(path)).await?;
        Ok((journal.into(), recovery))
    }

    /// The handle underneath. Its calls may wait for the disk.
    pub fn blocking(&self) -> &Journal {
        &self.journal
    }

    /// Does `work` where it may wait for the disk.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Journal) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let journal = self.journal.clone();
        blocking(move || work(&journal)).await
    }

    /// As [`Journal::session`].
    ///
    /// # Errors
    /// As [`Journal::session`].
    pub async fn session(&self, id: &str) -> Result<AsyncSession> {
        let id = id.to_owned();
        self.run(move |journal| journal.session(&id))
            .await
            .map(AsyncSession::from)
    }

    /// As [`Journal::create_session`].
    ///
    /// # Errors
    /// As [`Journal::create_session`].
    pub async fn create_session(&self, id: &str) -> Result<AsyncSession> {
        let id = id.to_owned();
        let created = self.run(move |journal| journal.create_session(&id)).await;
        created.map(AsyncSession::from)
    }

    /// As [`Journal::find`].
    ///
    /// # Errors
    /// As [`Journal::find`].
    pub async fn find(&self, id: &str) -> Result<AsyncSession> {
        let id = id.to_owned();
        self.run(move |journal| journal.find(&id))
            .await
            .map(AsyncSession::from)
    }

    /// As [`Journal::open_turns`].
    ///
    /// # Errors
    /// As [`Journal::open_turns`].
    pub async fn open_turns(&self) -> Result<Vec<OpenTurnInfo>> {
        self.run(Journal::open_turns).await
    }

    /// As [`Journal::claim`].
    ///
    /// # Errors
    /// As [`Journal::claim`].
    pub async fn claim(&self, owner: &str) -> Result<Option<Claim>> {
        let owner = owner.to_owned();
        self.run(move |journal| journal.claim(&owner)).await
    }

    /// As [`Journal::append_all`].
    ///
    /// # Errors
    /// As [`Journal::append_all`].
    pub async fn append_all(&self, batch: Batch) -> Result<Lsn> {
        let ticket = self.run(move |journal| journal.submit_all(&batch)).await?;
        ticket.await
    }

    /// As [`Journal::sync`].
    ///
    /// # Errors
    /// As [`Journal::sync`].
    pub async fn sync(&self) -> Result<()> {
        self.journal.shared.commit.check_home()?;
        edge(&self.journal.shared).await
    }

    /// As [`Journal::close`].
    ///
    /// # Errors
    /// As [`Journal::close`].
    pub async fn close(self) -> Result<()> {
        blocking(move || self.journal.close()).await
    }

    /// As [`Journal::close_within`].
    ///
    /// # Errors
    /// As [`Journal::close_within`].
    pub async fn close_within(self, limit: Duration) -> Result<Drained> {
        blocking(move || self.journal.close_within(limit)).await
    }
}

/// Does `work` on a thread of the runtime that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Invalid {
                what: "state",
                why: "the runtime ended before the work began".to_owned(),
            }),
        },
    }
}

/// Returns when everything accepted so far is durable.
async fn edge(shared: &Arc<Shared>) -> Result<()> {
    let end = shared.commit.with_stage(|tail| tail.next_lsn());
    Ticket::new(shared.clone(), end, end.get()).await.map(drop)
}

/// Offers something until there is room for it. While there is none, what is pending is awaited.
async fn offer<T>(shared: &Arc<Shared>, mut submit: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match submit() {
            Err(Error::Backpressure { .. }) => edge(shared).await?,
            result => return result,
        }
    }
}
