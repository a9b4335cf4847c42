//! `import`: what other hosts left on disk into a journal.

use super::journal;
use crate::args::{Cli, HostName, Import};
use crate::exit::{Exit, Result};
use crate::output::Output;
use crate::output::table::{Align, Table, count, plural, size};
use serde::Serialize;
use std::time::{Duration, Instant};
use turnkeep::Journal;
use turnkeep_hosts::detect::{UNKNOWN, survey};
use turnkeep_hosts::import::writer::RECORD_OVERHEAD_BYTES;
use turnkeep_hosts::importer::{self, Imported, Importer};
use turnkeep_hosts::report::{FileReport, Refusal};
use turnkeep_hosts::source::Limits;

/// How many damaged places or findings of one file are told apart for people; JSON has them all.
const SHOWN: usize = 5;

/// Two segments are always kept ready: filling much that is not used costs more than rotating often.
const SEGMENT_BYTES: u64 = 16 << 20;

/// What waits for the disk: enough that it is busy while lines are read.
const PENDING_BYTES: usize = 4 << 20;

/// Something that was left out.
#[derive(Serialize)]
struct SkipReport<'a> {
    skipped: &'a str,
    code: &'static str,
    why: &'a str,
}

/// Nothing is told before the end, so no record needs a sync of its own.
const TICKET_DELAY: Duration = Duration::from_millis(5);

/// Sums over an import.
#[derive(Debug, Default, Serialize)]
struct Summary {
    imported_files: u64,
    unchanged_files: u64,
    /// Files that nobody claims.
    unknown_files: u64,
    lines: u64,
    bytes: u64,
    turns: u64,
    queued: u64,
    damaged_lines: u64,
    findings: u64,
    seconds: f64,
}

/// Brings everything below the path into the journal.
pub fn run(cli: &Cli, args: &Import, out: &mut Output) -> Result<Exit> {
    let limits = limits(args);
    let survey = survey(&args.path, args.from.and_then(HostName::host), &limits)?;
    let record_bytes = (args.line_limit.max(args.document_limit) << 20) + RECORD_OVERHEAD_BYTES;
    // Compaction would read what was just written, through the same memory and disk; whoever opens
    // the journal next does it.
    let options = Journal::options()
        .max_record_bytes(record_bytes)
        .segment_bytes(SEGMENT_BYTES)
        .max_pending_bytes(PENDING_BYTES)
        .ticket_delay(TICKET_DELAY)
        .compact_after_bytes(u64::MAX);
    let journal = journal::open(cli, options, out)?;
    let started = Instant::now();
    let bar = out.byte_bar("importing", survey.bytes());
    let importer = Importer::new(&journal, limits)?;
    let Imported { reports, refused } = importer.run(&survey, &mut |bytes| bar.inc(bytes))?;
    // Nothing is told before it is durable.
    journal.sync()?;
    bar.finish_and_clear();
    journal::close(journal)?;
    let (unchanged, reports): (Vec<_>, Vec<_>) =
        reports.into_iter().partition(FileReport::is_unchanged);
    let mut summary = Summary {
        imported_files: reports.len() as u64,
        unchanged_files: unchanged.len() as u64,
        unknown_files: unknown(&refused),
        seconds: started.elapsed().as_secs_f64(),
        ..Summary::default()
    };
    for report in &reports {
        summary.lines += report.lines;
        summary.bytes += report.bytes;
        summary.turns += report.turns;
        summary.queued += report.queued;
        summary.damaged_lines += report.damaged_lines();
        summary.findings += report.findings.count();
    }
    tell(&reports, &refused, out)?;
    if out.is_json() {
        out.object(&serde_json::json!({ "summary": summary }))?;
    } else {
        tell_summary(&summary, out);
    }
    Ok(exit_of(&refused))
}

/// Reads everything that an import would read and tells what it holds.
pub fn dry_run(args: &Import, out: &mut Output) -> Result<Exit> {
    let limits = limits(args);
    let survey = survey(&args.path, args.from.and_then(HostName::host), &limits)?;
    let bar = out.byte_bar("reading", survey.bytes());
    let mut reports = Vec::new();
    let mut refused = survey.refused.clone();
    for found in &survey.found {
        match importer::look(found, &survey, &limits, &mut |bytes| bar.inc(bytes)) {
            Ok(report) => reports.push(report),
            Err(refusal) => refused.push(refusal),
        }
    }
    bar.finish_and_clear();
    tell(&reports, &refused, out)?;
    Ok(exit_of(&refused))
}

