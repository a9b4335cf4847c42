//! The whole engine against a twenty-line model, with crashes among the commands.
//!
//! proptest draws a list of commands; the journal runs them on the simulated disk and the model
//! in a list. After each crash, kill or close the journal must say what the model says: all that
//! was acknowledged, batches whole, nothing else. A list that breaks this is shrunk to the
//! shortest that does. The model shares no code with the engine, nor with the other oracles.
//! `PROPTEST_CASES=100000` runs more.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::{CrashModel, Keep, NameModel, OpKind, SimDisk};
use turnkeep::{Batch, Durability, Error, Journal, Kind, Recovery};

const PATH: &str = "/agents.journal";

#[derive(Clone, Debug)]
enum Command {
    Append(usize, u16),
    Submit(usize, u16),
    Buffered(usize, u16),
    Batch(Vec<(usize, u16)>),
    Delete(usize),
    Sync,
    Compact,
    Checkpoint,
    /// The next sync of a file fails.
    FailSync,
    /// The disk has so much room left, until the process ends.
    Room(u16),
    Close,
    Kill,
    PowerLoss(CrashModel, u64),
}

fn command() -> impl Strategy<Value = Command> {
    let record = || (0..3_usize, 0..2500_u16);
    let append = record().prop_map(|(session, size)| Command::Append(session, size));
    let submit = record().prop_map(|(session, size)| Command::Submit(session, size));
    let buffered = record().prop_map(|(session, size)| Command::Buffered(session, size));
    let batch = prop::collection::vec(record(), 2..5).prop_map(Command::Batch);
    let model = (any::<[bool; 4]>(), 0..8_u8).prop_map(|([posix, torn, psow, land], keep)| {
        let names = [NameModel::Ordered, NameModel::Posix][usize::from(posix)];
        let keep = match keep {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            _ => Keep::Random,
        };
        CrashModel {
            names,
            torn,
            psow,
            keep,
            failed_syncs_may_land: land,
        }
    });
    let power = (model, any::<u64>()).prop_map(|(model, seed)| Command::PowerLoss(model, seed));
    prop_oneof![
        8 => append,
        4 => submit,
        3 => buffered,
        4 => batch,
        1 => (0..3_usize).prop_map(Command::Delete),
        1 => Just(Command::Sync),
        2 => Just(Command::Compact),
        1 => Just(Command::Checkpoint),
        1 => Just(Command::FailSync),
        1 => (0..40_000_u16).prop_map(Command::Room),
        1 => Just(Command::Close),
        2 => Just(Command::Kill),
        4 => power,
    ]
}

/// The model: what was accepted, in order, and how much of it was acknowledged.
#[derive(Default)]
struct Model {
    log: Vec<Accepted>,
    acknowledged: usize,
}

#[derive(Clone)]
struct Accepted {
    session: usize,
    what: What,
    /// The same number for all that is there together or not at all.
    batch: usize,
}

#[derive(Clone)]
enum What {
    Created,
    Deleted,
    Note(Vec<u8>),
}

impl Model {
    /// What each session holds; nothing at all if it was deleted.
    fn sessions(&self) -> BTreeMap<usize, Option<Vec<&[u8]>>> {
        let mut sessions = BTreeMap::new();
        for Accepted { session, what, .. } in &self.log {
            match what {
                What::Created => drop(sessions.insert(*session, Some(Vec::new()))),
                What::Deleted => drop(sessions.insert(*session, None)),
                What::Note(bytes) => {
                    let notes = sessions.get_mut(session).and_then(Option::as_mut);
                    notes.expect("it was made before").push(&bytes[..]);
                }
            }
        }
        sessions
    }

    /// After a crash, `count` records are there.
    fn crash(&mut self, count: usize) -> TestCaseResult {
        prop_assert!(
            count >= self.acknowledged,
            "lost: {count} of {}",
            self.acknowledged
        );
        prop_assert!(
            count <= self.log.len(),
            "invented: {count} of {}",
            self.log.len()
        );
        if let (Some(last), Some(next)) = (self.log[..count].last(), self.log.get(count)) {
            prop_assert_ne!(last.batch, next.batch, "a batch was split");
        }
        self.log.truncate(count);
        self.acknowledged = count;
        Ok(())
    }
}

