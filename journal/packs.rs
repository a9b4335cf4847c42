//! Packs, open: the records that compaction has gathered, by session and by LSN.

use super::entry::Entry;
use super::keys::Locksmith;
use crate::error::{Corruption, Error};
use crate::format::Fault;
use crate::format::checksum::Running;
use crate::format::ids::{JournalId, Lsn, PackId, Seq, SessionNo};
use crate::format::manifest::PackRef;
use crate::format::names;
use crate::format::pack::{Pack, PackFooter, PackHeader};
use crate::format::pack_index::RecordSlot;
use crate::storage::dir::Dir;
use crate::storage::{File, Map, OpenMode};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// How much of an index is read at once.
const CHUNK_BYTES: usize = 256 << 10;

type Result<T, E = Error> = std::result::Result<T, E>;

/// An open pack: mapped. Header and footer are checked when it is opened, its index when it is
/// searched for the first time, so that opening a journal costs the same however much it keeps.
pub struct PackFile {
    path: PathBuf,
    header: PackHeader,
    footer: PackFooter,
    file: Arc<dyn File>,
    map: Arc<dyn Map>,
    /// What checking the index said.
    index: OnceLock<Result<(), Fault>>,
}

impl fmt::Debug for PackFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackFile({})", self.path.display())
    }
}

