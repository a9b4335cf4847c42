//! The process that is killed: an agent host that journals turns as fast as it can.

use super::ledger::{Message, Speaker};
use super::workload::{Op, Step, Steps, Workload};
use crate::exit::{Exit, Failure, Result};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use turnkeep::{Input, Journal, Kind, Options, Seq, Session, Ticket, Turn};

/// How many threads work, if there are as many sessions. More than cores, so that appends meet.
const THREADS: u32 = 8;

/// Every so many events one is waited for, so that acknowledgements also fall into turns.
const WAIT_EVERY: u64 = 4;

/// How demonstrations open their journal: with small segments and early compaction, so that
/// kills fall into rotation, compaction and the publication of snapshots too.
pub fn options() -> Options {
    Journal::options()
        .segment_bytes(8 << 20)
        .compact_after_bytes(8 << 20)
}

/// The id of a session.
pub fn session_id(session: u32) -> String {
    format!("agent-{session:03}")
}

/// What a record of the journal is in the workload; `None` for records that are no step.
pub fn op_of(kind: Kind) -> Option<Op> {
    match kind {
        Kind::TurnSubmitted => Some(Op::Begin),
        Kind::TurnEvent => Some(Op::Event),
        Kind::TurnCompleted => Some(Op::Complete),
        _ => None,
    }
}

/// Journals the work of `sessions` sessions until standard input ends, or for ever.
pub fn run(
    path: &Path,
    workload: &Workload,
    sessions: u32,
    out: impl Write + Send,
) -> Result<Exit> {
    let (journal, _) = options().open(path)?;
    let speaker = Speaker::new(out);
    speaker.tell(&[Message::Opened])?;
    thread::spawn(|| {
        // The parent holds the other end: it is gone, whatever way it went.
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let failed = AtomicBool::new(false);
    let threads = sessions.min(THREADS);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                let mine = (first..sessions).step_by(threads as usize);
                let (journal, speaker, failed) = (&journal, &speaker, &failed);
                scope.spawn(move || {
                    let worked = work(journal, workload, mine, speaker, failed);
                    failed.store(true, Ordering::Relaxed);
                    worked
                })
            })
            .collect();
        let ends = workers.into_iter().map(|worker| worker.join());
        let ends: Vec<_> = ends.collect();
        ends.into_iter()
            .try_for_each(|end| end.expect("workers do not panic"))
    })?;
    Ok(Exit::Ok)
}

/// Works on some sessions in turn until something fails.
fn work(
    journal: &Journal,
    workload: &Workload,
    sessions: impl Iterator<Item = u32>,
    speaker: &Speaker<impl Write>,
    failed: &AtomicBool,
) -> Result<()> {
    let agents = sessions.map(|session| Agent::resume(journal, workload, session));
    let mut agents = agents.collect::<Result<Vec<_>>>()?;
    while !failed.load(Ordering::Relaxed) {
        for agent in &mut agents {
            agent.step(speaker)?;
        }
    }
    Ok(())
}

/// One session at work.
struct Agent<'w> {
    workload: &'w Workload,
    session: Session,
    steps: Steps<'w>,
    turn: Option<Turn>,
}

impl<'w> Agent<'w> {
    /// Goes on behind what the session holds. A turn that was cut off is worked on further, as
    /// another attempt.
    fn resume(journal: &Journal, workload: &'w Workload, session: u32) -> Result<Agent<'w>> {
        let mut steps = workload.steps(session);
        let session = journal.session(&session_id(session))?;
        let mut open: Option<Seq> = None;
        for entry in session.read(..)? {
            let entry = entry?;
            let Some(op) = op_of(entry.kind) else {
                continue;
            };
            steps.next();
            match op {
                Op::Begin => open = Some(entry.seq),
                Op::Event => {}
                Op::Complete => open = None,
            }
        }
        let turn = match open {
            Some(turn) => {
                let mut turn = session.turn(turn)?;
                turn.retry()?;
                Some(turn)
            }
            None => None,
        };
        Ok(Agent {
            workload,
            session,
            steps,
            turn,
        })
    }

    /// Announces, does and acknowledges the next step. An acknowledgement also speaks for all
    /// steps before it.
    fn step(&mut self, speaker: &Speaker<impl Write>) -> Result<()> {
        let step = self.steps.next().expect("steps never end");
        let Step { session, index, .. } = step;
        let payload = self.workload.payload(&step);
        speaker.tell(&[Message::Announced { session, index }])?;
        let is_durable = match (step.op, &self.turn) {
            (Op::Begin, _) => {
                self.turn = Some(self.session.begin(Input::user(&payload))?);
                true
            }
            (Op::Event, Some(turn)) => {
                let ticket: Ticket = turn.event("event", &payload)?;
                if index % WAIT_EVERY == 0 {
                    ticket.wait()?;
                }
                index % WAIT_EVERY == 0
            }
            (Op::Complete, Some(turn)) => {
                turn.complete(&payload)?;
                self.turn = None;
                true
            }
            (_, None) => {
                let message = format!("session {session} has no open turn at step {index}");
                return Err(Failure::new(Exit::Damaged, "demo_host", message));
            }
        };
        if is_durable {
            speaker.tell(&[Message::Acknowledged { session, index }])?;
        }
        Ok(())
    }
}
