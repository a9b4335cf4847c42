//! `sessions`: what is in the journal.

use super::journal;
use crate::args::{Cli, Sessions};
use crate::exit::{Exit, Result};
use crate::output::Output;
use crate::output::table::{Align, Table, count, plural};
use crate::output::time::utc;
use serde::Serialize;
use std::collections::HashMap;
use turnkeep::SessionInfo;

/// A session as `--json` prints it.
#[derive(Serialize)]
struct SessionJson<'s> {
    session: &'s str,
    parent_session: Option<&'s str>,
    #[serde(flatten)]
    info: &'s SessionInfo,
}

/// Lists the sessions, oldest first.
pub fn run(cli: &Cli, args: &Sessions, out: &mut Output) -> Result<Exit> {
    let sessions = journal::look(cli)?.sessions()?;
    let ids: HashMap<_, _> = sessions.iter().map(|s| (s.no, s.id.as_str())).collect();
    let parent = |info: &SessionInfo| info.parent.and_then(|no| ids.get(&no).copied());
    // The journal's own session is not a host's.
    let listed = sessions.iter().filter(|info| info.no.get() != 0);
    let listed = listed.filter(|info| !args.open || info.open_turns > 0);
    let mut table = Table::new(&[
        ("SESSION", Align::Left),
        ("TURNS", Align::Right),
        ("OPEN", Align::Right),
        ("RECORDS", Align::Right),
        ("LAST ACTIVITY (UTC)", Align::Left),
        ("PARENT", Align::Left),
    ]);
    let mut listed_count = 0;
    for info in listed {
        listed_count += 1;
        if out.is_json() {
            out.object(&SessionJson {
                session: &info.id,
                parent_session: parent(info),
                info,
            })?;
            continue;
        }
        table.row([
            info.id.as_str(),
            &count(u64::from(info.turns)),
            &count(u64::from(info.open_turns)),
            &count(info.records),
            &utc(info.active_ms),
            parent(info).unwrap_or(""),
        ]);
    }
    if out.is_json() {
        return Ok(Exit::Ok);
    }
    if listed_count > 0 {
        out.table(&table)?;
    }
    out.flush()?;
    out.say(match args.open {
        true => format!("{} with an open turn", plural(listed_count, "session")),
        false => plural(listed_count, "session"),
    });
    Ok(Exit::Ok)
}