impl PackFile {
    /// Opens the pack that `expected` refers to and checks its header and footer.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for one that is missing, damaged, or not the one referred to;
    /// [`Error::NewerFormat`]; [`Error::Io`].
    pub fn open(dir: &Dir, journal: JournalId, expected: &PackRef) -> Result<PackFile> {
        let name = names::pack(expected.id);
        let path = dir.join(&name);
        let corrupt = |what: String| -> Error {
            Corruption::new(&path, what)
                .of_lsns(expected.lsn_from, expected.lsn_to)
                .into()
        };
        let file = dir
            .open(&name, OpenMode::Read)
            .map_err(|error| match error {
                Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                    corrupt("the pack is missing".into())
                }
                error => error,
            })?;
        let map = file.map().map_err(|e| Error::io("map", &path, e))?;
        let (header, footer) = Pack::ends(map.bytes()).map_err(|fault| match fault {
            Fault::Newer { found, supported } => Error::NewerFormat {
                path: path.clone(),
                found,
                supported,
            },
            fault => corrupt(fault.to_string()),
        })?;
        let same = header.journal == journal
            && header.id == expected.id
            && header.lsn_from == expected.lsn_from
            && header.lsn_to == expected.lsn_to
            && u64::from(footer.records) == expected.records
            && footer.index_crc == expected.index_crc;
        if !same {
            return Err(corrupt(
                "this is not the pack that the manifest refers to".into(),
            ));
        }
        Ok(PackFile {
            path,
            header,
            footer,
            file,
            map,
            index: OnceLock::new(),
        })
    }

    /// Its path, for messages.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Its id.
    pub fn id(&self) -> PackId {
        self.header.id
    }

    /// The first LSN after those that it answers for.
    pub fn lsn_to(&self) -> Lsn {
        self.header.lsn_to
    }

    /// How many records it holds.
    pub fn len(&self) -> u32 {
        self.footer.records
    }

    /// The pack over its bytes, its index checked.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the index does not validate; every time, once it was found out.
    pub fn view(&self) -> Result<Pack<'_>> {
        let bytes = self.map.bytes();
        let checked = self.index.get_or_init(|| Pack::decode(bytes).map(|_| ()));
        match checked {
            Ok(()) => Pack::view(&self.header, &self.footer, bytes),
            Err(fault) => Err(fault.clone()),
        }
        .map_err(|fault| self.damaged_index(&fault))
    }

    /// Compares the index with its checksum, without mapping it into memory and without looking
    /// at what it says.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`].
    pub(crate) fn check_index_sum(&self) -> Result<()> {
        let mut sum = Running::new(self.header.seed());
        let mut chunk = vec![0; CHUNK_BYTES];
        let range = self.footer.index_range();
        let mut at = range.start;
        while at < range.end {
            let want = (range.end - at).min(CHUNK_BYTES as u64) as usize;
            let got = self
                .file
                .read_at(&mut chunk[..want], at)
                .map_err(|e| Error::io("read", &self.path, e))?;
            if got == 0 {
                break;
            }
            sum.update(&chunk[..got]);
            at += got as u64;
        }
        let (stored, computed) = (self.footer.index_crc, sum.finish());
        if stored == computed {
            return Ok(());
        }
        Err(self.damaged_index(&Fault::Checksum {
            what: "pack index",
            stored,
            computed,
        }))
    }

    fn damaged_index(&self, fault: &Fault) -> Error {
        Corruption::new(&self.path, fault.to_string())
            .at(self.footer.index_offset)
            .of_lsns(self.header.lsn_from, self.header.lsn_to)
            .into()
    }

    /// Slots of a session's records with `from <= seq < to`.
    pub(crate) fn slots(&self, session: SessionNo, from: Seq, to: Seq) -> Result<Range<u32>> {
        let index = self.view()?.index;
        let start = index.lower_bound_seq(session, from).start;
        let end = index.lower_bound_seq(session, to).start;
        Ok(start..end.max(start))
    }

    /// The sequence number of a slot's record.
    pub(crate) fn seq_at(&self, slot: u32) -> Result<Seq> {
        let record = self.view()?.index.record(slot);
        Ok(record.map_or(Seq::default(), |record| record.seq))
    }

    /// The slot of the record that is `at`-th by LSN.
    pub(crate) fn by_lsn(&self, at: u32) -> Result<u32> {
        Ok(self.view()?.index.by_lsn(at).unwrap_or(u32::MAX))
    }

    /// How many of its records are below `lsn`.
    pub(crate) fn lower_bound_lsn(&self, lsn: Lsn) -> Result<u32> {
        Ok(self.view()?.index.lower_bound_lsn(lsn))
    }

    /// Where a slot's record is.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the index does not validate, or has no such slot.
    pub(crate) fn record(&self, slot: u32) -> Result<RecordSlot> {
        self.view()?.index.record(slot).ok_or_else(|| {
            let fault = Fault::Field {
                field: "slot of a pack",
                expected: self.len().into(),
                found: slot.into(),
            };
            Corruption::new(&self.path, fault.to_string()).into()
        })
    }

    /// Reads a slot's record, by way of the block that was read last if it is the same.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the record.
    pub(crate) fn entry(
        &self,
        slot: u32,
        last: &mut LastBlock,
        locksmith: &Locksmith,
    ) -> Result<Entry> {
        let record = self.record(slot)?;
        let pack = self.view()?;
        let damaged = |fault: Fault| -> Error {
            let mut corruption = Corruption::new(&self.path, fault.to_string())
                .of_lsns(record.lsn, record.lsn.next());
            if let Some(at) = pack.index.block_offset(record.block) {
                corruption = corruption.at(at);
            }
            corruption.into()
        };
        let raw = last.of(self.id(), record.block, &pack).map_err(damaged)?;
        let frame = pack.frame(&record, raw).map_err(damaged)?;
        Entry::decode(&frame.header, frame.payload, &self.path, locksmith)
    }
}

/// The block that was read last: checked, and decompressed. A block holds some hundred records of
/// one session, side by side, so who reads on reads the same block again.
#[derive(Debug, Default)]
pub(crate) struct LastBlock {
    /// Which one, if any.
    which: Option<(PackId, u32)>,
    raw: Vec<u8>,
    scratch: Vec<u8>,
}

impl LastBlock {
    fn of(&mut self, id: PackId, block: u32, pack: &Pack<'_>) -> Result<&[u8], Fault> {
        if self.which != Some((id, block)) {
            self.which = None;
            let raw = pack.block(block, &mut self.scratch)?;
            self.raw.clear();
            self.raw.extend_from_slice(raw);
            self.which = Some((id, block));
        }
        Ok(&self.raw)
    }
}
