//! systemprompt-code-orchestrator's main loop: tasks with a status and a log, each worked on by
//! an agent, a report when it is done.
//!
//! `cargo run --example systemprompt -- DIR`. A task is a session with one turn; a line of its log
//! is an append and not the whole task again. Creating is another word than updating, a task that
//! has ended takes no more, and one that was in progress when the host stopped ends with that reason.
use std::path::Path;
use turnkeep::{Error, Input, Journal, Result, TurnState};

/// The tasks that are asked for, by id.
const TASKS: [(&str, &str); 3] = [
    ("550e8400-e29b-41d4-a716-446655440000", "build it"),
    ("650e8400-e29b-41d4-a716-446655440000", "test it"),
    ("750e8400-e29b-41d4-a716-446655440000", "ship it"),
];

/// One life of the server. `step` is called wherever it may be killed.
pub fn life(dir: &Path, step: &mut dyn FnMut()) -> Result<()> {
    let (journal, _) = Journal::options().background(false).open(dir)?;
    for cut in journal.open_turns()? {
        let task = journal.find(&cut.session)?.turn(cut.turn)?;
        match cut.state {
            // Nobody had begun it: it is still pending, and is worked on below.
            TurnState::Submitted => {}
            _ => drop(task.interrupt("the server stopped while it was in progress")?),
        }
        step();
    }
    for (id, what) in TASKS {
        create(&journal, id, what)?;
        step();
    }
    for cut in journal.open_turns()? {
        work(&journal, &cut.session, cut.turn, step)?;
    }
    journal.close()
}

/// Creates a task, or says that it is there.
fn create(journal: &Journal, id: &str, what: &str) -> Result<bool> {
    let session = match journal.create_session(id) {
        Err(Error::SessionExists { .. }) => journal.find(id)?,
        created => created?,
    };
    let task = session.begin(Input::new("task", what).key(id).actor("CLAUDECODE"))?;
    Ok(task.is_new())
}

fn work(journal: &Journal, id: &str, turn: turnkeep::Seq, step: &mut dyn FnMut()) -> Result<()> {
    let session = journal.find(id)?;
    let mut task = session.turn(turn)?.owner("claude_1");
    task.started()?;
    for line in ["process:start", "tool:start", "tool:end"] {
        task.event("log", line)?.wait()?;
        step();
    }
    session.put("report", format!("{{\"task\":\"{id}\"}}"))?;
    step();
    task.complete(r#"{"output":"done","success":true}"#)?;
    let late = task
        .event("log", "after its end")
        .and_then(|ticket| ticket.wait());
    assert!(matches!(late, Err(Error::TurnEnded { .. })));
    step();
    Ok(())
}

/// What must hold after any number of lives: each task exists once and has ended once; what
/// ended well has its whole log and its report.
pub fn check(journal: &Journal) -> Result<()> {
    assert!(journal.open_turns()?.is_empty());
    for (id, what) in TASKS {
        assert!(!create(journal, id, what)?);
        let session = journal.find(id)?;
        let (mut logs, mut ends) = (0, Vec::new());
        for entry in session.read(..)? {
            let entry = entry?;
            logs += usize::from(entry.name == "log");
            if entry.kind.is_turn_end() {
                ends.push(entry.kind);
            }
        }
        assert_eq!(ends.len(), 1, "{id}");
        if ends[0] == turnkeep::Kind::TurnCompleted {
            assert_eq!(logs, 3);
            assert!(session.get("report")?.is_some());
        }
    }
    Ok(())
}

#[allow(dead_code, reason = "a test is the other host of `life`")]
fn main() -> Result<()> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or("systemprompt.journal".into());
    life(Path::new(&dir), &mut || {})?;
    check(&Journal::open(&dir)?.0)
}
