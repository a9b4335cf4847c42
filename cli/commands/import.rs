//! `import`: other tools' transcripts into a journal.

use super::journal;
use crate::args::{Cli, Import};
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::output::table::{Align, Table, count, plural, size};
use indicatif::ProgressBar;
use serde::Serialize;
use std::io;
use std::time::Instant;
use turnkeep::Journal;
use turnkeep_hosts::import::target::{Target, Targets, Why};
use turnkeep_hosts::import::writer::{self, RECORD_OVERHEAD_BYTES, Stopped};
use turnkeep_hosts::transcripts::lines::Part;
use turnkeep_hosts::transcripts::meta::{Content, Damage};
use turnkeep_hosts::transcripts::turns::Outcome;
use turnkeep_hosts::transcripts::walk::{self, Entry, Skip};
use turnkeep_hosts::transcripts::{Format, Line, Transcript};

/// How many damaged places of one file are told apart for people; JSON has them all.
const SHOWN_DAMAGE: usize = 5;

/// What one file holds; of an import, what of it was new.
#[derive(Debug, Serialize)]
struct FileReport {
    file: String,
    session: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    format: Format,
    lines: u64,
    bytes: u64,
    turns: u64,
    damaged: Vec<DamageReport>,
    /// How the last turn stands, if it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_turn: Option<Outcome>,
    /// Length of a last line without end, which is kept until it is whole.
    #[serde(skip_serializing_if = "is_zero")]
    partial_bytes: u64,
}

/// One damaged line.
#[derive(Debug, Serialize)]
struct DamageReport {
    line: u64,
    offset: u64,
    why: String,
    /// Whether a whole record is glued to it.
    glued: bool,
}

/// Something that was left out.
#[derive(Debug, Serialize)]
struct SkipReport<'a> {
    skipped: &'a str,
    why: String,
}

/// A file that gave nothing, and whether that is a failure.
struct Skipped {
    file: String,
    why: Reason,
}

enum Reason {
    Walk(Skip),
    Target(Why),
}

impl Skipped {
    fn is_failure(&self) -> bool {
        matches!(&self.why, Reason::Walk(skip) if skip.is_failure())
    }

    fn why(&self) -> String {
        match &self.why {
            Reason::Walk(skip) => skip.to_string(),
            Reason::Target(why) => why.to_string(),
        }
    }
}

/// Sums over an import.
#[derive(Debug, Default, Serialize)]
struct Summary {
    imported_files: u64,
    unchanged_files: u64,
    lines: u64,
    bytes: u64,
    turns: u64,
    damaged_lines: u64,
    seconds: f64,
}

/// Brings everything below the path into the journal.
pub fn run(cli: &Cli, args: &Import, out: &mut Output) -> Result<Exit> {
    let entries = walk::walk(&args.path).map_err(|e| Failure::io("read", &args.path, &e))?;
    let record_bytes = (args.line_limit << 20) + RECORD_OVERHEAD_BYTES;
    let options = Journal::options().max_record_bytes(record_bytes);
    let journal = journal::open(cli, options, out)?;
    let started = Instant::now();
    let bar = out.byte_bar("importing", bytes_of(&entries));
    let targets = Targets::new(&journal)?;
    let mut reports = Vec::new();
    let mut skips = Vec::new();
    let mut summary = Summary::default();
    for entry in &entries {
        match import_file(&journal, &targets, entry, args.line_limit, &bar)? {
            Ok(report) if report.bytes == 0 && report.partial_bytes == 0 => {
                summary.unchanged_files += 1;
            }
            Ok(report) => reports.push(report),
            Err(skipped) => skips.push(skipped),
        }
    }
    // Nothing is told before it is durable.
    journal.sync()?;
    bar.finish_and_clear();
    journal::close(journal)?;
    summary.imported_files = reports.len() as u64;
    for report in &reports {
        summary.lines += report.lines;
        summary.bytes += report.bytes;
        summary.turns += report.turns;
        summary.damaged_lines += report.damaged.len() as u64;
    }
    summary.seconds = started.elapsed().as_secs_f64();
    tell(&reports, &skips, out)?;
    if out.is_json() {
        out.object(&serde_json::json!({ "summary": summary }))?;
    } else {
        tell_summary(&summary, out);
    }
    Ok(exit_of(&skips))
}

