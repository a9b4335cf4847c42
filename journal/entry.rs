//! An entry: a record as a reader sees it.

use super::keys::{Locksmith, Opened};
use crate::error::{Corruption, Error, Result};
use crate::format::frame::{Coding, FrameHeader};
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
use crate::format::seal::KeyId;
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
    /// The key that the content is sealed with, if it was not at hand and
    /// [`Options::show_sealed`](crate::Options::show_sealed) says so: the content is then as it is
    /// stored, and `refs` and `extra` are empty.
    pub sealed: Option<KeyId>,
}

impl Entry {
    /// Decodes a record that was read from `path`, and opens it if it is sealed.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a checked payload does not decode: a writer's fault, or a codec
    /// that this release does not know. [`Error::NoKey`] and [`Error::Tampered`] if it is sealed.
    pub(crate) fn decode(
        header: &FrameHeader,
        payload: &[u8],
        path: &Path,
        locksmith: &Locksmith,
    ) -> Result<Entry> {
        let damaged = |what: String| -> Error {
            Corruption::new(path, what)
                .of_lsns(header.lsn, header.lsn.next())
                .into()
        };
        let coding = header
            .coding()
            .map_err(|fault| damaged(fault.to_string()))?;
        let kind = Kind::try_from(header.kind)
            .map_err(|_| damaged(format!("a record of unknown kind {}", header.kind)))?;
        let (envelope, content) = decode_payload(payload).map_err(|e| damaged(e.to_string()))?;
        let named = Some(Seq::new(envelope.turn)).filter(|turn| turn.get() != 0);
        let (turn, supersedes) = match kind {
            Kind::TurnSubmitted => (Some(header.seq), named),
            Kind::InputQueued => (None, named),
            _ => (named, None),
        };
        let mut entry = Entry {
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
            content: Vec::new(),
            sealed: None,
        };
        match coding {
            Coding::Plain => entry.content = content.to_vec(),
            Coding::Sealed => {
                let open_part = &payload[..payload.len() - content.len()];
                match locksmith.open(header, open_part, content, path)? {
                    Opened::Private(private) => {
                        let (envelope, content) =
                            decode_payload(&private).map_err(|e| damaged(e.to_string()))?;
                        entry.refs = envelope.refs.iter().map(|&r| r.to_owned()).collect();
                        entry.extra = envelope.extra.to_vec();
                        entry.content = content.to_vec();
                    }
                    Opened::Shut(key) => {
                        entry.content = content.to_vec();
                        entry.sealed = Some(key);
                    }
                }
            }
        }
        Ok(entry)
    }
}
