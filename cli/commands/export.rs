//! `export`: what was imported, byte for byte, and everything else as lines of JSON.

use super::journal;
use crate::args::{Cli, Export};
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::output::entry::EntryJson;
use crate::output::table::{plural, size};
use serde::Serialize;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use turnkeep::{Entry, Reader, SessionInfo};
use turnkeep_hosts::export::names::SafePath;
use turnkeep_hosts::export::session::{Exported, Written};

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

/// Writes one session to standard output, or sessions into a folder.
pub fn run(cli: &Cli, args: &Export, out: &mut Output) -> Result<Exit> {
    let reader = journal::read(cli)?;
    let sessions = reader.sessions()?;
    let wanted: Vec<_> = match &args.session {
        Some(wanted) => vec![journal::find(&sessions, wanted)?],
        None => sessions.iter().filter(|info| info.no.get() != 0).collect(),
    };
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
        if exported.cursor.is_none() && info.records <= 1 {
            // Nothing but its creation: the parent of a sub-agent that was imported alone.
            continue;
        }
        let path = match &exported.cursor {
            Some(cursor) => SafePath::of_source(&cursor.source),
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
        if let Some(cursor) = &exported.cursor
            && below != Path::new(&cursor.source)
        {
            let source = &cursor.source;
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
    if written.missing_bytes == 0 {
        return Exit::Ok;
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
