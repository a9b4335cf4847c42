//! Appending: latency, throughput, and what an append costs beside time.

use crate::floor::{Floor, Shape};
use crate::support::counting::CountingStorage;
use crate::support::{Row, Series, Target, allocations, digits, quantile, thread_allocations};
use crate::support::{cpu_nanos_of, own_cpu_nanos};
use crate::{Context, open};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use turnkeep::{Journal, Options, Session};

const KIB: [u8; 1024] = [0x5A; 1024];
const FLOOR_BYTES: u64 = 64 << 20;
const SESSIONS: usize = 10_000;

/// The hot path alone: compaction has questions of its own.
fn options() -> Options {
    Journal::options().compact_after_bytes(u64::MAX)
}

/// One writer, 1 KiB, durable: how much later than the floor?
pub fn one_writer(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("one-writer");
    let floor = Floor::create(&dir.path().join("floor"), FLOOR_BYTES, Shape::Inline)
        .expect("room for the floor");
    let journal = open(options(), &dir.path().join("journal"));
    let session = journal.session("one").expect("opens");
    let (mut p50, mut p99) = (Series::default(), Series::default());
    let (mut floors, mut engines) = (Series::default(), Series::default());
    let chunks = context.scaled(40, 4);
    for _ in 0..context.rounds {
        let (mut of_floor, mut of_engine) = (Vec::new(), Vec::new());
        // Small chunks by turns, so that both see the same disk.
        for _ in 0..chunks {
            time_each(25, &mut of_floor, || floor.append(&KIB));
            time_each(25, &mut of_engine, || {
                session.append("event", KIB).expect("is durable");
            });
        }
        of_floor.sort_by(f64::total_cmp);
        of_engine.sort_by(f64::total_cmp);
        p50.push(quantile(&of_engine, 0.5) / quantile(&of_floor, 0.5));
        p99.push(quantile(&of_engine, 0.99) / quantile(&of_floor, 0.99));
        floors.push(quantile(&of_floor, 0.5));
        engines.push(quantile(&of_engine, 0.5));
    }
    let note = format!(
        "p50: floor {} us, engine {} us",
        digits(floors.median()),
        digits(engines.median())
    );
    rows.push(Row {
        question: "one writer, 1 KiB, durable: p50 / floor",
        figure: p50,
        unit: "x",
        target: Target::AtMost(1.10),
        note,
    });
    rows.push(Row {
        question: "one writer, 1 KiB, durable: p99 / floor",
        figure: p99,
        unit: "x",
        target: Target::Told,
        note: String::new(),
    });
}

fn time_each(times: usize, into: &mut Vec<f64>, mut append: impl FnMut()) {
    for _ in 0..times {
        let started = Instant::now();
        append();
        into.push(started.elapsed().as_nanos() as f64 / 1e3);
    }
}

/// 64 threads, 1 KiB, durable: how much of the floor's throughput is left?
pub fn many_threads(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("many-threads");
    let floors = [Shape::Inline, Shape::OwnThread].map(|shape| {
        let path = dir.path().join(format!("floor-{shape:?}"));
        Floor::create(&path, FLOOR_BYTES, shape).expect("room for the floor")
    });
    let journal = open(options(), &dir.path().join("journal"));
    let sessions = sessions(&journal, 64);
    for threads in [8, 64, 512] {
        let mut ratio = Series::default();
        let mut rates = [Series::default(), Series::default(), Series::default()];
        let engine = |thread: usize| {
            sessions[thread % 64]
                .append("event", KIB)
                .expect("is durable");
        };
        // The first segments are small and rotate often; a journal at work has large ones.
        drive(threads, context.round / 2, &engine);
        for _ in 0..context.rounds {
            let inline = drive(threads, context.round, &|_| floors[0].append(&KIB));
            let engine = drive(threads, context.round, &engine);
            let own = drive(threads, context.round, &|_| floors[1].append(&KIB));
            ratio.push(engine / inline.max(own));
            for (series, rate) in rates.iter_mut().zip([inline, own, engine]) {
                series.push(rate);
            }
        }
        let [inline, own, engine] = rates.map(|series| digits(series.median()));
        rows.push(Row {
            question: match threads {
                8 => "8 threads, 1 KiB, durable: appends/s / floor",
                64 => "64 threads, 1 KiB, durable: appends/s / floor",
                _ => "512 threads, 1 KiB, durable: appends/s / floor",
            },
            figure: ratio,
            unit: "x",
            target: if threads == 64 {
                Target::AtLeast(0.6)
            } else {
                Target::Told
            },
            note: format!("floor inline {inline}/s, own thread {own}/s; engine {engine}/s"),
        });
    }
}

