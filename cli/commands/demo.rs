//! `demo`: the main job, seen.

use crate::args::{Cli, Demo, DemoHost};
use crate::demo::check::Found;
use crate::demo::compare::{Comparison, Reopened};
use crate::demo::host;
use crate::demo::kills::{Kills, Since};
use crate::demo::ledger::Ledger;
use crate::demo::rng::fresh_seed;
use crate::demo::round;
use crate::demo::script;
use crate::demo::totals::Totals;
use crate::demo::workload::Workload;
use crate::exit::{Exit, Failure, Result};
use crate::output::Output;
use crate::output::table::{count, plural, size};
use indicatif::ProgressBar;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use turnkeep_hosts::transcripts::lines::LINE_LIMIT_BYTES;
use turnkeep_hosts::transcripts::walk;

/// How much of somebody's transcripts is replayed: all of it is in memory, in both processes.
const INPUT_BYTES: u64 = 64 << 20;

/// The most that one line of them may have: it must fit into a record.
const INPUT_LINE_BYTES: usize = 8 << 20;

/// The journal, below the demonstration's folder.
const JOURNAL: &str = "demo.journal";

/// The frozen transcripts, beside it.
const SCRIPTS: &str = "workload";

/// Kills and compares, round after round.
pub fn run(args: &Demo, out: &mut Output) -> Result<Exit> {
    let folder = Folder::new(args)?;
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let workload = workload(args, seed, &folder.path, out)?;
    introduce(args, &folder, out);
    let bar = out.ticker("starting");
    let mut run = Run {
        args,
        journal: folder.path.join(JOURNAL),
        scripts: args.input.as_ref().map(|_| folder.path.join(SCRIPTS)),
        seed,
        started: Instant::now(),
        bar: bar.clone(),
        totals: Totals {
            seed,
            sessions: args.sessions,
            ..Totals::default()
        },
    };
    let ended = run.rounds(&workload);
    bar.finish_and_clear();
    run.totals.seconds = run.started.elapsed().as_secs_f64();
    let problems = match ended {
        Ok(problems) => problems,
        Err(failure) => {
            let place = folder.keep();
            out.warn(format_args!("the journal is kept in {}", place.display()));
            return Err(failure);
        }
    };
    match out.is_json() {
        true => out.object(&run.totals)?,
        false => out.table(&run.totals.table())?,
    }
    out.flush()?;
    if run.totals.is_good() {
        out.say(
            "nothing acknowledged was lost, and nothing was there that was never written; what \
             was written\nand not acknowledged any more when the kill came may be there too",
        );
        if args.keep.is_some() {
            out.say(format_args!(
                "the journal is in {}",
                folder.keep().display()
            ));
        }
        return Ok(Exit::Ok);
    }
    for problem in problems {
        out.warn(problem);
    }
    out.warn(format_args!(
        "the journal is kept in {}",
        folder.keep().display()
    ));
    Ok(Exit::Damaged)
}

/// Is the process that is killed.
pub fn run_host(cli: &Cli, args: &DemoHost) -> Result<Exit> {
    let workload = match &args.input {
        Some(path) => {
            let scripts = script::load(path).map_err(|e| Failure::io("read", path, &e))?;
            Workload::Replayed(scripts)
        }
        None => Workload::Generated { seed: args.seed },
    };
    // Not through a buffer: what was said must be in the pipe when the process dies.
    host::run(&cli.global.journal, &workload, args.sessions, io::stdout())
}

fn workload(args: &Demo, seed: u64, folder: &Path, out: &Output) -> Result<Workload> {
    let Some(input) = &args.input else {
        return Ok(Workload::Generated { seed });
    };
    let entries = walk::walk(input).map_err(|e| Failure::io("read", input, &e))?;
    let line_limit = INPUT_LINE_BYTES.min(LINE_LIMIT_BYTES);
    let taken = script::take(&entries, line_limit, INPUT_BYTES);
    if taken.scripts.is_empty() {
        let message = format!("no transcript in {}", input.display());
        return Err(Failure::new(Exit::NotFound, "no_transcripts", message)
            .advise("name a transcript of Claude Code or Codex, or a folder that holds some"));
    }
    let transcripts = plural(taken.scripts.len() as u64, "transcript");
    out.say(format_args!(
        "replaying {transcripts} ({})",
        size(taken.bytes)
    ));
    if taken.left_out > 0 {
        let limit = size(INPUT_BYTES);
        out.say(format_args!(
            "left out {} beyond {limit}",
            plural(taken.left_out as u64, "transcript")
        ));
    }
    let path = folder.join(SCRIPTS);
    script::save(&taken.scripts, &path).map_err(|e| Failure::io("write", &path, &e))?;
    Ok(Workload::Replayed(taken.scripts))
}

fn introduce(args: &Demo, folder: &Folder, out: &Output) {
    out.say(format_args!(
        "{} journal their turns in {} at full speed; the process is killed (-9) {}.\n\
         After each kill the journal is opened and compared with a ledger of what was \
         acknowledged.\n\
         A kill leaves what the system holds in memory: this shows that nothing is torn or lost \
         with the process,\nnot that the disk keeps it through a power cut, which the tests \
         simulate.",
        plural(u64::from(args.sessions), "agent"),
        folder.path.join(JOURNAL).display(),
        plural(u64::from(args.rounds), "time"),
    ));
}

