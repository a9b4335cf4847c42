//! Job after job on every core, until there are enough states or the time is up.

use crate::explore::{Broken, Counts, Depth, Explorer, Place, Seen};
use crate::models::Model;
use crate::trace::Trace;
use crate::workloads::{self, Kind};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One workload under one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub kind: Kind,
    pub seed: u64,
    pub model: Model,
}

impl Job {
    /// The `n`th job. No two have the same journal, so none of their states are the same.
    pub fn nth(n: u64) -> Job {
        let (kinds, models) = (Kind::ALL.len() as u64, Model::ALL.len() as u64);
        Job {
            kind: Kind::ALL[(n % kinds) as usize],
            model: Model::ALL[(n / kinds % models) as usize],
            seed: n / kinds,
        }
    }

    /// The workload, run once.
    ///
    /// # Errors
    /// What a correct journal would not have done.
    pub fn record(&self) -> Result<Trace, String> {
        workloads::record(self.kind, self.seed, self.model.align())
    }

    /// Goes through its states.
    ///
    /// # Errors
    /// The first state that breaks a promise.
    pub fn run(&self, counts: &mut Counts, seen: &mut Seen) -> Result<(), Broken> {
        self.run_at(self.model.depth(self.seed), counts, seen)
    }

    /// As [`Job::run`], as thoroughly as that.
    ///
    /// # Errors
    /// As [`Job::run`].
    pub fn run_at(&self, depth: Depth, counts: &mut Counts, seen: &mut Seen) -> Result<(), Broken> {
        let trace = self.recorded()?;
        let mut explorer = Explorer::new(&trace, self.model.crash(), depth);
        let done = explorer.run(seen);
        *counts += explorer.counts;
        done
    }

    /// Looks at one state again.
    ///
    /// # Errors
    /// What it breaks.
    pub fn replay(&self, at: &[Place]) -> Result<(), Broken> {
        let trace = self.recorded()?;
        let depth = self.model.depth(self.seed);
        Explorer::new(&trace, self.model.crash(), depth).replay(at)
    }

    fn recorded(&self) -> Result<Trace, Broken> {
        self.record().map_err(|story| Broken {
            at: Vec::new(),
            story,
        })
    }

    /// How a state is named, for [`Job::parse`].
    pub fn state(&self, at: &[Place]) -> String {
        let mut text = format!("{:?}:{}/{}", self.kind, self.seed, self.model.name());
        for place in at {
            text += &format!("/{}:{}", place.moment, place.nth);
        }
        text
    }

    /// What [`Job::state`] names.
    pub fn parse(text: &str) -> Option<(Job, Vec<Place>)> {
        let mut parts = text.split('/');
        let (kind, seed) = parts.next()?.split_once(':')?;
        let model = parts.next()?;
        let kinds = Kind::ALL.into_iter();
        let job = Job {
            kind: kinds.into_iter().find(|k| format!("{k:?}") == kind)?,
            seed: seed.parse().ok()?,
            model: Model::ALL.into_iter().find(|m| m.name() == model)?,
        };
        let place = |part: &str| {
            let (moment, nth) = part.split_once(':')?;
            Some(Place {
                moment: moment.parse().ok()?,
                nth: nth.parse().ok()?,
            })
        };
        Some((job, parts.map(place).collect::<Option<_>>()?))
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Goal {
    /// So many different states.
    pub states: u64,
    /// Or so long, whatever the count.
    pub time: Option<Duration>,
}

/// What came of it.
pub struct Report {
    pub by_model: [Counts; 3],
    pub workloads: u64,
    /// Long runs say every minute how far they are.
    minutes_told: u64,
    pub took: Duration,
    /// Time that the threads were running, if the system tells.
    pub busy: Option<Duration>,
    /// The first state that was found to break a promise, and its story.
    pub broken: Option<(String, String)>,
}

impl Report {
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.by_model.iter().for_each(|counts| total += *counts);
        total
    }
}

/// Goes through states until the goal is reached or a promise is broken.
pub fn run(goal: Goal) -> Report {
    let began = Instant::now();
    let (next, unique) = (AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let created = Mutex::new(BTreeSet::new());
    let report = Mutex::new(Report {
        by_model: Default::default(),
        workloads: 0,
        minutes_told: 0,
        took: Duration::ZERO,
        busy: None,
        broken: None,
    });
    let work = || {
        while !stop.load(Ordering::Relaxed)
            && unique.load(Ordering::Relaxed) < goal.states
            && goal.time.is_none_or(|time| began.elapsed() < time)
        {
            let job = Job::nth(next.fetch_add(1, Ordering::Relaxed));
            let mut counts = Counts::default();
            let mut seen = Seen::new();
            let done = job.run(&mut counts, &mut seen);
            if job.kind == Kind::Create {
                // Until a journal has its id, it is like any other.
                let mut created = created.lock().expect("nobody panics with it");
                let known = seen.keys().filter(|hash| !created.insert(**hash));
                counts.unique -= known.count() as u64;
            }
            unique.fetch_add(counts.unique, Ordering::Relaxed);
            let mut report = report.lock().expect("nobody panics with it");
            report.by_model[job.model as usize] += counts;
            report.workloads += 1;
            let minutes = began.elapsed().as_secs() / 60;
            if minutes > std::mem::replace(&mut report.minutes_told, minutes) {
                let unique = report.total().unique;
                eprintln!("{minutes:4} min: {unique:11} unique states, each recovered, 0 broken");
            }
            if let Err(broken) = done {
                let state = job.state(&broken.at);
                report.broken.get_or_insert((state, broken.story));
                stop.store(true, Ordering::Relaxed);
            }
        }
        let mut report = report.lock().expect("nobody panics with it");
        if let Some(busy) = busy() {
            *report.busy.get_or_insert(Duration::ZERO) += busy;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut report = report.into_inner().expect("nobody panicked with it");
    report.took = began.elapsed();
    report
}

/// How long this thread has been running on a processor.
fn busy() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(
        stat.split_whitespace().next()?.parse().ok()?,
    ))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (model, counts) in Model::ALL.iter().zip(&self.by_model) {
            writeln!(f, "{:8} {counts}", model.name())?;
        }
        let total = self.total();
        writeln!(f, "{:8} {total}", "all")?;
        let per_minute = |time: Duration| total.unique as f64 * 60.0 / time.as_secs_f64();
        let (took, workloads) = (self.took.as_secs_f64(), self.workloads);
        let broken = usize::from(self.broken.is_some());
        writeln!(
            f,
            "states with a record lost, invented, altered or out of order, or refused: {broken}"
        )?;
        write!(
            f,
            "{workloads} workloads in {took:.1} s: {:.0} unique states a minute",
            per_minute(self.took)
        )?;
        match self.busy {
            Some(busy) => write!(
                f,
                ", {:.0} on each processor that is all theirs",
                per_minute(busy)
            ),
            None => Ok(()),
        }
    }
}
