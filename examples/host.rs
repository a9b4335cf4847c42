//! An agent host in thirty lines: a turn is durable before any work on it starts.
use turnkeep::{Input, Journal};

fn main() -> turnkeep::Result<()> {
    let (journal, recovery) = Journal::open("agents.journal")?;
    println!("{recovery}");

    // Turns that a crash cut short: take them up again, or, as here, give them up.
    for cut in journal.open_turns()? {
        let turn = journal.find(&cut.session)?.turn(cut.turn)?;
        turn.interrupt("the host stopped")?;
    }

    // Durable when it returns. The same key is the same turn, also after a crash.
    let session = journal.session("agent-7f3a")?;
    let mut turn = session.begin(Input::user("what is a torn tail?").key("req-81"))?;
    if turn.is_new() {
        turn.started()?;
        let call = turn.event("tool_call", r#"{"search":"torn tail"}"#)?; // in order, not awaited
        let result = turn.event("tool_result", r#"{"hits":3}"#)?;
        result.wait()?; // durable, and so is everything before it
        assert!(call.is_durable());
        turn.complete("The part of a log that a crash left unfinished.")?;
    }

    for entry in session.last_turns(1)? {
        println!("{} {}", entry.kind, entry.content.escape_ascii());
    }
    journal.close()
}
