//! What a compaction would do, without doing it.

use super::image::Image;
use super::load::{Base, load_newest};
use super::merge::{Candidate, choose};
use super::replay::Log;
use super::sift::{Sieve, Tally, erased_in};
use crate::error::Result;
use crate::format::ids::Lsn;
use crate::format::manifest::Manifest;
use crate::journal::shared::Shared;
use serde::Serialize;
use std::fmt;
use std::ops::Range;

/// What a compaction would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CompactionPlan {
    /// Segments whose records would move to a pack.
    pub segments: u64,
    /// Bytes of those segments, as far as they are written, and of the packs to be rewritten.
    pub bytes_in: u64,
    /// Records that would be written.
    pub records_keep: u64,
    /// Records that would be dropped because later ones stand for them.
    pub records_superseded: u64,
    /// Records that would be dropped because they were truncated, cleared or deleted.
    pub records_erased: u64,
    /// Packs that would be written anew.
    pub packs_rewritten: u64,
    /// Something was truncated, cleared or deleted: every file with bytes of it would go.
    pub erasing: bool,
}

impl fmt::Display for CompactionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "would compact {} bytes of {} segments and {} packs, keep {} records, \
             drop {} superseded and {} erased",
            self.bytes_in,
            self.segments,
            self.packs_rewritten,
            self.records_keep,
            self.records_superseded,
            self.records_erased,
        )
    }
}

impl CompactionPlan {
    pub(super) fn count(&mut self, tally: Tally) {
        self.records_keep += tally.kept;
        self.records_superseded += tally.superseded;
        self.records_erased += tally.erased;
    }
}

/// What a compaction starts from: the newest snapshot, and the log behind it.
#[derive(Debug)]
pub(super) struct Survey {
    pub base: Base,
    pub log: Log,
}

impl Survey {
    /// Loads the newest snapshot and lists the log that it does not cover.
    ///
    /// # Errors
    /// As [`load_newest`] and [`Log::from`].
    pub fn begin(shared: &Shared, manifest: &Manifest) -> Result<Survey> {
        let open = shared.index.read().packs.clone();
        let base = load_newest(&shared.dir, manifest, shared.options.key_window, &open)?;
        let log = Log::from(shared, base.image.log_from)?;
        Ok(Survey { base, log })
    }

    /// Everything below is in packs.
    pub fn packed_to(&self) -> Lsn {
        self.base
            .image
            .packs
            .last()
            .map_or(Lsn::new(1), |pack| pack.lsn_to)
    }

    /// Which packs are written anew if `extra` others are added.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] for a pack whose index does not validate.
    pub fn runs(&self, max_packs: usize, extra: usize) -> Result<Vec<Range<usize>>> {
        let Image {
            state,
            packs,
            must_erase,
            ..
        } = &self.base.image;
        let mut candidates = Vec::with_capacity(packs.len());
        for (pack, file) in packs.iter().zip(&self.base.packs) {
            candidates.push(Candidate {
                bytes: pack.bytes,
                must_go: *must_erase && erased_in(file, state)? > 0,
            });
        }
        Ok(choose(&candidates, max_packs.saturating_sub(extra)))
    }

    /// Segments with records that are in no pack, the active one only if `active` says so, and
    /// how many bytes are written in them.
    pub fn segments(&self, active: bool) -> (u64, u64) {
        let image = &self.base.image;
        let mut ends = std::collections::BTreeMap::new();
        for (_, log) in image.logs() {
            for loc in &log.places {
                if active || loc.segment() < self.log.active.id() {
                    let end: &mut u64 = ends.entry(loc.segment()).or_default();
                    *end = loc.offset().max(*end);
                }
            }
        }
        (ends.len() as u64, ends.values().sum())
    }
}

/// Says what [`super::compaction::compact`] would do now.
///
/// # Errors
/// As the compaction, but for those of writing.
pub(crate) fn plan(shared: &Shared) -> Result<CompactionPlan> {
    let _compacting = shared.compacting.lock();
    shared.commit.flush()?;
    let durable = Lsn::new(shared.commit.durable());
    let manifest = shared.manifest.lock().clone();
    let mut survey = Survey::begin(shared, &manifest)?;
    survey.log.replay_sealed(&mut survey.base.image)?;
    // A segment that was begun since then starts behind what was durable.
    let end = durable
        .max(survey.log.sealed_to)
        .max(survey.base.image.point.next_lsn);
    survey.log.replay_active(&mut survey.base.image, end)?;
    let image = &survey.base.image;
    let (segments, mut bytes_in) = survey.segments(true);
    let extra = usize::from(survey.packed_to() < end);
    let runs = survey.runs(shared.options.max_packs, extra)?;
    let retention = shared.options.retention;
    let mut sieve = Sieve {
        state: &image.state,
        retention,
        tally: Tally::default(),
    };
    sieve.sift_log(image, &survey.log, true, &mut |_| Ok(()))?;
    let mut packs_rewritten = 0;
    for run in runs {
        packs_rewritten += run.len() as u64;
        bytes_in += image.packs[run.clone()]
            .iter()
            .map(|pack| pack.bytes)
            .sum::<u64>();
        sieve.sift_packs(&survey.base.packs[run], &mut |_| Ok(()))?;
    }
    let erasing = image.must_erase;
    let mut plan = CompactionPlan {
        segments,
        bytes_in,
        packs_rewritten,
        erasing,
        ..Default::default()
    };
    plan.count(sieve.tally);
    Ok(plan)
}
