//! Power loss, on a disk that does everything a correct disk may do.
//!
//! Each seed is a workload, a crash with an arbitrary subset of un-synced sectors and names,
//! recovery, the oracle, and again. `TURNKEEP_SEEDS=100000` runs more, `TURNKEEP_SEED=17` runs
//! one and tells its story.

mod oracle;
mod work;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use world::{Outcome, World};

/// Seeds that the ordinary test run goes through.
const SEEDS: u64 = 10_000;

fn run(seed: u64) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| World::new(seed).run())).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(format!("panic: {}", what.unwrap_or_default()))
    })
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn acknowledged_turns_survive_power_loss() {
    if let Some(seed) = number("TURNKEEP_SEED") {
        match run(seed) {
            Ok(outcome) => println!("seed {seed}: {outcome:?}"),
            Err(what) => panic!("seed {seed}: {what}"),
        }
        return;
    }
    let seeds = number("TURNKEEP_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let parts: Vec<(Outcome, Vec<(u64, String)>)> = std::thread::scope(|scope| {
        let work = move |worker| {
            let (mut total, mut broken) = (Outcome::default(), Vec::new());
            for seed in (worker..seeds).step_by(threads as usize) {
                match run(seed) {
                    Ok(outcome) => total.add(&outcome),
                    Err(what) => broken.push((seed, what)),
                }
                if broken.len() >= 10 {
                    break;
                }
            }
            (total, broken)
        };
        let workers: Vec<_> = (0..threads).map(|n| scope.spawn(move || work(n))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("panics are caught"))
            .collect()
    });
    let mut total = Outcome::default();
    let mut broken = Vec::new();
    for (part, failures) in parts {
        total.add(&part);
        broken.extend(failures);
    }
    if let Some((seed, story)) = broken.first() {
        for (seed, what) in &broken {
            eprintln!("seed {seed}: {}", what.lines().next().unwrap_or_default());
        }
        panic!(
            "seed {seed}: {story}\nrepeat with: TURNKEEP_SEED={seed} cargo test --test power_loss \
             acknowledged -- --nocapture"
        );
    }
    println!("{seeds} seeds: {total:?}");
    if seeds >= 1000 {
        assert!(
            total.torn > 0 && total.relogged > 0 && total.refused_rot > 0,
            "{total:?}"
        );
    }
}
