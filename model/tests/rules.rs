//! What may be appended.

use super::*;
use crate::model::check::{MAX_KEY_BYTES, MAX_NAME_BYTES};

#[test]
fn a_turn_goes_from_submitted_to_its_end_once() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    host.put_in(1, Kind::TurnStarted, &of_turn(turn, 1));
    host.put_in(1, Kind::TurnEvent, &of_turn(turn, 1));
    host.put_in(1, Kind::TurnResponding, &of_turn(turn, 1));
    host.put_in(1, Kind::TurnProgress, &of_turn(turn, 1));
    assert_eq!(host.state.open_turn_count(), 1);
    host.put_in(1, Kind::TurnCompleted, &of_turn(turn, 1));
    assert_eq!(host.state.open_turn_count(), 0);
    assert_eq!(host.one().turns_ended.completed, 1);
    let refused = Refusal::TurnEnded {
        turn: seq(turn),
        state: TurnState::Completed,
    };
    for kind in Kind::ALL.iter().filter(|kind| kind.is_within_turn()) {
        let late = call_of(*kind, turn, 1);
        assert_eq!(host.refusal(1, *kind, &late), refused, "{kind}");
    }
}

#[test]
fn a_turn_that_never_was_is_unknown() {
    let host = Writer::with_session("a");
    for turn in [0, 1, 2, u32::MAX] {
        assert_eq!(
            host.refusal(1, Kind::TurnCompleted, &of_turn(turn, 0)),
            Refusal::TurnUnknown { turn: seq(turn) }
        );
    }
}

#[test]
fn a_turn_does_not_go_backwards() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    host.put_in(1, Kind::TurnStarted, &of_turn(turn, 1));
    host.put_in(1, Kind::TurnResponding, &of_turn(turn, 1));
    assert_eq!(
        host.refusal(1, Kind::TurnResponding, &of_turn(turn, 1)),
        Refusal::IllegalTransition {
            turn: seq(turn),
            from: TurnState::Responding,
            to: TurnState::Responding
        }
    );
    assert_eq!(
        host.refusal(1, Kind::TurnStarted, &of_turn(turn, 1)),
        Refusal::Fenced {
            turn: seq(turn),
            attempt: 1,
            current: 1,
            epoch: Epoch::new(1)
        }
    );
}

/// A run hangs, the host starts another, the first wakes up and wants to finish the turn.
#[test]
fn the_run_that_was_replaced_is_fenced_off() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    host.put_in(1, Kind::TurnStarted, &of_turn(turn, 1));
    host.put_in(1, Kind::TurnResponding, &of_turn(turn, 1));
    host.epoch = 2;
    host.put_in(1, Kind::TurnStarted, &of_turn(turn, 2));
    let open = host.one().open_turn(seq(turn)).expect("is open").clone();
    assert_eq!((open.state, open.attempt), (TurnState::Running, 2));
    assert_eq!(open.epoch, Epoch::new(2));
    for kind in Kind::ALL.iter().filter(|kind| kind.is_within_turn()) {
        for attempt in [0, 1, 3] {
            let outside = attempt == 0
                && matches!(
                    kind,
                    Kind::TurnCancelled | Kind::TurnInterrupted | Kind::TurnCallInterrupted
                );
            let restart = attempt == 3 && *kind == Kind::TurnStarted;
            let found = host.check(1, *kind, &call_of(*kind, turn, attempt));
            let expected = Err(Refusal::Fenced {
                turn: seq(turn),
                attempt,
                current: 2,
                epoch: Epoch::new(2),
            });
            assert_eq!(found != expected, outside || restart, "{kind} of {attempt}");
        }
    }
    host.put_in(1, Kind::TurnCompleted, &of_turn(turn, 2));
}

