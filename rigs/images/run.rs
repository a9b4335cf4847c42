//! Hosts recorded, images cut, mounted, recovered and compared.

use super::kept;
use super::recording::{Host, Life, journal};
use super::volume::{Kind, Told, UNMOUNTABLE, Volume};
use crate::check::check;
use crate::ledger::Ledger;
use crate::random::Random;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    pub kind: Kind,
    pub seed: u64,
    pub images: u64,
    /// Steps of a host.
    pub steps: usize,
    /// Images of a host's disk, until the next host begins on a new file system.
    pub per_host: u64,
    /// Of a hundred images, so many are cut again amid what recovery and the next host write.
    pub again: u64,
    /// Where images are kept in which something is wrong.
    pub keep: PathBuf,
    /// Bytes that arrive together. A file system that writes metadata in blocks of 4096 bytes takes
    /// them to arrive whole: with less, an image that does not mount is counted, and not wrong.
    pub sector: usize,
    /// So many wrong ones are enough.
    pub enough: usize,
}

/// What it came to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub hosts: u64,
    /// Writes and flushes of the hosts' disks, and flushes among them.
    pub events: u64,
    pub flushes: u64,
    pub images: u64,
    /// Images whose contents no other one had.
    pub distinct: HashSet<u64>,
    /// Images of a disk that was itself an image.
    pub second_cuts: u64,
    /// Images in which some of the writes since the last flush arrived, and some did not.
    pub torn: u64,
    /// Sectors that were pending, over all images, and those that arrived.
    pub pending: u64,
    pub arrived: u64,
    /// Acknowledged records looked for.
    pub acknowledged: u64,
    /// Images that the file system itself does not survive, with sectors smaller than its blocks.
    pub unmountable: u64,
    pub wrong: Vec<String>,
}

/// Does it; `said` is called now and then.
///
/// # Errors
/// What keeps the rig itself from working; what it finds is in the totals.
pub fn run(plan: &Plan, volume: &Volume, said: &mut dyn FnMut(&Totals)) -> Result<Totals, String> {
    let mut totals = Totals::default();
    let mut number = 0;
    let mut told = Instant::now();
    while totals.images < plan.images && totals.wrong.len() < plan.enough {
        let seed = plan.seed + number;
        number += 1;
        let mut random = Random::new(seed);
        let host = Host {
            seed,
            steps: plan.steps / 2 + random.below(plan.steps as u64) as usize,
            threads: random.chance(30),
        };
        let words = format!("{}, host {seed}", plan.kind.name());
        volume.watchdog.doing(words.clone());
        let life = record(volume, host, &mut totals)?;
        for _ in 0..plan.per_host.min(plan.images - totals.images) {
            one(plan, volume, &life, &words, &mut random, &mut totals)?;
            if told.elapsed().as_secs() >= 10 {
                said(&totals);
                told = Instant::now();
            }
            if totals.wrong.len() >= plan.enough {
                break;
            }
        }
    }
    Ok(totals)
}

/// Has `host` live on a new file system, and keeps the record.
fn record(volume: &Volume, host: Host, totals: &mut Totals) -> Result<Life, String> {
    volume.order("fresh", 0, 0)?;
    let mounted = volume.mount()?;
    let life = crate::sabotage::during(|| Life::live(host, volume))?;
    let disk = volume.ask()?;
    volume.order("keep", 0, 0)?;
    mounted.unmount()?;
    totals.hosts += 1;
    totals.events += disk.point;
    totals.flushes += disk.flushes;
    Ok(life)
}

/// One image of what `life` wrote, and perhaps one of what the next host wrote on it.
fn one(
    plan: &Plan,
    volume: &Volume,
    life: &Life,
    words: &str,
    random: &mut Random,
    totals: &mut Totals,
) -> Result<(), String> {
    let seed = random.word() >> 1;
    let words = format!("{words}, image {}", totals.images);
    volume.order("cut", 0, seed)?;
    let cut = volume.ask()?;
    let until = life.until(cut.cut);
    if !random.chance(plan.again) {
        totals.count(&cut);
        return judge(plan, volume, (0, seed), &[until], &words, totals);
    }
    let host = Host {
        seed: random.word() >> 1,
        steps: 8,
        threads: random.chance(30),
    };
    let again = volume.mount().and_then(|mounted| {
        let next = Life::live(host, volume)?;
        volume.order("keep", 1, 0)?;
        mounted.unmount()?;
        Ok(next)
    });
    let next = match again {
        Ok(next) => next,
        // The image itself is wrong; that is told better by what tells it of others.
        Err(_) => {
            volume.order("cut", 0, seed)?;
            return judge(plan, volume, (0, seed), &[until], &words, totals);
        }
    };
    let seed = random.word() >> 1;
    volume.order("cut", 1, seed)?;
    let cut = volume.ask()?;
    totals.count(&cut);
    totals.second_cuts += 1;
    let lives = [until, next.until(cut.cut)];
    judge(plan, volume, (1, seed), &lives, &words, totals)
}

/// Compares the image on the disk, and keeps it if something is wrong.
fn judge(
    plan: &Plan,
    volume: &Volume,
    (slot, seed): (usize, u64),
    lives: &[Life],
    words: &str,
    totals: &mut Totals,
) -> Result<(), String> {
    volume.watchdog.doing(words.to_owned());
    match compare(volume, lives) {
        Ok(acknowledged) => totals.acknowledged += acknowledged,
        Err(what) if plan.sector < 4096 && what.starts_with(UNMOUNTABLE) => {
            totals.unmountable += 1;
        }
        Err(what) => {
            volume.order("cut", slot, seed)?;
            let name = format!("{}.img", words.replace(", ", "-").replace(' ', "-"));
            let path = plan.keep.join(name);
            let kept = kept::keep(&volume.disk(), &path, plan.kind, lives);
            let kept = match kept {
                Ok(()) => format!("images --replay {}", path.display()),
                Err(error) => format!("not kept: {error}"),
            };
            totals.wrong.push(format!("{words}: {what}\n  {kept}"));
        }
    }
    Ok(())
}

/// Mounts the image on the disk, and compares the journal there with what was told in `lives`.
/// Returns how many acknowledged records were looked for.
///
/// # Errors
/// What is lost, altered, invented or refused.
pub fn compare(volume: &Volume, lives: &[Life]) -> Result<u64, String> {
    let mut ledger = Ledger::default();
    for life in lives {
        ledger = life.book(ledger)?;
    }
    let acknowledged = ledger.oracle.acknowledged - 1;
    let script = lives.last().expect("somebody lived").host.script();
    let mounted = volume.mount()?;
    let options = script.options().background(false);
    let checked = check(&journal(volume), &options, &mut ledger);
    mounted.unmount()?;
    checked.map(|()| acknowledged)
}

/// Replays the kept image at `path`. Returns what was looked for.
///
/// # Errors
/// What is wrong with it, or keeps the rig from working.
pub fn replay(path: &Path) -> Result<u64, String> {
    let (kind, lives) = kept::told(path).map_err(|e| format!("{}: {}", path.display(), e))?;
    let volume = Volume::new(kind, 4096, Some(path))?;
    compare(&volume, &lives)
}

impl Totals {
    fn count(&mut self, cut: &Told) {
        self.images += 1;
        self.distinct.insert(cut.fingerprint);
        self.torn += u64::from(0 < cut.arrived && cut.arrived < cut.pending);
        self.pending += cut.pending;
        self.arrived += cut.arrived;
    }
}
