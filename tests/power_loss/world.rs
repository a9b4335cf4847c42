//! One seed: a workload, crashes, recoveries, and the oracle after each.

use crate::work::{End, Random, Work};
use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::{CrashModel, Keep, NameModel, OpKind, SimDisk};
use turnkeep::{Error, Journal, Options, Recovery};

const PATH: &str = "/agents.journal";

/// What a seed came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub openings: u64,
    pub records: u64,
    pub torn: u64,
    pub relogged: u64,
    pub refused_rot: u64,
}

pub struct World {
    work: Work,
    outcome: Outcome,
    align: u32,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.next());
        if random.chance(20) {
            disk.set_overwrites_in_place(false);
        }
        World {
            work: Work::new(random, disk),
            outcome: Outcome::default(),
            align: 4096,
        }
    }

    /// Runs the seed to its end.
    ///
    /// # Errors
    /// What broke, with what led to it.
    pub fn run(mut self) -> Result<Outcome, String> {
        let rounds = 2 + self.work.random.below(3);
        for round in 0..rounds {
            self.work.log.push(format!("-- round {round}"));
            if let Err(what) = self.round() {
                return Err(format!("{what}\n  {}", self.work.log.join("\n  ")));
            }
        }
        self.outcome.records = self.work.records;
        Ok(self.outcome)
    }

    fn options(&mut self) -> Options {
        Journal::options()
            .background(false)
            .storage(Arc::new(self.work.disk.clone()))
            .first_segment_bytes(5 * 4096 + self.work.random.below(4) * 4096)
            .segment_bytes(16 * 4096)
            .max_record_bytes(8192)
            .max_pending_bytes(12 << 10)
            .group_align(self.align)
            .max_packs(3)
            // The host dies so often that any input would be buried sooner or later.
            .max_lost_claims(u32::MAX)
            .keep_snapshots(1 + self.work.random.below(3) as usize)
    }

    fn round(&mut self) -> Result<(), String> {
        let (journal, recovery) = self.open_through_crashes()?;
        self.work.oracle.check(&journal, &recovery)?;
        if self.work.random.chance(15) {
            // A second opening of the same bytes gives the same answer.
            self.work.disk.kill();
            drop(journal);
            return self.round_again();
        }
        self.work_and_crash(journal)
    }

    fn round_again(&mut self) -> Result<(), String> {
        let before = self.work.oracle.accepted.len();
        let (journal, recovery) = self.open_through_crashes()?;
        if recovery.next_lsn.get() as usize - 1 != before {
            return Err(format!(
                "a second opening ends at {}, not {before}",
                recovery.next_lsn
            ));
        }
        self.work.oracle.check(&journal, &recovery)?;
        self.work_and_crash(journal)
    }

    /// Opens, with crashes during recovery every now and then.
    fn open_through_crashes(&mut self) -> Result<(Journal, Recovery), String> {
        for attempt in 0..4 {
            let crash = attempt < 3 && self.work.random.chance(30);
            if crash {
                self.work.disk.arm_power_loss(self.work.random.below(14));
            }
            self.outcome.openings += 1;
            match self.options().open(Path::new(PATH)) {
                Ok((journal, recovery)) => {
                    self.work.log.push(format!("open: {recovery}"));
                    self.work.disk.disarm();
                    self.outcome.torn += u64::from(recovery.torn_bytes > 0);
                    self.outcome.relogged += recovery.relogged_records;
                    if self.work.disk.is_off() {
                        // Lost in an operation whose failure nobody had to notice.
                        drop(journal);
                        self.lose_power();
                        continue;
                    }
                    return Ok((journal, recovery));
                }
                Err(error) if self.work.disk.is_off() => {
                    self.work.log.push(format!("open interrupted: {error}"));
                    self.lose_power();
                }
                Err(error) => return Err(format!("refused a correct disk: {error}")),
            }
        }
        Err("four crashes in a row".into())
    }

    fn lose_power(&mut self) {
        let model = CrashModel {
            names: if self.work.random.chance(70) {
                NameModel::Posix
            } else {
                NameModel::Ordered
            },
            torn: self.work.random.chance(70),
            psow: self.work.random.chance(50),
            keep: match self.work.random.below(10) {
                0 => Keep::Nothing,
                1 => Keep::Everything,
                _ => Keep::Random,
            },
            failed_syncs_may_land: self.work.random.chance(30),
        };
        self.work.log.push(format!("power loss: {model:?}"));
        self.work.disk.power_loss(&model);
        self.work.disk.restart();
    }

    fn work_and_crash(&mut self, journal: Journal) -> Result<(), String> {
        match self.work.random.below(10) {
            // The power goes at some operation.
            0..=4 => self.work.disk.arm_power_loss(self.work.random.below(70)),
            // A write or a sync fails, and the process goes on for a while.
            5 => {
                let kind = if self.work.random.chance(70) {
                    OpKind::SyncData
                } else {
                    OpKind::Write
                };
                let nth = 1 + self.work.random.below(20);
                self.work.log.push(format!("{kind:?} {nth} will fail"));
                self.work
                    .disk
                    .fail_nth(kind, nth, std::io::ErrorKind::Other, false);
            }
            // The disk fills up.
            6 => {
                let room = self.work.random.below(60) * 1024;
                self.work
                    .disk
                    .set_capacity(self.work.disk.used_bytes() + room);
            }
            _ => {}
        }
        let steps = 5 + self.work.random.below(40);
        let end = self.work(&journal, steps)?;
        self.work.disk.set_capacity(None);
        self.work.disk.clear_faults();
        self.work.disk.disarm();
        if matches!(end, End::Done) && !self.work.disk.is_off() {
            // With space again, appends go on.
            let end = self.work(&journal, 3)?;
            if matches!(end, End::Done) && self.work.random.chance(40) {
                self.work.log.push("close".into());
                let accepted = journal.accepted_lsn().get();
                match journal.close() {
                    Ok(()) => self.work.oracle.acknowledged = accepted,
                    Err(error) if self.work.disk.is_off() => self.work.log.push(format!("{error}")),
                    Err(error) => return Err(format!("closing a healthy journal: {error}")),
                }
                return self.after_work(None);
            }
        }
        self.after_work(Some(journal))
    }

    /// Ends the process, with or without the machine. What it left behind is dropped after.
    fn after_work(&mut self, journal: Option<Journal>) -> Result<(), String> {
        if self.work.disk.is_off() || self.work.random.chance(60) {
            self.lose_power();
        } else {
            self.work.log.push("kill".into());
            self.work.disk.kill();
            drop(journal);
            if self.work.random.chance(40) {
                return self.rot();
            }
        }
        Ok(())
    }

    /// One byte rots while nobody looks. Either everything acknowledged reads back, or opening
    /// or reading names the damage. Then the byte is as it was.
    fn rot(&mut self) -> Result<(), String> {
        let files = self.work.disk.list_files(PATH).map_err(|e| e.to_string())?;
        let name = &files[self.work.random.below(files.len() as u64) as usize];
        let path = format!("{PATH}/{name}");
        let bytes = self.work.disk.read_file(&path).map_err(|e| e.to_string())?;
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if used == 0 {
            return Ok(());
        }
        let at = self.work.random.below(used as u64);
        let xor = 1 << self.work.random.below(8);
        self.work
            .log
            .push(format!("byte {at} of {name} rots by {xor:#04x}"));
        let healthy = self.work.disk.fork();
        self.work
            .disk
            .rot(&path, at, xor)
            .map_err(|e| e.to_string())?;
        match self.options().open(Path::new(PATH)) {
            Ok((journal, recovery)) => {
                self.work.log.push(format!("rotten, and opens: {recovery}"));
                let mut oracle = self.work.oracle.clone();
                if let Err(what) = oracle.check(&journal, &recovery)
                    && !what.starts_with("reading failed")
                {
                    return Err(format!("silent: {what}"));
                }
            }
            Err(Error::Corrupt(_) | Error::NotAJournal { .. } | Error::NewerFormat { .. }) => {
                self.outcome.refused_rot += 1;
            }
            Err(error) => return Err(format!("rot is reported as {error}")),
        }
        self.work.disk = healthy;
        self.work.disk.kill();
        Ok(())
    }

    fn work(&mut self, journal: &Journal, steps: u64) -> Result<End, String> {
        for _ in 0..steps {
            match self.work.step(journal)? {
                End::Done => {}
                End::Failed => {
                    if !self.work.disk.is_off() {
                        self.check_poisoned(journal)?;
                    }
                    return Ok(End::Failed);
                }
            }
        }
        Ok(End::Done)
    }

    /// After a failure nothing more is acknowledged, and what is durable still reads.
    fn check_poisoned(&mut self, journal: &Journal) -> Result<(), String> {
        if journal
            .session("a")
            .and_then(|session| session.append("late", "x"))
            .is_ok()
        {
            return Err("a poisoned journal acknowledged an append".into());
        }
        for entry in journal
            .read(turnkeep::Lsn::new(1))
            .map_err(|e| e.to_string())?
        {
            let entry = entry.map_err(|e| format!("reading a poisoned journal: {e}"))?;
            if self
                .work
                .oracle
                .accepted
                .get(entry.lsn.get() as usize - 1)
                .is_none()
            {
                return Err(format!("invented: lsn {}", entry.lsn));
            }
        }
        Ok(())
    }
}

impl Outcome {
    #[allow(dead_code, reason = "whoever runs one seed has nothing to add up")]
    pub fn add(&mut self, other: &Outcome) {
        self.openings += other.openings;
        self.records += other.records;
        self.torn += other.torn;
        self.relogged += other.relogged;
        self.refused_rot += other.refused_rot;
    }
}
