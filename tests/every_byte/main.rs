//! Every byte: a small journal, damaged in every way that is one damage, and what becomes of it.
//!
//! Each byte of each file gets each of its bits flipped, is set to 0x00 and to 0xFF; each file is
//! cut at each length; each aligned block of 512 and of 4096 bytes is filled with zeros; each file
//! is deleted, emptied, doubled, swapped with each other one, replaced by each of its older
//! selves, and by another journal's file of that name. After each the journal is opened, the whole
//! log and every session are read, and what comes is held against a ledger that was kept while the
//! journal was made. It must be the same; or shorter by what was never acknowledged; or a refusal
//! that names the file, after which `salvage` keeps every record not itself hit, lists the others,
//! and invents nothing.
//!
//! One loss without a word is known and written down (docs/GUARANTEES.md, "the very last group"):
//! it is counted apart, and only where the journal ended in a power cut, the watermark page is an
//! older one, the last group was hit, and nothing but that group is gone.
//!
//! `cargo test --test every_byte` tries 92,285 damages of three journals: all bytes of headers,
//! footers, manifests and slots of the watermark page, all whole files, and a sample of the rest
//! that is the same each time. That takes 64 s of processor time in the dev profile, half of it on
//! two cores that have nothing else to do. Everything, 5,633,819 damages of nine journals, at about
//! 0.4 ms of processor time each:
//!
//! ```sh
//! TURNKEEP_EVERY_BYTE=1 cargo test --release --test every_byte -- --nocapture
//! ```
//!
//! Each journal has a line of its own as soon as it is done.

mod damage;
mod judge;
mod tree;
mod world;

use damage::{Damage, each, parts};
use judge::{Outcome, judge};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use turnkeep::Sabotage;
use world::{End, Shape, World};

/// One of so many damages is judged more thoroughly: see [`judge`].
const THOROUGH_EACH: u64 = 32;

/// How many findings are told in full.
const TOLD: usize = 30;

fn shapes(everything: bool) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for seed in 0..if everything { 3 } else { 1 } {
        let ends = [
            (End::Closed, 512, 16 << 10),
            (End::Killed, 64, 8 << 10),
            (End::PowerCut, 4096, 36 << 10),
        ];
        shapes.extend(ends.map(|(end, align, segment_bytes)| Shape {
            end,
            align,
            segment_bytes,
            rounds: 4,
            is_text: seed == 0,
            seed: seed * 3 + 1,
        }));
    }
    shapes
}

#[derive(Default)]
struct Counts {
    outcomes: [u64; 5],
    findings: Vec<String>,
    failed: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        for (sum, n) in self.outcomes.iter_mut().zip(other.outcomes) {
            *sum += n;
        }
        self.failed += other.failed;
        self.findings.extend(other.findings);
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    fn total(&self) -> u64 {
        self.outcomes.iter().sum::<u64>() + self.failed
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} damages: {} identical, {} torn tails of what was never acknowledged, {} refused \
             at opening, {} refused at reading, {} the last group after a power cut; {} findings",
            self.total(),
            self.count(Outcome::Identical),
            self.count(Outcome::TornTail),
            self.count(Outcome::Refused),
            self.count(Outcome::ReadRefused),
            self.count(Outcome::LastGroup),
            self.failed,
        )
    }
}

fn caught(world: &World, damage: &Damage, is_thorough: bool) -> Result<Outcome, String> {
    let judged = catch_unwind(AssertUnwindSafe(|| judge(world, damage, is_thorough)));
    judged.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(format!("panic: {}", what.unwrap_or_default()))
    })
}

/// Tries all damages of a journal, on all cores.
fn run(world: &World, everything: bool) -> Counts {
    let parts = parts(world);
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Counts::default());
    let work = || {
        let mut counts = Counts::default();
        let mut tried = 0_u64;
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            each(world, part, everything, |damage| {
                tried += 1;
                match caught(world, &damage, tried.is_multiple_of(THOROUGH_EACH)) {
                    Ok(outcome) => counts.outcomes[outcome as usize] += 1,
                    Err(what) => {
                        counts.failed += 1;
                        if counts.findings.len() < TOLD {
                            counts.findings.push(format!("{damage}: {what}"));
                        }
                    }
                }
            });
        }
        total.lock().expect("panics are caught").add(counts);
    };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    total.into_inner().expect("panics are caught")
}

#[test]
fn no_damage_costs_anything_without_a_word() {
    let everything = std::env::var_os("TURNKEEP_EVERY_BYTE").is_some();
    let mut all = Counts::default();
    for shape in shapes(everything) {
        let started = std::time::Instant::now();
        let world = World::build(shape);
        let bytes: usize = world.files.values().map(|bytes| bytes.len()).sum();
        let counts = run(&world, everything);
        println!(
            "{:?}, groups at {}, seed {}: {} records in {} files, {} bytes; {:.1} s; {counts}",
            shape.end,
            shape.align,
            shape.seed,
            world.truth.len(),
            world.files.len(),
            bytes,
            started.elapsed().as_secs_f64(),
        );
        assert!(shape.end == End::PowerCut || counts.count(Outcome::LastGroup) == 0);
        all.add(counts);
    }
    println!("all: {all}");
    for finding in all.findings.iter().take(TOLD) {
        println!("{finding}");
    }
    assert_eq!(all.failed, 0, "findings, the first of them above");
    // Each outcome is there, or nothing was tried that could have it.
    for outcome in [
        Outcome::Identical,
        Outcome::TornTail,
        Outcome::LastGroup,
        Outcome::Refused,
        Outcome::ReadRefused,
    ] {
        assert!(all.count(outcome) > 0, "no damage came out as {outcome:?}");
    }
}

/// The judge is worth something: engines that are broken on purpose are found.
#[test]
fn a_broken_engine_is_found() {
    let world = World::build(shapes(false)[1]);
    for variant in [Sabotage::IgnoreProof, Sabotage::TrustLength] {
        let mut found = None;
        Sabotage::set(Some(variant));
        for part in parts(&world) {
            each(&world, &part, false, |damage| {
                if found.is_none() && damage.files()[0].ends_with(".seg") {
                    found = caught(&world, &damage, false).err();
                }
            });
        }
        Sabotage::set(None);
        let found = found.unwrap_or_else(|| panic!("{variant:?} was not found"));
        println!("{variant:?}: {found}");
    }
}