/// The process died and came back. A worker that it had, somewhere, still knows its number.
#[test]
fn an_attempt_ends_with_its_writer() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    host.put_in(1, Kind::TurnStarted, &of_turn(turn, 1));
    host.put_in(1, Kind::TurnCall, &call_of(Kind::TurnCall, turn, 1));
    let open = |host: &Writer| host.one().open_turn(seq(turn)).expect("is open").clone();
    assert_eq!(open(&host).cause(Epoch::new(1)), Cause::Held);
    host.epoch = 2;
    assert_eq!(open(&host).cause(Epoch::new(2)), Cause::WriterGone);
    let fenced = Refusal::Fenced {
        turn: seq(turn),
        attempt: 1,
        current: 1,
        epoch: Epoch::new(1),
    };
    for kind in Kind::ALL.iter().filter(|kind| kind.is_within_turn()) {
        let late = call_of(*kind, turn, 1);
        assert_eq!(host.refusal(1, *kind, &late), fenced, "{kind}");
    }
    host.put_in(1, Kind::TurnStarted, &of_turn(turn, 2));
    assert_eq!(open(&host).cause(Epoch::new(2)), Cause::Held);
    host.put_in(1, Kind::TurnResult, &call_of(Kind::TurnResult, turn, 2));
    host.put_in(1, Kind::TurnCompleted, &of_turn(turn, 2));
}

#[test]
fn the_cause_follows_from_epochs() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    let cause = |host: &Writer, now| {
        let open = host.one().open_turn(seq(turn)).expect("is open");
        open.cause(Epoch::new(now))
    };
    assert_eq!(cause(&host, 1), Cause::Waiting);
    assert_eq!(cause(&host, 2), Cause::NeverStarted);
    // A host that numbers no attempts, and only says that an answer comes.
    host.put_in(1, Kind::TurnResponding, &of_turn(turn, 0));
    assert_eq!(cause(&host, 1), Cause::Held);
    assert_eq!(cause(&host, 2), Cause::WriterGone);
    // Nobody holds it, so nobody is fenced off from it.
    host.epoch = 2;
    host.put_in(1, Kind::TurnCompleted, &of_turn(turn, 0));
}

/// A turn calls two tools and the process dies: sent to a model again, a call without a result
/// is refused for ever.
#[test]
fn each_call_gets_one_result_or_is_interrupted_before_the_turn_ends() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    let call = |id: &'static str| Envelope {
        key: id.as_bytes(),
        ..of_turn(turn, 0)
    };
    let first = host.put_in(1, Kind::TurnCall, &call("one"));
    host.put_in(1, Kind::TurnCall, &call("two"));
    let again = host.check(1, Kind::TurnCall, &call("one"));
    assert_eq!(again, Ok(Verdict::Duplicate { seq: seq(first) }));
    for kind in [
        Kind::TurnCompleted,
        Kind::TurnFailed,
        Kind::TurnCancelled,
        Kind::TurnInterrupted,
    ] {
        assert_eq!(
            host.refusal(1, kind, &of_turn(turn, 0)),
            Refusal::OpenCalls {
                turn: seq(turn),
                calls: 2
            }
        );
    }
    host.put_in(1, Kind::TurnResult, &call("one"));
    let unknown = Refusal::CallUnknown { turn: seq(turn) };
    for id in ["one", "three"] {
        for kind in [Kind::TurnResult, Kind::TurnCallInterrupted] {
            assert_eq!(host.refusal(1, kind, &call(id)), unknown, "{id}");
        }
    }
    host.put_in(1, Kind::TurnCallInterrupted, &call("two"));
    // An id may be used again once its call has its result: another call.
    host.put_in(1, Kind::TurnCall, &call("one"));
    host.put_in(1, Kind::TurnResult, &call("one"));
    host.put_in(1, Kind::TurnCompleted, &of_turn(turn, 0));
}

