//! `export`: what was imported, byte for byte, and everything else as lines of JSON.

use super::journal;
use crate::args::{Cli, Export, HostName};
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::output::entry::EntryJson;
use crate::output::table::{plural, size};
use serde::Serialize;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use turnkeep::{Entry, Reader, SessionInfo};
use turnkeep_hosts::export::database;
use turnkeep_hosts::export::names::SafePath;
use turnkeep_hosts::export::session::{Exported, Origin, Written};

/// A file that was written, as `--json` prints it.
#[derive(Serialize)]
struct FileJson<'s> {
    session: &'s str,
    file: String,
    lines: u64,
    bytes: u64,
    /// Bytes of the imported file that are not in the journal any more.
    missing_bytes: u64,
}

/// A database that was written, as `--json` prints it.
#[derive(Serialize)]
struct DatabaseJson {
    sessions: usize,
    file: String,
    rows: u64,
    /// Rows that their table did not take.
    refused_rows: u64,
}

/// Writes one session to standard output, or sessions into a folder.
pub fn run(cli: &Cli, args: &Export, out: &mut Output) -> Result<Exit> {
    let reader = journal::read(cli)?;
    let sessions = reader.sessions()?;
    let mut wanted: Vec<_> = match &args.session {
        Some(wanted) => vec![journal::find(&sessions, wanted)?],
        None => sessions.iter().filter(|info| info.no.get() != 0).collect(),
    };
    if let Some(host) = args.host.and_then(HostName::host) {
        let mut of_host = Vec::new();
        for info in wanted {
            if Exported::new(&reader, info)?.origin.host() == Some(host) {
                of_host.push(info);
            }
        }
        wanted = of_host;
        if wanted.is_empty() {
            let message = format!("nothing in the journal came from {}", host.name());
            return Err(Failure::new(Exit::NotFound, "nothing_of_host", message)
                .advise("`turnkeep sessions` lists what is there"));
        }
    }
    match &args.to {
        Some(folder) => into_folder(&reader, &wanted, folder, out),
        None => {
            let mut exit = Exit::Ok;
            for info in wanted {
                let exported = Exported::new(&reader, info)?;
                let written =
                    exported.write(&mut out.host_writer(), described(&info.id), to_stdout)?;
                exit = exit.max(tell_missing(info, written, out));
            }
            Ok(exit)
        }
    }
}

fn into_folder(
    reader: &Reader,
    wanted: &[&SessionInfo],
    folder: &Path,
    out: &mut Output,
) -> Result<Exit> {
    fs::create_dir_all(folder).map_err(|e| Failure::io("create", folder, &e))?;
    let mut inside = fs::read_dir(folder).map_err(|e| Failure::io("read", folder, &e))?;
    if inside.next().is_some() {
        let message = format!("{} is not empty", folder.display());
        return Err(Failure::new(Exit::Refused, "not_empty", message)
            .advise("name a new or an empty folder; nothing was written"));
    }
    let bar = out.count_bar("exporting", wanted.len() as u64);
    let mut exit = Exit::Ok;
    let (mut files, mut bytes) = (0, 0);
    for info in wanted {
        bar.inc(1);
        let exported = Exported::new(reader, info)?;
        if matches!(exported.origin, Origin::Rows(_)) {
            continue;
        }
        let source = exported.origin.source();
        if source.is_none() && info.records <= 1 {
            // Nothing but its creation: the parent of a sub-agent that was imported alone.
            continue;
        }
        let path = match source {
            Some(source) => SafePath::of_source(source),
            None => SafePath::of_session(&info.id),
        };
        let (file, below) = path
            .create(folder)
            .map_err(|(below, e)| Failure::io("create", &folder.join(below), &e))?;
        let whole = folder.join(&below);
        let failed = |e| turnkeep_hosts::Error::io("write", &whole, e);
        let mut file = BufWriter::new(file);
        let written = exported
            .write(&mut file, described(&info.id), failed)
            .and_then(|written| file.flush().map_err(failed).map(|()| written));
        let written = written.inspect_err(|_| {
            // Half a file under its whole name would be taken for it.
            let _ = fs::remove_file(&whole);
        })?;
        (files, bytes) = (files + 1, bytes + written.bytes);
        if let Some(source) = source
            && below != Path::new(source)
        {
            bar.suspend(|| out.say(format_args!("{source}: written as {}", below.display())));
        }
        if out.is_json() {
            out.object(&FileJson {
                session: &info.id,
                file: below.to_string_lossy().into_owned(),
                lines: written.lines,
                bytes: written.bytes,
                missing_bytes: written.missing_bytes,
            })?;
        }
        exit = exit.max(bar.suspend(|| tell_missing(info, written, out)));
    }
    for ((_, source), sessions) in database::group(reader, wanted)? {
        let (file, below) = SafePath::of_source(&source)
            .create(folder)
            .map_err(|(below, e)| Failure::io("create", &folder.join(below), &e))?;
        drop(file);
        let whole = folder.join(&below);
        let restored = database::restore(reader, &sessions, &whole).inspect_err(|_| {
            // As above: half a database would be taken for it.
            let _ = fs::remove_file(&whole);
        })?;
        files += 1;
        if restored.refused > 0 {
            let rows = plural(restored.refused, "row");
            bar.suspend(|| out.warn(format_args!("{source}: its tables do not take {rows}")));
            exit = exit.max(Exit::Damaged);
        }
        if out.is_json() {
            out.object(&DatabaseJson {
                sessions: sessions.len(),
                file: below.to_string_lossy().into_owned(),
                rows: restored.rows,
                refused_rows: restored.refused,
            })?;
        }
    }
    bar.finish_and_clear();
    let files = plural(files, "file");
    out.say(format_args!(
        "wrote {files} ({}) to {}",
        size(bytes),
        folder.display()
    ));
    Ok(exit)
}

fn tell_missing(info: &SessionInfo, written: Written, out: &Output) -> Exit {
    if written.other_records > 0 {
        let records = plural(written.other_records, "record");
        out.say(format_args!(
            "{}: {records} that no import wrote are not part of the file; `show` has them",
            info.id
        ));
    }
    if written.later_messages > 0 {
        let messages = plural(written.later_messages, "message");
        out.say(format_args!(
            "{}: the file had {messages} less when it was imported last; `show` has them",
            info.id
        ));
    }
    if !written.is_incomplete() {
        return Exit::Ok;
    }
    if written.missing_messages > 0 {
        let messages = plural(written.missing_messages, "message");
        out.warn(format_args!(
            "{}: {messages} of the file are no longer in the journal, because it was truncated or \
             salvaged",
            info.id
        ));
        return Exit::Damaged;
    }
    out.warn(format_args!(
        "{}: {} of the file are no longer in the journal, because it was truncated or salvaged",
        info.id,
        size(written.missing_bytes)
    ));
    Exit::Damaged
}

fn to_stdout(error: io::Error) -> turnkeep_hosts::Error {
    turnkeep_hosts::Error::io("write to", Path::new("standard output"), error)
}

/// The records of a session that was not imported.
fn described(id: &str) -> impl Fn(&Entry) -> Vec<u8> {
    |entry| serde_json::to_vec(&EntryJson::new(entry, id)).expect("strings and numbers are JSON")
}
