//! Devices that lie: a bit rots, a block is an older one, zeros, or one that belongs elsewhere.
//!
//! Every byte of every file of a small journal, and every sector and block of it, one at a time.
//! Whatever is read then was accepted with exactly those bytes, and nothing that was acknowledged
//! is missing in silence: it is there, or opening or reading names the damage. The journals were
//! closed, or their process was killed; only a power cut opens the window in which the very last
//! group can be taken for a torn tail (docs/GUARANTEES.md).

use crate::choices::Choice;
use crate::models::Model;
use crate::oracle::Oracle;
use crate::trace::{PATH, Trace};
use crate::workloads::{self, Kind};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use turnkeep::Error;
use turnkeep::storage::sim::SimDisk;

/// What became of the journals that were lied to.
#[derive(Default)]
struct Outcomes {
    tried: AtomicU64,
    harmless: AtomicU64,
    named: AtomicU64,
    silent: Mutex<Vec<String>>,
}

/// A journal at rest, and what it held at every moment before.
struct Rest {
    trace: Trace,
    disk: SimDisk,
    /// What each file has been, newest last.
    earlier: Vec<(String, Vec<Vec<u8>>)>,
}

impl Rest {
    fn new(kind: Kind, seed: u64) -> Rest {
        let trace = workloads::record(kind, seed, 512).expect("the disk does not fail");
        let at = |moment: usize| {
            let pending = trace.moments[moment].pending(&Model::Posix.crash());
            let everything = Choice {
                picks: pending
                    .options()
                    .iter()
                    .map(|options| options - 1)
                    .collect(),
                harms: Vec::new(),
            };
            pending.leave(&everything.picks, &everything.harms)
        };
        let disk = at(trace.moments.len() - 1);
        let names = disk.list_files(PATH).expect("the journal is there");
        let mut earlier: Vec<_> = names.into_iter().map(|name| (name, Vec::new())).collect();
        for moment in 0..trace.moments.len() {
            let then = at(moment);
            for (name, states) in &mut earlier {
                let bytes = then.read_file(format!("{PATH}/{name}"));
                let Ok(bytes) = bytes else { continue };
                if states.last() != Some(&bytes) {
                    states.push(bytes);
                }
            }
        }
        Rest {
            trace,
            disk,
            earlier,
        }
    }

    /// Opens the journal with `bytes` for what the file holds.
    fn lie(&self, name: &str, bytes: &[u8], what: impl Fn() -> String, out: &Outcomes) {
        let disk = self.disk.fork();
        let put = disk.write_file(format!("{PATH}/{name}"), bytes);
        put.expect("the file is there");
        out.tried.fetch_add(1, Ordering::Relaxed);
        let looked = catch_unwind(AssertUnwindSafe(|| self.look(&disk)));
        let silent = match looked {
            Ok(Ok(is_whole)) => {
                let count = if is_whole { &out.harmless } else { &out.named };
                count.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Ok(Err(silent)) => silent,
            Err(_) => "panic".into(),
        };
        let story = format!("{silent}\n  {} of {name} in {}", what(), self.trace.name);
        out.silent
            .lock()
            .expect("nobody panics with it")
            .push(story);
    }

    /// True if everything is there, false if the damage was named.
    fn look(&self, disk: &SimDisk) -> Result<bool, String> {
        let (journal, recovery) = match self.trace.settings.options(disk).open(PATH) {
            Ok(opened) => opened,
            Err(Error::Corrupt(_) | Error::NotAJournal { .. } | Error::NewerFormat { .. }) => {
                return Ok(false);
            }
            Err(error) => return Err(format!("reported as {error}")),
        };
        let mut oracle = Oracle {
            accepted: self.trace.accepted.clone(),
            acknowledged: self
                .trace
                .said
                .last()
                .expect("something was said")
                .acknowledged,
        };
        match oracle.check(&journal, &recovery) {
            Ok(()) => Ok(true),
            Err(what) if what.starts_with("reading failed") => Ok(false),
            Err(what) => Err(format!("silent: {what}")),
        }
    }

    /// One bit of every byte rots.
    fn rot(&self, name: &str, bytes: &[u8], out: &Outcomes) {
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for at in 0..used {
            let mut rotten = bytes.to_vec();
            rotten[at] ^= 1 << (at % 8);
            self.lie(
                name,
                &rotten,
                || format!("bit {} of byte {at}", at % 8),
                out,
            );
        }
    }

    /// Every sector and block is an older one, zeros, or one that belongs elsewhere.
    fn misplace(&self, name: &str, states: &[Vec<u8>], out: &Outcomes) {
        let (newest, older) = states.split_last().expect("the file is there");
        for size in [512, 4096] {
            let part = |bytes: &[u8], at: usize| {
                let mut part = vec![0; size];
                let from = bytes.get(at..).unwrap_or_default();
                let len = from.len().min(size);
                part[..len].copy_from_slice(&from[..len]);
                part
            };
            for at in (0..newest.len()).step_by(size) {
                let right = part(newest, at);
                let mut wrong: BTreeSet<Vec<u8>> = BTreeSet::from([vec![0; size]]);
                wrong.extend(older.iter().rev().take(24).map(|bytes| part(bytes, at)));
                // What belongs a block further, and what belongs to another file.
                wrong.insert(part(newest, at + size));
                wrong.extend(at.checked_sub(size).map(|before| part(newest, before)));
                for (other, states) in &self.earlier {
                    if other != name {
                        wrong.extend(states.last().map(|bytes| part(bytes, at)));
                    }
                }
                wrong.remove(&right);
                for wrong in wrong {
                    let mut bytes = newest.clone();
                    let end = bytes.len().min(at + size);
                    bytes[at..end].copy_from_slice(&wrong[..end - at]);
                    self.lie(name, &bytes, || format!("{size} wrong bytes at {at}"), out);
                }
            }
        }
    }
}

#[test]
fn a_device_that_lies_is_found_out_or_does_no_harm() {
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let rests: Vec<Rest> = [Kind::Turns, Kind::Compact, Kind::Closed]
        .map(|kind| Rest::new(kind, 1))
        .into();
    let out = Outcomes::default();
    let mut work: Vec<(&Rest, usize)> = Vec::new();
    for rest in &rests {
        work.extend((0..rest.earlier.len()).map(|file| (rest, file)));
    }
    let work = Mutex::new(work);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let next = work.lock().expect("nobody panics with it").pop();
                    let Some((rest, file)) = next else { return };
                    let (name, states) = &rest.earlier[file];
                    rest.rot(name, states.last().expect("the file is there"), &out);
                    rest.misplace(name, states, &out);
                }
            });
        }
    });
    let silent = out.silent.into_inner().expect("nobody panicked with it");
    println!(
        "{} lies: {} did no harm, {} were named, {} were believed; {:.1} s",
        out.tried.into_inner(),
        out.harmless.into_inner(),
        out.named.into_inner(),
        silent.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}
