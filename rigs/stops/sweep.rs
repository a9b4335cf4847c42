//! Every stop and every fault of a scenario.

use super::calls::{Call, Fault, error_name};
use super::trace::{End, Plan, Run, run};
use crate::check::check;
use crate::ledger::{Ledger, Said};
use crate::random::Random;
use crate::script::{Action, Script, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a worker begins with, and what it does.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub script: Script,
    /// A directory that is copied first; without one the journal is not there yet.
    pub template: Option<PathBuf>,
    /// What is acknowledged in it.
    pub ledger: Ledger,
}

/// What a sweep came to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    pub scenarios: u64,
    pub calls: u64,
    pub stops: u64,
    pub pairs: u64,
    /// Of the pairs, those in which every later call of the kind failed as well.
    pub for_good: u64,
    /// Journals that were also compared without what a failed sync was for.
    pub forgotten: u64,
    /// Stops and faults of a worker with threads.
    pub sampled_stops: u64,
    pub sampled_faults: u64,
    /// Acknowledged records that were looked for, over all stops and pairs.
    pub acknowledged: u64,
    /// How often each call was stopped at, and failed.
    pub by_call: BTreeMap<&'static str, (u64, u64)>,
    /// Which errors of calls were tried.
    pub kinds: BTreeSet<(&'static str, Fault)>,
    /// What the worker's steps returned.
    pub codes: BTreeMap<&'static str, u64>,
    /// What is wrong, with what led to it.
    pub wrong: Vec<String>,
}

/// Which part of the work this process does: every `of`-th stop from `part` on.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub part: usize,
    pub of: usize,
}

/// What is done at each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A kill before and after it.
    Stops,
    /// Every error that it can return; perhaps only of the calls of one name.
    Faults(Option<&'static str>),
}

/// Runs `scenario` once for every stop and fault that falls to `share`, below `home`.
///
/// # Errors
/// What keeps the sweep itself from working; what it finds is in the totals.
pub fn sweep(
    scenario: &Scenario,
    home: &Path,
    share: Share,
    extent: Extent,
    totals: &mut Totals,
) -> Result<(), String> {
    let listed = once(scenario, home, Plan::List)?;
    if listed.run.end != End::Exited(0) {
        return Err(format!("{}: ended by {:?}", scenario.name, listed.run.end));
    }
    finish(scenario, &listed, home, totals, "undisturbed");
    totals.scenarios += 1;
    let calls = listed.run.calls;
    totals.calls += calls.len() as u64;
    let mut turn = 0;
    let mut mine = || {
        turn += 1;
        turn % share.of == share.part
    };
    for (at, call) in calls.iter().enumerate() {
        let plans: Vec<Plan> = match extent {
            Extent::Stops => vec![Plan::KillBefore(at), Plan::KillAfter(at)],
            Extent::Faults(Some(name)) if name != call.name() => Vec::new(),
            Extent::Faults(_) => {
                let once = call.faults().into_iter().map(|f| Plan::Fail(at, f));
                let for_good = call.fails_for_good().map(|f| Plan::FailFrom(at, f));
                once.chain(for_good).collect()
            }
        };
        for plan in plans {
            if mine() {
                one(scenario, home, plan, at, call, totals)?;
            }
        }
    }
    Ok(())
}

/// Runs `scenario`, whose worker has threads of its own, `count` times, and kills or fails it at
/// a call that chance picks: the order of calls is another one each time, so there is no list.
///
/// # Errors
/// As [`sweep`].
pub fn sample(
    scenario: &Scenario,
    home: &Path,
    count: usize,
    random: &mut Random,
    totals: &mut Totals,
) -> Result<(), String> {
    let listed = once(scenario, home, Plan::List)?;
    finish(scenario, &listed, home, totals, "undisturbed");
    let length = listed.run.calls.len() as u64;
    for _ in 0..count {
        let at = random.below(length) as usize;
        let plan = match random.below(3) {
            0 => Plan::KillBefore(at),
            1 => Plan::KillAfter(at),
            _ => {
                let faults = listed.run.calls[at].faults();
                let faults: Vec<_> = faults.into_iter().filter(|f| fits_any(*f)).collect();
                match faults.get(random.below(faults.len() as u64) as usize) {
                    Some(fault) => Plan::Fail(at, *fault),
                    None => Plan::KillBefore(at),
                }
            }
        };
        let done = once(scenario, home, plan)?;
        match (plan, done.run.end) {
            (Plan::Fail(..), End::Exited(0)) => totals.sampled_faults += 1,
            (_, End::Killed) => totals.sampled_stops += 1,
            // It came to its end before the call that was to be its last.
            (Plan::KillBefore(_) | Plan::KillAfter(_), End::Exited(0)) => {}
            (_, end) => {
                let met = format!("{}: {plan:?}: ended by {end:?}", scenario.name);
                totals.wrong.push(met);
            }
        }
        finish(scenario, &done, home, totals, &format!("{plan:?}"));
    }
    Ok(())
}

