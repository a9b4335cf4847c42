//! The command line: every command, its options and its help.

pub mod backup;
pub mod upkeep;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;
use turnkeep_hosts::detect::Host;

/// The journal's directory unless told otherwise.
pub const DEFAULT_JOURNAL: &str = "agents.journal";

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  something was lost or found that somebody must see to, or something else failed
  2  the arguments make no sense
  3  the journal is corrupt; nothing was changed
  4  another process holds the journal
  5  no such journal, session or file
  6  the disk or the system: I/O, no space, no permission
  7  refused: not a journal, a newer format, too large, read-only

Data goes to standard output, messages to standard error.

Start here:
  turnkeep demo                                 see it survive kill -9
  turnkeep import ~/.claude/projects            keep your agents' transcripts
  turnkeep sessions                             what is in there
  turnkeep verify                               read every byte, change none";

/// A write-ahead turn journal for agent hosts: nothing acknowledged is lost, damage is named.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "turnkeep",
    version,
    after_long_help = EXIT_CODES,
    after_help = "`turnkeep --help` lists the exit codes and where to start; \
                  `turnkeep COMMAND --help` has examples.",
    arg_required_else_help = true
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The journal's directory; the variable TURNKEEP_JOURNAL sets it too.
    #[arg(
        long,
        short,
        global = true,
        value_name = "DIR",
        env = "TURNKEEP_JOURNAL",
        hide_env = true,
        default_value = DEFAULT_JOURNAL,
        value_hint = clap::ValueHint::DirPath
    )]
    pub journal: PathBuf,
    /// Seal and open contents with the keys in this file (see `keygen`); the variable TURNKEEP_KEYS
    /// sets it too.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TURNKEEP_KEYS",
        hide_env = true,
        value_hint = clap::ValueHint::FilePath
    )]
    pub keys: Option<PathBuf>,
    /// Print data as JSON, one object per line; failures too, on standard error.
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress, no remarks; only data and failures.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// When to print in bold and colour; NO_COLOR counts as `never` under `auto`.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Bring what other agent hosts left on disk into the journal.
    ///
    /// Reads a file or a folder of them: transcripts of Claude Code (with their sub-agents) and
    /// Codex; sidecars, backups, turn and run journals and state.db of hermes-webui; the database
    /// of claude-mem; sessions and queues of claudelet; the state of systemprompt; trackers,
    /// checkpoints and the mesh database of AgentHive. Whose a file is shows in its name, its
    /// folder and the names of its fields.
    ///
    /// The sources are only read. Every line, message and row is kept, so `export` gives the files
    /// back; what is damaged or not understood is counted, located and kept as it is, and never
    /// stops an import. Run it again and only what is new is added; what was deleted in the
    /// journal stays deleted. Symbolic links are not followed, and pipes and devices not opened.
    /// What waits in a host's queue is queued here.
    Import(Import),
    /// List the sessions.
    Sessions(Sessions),
    /// Show the turns of a session.
    Show(Show),
    /// Show all records in the order they were written; follow new ones with -f.
    Log(Log),
    /// Tell sizes, counts and the state of the journal.
    Stat,
    /// Read every byte and check it; change none.
    Verify,
    /// Tell what somebody should know of: turns, queue, files, snapshots; change nothing.
    ///
    /// Takes no lock, so it works while a host writes. Each finding has a code that stays, a
    /// severity (note, warning, damage) and a category (ok, repairable, manual), and says what to
    /// do. Exits with 0 if there is nothing to do, with 1 if there is, with 3 for damage.
    Audit(upkeep::Audit),
    /// Tell the life of one session: every stamp in order, what is missing, what to do.
    ///
    /// When it was created, turns with their attempts, owners and ends, queued input, what was
    /// cleared, repaired or found by a watchdog. What was said is only counted. Takes no lock and
    /// changes nothing.
    Explain(upkeep::Explain),
    /// List the sessions in which nothing was done for long, and interrupt their turns if asked.
    ///
    /// What the engine or its keeper does (repairs, interruptions, claims) is no activity.
    Idle(upkeep::Idle),
    /// List the turns that have not ended: whose they are, and why they have not.
    Turns(upkeep::Turns),
    /// List queued input: what waits, what is claimed, what was given up; and decide about it.
    Queue(upkeep::Queue),
    /// Tell in which files of the journal some bytes stand, packs unpacked; exits with 1 if in any.
    ///
    /// Shows that what was deleted is gone. What is sealed is not opened for it.
    Search(upkeep::Search),
    /// Set right what can be set right without losing anything.
    ///
    /// A torn tail, damaged snapshots that the log replaces, leftovers of a crash, rights that are
    /// too wide; turns of a dead host if asked. Audits before and after, writes into the journal
    /// what it is about to do, and does nothing when it is run again. Exits with 0 if nothing is
    /// left, with 1 if something is, with 3 if there is damage: then nothing is done.
    Repair(upkeep::Repair),
    /// Keep everything that is whole in a damaged journal.
    ///
    /// For a journal that does not open because something acknowledged is damaged. Makes a new
    /// journal of every record that still validates, before and after the damage, lists every
    /// record lost by its number and session, and puts the damaged bytes into quarantine. The
    /// damaged journal is not changed. Nothing else ever does this: look first with `verify`, and
    /// stop whoever writes.
    Salvage(Salvage),
    /// Compact what is settled into a snapshot and give space back.
    Compact(Compact),
    /// Make, list, verify, restore and remove backups.
    ///
    /// A backup is a directory that is itself a journal, to be read with every command that reads
    /// (`--journal`), and a label with the length and checksum of each file. It is made while a host
    /// writes, and verified before it counts as one.
    Backup(backup::Backup),
    /// Bring the files of an older format version to this release's; keep the old until confirmed.
    ///
    /// Opening a journal never needs it. Stop the host. The old files are kept byte for byte in the
    /// store of backups, and `upgrade.log` there has a line for each step.
    Upgrade(backup::Upgrade),
    /// Give imported files back, byte for byte.
    ///
    /// A session that was imported becomes the file that it came from, line for line, as it was
    /// at its last import; sessions out of a database become a database with their rows. Any other
    /// becomes its records, one JSON object per line, as `show --json` prints them.
    Export(Export),
    /// Append standard input to a session, acknowledged line by line.
    ///
    /// Each line becomes one durable record; its log sequence number is printed when it is durable
    /// and not before. A line that was not acknowledged may be sent again.
    Append(Append),
    /// Make a key file, for journals whose contents are sealed.
    ///
    /// What is sealed with a key can be read with that key alone: keep a copy of the file, and not
    /// where the journal's backups are. A key file is never overwritten.
    Keygen(Keygen),
    /// See the main job: kill -9 a journaling agent host again and again, and lose nothing.
    ///
    /// Starts a process that journals the turns of several sessions at full speed, kills it with
    /// signal 9 at random moments, opens the journal again, compares it with an independent ledger
    /// of what was acknowledged, and goes round again. Uses a fresh journal of its own, never yours.
    /// Exits with 1 if anything was lost or invented.
    Demo(Demo),
    /// Print a completion script for a shell.
    Completions(Completions),
    /// Print the man page.
    Man,
    /// The process that `demo` kills. Its journal comes by `--journal`.
    #[command(hide = true)]
    DemoHost(DemoHost),
}