/// Reads everything that an import would read and tells what it holds.
pub fn dry_run(args: &Import, out: &mut Output) -> Result<Exit> {
    let entries = walk::walk(&args.path).map_err(|e| Failure::io("read", &args.path, &e))?;
    let bar = out.byte_bar("reading", bytes_of(&entries));
    let mut reports = Vec::new();
    let mut skips = Vec::new();
    for entry in &entries {
        match look(entry, args.line_limit, &bar) {
            Ok(report) => reports.push(report),
            Err(skip) => skips.push(Skipped::walk(entry, skip)),
        }
    }
    bar.finish_and_clear();
    tell(&reports, &skips, out)?;
    Ok(exit_of(&skips))
}

fn bytes_of(entries: &[Entry]) -> u64 {
    let read = entries.iter().filter(|entry| entry.skipped.is_none());
    read.map(|entry| entry.size_bytes).sum()
}

fn exit_of(skips: &[Skipped]) -> Exit {
    match skips.iter().any(Skipped::is_failure) {
        true => Exit::Damaged,
        false => Exit::Ok,
    }
}

fn limit_bytes(line_limit_mib: u32) -> usize {
    (line_limit_mib as usize) << 20
}

/// Fails only with the journal.
fn import_file(
    journal: &Journal,
    targets: &Targets<'_>,
    entry: &Entry,
    line_limit_mib: u32,
    bar: &ProgressBar,
) -> Result<std::result::Result<FileReport, Skipped>> {
    let transcript = match walk::open(entry, limit_bytes(line_limit_mib)) {
        Ok(transcript) => transcript,
        Err(skip) => return Ok(Err(Skipped::walk(entry, skip))),
    };
    let place = match targets.find(&transcript) {
        Ok(Target::Into(place)) => place,
        Ok(Target::Nowhere(why)) => {
            let file = entry.source.to_string_lossy().into_owned();
            return Ok(Err(Skipped {
                file,
                why: Reason::Target(why),
            }));
        }
        Err(error) => return Err(error.into()),
    };
    bar.inc(place.cursor.at.offset);
    let mut report = FileReport::new(&transcript);
    report.session = place.session.id().to_owned();
    let kept_partial = place.partial.len() as u64;
    let added = writer::add(journal, &transcript, *place, |line| {
        bar.inc(line.raw.bytes.len() as u64);
        report.note(line);
    });
    let added = match added {
        Ok(added) => added,
        Err(Stopped::Writing(error)) => return Err(error.into()),
        Err(Stopped::Reading(e)) => {
            return Ok(Err(Skipped::walk(entry, Skip::Unreadable(e.to_string()))));
        }
    };
    (report.lines, report.bytes, report.turns) = (added.lines, added.bytes, added.turns);
    report.partial_bytes = match added.lines {
        0 if added.partial_bytes == kept_partial => 0,
        _ => added.partial_bytes,
    };
    Ok(Ok(report))
}

impl Skipped {
    fn walk(entry: &Entry, skip: Skip) -> Skipped {
        Skipped {
            file: entry.source.to_string_lossy().into_owned(),
            why: Reason::Walk(skip),
        }
    }
}

fn look(
    entry: &Entry,
    line_limit_mib: u32,
    bar: &ProgressBar,
) -> std::result::Result<FileReport, Skip> {
    let transcript = walk::open(entry, limit_bytes(line_limit_mib))?;
    read(&transcript, bar).map_err(|e| Skip::Unreadable(e.to_string()))
}

fn read(transcript: &Transcript, bar: &ProgressBar) -> io::Result<FileReport> {
    let mut report = FileReport::new(transcript);
    let mut lines = transcript.lines()?;
    for line in lines.by_ref() {
        let line = line?;
        bar.inc(line.raw.bytes.len() as u64);
        report.note(&line);
        report.lines = line.raw.number;
        report.bytes += line.raw.bytes.len() as u64;
    }
    report.turns = u64::from(lines.turns());
    report.last_turn = lines.finish();
    Ok(report)
}

