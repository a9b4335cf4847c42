//! Verifying: reads every byte, changes none.
//!
//! Manifests, state files, packs and segments are read and checked; the log is folded and judged
//! as an opening would do it, so a journal that verifies as sound opens. Damage does not stop a
//! verification: it goes on behind it, and with the next file. Padding, spare files and what
//! stands behind the end of the log are read, but nothing depends on them, so nothing is said.
//!
//! No lock is taken. Beside a writer, everything that was durable when the verification began
//! is checked; if the writer moves files meanwhile, the verification begins again, at most
//! eight times.

mod log;
mod packs;
mod report;
mod segment;

#[cfg(test)]
mod tests;

pub use report::VerifyReport;
pub use segment::{SegmentReport, verify_segment};

use report::finding_of;
pub(super) use report::finding_of_error;

use super::open::{known_lsn, read_watermark};
use super::reader::{expect_journal, may_be_motion};
use super::scan::Segments;
use crate::error::{Corruption, Error, Result};
use crate::format::ids::{JournalId, Lsn, PackId, SegmentId, SnapshotId};
use crate::format::manifest::{Manifest, PackRef};
use crate::format::names::{self, Name};
use crate::format::segment::{SEGMENT_HEADER_LEN, SegmentHeader};
use crate::format::watermark::Watermark;
use crate::journal::packs::PackFile;
use crate::model::finding::{Finding, Severity};
use crate::snapshot::image::Image;
use crate::snapshot::{catalog, load};
use crate::storage::dir::Dir;
use crate::storage::{DiskStorage, File, OpenMode, Storage};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// How often a verification begins again because a writer moved files meanwhile.
const ATTEMPTS: usize = 8;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// How far a verification or a salvage has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The file that is being read.
    pub file: &'a str,
    /// Bytes read so far.
    pub done_bytes: u64,
    /// Bytes there are, as far as was known at the beginning.
    pub total_bytes: u64,
}

/// Reads every byte of the journal at `path` and checks it. Nothing is changed, no lock is
/// taken.
///
/// Damage is not an error: it is in the report.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAJournal`], [`Error::NewerFormat`]; [`Error::Io`] if the
/// directory cannot be listed.
pub fn verify(path: impl AsRef<Path>) -> Result<VerifyReport> {
    verify_on(Arc::new(DiskStorage), path, &mut |_| ())
}

/// As [`verify`], on any disk, saying how far it has come.
///
/// # Errors
/// As [`verify`].
pub fn verify_on(
    storage: Arc<dyn Storage>,
    path: impl AsRef<Path>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<VerifyReport> {
    let started = Instant::now();
    let dir = Dir::new(storage, path.as_ref());
    let mut attempt = 1;
    loop {
        let before = fingerprint(&dir);
        let verified = Verifier::new(&dir, progress)?.run();
        let mut report = match verified {
            // A file went away between listing and opening it.
            Err(error) if attempt < ATTEMPTS && may_be_motion(&error) => {
                attempt += 1;
                continue;
            }
            verified => verified?,
        };
        let settled = report.is_sound() || fingerprint(&dir) == before;
        if settled || attempt == ATTEMPTS {
            report.micros = started.elapsed().as_micros() as u64;
            return Ok(report);
        }
        attempt += 1;
    }
}

/// What changes when a writer is at work: the manifest in force and the watermark.
fn fingerprint(dir: &Dir) -> Option<(u64, Option<u64>)> {
    let manifest = catalog::read_newest(dir).ok()??.manifest;
    let mark = read_watermark(dir, manifest.journal).ok();
    Some((manifest.generation, mark.map(|mark| mark.counter)))
}

/// Whether there are files of a journal in a directory, whatever else is there.
pub(crate) fn holds_files(dir: &Dir) -> bool {
    let listed = dir.list().unwrap_or_default();
    listed.iter().any(|entry| {
        matches!(
            Name::parse(&entry.name),
            Name::Segment(_) | Name::Pack(_) | Name::State(_) | Name::Manifest(_)
        )
    })
}

/// One verification.
struct Verifier<'a> {
    dir: &'a Dir,
    progress: &'a mut dyn FnMut(Progress<'_>),
    report: VerifyReport,
    total_bytes: u64,
    done_bytes: u64,
    /// Length of each file.
    sizes: BTreeMap<String, u64>,
}

