//! Goes through the crash states of a trace: each that is new is recovered, fully.

use crate::choices::{Budget, Choice, choices};
use crate::oracle::{Record, check_reads, check_unclaimed};
use crate::trace::{PATH, Trace};
use crate::workloads;
use std::collections::HashMap;
use std::fmt;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind};
use turnkeep::Journal;
use turnkeep::storage::sim::{CrashModel, Pending, SimDisk};

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub struct Depth {
    pub budget: Budget,
    /// One in so many states is recovered on a disk that records, and the crash states of its
    /// recovery are gone through too.
    pub again_in: u64,
    pub again: Budget,
    /// So many crashes in a row: 1 is none during recovery.
    pub crashes: u32,
    /// One in so many is opened again, appended to, closed, and opened again.
    pub twice_in: u64,
}

/// What was gone through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Crash states made.
    pub made: u64,
    /// Those that no other was equal to: each was recovered and checked.
    pub unique: u64,
    /// Those of them left by a crash during recovery.
    pub of_recovery: u64,
    /// How many were opened again and appended to.
    pub twice: u64,
    /// Moments gone through.
    pub moments: u64,
    /// Those of them of which every combination of what survives was made.
    pub whole: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.made += other.made;
        self.unique += other.unique;
        self.of_recovery += other.of_recovery;
        self.twice += other.twice;
        self.moments += other.moments;
        self.whole += other.whole;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states made, {} unique, each recovered; {} of them left by crashes during \
             recovery, {} opened twice; {} of {} moments with every subset",
            self.made, self.unique, self.of_recovery, self.twice, self.whole, self.moments
        )
    }
}

/// Where in a trace a state is; enough to find it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub moment: usize,
    /// Position among the states of the moment.
    pub nth: u64,
}

/// A state in which a promise is broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The state, and for a crash during recovery the states within.
    pub at: Vec<Place>,
    /// What was broken, and the smallest state found that breaks it.
    pub story: String,
}

/// States that were recovered, by their hash: which trace's records they were compared with, and
/// how many were there.
pub type Seen = HashMap<u64, (u64, u64)>;

/// Goes through the crash states of one trace.
pub struct Explorer<'t> {
    pub trace: &'t Trace,
    pub model: CrashModel,
    pub depth: Depth,
    pub counts: Counts,
}

impl<'t> Explorer<'t> {
    pub fn new(trace: &'t Trace, model: CrashModel, depth: Depth) -> Self {
        Explorer {
            trace,
            model,
            depth,
            counts: Counts::default(),
        }
    }

    /// Goes through all of them.
    ///
    /// # Errors
    /// The first state that breaks a promise.
    pub fn run(&mut self, seen: &mut Seen) -> Result<(), Broken> {
        (0..self.trace.moments.len()).try_for_each(|moment| self.moment(moment, &[], seen))
    }

    /// Looks at one state again, or at one of its recovery's.
    ///
    /// # Errors
    /// As [`Explorer::run`].
    pub fn replay(&mut self, at: &[Place]) -> Result<(), Broken> {
        self.moment(at[0].moment, at, &mut Seen::new())
    }

    fn moment(&mut self, moment: usize, only: &[Place], seen: &mut Seen) -> Result<(), Broken> {
        let pending = self.trace.moments[moment].pending(&self.model);
        let seed = self.trace.seed ^ (moment as u64) << 40;
        let mut nth = 0;
        let whole = choices(&pending, self.depth.budget, seed, &mut |choice| {
            let place = Place { moment, nth };
            nth += 1;
            if only.first().is_some_and(|only| *only != place) {
                return Ok(());
            }
            let disk = pending.leave(&choice.picks, &choice.harms);
            let hash = disk.state_hash();
            self.counts.made += 1;
            let checked = self.state(moment, &disk, hash, seen);
            let (count, is_new) = checked.map_err(|what| Broken {
                at: vec![place],
                story: self.story(moment, &pending, choice, what),
            })?;
            let again = match only.get(1..) {
                Some(only) => !only.is_empty(),
                None => is_new && hash.is_multiple_of(self.depth.again_in),
            };
            if again && self.depth.crashes > 1 {
                let within = only.get(1..).unwrap_or_default();
                let crashed = self.recovery(&disk, hash, count, within, seen);
                crashed.map_err(|mut broken| {
                    broken.at.insert(0, place);
                    broken
                })?;
            }
            Ok(())
        })?;
        self.counts.moments += 1;
        self.counts.whole += u64::from(whole);
        Ok(())
    }

    /// Checks one state of a moment. Returns how many records it has, and whether it is new.
    fn state(
        &mut self,
        moment: usize,
        disk: &SimDisk,
        hash: u64,
        seen: &mut Seen,
    ) -> Result<(u64, bool), String> {
        let known = seen.get(&hash);
        let (count, is_new) = match known {
            Some((of, count)) if *of == self.trace.id => (*count, false),
            _ => {
                let is_new = known.is_none();
                self.counts.unique += u64::from(is_new);
                // The disk itself stays as the crash left it.
                let is_twice = hash.is_multiple_of(self.depth.twice_in);
                self.counts.twice += u64::from(is_twice);
                let count = recover(self.trace, &disk.fork(), is_twice)?;
                seen.insert(hash, (self.trace.id, count));
                (count, is_new)
            }
        };
        let (floor, ceiling) = self.trace.bounds(moment);
        if count < floor {
            return Err(format!(
                "lost: {floor} records were acknowledged, {count} are there"
            ));
        }
        if count > ceiling {
            return Err(format!(
                "invented: {ceiling} records were accepted, {count} are there"
            ));
        }
        Ok((count, is_new))
    }

