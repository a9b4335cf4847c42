//! Writing packs beside a journal that is there, under names that are free.

use super::change::Added;
use super::rest::Digest;
use crate::error::Result;
use crate::format::frame::Frame;
use crate::format::ids::{JournalId, Lsn, PackId, SegmentId, SnapshotId};
use crate::format::manifest::PackRef;
use crate::format::names::{self, Name};
use crate::format::pack::PackHeader;
use crate::snapshot::catalog;
use crate::snapshot::sift::Keep;
use crate::snapshot::write::PackWriter;
use crate::storage::dir::Dir;

/// Ids above all that stand in a directory.
pub(super) struct Free {
    pub generation: u64,
    pub pack: PackId,
    pub snapshot: SnapshotId,
    pub segment: SegmentId,
}

impl Free {
    pub fn above(dir: &Dir) -> Result<Free> {
        let (mut generation, mut pack, mut snapshot, mut segment) = (0, 0, 0, 1);
        if let Ok(Some(found)) = catalog::read_newest(dir) {
            pack = found.manifest.next_pack.get();
            snapshot = found.manifest.next_snapshot.get();
        }
        for entry in dir.list()? {
            match Name::parse(&entry.name) {
                Name::Manifest(taken) => generation = taken.max(generation),
                Name::Pack(taken) => pack = taken.get().max(pack),
                Name::State(taken) => snapshot = taken.get().max(snapshot),
                Name::Segment(taken) => segment = taken.get().max(segment),
                Name::Spare(taken) => segment = taken.max(segment),
                _ => {}
            }
        }
        Ok(Free {
            generation,
            pack: PackId::new(pack).next(),
            snapshot: SnapshotId::new(snapshot).next(),
            segment: SegmentId::new(segment).next(),
        })
    }
}

/// Files that no manifest refers to yet. Dropped, it removes them.
pub(super) struct Draft {
    pub dir: Dir,
    pub names: Vec<String>,
}

impl Drop for Draft {
    fn drop(&mut self) {
        for name in &self.names {
            // Best effort: what stays is garbage.
            let _ = self.dir.remove(name);
        }
    }
}

/// Writes pack after pack.
pub(super) struct Packer<'d> {
    pub dir: &'d Dir,
    pub journal: JournalId,
    /// Id of the next pack.
    pub next: PackId,
    pub refs: Vec<PackRef>,
    pub draft: &'d mut Draft,
    /// Of all records that the source had.
    pub digest: Digest,
}

impl Packer<'_> {
    fn begin(&mut self, lsn_from: Lsn, lsn_to: Lsn) -> Result<PackWriter> {
        let id = self.next;
        self.next = id.next();
        self.draft.names.push(names::pack(id));
        let header = PackHeader {
            journal: self.journal,
            id,
            lsn_from,
            lsn_to,
        };
        PackWriter::create(self.dir, header)
    }

    /// Writes the pack of what `fill` gives.
    pub fn pack(
        &mut self,
        lsn_from: Lsn,
        lsn_to: Lsn,
        fill: &mut dyn FnMut(&mut Keep<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut writer = self.begin(lsn_from, lsn_to)?;
        let digest = &mut self.digest;
        fill(&mut |frame| {
            digest.add(frame);
            writer.push(frame)
        })?;
        self.refs.push(writer.finish()?);
        Ok(())
    }

    /// Writes the pack of what is added.
    pub fn pack_added(&mut self, from: Lsn, to: Lsn, mut added: Vec<Added>) -> Result<()> {
        let mut writer = self.begin(from, to)?;
        added.sort_by_key(|added| (added.header.session, added.header.seq));
        for added in &added {
            writer.push(&Frame {
                header: added.header,
                check: 0,
                payload: &added.payload,
            })?;
        }
        self.refs.push(writer.finish()?);
        Ok(())
    }
}