/// Runs `append` on so many threads for so long; returns how many there were per second.
fn drive(threads: usize, duration: Duration, append: &(dyn Fn(usize) + Sync)) -> f64 {
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let barrier = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (stop, count, barrier) = (&stop, &count, &barrier);
            let builder = std::thread::Builder::new().stack_size(256 << 10);
            builder
                .spawn_scoped(scope, move || {
                    barrier.wait();
                    let mut own = 0;
                    while !stop.load(Ordering::Relaxed) {
                        append(thread);
                        own += 1;
                    }
                    count.fetch_add(own, Ordering::Relaxed);
                })
                .expect("a thread");
        }
        barrier.wait();
        let started = Instant::now();
        std::thread::sleep(duration);
        stop.store(true, Ordering::Relaxed);
        started
    });
    count.load(Ordering::Relaxed) as f64 / duration.as_secs_f64()
}

/// How many records each session appends in a round of [`tickets`].
const EACH: usize = 10;
const APPENDS: f64 = (SESSIONS * EACH) as f64;

/// 10,000 sessions as tickets on two threads, 512 B: each session appends its next record when
/// the one before is durable. Each thread waits for the oldest of its tickets.
pub fn tickets_waited(context: &Context, rows: &mut Vec<Row>) {
    let (figure, note) = tickets(context, &by_wait);
    rows.push(Row {
        question: "10,000 sessions on 2 threads, 512 B: bytes/s / floor",
        figure,
        unit: "x",
        target: Target::AtLeast(0.5),
        note: note + "; tickets waited for",
    });
}

/// The same, each session a task that awaits its ticket, woken one by one.
pub fn tickets_awaited(context: &Context, rows: &mut Vec<Row>) {
    let (figure, note) = tickets(context, &by_future);
    rows.push(Row {
        question: "the same, each ticket awaited by a task of its own",
        figure,
        unit: "x",
        target: Target::Told,
        note: note + "; the floor's tickets are still waited for",
    });
}

/// Floor and engine both go into blocks that were written before the clock started: the
/// journal's first segment has room for all rounds, and the one after it is made already.
fn tickets(context: &Context, work: &(dyn Fn(&[Session], usize) + Sync)) -> (Series, String) {
    let rounds = context.scaled(15, 1);
    let dir = context.dir("tickets");
    let path = dir.path().join("journal");
    let bytes = ((rounds + 2) * 2 * HALF * EACH * 640) as u64;
    let sized = options().first_segment_bytes(bytes).segment_bytes(bytes);
    let journal = open(sized, &path);
    let sessions = sessions(&journal, SESSIONS);
    wait_for_next_segment(&path);
    let floor_path = dir.path().join("floor");
    let floor =
        Floor::create(&floor_path, FLOOR_BYTES, Shape::OwnThread).expect("room for the floor");
    let of_floor = |_| {
        let mut tickets: VecDeque<_> = (0..HALF).map(|_| floor.submit(PAYLOAD)).collect();
        for _ in 0..HALF * (EACH - 1) {
            floor.wait(tickets.pop_front().expect("as many as sessions"));
            tickets.push_back(floor.submit(PAYLOAD));
        }
        tickets.into_iter().for_each(|ticket| floor.wait(ticket));
    };
    let of_engine = |thread| work(&sessions, thread);
    two_threads(&of_engine);
    let mut rates = [Series::default(), Series::default()];
    let mut nanos = [Series::default(), Series::default(), Series::default()];
    let mut ratio = Series::default();
    for _ in 0..rounds {
        let floor = two_threads(&of_floor);
        let committer = cpu_nanos_of("turnkeep-commit");
        let engine = two_threads(&of_engine);
        let committer = cpu_nanos_of("turnkeep-commit") - committer;
        ratio.push(engine.rate / floor.rate);
        rates[0].push(floor.rate * PAYLOAD.len() as f64 / 1e6);
        rates[1].push(engine.rate * PAYLOAD.len() as f64 / 1e6);
        nanos[0].push(engine.nanos);
        nanos[1].push(committer as f64 / APPENDS);
        nanos[2].push(floor.nanos);
    }
    let [floor, engine] = rates.map(|series| digits(series.median()));
    let [appending, committing, of_floor] = nanos.map(|series| digits(series.median()));
    let note = format!(
        "floor {floor} MB/s, engine {engine} MB/s of payload; an append runs {appending} ns on \
         the appending thread (floor {of_floor}) and {committing} on the committer"
    );
    (ratio, note)
}