/// The journal and its model, side by side.
struct Pair {
    disk: SimDisk,
    journal: Option<Journal>,
    model: Model,
    batches: usize,
    bytes: u8,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        Pair {
            disk: SimDisk::new(seed),
            journal: None,
            model: Model::default(),
            batches: 0,
            bytes: 0,
        }
    }

    fn open(&mut self) -> TestCaseResult {
        let options = Journal::options()
            .background(false)
            .storage(Arc::new(self.disk.clone()))
            .first_segment_bytes(5 * 4096)
            .segment_bytes(12 * 4096)
            .max_record_bytes(8192)
            .max_pending_bytes(12 << 10)
            .max_packs(2);
        let opened = options.open(Path::new(PATH));
        let (journal, recovery): (Journal, Recovery) =
            opened.map_err(|e| TestCaseError::fail(format!("a correct disk is refused: {e}")))?;
        self.model.crash(recovery.next_lsn.get() as usize - 1)?;
        self.journal = Some(journal);
        self.compare()
    }

    /// What the journal says is what the model says.
    fn compare(&self) -> TestCaseResult {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let read = |session: usize| -> turnkeep::Result<Vec<Vec<u8>>> {
            let entries = journal.find(&name(session))?.read(..)?;
            let notes = entries.filter(|entry| {
                entry
                    .as_ref()
                    .map_or(true, |entry| entry.kind == Kind::Message)
            });
            notes.map(|entry| Ok(entry?.content)).collect()
        };
        let sessions = self.model.sessions();
        for session in 0..3 {
            match (read(session), sessions.get(&session)) {
                (Ok(found), Some(Some(expected))) => prop_assert_eq!(&found, expected),
                (Err(Error::SessionDeleted { .. }), Some(None)) => {}
                (Err(Error::UnknownSession { .. }), None) => {}
                (found, expected) => {
                    prop_assert!(false, "session {session}: {found:?}, expected {expected:?}");
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, command: &Command) -> TestCaseResult {
        let journal = self.journal.take();
        match command {
            Command::Close => {
                let closed = journal.map(Journal::close);
                if let Some(Ok(())) = closed {
                    self.model.acknowledged = self.model.log.len();
                }
                self.disk.kill();
            }
            Command::PowerLoss(model, seed) => {
                self.disk.reseed(*seed);
                self.disk.power_loss(model);
                self.disk.restart();
            }
            _ => self.disk.kill(),
        }
        self.disk.clear_faults();
        self.disk.set_capacity(None);
        self.open()
    }

    fn run(&mut self, command: &Command) -> TestCaseResult {
        match command {
            Command::FailSync => {
                let kind = OpKind::SyncData;
                self.disk
                    .fail_nth(kind, 1, std::io::ErrorKind::Other, false);
                return Ok(());
            }
            Command::Room(bytes) => {
                let room = self.disk.used_bytes() + u64::from(*bytes);
                self.disk.set_capacity(room);
                return Ok(());
            }
            Command::Close | Command::Kill | Command::PowerLoss(..) => return self.end(command),
            _ => {}
        }
        let Some(journal) = self.journal.clone() else {
            return Ok(());
        };
        let before = self.model.log.len();
        let mut offered = Vec::new();
        let result = self.offer(&journal, command, &mut offered);
        // What was accepted are the first of what was offered, and LSNs tell how many.
        let accepted = journal.accepted_lsn().get() as usize - 1 - before;
        prop_assert!(
            accepted <= offered.len(),
            "{accepted} accepted of {}",
            offered.len()
        );
        self.model.log.extend(offered.drain(..accepted));
        match result {
            Ok(is_durable) => {
                prop_assert!(offered.is_empty(), "acknowledged, and not accepted");
                if is_durable {
                    self.model.acknowledged = self.model.log.len();
                }
            }
            Err(Error::NoSpace { .. } | Error::TooLarge { .. } | Error::Poisoned { .. }) => {}
            Err(Error::Io { .. }) => {}
            Err(error) => prop_assert!(false, "{command:?}: {error}"),
        }
        let durable = journal.durable_lsn().get() as usize - 1;
        self.model.acknowledged = self.model.acknowledged.max(durable);
        Ok(())
    }

    /// Does what the command says. True if all of it was acknowledged.
    fn offer(
        &mut self,
        journal: &Journal,
        command: &Command,
        offered: &mut Vec<Accepted>,
    ) -> turnkeep::Result<bool> {
        let wanted: &[(usize, u16)] = match command {
            Command::Append(session, size)
            | Command::Submit(session, size)
            | Command::Buffered(session, size) => &[(*session, *size)],
            Command::Batch(records) => records,
            Command::Delete(session) => &[(*session, 0)],
            _ => &[],
        };
        let sessions = self.model.sessions().into_iter();
        let mut live: Vec<usize> = sessions
            .filter_map(|(session, notes)| notes.map(|_| session))
            .collect();
        let mut sessions = Vec::new();
        for (session, _) in wanted {
            if !live.contains(session) {
                live.push(*session);
                offered.push(self.accepted(*session, What::Created));
            }
            sessions.push(journal.session(&name(*session))?);
        }
        let notes: Vec<Vec<u8>> = wanted.iter().map(|(_, size)| self.note(*size)).collect();
        self.batches += 1;
        let batch = self.batches;
        for ((session, _), note) in wanted.iter().zip(&notes) {
            offered.push(Accepted {
                session: *session,
                what: match command {
                    Command::Delete(_) => What::Deleted,
                    _ => What::Note(note.clone()),
                },
                batch,
            });
        }
        match command {
            Command::Append(..) => sessions[0].append("note", &notes[0]).map(|_| true),
            Command::Submit(..) => sessions[0].submit("note", &notes[0]).map(|_| false),
            Command::Buffered(..) => sessions[0]
                .append_with(Durability::Buffered, "note", &notes[0])
                .map(|_| false),
            Command::Batch(_) => {
                let records = sessions.iter().zip(&notes);
                let batch = records.fold(Batch::new(), |batch, (session, note)| {
                    batch.event(session, "note", note)
                });
                journal.append_all(&batch).map(|_| true)
            }
            Command::Delete(_) => sessions[0].delete().map(|_| true),
            Command::Sync => journal.sync().map(|()| true),
            Command::Compact => journal.compact().map(|_| false),
            _ => journal.checkpoint().map(|_| false),
        }
    }

    fn accepted(&mut self, session: usize, what: What) -> Accepted {
        self.batches += 1;
        Accepted {
            session,
            what,
            batch: self.batches,
        }
    }

    /// Content unlike any before, as far as one byte can tell.
    fn note(&mut self, size: u16) -> Vec<u8> {
        self.bytes = self.bytes.wrapping_add(1);
        let first = self.bytes;
        (0..size)
            .map(|at| first.wrapping_add((at % 251) as u8))
            .collect()
    }
}

fn name(session: usize) -> String {
    ["a", "b", "c"][session].to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_engine_says_what_a_list_says_whatever_crashes_come(
        seed in any::<u64>(),
        commands in prop::collection::vec(command(), 1..60),
    ) {
        let mut pair = Pair::new(seed);
        pair.open()?;
        for command in &commands {
            pair.run(command)?;
        }
        pair.end(&Command::Kill)?;
    }
}
