//! The rules once more, written as slowly and plainly as can be, and compared with the engine's
//! over random histories: every answer is derived from the whole list of records each time.

use super::*;

/// One record that was accepted.
#[derive(Clone)]
struct Past {
    kind: Kind,
    envelope: Envelope<'static>,
    epoch: u32,
    dropped: bool,
}

/// Where queued input stands.
#[derive(Debug, PartialEq)]
enum Naive {
    Waiting,
    Claimed(u32),
    Dead,
}

#[derive(Clone, Default)]
struct NaiveSession {
    name: &'static str,
    deleted: bool,
    records: Vec<Past>,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Accept,
    Known(u32),
    Refuse,
}

impl NaiveSession {
    fn numbered(&self) -> impl DoubleEndedIterator<Item = (u32, &Past)> {
        self.records
            .iter()
            .enumerate()
            .map(|(at, past)| (at as u32 + 1, past))
    }

    fn visible(&self) -> impl DoubleEndedIterator<Item = (u32, &Past)> {
        self.numbered().filter(|(_, past)| !past.dropped)
    }

    fn open(&self) -> Vec<u32> {
        let ended = |turn: u32| {
            let mut ends = self.records.iter().filter(|past| past.kind.is_turn_end());
            ends.any(|past| past.envelope.turn == turn)
        };
        self.visible()
            .filter(|(seq, past)| past.kind == Kind::TurnSubmitted && !ended(*seq))
            .map(|(seq, _)| seq)
            .collect()
    }

    fn attempt(&self, turn: u32) -> u32 {
        let starts = self
            .records
            .iter()
            .filter(|past| past.kind == Kind::TurnStarted);
        let starts = starts.filter(|past| past.envelope.turn == turn);
        starts.map(|past| past.envelope.attempt).max().unwrap_or(0)
    }

    /// The writer under which the latest attempt began.
    fn attempt_epoch(&self, turn: u32) -> Option<u32> {
        let mut starts = self.records.iter().rev();
        let start =
            starts.find(|past| past.kind == Kind::TurnStarted && past.envelope.turn == turn)?;
        Some(start.epoch)
    }

    /// Records and ids of the turn's calls that have no result.
    fn calls(&self, turn: u32) -> Vec<(u32, &'static [u8])> {
        let mut calls: Vec<(u32, &[u8])> = Vec::new();
        for (seq, past) in self.numbered().filter(|(_, p)| p.envelope.turn == turn) {
            match past.kind {
                // Its result may come before or after it was truncated.
                Kind::TurnCall => calls.push((seq, past.envelope.key)),
                Kind::TurnResult | Kind::TurnCallInterrupted => {
                    calls.retain(|(_, id)| *id != past.envelope.key);
                }
                _ => {}
            }
        }
        calls.retain(|(seq, _)| !self.records[*seq as usize - 1].dropped);
        calls
    }

    fn step(&self, turn: u32) -> Kind {
        let mut steps = self.records.iter().rev().filter(|past| {
            past.envelope.turn == turn
                && matches!(past.kind, Kind::TurnStarted | Kind::TurnResponding)
        });
        steps.next().map_or(Kind::TurnSubmitted, |past| past.kind)
    }

    /// What is queued: seq, claims, lost claims, and the writer of a claim or that it is dead.
    fn queue(&self) -> Vec<(u32, u32, u32, Naive)> {
        let queued = self.visible().filter(|(_, p)| p.kind == Kind::InputQueued);
        queued
            .filter_map(|(seq, _)| {
                let (claims, lost, standing) = self.queued(seq)?;
                Some((seq, claims, lost, standing))
            })
            .collect()
    }

    fn queued(&self, input: u32) -> Option<(u32, u32, Naive)> {
        let about = self
            .records
            .iter()
            .filter(|past| past.envelope.link == u64::from(input));
        let (mut claims, mut lost, mut standing) = (0, 0, Naive::Waiting);
        for past in about {
            let ends = matches!(standing, Naive::Claimed(epoch) if epoch < past.epoch);
            match past.kind {
                Kind::TurnSubmitted | Kind::InputWithdrawn | Kind::InputConfirmed => return None,
                Kind::InputClaimed => {
                    lost += u32::from(ends);
                    claims += 1;
                    standing = Naive::Claimed(past.epoch);
                }
                Kind::InputReleased => {
                    lost = if past.envelope.attempt == 0 { 0 } else { lost };
                    standing = Naive::Waiting;
                }
                Kind::InputBuried => {
                    lost += u32::from(ends);
                    standing = Naive::Dead;
                }
                _ => {}
            }
        }
        Some((claims, lost, standing))
    }

