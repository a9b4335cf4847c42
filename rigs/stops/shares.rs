//! The same sweep in several processes, each doing its share.
//!
//! Processes and not threads: a worker is a fork, and a fork is safe only of a process with one
//! thread. Each process writes what it came to as lines to a pipe.

use super::calls::Fault;
use super::sweep::{Share, Totals};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Runs `work` in `processes` processes, each in a directory of its own below `home`.
pub fn run(processes: usize, home: &Path, work: impl Fn(Share, &Path) -> Totals) -> Totals {
    let mut running: Vec<(Pid, File)> = Vec::new();
    for part in 0..processes {
        let (from, to) = pipe().expect("a pipe");
        // SAFETY: nothing has started a thread yet, so the child may do what its parent could.
        match unsafe { fork() }.expect("a fork") {
            ForkResult::Child => {
                drop(from);
                let home = home.join(format!("part-{part}"));
                std::fs::create_dir_all(&home).expect("a directory to work in");
                let share = Share {
                    part,
                    of: processes,
                };
                let totals = work(share, &home);
                let written = File::from(to).write_all(totals.to_lines().as_bytes());
                std::process::exit(i32::from(written.is_err()));
            }
            ForkResult::Parent { child } => running.push((child, File::from(from))),
        }
    }
    let mut totals = Totals::default();
    for (pid, mut from) in running {
        let mut lines = String::new();
        let read = from.read_to_string(&mut lines);
        let ended = waitpid(pid, None);
        match (read, Totals::from_lines(&lines)) {
            (Ok(_), Some(part)) => totals.add(&part),
            _ => totals
                .wrong
                .push(format!("process {pid} ended by {ended:?}")),
        }
    }
    totals
}

impl Totals {
    fn to_lines(&self) -> String {
        let mut lines = format!(
            "totals\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
            self.scenarios,
            self.calls,
            self.stops,
            self.pairs,
            self.acknowledged,
            self.sampled_stops,
            self.sampled_faults,
            self.for_good,
            self.forgotten,
        );
        for (name, (stops, errors)) in &self.by_call {
            lines.push_str(&format!("call\t{name}\t{stops}\t{errors}\n"));
        }
        for (name, fault) in &self.kinds {
            let (kind, error) = match fault {
                Fault::Refused(error) => (0, *error),
                Fault::Told(error) => (1, *error),
                Fault::Short => (2, 0),
            };
            lines.push_str(&format!("kind\t{name}\t{kind}\t{error}\n"));
        }
        for (code, count) in &self.codes {
            lines.push_str(&format!("code\t{code}\t{count}\n"));
        }
        for wrong in &self.wrong {
            lines.push_str(&format!("wrong\t{}\n", wrong.escape_default()));
        }
        lines
    }

    fn from_lines(lines: &str) -> Option<Totals> {
        let mut totals = None;
        for line in lines.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
            // Names live as long as the program, so that totals of all processes compare.
            let name = || -> &'static str { String::leak(fields[1].to_owned()) };
            if fields[0] == "totals" {
                totals = Some(Totals {
                    scenarios: number(1)?,
                    calls: number(2)?,
                    stops: number(3)?,
                    pairs: number(4)?,
                    acknowledged: number(5)?,
                    sampled_stops: number(6)?,
                    sampled_faults: number(7)?,
                    for_good: number(8)?,
                    forgotten: number(9)?,
                    ..Totals::default()
                });
                continue;
            }
            let totals = totals.as_mut()?;
            match fields[0] {
                "call" => drop(totals.by_call.insert(name(), (number(2)?, number(3)?))),
                "kind" => {
                    let error = number(3)? as i32;
                    let fault = match number(2)? {
                        0 => Fault::Refused(error),
                        1 => Fault::Told(error),
                        _ => Fault::Short,
                    };
                    totals.kinds.insert((name(), fault));
                }
                "code" => drop(totals.codes.insert(name(), number(2)?)),
                "wrong" => totals.wrong.push(fields[1].replace("\\n", "\n")),
                _ => return None,
            }
        }
        totals
    }
}