struct Run<'a> {
    args: &'a Demo,
    journal: PathBuf,
    scripts: Option<PathBuf>,
    seed: u64,
    started: Instant,
    bar: ProgressBar,
    totals: Totals,
}

impl Run<'_> {
    /// Runs all rounds, or up to the first in which something was lost or invented; returns
    /// what, in words.
    fn rounds(&mut self, workload: &Workload) -> Result<Vec<String>> {
        let mut ledger = Ledger::default();
        let mut comparison = Comparison::new(workload, self.args.sessions);
        let mut kills = Kills::new(self.seed).peekable();
        let deadline = self
            .args
            .seconds
            .map(|s| self.started + Duration::from_secs(s));
        for left in (0..self.args.rounds).rev() {
            let kill = kills.next().expect("kills never end");
            let round = self.round(kill, &mut ledger)?;
            self.totals.kills += 1;
            self.totals.kills_while_opening += u64::from(!round.had_opened);
            self.totals.records_acknowledged = ledger.acknowledged();
            let is_last = left == 0 || deadline.is_some_and(|at| at <= Instant::now());
            if !is_last
                && kills
                    .peek()
                    .is_some_and(|next| next.since == Since::Started)
            {
                // The next process opens the journal as this one left it, and dies over that.
                ledger.restart();
                continue;
            }
            self.bar.set_message(self.status("comparing"));
            let reopened = comparison.reopen(&self.journal, &mut ledger, is_last)?;
            self.note(&reopened);
            let problems = problems(&reopened.found);
            if is_last || !problems.is_empty() {
                return Ok(problems);
            }
        }
        Ok(Vec::new())
    }

    fn round(
        &mut self,
        kill: crate::demo::kills::Kill,
        ledger: &mut Ledger,
    ) -> Result<round::Round> {
        let program = std::env::current_exe()
            .map_err(|e| Failure::io("find", Path::new("this program"), &e))?;
        let mut command = Command::new(&program);
        command
            .args(["--journal".as_ref(), self.journal.as_os_str()])
            .arg("demo-host")
            .args(["--seed", &self.seed.to_string()])
            .args(["--sessions", &self.args.sessions.to_string()]);
        if let Some(scripts) = &self.scripts {
            command.args(["--input".as_ref(), scripts.as_os_str()]);
        }
        let before = ledger.acknowledged();
        let started = Instant::now();
        let (bar, status) = (self.bar.clone(), self.status("journaling"));
        let round = round::run(&mut command, kill, ledger, |ledger| {
            let acknowledged = ledger.acknowledged();
            let rate = (acknowledged - before) as f64 / started.elapsed().as_secs_f64();
            let (acknowledged, rate) = (count(acknowledged), count(rate as u64));
            bar.set_message(format!("{status}: {acknowledged} acknowledged, {rate}/s"));
            bar.tick();
        });
        let round = round.map_err(|e| {
            let mut failure = Failure::new(
                Exit::Damaged,
                "demo_host",
                "the journaling process did not do its part",
            );
            failure.causes.push(e.to_string());
            failure
        })?;
        if !round.was_killed {
            let message = format!("the journaling process ended by itself: {}", round.status);
            return Err(Failure::new(Exit::Damaged, "demo_host", message)
                .advise("its message stands above"));
        }
        Ok(round)
    }

    fn status(&self, doing: &str) -> String {
        let (kills, rounds) = (self.totals.kills, self.args.rounds);
        let (lost, invented) = (self.totals.lost, self.totals.invented);
        format!("{kills} of {rounds} killed, {lost} lost, {invented} invented; {doing}")
    }

    fn note(&mut self, reopened: &Reopened) {
        let Reopened {
            recovery,
            took,
            found,
        } = reopened;
        self.totals
            .reopened(*took, recovery.torn_bytes, recovery.open_turns);
        self.totals.compare(found);
    }
}

fn problems(found: &[Found]) -> Vec<String> {
    let bad = found.iter().filter(|found| !found.is_good());
    bad.flat_map(|found| found.problems.clone()).collect()
}

/// Where a demonstration works; gone afterwards unless it is wanted.
struct Folder {
    path: PathBuf,
    is_temporary: bool,
}

impl Folder {
    fn new(args: &Demo) -> Result<Folder> {
        if let Some(path) = &args.keep {
            fs::create_dir_all(path).map_err(|e| Failure::io("create", path, &e))?;
            let mut inside = fs::read_dir(path).map_err(|e| Failure::io("read", path, &e))?;
            if inside.next().is_some() {
                let message = format!("{} is not empty", path.display());
                return Err(Failure::new(Exit::Refused, "not_empty", message)
                    .advise("name a new or an empty folder; nothing was written"));
            }
            return Ok(Folder {
                path: path.clone(),
                is_temporary: false,
            });
        }
        let name = format!("turnkeep-demo-{}-{}", std::process::id(), fresh_seed());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(|e| Failure::io("create", &path, &e))?;
        Ok(Folder {
            path,
            is_temporary: true,
        })
    }

    /// Leaves the folder where it is.
    fn keep(mut self) -> PathBuf {
        self.is_temporary = false;
        self.path.clone()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            // What cannot be removed is the system's to clean, like everything beside it.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
