//! Truncating, clearing, deleting; and what a compaction may let go.

use super::*;

fn retained(host: &Writer, retention: &Retention, at: u32, kind: Kind, turn: u32) -> Fate {
    let entry = host.state.entry(SessionNo::new(1)).expect("was created");
    let meta = RecordMeta {
        seq: seq(at),
        kind,
        turn,
        name: "k",
        link: 0,
    };
    retention.fate(entry, &meta)
}

/// A user takes back the second of two messages and asks something else.
#[test]
fn a_truncation_forgets_what_hangs_on_the_dropped_records() {
    let mut host = Writer::with_session("a");
    let kept = host.begin("kept");
    host.put_in(1, Kind::Put, &named("kept"));
    host.put_in(1, Kind::Put, &named("replaced"));
    let input = host.put_in(1, Kind::InputQueued, &linked(0));
    let event = host.put_in(1, Kind::Message, &keyed("e1"));

    let gone = host.begin("gone");
    host.put_in(1, Kind::TurnStarted, &of_turn(gone, 1));
    host.put_in(1, Kind::Put, &named("replaced"));
    host.put_in(1, Kind::Put, &named("new"));
    let unseen = host.put_in(1, Kind::InputQueued, &linked(0));
    host.put_in(1, Kind::Message, &keyed("e2"));
    host.put_in(1, Kind::SessionEnded, &named("secret"));
    let refused = Refusal::InputPending { input: seq(unseen) };
    let from = linked(u64::from(gone));
    assert_eq!(host.refusal(1, Kind::SessionTruncated, &from), refused);
    host.put_in(1, Kind::InputWithdrawn, &linked(u64::from(unseen)));
    let cut = host.put_in(1, Kind::SessionTruncated, &linked(u64::from(gone)));

    let session = host.one();
    assert_eq!(session.holes, [(seq(gone), seq(cut))]);
    assert_eq!(session.visible_len(), gone);
    assert_eq!(session.open.len(), 1);
    assert_eq!(session.open[0].seq, seq(kept));
    assert_eq!(host.state.open_turn_count(), 1);
    assert_eq!(session.turns_ended.dropped, 1);
    assert_eq!(session.generation, 1);
    assert_eq!(session.status, Status::Active);
    assert_eq!(session.last_turn, None);
    // The older value does not come back.
    let keys: Vec<&str> = session.values.keys().map(|key| &**key).collect();
    assert_eq!(keys, ["kept"]);
    let waiting: Vec<Seq> = session.queue.iter().map(|input| input.seq).collect();
    assert_eq!(waiting, [seq(input)]);
    assert_eq!(
        host.check(1, Kind::Message, &keyed("e1")),
        Ok(Verdict::Duplicate { seq: seq(event) })
    );
    assert_eq!(
        host.check(1, Kind::Message, &keyed("e2")),
        Ok(Verdict::Accept)
    );
    for at in 1..=cut {
        let visible = host.state.is_visible(SessionNo::new(1), seq(at));
        assert_eq!(visible, at < gone || at == cut, "record {at}");
    }
    assert!(!host.state.is_visible(SessionNo::new(1), seq(0)));
    assert!(!host.state.is_visible(SessionNo::new(1), seq(cut + 1)));

    // Whoever worked on the dropped turn is told; a retry begins anew, under a new ordinal.
    assert_eq!(
        host.refusal(1, Kind::TurnCompleted, &of_turn(gone, 1)),
        Refusal::TurnUnknown { turn: seq(gone) }
    );
    host.begin("gone");
    assert_eq!(host.one().open[1].ordinal, 3);
}

#[test]
fn input_that_a_dropped_turn_had_taken_does_not_come_back() {
    let mut host = Writer::with_session("a");
    let input = host.put_in(1, Kind::InputQueued, &linked(0));
    let turn = host.put_in(1, Kind::TurnSubmitted, &linked(u64::from(input)));
    host.put_in(1, Kind::SessionTruncated, &linked(u64::from(turn)));
    assert_eq!(host.next_input(), None);
}

#[test]
fn truncation_needs_a_record_to_drop_and_spares_the_creation() {
    let mut host = Writer::with_session("a");
    host.put_in(1, Kind::Message, &named(""));
    for from in [0, 1, 3, 4, u64::from(u32::MAX) + 3, u64::MAX] {
        assert_eq!(
            host.refusal(1, Kind::SessionTruncated, &linked(from)),
            Refusal::TruncationInvalid { from, next: seq(3) }
        );
    }
    host.put_in(1, Kind::SessionTruncated, &linked(2));
    assert!(host.one().is_visible(seq(1)));
}

