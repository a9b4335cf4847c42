//! Every position of every fault: for each kind of operation, each error, and each k, the k-th
//! one fails, once or from then on. The host goes on as it can, the process dies or the power
//! goes, and the oracle looks at what is there. And every size of the disk, in small steps.

use crate::trace::{PATH, Settings};
use crate::work::{End, Random, Work};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use turnkeep::storage::sim::{CrashModel, FaultError, OpKind, SimDisk};
use turnkeep::{Error, Journal};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

const SETTINGS: Settings = Settings {
    align: 512,
    first_segment_bytes: 8192,
    keep_snapshots: 2,
};

/// The operations that can fail, and what with.
const FAULTS: [(OpKind, &[i32]); 12] = [
    (OpKind::SyncData, &[EIO, ENOSPC, EINTR]),
    (OpKind::Write, &[EIO, ENOSPC, EDQUOT, EINTR]),
    (OpKind::SyncDir, &[EIO, EINTR]),
    (OpKind::Open, &[EIO, EINTR]),
    (OpKind::Rename, &[EIO, ENOSPC]),
    (OpKind::Remove, &[EIO]),
    (OpKind::Read, &[EIO]),
    (OpKind::SetLen, &[EIO, ENOSPC]),
    (OpKind::Map, &[EIO]),
    (OpKind::List, &[EIO]),
    (OpKind::CreateDir, &[EIO, ENOSPC]),
    (OpKind::Lock, &[EIO]),
];

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Nth {
        kind: OpKind,
        nth: u64,
        errno: i32,
        for_good: bool,
    },
    /// The disk has room for so many bytes more, until the host frees some.
    Room(u64),
}

/// How a run ends.
#[derive(Clone, Copy, Debug)]
enum Death {
    Kill,
    Power(CrashModel),
}

const DEATHS: [Death; 4] = [
    Death::Kill,
    Death::Power(CrashModel::NOTHING_SURVIVES),
    Death::Power(CrashModel::EVERYTHING_SURVIVES),
    // Groups begin at sectors here, which asks for powersafe overwrite.
    Death::Power(CrashModel {
        psow: true,
        ..CrashModel::HARSHEST
    }),
];

/// What a host does: every way to write, rotation, compaction; each step is a choice of
/// `Work::step_with` and a size.
const SCRIPT: [(u64, usize); 16] = [
    (0, 300),
    (40, 200),
    (73, 400),
    (25, 100),
    (35, 700),
    (0, 900),
    (65, 50),
    (84, 0),
    (73, 800),
    (54, 300),
    (0, 1200),
    (58, 20),
    (88, 0),
    (83, 0),
    (84, 0),
    (0, 600),
];

/// Faults of one sort, at every position there is.
#[derive(Clone, Copy, Debug)]
enum Sort {
    Errors {
        kind: OpKind,
        errno: i32,
        for_good: bool,
    },
    /// Rooms for this many bytes, and for eight steps more, and so on.
    Rooms(u64),
}

/// Disks differ by so many bytes: no multiple of a sector, so that they end within one, too. With
/// 1, the disk fills up at every byte that the runs write.
fn step() -> u64 {
    crate::number("TURNKEEP_ROOM_STEP").unwrap_or(199)
}

fn sorts() -> Vec<Sort> {
    let errors = FAULTS.iter().flat_map(|(kind, errors)| {
        errors.iter().flat_map(|&errno| {
            [false, true].map(|for_good| Sort::Errors {
                kind: *kind,
                errno,
                for_good,
            })
        })
    });
    errors
        .chain((0..8).map(|n| Sort::Rooms(n * step())))
        .collect()
}

/// Tries every fault of a sort, until a position is not reached any more. Counts the runs.
///
/// # Errors
/// The first run that breaks a promise.
fn positions(sort: Sort, runs: &mut u64) -> Result<(), String> {
    for n in 0.. {
        let fault = match sort {
            Sort::Errors {
                kind,
                errno,
                for_good,
            } => Fault::Nth {
                kind,
                nth: n + 1,
                errno,
                for_good,
            },
            Sort::Rooms(first) => Fault::Room(first + n * 8 * step()),
        };
        let mut met = false;
        for death in DEATHS {
            *runs += 1;
            met |= one(fault, death)?;
        }
        if !met {
            break;
        }
    }
    Ok(())
}

/// Tries every fault at every position, one after the other.
///
/// # Errors
/// The first run that breaks a promise.
pub fn every_position(runs: &mut u64) -> Result<(), String> {
    sorts()
        .into_iter()
        .try_for_each(|sort| positions(sort, runs))
}

