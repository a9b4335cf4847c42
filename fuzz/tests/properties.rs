//! The fuzz targets without a fuzzer: kept files, damaged copies of them, and noise.

use turnkeep_fuzz::seeds::{Random, noise, seeds};
use turnkeep_fuzz::{TARGETS, run};

/// Inputs per target; the structured ones run a journal for each.
fn rounds(target: &str) -> u64 {
    match target {
        "open_dir" | "ops" | "transcript" => 1_500,
        _ => 20_000,
    }
}

fn damaged(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    if random.below(8) == 0 {
        bytes.truncate(random.below(bytes.len() + 1));
    }
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        let value = match random.below(5) {
            0 => 0,
            1 => u64::MAX,
            2 => random.next() % 64,
            _ => random.next(),
        };
        let len = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
        bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }
    bytes
}

#[test]
fn every_property_holds_for_kept_files_damaged_ones_and_noise() {
    let only = std::env::var("TURNKEEP_TARGET").ok();
    let chosen = |name: &str| only.as_deref().is_none_or(|only| only == name);
    std::thread::scope(|scope| {
        for (target, _) in TARGETS.into_iter().filter(|(name, _)| chosen(name)) {
            scope.spawn(move || {
                let seeds = seeds(target);
                seeds.iter().for_each(|seed| run(target, seed));
                run(target, &[]);
                for round in 0..rounds(target) {
                    let mut random = Random(round);
                    let input = match round % 4 {
                        0 => noise(round),
                        _ => damaged(&seeds[random.below(seeds.len())], &mut random),
                    };
                    let done = std::panic::catch_unwind(|| run(target, &input));
                    if done.is_err() {
                        let file = format!("{}/{target}-{round}", env!("CARGO_TARGET_TMPDIR"));
                        std::fs::write(&file, &input).expect("the input can be written");
                        panic!("{target} does not hold for round {round}: replay {target} {file}");
                    }
                }
            });
        }
    });
}