/// Arguments of `import`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep import ~/.claude/projects
  turnkeep import --dry-run ~/.codex/sessions         what is there, and is it whole?
  turnkeep import session.jsonl --journal work.journal
  turnkeep import ~/.hermes/webui                     sidecars, journals and state.db
  turnkeep import --from claudelet ~/old-backups      whose they are, if it does not show
  turnkeep import --json ~/.claude-mem | jq 'select(.findings != [])'

A finding has a code that stays the same, as hermes.shrunken_live or line.torn. Findings do not
change the exit code; a file that could not be read does.")]
pub struct Import {
    /// A file, or a folder to search for them.
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    pub path: PathBuf,
    /// Whose files they are; `auto` finds out for each.
    #[arg(long, value_name = "HOST")]
    pub from: Option<HostName>,
    /// Read and report only; needs no journal.
    #[arg(long)]
    pub dry_run: bool,
    /// Longest line that is kept in one record; longer ones come in pieces.
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub line_limit: u32,
    /// Largest JSON document that is taken apart; larger ones are kept as they are.
    #[arg(long, value_name = "MIB", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub document_limit: u32,
    /// Largest file that is read at all [default: 65536]
    #[arg(long, value_name = "MIB")]
    pub file_limit: Option<u64>,
}

/// The hosts whose files are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostName {
    /// Finds out for each file.
    Auto,
    /// Claude Code, and tools that write like it.
    ClaudeCode,
    /// Codex.
    Codex,
    /// hermes-webui, and the agent behind it.
    HermesWebui,
    /// claude-mem.
    ClaudeMem,
    /// claudelet.
    Claudelet,
    /// systemprompt-code-orchestrator.
    Systemprompt,
    /// AgentHive.
    Agenthive,
}