#[test]
fn a_session_allows_as_many_open_turns_as_the_setting_says() {
    let mut host = Writer::with_session("a");
    host.state.set_max_open_turns(1);
    let turn = host.begin("first");
    assert_eq!(
        host.refusal(1, Kind::TurnSubmitted, &keyed("second")),
        Refusal::TurnOpen { turn: seq(turn) }
    );
    // A retry of the first still finds its turn.
    assert!(matches!(
        host.check(1, Kind::TurnSubmitted, &keyed("first")),
        Ok(Verdict::Existing { .. })
    ));
    host.put_in(1, Kind::TurnCancelled, &of_turn(turn, 0));
    host.begin("second");
}

#[test]
fn the_latest_turn_in_place_of_another_is_known() {
    let mut host = Writer::with_session("a");
    let first = host.begin("k1");
    host.put_in(1, Kind::TurnFailed, &of_turn(first, 0));
    assert_eq!(host.one().superseded_by(seq(first)), None);
    let second = host.put_in(1, Kind::TurnSubmitted, &of_turn(first, 0));
    host.put_in(1, Kind::TurnFailed, &of_turn(second, 0));
    let third = host.put_in(1, Kind::TurnSubmitted, &of_turn(first, 0));
    assert_eq!(host.one().superseded_by(seq(first)), Some(seq(third)));
    assert_eq!(host.one().superseded_by(seq(second)), None);
    let fourth = host.put_in(1, Kind::TurnSubmitted, &of_turn(second, 0));
    assert_eq!(host.one().superseded_by(seq(second)), Some(seq(fourth)));
    assert_same(&reloaded(&host.state), &host.state);
}

#[test]
fn runs_are_counted_from_one() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    assert_eq!(
        host.refusal(1, Kind::TurnStarted, &of_turn(turn, 0)),
        Refusal::Fenced {
            turn: seq(turn),
            attempt: 0,
            current: 0,
            epoch: Epoch::new(1)
        }
    );
}

/// A browser sends the same request again because the answer got lost.
#[test]
fn the_same_key_is_the_same_turn() {
    let mut host = Writer::with_session("a");
    host.begin("other");
    let turn = host.begin("req-81");
    let existing = |state| Verdict::Existing {
        seq: seq(turn),
        ordinal: 2,
        state,
    };
    let again = |host: &Writer| host.check(1, Kind::TurnSubmitted, &keyed("req-81"));
    assert_eq!(again(&host), Ok(existing(TurnState::Submitted)));
    host.put_in(1, Kind::TurnStarted, &of_turn(turn, 1));
    assert_eq!(again(&host), Ok(existing(TurnState::Running)));
    host.put_in(1, Kind::TurnFailed, &of_turn(turn, 1));
    host.put_in(1, Kind::SessionEnded, &named("logout"));
    assert_eq!(again(&host), Ok(existing(TurnState::Failed)));
    assert_eq!(
        again(&host),
        host.check(1, Kind::TurnSubmitted, &keyed("req-81"))
    );
    host.state = reloaded(&host.state);
    assert_eq!(again(&host), Ok(existing(TurnState::Failed)));
    // Another session's keys are its own.
    host.create("b");
    let elsewhere = host.check(2, Kind::TurnSubmitted, &keyed("req-81"));
    assert_eq!(elsewhere, Ok(Verdict::Accept));
}

#[test]
fn keys_of_events_and_inputs_are_known_apart_from_those_of_turns() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("k");
    let event = host.put_in(1, Kind::Message, &keyed("k"));
    let seen = Ok(Verdict::Duplicate { seq: seq(event) });
    assert_eq!(host.check(1, Kind::Message, &keyed("k")), seen);
    assert_eq!(host.check(1, Kind::InputQueued, &keyed("k")), seen);
    let in_turn = Envelope { turn, ..keyed("k") };
    assert_eq!(host.check(1, Kind::TurnEvent, &in_turn), seen);
    assert_eq!(
        host.check(1, Kind::TurnEvent, &of_turn(turn, 0)),
        Ok(Verdict::Accept)
    );
}

