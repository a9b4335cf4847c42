//! The long runs behind docs/EVIDENCE.md: lists them, starts them, keeps what they print.
//!
//! Promises that a run kept in docs/evidence/runs/ says which command it was, on which commit, and
//! how long it took. Does not decide what a result means.

mod runs;

use clap::{Parser, Subcommand};
use runs::{RUNS, Run};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// The long runs behind docs/EVIDENCE.md.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// What there is, how long each takes, and the command that it stands for
    List,
    /// Starts a run, shows what it prints, and keeps that
    Run {
        /// As `list` names it
        name: String,
        /// Where the output is kept
        #[arg(long, value_name = "DIR")]
        keep: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command.unwrap_or(Task::List) {
        Task::List => list(),
        Task::Run { name, keep } => match RUNS.iter().find(|run| run.name == name) {
            Some(run) => start(run, keep),
            None => Err(io::Error::other(format!(
                "there is no run called {name}; `cargo xtask list` names them"
            ))),
        },
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn list() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for run in RUNS {
        let place = match run.dir {
            "" => String::new(),
            dir => format!("cd {dir} && "),
        };
        writeln!(out, "{:13} {}", run.name, run.what)?;
        writeln!(out, "{:13} {}, told in {}", "", run.takes, run.told_in)?;
        writeln!(out, "{:13} {place}{}\n", "", run.line)?;
    }
    writeln!(
        out,
        "cargo xtask run NAME starts one, and keeps what it prints in docs/evidence/runs/"
    )?;
    Ok(ExitCode::SUCCESS)
}

fn start(run: &Run, keep: Option<PathBuf>) -> io::Result<ExitCode> {
    let keep = keep.unwrap_or_else(|| root().join("docs/evidence/runs"));
    fs::create_dir_all(&keep)?;
    let path = keep.join(format!("{}.txt", run.name));
    let (set, command) = run.parts();
    let (program, arguments) = command.split_first().expect("a run has a command");
    let began = Instant::now();
    // What the compiler and cargo say goes to the terminal, what the run says is kept.
    let mut child = Command::new(program)
        .args(arguments)
        .envs(set)
        .current_dir(root().join(run.dir))
        .stdout(Stdio::piped())
        .spawn()?;
    // Under a name of its own until the run has ended: half a run does not replace a whole one.
    let part = path.with_extension("part");
    let mut kept = File::create(&part)?;
    writeln!(kept, "$ {}", run.line)?;
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    for line in lines {
        let line = line?;
        println!("{line}");
        writeln!(kept, "{line}")?;
    }
    let status = child.wait()?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    writeln!(
        kept,
        "\n{status}, after {} s on {processors} processors, at commit {}",
        began.elapsed().as_secs(),
        commit().unwrap_or_else(|| "unknown".into())
    )?;
    kept.sync_all()?;
    fs::rename(&part, &path)?;
    println!("kept in {}", path.display());
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The commit, and whether anything was changed since.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(root())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    Some(match changed.is_empty() {
        true => commit,
        false => format!("{commit}, with changes"),
    })
}
