//! Bodies: what stands inside frames, state files and manifests, encoded through serde.
//!
//! The only module that names bincode. A body is decoded only after the checksum over it held,
//! and even then it is treated as input: a length inside it allocates nothing before it was
//! compared with what is there.

use bincode::config::{self, Configuration, Limit};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

/// The longest body, in bytes. Larger than any body that the engine makes of bounded settings,
/// small enough to be read into memory by whoever finds it.
pub const MAX_BODY_BYTES: usize = 16 << 20;

/// Bodies up to this length are decoded under the smaller claim limit.
const SMALL_BODY_BYTES: usize = 4 << 10;

/// bincode counts a claim of the full width of a number, whatever its varint took: at most
/// 16 bytes (a `u128`) for one byte read. So no body that `encode` made runs into its limit.
const CLAIM_PER_BYTE: usize = 16;

type Varint<const CLAIMS: usize> =
    Configuration<config::LittleEndian, config::Varint, Limit<CLAIMS>>;

/// Why bytes are not the body that they should be, or a body cannot become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The bytes end before the body does.
    #[error("body ends too early")]
    Truncated,
    /// The body, or a length inside it, is larger than any body may be.
    #[error("body is longer than a body may be")]
    TooLong,
    /// The body ends before the bytes do.
    #[error("{left} bytes left over behind the body")]
    Trailing {
        /// How many bytes are left over.
        left: usize,
    },
    /// The bytes cannot be a value of this type.
    #[error("body is malformed: {0}")]
    Malformed(&'static str),
}

/// Appends the encoding of `value` to `out`. Allocates nothing but what `out` needs to grow.
///
/// # Errors
/// [`BodyFault::TooLong`] above [`MAX_BODY_BYTES`], and [`BodyFault::Malformed`] for a type that
/// has no encoding (a sequence of unknown length). `out` is then as it was.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), BodyFault> {
    let start = out.len();
    let result = bincode::serde::encode_into_writer(value, Appending(out), config::standard());
    let fault = match result {
        Ok(()) if out.len() - start <= MAX_BODY_BYTES => return Ok(()),
        Ok(()) => BodyFault::TooLong,
        Err(_) => BodyFault::Malformed("type has no encoding"),
    };
    out.truncate(start);
    Err(fault)
}

/// Decodes a value that takes all of `bytes`. Texts and byte strings may borrow from them.
///
/// # Errors
/// [`BodyFault`], and then nothing larger than a small multiple of `bytes` was allocated.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BodyFault> {
    if bytes.len() <= SMALL_BODY_BYTES {
        decode_within::<T, { SMALL_BODY_BYTES * CLAIM_PER_BYTE }>(bytes)
    } else if bytes.len() <= MAX_BODY_BYTES {
        decode_within::<T, { MAX_BODY_BYTES * CLAIM_PER_BYTE }>(bytes)
    } else {
        Err(BodyFault::TooLong)
    }
}

fn decode_within<'a, T: Deserialize<'a>, const CLAIMS: usize>(
    bytes: &'a [u8],
) -> Result<T, BodyFault> {
    let config: Varint<CLAIMS> = config::standard().with_limit::<CLAIMS>();
    match bincode::serde::borrow_decode_from_slice(bytes, config) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok((_, used)) => Err(BodyFault::Trailing {
            left: bytes.len() - used,
        }),
        Err(error) => Err(fault_of(&error)),
    }
}

#[cold]
fn fault_of(error: &DecodeError) -> BodyFault {
    match error {
        DecodeError::UnexpectedEnd { .. } => BodyFault::Truncated,
        DecodeError::LimitExceeded | DecodeError::OutsideUsizeRange(_) => BodyFault::TooLong,
        DecodeError::Utf8 { .. } => BodyFault::Malformed("text is not UTF-8"),
        DecodeError::InvalidIntegerType { .. } => BodyFault::Malformed("number does not fit"),
        DecodeError::UnexpectedVariant { .. } => BodyFault::Malformed("unknown variant"),
        _ => BodyFault::Malformed("value does not fit its type"),
    }
}

struct Appending<'a>(&'a mut Vec<u8>);

impl Writer for Appending<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// For `#[serde(serialize_with)]` on `&[u8]` fields: one copy, where serde's own way is one call
/// for each byte. The encoding is the same.
pub fn bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