    /// Whether that may be said about the input that the link names.
    fn may_say(&self, kind: Kind, envelope: &Envelope<'_>, now: u32) -> bool {
        let claim = envelope.attempt;
        let queue = self.queue();
        let mut found = queue
            .iter()
            .filter(|(seq, ..)| u64::from(*seq) == envelope.link);
        let Some((_, claims, _, standing)) = found.next() else {
            return false;
        };
        let is_held = *standing == Naive::Claimed(now);
        let is_dead = *standing == Naive::Dead;
        match (kind, claim) {
            (Kind::InputClaimed, _) => !is_held && !is_dead && claim == claims + 1,
            (Kind::InputReleased, 0) => *standing != Naive::Waiting,
            (Kind::InputConfirmed, 0) => false,
            (Kind::InputWithdrawn, 0) => !is_held,
            (_, 0) => !is_held && !is_dead,
            (Kind::InputConfirmed, _) if envelope.turn as usize > self.records.len() => false,
            _ => is_held && claim == *claims,
        }
    }

    fn value(&self, key: &str) -> Option<u32> {
        let mut writes = self.numbered().rev().filter(|(_, past)| {
            matches!(past.kind, Kind::Put | Kind::Remove) && past.envelope.name == key
        });
        let (seq, last) = writes.next()?;
        (last.kind == Kind::Put && !last.dropped).then_some(seq)
    }

    fn has_ended(&self) -> bool {
        let mut marks = self.records.iter().rev();
        marks
            .find(|past| matches!(past.kind, Kind::SessionEnded | Kind::TurnSubmitted))
            .is_some_and(|past| past.kind == Kind::SessionEnded && !past.dropped)
    }

    fn known(&self, kind: Kind, key: &[u8]) -> Option<u32> {
        if is_call(kind) {
            return None;
        }
        let is_turn = |kind| kind == Kind::TurnSubmitted;
        let mut same = self.visible().filter(|(_, past)| {
            let comparable = is_turn(past.kind) == is_turn(kind) && !is_call(past.kind);
            past.envelope.key == key && comparable
        });
        same.next_back()
            .filter(|_| !key.is_empty())
            .map(|(seq, _)| seq)
    }

    fn judge(&self, kind: Kind, envelope: &Envelope<'_>, epoch: u32) -> Answer {
        if let Some(seq) = self.known(kind, envelope.key) {
            return Answer::Known(seq);
        }
        let next = self.records.len() as u64 + 1;
        let (turn, attempt, link) = (envelope.turn, envelope.attempt, envelope.link);
        let current = self.attempt(turn);
        let may_say = || self.may_say(kind, envelope, epoch);
        let first_queued = self.queue().first().map(|(seq, ..)| u64::from(*seq));
        let last_queued = self.queue().last().map(|(seq, ..)| u64::from(*seq));
        let is_open = self.open().contains(&turn);
        let holds =
            is_open && attempt == current && self.attempt_epoch(turn).is_none_or(|e| e == epoch);
        let calls = self.calls(turn);
        let call = calls.iter().find(|(_, id)| *id == envelope.key);
        let fits = match kind {
            Kind::TurnSubmitted => (link == 0 || may_say()) && !is_open && u64::from(turn) < next,
            Kind::TurnStarted => is_open && attempt > current,
            Kind::TurnResponding => holds && self.step(turn) != Kind::TurnResponding,
            Kind::TurnCancelled | Kind::TurnInterrupted => {
                is_open && (attempt == 0 || holds) && calls.is_empty()
            }
            Kind::TurnCompleted | Kind::TurnFailed => holds && calls.is_empty(),
            Kind::TurnCall => match call {
                Some((seq, _)) if holds => return Answer::Known(*seq),
                _ => holds,
            },
            Kind::TurnResult => holds && call.is_some(),
            Kind::TurnCallInterrupted => is_open && (attempt == 0 || holds) && call.is_some(),
            kind if kind.is_within_turn() => holds,
            Kind::SessionEnded => !self.has_ended(),
            Kind::SessionTruncated => {
                2 <= link && link < next && last_queued.is_none_or(|seq| seq < link)
            }
            Kind::SessionCleared => first_queued.is_none(),
            kind if kind.is_about_input() => may_say(),
            _ => true,
        };
        if fits { Answer::Accept } else { Answer::Refuse }
    }

