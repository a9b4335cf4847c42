//! Taking a backup out of its store: files only, byte for byte.

use super::copy::{copy_file, ticker};
use super::label::Backup;
use super::store::{Backups, Which};
use crate::error::{Error, Result};
use crate::format::names::{Name, TMP_SUFFIX};
use crate::recovery::create::sync_parent;
use crate::recovery::verify::Progress;
use crate::storage::dir::Dir;
use crate::storage::publish;
use std::io::ErrorKind;
use std::path::Path;

impl Backups {
    /// Copies the files of a backup into `into`, which must not exist or be empty, byte for byte:
    /// a journal of the same identity and the same format version, as it was. For a release that
    /// reads no newer one, or another place; see [`Backups::restore`] for going on with it here.
    ///
    /// # Errors
    /// [`Error::NoBackup`], [`Error::DamagedBackup`]; [`Error::Invalid`] if `into` is not empty;
    /// [`Error::NoSpace`], [`Error::Io`]. `into` holds no journal then.
    pub fn export(
        &self,
        which: &Which,
        into: impl AsRef<Path>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Backup> {
        let (backup, source) = self.expect_good(which, progress)?;
        let target = Dir::new(self.dir.storage().clone(), into.as_ref());
        self.expect_outside(&target)?;
        match target.storage().list(target.path()) {
            Ok(listed) if listed.is_empty() => {}
            Ok(_) => return Err(not_empty(&target)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let storage = target.storage();
                storage
                    .create_dir(target.path())
                    .map_err(|e| Error::io("create", target.path(), e))?;
                sync_parent(&target)?;
            }
            Err(error) => return Err(Error::io("list", target.path(), error)),
        }
        let label = self.label(backup.number)?;
        let mut files = label.and_then(|label| label.ok()).unwrap_or_default().files;
        // Without a manifest it is no journal, so that comes last, when the others are durable.
        files.sort_by_key(|file| matches!(Name::parse(&file.name), Name::Manifest(_)));
        let mut tick = ticker(backup.bytes, progress);
        for file in &files {
            let name = &*file.name;
            if !matches!(Name::parse(name), Name::Manifest(_)) {
                copy_file(&source, name, &target, Some(file.len), &mut tick)?;
                continue;
            }
            target.sync()?;
            // Half a manifest would make it a damaged journal.
            let bytes = source.read(name, file.len)?;
            let tmp = format!("{name}{TMP_SUFFIX}");
            publish(&**target.storage(), target.path(), &tmp, name, &bytes, true)?;
            tick(name, file.len);
        }
        target.sync()?;
        Ok(backup)
    }

    /// Refuses a target in the store: it would be mistaken for a backup, or overwrite one.
    pub(super) fn expect_outside(&self, target: &Dir) -> Result<()> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_path_buf());
        if absolute(target.path()).starts_with(absolute(self.path())) {
            return Err(Error::Invalid {
                what: "target of a restore",
                why: format!("{} lies in the store of backups", target.path().display()),
            });
        }
        Ok(())
    }
}

fn not_empty(target: &Dir) -> Error {
    Error::Invalid {
        what: "target",
        why: format!("{} is not empty", target.path().display()),
    }
}