/// Whether any call may fail like this, whichever is at that place this time.
fn fits_any(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::Refused(libc::EIO | libc::ENOMEM | libc::ESTALE)
    )
}

fn one(
    scenario: &Scenario,
    home: &Path,
    plan: Plan,
    at: usize,
    call: &Call,
    totals: &mut Totals,
) -> Result<(), String> {
    let done = once(scenario, home, plan)?;
    let name = call.name();
    let words = match plan {
        Plan::Fail(_, fault) => format!("call {at}, {name}, {}", fault_name(fault)),
        Plan::FailFrom(_, fault) => {
            format!("call {at} and on, {name}, {} for good", fault_name(fault))
        }
        plan => format!("{plan:?}, {name}"),
    };
    if done.run.calls.get(at).map(|call| call.number) != Some(call.number) {
        let found = done.run.calls.get(at).map(Call::name);
        let met = format!("{}: {words}: was {found:?} this time", scenario.name);
        totals.wrong.push(met);
        return Ok(());
    }
    let counts = totals.by_call.entry(name).or_default();
    let expected = match plan {
        Plan::Fail(_, fault) | Plan::FailFrom(_, fault) => {
            totals.pairs += 1;
            totals.for_good += u64::from(matches!(plan, Plan::FailFrom(..)));
            counts.1 += 1;
            totals.kinds.insert((name, fault));
            End::Exited(0)
        }
        _ => {
            totals.stops += 1;
            counts.0 += 1;
            End::Killed
        }
    };
    if done.run.end != expected {
        let end = done.run.end;
        let met = format!("{}: {words}: ended by {end:?}", scenario.name);
        totals.wrong.push(met);
    }
    finish(scenario, &done, home, totals, &words);
    Ok(())
}

/// A run and where it left its journal.
struct Done {
    run: Run,
    dir: PathBuf,
    /// Whether reading was made to fail for good.
    unreadable: bool,
}

/// What a worker says of a journal that does not read.
const UNREADABLE: Said = Said::Wrong { what: 1 };

/// A copy of the journal as the power would leave it, if a sync has failed.
fn forget(done: &Done, home: &Path) -> Result<Option<PathBuf>, String> {
    if done.run.pages.is_whole() {
        return Ok(None);
    }
    let dir = home.join("forgotten");
    let _ = fs::remove_dir_all(&dir);
    let made = copy(&done.dir, &dir).and_then(|()| done.run.pages.forget(&dir));
    made.map(|()| Some(dir))
        .map_err(|e| format!("taking back what was not synced: {e}"))
}

fn once(scenario: &Scenario, home: &Path, plan: Plan) -> Result<Done, String> {
    let dir = home.join("journal");
    let _ = fs::remove_dir_all(&dir);
    if let Some(template) = &scenario.template {
        copy(template, &dir).map_err(|e| format!("copying {}: {e}", template.display()))?;
    }
    let run = run(&scenario.script, &dir, plan).map_err(|e| format!("tracing: {e}"))?;
    let unreadable = match plan {
        Plan::FailFrom(n, _) => run.calls.get(n).is_some_and(Call::reads),
        _ => false,
    };
    Ok(Done {
        run,
        dir,
        unreadable,
    })
}

