//! Making a backup: what the manifest in force refers to, and the log as far as it is durable.
//!
//! 1. The manifest in force, the watermark, and how far the log is durable: that is what the
//!    backup will hold. With the journal's handle, everything accepted is made durable first, and
//!    no compaction runs meanwhile. Without it, beside a writer in another process, a file may
//!    vanish or become another one: then everything is begun again from the newest manifest.
//! 2. State files and packs are copied whole, for they never change. Segments are copied up to
//!    where their groups end; what an earlier life of the file left behind stays behind.
//! 3. A page of its own says how far the log of the copy goes. The manifest comes last.
//! 4. Files and names are synced. The copy is verified, every record of it.
//! 5. The label is published. Only now it is a backup.
//!
//! A crash, a full disk, or damage met anywhere before 5 leaves a directory without a label.

use super::check::sums_of;
use super::copy::{copy_file, copy_open, write_file};
use super::label::{Backup, BackupKind, FileSum, Label, words};
use super::store::Backups;
use super::versions::version_of;
use crate::error::{Corruption, Error, Result};
use crate::format::ids::{Epoch, Lsn};
use crate::format::manifest::{Manifest, ReplayPoint};
use crate::format::names::{self, Name, TMP_SUFFIX};
use crate::format::segment::SEGMENT_DATA;
use crate::format::watermark::{CLEAN, WATERMARK_LEN, Watermark};
use crate::journal::handle::Journal;
use crate::journal::walk::{Step, Walk};
use crate::recovery::open::{known, read_watermark};
use crate::recovery::reader::{expect_journal, may_be_motion};
use crate::recovery::scan::{Known, Segments, read_log};
use crate::recovery::verify::{Progress, verify_on};
use crate::snapshot::catalog;
use crate::snapshot::image::Image;
use crate::storage::dir::Dir;
use crate::storage::{OpenMode, publish};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

/// How often a copy is begun again because a writer changed the files meanwhile.
const ATTEMPTS: usize = 64;

impl Backups {
    /// Backs up the journal at `path`, beside its writer or without one. It holds everything
    /// acknowledged before the call.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the journal is damaged: there is no such backup of it. As
    /// [`Backups::create_on`].
    pub fn create(&self, path: impl AsRef<Path>, name: Option<&str>) -> Result<Backup> {
        self.create_on(path, name, &mut |_| ())
    }

