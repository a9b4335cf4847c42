//! The state file of a snapshot: everything the fold knew below one LSN, one entry a session.
//!
//! This room knows the container only: entries with a kind, a session number and a body. It is
//! written from front to back and believed only as a whole, footer included.

use super::bytes::{get_u16, get_u32, get_u64, put_u16, put_u32, put_u64};
use super::checksum::{Running, Seed, checksum, payload_checksum};
use super::fault::{Fault, expect, need, same};
use super::header::{FileHeader, FileKind};
use super::ids::{JournalId, Lsn, SessionNo, SnapshotId};
use super::manifest::BODY_BINCODE;

/// Length of a state file's header; the first entry follows it.
pub const STATE_HEADER_LEN: usize = FileKind::State.header_len();

/// Length of an entry's header.
pub const STATE_ENTRY_LEN: usize = 24;

/// Length of the footer, the last bytes of the file.
pub const STATE_FOOTER_LEN: usize = 64;

/// What the footer begins with.
pub const STATE_FOOTER_MAGIC: [u8; 8] = *b"TKSEND\x1a\n";

const _: () = assert!(STATE_HEADER_LEN.is_multiple_of(8) && STATE_ENTRY_LEN.is_multiple_of(8));

/// What an entry is about. 0 is none of them, so that zeros are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum EntryKind {
    /// The journal as a whole.
    Journal = 1,
    /// A session.
    Session = 2,
    /// What is left of a deleted session.
    Tombstone = 3,
    /// Where records of a session are that are in no pack; any number for each session.
    Places = 4,
}

impl EntryKind {
    fn from_u8(raw: u8) -> Result<Self, Fault> {
        match raw {
            1 => Ok(EntryKind::Journal),
            2 => Ok(EntryKind::Session),
            3 => Ok(EntryKind::Tombstone),
            4 => Ok(EntryKind::Places),
            other => Err(Fault::Field {
                field: "kind of a state entry",
                expected: EntryKind::Journal as u64,
                found: other.into(),
            }),
        }
    }
}

/// The fields of a state file's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateHeader {
    /// The journal.
    pub journal: JournalId,
    /// The snapshot.
    pub id: SnapshotId,
    /// The state is that of all records below.
    pub lsn: Lsn,
    /// When it was made; nothing is decided by it.
    pub created_ms: u64,
}

impl StateHeader {
    /// The seed of this file's checksums.
    pub fn seed(&self) -> Seed {
        Seed::of_file(self.journal, self.id.get(), FileKind::State.magic())
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; STATE_HEADER_LEN] {
        let mut out = [0; STATE_HEADER_LEN];
        put_u64(&mut out, 48, self.lsn.get());
        put_u64(&mut out, 56, self.created_ms);
        FileHeader {
            kind: FileKind::State,
            journal: self.journal,
            id: self.id.get(),
            seed: self.seed().get(),
        }
        .encode(&mut out);
        out
    }

    /// Reads and checks a header.
    ///
    /// # Errors
    /// As [`FileHeader::decode`], and [`Fault::Field`] for a seed that is not this file's.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let file = FileHeader::decode(FileKind::State, bytes)?;
        let header = StateHeader {
            journal: file.journal,
            id: SnapshotId::new(file.id),
            lsn: Lsn::new(get_u64(bytes, 48)),
            created_ms: get_u64(bytes, 56),
        };
        expect("seed", header.seed().get().into(), file.seed.into())?;
        Ok(header)
    }
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateEntry<'a> {
    /// What it is about.
    pub kind: EntryKind,
    /// Which session; 0 for the journal.
    pub session: SessionNo,
    /// Version of the body's type.
    pub schema: u16,
    /// The body, encoded by `format::body`.
    pub body: &'a [u8],
}

/// Reads the entry at the start of `bytes`, which must be the `number`-th of its file; also
/// returns how many bytes it takes.
fn decode_entry(seed: Seed, number: u32, bytes: &[u8]) -> Result<(StateEntry<'_>, usize), Fault> {
    need("state entry header", bytes, STATE_ENTRY_LEN)?;
    same(
        "state entry header",
        get_u32(bytes, 0),
        checksum(seed, &bytes[4..STATE_ENTRY_LEN]),
    )?;
    expect(
        "number of a state entry",
        number.into(),
        get_u32(bytes, 12).into(),
    )?;
    let kind = EntryKind::from_u8(bytes[20])?;
    expect("body codec", BODY_BINCODE.into(), bytes[21].into())?;
    let body_len = get_u32(bytes, 8) as usize;
    let taken = STATE_ENTRY_LEN
        .checked_add(body_len)
        .and_then(|len| len.checked_next_multiple_of(8))
        .unwrap_or(usize::MAX);
    need("state entry", bytes, taken)?;
    let (body, padding) = bytes[STATE_ENTRY_LEN..taken].split_at(body_len);
    same("state entry", get_u32(bytes, 4), payload_checksum(body))?;
    let padding = padding.iter().copied().max().unwrap_or(0);
    expect("padding of a state entry", 0, padding.into())?;
    let entry = StateEntry {
        kind,
        session: SessionNo::new(get_u32(bytes, 16)),
        schema: get_u16(bytes, 22),
        body,
    };
    Ok((entry, taken))
}

