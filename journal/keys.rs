//! Keys: what contents are sealed with before they are stored, and opened with when they are read.
//!
//! A journal that is opened with [`Options::keys`](crate::Options::keys) seals what the host says:
//! content, references and the host's own metadata. What the engine works with stays readable to
//! whoever has the files: ids of sessions, kinds, names of events and keys, actors, times, lengths.
//! So compaction, `verify` and salvage need no key, and a lost key loses contents, never a journal.
//!
//! The nonce of a record is drawn from the operating system, beside a count of the handle: it does
//! not follow from anything in the journal, so a journal that was restored from a backup and written
//! on repeats none.
//!
//! Erasing by dropping a key: give a session a key of its own ([`Keys::seal_with`]), and forget it.
//! Every copy of the journal, in backups too, is then unreadable where that session speaks.

use crate::error::{Corruption, Error, Result};
use crate::format::frame::FrameHeader;
use crate::format::seal::{KeyId, Sealed};
use std::fmt;
use std::path::Path;

#[cfg(feature = "encryption")]
use crate::{
    format::ids::SessionNo,
    format::seal::{Key, SEAL_HEADER_LEN},
    model::event::Kind,
};

/// Where keys come from: a [`KeyRing`](super::key_ring::KeyRing), or the host's own keeper of
/// secrets. Asked for each record, so answers should be at hand.
#[cfg(feature = "encryption")]
pub trait Keys: Send + Sync {
    /// The key that a new record of `session` is sealed with. Without one the record is refused
    /// with [`Error::NoKey`]: what was to be sealed is never stored in the clear. The journal's own
    /// records have an empty session.
    fn seal_with(&self, session: &str) -> Option<Key>;

    /// The key of that id, if it is still there.
    fn find(&self, id: KeyId) -> Option<Key>;
}

/// What seals and opens, if the journal has keys. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Locksmith {
    #[cfg(feature = "encryption")]
    pub(super) keys: Option<std::sync::Arc<dyn Keys>>,
    /// What no key opens is shown as it is stored.
    pub(super) show_sealed: bool,
}

/// What stands behind the envelope, opened if it was sealed.
pub(crate) enum Opened {
    /// A payload: what only the host understands.
    #[cfg_attr(not(feature = "encryption"), allow(dead_code))]
    Private(Vec<u8>),
    /// No key was there, and it is to be shown as it is stored.
    Shut(KeyId),
}

impl Locksmith {
    /// Whether new records are sealed.
    pub(crate) fn is_sealing(&self) -> bool {
        #[cfg(feature = "encryption")]
        return self.keys.is_some();
        #[cfg(not(feature = "encryption"))]
        false
    }

    /// Opens what stands behind the envelope of a sealed record of `path`. `open_part` is the
    /// payload up to there.
    ///
    /// # Errors
    /// [`Error::NoKey`], unless what is sealed is to be shown; [`Error::Tampered`];
    /// [`Error::Corrupt`] if there is too little of it.
    pub(crate) fn open(
        &self,
        header: &FrameHeader,
        open_part: &[u8],
        behind: &[u8],
        path: &Path,
    ) -> Result<Opened> {
        let sealed = Sealed::decode(behind).map_err(|fault| {
            Corruption::new(path, fault.to_string()).of_lsns(header.lsn, header.lsn.next())
        })?;
        #[cfg(feature = "encryption")]
        if let Some(key) = self.keys.as_ref().and_then(|keys| keys.find(sealed.key)) {
            let vouched = vouched_for(header.kind, header.session, open_part);
            let opened = key.open(&sealed, &vouched).map(Opened::Private);
            return opened.ok_or_else(|| Error::Tampered {
                path: path.to_path_buf(),
                lsn: header.lsn,
            });
        }
        #[cfg(not(feature = "encryption"))]
        let _ = open_part;
        if self.show_sealed {
            return Ok(Opened::Shut(sealed.key));
        }
        Err(Error::NoKey {
            what: format!("record {}", header.lsn),
            key: Some(sealed.key),
        })
    }

    /// Puts what stands behind the envelope, a payload from `from + SEAL_HEADER_LEN` on, under seal.
    ///
    /// # Errors
    /// [`Error::NoKey`]; [`Error::Io`] if the system gives no random bytes.
    #[cfg(feature = "encryption")]
    pub(crate) fn seal(
        &self,
        session: &str,
        record: (Kind, SessionNo),
        nonce: [u8; 24],
        payload: &mut Vec<u8>,
        from: usize,
    ) -> Result<()> {
        let key = self.keys.as_ref().and_then(|keys| keys.seal_with(session));
        let key = key.ok_or_else(|| Error::NoKey {
            what: format!("new records of session {session:?}"),
            key: None,
        })?;
        let vouched = vouched_for(record.0.get(), record.1, &payload[..from]);
        if !key.seal(nonce, &vouched, payload, from) {
            return Err(Error::TooLarge {
                what: "content",
                len: (payload.len() - from - SEAL_HEADER_LEN) as u64,
                max: u64::from(u32::MAX),
            });
        }
        Ok(())
    }
}