impl FileReport {
    fn new(transcript: &Transcript) -> FileReport {
        FileReport {
            file: transcript.source.to_string_lossy().into_owned(),
            session: transcript.session_id.clone(),
            parent: transcript.parent_session_id.clone(),
            format: transcript.format,
            lines: 0,
            bytes: 0,
            turns: 0,
            damaged: Vec::new(),
            last_turn: None,
            partial_bytes: 0,
        }
    }

    /// Notes damage of a line, of one in pieces once.
    fn note(&mut self, line: &Line) {
        let is_first = !matches!(line.raw.part, Part::Piece { index: 1.., .. });
        if let Content::Damaged(damage) = &line.content
            && is_first
        {
            let damage = DamageReport::new(line.raw.number, damage);
            self.damaged.push(damage);
        }
    }
}

impl DamageReport {
    fn new(line: u64, damage: &Damage) -> DamageReport {
        DamageReport {
            line,
            offset: damage.at,
            why: damage.why.to_string(),
            glued: damage.glued.is_some(),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn tell(reports: &[FileReport], skips: &[Skipped], out: &mut Output) -> Result<()> {
    if out.is_json() {
        for report in reports {
            out.object(report)?;
        }
        for skipped in skips {
            let why = skipped.why();
            out.object(&SkipReport {
                skipped: &skipped.file,
                why,
            })?;
        }
        return Ok(());
    }
    if !reports.is_empty() {
        out.table(&overview(reports))?;
    }
    // In order, although the two streams may be one terminal.
    out.flush()?;
    tell_damage(reports, out);
    tell_skips(skips, out);
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

fn overview(files: &[FileReport]) -> Table {
    let mut table = Table::new(&[
        ("SESSION", Align::Left),
        ("FORMAT", Align::Left),
        ("TURNS", Align::Right),
        ("LINES", Align::Right),
        ("DAMAGED", Align::Right),
        ("SIZE", Align::Right),
        ("FILE", Align::Left),
    ]);
    for file in files {
        table.row([
            &file.session,
            file.format.name(),
            &count(file.turns),
            &count(file.lines),
            &count(file.damaged.len() as u64),
            &size(file.bytes),
            &file.file,
        ]);
    }
    table
}

fn tell_damage(files: &[FileReport], out: &Output) {
    for file in files {
        for damage in file.damaged.iter().take(SHOWN_DAMAGE) {
            let glued = match damage.glued {
                true => "; a whole record follows on the same line",
                false => "",
            };
            let (line, offset, why) = (damage.line, damage.offset, &damage.why);
            out.say(format_args!(
                "{}: line {line}, byte {offset}: {why}{glued}",
                file.file
            ));
        }
        let more = file.damaged.len().saturating_sub(SHOWN_DAMAGE);
        if more > 0 {
            out.say(format_args!("{}: and {more} more damaged lines", file.file));
        }
    }
    for file in files.iter().filter(|file| file.partial_bytes > 0) {
        let bytes = count(file.partial_bytes);
        out.say(format_args!(
            "{}: the last line has no end yet; its {bytes} bytes are kept until it has",
            file.file
        ));
    }
}

fn tell_skips(skips: &[Skipped], out: &Output) {
    let is_other = |skipped: &&Skipped| matches!(skipped.why, Reason::Walk(Skip::NotJsonl));
    let others = skips.iter().filter(is_other).count() as u64;
    for skipped in skips.iter().filter(|skipped| !is_other(skipped)) {
        let message = format!("skipped {}: {}", skipped.file, skipped.why());
        match skipped.is_failure() {
            true => out.warn(message),
            false => out.say(message),
        }
    }
    if others > 0 {
        let files = plural(others, "file");
        out.say(format_args!(
            "skipped {files} whose name does not end in .jsonl"
        ));
    }
}
