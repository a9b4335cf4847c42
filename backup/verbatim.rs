//! A copy of a journal's files as they are, byte for byte, whether they validate or not.

use super::copy::{copy_file, ticker};
use super::durable::Durable;
use super::label::{Backup, BackupKind, Label, words};
use super::readback::{compare, newest_version};
use crate::error::Result;
use crate::format::ids::Lsn;
use crate::format::names::Name;
use crate::recovery::verify::Progress;
use crate::snapshot::catalog;
use crate::storage::dir::Dir;

/// Copies every file of the journal in `source`, whose lock is held, and says what a label is to say
/// of it.
///
/// # Errors
/// [`Error::NoSpace`](crate::Error::NoSpace), [`Error::Io`](crate::Error::Io);
/// [`Error::Corrupt`](crate::Error::Corrupt) if the copy reads back differently.
pub(super) fn copy_verbatim(
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