/// What a writer would refuse is folded as far as it makes sense.
#[test]
fn a_truncation_beyond_its_bounds_drops_what_is_within_them() {
    for (from, dropped) in [(0, 2), (1, 2), (4, 0), (5, 0), (u64::MAX, 0)] {
        let mut host = Writer::with_session("a");
        host.put_in(1, Kind::Message, &named(""));
        host.put_in(1, Kind::Message, &named(""));
        let effect = host.apply(1, Kind::SessionTruncated, &linked(from));
        let from_to = (seq(4 - dropped), seq(4));
        assert!(matches!(effect, Effect::Dropped { from, to } if (from, to) == from_to));
        assert_eq!(host.one().visible_len(), 4 - dropped, "from {from}");
        assert!(host.one().is_visible(seq(1)));
        assert!(host.one().is_sound());
    }
}

#[test]
fn holes_that_overlap_or_touch_become_one() {
    let mut host = Writer::with_session("a");
    let fill = |host: &mut Writer, count| {
        for _ in 0..count {
            host.put_in(1, Kind::Message, &named(""));
        }
    };
    let holes = |host: &Writer| -> Vec<(u32, u32)> {
        let holes = host.one().holes.iter();
        holes.map(|(from, to)| (from.get(), to.get())).collect()
    };
    fill(&mut host, 8); // 2..10
    host.put_in(1, Kind::SessionTruncated, &linked(5)); // 10
    assert_eq!(holes(&host), [(5, 10)]);
    fill(&mut host, 4); // 11..15
    host.put_in(1, Kind::SessionTruncated, &linked(12)); // 15
    assert_eq!(holes(&host), [(5, 10), (12, 15)]);
    host.put_in(1, Kind::SessionTruncated, &linked(15)); // 16, touches
    assert_eq!(holes(&host), [(5, 10), (12, 16)]);
    assert_eq!(host.one().visible_len(), 7);
    fill(&mut host, 1); // 17
    host.put_in(1, Kind::SessionTruncated, &linked(7)); // 18, begins in a hole
    assert_eq!(holes(&host), [(5, 18)]);
    host.put_in(1, Kind::SessionCleared, &linked(0)); // 19
    assert_eq!(holes(&host), [(2, 19)]);
    assert_eq!(host.one().visible_len(), 2);
    assert_same(&reloaded(&host.state), &host.state);
}

#[test]
fn a_clear_leaves_the_creation_and_counts_on() {
    let mut host = Writer::with_session("a");
    for key in ["x", "y"] {
        host.begin(key);
        host.put_in(1, Kind::Put, &named(key));
        host.put_in(1, Kind::InputQueued, &named(key));
    }
    // A writer refuses it while input is queued; what is on disk is folded.
    let clear = host.one().next_seq.get();
    host.apply(1, Kind::SessionCleared, &linked(0));
    let session = host.one();
    assert_eq!(session.holes, [(seq(2), seq(clear))]);
    assert_eq!((session.open.len(), session.values.len()), (0, 0));
    assert_eq!((session.queue.len(), session.recent_keys.len()), (0, 0));
    assert_eq!(session.turns_begun, 2);
    assert_eq!(host.state.open_turn_count(), 0);
    assert_eq!(host.state.queues().count(), 0);
    // Clearing a new session drops nothing, and is a generation all the same.
    host.create("b");
    host.put_in(2, Kind::SessionCleared, &linked(0));
    let fresh = host.state.session(SessionNo::new(2)).expect("is live");
    assert_eq!((fresh.holes.len(), fresh.generation), (0, 1));
}

