//! The command line.

use crate::schedules::Schedule;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// The same crashes and the same damage, against turnkeep and against what people use instead.
///
/// A worker process appends records to a store and says when each was acknowledged. It is then
/// crashed, or its files are damaged, and another process opens what is left. What came back is
/// compared with what was acknowledged.
#[derive(Parser)]
#[command(name = "crashbench", version, max_term_width = 100)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Runs the schedules against the stores, and writes what happened.
    Run(RunArgs),
    /// Makes the table from results.
    Table(TableArgs),
    /// Makes the plot from results.
    Plot(PlotArgs),
    /// Lists the stores of this build, their versions and settings.
    Stores,
    /// The process that appends
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// The process that reads what is left
    #[command(hide = true)]
    Reader(ReaderArgs),
}

/// `crashbench run`
#[derive(Parser, Clone)]
#[command(after_help = "\
Examples:
  crashbench run --rounds 5                              a quick look at everything
  crashbench run --store turnkeep,jsonl --schedule power-loss
  crashbench run --out results/linux.json                what the table is made from

Power loss, failed syncs and full disks need Linux, /dev/fuse and the right to mount (root). Where
they are missing, those schedules are skipped and the results say so.")]
pub struct RunArgs {
    /// Only these stores (see `crashbench stores`)
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub store: Vec<String>,
    /// Only these schedules
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub schedule: Vec<Schedule>,
    /// Rounds of each schedule against each store
    #[arg(long, default_value_t = 20)]
    pub rounds: u64,
    /// What the records, the moments and the damage are chosen by
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Writes the results to this file (and prints a summary either way)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Prints one JSON object for each round instead of the summary
    #[arg(long)]
    pub json: bool,
    /// Where stores are put that need no disk of their own [default: the system's]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How long a process may take before it counts as hung
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub timeout: u64,
}

/// `crashbench table`
#[derive(Parser)]
pub struct TableArgs {
    /// Results of `crashbench run --out`
    pub results: PathBuf,
    /// Prints Markdown instead of plain columns
    #[arg(long)]
    pub markdown: bool,
    /// Replaces the part of this document between `<!-- crashbench -->` and its end mark
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
}

/// `crashbench plot`
#[derive(Parser)]
pub struct PlotArgs {
    /// Results of `crashbench run --out`
    pub results: PathBuf,
    /// The SVG file to write
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// `crashbench worker`
#[derive(Parser, Clone, Debug)]
pub struct WorkerArgs {
    /// The store's name
    #[arg(long)]
    pub store: String,
    /// Its directory
    #[arg(long)]
    pub dir: PathBuf,
    /// What the records are made from
    #[arg(long)]
    pub seed: u64,
    /// How many sessions they belong to
    #[arg(long)]
    pub sessions: u32,
    /// Their mean length
    #[arg(long)]
    pub bytes: usize,
    /// The number of the first
    #[arg(long)]
    pub from: u64,
    /// How many
    #[arg(long)]
    pub count: u64,
    /// After how many errors in a row the host gives up
    #[arg(long)]
    pub give_up: u64,
    /// After how many acknowledgements it waits for a line
    #[arg(long)]
    pub pause: Option<u64>,
    /// Closes the store at the end, instead of waiting to be killed
    #[arg(long)]
    pub close: bool,
}

/// `crashbench reader`
#[derive(Parser, Clone, Debug)]
pub struct ReaderArgs {
    /// The store's name
    #[arg(long)]
    pub store: String,
    /// Its directory
    #[arg(long)]
    pub dir: PathBuf,
}
