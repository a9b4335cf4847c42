//! Runs the sweep: `stops [--seeds N] [--fault-seeds N] [--steps N] [--fault-steps N]
//! [--fault-calls NAME] [--recoveries N] [--threaded N] [--from SEED] [--processes N] [--home DIR]
//! [--break VARIANT]`.
//!
//! Every seed is a script that is stopped at every call, and so are recoveries from some of its
//! kills; the first `--fault-seeds` (of `--fault-steps` steps) also have every call fail in every
//! way, once and for good; with `--fault-calls` only calls of that name. `--threaded` is how many
//! runs of a worker with threads are sampled.
//!
//! `--break` breaks the engine first, if it was built with `--features sabotage`.
//!
//! A kill leaves the page cache, so this shows that steps are atomic, never that anything is
//! durable.

fn main() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    sweep::main();
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    println!("SKIPPED: stopping at system calls needs Linux on x86-64");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod sweep {
    use std::path::{Path, PathBuf};
    use std::time::Instant;
    use turnkeep_rigs::ledger::Ledger;
    use turnkeep_rigs::random::Random;
    use turnkeep_rigs::script::Script;
    use turnkeep_rigs::stops::shares;
    use turnkeep_rigs::stops::sweep::{Extent, Scenario, Share, Totals, recoveries, sample, sweep};

    struct Settings {
        from: u64,
        seeds: u64,
        steps: usize,
        recoveries: usize,
        processes: usize,
        home: PathBuf,
        fault_seeds: u64,
        fault_steps: usize,
        threaded: usize,
        fault_calls: Option<&'static str>,
    }

    fn settings() -> Settings {
        let memory = PathBuf::from("/dev/shm");
        let home = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let mut settings = Settings {
            from: 0,
            seeds: 4,
            steps: 30,
            recoveries: 3,
            processes: std::thread::available_parallelism().map_or(1, |n| n.get().min(2)),
            home,
            fault_seeds: 1,
            fault_steps: 14,
            threaded: 200,
            fault_calls: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words
                .next()
                .unwrap_or_else(|| panic!("{word} takes a value"));
            let number = || {
                value
                    .parse()
                    .unwrap_or_else(|_| panic!("{word} takes a number"))
            };
            match word.as_str() {
                "--from" => settings.from = number(),
                "--seeds" => settings.seeds = number(),
                "--steps" => settings.steps = number() as usize,
                "--recoveries" => settings.recoveries = number() as usize,
                "--processes" => settings.processes = number() as usize,
                "--fault-calls" => settings.fault_calls = Some(String::leak(value)),
                "--break" => turnkeep_rigs::sabotage::choose(&value).expect("a way to break it"),
                "--home" => settings.home = PathBuf::from(value),
                "--fault-seeds" => settings.fault_seeds = number(),
                "--fault-steps" => settings.fault_steps = number() as usize,
                "--threaded" => settings.threaded = number() as usize,
                _ => panic!("unknown option {word}"),
            }
        }
        settings
    }

    pub fn main() {
        let began = Instant::now();
        let settings = settings();
        let home = settings
            .home
            .join(format!("turnkeep-stops-{}", std::process::id()));
        let totals = shares::run(settings.processes, &home, |share, home| {
            part(&settings, share, home)
        });
        report(&totals, began);
        let failed = !totals.wrong.is_empty();
        if !failed {
            let _ = std::fs::remove_dir_all(&home);
        }
        std::process::exit(i32::from(failed));
    }

    fn part(settings: &Settings, share: Share, home: &Path) -> Totals {
        let mut totals = Totals::default();
        let seeds = |count| settings.from..settings.from + count;
        let stops = seeds(settings.seeds).map(|seed| (seed, settings.steps, Extent::Stops));
        let faults = seeds(settings.fault_seeds);
        let extent = Extent::Faults(settings.fault_calls);
        let faults = faults.map(|seed| (seed, settings.fault_steps, extent));
        for (seed, steps, extent) in stops.chain(faults) {
            let base = scenario(seed, steps);
            let again = recoveries(&base, home, settings.recoveries);
            let all = again.map(|again| std::iter::once(base).chain(again));
            let swept = all.and_then(|mut all| {
                all.try_for_each(|one| sweep(&one, home, share, extent, &mut totals))
            });
            if let Err(what) = swept {
                totals
                    .wrong
                    .push(format!("seed {seed}: the sweep itself: {what}"));
            }
        }
        let mut random = Random::new(settings.from + share.part as u64);
        for _ in 0..settings.threaded.div_ceil(20 * share.of) {
            let mut threaded = scenario(random.word(), settings.steps);
            threaded.script.background = true;
            let sampled = sample(&threaded, home, 20, &mut random, &mut totals);
            if let Err(what) = sampled {
                totals
                    .wrong
                    .push(format!("threaded: the sweep itself: {what}"));
            }
        }
        totals
    }

    fn scenario(seed: u64, steps: usize) -> Scenario {
        Scenario {
            name: format!("seed {seed}"),
            script: Script::new(seed, steps),
            template: None,
            ledger: Ledger::default(),
        }
    }

    fn report(totals: &Totals, began: Instant) {
        println!("a kill leaves the page cache: this shows atomicity of steps, not durability");
        println!("{:<14} {:>8} {:>8}", "call", "stops", "errors");
        for (name, (stops, errors)) in &totals.by_call {
            println!("{name:<14} {stops:>8} {errors:>8}");
        }
        println!("steps ended: {:?}", totals.codes);
        for wrong in &totals.wrong {
            println!("WRONG: {wrong}");
        }
        println!(
            "with threads, sampled: {} stops, {} errors",
            totals.sampled_stops, totals.sampled_faults
        );
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{} scenarios, {} calls: {} stops, {} (call, error) pairs of {} kinds, {} lasting, \
             {} journals also without what a failed sync was for, {} acknowledged records looked for, {} wrong, {seconds:.0} s",
            totals.scenarios,
            totals.calls,
            totals.stops,
            totals.pairs,
            totals.kinds.len(),
            totals.for_good,
            totals.forgotten,
            totals.acknowledged,
            totals.wrong.len(),
        );
    }
}
