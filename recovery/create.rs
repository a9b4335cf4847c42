//! Making a journal, so that a crash anywhere in between leaves either none or a whole one.
//!
//! The manifest comes last: without one there is no journal, and whatever else is there without
//! records is made again.

use crate::error::{Corruption, Error, Result};
use crate::format::ids::{JournalId, Lsn, PackId, SegmentId, SnapshotId};
use crate::format::manifest::{Manifest, ReplayPoint};
use crate::format::names::{self, Name};
use crate::format::segment::SegmentHeader;
use crate::format::watermark::Watermark;
use crate::journal::options::Options;
use crate::journal::segments::{Expected, SegmentFile, adopt_spare, make_spare};
use crate::journal::walk::{Step, Walk};
use crate::sabotage::Sabotage;
use crate::snapshot::catalog;
use crate::storage::OpenMode;
use crate::storage::dir::Dir;
use crate::storage::publish::publish;
use std::io;

/// Makes sure that there is a directory which is, or may become, a journal. Nothing is written
/// into one that is neither.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAJournal`], [`Error::Io`].
pub(super) fn prepare_directory(dir: &Dir, create: bool) -> Result<()> {
    let listed = match dir.storage().list(dir.path()) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !create {
                return Err(Error::NotFound {
                    path: dir.path().to_path_buf(),
                });
            }
            return make_directory(dir);
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_a_journal(dir, "it is a file, not a directory"));
        }
        Err(error) => return Err(Error::io("list", dir.path(), error)),
    };
    if listed
        .iter()
        .any(|entry| matches!(Name::parse(&entry.name), Name::Manifest(_)))
    {
        return Ok(());
    }
    if let Some(entry) = listed
        .iter()
        .find(|entry| Name::parse(&entry.name) == Name::Foreign)
    {
        return Err(not_a_journal(
            dir,
            &format!("it holds {:?} and no manifest", entry.name),
        ));
    }
    if !create {
        return Err(Error::NotFound {
            path: dir.path().to_path_buf(),
        });
    }
    Ok(())
}

/// A backup that is written to is none any more, and a second journal of the same identity.
///
/// # Errors
/// [`Error::IsBackup`], [`Error::Io`].
pub(super) fn refuse_backup(dir: &Dir) -> Result<()> {
    let listed = dir.list()?;
    let is_label = |name: &str| Name::parse(name) == Name::Backup;
    if listed.iter().any(|entry| is_label(&entry.name)) {
        return Err(Error::IsBackup {
            path: dir.path().to_path_buf(),
        });
    }
    Ok(())
}

/// Makes the directory and makes its name durable.
fn make_directory(dir: &Dir) -> Result<()> {
    let storage = dir.storage();
    match storage.create_dir(dir.path()) {
        Ok(()) => {}
        // Somebody else makes it at the same time; the lock decides who goes on.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create", dir.path(), error)),
    }
    sync_parent(dir)
}

