//! The first 64 bytes of every file of a journal (the lock file apart).

use super::bytes::{get_u16, get_u32, get_u64, put_u16, put_u32, put_u64};
use super::checksum::{HEADER_SEED, checksum};
use super::fault::{Fault, need, same};
use super::ids::JournalId;

/// The format version that this release writes, and the newest that it reads. Version 1 is frozen:
/// what is encoded under this number stays these bytes, see `docs/decisions/0015`.
pub const FORMAT_VERSION: u16 = 1;

/// Length of the part of a file header that all kinds share.
pub const HEADER_LEN: usize = 64;

/// Longest header of any kind of file.
pub const MAX_HEADER_LEN: usize = 128;

const _: () = assert!(HEADER_LEN.is_multiple_of(8) && MAX_HEADER_LEN.is_multiple_of(8));

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A segment of the log.
    Segment,
    /// A pack of live records.
    Pack,
    /// The state file of a snapshot.
    State,
    /// A manifest.
    Manifest,
    /// The watermark page.
    Watermark,
}

impl FileKind {
    /// The eight bytes that such a file begins with.
    pub const fn magic(self) -> [u8; 8] {
        *match self {
            FileKind::Segment => b"TKSEG\x1a\r\n",
            FileKind::Pack => b"TKPACK\x1a\n",
            FileKind::State => b"TKSTAT\x1a\n",
            FileKind::Manifest => b"TKMANI\x1a\n",
            FileKind::Watermark => b"TKMARK\x1a\n",
        }
    }

    /// Length of its header, the fields of its own included.
    pub const fn header_len(self) -> usize {
        match self {
            FileKind::Segment => 128,
            FileKind::Pack => 96,
            FileKind::State | FileKind::Manifest | FileKind::Watermark => HEADER_LEN,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            FileKind::Segment => "segment header",
            FileKind::Pack => "pack header",
            FileKind::State => "state file header",
            FileKind::Manifest => "manifest header",
            FileKind::Watermark => "watermark header",
        }
    }
}

/// The fields that every file header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// What the file holds.
    pub kind: FileKind,
    /// The journal it belongs to.
    pub journal: JournalId,
    /// Its never reused id among files of its kind.
    pub id: u64,
    /// The seed of this life's checksums; 0 where a kind of file has none.
    pub seed: u32,
}

impl FileHeader {
    /// Writes the shared fields into `out`, which holds the kind's own fields from byte 48 on
    /// and is exactly [`FileKind::header_len`] bytes long, then the checksum over all of it.
    pub fn encode(&self, out: &mut [u8]) {
        assert_eq!(
            out.len(),
            self.kind.header_len(),
            "a header has the length of its kind"
        );
        out[0..8].copy_from_slice(&self.kind.magic());
        put_u16(out, 8, FORMAT_VERSION);
        put_u16(out, 10, self.kind.header_len() as u16);
        out[16..32].copy_from_slice(&self.journal.0);
        put_u64(out, 32, self.id);
        put_u32(out, 40, self.seed);
        put_u32(out, 44, 0);
        let check = header_checksum(out);
        put_u32(out, 12, check);
    }

    /// Reads and checks a header of `kind` at the start of `bytes`.
    ///
    /// The magic is looked at first, then the checksum, then the version: rot in the version
    /// field is damage, not a newer release.
    ///
    /// # Errors
    /// [`Fault::Short`], [`Fault::Magic`], [`Fault::Checksum`], [`Fault::Newer`], [`Fault::Field`].
    pub fn decode(kind: FileKind, bytes: &[u8]) -> Result<FileHeader, Fault> {
        let what = kind.what();
        need(what, bytes, HEADER_LEN)?;
        if bytes[0..8] != kind.magic() {
            return Err(Fault::Magic {
                what,
                found: get_u64(bytes, 0),
            });
        }
        let header_len = usize::from(get_u16(bytes, 10));
        if !(HEADER_LEN..=MAX_HEADER_LEN).contains(&header_len) {
            return Err(Fault::Field {
                field: "header length",
                expected: kind.header_len() as u64,
                found: header_len as u64,
            });
        }
        need(what, bytes, header_len)?;
        same(
            what,
            get_u32(bytes, 12),
            header_checksum(&bytes[..header_len]),
        )?;
        let version = get_u16(bytes, 8);
        if version > FORMAT_VERSION {
            return Err(Fault::Newer {
                found: version,
                supported: FORMAT_VERSION,
            });
        }
        super::fault::expect("header length", kind.header_len() as u64, header_len as u64)?;
        let mut journal = [0; 16];
        journal.copy_from_slice(&bytes[16..32]);
        Ok(FileHeader {
            kind,
            journal: JournalId(journal),
            id: get_u64(bytes, 32),
            seed: get_u32(bytes, 40),
        })
    }
}

/// The version in a header at the start of `bytes`, of whatever kind and however new; `None` if
/// its checksum does not hold.
pub fn version_in(bytes: &[u8]) -> Option<u16> {
    if bytes.len() < HEADER_LEN {
        return None;
    }
    let header = bytes.get(..usize::from(get_u16(bytes, 10)))?;
    if !(HEADER_LEN..=MAX_HEADER_LEN).contains(&header.len()) {
        return None;
    }
    (get_u32(header, 12) == header_checksum(header)).then(|| get_u16(header, 8))
}

/// Checksum over all of a header but the checksum itself.
fn header_checksum(header: &[u8]) -> u32 {
    let mut covered = [0_u8; MAX_HEADER_LEN];
    let covered = &mut covered[..header.len() - 4];
    covered[..12].copy_from_slice(&header[..12]);
    covered[12..].copy_from_slice(&header[16..]);
    checksum(HEADER_SEED, covered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kind: FileKind) -> Vec<u8> {
        let mut bytes = vec![0; kind.header_len()];
        FileHeader {
            kind,
            journal: JournalId([9; 16]),
            id: 17,
            seed: 5,
        }
        .encode(&mut bytes);
        bytes
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        for kind in [FileKind::Segment, FileKind::Pack, FileKind::Manifest] {
            let good = sample(kind);
            assert!(FileHeader::decode(kind, &good).is_ok());
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let fault = FileHeader::decode(kind, &bad).expect_err("a flipped bit");
                assert!(
                    !matches!(fault, Fault::Newer { .. }),
                    "rot is not a newer release"
                );
            }
        }
    }

    #[test]
    fn a_newer_version_is_named_and_an_empty_or_uniform_page_is_no_header() {
        let kind = FileKind::Segment;
        let mut newer = sample(kind);
        put_u16(&mut newer, 8, FORMAT_VERSION + 3);
        let check = header_checksum(&newer);
        put_u32(&mut newer, 12, check);
        assert_eq!(
            FileHeader::decode(kind, &newer),
            Err(Fault::Newer {
                found: FORMAT_VERSION + 3,
                supported: FORMAT_VERSION
            })
        );
        for fill in [0_u8, 0xFF] {
            assert!(matches!(
                FileHeader::decode(kind, &[fill; 4096]),
                Err(Fault::Magic { .. })
            ));
        }
    }
}
