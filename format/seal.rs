//! Sealed contents: what the host said, readable only with a key.
//!
//! A sealed payload begins with its envelope as any other, so that the fold, compaction and salvage
//! need no key. Behind it stand the id of the key, a nonce, the ciphertext and a tag. What is sealed
//! is itself a payload: an envelope with the fields that only the host understands, and the content.
//! The tag vouches for all of it and for what the record says openly.
//!
//! The only module that names chacha20poly1305 and zeroize. Without the feature `encryption` there
//! are the layout and the ids, and nothing can be opened.

use super::fault::Fault;
use std::fmt;

/// The high half of a frame's codec when its content is sealed with XChaCha20-Poly1305
/// (draft-irtf-cfrg-xchacha-03).
pub const XCHACHA20_POLY1305: u8 = 1;

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 24;

/// Bytes of a tag.
pub const TAG_LEN: usize = 16;

/// Bytes before the ciphertext: key id and nonce.
pub const SEAL_HEADER_LEN: usize = 8 + NONCE_LEN;

/// What sealing adds to what is sealed.
pub const SEAL_OVERHEAD: usize = SEAL_HEADER_LEN + TAG_LEN;

/// Which key something was sealed with: eight bytes that follow from the key and say nothing
/// else of it. Shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A sealed content, not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// The key that opens it.
    pub key: KeyId,
    /// Used once with this key.
    pub nonce: &'a [u8; NONCE_LEN],
    /// As long as what was sealed.
    pub ciphertext: &'a [u8],
    /// Vouches for ciphertext and open part.
    pub tag: &'a [u8; TAG_LEN],
}

impl<'a> Sealed<'a> {
    /// Splits what stands behind the envelope of a sealed payload.
    ///
    /// # Errors
    /// [`Fault::Short`].
    pub fn decode(bytes: &'a [u8]) -> Result<Sealed<'a>, Fault> {
        let short = || Fault::Short {
            what: "sealed content",
            needed: SEAL_OVERHEAD as u64,
            have: bytes.len() as u64,
        };
        let (id, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or_else(short)?;
        Ok(Sealed {
            key: KeyId(*id),
            nonce,
            ciphertext,
            tag,
        })
    }
}

#[cfg(feature = "encryption")]
pub use cipher::{Key, wipe};

#[cfg(feature = "encryption")]
mod cipher {
    use super::{KeyId, NONCE_LEN, SEAL_HEADER_LEN, Sealed, TAG_LEN};
    use chacha20poly1305::aead::{AeadInOut, KeyInit};
    use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
    use std::fmt;
    use zeroize::Zeroize;

    /// Overwrites a secret that is not needed any more, in a way that is not optimized away.
    pub fn wipe(secret: &mut [u8]) {
        secret.zeroize();
    }

    /// What the id of a key is the tag of, under a nonce of zeros that no record uses.
    const ID_LABEL: &[u8] = b"turnkeep key id";

    /// A key: 32 bytes that must be random. Wiped from memory when dropped, and never printed.
    #[derive(Clone)]
    pub struct Key {
        bytes: [u8; 32],
        id: KeyId,
    }

    impl Drop for Key {
        fn drop(&mut self) {
            self.bytes.zeroize();
        }
    }

    impl fmt::Debug for Key {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "Key({})", self.id)
        }
    }

    impl Key {
        /// A key of these bytes. They must come from a source that nobody can guess.
        pub fn new(bytes: [u8; 32]) -> Key {
            let mut key = Key {
                bytes,
                id: KeyId([0; 8]),
            };
            let nonce = XNonce::from([0; NONCE_LEN]);
            let nothing: &mut [u8] = &mut [];
            let cipher = key.cipher();
            // Nothing at all is never too long to be sealed.
            if let Ok(tag) = cipher.encrypt_inout_detached(&nonce, ID_LABEL, nothing.into()) {
                key.id.0.copy_from_slice(&tag[..8]);
            }
            key
        }

        /// Its bytes, to be stored where nobody else reads.
        pub fn reveal(&self) -> &[u8; 32] {
            &self.bytes
        }

        /// Its id.
        pub fn id(&self) -> KeyId {
            self.id
        }

        fn cipher(&self) -> XChaCha20Poly1305 {
            XChaCha20Poly1305::new((&self.bytes).into())
        }

