//! What a host sees that exports the engine's counters and spans by the facades of its choice:
//! `cargo test --features metrics,tracing --test facades`.

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::format::FmtSpan;
use turnkeep::Journal;
use turnkeep::sim::{OpKind, SimDisk};

/// Which spans anybody wants is remembered for the whole process: a journal that is at work without
/// a subscriber while one is set for another thread can make them seem unwanted.
static ALONE: Mutex<()> = Mutex::new(());

fn open(disk: &SimDisk) -> Journal {
    let options = Journal::options().background(false);
    let options = options.storage(Arc::new(disk.clone()));
    options.open("/agents.journal").expect("opens").0
}

#[test]
fn counters_and_latencies_are_those_of_the_journal() {
    let _alone = ALONE.lock();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let disk = SimDisk::new(1);
    metrics::with_local_recorder(&recorder, || {
        let journal = open(&disk);
        let session = journal.session("s").expect("opens");
        for _ in 0..10 {
            session.append("note", "x").expect("appends");
        }
        journal.compact().expect("compacts");
        assert_eq!(journal.health().expect("tells").records, 11);
        disk.fail_nth(OpKind::SyncData, 1, std::io::ErrorKind::Other, false);
        session.append("note", "y").expect_err("fails");
    });
    let mut counters = BTreeMap::new();
    let mut latencies = BTreeMap::new();
    for (key, _, description, value) in snapshotter.snapshot().into_vec() {
        let name = key.key().name().to_owned();
        assert!(description.is_some(), "{name} is not described");
        let labels: Vec<_> = key.key().labels().map(|l| (l.key(), l.value())).collect();
        assert_eq!(labels, [("journal", "/agents.journal")]);
        match value {
            DebugValue::Counter(count) => drop(counters.insert(name, count)),
            DebugValue::Histogram(values) => drop(latencies.insert(name, values)),
            DebugValue::Gauge(free) => assert!(free.into_inner() > 0.0, "{name}"),
        }
    }
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/WATCHING.md");
    let document = std::fs::read_to_string(document).expect("the document is there");
    let names = counters.keys().chain(latencies.keys());
    for name in names.map(String::as_str).chain(["turnkeep_free_bytes"]) {
        assert!(document.contains(&format!("| `{name}` |")), "{name}");
    }
    assert_eq!(
        document.matches("| `turnkeep_").count(),
        counters.len() + latencies.len() + 1
    );
    assert_eq!(counters["turnkeep_records_total"], 11);
    assert_eq!(counters["turnkeep_compactions_total"], 1);
    assert_eq!(counters["turnkeep_failed_compactions_total"], 0);
    assert_eq!(counters["turnkeep_log_failures_total"], 1);
    assert!(counters["turnkeep_log_bytes_total"] >= 10 * 4096);
    assert_eq!(latencies["turnkeep_append_seconds"].len(), 10);
    let commits = latencies["turnkeep_commit_seconds"].len() as u64;
    assert_eq!(counters["turnkeep_commits_total"], commits);
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("is whole").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn spans_and_events_are_traced() {
    let _alone = ALONE.lock();
    let written = Written::default();
    let to = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::NEW)
        .with_ansi(false)
        .with_writer(move || to.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let journal = open(&SimDisk::new(2));
        let session = journal.session("s").expect("opens");
        session.append("note", "the secret plan").expect("appends");
        journal.checkpoint().expect("is taken");
        journal.compact().expect("compacts");
    });
    let said = String::from_utf8(written.0.lock().expect("is whole").clone()).expect("is text");
    for part in [
        "turnkeep.open: ",
        "turnkeep.commit: ",
        "turnkeep.checkpoint: ",
        "turnkeep.compact: ",
        "TRACE turnkeep.commit: turnkeep: committed 2 records",
        "INFO turnkeep.checkpoint: turnkeep: snapshot 1 of all records below lsn 3",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(
        !said.contains("secret"),
        "what a host says is nobody's log line"
    );
}
