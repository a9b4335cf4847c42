//! The process that appends and is crashed.

use super::in_a_line;
use crate::Result;
use crate::args::WorkerArgs;
use crate::record::Workload;
use crate::stores;
use std::io::{Read, Write, stdin, stdout};

/// Opens the store, appends, tells each acknowledgement, and then closes or waits to be killed.
///
/// A host that meets an error goes on with its next record; after a few in a row it gives up.
pub fn run(args: &WorkerArgs) -> Result<()> {
    // A store may hang for ever; not longer than its parent.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let kind = stores::find(&args.store)?;
    let workload = Workload {
        seed: args.seed,
        sessions: args.sessions,
        bytes: args.bytes,
    };
    let mut store = match (kind.open)(&args.dir) {
        Ok(store) => store,
        Err(error) => return say(&format!("fail open {}", in_a_line(&error))),
    };
    say("opened")?;
    let (mut failed, mut acked) = (0, 0);
    for n in args.from..args.from + args.count {
        let record = workload.record(n);
        match store.append(&record) {
            Ok(()) => {
                failed = 0;
                say(&format!("ack {n}"))?;
                acked += 1;
                if args.pause == Some(acked) {
                    say("paused")?;
                    stdin().read_line(&mut String::new())?;
                }
            }
            Err(error) => {
                failed += 1;
                say(&format!("err {n} {}", in_a_line(&error)))?;
                if failed == args.give_up {
                    break;
                }
            }
        }
    }
    if args.close
        && let Err(error) = store.close()
    {
        return say(&format!("fail close {}", in_a_line(&error)));
    } else if !args.close {
        say("done")?;
        // Open, and idle, until the parent kills it or is gone itself.
        stdin().read_to_end(&mut Vec::new())?;
        std::process::exit(0);
    }
    say("done")
}

fn say(line: &str) -> Result<()> {
    // One write for each line: a kill leaves no half of one.
    Ok(stdout().lock().write_all(format!("{line}\n").as_bytes())?)
}