/// What a tag vouches for beside what is sealed: what kind of record it is, of which session, and
/// the envelope, so that contents cannot be moved from one record to another. Not the record's
/// place: that is given when the record is accepted, and salvage may change it. A session's
/// creation has no number yet.
#[cfg(feature = "encryption")]
fn vouched_for(kind: u8, session: SessionNo, open_part: &[u8]) -> Vec<u8> {
    let is_created = kind == Kind::SessionCreated.get();
    let session = if is_created { 0 } else { session.get() };
    let mut bytes = Vec::with_capacity(5 + open_part.len());
    bytes.push(kind);
    bytes.extend_from_slice(&session.to_le_bytes());
    bytes.extend_from_slice(open_part);
    bytes
}

impl fmt::Debug for Locksmith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_sealing, shows) = (self.is_sealing(), self.show_sealed);
        write!(f, "Locksmith(sealing: {is_sealing}, show_sealed: {shows})")
    }
}

#[cfg(all(test, feature = "encryption"))]
mod tests {
    use super::*;
    use crate::format::frame::{BODY_VERSION, SEALED};
    use crate::format::ids::{Epoch, Lsn, Seq};
    use crate::journal::entry::Entry;
    use crate::journal::key_ring::KeyRing;
    use crate::model::event::{Envelope, encode_payload};
    use std::sync::Arc;

    fn locksmith(n: u8) -> Locksmith {
        Locksmith {
            keys: Some(Arc::new(KeyRing::new(Key::new([n; 32])))),
            show_sealed: false,
        }
    }

    fn header(payload: &[u8]) -> FrameHeader {
        FrameHeader {
            payload_check: 0,
            lsn: Lsn::new(7),
            session: SessionNo::new(3),
            seq: Seq::new(2),
            payload_len: payload.len() as u32,
            prev: 0,
            epoch: Epoch::new(1),
            kind: Kind::Message.get(),
            flags: 0,
            codec: SEALED,
            body_version: BODY_VERSION,
        }
    }

    fn sealed(name: &str, content: &[u8]) -> Vec<u8> {
        let envelope = Envelope {
            name,
            ..Envelope::default()
        };
        let mut payload = Vec::new();
        encode_payload(&envelope, &[], &mut payload).expect("short");
        let from = payload.len();
        payload.resize(from + SEAL_HEADER_LEN, 0);
        encode_payload(&Envelope::default(), content, &mut payload).expect("short");
        let about = (Kind::Message, SessionNo::new(3));
        let done = locksmith(1).seal("s", about, [9; 24], &mut payload, from);
        done.expect("there is a key");
        payload
    }

    fn read(header: &FrameHeader, payload: &[u8], locksmith: &Locksmith) -> Result<Entry> {
        Entry::decode(header, payload, Path::new("1.seg"), locksmith)
    }

    /// Checksums find accidents. Who changes a record and mends the checksums is found by the tag.
    #[test]
    fn a_record_that_somebody_changed_is_told_from_one_without_its_key() {
        let payload = sealed("allow", b"rm nothing");
        let whole = header(&payload);
        let entry = read(&whole, &payload, &locksmith(1)).expect("opens");
        assert_eq!(
            (entry.content.as_slice(), &*entry.name),
            (b"rm nothing".as_slice(), "allow")
        );

        let refused = read(&whole, &payload, &locksmith(2));
        assert!(
            matches!(refused, Err(Error::NoKey { key: Some(_), .. })),
            "{refused:?}"
        );

        let is_tampered = |header: &FrameHeader, payload: &[u8]| {
            let refused = read(header, payload, &locksmith(1));
            matches!(refused, Err(Error::Tampered { lsn, .. }) if lsn == Lsn::new(7))
        };
        for other in [
            FrameHeader {
                kind: Kind::Put.get(),
                ..whole
            },
            FrameHeader {
                session: SessionNo::new(4),
                ..whole
            },
        ] {
            assert!(is_tampered(&other, &payload), "moved to {other:?}");
        }
        let open_len = 2 + usize::from(u16::from_le_bytes([payload[0], payload[1]]));
        let mut forged = sealed("deny!", b"something else");
        forged.truncate(open_len);
        forged.extend_from_slice(&payload[open_len..]);
        assert!(is_tampered(&whole, &forged), "under another name");
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 1;
            let refused = read(&whole, &changed, &locksmith(1));
            assert!(refused.is_err(), "byte {at}");
        }
    }

    #[test]
    fn too_little_to_be_sealed_is_corrupt() {
        let mut payload = Vec::new();
        encode_payload(&Envelope::default(), &[1; 47], &mut payload).expect("short");
        let refused = read(&header(&payload), &payload, &locksmith(1));
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
    }
}
