//! What a verification saw: one sentence for people, fields for programs.

use crate::error::{Corruption, Error};
use crate::format::ids::Lsn;
use crate::model::finding::{Finding, Severity};
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// The report of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[must_use = "it says whether anything is damaged"]
pub struct VerifyReport {
    /// Files of the journal that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments of the log among them.
    pub segments: u64,
    /// Packs among them.
    pub packs: u64,
    /// Snapshots that were loaded.
    pub snapshots: u64,
    /// Records that were read and checked; one that the log and a pack hold counts once.
    pub records: u64,
    /// Sessions that were not deleted.
    pub sessions: u64,
    /// The LSN after the last record that the log reads up to.
    pub next_lsn: Lsn,
    /// Everything below was proven durable.
    pub durable_lsn: Lsn,
    /// Bytes of a torn tail, none of which was ever acknowledged.
    pub torn_bytes: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// What was seen, worst first.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing is damaged: what was acknowledged is there, and validates.
    pub fn is_sound(&self) -> bool {
        self.damage().next().is_none()
    }

    /// The findings of damage.
    pub fn damage(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|finding| finding.severity == Severity::Damage)
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Sorts the findings: worst first, then by file and place.
    pub(super) fn finish(&mut self) {
        self.findings.sort_by(|a, b| {
            let place = |f: &Finding| (f.file.clone(), f.offset, f.lsn_from);
            b.severity
                .cmp(&a.severity)
                .then_with(|| place(a).cmp(&place(b)))
        });
        self.findings.dedup();
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let damaged = self.damage().count();
        match damaged {
            0 => write!(f, "sound")?,
            1 => write!(f, "damaged in 1 place")?,
            n => write!(f, "damaged in {n} places")?,
        }
        write!(
            f,
            ": read {} records of {} sessions in {} files, {} bytes",
            self.records, self.sessions, self.files, self.bytes
        )?;
        if self.torn_bytes > 0 {
            write!(
                f,
                "; a torn tail of {} bytes will be cut at opening",
                self.torn_bytes
            )?;
        }
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        Ok(())
    }
}

/// The name of a file within the journal.
pub(in crate::recovery) fn file_name(path: &Path) -> String {
    match path.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => path.display().to_string(),
    }
}

/// A corruption as a finding of damage.
pub(in crate::recovery) fn finding_of(code: &'static str, why: &Corruption) -> Finding {
    let what = match (&why.expected, &why.found) {
        (Some(expected), Some(found)) => {
            format!("{}: expected {expected}, found {found}", why.what)
        }
        _ => why.what.clone(),
    };
    let mut finding = Finding::new(Severity::Damage, code, what).in_file(file_name(&why.path));
    finding.offset = why.offset;
    finding.lsn_from = why.lsn_from;
    finding.lsn_to = why.lsn_to;
    finding
}

/// An error of reading one file as a finding; `Err` for one that ends the whole inspection.
pub(in crate::recovery) fn finding_of_error(
    code: &'static str,
    error: Error,
) -> Result<Finding, Error> {
    match error {
        Error::Corrupt(why) => Ok(finding_of(code, &why)),
        Error::Io { op, path, source } => {
            let what = format!("cannot {op} the file: {source}");
            Ok(Finding::new(Severity::Damage, "unreadable", what).in_file(file_name(&path)))
        }
        error => Err(error),
    }
}
