//! What a host uses beyond appending: turns, sealed contents, an audit of many sessions.

use crate::support::{Row, Series, Target, digits};
use crate::{Context, open};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use turnkeep::{Audit, Input, Journal, Key, KeyRing, Options, Session};

const PAYLOAD: [u8; 512] = [0x5A; 512];
const PAGE: [u8; 4096] = [0x5A; 4096];
const THREADS: usize = 64;

fn options() -> Options {
    Journal::options().compact_after_bytes(u64::MAX)
}

fn sessions(journal: &Journal, count: usize) -> Vec<Session> {
    let sessions = (0..count).map(|n| journal.session(&format!("session-{n:05}")).expect("opens"));
    let sessions = sessions.collect();
    journal.sync().expect("is durable");
    sessions
}

/// How often a second 64 threads do `work`, each with a session of its own.
fn rate(context: &Context, sessions: &[Session], work: &(dyn Fn(&Session) + Sync)) -> f64 {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for session in &sessions[..THREADS] {
            let (stop, count) = (&stop, &count);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    work(session);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(context.round);
        stop.store(true, Ordering::Relaxed);
    });
    count.load(Ordering::Relaxed) as f64 / context.round.as_secs_f64()
}

/// A turn with five events, begun and completed durably, beside seven plain records of the same
/// bytes that are waited for at the same places.
pub fn turns(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("turns");
    let [plain, turning] = ["plain", "turns"].map(|name| {
        let journal = open(options(), &dir.path().join(name));
        sessions(&journal, THREADS)
    });
    let raw = |session: &Session| {
        session.append("user", PAYLOAD).expect("is durable");
        for _ in 0..5 {
            session.submit("event", PAYLOAD).expect("goes in");
        }
        session.append("answer", PAYLOAD).expect("is durable");
    };
    let turn = |session: &Session| {
        let turn = session.begin(Input::user(PAYLOAD)).expect("begins");
        for _ in 0..5 {
            turn.event("event", PAYLOAD).expect("goes in");
        }
        turn.complete(PAYLOAD).expect("ends");
    };
    let mut ratio = Series::default();
    let (mut raws, mut turns) = (Series::default(), Series::default());
    rate(context, &plain, &raw);
    rate(context, &turning, &turn);
    for _ in 0..context.rounds {
        let of_raw = rate(context, &plain, &raw);
        let of_turns = rate(context, &turning, &turn);
        ratio.push(of_turns / of_raw);
        raws.push(of_raw);
        turns.push(of_turns);
    }
    let (raws, turns) = (digits(raws.median()), digits(turns.median()));
    rows.push(Row {
        question: "64 sessions: turns of 7 records / plain records",
        figure: ratio,
        unit: "x",
        target: Target::AtLeast(0.8),
        note: format!("512 B each; plain {raws} times a second, turns {turns}"),
    });
}

/// Sealed contents beside plain ones.
pub fn sealed(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("sealed");
    let keys = KeyRing::new(Key::generate().expect("there is chance"));
    let plain = open(options(), &dir.path().join("plain"));
    let sealing = open(options().keys(keys), &dir.path().join("sealed"));
    let (plain, sealing) = (sessions(&plain, THREADS), sessions(&sealing, THREADS));
    let append = |session: &Session| {
        session.append("event", PAGE).expect("is durable");
    };
    let one = |session: &Session| {
        let begun = Instant::now();
        for _ in 0..context.scaled(200, 5) {
            append(session);
        }
        1.0 / begun.elapsed().as_secs_f64()
    };
    let (mut alone, mut many) = (Series::default(), Series::default());
    rate(context, &plain, &append);
    rate(context, &sealing, &append);
    for _ in 0..context.rounds {
        let of_plain = one(&plain[0]);
        alone.push(one(&sealing[0]) / of_plain);
        let of_plain = rate(context, &plain, &append);
        many.push(rate(context, &sealing, &append) / of_plain);
    }
    for (question, figure) in [
        ("one writer, 4 KiB: sealed / plain", alone),
        ("64 threads, 4 KiB: sealed / plain", many),
    ] {
        rows.push(Row {
            question,
            figure,
            unit: "x",
            target: Target::AtLeast(0.8),
            note: "appends a second".into(),
        });
    }
}

/// An audit of ten thousand sessions that a host left when it died, each with a turn open.
pub fn audit(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("audit");
    let path = dir.path().join("journal");
    let count = context.scaled(10_000, 20);
    let journal = open(options(), &path);
    for session in sessions(&journal, count) {
        for n in 0..3 {
            let input = Input::user(PAYLOAD).key(n.to_string());
            let mut batch = turnkeep::Batch::new();
            batch = batch.event(&session, "note", PAYLOAD);
            let (turn, _ticket) = journal
                .submit_then_begin(&batch, &session, &input)
                .expect("begins");
            if n < 2 {
                let end = turnkeep::Batch::new().complete(&turn, PAYLOAD);
                journal.submit_all(&end).expect("ends");
            }
        }
    }
    journal.sync().expect("is durable");
    drop(journal);
    for (verify, question) in [
        (true, "audit of 10,000 sessions, every byte verified"),
        (false, "audit of 10,000 sessions, quick"),
    ] {
        let mut seconds = Series::default();
        let mut note = String::new();
        for _ in 0..context.rounds {
            let begun = Instant::now();
            let audit = Audit::new().verify(verify).stopped(true);
            let report = audit.run(&path).expect("audits");
            seconds.push(begun.elapsed().as_secs_f64());
            assert_eq!(report.open_turns, count as u64);
            note = format!("{} findings, {} MB", report.total(), report.bytes >> 20);
        }
        rows.push(Row {
            question,
            figure: seconds,
            unit: "s",
            target: Target::AtMost(1.0),
            note,
        });
    }
}