fn wait_for_next_segment(path: &Path) {
    let is_segment = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.expect("lists").file_name();
        let name = name.to_string_lossy();
        name.ends_with(".seg") && !name.starts_with("spare")
    };
    while std::fs::read_dir(path)
        .expect("lists")
        .filter_map(|e| is_segment(e).then_some(()))
        .count()
        < 2
    {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same without anything made ready: segments are made while the records come.
pub fn tickets_sustained(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("tickets-sustained");
    let journal = open(options(), &dir.path().join("journal"));
    let sessions = sessions(&journal, SESSIONS);
    let mut rate = Series::default();
    for _ in 0..context.rounds {
        let done = two_threads(&|thread| by_wait(&sessions, thread));
        rate.push(done.rate * PAYLOAD.len() as f64 / 1e6);
    }
    rows.push(Row {
        question: "10,000 sessions on 2 threads, segments made meanwhile",
        figure: rate,
        unit: "MB/s",
        target: Target::Told,
        note: "of payload; every block of the log is written twice, once as zeros".into(),
    });
}

const HALF: usize = SESSIONS / 2;
const PAYLOAD: &[u8] = &[0x5A; 512];

fn by_wait(sessions: &[Session], thread: usize) {
    let own = &sessions[thread * HALF..(thread + 1) * HALF];
    let submit = |session: &Session| session.submit("event", PAYLOAD).expect("goes in");
    let mut tickets: VecDeque<_> = own.iter().map(submit).collect();
    for session in own.iter().cycle().take(HALF * (EACH - 1)) {
        let ticket = tickets.pop_front().expect("as many as sessions");
        ticket.wait().expect("is durable");
        tickets.push_back(submit(session));
    }
    for ticket in tickets {
        ticket.wait().expect("is durable");
    }
}

fn by_future(sessions: &[Session], thread: usize) {
    let own = &sessions[thread * HALF..(thread + 1) * HALF];
    super::tasks::run(own, EACH, &|session| {
        session.submit("event", PAYLOAD).expect("goes in")
    });
}

/// What two threads did.
struct Done {
    /// Appends per second.
    rate: f64,
    /// Nanoseconds that an append kept these threads running.
    nanos: f64,
}

fn two_threads(work: &(dyn Fn(usize) + Sync)) -> Done {
    let started = Instant::now();
    let nanos = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let nanos = &nanos;
            scope.spawn(move || {
                work(thread);
                nanos.fetch_add(own_cpu_nanos(), Ordering::Relaxed);
            });
        }
    });
    Done {
        rate: APPENDS / started.elapsed().as_secs_f64(),
        nanos: nanos.load(Ordering::Relaxed) as f64 / APPENDS,
    }
}

/// What an append costs beside time: bytes, syncs, allocations.
pub fn costs(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("costs");
    let storage = Arc::new(CountingStorage::default());
    let log = storage.log.clone();
    let journal = open(options().storage(storage), &dir.path().join("journal"));
    let sessions = sessions(&journal, 64);
    let engine = |thread: usize| {
        sessions[thread].append("event", KIB).expect("is durable");
    };
    drive(64, context.round / 2, &engine);
    let (mut bytes, mut syncs, mut allocated) =
        (Series::default(), Series::default(), Series::default());
    for _ in 0..context.rounds {
        let before = (
            log.bytes.load(Ordering::Relaxed),
            log.syncs.load(Ordering::Relaxed),
            allocations(),
            journal.durable_lsn().get(),
        );
        drive(64, context.round, &engine);
        let records = (journal.durable_lsn().get() - before.3) as f64;
        bytes.push((log.bytes.load(Ordering::Relaxed) - before.0) as f64 / records / 1024.0);
        syncs.push((log.syncs.load(Ordering::Relaxed) - before.1) as f64 / records);
        allocated.push((allocations() - before.2) as f64 / records);
    }
    rows.push(Row {
        question: "64 threads, 1 KiB: bytes to the log per payload byte",
        figure: bytes,
        unit: "x",
        target: Target::AtMost(1.15),
        note: String::new(),
    });
    let per_group = format!("{} records per group", digits(1.0 / syncs.median()));
    rows.push(Row {
        question: "64 threads, 1 KiB: syncs per append",
        figure: syncs,
        unit: "",
        target: Target::Told,
        note: per_group,
    });
    rows.push(Row {
        question: "64 threads, 1 KiB: allocations per append",
        figure: allocated,
        unit: "",
        target: Target::Told,
        note: "threads of the measurement and of housekeeping included".into(),
    });
    let mut own = Series::default();
    for _ in 0..context.rounds {
        let before = thread_allocations();
        for _ in 0..100 {
            sessions[0].append("event", KIB).expect("is durable");
        }
        own.push((thread_allocations() - before) as f64 / 100.0);
    }
    rows.push(Row {
        question: "one writer, 1 KiB: allocations per append",
        figure: own,
        unit: "",
        target: Target::Told,
        note: "on the appending thread".into(),
    });
}

fn sessions(journal: &Journal, count: usize) -> Vec<Session> {
    let sessions = (0..count)
        .map(|n| journal.session(&format!("session-{n:05}")).expect("opens"))
        .collect();
    journal.sync().expect("is durable");
    sessions
}