/// What the catalog says, as far as it can be read.
struct Catalog {
    journal: JournalId,
    /// The manifest in force, if one validates.
    manifest: Option<Manifest>,
    /// A newer one does not validate: it may have given up what this one refers to.
    is_outdated: bool,
    mark: Option<Watermark>,
}

impl<'a> Verifier<'a> {
    fn new(dir: &'a Dir, progress: &'a mut dyn FnMut(Progress<'_>)) -> Result<Self> {
        match expect_journal(dir) {
            // Without a manifest there is still something to look at.
            Ok(()) | Err(Error::Corrupt(_)) => {}
            Err(Error::NotAJournal { .. }) if holds_files(dir) => {}
            Err(error) => return Err(error),
        }
        Ok(Verifier {
            dir,
            progress,
            report: VerifyReport::default(),
            total_bytes: 0,
            done_bytes: 0,
            sizes: BTreeMap::new(),
        })
    }

    fn run(mut self) -> Result<VerifyReport> {
        self.list()?;
        let catalog = self.catalog()?;
        let segments = self.open_segments(&catalog)?;
        let base = self.snapshots(&catalog)?;
        let held = self.packs(&catalog, &segments)?;
        log::verify_log(&mut self, &catalog, &segments, base, held)?;
        self.report.finish();
        Ok(self.report)
    }

    /// Takes stock of the directory, and says what does not belong there.
    fn list(&mut self) -> Result<()> {
        for entry in self.dir.list()? {
            let name = Name::parse(&entry.name);
            let says = |severity, code, what: &str| {
                Some(Finding::new(severity, code, what).in_file(&*entry.name))
            };
            let finding = match name {
                Name::Quarantine => None,
                Name::Foreign => says(Severity::Note, "foreign", "not a file of the journal"),
                _ if !entry.is_file => says(Severity::Warning, "not_a_file", "not a regular file"),
                Name::Tmp => says(
                    Severity::Note,
                    "unfinished",
                    "a file that was never finished; swept by the next opening after a crash",
                ),
                _ => None,
            };
            let ours = entry.is_file
                && !matches!(name, Name::Foreign | Name::Tmp | Name::Lock | Name::Backup);
            if ours && let Ok(file) = self.dir.open(&entry.name, OpenMode::Read) {
                let size = file.size().unwrap_or(0);
                self.report.files += 1;
                self.total_bytes += size;
                self.sizes.insert(entry.name.clone(), size);
            }
            self.report.findings.extend(finding);
        }
        self.report.bytes = self.total_bytes;
        Ok(())
    }

    /// Says that so many more bytes of `file` were read.
    fn advance(&mut self, file: &str, bytes: u64) {
        self.done_bytes += bytes;
        (self.progress)(Progress {
            file,
            done_bytes: self.done_bytes.min(self.total_bytes),
            total_bytes: self.total_bytes,
        });
    }

    fn size(&self, name: &str) -> u64 {
        self.sizes.get(name).copied().unwrap_or(0)
    }

    /// Reads every manifest and the watermark page.
    fn catalog(&mut self) -> Result<Catalog> {
        let names: Vec<String> = self.sizes.keys().cloned().collect();
        let mut manifest: Option<Manifest> = None;
        let mut newest = 0;
        for name in names {
            let Name::Manifest(generation) = Name::parse(&name) else {
                continue;
            };
            newest = newest.max(generation);
            match catalog::read(self.dir, generation) {
                Ok(Ok(read)) => {
                    if manifest.as_ref().is_none_or(|m| m.generation < generation) {
                        manifest = Some(read);
                    }
                }
                Ok(Err(why)) => self.report.add(finding_of("manifest", &why)),
                // A writer published another and gave this one up since the directory was listed.
                Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) => self.report.add(finding_of_error("manifest", error)?),
            }
            self.advance(&name, self.size(&name));
        }
        if manifest.is_none() && self.report.is_sound() {
            let what = "there is no manifest, and there are records";
            self.report
                .add(Finding::new(Severity::Damage, "manifest_missing", what));
        }
        let journal = match &manifest {
            Some(manifest) => manifest.journal,
            None => self.any_journal_id().unwrap_or_default(),
        };
        let mark = read_watermark(self.dir, journal);
        if let Err(why) = &mark {
            let what = format!("the page says nothing, and is made again at opening: {why}");
            let finding = Finding::new(Severity::Warning, "watermark", what);
            self.report.add(finding.in_file(names::WATERMARK));
        }
        self.advance(names::WATERMARK, self.size(names::WATERMARK));
        Ok(Catalog {
            journal,
            is_outdated: manifest.as_ref().is_some_and(|m| m.generation < newest),
            manifest,
            mark: mark.ok(),
        })
    }