/// The directory's own name is durable only once its parent is synced. A crash between making
/// and syncing may leave the name undurable and the directory there, so this is done whenever
/// a journal is made in it.
pub(crate) fn sync_parent(dir: &Dir) -> Result<()> {
    if Sabotage::SkipParentSync.is_on() {
        return Ok(());
    }
    let parent = match dir.path().parent() {
        Some(parent) if parent.as_os_str().is_empty() => std::path::Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    dir.storage()
        .sync_dir(parent)
        .map_err(|e| Error::io("sync", parent, e))
}

/// Makes an empty journal in a directory that holds nothing but what an earlier attempt left.
///
/// # Errors
/// [`Error::Corrupt`] if there are records and no manifest; [`Error::NoSpace`], [`Error::Io`].
pub(super) fn create(dir: &Dir, options: &Options) -> Result<()> {
    refuse_records(dir)?;
    for entry in dir.list()? {
        match Name::parse(&entry.name) {
            Name::Lock | Name::Quarantine | Name::Backup | Name::Foreign => {}
            _ => dir.remove(&entry.name)?,
        }
    }
    sync_parent(dir)?;
    let storage = dir.storage();
    let id = SegmentId::new(1);
    let entropy = storage
        .entropy()
        .map_err(|e| Error::io("draw an id for", dir.path(), e))?;
    let journal = JournalId(entropy);
    let header = SegmentHeader {
        journal,
        id,
        capacity: options.first_segment_bytes.next_multiple_of(4096),
        base_lsn: Lsn::default(),
        group_align: options.group_align,
        base_link: 0,
        base_group_link: 0,
        created_ms: storage.unix_ms(),
    };
    let spare = make_spare(dir, &header, None)?;
    adopt_spare(dir, &spare, id)?;
    let first = Lsn::new(1);
    make_watermark(
        dir,
        journal,
        first,
        &ReplayPoint {
            segment: id,
            ..ReplayPoint::default()
        },
    )?;
    let manifest = Manifest {
        journal,
        generation: 1,
        created_ms: storage.unix_ms(),
        group_align: options.group_align,
        next_snapshot: SnapshotId::new(1),
        next_pack: PackId::new(1),
        log_floor: id,
        snapshots: Vec::new(),
    };
    catalog::publish(dir, &manifest)
}

/// Makes the watermark page, saying that everything below `durable` is durable.
pub(super) fn make_watermark(
    dir: &Dir,
    journal: JournalId,
    durable: Lsn,
    at: &ReplayPoint,
) -> Result<()> {
    let mark = Watermark {
        counter: 2,
        durable_lsn: durable,
        segment: at.segment,
        end_offset: at.offset,
        flags: 0,
        epoch: at.epoch,
    };
    let page = Watermark::encode_page(journal, mark);
    let tmp = format!("{}{}", names::WATERMARK, names::TMP_SUFFIX);
    publish(
        &**dir.storage(),
        dir.path(),
        &tmp,
        names::WATERMARK,
        &page,
        false,
    )
}

/// A manifest is published before the first record is accepted. Records without one mean that
/// it was lost.
pub(super) fn refuse_records(dir: &Dir) -> Result<()> {
    for entry in dir.list()? {
        let lost = match Name::parse(&entry.name) {
            Name::Pack(_) | Name::State(_) => true,
            Name::Segment(id) => id.get() > 1 || holds_groups(dir, id)?,
            _ => false,
        };
        if lost {
            let what = "the manifest is missing, and there are records";
            return Err(Corruption::new(dir.join(&entry.name), what).into());
        }
    }
    Ok(())
}

fn holds_groups(dir: &Dir, id: SegmentId) -> Result<bool> {
    let mut header = [0; crate::format::segment::SEGMENT_HEADER_LEN];
    let path = dir.join(&names::segment(id));
    let file = dir.open(&names::segment(id), OpenMode::Read)?;
    let got = file
        .read_at(&mut header, 0)
        .map_err(|e| Error::io("read", &path, e))?;
    let Ok(header) = SegmentHeader::decode(&header[..got]) else {
        return Ok(false);
    };
    let expected = Expected {
        journal: header.journal,
        id,
    };
    let segment = match SegmentFile::open(dir, expected, OpenMode::Read) {
        Ok(segment) => segment,
        Err(Error::Corrupt(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let holds = matches!(Walk::unlinked(&segment).step()?, Step::Group(..));
    Ok(holds)
}

fn not_a_journal(dir: &Dir, why: &str) -> Error {
    Error::NotAJournal {
        path: dir.path().to_path_buf(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::testing::{Home, small};
    use crate::storage::sim::{CrashModel, SimDisk};
    use crate::storage::{DiskStorage, Storage};
    use crate::sync::Arc;
    use std::path::Path;

    /// Two hosts start at once: one makes the directory after the other has seen that it was not
    /// there. That is no error; the lock decides who goes on.
    #[test]
    fn a_directory_that_somebody_else_just_made_is_taken() {
        let home = Home::new();
        let dir = Dir::new(Arc::new(DiskStorage), &home.path);
        make_directory(&dir).expect("makes it");
        make_directory(&dir).expect("finds it there");
        let blocked = Dir::new(Arc::new(DiskStorage), home.path.join("missing/inner"));
        assert_eq!(
            make_directory(&blocked).expect_err("is refused").code(),
            "io"
        );
    }

    /// The power goes right after the journal was made, deep in a tree of directories: its own
    /// name was made durable in the directory that it stands in, and in no other.
    #[test]
    fn a_journal_that_was_just_made_keeps_its_name_through_a_power_cut() {
        let disk = SimDisk::new(3);
        for dir in ["/hosts", "/hosts/one"] {
            disk.create_dir(Path::new(dir)).expect("is made");
            let parent = Path::new(dir).parent().expect("has one");
            disk.sync_dir(parent).expect("syncs");
        }
        let open = || {
            let options = small().storage(Arc::new(disk.clone()));
            options.open("/hosts/one/agents.journal").expect("opens").1
        };
        assert!(open().created);
        disk.power_loss(&CrashModel::NOTHING_SURVIVES);
        disk.restart();
        assert!(!open().created);
    }

    /// A journal in the current directory: the directory to sync has no name in its path.
    #[test]
    fn the_parent_of_a_bare_name_is_the_current_directory() {
        let dir = Dir::new(Arc::new(DiskStorage), "agents.journal");
        sync_parent(&dir).expect("syncs the current directory");
        let dir = Dir::new(Arc::new(DiskStorage), "/");
        sync_parent(&dir).expect("has no parent");
    }

    /// Before anything is appended the page says already which segment the log ends in: if that
    /// one goes, it is the one to name.
    #[test]
    fn the_page_of_a_journal_that_was_just_made_says_where_the_log_begins() {
        let home = Home::new();
        let dir = Dir::new(Arc::new(DiskStorage), &home.path);
        make_directory(&dir).expect("makes it");
        create(&dir, &small()).expect("makes a journal");
        let journal = home.open().stat().expect("counts").journal;
        let page = home.read(names::WATERMARK);
        let mark = Watermark::decode_page(journal, &page).expect("good");
        assert_eq!(mark.segment, SegmentId::new(1));
        assert_eq!(mark.durable_lsn, Lsn::new(1));
    }
}
