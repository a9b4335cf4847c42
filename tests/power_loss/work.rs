//! What a host does with a journal, at random, and the book that is kept of it.

use crate::oracle::{Oracle, Record, fold};
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Batch, Durability, Error, Input, Journal, Kind, Seq};

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

/// How a stretch of work ended.
pub enum End {
    /// By itself.
    Done,
    /// The disk failed, or the power.
    Failed,
}

/// A host, the disk it runs on, and what is known of both from outside.
pub struct Work {
    pub random: Random,
    pub disk: SimDisk,
    pub oracle: Oracle,
    pub records: u64,
    /// What happened so far, in words.
    pub log: Vec<String>,
    batches: u64,
}

impl Work {
    pub fn new(random: Random, disk: SimDisk) -> Self {
        Work {
            random,
            disk,
            oracle: Oracle {
                acknowledged: 1,
                ..Oracle::default()
            },
            records: 0,
            log: Vec::new(),
            batches: 0,
        }
    }

    /// Does something at random, and books it.
    ///
    /// # Errors
    /// What a correct journal would not have done.
    pub fn step(&mut self, journal: &Journal) -> Result<End, String> {
        let choice = self.random.below(100);
        let size = match self.random.below(20) {
            0 => 6000,
            1..=3 => self.random.below(3000),
            _ => self.random.below(200),
        };
        self.step_with(journal, choice, size as usize)
    }

    /// Does what stands at `choice` of 100, with content of `size` bytes, and books it.
    ///
    /// # Errors
    /// What a correct journal would not have done.
    pub fn step_with(
        &mut self,
        journal: &Journal,
        choice: u64,
        size: usize,
    ) -> Result<End, String> {
        let model = fold(&self.oracle.accepted);
        let id = ["a", "b", "c"][self.random.below(3) as usize];
        let known = model.get(id).cloned().unwrap_or_default();
        let next = known.next_seq.max(1);
        let fill = self.random.next() as u8;
        let content: Vec<u8> = (0..size)
            .map(|i| fill.wrapping_add((i as u8).wrapping_mul(7)))
            .collect();
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
                let result = session.truncate_from(Seq::new(from)).map(drop);
                // Queued input is not dropped with what is around it.
                match (result, known.queue.range(from..).next()) {
                    (Err(Error::InputPending { .. }), Some(_)) => (Ok(()), false),
                    (Ok(()), Some(_)) => return Err("queued input was truncated".into()),
                    (result, _) => {
                        drafts.push(record(id, Kind::SessionTruncated, "", &[], from, seq));
                        (result, true)
                    }
                }
            }
            (83, _) => {
                drafts.push(record(id, Kind::SessionDeleted, "", &[], 0, seq));
                (session.delete().map(drop), true)
            }
            (84..=87, _) => (journal.compact().map(drop), true),
            (88..=90, _) => (journal.checkpoint().map(drop), true),
            (91..=93, _) => (journal.sync(), true),
            (97, _) => {
                drafts.push(record(id, Kind::InputQueued, "todo", &content, 0, seq));
                let input = Input::new("todo", &content);
                (session.enqueue(input).map(drop), true)
            }
            (98, _) if seq == next => match known.queue.iter().next() {
                Some(&input) => {
                    drafts.push(record(id, Kind::InputClaimed, "", &[], input, seq));
                    let claim = session.claim("w");
                    // Also an input that a claim is lost of leaves the queue at last.
                    let result = match claim {
                        Ok(Some(claim)) if fill < 128 => {
                            drafts.push(record(id, Kind::InputConfirmed, "", &[], input, seq + 1));
                            claim.confirm().map(drop)
                        }
                        Ok(Some(claim)) => {
                            drafts.push(record(id, Kind::InputReleased, "", &[], input, seq + 1));
                            claim.release("").map(drop)
                        }
                        Ok(None) => return Err("no input to be claimed".into()),
                        Err(error) => Err(error),
                    };
                    if matches!(&result, Err(e) if e.code() != "poisoned") && drafts.len() > 1 {
                        // What could not be said; that the claim was let go could be.
                        let last = record(id, Kind::InputReleased, "", &[], input, seq + 1);
                        drafts.splice(drafts.len() - 1.., [last]);
                    }
                    (result, true)
                }
                None => (Ok(()), false),
            },
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
        self.records += (accepted - booked) as u64;
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
