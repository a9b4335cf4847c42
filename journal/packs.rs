//! Packs, open: the records that compaction has gathered, by session and by LSN.

use super::entry::Entry;
use crate::error::{Corruption, Error, Result};
use crate::format::Fault;
use crate::format::ids::{JournalId, Lsn, PackId, Seq, SessionNo};
use crate::format::manifest::PackRef;
use crate::format::names;
use crate::format::pack::{Pack, PackFooter, PackHeader};
use crate::storage::dir::Dir;
use crate::storage::{Map, OpenMode};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// An open pack: mapped, its index checked once.
pub struct PackFile {
    path: PathBuf,
    header: PackHeader,
    footer: PackFooter,
    map: Arc<dyn Map>,
}

impl fmt::Debug for PackFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackFile({})", self.path.display())
    }
}

impl PackFile {
    /// Opens the pack that `expected` refers to and checks its header, footer and index.
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
        let pack = Pack::decode(map.bytes()).map_err(|fault| match fault {
            Fault::Newer { found, supported } => Error::NewerFormat {
                path: path.clone(),
                found,
                supported,
            },
            fault => corrupt(fault.to_string()),
        })?;
        let (header, footer) = (pack.header, pack.footer);
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
            map,
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

    /// The pack over its bytes.
    ///
    /// # Panics
    /// Never: the same bytes were decoded when it was opened, and a map does not change.
    pub fn view(&self) -> Pack<'_> {
        Pack::view(&self.header, &self.footer, self.map.bytes())
            .expect("the map is as long as when the pack was opened")
    }

    /// Slots of a session's records with `from <= seq < to`.
    pub(crate) fn slots(&self, session: SessionNo, from: Seq, to: Seq) -> Range<u32> {
        let index = self.view().index;
        let start = index.lower_bound_seq(session, from).start;
        let end = index.lower_bound_seq(session, to).start;
        start..end.max(start)
    }

    /// The sequence number of a slot's record.
    pub(crate) fn seq_at(&self, slot: u32) -> Seq {
        self.view()
            .index
            .record(slot)
            .map_or(Seq::default(), |record| record.seq)
    }

    /// The slot of the record that is `at`-th by LSN.
    pub(crate) fn by_lsn(&self, at: u32) -> u32 {
        self.view().index.by_lsn(at).unwrap_or(u32::MAX)
    }

    /// How many of its records are below `lsn`.
    pub(crate) fn lower_bound_lsn(&self, lsn: Lsn) -> u32 {
        self.view().index.lower_bound_lsn(lsn)
    }

    /// Reads a slot's record.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the record.
    pub(crate) fn entry(&self, slot: u32) -> Result<Entry> {
        let pack = self.view();
        let record = pack.index.record(slot);
        let damaged = |fault: Fault| -> Error {
            let mut corruption = Corruption::new(&self.path, fault.to_string());
            if let Some(record) = &record {
                corruption = corruption.of_lsns(record.lsn, record.lsn.next());
                if let Some(at) = pack.index.block_offset(record.block) {
                    corruption = corruption.at(at);
                }
            }
            corruption.into()
        };
        let Some(slot) = &record else {
            let (expected, found) = (u64::from(self.len()), u64::from(slot));
            return Err(damaged(Fault::Field {
                field: "slot of a pack",
                expected,
                found,
            }));
        };
        let mut scratch = Vec::new();
        let raw = pack.block(slot.block, &mut scratch).map_err(damaged)?;
        let frame = pack.frame(slot, raw).map_err(damaged)?;
        Entry::from_parts(&frame.header, frame.payload, &self.path)
    }
}
