//! Compaction: sealed segments become packs and a snapshot, off the path of commits.
//!
//! 1. The newest snapshot is loaded and the sealed part of the log folded onto it, to the LSN
//!    at which the active segment begins. Everything below is durable, or it is waited for.
//! 2. The live records of these segments are written to a pack. Memory follows sessions and the
//!    number of new records, not their bytes.
//! 3. Packs with records that were erased since are written anew; so are the cheapest
//!    neighbours, if there are too many packs.
//! 4. The state file is written; names are synced; the manifest is published (see `publish` for
//!    what a crash leaves on the way).
//! 5. The index of the running journal learns of the packs, then forgets the places in the log.
//!    Readers find every record at any moment: first twice, then once.
//! 6. What no kept snapshot needs is given up.
//!
//! *Erasing.* When something was truncated, cleared or deleted, its bytes must leave every file.
//! So the spares go, the log goes on in a file made from nothing, and everything before that is
//! compacted. The new snapshot is published twice, with a second state file, under two
//! manifests: the older recovery path is then as clean as the newer one. All older segments,
//! snapshots and packs that held any of it are removed and not used again.
//!
//! A compaction that fails leaves the journal as it was and never poisons it.

use super::load::open_packs;
use super::plan::{CompactionPlan, Survey};
use super::publish::{Draft, Reclaimed, reclaim};
use super::sift::{Keep, Sieve, Tally};
use super::write::{PackWriter, write_state};
use super::{plan, rotate};
use crate::error::{Corruption, Error, Result};
use crate::format::frame::Frame;
use crate::format::ids::{Lsn, SegmentId, SessionNo, SnapshotId};
use crate::format::manifest::PackRef;
use crate::format::names;
use crate::format::pack::PackHeader;
use crate::journal::events::JournalEvent;
use crate::journal::handle::Journal;
use crate::journal::packs::PackFile;
use crate::journal::shared::Shared;
use crate::journal::watch::span;
use crate::sync::Arc;
use serde::Serialize;
use std::fmt;

/// How many records are written between two looks at what else is to be done.
const BREATH_RECORDS: u32 = 4096;

/// For how many sessions the index is held at once.
const CHUNK_SESSIONS: usize = 256;

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Compaction {
    /// The snapshot that was made; none if there was nothing to do.
    pub snapshot: Option<SnapshotId>,
    /// Every record below is in a pack, unless it was dropped.
    pub packed_to: Lsn,
    /// Segments whose records moved to a pack.
    pub segments: u64,
    /// Bytes that were read, of segments and of packs.
    pub bytes_in: u64,
    /// Bytes of packs that were written.
    pub bytes_out: u64,
    /// Records that were written.
    pub records_kept: u64,
    /// Records that were dropped because later ones stand for them.
    pub records_superseded: u64,
    /// Records that were dropped because they were truncated, cleared or deleted.
    pub records_erased: u64,
    /// Packs that were written anew.
    pub packs_rewritten: u64,
    /// Something was truncated, cleared or deleted: no file holds bytes of it any more.
    pub erased: bool,
    /// Segment files that were removed.
    pub segments_removed: u64,
    /// Segment files that will be used again.
    pub segments_reused: u64,
    /// Other files that were removed.
    pub files_removed: u64,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

impl fmt::Display for Compaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(snapshot) = self.snapshot else {
            return write!(f, "nothing to compact");
        };
        write!(
            f,
            "compacted {} segments up to lsn {} into snapshot {snapshot}: kept {} records, \
             dropped {} superseded and {} erased; {} bytes became {}",
            self.segments,
            self.packed_to,
            self.records_kept,
            self.records_superseded,
            self.records_erased,
            self.bytes_in,
            self.bytes_out,
        )?;
        if self.packs_rewritten > 0 {
            write!(f, "; rewrote {} packs", self.packs_rewritten)?;
        }
        let freed = self.segments_removed + self.segments_reused;
        if freed > 0 {
            write!(f, "; freed {freed} segments")?;
        }
        Ok(())
    }
}

impl Journal {
    /// Compacts everything accepted so far: live records move to packs, dropped ones go.
    ///
    /// When this returns, no byte of what was deleted, cleared or truncated before the call is
    /// in any file of the journal. Appends and reads go on meanwhile.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`], [`Error::Corrupt`] if something that it read does not
    /// validate: the journal is as it was. [`Error::Poisoned`], [`Error::Closed`].
    pub fn compact(&self) -> Result<Compaction> {
        self.shared.commit.check_home()?;
        compact(&self.shared, true)
    }

    /// Says what [`Journal::compact`] would do now, and does nothing.
    ///
    /// # Errors
    /// As [`Journal::compact`].
    pub fn plan_compaction(&self) -> Result<CompactionPlan> {
        self.shared.commit.check_home()?;
        plan::plan(&self.shared)
    }
}

