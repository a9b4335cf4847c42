//! claudelet's main loop: a terminal in which one types while an answer is made; what is typed
//! waits, urgent words first, and a restart goes on where it was.
//!
//! `cargo run --example claudelet -- DIR`. There is nothing to autosave: a message is durable
//! before it is shown. A turn that a crash cut short is taken up again, as a further attempt.
use std::path::Path;
use turnkeep::{Input, Journal, Result, Session, Turn};

const ID: &str = "session-1765895400000-abc123";

/// What is typed, with its class and how urgent that is.
const TYPED: [(&str, &str, u64, &str); 4] = [
    ("msg-1", "normal", 1, "explain the queue"),
    ("msg-2", "todo", 0, "write it down"),
    ("msg-3", "urgent", 2, "stop, first the tests"),
    ("msg-4", "normal", 1, "and go on"),
];

/// One life of the terminal. `step` is called wherever it may be killed.
pub fn life(dir: &Path, step: &mut dyn FnMut()) -> Result<()> {
    let (journal, _) = Journal::options().background(false).open(dir)?;
    let session = resume(&journal)?;
    step();
    // What was open when the last life ended: once more, with everything that was said.
    for cut in journal.open_turns()? {
        let mut turn = session.turn(cut.turn)?;
        turn.interrupt_calls("the terminal was closed")?;
        turn.retry()?;
        step();
        answer(&turn, step)?;
    }
    for (id, class, priority, text) in TYPED {
        session.enqueue(Input::new(class, text).key(id).priority(priority))?;
        step();
    }
    // The claim becomes a turn in one record: never both, never neither.
    while let Some(claim) = session.claim("terminal")? {
        step();
        let mut turn = claim.begin()?;
        step();
        turn.started()?;
        answer(&turn, step)?;
    }
    journal.close()
}

/// The session that was last active in this folder, or a new one.
fn resume(journal: &Journal) -> Result<Session> {
    let mut latest = None;
    for info in journal.sessions()? {
        let session = journal.find(&info.id)?;
        let is_here = session.get("cwd")?.as_deref() == Some(b"/p");
        if is_here && latest.as_ref().is_none_or(|(at, _)| *at < info.active_lsn) {
            latest = Some((info.active_lsn, session));
        }
    }
    if let Some((_, session)) = latest {
        return Ok(session);
    }
    let session = journal.session(ID)?;
    session.put("cwd", "/p")?;
    Ok(session)
}

fn answer(turn: &Turn, step: &mut dyn FnMut()) -> Result<()> {
    turn.call("t1", "Read", r#"{"path":"x"}"#)?;
    turn.progress("text", "well, ")?.wait()?;
    step();
    turn.result("t1", "its bytes")?;
    turn.complete("well, that is it")?;
    step();
    Ok(())
}

/// What must hold after any number of lives: everything that was typed was answered once, and
/// within a life the urgent first.
pub fn check(journal: &Journal) -> Result<()> {
    assert!(journal.pending()?.is_empty());
    assert!(journal.open_turns()?.is_empty());
    assert_eq!(
        journal
            .sessions()?
            .iter()
            .filter(|s| s.no.get() != 0)
            .count(),
        1
    );
    let session = journal.find(ID)?;
    let mut asked = Vec::new();
    let mut answered = 0;
    for entry in session.read(..)? {
        let entry = entry?;
        match entry.kind {
            turnkeep::Kind::TurnSubmitted => {
                asked.push(String::from_utf8_lossy(&entry.content).into_owned());
            }
            turnkeep::Kind::TurnCompleted => answered += 1,
            _ => {}
        }
    }
    asked.sort();
    let mut expected = TYPED.map(|(_, _, _, text)| text.to_owned());
    expected.sort();
    assert_eq!(asked, expected);
    assert_eq!(answered, TYPED.len());
    Ok(())
}

#[allow(dead_code, reason = "a test is the other host of `life`")]
fn main() -> Result<()> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or("claudelet.journal".into());
    life(Path::new(&dir), &mut || {})?;
    check(&Journal::open(&dir)?.0)
}
