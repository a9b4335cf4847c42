//! The records that end turns, and calls without a result, from outside.

use crate::error::Result;
use crate::format::ids::Seq;
use crate::journal::entry::Entry;
use crate::journal::session::Session;
use crate::journal::shared::NewRecord;
use crate::model::event::Kind;

/// What is to be said of a turn.
pub(super) struct Ending<'a> {
    pub turn: Seq,
    pub reason: &'a str,
    /// With it the turn ends. Without, only its open calls do.
    pub evidence: Option<String>,
}

/// Owned parts of records, of which [`Records::batch`] makes a batch.
pub(super) struct Records<'a> {
    session: &'a Session,
    endings: &'a [Ending<'a>],
    /// The open calls of each.
    calls: Vec<Vec<Entry>>,
}

/// Gathers what is needed to end `endings`, which are open turns of `session`.
///
/// # Errors
/// [`crate::Error::TurnEnded`] if one of them has ended since, and as [`Session::read`].
pub(super) fn records<'a>(session: &'a Session, endings: &'a [Ending<'a>]) -> Result<Records<'a>> {
    let calls = endings
        .iter()
        .map(|ending| session.turn(ending.turn)?.open_calls())
        .collect::<Result<_>>()?;
    Ok(Records {
        session,
        endings,
        calls,
    })
}

impl Records<'_> {
    /// For each turn its open calls, then, if it is to end, its end.
    pub fn batch(&self) -> Vec<NewRecord<'_>> {
        let mut batch = Vec::new();
        for (ending, calls) in self.endings.iter().zip(&self.calls) {
            let record = |kind| {
                let mut record = NewRecord::new(self.session.no(), kind);
                record.envelope.turn = ending.turn.get();
                record.envelope.name = ending.reason;
                record
            };
            for call in calls {
                let mut record = record(Kind::TurnCallInterrupted);
                record.envelope.key = call.key.as_deref().unwrap_or_default();
                batch.push(record);
            }
            if let Some(evidence) = &ending.evidence {
                let mut record = record(Kind::TurnInterrupted);
                record.content = evidence.as_bytes();
                batch.push(record);
            }
        }
        batch
    }
}
