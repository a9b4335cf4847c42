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
use turnkeep::{Batch, Claim, Durability, Error, Input, InputStatus, Journal, Kind, Recovery};

const PATH: &str = "/agents.journal";

#[derive(Clone, Debug)]
enum Command {
    Append(usize, u16),
    Submit(usize, u16),
    Buffered(usize, u16),
    Batch(Vec<(usize, u16)>),
    Delete(usize),
    Enqueue(usize, u64),
    Claim,
    /// Something becomes of one of the claims.
    End(usize, End),
    /// One of the queued inputs is taken back.
    Withdraw(usize),
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

/// What becomes of a claim.
#[derive(Clone, Copy, Debug)]
enum End {
    Begin,
    Confirm,
    Release,
    Bury,
    Drop,
}

fn end() -> impl Strategy<Value = End> {
    use End::{Begin, Bury, Confirm, Drop, Release};
    prop::sample::select(vec![Begin, Confirm, Release, Bury, Drop])
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
        3 => (0..3_usize, 0..3_u64).prop_map(|(session, p)| Command::Enqueue(session, p)),
        4 => Just(Command::Claim),
        3 => (any::<usize>(), end()).prop_map(|(n, end)| Command::End(n, end)),
        1 => any::<usize>().prop_map(Command::Withdraw),
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
    Queued(u64),
    Input(u64, About),
}

/// What became of the input that was queued with an LSN.
#[derive(Clone, Copy)]
enum About {
    /// In this run of the host.
    Claimed(u32),
    Released,
    /// In this run.
    Buried(u32),
    Gone,
}

/// Queued input, as the records make it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Queued {
    session: usize,
    priority: u64,
    claims: u32,
    lost: u32,
    /// The run in which it was claimed last, if that is where it stands.
    claimed: Option<u32>,
    dead: bool,
}

impl Queued {
    fn lost(&self, run: u32) -> u32 {
        self.lost + u32::from(self.claimed.is_some_and(|claimed| claimed < run))
    }

    fn status(&self, run: u32) -> InputStatus {
        match self.dead {
            true => InputStatus::Dead,
            false if self.claimed == Some(run) => InputStatus::Claimed,
            false => InputStatus::Waiting,
        }
    }
}

/// What is queued, by LSN.
fn queue(log: &[Accepted]) -> BTreeMap<u64, Queued> {
    let mut queue: BTreeMap<u64, Queued> = BTreeMap::new();
    for (at, Accepted { session, what, .. }) in log.iter().enumerate() {
        match what {
            What::Queued(priority) => {
                let queued = Queued {
                    session: *session,
                    priority: *priority,
                    claims: 0,
                    lost: 0,
                    claimed: None,
                    dead: false,
                };
                queue.insert(at as u64 + 1, queued);
            }
            What::Deleted => queue.retain(|_, queued| queued.session != *session),
            What::Input(lsn, About::Gone) => drop(queue.remove(lsn)),
            What::Input(lsn, about) => {
                let queued = queue.get_mut(lsn).expect("it was queued before");
                match about {
                    About::Claimed(run) => {
                        queued.lost = queued.lost(*run);
                        queued.claims += 1;
                        queued.claimed = Some(*run);
                    }
                    About::Buried(run) => {
                        queued.lost = queued.lost(*run);
                        queued.dead = true;
                        queued.claimed = None;
                    }
                    _ => queued.claimed = None,
                }
            }
            _ => {}
        }
    }
    queue
}

