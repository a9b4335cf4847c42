//! A journal that nobody writes to: a backup, or one whose lock is held. Everything that it says,
//! and where its records are.
//!
//! Looking never touches: what an opening would cut or log again is left as it is.

use crate::error::{Corruption, Error, Result};
use crate::format::checksum::Crc;
use crate::format::frame::Frame;
use crate::format::ids::{Epoch, Lsn, SegmentId};
use crate::format::manifest::Manifest;
use crate::journal::packs::PackFile;
use crate::model::key::hash_onto;
use crate::model::retention::Retention;
use crate::model::state::State;
use crate::recovery::open::{check_present, known, load_base, read_watermark};
use crate::recovery::scan::{Segments, read_log};
use crate::snapshot::catalog;
use crate::snapshot::image::Image;
use crate::snapshot::replay::Log;
use crate::snapshot::sift::{Keep, Sieve, Tally};
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use crate::sync::Arc;

/// How many idempotency keys of a session are kept: as many as any setting would. The host's own
/// setting counts again when it opens the journal.
const KEY_WINDOW: usize = 1 << 16;

/// A journal at rest.
#[derive(Debug)]
pub struct AtRest {
    /// The manifest in force.
    pub manifest: Manifest,
    /// The fold of all records, and where those are that are in no pack.
    pub image: Image,
    /// The packs, as the image names them.
    pub packs: Vec<Arc<PackFile>>,
    /// The latest writer that is known of.
    pub epoch: Epoch,
    /// Nothing is at its end of which nobody can tell whether it was acknowledged.
    pub is_settled: bool,
    /// The log, as far as it holds records that are in no pack.
    log: Log,
}

impl AtRest {
    /// Reads the journal in `dir`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no manifest; [`Error::Corrupt`] if an opening would say so;
    /// [`Error::NewerFormat`], [`Error::Io`].
    pub fn load(dir: &Dir) -> Result<AtRest> {
        let found = catalog::read_newest(dir)?.ok_or_else(|| Error::NotFound {
            path: dir.path().to_path_buf(),
        })?;
        let manifest = &found.manifest;
        let mark = read_watermark(dir, manifest.journal);
        let floor = manifest.log_floor;
        let segments = Segments::open(dir, manifest.journal, floor, OpenMode::Read)?;
        let base = load_base(dir, &found, KEY_WINDOW)?;
        let mut image = base.image;
        check_present(dir, &segments, &image)?;
        let known = known(manifest, mark.as_ref().ok());
        let mut end = read_log(dir, &segments, image.point, known, |segment, at, group| {
            image
                .apply_group(segment.id(), at.offset, group)
                .map_err(|misfit| misfit.into_error(segment))
        })?;
        end.hold_against_page(&segments, mark.is_ok());
        if let Some(corruption) = end.corruption {
            return Err(corruption.into());
        }
        image.set_point(end.point);
        let wrote = mark.map_or(Epoch::default(), |mark| mark.epoch);
        Ok(AtRest {
            epoch: end.point.epoch.max(wrote),
            is_settled: end.unproven.is_empty() && end.torn_bytes == 0,
            log: log_of(dir, &segments, &image)?,
            manifest: found.manifest,
            image,
            packs: base.packs,
        })
    }

    /// The LSN after the last record.
    pub fn next_lsn(&self) -> Lsn {
        self.image.point.next_lsn
    }

    /// Everything below is in packs.
    pub fn packed_to(&self) -> Lsn {
        let last = self.image.packs.last();
        last.map_or(Lsn::new(1), |pack| pack.lsn_to)
    }

    /// Gives every record of a pack that was not dropped, by session and sequence.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Io`], and what `keep` returns.
    pub fn read_pack(&self, at: usize, keep: &mut Keep<'_>) -> Result<()> {
        self.sieve().sift_packs(&self.packs[at..=at], keep)
    }

    /// Gives every record that is in no pack and was not dropped, by session and sequence.
    ///
    /// # Errors
    /// As [`AtRest::read_pack`].
    pub fn read_log(&self, keep: &mut Keep<'_>) -> Result<()> {
        self.sieve().sift_log(&self.image, &self.log, true, keep)
    }

    fn sieve(&self) -> Sieve<'_> {
        Sieve {
            state: &self.image.state,
            retention: everything(),
            tally: Tally::default(),
        }
    }
}

/// Gives every record of a pack, by session and sequence.
///
/// # Errors
/// As [`AtRest::read_pack`].
pub fn read_all(state: &State, pack: &Arc<PackFile>, keep: &mut Keep<'_>) -> Result<()> {
    let mut sieve = Sieve {
        state,
        retention: everything(),
        tally: Tally::default(),
    };
    sieve.sift_packs(std::slice::from_ref(pack), keep)
}

/// Nothing is dropped but what was erased, and claims of input that is done with.
fn everything() -> Retention {
    Retention {
        keep_progress_of_ended_turns: true,
        keep_replaced_values: true,
    }
}

fn log_of(dir: &Dir, segments: &Segments, image: &Image) -> Result<Log> {
    let from = image.log_from;
    let mut sealed: Vec<_> = segments
        .whole
        .range(from..=image.point.segment)
        .map(|(_, segment)| segment.clone())
        .collect();
    let active = sealed.pop().ok_or_else(|| -> Error {
        let id: SegmentId = image.point.segment;
        Corruption::new(dir.path(), "the segment in which the log ends is missing")
            .in_segment(id)
            .into()
    })?;
    Ok(Log {
        sealed,
        active,
        sealed_to: image.point.next_lsn,
    })
}

/// A digest of records, by everything that a reader is shown of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How many.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    hash: u128,
}

impl Digest {
    /// Takes in the next record.
    pub fn add(&mut self, frame: &Frame<'_>) {
        let h = &frame.header;
        let mut crc = Crc::default();
        crc.update(frame.payload);
        let facts = [
            h.lsn.get(),
            u64::from(h.session.get()) << 32 | u64::from(h.seq.get()),
            u64::from(h.epoch.get()) << 32 | u64::from(crc.finish()),
            u64::from(h.kind) << 24
                | u64::from(h.flags) << 16
                | u64::from(h.codec) << 8
                | u64::from(h.body_version),
        ];
        let mut bytes = [0; 32];
        for (to, fact) in bytes.chunks_mut(8).zip(facts) {
            to.copy_from_slice(&fact.to_le_bytes());
        }
        self.hash = hash_onto(hash_onto(self.hash, &bytes), frame.payload);
        self.records += 1;
        self.bytes += frame.payload.len() as u64;
    }

    /// The digest as 32 hexadecimal digits.
    pub fn hex(&self) -> String {
        format!("{:032x}", self.hash)
    }
}