        /// Seals `payload` from `from + SEAL_HEADER_LEN` on, where the plaintext stands, in its
        /// place; writes key id and nonce before it and the tag behind it. `open_part` is vouched
        /// for and not stored. Returns `false`, with the plaintext wiped, if it is longer than the
        /// cipher seals (256 GiB).
        #[must_use]
        pub fn seal(
            &self,
            nonce: [u8; NONCE_LEN],
            open_part: &[u8],
            payload: &mut Vec<u8>,
            from: usize,
        ) -> bool {
            let text = from + SEAL_HEADER_LEN;
            payload[from..from + 8].copy_from_slice(&self.id.0);
            payload[from + 8..text].copy_from_slice(&nonce);
            let buffer = &mut payload[text..];
            let sealed = self.cipher().encrypt_inout_detached(
                &XNonce::from(nonce),
                open_part,
                buffer.into(),
            );
            match sealed {
                Ok(tag) => payload.extend_from_slice(&tag),
                Err(_) => payload[text..].fill(0),
            }
            sealed.is_ok()
        }

        /// What was sealed; `None` if this key did not seal it, or if a bit of it or of `open_part`
        /// is another one than then.
        pub fn open(&self, sealed: &Sealed<'_>, open_part: &[u8]) -> Option<Vec<u8>> {
            let mut text = sealed.ciphertext.to_vec();
            let tag: &[u8; TAG_LEN] = sealed.tag;
            let opened = self.cipher().decrypt_inout_detached(
                &XNonce::from(*sealed.nonce),
                open_part,
                text.as_mut_slice().into(),
                &Tag::from(*tag),
            );
            opened.is_ok().then_some(text)
        }
    }
}

#[cfg(all(test, feature = "encryption"))]
mod tests {
    use super::*;

    fn sealed(key: &Key, open_part: &[u8], text: &[u8]) -> Vec<u8> {
        let mut payload = b"open".to_vec();
        payload.extend_from_slice(&[0; SEAL_HEADER_LEN]);
        payload.extend_from_slice(text);
        assert!(key.seal([7; NONCE_LEN], open_part, &mut payload, 4));
        assert_eq!(&payload[..4], b"open", "what stands before is left alone");
        payload.split_off(4)
    }

    /// The test vector of draft-irtf-cfrg-xchacha-03, A.3.1.
    #[test]
    fn the_cipher_is_the_one_of_the_draft() {
        let mut key = [0; 32];
        (0x80..).zip(&mut key).for_each(|(n, byte)| *byte = n);
        let mut nonce = [0; NONCE_LEN];
        (0x40..).zip(&mut nonce).for_each(|(n, byte)| *byte = n);
        let open_part = [
            0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
        ];
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
                     for the future, sunscreen would be it.";
        let mut payload = vec![0; SEAL_HEADER_LEN];
        payload.extend_from_slice(text);
        assert!(Key::new(key).seal(nonce, &open_part, &mut payload, 0));
        let found = Sealed::decode(&payload).expect("whole");
        assert_eq!(found.nonce, &nonce);
        assert_eq!(
            &found.ciphertext[..16],
            [
                0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b, 0x95, 0x76, 0x57, 0x94, 0x93, 0xc0,
                0xe9, 0x39
            ]
        );
        assert_eq!(
            found.tag,
            &[
                0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a,
                0xcf, 0x49
            ]
        );
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_and_no_other() {
        let (key, other) = (Key::new([1; 32]), Key::new([2; 32]));
        let bytes = sealed(&key, b"seq 1", b"a secret");
        assert_eq!(bytes.len(), 8 + SEAL_OVERHEAD);
        let found = Sealed::decode(&bytes).expect("whole");
        assert_eq!(found.key, key.id());
        assert_ne!(key.id(), other.id());
        let opened = key.open(&found, b"seq 1");
        assert_eq!(opened.as_deref(), Some(b"a secret".as_slice()));
        assert_eq!(other.open(&found, b"seq 1"), None);
        assert_eq!(key.open(&found, b"seq 2"), None, "elsewhere");
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed() {
        let key = Key::new([1; 32]);
        let bytes = sealed(&key, b"", b"a secret");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let found = Sealed::decode(&changed).expect("as long");
            let is_known = found.key == key.id();
            assert!(!is_known || key.open(&found, b"").is_none(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_too_short_is_refused_and_nothing_can_be_sealed() {
        let key = Key::new([3; 32]);
        let bytes = sealed(&key, b"", b"");
        assert_eq!(bytes.len(), SEAL_OVERHEAD);
        let found = Sealed::decode(&bytes).expect("nothing, sealed");
        assert_eq!(key.open(&found, b""), Some(Vec::new()));
        for len in 0..SEAL_OVERHEAD {
            let refused = Sealed::decode(&bytes[..len]);
            assert!(matches!(refused, Err(Fault::Short { .. })), "{len}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let printed = format!("{:?}", Key::new([0xAB; 32]));
        assert!(
            !printed.contains("abab") && !printed.contains("171"),
            "{printed}"
        );
    }
}
