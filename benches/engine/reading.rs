//! Reading back: replay, the last turns of a session, verification.

use crate::support::{Row, Series, Target, digits, quantile};
use crate::{Context, open};
use std::path::Path;
use std::time::Instant;
use turnkeep::{Input, Journal, Options, Session};

fn options() -> Options {
    Journal::options().compact_after_bytes(u64::MAX)
}

/// Opening a log that was not closed, warm: how fast is it read, checked and folded?
pub fn replay(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("replay");
    let path = dir.path().join("journal");
    let journal = open(options(), &path);
    let payload = [0x5A; 1024];
    let sessions: Vec<Session> = (0..64)
        .map(|n| journal.session(&format!("session-{n}")).expect("opens"))
        .collect();
    let records = context.scaled(768 << 10, 8 << 10);
    for n in 0..records {
        let _ticket = sessions[n % 64].submit("event", payload).expect("goes in");
    }
    journal.sync().expect("is durable");
    drop((sessions, journal));
    let bytes = log_bytes(&path);
    let (mut speed, mut times) = (Series::default(), Series::default());
    for _ in 0..context.rounds {
        let copy = dir.path().join("copy");
        copy_journal(&path, &copy);
        let started = Instant::now();
        let (journal, recovery) = options().open(&copy).expect("opens");
        let took = started.elapsed().as_secs_f64();
        assert!(recovery.replayed_records as usize >= records);
        drop(journal);
        std::fs::remove_dir_all(&copy).expect("is removed");
        speed.push(bytes as f64 / took / 1e9);
        times.push(took * 1e3);
    }
    rows.push(Row {
        question: "replay of a warm log, one core",
        figure: speed,
        unit: "GB/s",
        target: Target::AtLeast(1.5),
        note: format!(
            "{} MB, {records} records of 1 KiB, opened in {} ms, a new segment included",
            bytes / 1_000_000,
            digits(times.median()),
        ),
    });
}

/// What the log's groups take: whole segments but the last, which is read up to its last
/// block that is not zero.
fn log_bytes(path: &Path) -> u64 {
    let mut segments: Vec<_> = std::fs::read_dir(path)
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".seg") && !name.starts_with("spare")
        })
        .collect();
    segments.sort();
    segments
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).expect("reads");
            let blocks = bytes.chunks(4096);
            let used = blocks
                .rev()
                .skip_while(|block| block.iter().all(|&b| b == 0));
            used.count() as u64 * 4096
        })
        .sum()
}

/// Copies by reading and writing, after which the copy is in the page cache.
fn copy_journal(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("is made");
    for entry in std::fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        let bytes = std::fs::read(entry.path()).expect("reads");
        std::fs::write(to.join(entry.file_name()), bytes).expect("writes");
    }
    // So that the disk is quiet while the copy is opened.
    for entry in std::fs::read_dir(to).expect("lists") {
        let file = std::fs::File::open(entry.expect("lists").path()).expect("opens");
        file.sync_all().expect("syncs");
    }
}

/// The last 100 turns of one session among a million records of 1,000 others.
pub fn last_turns(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("last-turns");
    let journal = open(options(), &dir.path().join("journal"));
    let sessions: Vec<Session> = (0..1000)
        .map(|n| journal.session(&format!("session-{n}")).expect("opens"))
        .collect();
    let records = context.scaled(1_000_000, 20_000);
    let every = records / 200;
    let one = &sessions[500];
    for n in 0..records {
        let session = &sessions[n % 1000];
        let _ticket = session.submit("event", [0x5A; 128]).expect("goes in");
        if n % every == 0 {
            let turn = one
                .begin(Input::user("a question of some length"))
                .expect("begins");
            turn.complete("an answer that is a little longer than that")
                .expect("ends");
        }
    }
    journal.sync().expect("is durable");
    // Of the one session alone, so that a turn is its two records.
    let only = journal.session("only turns").expect("opens");
    for other in &sessions[..120] {
        let turn = only
            .begin(Input::user("a question of some length"))
            .expect("begins");
        turn.complete("an answer that is a little longer than that")
            .expect("ends");
        for _ in 0..20 {
            let _ticket = other.submit("event", [0x5A; 128]).expect("goes in");
        }
    }
    let mut figure = Series::default();
    let mut found = 0;
    for _ in 0..context.rounds {
        let mut times: Vec<f64> = (0..context.scaled(500, 20))
            .map(|_| {
                let started = Instant::now();
                found = only.last_turns(100).expect("reads").len();
                started.elapsed().as_nanos() as f64 / 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        figure.push(quantile(&times, 0.5));
    }
    rows.push(Row {
        question: "last 100 turns among 1,000,000 records, warm",
        figure,
        unit: "us",
        target: Target::AtMost(200.0),
        note: format!("{found} records, in the log"),
    });
    let mut figure = Series::default();
    let started = Instant::now();
    let mut entries = 0;
    for _ in 0..context.rounds {
        found = 0;
        let started = Instant::now();
        for _ in 0..context.scaled(20, 1) {
            found = one.last_turns(100).expect("reads").len();
        }
        entries += found * context.scaled(20, 1);
        figure.push(started.elapsed().as_nanos() as f64 / 1e3 / context.scaled(20, 1) as f64);
    }
    let each = started.elapsed().as_nanos() as f64 / entries as f64;
    rows.push(Row {
        question: "the same, with events between the turns",
        figure,
        unit: "us",
        target: Target::Told,
        note: format!("{found} records, {} ns each", digits(each)),
    });
}

/// A whole segment of 64 MiB, warm, read and checked by itself.
pub fn verify_one_segment(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("verify");
    let path = dir.path().join("journal");
    let bytes = context.scaled(64 << 20, 2 << 20) as u64;
    let options = options().segment_bytes(bytes).first_segment_bytes(bytes);
    let journal = open(options, &path);
    let session = journal.session("one").expect("opens");
    while journal.stat().expect("counts").files.segments.files < 3 {
        for _ in 0..1000 {
            let _ticket = session.submit("event", [0x5A; 1024]).expect("goes in");
        }
    }
    drop((session, journal));
    let sealed = std::fs::read_dir(&path)
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "seg"))
        .min()
        .expect("a segment");
    let (mut speed, mut records) = (Series::default(), 0);
    for _ in 0..context.rounds.max(5) {
        let started = Instant::now();
        let report = turnkeep::verify_segment(&sealed).expect("reads");
        speed.push(report.bytes as f64 / started.elapsed().as_secs_f64() / 1e9);
        assert!(report.sealed, "{report:?}");
        records = report.records;
    }
    rows.push(Row {
        question: "one sealed segment of 64 MiB verified, warm, one core",
        figure: speed,
        unit: "GB/s",
        target: Target::AtLeast(5.0),
        note: format!("{records} records of 1 KiB"),
    });
}