    /// Recovers a state once more, goes on working in every second one, and goes through the
    /// crash states of that.
    fn recovery(
        &mut self,
        disk: &SimDisk,
        hash: u64,
        count: u64,
        only: &[Place],
        seen: &mut Seen,
    ) -> Result<(), Broken> {
        let steps = if hash & 1 << 60 == 0 { 0 } else { 3 };
        let trace = workloads::record_recovery(self.trace, disk.fork(), count, hash, steps);
        let trace = trace.map_err(|story| Broken {
            at: Vec::new(),
            story,
        })?;
        let depth = Depth {
            budget: self.depth.again,
            crashes: self.depth.crashes - 1,
            ..self.depth
        };
        let mut within = Explorer::new(&trace, self.model, depth);
        let done = match only {
            [] => within.run(seen),
            only => within.replay(only),
        };
        within.counts.of_recovery = within.counts.unique;
        self.counts += within.counts;
        done
    }

    /// What broke, and the smallest choice that breaks it still.
    fn story(&self, moment: usize, pending: &Pending, choice: &Choice, what: String) -> String {
        let (floor, ceiling) = self.trace.bounds(moment);
        let breaks = |choice: &Choice| {
            let disk = pending.leave(&choice.picks, &choice.harms);
            let count = recover(self.trace, &disk, false);
            !count.is_ok_and(|count| (floor..=ceiling).contains(&count))
        };
        let small = choice.shrink(breaks);
        let mut story = format!(
            "{what}\n  before operation {moment} ({:?}) of {}, {:?}",
            self.trace.moments[moment].next(),
            self.trace.name,
            self.model,
        );
        for (at, pick) in small
            .picks
            .iter()
            .enumerate()
            .filter(|(_, pick)| **pick > 0)
        {
            let of = pending.options()[at] - 1;
            story += &format!(
                "\n  survived: {} (option {pick} of {of})",
                pending.about(at)
            );
        }
        for harm in &small.harms {
            story += &format!("\n  harm: {harm:?}");
        }
        story
    }
}

/// Opens what a crash left, and compares everything with what was accepted. Returns how many
/// records are there.
///
/// # Errors
/// Whatever is not as it was promised.
pub fn recover(trace: &Trace, disk: &SimDisk, twice: bool) -> Result<u64, String> {
    let checked = catch_unwind(AssertUnwindSafe(|| {
        let count = open(trace, disk, |_| Ok(()))?.0;
        if twice {
            disk.kill();
            open_twice(trace, disk, count)?;
        }
        Ok(count)
    }));
    checked.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// How a refusal begins.
const REFUSED: &str = "a correct disk is refused";

fn open(
    trace: &Trace,
    disk: &SimDisk,
    then: impl FnOnce(&Journal) -> Result<(), String>,
) -> Result<(u64, Journal), String> {
    let opened = trace.settings.options(disk).open(PATH);
    let (journal, recovery) = opened.map_err(|e| format!("{REFUSED}: {e}"))?;
    let count = recovery.next_lsn.get() - 1;
    let accepted: &[Record] = &trace.accepted;
    if count > accepted.len() as u64 {
        return Err(format!("invented: {count} records are there"));
    }
    let (there, lost) = accepted.split_at(count as usize);
    if let (Some(last), Some(first)) = (there.last(), lost.first())
        && last.batch.is_some()
        && last.batch == first.batch
    {
        return Err(format!("a batch was split after lsn {count}"));
    }
    check_unclaimed(&journal)?;
    check_reads(there, trace.model(count as usize), &journal)?;
    then(&journal)?;
    Ok((count, journal))
}

/// What became of a disk that was lied about.
pub enum Opened {
    /// The damage was named, at opening or reading.
    Named(String),
    /// So many records are there, and they are the first ones accepted, byte for byte.
    Whole(u64),
    /// Something was believed that was not accepted, or opening panicked.
    Broken(String),
}

/// Opens what a crash left and a device lies about, and compares everything that is there with
/// what was accepted.
pub fn open_after_lie(trace: &Trace, disk: &SimDisk) -> Opened {
    let looked = catch_unwind(AssertUnwindSafe(|| open(trace, disk, |_| Ok(()))));
    match looked {
        Ok(Ok((count, _))) => Opened::Whole(count),
        Ok(Err(what)) if what.starts_with("reading failed") => Opened::Named(what),
        Ok(Err(what)) if what.starts_with(REFUSED) => Opened::Named(what),
        Ok(Err(what)) => Opened::Broken(what),
        Err(_) => Opened::Broken("panic".into()),
    }
}

/// Opens again, appends, closes, and opens again.
fn open_twice(trace: &Trace, disk: &SimDisk, count: u64) -> Result<(), String> {
    let again = |e: turnkeep::Error| format!("opened again: {e}");
    let (same, journal) = open(trace, disk, |_| Ok(()))?;
    if same != count {
        return Err(format!("{count} records, and {same} when opened again"));
    }
    let session = journal.session("late").map_err(again)?;
    let lsn = session.append("note", "late").map_err(again)?;
    journal.close().map_err(again)?;
    let opened = trace.settings.options(disk).open(PATH);
    let (journal, recovery) = opened.map_err(again)?;
    if !recovery.clean || recovery.next_lsn <= lsn {
        return Err(format!("after a clean close: {recovery}"));
    }
    let session = journal.find("late").map_err(again)?;
    let last = session.read(..).map_err(again)?.next_back();
    match last {
        Some(Ok(entry)) if entry.content == b"late" && entry.lsn == lsn => Ok(()),
        other => Err(format!("appended after the crash, and lost: {other:?}")),
    }
}