impl HostName {
    /// The host; none for `auto`.
    pub fn host(self) -> Option<Host> {
        Some(match self {
            HostName::Auto => return None,
            HostName::ClaudeCode => Host::ClaudeCode,
            HostName::Codex => Host::Codex,
            HostName::HermesWebui => Host::HermesWebui,
            HostName::ClaudeMem => Host::ClaudeMem,
            HostName::Claudelet => Host::Claudelet,
            HostName::Systemprompt => Host::Systemprompt,
            HostName::Agenthive => Host::Agenthive,
        })
    }
}

/// Arguments of `sessions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep sessions
  turnkeep sessions --open                            those with an unfinished turn
  turnkeep sessions --json | jq -r .session")]
pub struct Sessions {
    /// Only those with a turn that has not ended.
    #[arg(long)]
    pub open: bool,
}

/// Arguments of `show`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep show agent-7f3a                            all of it
  turnkeep show agent-7f3a --last 3                   the last three turns
  turnkeep show agent-7f3a --from 12 --content        with what was said")]
pub struct Show {
    /// The session's id, as `sessions` lists it, or the beginning of one.
    pub session: String,
    /// Only the last N turns.
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "from")]
    pub last: Option<u32>,
    /// Only from this turn on, by its number in the column TURN.
    #[arg(long, value_name = "TURN")]
    pub from: Option<u32>,
    /// Newest first.
    #[arg(long)]
    pub reverse: bool,
    /// With the content of every entry, not only its first line.
    #[arg(long)]
    pub content: bool,
}

/// Arguments of `log`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep log -n 20                                  the last twenty records
  turnkeep log -f --json | jq -c 'select(.kind == \"turn_completed\")'
  turnkeep log --from 18204                           from that log sequence number on

Only durable records are shown. It works while a host writes, and holds no lock.")]
pub struct Log {
    /// Wait for new records and show them as they become durable.
    #[arg(long, short)]
    pub follow: bool,
    /// Only from this log sequence number on.
    #[arg(long, value_name = "LSN", conflicts_with = "last")]
    pub from: Option<u64>,
    /// Only the last N records.
    #[arg(long, short = 'n', value_name = "N")]
    pub last: Option<u64>,
    /// Only records of this session; the beginning of its id will do.
    #[arg(long, value_name = "SESSION")]
    pub session: Option<String>,
}

/// Arguments of `keygen`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep keygen agents.keys
  TURNKEEP_KEYS=agents.keys turnkeep import ~/.claude/projects
  turnkeep keygen next.keys --rotate agents.keys      a new key before the old ones

