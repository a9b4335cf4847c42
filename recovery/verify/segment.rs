//! Verifying one segment file by itself.

use super::report::{file_name, finding_of_error};
use crate::error::{Error, Result};
use crate::format::ids::{Lsn, SegmentId};
use crate::format::names::{self, Name};
use crate::format::segment::{SEGMENT_HEADER_LEN, SegmentHeader};
use crate::format::{Fault, ids::JournalId};
use crate::journal::segments::{Expected, SegmentFile};
use crate::journal::walk::{Step, Stop, Walk};
use crate::model::finding::{Finding, Severity};
use crate::storage::dir::Dir;
use crate::storage::{DiskStorage, OpenMode};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// What one segment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SegmentReport {
    /// Its id.
    pub id: SegmentId,
    /// The journal it belongs to.
    pub journal: JournalId,
    /// Groups that validate, up to the first that does not.
    pub groups: u64,
    /// Their records.
    pub records: u64,
    /// Bytes from the beginning of the file to the end of the last group.
    pub bytes: u64,
    /// Its first record.
    pub first_lsn: Lsn,
    /// The LSN after its last record.
    pub end_lsn: Lsn,
    /// It says itself that nothing follows in it.
    pub sealed: bool,
    /// What was seen.
    pub findings: Vec<Finding>,
}

/// Reads one segment file and checks header, groups, frames, order and links. Where it stops
/// without a seal it cannot say what that means: an end, a torn tail and damage look alike
/// without the rest of the journal. [`super::verify`] can.
///
/// # Errors
/// [`Error::Invalid`] if the name is not that of a segment; [`Error::NewerFormat`];
/// [`Error::Io`].
pub fn verify_segment(path: impl AsRef<Path>) -> Result<SegmentReport> {
    let path = path.as_ref();
    let name = file_name(path);
    let Name::Segment(id) = Name::parse(&name) else {
        return Err(Error::Invalid {
            what: "path",
            why: format!("{name:?} is not the name of a segment"),
        });
    };
    let dir = Dir::new(
        Arc::new(DiskStorage),
        path.parent().unwrap_or(Path::new(".")),
    );
    let mut report = SegmentReport {
        id,
        ..SegmentReport::default()
    };
    let segment = match open(&dir, id) {
        Ok(segment) => segment,
        Err(error) => {
            report
                .findings
                .push(finding_of_error("segment_header", error)?);
            return Ok(report);
        }
    };
    report.journal = segment.header().journal;
    let mut walk = Walk::unlinked(&segment);
    loop {
        match walk.step()? {
            Step::Group(_, group) => {
                if report.groups == 0 {
                    report.first_lsn = group.header.first_lsn;
                }
                report.groups += 1;
                report.records += u64::from(group.header.frame_count);
                report.end_lsn = group.header.end_lsn();
            }
            Step::End(stop) => {
                let at = walk.point().offset;
                report.bytes = at;
                report.sealed = stop == Stop::Sealed;
                let what = match stop {
                    Stop::Sealed | Stop::Full => None,
                    Stop::Fault(fault) => Some(fault.to_string()),
                    Stop::OutOfOrder { fault, .. } => Some(fault.to_string()),
                };
                report.findings.extend(what.map(|what| {
                    Finding::new(Severity::Note, "stop", what)
                        .in_file(&*name)
                        .at(at)
                }));
                return Ok(report);
            }
        }
    }
}

/// Opens a segment of whatever journal its header names.
fn open(dir: &Dir, id: SegmentId) -> Result<SegmentFile> {
    let name = names::segment(id);
    let path = dir.join(&name);
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    let file = dir.open(&name, OpenMode::Read)?;
    let got = file
        .read_at(&mut bytes, 0)
        .map_err(|e| Error::io("read", &path, e))?;
    let journal = match SegmentHeader::decode(&bytes[..got]) {
        Ok(header) => header.journal,
        Err(Fault::Newer { found, supported }) => {
            return Err(Error::NewerFormat {
                path,
                found,
                supported,
            });
        }
        // Opening says what is wrong.
        Err(_) => JournalId::default(),
    };
    SegmentFile::open(dir, Expected { journal, id }, OpenMode::Read)
}