fn limits(args: &Import) -> Limits {
    let limits = Limits::default()
        .line_bytes((args.line_limit as usize) << 20)
        .document_bytes(u64::from(args.document_limit) << 20);
    match args.file_limit {
        Some(mib) => limits.file_bytes(mib << 20),
        None => limits,
    }
}

fn exit_of(refused: &[Refusal]) -> Exit {
    match refused.iter().any(|refusal| refusal.is_failure) {
        true => Exit::Damaged,
        false => Exit::Ok,
    }
}

fn tell(reports: &[FileReport], refused: &[Refusal], out: &mut Output) -> Result<()> {
    if out.is_json() {
        for report in reports {
            out.object(report)?;
        }
        for refusal in refused {
            out.object(&SkipReport {
                skipped: &refusal.file,
                code: refusal.code,
                why: &refusal.why,
            })?;
        }
        return Ok(());
    }
    if !reports.is_empty() {
        out.table(&overview(reports))?;
    }
    // In order, although the two streams may be one terminal.
    out.flush()?;
    reports.iter().for_each(|report| tell_file(report, out));
    for refusal in refused.iter().filter(|refusal| refusal.code != UNKNOWN) {
        let message = format!("skipped {}: {}", refusal.file, refusal.why);
        match refusal.is_failure {
            true => out.warn(message),
            false => out.say(message),
        }
    }
    let unknown = unknown(refused);
    if unknown > 0 {
        let files = plural(unknown, "file");
        out.say(format_args!("skipped {files} of no known host"));
    }
    Ok(())
}

fn tell_summary(summary: &Summary, out: &Output) {
    let mut text = match summary.imported_files {
        0 => "nothing new".to_owned(),
        files => format!(
            "imported {} ({}) and {} from {} in {:.1} s",
            plural(summary.lines, "line"),
            size(summary.bytes),
            plural(summary.turns, "turn"),
            plural(files, "file"),
            summary.seconds
        ),
    };
    if summary.queued > 0 {
        let inputs = plural(summary.queued, "waiting input");
        text.push_str(&format!("; queued {inputs}"));
    }
    if summary.unchanged_files > 0 {
        let files = plural(summary.unchanged_files, "file");
        text.push_str(&format!("; {files} unchanged"));
    }
    if summary.damaged_lines > 0 {
        let lines = plural(summary.damaged_lines, "damaged line");
        text.push_str(&format!("; kept {lines} as found"));
    }
    out.say(text);
}

fn unknown(refused: &[Refusal]) -> u64 {
    let unknown = refused.iter().filter(|refusal| refusal.code == UNKNOWN);
    unknown.count() as u64
}

fn overview(files: &[FileReport]) -> Table {
    let mut table = Table::new(&[
        ("SESSION", Align::Left),
        ("FORMAT", Align::Left),
        ("TURNS", Align::Right),
        ("LINES", Align::Right),
        ("DAMAGED", Align::Right),
        ("FOUND", Align::Right),
        ("SIZE", Align::Right),
        ("FILE", Align::Left),
    ]);
    for file in files {
        table.row([
            &file.session,
            file.format,
            &count(file.turns),
            &count(file.lines),
            &count(file.damaged_lines()),
            &count(file.findings.count()),
            &size(file.bytes),
            &file.file,
        ]);
    }
    table
}

fn tell_file(report: &FileReport, out: &Output) {
    let file = &report.file;
    for damage in report.damaged.iter().take(SHOWN) {
        let glued = match damage.glued {
            true => "; a whole record follows on the same line",
            false => "",
        };
        let (line, offset, why) = (damage.line, damage.offset, &damage.why);
        out.say(format_args!(
            "{file}: line {line}, byte {offset}: {why}{glued}"
        ));
    }
    let more = report.damaged_lines().saturating_sub(SHOWN as u64);
    if more > 0 {
        out.say(format_args!("{file}: and {more} more damaged lines"));
    }
    for finding in report.findings.first().iter().take(SHOWN) {
        out.say(format_args!("{file}: {}: {}", finding.code, finding.what));
    }
    let more = report.findings.count().saturating_sub(SHOWN as u64);
    if more > 0 {
        out.say(format_args!("{file}: and {more} more findings"));
    }
    if report.partial_bytes > 0 && report.format != "quarantine" {
        let bytes = count(report.partial_bytes);
        out.say(format_args!(
            "{file}: the last line has no end yet; its {bytes} bytes are kept until it has"
        ));
    }
}
