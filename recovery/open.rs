//! Opening is recovery: a clean open is the case in which recovery finds nothing to do, and
//! then it writes nothing.

use super::create;
use super::repair;
use super::report::Recovery;
use super::scan::{Known, LogEnd, Segments, read_log};
use super::verdict::Verdict;
use crate::error::{Corruption, Error, Result};
use crate::format::ids::{Epoch, JournalId, Lsn, SegmentId, SnapshotId};
use crate::format::manifest::{Manifest, ReplayPoint};
use crate::format::names::{self, Name};
use crate::format::watermark::{CLEAN, WATERMARK_LEN, Watermark};
use crate::journal::commit::Commit;
use crate::journal::handle::Journal;
use crate::journal::index::Index;
use crate::journal::log_writer::{LogWriter, Start};
use crate::journal::options::Options;
use crate::journal::packs::PackFile;
use crate::journal::segments::{SegmentFile, adopt_spare};
use crate::journal::shared::{Maker, Parts, Shared};
use crate::journal::tail::{Limits, Room, Tail};
use crate::journal::watch::{Watch, span};
use crate::sabotage::Sabotage;
use crate::snapshot::image::Image;
use crate::snapshot::{catalog, compaction, load};
use crate::storage::dir::Dir;
use crate::storage::{Lock, LockError, OpenMode};
use crate::sync::{Arc, RwLock};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

impl Journal {
    /// Opens the journal in the directory at `path` with the default settings, making it if
    /// there is none. See [`Options::open`].
    ///
    /// # Errors
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<(Journal, Recovery)> {
        Options::default().open(path)
    }
}

impl Options {
    /// Opens the journal in the directory at `path` for appending, making it if there is none.
    ///
    /// Everything that was ever acknowledged is there, what was torn is cut, and the report
    /// says so. After a clean close nothing is written.
    ///
    /// # Errors
    /// [`Error::Locked`] if somebody holds it; [`Error::NotAJournal`]; [`Error::NewerFormat`];
    /// [`Error::ReadOnly`] if the directory cannot be written; [`Error::Corrupt`] if something
    /// acknowledged does not validate: then nothing was changed. [`Error::NotFound`],
    /// [`Error::NoSpace`], [`Error::Io`], [`Error::Invalid`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<(Journal, Recovery)> {
        span!("turnkeep.open");
        self.check()?;
        let started = Instant::now();
        let dir = Dir::new(self.disk(), path.as_ref());
        create::prepare_directory(&dir, self.create)?;
        create::refuse_backup(&dir)?;
        let lock = take_lock(&dir)?;
        let (journal, mut recovery) = match catalog::read_newest(&dir)? {
            None => {
                create::create(&dir, &self)?;
                let found = catalog::read_newest(&dir)?.ok_or_else(|| no_manifest(&dir))?;
                let (journal, recovery) = recover(dir, self, lock, found, true)?;
                (
                    journal,
                    Recovery {
                        created: true,
                        ..recovery
                    },
                )
            }
            Some(found) => recover(dir, self, lock, found, false)?,
        };
        recovery.micros = started.elapsed().as_micros() as u64;
        Ok((journal, recovery))
    }
}

/// Takes the writer's lock, or says who holds it.
pub(crate) fn take_lock(dir: &Dir) -> Result<Box<dyn Lock>> {
    let path = dir.join(names::LOCK);
    dir.storage().lock(&path).map_err(|error| match error {
        LockError::Held(holder) => Error::Locked {
            path: dir.path().to_path_buf(),
            holder: match holder.pid {
                Some(pid) => format!("process {pid} ({})", holder.note),
                None => "another process".to_owned(),
            },
            pid: holder.pid,
        },
        LockError::Io(source) => match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Error::ReadOnly {
                    path: dir.path().to_path_buf(),
                }
            }
            _ => Error::io("lock", &path, source),
        },
    })
}

/// What replay begins from, and what was passed over on the way to it, in words.
pub(crate) struct Base {
    pub image: Image,
    pub packs: Vec<Arc<PackFile>>,
    pub warnings: Vec<String>,
    pub snapshot: Option<SnapshotId>,
}

/// Loads the newest snapshot that validates.
pub(crate) fn load_base(dir: &Dir, found: &catalog::Found, key_window: usize) -> Result<Base> {
    let base = load::load_newest(dir, &found.manifest, key_window, &[])?;
    let manifests = found
        .damaged
        .iter()
        .map(|(generation, why)| format!("manifest {generation} was passed over: {why}"));
    let snapshots = base
        .passed_over
        .iter()
        .map(|(id, why)| format!("snapshot {id} was passed over: {why}"));
    Ok(Base {
        warnings: manifests.chain(snapshots).collect(),
        image: base.image,
        packs: base.packs,
        snapshot: base.snapshot,
    })
}

/// What the watermark page says, if it says anything.
pub(crate) fn read_watermark(
    dir: &Dir,
    journal: JournalId,
) -> std::result::Result<Watermark, String> {
    let page = dir
        .read(names::WATERMARK, WATERMARK_LEN as u64)
        .map_err(|e| e.to_string())?;
    Watermark::decode_page(journal, &page).map_err(|fault| fault.to_string())
}