/// Compacts in the background, when enough of the log is sealed and not packed.
pub(crate) fn maintain(shared: &Arc<Shared>) -> Result<()> {
    if uncompacted_bytes(shared) < shared.options.compact_after_bytes {
        return Ok(());
    }
    match compact(shared, false) {
        Ok(_) | Err(Error::Closed) => Ok(()),
        Err(error) => {
            let mut upkeep = shared.upkeep.lock();
            upkeep.failures += 1;
            upkeep.last_failure = Some(error.to_string());
            drop(upkeep);
            #[cfg(feature = "metrics")]
            shared.watch.meters.failed_compactions.increment(1);
            shared.watch.tell(JournalEvent::CompactionFailed {
                why: error.to_string(),
            });
            Err(error)
        }
    }
}

/// Bytes of sealed segments that hold records which are in no pack.
pub(super) fn uncompacted_bytes(shared: &Shared) -> u64 {
    let from = shared
        .manifest
        .lock()
        .snapshots
        .last()
        .map_or(SegmentId::new(0), |s| s.log_from);
    let index = shared.index.read();
    let mut sealed = index
        .segments
        .range(from..)
        .map(|(_, segment)| segment.header().capacity);
    sealed.next_back();
    sealed.sum()
}

/// Compacts the sealed part of the log, with `seal` all of it.
pub(super) fn compact(shared: &Arc<Shared>, seal: bool) -> Result<Compaction> {
    span!("turnkeep.compact");
    let _compacting = shared.compacting.lock();
    if shared.commit.is_closed() || shared.is_shut() {
        return Err(Error::Closed);
    }
    let begun_ms = shared.dir.storage().unix_ms();
    if seal {
        rotate::seal(shared)?;
    }
    let mut compaction = Compactor::begin(shared)?.run()?;
    compaction.millis = shared.dir.storage().unix_ms().saturating_sub(begun_ms);
    shared.look_at_space();
    if let Some(snapshot) = compaction.snapshot {
        shared.upkeep.lock().compactions += 1;
        #[cfg(feature = "metrics")]
        shared.watch.meters.compactions.increment(1);
        shared.watch.tell(JournalEvent::Compacted {
            snapshot,
            packed_to: compaction.packed_to,
            bytes_in: compaction.bytes_in,
            bytes_out: compaction.bytes_out,
            millis: compaction.millis,
        });
    }
    Ok(compaction)
}

struct Compactor<'s> {
    shared: &'s Shared,
    draft: Draft,
    survey: Survey,
    /// Bytes of what was dropped must leave every file.
    erasing: bool,
    done: Compaction,
}

impl<'s> Compactor<'s> {
    /// Step 1: the image of everything that is sealed.
    fn begin(shared: &'s Shared) -> Result<Self> {
        let draft = Draft::new(shared);
        let mut survey = Survey::begin(shared, &draft.manifest)?;
        let image = &mut survey.base.image;
        survey.log.replay_sealed(image)?;
        let erasing = image.must_erase;
        if erasing {
            rotate::onto_fresh_file(shared)?;
            survey.log = crate::snapshot::replay::Log::from(shared, image.log_from)?;
            survey.log.replay_sealed(image)?;
        }
        shared.commit.wait_durable(image.point.next_lsn.get())?;
        let done = Compaction {
            packed_to: survey.log.sealed_to,
            ..Compaction::default()
        };
        Ok(Compactor {
            shared,
            draft,
            survey,
            erasing,
            done,
        })
    }

    fn run(mut self) -> Result<Compaction> {
        let from = self.survey.packed_to();
        let is_new = from < self.survey.log.sealed_to;
        let runs = self
            .survey
            .runs(self.shared.options.max_packs, usize::from(is_new))?;
        let is_damaged = !self.survey.base.passed_over.is_empty();
        if !is_new && runs.is_empty() && !self.erasing && !is_damaged {
            return Ok(self.done);
        }
        let mut refs = Vec::new();
        let mut at = 0;
        for run in runs {
            refs.extend_from_slice(&self.survey.base.image.packs[at..run.start]);
            at = run.end;
            refs.push(self.rewrite(run)?);
        }
        refs.extend_from_slice(&self.survey.base.image.packs[at..]);
        if is_new {
            refs.push(self.pack_log(from)?);
        }
        self.publish(refs)
    }

    /// Step 2: one pack of the live records that are in no pack yet.
    fn pack_log(&mut self, from: Lsn) -> Result<PackRef> {
        let to = self.survey.log.sealed_to;
        (self.done.segments, self.done.bytes_in) = {
            let (segments, bytes) = self.survey.segments(false);
            (segments, bytes + self.done.bytes_in)
        };
        let survey = &self.survey;
        write_pack(
            self.shared,
            &mut self.draft,
            from..to,
            &mut self.done,
            |done, keep| {
                let image = &survey.base.image;
                let retention = self.shared.options.retention;
                let mut sieve = Sieve {
                    state: &image.state,
                    retention,
                    tally: Tally::default(),
                };
                sieve.sift_log(image, &survey.log, false, keep)?;
                count(done, sieve.tally);
                Ok(())
            },
        )
    }

