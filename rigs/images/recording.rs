//! A host that writes a journal on the recorded disk, and what was acknowledged when.

use super::volume::Volume;
use crate::ledger::{Ledger, Said};
use crate::random::Random;
use crate::script::Script;
use crate::worker::work;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Where the journal is, below where the file system is mounted.
pub const JOURNAL: &str = "journal";

/// What a host does: all of it follows from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    pub seed: u64,
    pub steps: usize,
    /// With the engine's own threads.
    pub threads: bool,
}

impl Host {
    pub fn script(&self) -> Script {
        let mut script = Script::new(self.seed, self.steps);
        script.background = self.threads;
        script
    }
}

/// A host's life on the disk.
#[derive(Clone, Debug)]
pub struct Life {
    pub host: Host,
    /// What it told, and how many writes and flushes of the disk there had been by then.
    pub told: Vec<(Said, u64)>,
}

impl Life {
    /// Lives it, on the mounted `volume`. In between, others write files there and sync nothing,
    /// and the kernel is made to write out what it holds, as it does by itself when a host lives
    /// longer: so there are writes that nobody waits for, between those of the host.
    ///
    /// # Errors
    /// What keeps the rig from working.
    pub fn live(host: Host, volume: &Volume) -> Result<Life, String> {
        let dir = journal(volume);
        let mut random = Random::new(host.seed ^ 0x57);
        let mut told = Vec::new();
        let mut failed = None;
        work(&host.script(), &dir, &mut |said| {
            match volume.ask() {
                Ok(disk) => told.push((said, disk.point)),
                Err(what) => failed = Some(what),
            }
            volume.watchdog.alive();
            if random.chance(25) {
                others(&volume.root(), &mut random);
            }
            if random.chance(25) {
                write_out(&dir, &mut random);
            }
        });
        match failed {
            Some(what) => Err(what),
            None => Ok(Life { host, told }),
        }
    }

    /// What this life had told by `point`.
    pub fn until(&self, point: u64) -> Life {
        let told = self.told.iter().filter(|(_, at)| *at <= point);
        Life {
            host: self.host,
            told: told.copied().collect(),
        }
    }

    /// What must and what may be in the journal after all of this, given what was before it.
    ///
    /// # Errors
    /// What cannot be.
    pub fn book(&self, before: Ledger) -> Result<Ledger, String> {
        let script = self.host.script();
        let mut ledger = before.next_script();
        for (said, _) in &self.told {
            ledger.hear(&script, *said)?;
        }
        ledger.died(&script);
        Ok(ledger)
    }
}

pub fn journal(volume: &Volume) -> PathBuf {
    volume.root().join(JOURNAL)
}

/// What others do with the disk: files come, go and change their names.
fn others(root: &Path, random: &mut Random) {
    let mut name = || root.join(format!("other-{}", random.below(6)));
    let (a, b) = (name(), name());
    // The disk may be full for them, and a file not there.
    let _ = match random.below(4) {
        0 => fs::remove_file(&a),
        1 => fs::rename(&a, &b),
        _ => fs::write(&a, vec![7; random.below(200_000) as usize]),
    };
    write_out(root, random);
}

/// Has the kernel begin to write out some files.
fn write_out(dir: &Path, random: &mut Random) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if random.chance(50)
            && let Ok(file) = File::open(entry.path())
        {
            let unneeded = PosixFadviseAdvice::POSIX_FADV_DONTNEED;
            let _ = posix_fadvise(&file, 0, 0, unneeded);
        }
    }
}
