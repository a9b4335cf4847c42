//! Any operations with any crashes, against a model that is a list.
//!
//! The model notes every record that was accepted, in LSN order, and how many of them were
//! acknowledged. After each crash the journal must end somewhere between the two, and show what a
//! replay of exactly that many records gives.

use arbitrary::{Arbitrary, Unstructured};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::{CrashModel, Keep, NameModel, OpKind, SimDisk};
use turnkeep::{Batch, Durability, Error, Input, Journal, Kind, Lsn, Options, Seq};

const PATH: &str = "/agents.journal";
const SESSIONS: [&str; 3] = ["a", "b", "../c"];

#[derive(Arbitrary, Clone, Debug)]
enum Op {
    Append {
        session: u8,
        len: u16,
    },
    Submit {
        session: u8,
        len: u16,
    },
    Buffered {
        session: u8,
        len: u16,
    },
    Batch {
        from: u8,
        to: u8,
        count: u8,
        len: u16,
    },
    Begin {
        session: u8,
        key: u8,
    },
    EndTurn {
        session: u8,
    },
    Put {
        session: u8,
        key: u8,
        len: u8,
    },
    Clear {
        session: u8,
    },
    Delete {
        session: u8,
    },
    Sync,
    Checkpoint,
    Compact,
    Close,
    Kill,
    PowerLoss {
        model: u8,
    },
    PowerLossSoon {
        ops: u8,
        model: u8,
    },
    FailSync {
        nth: u8,
        sticky: bool,
    },
    FailWrite {
        nth: u8,
    },
    Full,
    Reopen,
}

/// What one record did.
#[derive(Clone, Debug)]
enum Said {
    Created(usize),
    Message(usize, Vec<u8>),
    Began(usize, u8),
    Ended(usize),
    Put(usize, u8, Vec<u8>),
    Cleared(usize),
    Deleted(usize),
}

/// What is seen of a session.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    /// Contents of messages and the keys of turns, in order.
    told: Vec<Vec<u8>>,
    values: BTreeMap<String, Vec<u8>>,
    open: Vec<Seq>,
}

#[derive(Clone, Debug, Default)]
struct Folded {
    seen: Seen,
    next_seq: u32,
    /// The turn of each key.
    keys: BTreeMap<u8, Seq>,
}

/// Runs the operations that the bytes stand for.
///
/// # Panics
/// If the journal and the model disagree.
pub fn ops(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut world = World {
        disk: SimDisk::new(u64::arbitrary(&mut input).unwrap_or(0)),
        accepted: Vec::new(),
        acknowledged: 0,
        crash_model: CrashModel::default(),
    };
    let mut journal = Some(world.open());
    for _ in 0..200 {
        let Ok(op) = Op::arbitrary(&mut input) else {
            break;
        };
        if is_told() {
            eprintln!("{op:?}");
        }
        let is_last = input.is_empty();
        let at = journal.take().unwrap_or_else(|| world.open());
        journal = world.step(at, &op);
        if is_last {
            break;
        }
    }
    drop(journal);
    world.crash(&CrashModel::default());
    let journal = world.open();
    world.look(&journal);
}

/// Whether each step is to be printed.
fn is_told() -> bool {
    static TOLD: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *TOLD.get_or_init(|| std::env::var_os("TURNKEEP_STORY").is_some())
}

struct World {
    disk: SimDisk,
    /// By LSN, from 1.
    accepted: Vec<Said>,
    /// How many of them must be there.
    acknowledged: usize,
    /// What a power loss that comes by itself may leave.
    crash_model: CrashModel,
}

impl World {
    fn options(&self) -> Options {
        Journal::options()
            .background(false)
            .storage(Arc::new(self.disk.clone()))
            .first_segment_bytes(5 * 4096)
            .segment_bytes(12 * 4096)
            .max_record_bytes(8192)
            .max_pending_bytes(12 << 10)
            .max_packs(3)
            .keep_snapshots(2)
    }

    /// Opens the journal and compares it with the model, twice.
    fn open(&mut self) -> Journal {
        self.disk.clear_faults();
        self.disk.set_capacity(None);
        self.disk.disarm();
        self.open_once();
        self.disk.kill();
        self.open_once()
    }

