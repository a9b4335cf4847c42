//! What a host does, step by step, as a seed says.
//!
//! Whoever performs a step and whoever checks it both derive the step's records for themselves,
//! from the script and from what was accepted before. So nothing but counts has to be told, and
//! nothing that is told is believed about contents.

use crate::oracle::{Oracle, Record, fold};
use crate::random::Random;
use turnkeep::{Batch, Durability, Error, Input, Journal, Kind, Options, Seq};

/// One step. What it says of turns is meant of the session's last open one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Append,
    Submit,
    Buffered,
    Begin,
    Event,
    Progress,
    Complete,
    Put(&'static str),
    Remove(&'static str),
    /// This many records, waited for or not.
    Batch(u32, bool),
    Truncate(u32),
    Clear,
    Delete,
    Compact,
    Checkpoint,
    Sync,
    /// Closes the journal and opens it again.
    Reopen,
}

/// A step, on which session, with how much of what content.
#[derive(Clone, Debug)]
pub struct Action {
    pub step: Step,
    pub session: &'static str,
    pub size: usize,
    pub fill: u8,
}

/// Settings and steps.
#[derive(Clone, Debug)]
pub struct Script {
    pub first_segment_bytes: u64,
    pub group_align: u32,
    pub keep_snapshots: usize,
    pub background: bool,
    pub actions: Vec<Action>,
}

const SESSIONS: [&str; 3] = ["a", "b", "c"];

impl Script {
    /// A script of `steps` steps. Small segments, so that every few steps the log rotates.
    pub fn new(seed: u64, steps: usize) -> Script {
        let mut random = Random::new(seed);
        let first_segment_bytes = 5 * 4096 + random.below(3) * 4096;
        let group_align = if random.chance(70) { 4096 } else { 512 };
        let keep_snapshots = 1 + random.below(3) as usize;
        let actions = (0..steps).map(|_| Action::random(&mut random)).collect();
        Script {
            first_segment_bytes,
            group_align,
            keep_snapshots,
            background: false,
            actions,
        }
    }

    /// How the journal of this script is opened.
    pub fn options(&self) -> Options {
        Journal::options()
            .background(self.background)
            .first_segment_bytes(self.first_segment_bytes)
            .segment_bytes(16 * 4096)
            .max_record_bytes(8192)
            .max_pending_bytes(12 << 10)
            .group_align(self.group_align)
            .max_packs(3)
            .keep_snapshots(self.keep_snapshots)
    }
}

impl Action {
    fn random(random: &mut Random) -> Action {
        let step = match random.below(100) {
            0..=19 => Step::Append,
            20..=27 => Step::Submit,
            28..=32 => Step::Buffered,
            33..=42 => Step::Begin,
            43..=46 => Step::Progress,
            47..=51 => Step::Event,
            52..=59 => Step::Complete,
            60..=65 => Step::Put(["k", "l"][random.below(2) as usize]),
            66 => Step::Remove("k"),
            67..=75 => Step::Batch(2 + random.below(4) as u32, random.chance(50)),
            76..=78 => Step::Truncate(2 + random.below(6) as u32),
            79 => Step::Clear,
            80 => Step::Delete,
            81..=86 => Step::Compact,
            87..=90 => Step::Checkpoint,
            91..=94 => Step::Sync,
            _ => Step::Reopen,
        };
        let size = match random.below(20) {
            0..=1 => 6000,
            2..=5 => random.below(3000),
            _ => random.below(200),
        };
        Action {
            step,
            session: SESSIONS[random.below(3) as usize],
            size: size as usize,
            fill: random.word() as u8,
        }
    }

    /// What it writes about.
    pub fn content(&self) -> Vec<u8> {
        vec![self.fill; self.size]
    }

    /// The records that it adds, given what was accepted so far; `number` names its batch.
    pub fn drafts(&self, oracle: &Oracle, number: usize) -> Vec<Record> {
        let model = fold(&oracle.accepted);
        let known = model.get(self.session).cloned().unwrap_or_default();
        let open = known.open.iter().next_back().copied();
        let mut drafts = Vec::new();
        let content = self.content();
        let mut seq = known.next_seq;
        if matches!(
            self.step,
            Step::Compact | Step::Checkpoint | Step::Sync | Step::Reopen
        ) {
            return drafts;
        }
        let in_turn = matches!(self.step, Step::Event | Step::Progress | Step::Complete);
        if in_turn && open.is_none() {
            return drafts;
        }
        if seq == 0 {
            drafts.push(self.record(Kind::SessionCreated, self.session, &[], 0, 1));
            seq = 2;
        }
        let mut add = |kind, name: &str, content: &[u8], about| {
            drafts.push(self.record(kind, name, content, about, seq));
            seq += 1;
        };
        match self.step {
            Step::Append | Step::Submit | Step::Buffered => add(Kind::Message, "note", &content, 0),
            Step::Begin => add(Kind::TurnSubmitted, "user", &content, 0),
            Step::Event => add(Kind::TurnEvent, "call", &content, open.unwrap_or(0)),
            Step::Progress => add(Kind::TurnProgress, "call", &content, open.unwrap_or(0)),
            Step::Complete => add(Kind::TurnCompleted, "", &content, open.unwrap_or(0)),
            Step::Put(key) => add(Kind::Put, key, &content, 0),
            Step::Remove(key) => add(Kind::Remove, key, &[], 0),
            Step::Batch(count, _) => {
                (0..count).for_each(|_| add(Kind::Message, "part", &content, 0))
            }
            Step::Truncate(from) => add(Kind::SessionTruncated, "", &[], from),
            Step::Clear => add(Kind::SessionCleared, "", &[], 0),
            Step::Delete => add(Kind::SessionDeleted, "", &[], 0),
            Step::Compact | Step::Checkpoint | Step::Sync | Step::Reopen => {}
        }
        if matches!(self.step, Step::Batch(..)) {
            let parts = drafts.iter_mut().filter(|r| r.kind == Kind::Message);
            parts.for_each(|part| part.batch = Some(number as u64));
        }
        drafts
    }

    fn record(&self, kind: Kind, name: &str, content: &[u8], about: u32, seq: u32) -> Record {
        Record {
            session: self.session.into(),
            kind,
            name: name.into(),
            content: content.to_vec(),
            about,
            batch: None,
            seq,
        }
    }

    /// Performs it, and says whether everything accepted before it returned is durable now.
    /// [`Step::Reopen`] is not for here.
    pub fn perform(&self, journal: &Journal) -> Result<bool, Error> {
        let content = self.content();
        match self.step {
            Step::Compact => return journal.compact().map(|_| true),
            Step::Checkpoint => return journal.checkpoint().map(|_| true),
            Step::Sync => return journal.sync().map(|()| true),
            Step::Event | Step::Progress | Step::Complete => return self.in_turn(journal),
            _ => {}
        }
        let session = journal.session(self.session)?;
        match self.step {
            Step::Append => session.append("note", content).map(|_| true),
            Step::Submit => session.submit("note", content).map(|_| false),
            Step::Buffered => session
                .append_with(Durability::Buffered, "note", content)
                .map(|_| false),
            Step::Begin => session.begin(Input::user(content)).map(|_| true),
            Step::Put(key) => session.put(key, content).map(|_| true),
            Step::Remove(key) => session.remove(key).map(|_| true),
            Step::Batch(count, wait) => {
                let batch = (0..count).fold(Batch::new(), |batch, _| {
                    batch.event(&session, "part", &content)
                });
                match wait {
                    true => journal.append_all(&batch).map(|_| true),
                    false => journal.submit_all(&batch).map(|_| false),
                }
            }
            Step::Truncate(from) => session.truncate_from(Seq::new(from)).map(|_| true),
            Step::Clear => session.clear().map(|_| true),
            Step::Delete => session.delete().map(|_| true),
            _ => Ok(false),
        }
    }

    fn in_turn(&self, journal: &Journal) -> Result<bool, Error> {
        let turns = journal.open_turns()?;
        let last = turns.iter().filter(|turn| turn.session == self.session);
        let Some(seq) = last.map(|turn| turn.turn).max() else {
            return Ok(true);
        };
        let turn = journal.find(self.session)?.turn(seq)?;
        let content = self.content();
        match self.step {
            Step::Event => turn.event("call", content).map(|_| false),
            Step::Progress => turn.progress("call", content).map(|_| false),
            _ => turn.complete(content).map(|_| true),
        }
    }
}
