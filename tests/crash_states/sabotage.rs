//! Deliberately broken engines. Tests that do not notice them are worth nothing, so each has to
//! be found, by the layer that is named here, and the table says after how much.

use crate::choices::Budget;
use crate::explore::{Counts, Depth, Seen};
use crate::faults;
use crate::models::Model;
use crate::run::Job;
use crate::workloads::Kind;
use crate::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use turnkeep::Sabotage;

/// What can find a broken engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// Crash states under one model.
    States(Model),
    /// Every position of every fault.
    Faults,
    /// Seeded power loss, faults and rot, in `tests/power_loss`.
    Seeds,
    /// A test of its own: the states are there, and rare.
    Row(&'static str),
    /// Every interleaving, in `journal/commit_model.rs`: found there, as nothing here waits.
    Loom,
}

impl Layer {
    fn name(self) -> String {
        match self {
            Layer::States(model) => format!("crash states, {}", model.name()),
            Layer::Faults => "fault positions".into(),
            Layer::Seeds => "seeded power loss".into(),
            Layer::Row(test) => format!("recovery_rows, {test}"),
            Layer::Loom => "loom".into(),
        }
    }
}

/// The layer that has to find a variant, though it may not be the only one that does.
fn finder(variant: Sabotage) -> Layer {
    match variant {
        // Where syncing a file takes the names above it along, as on ext4, nothing is missing.
        Sabotage::SkipParentSync => Layer::States(Model::Posix),
        // Nothing but a sync that fails shows what is done about it.
        Sabotage::RetrySync => Layer::Faults,
        // What these believe is wrong only where bytes rot.
        Sabotage::IgnoreProof | Sabotage::StaleWatermark => Layer::Seeds,
        Sabotage::KeepCleanMark => Layer::Row("what_was_written_behind_a_clean_end_is_looked_for"),
        Sabotage::LoseWakeUp => Layer::Loom,
        _ => Layer::States(Model::Ordered),
    }
}

/// How many states or seeds a layer is given. There is an end to the positions of faults.
fn limit(layer: Layer) -> u64 {
    match layer {
        Layer::States(_) => 60_000,
        Layer::Seeds => 10_000,
        Layer::Faults | Layer::Row(_) | Layer::Loom => 0,
    }
}

/// What a layer had gone through when it noticed.
struct Found {
    after: u64,
    seconds: f64,
    what: String,
}

fn ask(layer: Layer, limit: u64) -> Option<Found> {
    let began = Instant::now();
    let mut after = 0;
    let what = match layer {
        Layer::States(model) => states(model, limit, &mut after),
        Layer::Faults => faults::every_position(&mut after).err(),
        Layer::Seeds => (0..limit).find_map(|seed| {
            after += 1;
            let run = catch_unwind(AssertUnwindSafe(|| World::new(seed).run()));
            run.unwrap_or_else(|_| Err("panic".into())).err()
        }),
        Layer::Row(_) | Layer::Loom => None,
    };
    what.map(|what| Found {
        after,
        seconds: began.elapsed().as_secs_f64(),
        what: what.lines().next().unwrap_or_default().to_owned(),
    })
}

fn states(model: Model, limit: u64, after: &mut u64) -> Option<String> {
    let depth = Depth {
        budget: Budget {
            whole: 48,
            harmed: if model.crash().torn { 24 } else { 0 },
        },
        again_in: 64,
        again: Budget {
            whole: 12,
            harmed: 0,
        },
        crashes: 2,
        twice_in: 8,
    };
    let mut counts = Counts::default();
    for n in 0.. {
        let job = Job {
            kind: Kind::ALL[n % Kind::ALL.len()],
            seed: 1 + n as u64,
            model,
        };
        let done = job.run_at(depth, &mut counts, &mut Seen::new());
        *after = counts.unique;
        if let Err(broken) = done {
            return Some(broken.story);
        }
        if counts.unique >= limit {
            break;
        }
    }
    None
}

#[test]
fn every_broken_engine_is_found_by_the_layer_that_is_for_it() {
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicUsize::new(0);
    let lines = Mutex::new(Vec::new());
    let work = || {
        while let Some(&variant) = Sabotage::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let layer = finder(variant);
            Sabotage::set(Some(variant));
            let found = ask(layer, limit(layer));
            Sabotage::set(None);
            let mut lines = lines.lock().expect("nobody panics with it");
            lines.push((variant, layer, found));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut lines = lines.into_inner().expect("nobody panicked with it");
    lines.sort_by_key(|(variant, ..)| Sabotage::ALL.iter().position(|other| other == variant));
    let mut missed = Vec::new();
    println!(
        "{:16} {:22} {:>6} {:>7}  what",
        "variant", "found by", "after", "seconds"
    );
    for (variant, layer, found) in lines {
        let (name, layer_name) = (format!("{variant:?}"), layer.name());
        match found {
            Some(Found {
                after,
                seconds,
                what,
            }) => {
                println!("{name:16} {layer_name:22} {after:>6} {seconds:>7.2}  {what:.90}");
            }
            None if matches!(layer, Layer::Row(_) | Layer::Loom) => {
                println!("{name:16} {layer_name}")
            }
            None => missed.push((variant, layer)),
        }
    }
    assert!(
        missed.is_empty(),
        "not found by the layer named: {missed:?}"
    );
}

/// A missing sync of the directory above shows on no file system that is in use, only in what
/// the standard allows. If this fails, the ordered model has become unkind.
#[test]
fn only_the_standards_own_freedom_shows_a_missing_sync_of_the_directory_above() {
    Sabotage::set(Some(Sabotage::SkipParentSync));
    let found = ask(Layer::States(Model::Ordered), 5_000);
    Sabotage::set(None);
    assert!(found.is_none());
}
