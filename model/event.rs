//! Events: what a record says, as far as the engine must understand it.
//!
//! A payload is an envelope, which the engine reads, followed by content, which is the host's
//! own bytes and is never looked at.

use crate::format::body::{self, BodyFault};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest envelope: its length stands in two bytes.
pub const MAX_ENVELOPE_BYTES: usize = u16::MAX as usize;

/// Bytes before the envelope in a payload.
const ENVELOPE_LEN_BYTES: usize = 2;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $raw:literal, $text:literal;)*) => {
        /// What happened. The number is the kind byte of a frame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name = $raw,)*
        }

        impl Kind {
            /// Every kind there is, by number.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),*];

            /// Returns the stable, machine-readable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$name => $text,)*
                }
            }
        }

        impl TryFrom<u8> for Kind {
            type Error = UnknownKind;

            fn try_from(raw: u8) -> Result<Self, UnknownKind> {
                match raw {
                    $($raw => Ok(Kind::$name),)*
                    raw => Err(UnknownKind(raw)),
                }
            }
        }
    };
}

kinds! {
    /// A session begins. Its first record.
    SessionCreated = 1, "session_created";
    /// Something about the session changed, in the host's words.
    SessionUpdated = 2, "session_updated";
    /// The host is done with the session. It may come back with a new turn.
    SessionEnded = 3, "session_ended";
    /// Everything in the session before this record is dropped, but for its creation.
    SessionCleared = 4, "session_cleared";
    /// The session's records from a place on are dropped.
    SessionTruncated = 5, "session_truncated";
    /// The session is dropped for good. Its last record.
    SessionDeleted = 6, "session_deleted";
    /// A turn begins: its input is here, before any work on it starts.
    TurnSubmitted = 16, "turn_submitted";
    /// A run of the turn starts; with a higher attempt, another run of the same turn.
    TurnStarted = 17, "turn_started";
    /// The first of the answer is there.
    TurnResponding = 18, "turn_responding";
    /// Something happened in the turn that is kept: a tool call, a result.
    TurnEvent = 19, "turn_event";
    /// Something happened in the turn that its end will replace: a piece of the answer.
    TurnProgress = 20, "turn_progress";
    /// The turn ended with its answer.
    TurnCompleted = 21, "turn_completed";
    /// The turn ended with an error.
    TurnFailed = 22, "turn_failed";
    /// The turn was stopped by someone.
    TurnCancelled = 23, "turn_cancelled";
    /// The turn stopped without its worker saying so, and someone found out.
    TurnInterrupted = 24, "turn_interrupted";
    /// The turn calls something, a tool say, and waits for its result. The key is the call's id.
    TurnCall = 25, "turn_call";
    /// The result of a call. The key is the call's id.
    TurnResult = 26, "turn_result";
    /// A call will get no result, and someone found out. The key is the call's id.
    TurnCallInterrupted = 27, "turn_call_interrupted";
    /// An event of the session outside of any turn.
    Message = 32, "message";
    /// The value of a key is set; the latest wins.
    Put = 40, "put";
    /// A key is removed.
    Remove = 41, "remove";
    /// Input waits for its turn.
    InputQueued = 48, "input_queued";
    /// Someone takes waiting input up, and must say what becomes of it.
    InputClaimed = 49, "input_claimed";
    /// Input that waited is taken back.
    InputWithdrawn = 50, "input_withdrawn";
    /// Claimed or buried input waits again.
    InputReleased = 51, "input_released";
    /// Claimed input is done with: without a turn, or within one that was there already.
    InputConfirmed = 52, "input_confirmed";
    /// Input is given up, and kept among the dead letters.
    InputBuried = 53, "input_buried";
    /// Housekeeping, which is no activity of the session.
    Maintenance = 64, "maintenance";
}

impl Kind {
    /// Whether the record says what becomes of queued input, which its link names.
    pub const fn is_about_input(self) -> bool {
        matches!(self.get(), 49..=53)
    }

    /// Returns the number that stands in a frame.
    pub const fn get(self) -> u8 {
        self as u8
    }

    /// Whether the record belongs to a turn that an earlier record began.
    pub const fn is_within_turn(self) -> bool {
        matches!(self.get(), 17..=27)
    }

