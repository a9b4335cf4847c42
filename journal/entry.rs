//! An entry: a record as a reader sees it.

use crate::error::{Corruption, Error, Result};
use crate::format::frame::FrameHeader;
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
use crate::model::event::{Kind, decode_payload};
use std::path::Path;

/// A durable record, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its place in the journal.
    pub lsn: Lsn,
    /// Its session.
    pub session: SessionNo,
    /// Its place in the session.
    pub seq: Seq,
    /// The writer that accepted it.
    pub epoch: Epoch,
    /// What it says.
    pub kind: Kind,
    /// When it was accepted, in milliseconds since the Unix epoch, by the writer's clock.
    pub at_ms: u64,
    /// The turn that it belongs to: the sequence number of the turn's first record.
    pub turn: Option<Seq>,
    /// The ended turn that a new one was begun in place of.
    pub supersedes: Option<Seq>,
    /// Which attempt at the turn; of queued input, and of a turn that it became, which claim.
    pub attempt: u32,
    /// The event's name, the key of a value, the reason of an end, the id of a new session.
    pub name: String,
    /// Who acted.
    pub actor: String,
    /// The idempotency key, if it was given one; the id of a call.
    pub key: Option<Vec<u8>>,
    /// What it links to, by kind: the parent session, the first record truncated, the queued
    /// input that the record is about or that the turn took. Of queued input its priority.
    pub link: u64,
    /// References to attachments.
    pub refs: Vec<String>,
    /// The host's own metadata.
    pub extra: Vec<u8>,
    /// The payload, byte for byte as it was accepted.
    pub content: Vec<u8>,
}

impl Entry {
    /// Decodes a record that was read from `path`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a checked payload does not decode: a writer's fault, or a codec
    /// that this release does not know.
    pub(crate) fn decode(header: &FrameHeader, payload: &[u8], path: &Path) -> Result<Entry> {
        let damaged = |what: String| -> Error {
            Corruption::new(path, what)
                .of_lsns(header.lsn, header.lsn.next())
                .into()
        };
        if header.codec != 0 {
            return Err(damaged(format!(
                "a payload with unknown codec {:#04x}",
                header.codec
            )));
        }
        let kind = Kind::try_from(header.kind)
            .map_err(|_| damaged(format!("a record of unknown kind {}", header.kind)))?;
        let (envelope, content) = decode_payload(payload).map_err(|e| damaged(e.to_string()))?;
        let named = Some(Seq::new(envelope.turn)).filter(|turn| turn.get() != 0);
        let (turn, supersedes) = match kind {
            Kind::TurnSubmitted => (Some(header.seq), named),
            Kind::InputQueued => (None, named),
            _ => (named, None),
        };
        Ok(Entry {
            lsn: header.lsn,
            session: header.session,
            seq: header.seq,
            epoch: header.epoch,
            kind,
            at_ms: envelope.at_ms,
            turn,
            supersedes,
            attempt: envelope.attempt,
            name: envelope.name.to_owned(),
            actor: envelope.actor.to_owned(),
            key: (!envelope.key.is_empty()).then(|| envelope.key.to_vec()),
            link: envelope.link,
            refs: envelope.refs.iter().map(|&r| r.to_owned()).collect(),
            extra: envelope.extra.to_vec(),
            content: content.to_vec(),
        })
    }
}
