//! The `turnkeep` command, as a library so that tests reach its parts.
//!
//! What it is: arguments in, data on standard output, messages on standard error, an exit code
//! that means something, and the demonstration that kills a journaling process and compares what is left with an independent ledger.
//!
//! What it promises: see [`output`] for what is printed, [`exit`] for the codes,
//! [`turnkeep_hosts`] for what is read of other tools' files and what comes back, [`demo`] for
//! what the comparison can see.
//!
//! On purpose it does not hold any knowledge of files in a journal: everything about them it
//! asks the library. It is not an API: nothing here is stable but the command line.

pub mod args;
pub mod commands;
pub mod demo;
pub mod exit;
pub mod output;

use clap::Parser;
use exit::Exit;
use output::Output;
use std::process::ExitCode;

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version come here too. Nobody to tell if printing fails.
            let _ = e.print();
            return ExitCode::from(match e.use_stderr() {
                true => Exit::Usage as u8,
                false => Exit::Ok as u8,
            });
        }
    };
    let mut out = Output::new(&cli.global);
    let done = commands::run(&cli, &mut out);
    let flushed = out.flush();
    let exit = match done.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit,
        Err(failure) => {
            output::report(&failure, cli.global.json);
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}