    fn append(&mut self, kind: Kind, envelope: &Envelope<'static>, epoch: u32) {
        let from = match kind {
            Kind::SessionCleared => Some(2),
            Kind::SessionTruncated => Some(envelope.link as usize),
            _ => None,
        };
        for past in self.records.iter_mut().skip(from.unwrap_or(usize::MAX) - 1) {
            past.dropped = true;
        }
        self.records.push(Past {
            kind,
            envelope: envelope.clone(),
            epoch,
            dropped: false,
        });
        self.deleted |= kind == Kind::SessionDeleted;
    }

    fn compare(&self, state: &SessionState) {
        let open: Vec<_> = state
            .open
            .iter()
            .map(|turn| {
                let calls: Vec<u32> = turn.calls.iter().map(|call| call.seq.get()).collect();
                (turn.seq.get(), turn.attempt, turn.state, calls)
            })
            .collect();
        let expected: Vec<_> = self
            .open()
            .into_iter()
            .map(|turn| {
                let state = TurnState::brought_by(self.step(turn)).expect("a step");
                let calls = self.calls(turn).into_iter().map(|(seq, _)| seq).collect();
                (turn, self.attempt(turn), state, calls)
            })
            .collect();
        assert_eq!(open, expected);
        let queue: Vec<_> = state
            .queue
            .iter()
            .map(|input| {
                let standing = match input.standing {
                    Standing::Waiting => Naive::Waiting,
                    Standing::Claimed { epoch, .. } => Naive::Claimed(epoch.get()),
                    Standing::Dead { .. } => Naive::Dead,
                };
                (input.seq.get(), input.claims, input.lost_claims, standing)
            })
            .collect();
        assert_eq!(queue, self.queue());
        for key in NAMES {
            let value = state.values.get(key).map(|value| value.seq.get());
            assert_eq!(value, self.value(key), "value of {key}");
        }
        assert_eq!(state.status != Status::Active, self.has_ended());
        for (seq, past) in self.numbered() {
            assert_eq!(state.is_visible(Seq::new(seq)), !past.dropped, "{seq}");
        }
        assert_eq!(state.visible_len() as usize, self.visible().count());
        let count = |kind| self.records.iter().filter(|past| past.kind == kind).count() as u32;
        assert_eq!(state.turns_begun, count(Kind::TurnSubmitted));
        assert_eq!(state.turns_ended.completed, count(Kind::TurnCompleted));
        let ended = state.turns_ended.completed
            + state.turns_ended.failed
            + state.turns_ended.cancelled
            + state.turns_ended.interrupted
            + state.turns_ended.dropped;
        assert_eq!(state.turns_begun, ended + state.open.len() as u32);
    }
}

const NAMES: [&str; 4] = ["a", "b", "ab", "x"];
const KEYS: [&str; 6] = ["", "", "", "k1", "k2", "k3"];

