//! hermes-webui's main loop: a chat whose answer is streamed, which may be stopped, and of which
//! a restart keeps what there was.
//!
//! `cargo run --example hermes_webui -- DIR`; kill it anywhere, and run it again. The host's rule:
//! a provider is never called again by itself. A turn that a crash cut short is interrupted with
//! everything that was streamed, and its user's next try supersedes it.
use std::path::Path;
use turnkeep::{Condition, Error, Input, Journal, Result, Session};

/// What the users of this program ask, each with the key that their browser made for it.
const ASKED: [(&str, &str); 3] = [("r1", "hello"), ("r2", "continue"), ("r3", "continue")];

/// One life of the host. `step` is called wherever it may be killed.
pub fn life(dir: &Path, step: &mut dyn FnMut()) -> Result<()> {
    let (journal, _) = Journal::options().background(false).open(dir)?;
    // Startup: interrupted, with its cause, and never run again by itself.
    for cut in journal.open_turns()? {
        let turn = journal.find(&cut.session)?.turn(cut.turn)?;
        turn.interrupt_calls("the host stopped")?;
        step();
        turn.interrupt(&format!("{:?}", cut.cause()))?;
        step();
    }
    let session = journal.session("a1b2c3d4e5f6")?;
    for (key, prompt) in ASKED {
        chat(&session, key, prompt, step)?;
        step();
    }
    journal.close()
}

/// `POST /api/chat/start`, and again by a browser that got no answer.
fn chat(session: &Session, key: &str, prompt: &str, step: &mut dyn FnMut()) -> Result<()> {
    let mut input = Input::user(prompt).key(key);
    for attempt in 2.. {
        // At most one turn at a time: what the browser is told is 409.
        let mut turn = match session.when(Condition::NoOpenTurn).begin(input) {
            Err(error @ Error::Conflict { .. }) => return Err(error),
            begun => begun?,
        };
        if turn.is_new() {
            return answer(&mut turn, prompt, step);
        }
        if turn.state() != turnkeep::TurnState::Interrupted {
            return Ok(()); // it was answered before the restart
        }
        // Somebody presses "again": another turn, which stands in the place of the first.
        input = Input::user(prompt)
            .key(format!("{key}/{attempt}"))
            .supersedes(turn.id());
    }
    Ok(())
}

/// The worker's thread: tokens are cheap and soon durable, the answer is durable when it is told.
fn answer(turn: &mut turnkeep::Turn, prompt: &str, step: &mut dyn FnMut()) -> Result<()> {
    step();
    turn.started()?;
    turn.responding()?;
    for token in ["you ", "said "] {
        turn.progress("token", token)?;
        step();
    }
    turn.call("c1", "terminal", r#"{"command":"date"}"#)?
        .wait()?;
    step(); // a crash here: a call without a result, which the next life says
    turn.result("c1", "today")?;
    turn.complete(format!("you said {prompt}"))?;
    Ok(())
}

/// What must hold after any number of lives: each question has one answer, and a title changed
/// nothing else.
pub fn check(journal: &Journal) -> Result<()> {
    assert!(journal.open_turns()?.is_empty());
    let session = journal.find("a1b2c3d4e5f6")?;
    let mut answers = Vec::new();
    for entry in session.read(..)? {
        let entry = entry?;
        if entry.kind == turnkeep::Kind::TurnCompleted {
            answers.push(String::from_utf8_lossy(&entry.content).into_owned());
        }
    }
    let expected = ASKED.map(|(_, prompt)| format!("you said {prompt}"));
    assert_eq!(answers, expected);
    session.put("title", "Hello")?;
    Ok(())
}

#[allow(dead_code, reason = "a test is the other host of `life`")]
fn main() -> Result<()> {
    let dir = std::env::args().nth(1).unwrap_or("hermes.journal".into());
    life(Path::new(&dir), &mut || {})?;
    check(&Journal::open(&dir)?.0)
}
