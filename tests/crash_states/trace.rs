//! A workload that was run once: every state of the machine, and what had been said when.

use crate::oracle::{Record, Session, fold};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use turnkeep::storage::sim::{Moment, SimDisk};
use turnkeep::{Journal, Options};

/// Where every journal is.
pub const PATH: &str = "/journals/agents.journal";

/// What had been said, from some moment on.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// The first moment of which this is true.
    pub moment: usize,
    /// Records below this LSN were acknowledged.
    pub acknowledged: u64,
    /// How many records were accepted.
    pub accepted: u64,
}

/// A workload that was run once.
pub struct Trace {
    /// How the workload is called, and its seed.
    pub name: String,
    /// Tells it from other traces whose records differ.
    pub id: u64,
    /// What the choice among its states follows from, where not all are looked at.
    pub seed: u64,
    pub settings: Settings,
    pub moments: Vec<Moment>,
    /// Every record that was accepted, in LSN order.
    pub accepted: Vec<Record>,
    /// Oldest first.
    pub said: Vec<Said>,
    /// What the first so many records say, once it was asked for.
    models: Vec<OnceLock<BTreeMap<String, Session>>>,
}

/// How the journals of a trace are opened.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub align: u32,
    pub first_segment_bytes: u64,
    pub keep_snapshots: usize,
}

impl Settings {
    /// Options for a journal on `disk`: everything small, and no thread of its own.
    pub fn options(&self, disk: &SimDisk) -> Options {
        Journal::options()
            .background(false)
            .storage(Arc::new(disk.clone()))
            .group_align(self.align)
            .first_segment_bytes(self.first_segment_bytes)
            .segment_bytes(2 * self.first_segment_bytes)
            .max_record_bytes(8192)
            .max_pending_bytes(12 << 10)
            .max_packs(3)
            .max_lost_claims(u32::MAX)
            .keep_snapshots(self.keep_snapshots)
    }
}

impl Trace {
    pub fn new(
        name: String,
        id: u64,
        seed: u64,
        settings: Settings,
        moments: Vec<Moment>,
        accepted: Vec<Record>,
        said: Vec<Said>,
    ) -> Self {
        Trace {
            name,
            id,
            seed,
            settings,
            moments,
            models: (0..=accepted.len()).map(|_| OnceLock::new()).collect(),
            accepted,
            said,
        }
    }

    /// How many records must be there after a crash at `moment`, and how many may.
    pub fn bounds(&self, moment: usize) -> (u64, u64) {
        let next = self.said.partition_point(|said| said.moment <= moment);
        let floor = self.said[next - 1].acknowledged - 1;
        // What was being accepted at that moment may be there too.
        let ceiling = self.said.get(next).or(self.said.last());
        (floor, ceiling.map_or(0, |said| said.accepted))
    }

    /// What the first `count` records say.
    pub fn model(&self, count: usize) -> &BTreeMap<String, Session> {
        self.models[count].get_or_init(|| fold(&self.accepted[..count]))
    }
}
