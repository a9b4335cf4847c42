//! Records and stored sessions that no writer of ours made.

use super::naive::any_draft;
use super::*;

fn any_record<'a>(
    random: &mut Random,
    state: &State,
    kind: Kind,
    no: u32,
    envelope: &'a Envelope<'a>,
) -> Record<'a> {
    let next = state.next_seq(SessionNo::new(no)).map_or(1, Seq::get);
    let far = |random: &mut Random| random.pick(&[0, 1, u64::from(u32::MAX), u64::MAX]);
    let twisted = random.below(3) == 0;
    Record {
        lsn: match random.below(8) {
            0 if twisted => lsn(far(random)),
            _ => state.last_lsn().next(),
        },
        session: match random.below(8) {
            0 if twisted => SessionNo::new(far(random) as u32),
            _ => SessionNo::new(no),
        },
        seq: match random.below(4) {
            0 if twisted => seq(far(random) as u32),
            _ => seq(next),
        },
        epoch: Epoch::new(far(random) as u32),
        kind,
        envelope,
        content_len: far(random) as u32,
    }
}

/// Folds records that were never checked, some of them nonsense. Returns how many folded.
fn batter(random: &mut Random, state: &mut State, steps: u32) -> u32 {
    let mut folded = 0;
    for _ in 0..steps {
        let (no, kind, mut envelope) = any_draft(random, state);
        match random.below(12) {
            0 => envelope.link = u64::MAX - random.below(2),
            1 => envelope.link = u64::from(u32::MAX) + random.below(3),
            2 => envelope.turn = u32::MAX - random.below(2) as u32,
            3 => envelope.attempt = u32::MAX,
            4 => envelope.name = "",
            _ => {}
        }
        let before = state.clone();
        let record = any_record(random, state, kind, no, &envelope);
        // A record at the end of the numbers would leave nothing to fold after it.
        if record.lsn.get() > 1 << 60 {
            let _ = state.clone().apply(&record);
            continue;
        }
        match state.apply(&record) {
            Ok(_) => folded += 1,
            Err(_) => assert_same(state, &before),
        }
        for session in state.sessions() {
            assert!(session.is_sound(), "a fold keeps a sound state sound");
            let _ = (
                session.visible_len(),
                session.next_input(Epoch::new(1), None),
            );
        }
    }
    folded
}

#[test]
fn any_records_fold_or_fault_and_a_fault_changes_nothing() {
    let mut folded = 0;
    for seed in 0..150 {
        let mut random = Random::new(20_000 + seed);
        let mut state = State::default();
        folded += batter(&mut random, &mut state, 100);
        assert_same(&reloaded(&state), &state);
    }
    assert!(folded > 3_000, "only {folded} records folded");
}

#[test]
fn stored_sessions_with_altered_bytes_load_soundly_or_not_at_all() {
    let mut outcomes = [0_u32; 3];
    for seed in 0..400 {
        let mut random = Random::new(30_000 + seed);
        let mut host = Writer::new();
        for _ in 0..80 {
            let (no, kind, envelope) = any_draft(&mut random, &host.state);
            if host.check(no, kind, &envelope) == Ok(Verdict::Accept) {
                host.apply(no, kind, &envelope);
            }
        }
        let mut state = State::default();
        for entry in host.state.entries() {
            let mut bytes = Vec::new();
            body::encode(entry, &mut bytes).expect("encodes");
            for _ in 0..random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = match random.below(3) {
                    0 => bytes[at] ^ (1 << random.below(8)),
                    1 => 0,
                    _ => 0xFC,
                };
            }
            let loaded = body::decode::<SessionEntry>(&bytes).map(|entry| {
                let before = state.clone();
                let loaded = state.insert_loaded(entry);
                if loaded.is_err() {
                    assert_same(&state, &before);
                }
                loaded
            });
            outcomes[match loaded {
                Ok(Ok(())) => 0,
                Ok(Err(_)) => 1,
                Err(_) => 2,
            }] += 1;
        }
        if state.last_lsn().get() < 1 << 60 {
            batter(&mut random, &mut state, 40);
        }
    }
    assert!(
        outcomes.iter().all(|count| *count > 50),
        "each outcome occurs: {outcomes:?}"
    );
}

#[test]
fn entries_load_in_order_and_once() {
    let mut host = Writer::with_session("a");
    host.create("b");
    let entries: Vec<SessionEntry> = host.state.entries().cloned().collect();
    let mut state = State::default();
    assert!(matches!(
        state.insert_loaded(entries[2].clone()),
        Err(FoldFault::SessionOrder { .. })
    ));
    for entry in &entries {
        assert_eq!(state.insert_loaded(entry.clone()), Ok(()));
    }
    for entry in &entries {
        assert!(state.insert_loaded(entry.clone()).is_err());
    }
    let mut twin = entries[1].clone();
    if let SessionEntry::Live(session) = &mut twin {
        session.no = SessionNo::new(3);
    }
    assert!(state.insert_loaded(twin).is_err(), "the name is taken");
    assert_same(&state, &host.state);
}

