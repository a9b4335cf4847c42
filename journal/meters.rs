//! The meters of the `metrics` facade. Whoever exports them installs a recorder before the
//! journal is opened; without one they cost a call that does nothing.

use metrics::{Counter, Gauge, Histogram, Unit};
use std::fmt;
use std::path::Path;
use std::time::Duration;

pub(crate) struct Meters {
    commits: Counter,
    records: Counter,
    bytes: Counter,
    commit_seconds: Histogram,
    append_seconds: Histogram,
    pub failures: Counter,
    pub compactions: Counter,
    pub failed_compactions: Counter,
    pub free_bytes: Gauge,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meters")
    }
}

impl Meters {
    /// Those of the journal in the directory at `path`, which stands in the label `journal`.
    pub fn new(path: &Path) -> Self {
        describe();
        let journal = path.display().to_string();
        let counter = |name: &'static str| metrics::counter!(name, "journal" => journal.clone());
        let histogram =
            |name: &'static str| metrics::histogram!(name, "journal" => journal.clone());
        Meters {
            commits: counter("turnkeep_commits_total"),
            records: counter("turnkeep_records_total"),
            bytes: counter("turnkeep_log_bytes_total"),
            commit_seconds: histogram("turnkeep_commit_seconds"),
            append_seconds: histogram("turnkeep_append_seconds"),
            failures: counter("turnkeep_log_failures_total"),
            compactions: counter("turnkeep_compactions_total"),
            failed_compactions: counter("turnkeep_failed_compactions_total"),
            free_bytes: metrics::gauge!("turnkeep_free_bytes", "journal" => journal.clone()),
        }
    }

    pub fn committed(&self, records: u64, bytes: u64, took: Duration) {
        self.commits.increment(1);
        self.records.increment(records);
        self.bytes.increment(bytes);
        self.commit_seconds.record(took);
    }

    pub fn appended(&self, took: Duration) {
        self.append_seconds.record(took);
    }
}

/// Again for each journal: whoever records may have been installed since the last one.
fn describe() {
    metrics::describe_counter!("turnkeep_commits_total", "Groups that became durable.");
    metrics::describe_counter!("turnkeep_records_total", "Records that became durable.");
    metrics::describe_counter!(
        "turnkeep_log_bytes_total",
        Unit::Bytes,
        "Bytes written to the log."
    );
    metrics::describe_histogram!(
        "turnkeep_commit_seconds",
        Unit::Seconds,
        "Writing and syncing a group."
    );
    metrics::describe_histogram!(
        "turnkeep_append_seconds",
        Unit::Seconds,
        "From a durable append to its acknowledgement."
    );
    metrics::describe_counter!("turnkeep_log_failures_total", "Failures of the log.");
    metrics::describe_counter!("turnkeep_compactions_total", "Compactions that were done.");
    metrics::describe_counter!(
        "turnkeep_failed_compactions_total",
        "Compactions in the background that failed."
    );
    metrics::describe_gauge!(
        "turnkeep_free_bytes",
        Unit::Bytes,
        "Bytes that are free on the journal's disk."
    );
}
