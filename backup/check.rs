//! Verifying a backup: every byte against its label, then every record.

use super::copy::{sum_file, ticker};
use super::label::{Backup, FileSum, Label};
use super::readback::finding_as_corruption;
use super::store::{Backups, ListedBackup, Which};
use crate::error::{Corruption, Error, Result};
use crate::format::ids::JournalId;
use crate::format::names::{self, Name};
use crate::recovery::verify::{Progress, VerifyReport, verify_on};
use crate::storage::dir::Dir;
use serde::Serialize;
use std::fmt;

/// One file of a backup that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackupProblem {
    /// The file.
    pub file: String,
    /// A stable name of what is wrong: `missing`, `length`, `checksum`, `unreadable`, `label`.
    pub code: &'static str,
    /// What is wrong, in words.
    pub what: String,
}

impl fmt::Display for BackupProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damage: {}: {}", self.file, self.what)
    }
}

/// What the verification of a backup saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[must_use = "it says whether the backup is good"]
pub struct BackupReport {
    /// Its number.
    pub number: u64,
    /// What it says of itself, if that can be read.
    pub backup: Option<Backup>,
    /// Files that are not what they were.
    pub problems: Vec<BackupProblem>,
    /// What is in it, if that could be looked at.
    pub journal: Option<VerifyReport>,
}

impl BackupReport {
    /// Whether it can be restored: every file is what it was, and every record validates.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.journal.as_ref().is_some_and(VerifyReport::is_sound)
    }

    /// The first thing that is wrong with it.
    pub(super) fn first_damage(&self, dir: &Dir) -> Option<Corruption> {
        if let Some(problem) = self.problems.first() {
            return Some(Corruption::new(
                dir.join(&problem.file),
                problem.what.clone(),
            ));
        }
        let damage = self.journal.as_ref().and_then(|j| j.damage().next());
        match damage {
            Some(finding) => Some(finding_as_corruption(dir, finding)),
            None if self.journal.is_none() => {
                Some(Corruption::new(dir.path(), "it holds no journal"))
            }
            None => None,
        }
    }
}

impl fmt::Display for BackupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.backup {
            Some(backup) => write!(f, "{backup}: ")?,
            None => write!(f, "backup {}: ", self.number)?,
        }
        match self.is_good() {
            true => write!(f, "good")?,
            false => write!(f, "damaged")?,
        }
        for problem in &self.problems {
            write!(f, "\n{problem}")?;
        }
        if let Some(journal) = &self.journal {
            write!(f, "\n{journal}")?;
        }
        Ok(())
    }
}

impl Backups {
    /// Reads every byte of a backup and checks it. Nothing is changed, no lock is taken.
    ///
    /// Damage is not an error: it is in the report.
    ///
    /// # Errors
    /// [`Error::NoBackup`]; [`Error::Io`] if it cannot be listed.
    pub fn verify(&self, which: &Which) -> Result<BackupReport> {
        self.verify_on(which, &mut |_| ())
    }

