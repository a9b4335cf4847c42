//! Writing only what was meant: conditions, create or fail, what never comes back.

use super::{Host, code};
use turnkeep::{Batch, Condition, Error, Input, InputStatus, Lsn};

fn conflict<T: std::fmt::Debug>(result: turnkeep::Result<T>) -> (&'static str, u64, u64) {
    match result {
        Err(Error::Conflict {
            what,
            expected,
            found,
            ..
        }) => (what, expected, found),
        other => panic!("{other:?}"),
    }
}

/// claudelet's autosave wrote an older state over a newer one.
#[test]
fn an_append_at_an_expected_head_says_what_it_found() {
    let mut host = Host::new();
    let session = host.session();
    let head = session.append("note", "1").expect("is kept");
    let mine = session.when(Condition::Head(head));
    let next = mine.append("note", "2").expect("is kept");
    assert_eq!(
        conflict(mine.append("note", "3")),
        ("head", head.get(), next.get())
    );
    // Other sessions do not count, and every kind of append does.
    let other = host.journal().session("other").expect("opens");
    other.append("note", "x").expect("is kept");
    let refused = [
        mine.put("k", "v").map(drop),
        mine.begin(Input::user("ask")).map(drop),
        mine.enqueue(Input::user("ask")).map(drop),
        mine.submit("note", "x").map(drop),
        mine.end("bye").map(drop),
        mine.clear().map(drop),
        mine.delete().map(drop),
    ];
    for refused in refused {
        assert_eq!(conflict(refused).0, "head");
    }
    for crash in [Host::killed, Host::lost_power, Host::packed] {
        crash(&mut host);
        let session = host.session();
        assert_eq!(session.info().expect("is there").last_lsn, next);
        let stale = session.when(Condition::Head(head));
        assert_eq!(
            conflict(stale.append("note", "3")),
            ("head", head.get(), next.get())
        );
    }
    let turn = host
        .session()
        .when(Condition::Head(next))
        .begin(Input::user("ask"));
    let turn = turn.expect("begins");
    // The turn goes on without the condition that it began under.
    turn.complete("answer").expect("ends");
}

/// A refreshed token that failed must not replace the one that works.
#[test]
fn a_value_is_replaced_by_who_has_seen_it() {
    let host = Host::new();
    let session = host.session();
    let absent = session.when(Condition::Value(None));
    let first = absent.put("token", "one").expect("is put");
    assert_eq!(
        conflict(absent.put("token", "two")),
        ("value", 0, first.get())
    );
    let seen = session.value("token").expect("reads").expect("is there");
    assert_eq!((seen.lsn, &*seen.content), (first, &b"one"[..]));
    let mine = session.when(Condition::Value(Some(first)));
    let second = mine.put("token", "two").expect("is put");
    assert_eq!(
        conflict(mine.remove("token")),
        ("value", first.get(), second.get())
    );
    assert_eq!(session.get("token").expect("reads"), Some(b"two".to_vec()));
}

#[test]
fn a_batch_is_held_to_what_was_before_it() {
    let host = Host::new();
    let session = host.session();
    let head = session.append("note", "1").expect("is kept");
    let mine = session.when(Condition::Head(head));
    let batch = || {
        let batch = Batch::new().event(&mine, "note", "2");
        batch.put(&mine, "k", "v").event(&session, "note", "3")
    };
    let last = host.journal().append_all(&batch()).expect("is there");
    let refused = host.journal().append_all(&batch());
    assert_eq!(conflict(refused), ("head", head.get(), last.get()));
    assert_eq!(session.info().expect("is there").last_lsn, last);
    let begun = host
        .journal()
        .submit_then_begin(&Batch::new(), &mine, &Input::user("ask"));
    assert_eq!(conflict(begun).0, "head");
}

#[test]
fn a_turn_may_ask_to_be_the_only_one() {
    let host = Host::new();
    let alone = host.session().when(Condition::NoOpenTurn);
    let turn = alone.begin(Input::user("a").key("1")).expect("begins");
    match alone.begin(Input::user("b")) {
        Err(Error::TurnOpen { turn: open, .. }) => assert_eq!(open, turn.id()),
        other => panic!("{other:?}"),
    }
    let again = alone.begin(Input::user("a").key("1")).expect("is found");
    assert!(!again.is_new());
}

/// A worker of before the clear must not write into what came after it.
#[test]
fn a_generation_outlives_snapshots() {
    let mut host = Host::new();
    let session = host.session();
    session.append("note", "old").expect("is kept");
    let generation = session.info().expect("is there").generation;
    host.packed();
    host.session().clear().expect("is cleared");
    for crash in [Host::killed, Host::lost_power, Host::packed, Host::packed] {
        crash(&mut host);
        let stale = host.session().when(Condition::Generation(generation));
        let found = u64::from(generation) + 1;
        assert_eq!(
            conflict(stale.append("note", "late")),
            ("generation", generation.into(), found)
        );
        assert_eq!(host.session().read(..).expect("reads").count(), 2);
    }
}

#[test]
fn a_session_is_made_once_and_not_again_after_it_was_deleted() {
    let mut host = Host::new();
    let journal = host.journal();
    let session = journal.create_session("new").expect("is made");
    assert_eq!(code(journal.create_session("new")), "session_exists");
    assert_eq!(code(journal.create_session("")), "invalid");
    let wins = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| journal.create_session("raced").is_ok()))
            .collect();
        let won = racers
            .into_iter()
            .map(|racer| racer.join().expect("returns"));
        won.filter(|won| *won).count()
    });
    assert_eq!(wins, 1);
    session.delete().expect("is deleted");
    for crash in [Host::killed, Host::lost_power, Host::packed] {
        crash(&mut host);
        assert_eq!(
            code(host.journal().create_session("new")),
            "session_deleted"
        );
        assert_eq!(code(host.journal().find("new")), "session_deleted");
    }
}

/// An undo takes back what was said, not what waits to be said.
#[test]
fn queued_input_is_never_dropped_with_what_is_around_it() {
    let mut host = Host::new();
    let session = host.session();
    session.append("note", "1").expect("is kept");
    let from = session.info().expect("is there").last_lsn;
    let early = session
        .enqueue(Input::user("early"))
        .expect("is queued")
        .input;
    let turn = session.begin(Input::user("undo me")).expect("begins");
    session.truncate_from(turn.id()).expect("is undone");
    let late = session
        .enqueue(Input::user("late"))
        .expect("is queued")
        .input;
    match session.truncate_from(early) {
        Err(Error::InputPending { input, .. }) => assert_eq!(input, early),
        other => panic!("{other:?}"),
    }
    assert!(from < host.journal().durable_lsn());
    host.lost_power();
    let pending = host.session().pending().expect("lists");
    let inputs: Vec<_> = pending
        .iter()
        .map(|input| (input.input, input.status))
        .collect();
    let waiting = InputStatus::Waiting;
    assert_eq!(inputs, [(early, waiting), (late, waiting)]);
    for input in [early, late] {
        host.session().withdraw(input, "cleared").expect("goes");
    }
    host.session().clear().expect("is cleared");
}

#[test]
fn appends_that_are_refused_leave_nothing_behind() {
    let mut host = Host::new();
    let session = host.session();
    session.append("note", "1").expect("is kept");
    let before = host.journal().accepted_lsn();
    let stale = session.when(Condition::Head(Lsn::new(1)));
    for _ in 0..10 {
        assert_eq!(code(stale.append("note", "x")), "conflict");
    }
    assert_eq!(host.journal().accepted_lsn(), before);
    host.killed();
    assert_eq!(host.session().read(..).expect("reads").count(), 2);
}
