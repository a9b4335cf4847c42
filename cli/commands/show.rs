//! `show`: the turns of one session.

use super::journal;
use crate::args::{Cli, Show};
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::output::entry::{EntryJson, heading, line};
use crate::output::table::plural;
use turnkeep::{Entry, Kind, ReaderSession, Seq, SessionInfo};
use turnkeep_hosts::documents::cursor::{DOCUMENT_KEY, DocumentCursor};
use turnkeep_hosts::import::cursor::{CURSOR_KEY, Cursor};
use turnkeep_hosts::rows::writer::{ROWS_KEY, RowsCursor};

/// Shows the session that the arguments name.
pub fn run(cli: &Cli, args: &Show, out: &mut Output) -> Result<Exit> {
    let reader = journal::look(cli)?;
    let sessions = reader.sessions()?;
    let info = journal::find(&sessions, &args.session)?;
    let session = reader.session(&info.id)?;
    if !out.is_json() {
        out.line(heading(false))?;
    }
    let entries = session.read(range(args, &session)?)?;
    let mut show = |entry: turnkeep::Result<Entry>| show(entry?, args, info, out);
    match args.reverse {
        true => entries.rev().try_for_each(&mut show)?,
        false => entries.into_iter().try_for_each(&mut show)?,
    }
    if !out.is_json() {
        out.flush()?;
        out.say(about(info, &session)?);
    }
    Ok(Exit::Ok)
}

/// From which record on.
fn range(args: &Show, session: &ReaderSession) -> Result<std::ops::RangeFrom<Seq>> {
    if let Some(turn) = args.from {
        let first = session.read(Seq::new(turn)..Seq::new(turn).next())?.next();
        return match first.transpose()? {
            Some(entry) if entry.kind == Kind::TurnSubmitted => Ok(entry.seq..),
            _ => {
                let message = format!("session {:?} has no turn {turn}", session.id());
                Err(Failure::new(Exit::NotFound, "unknown_turn", message)
                    .advise("turns are numbered as in the column TURN of `turnkeep show`"))
            }
        };
    }
    let Some(last) = args.last else {
        return Ok(Seq::new(0)..);
    };
    let mut left = last;
    let mut from = Seq::new(u32::MAX);
    for entry in session.read(..)?.rev() {
        if left == 0 {
            break;
        }
        let entry = entry?;
        from = entry.seq;
        left -= u32::from(entry.kind == Kind::TurnSubmitted);
    }
    Ok(from..)
}

fn show(entry: Entry, args: &Show, info: &SessionInfo, out: &mut Output) -> Result<()> {
    if out.is_json() {
        return out.object(&EntryJson::new(&entry, &info.id));
    }
    if [CURSOR_KEY, DOCUMENT_KEY, ROWS_KEY].contains(&entry.name.as_str()) {
        // An import's bookmark, one in every batch.
        return Ok(());
    }
    out.line(line(&entry, None))?;
    if args.content && !entry.content.is_empty() {
        out.host_bytes(&entry.content)?;
        if !entry.content.ends_with(b"\n") {
            out.line("")?;
        }
    }
    Ok(())
}

fn about(info: &SessionInfo, session: &ReaderSession) -> Result<String> {
    let mut about = format!("{}: {}", info.id, plural(u64::from(info.turns), "turn"));
    if info.open_turns > 0 {
        about.push_str(&format!(", {} of them open", info.open_turns));
    }
    about.push_str(&format!(", {}", plural(info.records, "record")));
    if let Some(reason) = &info.ended {
        about.push_str(&format!("; ended: {reason}"));
    }
    let cursor = session.get(CURSOR_KEY)?;
    if let Some(Ok(cursor)) = cursor.as_deref().map(Cursor::decode) {
        let (format, source) = (cursor.format.name(), &cursor.source);
        about.push_str(&format!("; imported from {source} ({format})"));
        if cursor.partial_bytes > 0 {
            let bytes = cursor.partial_bytes;
            about.push_str(&format!(
                ", whose last line of {bytes} bytes had no end yet"
            ));
        }
    }
    let document = session.get(DOCUMENT_KEY)?;
    if let Some(Ok(cursor)) = document.as_deref().map(DocumentCursor::decode) {
        let (format, source) = (&cursor.format, &cursor.source);
        about.push_str(&format!("; imported from {source} ({format})"));
    }
    let rows = session.get(ROWS_KEY)?;
    if let Some(Ok(cursor)) = rows.as_deref().map(RowsCursor::decode) {
        let (format, source) = (&cursor.format, &cursor.source);
        about.push_str(&format!("; imported from {source} ({format})"));
    }
    Ok(about)
}