#[test]
fn stored_sessions_that_contradict_themselves_do_not_load() {
    let mut host = Writer::with_session("a");
    for key in ["k1", "k2"] {
        host.begin(key);
        host.put_in(1, Kind::Message, &keyed(key));
        host.put_in(1, Kind::InputQueued, &named(""));
        host.put_in(1, Kind::Put, &named(key));
    }
    let good = host.one().clone();
    let next = good.next_seq;
    let loads = |session: SessionState| {
        let mut state = State::default();
        let loaded = state.insert_loaded(SessionEntry::Live(Box::new(session)));
        loaded.is_ok()
    };
    assert!(loads(good.clone()));
    let spoilers: [fn(&mut SessionState); 21] = [
        |session| session.name = "".into(),
        |session| session.next_seq = seq(0),
        |session| session.open.swap(0, 1),
        |session| session.open[1].seq = session.open[0].seq,
        |session| session.open[0].seq = seq(0),
        |session| session.open[1].seq = session.next_seq,
        |session| session.open[1].state = TurnState::Completed,
        |session| session.recent_keys.swap(0, 1),
        |session| session.recent_keys[1].seq = session.next_seq,
        |session| session.recent_events.swap(0, 1),
        |session| session.recent_events[1].seq = session.next_seq,
        |session| session.queue.swap(0, 1),
        |session| session.queue[1].seq = session.next_seq,
        |session| {
            session
                .values
                .values_mut()
                .for_each(|value| value.seq = seq(0))
        },
        |session| {
            session
                .values
                .values_mut()
                .for_each(|value| value.seq = session.next_seq)
        },
        |session| session.holes = vec![(seq(0), seq(2))],
        |session| session.holes = vec![(seq(3), seq(3))],
        |session| session.holes = vec![(seq(4), seq(3))],
        |session| session.holes = vec![(seq(2), session.next_seq.next())],
        |session| session.holes = vec![(seq(2), seq(4)), (seq(4), seq(6))],
        |session| session.holes = vec![(seq(4), seq(6)), (seq(2), seq(3))],
    ];
    for (number, spoil) in spoilers.into_iter().enumerate() {
        let mut session = good.clone();
        spoil(&mut session);
        assert!(!loads(session), "spoiler {number}");
    }
    let mut whole = good.clone();
    whole.holes = vec![(seq(2), seq(4)), (seq(5), next)];
    assert!(loads(whole), "holes may reach from record to record");

    // The journal itself has no turns that could be open.
    let mut journal = good;
    journal.no = JOURNAL_SESSION;
    assert!(!loads(journal.clone()));
    journal.open.clear();
    assert!(loads(journal));
}

#[test]
fn a_record_is_folded_once() {
    let mut host = Writer::with_session("a");
    let envelope = named("b");
    let record = Record {
        lsn: host.state.last_lsn(),
        session: SessionNo::new(1),
        seq: seq(2),
        epoch: Epoch::new(1),
        kind: Kind::Message,
        envelope: &envelope,
        content_len: 0,
    };
    let stale = FoldFault::Lsn {
        last: record.lsn,
        found: record.lsn,
    };
    assert_eq!(host.state.apply(&record), Err(stale));
    let next = Record {
        lsn: record.lsn.next(),
        ..record
    };
    assert_eq!(host.state.apply(&next), Ok(Effect::Recorded));
    let again = Record {
        lsn: next.lsn.next(),
        ..next
    };
    assert!(matches!(
        host.state.apply(&again),
        Err(FoldFault::Seq { .. })
    ));
}

#[test]
fn a_session_ends_before_its_numbers_do() {
    let mut host = Writer::with_session("a");
    let mut full = host.one().clone();
    full.next_seq = seq(u32::MAX);
    host.state.entries[1] = SessionEntry::Live(Box::new(full));
    assert!(matches!(
        host.refusal(1, Kind::Message, &named("")),
        Refusal::Full { .. }
    ));
    let envelope = named("");
    let record = Record {
        lsn: lsn(99),
        session: SessionNo::new(1),
        seq: seq(u32::MAX),
        epoch: Epoch::new(1),
        kind: Kind::Message,
        envelope: &envelope,
        content_len: 0,
    };
    assert!(matches!(
        host.state.apply(&record),
        Err(FoldFault::Seq { .. })
    ));
}
