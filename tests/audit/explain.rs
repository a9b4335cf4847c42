//! The life of one session: nothing of it is missing from the telling but what was said.

use super::Home;
use std::ops::ControlFlow;
use turnkeep::audit::Code;
use turnkeep::{Error, Explanation, Input, Stamp};

fn explain(home: &Home, id: &str, content: bool) -> (Vec<Stamp>, Explanation) {
    let mut stamps = Vec::new();
    let audit = home.audit().stopped(true);
    let told = audit.explain(&home.path, id, content, &mut |stamp| {
        stamps.push(stamp);
        ControlFlow::Continue(())
    });
    (stamps, told.expect("explains"))
}

#[test]
fn every_stamp_is_told_in_order_with_writer_attempt_and_owner() {
    let home = Home::new();
    home.die_after(|journal, session| {
        let input = Input::new("normal", "secret one").actor("ann").priority(3);
        session.enqueue(input).expect("is queued");
        let claim = journal.claim("w1").expect("claims").expect("waits");
        let mut turn = claim.begin().expect("begins").owner("w1");
        turn.started().expect("starts");
        turn.responding().expect("responds");
        for word in ["secret", "two"] {
            turn.progress("text", word).expect("is kept");
        }
        turn.call("c1", "shell", "{\"secret\":3}")
            .expect("calls")
            .wait()
            .expect("is durable");
    });
    home.die_after(|_, session| {
        let mut turn = session
            .turn(turnkeep::Seq::new(4))
            .expect("is open")
            .owner("w2");
        turn.retry().expect("takes over");
        turn.fail("overloaded", "secret four").expect("ends");
        let input = Input::user("secret five").supersedes(turn.id());
        let again = session.begin(input).expect("begins");
        again.cancel("never mind").expect("ends");
        session.put("todo", "secret six").expect("is set");
        session.end("logout").expect("ends");
    });
    let (stamps, told) = explain(&home, "s", false);
    let life: Vec<String> = stamps
        .iter()
        .map(|stamp| format!("{} {stamp}", stamp.epoch))
        .collect();
    let expected = [
        "1 session created, \"s\"",
        "1 input queued, input 2, \"normal\" by ann, 10 bytes",
        "1 input claimed, input 2, claim 1 by w1",
        "1 turn submitted, turn 4, input 2, claim 1, \"normal\" by ann, 10 bytes",
        "1 turn started, turn 4, attempt 1 by w1",
        "1 turn responding, turn 4, attempt 1",
        "1 2 x turn progress, turn 4, attempt 1, \"text\", 9 bytes",
        "1 turn call, turn 4, attempt 1, \"shell\", 12 bytes",
        "2 turn started, turn 4, attempt 2 by w2",
        "2 turn call interrupted, turn 4, attempt 2, \"overloaded\"",
        "2 turn failed, turn 4, attempt 2, \"overloaded\", 11 bytes",
        "2 turn submitted, turn 13, in place of turn 4, \"user\", 11 bytes",
        "2 turn cancelled, turn 13, \"never mind\"",
        "2 put, \"todo\", 10 bytes",
        "2 session ended, \"logout\"",
    ];
    assert_eq!(life, expected);
    let everything = format!("{stamps:?} {told:?} {told}");
    assert!(!everything.contains("secret"), "{everything}");
    assert_eq!((told.records, told.superseded, told.dropped), (16, 0, 0));
    assert!(
        told.findings
            .iter()
            .all(|f| f.code == Code::TurnPartialOutput),
        "{told}"
    );

    let (stamps, _) = explain(&home, "s", true);
    assert_eq!(stamps.len(), 16, "one for each record");
    let contents = stamps.iter().filter_map(|stamp| stamp.content.as_deref());
    assert_eq!(contents.filter(|bytes| !bytes.is_empty()).count(), 8);
}

#[test]
fn what_is_missing_is_told_with_what_to_do() {
    let home = Home::new();
    home.die_after(|_, session| {
        let mut turn = session.begin(Input::user("x")).expect("begins");
        turn.started().expect("starts");
        turn.call("c1", "shell", "{}")
            .expect("calls")
            .wait()
            .expect("is durable");
    });
    let (_, told) = explain(&home, "s", false);
    let codes: Vec<_> = told.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::TurnWriterGone, Code::TurnOpenCalls]);
    assert!(told.findings.iter().all(|finding| !finding.todo.is_empty()));
    let other = home
        .audit()
        .explain(&home.path, "t", false, &mut |_| panic!("no stamp"));
    assert!(matches!(other, Err(Error::UnknownSession { .. })));
}

/// Cleared and deleted history came back from a backup in hermes; nothing said that it had been
/// dropped on purpose.
#[test]
fn what_was_dropped_is_told_with_its_generation() {
    let home = Home::new();
    home.die_after(|journal, session| {
        for n in 0..5 {
            session.append("note", n.to_string()).expect("appends");
        }
        session.truncate_from(turnkeep::Seq::new(5)).expect("drops");
        session.put("k", "1").expect("is set");
        session.put("k", "2").expect("is set");
        journal.compact().expect("compacts");
        let gone = journal.session("gone").expect("opens");
        gone.append("note", "x").expect("appends");
        gone.delete().expect("is deleted");
    });
    let (stamps, told) = explain(&home, "s", false);
    let life: Vec<String> = stamps.iter().map(ToString::to_string).collect();
    let expected = [
        "session created, \"s\"",
        "3 x message, \"note\", 3 bytes",
        "session truncated, drops from 5 on, generation 1",
        "put, \"k\", 1 bytes",
    ];
    assert_eq!(life, expected);
    assert_eq!((told.dropped, told.superseded), (2, 1));
    let (stamps, told) = explain(&home, "gone", false);
    assert_eq!(stamps, []);
    let deleted = told.deleted.expect("it was");
    assert_eq!(
        (deleted.generation, deleted.seq.get(), told.info),
        (1, 3, None)
    );
    home.die_after(|journal, _| drop(journal.session("gone").expect("opens").clear()));
    let (stamps, told) = explain(&home, "gone", false);
    assert_eq!(stamps.last().expect("cleared").generation, Some(3));
    assert!(told.info.is_some() && told.deleted == Some(deleted));
}

#[test]
fn damage_within_a_session_is_told_and_does_not_end_the_telling() {
    let home = Home::new();
    home.die_after(|journal, session| {
        for n in 0..200 {
            session
                .append("note", format!("{n} {}", "z".repeat(900)))
                .expect("appends");
        }
        journal.compact().expect("compacts");
    });
    super::flip(&home.newest(".pack"), 300);
    let (_, told) = explain(&home, "s", false);
    assert!(told.unreadable > 0 && told.records > 0, "{told}");
    assert_eq!(told.unreadable + told.records + told.superseded, 201);
    assert!(told.why_unreadable.is_some());
}
