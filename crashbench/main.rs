//! The command. See the library for what it is.

use clap::Parser;
use crashbench::args::{Args, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run(run) => crashbench::run::run(&run),
        Command::Table(table) => crashbench::table::command(&table),
        Command::Plot(plot) => crashbench::plot::command(&plot),
        Command::Stores => crashbench::stores::list(),
        Command::Worker(worker) => crashbench::child::worker::run(&worker),
        Command::Reader(reader) => crashbench::child::reader::run(&reader),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crashbench: {error}");
            ExitCode::FAILURE
        }
    }
}
