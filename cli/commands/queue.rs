//! `queue` and `turns`: what waits, and what has not ended; and the keeper's say in the queue.

use super::journal;
use crate::args::{Cli, upkeep};
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::output::table::{Align, Table, count, plural};
use crate::output::time::{age, utc};
use turnkeep::{InputStatus, Journal, OpenTurnInfo, PendingInput, Seq};

/// Lists queued input, or decides about one.
pub fn run(cli: &Cli, args: &upkeep::Queue, out: &mut Output) -> Result<Exit> {
    match &args.what {
        None => list(cli, args, out),
        Some(upkeep::QueueAction::Release(one)) => decide(cli, one, out, |session, input, why| {
            session.release(input, why)
        }),
        Some(upkeep::QueueAction::Withdraw(one)) => decide(cli, one, out, |session, input, why| {
            session.withdraw(input, why)
        }),
    }
}

fn list(cli: &Cli, args: &upkeep::Queue, out: &mut Output) -> Result<Exit> {
    let is_meant = |input: &PendingInput| {
        (!args.dead || input.status == InputStatus::Dead)
            && args
                .session
                .as_ref()
                .is_none_or(|session| input.session.starts_with(session))
    };
    let mut pending = journal::look(cli)?.pending()?;
    pending.retain(is_meant);
    if out.is_json() {
        for input in &pending {
            out.object(input)?;
        }
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&[
        ("SESSION", Align::Left),
        ("INPUT", Align::Right),
        ("CLASS", Align::Left),
        ("PRIORITY", Align::Right),
        ("STATUS", Align::Left),
        ("OWNER", Align::Left),
        ("CLAIMS", Align::Right),
        ("QUEUED (UTC)", Align::Left),
    ]);
    for input in &pending {
        let status = match input.status {
            InputStatus::Claimed => "claimed",
            InputStatus::Dead => "dead",
            _ => "waiting",
        };
        table.row([
            input.session.as_str(),
            &input.input.to_string(),
            &input.class,
            &input.priority.to_string(),
            status,
            &input.owner,
            &count(u64::from(input.claims)),
            &utc(input.queued_ms),
        ]);
    }
    if !pending.is_empty() {
        out.table(&table)?;
    }
    out.flush()?;
    out.say(plural(pending.len() as u64, "input"));
    Ok(Exit::Ok)
}

fn decide(
    cli: &Cli,
    one: &upkeep::OneInput,
    out: &mut Output,
    decision: impl FnOnce(&turnkeep::Session, Seq, &str) -> turnkeep::Result<turnkeep::Lsn>,
) -> Result<Exit> {
    let journal = journal::open(cli, journal::keeping_all(), out)?;
    let decided = in_queue(&journal, one)
        .and_then(|(session, input)| Ok(decision(&session, input, &one.reason)?));
    journal::close(journal)?;
    let lsn = decided?;
    match out.is_json() {
        true => out.object(&serde_json::json!({ "lsn": lsn }))?,
        false => out.line(format_args!("recorded at lsn {lsn}"))?,
    }
    Ok(Exit::Ok)
}

fn in_queue(journal: &Journal, one: &upkeep::OneInput) -> Result<(turnkeep::Session, Seq)> {
    let sessions = journal.sessions()?;
    let info = journal::find(&sessions, &one.session)?;
    let session = journal.find(&info.id)?;
    let input = Seq::new(one.input);
    match session
        .pending()?
        .iter()
        .any(|pending| pending.input == input)
    {
        true => Ok((session, input)),
        false => Err(Failure::from(turnkeep::Error::UnknownInput {
            session: info.id.clone(),
            input: u64::from(input.get()),
        })),
    }
}

/// Lists the turns that have not ended.
pub fn turns(cli: &Cli, args: &upkeep::Turns, out: &mut Output) -> Result<Exit> {
    let reader = journal::look(cli)?;
    let mut open: Vec<OpenTurnInfo> = reader.open_turns()?;
    let is_meant = |turn: &OpenTurnInfo| {
        args.session
            .as_ref()
            .is_none_or(|session| turn.session.starts_with(session))
    };
    open.retain(is_meant);
    if out.is_json() {
        for turn in &open {
            out.object(turn)?;
        }
        return Ok(Exit::Ok);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_ms = now.map_or(0, |now| now.as_millis() as u64);
    let mut table = Table::new(&[
        ("SESSION", Align::Left),
        ("TURN", Align::Right),
        ("STATE", Align::Left),
        ("ATTEMPT", Align::Right),
        ("OWNER", Align::Left),
        ("OPEN CALLS", Align::Right),
        ("OPEN FOR", Align::Right),
        ("CAUSE", Align::Left),
    ]);
    for turn in &open {
        table.row([
            turn.session.as_str(),
            &turn.turn.to_string(),
            turn.state.as_str(),
            &turn.attempt.to_string(),
            &turn.owner,
            &count(u64::from(turn.open_calls)),
            &age(now_ms.saturating_sub(turn.submitted_ms)),
            turn.cause().as_str(),
        ]);
    }
    if !open.is_empty() {
        out.table(&table)?;
    }
    out.flush()?;
    out.say(format_args!("{} open", plural(open.len() as u64, "turn")));
    Ok(Exit::Ok)
}
