//! Which files there are, whose they are, and what is known before any record is read.

use super::evidence::Known;
use super::finding_of_error;
use super::fold::Base;
use super::id_of;
use super::source::{Kind, Source};
use crate::error::{Error, Result};
use crate::format::Fault;
use crate::format::checksum::Seed;
use crate::format::header::{FileHeader, FileKind, HEADER_LEN};
use crate::format::ids::{Epoch, JournalId, Lsn, PackId, SegmentId};
use crate::format::manifest::{Manifest, PackRef, ReplayPoint, SnapshotRef};
use crate::format::names::{self, Name};
use crate::format::pack::PackHeader;
use crate::format::segment::{SEGMENT_DATA, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::format::state::{STATE_FOOTER_LEN, STATE_HEADER_LEN, StateFooter, StateHeader};
use crate::format::watermark::{WATERMARK_LEN, Watermark};
use crate::model::finding::{Finding, Severity};
use crate::recovery::open::read_watermark;
use crate::snapshot::{catalog, load};
use crate::storage::dir::Dir;
use crate::storage::{File, OpenMode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Longest state file that is read.
const MAX_STATE_BYTES: u64 = 4 << 30;

/// The files of a damaged journal.
#[derive(Debug)]
pub(super) struct Sources {
    pub journal: JournalId,
    /// Segments, spares and packs.
    pub files: Vec<Source>,
    /// Everything below was durable, as far as can be known without reading the log.
    pub known_lsn: Lsn,
    /// The latest writer that is known of.
    pub epoch: Epoch,
    pub has_manifest: bool,
    /// The snapshot's LSN that [`Sources::base`] goes back to.
    pub base_lsn: Lsn,
    pub findings: Vec<Finding>,
    /// Files that are damaged and hold no records: to be quarantined.
    pub damaged: Vec<(String, Arc<dyn File>)>,
    manifest: Option<Manifest>,
    /// State files that look whole, newest first.
    states: Vec<SnapshotRef>,
}

impl Sources {
    /// Looks through a directory.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::Io`] if the directory cannot be listed.
    pub(super) fn find(dir: &Dir) -> Result<Sources> {
        let mut names: Vec<String> = dir.list()?.into_iter().map(|entry| entry.name).collect();
        names.sort();
        let mut findings = Vec::new();
        let mut opened: Vec<(String, Arc<dyn File>, u64)> = Vec::new();
        for name in &names {
            let may_be_ours = !matches!(
                Name::parse(name),
                Name::Lock | Name::Tmp | Name::Quarantine | Name::Backup | Name::Foreign
            );
            if !may_be_ours {
                continue;
            }
            match dir.open(name, OpenMode::Read) {
                Ok(file) => {
                    let len = file.size().unwrap_or(0);
                    opened.push((name.clone(), file, len));
                }
                Err(error) => findings.push(finding_of_error("unreadable", error)?),
            }
        }
        let votes = votes(&opened);
        let manifest = newest_manifest(dir, &names, &votes, &mut findings)?;
        let journal = match &manifest {
            Some(manifest) => manifest.journal,
            None => most_named(&votes),
        };
        let mark = read_watermark(dir, journal).ok();
        let mark = mark.or_else(|| misplaced_watermark(journal, &opened));
        let mut sources = Sources {
            journal,
            files: Vec::new(),
            known_lsn: mark.map(|mark| mark.durable_lsn).unwrap_or_default(),
            epoch: mark.map(|mark| mark.epoch).unwrap_or_default(),
            has_manifest: manifest.is_some(),
            base_lsn: Lsn::default(),
            findings,
            damaged: Vec::new(),
            manifest,
            states: Vec::new(),
        };
        for (name, file, len) in opened {
            // What a file is, its header says; only if it does not, its name.
            match (kind_of(&*file), Name::parse(&name)) {
                (Some(is_pack), _) => sources.add_file(dir, name, is_pack, file, len)?,
                (None, Name::State(_)) => sources.add_state(dir, name, file, len)?,
                (None, _) => {
                    if let Some((is_pack, _)) = id_of(&name) {
                        sources.add_file(dir, name, is_pack, file, len)?;
                    }
                }
            }
        }
        sources
            .states
            .sort_by_key(|state| std::cmp::Reverse((state.lsn, state.id)));
        if let Some(newest) = sources.states.first() {
            sources.known_lsn = sources.known_lsn.max(newest.lsn);
            sources.base_lsn = newest.lsn;
        }
        for name in &names {
            if let Name::Manifest(generation) = Name::parse(name)
                && !matches!(catalog::read(dir, generation), Ok(Ok(_)))
            {
                if let Ok(file) = dir.open(name, OpenMode::Read) {
                    sources.damaged.push((name.clone(), file));
                }
                let what = "a manifest that does not validate";
                let finding = Finding::new(Severity::Damage, "manifest", what);
                sources.findings.push(finding.in_file(&**name));
            }
        }
        Ok(sources)
    }

    /// The packs of the newest snapshot in the manifest. Without a manifest, all there are.
    pub(super) fn packs_in_force(&self) -> impl Iterator<Item = PackRef> + '_ {
        let manifest = self.manifest.iter();
        manifest
            .filter_map(|manifest| manifest.snapshots.last())
            .flat_map(|snapshot| snapshot.packs.iter().copied())
    }

    /// From which LSN on a segment is void: a later one logged it again.
    pub(super) fn void_from(&self, id: SegmentId) -> Option<Lsn> {
        let later = self.files.iter().filter(|file| file.id > id.get());
        later
            .filter_map(|file| match &file.kind {
                Kind::Segment(Some(header)) if header.base_lsn.get() != 0 => Some(header.base_lsn),
                _ => None,
            })
            .min()
    }

    /// The state of the newest snapshot that loads, and what it knows of single records.
    pub(super) fn base(&self, dir: &Dir, findings: &mut Vec<Finding>) -> Option<(Base, Known)> {
        for state in &self.states {
            match load::load(dir, self.journal, state, 128) {
                Ok(image) => {
                    let known = Known::of(&image, state.lsn);
                    let base = Base {
                        state: image.state,
                        lsn: state.lsn,
                    };
                    return Some((base, known));
                }
                Err(error) => findings.extend(finding_of_error("state", error)),
            }
        }
        if !self.has_manifest {
            let what = "without a manifest and a state file, what compactions dropped or erased \
                        can be told only from what they kept";
            findings.push(Finding::new(Severity::Warning, "no_state", what));
        }
        None
    }

    fn add_file(
        &mut self,
        dir: &Dir,
        name: String,
        is_pack: bool,
        file: Arc<dyn File>,
        len: u64,
    ) -> Result<()> {
        let named = id_of(&name).map_or(0, |(_, id)| id);
        let kind = if is_pack {
            FileKind::Pack
        } else {
            FileKind::Segment
        };
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        let got = file.read_at(&mut bytes, 0).unwrap_or(0);
        let bytes = &bytes[..got];
        let own = match FileHeader::decode(kind, bytes) {
            Err(Fault::Newer { found, supported }) => {
                let path = dir.join(&name);
                return Err(Error::NewerFormat {
                    path,
                    found,
                    supported,
                });
            }
            own => own,
        };
        let id = match &own {
            Ok(header) if header.journal != self.journal => {
                let what = format!("a file of another journal, {}: left out", header.journal);
                let finding = Finding::new(Severity::Warning, "foreign", what);
                self.findings.push(finding.in_file(name));
                return Ok(());
            }
            // Whatever it is called now, this is what its checksums are seeded with.
            Ok(header) => header.id,
            Err(_) => named,
        };
        let kind = match is_pack {
            true => Kind::Pack,
            false => Kind::Segment(SegmentHeader::decode(bytes).ok()),
        };
        if kind == Kind::Segment(None) {
            let what = "a segment's header does not validate";
            let finding = Finding::new(Severity::Damage, "segment_header", what);
            self.findings.push(finding.in_file(&*name).at(0));
        }
        self.files.push(Source {
            name,
            kind,
            id,
            seed: self.seed_of(is_pack, id),
            file,
            len,
        });
        Ok(())
    }

    /// The seed of a file, whose header may be broken.
    fn seed_of(&self, is_pack: bool, id: u64) -> Seed {
        if !is_pack {
            return Seed::of_life(self.journal, id);
        }
        let header = PackHeader {
            journal: self.journal,
            id: PackId::new(id),
            lsn_from: Lsn::default(),
            lsn_to: Lsn::default(),
        };
        header.seed()
    }

    /// Notes a state file whose ends validate. What it refers to does not matter here.
    fn add_state(&mut self, dir: &Dir, name: String, file: Arc<dyn File>, len: u64) -> Result<()> {
        let footer_at = len.saturating_sub(STATE_FOOTER_LEN as u64);
        let mut header = [0; STATE_HEADER_LEN];
        let mut footer = [0; STATE_FOOTER_LEN];
        let got = (
            file.read_at(&mut header, 0).unwrap_or(0),
            file.read_at(&mut footer, footer_at).unwrap_or(0),
        );
        let decoded = StateHeader::decode(&header[..got.0]);
        if let Err(Fault::Newer { found, supported }) = decoded {
            let path = dir.join(&name);
            return Err(Error::NewerFormat {
                path,
                found,
                supported,
            });
        }
        let whole = decoded.ok().filter(|header| {
            header.journal == self.journal
                && names::state(header.id) == name
                && len <= MAX_STATE_BYTES
                && StateFooter::decode(header, len, &footer[..got.1]).is_ok()
        });
        let Some(header) = whole else {
            self.damaged.push((name.clone(), file));
            let what = "a state file that does not validate";
            let finding = Finding::new(Severity::Damage, "state", what);
            self.findings.push(finding.in_file(name));
            return Ok(());
        };
        let crc = footer.last_chunk::<4>().copied().unwrap_or_default();
        self.states.push(SnapshotRef {
            id: header.id,
            lsn: header.lsn,
            state_len: len,
            state_crc: u32::from_le_bytes(crc),
            packs: Vec::new(),
            log_from: SegmentId::new(0),
            replay: ReplayPoint {
                segment: SegmentId::new(u64::MAX),
                offset: SEGMENT_DATA,
                next_lsn: header.lsn,
                ..ReplayPoint::default()
            },
        });
        Ok(())
    }
}

/// Whether a file begins as a segment (no) or a pack (yes) does, whatever its name.
fn kind_of(file: &dyn File) -> Option<bool> {
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    let got = file.read_at(&mut bytes, 0).unwrap_or(0);
    let is = |kind| FileHeader::decode(kind, &bytes[..got]).is_ok();
    match (is(FileKind::Segment), is(FileKind::Pack)) {
        (false, false) => None,
        (_, is_pack) => Some(is_pack),
    }
}

/// The watermark page, if it stands under the name of another file.
fn misplaced_watermark(
    journal: JournalId,
    files: &[(String, Arc<dyn File>, u64)],
) -> Option<Watermark> {
    let mut page = [0; WATERMARK_LEN];
    files.iter().find_map(|(_, file, _)| {
        let got = file.read_at(&mut page, 0).unwrap_or(0);
        Watermark::decode_page(journal, &page[..got]).ok()
    })
}

/// The newest manifest that validates and is of this journal: others' files are there too, after
/// somebody copied one over. A manifest whose journal no other file names is not believed as
/// long as there is another.
fn newest_manifest(
    dir: &Dir,
    names: &[String],
    votes: &BTreeMap<JournalId, usize>,
    findings: &mut Vec<Finding>,
) -> Result<Option<Manifest>> {
    let generations = names.iter().filter_map(|name| match Name::parse(name) {
        Name::Manifest(generation) => Some(generation),
        _ => None,
    });
    let mut generations: Vec<u64> = generations.collect();
    generations.sort_unstable_by_key(|generation| std::cmp::Reverse(*generation));
    let mut of_others = Vec::new();
    for generation in generations {
        match catalog::read(dir, generation) {
            Ok(Ok(manifest)) if votes.is_empty() || votes.contains_key(&manifest.journal) => {
                for generation in of_others {
                    let what = "a manifest of another journal: left out";
                    let finding = Finding::new(Severity::Damage, "foreign", what);
                    findings.push(finding.in_file(names::manifest(generation)));
                }
                return Ok(Some(manifest));
            }
            Ok(Ok(manifest)) => of_others.push(manifest.generation),
            // It is named with all that do not validate.
            Ok(Err(_)) => {}
            Err(error) => findings.push(finding_of_error("manifest", error)?),
        }
    }
    for generation in of_others {
        let what = "a manifest of a journal that no other file is of: left out";
        let finding = Finding::new(Severity::Damage, "foreign", what);
        findings.push(finding.in_file(names::manifest(generation)));
    }
    Ok(None)
}

/// How many headers name which journal.
fn votes(files: &[(String, Arc<dyn File>, u64)]) -> BTreeMap<JournalId, usize> {
    let mut votes: BTreeMap<JournalId, usize> = BTreeMap::new();
    for (name, file, _) in files {
        let kind = match (kind_of(&**file), Name::parse(name)) {
            (Some(true), _) => FileKind::Pack,
            (None, Name::State(_)) => FileKind::State,
            _ => FileKind::Segment,
        };
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        const { assert!(SEGMENT_HEADER_LEN >= HEADER_LEN) };
        let got = file.read_at(&mut bytes, 0).unwrap_or(0);
        if let Ok(header) = FileHeader::decode(kind, &bytes[..got]) {
            *votes.entry(header.journal).or_default() += 1;
        }
    }
    votes
}

/// The journal that most headers name.
fn most_named(votes: &BTreeMap<JournalId, usize>) -> JournalId {
    let most = votes.iter().max_by_key(|(_, votes)| **votes);
    most.map(|(journal, _)| *journal).unwrap_or_default()
}
