//! A frame: one record, verifiable alone and linked to the one before it.

use super::bytes::{get_u32, get_u64, put_u32, put_u64};
use super::checksum::{Seed, checksum, payload_checksum};
use super::fault::{Fault, expect, need, same};
use super::ids::{Epoch, Lsn, Seq, SessionNo};

/// Length of a frame's header.
pub const FRAME_HEADER_LEN: usize = 40;
/// Frames begin at multiples of this.
pub const FRAME_ALIGN: usize = 8;
/// The frame belongs to a batch.
pub const IN_BATCH: u8 = 1;
/// The frame is the last of its batch.
pub const BATCH_END: u8 = 2;

const _: () = assert!(FRAME_HEADER_LEN.is_multiple_of(FRAME_ALIGN));

/// Version of the payload layout that this release writes; it reads all up to it.
pub const BODY_VERSION: u8 = 1;

/// The codec of a payload that is sealed and not compressed.
pub const SEALED: u8 = super::seal::XCHACHA20_POLY1305 << 4;

/// How a payload is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it was accepted.
    Plain,
    /// Sealed behind its envelope: see [`super::seal`].
    Sealed,
}

/// The fields of a frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// CRC-32 of the payload.
    pub payload_check: u32,
    /// The record's place in the journal.
    pub lsn: Lsn,
    /// The session it belongs to.
    pub session: SessionNo,
    /// Its place in that session.
    pub seq: Seq,
    /// Length of the payload in bytes, without padding.
    pub payload_len: u32,
    /// The check of the frame before it in LSN order; 0 for the first of all.
    pub prev: u32,
    /// The writer that accepted the record.
    pub epoch: Epoch,
    /// Kind of record; never 0.
    pub kind: u8,
    /// [`IN_BATCH`], [`BATCH_END`].
    pub flags: u8,
    /// Low nibble: compression; high nibble: encryption. 0 is none.
    pub codec: u8,
    /// Version of the payload's layout.
    pub body_version: u8,
}

/// A whole frame that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: FrameHeader,
    /// The header's checksum, which the next frame links to.
    pub check: u32,
    /// The payload, without padding.
    pub payload: &'a [u8],
}

/// Bytes that a frame with a payload of `payload_len` takes, padding included.
pub const fn frame_len(payload_len: usize) -> usize {
    (FRAME_HEADER_LEN + payload_len).next_multiple_of(FRAME_ALIGN)
}

impl FrameHeader {
    /// How the payload is stored.
    ///
    /// # Errors
    /// [`Fault::Coding`] if a newer release wrote it.
    pub fn coding(&self) -> Result<Coding, Fault> {
        match (self.codec, self.body_version) {
            (0, 0..=BODY_VERSION) => Ok(Coding::Plain),
            (SEALED, BODY_VERSION) => Ok(Coding::Sealed),
            (codec, body_version) => Err(Fault::Coding {
                codec,
                body_version,
            }),
        }
    }

    /// Writes the header into the first [`FRAME_HEADER_LEN`] bytes of `out` and returns its check.
    pub fn encode(&self, seed: Seed, out: &mut [u8]) -> u32 {
        let out = &mut out[..FRAME_HEADER_LEN];
        put_u32(out, 4, self.payload_check);
        put_u64(out, 8, self.lsn.get());
        put_u32(out, 16, self.session.get());
        put_u32(out, 20, self.seq.get());
        put_u32(out, 24, self.payload_len);
        put_u32(out, 28, self.prev);
        put_u32(out, 32, self.epoch.get());
        out[36..40].copy_from_slice(&[self.kind, self.flags, self.codec, self.body_version]);
        seal(seed, out, self.prev)
    }

    /// Reads and checks a header at the start of `bytes`.
    ///
    /// No field is used before the checksum over all of them was.
    ///
    /// # Errors
    /// [`Fault::Short`], [`Fault::Checksum`], or [`Fault::Field`] for a record of kind 0.
    pub fn decode(seed: Seed, bytes: &[u8]) -> Result<(FrameHeader, u32), Fault> {
        need("frame header", bytes, FRAME_HEADER_LEN)?;
        let check = get_u32(bytes, 0);
        same(
            "frame header",
            check,
            checksum(seed, &bytes[4..FRAME_HEADER_LEN]),
        )?;
        let header = Self::read(bytes);
        if header.kind == 0 {
            return Err(Fault::Field {
                field: "record kind",
                expected: 1,
                found: 0,
            });
        }
        Ok((header, check))
    }

    /// Reads the fields without looking at the checksum. `bytes` holds at least a header.
    pub(super) fn read(bytes: &[u8]) -> FrameHeader {
        FrameHeader {
            payload_check: get_u32(bytes, 4),
            lsn: Lsn::new(get_u64(bytes, 8)),
            session: SessionNo::new(get_u32(bytes, 16)),
            seq: Seq::new(get_u32(bytes, 20)),
            payload_len: get_u32(bytes, 24),
            prev: get_u32(bytes, 28),
            epoch: Epoch::new(get_u32(bytes, 32)),
            kind: bytes[36],
            flags: bytes[37],
            codec: bytes[38],
            body_version: bytes[39],
        }
    }
}

