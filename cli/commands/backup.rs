//! `backup`: copies of the journal that are kept, and what becomes of them.

use crate::args::Cli;
use crate::args::backup::{self, BackupCommand};
use crate::exit::{Exit, Result};
use crate::output::Output;
use crate::output::table::{Align, Table, count, plural, size};
use crate::output::time::utc;
use indicatif::ProgressBar;
use serde::Serialize;
use std::fmt::Display;
use std::path::PathBuf;
use turnkeep::recovery::verify::Progress;
use turnkeep::{BackupKind, Backups, KeepBackups, ListedBackup, Restore, Which};

/// Does what `args` says.
pub fn run(cli: &Cli, args: &backup::Backup, out: &mut Output) -> Result<Exit> {
    let store = store(cli, args.store.as_ref());
    match &args.command {
        BackupCommand::Create(args) => create(cli, &store, args, out),
        BackupCommand::List => list(&store, out),
        BackupCommand::Verify(args) => verify(&store, args, out),
        BackupCommand::Restore(args) => restore(cli, &store, args, out),
        BackupCommand::Prune(args) => prune(&store, args, out),
        BackupCommand::Remove(args) => {
            let removed = store.remove(&Which::parse(&args.backup))?;
            tell(out, &removed, format_args!("removed {removed}"))
        }
        BackupCommand::Export(args) => {
            let bar = out.byte_bar("exporting", 0);
            let which = Which::parse(&args.backup);
            let done = store.export(&which, &args.to, &mut |p| show(&bar, &p));
            bar.finish_and_clear();
            let done = done?;
            let to = args.to.display();
            tell(out, &done, format_args!("exported {done} to {to}"))
        }
    }
}

/// The store that was named, or the one beside the journal.
pub fn store(cli: &Cli, named: Option<&PathBuf>) -> Backups {
    match named {
        Some(path) => Backups::at(path),
        None => Backups::beside(&cli.global.journal),
    }
}

/// Moves a bar to where the work stands.
pub fn show(bar: &ProgressBar, progress: &Progress<'_>) {
    bar.set_length(progress.total_bytes);
    bar.set_position(progress.done_bytes);
}

/// Prints what was done, and ends well.
pub fn tell(out: &mut Output, done: &impl Serialize, words: impl Display) -> Result<Exit> {
    match out.is_json() {
        true => out.object(done)?,
        false => out.host_text(words)?,
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn create(cli: &Cli, store: &Backups, args: &backup::Create, out: &mut Output) -> Result<Exit> {
    let bar = out.byte_bar("backing up", 0);
    let made = store.create_on(&cli.global.journal, args.name.as_deref(), &mut |p| {
        show(&bar, &p);
    });
    bar.finish_and_clear();
    let made = made?;
    tell(out, &made, format_args!("made {made}"))?;
    let path = store.path_of(made.number);
    out.say(format_args!("it is in {}", path.display()));
    Ok(Exit::Ok)
}

fn list(store: &Backups, out: &mut Output) -> Result<Exit> {
    let listed = store.list()?;
    let is_damaged = |listed: &ListedBackup| matches!(listed, ListedBackup::Damaged { .. });
    if out.is_json() {
        for backup in &listed {
            out.object(backup)?;
        }
    } else if !listed.is_empty() {
        out.table(&table(&listed))?;
    }
    out.flush()?;
    let complete = listed.iter().filter_map(ListedBackup::complete).count();
    let path = store.path().display();
    out.say(format_args!(
        "{} in {path}",
        plural(complete as u64, "backup")
    ));
    Ok(match listed.iter().any(is_damaged) {
        true => Exit::Damaged,
        false => Exit::Ok,
    })
}

fn table(listed: &[ListedBackup]) -> Table {
    let mut table = Table::new(&[
        ("BACKUP", Align::Right),
        ("NAME", Align::Left),
        ("MADE (UTC)", Align::Left),
        ("RECORDS BELOW", Align::Right),
        ("FORMAT", Align::Right),
        ("SIZE", Align::Right),
        ("OF", Align::Left),
    ]);
    for listed in listed {
        let number = listed.number().to_string();
        match listed {
            ListedBackup::Complete(backup) => {
                let kept = match backup.kind {
                    BackupKind::Verbatim => ", kept as it was",
                    _ => "",
                };
                table.row([
                    &number,
                    backup.name.as_deref().unwrap_or_default(),
                    &utc(backup.created_ms),
                    &count(backup.next_lsn.get()),
                    &backup.format.to_string(),
                    &size(backup.bytes),
                    &format!("{}{kept}", backup.source),
                ]);
            }
            ListedBackup::Damaged { why, .. } => {
                table.row([&number, "", "", "", "", "", &format!("damaged: {why}")]);
            }
            _ => table.row([&number, "", "", "", "", "", "unfinished"]),
        }
    }
    table
}

fn verify(store: &Backups, args: &backup::Verify, out: &mut Output) -> Result<Exit> {
    let listed = match args.all {
        true => store.list()?,
        false => Vec::new(),
    };
    let finished = listed
        .iter()
        .filter(|listed| !matches!(listed, ListedBackup::Unfinished { .. }));
    let wanted: Vec<Which> = match args.all {
        true => finished.map(|l| Which::Number(l.number())).collect(),
        false => vec![Which::parse(&args.backup)],
    };
    let mut exit = Exit::Ok;
    for which in &wanted {
        let bar = out.byte_bar("verifying", 0);
        let report = store.verify_on(which, &mut |p| show(&bar, &p));
        bar.finish_and_clear();
        let report = report?;
        tell(out, &report, &report)?;
        if !report.is_good() {
            exit = Exit::Corrupt;
        }
    }
    if exit != Exit::Ok {
        out.say(
            "next: nothing was changed; restore another one, or `turnkeep salvage` the directory of \
             a damaged one into a new journal",
        );
    }
    Ok(exit)
}

fn restore(cli: &Cli, store: &Backups, args: &backup::Restore, out: &mut Output) -> Result<Exit> {
    let mut options = Restore::default();
    (options.dry_run, options.bring_back) = (args.dry_run, args.bring_back);
    let into = args.into.as_ref().unwrap_or(&cli.global.journal);
    let bar = out.byte_bar("restoring", 0);
    let which = Which::parse(&args.backup);
    let done = store.restore_on(&which, into, &options, &mut |p| show(&bar, &p));
    bar.finish_and_clear();
    let done = done?;
    tell(out, &done, &done)?;
    if let Some(kept) = &done.kept {
        let number = kept.number;
        match kept.kind {
            BackupKind::Verbatim => out.say(format_args!(
                "what was there did not validate; it is in {}, for `turnkeep salvage`",
                store.path_of(number).display()
            )),
            _ => out.say(format_args!(
                "to go back: `turnkeep backup restore {number}`"
            )),
        }
    }
    Ok(Exit::Ok)
}

fn prune(store: &Backups, args: &backup::Prune, out: &mut Output) -> Result<Exit> {
    let keep = KeepBackups {
        last: args.keep,
        within_ms: args
            .older_than
            .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
    };
    let bar = out.byte_bar("verifying", 0);
    let done = store.prune_on(&keep, args.dry_run, &mut |p| show(&bar, &p));
    bar.finish_and_clear();
    let done = done?;
    tell(out, &done, &done)?;
    Ok(match done.damaged.is_empty() {
        true => Exit::Ok,
        false => Exit::Damaged,
    })
}