/// An owned text inside a body.
///
/// It is decoded through a borrowed `&str`, whose length is compared with what is there before
/// anything is allocated; `String` and `Box<str>` allocate first.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Box<str>);

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(text.into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de str>::deserialize(deserializer).map(Text::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Sample<'a> {
        small: u32,
        large: u64,
        key: u128,
        name: &'a str,
        #[serde(serialize_with = "bytes")]
        raw: &'a [u8],
        list: Vec<(u32, u32)>,
        some: Option<Text>,
    }

    fn encoded<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out).expect("encodes");
        out
    }

    #[test]
    fn the_encoding_is_pinned() {
        let sample = Sample {
            small: 250,
            large: 0x0102_0304_0506,
            key: 1 << 64,
            name: "tk",
            raw: &[0, 255, 251],
            list: vec![(1, 251), (65536, 0)],
            some: Some("é".into()),
        };
        let golden = [
            250, // small
            253, 6, 5, 4, 3, 2, 1, 0, 0, // large: marker 253, eight bytes
            254, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, // key: marker 254, sixteen
            2, b't', b'k', // name
            3, 0, 255, 251, // raw
            2, 1, 251, 251, 0, 252, 0, 0, 1, 0, 0, // list
            1, 2, 0xC3, 0xA9, // some
        ];
        assert_eq!(encoded(&sample), golden);
        assert_eq!(decode::<Sample<'_>>(&golden), Ok(sample));
    }

    #[test]
    fn encode_appends() {
        let mut out = vec![9, 9];
        encode(&7_u32, &mut out).expect("encodes");
        assert_eq!(out, [9, 9, 7]);
    }

    #[test]
    fn bytes_left_over_are_refused() {
        assert_eq!(decode::<u32>(&[7, 0]), Err(BodyFault::Trailing { left: 1 }));
        assert_eq!(decode::<()>(&[0, 0]), Err(BodyFault::Trailing { left: 2 }));
    }

    #[test]
    fn every_shorter_prefix_is_refused() {
        let full = encoded(&Sample {
            small: 70_000,
            large: u64::MAX,
            key: u128::MAX,
            name: "a name",
            raw: b"raw",
            list: vec![(1, 2); 9],
            some: Some("text".into()),
        });
        for cut in 0..full.len() {
            assert!(
                decode::<Sample<'_>>(&full[..cut]).is_err(),
                "cut at {cut} decodes"
            );
        }
    }

    /// 26 bytes that announce three billion of them: without a limit, a `String` allocates that
    /// much before it finds the bytes missing.
    #[test]
    fn hostile_lengths_are_refused_before_they_are_allocated() {
        let mut hostile = vec![252];
        hostile.extend_from_slice(&3_000_000_000_u32.to_le_bytes());
        hostile.resize(26, 0xAA);
        assert_eq!(decode::<String>(&hostile), Err(BodyFault::TooLong));
        assert_eq!(decode::<&str>(&hostile), Err(BodyFault::TooLong));
        assert_eq!(decode::<&[u8]>(&hostile), Err(BodyFault::TooLong));
        assert!(decode::<Vec<u64>>(&hostile).is_err());
        assert!(decode::<BTreeMap<Text, u64>>(&hostile).is_err());
        // Under the limit, a borrowed text is compared with what is there.
        let short = [200, b'x', b'y'];
        assert_eq!(decode::<Text>(&short), Err(BodyFault::Truncated));
    }

    #[test]
    fn what_encode_accepts_decode_accepts() {
        // The dearest claim per byte: numbers of sixteen bytes that take one.
        for len in [0, 250, 4_000, 4_096, 5_000, 1_000_000] {
            let numbers = vec![1_u128; len];
            let bytes = encoded(&numbers);
            assert_eq!(decode::<Vec<u128>>(&bytes), Ok(numbers), "{len} numbers");
        }
    }

    #[test]
    fn too_long_a_body_is_refused_and_leaves_nothing() {
        struct Long;
        impl Serialize for Long {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&vec![0; MAX_BODY_BYTES])
            }
        }
        let mut out = vec![1, 2, 3];
        assert_eq!(encode(&Long, &mut out), Err(BodyFault::TooLong));
        assert_eq!(out, [1, 2, 3]);
        assert_eq!(
            decode::<&[u8]>(&vec![0; MAX_BODY_BYTES + 1]),
            Err(BodyFault::TooLong)
        );
    }

    #[test]
    fn what_stands_before_a_body_does_not_count_towards_its_length() {
        let mut out = vec![0; MAX_BODY_BYTES];
        encode(&7_u32, &mut out).expect("one byte");
        assert_eq!(out.len(), MAX_BODY_BYTES + 1);
    }

    #[test]
    fn what_does_not_fit_its_type_is_told_apart() {
        let too_wide = [253, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(
            decode::<u32>(&too_wide),
            Err(BodyFault::Malformed("number does not fit"))
        );
        assert_eq!(
            decode::<Option<u32>>(&[2, 7]),
            Err(BodyFault::Malformed("unknown variant"))
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_malformed() {
        assert_eq!(
            decode::<&str>(&[2, 0xFF, 0xFE]),
            Err(BodyFault::Malformed("text is not UTF-8"))
        );
    }
}
