//! Lives of a journal on the forgetful file system.

use super::forgetful::{CONTROL, Forgetful};
use super::mounted::Server;
use crate::check::chain;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::script::{Script, Step};
use std::path::{Path, PathBuf};
use turnkeep::{Error, Journal};

/// What a seed came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub power_cuts: u64,
    pub failed_syncs: u64,
    /// Openings after a failure, without a power cut in between.
    pub same_boot: u64,
    pub full_disks: u64,
    pub acknowledged: u64,
    pub mapped_writes: u64,
}

/// What happens in a life besides the power going at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Nothing,
    /// A sync fails; the journal is opened again in the same boot and appended to.
    FailedSync,
    /// The power goes amid everything.
    Early,
    FullDisk,
}

/// Runs the lives of `seed` on a file system mounted at `at`.
///
/// # Errors
/// What was lost, altered, invented or refused.
pub fn run(seed: u64, lives: usize, at: &Path) -> Result<Outcome, String> {
    let mut random = Random::new(seed);
    let server = Server::start(Forgetful::default(), at, Forgetful::power_cut);
    let disk = &Disk {
        server: server.map_err(|e| format!("mounting: {e}"))?,
        control: at.join(CONTROL),
    };
    let mut ledger = Ledger::default();
    let mut outcome = Outcome::default();
    for life in 0..lives {
        let script = Script::new(random.word(), 6 + random.below(20) as usize);
        ledger = ledger.next_script();
        let trouble = match random.below(8) {
            0..=3 => Trouble::FailedSync,
            4..=5 => Trouble::Early,
            6 => Trouble::FullDisk,
            _ => Trouble::Nothing,
        };
        disk.server
            .wait_for(CONTROL)
            .map_err(|e| format!("mounting: {e}"))?;
        let lived = crate::sabotage::during(|| {
            live(
                &script,
                trouble,
                at,
                disk,
                &mut random,
                &mut ledger,
                &mut outcome,
            )
        });
        disk.tell("off", 1)?;
        lived.map_err(|what| format!("life {life}, {trouble:?}: {what}"))?;
        disk.tell("cut_seed", random.word() >> 1)?;
        let counts = disk.counts()?;
        outcome.failed_syncs = counts.failed_syncs;
        outcome.mapped_writes = counts.mapped_writes;
        disk.server
            .unmount()
            .map_err(|e| format!("unmounting: {e}"))?;
        outcome.power_cuts += 1;
    }
    outcome.acknowledged = ledger.oracle.acknowledged - 1;
    Ok(outcome)
}

/// The file system as the one who uses it sees it.
struct Disk {
    server: Server,
    control: PathBuf,
}

struct Counts {
    off: bool,
    failed_syncs: u64,
    mapped_writes: u64,
}

impl Disk {
    fn tell(&self, word: &str, number: u64) -> Result<(), String> {
        let told = std::fs::write(&self.control, format!("{word} {number}\n"));
        told.map_err(|e| format!("telling the file system: {e}"))
    }

    fn counts(&self) -> Result<Counts, String> {
        let words = std::fs::read_to_string(&self.control);
        let words = words.map_err(|e| format!("asking the file system: {e}"))?;
        let mut numbers = words
            .split_whitespace()
            .map(|n| n.parse().unwrap_or(u64::MAX));
        let mut next = || numbers.next().unwrap_or(u64::MAX);
        Ok(Counts {
            off: next() != 0,
            failed_syncs: next(),
            mapped_writes: next(),
        })
    }

    fn is_off(&self) -> Result<bool, String> {
        Ok(self.counts()?.off)
    }
}

fn open(script: &Script, at: &Path, ledger: &mut Ledger) -> Result<Journal, String> {
    let opened = script.options().open(at);
    let (journal, recovery) = opened.map_err(|e| format!("refused: {}", chain(&e)))?;
    ledger.check(&journal, &recovery)?;
    Ok(journal)
}

/// One life, up to the moment before the power cut. The journal is dropped with the power off, so
/// that nothing it does then reaches the medium.
fn live(
    script: &Script,
    trouble: Trouble,
    at: &Path,
    disk: &Disk,
    random: &mut Random,
    ledger: &mut Ledger,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let mut journal = open(script, at, ledger)?;
    match trouble {
        Trouble::Nothing => {}
        Trouble::FailedSync => disk.tell("fail_sync_after", random.below(12))?,
        Trouble::Early => disk.tell("off_after", random.below(80))?,
        Trouble::FullDisk => disk.tell("capacity", 0)?,
    }
    outcome.full_disks += u64::from(trouble == Trouble::FullDisk);
    while let Some(action) = script.actions.get(ledger.at()) {
        if action.step == Step::Reopen {
            let accepted = journal.accepted_lsn().get();
            let closed = journal.close();
            let code = crate::ledger::code(&closed);
            ledger.hear(script, crate::ledger::Said::Closed { code, accepted })?;
            if disk.is_off()? {
                return Ok(());
            }
            match script.options().open(at) {
                Ok((opened, recovery)) => {
                    ledger.check(&opened, &recovery)?;
                    journal = opened;
                }
                Err(_) if disk.is_off()? || trouble != Trouble::Nothing => return Ok(()),
                Err(error) => return Err(format!("refused: {}", chain(&error))),
            }
            continue;
        }
        let result = ledger.perform(script, &journal)?;
        if disk.is_off()? {
            break;
        }
        if let Err(Error::Poisoned { .. }) = result {
            if disk.counts()?.failed_syncs == 0 && trouble != Trouble::FullDisk {
                return Err("poisoned, and nothing failed".into());
            }
            drop(journal);
            journal = open(script, at, ledger)?;
            outcome.same_boot += 1;
        }
    }
    disk.tell("off", 1)?;
    drop(journal);
    Ok(())
}

impl Outcome {
    /// Takes another one's counts in.
    pub fn add(&mut self, other: &Outcome) {
        self.power_cuts += other.power_cuts;
        self.failed_syncs += other.failed_syncs;
        self.same_boot += other.same_boot;
        self.full_disks += other.full_disks;
        self.acknowledged += other.acknowledged;
        self.mapped_writes += other.mapped_writes;
    }
}