    /// The journal's id as the first segment with a good header gives it.
    fn any_journal_id(&self) -> Option<JournalId> {
        self.sizes.keys().find_map(|name| {
            let Name::Segment(_) = Name::parse(name) else {
                return None;
            };
            let mut bytes = [0; SEGMENT_HEADER_LEN];
            let file = self.dir.open(name, OpenMode::Read).ok()?;
            let got = file.read_at(&mut bytes, 0).ok()?;
            let header = SegmentHeader::decode(&bytes[..got]).ok()?;
            Some(header.journal)
        })
    }

    fn open_segments(&mut self, catalog: &Catalog) -> Result<Segments> {
        let floor = catalog.manifest.as_ref().map(|m| m.log_floor);
        let floor = floor.unwrap_or(SegmentId::new(1));
        let segments = Segments::open(self.dir, catalog.journal, floor, OpenMode::Read)?;
        self.report.segments = (segments.whole.len() + segments.broken.len()) as u64;
        let names: Vec<String> = self.sizes.keys().cloned().collect();
        for name in names {
            let below = matches!(Name::parse(&name), Name::Segment(id) if id < floor);
            let spare = matches!(Name::parse(&name), Name::Spare(_));
            if below {
                let what = "a segment that nothing refers to; swept by an opening after a crash";
                let finding = Finding::new(Severity::Note, "unreferenced", what);
                self.report.add(finding.in_file(&*name));
            }
            if below || spare {
                self.read_through(&name)?;
            }
        }
        Ok(segments)
    }