/// What is known to be durable without reading the log.
pub(super) fn known_lsn(manifest: &Manifest, mark: Option<&Watermark>) -> Lsn {
    let snapshots = manifest.snapshots.iter().map(|snapshot| snapshot.lsn);
    snapshots
        .chain(mark.map(|mark| mark.durable_lsn))
        .max()
        .unwrap_or_default()
}

/// What is known of the log's end without reading the log.
pub(crate) fn known(manifest: &Manifest, mark: Option<&Watermark>) -> Known {
    Known {
        lsn: known_lsn(manifest, mark),
        closed_at: mark
            .filter(|mark| mark.flags & CLEAN != 0)
            .map(|mark| (mark.segment, mark.end_offset)),
    }
}

/// Every segment that an image's index refers to must be there.
pub(crate) fn check_present(dir: &Dir, segments: &Segments, image: &Image) -> Result<()> {
    for (lsn, id) in &image.first_lsns {
        if segments.whole.contains_key(id) {
            continue;
        }
        if let Some((_, why)) = segments.broken.get(id) {
            return Err(why.clone().into());
        }
        let path = dir.join(&names::segment(*id));
        let mut corruption = Corruption::new(path, "a segment is missing").in_segment(*id);
        corruption.lsn_from = Some(*lsn);
        return Err(corruption.into());
    }
    Ok(())
}

fn recover(
    dir: Dir,
    options: Options,
    lock: Box<dyn Lock>,
    found: catalog::Found,
    created: bool,
) -> Result<(Journal, Recovery)> {
    let manifest = &found.manifest;
    let journal = manifest.journal;
    let mark = read_watermark(&dir, journal);
    let mut segments = Segments::open(&dir, journal, manifest.log_floor, OpenMode::ReadWrite)?;
    let Base {
        mut image,
        packs,
        mut warnings,
        snapshot,
    } = load_base(&dir, &found, options.key_window.max(1))?;
    check_present(&dir, &segments, &image)?;
    let replayed_from = image.point.next_lsn;
    let known = known(manifest, mark.as_ref().ok());
    let from = image.point;
    let mut end = read_log(&dir, &segments, from, known, |segment, at, group| {
        image
            .apply_group(segment.id(), at.offset, group)
            .map_err(|misfit| misfit.into_error(segment))
    })?;
    end.hold_against_page(&segments, mark.is_ok());
    if let Some(corruption) = end.corruption.take() {
        return Err(name_missing(&dir, &segments, mark.as_ref().ok(), corruption).into());
    }
    image.point = end.point;
    if let Some(id) = segments.pending {
        adopt_spare(&dir, &names::spare(id.get()), id)?;
    }

    // A closing group alone proves nothing: after a failed sync it can be read, and is not on the
    // medium, and what is appended behind it would stand behind a hole after a power cut. The
    // page says it is only after the sync. Nobody has written to a journal that this opening made.
    let was_synced = known.closed_at == Some((end.point.segment, end.point.offset));
    let was_closed = (end.closed && was_synced || created)
        && end.verdict == Verdict::CleanEnd
        && end.unproven.is_empty();
    let written_by = mark.as_ref().map_or(Epoch::default(), |mark| mark.epoch);
    let epoch = end.point.epoch.max(written_by).next();
    if let Err(why) = &mark {
        warnings.push(format!("the watermark page was made again: {why}"));
        create::make_watermark(&dir, journal, end.point.next_lsn, &end.point)?;
    }
    if Sabotage::SkipRelog.is_on() {
        end.unproven.clear();
    }
    let appends = Sabotage::AppendAfterTorn.is_on() && end.unproven.is_empty();
    let log = if was_closed || appends {
        resume(&segments, &end)
    } else {
        let referred_to = manifest
            .snapshots
            .iter()
            .map(|snapshot| snapshot.replay.segment);
        let by = repair::Writer {
            dir: &dir,
            options: &options,
            journal,
            epoch,
            referred_to: referred_to.max().unwrap_or(manifest.log_floor),
        };
        let repaired = repair::relog(&by, &mut segments, &end, &mut image)?;
        Log {
            active: repaired.active,
            point: repaired.point,
            next: None,
            highest: repaired.highest,
            relogged_records: repaired.relogged_records,
            is_closed: false,
        }
    };
    let clean = was_closed && mark.is_ok();
    if !clean {
        catalog::sweep(&dir, manifest)?;
    }
    let recovery = Recovery {
        created: false,
        clean,
        records: image
            .state
            .sessions()
            .map(|session| u64::from(session.visible_len()))
            .sum(),
        replayed_records: end.point.next_lsn.get() - replayed_from.get(),
        segments: image.first_lsns.len() as u64,
        snapshot,
        torn_bytes: end.torn_bytes,
        relogged_records: log.relogged_records,
        open_turns: image
            .state
            .sessions()
            .map(|session| session.open.len() as u64)
            .sum(),
        next_lsn: end.point.next_lsn,
        micros: 0,
        warnings,
    };
    let counter = mark.map_or(1, |mark| mark.counter);
    let parts = Live {
        dir,
        options,
        lock,
        manifest: found.manifest,
        image,
        packs,
        segments,
        log,
        epoch,
        counter,
    };
    Ok((go_live(parts)?, recovery))
}

