//! The shortest way through everything.

use turnkeep::{Batch, Input, Journal, Lsn, Seq};

#[test]
fn a_journal_keeps_turns_over_reopening() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("agents.journal");
    let (journal, recovery) = Journal::open(&path).expect("opens");
    assert!(recovery.created);
    let session = journal.session("agent-7f3a").expect("opens");
    let mut turn = session
        .begin(Input::user("what is a torn tail?").key("req-81"))
        .expect("begins");
    turn.started().expect("starts");
    turn.event("tool_call", "{}").expect("goes in");
    turn.event("tool_result", "{}")
        .expect("goes in")
        .wait()
        .expect("is durable");
    let again = session
        .begin(Input::user("what is a torn tail?").key("req-81"))
        .expect("is found");
    assert!(!again.is_new());
    assert_eq!(again.id(), turn.id());
    session.put("todo", "1. read").expect("is kept");
    let other = journal.session("other").expect("opens");
    let batch = Batch::new()
        .event(&session, "a", "1")
        .event(&other, "b", "2");
    journal.append_all(&batch).expect("is kept");
    drop((turn, again, session, other, journal));

    let (journal, recovery) = Journal::open(&path).expect("opens again");
    println!("{recovery}");
    assert_eq!(journal.open_turns().expect("reads").len(), 1);
    let session = journal.find("agent-7f3a").expect("is there");
    assert_eq!(
        session.get("todo").expect("reads").as_deref(),
        Some(&b"1. read"[..])
    );
    let names: Vec<String> = session
        .read(..)
        .expect("reads")
        .map(|e| e.expect("reads").kind.to_string())
        .collect();
    assert_eq!(
        names[..3],
        ["session_created", "turn_submitted", "turn_started"]
    );
    let backwards: Vec<Seq> = session
        .read(..)
        .expect("reads")
        .rev()
        .map(|e| e.expect("reads").seq)
        .collect();
    assert_eq!(backwards.len(), names.len());
    assert!(backwards.is_sorted_by(|a, b| a > b));
    let all: Vec<Lsn> = journal
        .read(Lsn::new(1))
        .expect("reads")
        .map(|e| e.expect("reads").lsn)
        .collect();
    assert_eq!(all.len() as u64, journal.durable_lsn().get() - 1);
    let mut turn = session.turn(Seq::new(2)).expect("is open");
    assert!(turn.complete("by nobody").is_err());
    turn.retry().expect("is taken up again");
    turn.complete("it is cut").expect("ends");
    assert!(turn.complete("twice").is_err());
}