    /// As [`Backups::verify`], saying how far it has come.
    ///
    /// # Errors
    /// As [`Backups::verify`].
    pub fn verify_on(
        &self,
        which: &Which,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<BackupReport> {
        let number = match which {
            Which::Number(number) => *number,
            which => self.find(which)?.number,
        };
        let dir = self.dir_of(number);
        let mut report = BackupReport {
            number,
            ..BackupReport::default()
        };
        let is_there = self.list()?.iter().any(|listed| {
            listed.number() == number && !matches!(listed, ListedBackup::Unfinished { .. })
        });
        let label = match is_there {
            true => self.label(number)?,
            false => None,
        };
        match label {
            None => return Err(self.missing(which)),
            Some(Err(why)) => report.problems.push(BackupProblem {
                file: names::BACKUP.to_owned(),
                code: "label",
                what: format!("what it says of itself does not validate: {why}"),
            }),
            Some(Ok(Label { backup, files })) => {
                report.problems = sums_of(&dir, &files, &mut ticker(backup.bytes, progress))?;
                report.problems.extend(strangers(&dir, &files)?);
                report.backup = Some(backup);
            }
        }
        report.journal = match verify_on(dir.storage().clone(), dir.path(), progress) {
            Ok(journal) => Some(journal),
            Err(error @ (Error::NewerFormat { .. } | Error::Io { .. })) => return Err(error),
            Err(_) => None,
        };
        Ok(report)
    }

    /// The newest backup of `journal` that is good now.
    pub(super) fn sound_one(
        &self,
        journal: JournalId,
        is_asked: impl Fn(&Backup) -> bool,
    ) -> Result<Option<Backup>> {
        let listed = self.list()?;
        let complete = listed.iter().rev().filter_map(ListedBackup::complete);
        for backup in complete.filter(|b| b.journal == journal && is_asked(b)) {
            if self.verify(&Which::Number(backup.number))?.is_good() {
                return Ok(Some(backup.clone()));
            }
        }
        Ok(None)
    }

    /// The backup, after all of it was verified.
    pub(super) fn expect_good(
        &self,
        which: &Which,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(Backup, Dir)> {
        let number = match which {
            Which::Number(number) => *number,
            which => self.find(which)?.number,
        };
        let report = self.verify_on(&Which::Number(number), progress)?;
        let source = self.dir_of(number);
        match (report.first_damage(&source), report.backup) {
            (None, Some(backup)) => Ok((backup, source)),
            (damage, backup) => {
                let journal = backup.map(|backup| backup.journal);
                let journal = journal.or_else(|| Some(self.newest_other(number)?.journal));
                let sound = match journal {
                    Some(journal) => self.sound_one(journal, |other| other.number != number)?,
                    None => None,
                };
                Err(Error::DamagedBackup {
                    store: self.path().to_path_buf(),
                    number,
                    sound: sound.map(|sound| sound.number),
                    cause: Box::new(damage.unwrap_or_else(|| {
                        Corruption::new(source.path(), "it says nothing of itself")
                    })),
                })
            }
        }
    }

    fn newest_other(&self, number: u64) -> Option<Backup> {
        let listed = self.list().ok()?;
        let mut complete = listed.iter().rev().filter_map(|listed| listed.complete());
        complete.find(|backup| backup.number != number).cloned()
    }
}

/// Compares files with their checksums. Says which differ.
pub(super) fn sums_of(
    dir: &Dir,
    files: &[FileSum],
    tick: &mut dyn FnMut(&str, u64),
) -> Result<Vec<BackupProblem>> {
    let mut problems = Vec::new();
    for file in files {
        let mut say = |code, what: String| {
            problems.push(BackupProblem {
                file: file.name.clone(),
                code,
                what,
            });
        };
        match sum_file(dir, &file.name, tick) {
            Ok(None) => say("missing", "the file is missing".to_owned()),
            Ok(Some((len, _))) if len != file.len => {
                say(
                    "length",
                    format!("length: expected {}, found {len}", file.len),
                );
            }
            Ok(Some((_, crc))) if crc != file.crc => {
                let expected = file.crc;
                say(
                    "checksum",
                    format!("checksum: expected {expected:08x}, found {crc:08x}"),
                );
            }
            Ok(Some(_)) => {}
            Err(Error::Io { op, source, .. }) => {
                say("unreadable", format!("cannot {op} the file: {source}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(problems)
}

/// Files of a journal that the label does not name: somebody put them there, and a reader might
/// believe them.
fn strangers(dir: &Dir, files: &[FileSum]) -> Result<Vec<BackupProblem>> {
    let is_named = |name: &str| files.iter().any(|file| file.name == name);
    let is_journal = |name: &str| {
        !matches!(
            Name::parse(name),
            Name::Lock | Name::Tmp | Name::Quarantine | Name::Backup | Name::Foreign
        )
    };
    let listed = dir.list()?;
    let strange = listed
        .iter()
        .filter(|entry| is_journal(&entry.name) && !is_named(&entry.name));
    Ok(strange
        .map(|entry| BackupProblem {
            file: entry.name.clone(),
            code: "strange",
            what: "a file that was not there when the backup was made".to_owned(),
        })
        .collect())
}
