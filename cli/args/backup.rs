//! Arguments of `backup` and `upgrade`.

use super::upkeep::age;
use clap::{Args, Subcommand};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `backup`.
#[derive(Args, Clone, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  turnkeep backup create                              beside a host that writes, or without one
  turnkeep backup list
  turnkeep backup verify                              the youngest, every byte
  turnkeep backup restore --dry-run                   what would be lost, what would stay erased
  turnkeep backup prune --keep 7 --older-than 30d

docs/BACKUP.md says what a backup promises, and what a crash leaves."
)]
pub struct Backup {
    /// The directory with the backups; the variable TURNKEEP_BACKUPS sets it too. Without, the one
    /// beside the journal, which is called as it and `.backups`.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "TURNKEEP_BACKUPS",
        hide_env = true,
        value_hint = clap::ValueHint::DirPath
    )]
    pub store: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: BackupCommand,
}

/// The commands of `backup`.
#[derive(Clone, Debug, Subcommand)]
pub enum BackupCommand {
    /// Make a backup of the journal, also while a host writes to it.
    ///
    /// It holds everything that was acknowledged before the call. It is verified, every record of
    /// it, before it counts as one; what was interrupted is not there. The journal is not changed.
    Create(Create),
    /// List the backups, oldest first. Nothing is read but their labels.
    List,
    /// Read every byte of a backup and check it; change none.
    ///
    /// Exits with 3 if one is damaged.
    Verify(Verify),
    /// Put a journal with the records of a backup in the place of what is there.
    ///
    /// The backup is verified first, and a damaged one refused. What is there is backed up first. What
    /// was deleted, cleared or truncated since the backup stays so. Log sequence numbers go on behind
    /// all that were handed out, and workers of before are fenced off. Stop the host.
    Restore(Restore),
    /// Remove backups by count and age, and never the last good one.
    ///
    /// Those that are kept for their number are verified now; a damaged one does not count. Named
    /// ones are never removed by this.
    Prune(Prune),
    /// Remove one backup, named or not.
    ///
    /// Refused for one without a name if no other of its journal is good.
    Remove(Remove),
    /// Copy the files of a backup elsewhere, byte for byte: a journal of the same identity.
    ///
    /// For another machine, or for a release that reads no newer format. To go on with it here, restore
    /// it.
    Export(Export),
}

/// Arguments of `backup create`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep backup create
  turnkeep backup create --name before-the-move       a named one stays until it is removed
  turnkeep backup create --store /mnt/backups/agents")]
pub struct Create {
    /// A name, by which it can be found, and which keeps it from being pruned.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Arguments of `backup verify`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep backup verify                              the youngest
  turnkeep backup verify 12
  turnkeep backup verify --all")]
pub struct Verify {
    /// Its number, its name, or `newest`.
    #[arg(default_value = "newest")]
    pub backup: String,
    /// Every one in the store.
    #[arg(long, conflicts_with = "backup")]
    pub all: bool,
}

/// Arguments of `backup restore`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep backup restore --dry-run                   the youngest: what would be lost?
  turnkeep backup restore 12
  turnkeep backup restore before-the-move --into elsewhere.journal")]
pub struct Restore {
    /// Its number, its name, or `newest`.
    #[arg(default_value = "newest")]
    pub backup: String,
    /// Where to; without, the journal.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub into: Option<PathBuf>,
    /// Tell what would happen; change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// What was deleted, cleared or truncated since the backup comes back. Needed to restore over a
    /// damaged journal, which cannot tell what was.
    #[arg(long)]
    pub bring_back: bool,
}

/// Arguments of `backup prune`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep backup prune --keep 7                      the seven youngest good ones
  turnkeep backup prune --keep 7 --older-than 30d     and all that are younger than thirty days
  turnkeep backup prune --keep 1 --dry-run            what would be removed?")]
pub struct Prune {
    /// Keep so many good ones of each journal, the youngest.
    #[arg(long, value_name = "N")]
    pub keep: NonZeroU32,
    /// Of the others, remove only those that are older.
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Tell what would happen; change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `backup remove`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep backup remove before-the-move
  turnkeep backup remove 12")]
pub struct Remove {
    /// Its number or its name.
    pub backup: String,
}

/// Arguments of `backup export`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep backup export newest --to /mnt/usb/agents.journal
  turnkeep backup export before-upgrade-to-1 --to old.journal")]
pub struct Export {
    /// Its number, its name, or `newest`.
    pub backup: String,
    /// A new or empty folder.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub to: PathBuf,
}

/// Arguments of `upgrade`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  turnkeep upgrade --dry-run                          which format versions are there?
  turnkeep upgrade                                    the old files are kept
  turnkeep upgrade --confirm                          and now they are not

docs/UPGRADING.md says what each step leaves, and the way back.")]
pub struct Upgrade {
    /// Tell which versions the files have; change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Verify the upgraded journal, and remove the old files.
    #[arg(long, conflicts_with_all = ["dry_run", "rewrite"])]
    pub confirm: bool,
    /// Write the journal again even if every file is of this version.
    #[arg(long)]
    pub rewrite: bool,
    /// The directory where the old files are kept; without, the one with the backups beside the
    /// journal.
    #[arg(
        long,
        value_name = "DIR",
        env = "TURNKEEP_BACKUPS",
        hide_env = true,
        value_hint = clap::ValueHint::DirPath
    )]
    pub store: Option<PathBuf>,
}
