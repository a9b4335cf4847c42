//! Sifting: which records stay, and reading them in the order in which a pack wants them.
//!
//! Both passes of a compaction, and the plan of one, go through here, so that a plan says what
//! the compaction then does.

use super::image::Image;
use super::replay::Log;
use crate::error::{Corruption, Error, Result};
use crate::format::Fault;
use crate::format::checksum::Seed;
use crate::format::frame::Frame;
use crate::format::ids::{SegmentId, Seq, SessionNo};
use crate::format::pack::Pack;
use crate::journal::index::Loc;
use crate::journal::packs::PackFile;
use crate::journal::segments::SegmentFile;
use crate::model::event::{Kind, decode_payload};
use crate::model::retention::{Fate, RecordMeta, Retention};
use crate::model::session::SessionEntry;
use crate::model::state::State;
use crate::storage::Map;
use crate::sync::Arc;
use std::collections::BTreeMap;
use std::path::Path;

/// What became of the records that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub kept: u64,
    pub superseded: u64,
    pub erased: u64,
    /// Bytes of payloads looked at.
    pub bytes: u64,
}

/// Takes the records that stay.
pub(crate) type Keep<'k> = dyn FnMut(&Frame<'_>) -> Result<()> + 'k;

/// Decides by the fold and the retention policy, and counts.
pub(crate) struct Sieve<'s> {
    pub state: &'s State,
    pub retention: Retention,
    pub tally: Tally,
}

impl Sieve<'_> {
    /// Looks at all records of `image` that stand in sealed segments of `log` (and in the
    /// active one too, if `active` says so), by session and sequence.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a record that does not validate, [`Error::Io`], and what `keep`
    /// returns.
    pub fn sift_log(
        &mut self,
        image: &Image,
        log: &Log,
        active: bool,
        keep: &mut Keep<'_>,
    ) -> Result<()> {
        let source = LogSource::open(log)?;
        for (no, places) in image.logs() {
            let Some(entry) = image.state.entry(no) else {
                continue;
            };
            let mut seq = places.first_seq;
            for loc in &places.places {
                if active || loc.segment() < log.active.id() {
                    source.read(*loc, no, seq, |frame, path| {
                        self.sift(entry, frame, path, keep)
                    })?;
                }
                seq = seq.next();
            }
        }
        Ok(())
    }

    /// Looks at all records of neighbouring packs, by session and sequence.
    ///
    /// # Errors
    /// As [`Sieve::sift_log`].
    pub fn sift_packs(&mut self, packs: &[Arc<PackFile>], keep: &mut Keep<'_>) -> Result<()> {
        let mut sources: Vec<PackSource<'_>> = packs
            .iter()
            .map(|p| PackSource::new(p))
            .collect::<Result<_>>()?;
        while let Some(no) = sources.iter().filter_map(PackSource::session).min() {
            for source in sources
                .iter_mut()
                .filter(|source| source.session() == Some(no))
            {
                let file = source.file;
                let Some(entry) = self.state.entry(no) else {
                    let what = format!("records of session {no}, which never was");
                    return Err(Corruption::new(file.path(), what).into());
                };
                source.read_session(|frame| self.sift(entry, frame, file.path(), keep))?;
            }
        }
        Ok(())
    }

    fn sift(
        &mut self,
        entry: &SessionEntry,
        frame: &Frame<'_>,
        path: &Path,
        keep: &mut Keep<'_>,
    ) -> Result<()> {
        let header = &frame.header;
        let damaged = |what: String| -> Error {
            Corruption::new(path, what)
                .of_lsns(header.lsn, header.lsn.next())
                .into()
        };
        let kind = Kind::try_from(header.kind).map_err(|e| damaged(e.to_string()))?;
        let (envelope, _) = decode_payload(frame.payload).map_err(|e| damaged(e.to_string()))?;
        let record = RecordMeta {
            seq: header.seq,
            kind,
            turn: envelope.turn,
            name: envelope.name,
            link: envelope.link,
        };
        self.tally.bytes += frame.payload.len() as u64;
        match self.retention.fate(entry, &record) {
            Fate::Keep => {
                self.tally.kept += 1;
                keep(frame)?;
            }
            Fate::Superseded => self.tally.superseded += 1,
            Fate::Erased => self.tally.erased += 1,
        }
        Ok(())
    }
}