/// Books what the worker told, and compares the journal that it left.
fn finish(scenario: &Scenario, done: &Done, home: &Path, totals: &mut Totals, words: &str) {
    let script = &scenario.script;
    let mut ledger = scenario.ledger.clone();
    let heard = done
        .run
        .said
        .iter()
        .filter(|said| !done.unreadable || **said != UNREADABLE)
        .try_for_each(|said| ledger.hear(script, *said));
    ledger.died(script);
    totals.acknowledged += ledger.oracle.acknowledged - 1;
    for (code, count) in std::mem::take(&mut ledger.codes) {
        *totals.codes.entry(code).or_default() += count;
    }
    let options = script.options().background(false);
    let forgotten = forget(done, home);
    let checked = heard
        .and_then(|()| {
            let Some(dir) = forgotten? else { return Ok(()) };
            totals.forgotten += 1;
            let without = "without what the failed sync was for";
            check(&dir, &options, &mut ledger.clone()).map_err(|e| format!("{without}: {e}"))
        })
        .and_then(|()| check(&done.dir, &options, &mut ledger));
    if let Err(what) = checked {
        let kept = home.join(format!("wrong-{}", totals.wrong.len()));
        let _ = copy(&done.dir, &kept);
        let said: Vec<String> = done
            .run
            .said
            .iter()
            .map(|said| format!("{said:?}"))
            .collect();
        totals.wrong.push(format!(
            "{}: {words}: {what}\n  {}",
            scenario.name,
            said.join("\n  ")
        ));
    }
}

/// Scenarios that begin with a crash of `base` at about `count` calls spread over it: recovery is
/// what is stopped then. Where the crash is at a sync, one with the write before it torn, too.
///
/// # Errors
/// What keeps it from working.
pub fn recoveries(base: &Scenario, home: &Path, count: usize) -> Result<Vec<Scenario>, String> {
    let listed = once(base, home, Plan::List)?;
    let telling = [
        libc::SYS_fdatasync,
        libc::SYS_rename,
        libc::SYS_unlink,
        libc::SYS_fsync,
    ];
    let calls = listed.run.calls.iter().enumerate();
    let places: Vec<usize> = calls
        .filter(|(_, call)| telling.contains(&call.number))
        .map(|(at, _)| at)
        .collect();
    let mut scenarios = Vec::new();
    for n in 0..count {
        let at = places[(2 * n + 1) * places.len() / (2 * count)];
        let done = once(base, home, Plan::KillBefore(at))?;
        let mut ledger = base.ledger.clone();
        for said in &done.run.said {
            ledger.hear(&base.script, *said)?;
        }
        ledger.died(&base.script);
        let ledger = ledger.next_script();
        let mut script = base.script.clone();
        let action = |step, session| Action {
            step,
            session,
            size: 100,
            fill: n as u8,
        };
        script.actions = vec![
            action(Step::Append, "a"),
            action(Step::Batch(3, true), "b"),
            action(Step::Reopen, "a"),
            action(Step::Begin, "c"),
        ];
        let mut add = |what: &str, template: PathBuf| {
            scenarios.push(Scenario {
                name: format!("{}, recovery from a kill at call {at}{what}", base.name),
                script: script.clone(),
                template: Some(template),
                ledger: ledger.clone(),
            });
        };
        let template = home.join(format!("template-{}-{n}", base.script.actions.len()));
        let _ = fs::remove_dir_all(&template);
        copy(&done.dir, &template).map_err(|e| e.to_string())?;
        if let Some(write) = &done.run.unsynced {
            let torn = home.join(format!("torn-{}-{n}", base.script.actions.len()));
            let _ = fs::remove_dir_all(&torn);
            copy(&done.dir, &torn).map_err(|e| e.to_string())?;
            write.tear(&torn).map_err(|e| e.to_string())?;
            add(", its write torn", torn);
        }
        add("", template);
    }
    Ok(scenarios)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    if !from.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// A fault in words.
pub fn fault_name(fault: Fault) -> String {
    match fault {
        Fault::Refused(error) => error_name(error).to_owned(),
        Fault::Told(error) => format!("{} though done", error_name(error)),
        Fault::Short => "half of it".to_owned(),
    }
}

impl Totals {
    /// Takes another one's counts in.
    pub fn add(&mut self, other: &Totals) {
        self.scenarios = self.scenarios.max(other.scenarios);
        self.calls = self.calls.max(other.calls);
        self.stops += other.stops;
        self.pairs += other.pairs;
        self.for_good += other.for_good;
        self.forgotten += other.forgotten;
        self.sampled_stops += other.sampled_stops;
        self.sampled_faults += other.sampled_faults;
        self.acknowledged += other.acknowledged;
        for (name, counts) in &other.by_call {
            let sum = self.by_call.entry(name).or_default();
            sum.0 += counts.0;
            sum.1 += counts.1;
        }
        self.kinds.extend(other.kinds.iter().copied());
        for (code, count) in &other.codes {
            *self.codes.entry(code).or_default() += count;
        }
        self.wrong.extend(other.wrong.iter().cloned());
    }
}