#[test]
fn keys_of_open_turns_outlive_the_window() {
    let mut host = Writer::with_session("a");
    host.state.limits.key_window = 4;
    let open = host.begin("open");
    for number in 0..20 {
        let turn = host.begin(&format!("key-{number}"));
        host.put_in(1, Kind::TurnCancelled, &of_turn(turn, 0));
        assert!(host.one().recent_keys.len() <= 4);
    }
    assert!(matches!(
        host.check(1, Kind::TurnSubmitted, &keyed("open")),
        Ok(Verdict::Existing { seq, .. }) if seq.get() == open
    ));
    for number in 0..20 {
        let known = host.check(1, Kind::TurnSubmitted, &keyed(&format!("key-{number}")));
        assert_eq!(known != Ok(Verdict::Accept), number >= 17, "key-{number}");
    }
    // More open turns than the window is wide: all are known, and go when they end.
    let turns: Vec<u32> = (0..8).map(|n| host.begin(&format!("wide-{n}"))).collect();
    assert_eq!(host.one().recent_keys.len(), 9);
    for turn in turns {
        host.put_in(1, Kind::TurnCancelled, &of_turn(turn, 0));
    }
    host.begin("last");
    assert_eq!(host.one().recent_keys.len(), 4);
}

#[test]
fn waiting_input_is_known_by_its_key_for_as_long_as_it_waits() {
    let mut host = Writer::with_session("a");
    host.state.limits.key_window = 2;
    let input = host.put_in(1, Kind::InputQueued, &keyed("first"));
    for number in 0..5 {
        host.put_in(1, Kind::Message, &keyed(&format!("event-{number}")));
    }
    assert_eq!(
        host.check(1, Kind::InputQueued, &keyed("first")),
        Ok(Verdict::Duplicate { seq: seq(input) })
    );
}

#[test]
fn waiting_input_is_taken_once_by_priority_and_age() {
    let mut host = Writer::with_session("a");
    let low = host.put_in(1, Kind::InputQueued, &linked(1));
    let high = host.put_in(1, Kind::InputQueued, &linked(9));
    let also_high = host.put_in(1, Kind::InputQueued, &linked(9));
    for expected in [high, also_high, low] {
        let next = host.next_input().expect("something waits").seq;
        assert_eq!(next, seq(expected));
        host.put_in(1, Kind::TurnSubmitted, &linked(u64::from(expected)));
        let refused = Refusal::InputUnknown {
            input: u64::from(expected),
        };
        for kind in [Kind::TurnSubmitted, Kind::InputWithdrawn] {
            let found = host.refusal(1, kind, &linked(u64::from(expected)));
            assert_eq!(found, refused, "{kind}");
        }
    }
    assert_eq!(host.next_input(), None);
    let input = host.put_in(1, Kind::InputQueued, &linked(0));
    host.put_in(1, Kind::InputWithdrawn, &linked(u64::from(input)));
    assert_eq!(host.next_input(), None);
}

#[test]
fn only_an_ended_turn_is_superseded() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    assert_eq!(
        host.refusal(1, Kind::TurnSubmitted, &of_turn(turn, 0)),
        Refusal::TurnOpen { turn: seq(turn) }
    );
    assert_eq!(
        host.refusal(1, Kind::TurnSubmitted, &of_turn(99, 0)),
        Refusal::TurnUnknown { turn: seq(99) }
    );
    host.put_in(1, Kind::TurnInterrupted, &of_turn(turn, 0));
    host.put_in(1, Kind::TurnSubmitted, &of_turn(turn, 0));
}

#[test]
fn an_ended_session_comes_back_with_a_turn() {
    let mut host = Writer::with_session("a");
    let end = host.put_in(1, Kind::SessionEnded, &named("logout"));
    let ended = Status::Ended {
        seq: seq(end),
        reason: "logout".into(),
    };
    assert_eq!(
        host.refusal(1, Kind::SessionEnded, &named("logout")),
        Refusal::SessionEnded {
            session: SessionNo::new(1)
        }
    );
    host.put_in(1, Kind::Message, &named("late note"));
    assert_eq!(host.one().status, ended);
    host.begin("");
    assert_eq!(host.one().status, Status::Active);
}

