//! What becomes of queued input.

use super::*;

fn claim(input: u32, number: u32) -> Envelope<'static> {
    Envelope {
        attempt: number,
        actor: "worker",
        ..linked(u64::from(input))
    }
}

fn standing(host: &Writer, input: u32) -> Option<Standing> {
    let queued = host.one().queued(u64::from(input))?;
    Some(queued.standing.clone())
}

/// Everything that may become of claimed input, by the claim that holds it.
const ENDS: [Kind; 4] = [
    Kind::InputReleased,
    Kind::InputConfirmed,
    Kind::InputBuried,
    Kind::TurnSubmitted,
];

#[test]
fn a_claim_keeps_everyone_else_away() {
    let mut host = Writer::with_session("a");
    let input = host.put_in(1, Kind::InputQueued, &named("urgent"));
    assert_eq!(host.next_input().map(|i| i.seq), Some(seq(input)));
    host.put_in(1, Kind::InputClaimed, &claim(input, 1));
    assert_eq!(host.next_input(), None);
    let held = Refusal::InputClaimed {
        input: u64::from(input),
        claim: 1,
        epoch: Epoch::new(1),
    };
    for number in [1, 2, 3] {
        let again = claim(input, number);
        assert_eq!(host.refusal(1, Kind::InputClaimed, &again), held);
    }
    for kind in ENDS {
        assert_eq!(host.refusal(1, kind, &claim(input, 2)), held, "{kind}");
        assert!(host.check(1, kind, &claim(input, 1)).is_ok(), "{kind}");
    }
    // Whoever queued it cannot take it back from under the worker.
    assert_eq!(
        host.refusal(1, Kind::InputWithdrawn, &claim(input, 0)),
        held
    );
    assert_eq!(host.refusal(1, Kind::TurnSubmitted, &claim(input, 0)), held);
    host.put_in(1, Kind::TurnSubmitted, &claim(input, 1));
    assert_eq!(standing(&host, input), None);
}

/// The process is killed between claim and confirmation: the input must not be stuck, and the
/// dead worker must not have the last word.
#[test]
fn a_claim_ends_with_its_writer() {
    let mut host = Writer::with_session("a");
    let input = host.put_in(1, Kind::InputQueued, &named("urgent"));
    host.put_in(1, Kind::InputClaimed, &claim(input, 1));
    host.epoch = 2;
    host.state = reloaded(&host.state);
    assert_eq!(host.next_input().map(|i| i.seq), Some(seq(input)));
    for kind in ENDS {
        let refused = host.refusal(1, kind, &claim(input, 1));
        assert!(matches!(refused, Refusal::InputClaimed { claim: 1, .. }));
    }
    host.put_in(1, Kind::InputClaimed, &claim(input, 2));
    let queued = host.one().queued(u64::from(input)).expect("is queued");
    assert_eq!((queued.claims, queued.lost_claims), (2, 1));
    for kind in ENDS {
        assert!(host.check(1, kind, &claim(input, 1)).is_err(), "{kind}");
    }
    host.put_in(1, Kind::InputConfirmed, &claim(input, 2));
    assert_eq!(host.one().queue.len(), 0);
}

#[test]
fn released_input_waits_in_its_old_place_and_remembers_its_claims() {
    let mut host = Writer::with_session("a");
    let first = host.put_in(1, Kind::InputQueued, &linked(5));
    host.put_in(1, Kind::InputQueued, &linked(5));
    host.put_in(1, Kind::InputClaimed, &claim(first, 1));
    host.put_in(1, Kind::InputReleased, &claim(first, 1));
    let next = host.next_input().expect("waits");
    assert_eq!(
        (next.seq, next.claims, next.lost_claims),
        (seq(first), 1, 0)
    );
    assert!(matches!(
        host.refusal(1, Kind::InputConfirmed, &claim(first, 1)),
        Refusal::InputClaimed { .. }
    ));
    host.put_in(1, Kind::InputClaimed, &claim(first, 2));
    // By hand, from a worker that is known to hang.
    host.put_in(1, Kind::InputReleased, &claim(first, 0));
    assert_eq!(standing(&host, first), Some(Standing::Waiting));
    assert!(matches!(
        host.refusal(1, Kind::InputReleased, &claim(first, 0)),
        Refusal::InputStanding { .. }
    ));
}

