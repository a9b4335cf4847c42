//! Opening the journal, and finding a session in it.

use crate::args::Cli;
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use turnkeep::{Journal, KeyRing, Options, Reader, SessionInfo};

/// How many ids are told when a beginning of one is not enough.
const TOLD_IDS: usize = 5;

/// Opens the journal for writing, and says so if that was worth a word.
pub fn open(cli: &Cli, options: Options, out: &Output) -> Result<Journal> {
    let path = &cli.global.journal;
    let (journal, recovery) = with_keys(cli, options)?.open(path)?;
    if recovery.created || !recovery.clean {
        out.say(format_args!("{}: {recovery}", path.display()));
    }
    Ok(journal)
}

/// Opens the journal for reading, beside whoever writes.
pub fn read(cli: &Cli) -> Result<Reader> {
    let options = with_keys(cli, Journal::options())?;
    Ok(options.open_read_only(&cli.global.journal)?)
}

/// As [`read`], for commands that only show: what no key opens is shown as sealed.
pub fn look(cli: &Cli) -> Result<Reader> {
    let options = with_keys(cli, Journal::options())?.show_sealed(true);
    Ok(options.open_read_only(&cli.global.journal)?)
}

/// How a journal is opened by whoever looks after it: nothing is dropped that the host, with
/// settings of its own, wants kept.
pub fn keeping_all() -> Options {
    let options = Journal::options().create(false).background(false);
    options.keep_snapshots(usize::MAX).key_window(usize::MAX)
}

/// Adds the keys that were named.
pub fn with_keys(cli: &Cli, options: Options) -> Result<Options> {
    Ok(match &cli.global.keys {
        Some(file) => options.keys(KeyRing::read(file)?),
        None => options,
    })
}

/// Finds the session `wanted`, or the only one whose id begins so.
pub fn find<'s>(sessions: &'s [SessionInfo], wanted: &str) -> Result<&'s SessionInfo> {
    if let Some(session) = sessions.iter().find(|session| session.id == wanted) {
        return Ok(session);
    }
    let matching = sessions
        .iter()
        .filter(|s| !wanted.is_empty() && s.id.starts_with(wanted));
    let matching: Vec<_> = matching.collect();
    // A session and its sub-agents begin alike; the session is meant.
    let shortest = matching.iter().min_by_key(|session| session.id.len());
    match shortest {
        None => Err(turnkeep::Error::UnknownSession { id: wanted.into() }.into()),
        Some(shortest) if matching.iter().all(|s| s.id.starts_with(&shortest.id)) => Ok(shortest),
        Some(_) => {
            let ids: Vec<_> = matching
                .iter()
                .take(TOLD_IDS)
                .map(|s| s.id.as_str())
                .collect();
            let more = matching.len().saturating_sub(TOLD_IDS);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let message = format!("{wanted:?} could be {}{more}", ids.join(", "));
            Err(Failure::new(Exit::Usage, "ambiguous_session", message)
                .advise("give more of the id"))
        }
    }
}

/// Closes the journal: the next opening replays nothing.
pub fn close(journal: Journal) -> Result<()> {
    Ok(journal.close()?)
}