#[test]
fn sessions_are_created_once_by_name_and_in_order() {
    let mut host = Writer::with_session("a");
    assert_eq!(
        host.refusal(2, Kind::SessionCreated, &named("a")),
        Refusal::NameTaken {
            session: SessionNo::new(1)
        }
    );
    for wrong in [0, 1, 3, u32::MAX] {
        assert_eq!(
            host.refusal(wrong, Kind::SessionCreated, &named("b")),
            Refusal::UnknownSession {
                session: SessionNo::new(wrong)
            }
        );
    }
    let child = Envelope {
        link: 1,
        ..named("b")
    };
    host.put_in(2, Kind::SessionCreated, &child);
    let state = host.state.session(SessionNo::new(2)).expect("is live");
    assert_eq!(state.parent, Some(SessionNo::new(1)));
    for parent in [3, 4, u64::from(u32::MAX), u64::MAX] {
        let orphan = Envelope {
            link: parent,
            ..named("c")
        };
        assert!(matches!(
            host.refusal(3, Kind::SessionCreated, &orphan),
            Refusal::UnknownSession { .. }
        ));
    }
    assert!(matches!(
        host.refusal(9, Kind::Message, &named("")),
        Refusal::UnknownSession { .. }
    ));
}

#[test]
fn sessions_are_found_by_name_and_by_prefix() {
    let mut host = Writer::new();
    for name in ["ab", "abc", "b", "a", "abd"] {
        host.create(name);
    }
    assert_eq!(host.state.find("b"), Some(SessionNo::new(3)));
    assert_eq!(host.state.find("c"), None);
    let found: Vec<_> = host.state.find_prefix("ab").collect();
    assert_eq!(
        found,
        [("ab", 1), ("abc", 2), ("abd", 5)].map(|(name, no)| (name, SessionNo::new(no)))
    );
    host.put_in(2, Kind::SessionDeleted, &named(""));
    assert_eq!(host.state.find_prefix("ab").count(), 2);
    assert_eq!(host.state.find_prefix("").count(), 4);
}

#[test]
fn the_journals_own_session_takes_no_turns() {
    let mut host = Writer::new();
    for kind in Kind::ALL
        .iter()
        .filter(|kind| **kind != Kind::SessionCreated)
    {
        let found = host.check(0, *kind, &call_named(*kind, "n"));
        match kind {
            Kind::Maintenance | Kind::Message | Kind::Put | Kind::Remove => {
                assert_eq!(found, Ok(Verdict::Accept), "{kind}");
            }
            kind => assert_eq!(found, Err(Refusal::NeedsSession { kind: *kind })),
        }
    }
    host.put_in(0, Kind::Put, &named("cursor"));
    host.create("a");
    assert_eq!(host.state.sessions().count(), 1);
    assert_same(&reloaded(&host.state), &host.state);
}

#[test]
fn conditions_hold_or_refuse() {
    let mut host = Writer::with_session("a");
    let check = |host: &Writer, name, condition| {
        let envelope = named(name);
        let epoch = Epoch::new(1);
        let draft = Draft::new(epoch, SessionNo::new(1), Kind::Put, &envelope, 1).when(condition);
        host.state.check(&draft)
    };
    let refused = |host: &Writer, name, expected, found| {
        let failed = Refusal::PreconditionFailed { expected, found };
        assert_eq!(check(host, name, expected), Err(failed));
    };
    let holds = |host: &Writer, name, condition| {
        assert_eq!(check(host, name, condition), Ok(Verdict::Accept));
    };

    holds(&host, "k", Condition::Value(None));
    host.put_in(1, Kind::Put, &named("k"));
    let at = Some(host.state.last_lsn());
    refused(&host, "k", Condition::Value(None), Found::Value(at));
    refused(&host, "k", Condition::Value(Some(lsn(1))), Found::Value(at));
    holds(&host, "k", Condition::Value(at));
    refused(&host, "other", Condition::Value(at), Found::Value(None));

    let head = host.state.last_lsn();
    holds(&host, "k", Condition::Head(head));
    refused(&host, "k", Condition::Head(lsn(1)), Found::Head(head));
    // What other sessions say does not matter.
    host.create("b");
    holds(&host, "k", Condition::Head(head));

    holds(&host, "k", Condition::NoOpenTurn);
    let turn = host.begin("");
    let found = Found::OpenTurn(seq(turn));
    refused(&host, "k", Condition::NoOpenTurn, found);

    holds(&host, "k", Condition::Generation(0));
    host.put_in(1, Kind::SessionCleared, &named(""));
    let found = Found::Generation(1);
    refused(&host, "k", Condition::Generation(0), found);
}

