//! One file of lines, imported or only read.

use crate::detect::{Found, Host, refusal};
use crate::error::Result;
use crate::import::target::{Target, Targets, Why};
use crate::import::writer::{self, Stopped};
use crate::report::{FileReport, Refusal};
use crate::transcripts::lines::Part;
use crate::transcripts::meta::Content;
use crate::transcripts::walk::{self, Skip};
use crate::transcripts::{Format, Line, Transcript};

/// Opens a file whose format and session stand in its lines.
pub fn open(found: &Found, limit_bytes: usize) -> Result<Transcript, Skip> {
    let transcript = walk::open(&found.entry, limit_bytes)?;
    match found.host {
        Some(host) if host_of(transcript.format) != Some(host) => Err(Skip::UnknownFormat),
        _ => Ok(transcript),
    }
}

pub(crate) fn host_of(format: Format) -> Option<Host> {
    match format {
        Format::ClaudeCode => Some(Host::ClaudeCode),
        Format::Codex => Some(Host::Codex),
        Format::HermesTurns | Format::HermesRun => Some(Host::HermesWebui),
        _ => None,
    }
}

/// Adds what is new of a file.
///
/// # Errors
/// The journal's.
pub fn add(
    targets: &Targets<'_>,
    found: &Found,
    transcript: &Transcript,
    mut report: FileReport,
    progress: &mut dyn FnMut(u64),
) -> Result<Result<FileReport, Refusal>> {
    describe(&mut report, transcript);
    let place = match targets.find(transcript) {
        Ok(Target::Into(place)) => place,
        Ok(Target::Nowhere(why)) => return Ok(Err(nowhere(found, &why))),
        // Of this one file; the journal's own failures end the import.
        Err(crate::Error::Io { source, .. }) => {
            return Ok(Err(refusal(
                &found.entry,
                &Skip::Unreadable(source.to_string()),
            )));
        }
        Err(error) => return Err(error),
    };
    progress(place.cursor.at.offset);
    report.session = place.session.id().to_owned();
    report.already_there = place.cursor.at.number - 1;
    let kept_partial = place.partial.len() as u64;
    let added = writer::add(targets.journal(), transcript, *place, |line| {
        progress(line.raw.bytes.len() as u64);
        note(&mut report, line);
    });
    let added = match added {
        Ok(added) => added,
        Err(Stopped::Writing(error)) => return Err(error),
        Err(Stopped::Reading(e)) => {
            return Ok(Err(refusal(&found.entry, &Skip::Unreadable(e.to_string()))));
        }
    };
    (report.lines, report.bytes, report.turns) = (added.lines, added.bytes, added.turns);
    report.partial_bytes = match added.lines {
        0 if added.partial_bytes == kept_partial => 0,
        _ => added.partial_bytes,
    };
    Ok(Ok(report))
}

/// Reads a file and tells what it holds.
pub fn read(
    found: &Found,
    transcript: &Transcript,
    mut report: FileReport,
    progress: &mut dyn FnMut(u64),
) -> Result<FileReport, Refusal> {
    let unreadable = |e: std::io::Error| refusal(&found.entry, &Skip::Unreadable(e.to_string()));
    describe(&mut report, transcript);
    let mut lines = transcript.lines().map_err(unreadable)?;
    for line in lines.by_ref() {
        let line = line.map_err(unreadable)?;
        progress(line.raw.bytes.len() as u64);
        note(&mut report, &line);
        report.lines = line.raw.number;
        report.bytes += line.raw.bytes.len() as u64;
    }
    report.turns = u64::from(lines.turns());
    report.last_turn = lines.finish();
    Ok(report)
}

/// Why a file has no place in the journal.
pub fn nowhere(found: &Found, why: &Why) -> Refusal {
    Refusal {
        file: found.entry.source.to_string_lossy().into_owned(),
        code: why.code(),
        why: why.to_string(),
        is_failure: false,
    }
}

fn describe(report: &mut FileReport, transcript: &Transcript) {
    report.host = report.host.or(host_of(transcript.format));
    report.format = transcript.format.name();
    report.session.clone_from(&transcript.session_id);
    report.parent.clone_from(&transcript.parent_session_id);
}

/// Notes damage of a line, of one in pieces once.
fn note(report: &mut FileReport, line: &Line) {
    let is_first = !matches!(line.raw.part, Part::Piece { index: 1.., .. });
    if let Content::Damaged(damage) = &line.content
        && is_first
    {
        report.note_damage(line.raw.number, damage);
    }
}
