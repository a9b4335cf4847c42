//! claude-mem's main loop: hooks queue what a coding agent's tools did, a worker makes
//! observations of it, and a summary at the end.
//!
//! `cargo run --example claude_mem -- DIR`. A hook needs no worker to be alive, an input is worked
//! off in the same batch with what came of it, and one that kills its worker again and again
//! becomes a dead letter instead of a storm (`Options::max_lost_claims`).
use std::path::Path;
use turnkeep::{Batch, Claim, Input, Journal, Result, Session};

/// What the agent's tools did: the tool's own id of the call, and what it was.
const CALLS: [(&str, &str); 4] = [
    ("toolu_1", "Read x"),
    ("toolu_2", "Edit x"),
    ("toolu_3", "Read x"),
    ("toolu_4", "Bash make"),
];

/// One life of hooks and worker. `step` is called wherever they may be killed.
pub fn life(dir: &Path, step: &mut dyn FnMut()) -> Result<()> {
    let (journal, _) = Journal::options().background(false).open(dir)?;
    let session = journal.session("c-1/claude-mem")?;
    // Hooks: durable when they return, and the same call is queued once.
    for (id, call) in CALLS {
        session.enqueue(Input::new("observation", call).key(id))?;
        step();
    }
    session.enqueue(Input::new("summarize", "Stop").key("stop"))?;
    step();
    // The worker: any session's input, also what an earlier life left.
    while let Some(claim) = journal.claim("worker")? {
        step();
        work(&journal, claim, step)?;
    }
    // The session's end throws nothing away; there may still be something in its queue.
    if session.info()?.ended.is_none() {
        session.end("prompt_input_exit")?;
    }
    journal.close()
}

fn work(journal: &Journal, claim: Claim, step: &mut dyn FnMut()) -> Result<()> {
    let session = claim.session().clone();
    let asked = String::from_utf8_lossy(&claim.entry().content).into_owned();
    let (name, made) = match claim.entry().name.as_str() {
        "summarize" => (
            "summary",
            format!("{} observations", observations(&session)?),
        ),
        _ => ("observation", format!("it did: {asked}")),
    };
    step(); // the model was asked, and nothing is durable: the claim ends with its worker
    let done = Batch::new().event(&session, name, &made).confirm(&claim);
    journal.append_all(&done)?;
    step();
    Ok(())
}

fn observations(session: &Session) -> Result<usize> {
    let mut count = 0;
    for entry in session.read(..)? {
        let entry = entry?;
        let is_made = entry.kind == turnkeep::Kind::Message && entry.name == "observation";
        count += usize::from(is_made);
    }
    Ok(count)
}

/// What must hold after any number of lives: one observation for each call, and one summary,
/// which saw them all.
pub fn check(journal: &Journal) -> Result<()> {
    assert!(journal.pending()?.is_empty(), "{:?}", journal.pending()?);
    let session = journal.find("c-1/claude-mem")?;
    let (mut made, mut summaries) = (Vec::new(), Vec::new());
    for entry in session.read(..)? {
        let entry = entry?;
        let text = String::from_utf8_lossy(&entry.content).into_owned();
        match (entry.kind, entry.name.as_str()) {
            (turnkeep::Kind::Message, "observation") => made.push(text),
            (turnkeep::Kind::Message, "summary") => summaries.push(text),
            _ => {}
        }
    }
    made.sort();
    let mut expected = CALLS.map(|(_, call)| format!("it did: {call}"));
    expected.sort();
    assert_eq!(made, expected);
    assert_eq!(summaries, ["4 observations"]);
    assert!(session.info()?.ended.is_some());
    Ok(())
}

#[allow(dead_code, reason = "a test is the other host of `life`")]
fn main() -> Result<()> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or("claude-mem.journal".into());
    life(Path::new(&dir), &mut || {})?;
    check(&Journal::open(&dir)?.0)
}