    /// As [`Backups::create`], saying how far it has come.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotAJournal`], [`Error::NewerFormat`], [`Error::Corrupt`];
    /// [`Error::Invalid`] for a name that cannot be given or was; [`Error::Locked`] if somebody
    /// else works in the store; [`Error::NoSpace`], [`Error::Io`]. Nothing is left behind.
    pub fn create_on(
        &self,
        path: impl AsRef<Path>,
        name: Option<&str>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Backup> {
        let source = Dir::new(self.dir.storage().clone(), path.as_ref());
        expect_journal(&source)?;
        let _working = self.work()?;
        self.create_in(&source, name, Lsn::default(), progress)
    }

    /// Makes a backup while the store is held. It holds at least everything below `least`.
    pub(super) fn create_in(
        &self,
        source: &Dir,
        name: Option<&str>,
        least: Lsn,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Backup> {
        self.finish_or_remove(name, &mut |target| {
            let mut before = None;
            for attempt in 1.. {
                let error = match copy_journal(source, target, least, progress) {
                    Err(error) if may_be_motion(&error) && attempt < ATTEMPTS => error,
                    copied => return copied,
                };
                let now = (error.to_string(), generation(source)?);
                if before.replace(now) == before {
                    return Err(error);
                }
                empty(target)?;
            }
            unreachable!("the last attempt returns")
        })
    }

    /// Keeps every file of a directory as it is, under a name of its own.
    pub(super) fn keep_verbatim(
        &self,
        source: &Dir,
        name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Backup> {
        self.finish_or_remove(Some(name), &mut |target| {
            copy_verbatim(source, target, progress)
        })
    }

    fn finish_or_remove(
        &self,
        name: Option<&str>,
        fill: &mut dyn FnMut(&Dir) -> Result<Label>,
    ) -> Result<Backup> {
        if let Some(name) = name {
            self.expect_free(name)?;
        }
        let (number, target) = self.make_next()?;
        let made = fill(&target).and_then(|label| self.put_label(number, &target, name, label));
        if made.is_err() {
            // What stays is unfinished, and removed by the next one.
            let _ = self.remove_files(number);
        }
        made
    }

    fn put_label(
        &self,
        number: u64,
        target: &Dir,
        name: Option<&str>,
        mut label: Label,
    ) -> Result<Backup> {
        let storage = self.dir.storage();
        let id = storage
            .entropy()
            .map_err(|e| Error::io("draw an id for", target.path(), e))?;
        label.files.sort_by(|a, b| a.name.cmp(&b.name));
        label.backup.number = number;
        label.backup.id = format!("{:032x}", u128::from_be_bytes(id));
        label.backup.name = name.map(str::to_owned);
        label.backup.created_ms = storage.unix_ms();
        let bytes = label.encode();
        let tmp = format!("{}{TMP_SUFFIX}", names::BACKUP);
        publish(&**storage, target.path(), &tmp, names::BACKUP, &bytes, true)?;
        let read = Label::decode(&bytes).map_err(|why| Error::Invalid {
            what: "label of the backup",
            why,
        })?;
        Ok(read.backup)
    }
}

impl Journal {
    /// Backs up the journal into the store at `store`, while it goes on being written to. What
    /// was accepted before the call is in it; compaction waits meanwhile.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something that it reads does not validate; [`Error::Poisoned`],
    /// [`Error::Closed`], and as [`Backups::create_on`].
    pub fn backup(&self, store: impl AsRef<Path>) -> Result<Backup> {
        let store = Backups::at_on(self.shared.dir.storage().clone(), store);
        self.backup_into(&store, None)
    }

    /// Gives the present state a name: a backup in the store beside the journal
    /// ([`Backups::beside`]), which stays, whatever is compacted or pruned, until
    /// [`Journal::drop_checkpoint`].
    ///
    /// It pins nothing in the journal, and takes the space of a copy. What is deleted in the
    /// journal afterwards is still in it.
    ///
    /// # Errors
    /// As [`Journal::backup`]; [`Error::Invalid`] if there is one of that name.
    pub fn checkpoint_named(&self, name: &str) -> Result<Backup> {
        self.backup_into(&self.store(), Some(name))
    }

    /// Lists the named checkpoints, oldest first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn checkpoints(&self) -> Result<Vec<Backup>> {
        let listed = self.store().list()?;
        let complete = listed.into_iter().filter_map(|l| l.complete().cloned());
        Ok(complete.filter(|backup| backup.name.is_some()).collect())
    }

    /// Removes a named checkpoint.
    ///
    /// # Errors
    /// [`Error::NoBackup`], [`Error::Locked`], [`Error::Io`].
    pub fn drop_checkpoint(&self, name: &str) -> Result<Backup> {
        let named = super::store::Which::Name(name.to_owned());
        self.store().remove(&named)
    }

    fn store(&self) -> Backups {
        Backups::beside_on(self.shared.dir.storage().clone(), self.path())
    }

    fn backup_into(&self, store: &Backups, name: Option<&str>) -> Result<Backup> {
        let shared = &self.shared;
        shared.commit.check_home()?;
        let _working = store.work()?;
        // Nothing that is copied is given up meanwhile.
        let _compacting = shared.compacting.lock();
        if shared.commit.is_closed() {
            return Err(Error::Closed);
        }
        shared.commit.flush()?;
        let least = Lsn::new(shared.commit.durable());
        store.create_in(&shared.dir, name, least, &mut |_| ())
    }
}

/// The durable part of a journal's log.
struct Durable {
    manifest: Manifest,
    known: Known,
    epoch: Epoch,
    segments: Segments,
    end: ReplayPoint,
    is_closed: bool,
}

impl Durable {
    fn of(source: &Dir, least: Lsn) -> Result<Durable> {
        let found = catalog::read_newest(source)?.ok_or_else(|| Error::NotFound {
            path: source.path().to_path_buf(),
        })?;
        let manifest = found.manifest;
        // A page that is damaged says nothing; one that cannot be read just now might have said
        // that more is durable.
        match source.read(names::WATERMARK, WATERMARK_LEN as u64) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error @ Error::Io { .. }) => return Err(error),
            _ => {}
        }
        let mark = read_watermark(source, manifest.journal);
        let mut known = known(&manifest, mark.as_ref().ok());
        known.lsn = known.lsn.max(least);
        let segments =
            Segments::open(source, manifest.journal, manifest.log_floor, OpenMode::Read)?;
        let from = match manifest.snapshots.last() {
            Some(newest) => newest.replay,
            None => Image::empty(manifest.log_floor, 1).point,
        };
        // Groups that nothing proved yet when they were met, and where the log stood before each.
        let mut held: Vec<(Lsn, ReplayPoint)> = Vec::new();
        let mut bound = known.lsn;
        let mut end = read_log(source, &segments, from, known, |_, at, group| {
            bound = bound.max(group.header.durable_lsn);
            held.retain(|(end_lsn, _)| *end_lsn > bound);
            // Without the page the last groups are proven by nothing, and may be acknowledged:
            // they are taken as an opening takes them.
            if at.end_lsn > bound && mark.is_ok() {
                held.push((at.end_lsn, at.before));
            }
            Ok(())
        })?;
        end.hold_against_page(&segments, mark.is_ok());
        // What was durable at the beginning was read; behind it a writer may be at work.
        let is_short = end.point.next_lsn < known.lsn;
        if let Some(corruption) = end.corruption
            && (is_short || read_watermark(source, manifest.journal).ok() == mark.clone().ok())
        {
            return Err(corruption.into());
        }
        let unproven = held.first().map(|(_, before)| *before);
        let point = unproven.unwrap_or(end.point);
        let is_closed = known.closed_at == Some((point.segment, point.offset));
        let wrote = mark.map_or(Epoch::default(), |mark| mark.epoch);
        Ok(Durable {
            epoch: point.epoch.max(wrote),
            manifest,
            known,
            segments,
            end: point,
            is_closed,
        })
    }