/// A draft of any kind, with turns and links that often exist.
pub fn any_draft(random: &mut Random, state: &State) -> (u32, Kind, Envelope<'static>) {
    let known = u64::from(state.next_session().get());
    let no = match random.below(16) {
        0 => known as u32,
        1 => 0,
        2 => random.below(known + 2) as u32,
        _ => state
            .sessions()
            .last()
            .map_or(known as u32, |session| session.no.get()),
    };
    let mut kind = random.pick(Kind::ALL);
    // What ends everything is rare, so that histories grow.
    let rare = matches!(
        kind,
        Kind::SessionDeleted | Kind::SessionCleared | Kind::SessionTruncated
    );
    if rare && random.below(5) > 0 {
        kind = Kind::TurnSubmitted;
    }
    if (u64::from(no) == known) != (kind == Kind::SessionCreated) && random.below(8) > 0 {
        kind = if u64::from(no) == known {
            Kind::SessionCreated
        } else {
            Kind::Message
        };
    }
    let next = state.next_seq(SessionNo::new(no)).map_or(1, Seq::get);
    let session = state.session(SessionNo::new(no));
    let open = session.and_then(|session| session.open.last());
    let (turn, attempt) = match open {
        Some(open) if kind != Kind::TurnSubmitted && random.below(6) > 0 => (
            open.seq.get(),
            open.attempt.saturating_add(random.below(3) as u32 / 2),
        ),
        _ => (
            random.below(u64::from(next) + 2) as u32,
            random.below(3) as u32,
        ),
    };
    let queued = session.and_then(|session| session.queue.last());
    let is_taking = kind.is_about_input() || kind == Kind::TurnSubmitted;
    let attempt = match queued {
        Some(input) if is_taking => match kind {
            Kind::InputClaimed => input.claims.saturating_add(random.below(4).min(1) as u32),
            _ => random.pick(&[
                0,
                input.claims,
                input.claims,
                input.claims.saturating_add(1),
            ]),
        },
        _ => attempt,
    };
    let link = match (kind, queued) {
        (_, Some(input)) if is_taking && random.below(3) > 0 => u64::from(input.seq.get()),
        (Kind::TurnSubmitted | Kind::SessionCreated, _) if random.below(4) > 0 => 0,
        _ => random.below(u64::from(next) + 2),
    };
    let envelope = Envelope {
        at_ms: random.below(1 << 40),
        turn: if kind == Kind::TurnSubmitted && random.below(4) > 0 {
            0
        } else {
            turn
        },
        attempt,
        name: random.pick(&NAMES),
        key: match takes_key(kind) || random.below(10) == 0 {
            true => random.pick(&KEYS).as_bytes(),
            false => b"",
        },
        link,
        ..Envelope::default()
    };
    (no, kind, envelope)
}

fn takes_key(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TurnSubmitted | Kind::TurnEvent | Kind::Message | Kind::InputQueued
    ) || is_call(kind)
}

fn is_call(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TurnCall | Kind::TurnResult | Kind::TurnCallInterrupted
    )
}

fn naive_answer(
    sessions: &[NaiveSession],
    (no, kind): (u32, Kind),
    envelope: &Envelope<'_>,
    epoch: u32,
) -> Answer {
    let live = |no: u64| {
        let session = sessions.get(usize::try_from(no).unwrap_or(usize::MAX));
        session.filter(|session| !session.deleted)
    };
    if !envelope.key.is_empty() && !takes_key(kind) || envelope.key.is_empty() && is_call(kind) {
        return Answer::Refuse;
    }
    if kind == Kind::SessionCreated {
        let mut taken = sessions.iter().skip(1).filter(|session| !session.deleted);
        let fresh = no as usize == sessions.len()
            && taken.all(|session| session.name != envelope.name)
            && (envelope.link == 0 || live(envelope.link).is_some());
        return if fresh {
            Answer::Accept
        } else {
            Answer::Refuse
        };
    }
    let journal_wide = matches!(
        kind,
        Kind::Maintenance | Kind::Message | Kind::Put | Kind::Remove
    );
    match live(u64::from(no)) {
        Some(_) if no == 0 && !journal_wide => Answer::Refuse,
        Some(session) => session.judge(kind, envelope, epoch),
        None => Answer::Refuse,
    }
}

#[test]
fn the_engine_and_the_plain_model_agree_on_every_answer() {
    let mut seen = [0_u32; 3];
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let mut host = Writer::new();
        let mut sessions = vec![NaiveSession::default()];
        for step in 0..150 {
            let (no, kind, envelope) = any_draft(&mut random, &host.state);
            // Now and then the journal is opened again.
            host.epoch += u32::from(random.below(40) == 0);
            let expected = naive_answer(&sessions, (no, kind), &envelope, host.epoch);
            let found = match host.check(no, kind, &envelope) {
                Ok(Verdict::Accept) => Answer::Accept,
                Ok(Verdict::Existing { seq, .. } | Verdict::Duplicate { seq }) => {
                    Answer::Known(seq.get())
                }
                Err(_) => Answer::Refuse,
            };
            assert_eq!(
                found, expected,
                "seed {seed}, step {step}: {kind} in {no}, {envelope:?}"
            );
            seen[match found {
                Answer::Accept => 0,
                Answer::Known(_) => 1,
                Answer::Refuse => 2,
            }] += 1;
            if found != Answer::Accept {
                continue;
            }
            host.apply(no, kind, &envelope);
            if kind == Kind::SessionCreated {
                sessions.push(NaiveSession {
                    name: envelope.name,
                    ..NaiveSession::default()
                });
            }
            sessions[no as usize].append(kind, &envelope, host.epoch);
            for (session, entry) in sessions.iter().zip(host.state.entries()) {
                match entry {
                    SessionEntry::Live(state) => session.compare(state),
                    SessionEntry::Deleted(_) => assert!(session.deleted),
                }
            }
            let open: usize = sessions
                .iter()
                .filter(|session| !session.deleted)
                .map(|session| session.open().len())
                .sum();
            assert_eq!(host.state.open_turn_count(), open);
            assert_eq!(host.state.open_turns().count(), open);
            let queues: Vec<_> = host
                .state
                .sessions()
                .filter(|session| !session.queue.is_empty())
                .map(|session| session.no)
                .collect();
            let noted: Vec<_> = host.state.queues().map(|session| session.no).collect();
            assert_eq!(noted, queues);
        }
    }
    assert!(
        seen.iter().all(|count| *count > 1_000),
        "each answer is often given: {seen:?}"
    );
}