#[test]
fn a_deleted_session_stays_deleted_and_its_name_begins_anew() {
    let mut host = Writer::with_session("a");
    host.begin("k");
    host.put_in(1, Kind::SessionCleared, &linked(0));
    host.begin("k");
    let last = host.put_in(1, Kind::SessionDeleted, &linked(0));
    assert_eq!(host.state.open_turn_count(), 0);
    assert_eq!(host.state.find("a"), None);
    let tombstone = *host.state.find_deleted("a").expect("leaves a tombstone");
    assert_eq!((tombstone.generation, tombstone.last_seq), (2, seq(last)));
    assert_eq!(tombstone.last_lsn, host.state.last_lsn());
    for kind in Kind::ALL {
        if *kind != Kind::SessionCreated {
            assert_eq!(
                host.refusal(1, *kind, &call_named(*kind, "n")),
                Refusal::Deleted {
                    session: SessionNo::new(1)
                }
            );
        }
    }
    assert!(!host.state.is_visible(SessionNo::new(1), seq(1)));
    assert_eq!(host.state.visible_len(SessionNo::new(1)), 0);

    host.state = reloaded(&host.state);
    let second = host.create("a");
    assert_eq!(second, 2);
    let state = host.state.session(SessionNo::new(2)).expect("is live");
    assert_eq!((state.generation, state.next_seq), (3, seq(2)));
    assert_eq!(
        host.check(2, Kind::TurnSubmitted, &keyed("k")),
        Ok(Verdict::Accept)
    );
    // The name is nowhere in what is stored of the deleted one.
    let mut bytes = Vec::new();
    let entry = host.state.entry(SessionNo::new(1)).expect("was created");
    body::encode(entry, &mut bytes).expect("encodes");
    assert!(bytes.len() < 40);
}

#[test]
fn progress_goes_when_its_turn_has_ended() {
    let mut host = Writer::with_session("a");
    let turn = host.begin("");
    let piece = host.put_in(1, Kind::TurnProgress, &of_turn(turn, 0));
    let event = host.put_in(1, Kind::TurnEvent, &of_turn(turn, 0));
    let drop_all = Retention::default();
    let keep_all = Retention {
        keep_progress_of_ended_turns: true,
        keep_replaced_values: true,
    };
    let fate = |host: &Writer, retention: &Retention| {
        retained(host, retention, piece, Kind::TurnProgress, turn)
    };
    assert_eq!(fate(&host, &drop_all), Fate::Keep);
    host.put_in(1, Kind::TurnCompleted, &of_turn(turn, 0));
    assert_eq!(fate(&host, &drop_all), Fate::Superseded);
    assert_eq!(fate(&host, &keep_all), Fate::Keep);
    assert_eq!(
        retained(&host, &drop_all, event, Kind::TurnEvent, turn),
        Fate::Keep
    );
    assert_eq!(
        retained(&host, &drop_all, turn, Kind::TurnSubmitted, 0),
        Fate::Keep
    );
}

#[test]
fn values_go_when_they_are_replaced_or_removed() {
    let mut host = Writer::with_session("a");
    let drop_all = Retention::default();
    let keep_all = Retention {
        keep_replaced_values: true,
        ..drop_all
    };
    let first = host.put_in(1, Kind::Put, &named("k"));
    let second = host.put_in(1, Kind::Put, &named("k"));
    let fate = |host: &Writer, at, kind| retained(host, &drop_all, at, kind, 0);
    assert_eq!(fate(&host, first, Kind::Put), Fate::Superseded);
    assert_eq!(fate(&host, second, Kind::Put), Fate::Keep);
    let removal = host.put_in(1, Kind::Remove, &named("k"));
    assert_eq!(fate(&host, second, Kind::Put), Fate::Superseded);
    assert_eq!(fate(&host, removal, Kind::Remove), Fate::Superseded);
    for (at, kind) in [(first, Kind::Put), (removal, Kind::Remove)] {
        assert_eq!(retained(&host, &keep_all, at, kind, 0), Fate::Keep);
    }
}

#[test]
fn dropped_and_deleted_records_must_go_whatever_is_to_be_kept() {
    let mut host = Writer::with_session("a");
    let keep_all = Retention {
        keep_progress_of_ended_turns: true,
        keep_replaced_values: true,
    };
    let turn = host.begin("");
    let cut = host.put_in(1, Kind::SessionTruncated, &linked(u64::from(turn)));
    let fate = |host: &Writer, at, kind| retained(host, &keep_all, at, kind, 0);
    assert_eq!(fate(&host, turn, Kind::TurnSubmitted), Fate::Erased);
    assert_eq!(fate(&host, 1, Kind::SessionCreated), Fate::Keep);
    assert_eq!(fate(&host, cut, Kind::SessionTruncated), Fate::Keep);
    // Not folded yet, so nothing is known against it.
    let unfolded = retained(&host, &Retention::default(), cut + 1, Kind::Put, 0);
    assert_eq!(unfolded, Fate::Keep);
    host.put_in(1, Kind::SessionDeleted, &linked(0));
    assert_eq!(fate(&host, 1, Kind::SessionCreated), Fate::Erased);
}