    /// Up to where the groups of a segment reach.
    fn len_of(&self, segment: &crate::journal::segments::SegmentFile) -> Result<u64> {
        if segment.id() == self.end.segment {
            return Ok(self.end.offset);
        }
        let mut walk = Walk::unlinked(segment);
        while let Step::Group(..) = walk.step()? {}
        Ok(walk.point().offset.max(SEGMENT_DATA))
    }

    fn page(&self) -> Watermark {
        Watermark {
            counter: 2,
            durable_lsn: self.end.next_lsn,
            segment: self.end.segment,
            end_offset: self.end.offset,
            flags: if self.is_closed { CLEAN } else { 0 },
            epoch: self.epoch,
        }
    }
}

fn copy_journal(
    source: &Dir,
    target: &Dir,
    least: Lsn,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Label> {
    let durable = Durable::of(source, least)?;
    let manifest = &durable.manifest;
    let mut wanted: BTreeSet<(String, Option<u64>)> = BTreeSet::new();
    for snapshot in &manifest.snapshots {
        wanted.insert((names::state(snapshot.id), Some(snapshot.state_len)));
        let packs = snapshot.packs.iter();
        wanted.extend(packs.map(|pack| (names::pack(pack.id), Some(pack.bytes))));
    }
    for (id, segment) in &durable.segments.whole {
        if *id <= durable.end.segment {
            wanted.insert((names::segment(*id), Some(durable.len_of(segment)?)));
        }
    }
    let lens = wanted.iter().map(|(_, len)| len.unwrap_or(0));
    let mut tick = ticker(lens.sum(), progress);
    // All are opened before the first is copied: what a compaction removes meanwhile stays
    // readable, and only a segment that is used again sends this back to its beginning.
    let mut opened = Vec::new();
    for (name, _) in &wanted {
        opened.push(source.open(name, OpenMode::Read)?);
    }
    let mut files = Vec::new();
    for ((name, len), file) in wanted.iter().zip(&opened) {
        files.push(copy_open(source, (name, &**file), target, *len, &mut tick)?);
    }
    let page = Watermark::encode_page(manifest.journal, durable.page());
    files.push(write_file(target, names::WATERMARK, &page)?);
    let mut bytes = Vec::new();
    manifest
        .encode(&mut bytes)
        .map_err(|fault| Error::Invalid {
            what: "manifest",
            why: fault.to_string(),
        })?;
    let name = names::manifest(manifest.generation);
    files.push(write_file(target, &name, &bytes)?);
    target.sync()?;
    verify_copy(target, &files)?;
    // It holds what was acknowledged, or it is none.
    if durable.end.next_lsn < durable.known.lsn {
        return Err(
            Corruption::new(source.path(), "durable records are missing")
                .of_lsns(durable.end.next_lsn, durable.known.lsn)
                .into(),
        );
    }
    let format = newest_version(target, &files)?;
    Ok(Label {
        backup: Backup {
            kind: BackupKind::Consistent,
            journal: manifest.journal,
            source: words(source.path()),
            next_lsn: durable.end.next_lsn,
            epoch: durable.epoch,
            format,
            ..Backup::default()
        },
        files,
    })
}

fn copy_verbatim(
    source: &Dir,
    target: &Dir,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Label> {
    let listed = source.list()?;
    let is_ours = |name: &str| {
        !matches!(
            Name::parse(name),
            Name::Lock | Name::Tmp | Name::Quarantine | Name::Backup | Name::Foreign
        )
    };
    let mut names: Vec<&str> = listed
        .iter()
        .filter(|entry| entry.is_file && is_ours(&entry.name))
        .map(|entry| &*entry.name)
        .collect();
    // A manifest makes a directory a journal, so it comes last.
    names.sort_by_key(|name| (matches!(Name::parse(name), Name::Manifest(_)), *name));
    let mut tick = ticker(0, progress);
    let mut files = Vec::new();
    for name in names {
        files.push(copy_file(source, name, target, None, &mut tick)?);
    }
    target.sync()?;
    compare(target, &files)?;
    let found = catalog::read_newest(target).ok().flatten();
    let durable = Durable::of(target, Lsn::default()).ok();
    Ok(Label {
        backup: Backup {
            kind: BackupKind::Verbatim,
            journal: found
                .map(|found| found.manifest.journal)
                .unwrap_or_default(),
            source: words(source.path()),
            next_lsn: durable.as_ref().map(|d| d.end.next_lsn).unwrap_or_default(),
            epoch: durable.map(|d| d.epoch).unwrap_or_default(),
            format: newest_version(target, &files)?,
            ..Backup::default()
        },
        files,
    })
}

/// Reads back what was written, then everything that it says.
fn verify_copy(target: &Dir, files: &[FileSum]) -> Result<()> {
    compare(target, files)?;
    let report = verify_on(target.storage().clone(), target.path(), &mut |_| ())?;
    match report.damage().next() {
        None => Ok(()),
        Some(finding) => Err(finding_as_corruption(target, finding).into()),
    }
}

fn compare(target: &Dir, files: &[FileSum]) -> Result<()> {
    match sums_of(target, files, &mut |_, _| ())?.into_iter().next() {
        None => Ok(()),
        Some(problem) => {
            Err(Corruption::new(target.join(&problem.file), problem.what.clone()).into())
        }
    }
}

/// A finding of damage in one of a directory's files, as an error says it.
pub(super) fn finding_as_corruption(
    dir: &Dir,
    finding: &crate::model::finding::Finding,
) -> Corruption {
    let path = match &finding.file {
        Some(file) => dir.join(file),
        None => dir.path().to_path_buf(),
    };
    let mut corruption = Corruption::new(path, finding.what.clone());
    corruption.offset = finding.offset;
    (corruption.lsn_from, corruption.lsn_to) = (finding.lsn_from, finding.lsn_to);
    corruption
}

fn newest_version(dir: &Dir, files: &[FileSum]) -> Result<u16> {
    let mut newest = 0;
    for file in files {
        newest = newest.max(version_of(dir, &file.name)?.unwrap_or(0));
    }
    Ok(newest)
}

fn empty(target: &Dir) -> Result<()> {
    for entry in target.list()? {
        target.remove(&entry.name)?;
    }
    target.sync()
}

fn generation(source: &Dir) -> Result<Option<u64>> {
    Ok(catalog::read_newest(source)?.map(|found| found.manifest.generation))
}

/// Turns bytes copied into progress.
pub(super) fn ticker(
    total_bytes: u64,
    progress: &mut dyn FnMut(Progress<'_>),
) -> impl FnMut(&str, u64) {
    let mut done_bytes = 0;
    move |file, bytes| {
        done_bytes += bytes;
        progress(Progress {
            file,
            done_bytes,
            total_bytes: total_bytes.max(done_bytes),
        });
    }
}
