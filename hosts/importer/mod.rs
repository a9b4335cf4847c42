//! The import of a whole folder, file by file.
//!
//! It promises that what is wrong with one file ends neither the import of the next nor that of
//! what is right in it, that a file which is not understood is kept byte for byte in a session of
//! its own, and that every file has a report or a refusal. Nothing is durable before the
//! journal's next sync.

mod lines;

pub(crate) use lines::host_of;

use crate::detect::{Found, Host, Role, Survey, refusal};
use crate::documents::split::{Fault, Split};
use crate::documents::{DocumentKind, place, writer};
use crate::error::Result;
use crate::hermes;
use crate::import::target::Targets;
use crate::report::{FileReport, Finding, Refusal};
use crate::rows::database::{Database, Unreadable};
use crate::rows::{self, Tables};
use crate::source::{self, Limits, Whole};
use crate::transcripts::walk::Skip;
use crate::transcripts::{Format, Transcript};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use turnkeep::Journal;

/// In front of the id of a session with bytes that were not understood.
pub const QUARANTINE: &str = "quarantine";

/// What became of all files.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// One for each file that gave something or that was there already.
    pub reports: Vec<FileReport>,
    /// One for each that gave nothing.
    pub refused: Vec<Refusal>,
}

/// Imports into one journal.
#[derive(Debug)]
pub struct Importer<'j> {
    targets: Targets<'j>,
    limits: Limits,
}

