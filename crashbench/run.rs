//! `crashbench run`: every schedule against every store, one round after the other.

use crate::Result;
use crate::args::RunArgs;
use crate::disk;
use crate::process::Lab;
use crate::results::{Cell, Results, StoreInfo};
use crate::schedules::{Round, Schedule};
use crate::stores::{self, Kind};
use crate::table;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Runs what was asked for, and prints or writes what happened.
pub fn run(args: &RunArgs) -> Result<()> {
    let results = measure(args, std::env::current_exe()?)?;
    if let Some(out) = &args.out {
        results.save(out)?;
    }
    if !args.json {
        print!("{}", table::plain(&results));
    }
    Ok(())
}

/// Runs what was asked for; `exe` is this command, for the processes of each round.
pub fn measure(args: &RunArgs, exe: std::path::PathBuf) -> Result<Results> {
    let kinds: Vec<Kind> = match args.store.is_empty() {
        true => stores::all(),
        false => args
            .store
            .iter()
            .map(|name| stores::find(name))
            .collect::<Result<_>>()?,
    };
    let wanted = match args.schedule.is_empty() {
        true => Schedule::value_variants().to_vec(),
        false => args.schedule.clone(),
    };
    let lack = if wanted.iter().any(|s| s.needs_disk()) {
        disk::missing()
    } else {
        None
    };
    let (schedules, left): (Vec<Schedule>, Vec<Schedule>) = wanted
        .into_iter()
        .partition(|s| lack.is_none() || !s.needs_disk());
    let why = lack.unwrap_or_default();
    let skipped: Vec<String> = left
        .iter()
        .map(|schedule| format!("{}: {why}", schedule.name()))
        .collect();
    for line in &skipped {
        eprintln!("SKIPPED {line}");
    }

    #[cfg(target_os = "linux")]
    disk::sweep();
    let lab = Lab {
        exe,
        timeout: Duration::from_secs(args.timeout),
    };
    let home = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let all = kinds.len() as u64 * schedules.len() as u64 * args.rounds;
    let bar = ProgressBar::new(all).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut cells = Vec::new();
    for kind in &kinds {
        for &schedule in &schedules {
            bar.set_message(format!("{} {}", kind.name, schedule.name()));
            let mut outcomes = Vec::new();
            for number in 0..args.rounds {
                let round = Round {
                    lab: &lab,
                    kind,
                    seed: args.seed,
                    number,
                    home: home.clone(),
                };
                let outcome = round.run(schedule).map_err(|e| {
                    format!("{} {} round {number}: {e}", kind.name, schedule.name())
                })?;
                if args.json {
                    let line = serde_json::json!({
                        "store": kind.name, "schedule": schedule, "seed": args.seed,
                        "round": number, "outcome": outcome,
                    });
                    println!("{line}");
                }
                outcomes.push(outcome);
                bar.inc(1);
            }
            cells.push(Cell::of(kind.name, schedule, &outcomes));
        }
    }
    bar.finish_and_clear();
    Ok(Results {
        command: command_line(args),
        seed: args.seed,
        rounds: args.rounds,
        system: system(),
        stores: kinds.iter().map(info).collect(),
        cells,
        skipped,
    })
}

fn info(kind: &Kind) -> StoreInfo {
    StoreInfo {
        name: kind.name.to_owned(),
        version: stores::version(kind),
        setting: kind.setting.to_owned(),
        durable: kind.durable,
    }
}

/// The command that makes these results again, from this package's directory.
fn command_line(args: &RunArgs) -> String {
    let mut line = "cargo run".to_owned();
    if cfg!(feature = "rivals") {
        line += " --features rivals";
    }
    line += &format!(" -- run --rounds {} --seed {}", args.rounds, args.seed);
    if !args.store.is_empty() {
        line += &format!(" --store {}", args.store.join(","));
    }
    if !args.schedule.is_empty() {
        let names: Vec<String> = args.schedule.iter().map(|s| s.name()).collect();
        line += &format!(" --schedule {}", names.join(","));
    }
    if let Some(out) = &args.out {
        line += &format!(" --out {}", out.display());
    }
    line
}

fn system() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let os = std::env::consts::OS;
    let release: Vec<&str> = release.trim().split(['.', '-']).take(2).collect();
    format!(
        "{os} {} on {}, {cores} cores",
        release.join("."),
        std::env::consts::ARCH
    )
}
