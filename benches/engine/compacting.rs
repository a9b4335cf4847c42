//! What a compaction costs those who append meanwhile.

use crate::support::{Row, Series, Target, digits, quantile};
use crate::{Context, open};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use turnkeep::{Journal, Session};

/// One writer's acknowledgements while a compaction of half a gigabyte runs, beside the same
/// writer's without one.
pub fn beside(context: &Context, rows: &mut Vec<Row>) {
    let (mut p50, mut p99) = (Series::default(), Series::default());
    let (mut alone_p99, mut beside_p99, mut worst) =
        (Series::default(), Series::default(), Series::default());
    let mut appends = 0;
    for _ in 0..context.rounds.min(5) {
        let dir = context.dir("compacting");
        let options = Journal::options().compact_after_bytes(u64::MAX);
        let journal = open(options, &dir.path().join("journal"));
        let sessions: Vec<Session> = (0..64)
            .map(|n| journal.session(&format!("session-{n}")).expect("opens"))
            .collect();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        let mut payload = [0; 1024];
        for n in 0..context.scaled(512 << 10, 1000) {
            for word in payload.chunks_exact_mut(8) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                word.copy_from_slice(&random.to_le_bytes());
            }
            let _ticket = sessions[n % 64].submit("event", payload).expect("goes in");
        }
        journal.sync().expect("is durable");
        let writer = journal.session("writer").expect("opens");
        let started = Instant::now();
        let alone = latencies(&writer, || started.elapsed() < context.round);
        let done = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            scope.spawn(|| {
                journal.compact().expect("compacts");
                done.store(true, Ordering::Release);
            });
            latencies(&writer, || !done.load(Ordering::Acquire))
        });
        p50.push(quantile(&beside, 0.5) / quantile(&alone, 0.5));
        p99.push(quantile(&beside, 0.99) / quantile(&alone, 0.99));
        alone_p99.push(quantile(&alone, 0.99));
        beside_p99.push(quantile(&beside, 0.99));
        worst.push(quantile(&beside, 1.0) / 1e3);
        appends += beside.len();
    }
    let note = format!(
        "alone {} us, beside {} us; longest {} ms; {appends} appends",
        digits(alone_p99.median()),
        digits(beside_p99.median()),
        digits(worst.median()),
    );
    rows.push(Row {
        question: "one writer while 512 MiB are compacted: p50 / without",
        figure: p50,
        unit: "x",
        target: Target::Told,
        note: String::new(),
    });
    rows.push(Row {
        question: "one writer while 512 MiB are compacted: p99 / without",
        figure: p99,
        unit: "x",
        target: Target::Told,
        note,
    });
}

/// Microseconds of each durable append of 1 KiB while `goes_on`, ascending.
fn latencies(session: &Session, mut goes_on: impl FnMut() -> bool) -> Vec<f64> {
    let mut times = Vec::new();
    loop {
        let started = Instant::now();
        session.append("event", [0x5A; 1024]).expect("is durable");
        times.push(started.elapsed().as_nanos() as f64 / 1e3);
        if !goes_on() {
            times.sort_by(f64::total_cmp);
            return times;
        }
    }
}
