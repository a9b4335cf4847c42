//! Attempts, their fencing, and what is left of a turn that a crash cut short.

use super::{Host, code, said};
use std::sync::Barrier;
use turnkeep::{Cause, Error, Input, Kind, Reader, TurnState};

/// hermes dropped the answer of a live worker that it had taken for dead, and elsewhere let a
/// dead one finish. Here two workers have the same turn, and one of them holds it.
#[test]
fn a_worker_that_lost_its_claim_cannot_finish_the_turn() {
    let host = Host::new();
    let session = host.session();
    let mut slow = session
        .begin(Input::user("question"))
        .expect("begins")
        .owner("worker-1");
    slow.started().expect("starts");
    let mut quick = session.turn(slow.id()).expect("is open").owner("worker-2");
    assert_eq!(quick.attempt(), 0);
    assert_eq!(code(quick.complete("by nobody")), "fenced");
    assert_eq!(code(quick.started()), "fenced");
    assert_eq!(quick.attempt(), 0, "who was refused holds nothing");
    quick.retry().expect("takes over");
    match slow.complete("by the first") {
        Err(Error::Fenced {
            attempt,
            current,
            owner,
            ..
        }) => assert_eq!((attempt, current, &*owner), (1, 2, "worker-2")),
        other => panic!("{other:?}"),
    }
    for refused in [slow.event("late", "x"), slow.progress("late", "x")] {
        assert_eq!(code(refused), "fenced");
    }
    assert_eq!(code(slow.responding()), "fenced");
    quick.complete("by the second").expect("ends");
    assert_eq!(code(quick.complete("again")), "turn_ended");
    assert_eq!(code(slow.cancel("late")), "turn_ended");
}

#[test]
fn of_two_workers_that_start_or_take_over_at_once_one_does() {
    let host = Host::new();
    let session = host.session();
    for round in 0..50 {
        let turn = session.begin(Input::user("question")).expect("begins");
        let barrier = Barrier::new(2);
        let race = |worker: u32| {
            let mut turn = session.turn(turn.id()).expect("is open");
            barrier.wait();
            let won = match round % 2 {
                0 => turn.started(),
                _ => turn.retry(),
            };
            won.and_then(|_| turn.complete(worker.to_string())).is_ok()
        };
        let wins = std::thread::scope(|scope| {
            let other = scope.spawn(|| race(1));
            u32::from(race(0)) + u32::from(other.join().expect("returns"))
        });
        assert_eq!(wins, 1);
    }
}

/// The worker is another process, which outlives the one that writes the journal.
#[test]
fn an_attempt_is_over_with_its_writer() {
    let mut host = Host::new();
    let session = host.session();
    let mut turn = session.begin(Input::user("question")).expect("begins");
    turn.started().expect("starts");
    let token = turn.token().expect("is durable");
    let told = session.turn(turn.id()).expect("is open").with_token(token);
    let told = told.expect("is of this writer");
    told.event("note", "by token").expect("is said");
    host.killed();
    let session = host.session();
    let late = session.turn(turn.id()).expect("is open");
    match late.with_token(token) {
        Err(Error::Fenced {
            attempt,
            current,
            epoch,
            ..
        }) => {
            assert_eq!((attempt, current), (1, 1));
            assert_eq!(epoch, host.journal().open_turns().expect("lists")[0].epoch);
        }
        other => panic!("{other:?}"),
    }
    let mut again = session.turn(turn.id()).expect("is open");
    assert_eq!(again.retry().map(|_| again.attempt()).expect("starts"), 2);
    let token = again.token().expect("is durable");
    again.retry().expect("is taken up once more");
    let told = session.turn(turn.id()).expect("is open").with_token(token);
    let told = told.expect("is of this writer");
    assert_eq!(code(told.complete("by the attempt before")), "fenced");
    again.complete("by the latest").expect("ends");
}