    /// Loads every snapshot of the manifest in force; returns what an opening begins with.
    fn snapshots(&mut self, catalog: &Catalog) -> Result<Option<Image>> {
        let mut referenced = BTreeSet::new();
        let snapshots = catalog
            .manifest
            .iter()
            .flat_map(|m| m.snapshots.iter().rev());
        for snapshot in snapshots {
            referenced.insert(snapshot.id);
            let name = names::state(snapshot.id);
            // The state does not depend on how many keys are remembered from now on.
            match load::load(self.dir, catalog.journal, snapshot, 1) {
                Ok(_) => self.report.snapshots += 1,
                Err(error) => {
                    let finding = finding_of_error("state", error)?;
                    self.report.add(self.excuse(catalog, &name, finding));
                }
            }
            self.advance(&name, self.size(&name));
        }
        self.unreferenced(|name| match name {
            Name::State(id) => !referenced.contains::<SnapshotId>(&id),
            _ => false,
        })?;
        let Some(manifest) = &catalog.manifest else {
            return Ok(None);
        };
        // As an opening begins. What is damaged was named already.
        match load::load_newest(self.dir, manifest, 1, &[]) {
            Ok(base) => Ok(Some(base.image)),
            Err(Error::Corrupt(_) | Error::Io { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads every block of every pack of the manifest in force. Returns what they hold of the
    /// LSNs that the log holds too.
    fn packs(&mut self, catalog: &Catalog, segments: &Segments) -> Result<packs::Held> {
        let logged_from = log::first_lsn(segments)?;
        let mut held = packs::Held::from(logged_from);
        let mut seen: BTreeMap<PackId, PackRef> = BTreeMap::new();
        for snapshot in catalog.manifest.iter().flat_map(|m| &m.snapshots) {
            seen.extend(snapshot.packs.iter().map(|pack| (pack.id, *pack)));
        }
        let newest = catalog.manifest.as_ref().and_then(|m| m.snapshots.last());
        for (id, pack) in &seen {
            let name = names::pack(*id);
            self.report.packs += 1;
            if !self.read_through(&name)? {
                continue;
            }
            let verified = PackFile::open(self.dir, catalog.journal, pack)
                .and_then(|file| packs::verify_pack(&file, &mut held, &mut self.report));
            match verified {
                Ok(records) => {
                    if newest.is_some_and(|newest| newest.packs.contains(pack)) {
                        self.report.records += records;
                        held.end = held.end.max(pack.lsn_to);
                    }
                }
                Err(error) => {
                    let finding = finding_of_error("pack", error)?;
                    self.report.add(self.excuse(catalog, &name, finding));
                }
            }
        }
        held.sort();
        self.unreferenced(|name| match name {
            Name::Pack(id) => !seen.contains_key(&id),
            _ => false,
        })?;
        Ok(held)
    }

    /// A file that a newer manifest gave up is missing by right, even if that manifest is lost.
    fn excuse(&self, catalog: &Catalog, name: &str, mut finding: Finding) -> Finding {
        if catalog.is_outdated && !self.sizes.contains_key(name) {
            finding.severity = Severity::Warning;
            finding.what += "; the newer manifest, which is damaged, may have given it up";
        }
        finding
    }

    /// Notes the files that no manifest refers to, and reads them through.
    fn unreferenced(&mut self, is: impl Fn(Name) -> bool) -> Result<()> {
        let names: Vec<String> = self.sizes.keys().cloned().collect();
        for name in names.into_iter().filter(|name| is(Name::parse(name))) {
            let what = "a file that no manifest refers to; swept by an opening after a crash";
            let finding = Finding::new(Severity::Note, "unreferenced", what);
            self.report.add(finding.in_file(&*name));
            self.read_through(&name)?;
        }
        Ok(())
    }

    /// Reads a file from front to back, so that a part which the disk cannot give any more is
    /// found by an error and not by a fault of a map. Returns whether all of it could be read.
    fn read_through(&mut self, name: &str) -> Result<bool> {
        let file = match self.dir.open(name, OpenMode::Read) {
            Ok(file) => file,
            // Whoever needs it will say that it is missing.
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(true);
            }
            Err(error) => {
                self.report.add(finding_of_error("unreadable", error)?);
                return Ok(false);
            }
        };
        let size = self.size(name);
        self.read_rest(name, &*file, 0, size)
    }

    /// As [`Verifier::read_through`], of the bytes from `from` to `to` of an open file.
    fn read_rest(&mut self, name: &str, file: &dyn File, from: u64, to: u64) -> Result<bool> {
        let mut chunk = vec![0; CHUNK_BYTES.min(to.saturating_sub(from) as usize)];
        let mut offset = from;
        while offset < to {
            match file.read_at(&mut chunk, offset) {
                Ok(0) => break,
                Ok(got) => {
                    offset += got as u64;
                    self.advance(name, got as u64);
                }
                Err(error) => {
                    let what = format!("the disk does not give these bytes: {error}");
                    let finding = Finding::new(Severity::Damage, "unreadable", what);
                    self.report.add(finding.in_file(name).at(offset));
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What is known to be durable without reading the log.
    fn known(&self, catalog: &Catalog) -> Lsn {
        match &catalog.manifest {
            Some(manifest) => known_lsn(manifest, catalog.mark.as_ref()),
            None => catalog
                .mark
                .map(|mark| mark.durable_lsn)
                .unwrap_or_default(),
        }
    }

    fn add_corruption(&mut self, code: &'static str, why: &Corruption) {
        self.report.add(finding_of(code, why));
    }
}
