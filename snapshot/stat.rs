//! What a journal is made of, in numbers.

use super::checkpoint::SnapshotInfo;
use super::compaction::uncompacted_bytes;
use crate::error::{Error, Result};
use crate::format::ids::{JournalId, Lsn};
use crate::format::names::Name;
use crate::journal::handle::Journal;
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use serde::Serialize;
use std::fmt;

/// Files of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileCount {
    /// How many.
    pub files: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

/// The files of a journal's directory, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Files {
    /// Segments of the log, prepared ones included.
    pub segments: FileCount,
    /// Files waiting to become segments.
    pub spares: FileCount,
    /// Packs.
    pub packs: FileCount,
    /// State files of snapshots.
    pub states: FileCount,
    /// Manifests, the lock and the watermark page.
    pub other: FileCount,
    /// Temporary files, of writes that are under way or were broken off.
    pub temporary: FileCount,
    /// Files that are not the journal's.
    pub foreign: FileCount,
}

impl Files {
    /// Counts what is in a directory. A file that goes away meanwhile is not counted.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn count(dir: &Dir) -> Result<Files> {
        let mut files = Files::default();
        for entry in dir.list()? {
            if !entry.is_file {
                continue;
            }
            let kind = match Name::parse(&entry.name) {
                Name::Segment(_) => &mut files.segments,
                Name::Spare(_) => &mut files.spares,
                Name::Pack(_) => &mut files.packs,
                Name::State(_) => &mut files.states,
                Name::Tmp => &mut files.temporary,
                Name::Lock | Name::Watermark | Name::Manifest(_) | Name::Backup => &mut files.other,
                Name::Quarantine | Name::Foreign => {
                    files.foreign.files += 1;
                    continue;
                }
            };
            let size = dir.open(&entry.name, OpenMode::Read).and_then(|file| {
                file.size()
                    .map_err(|e| Error::io("measure", &dir.join(&entry.name), e))
            });
            match size {
                Ok(size) => {
                    kind.files += 1;
                    kind.bytes += size;
                }
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// Everything that is the journal's.
    pub fn total(&self) -> FileCount {
        let kinds = [
            self.segments,
            self.spares,
            self.packs,
            self.states,
            self.other,
            self.temporary,
        ];
        kinds
            .iter()
            .fold(FileCount::default(), |sum, kind| FileCount {
                files: sum.files + kind.files,
                bytes: sum.bytes + kind.bytes,
            })
    }
}

/// A journal in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stat {
    /// The journal's identity.
    pub journal: JournalId,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// Its files.
    pub files: Files,
    /// Sessions that were not deleted.
    pub sessions: u64,
    /// Records that were not truncated, cleared or deleted.
    pub records: u64,
    /// Turns that have not ended.
    pub open_turns: u64,
    /// Everything below is accepted.
    pub accepted_lsn: Lsn,
    /// Everything below is durable.
    pub durable_lsn: Lsn,
    /// Bytes that are accepted and not durable.
    pub pending_bytes: u64,
    /// The kept snapshots, newest last.
    pub snapshots: Vec<SnapshotInfo>,
    /// Bytes of sealed segments whose records are in no pack.
    pub uncompacted_bytes: u64,
    /// Memory that the index takes, roughly: it follows what is not compacted.
    pub index_bytes: u64,
    /// Compactions since the journal was opened.
    pub compactions: u64,
    /// Compactions in the background that failed since then. The journal goes on without.
    pub failed_compactions: u64,
    /// Why the last of them failed.
    pub last_failure: Option<String>,
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.files.total();
        write!(
            f,
            "{} records in {} sessions, {} turns open; durable up to lsn {}; {} bytes in {} files \
             ({} segments, {} packs, {} snapshots), {} bytes not compacted",
            self.records,
            self.sessions,
            self.open_turns,
            self.durable_lsn,
            total.bytes,
            total.files,
            self.files.segments.files,
            self.files.packs.files,
            self.snapshots.len(),
            self.uncompacted_bytes,
        )?;
        if let Some(why) = &self.last_failure {
            write!(
                f,
                "; {} compactions failed, last: {why}",
                self.failed_compactions
            )?;
        }
        Ok(())
    }
}

impl Journal {
    /// Counts what the journal is made of.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read.
    pub fn stat(&self) -> Result<Stat> {
        let shared = &self.shared;
        shared.commit.check_home()?;
        let (sessions, records, open_turns, accepted_lsn, pending_bytes) =
            shared.commit.with_stage(|tail| {
                let records = tail
                    .state
                    .sessions()
                    .map(|s| u64::from(s.visible_len()))
                    .sum();
                let sessions = tail.state.sessions().count() as u64;
                let open_turns = tail.state.open_turn_count() as u64;
                (
                    sessions,
                    records,
                    open_turns,
                    tail.next_lsn(),
                    tail.pending_bytes() as u64,
                )
            });
        let manifest = shared.manifest.lock().clone();
        let upkeep = shared.upkeep.lock().clone();
        Ok(Stat {
            journal: shared.journal,
            created_ms: manifest.created_ms,
            files: Files::count(&shared.dir)?,
            sessions,
            records,
            open_turns,
            accepted_lsn,
            durable_lsn: Lsn::new(shared.commit.durable()),
            pending_bytes,
            snapshots: manifest.snapshots.iter().map(SnapshotInfo::of).collect(),
            uncompacted_bytes: uncompacted_bytes(shared),
            index_bytes: shared.index.read().memory_bytes() as u64,
            compactions: upkeep.compactions,
            failed_compactions: upkeep.failures,
            last_failure: upkeep.last_failure,
        })
    }
}
