//! Crash states, enumerated: a workload runs once on a disk that records, and every state that a
//! power cut could have left at any of its moments is made, recovered, and compared.
//!
//! Promises that each state counted was recovered in full by the engine itself, on a disk in
//! memory, without threads, and that its every record was read back, in every way there is to
//! read, and compared with what was accepted and acknowledged by then. States are counted once
//! however often they come up. One in some hundred is recovered on a disk that records again,
//! and crashes in the middle, up to twice more.
//!
//! Does not try devices that lie: those are in `tests/power_loss`. Nor threads: those are in
//! `journal/commit_model.rs`, with loom.
//!
//! ```sh
//! cargo test --test crash_states -- --nocapture                    # 1,500,000 states
//! TURNKEEP_SECONDS=7200 cargo test --profile long --test crash_states every_state -- --nocapture   # two hours
//! TURNKEEP_STATE=Append:1/ordered/31:7 cargo test --test crash_states every_state # one again
//! ```

mod choices;
mod cut_and_lie;
mod explore;
mod faults;
mod lies;
mod models;
#[path = "../power_loss/oracle.rs"]
mod oracle;
mod run;
mod sabotage;
mod salvage;
mod trace;
#[path = "../power_loss/work.rs"]
mod work;
mod workloads;
#[path = "../power_loss/world.rs"]
mod world;

use run::{Goal, Job, Report};
use std::time::Duration;

/// How many states the ordinary test run goes through.
const STATES: u64 = 1_500_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_state_that_a_power_cut_can_leave_is_recovered() {
    if let Ok(state) = std::env::var("TURNKEEP_STATE") {
        let (job, at) = Job::parse(&state).expect("a state as a failure prints it");
        match job.replay(&at) {
            Ok(()) => println!("{state}: nothing is broken"),
            Err(broken) => panic!("{state}: {}", broken.story),
        }
        return;
    }
    let goal = Goal {
        states: match number("TURNKEEP_SECONDS") {
            Some(_) => u64::MAX,
            None => number("TURNKEEP_STATES").unwrap_or(STATES),
        },
        time: number("TURNKEEP_SECONDS").map(Duration::from_secs),
    };
    let report: Report = run::run(goal);
    println!("{report}");
    if let Some((state, story)) = &report.broken {
        panic!(
            "{story}\nrepeat with: TURNKEEP_STATE={state} cargo test --test crash_states \
             every_state -- --nocapture"
        );
    }
    assert!(report.total().unique >= goal.states.min(STATES) || goal.time.is_some());
}
