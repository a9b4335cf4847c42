//! One seed: a workload, crashes, recoveries, and the oracle after each.

use crate::oracle::{Oracle, Record, fold};
use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::{CrashModel, Keep, NameModel, OpKind, SimDisk};
use turnkeep::{Batch, Durability, Error, Input, Journal, Kind, Options, Recovery, Seq};

/// A small generator; everything random follows from the seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

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
    random: Random,
    disk: SimDisk,
    oracle: Oracle,
    outcome: Outcome,
    batches: u64,
    align: u32,
    log: Vec<String>,
}

/// How a stretch of work ended.
enum End {
    /// By itself.
    Done,
    /// The disk failed, or the power.
    Failed,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let disk = SimDisk::new(random.next());
        if random.chance(20) {
            disk.set_overwrites_in_place(false);
        }
        World {
            random,
            disk,
            oracle: Oracle {
                acknowledged: 1,
                ..Oracle::default()
            },
            outcome: Outcome::default(),
            batches: 0,
            align: 4096,
            log: Vec::new(),
        }
    }

    /// Runs the seed to its end.
    ///
    /// # Errors
    /// What broke, with what led to it.
    pub fn run(mut self) -> Result<Outcome, String> {
        let rounds = 2 + self.random.below(3);
        for round in 0..rounds {
            self.log.push(format!("-- round {round}"));
            if let Err(what) = self.round() {
                return Err(format!("{what}\n  {}", self.log.join("\n  ")));
            }
        }
        Ok(self.outcome)
    }

    fn options(&mut self) -> Options {
        Journal::options()
            .background(false)
            .storage(Arc::new(self.disk.clone()))
            .first_segment_bytes(5 * 4096 + self.random.below(4) * 4096)
            .segment_bytes(16 * 4096)
            .max_record_bytes(8192)
            .max_pending_bytes(12 << 10)
            .group_align(self.align)
            .max_packs(3)
            .keep_snapshots(1 + self.random.below(3) as usize)
    }

    fn round(&mut self) -> Result<(), String> {
        let (journal, recovery) = self.open_through_crashes()?;
        self.oracle.check(&journal, &recovery)?;
        if self.random.chance(15) {
            // A second opening of the same bytes gives the same answer.
            self.disk.kill();
            drop(journal);
            return self.round_again();
        }
        self.work_and_crash(journal)
    }

    fn round_again(&mut self) -> Result<(), String> {
        let before = self.oracle.accepted.len();
        let (journal, recovery) = self.open_through_crashes()?;
        if recovery.next_lsn.get() as usize - 1 != before {
            return Err(format!(
                "a second opening ends at {}, not {before}",
                recovery.next_lsn
            ));
        }
        self.oracle.check(&journal, &recovery)?;
        self.work_and_crash(journal)
    }

    /// Opens, with crashes during recovery every now and then.
    fn open_through_crashes(&mut self) -> Result<(Journal, Recovery), String> {
        for attempt in 0..4 {
            let crash = attempt < 3 && self.random.chance(30);
            if crash {
                self.disk.arm_power_loss(self.random.below(14));
            }
            self.outcome.openings += 1;
            match self.options().open(Path::new(PATH)) {
                Ok((journal, recovery)) => {
                    self.log.push(format!("open: {recovery}"));
                    self.disk.disarm();
                    self.outcome.torn += u64::from(recovery.torn_bytes > 0);
                    self.outcome.relogged += recovery.relogged_records;
                    if self.disk.is_off() {
                        // Lost in an operation whose failure nobody had to notice.
                        drop(journal);
                        self.lose_power();
                        continue;
                    }
                    return Ok((journal, recovery));
                }
                Err(error) if self.disk.is_off() => {
                    self.log.push(format!("open interrupted: {error}"));
                    self.lose_power();
                }
                Err(error) => return Err(format!("refused a correct disk: {error}")),
            }
        }
        Err("four crashes in a row".into())
    }

    fn lose_power(&mut self) {
        let model = CrashModel {
            names: if self.random.chance(70) {
                NameModel::Posix
            } else {
                NameModel::Ordered
            },
            torn: self.random.chance(70),
            psow: self.random.chance(50),
            keep: match self.random.below(10) {
                0 => Keep::Nothing,
                1 => Keep::Everything,
                _ => Keep::Random,
            },
            failed_syncs_may_land: self.random.chance(30),
        };
        self.log.push(format!("power loss: {model:?}"));
        self.disk.power_loss(&model);
        self.disk.restart();
    }

    fn work_and_crash(&mut self, journal: Journal) -> Result<(), String> {
        match self.random.below(10) {
            // The power goes at some operation.
            0..=4 => self.disk.arm_power_loss(self.random.below(70)),
            // A write or a sync fails, and the process goes on for a while.
            5 => {
                let kind = if self.random.chance(70) {
                    OpKind::SyncData
                } else {
                    OpKind::Write
                };
                let nth = 1 + self.random.below(20);
                self.log.push(format!("{kind:?} {nth} will fail"));
                self.disk
                    .fail_nth(kind, nth, std::io::ErrorKind::Other, false);
            }
            // The disk fills up.
            6 => {
                let room = self.random.below(60) * 1024;
                self.disk.set_capacity(self.disk.used_bytes() + room);
            }
            _ => {}
        }
        let steps = 5 + self.random.below(40);
        let end = self.work(&journal, steps)?;
        self.disk.set_capacity(None);
        self.disk.clear_faults();
        self.disk.disarm();
        if matches!(end, End::Done) && !self.disk.is_off() {
            // With space again, appends go on.
            let end = self.work(&journal, 3)?;
            if matches!(end, End::Done) && self.random.chance(40) {
                self.log.push("close".into());
                let accepted = journal.accepted_lsn().get();
                match journal.close() {
                    Ok(()) => self.oracle.acknowledged = accepted,
                    Err(error) if self.disk.is_off() => self.log.push(format!("{error}")),
                    Err(error) => return Err(format!("closing a healthy journal: {error}")),
                }
                return self.after_work(None);
            }
        }
        self.after_work(Some(journal))
    }

    /// Ends the process, with or without the machine. What it left behind is dropped after.
    fn after_work(&mut self, journal: Option<Journal>) -> Result<(), String> {
        if self.disk.is_off() || self.random.chance(60) {
            self.lose_power();
        } else {
            self.log.push("kill".into());
            self.disk.kill();
            drop(journal);
            if self.random.chance(40) {
                return self.rot();
            }
        }
        Ok(())
    }

    /// One byte rots while nobody looks. Either everything acknowledged reads back, or opening
    /// or reading names the damage. Then the byte is as it was.
    fn rot(&mut self) -> Result<(), String> {
        let files = self.disk.list_files(PATH).map_err(|e| e.to_string())?;
        let name = &files[self.random.below(files.len() as u64) as usize];
        let path = format!("{PATH}/{name}");
        let bytes = self.disk.read_file(&path).map_err(|e| e.to_string())?;
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if used == 0 {
            return Ok(());
        }
        let at = self.random.below(used as u64);
        let xor = 1 << self.random.below(8);
        self.log
            .push(format!("byte {at} of {name} rots by {xor:#04x}"));
        let healthy = self.disk.fork();
        self.disk.rot(&path, at, xor).map_err(|e| e.to_string())?;
        match self.options().open(Path::new(PATH)) {
            Ok((journal, recovery)) => {
                self.log.push(format!("rotten, and opens: {recovery}"));
                let mut oracle = self.oracle.clone();
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
        self.disk = healthy;
        self.disk.kill();
        Ok(())
    }

    fn work(&mut self, journal: &Journal, steps: u64) -> Result<End, String> {
        for _ in 0..steps {
            match self.step(journal)? {
                End::Done => {}
                End::Failed => {
                    if !self.disk.is_off() {
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

    fn step(&mut self, journal: &Journal) -> Result<End, String> {
        let model = fold(&self.oracle.accepted);
        let id = ["a", "b", "c"][self.random.below(3) as usize];
        let known = model.get(id).cloned().unwrap_or_default();
        let next = known.next_seq.max(1);
        let size = match self.random.below(20) {
            0 => 6000,
            1..=3 => self.random.below(3000),
            _ => self.random.below(200),
        } as usize;
        let fill = self.random.next() as u8;
        let content = vec![fill; size];
        let open = known.open.iter().next_back().copied();
        let mut drafts = Vec::new();
        let before = journal.accepted_lsn();
        let session = match journal.session(id) {
            Ok(session) => session,
            Err(error) => return self.ended(journal, before, drafts, Err(error), false),
        };
        let mut seq = next;
        if known.next_seq == 0 {
            drafts.push(record(id, Kind::SessionCreated, id, &[], 0, 1));
            seq = 2;
        }
        let choice = self.random.below(100);
        self.log
            .push(format!("step {choice} on {id}, {size} bytes"));
        let (result, durable) = match (choice, open) {
            (0..=24, _) => {
                drafts.push(record(id, Kind::Message, "note", &content, 0, seq));
                (session.append("note", &content).map(drop), true)
            }
            (25..=34, _) => {
                drafts.push(record(id, Kind::Message, "note", &content, 0, seq));
                (session.submit("note", &content).map(drop), false)
            }
            (35..=39, _) => {
                drafts.push(record(id, Kind::Message, "note", &content, 0, seq));
                let level = Durability::Buffered;
                (
                    session.append_with(level, "note", &content).map(drop),
                    false,
                )
            }
            (40..=49, _) => {
                drafts.push(record(id, Kind::TurnSubmitted, "user", &content, 0, seq));
                (session.begin(Input::user(&content)).map(drop), true)
            }
            (50..=57, Some(turn)) => {
                let progress = choice < 54;
                let kind = if progress {
                    Kind::TurnProgress
                } else {
                    Kind::TurnEvent
                };
                drafts.push(record(id, kind, "call", &content, turn, seq));
                let handle = session.turn(Seq::new(turn));
                let result = handle.and_then(|turn| match progress {
                    true => turn.progress("call", &content),
                    false => turn.event("call", &content),
                });
                (result.map(drop), false)
            }
            (58..=64, Some(turn)) => {
                drafts.push(record(id, Kind::TurnCompleted, "", &content, turn, seq));
                let result = session
                    .turn(Seq::new(turn))
                    .and_then(|turn| turn.complete(&content));
                (result.map(drop), true)
            }
            (65..=72, _) => {
                let key = ["k", "l"][self.random.below(2) as usize];
                drafts.push(record(id, Kind::Put, key, &content, 0, seq));
                (session.put(key, &content).map(drop), true)
            }
            (73..=80, _) => {
                self.batches += 1;
                let mut batch = Batch::new();
                for n in 0..2 + self.random.below(4) {
                    batch = batch.event(&session, "part", &content);
                    let part = record(id, Kind::Message, "part", &content, 0, seq + n as u32);
                    drafts.push(Record {
                        batch: Some(self.batches),
                        ..part
                    });
                }
                match self.random.chance(50) {
                    true => (journal.append_all(&batch).map(drop), true),
                    false => (journal.submit_all(&batch).map(drop), false),
                }
            }
            (81..=82, _) if seq > 3 => {
                let from = 2 + self.random.below(u64::from(seq) - 2) as u32;
                drafts.push(record(id, Kind::SessionTruncated, "", &[], from, seq));
                (session.truncate_from(Seq::new(from)).map(drop), true)
            }
            (83, _) => {
                drafts.push(record(id, Kind::SessionDeleted, "", &[], 0, seq));
                (session.delete().map(drop), true)
            }
            (84..=87, _) => (journal.compact().map(drop), true),
            (88..=90, _) => (journal.checkpoint().map(drop), true),
            (91..=93, _) => (journal.sync(), true),
            (94..=96, _) => {
                let result = journal.sync();
                if result.is_ok() {
                    self.note(journal, before.get(), &mut drafts, true)?;
                    match self.oracle.check_reads(journal) {
                        // The power went in an operation whose failure nobody had to notice.
                        Err(_) if self.disk.is_off() => return Ok(End::Failed),
                        checked => checked?,
                    }
                }
                (result, true)
            }
            _ => (Ok(()), false),
        };
        self.ended(journal, before, drafts, result, durable)
    }

    /// Books what an operation did, and says whether work can go on.
    fn ended(
        &mut self,
        journal: &Journal,
        before: turnkeep::Lsn,
        mut drafts: Vec<Record>,
        result: Result<(), Error>,
        durable: bool,
    ) -> Result<End, String> {
        self.note(
            journal,
            before.get(),
            &mut drafts,
            durable && result.is_ok(),
        )?;
        match result {
            Ok(()) => Ok(End::Done),
            Err(error) if self.disk.is_off() => {
                self.log.push(format!("the power is off: {error}"));
                Ok(End::Failed)
            }
            // Refused before anything was accepted, as the count of records has shown.
            Err(error @ (Error::NoSpace { .. } | Error::TooLarge { .. } | Error::Io { .. })) => {
                self.log.push(format!("refused: {error}"));
                Ok(End::Done)
            }
            Err(error @ Error::Poisoned { .. }) => {
                self.log.push(format!("failed: {error}"));
                Ok(End::Failed)
            }
            Err(error) => Err(format!("unexpected: {error}")),
        }
    }

    /// Whatever the journal accepted since `before` are the first of the drafts.
    fn note(
        &mut self,
        journal: &Journal,
        before: u64,
        drafts: &mut Vec<Record>,
        durable: bool,
    ) -> Result<(), String> {
        let accepted = (journal.accepted_lsn().get() - before) as usize;
        let booked = self.oracle.accepted.len() - (before as usize - 1);
        if accepted > booked + drafts.len() {
            return Err(format!(
                "{accepted} records accepted, {} offered",
                drafts.len()
            ));
        }
        self.oracle
            .accepted
            .extend(drafts.drain(..accepted - booked));
        self.outcome.records += (accepted - booked) as u64;
        if durable {
            self.oracle.acknowledged = journal.accepted_lsn().get();
        }
        // A record that became durable with another's sync was acknowledged to its ticket.
        self.oracle.acknowledged = self.oracle.acknowledged.max(journal.durable_lsn().get());
        Ok(())
    }
}

fn record(session: &str, kind: Kind, name: &str, content: &[u8], about: u32, seq: u32) -> Record {
    Record {
        session: session.into(),
        kind,
        name: name.into(),
        content: content.to_vec(),
        about,
        batch: None,
        seq,
    }
}

impl Outcome {
    pub fn add(&mut self, other: &Outcome) {
        self.openings += other.openings;
        self.records += other.records;
        self.torn += other.torn;
        self.relogged += other.relogged;
        self.refused_rot += other.refused_rot;
    }
}