/// One run. True if the fault was met.
fn one(fault: Fault, death: Death) -> Result<bool, String> {
    let run = catch_unwind(AssertUnwindSafe(|| Run::new().go(fault, death)));
    let run = run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    run.map_err(|what| format!("{what}\n  {fault:?}, then {death:?}"))
}

struct Run {
    work: Work,
    met: bool,
}

impl Run {
    fn new() -> Run {
        Run {
            work: Work::new(Random::new(7), SimDisk::new(7)),
            met: false,
        }
    }

    fn go(mut self, fault: Fault, death: Death) -> Result<bool, String> {
        use turnkeep::storage::Storage;
        let root = self.work.disk.clone();
        let made = root.create_dir(std::path::Path::new("/journals"));
        made.and_then(|()| root.sync_dir(std::path::Path::new("/")))
            .map_err(|e| e.to_string())?;
        let disk = &self.work.disk;
        match fault {
            Fault::Nth {
                kind,
                nth,
                errno,
                for_good,
            } => disk.fail_nth(kind, nth, FaultError::Os(errno), for_good),
            Fault::Room(bytes) => disk.set_capacity(disk.used_bytes() + bytes),
        }
        // Twice: what failed is met again when it is opened again, or in the work after.
        for _ in 0..2 {
            if let Some(journal) = self.open(true)? {
                self.script(&journal)?;
                self.end(Some(journal), death);
            } else {
                self.end(None, death);
            }
        }
        self.met |= match fault {
            Fault::Nth { .. } => self.work.disk.faults_met() > 0,
            Fault::Room(_) => false,
        };
        // Somebody mends it.
        self.work.disk.clear_faults();
        self.work.disk.set_capacity(None);
        for _ in 0..2 {
            let journal = self.open(false)?.expect("nothing fails any more");
            self.script(&journal)?;
            self.end(Some(journal), death);
        }
        Ok(self.met)
    }

    /// Opens, and asks the oracle. None if the fault was in the way.
    fn open(&mut self, may_fail: bool) -> Result<Option<Journal>, String> {
        match SETTINGS.options(&self.work.disk).open(PATH) {
            Ok((journal, recovery)) => {
                match self.work.oracle.check(&journal, &recovery) {
                    // A read that fails says so.
                    Err(what) if may_fail && what.starts_with("reading failed") => {
                        self.met = true;
                        Ok(None)
                    }
                    Err(what) => Err(what),
                    Ok(()) => Ok(Some(journal)),
                }
            }
            Err(Error::Corrupt(why)) => Err(format!("a disk that does not lie is refused: {why}")),
            Err(error) if may_fail => {
                self.met = true;
                let _ = error;
                Ok(None)
            }
            Err(error) => Err(format!("the disk was mended, and {error}")),
        }
    }

    fn script(&mut self, journal: &Journal) -> Result<(), String> {
        for (choice, size) in SCRIPT {
            let before = self.work.log.len();
            let end = self.work.step_with(journal, choice, size)?;
            // What a step tells besides its name is that something was refused or failed.
            self.met |= self.work.log.len() > before + 1;
            if matches!(end, End::Failed) {
                break;
            }
        }
        Ok(())
    }

    /// Ends the process, with or without the machine.
    fn end(&mut self, journal: Option<Journal>, death: Death) {
        match death {
            Death::Kill => self.work.disk.kill(),
            Death::Power(model) => {
                self.work.disk.power_loss(&model);
                self.work.disk.restart();
            }
        }
        drop(journal);
    }
}

#[test]
fn a_fault_at_any_position_loses_nothing_that_was_acknowledged() {
    let began = Instant::now();
    let sorts = Mutex::new(sorts());
    let (runs, broken) = (AtomicU64::new(0), Mutex::new(None));
    let work = || {
        loop {
            let Some(sort) = sorts.lock().expect("nobody panics with it").pop() else {
                return;
            };
            let mut count = 0;
            if let Err(story) = positions(sort, &mut count) {
                *broken.lock().expect("nobody panics with it") = Some(story);
            }
            runs.fetch_add(count, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some(story) = broken.into_inner().expect("nobody panicked with it") {
        panic!("{story}");
    }
    let (runs, took) = (runs.into_inner(), began.elapsed().as_secs_f64());
    println!("{runs} runs with a fault, each through four lives, in {took:.1} s");
    assert!(runs > 8_000, "{runs}");
}