    fn open_once(&mut self) -> Journal {
        let (journal, recovery) = self
            .options()
            .open(Path::new(PATH))
            .unwrap_or_else(|error| panic!("refused a correct disk: {error}"));
        if is_told() {
            eprintln!("{recovery}");
        }
        let there = recovery.next_lsn.get() as usize - 1;
        assert!(
            there >= self.acknowledged && there <= self.accepted.len(),
            "{there} records, {} acknowledged, {} accepted",
            self.acknowledged,
            self.accepted.len()
        );
        // What was not acknowledged and is not there never was; the rest stays from now on.
        self.accepted.truncate(there);
        self.acknowledged = there;
        self.compare(&journal);
        journal
    }

    fn compare(&self, journal: &Journal) {
        let model = fold(&self.accepted);
        let sessions = journal.sessions().expect("what is there is durable");
        assert_eq!(sessions.len(), model.len());
        for (at, expected) in &model {
            assert_eq!(
                &see(journal, SESSIONS[*at]),
                &expected.seen,
                "{}",
                SESSIONS[*at]
            );
        }
    }

    /// Others see the same beside the writer: a reader, and whoever verifies.
    fn look(&self, journal: &Journal) {
        let reader = self.options().open_read_only(PATH).expect("readers open");
        assert_eq!(reader.durable_lsn(), journal.durable_lsn());
        let ours = journal.sessions().expect("what is there is durable");
        assert_eq!(reader.sessions().expect("reads"), ours);
        for info in ours {
            let theirs = reader.find(&info.id).expect("it is there").read(..);
            let theirs: Result<Vec<_>, _> = theirs.expect("reads").collect();
            let own = journal.find(&info.id).expect("it is there").read(..);
            let own: Result<Vec<_>, _> = own.expect("reads").collect();
            assert_eq!(theirs.expect("reads"), own.expect("reads"));
        }
        let report = turnkeep::verify_on(Arc::new(self.disk.clone()), PATH, &mut |_| ());
        let report = report.expect("it can be verified");
        assert!(report.is_sound(), "{report}");
    }

    fn crash(&mut self, model: &CrashModel) {
        self.disk.power_loss(model);
        self.disk.restart();
    }

    /// Carries out one operation; the journal is gone if that ended it.
    fn step(&mut self, journal: Journal, op: &Op) -> Option<Journal> {
        match *op {
            Op::Reopen => {
                drop(journal);
                return self.lost_power();
            }
            Op::Kill => {
                self.disk.kill();
                return None;
            }
            Op::PowerLoss { model } => {
                self.crash(&crash_model(model));
                drop(journal);
                return None;
            }
            Op::PowerLossSoon { ops, model } => {
                self.crash_model = crash_model(model);
                self.disk.arm_power_loss(u64::from(ops % 60));
            }
            Op::FailSync { nth, sticky } => {
                let nth = 1 + u64::from(nth % 6);
                let kind = std::io::ErrorKind::Other;
                self.disk.fail_nth(OpKind::SyncData, nth, kind, sticky);
            }
            Op::FailWrite { nth } => {
                let nth = 1 + u64::from(nth % 6);
                let kind = std::io::ErrorKind::Other;
                self.disk.fail_nth(OpKind::Write, nth, kind, false);
            }
            Op::Full => self.disk.set_capacity(self.disk.used_bytes() + 3000),
            Op::Close => {
                let end = journal.accepted_lsn();
                if journal.close().is_ok() {
                    self.acknowledged = end.get() as usize - 1;
                }
                self.disk.kill();
                return self.lost_power();
            }
            ref op => self.work(&journal, op),
        }
        if self.disk.is_off() {
            drop(journal);
            return self.lost_power();
        }
        Some(journal)
    }

    fn lost_power(&mut self) -> Option<Journal> {
        if self.disk.is_off() {
            let model = self.crash_model;
            self.crash(&model);
        }
        None
    }

