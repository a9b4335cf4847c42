//! A power cut, and a device that lies about what it kept: one bit, byte or block of what the cut
//! left is not what was written.
//!
//! After a cut only the log itself tells what was durable: the watermark in a group's header speaks
//! of the groups before it. So a lie about the very last group can pass for a torn tail, and this
//! holds that nothing else can: what is lost in silence was acknowledged by the last sync before
//! the cut, and the records below are there, byte for byte (docs/GUARANTEES.md).

use crate::choices::{Budget, choices};
use crate::explore::{Opened, open_after_lie};
use crate::models::Model;
use crate::trace::{PATH, Trace};
use crate::work::Random;
use crate::workloads::{self, Kind};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use turnkeep::storage::sim::{Pending, SimDisk};

/// States of each moment that are lied about, and lies about each.
const STATES: u64 = 6;
const LIES: u64 = 12;

/// What is wrong with one file.
#[derive(Debug)]
enum Lie {
    Bit { at: usize, bit: u32 },
    Byte { at: usize, to: u8 },
    Block { at: usize, to: Instead },
}

/// What is in a block's place.
#[derive(Debug)]
enum Instead {
    Zeros,
    /// What it was at an earlier moment: a write that never happened.
    Older(usize),
    /// What belongs elsewhere in the file, or there in another: a write gone astray.
    Place(usize),
    File(String),
}

#[derive(Default)]
struct Outcomes {
    tried: AtomicU64,
    harmless: AtomicU64,
    named: AtomicU64,
    /// A lie about the last group passed for a torn tail.
    tail: AtomicU64,
    silent: Mutex<Vec<String>>,
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        write!(
            f,
            "{} lies after a power cut: {} did no harm, {} were named, {} hit the last group and \
             passed for a torn tail, {} were believed",
            count(&self.tried),
            count(&self.harmless),
            count(&self.named),
            count(&self.tail),
            self.silent.lock().expect("nobody panics with it").len(),
        )
    }
}

/// What the log's own bytes prove after a cut at `moment`: what had been acknowledged before the
/// last sync that acknowledged something.
fn proven(trace: &Trace, moment: usize) -> u64 {
    let (floor, _) = trace.bounds(moment);
    let until = trace.said.iter().take_while(|said| said.moment <= moment);
    let before = until.map(|said| said.acknowledged - 1);
    before.filter(|count| *count < floor).max().unwrap_or(0)
}

fn newest(pending: &Pending) -> SimDisk {
    let picks: Vec<u32> = pending.options().iter().map(|n| n - 1).collect();
    pending.leave(&picks, &[])
}

