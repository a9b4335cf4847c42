//! Opening after a clean close: does its cost follow what is to be done, or the history?

use crate::support::{Row, Series, Target, digits};
use crate::{Context, open};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use turnkeep::{Journal, Session};

/// The argument by which this program opens a journal and does nothing else.
pub const CHILD: &str = "--open-child";

const SESSIONS: usize = 10_000;

/// 1 GiB and 4 GiB kept in 10,000 sessions, closed; each opening in a process of its own, whose
/// peak of resident memory is read from the kernel.
pub fn clean(context: &Context, rows: &mut Vec<Row>) {
    let dir = context.dir("opening");
    let sizes = [("1 GiB", 1_u64), ("4 GiB", 4)];
    let paths = sizes.map(|(name, gib)| {
        let path = dir.path().join(name.replace(' ', "-"));
        let records = context.scaled((gib << 20) as usize, 2_000);
        let sessions = context.scaled(SESSIONS, 50);
        (name, grow(&path, records, sessions), path)
    });
    let mut opened = [(); 2].map(|()| (Series::default(), Series::default()));
    for _ in 0..context.rounds.max(3) {
        for ((_, _, path), (times, memory)) in paths.iter().zip(&mut opened) {
            let (millis, kib) = open_in_child(path);
            times.push(millis);
            memory.push(kib / 1024.0);
        }
    }
    let ratio = opened[1].0.median() / opened[0].0.median();
    for ((name, kept, _), (times, memory)) in paths.iter().zip(opened) {
        let first = *name == "1 GiB";
        let note = format!("{kept}, warm");
        rows.push(Row {
            question: match first {
                true => "opening after a clean close, 1 GiB in 10,000 sessions",
                false => "opening after a clean close, 4 GiB in 10,000 sessions",
            },
            figure: times,
            unit: "ms",
            target: Target::AtMost(50.0),
            note: match first {
                true => note,
                false => format!("{note}; {} x the time at 1 GiB", digits(ratio)),
            },
        });
        rows.push(Row {
            question: match first {
                true => "  its peak of resident memory, process included",
                false => "  the same at 4 GiB",
            },
            figure: memory,
            unit: "MiB",
            target: Target::AtMost(64.0),
            note: String::new(),
        });
    }
}

/// Fills a journal under the default settings, background compaction included, and closes it.
/// Says what it takes on disk.
fn grow(path: &Path, records: usize, sessions: usize) -> String {
    let journal = open(Journal::options(), path);
    let sessions: Vec<Session> = (0..sessions)
        .map(|n| journal.session(&format!("session-{n}")).expect("opens"))
        .collect();
    // Bytes that no compressor makes smaller.
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut payload = [0; 1024];
    for n in 0..records {
        for word in payload.chunks_exact_mut(8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            word.copy_from_slice(&random.to_le_bytes());
        }
        let _ticket = sessions[n % sessions.len()]
            .submit("event", payload)
            .expect("goes in");
    }
    drop(sessions);
    journal.sync().expect("is durable");
    // The writer above is faster than the background that compacts behind it. No host is.
    while journal.stat().expect("counts").uncompacted_bytes >= 64 << 20 {
        std::thread::sleep(Duration::from_millis(50));
    }
    journal.close().expect("closes");
    let bytes: u64 = std::fs::read_dir(path)
        .expect("lists")
        .map(|entry| entry.and_then(|e| e.metadata()).expect("is measured").len())
        .sum();
    format!("{records} records of 1 KiB, {} MiB on disk", bytes >> 20)
}

fn open_in_child(path: &Path) -> (f64, f64) {
    let this = std::env::current_exe().expect("knows itself");
    let out = Command::new(this)
        .arg(CHILD)
        .arg(path)
        .output()
        .expect("starts");
    let text = String::from_utf8_lossy(&out.stdout);
    let mut words = text.split_whitespace().map(|word| word.parse::<f64>());
    match (words.next(), words.next()) {
        (Some(Ok(millis)), Some(Ok(kib))) => (millis, kib),
        _ => panic!("the child said {text:?}, {}", out.status),
    }
}

/// What the child does: open, and say how long it took in milliseconds and the process's peak of
/// resident memory in KiB.
pub fn child(path: &Path) {
    let started = Instant::now();
    let (journal, recovery) = Journal::options().open(path).expect("opens");
    let millis = started.elapsed().as_secs_f64() * 1e3;
    assert!(recovery.clean, "{recovery}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap_or("0");
    println!("{millis} {peak}");
    drop(journal);
}