To drop a key, take its line out of the file.")]
pub struct Keygen {
    /// The file to make.
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// A key file whose keys go on opening what they sealed.
    #[arg(long, value_name = "OLD", value_hint = clap::ValueHint::FilePath)]
    pub rotate: Option<PathBuf>,
}

/// Arguments of `salvage`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep verify                                     see the damage first
  turnkeep salvage --into rescued.journal
  turnkeep verify --journal rescued.journal

The damaged journal stays as it is.")]
pub struct Salvage {
    /// Where the rescued journal is made: a new or empty folder.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub into: PathBuf,
}

/// Arguments of `compact`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep compact --dry-run                          what would be dropped, what would be freed
  turnkeep compact

Hosts compact in the background by themselves; this is for doing it now.")]
pub struct Compact {
    /// Tell what would happen; change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep export agent-7f3a > session.jsonl          one session to standard output
  turnkeep export --to restored                       all files, under the names they had
  turnkeep export --as hermes-webui --to restored     those that hermes-webui reads

A file comes back as it was at its last import, byte for byte; a database with the rows that it had,
without search indexes and triggers, which its host makes when it opens it.")]
pub struct Export {
    /// Only this session; the beginning of its id will do.
    pub session: Option<String>,
    /// Only what came from this host, in the form that it reads itself.
    #[arg(long = "as", value_name = "HOST")]
    pub host: Option<HostName>,
    /// Write files below this folder, which must be new or empty.
    #[arg(long, value_name = "DIR", required_unless_present = "session", value_hint = clap::ValueHint::DirPath)]
    pub to: Option<PathBuf>,
}

/// Arguments of `append`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  echo 'deployed 1.4' | turnkeep append notes
  tail -f agent.log | turnkeep append agent-7f3a --kind log")]
pub struct Append {
    /// The session; a new one is created.
    pub session: String,
    /// The name that the records get.
    #[arg(long, default_value = "line")]
    pub kind: String,
}

/// Arguments of `demo`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep demo
  turnkeep demo --rounds 100 --sessions 32
  turnkeep demo --input ~/.claude/projects            with real transcripts as the work
  turnkeep demo --seed 7                              the same work and the same moments again")]
pub struct Demo {
    /// Transcripts to replay as the workload, a file or a folder.
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub input: Option<PathBuf>,
    /// How many times to kill.
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// Stop after this many seconds, even if rounds are left.
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
    /// How many agents work at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sessions: u32,
    /// Makes the workload and the moments of the kills repeatable; random unless given.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Put the journal here, a new or empty folder, and keep it afterwards.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub keep: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep completions bash > ~/.local/share/bash-completion/completions/turnkeep
  turnkeep completions zsh > ~/.zfunc/_turnkeep
  turnkeep completions fish > ~/.config/fish/completions/turnkeep.fish")]
pub struct Completions {
    /// The shell.
    pub shell: Shell,
}

/// Arguments of `demo-host`.
#[derive(Args, Clone, Debug)]
pub struct DemoHost {
    /// Seed of the workload.
    #[arg(long)]
    pub seed: u64,
    /// How many agents work at once.
    #[arg(long)]
    pub sessions: u32,
    /// Folder with the transcripts to replay.
    #[arg(long)]
    pub input: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_that_takes_arguments_shows_examples() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            commands.extend(
                command
                    .get_subcommands()
                    .filter(|c| !c.is_hide_set())
                    .cloned(),
            );
            let is_top = command.get_name() == "turnkeep";
            let takes_arguments = command.get_arguments().any(|arg| !arg.is_global_set());
            let help = command.get_after_help().map(|h| h.to_string());
            assert!(
                is_top || !takes_arguments || help.is_some_and(|h| h.contains("Examples:")),
                "{}",
                command.get_name()
            );
        }
    }
}