/// Lies about one state, `LIES` times.
fn lie(job: &Job, moment: usize, disk: &SimDisk, random: &mut Random, out: &Outcomes) {
    let trace = &job.trace;
    let Ok(names) = disk.list_files(PATH) else {
        return;
    };
    let files: Vec<(String, Vec<u8>)> = names
        .into_iter()
        .filter_map(|name| {
            let bytes = disk.read_file(format!("{PATH}/{name}")).ok()?;
            (!bytes.is_empty()).then_some((name, bytes))
        })
        .collect();
    if files.is_empty() {
        return;
    }
    for _ in 0..LIES {
        let (name, bytes) = &files[random.below(files.len() as u64) as usize];
        let block = trace.settings.align as usize;
        // Where there is something: a lie about zeros behind the end is one that matters less.
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 1;
        let at = random.below(used as u64) as usize;
        let lie = match random.below(6) {
            0 | 1 => Lie::Bit {
                at,
                bit: random.below(8) as u32,
            },
            2 => Lie::Byte {
                at,
                to: [0, 0xff][random.below(2) as usize],
            },
            _ => Lie::Block {
                at: at / block * block,
                to: match random.below(5) {
                    0 => Instead::Zeros,
                    1 | 2 => Instead::Older(random.below(moment as u64 + 1) as usize),
                    3 => {
                        let place = random.below(used as u64) as usize;
                        Instead::Place(place / block * block)
                    }
                    _ => {
                        let other = random.below(files.len() as u64) as usize;
                        Instead::File(files[other].0.clone())
                    }
                },
            },
        };
        let mut wrong = bytes.clone();
        match &lie {
            Lie::Bit { at, bit } => wrong[*at] ^= 1 << bit,
            Lie::Byte { at, to } => wrong[*at] = *to,
            Lie::Block { at, to } => {
                let other = match to {
                    Instead::Zeros => Vec::new(),
                    Instead::Place(place) => bytes[*place..].to_vec(),
                    Instead::File(other) => {
                        let (_, bytes) = files.iter().find(|(name, _)| name == other).expect("it");
                        bytes.get(*at..).unwrap_or_default().to_vec()
                    }
                    Instead::Older(moment) => {
                        let then = newest(&trace.moments[*moment].pending(&job.model.crash()));
                        let bytes = then.read_file(format!("{PATH}/{name}"));
                        let bytes = bytes.unwrap_or_default();
                        bytes.get(*at..).unwrap_or_default().to_vec()
                    }
                };
                let end = wrong.len().min(at + block);
                for (to, from) in wrong[*at..end]
                    .iter_mut()
                    .zip(other.into_iter().chain(std::iter::repeat(0)))
                {
                    *to = from;
                }
            }
        }
        if wrong == *bytes {
            continue;
        }
        let lied = disk.fork();
        let put = lied.write_file(format!("{PATH}/{name}"), &wrong);
        put.expect("the file is there");
        out.tried.fetch_add(1, Ordering::Relaxed);
        let (floor, ceiling) = trace.bounds(moment);
        let silent = match open_after_lie(trace, &lied.fork()) {
            Opened::Named(what) => {
                out.named.fetch_add(1, Ordering::Relaxed);
                if !looks_sound(&lied) {
                    continue;
                }
                format!("verify says nothing, and {what}")
            }
            Opened::Whole(count) if count > ceiling => format!("invented: {count} records"),
            Opened::Whole(count) if count >= floor => {
                out.harmless.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Opened::Whole(count) if count >= proven(trace, moment) => {
                out.tail.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            Opened::Whole(count) => format!(
                "lost: {floor} records were acknowledged, {} by an earlier sync, {count} are there",
                proven(trace, moment)
            ),
            Opened::Broken(what) => what,
        };
        out.silent
            .lock()
            .expect("nobody panics with it")
            .push(format!(
                "{silent}\n  {lie:?} of {name} after a cut before operation {moment} of {}, {:?}",
                trace.name, job.model
            ));
    }
}

/// What `verify` says, before anybody has repaired anything.
fn looks_sound(disk: &SimDisk) -> bool {
    let report = turnkeep::verify_on(Arc::new(disk.fork()), PATH, &mut |_| ());
    report.is_ok_and(|report| report.is_sound())
}

/// One workload and the disk that it is cut on.
struct Job {
    trace: Trace,
    model: Model,
}

fn run(job: &Job, out: &Outcomes) {
    let mut random = Random::new(job.trace.seed ^ 0x11e);
    for moment in 0..job.trace.moments.len() {
        let pending = job.trace.moments[moment].pending(&job.model.crash());
        let budget = Budget {
            whole: STATES,
            harmed: 2 * u64::from(job.model.crash().torn),
        };
        let seed = job.trace.seed ^ (moment as u64) << 40;
        let done: Result<bool, ()> = choices(&pending, budget, seed, &mut |choice| {
            let disk = pending.leave(&choice.picks, &choice.harms);
            lie(job, moment, &disk, &mut random, out);
            Ok(())
        });
        done.expect("it goes on");
    }
}

#[test]
fn after_a_power_cut_a_lie_costs_no_more_than_the_last_group() {
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let seeds = crate::number("TURNKEEP_SEEDS").unwrap_or(2);
    let kinds = [
        Kind::Append,
        Kind::Batch,
        Kind::Rotate,
        Kind::Turns,
        Kind::Compact,
        Kind::Reopen,
    ];
    // One again: TURNKEEP_LIES=Compact:1001/posix
    let only = std::env::var("TURNKEEP_LIES").ok();
    let jobs = (0..seeds).flat_map(|seed| {
        let of = move |kind| Model::ALL.map(|model| (kind, model, seed));
        kinds.into_iter().flat_map(of)
    });
    let jobs = Mutex::new(jobs);
    let out = Outcomes::default();
    let work = || {
        loop {
            let next = jobs.lock().expect("nobody panics with it").next();
            let Some((kind, model, seed)) = next else {
                return;
            };
            let name = format!("{kind:?}:{}/{}", 1000 + seed, model.name());
            if only.as_ref().is_some_and(|only| *only != name) {
                continue;
            }
            let trace = workloads::record(kind, 1000 + seed, model.align());
            let trace = trace.expect("the disk does not fail");
            run(&Job { trace, model }, &out);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    println!("{out}; {:.1} s", began.elapsed().as_secs_f64());
    let silent = out.silent.into_inner().expect("nobody panicked with it");
    // The hook is silent.
    silent.iter().take(20).for_each(|story| println!("{story}"));
    assert!(silent.is_empty());
    let count = |of: AtomicU64| of.into_inner();
    assert!(
        count(out.named) > 1000 && count(out.tail) > 10,
        "too few to say anything"
    );
}