    /// Step 3: one pack in place of neighbouring ones.
    fn rewrite(&mut self, run: std::ops::Range<usize>) -> Result<PackRef> {
        let image = &self.survey.base.image;
        let old = &image.packs[run.clone()];
        let lsns = old[0].lsn_from..old[old.len() - 1].lsn_to;
        self.done.packs_rewritten += old.len() as u64;
        self.done.bytes_in += old.iter().map(|pack| pack.bytes).sum::<u64>();
        let files = &self.survey.base.packs[run];
        write_pack(
            self.shared,
            &mut self.draft,
            lsns,
            &mut self.done,
            |done, keep| {
                let retention = self.shared.options.retention;
                let mut sieve = Sieve {
                    state: &image.state,
                    retention,
                    tally: Tally::default(),
                };
                sieve.sift_packs(files, keep)?;
                count(done, sieve.tally);
                Ok(())
            },
        )
    }

    /// Steps 4 to 6.
    fn publish(self, refs: Vec<PackRef>) -> Result<Compaction> {
        let Compactor {
            shared,
            mut draft,
            survey,
            erasing,
            mut done,
        } = self;
        let Survey { mut base, log } = survey;
        let packs = open_packs(&shared.dir, shared.journal, &refs, &base.packs)?;
        base.image.pack_before(log.active.id(), log.sealed_to, refs);
        draft.forget(&base.passed_over);
        if erasing {
            base.image.must_erase = false;
            draft.manifest.snapshots.clear();
        }
        for _ in 0..if erasing { 2 } else { 1 } {
            let id = draft.next_snapshot();
            let snapshot = write_state(&shared.dir, shared.journal, id, &base.image)?;
            draft.add(snapshot, shared.options.keep_snapshots);
            done.snapshot = Some(id);
        }
        drop(base.packs);
        let manifest = draft.publish(shared, erasing)?;
        install(shared, packs, log.active.id());
        drop(log);
        let Reclaimed {
            segments_removed,
            segments_reused,
            files_removed,
        } = match reclaim(shared, &manifest, !erasing) {
            // Not a single name must be able to come back.
            Ok(reclaimed) if erasing => shared.dir.sync().map(|()| reclaimed)?,
            Err(error) if erasing => return Err(error),
            reclaimed => reclaimed.unwrap_or_default(),
        };
        done.erased = erasing;
        done.segments_removed = segments_removed;
        done.segments_reused = segments_reused;
        done.files_removed = files_removed;
        Ok(done)
    }
}

/// Writes one pack of what `fill` keeps.
fn write_pack(
    shared: &Shared,
    draft: &mut Draft,
    lsns: std::ops::Range<Lsn>,
    done: &mut Compaction,
    fill: impl FnOnce(&mut Compaction, &mut Keep<'_>) -> Result<()>,
) -> Result<PackRef> {
    let id = draft.next_pack();
    let (lsn_from, lsn_to) = (lsns.start, lsns.end);
    let header = PackHeader {
        journal: shared.journal,
        id,
        lsn_from,
        lsn_to,
    };
    let mut writer = PackWriter::create(&shared.dir, header)?;
    let mut records = 0_u32;
    fill(done, &mut |frame: &Frame<'_>| {
        records = records.wrapping_add(1);
        if records.is_multiple_of(BREATH_RECORDS) {
            breathe(shared)?;
        }
        if !lsns.contains(&frame.header.lsn) {
            let what = format!("record {} does not belong in pack {id}", frame.header.lsn);
            return Err(Corruption::new(shared.dir.join(&names::pack(id)), what).into());
        }
        writer.push(frame)
    })?;
    let pack = writer.finish()?;
    done.bytes_out += pack.bytes;
    Ok(pack)
}

fn count(done: &mut Compaction, tally: Tally) {
    done.records_kept += tally.kept;
    done.records_superseded += tally.superseded;
    done.records_erased += tally.erased;
}

/// A long compaction neither keeps a closing journal open, nor the log from having its next
/// segment ready: it runs on the thread that would prepare it.
fn breathe(shared: &Shared) -> Result<()> {
    if shared.is_shut() {
        return Err(Error::Closed);
    }
    if shared.options.background && !shared.commit.with_stage(|tail| tail.has_next_segment()) {
        // A failure is met again, and told, by the append that needs the room.
        let _ = shared.prepare_segment(0);
    }
    Ok(())
}

/// Step 5: the running journal reads from the packs what stands before segment `active`.
///
/// The packs come first: until a place in the log is forgotten, the record is found there, and
/// what is found there is not looked for in the packs. The index is held for a few sessions at
/// a time.
fn install(shared: &Shared, packs: Vec<Arc<PackFile>>, active: SegmentId) {
    let old = {
        let mut index = shared.index.write();
        std::mem::replace(&mut index.packs, packs)
    };
    drop(old);
    let mut at = 0;
    loop {
        let mut index = shared.index.write();
        let slots = index.session_slots();
        let end = slots.min(at + CHUNK_SESSIONS);
        for no in at..end {
            index
                .session_mut(SessionNo::new(no as u32))
                .forget_before(active);
        }
        at = end;
        if at == slots {
            index.first_lsns.retain(|_, segment| *segment >= active);
            return;
        }
    }
}