/// What a snapshot rests on: a stored prefix and the rest give what the whole gives.
#[test]
fn a_stored_prefix_and_the_rest_fold_to_the_whole_at_every_cut() {
    for seed in 0..12 {
        let mut random = Random::new(1_000 + seed);
        let mut host = Writer::new();
        let mut log = Vec::new();
        let mut prefixes = vec![host.state.clone()];
        while log.len() < 120 {
            let (no, kind, envelope) = any_draft(&mut random, &host.state);
            if host.check(no, kind, &envelope) == Ok(Verdict::Accept) {
                host.apply(no, kind, &envelope);
                log.push((no, kind, envelope));
                prefixes.push(host.state.clone());
            }
        }
        for (cut, prefix) in prefixes.iter().enumerate() {
            let mut resumed = Writer::new();
            resumed.state = reloaded(prefix);
            assert_same(&resumed.state, prefix);
            for (no, kind, envelope) in &log[cut..] {
                resumed.apply(*no, *kind, envelope);
            }
            assert_same(&resumed.state, &host.state);
        }
    }
}

#[test]
fn states_that_differ_have_different_digests() {
    let mut random = Random::new(7);
    let mut host = Writer::new();
    let mut seen = std::collections::HashSet::new();
    assert!(seen.insert(host.state.digest()));
    for _ in 0..300 {
        let (no, kind, envelope) = any_draft(&mut random, &host.state);
        if host.check(no, kind, &envelope) == Ok(Verdict::Accept) {
            host.apply(no, kind, &envelope);
            assert!(seen.insert(host.state.digest()), "{kind} changed nothing");
        }
    }
}

#[test]
fn a_rollback_undoes_any_batch() {
    for seed in 0..200 {
        let mut random = Random::new(5_000 + seed);
        let mut host = Writer::new();
        for _ in 0..10 {
            let before = host.state.clone();
            let known = host.state.next_session().get();
            let savepoint = host.state.savepoint((0..known).map(SessionNo::new));
            for _ in 0..random.below(30) {
                let (no, kind, envelope) = any_draft(&mut random, &host.state);
                if host.check(no, kind, &envelope) == Ok(Verdict::Accept) {
                    host.apply(no, kind, &envelope);
                }
            }
            if random.below(2) == 0 {
                host.state.rollback(savepoint);
                assert_same(&host.state, &before);
            }
        }
    }
}

#[test]
fn drafts_that_stand_alone_leave_each_others_verdicts_alone() {
    let mut compared = 0;
    for seed in 0..100 {
        let mut random = Random::new(9_000 + seed);
        let mut host = Writer::new();
        for _ in 0..100 {
            let (no, kind, envelope) = any_draft(&mut random, &host.state);
            if host.check(no, kind, &envelope) != Ok(Verdict::Accept) {
                continue;
            }
            let mut after = Writer::new();
            after.state = host.state.clone();
            after.apply(no, kind, &envelope);
            let alone = |no, kind, envelope: &Envelope<'_>| {
                Draft::new(Epoch::new(1), SessionNo::new(no), kind, envelope, 0).stands_alone()
            };
            if alone(no, kind, &envelope) {
                for _ in 0..20 {
                    let (no, kind, envelope) = any_draft(&mut random, &host.state);
                    if alone(no, kind, &envelope) {
                        let before = host.check(no, kind, &envelope);
                        assert_eq!(before, after.check(no, kind, &envelope));
                        compared += 1;
                    }
                }
            }
            host = after;
        }
    }
    assert!(compared > 500, "only {compared} compared");
}