/// Sets the link to the previous frame and the checksum of a header whose other fields are
/// already in place; returns the checksum.
pub(super) fn seal(seed: Seed, header: &mut [u8], prev: u32) -> u32 {
    put_u32(header, 28, prev);
    let check = checksum(seed, &header[4..FRAME_HEADER_LEN]);
    put_u32(header, 0, check);
    check
}

impl<'a> Frame<'a> {
    /// Reads and checks the frame at the start of `bytes`; also returns how many bytes it takes.
    ///
    /// # Errors
    /// As [`FrameHeader::decode`], and [`Fault::Short`] or [`Fault::Checksum`] for the payload.
    pub fn decode(seed: Seed, bytes: &'a [u8]) -> Result<(Frame<'a>, usize), Fault> {
        let (header, check) = FrameHeader::decode(seed, bytes)?;
        let payload_len = header.payload_len as usize;
        let taken = frame_len(payload_len);
        need("frame", bytes, taken)?;
        let payload = &bytes[FRAME_HEADER_LEN..FRAME_HEADER_LEN + payload_len];
        same("payload", header.payload_check, payload_checksum(payload))?;
        Ok((
            Frame {
                header,
                check,
                payload,
            },
            taken,
        ))
    }

    /// Writes the whole frame, padding included, at the end of `out` under another seed and
    /// link: how a record moves to another file. Returns the new check.
    pub fn relocate(&self, seed: Seed, prev: u32, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.resize(start + FRAME_HEADER_LEN, 0);
        let header = FrameHeader {
            prev,
            ..self.header
        };
        let check = header.encode(seed, &mut out[start..]);
        out.extend_from_slice(self.payload);
        out.resize(start + frame_len(self.payload.len()), 0);
        check
    }
}

/// Returns [`Fault::Field`] unless a frame is the one that must come here.
pub fn expect_place(frame: &FrameHeader, lsn: Lsn, prev: u32) -> Result<(), Fault> {
    expect("lsn", lsn.get(), frame.lsn.get())?;
    expect(
        "link to the previous frame",
        u64::from(prev),
        u64::from(frame.prev),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::format::ids::JournalId;

    pub(in crate::format) fn sample(payload: &[u8]) -> FrameHeader {
        FrameHeader {
            payload_check: payload_checksum(payload),
            lsn: Lsn::new(77),
            session: SessionNo::new(3),
            seq: Seq::new(12),
            payload_len: payload.len() as u32,
            prev: 0xABCD,
            epoch: Epoch::new(2),
            kind: 19,
            flags: 0,
            codec: 0,
            body_version: 1,
        }
    }

    fn encoded(seed: Seed, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Frame {
            header: sample(payload),
            check: 0,
            payload,
        }
        .relocate(seed, 0xABCD, &mut out);
        out
    }

    #[test]
    fn a_payload_that_a_newer_release_wrote_is_not_interpreted() {
        let coding = |codec, body_version| {
            let header = FrameHeader {
                codec,
                body_version,
                ..sample(b"")
            };
            header.coding()
        };
        assert_eq!(coding(0, 0), Ok(Coding::Plain));
        assert_eq!(coding(0, BODY_VERSION), Ok(Coding::Plain));
        assert_eq!(coding(SEALED, BODY_VERSION), Ok(Coding::Sealed));
        for (codec, body_version) in [
            (0, BODY_VERSION + 1),
            (1, 1),
            (SEALED, 0),
            (SEALED | 1, 1),
            (0x20, 1),
        ] {
            let refused = coding(codec, body_version);
            assert_eq!(
                refused,
                Err(Fault::Coding {
                    codec,
                    body_version
                })
            );
        }
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_seen() {
        let seed = Seed::of_life(JournalId([1; 16]), 1);
        let payload = b"what is a torn tail?";
        let good = encoded(seed, payload);
        let (frame, taken) = Frame::decode(seed, &good).expect("a good frame");
        assert_eq!((frame.payload, taken), (&payload[..], good.len()));
        for bit in 0..(FRAME_HEADER_LEN + payload.len()) * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Frame::decode(seed, &bad).is_err(),
                "bit {bit} was flipped unseen"
            );
        }
    }

    #[test]
    fn uniform_pages_are_no_frames_and_an_empty_payload_is_one() {
        let seed = Seed::of_life(JournalId([1; 16]), 1);
        assert!(Frame::decode(seed, &[0; 4096]).is_err());
        assert!(Frame::decode(seed, &[0xFF; 4096]).is_err());
        let empty = encoded(seed, b"");
        assert_eq!(
            Frame::decode(seed, &empty)
                .expect("an empty payload is fine")
                .1,
            40
        );
    }

    #[test]
    fn a_frame_of_another_life_never_verifies() {
        let journal = JournalId([1; 16]);
        let bytes = encoded(Seed::of_life(journal, 1), b"secret of an earlier life");
        for life in 2..2000 {
            assert!(Frame::decode(Seed::of_life(journal, life), &bytes).is_err());
        }
    }
}
