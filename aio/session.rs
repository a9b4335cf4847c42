//! A session's handle, awaited.

use super::turn::AsyncTurn;
use super::{blocking, offer};
use crate::error::Result;
use crate::format::ids::{Lsn, Seq};
use crate::journal::entry::Entry;
use crate::journal::queue::Enqueued;
use crate::journal::session::Session;
use crate::journal::shared::NewRecord;
use crate::journal::tail::Accepted;
use crate::journal::ticket::Ticket;
use crate::journal::turn::{Input, Turn};
use crate::model::check::Condition;
use crate::model::event::Kind;
use crate::model::turn::TurnState;

/// A [`Session`], awaited. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct AsyncSession {
    session: Session,
}

impl From<Session> for AsyncSession {
    fn from(session: Session) -> Self {
        AsyncSession { session }
    }
}

impl AsyncSession {
    /// The handle underneath. Its calls may wait for the disk.
    pub fn blocking(&self) -> &Session {
        &self.session
    }

    /// Does `work` where it may wait for the disk: reading, above all.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let session = self.session.clone();
        blocking(move || work(&session)).await
    }

    /// The host's id.
    pub fn id(&self) -> &str {
        self.session.id()
    }

    /// As [`Session::when`].
    pub fn when(&self, condition: Condition) -> AsyncSession {
        self.session.when(condition).into()
    }

    /// As [`Session::begin`].
    ///
    /// # Errors
    /// As [`Session::begin`].
    pub async fn begin(&self, input: Input) -> Result<AsyncTurn> {
        let place = self.durable(&input.record(&self.session)).await?;
        let no = self.session.no();
        let ordinal = self.session.shared().commit.with_stage(|tail| {
            let open = tail.state.session(no)?.open_turn(place.seq);
            open.filter(|_| !place.existing).map(|turn| turn.ordinal)
        });
        let turn = match ordinal {
            Some(ordinal) => {
                let state = TurnState::Submitted;
                Turn::new(self.session.plain(), place.seq, ordinal, 0, true, state)
            }
            // Known by its key, or ended by another task in between.
            None => {
                let is_new = !place.existing;
                self.run(move |session| session.turn_handle(place.seq, is_new))
                    .await?
            }
        };
        Ok(turn.into())
    }

    /// As [`Session::turn`].
    ///
    /// # Errors
    /// As [`Session::turn`].
    pub async fn turn(&self, turn: Seq) -> Result<AsyncTurn> {
        self.run(move |session| session.turn(turn))
            .await
            .map(AsyncTurn::from)
    }

    /// As [`Session::append`].
    ///
    /// # Errors
    /// As [`Session::append`].
    pub async fn append(&self, name: &str, payload: impl AsRef<[u8]>) -> Result<Lsn> {
        self.write(Kind::Message, name, payload.as_ref()).await
    }

    /// As [`Session::put`].
    ///
    /// # Errors
    /// As [`Session::put`].
    pub async fn put(&self, key: &str, value: impl AsRef<[u8]>) -> Result<Lsn> {
        self.write(Kind::Put, key, value.as_ref()).await
    }

    /// As [`Session::remove`].
    ///
    /// # Errors
    /// As [`Session::remove`].
    pub async fn remove(&self, key: &str) -> Result<Lsn> {
        self.write(Kind::Remove, key, &[]).await
    }

    /// As [`Session::get`].
    ///
    /// # Errors
    /// As [`Session::get`].
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let key = key.to_owned();
        self.run(move |session| session.get(&key)).await
    }

    /// As [`Session::enqueue`].
    ///
    /// # Errors
    /// As [`Session::enqueue`].
    pub async fn enqueue(&self, input: Input) -> Result<Enqueued> {
        self.run(move |session| session.enqueue(input)).await
    }

    /// As [`Session::last_turns`].
    ///
    /// # Errors
    /// As [`Session::last_turns`].
    pub async fn last_turns(&self, count: usize) -> Result<Vec<Entry>> {
        self.run(move |session| session.last_turns(count)).await
    }

    async fn write(&self, kind: Kind, name: &str, content: &[u8]) -> Result<Lsn> {
        let mut record = self.session.new_record(kind);
        record.envelope.name = name;
        record.content = content;
        Ok(self.durable(&record).await?.lsn)
    }

    /// Appends a record, and returns when it is durable.
    pub(super) async fn durable(&self, record: &NewRecord<'_>) -> Result<Accepted> {
        let shared = &self.session.journal().shared;
        let (place, end_lsn) = offer(shared, || shared.submit(false, record)).await?;
        Ticket::new(shared.clone(), place.lsn, end_lsn).await?;
        Ok(place)
    }
}