#[test]
fn a_creation_may_ask_that_no_session_of_that_name_was_deleted() {
    let mut host = Writer::with_session("a");
    let create = |host: &Writer, name, generation| {
        let (envelope, no) = (named(name), host.state.next_session());
        let draft = Draft::new(Epoch::new(1), no, Kind::SessionCreated, &envelope, 0);
        host.state
            .check(&draft.when(Condition::Generation(generation)))
    };
    assert_eq!(create(&host, "b", 0), Ok(Verdict::Accept));
    assert!(matches!(
        create(&host, "a", 0),
        Err(Refusal::NameTaken { .. })
    ));
    host.put_in(1, Kind::SessionDeleted, &named(""));
    host.state = reloaded(&host.state);
    assert_eq!(
        create(&host, "a", 0),
        Err(Refusal::PreconditionFailed {
            expected: Condition::Generation(0),
            found: Found::Generation(2)
        })
    );
    assert_eq!(create(&host, "a", 2), Ok(Verdict::Accept));
}

/// hermes saved a stub over a thousand messages: nothing that a host appends may take away what
/// is there, unless it says so.
#[test]
fn only_what_says_so_drops_anything() {
    for kind in Kind::ALL {
        let mut host = Writer::with_session("a");
        let turn = host.begin("");
        let input = host.put_in(1, Kind::InputQueued, &named("n"));
        let before = host.one().visible_len();
        let envelope = Envelope {
            turn,
            attempt: 1,
            link: u64::from(turn),
            ..call_named(*kind, "n")
        };
        if *kind != Kind::SessionCreated {
            host.apply(1, *kind, &envelope);
        }
        let drops = matches!(
            kind,
            Kind::SessionCleared | Kind::SessionTruncated | Kind::SessionDeleted
        );
        let after = host.state.visible_len(SessionNo::new(1));
        assert_eq!(after < before, drops, "{kind}");
        assert!(drops || host.state.is_visible(SessionNo::new(1), seq(input)));
    }
}

#[test]
fn texts_that_are_missing_or_too_long_are_refused() {
    let mut host = Writer::with_session("a");
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for kind in Kind::ALL {
        let refused = host.refusal(1, *kind, &named(&long));
        assert!(matches!(refused, Refusal::NameInvalid { .. }), "{kind}");
        let is_call = matches!(
            kind,
            Kind::TurnCall | Kind::TurnResult | Kind::TurnCallInterrupted
        );
        let takes = is_call
            || matches!(
                kind,
                Kind::TurnSubmitted | Kind::TurnEvent | Kind::Message | Kind::InputQueued
            );
        let nameless = host.check(1, *kind, &of_turn(2, 0));
        let needs_key = matches!(nameless, Err(Refusal::KeyInvalid { .. }));
        assert_eq!(needs_key, is_call, "{kind}");
        let with_key = Envelope {
            key: b"k",
            ..named("n")
        };
        let invalid = matches!(
            host.check(1, *kind, &with_key),
            Err(Refusal::KeyInvalid { .. })
        );
        assert_eq!(invalid, !takes, "{kind}");
        let needs = matches!(kind, Kind::SessionCreated | Kind::Put | Kind::Remove);
        let empty = matches!(
            host.check(1, *kind, &named("")),
            Err(Refusal::NameInvalid { .. })
        );
        assert_eq!(empty, needs, "{kind}");
    }
    host.put_in(1, Kind::Put, &named(&long[1..]));
    let key = "k".repeat(MAX_KEY_BYTES + 1);
    assert!(matches!(
        host.refusal(1, Kind::TurnSubmitted, &keyed(&key)),
        Refusal::KeyInvalid { .. }
    ));
    host.begin(&key[1..]);
}