    /// Whether the record ends a turn.
    pub const fn is_turn_end(self) -> bool {
        matches!(self.get(), 21..=24)
    }

    /// Whether someone did something, as opposed to the engine or its keeper setting things
    /// right: a repair or a found interruption must not make an old session look fresh, nor
    /// a worker that takes up the same input again and again.
    pub const fn is_activity(self) -> bool {
        !matches!(
            self,
            Kind::Maintenance
                | Kind::TurnInterrupted
                | Kind::TurnCallInterrupted
                | Kind::InputClaimed
                | Kind::InputReleased
                | Kind::InputBuried
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A kind byte that no release up to this one writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown record kind {0}")]
pub struct UnknownKind(pub u8);

/// What the engine must know of a record, beside its place. Fields that a kind does not use are
/// empty, and an empty field takes one byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<'a> {
    /// When it happened, in milliseconds since 1970 by the writer's clock. For people: nothing
    /// is ordered or decided by it.
    pub at_ms: u64,
    /// The turn concerned, as the seq of the record that submitted it; 0 for none. On
    /// [`Kind::TurnSubmitted`] and [`Kind::InputQueued`]: the ended turn that this one supersedes.
    pub turn: u32,
    /// The attempt at the turn that speaks, from 1; 0 before the first, and for whoever cancels
    /// or interrupts from outside. Of queued input, and of the turn that takes it: the claim
    /// that speaks, likewise.
    pub attempt: u32,
    /// The session's external id, the event's name, the key, the reason of an end, the class of
    /// queued input: by kind.
    pub name: &'a str,
    /// Idempotency key: the same key in the same session is the same turn, event or input. Of
    /// a call and its result: the call's id.
    #[serde(serialize_with = "body::bytes")]
    pub key: &'a [u8],
    /// Who did it: an agent's or a user's name, if the host tells.
    pub actor: &'a str,
    /// By kind. Created: number of the parent session. Truncated: the first seq to drop. Turn
    /// submitted: seq of the queued input that it takes. Input queued: its priority. Whatever
    /// becomes of input: the seq of that input. Else 0, or the host's own.
    pub link: u64,
    /// Content-addressed attachments that the content refers to.
    #[serde(borrow)]
    pub refs: Vec<&'a str>,
    /// The host's own metadata, never looked at.
    #[serde(serialize_with = "body::bytes")]
    pub extra: &'a [u8],
}

/// Appends a payload to `out`: length of the envelope (u16), envelope, content.
///
/// # Errors
/// [`BodyFault::TooLong`] for an envelope above [`MAX_ENVELOPE_BYTES`]. `out` is then as it was.
pub fn encode_payload(
    envelope: &Envelope<'_>,
    content: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), BodyFault> {
    let start = out.len();
    out.extend_from_slice(&[0; ENVELOPE_LEN_BYTES]);
    let envelope_at = out.len();
    let encoded = body::encode(envelope, out).and_then(|()| {
        u16::try_from(out.len() - envelope_at).map_err(|_too_long| BodyFault::TooLong)
    });
    match encoded {
        Ok(len) => {
            out[start..envelope_at].copy_from_slice(&len.to_le_bytes());
            out.extend_from_slice(content);
            Ok(())
        }
        Err(fault) => {
            out.truncate(start);
            Err(fault)
        }
    }
}

/// Splits a payload into its envelope and the host's content. Both borrow from it.
///
/// # Errors
/// [`BodyFault`] if the envelope is not one, or is longer than the payload.
pub fn decode_payload(payload: &[u8]) -> Result<(Envelope<'_>, &[u8]), BodyFault> {
    let (len, rest) = payload
        .split_first_chunk::<ENVELOPE_LEN_BYTES>()
        .ok_or(BodyFault::Truncated)?;
    let (envelope, content) = rest
        .split_at_checked(usize::from(u16::from_le_bytes(*len)))
        .ok_or(BodyFault::Truncated)?;
    Ok((body::decode(envelope)?, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(envelope: &Envelope<'_>, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_payload(envelope, content, &mut out).expect("encodes");
        out
    }

    #[test]
    fn kinds_keep_their_numbers_and_names() {
        let pinned = "1 session_created, 2 session_updated, 3 session_ended, 4 session_cleared, \
                      5 session_truncated, 6 session_deleted, 16 turn_submitted, \
                      17 turn_started, 18 turn_responding, 19 turn_event, 20 turn_progress, \
                      21 turn_completed, 22 turn_failed, 23 turn_cancelled, \
                      24 turn_interrupted, 25 turn_call, 26 turn_result, \
                      27 turn_call_interrupted, 32 message, 40 put, 41 remove, 48 input_queued, \
                      49 input_claimed, 50 input_withdrawn, 51 input_released, \
                      52 input_confirmed, 53 input_buried, 64 maintenance";
        let found: Vec<String> = Kind::ALL
            .iter()
            .map(|kind| format!("{} {kind}", kind.get()))
            .collect();
        assert_eq!(found.join(", "), pinned);
    }

    #[test]
    fn a_byte_is_a_kind_only_if_a_kind_is_that_byte() {
        for raw in 0..=u8::MAX {
            match Kind::try_from(raw) {
                Ok(kind) => assert_eq!(kind.get(), raw),
                Err(UnknownKind(found)) => {
                    assert_eq!(found, raw);
                    assert!(Kind::ALL.iter().all(|kind| kind.get() != raw));
                }
            }
        }
        assert!(Kind::try_from(0).is_err(), "a zeroed frame has no kind");
    }

    #[test]
    fn an_empty_envelope_takes_one_byte_for_each_field() {
        assert_eq!(
            payload(&Envelope::default(), b""),
            [9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn the_payload_is_pinned() {
        let envelope = Envelope {
            at_ms: 1_700_000_000_123,
            turn: 7,
            attempt: 2,
            name: "tool_call",
            key: b"k1",
            actor: "coder",
            link: 300,
            refs: vec!["sha256:ab", "sha256:cd"],
            extra: &[0xFE, 0x00],
        };
        let mut golden = vec![57, 0, 253];
        golden.extend_from_slice(&1_700_000_000_123_u64.to_le_bytes());
        golden.extend_from_slice(b"\x07\x02\x09tool_call\x02k1\x05coder\xFB\x2C\x01");
        golden.extend_from_slice(b"\x02\x09sha256:ab\x09sha256:cd\x02\xFE\x00");
        golden.extend_from_slice(b"content");
        assert_eq!(payload(&envelope, b"content"), golden);
        assert_eq!(
            decode_payload(&golden),
            Ok((envelope, b"content".as_slice()))
        );
    }

    #[test]
    fn a_short_or_lengthened_envelope_is_refused() {
        let whole = payload(
            &Envelope {
                name: "name",
                ..Envelope::default()
            },
            b"",
        );
        for cut in 0..whole.len() {
            assert!(decode_payload(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = whole.clone();
        longer[0] += 1;
        longer.push(0);
        assert_eq!(
            decode_payload(&longer),
            Err(BodyFault::Trailing { left: 1 })
        );
    }

    #[test]
    fn any_bytes_decode_or_fail_without_a_panic() {
        let mut random = 0x1234_5678_9ABC_DEF0_u64;
        let mut bytes = Vec::new();
        for _ in 0..50_000 {
            bytes.clear();
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let len = (random >> 58) as u16;
            bytes.extend_from_slice(&len.to_le_bytes());
            for _ in 0..len {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                // Small numbers are plausible lengths; now and then a marker of a long number.
                let byte = (random >> 56) as u8;
                bytes.push(if byte < 0xE0 { byte & 0x07 } else { byte });
            }
            if let Ok((envelope, _)) = decode_payload(&bytes) {
                assert!(envelope.refs.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn an_envelope_too_long_for_its_length_is_refused_and_leaves_nothing() {
        let long = "x".repeat(MAX_ENVELOPE_BYTES);
        let envelope = Envelope {
            name: &long,
            ..Envelope::default()
        };
        let mut out = vec![1];
        assert_eq!(
            encode_payload(&envelope, b"content", &mut out),
            Err(BodyFault::TooLong)
        );
        assert_eq!(out, [1]);
        // 9 one-byte fields and the two further bytes of a long length just fit.
        let fits = &long[..MAX_ENVELOPE_BYTES - 11];
        let envelope = Envelope {
            name: fits,
            ..Envelope::default()
        };
        let bytes = payload(&envelope, b"c");
        assert_eq!(decode_payload(&bytes), Ok((envelope, b"c".as_slice())));
    }
}
