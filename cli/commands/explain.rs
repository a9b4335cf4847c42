//! `explain`: the life of one session.

use super::journal;
use crate::args::{Cli, upkeep};
use crate::exit::{Exit, Result};
use crate::output::Output;
use crate::output::entry::Content;
use crate::output::escape::{Layout, escape};
use crate::output::time::utc;
use serde::Serialize;
use std::ops::ControlFlow;
use turnkeep::{Audit, Explanation, Stamp};

/// A stamp as `--json` prints it.
#[derive(Serialize)]
struct StampJson<'s> {
    #[serde(flatten)]
    stamp: &'s Stamp,
    #[serde(flatten)]
    content: Option<Content<'s>>,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct ExplanationJson<'e> {
    explanation: &'e Explanation,
}

/// Explains the session that the arguments name.
pub fn run(cli: &Cli, args: &upkeep::Explain, out: &mut Output) -> Result<Exit> {
    let sessions = journal::read(cli)?.sessions()?;
    // One that was deleted is in no list; then the whole id is needed.
    let id = match journal::find(&sessions, &args.session) {
        Ok(info) => info.id.clone(),
        Err(failure) if failure.code == "ambiguous_session" => return Err(failure),
        Err(_) => args.session.clone(),
    };
    let audit = Audit::new().stopped(args.stopped);
    let mut printed = Ok(());
    let path = &cli.global.journal;
    let explanation = audit.explain(path, &id, args.content, &mut |stamp| {
        printed = print(&stamp, out);
        match printed {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    printed?;
    if out.is_json() {
        let explanation = &explanation;
        out.object(&ExplanationJson { explanation })?;
    } else {
        out.host_text(format_args!("{}: {explanation}", explanation.session))?;
    }
    Ok(Exit::Ok)
}

fn print(stamp: &Stamp, out: &mut Output) -> Result<()> {
    if out.is_json() {
        let content = stamp.content.as_deref().map(Content::of);
        return out.object(&StampJson { stamp, content });
    }
    let words = stamp.to_string();
    out.line(format_args!(
        "{}  writer {:<4} lsn {:<8} {:>6}  {}",
        utc(stamp.at_ms),
        stamp.epoch,
        stamp.lsn,
        stamp.seq,
        escape(words.as_bytes(), Layout::Line)
    ))?;
    match stamp.content.as_deref() {
        None | Some([]) => Ok(()),
        Some(content) => {
            out.host_bytes(content)?;
            match content.ends_with(b"\n") {
                true => Ok(()),
                false => out.line(""),
            }
        }
    }
}
