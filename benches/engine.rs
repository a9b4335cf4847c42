//! How far is the engine from the floor?
//!
//! `cargo bench --bench engine` answers every question once and prints a table; `-- --quick`
//! takes fewer and shorter rounds, `-- --json` prints one object
//! per line, and any other word selects the questions whose name contains it. Figures that are
//! ratios compare medians of one run: floor and engine take turns, round by round, so that both
//! see the same neighbours on the disk and on the cores. The extremes over the rounds stand
//! beside each median.
//!
//! # Keeping the timer's tick out
//! On a virtual machine a core that has gone idle may be told of a finished I/O only at its
//! next timer tick, up to 4 ms late. That would measure the machine, and flatter the engine:
//! its own work would vanish in the wait. So while committing is measured, a thread of the
//! scheduler's idle class spins on each core. It runs only when nothing else would, and gives
//! way at once, so it takes nothing from floor or engine; but the core never halts.
//! `--no-spin` measures without, for comparison.

mod floor;
mod support;

#[path = "engine/committing.rs"]
mod committing;
#[path = "engine/compacting.rs"]
mod compacting;
#[path = "engine/hosting.rs"]
mod hosting;
#[path = "engine/opening.rs"]
mod opening;
#[path = "engine/reading.rs"]
mod reading;
#[path = "engine/tasks.rs"]
mod tasks;

use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{Row, Spinners};
use turnkeep::{Journal, Options};

#[global_allocator]
static ALLOCATOR: support::CountingAllocator = support::CountingAllocator;

/// How much is measured, and where.
pub struct Context {
    rounds: usize,
    round: Duration,
    /// Sizes are a fraction of what they should be: only to see that everything runs.
    smoke: bool,
    root: PathBuf,
}

impl Context {
    /// A fresh directory on the disk of the build's target directory; gone when dropped.
    fn dir(&self, name: &str) -> tempfile::TempDir {
        tempfile::Builder::new()
            .prefix(name)
            .tempdir_in(&self.root)
            .expect("a directory")
    }

    fn scaled(&self, whole: usize, smoke: usize) -> usize {
        if self.smoke { smoke } else { whole }
    }
}

/// Opens or makes a journal.
fn open(options: Options, path: &Path) -> Journal {
    options.open(path).expect("the journal opens").0
}

type Question = fn(&Context, &mut Vec<Row>);

/// Each group of questions by name; whether cores are kept awake meanwhile.
const QUESTIONS: &[(&str, bool, Question)] = &[
    ("one-writer", true, committing::one_writer),
    ("threads", true, committing::many_threads),
    ("tickets-waited", true, committing::tickets_waited),
    ("tickets-awaited", true, committing::tickets_awaited),
    ("sustained", true, committing::tickets_sustained),
    ("costs", true, committing::costs),
    ("compaction", true, compacting::beside),
    ("turns", true, hosting::turns),
    ("sealed", true, hosting::sealed),
    ("audit", false, hosting::audit),
    ("replay", false, reading::replay),
    ("last-turns", false, reading::last_turns),
    ("verify-segment", false, reading::verify_one_segment),
    ("opening", false, opening::clean),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, path] = &args[..]
        && flag == opening::CHILD
    {
        return opening::child(Path::new(path));
    }
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    // Without cargo bench's own flag this is a test run: see that it works, quickly.
    let smoke = !has("--bench");
    let words: Vec<_> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let (rounds, round_ms) = match (smoke, has("--quick")) {
        (true, _) => (1, 20),
        (_, true) => (5, 500),
        _ => (11, 1500),
    };
    let context = Context {
        rounds,
        round: Duration::from_millis(round_ms),
        smoke,
        root: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
    };
    for (name, awake, question) in QUESTIONS {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let spinners = if *awake && !has("--no-spin") {
            Spinners::start()
        } else {
            None
        };
        let mut rows = Vec::new();
        question(&context, &mut rows);
        drop(spinners);
        rows.iter().for_each(|row| row.print(has("--json")));
    }
}
