//! A turn's handle, awaited.

use super::session::AsyncSession;
use super::{blocking, offer};
use crate::error::Result;
use crate::format::ids::{Lsn, Seq};
use crate::journal::entry::Entry;
use crate::journal::turn::{Token, Turn};
use crate::model::event::Kind;

/// A [`Turn`], awaited.
#[derive(Clone, Debug)]
pub struct AsyncTurn {
    turn: Turn,
}

impl From<Turn> for AsyncTurn {
    fn from(turn: Turn) -> Self {
        AsyncTurn { turn }
    }
}

impl AsyncTurn {
    /// The handle underneath. Its calls may wait for the disk.
    pub fn blocking(&self) -> &Turn {
        &self.turn
    }

    /// Its identity: the sequence number of its first record in the session.
    pub fn id(&self) -> Seq {
        self.turn.id()
    }

    /// Whether [`AsyncSession::begin`] made it, rather than finding it by its key.
    pub fn is_new(&self) -> bool {
        self.turn.is_new()
    }

    /// Whether it had ended when this handle was made.
    pub fn is_ended(&self) -> bool {
        self.turn.is_ended()
    }

    /// As [`Turn::owner`].
    pub fn owner(self, owner: &str) -> Self {
        self.turn.owner(owner).into()
    }

    /// As [`Turn::token`].
    ///
    /// # Errors
    /// As [`Turn::token`].
    pub async fn token(&self) -> Result<Token> {
        self.run(|turn| turn.token()).await
    }

    /// As [`Turn::started`].
    ///
    /// # Errors
    /// As [`Turn::started`].
    pub async fn started(&mut self) -> Result<Lsn> {
        let shared = self.turn.session().journal().shared.clone();
        offer(&shared, || self.turn.try_started()).await
    }

    /// As [`Turn::retry`].
    ///
    /// # Errors
    /// As [`Turn::retry`].
    pub async fn retry(&mut self) -> Result<Lsn> {
        let shared = self.turn.session().journal().shared.clone();
        offer(&shared, || self.turn.try_retry()).await
    }

    /// As [`Turn::event`], and durable when it returns. To go on at once, take the ticket of the
    /// handle underneath.
    ///
    /// # Errors
    /// As [`Turn::event`].
    pub async fn event(&self, name: &str, payload: impl AsRef<[u8]>) -> Result<Lsn> {
        self.append(Kind::TurnEvent, "", name, payload.as_ref())
            .await
    }

    /// As [`Turn::progress`], and durable when it returns.
    ///
    /// # Errors
    /// As [`Turn::progress`].
    pub async fn progress(&self, name: &str, payload: impl AsRef<[u8]>) -> Result<Lsn> {
        self.append(Kind::TurnProgress, "", name, payload.as_ref())
            .await
    }

    /// As [`Turn::call`], and durable when it returns.
    ///
    /// # Errors
    /// As [`Turn::call`].
    pub async fn call(&self, id: &str, name: &str, payload: impl AsRef<[u8]>) -> Result<Lsn> {
        self.append(Kind::TurnCall, id, name, payload.as_ref())
            .await
    }

    /// As [`Turn::result`], and durable when it returns.
    ///
    /// # Errors
    /// As [`Turn::result`].
    pub async fn result(&self, id: &str, payload: impl AsRef<[u8]>) -> Result<Lsn> {
        self.append(Kind::TurnResult, id, "", payload.as_ref())
            .await
    }

    /// As [`Turn::complete`].
    ///
    /// # Errors
    /// As [`Turn::complete`].
    pub async fn complete(&self, answer: impl AsRef<[u8]>) -> Result<Lsn> {
        self.append(Kind::TurnCompleted, "", "", answer.as_ref())
            .await
    }

    /// As [`Turn::fail`].
    ///
    /// # Errors
    /// As [`Turn::fail`].
    pub async fn fail(&self, reason: &str, detail: impl AsRef<[u8]>) -> Result<Lsn> {
        let (reason, detail) = (reason.to_owned(), detail.as_ref().to_vec());
        self.run(move |turn| turn.fail(&reason, detail)).await
    }

    /// As [`Turn::cancel`].
    ///
    /// # Errors
    /// As [`Turn::cancel`].
    pub async fn cancel(&self, reason: &str) -> Result<Lsn> {
        let reason = reason.to_owned();
        self.run(move |turn| turn.cancel(&reason)).await
    }

    /// As [`Turn::interrupt`].
    ///
    /// # Errors
    /// As [`Turn::interrupt`].
    pub async fn interrupt(&self, reason: &str) -> Result<Lsn> {
        let reason = reason.to_owned();
        self.run(move |turn| turn.interrupt(&reason)).await
    }

    /// As [`Turn::open_calls`].
    ///
    /// # Errors
    /// As [`Turn::open_calls`].
    pub async fn open_calls(&self) -> Result<Vec<Entry>> {
        self.run(Turn::open_calls).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Turn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let turn = self.turn.clone();
        blocking(move || work(&turn)).await
    }

    async fn append(&self, kind: Kind, key: &str, name: &str, content: &[u8]) -> Result<Lsn> {
        let mut record = self.turn.record(kind, name, content);
        record.envelope.key = key.as_bytes();
        let session = AsyncSession::from(self.turn.session().clone());
        Ok(session.durable(&record).await?.lsn)
    }
}