/// The fields of a state file's footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateFooter {
    /// The snapshot, as in the header.
    pub id: SnapshotId,
    /// As in the header.
    pub lsn: Lsn,
    /// Bytes between header and footer.
    pub body_len: u64,
    /// How many entries.
    pub entries: u32,
    /// Checksum over all entries.
    pub body_crc: u32,
}

impl StateFooter {
    /// The footer's bytes.
    pub fn encode(&self, seed: Seed) -> [u8; STATE_FOOTER_LEN] {
        let mut out = [0; STATE_FOOTER_LEN];
        out[..8].copy_from_slice(&STATE_FOOTER_MAGIC);
        put_u64(&mut out, 8, self.id.get());
        put_u64(&mut out, 16, self.lsn.get());
        put_u64(&mut out, 24, self.body_len);
        put_u32(&mut out, 32, self.entries);
        put_u32(&mut out, 36, self.body_crc);
        let check = checksum(seed, &out[..60]);
        put_u32(&mut out, 60, check);
        out
    }

    /// Reads and checks the footer, the last [`STATE_FOOTER_LEN`] bytes of the file that begins
    /// with `header`.
    ///
    /// # Errors
    /// [`Fault::Short`], [`Fault::Magic`], [`Fault::Checksum`], or [`Fault::Field`] for a footer
    /// that contradicts the header or the file's length.
    pub fn decode(header: &StateHeader, file_len: u64, bytes: &[u8]) -> Result<Self, Fault> {
        need("state footer", bytes, STATE_FOOTER_LEN)?;
        if bytes[..8] != STATE_FOOTER_MAGIC {
            return Err(Fault::Magic {
                what: "state footer",
                found: get_u64(bytes, 0),
            });
        }
        same(
            "state footer",
            get_u32(bytes, 60),
            checksum(header.seed(), &bytes[..60]),
        )?;
        let footer = StateFooter {
            id: SnapshotId::new(get_u64(bytes, 8)),
            lsn: Lsn::new(get_u64(bytes, 16)),
            body_len: get_u64(bytes, 24),
            entries: get_u32(bytes, 32),
            body_crc: get_u32(bytes, 36),
        };
        expect("snapshot id", header.id.get(), footer.id.get())?;
        expect("lsn of the snapshot", header.lsn.get(), footer.lsn.get())?;
        let around = (STATE_HEADER_LEN + STATE_FOOTER_LEN) as u64;
        expect(
            "state file length",
            footer.body_len.saturating_add(around),
            file_len,
        )?;
        Ok(footer)
    }
}

/// What a manifest keeps of a state file, to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSummary {
    /// Length of the file.
    pub len: u64,
    /// The footer's own checksum, which answers for everything in the file.
    pub crc: u32,
}

/// A whole state file that was checked.
#[derive(Clone, Copy, Debug)]
pub struct StateFile<'a> {
    /// Its header.
    pub header: StateHeader,
    /// Its footer.
    pub footer: StateFooter,
    /// What a manifest must say of it.
    pub summary: StateSummary,
    body: &'a [u8],
}

impl<'a> StateFile<'a> {
    /// Reads and checks a whole file: header, footer, the checksum over all entries, and each
    /// entry.
    ///
    /// # Errors
    /// The first fault found; see the decoders of the parts.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Fault> {
        let header = StateHeader::decode(bytes)?;
        need("state file", bytes, STATE_HEADER_LEN + STATE_FOOTER_LEN)?;
        let (front, end) = bytes.split_at(bytes.len() - STATE_FOOTER_LEN);
        let footer = StateFooter::decode(&header, bytes.len() as u64, end)?;
        let file = StateFile {
            header,
            footer,
            summary: StateSummary {
                len: bytes.len() as u64,
                crc: get_u32(end, 60),
            },
            body: &front[STATE_HEADER_LEN..],
        };
        same(
            "entries of the state file",
            footer.body_crc,
            checksum(header.seed(), file.body),
        )?;
        let mut entries = 0_u64;
        for entry in file.entries() {
            entry?;
            entries += 1;
        }
        expect("entries of the state file", footer.entries.into(), entries)?;
        Ok(file)
    }

    /// Offset of the first part of `bytes` that does not validate, for a file that
    /// [`StateFile::decode`] refused: an entry, or else the footer or the header.
    pub fn first_fault(bytes: &[u8]) -> u64 {
        let Ok(header) = StateHeader::decode(bytes) else {
            return 0;
        };
        let end = bytes
            .len()
            .saturating_sub(STATE_FOOTER_LEN)
            .max(STATE_HEADER_LEN);
        let mut rest = bytes.get(STATE_HEADER_LEN..end).unwrap_or_default();
        let mut number = 0_u32;
        while let Ok((_, taken)) = decode_entry(header.seed(), number, rest) {
            rest = &rest[taken..];
            number = number.wrapping_add(1);
        }
        (end - rest.len()) as u64
    }

    /// The entries in the order in which they were written. After [`StateFile::decode`] none of
    /// them is a fault, unless the bytes changed since.
    pub fn entries(&self) -> StateEntries<'a> {
        StateEntries {
            seed: self.header.seed(),
            rest: self.body,
            number: 0,
        }
    }
}