    /// Carries out what may append records, and notes those that were accepted.
    fn work(&mut self, journal: &Journal, op: &Op) {
        let before = journal.accepted_lsn().get() as usize - 1;
        assert_eq!(before, self.accepted.len(), "records that nobody appended");
        let mut said = Vec::new();
        let done = self.append(journal, op, &mut said);
        let outcome = match &done {
            Ok(_) => "done".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        let now = journal.accepted_lsn().get() as usize - 1;
        // A session is created on the way: that record comes first, whatever became of the rest.
        said.truncate(now - before);
        assert_eq!(
            said.len(),
            now - before,
            "accepted more than was said: {op:?}"
        );
        self.accepted.append(&mut said);
        match done {
            Ok(durable) => {
                let end = if durable { now } else { 0 };
                self.acknowledged = self.acknowledged.max(end);
            }
            Err(
                Error::Poisoned { .. }
                | Error::Io { .. }
                | Error::NoSpace { .. }
                | Error::SessionDeleted { .. }
                | Error::WrongState { .. },
            ) => {}
            Err(error) => panic!("{op:?}: {error}"),
        }
        let durable = journal.durable_lsn().get() as usize - 1;
        if is_told() {
            let end = self.accepted.len();
            eprintln!("  {outcome}; {durable} records durable, {end} accepted");
        }
        self.acknowledged = self.acknowledged.max(durable);
        assert!(self.acknowledged <= self.accepted.len());
    }

    /// Appends; says what was appended before it knows whether it was, and whether all of it is
    /// durable.
    fn append(&self, journal: &Journal, op: &Op, said: &mut Vec<Said>) -> Result<bool, Error> {
        let known = fold(&self.accepted);
        let mut open = |session: u8| {
            let at = usize::from(session) % SESSIONS.len();
            if !known.contains_key(&at)
                && !said
                    .iter()
                    .any(|s| matches!(s, Said::Created(a) if *a == at))
            {
                said.push(Said::Created(at));
            }
            journal.session(SESSIONS[at]).map(|session| (at, session))
        };
        match *op {
            Op::Append { session, len } => {
                let (at, session) = open(session)?;
                let content = content(said.len() + self.accepted.len(), len);
                said.push(Said::Message(at, content.clone()));
                session.append("m", content)?;
                Ok(true)
            }
            Op::Submit { session, len } => {
                let (at, session) = open(session)?;
                let content = content(said.len() + self.accepted.len(), len);
                said.push(Said::Message(at, content.clone()));
                let _ticket = session.submit("m", content)?;
                Ok(false)
            }
            Op::Buffered { session, len } => {
                let (at, session) = open(session)?;
                let content = content(said.len() + self.accepted.len(), len);
                said.push(Said::Message(at, content.clone()));
                session.append_with(Durability::Buffered, "m", content)?;
                Ok(false)
            }
            Op::Batch {
                from,
                to,
                count,
                len,
            } => {
                let (a, from) = open(from)?;
                let (b, to) = open(to)?;
                let mut batch = Batch::new();
                for n in 0..1 + count % 5 {
                    let content = content(said.len() + self.accepted.len(), len % 700);
                    let (at, session) = if n % 2 == 0 { (a, &from) } else { (b, &to) };
                    said.push(Said::Message(at, content.clone()));
                    batch = batch.event(session, "m", content);
                }
                journal.append_all(&batch)?;
                Ok(true)
            }
            Op::Begin { session, key } => {
                let (at, session) = open(session)?;
                let key = key % 8;
                let before = known.get(&at).and_then(|folded| folded.keys.get(&key));
                if before.is_none() {
                    said.push(Said::Began(at, key));
                }
                let turn = session.begin(Input::new("turn", [key]).key([key]))?;
                assert_eq!(turn.is_new(), before.is_none(), "one key, one turn");
                assert!(before.is_none_or(|seq| *seq == turn.id()));
                Ok(true)
            }
            Op::EndTurn { session } => {
                let at = usize::from(session) % SESSIONS.len();
                let Some(turn) = known.get(&at).and_then(|folded| folded.seen.open.first()) else {
                    return Ok(false);
                };
                said.push(Said::Ended(at));
                let turn = journal.find(SESSIONS[at])?.turn(*turn)?;
                turn.complete("end")?;
                assert!(turn.complete("twice").is_err());
                Ok(true)
            }
            Op::Put { session, key, len } => {
                let (at, session) = open(session)?;
                let content = content(said.len() + self.accepted.len(), len.into());
                said.push(Said::Put(at, key % 4, content.clone()));
                session.put(&format!("k{}", key % 4), content)?;
                Ok(true)
            }
            Op::Clear { session } => {
                let (at, session) = open(session)?;
                said.push(Said::Cleared(at));
                session.clear()?;
                Ok(true)
            }
            Op::Delete { session } => {
                let (at, session) = open(session)?;
                said.push(Said::Deleted(at));
                session.delete()?;
                Ok(true)
            }
            Op::Sync => journal.sync().map(|()| true),
            Op::Checkpoint => journal.checkpoint().map(|_| false),
            Op::Compact => journal.compact().map(|_| false),
            _ => Ok(false),
        }
    }
}

fn crash_model(bits: u8) -> CrashModel {
    CrashModel {
        names: if bits & 1 == 0 {
            NameModel::Posix
        } else {
            NameModel::Ordered
        },
        torn: bits & 2 == 0,
        psow: bits & 4 != 0,
        keep: match bits >> 4 {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            _ => Keep::Random,
        },
        failed_syncs_may_land: bits & 8 != 0,
    }
}

/// Contents differ from record to record.
fn content(n: usize, len: u16) -> Vec<u8> {
    let mut content = n.to_le_bytes().to_vec();
    content.resize(8 + usize::from(len) % 3000, n as u8);
    content
}

/// What the records up to some LSN give.
fn fold(accepted: &[Said]) -> BTreeMap<usize, Folded> {
    let mut sessions: BTreeMap<usize, Folded> = BTreeMap::new();
    for said in accepted {
        let at = match said {
            Said::Created(at) => {
                let fresh = Folded {
                    next_seq: 2,
                    ..Folded::default()
                };
                assert!(sessions.insert(*at, fresh).is_none());
                continue;
            }
            Said::Deleted(at) => {
                sessions.remove(at);
                continue;
            }
            Said::Message(at, _)
            | Said::Began(at, _)
            | Said::Ended(at)
            | Said::Put(at, ..)
            | Said::Cleared(at) => at,
        };
        let session = sessions.get_mut(at).expect("it was created");
        let seq = Seq::new(session.next_seq);
        session.next_seq += 1;
        match said {
            Said::Message(_, content) => session.seen.told.push(content.clone()),
            Said::Began(_, key) => {
                session.seen.told.push(vec![*key]);
                session.seen.open.push(seq);
                session.keys.insert(*key, seq);
            }
            Said::Ended(_) => drop(session.seen.open.remove(0)),
            Said::Put(_, key, value) => {
                session.seen.values.insert(format!("k{key}"), value.clone());
            }
            Said::Cleared(_) => {
                session.seen = Seen::default();
                session.keys.clear();
            }
            Said::Created(_) | Said::Deleted(_) => {}
        }
    }
    sessions
}

/// What the journal shows of a session.
fn see(journal: &Journal, id: &str) -> Seen {
    let session = journal.find(id).expect("the model has it");
    let entries = session.read(..).expect("it can be read");
    let mut seen = Seen::default();
    let mut last = Seq::default();
    for entry in entries {
        let entry = entry.expect("what is durable can be read");
        assert!(entry.seq > last, "out of order");
        last = entry.seq;
        if matches!(entry.kind, Kind::Message | Kind::TurnSubmitted) {
            seen.told.push(entry.content);
        }
    }
    for key in session.keys().expect("durable") {
        let value = session.get(&key).expect("durable");
        seen.values.insert(key, value.expect("a key has a value"));
    }
    let turns = journal.open_turns().expect("durable");
    let own = turns.iter().filter(|turn| turn.session == id);
    seen.open = own.map(|turn| turn.turn).collect();
    assert!(
        journal
            .read(Lsn::new(1))
            .expect("durable")
            .all(|entry| entry.is_ok())
    );
    seen
}
