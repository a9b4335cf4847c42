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
        let manifest = match catalog::read_newest(dir) {
            Ok(found) => found.map(|found| found.manifest),
            Err(error) => {
                findings.push(finding_of_error("manifest", error)?);
                None
            }
        };
        let mut opened: Vec<(String, Arc<dyn File>, u64)> = Vec::new();
        for name in &names {
            let is_ours = id_of(name).is_some() || matches!(Name::parse(name), Name::State(_));
            if !is_ours {
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
        let journal = match &manifest {
            Some(manifest) => manifest.journal,
            None => most_named(&opened),
        };
        let mark = read_watermark(dir, journal).ok();
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
            match Name::parse(&name) {
                Name::State(_) => sources.add_state(dir, name, file, len)?,
                _ => sources.add_file(dir, name, file, len)?,
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

    fn add_file(&mut self, dir: &Dir, name: String, file: Arc<dyn File>, len: u64) -> Result<()> {
        let Some((is_pack, named)) = id_of(&name) else {
            return Ok(());
        };
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

/// The journal that most headers name.
fn most_named(files: &[(String, Arc<dyn File>, u64)]) -> JournalId {
    let mut votes: BTreeMap<JournalId, usize> = BTreeMap::new();
    for (name, file, _) in files {
        let kind = match Name::parse(name) {
            Name::Pack(_) => FileKind::Pack,
            Name::State(_) => FileKind::State,
            _ => FileKind::Segment,
        };
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        const { assert!(SEGMENT_HEADER_LEN >= HEADER_LEN) };
        let got = file.read_at(&mut bytes, 0).unwrap_or(0);
        if let Ok(header) = FileHeader::decode(kind, &bytes[..got]) {
            *votes.entry(header.journal).or_default() += 1;
        }
    }
    let most = votes.into_iter().max_by_key(|(_, votes)| *votes);
    most.map(|(journal, _)| journal).unwrap_or_default()
}
