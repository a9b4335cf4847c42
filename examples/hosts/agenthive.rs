//! AgentHive's main loop: a tracker of phases and components, checkpoints with names, and budgets.
//!
//! `cargo run --example agenthive -- DIR`. The tracker is a value that is set only if it is still
//! the one that was read; each step of a component is an event beside it, in the same batch. What
//! was used is in the turn's records, so that a budget is the same after a crash.
use std::path::Path;
use turnkeep::{Batch, Condition, Error, Input, Journal, Result, Session};

const COMPONENTS: [&str; 3] = ["mesh", "memory", "router"];

/// The most tokens that the work may take.
const BUDGET: u64 = 1000;

/// One life of the session manager. `step` is called wherever it may be killed.
pub fn life(dir: &Path, step: &mut dyn FnMut()) -> Result<()> {
    let (journal, _) = Journal::options().background(false).open(dir)?;
    let session = journal.session("phase-2")?;
    for cut in journal.open_turns()? {
        // A component that was in progress is taken up again.
        let mut turn = session.turn(cut.turn)?;
        turn.retry()?;
        turn.complete("taken up again")?;
        step();
    }
    for component in COMPONENTS {
        if status(&session, component)? == "completed" {
            continue;
        }
        set_status(&journal, &session, component, "in_progress")?;
        step();
        let mut turn = session.begin(Input::new("component", component).key(component))?;
        if turn.is_new() {
            turn.started()?;
            turn.event("usage", "100")?.wait()?;
            step();
            turn.complete("built")?;
        }
        assert!(used(&session)? <= BUDGET);
        set_status(&journal, &session, component, "completed")?;
        step();
        // A checkpoint has a name of its own and a number, and overwrites none.
        let checkpoint = journal.checkpoint()?;
        session.append(
            "checkpoint",
            format!("after {component}: {}", checkpoint.id),
        )?;
        step();
    }
    // Who read the tracker before all this is refused, and told what is there instead.
    let stale = session
        .when(Condition::Value(None))
        .put("tracker/mesh", "planned");
    assert!(matches!(stale, Err(Error::Conflict { .. })));
    journal.close()
}

fn status(session: &Session, component: &str) -> Result<String> {
    let value = session.get(&format!("tracker/{component}"))?;
    Ok(value.map_or("planned".into(), |v| {
        String::from_utf8_lossy(&v).into_owned()
    }))
}

/// Sets a component's status if nobody else has, and says in the same batch that it did.
fn set_status(journal: &Journal, session: &Session, component: &str, status: &str) -> Result<()> {
    let key = format!("tracker/{component}");
    let read = session.value(&key)?.map(|entry| entry.lsn);
    let expected = session.when(Condition::Value(read));
    let change = Batch::new().put(&expected, &key, status).event(
        session,
        "tracker",
        format!("{component}: {status}"),
    );
    journal.append_all(&change)?;
    Ok(())
}

/// What was used so far, by the records.
fn used(session: &Session) -> Result<u64> {
    let mut used = 0;
    for entry in session.read(..)? {
        let entry = entry?;
        if entry.name == "usage" {
            used += String::from_utf8_lossy(&entry.content).parse().unwrap_or(0);
        }
    }
    Ok(used)
}

/// What must hold after any number of lives: everything is built once, and the tracker says so.
pub fn check(journal: &Journal) -> Result<()> {
    let session = journal.find("phase-2")?;
    assert!(journal.open_turns()?.is_empty());
    assert_eq!(session.info()?.turns as usize, COMPONENTS.len());
    for component in COMPONENTS {
        assert_eq!(status(&session, component)?, "completed");
    }
    assert!(used(&session)? <= COMPONENTS.len() as u64 * 100);
    Ok(())
}

#[allow(dead_code, reason = "a test is the other host of `life`")]
fn main() -> Result<()> {
    let dir = std::env::args()
        .nth(1)
        .unwrap_or("agenthive.journal".into());
    life(Path::new(&dir), &mut || {})?;
    check(&Journal::open(&dir)?.0)
}
