//! The commands, one file each.

mod append;
mod audit;
mod backup;
mod compact;
mod demo;
mod explain;
mod export;
mod idle;
mod import;
mod journal;
mod keygen;
mod log;
mod queue;
mod repair;
mod salvage;
mod search;
mod sessions;
mod show;
mod stat;
mod upgrade;
mod verify;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Result};
use crate::output::Output;
use clap::CommandFactory;

/// Does what `cli` says.
pub fn run(cli: &Cli, out: &mut Output) -> Result<Exit> {
    match &cli.command {
        Command::Import(args) if args.dry_run => import::dry_run(args, out),
        Command::Import(args) => import::run(cli, args, out),
        Command::Sessions(args) => sessions::run(cli, args, out),
        Command::Show(args) => show::run(cli, args, out),
        Command::Log(args) => log::run(cli, args, out),
        Command::Stat => stat::run(cli, out),
        Command::Verify => verify::run(cli, out),
        Command::Audit(args) => audit::run(cli, args, out),
        Command::Explain(args) => explain::run(cli, args, out),
        Command::Idle(args) => idle::run(cli, args, out),
        Command::Turns(args) => queue::turns(cli, args, out),
        Command::Queue(args) => queue::run(cli, args, out),
        Command::Search(args) => search::run(cli, args, out),
        Command::Repair(args) => repair::run(cli, args, out),
        Command::Salvage(args) => salvage::run(cli, args, out),
        Command::Compact(args) => compact::run(cli, args, out),
        Command::Backup(args) => backup::run(cli, args, out),
        Command::Upgrade(args) => upgrade::run(cli, args, out),
        Command::Export(args) => export::run(cli, args, out),
        Command::Append(args) => append::run(cli, args, out),
        Command::Keygen(args) => keygen::run(args, out),
        Command::Demo(args) => demo::run(args, out),
        Command::DemoHost(args) => demo::run_host(cli, args),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "turnkeep", &mut script);
            out.document(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            man(&mut page)?;
            out.document(&page)
        }
    }
}

/// One page: the command, then each of its commands with their options and examples.
fn man(page: &mut Vec<u8>) -> std::io::Result<()> {
    let command = Cli::command();
    let man = clap_mangen::Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    // Clones of a command that was not built do not repeat the global options.
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        man_section(sub, sub.get_name(), page)?;
        for part in sub.get_subcommands().filter(|c| !c.is_hide_set()) {
            let name = format!("{} {}", sub.get_name(), part.get_name());
            man_section(part, &name, page)?;
        }
    }
    page.extend_from_slice(b".SH NOTES\n.nf\n");
    let help = command.get_after_long_help().map(ToString::to_string);
    for line in help.unwrap_or_default().lines() {
        page.extend_from_slice(format!("{}\n", line.replace('-', "\\-")).as_bytes());
    }
    page.extend_from_slice(b".fi\n");
    Ok(())
}

fn man_section(command: &clap::Command, name: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    let man = clap_mangen::Man::new(command.clone());
    let mut section = Vec::new();
    man.render_description_section(&mut section)?;
    man.render_options_section(&mut section)?;
    if command.get_after_help().is_some() {
        man.render_extra_section(&mut section)?;
    }
    let section = String::from_utf8_lossy(&section)
        .replace(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n.nf\n")
        .replace(".SH ", ".SS ");
    let name = name.to_uppercase();
    page.extend_from_slice(format!(".SH \"TURNKEEP {name}\"\n{section}.fi\n").as_bytes());
    Ok(())
}