#[test]
fn what_a_session_keeps_in_memory_is_bounded() {
    let mut host = Writer::with_session("a");
    host.state.limits = Limits {
        open_turns: 2,
        values: 2,
        queued: 2,
        holes: 1,
        ..Limits::default()
    };
    for name in ["1", "2"] {
        host.begin("");
        host.put_in(1, Kind::Put, &named(name));
        host.put_in(1, Kind::InputQueued, &named(name));
    }
    assert!(matches!(
        host.refusal(1, Kind::TurnSubmitted, &named("3")),
        Refusal::TurnOpen { .. }
    ));
    let turn = host.one().open[0].seq.get();
    host.state.limits.open_calls = 1;
    host.put_in(1, Kind::TurnCall, &call_of(Kind::TurnCall, turn, 0));
    let more = Envelope {
        key: b"more",
        ..of_turn(turn, 0)
    };
    assert!(matches!(
        host.refusal(1, Kind::TurnCall, &more),
        Refusal::Full { max: 1, .. }
    ));
    for kind in [Kind::Put, Kind::InputQueued] {
        let refused = host.refusal(1, kind, &named("3"));
        assert!(matches!(refused, Refusal::Full { max: 2, .. }), "{kind}");
    }
    host.put_in(1, Kind::Put, &named("2"));
    host.put_in(1, Kind::SessionTruncated, &linked(8));
    assert!(matches!(
        host.refusal(1, Kind::SessionTruncated, &linked(9)),
        Refusal::Full { max: 1, .. }
    ));
}

#[test]
fn maintenance_is_no_activity() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    let before = (host.one().active_lsn, host.one().active_ms);
    let late = Envelope {
        at_ms: 99,
        ..of_turn(turn, 0)
    };
    host.put_in(1, Kind::Maintenance, &late);
    host.put_in(1, Kind::TurnInterrupted, &late);
    assert_eq!((host.one().active_lsn, host.one().active_ms), before);
    assert_eq!(host.one().last_lsn, host.state.last_lsn());
    host.put_in(1, Kind::Message, &late);
    assert_eq!(host.one().active_ms, 99);
}

#[test]
fn a_batch_that_is_refused_leaves_nothing() {
    let mut host = Writer::with_session("a");
    host.create("old");
    host.put_in(2, Kind::SessionDeleted, &named(""));
    let turn = host.begin("open");
    host.put_in(1, Kind::Put, &named("k"));
    let before = host.state.clone();

    let savepoint = host.state.savepoint([SessionNo::new(1), SessionNo::new(1)]);
    host.put_in(1, Kind::TurnCompleted, &of_turn(turn, 0));
    host.begin("new");
    let created = host.create("old");
    host.put_in(created, Kind::TurnSubmitted, &keyed("x"));
    host.create("short-lived");
    host.put_in(created + 1, Kind::SessionDeleted, &named(""));
    host.put_in(1, Kind::SessionDeleted, &named(""));
    assert!(matches!(
        host.refusal(1, Kind::Message, &named("")),
        Refusal::Deleted { .. }
    ));
    host.state.rollback(savepoint);

    assert_same(&host.state, &before);
    host.put_in(1, Kind::TurnCompleted, &of_turn(turn, 0));
}
