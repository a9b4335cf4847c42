//! Reading back what was copied.

use super::check::sums_of;
use super::label::FileSum;
use super::versions::version_of;
use crate::error::{Corruption, Result};
use crate::model::finding::Finding;
use crate::recovery::verify::verify_on;
use crate::storage::dir::Dir;

/// Reads back what was written, then everything that it says.
pub(super) fn verify_copy(target: &Dir, files: &[FileSum]) -> Result<()> {
    compare(target, files)?;
    let report = verify_on(target.storage().clone(), target.path(), &mut |_| ())?;
    match report.damage().next() {
        None => Ok(()),
        Some(finding) => Err(finding_as_corruption(target, finding).into()),
    }
}

/// Compares every file with the checksum of what was written.
pub(super) fn compare(target: &Dir, files: &[FileSum]) -> Result<()> {
    match sums_of(target, files, &mut |_, _| ())?.into_iter().next() {
        None => Ok(()),
        Some(problem) => {
            Err(Corruption::new(target.join(&problem.file), problem.what.clone()).into())
        }
    }
}

/// A finding of damage in one of a directory's files, as an error says it.
pub(super) fn finding_as_corruption(dir: &Dir, finding: &Finding) -> Corruption {
    let path = match &finding.file {
        Some(file) => dir.join(file),
        None => dir.path().to_path_buf(),
    };
    let mut corruption = Corruption::new(path, finding.what.clone());
    corruption.offset = finding.offset;
    (corruption.lsn_from, corruption.lsn_to) = (finding.lsn_from, finding.lsn_to);
    corruption
}

/// The newest format version among files.
pub(super) fn newest_version(dir: &Dir, files: &[FileSum]) -> Result<u16> {
    let mut newest = 0;
    for file in files {
        newest = newest.max(version_of(dir, &file.name)?.unwrap_or(0));
    }
    Ok(newest)
}
