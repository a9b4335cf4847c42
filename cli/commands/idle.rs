//! `idle`: sessions in which nothing is done, and the watchdog's verdict on them.

use super::journal;
use crate::args::{Cli, upkeep};
use crate::exit::{Exit, Result};
use crate::output::Output;
use crate::output::table::{Align, Table, count, plural};
use crate::output::time::{age, utc};
use turnkeep::IdleSession;

/// Lists what is idle, or interrupts it.
pub fn run(cli: &Cli, args: &upkeep::Idle, out: &mut Output) -> Result<Exit> {
    if args.interrupt {
        return interrupt(cli, args, out);
    }
    let reader = journal::read(cli)?;
    let found = match args.open {
        true => reader.sessions_open_for(args.older_than)?,
        false => reader.idle_sessions(args.older_than)?,
    };
    if out.is_json() {
        for session in &found {
            out.object(session)?;
        }
        return Ok(Exit::Ok);
    }
    if !found.is_empty() {
        out.table(&table(&found))?;
    }
    out.flush()?;
    out.say(plural(found.len() as u64, "session"));
    Ok(Exit::Ok)
}

fn table(found: &[IdleSession]) -> Table {
    let mut table = Table::new(&[
        ("SESSION", Align::Left),
        ("IDLE", Align::Right),
        ("LAST ACTIVITY (UTC)", Align::Left),
        ("OPEN TURNS", Align::Right),
        ("OPEN FOR", Align::Right),
        ("QUEUED", Align::Right),
        ("CAUSE", Align::Left),
    ]);
    for idle in found {
        let cause = idle.turns.first().map(|turn| turn.cause().to_string());
        table.row([
            idle.session.id.as_str(),
            &age(idle.idle_ms),
            &utc(idle.session.active_ms),
            &count(u64::from(idle.session.open_turns)),
            &idle.open_ms.map(age).unwrap_or_default(),
            &count(idle.queued),
            &cause.unwrap_or_default(),
        ]);
    }
    table
}

fn interrupt(cli: &Cli, args: &upkeep::Idle, out: &mut Output) -> Result<Exit> {
    let journal = journal::open(cli, journal::keeping_all(), out)?;
    let mut verdicts = 0;
    for idle in journal.idle_sessions(args.older_than)? {
        if idle.turns.is_empty() {
            continue;
        }
        let session = journal.find(&idle.session.id)?;
        for verdict in session.interrupt_idle(args.older_than)? {
            verdicts += 1;
            match out.is_json() {
                true => out.object(&verdict)?,
                false => out.host_text(&verdict)?,
            }
        }
    }
    journal::close(journal)?;
    out.flush()?;
    out.say(format_args!("{} interrupted", plural(verdicts, "turn")));
    Ok(Exit::Ok)
}
