//! The long runs: what each is, how long it takes, and the command that it stands for.

/// A long run. Its command is what anybody could type; nothing is hidden here.
pub struct Run {
    pub name: &'static str,
    /// What is tried, in a few words.
    pub what: &'static str,
    /// How long, on two processors that have nothing else to do; roughly, where it was not timed.
    pub takes: &'static str,
    /// Where its result is told.
    pub told_in: &'static str,
    /// Where it is started, below the root of the repository.
    pub dir: &'static str,
    /// Variables first, as in a shell. No word has a blank in it.
    pub line: &'static str,
}

impl Run {
    /// The variables that are set, and the command with its arguments.
    pub fn parts(&self) -> (Vec<(&'static str, &'static str)>, Vec<&'static str>) {
        let words: Vec<&str> = self.line.split_whitespace().collect();
        let is_set = |word: &&str| {
            word.split('=').next().is_some_and(|name| {
                word.contains('=') && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            })
        };
        let set = words.iter().take_while(|word| is_set(word)).count();
        let (set, command) = words.split_at(set);
        let set = set.iter().filter_map(|word| word.split_once('='));
        (set.collect(), command.to_vec())
    }
}

const CRASH_STATES: &str = "docs/evidence/crash-states.md";
const REAL_PROCESS: &str = "docs/evidence/real-process.md";
const BLOCK_IMAGES: &str = "docs/evidence/block-images.md";

pub const RUNS: &[Run] = &[
    Run {
        name: "crash-states",
        what: "unique crash states, each recovered and compared",
        takes: "2 h",
        told_in: CRASH_STATES,
        dir: "",
        line: "TURNKEEP_SECONDS=7200 cargo test --profile long --test crash_states every_state -- --nocapture",
    },
    Run {
        name: "lies",
        what: "a power cut, and then a device that lies",
        takes: "minutes",
        told_in: CRASH_STATES,
        dir: "",
        line: "TURNKEEP_SEEDS=24 cargo test --profile long --test crash_states after_a_power_cut -- --nocapture",
    },
    Run {
        name: "faults",
        what: "every position of every fault, and a disk that is full at every byte",
        takes: "6 min",
        told_in: CRASH_STATES,
        dir: "",
        line: "TURNKEEP_ROOM_STEP=1 cargo test --profile long --test crash_states a_fault -- --nocapture",
    },
    Run {
        name: "every-byte",
        what: "every byte and file of a journal damaged in every way",
        takes: "20 min",
        told_in: "tests/every_byte/main.rs",
        dir: "",
        line: "TURNKEEP_EVERY_BYTE=1 cargo test --profile long --test every_byte -- --nocapture",
    },
    Run {
        name: "power-loss",
        what: "seeded workloads, faults and power cuts against the oracle",
        takes: "7 min",
        told_in: "docs/EVIDENCE.md",
        dir: "",
        line: "TURNKEEP_SEEDS=500000 cargo test --profile long --test power_loss -- --nocapture",
    },
    Run {
        name: "model",
        what: "lists of commands against the twenty-line model",
        takes: "minutes",
        told_in: CRASH_STATES,
        dir: "",
        line: "PROPTEST_CASES=200000 cargo test --profile long --test model_property -- --nocapture",
    },
    Run {
        name: "stops",
        what: "a real writer stopped at every system call, and every error of each",
        takes: "30 min",
        told_in: REAL_PROCESS,
        dir: "rigs",
        line: "cargo run --bin stops -- --seeds 20 --recoveries 3 --fault-seeds 2 --fault-steps 20 --threaded 1000",
    },
    Run {
        name: "power",
        what: "a real writer on a file system that forgets what was not synced",
        takes: "20 min",
        told_in: REAL_PROCESS,
        dir: "rigs",
        line: "cargo run --bin power -- --seeds 10000",
    },
    Run {
        name: "images-ext4",
        what: "power-cut images of a real ext4; needs root, FUSE, a loop device and mkfs",
        takes: "7 min",
        told_in: BLOCK_IMAGES,
        dir: "rigs",
        line: "cargo run --bin images -- --fs ext4 --images 2000",
    },
    Run {
        name: "images-xfs",
        what: "power-cut images of a real xfs; needs root, FUSE, a loop device and mkfs",
        takes: "12 min",
        told_in: BLOCK_IMAGES,
        dir: "rigs",
        line: "cargo run --bin images -- --fs xfs --images 2000",
    },
    Run {
        name: "images-btrfs",
        what: "power-cut images of a real btrfs; needs root, FUSE, a loop device and mkfs",
        takes: "11 min",
        told_in: BLOCK_IMAGES,
        dir: "rigs",
        line: "cargo run --bin images -- --fs btrfs --images 2000",
    },
    Run {
        name: "fuzz",
        what: "an hour of libFuzzer for each target; needs a nightly toolchain",
        takes: "11 h on one processor",
        told_in: "docs/evidence/fuzzing.md",
        dir: "fuzz",
        line: "./smoke -e 3600",
    },
    Run {
        name: "mutants",
        what: "which changes of format/ and recovery/ no test notices; needs cargo-mutants",
        takes: "some hours",
        told_in: "docs/evidence/mutants.md",
        dir: "",
        line: "mutants/run",
    },
    Run {
        name: "coverage",
        what: "which lines the quick tests do not reach; needs llvm-cov of rustc's LLVM",
        takes: "minutes",
        told_in: "docs/evidence/coverage.md",
        dir: "",
        line: "docs/evidence/coverage.sh",
    },
    Run {
        name: "crashbench",
        what: "the same crashes against this engine and what people use instead",
        takes: "15 min",
        told_in: "docs/EVIDENCE.md",
        dir: "crashbench",
        line: "cargo run --features rivals -- run --rounds 20 --seed 1 --out results/linux.json",
    },
];
