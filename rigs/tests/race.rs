//! Two processes race to open a journal: one wins, and the other is told who.

#![cfg(unix)]

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use turnkeep::{Error, Journal};

const WON: i32 = 1;
const TOLD: i32 = 2;
const TOLD_NOBODY: i32 = 3;

/// A process that waits for `start`, opens the journal, holds it until `end`, and exits with what
/// it met. Whoever is refused asks again until it is told a name, which the winner writes after it
/// has the lock.
fn racer(path: &Path, start: File, end: File) -> Pid {
    // SAFETY: the only test of this file, and it starts no thread; the child opens a journal of
    // its own and ends at once.
    match unsafe { fork() }.expect("a fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            nix::unistd::alarm::set(20);
            let wait = |mut pipe: File| pipe.read(&mut [0]).is_ok();
            wait(start);
            let mut status = TOLD_NOBODY;
            for _ in 0..1000 {
                match Journal::options().background(false).open(path) {
                    Ok((journal, _)) => {
                        wait(end);
                        std::mem::forget(journal);
                        status = WON;
                        break;
                    }
                    Err(Error::Locked { pid: Some(pid), .. }) if pid != std::process::id() => {
                        status = TOLD;
                        break;
                    }
                    Err(Error::Locked { .. }) => std::thread::yield_now(),
                    Err(_) => {
                        status = 4;
                        break;
                    }
                }
            }
            // SAFETY: ends the child without running what belongs to the test.
            unsafe { libc::_exit(status) }
        }
    }
}

#[test]
fn one_of_two_that_race_to_open_wins_and_the_other_is_told_who() {
    for round in 0..100 {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("journal");
        let mut starts = Vec::new();
        let mut racers = Vec::new();
        let (end_from, end_to) = pipe().unwrap();
        for _ in 0..2 {
            let (from, to) = pipe().unwrap();
            let end = File::from(end_from.try_clone().unwrap());
            racers.push(racer(&path, from.into(), end));
            starts.push(File::from(to));
        }
        for start in &mut starts {
            start.write_all(b"!").unwrap();
        }
        let status = |pid: Pid| match waitpid(pid, None).unwrap() {
            WaitStatus::Exited(_, status) => status,
            other => panic!("round {round}: {other:?}"),
        };
        // Whoever loses ends first; the winner is let go when the loser has been told.
        let first = nix::sys::wait::wait().unwrap();
        File::from(end_to).write_all(b"!").unwrap();
        let WaitStatus::Exited(loser, told) = first else {
            panic!("round {round}: {first:?}");
        };
        let winner = racers.into_iter().find(|pid| *pid != loser).unwrap();
        assert_eq!((told, status(winner)), (TOLD, WON), "round {round}");
    }
}