/// Iterator over the entries of a state file; ends after the first fault.
#[derive(Clone, Debug)]
pub struct StateEntries<'a> {
    seed: Seed,
    rest: &'a [u8],
    number: u32,
}

impl<'a> Iterator for StateEntries<'a> {
    type Item = Result<StateEntry<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match decode_entry(self.seed, self.number, self.rest) {
            Ok((entry, taken)) => {
                self.rest = &self.rest[taken..];
                self.number = self.number.wrapping_add(1);
                Some(Ok(entry))
            }
            Err(fault) => {
                self.rest = &[];
                Some(Err(fault))
            }
        }
    }
}

/// Writes a state file from front to back.
///
/// Every call appends to the buffer it is given; the caller may write the buffer out and clear
/// it between calls.
#[derive(Debug)]
pub struct StateEncoder {
    header: StateHeader,
    seed: Seed,
    running: Running,
    body_len: u64,
    entries: u32,
}

impl StateEncoder {
    /// Begins a file and appends its header to `out`.
    pub fn new(header: StateHeader, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&header.encode());
        let seed = header.seed();
        StateEncoder {
            header,
            seed,
            running: Running::new(seed),
            body_len: 0,
            entries: 0,
        }
    }

    /// Appends an entry. Its body must not be longer than `format::body` allows.
    pub fn push(&mut self, entry: &StateEntry<'_>, out: &mut Vec<u8>) {
        let begin = out.len();
        out.resize(begin + STATE_ENTRY_LEN, 0);
        out.extend_from_slice(entry.body);
        self.finish_entry(entry.kind, entry.session, entry.schema, begin, out);
    }

    /// Appends an entry whose body `encode` appends to the buffer. After an error the buffer and
    /// the file are as they were.
    ///
    /// # Errors
    /// What `encode` returns.
    pub fn push_with<E>(
        &mut self,
        kind: EntryKind,
        session: SessionNo,
        schema: u16,
        out: &mut Vec<u8>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let begin = out.len();
        out.resize(begin + STATE_ENTRY_LEN, 0);
        if let Err(error) = encode(out) {
            out.truncate(begin);
            return Err(error);
        }
        self.finish_entry(kind, session, schema, begin, out);
        Ok(())
    }

    /// Fills in the header in front of a body that reaches to the end of `out`.
    fn finish_entry(
        &mut self,
        kind: EntryKind,
        session: SessionNo,
        schema: u16,
        begin: usize,
        out: &mut Vec<u8>,
    ) {
        let body_len = out.len() - begin - STATE_ENTRY_LEN;
        out.resize(begin + (STATE_ENTRY_LEN + body_len).next_multiple_of(8), 0);
        let entry = &mut out[begin..];
        let body_crc = payload_checksum(&entry[STATE_ENTRY_LEN..STATE_ENTRY_LEN + body_len]);
        put_u32(entry, 4, body_crc);
        let body_len = u32::try_from(body_len).expect("bodies are bounded far below 4 GiB");
        put_u32(entry, 8, body_len);
        put_u32(entry, 12, self.entries);
        put_u32(entry, 16, session.get());
        entry[20] = kind as u8;
        entry[21] = BODY_BINCODE;
        put_u16(entry, 22, schema);
        let check = checksum(self.seed, &entry[4..STATE_ENTRY_LEN]);
        put_u32(entry, 0, check);
        self.running.update(entry);
        self.body_len += entry.len() as u64;
        self.entries += 1;
    }

    /// Ends the file: appends the footer.
    pub fn finish(self, out: &mut Vec<u8>) -> StateSummary {
        let footer = StateFooter {
            id: self.header.id,
            lsn: self.header.lsn,
            body_len: self.body_len,
            entries: self.entries,
            body_crc: self.running.finish(),
        }
        .encode(self.seed);
        out.extend_from_slice(&footer);
        StateSummary {
            len: self.body_len + (STATE_HEADER_LEN + STATE_FOOTER_LEN) as u64,
            crc: get_u32(&footer, 60),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
