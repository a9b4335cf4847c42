//! Arguments of the commands that look after a journal: what should be known of it, and what
//! may be done about it.

use clap::Args;
use std::time::Duration;

/// Reads an age: `90s`, `15m`, `2h`, `7d`.
pub fn age(text: &str) -> Result<Duration, String> {
    let expected = || "an age is a number and s, m, h or d, such as 2h".to_owned();
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    let seconds = number.checked_mul(unit).ok_or_else(expected)?;
    Ok(Duration::from_secs(seconds))
}

/// Arguments of `audit`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep audit                                      read everything, change nothing
  turnkeep audit --quick                              sessions, turns, queue; not every byte
  turnkeep audit --stopped                            after a crash, before the host is started
  turnkeep audit --json | jq -r '.findings[] | select(.category == \"manual\").what'

docs/AUDIT.md lists the codes.")]
pub struct Audit {
    /// Do not read every byte; costs what listing the sessions costs.
    #[arg(long)]
    pub quick: bool,
    /// No host runs: what the latest one left unfinished is left for good.
    #[arg(long)]
    pub stopped: bool,
    /// An open turn without a record for this long is overdue.
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = age)]
    pub unfinished_after: Duration,
    /// Input that waits for this long is overdue.
    #[arg(long, value_name = "AGE", default_value = "1h", value_parser = age)]
    pub waiting_after: Duration,
    /// The disk is low on space below this.
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub low_space: u64,
    /// List at most this many findings; all are counted.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub max: usize,
}

/// Arguments of `explain`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep explain agent-7f3a                         its life, what is missing, what to do
  turnkeep explain agent-7f3a --stopped               after a crash, before the host is started
  turnkeep explain agent-7f3a --content               with what was said; the default tells lengths")]
pub struct Explain {
    /// The session's id, as `sessions` lists it, or the beginning of one; also of a deleted one.
    pub session: String,
    /// With the host's content, record by record.
    #[arg(long, overrides_with = "no_content")]
    pub content: bool,
    /// Without the host's content. This is the default.
    #[arg(long, overrides_with = "content")]
    pub no_content: bool,
    /// No host runs: what the latest one left unfinished is left for good.
    #[arg(long)]
    pub stopped: bool,
}

/// Arguments of `idle`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep idle --older-than 2h                       nothing was done in them for two hours
  turnkeep idle --older-than 1d --open                with a turn that began a day ago, done or not
  turnkeep idle --older-than 2h --interrupt           end their open turns, with the evidence")]
pub struct Idle {
    /// How long ago the latest activity was, at least; with --open, the beginning of a turn.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Duration,
    /// Sessions with a turn that has been open for so long, whatever is done in them.
    #[arg(long)]
    pub open: bool,
    /// Interrupt the open turns of the idle sessions. Each record holds what the verdict rests
    /// on. Refused while a host holds the journal: it has the same call.
    #[arg(long, conflicts_with = "open")]
    pub interrupt: bool,
}

/// Arguments of `repair`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep repair                                     what would be done; changes nothing
  turnkeep repair --safe                              do it; stop the host first
  turnkeep repair --safe --interrupt                  and end what a dead host left open
  turnkeep repair --safe --json | jq '.steps[] | select(.is_done | not)'

Damage is not repaired: `turnkeep salvage` rescues what is whole into another folder.")]
pub struct Repair {
    /// Do what cannot lose anything. Without it, only tell what that would be.
    #[arg(long)]
    pub safe: bool,
    /// Only tell what would be done, also with --safe.
    #[arg(long)]
    pub dry_run: bool,
    /// Interrupt the turns, and their calls, whose host is gone. Each record says why. Without it
    /// they are left for the host to resume.
    #[arg(long)]
    pub interrupt: bool,
}

/// Arguments of `turns`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep turns                                      what has not ended, and whose it is
  turnkeep turns --json | jq 'select(.from_earlier_writer)'")]
pub struct Turns {
    /// Only of this session; the beginning of its id will do.
    #[arg(long, value_name = "SESSION")]
    pub session: Option<String>,
}

/// Arguments of `queue`.
#[derive(Args, Clone, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  turnkeep queue                                      what waits, who has it, what was given up
  turnkeep queue --dead                               the dead letters
  turnkeep queue release agent-7f3a 12                let it wait again
  turnkeep queue withdraw agent-7f3a 12 --reason \"asked twice\""
)]
pub struct Queue {
    /// Only of this session; the beginning of its id will do.
    #[arg(long, value_name = "SESSION")]
    pub session: Option<String>,
    /// Only what was given up.
    #[arg(long)]
    pub dead: bool,
    /// Decide about one input; refused while a host holds the journal, which has the same calls.
    #[command(subcommand)]
    pub what: Option<QueueAction>,
}

/// What may be decided about queued input.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum QueueAction {
    /// Let a dead letter, or input whose claim ended with its host, wait again.
    Release(OneInput),
    /// Take input back: it is not handed out any more. The record of it stays.
    Withdraw(OneInput),
}

/// One queued input.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep queue                                      which there are
  turnkeep queue release agent-7f3a 12
  turnkeep queue withdraw agent-7f3a 12 --reason \"asked twice\"")]
pub struct OneInput {
    /// The session's id, or the beginning of it.
    pub session: String,
    /// The input, by its number in the column INPUT.
    pub input: u32,
    /// Why; it stands in the record.
    #[arg(long, default_value = "by hand")]
    pub reason: String,
}

/// Arguments of `search`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep search 'sk-live-51H'                       is it still in any file?
  printf %s \"$SECRET\" | turnkeep search              without it in the shell's history
  turnkeep compact && turnkeep search 'sk-live-51H'   what was deleted goes when it is compacted")]
pub struct Search {
    /// The text; standard input if none is given, at most 1 MiB.
    pub text: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_numbers_with_a_unit() {
        let seconds = |text| age(text).map(|age| age.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("15m"), Ok(900));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("7d"), Ok(604_800));
        for wrong in [
            "",
            "2",
            "h",
            "2 h",
            "2w",
            "-1h",
            "1.5h",
            "99999999999999999999d",
            "ü",
        ] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert!(age("999999999999999999d").is_err(), "more than any clock");
    }
}