/// How many records of a pack were erased, by its index alone.
pub(super) fn erased_in(pack: &PackFile, state: &State) -> Result<u64> {
    let index = pack.view()?.index;
    let mut erased = 0;
    for (no, records) in (0..index.session_count()).filter_map(|i| index.session_at(i)) {
        match state.entry(no) {
            Some(SessionEntry::Live(session)) => {
                for &(from, to) in &session.holes {
                    erased += pack.slots(no, from, to)?.len() as u64;
                }
            }
            Some(SessionEntry::Deleted(_)) | None => erased += records.len() as u64,
        }
    }
    Ok(erased)
}

/// Reads records of the log at random: sealed segments through maps.
struct LogSource<'l> {
    log: &'l Log,
    maps: BTreeMap<SegmentId, (&'l SegmentFile, Seed, Arc<dyn Map>)>,
}

impl<'l> LogSource<'l> {
    fn open(log: &'l Log) -> Result<Self> {
        let mut maps = BTreeMap::new();
        for segment in &log.sealed {
            let map = segment
                .file()
                .map()
                .map_err(|e| Error::io("map", segment.path(), e))?;
            maps.insert(segment.id(), (&**segment, segment.header().seed(), map));
        }
        Ok(LogSource { log, maps })
    }

    /// Reads the record at `loc`, which must be record `seq` of session `no`.
    fn read(
        &self,
        loc: Loc,
        no: SessionNo,
        seq: Seq,
        look: impl FnOnce(&Frame<'_>, &Path) -> Result<()>,
    ) -> Result<()> {
        let id = loc.segment();
        let check_and_look = |segment: &SegmentFile, frame: &Frame<'_>| {
            if frame.header.session != no || frame.header.seq != seq {
                return Err(
                    Corruption::new(segment.path(), "another record stands here")
                        .at(loc.offset())
                        .in_segment(id)
                        .into(),
                );
            }
            look(frame, segment.path())
        };
        let Some((segment, seed, map)) = self.maps.get(&id) else {
            let active = &self.log.active;
            if id != active.id() {
                let what = "a segment is missing";
                return Err(Corruption::new(crate::format::names::segment(id), what).into());
            }
            return active.with_frame(loc.offset(), &mut Vec::new(), |header, payload| {
                let frame = Frame {
                    header: *header,
                    check: 0,
                    payload,
                };
                check_and_look(active, &frame)
            });
        };
        let bytes = map.bytes().get(loc.offset() as usize..).unwrap_or_default();
        let (frame, _) = Frame::decode(*seed, bytes).map_err(|fault| {
            Error::from(
                Corruption::new(segment.path(), fault.to_string())
                    .at(loc.offset())
                    .in_segment(id),
            )
        })?;
        check_and_look(segment, &frame)
    }
}

/// Reads a pack from front to back, one session after the other. Each block is decoded once.
struct PackSource<'p> {
    file: &'p PackFile,
    pack: Pack<'p>,
    /// Which session of the pack comes next.
    at: u32,
    block: Option<u32>,
    raw: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'p> PackSource<'p> {
    fn new(file: &'p PackFile) -> Result<Self> {
        let (raw, scratch) = (Vec::new(), Vec::new());
        Ok(PackSource {
            file,
            pack: file.view()?,
            at: 0,
            block: None,
            raw,
            scratch,
        })
    }

    fn session(&self) -> Option<SessionNo> {
        self.pack.index.session_at(self.at).map(|(no, _)| no)
    }

    fn read_session(&mut self, mut look: impl FnMut(&Frame<'_>) -> Result<()>) -> Result<()> {
        let records = self
            .pack
            .index
            .session_at(self.at)
            .map_or(0..0, |(_, records)| records);
        self.at += 1;
        for slot in records {
            let record = self.pack.index.record(slot);
            let record = record.expect("a session's records are in the record table");
            self.load(record.block)
                .map_err(|fault| self.damaged(fault, record.block))?;
            let frame = self.pack.frame(&record, &self.raw);
            look(&frame.map_err(|fault| self.damaged(fault, record.block))?)?;
        }
        Ok(())
    }

    fn load(&mut self, block: u32) -> std::result::Result<(), Fault> {
        if self.block != Some(block) {
            self.block = None;
            let raw = self.pack.block(block, &mut self.scratch)?;
            self.raw.clear();
            self.raw.extend_from_slice(raw);
            self.block = Some(block);
        }
        Ok(())
    }

    fn damaged(&self, fault: Fault, block: u32) -> Error {
        let corruption = Corruption::new(self.file.path(), fault.to_string());
        match self.pack.index.block_offset(block) {
            Some(offset) => corruption.at(offset).into(),
            None => corruption.into(),
        }
    }
}
