//! The workloads: each is run once, on a disk that records.

use crate::trace::{PATH, Said, Settings, Trace};
use crate::work::{End, Random, Work};
use std::path::Path;
use turnkeep::Journal;
use turnkeep::storage::Storage;
use turnkeep::storage::sim::SimDisk;

/// What a workload is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Making a journal, in a directory that is not there yet, and the first records.
    Create,
    /// Records of one to four sectors, each waited for.
    Append,
    /// Records that wait for others, are only written, or are synced all at once.
    Pipeline,
    /// Batches over sectors and segments.
    Batch,
    /// Large records in small segments.
    Rotate,
    /// Turns, values, truncated and deleted sessions.
    Turns,
    /// Compaction and checkpoints between appends.
    Compact,
    /// Closing, dying and opening again.
    Reopen,
    /// As `Turns`, and closed at the end.
    Closed,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Create,
        Kind::Append,
        Kind::Pipeline,
        Kind::Batch,
        Kind::Rotate,
        Kind::Turns,
        Kind::Compact,
        Kind::Reopen,
        Kind::Closed,
    ];

    /// What a step does, as `Work::step_with` counts, and how large its content is.
    fn step(self, random: &mut Random) -> (u64, usize) {
        let any = |random: &mut Random, of: &[u64]| of[random.below(of.len() as u64) as usize];
        match self {
            Kind::Create => (0, 10 + random.below(100) as usize),
            Kind::Append => (0, 10 + random.below(1500) as usize),
            Kind::Pipeline => (
                any(random, &[0, 25, 25, 35, 35, 91]),
                10 + random.below(700) as usize,
            ),
            Kind::Batch => (
                any(random, &[0, 25, 73, 73, 73]),
                random.below(500) as usize,
            ),
            Kind::Rotate => (
                any(random, &[0, 0, 25, 35, 73]),
                600 + random.below(900) as usize,
            ),
            Kind::Turns | Kind::Closed => (
                any(random, &[40, 50, 54, 58, 65, 73, 81, 83, 83]),
                random.below(400) as usize,
            ),
            Kind::Compact => (
                any(random, &[0, 35, 40, 54, 58, 65, 81, 83, 84, 84, 88]),
                random.below(900) as usize,
            ),
            Kind::Reopen => (any(random, &[0, 25, 35, 65]), random.below(500) as usize),
        }
    }

    fn steps(self) -> u64 {
        match self {
            Kind::Create => 3,
            Kind::Append | Kind::Pipeline | Kind::Batch => 12,
            Kind::Rotate => 14,
            Kind::Turns | Kind::Closed => 20,
            Kind::Compact => 22,
            Kind::Reopen => 4,
        }
    }
}

/// Runs a workload on a disk that records.
///
/// # Errors
/// What a correct journal would not have done on a disk that does not fail.
pub fn record(kind: Kind, seed: u64, align: u32) -> Result<Trace, String> {
    let mut random = Random::new(seed.wrapping_mul(31).wrapping_add(kind as u64));
    let settings = Settings {
        align,
        first_segment_bytes: if align == 4096 { 6 * 4096 } else { 8192 },
        keep_snapshots: 1 + random.below(2) as usize,
    };
    let disk = SimDisk::new(random.next());
    if random.chance(25) {
        disk.set_overwrites_in_place(false);
    }
    let root = disk.clone();
    root.create_dir(Path::new("/journals")).map_err(said)?;
    root.sync_dir(Path::new("/")).map_err(said)?;
    let mut recorder = Recorder {
        work: Work::new(random, disk),
        said: Vec::new(),
        settings,
    };
    if kind == Kind::Create {
        recorder.work.disk.start_recording();
    }
    recorder.say();
    let journal = recorder.open()?;
    if kind != Kind::Create {
        recorder.work.disk.start_recording();
        recorder.said.clear();
    }
    recorder.say();
    recorder.steps(&journal, kind)?;
    let journal = match kind {
        Kind::Reopen => recorder.lives(journal, 4)?,
        _ => journal,
    };
    if kind == Kind::Closed {
        journal.close().map_err(said)?;
        recorder.work.oracle.acknowledged = recorder.work.oracle.accepted.len() as u64 + 1;
        recorder.say();
    }
    let moments = recorder.work.disk.take_recording();
    Ok(Trace::new(
        format!("{kind:?}:{seed}"),
        0,
        seed,
        settings,
        moments,
        recorder.work.oracle.accepted,
        recorder.said,
    ))
}

/// Opens what a crash left and works on, recording. `count` records are there.
///
/// # Errors
/// What a correct journal would not have done on a disk that does not fail.
pub fn record_recovery(
    of: &Trace,
    disk: SimDisk,
    count: u64,
    seed: u64,
    steps: u64,
) -> Result<Trace, String> {
    let mut recorder = Recorder {
        work: Work::new(Random::new(seed), disk),
        said: Vec::new(),
        settings: of.settings,
    };
    recorder.work.oracle.accepted = of.accepted[..count as usize].to_vec();
    recorder.work.oracle.acknowledged = count + 1;
    recorder.work.disk.start_recording();
    recorder.say();
    let journal = recorder.open()?;
    recorder.say();
    for _ in 0..steps {
        recorder.step(&journal, Kind::Compact)?;
    }
    let moments = recorder.work.disk.take_recording();
    drop(journal);
    Ok(Trace::new(
        of.name.clone(),
        if steps == 0 { of.id } else { seed },
        seed,
        of.settings,
        moments,
        recorder.work.oracle.accepted,
        recorder.said,
    ))
}

struct Recorder {
    work: Work,
    said: Vec<Said>,
    settings: Settings,
}

impl Recorder {
    /// Notes what has been said by now.
    fn say(&mut self) {
        self.said.push(Said {
            moment: self.work.disk.recorded(),
            acknowledged: self.work.oracle.acknowledged,
            accepted: self.work.oracle.accepted.len() as u64,
        });
    }

    fn open(&mut self) -> Result<Journal, String> {
        let options = self.settings.options(&self.work.disk);
        let (journal, recovery) = options.open(PATH).map_err(said)?;
        let next = recovery.next_lsn.get();
        let oracle = &mut self.work.oracle;
        if next < oracle.acknowledged || next > oracle.accepted.len() as u64 + 1 {
            return Err(format!("without a power cut the log ends at {next}"));
        }
        // What was accepted and never written died with the process.
        oracle.accepted.truncate(next as usize - 1);
        oracle.acknowledged = next;
        Ok(journal)
    }

    /// Closes or dies, opens again and works on, a few times.
    fn lives(&mut self, mut journal: Journal, lives: u64) -> Result<Journal, String> {
        for _ in 0..lives {
            if self.work.random.chance(50) {
                journal.close().map_err(said)?;
                self.work.oracle.acknowledged = self.work.oracle.accepted.len() as u64 + 1;
            } else {
                self.work.disk.kill();
                drop(journal);
            }
            self.say();
            journal = self.open()?;
            self.say();
            self.steps(&journal, Kind::Reopen)?;
        }
        Ok(journal)
    }

    fn steps(&mut self, journal: &Journal, kind: Kind) -> Result<(), String> {
        (0..kind.steps()).try_for_each(|_| self.step(journal, kind))
    }

    fn step(&mut self, journal: &Journal, kind: Kind) -> Result<(), String> {
        let (choice, size) = kind.step(&mut self.work.random);
        let end = self.work.step_with(journal, choice, size)?;
        self.say();
        match end {
            End::Done => Ok(()),
            End::Failed => Err("a disk that does not fail".into()),
        }
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
