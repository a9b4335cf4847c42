//! What is to become of a journal when it is written again, folded: what is erased, what was
//! deleted elsewhere, and a record that says so.

use super::erased::{ErasedAgain, ErasedHow};
use super::rest::AtRest;
use crate::error::{Error, Result};
use crate::format::checksum::payload_checksum;
use crate::format::frame::{BODY_VERSION, FrameHeader};
use crate::format::ids::{Epoch, JournalId, Lsn, SessionNo};
use crate::model::event::{Envelope, Kind, encode_payload};
use crate::model::fold::Record;
use crate::model::session::{JOURNAL_SESSION, SessionEntry, Tombstone};

/// What is to become of a journal when it is written again.
#[derive(Clone, Debug)]
pub struct Change {
    /// The identity that it gets.
    pub journal: JournalId,
    /// The writer of what is added.
    pub epoch: Epoch,
    /// LSN of the first record that is added.
    pub lsn: Lsn,
    /// What is erased.
    pub erase: Vec<ErasedAgain>,
    /// What is left of deleted sessions that it does not know of.
    pub tombstones: Vec<Tombstone>,
    /// Name and content of the record that documents the change.
    pub note: (&'static str, String),
    /// When the journal was created.
    pub created_ms: u64,
}

/// A record that is added.
#[derive(Debug)]
pub(super) struct Added {
    pub header: FrameHeader,
    pub payload: Vec<u8>,
}

/// Folds what is erased, what was deleted elsewhere, and the note; gives the records of it that
/// can be read afterwards.
pub(super) fn fold_change(from: &mut AtRest, change: &Change, at_ms: u64) -> Result<Vec<Added>> {
    let mut added = Vec::new();
    let mut lsn = change.lsn.max(from.next_lsn());
    for erased in &change.erase {
        let (kind, link) = match erased.how {
            ErasedHow::Deleted => (Kind::SessionDeleted, 0),
            ErasedHow::DroppedFrom(seq) => (Kind::SessionTruncated, u64::from(seq.get())),
        };
        let envelope = Envelope {
            at_ms,
            name: "erased since the backup",
            link,
            ..Envelope::default()
        };
        let record = add(from, change, (erased.no, kind, lsn), &envelope, b"")?;
        if kind != Kind::SessionDeleted {
            added.push(record);
        }
        lsn = lsn.next();
    }
    for tombstone in &change.tombstones {
        let no = from.image.state.next_session();
        let entry = SessionEntry::Deleted(Tombstone { no, ..*tombstone });
        let loaded = from.image.state.insert_loaded(entry);
        loaded.map_err(|fault| unfolded(fault.to_string()))?;
    }
    let (name, content) = &change.note;
    let envelope = Envelope {
        at_ms,
        name,
        ..Envelope::default()
    };
    let place = (JOURNAL_SESSION, Kind::Maintenance, lsn);
    added.push(add(from, change, place, &envelope, content.as_bytes())?);
    Ok(added)
}

fn add(
    from: &mut AtRest,
    change: &Change,
    (session, kind, lsn): (SessionNo, Kind, Lsn),
    envelope: &Envelope<'_>,
    content: &[u8],
) -> Result<Added> {
    let mut payload = Vec::new();
    encode_payload(envelope, content, &mut payload).map_err(|e| unfolded(e.to_string()))?;
    let state = &mut from.image.state;
    let seq = state.next_seq(session);
    let seq = seq.ok_or_else(|| unfolded(format!("there is no session {session}")))?;
    let header = FrameHeader {
        payload_check: payload_checksum(&payload),
        lsn,
        session,
        seq,
        payload_len: payload.len() as u32,
        prev: 0,
        epoch: change.epoch,
        kind: kind.get(),
        flags: 0,
        codec: 0,
        body_version: BODY_VERSION,
    };
    let record = Record {
        lsn,
        session,
        seq,
        epoch: change.epoch,
        kind,
        envelope,
        content_len: content.len() as u32,
    };
    let applied = state.apply(&record);
    applied.map_err(|fault| unfolded(fault.to_string()))?;
    Ok(Added { header, payload })
}

fn unfolded(why: String) -> Error {
    Error::Invalid {
        what: "state of the journal",
        why,
    }
}