#[test]
fn buried_input_is_kept_until_someone_decides() {
    let mut host = Writer::with_session("a");
    let input = host.put_in(1, Kind::InputQueued, &keyed("id"));
    host.put_in(1, Kind::InputClaimed, &claim(input, 1));
    let buried = host.put_in(1, Kind::InputBuried, &claim(input, 1));
    let dead = Standing::Dead { seq: seq(buried) };
    assert_eq!(standing(&host, input), Some(dead));
    assert_eq!(host.next_input(), None);
    for (kind, number) in [
        (Kind::InputClaimed, 2),
        (Kind::InputBuried, 0),
        (Kind::TurnSubmitted, 0),
    ] {
        assert!(matches!(
            host.refusal(1, kind, &claim(input, number)),
            Refusal::InputStanding { .. }
        ));
    }
    // It is known by its key, and in the way of whatever would drop it unseen.
    assert_eq!(
        host.check(1, Kind::InputQueued, &keyed("id")),
        Ok(Verdict::Duplicate { seq: seq(input) })
    );
    for kind in [Kind::SessionCleared, Kind::SessionTruncated] {
        assert_eq!(
            host.refusal(1, kind, &linked(2)),
            Refusal::InputPending { input: seq(input) }
        );
    }
    host.put_in(1, Kind::InputReleased, &claim(input, 0));
    assert_eq!(host.next_input().map(|i| i.seq), Some(seq(input)));
    host.put_in(1, Kind::InputWithdrawn, &claim(input, 0));
    host.put_in(1, Kind::SessionCleared, &linked(0));
}

#[test]
fn input_may_become_part_of_a_turn_that_there_is() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    let input = host.put_in(1, Kind::InputQueued, &named("steer"));
    host.put_in(1, Kind::InputClaimed, &claim(input, 1));
    let within = |turn| Envelope {
        turn,
        ..claim(input, 1)
    };
    assert_eq!(
        host.refusal(1, Kind::InputConfirmed, &within(99)),
        Refusal::TurnUnknown { turn: seq(99) }
    );
    host.put_in(1, Kind::InputConfirmed, &within(turn));
    assert_eq!(host.one().open.len(), 1);
}

/// Items of sessions that nobody has open are drained like all others.
#[test]
fn the_next_input_of_all_sessions_is_the_most_urgent_and_then_the_oldest() {
    let mut host = Writer::with_session("a");
    host.create("b");
    let now = Epoch::new(1);
    let urgent = |priority, name| Envelope {
        name,
        ..linked(priority)
    };
    let old = host.put_in(2, Kind::InputQueued, &urgent(1, "normal"));
    host.put_in(1, Kind::InputQueued, &urgent(1, "normal"));
    let todo = host.put_in(1, Kind::InputQueued, &urgent(0, "todo"));
    let high = host.put_in(1, Kind::InputQueued, &urgent(7, "urgent"));
    let next = |host: &Writer, class| {
        let (session, input) = host.state.next_input(now, class)?;
        Some((session.no.get(), input.seq.get()))
    };
    assert_eq!(next(&host, None), Some((1, high)));
    assert_eq!(next(&host, Some("todo")), Some((1, todo)));
    assert_eq!(next(&host, Some("none")), None);
    host.put_in(1, Kind::InputWithdrawn, &claim(high, 0));
    assert_eq!(next(&host, None), Some((2, old)));
    // With one turn at a time, a session that is busy is passed over.
    host.state.set_max_open_turns(1);
    host.put_in(2, Kind::InputClaimed, &claim(old, 1));
    assert_eq!(next(&host, None).map(|(no, _)| no), Some(1));
    host.begin("");
    assert_eq!(next(&host, None), None);
}

#[test]
fn claims_of_input_that_is_done_with_may_go() {
    let mut host = Writer::with_session("a");
    let input = host.put_in(1, Kind::InputQueued, &named("normal"));
    let record = host.put_in(1, Kind::InputClaimed, &claim(input, 1));
    let fate = |host: &Writer| {
        let entry = host.state.entry(SessionNo::new(1)).expect("was created");
        let meta = RecordMeta {
            seq: seq(record),
            kind: Kind::InputClaimed,
            turn: 0,
            name: "",
            link: u64::from(input),
        };
        Retention::default().fate(entry, &meta)
    };
    assert_eq!(fate(&host), Fate::Keep);
    host.put_in(1, Kind::InputConfirmed, &claim(input, 1));
    assert_eq!(fate(&host), Fate::Superseded);
}

/// A turn streams half an answer, fails, and the log is compacted: the half is all there is.
#[test]
fn the_progress_of_turns_without_an_answer_stays() {
    let mut host = Writer::with_session("a");
    let mut last = 0;
    for end in [
        Kind::TurnFailed,
        Kind::TurnCancelled,
        Kind::TurnInterrupted,
        Kind::TurnCompleted,
    ] {
        let turn = host.begin("");
        last = host.put_in(1, Kind::TurnProgress, &of_turn(turn, 0));
        host.put_in(1, end, &of_turn(turn, 0));
        let entry = host.state.entry(SessionNo::new(1)).expect("was created");
        let meta = RecordMeta {
            seq: seq(last),
            kind: Kind::TurnProgress,
            turn,
            name: "",
            link: 0,
        };
        let is_answered = end == Kind::TurnCompleted;
        let fate = Retention::default().fate(entry, &meta);
        assert_eq!(fate == Fate::Superseded, is_answered, "{end}");
    }
    assert!(last > 0);
    for _ in 0..200 {
        let turn = host.begin("");
        host.put_in(1, Kind::TurnProgress, &of_turn(turn, 0));
        host.put_in(1, Kind::TurnFailed, &of_turn(turn, 0));
    }
    assert_eq!(host.one().partial.len(), 128);
    assert_same(&reloaded(&host.state), &host.state);
}