/// Where the log goes on.
struct Log {
    active: Arc<SegmentFile>,
    point: ReplayPoint,
    next: Option<Arc<SegmentFile>>,
    highest: u64,
    relogged_records: u64,
    /// The log ends with a closing group.
    is_closed: bool,
}

/// After a clean close the last segment is appended to, at its next free block.
fn resume(segments: &Segments, end: &LogEnd) -> Log {
    let active = segments.whole[&end.point.segment].clone();
    let next = end.empty.iter().find(|id| **id > active.id());
    Log {
        next: next.and_then(|id| segments.whole.get(id).cloned()),
        active,
        point: end.point,
        highest: segments.highest,
        relogged_records: 0,
        is_closed: end.closed,
    }
}

/// What a journal is put together from.
struct Live {
    dir: Dir,
    options: Options,
    lock: Box<dyn Lock>,
    manifest: Manifest,
    image: Image,
    packs: Vec<Arc<PackFile>>,
    segments: Segments,
    log: Log,
    epoch: Epoch,
    counter: u64,
}

fn go_live(live: Live) -> Result<Journal> {
    let Live {
        dir,
        options,
        lock,
        manifest,
        mut image,
        packs,
        segments,
        log,
        epoch,
        counter,
    } = live;
    let journal = manifest.journal;
    if !image.first_lsns.values().any(|id| *id == log.active.id()) {
        image.note_segment(log.point.next_lsn, log.active.id());
    }
    let mut open = BTreeMap::from([(log.active.id(), log.active.clone())]);
    for id in image
        .first_lsns
        .values()
        .filter(|id| **id != log.active.id())
    {
        if let Some(segment) = segments.whole.get(id) {
            segment.map_sealed();
            open.insert(*id, segment.clone());
        }
    }
    let (mut state, mut index) = image.into_live();
    state.set_max_open_turns(options.max_open_turns);
    index.packs = packs;
    index.segments = open;
    let index: Arc<RwLock<Index>> = Arc::new(RwLock::new(index));
    let path = dir.join(names::WATERMARK);
    let page_file = dir.open(names::WATERMARK, OpenMode::ReadWrite)?;
    let page = page_file.page().map_err(|e| Error::io("map", &path, e))?;
    let capacity = log.active.header().capacity;
    let align = log.active.header().group_align;
    let limits = Limits {
        max_record_bytes: options.max_record_bytes,
        max_pending_bytes: options.max_pending_bytes,
        align: u64::from(align.max(options.group_align)),
    };
    let is_closed = log.is_closed;
    let watch = Arc::new(Watch::new(dir.path()));
    let room = Room {
        capacity,
        free: capacity.saturating_sub(log.point.offset),
    };
    let mut tail = Tail::new(state, log.point.next_lsn, epoch, room, limits);
    if let Some(next) = log.next {
        tail.set_next_segment(next);
    }
    let writer = LogWriter::new(
        dir.storage().clone(),
        Start {
            journal,
            active: log.active,
            at: log.point,
            epoch,
            page,
            page_file,
            counter,
            index: index.clone(),
            is_closed,
            watch: watch.clone(),
        },
    );
    let spares = dir
        .list()?
        .into_iter()
        .filter(|entry| entry.is_file && matches!(Name::parse(&entry.name), Name::Spare(_)))
        .map(|entry| entry.name)
        .collect();
    let maker = Maker {
        next_id: SegmentId::new(log.highest + 1),
        spares,
    };
    let hint = tail.hint();
    let commit = Commit::new(tail, writer, log.point.next_lsn.get());
    let shared = Arc::new(Shared::new(Parts {
        dir,
        options,
        journal,
        commit,
        index,
        manifest,
        maker,
        lock,
        hint,
        watch,
    }));
    shared.start(Box::new(compaction::maintain));
    Ok(Journal::from_shared(shared))
}

/// If the segment in which the log was last known to end is not there, that is what is wrong.
fn name_missing(
    dir: &Dir,
    segments: &Segments,
    mark: Option<&Watermark>,
    corruption: Corruption,
) -> Corruption {
    let missing = mark.map(|mark| mark.segment).filter(|id| {
        !segments.whole.contains_key(id)
            && !segments.broken.contains_key(id)
            && corruption
                .segment
                .is_some_and(|stopped_in| stopped_in < *id)
    });
    match missing {
        None => corruption,
        Some(id) => Corruption {
            path: dir.join(&names::segment(id)),
            offset: None,
            segment: Some(id),
            what: "a segment is missing".to_owned(),
            ..corruption
        },
    }
}

fn no_manifest(dir: &Dir) -> Error {
    Corruption::new(dir.path(), "the manifest that was just made is not there").into()
}