#[test]
fn after_a_crash_each_unfinished_turn_says_why_and_what_it_had() {
    let mut host = Host::new();
    let session = host.session();
    let waiting = session.begin(Input::user("waiting")).expect("begins");
    let mut cut = session
        .begin(Input::user("cut short"))
        .expect("begins")
        .owner("worker-1");
    cut.started().expect("starts");
    cut.call("call-1", "search", "torn").expect("calls");
    cut.progress("text", "half an ").expect("streams");
    cut.result("call-1", "3 hits").expect("results");
    cut.call("call-2", "fetch", "a page").expect("calls");
    let last = cut.progress("text", "answer").expect("streams");
    let done = session.begin(Input::user("done")).expect("begins");
    done.complete("answer").expect("ends");
    last.wait().expect("is durable");
    let causes = |host: &Host| -> Vec<Cause> {
        let turns = host.journal().open_turns().expect("lists");
        turns.iter().map(|turn| turn.cause()).collect()
    };
    assert_eq!(causes(&host), [Cause::Waiting, Cause::Held]);
    for crash in [Host::killed, Host::lost_power, Host::packed] {
        crash(&mut host);
        // Opening wrote nothing about them, so it is the same however often it happens.
        assert_eq!(causes(&host), [Cause::NeverStarted, Cause::WriterGone]);
        let turns = host.journal().open_turns().expect("lists");
        assert_eq!(turns[0].turn, waiting.id());
        let found = &turns[1];
        assert_eq!(
            (found.turn, found.attempt, found.open_calls),
            (cut.id(), 1, 1)
        );
        assert_eq!(
            (&*found.owner, found.state),
            ("worker-1", TurnState::Running)
        );
        let turn = host.session().turn(cut.id()).expect("is open");
        let had = [
            (Kind::TurnSubmitted, "cut short"),
            (Kind::TurnStarted, ""),
            (Kind::TurnCall, "torn"),
            (Kind::TurnProgress, "half an "),
            (Kind::TurnResult, "3 hits"),
            (Kind::TurnCall, "a page"),
            (Kind::TurnProgress, "answer"),
        ];
        let had = had.map(|(kind, content)| (kind, content.to_owned()));
        assert_eq!(said(turn.entries().expect("reads")), had);
        let calls = turn.open_calls().expect("lists");
        let keys: Vec<_> = calls.iter().map(|call| call.key.as_deref()).collect();
        assert_eq!(keys, [Some(&b"call-2"[..])]);
        let reader = host.options().open_read_only(super::PATH).expect("opens");
        check_reader(&reader, &had);
    }
}

fn check_reader(reader: &Reader, had: &[(Kind, String)]) {
    let open = reader.open_turns().expect("lists");
    assert_eq!(open[1].open_calls, 1);
    let session = reader.find("s").expect("is there");
    let turn = session.turn_entries(open[1].turn).expect("reads");
    assert_eq!(said(turn), had);
}

/// Sent to a model again, a call without a result is an error for ever.
#[test]
fn open_calls_are_interrupted_by_records_of_their_own() {
    let mut host = Host::new();
    let turn = host.session().begin(Input::user("ask")).expect("begins");
    let id = turn.id();
    for call in ["a", "b", "c"] {
        turn.call(call, "tool", call).expect("calls");
    }
    turn.result("b", "done")
        .expect("results")
        .wait()
        .expect("is durable");
    host.killed();
    let session = host.session();
    let turn = session.turn(id).expect("is open");
    assert_eq!(code(turn.complete("answer")), "open_calls");
    let before = said(turn.entries().expect("reads"));
    let calls = turn.interrupt_calls("the host stopped").expect("repairs");
    assert_eq!(said(calls.into_iter().map(Ok)).len(), 2);
    assert!(turn.interrupt_calls("again").expect("repairs").is_empty());
    host.lost_power();
    let turn = host.session().turn(id).expect("is open");
    let after = said(turn.entries().expect("reads"));
    assert_eq!(after[..before.len()], before, "nothing else is touched");
    let added: Vec<Kind> = after[before.len()..]
        .iter()
        .map(|(kind, _)| *kind)
        .collect();
    assert_eq!(added, [Kind::TurnCallInterrupted; 2]);
    assert_eq!(code(turn.result("a", "late")), "unknown_call");
    turn.complete("answer").expect("ends");
}

