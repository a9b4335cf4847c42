//! The records that end turns, and calls without a result, from outside.

use crate::error::{Error, Result};
use crate::format::ids::{Lsn, Seq};
use crate::journal::entry::Entry;
use crate::journal::session::Session;
use crate::journal::shared::NewRecord;
use crate::model::check::Condition;
use crate::model::event::Kind;

/// What is to be said of a turn.
pub(super) struct Ending<'a> {
    pub turn: Seq,
    /// The evidence, for whoever reads the record.
    pub evidence: String,
    pub reason: &'a str,
}

/// Ends turns of `session`, and their open calls with them, all in one batch, provided that the
/// session's head is `head`. Durable when it returns. Returns false, and has written nothing, if
/// something was appended since.
///
/// # Errors
/// As [`Session::append`] and [`Session::read`].
pub(super) fn end(session: &Session, head: Lsn, endings: &[Ending<'_>]) -> Result<bool> {
    let written = calls_of(session, endings).and_then(|calls| {
        let mut batch = batch(session, endings, &calls);
        if let Some(first) = batch.first_mut() {
            first.condition = Some(Condition::Head(head));
        }
        let (_, end) = session.shared().submit_batch(&batch)?;
        session.shared().commit.wait_durable(end)
    });
    match written {
        Ok(()) => Ok(true),
        Err(Error::Conflict { .. } | Error::TurnEnded { .. } | Error::UnknownTurn { .. }) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The open calls of each.
fn calls_of(session: &Session, endings: &[Ending<'_>]) -> Result<Vec<Vec<Entry>>> {
    let of = |ending: &Ending<'_>| session.turn(ending.turn)?.open_calls();
    endings.iter().map(of).collect()
}

/// For each turn its open calls, then its end.
fn batch<'a>(
    session: &Session,
    endings: &'a [Ending<'a>],
    calls: &'a [Vec<Entry>],
) -> Vec<NewRecord<'a>> {
    let mut batch = Vec::new();
    for (ending, calls) in endings.iter().zip(calls) {
        let record = |kind| {
            let mut record = NewRecord::new(session.no(), kind);
            record.envelope.turn = ending.turn.get();
            record.envelope.name = ending.reason;
            record
        };
        for call in calls {
            let mut record = record(Kind::TurnCallInterrupted);
            record.envelope.key = call.key.as_deref().unwrap_or_default();
            batch.push(record);
        }
        let mut record = record(Kind::TurnInterrupted);
        record.content = ending.evidence.as_bytes();
        batch.push(record);
    }
    batch
}