/// The input that is to be claimed next.
fn next(queue: &BTreeMap<u64, Queued>, run: u32) -> Option<(u64, Queued)> {
    let mut best: Option<(u64, Queued)> = None;
    for (lsn, queued) in queue {
        let is_more = best.is_none_or(|(_, best)| queued.priority > best.priority);
        if queued.status(run) == InputStatus::Waiting && is_more {
            best = Some((*lsn, *queued));
        }
    }
    best
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
                What::Queued(_) | What::Input(..) => {}
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
    /// Which run of the host this is.
    runs: u32,
    claims: Vec<(u64, usize, Claim)>,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        Pair {
            disk: SimDisk::new(seed),
            journal: None,
            model: Model::default(),
            batches: 0,
            bytes: 0,
            runs: 0,
            claims: Vec::new(),
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
        self.runs += 1;
        self.compare()?;
        self.compare_queue()
    }

    /// All claims have ended with the host that made them, and nothing else has changed.
    fn compare_queue(&self) -> TestCaseResult {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let pending = journal.pending().map_err(failed)?;
        let found: BTreeMap<u64, _> = pending
            .iter()
            .map(|input| {
                let counts = (input.claims, input.lost_claims);
                let of = (input.session.clone(), input.priority, input.status);
                (input.lsn.get(), (of, counts))
            })
            .collect();
        let expected: BTreeMap<u64, _> = queue(&self.model.log)
            .into_iter()
            .map(|(lsn, queued)| {
                let status = queued.status(self.runs);
                let counts = (queued.claims, queued.lost(self.runs));
                (
                    lsn,
                    ((name(queued.session), queued.priority, status), counts),
                )
            })
            .collect();
        prop_assert_eq!(found, expected);
        Ok(())
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
                self.claims.clear();
                self.disk.restart();
            }
            _ => self.disk.kill(),
        }
        // They are of no journal any more, and say nothing.
        self.claims.clear();
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
            Err(Error::SessionDeleted { .. }) if matches!(command, Command::End(..)) => {}
            Err(Error::InputClaimed { .. }) if matches!(command, Command::Withdraw(_)) => {}
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
        match command {
            Command::Claim => return self.claim(journal, offered),
            Command::End(n, end) => return self.end_claim(journal, *n, *end, offered),
            Command::Withdraw(n) => return self.withdraw(journal, *n, offered),
            _ => {}
        }
        let wanted: &[(usize, u16)] = match command {
            Command::Enqueue(session, _) => &[(*session, 40)],
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
                    Command::Enqueue(_, priority) => What::Queued(*priority),
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
            Command::Enqueue(_, priority) => {
                let input = Input::user(&notes[0]).priority(*priority);
                sessions[0].enqueue(input).map(|queued| queued.is_new)
            }
            Command::Sync => journal.sync().map(|()| true),
            Command::Compact => journal.compact().map(|_| false),
            _ => journal.checkpoint().map(|_| false),
        }
    }

    /// Claims what comes next; what no host survived is buried on the way.
    fn claim(&mut self, journal: &Journal, offered: &mut Vec<Accepted>) -> turnkeep::Result<bool> {
        let mut log = self.model.log.clone();
        let expected = loop {
            let Some((lsn, queued)) = next(&queue(&log), self.runs) else {
                break None;
            };
            let is_poison = queued.lost(self.runs) >= 3;
            let about = match is_poison {
                true => About::Buried(self.runs),
                false => About::Claimed(self.runs),
            };
            let said = self.accepted(queued.session, What::Input(lsn, about));
            log.push(said.clone());
            offered.push(said);
            if !is_poison {
                break Some((lsn, queued.session));
            }
        };
        let claim = journal.claim("host")?;
        let found = claim.as_ref().map(|claim| claim.entry().lsn.get());
        assert_eq!(found, expected.map(|(lsn, _)| lsn));
        if let (Some((lsn, session)), Some(claim)) = (expected, claim) {
            self.claims.push((lsn, session, claim));
        }
        Ok(expected.is_some())
    }

    fn end_claim(
        &mut self,
        journal: &Journal,
        n: usize,
        end: End,
        offered: &mut Vec<Accepted>,
    ) -> turnkeep::Result<bool> {
        if self.claims.is_empty() {
            return Ok(false);
        }
        let (lsn, session, claim) = self.claims.swap_remove(n % self.claims.len());
        if !queue(&self.model.log).contains_key(&lsn) {
            // Its session was deleted; one of that name may be there again.
            let error = claim.confirm().expect_err("the input is gone");
            return match error {
                Error::SessionDeleted { .. } | Error::Poisoned { .. } => Ok(false),
                error => Err(error),
            };
        }
        let about = match end {
            End::Begin | End::Confirm => About::Gone,
            End::Release | End::Drop => About::Released,
            End::Bury => About::Buried(self.runs),
        };
        let said = self.accepted(session, What::Input(lsn, about));
        let before = journal.accepted_lsn();
        let done = match end {
            End::Begin => claim.begin().map(|_| true),
            End::Confirm => claim.confirm().map(|_| true),
            End::Release => claim.release("no").map(|_| true),
            End::Bury => claim.bury("no").map(|_| true),
            End::Drop => {
                drop(claim);
                Ok(false)
            }
        };
        let is_refused = matches!(&done, Err(error) if !matches!(error, Error::Poisoned { .. }));
        let was_said = journal.accepted_lsn() != before;
        if is_refused && was_said {
            // What was to be said did not fit; that the claim was let go did.
            offered.push(self.accepted(session, What::Input(lsn, About::Released)));
        } else if was_said || !matches!(end, End::Drop) {
            offered.push(said);
        }
        done
    }

    fn withdraw(
        &mut self,
        journal: &Journal,
        n: usize,
        offered: &mut Vec<Accepted>,
    ) -> turnkeep::Result<bool> {
        let queue = queue(&self.model.log);
        let Some((lsn, queued)) = queue.iter().nth(n % queue.len().max(1)) else {
            return Ok(false);
        };
        let session = journal.find(&name(queued.session))?;
        let pending = session.pending()?;
        let input = pending.iter().find(|input| input.lsn.get() == *lsn);
        let input = input.expect("it is queued").input;
        if queued.status(self.runs) != InputStatus::Claimed {
            offered.push(self.accepted(queued.session, What::Input(*lsn, About::Gone)));
        }
        session.withdraw(input, "no").map(|_| true)
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

fn failed(error: Error) -> TestCaseError {
    TestCaseError::fail(error.to_string())
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