#[test]
fn a_turn_that_ends_without_an_answer_takes_its_open_calls_along() {
    let mut host = Host::new();
    let ends: [fn(&turnkeep::Turn) -> turnkeep::Result<turnkeep::Lsn>; 3] = [
        |turn| turn.interrupt("gone"),
        |turn| turn.cancel("stop"),
        |turn| turn.fail("quota", "none left"),
    ];
    for end in ends {
        let turn = host.session().begin(Input::user("ask")).expect("begins");
        turn.call("a", "tool", "1").expect("calls");
        turn.call("b", "tool", "2").expect("calls");
        turn.progress("text", "half").expect("streams");
        end(&turn).expect("ends");
        host.packed();
        // What there was of an answer outlives compaction: there is no other.
        let kinds: Vec<Kind> = said(host.session().turn_entries(turn.id()).expect("reads"))
            .into_iter()
            .map(|(kind, _)| kind)
            .collect();
        assert_eq!(kinds[3], Kind::TurnProgress);
        assert_eq!(kinds[4..6], [Kind::TurnCallInterrupted; 2]);
        assert!(kinds[6].is_turn_end() && kinds.len() == 7);
    }
}

/// A call arrives and its result goes, while someone else stops the turn.
#[test]
fn a_turn_is_cancelled_under_a_worker_that_goes_on_calling() {
    let host = Host::new();
    let session = host.session();
    for _ in 0..20 {
        let turn = session.begin(Input::user("ask")).expect("begins");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0.. {
                    let id = n.to_string();
                    let called = turn
                        .call(&id, "tool", "")
                        .and_then(|_| turn.result(&id, ""));
                    if called.is_err() {
                        break;
                    }
                }
            });
            session
                .turn(turn.id())
                .and_then(|turn| turn.cancel("stop"))
                .expect("is stopped");
        });
        let entries = said(session.turn_entries(turn.id()).expect("reads"));
        let count = |kind| entries.iter().filter(|(k, _)| *k == kind).count();
        assert_eq!(
            count(Kind::TurnCall),
            count(Kind::TurnResult) + count(Kind::TurnCallInterrupted)
        );
    }
}

#[test]
fn one_turn_at_a_time_if_the_setting_says_so() {
    let mut host = Host::with(|options| options.max_open_turns(1));
    let first = host
        .session()
        .begin(Input::user("a").key("1"))
        .expect("begins");
    match host.session().begin(Input::user("b")) {
        Err(Error::TurnOpen { session, turn }) => {
            assert_eq!((&*session, turn), ("s", first.id()));
        }
        other => panic!("{other:?}"),
    }
    let same = host
        .session()
        .begin(Input::user("a").key("1"))
        .expect("is found");
    assert_eq!((same.id(), same.is_new()), (first.id(), false));
    host.killed();
    assert_eq!(code(host.session().begin(Input::user("b"))), "turn_open");
    let cut = host.session().turn(first.id()).expect("is open");
    cut.interrupt("the host stopped").expect("ends");
    host.session().begin(Input::user("b")).expect("begins");
    let other = host.journal().session("other").expect("opens");
    other.begin(Input::user("c")).expect("begins");
    let none = turnkeep::Journal::options().max_open_turns(0);
    assert_eq!(code(none.open(super::PATH)), "invalid");
}

#[test]
fn a_retry_names_the_turn_that_it_stands_for() {
    let mut host = Host::new();
    let failed = host.session().begin(Input::user("a")).expect("begins");
    let early = Input::user("a").supersedes(failed.id());
    assert_eq!(code(host.session().begin(early)), "turn_open");
    failed.fail("quota", "").expect("ends");
    let input = || Input::user("a").supersedes(failed.id());
    host.session()
        .begin(input())
        .expect("begins")
        .cancel("no")
        .expect("ends");
    let retry = host.session().begin(input()).expect("begins");
    retry.complete("answer").expect("ends");
    for _ in 0..3 {
        let session = host.session();
        assert_eq!(
            session.superseded_by(failed.id()).expect("knows"),
            Some(retry.id())
        );
        assert_eq!(session.superseded_by(retry.id()).expect("knows"), None);
        let first = session.turn_entries(retry.id()).expect("reads").next();
        let first = first.expect("has a beginning").expect("reads");
        assert_eq!(first.supersedes, Some(failed.id()));
        host.packed();
    }
}
