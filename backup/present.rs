//! The place that a journal is to be restored into: what is there, keeping it, and making room.

use super::copy::write_file;
use super::label::Backup;
use super::rest::AtRest;
use super::store::Backups;
use crate::error::{Error, Result};
use crate::format::ids::Lsn;
use crate::format::names::{self, Name, TMP_SUFFIX};
use crate::recovery::create::sync_parent;
use crate::recovery::open::take_lock;
use crate::recovery::reader::expect_journal;
use crate::recovery::verify::Progress;
use crate::storage::Lock;
use crate::storage::dir::Dir;
use std::io::ErrorKind;

/// What is in the place that a journal is to be restored into.
#[derive(Debug)]
pub(super) enum Present {
    Nothing,
    /// An earlier restore was interrupted here, and there had been nothing before.
    Unfinished,
    Sound(Box<AtRest>),
    Damaged(Error),
}

impl Present {
    pub fn look(dir: &Dir) -> Result<Present> {
        match dir.storage().list(dir.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Present::Nothing),
            Err(error) => return Err(Error::io("list", dir.path(), error)),
            Ok(listed) => {
                if listed.iter().any(|entry| entry.name == names::BACKUP) {
                    return Err(Error::IsBackup {
                        path: dir.path().to_path_buf(),
                    });
                }
                let has_manifest = |name: &str| matches!(Name::parse(name), Name::Manifest(_));
                if listed.iter().any(|entry| entry.name == marker())
                    && !listed.iter().any(|entry| has_manifest(&entry.name))
                {
                    return Ok(Present::Unfinished);
                }
            }
        }
        let loaded = match expect_journal(dir) {
            Err(Error::NotFound { .. }) => return Ok(Present::Nothing),
            expected => expected.and_then(|()| AtRest::load(dir)),
        };
        match loaded {
            Ok(journal) => Ok(Present::Sound(Box::new(journal))),
            Err(error @ Error::Corrupt(_)) => Ok(Present::Damaged(error)),
            Err(Error::Io { source, op, path }) if source.kind() == ErrorKind::NotFound => {
                Ok(Present::Damaged(Error::Io { source, op, path }))
            }
            Err(error) => Err(error),
        }
    }
}

/// Says of a directory without a manifest that a restore was interrupted in it.
fn marker() -> String {
    format!("restore{TMP_SUFFIX}")
}

impl Backups {
    /// Backs up what is there.
    pub(super) fn keep(
        &self,
        target: &Dir,
        present: &Present,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<Backup>> {
        let as_it_is = |store: &Backups, progress: &mut dyn FnMut(Progress<'_>)| {
            let name = format!("before-restore-{}", target.storage().unix_ms());
            store.keep_verbatim(target, &name, progress)
        };
        Ok(match present {
            Present::Nothing | Present::Unfinished => None,
            // Of a torn end nobody can tell what was acknowledged, so all of it is kept.
            Present::Sound(journal) if journal.is_settled => {
                Some(self.create_in(target, None, Lsn::default(), progress)?)
            }
            Present::Sound(_) | Present::Damaged(_) => Some(as_it_is(self, progress)?),
        })
    }
}

/// Makes the directory, durable in its parent, and takes its lock.
///
/// # Errors
/// [`Error::Locked`], [`Error::Io`].
pub(super) fn make_target(target: &Dir) -> Result<Box<dyn Lock>> {
    match target.storage().create_dir(target.path()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io("create", target.path(), error)),
    }
    sync_parent(target)?;
    take_lock(target)
}

/// Marks a directory without a journal as one that is being made, and removes what an interrupted
/// restore left.
pub(super) fn clear_target(target: &Dir) -> Result<()> {
    let marker = marker();
    let listed = target.list()?;
    if !listed.iter().any(|entry| entry.name == marker) {
        write_file(target, &marker, b"")?;
        target.sync()?;
    }
    for entry in listed {
        match Name::parse(&entry.name) {
            Name::Lock | Name::Quarantine | Name::Backup | Name::Foreign => {}
            _ if entry.name == marker => {}
            _ => target.remove(&entry.name)?,
        }
    }
    target.sync()
}