impl<'j> Importer<'j> {
    /// Looks at `journal` before anything is imported.
    ///
    /// # Errors
    /// The journal's.
    pub fn new(journal: &'j Journal, limits: Limits) -> Result<Importer<'j>> {
        Ok(Importer {
            targets: Targets::new(journal)?,
            limits,
        })
    }

    /// Imports everything that was found. `progress` is told how many bytes were dealt with.
    ///
    /// # Errors
    /// The journal's.
    pub fn run(&self, survey: &Survey, progress: &mut dyn FnMut(u64)) -> Result<Imported> {
        let mut imported = Imported {
            refused: survey.refused.clone(),
            ..Imported::default()
        };
        let mut shards = shards(survey);
        for found in &survey.found {
            match self.file(found, survey, progress)? {
                Ok(mut report) => {
                    if let Some(shards) = shards.remove(&found.entry.path) {
                        report.findings.extend(audit(&shards, &self.limits));
                    }
                    imported.reports.push(report);
                }
                Err(refusal) => imported.refused.push(refusal),
            }
        }
        hermes::across::compare(survey, &mut imported.reports, &self.limits);
        Ok(imported)
    }

    /// Imports one file.
    ///
    /// # Errors
    /// The journal's.
    pub fn file(
        &self,
        found: &Found,
        survey: &Survey,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Result<FileReport, Refusal>> {
        if let Some(refusal) = deleted(found, survey) {
            return Ok(Err(refusal));
        }
        let mut report = FileReport::new(&found.entry.source, found.host, "");
        let lines = match &found.role {
            Role::Transcript => match lines::open(found, self.limits.line_bytes) {
                Ok(transcript) => transcript,
                Err(skip) => return Ok(Err(refusal(&found.entry, &skip))),
            },
            Role::Lines { .. } => named(found, self.limits.line_bytes),
            Role::Document(kind) => {
                return self.document(found, kind, survey, report, progress);
            }
            Role::Database(tables) => {
                return self.database(found, tables, survey, report, progress);
            }
            Role::Verbatim { code, why } => {
                report.findings.push(Finding::new(code, why.clone()));
                quarantined(found, self.limits.line_bytes)
            }
            Role::LeftAlone { code, why } => {
                return Ok(Err(Refusal {
                    file: found.entry.source.to_string_lossy().into_owned(),
                    code,
                    why: why.clone(),
                    is_failure: false,
                }));
            }
        };
        lines::add(&self.targets, found, &lines, report, progress)
    }

    fn document(
        &self,
        found: &Found,
        kind: &'static DocumentKind,
        survey: &Survey,
        mut report: FileReport,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Result<FileReport, Refusal>> {
        report.format = kind.format;
        let bytes = match source::read_whole(&found.entry.path, self.limits.document_bytes) {
            Ok(Whole::Bytes(bytes)) => bytes,
            Ok(Whole::TooLong) => {
                let why = "larger than what is understood at once; kept as it is";
                report
                    .findings
                    .push(Finding::new("document.too_large", why));
                return self.quarantine(found, report, progress);
            }
            Err(e) => return Ok(Err(refusal(&found.entry, &Skip::Unreadable(e.to_string())))),
        };
        let split = match Split::new(&bytes, kind.lists) {
            Ok(split) if split.frame_bytes() > self.limits.frame_bytes => {
                report.findings.push(large_frame(split.frame_bytes()));
                return self.quarantine(found, report, progress);
            }
            Ok(split) => split,
            Err(fault) => {
                drop(bytes);
                report.findings.push(not_understood(&fault));
                return self.quarantine(found, report, progress);
            }
        };
        let source = found.entry.source.to_string_lossy();
        let reading = (kind.read)(&split, &found.entry.source);
        let is_of_deleted = [Some(&reading.session), reading.parent.as_ref()]
            .into_iter()
            .flatten()
            .any(|id| survey.deleted.contains(id));
        if kind.host == Host::HermesWebui && is_of_deleted {
            return Ok(Err(deleted_by_host(found, &reading.session)));
        }
        report.findings.extend(reading.findings.iter().cloned());
        report.findings.extend(odd(&split, &self.limits));
        report.parent = reading.parent.clone();
        match place::find(&self.targets, kind, &source, &split, &reading)? {
            place::Target::Into(place) => {
                let journal = self.targets.journal();
                writer::add(
                    journal,
                    kind,
                    &source,
                    &split,
                    &reading,
                    *place,
                    &mut report,
                )?;
            }
            place::Target::Nowhere(why) => return Ok(Err(lines::nowhere(found, &why))),
        }
        progress(bytes.len() as u64);
        Ok(Ok(report))
    }

    fn database(
        &self,
        found: &Found,
        tables: &'static Tables,
        survey: &Survey,
        mut report: FileReport,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Result<FileReport, Refusal>> {
        report.format = tables.format;
        report.session = format!("*/{}", tables.suffix);
        let database = match Database::open(&found.entry.path) {
            Ok(database) => database,
            Err(Unreadable::Sqlite(e)) => {
                let finding = Finding::new("database.damaged", format!("{e}; kept as it is"));
                report.findings.push(finding);
                return self.quarantine(found, report, progress);
            }
            Err(e) => return Ok(Err(refusal(&found.entry, &Skip::Unreadable(e.to_string())))),
        };
        let source = found.entry.source.to_string_lossy();
        let (targets, deleted) = (&self.targets, &survey.deleted);
        rows::writer::add(targets, tables, &source, &database, deleted, &mut report)?;
        drop(database);
        progress(found.entry.size_bytes);
        let unread = ["database.damaged", "row.too_large"];
        if unread.iter().any(|code| report.findings.has(code)) {
            // Rows that could not be read are in nothing but the file itself.
            let mut whole = FileReport::new(&found.entry.source, found.host, "");
            whole.findings = std::mem::take(&mut report.findings);
            return Ok(self
                .quarantine(found, whole, &mut |_| {})?
                .map(|mut whole| {
                    whole.sessions = report.sessions;
                    whole.lines += report.lines;
                    whole.bytes += report.bytes;
                    whole
                }));
        }
        Ok(Ok(report))
    }

    /// Keeps a file as it is.
    fn quarantine(
        &self,
        found: &Found,
        mut report: FileReport,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Result<FileReport, Refusal>> {
        report.format = Format::Quarantine.name();
        let lines = quarantined(found, self.limits.line_bytes);
        lines::add(&self.targets, found, &lines, report, progress)
    }
}

/// Reads everything that an import would read, and tells what it holds.
pub fn look(
    found: &Found,
    survey: &Survey,
    limits: &Limits,
    progress: &mut dyn FnMut(u64),
) -> Result<FileReport, Refusal> {
    if let Some(refusal) = deleted(found, survey) {
        return Err(refusal);
    }
    let report = FileReport::new(&found.entry.source, found.host, "");
    let unreadable =
        |e: &dyn std::fmt::Display| refusal(&found.entry, &Skip::Unreadable(e.to_string()));
    match &found.role {
        Role::Transcript => match lines::open(found, limits.line_bytes) {
            Ok(transcript) => lines::read(found, &transcript, report, progress),
            Err(skip) => Err(refusal(&found.entry, &skip)),
        },
        Role::Lines { .. } => {
            let mut report =
                lines::read(found, &named(found, limits.line_bytes), report, progress)?;
            if let Some(shards) = shards(survey).remove(&found.entry.path) {
                report.findings.extend(audit(&shards, limits));
            }
            Ok(report)
        }
        Role::Verbatim { code, why } => {
            let mut report = report;
            report.findings.push(Finding::new(code, why.clone()));
            let quarantined = quarantined(found, limits.line_bytes);
            lines::read(found, &quarantined, report, progress)
        }
        Role::Document(kind) => {
            let whole = source::read_whole(&found.entry.path, limits.document_bytes);
            look_at_document(
                found,
                kind,
                whole.map_err(|e| unreadable(&e))?,
                limits,
                report,
            )
            .inspect(|_| progress(found.entry.size_bytes))
        }
        Role::Database(tables) => {
            let mut report = report;
            report.format = tables.format;
            if let Err(e) = Database::open(&found.entry.path) {
                report
                    .findings
                    .push(Finding::new("database.damaged", e.to_string()));
            }
            progress(found.entry.size_bytes);
            report.bytes = found.entry.size_bytes;
            Ok(report)
        }
        Role::LeftAlone { code, why } => Err(Refusal {
            file: found.entry.source.to_string_lossy().into_owned(),
            code,
            why: why.clone(),
            is_failure: false,
        }),
    }
}

fn look_at_document(
    found: &Found,
    kind: &DocumentKind,
    whole: Whole,
    limits: &Limits,
    mut report: FileReport,
) -> Result<FileReport, Refusal> {
    report.format = kind.format;
    let Whole::Bytes(bytes) = whole else {
        report
            .findings
            .push(Finding::new("document.too_large", "larger than the limit"));
        report.bytes = found.entry.size_bytes;
        return Ok(report);
    };
    report.bytes = bytes.len() as u64;
    match Split::new(&bytes, kind.lists) {
        Ok(split) if split.frame_bytes() > limits.frame_bytes => {
            report.format = Format::Quarantine.name();
            report.findings.push(large_frame(split.frame_bytes()));
        }
        Ok(split) => {
            let reading = (kind.read)(&split, &found.entry.source);
            report.lines = split.len() as u64;
            report.session = reading.session;
            report.parent = reading.parent;
            report.queued = reading.queue.len() as u64;
            report.findings.extend(reading.findings);
            report.findings.extend(odd(&split, limits));
        }
        Err(fault) => {
            report.format = Format::Quarantine.name();
            report.findings.push(not_understood(&fault));
        }
    }
    Ok(report)
}

fn large_frame(bytes: u64) -> Finding {
    let what = format!("{bytes} bytes around its messages; kept as it is");
    Finding::new("document.too_large", what)
}

fn not_understood(fault: &Fault) -> Finding {
    Finding::new(fault.code(), format!("{fault}; kept as it is"))
}

/// What is odd about any document.
fn odd(split: &Split<'_>, limits: &Limits) -> Vec<Finding> {
    let mut findings = Vec::new();
    let depth = split.depth();
    if depth > limits.json_depth {
        findings.push(Finding::new(
            "document.deep",
            format!("nested {depth} deep"),
        ));
    }
    if let Some(name) = split.repeated().next() {
        let what = format!("field {name:?} stands there twice; the latter counts");
        findings.push(Finding::new("document.repeated_field", what));
    }
    findings
}

fn named(found: &Found, limit_bytes: usize) -> Transcript {
    match &found.role {
        Role::Lines {
            format,
            session,
            parent,
        } => Transcript::named(
            &found.entry,
            *format,
            session.clone(),
            parent.clone(),
            limit_bytes,
        ),
        _ => quarantined(found, limit_bytes),
    }
}

fn quarantined(found: &Found, limit_bytes: usize) -> Transcript {
    let source = found.entry.source.to_string_lossy();
    let session = format!("{QUARANTINE}/{source}");
    Transcript::named(&found.entry, Format::Quarantine, session, None, limit_bytes)
}

/// Why a file of lines is left out, if its session was deleted.
fn deleted(found: &Found, survey: &Survey) -> Option<Refusal> {
    let Role::Lines {
        parent: Some(parent),
        ..
    } = &found.role
    else {
        return None;
    };
    let is_deleted = found.host == Some(Host::HermesWebui) && survey.deleted.contains(parent);
    is_deleted.then(|| deleted_by_host(found, parent))
}

fn deleted_by_host(found: &Found, session: &str) -> Refusal {
    Refusal {
        file: found.entry.source.to_string_lossy().into_owned(),
        code: "session.deleted_by_host",
        why: format!("its host's own list says that {session:?} was deleted"),
        is_failure: false,
    }
}

/// The shards of each turn journal, by the path of the first of them.
fn shards(survey: &Survey) -> HashMap<PathBuf, Vec<PathBuf>> {
    let mut first: HashMap<(&Path, &str), &Path> = HashMap::new();
    let mut shards: HashMap<PathBuf, Vec<PathBuf>> = HashMap::new();
    for found in &survey.found {
        if let Role::Lines {
            format: Format::HermesTurns,
            parent: Some(session),
            ..
        } = &found.role
        {
            let path = found.entry.path.as_path();
            let folder = path.parent().unwrap_or(path);
            let first = *first.entry((folder, session)).or_insert(path);
            shards
                .entry(first.to_path_buf())
                .or_default()
                .push(path.to_path_buf());
        }
    }
    shards
}

fn audit(shards: &[PathBuf], limits: &Limits) -> Vec<Finding> {
    let paths: Vec<_> = shards.iter().map(PathBuf::as_path).collect();
    // A shard that cannot be read has a refusal of its own.
    hermes::audit::audit(&paths, limits).unwrap_or_default()
}
