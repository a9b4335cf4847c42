//! What the questions share: counting, spinning, medians, rows of the table.
#![allow(unsafe_code)] // a global allocator, and one system call that std lacks

pub mod counting;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Counts allocations, of all threads and of each.
pub struct CountingAllocator;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OF_THREAD: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came; counting touches no
// memory that it manages.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

fn count() {
    // Per thread without contention; the total is summed from differences only.
    let _ = OF_THREAD.try_with(|count| count.set(count.get() + 1));
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
}

/// Allocations of all threads so far.
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Allocations of this thread so far.
pub fn thread_allocations() -> u64 {
    OF_THREAD.with(Cell::get)
}

/// Keeps every core awake without taking it from anybody: one thread for each, of the
/// scheduler's idle class, which runs only when nothing else wants to.
///
/// A halted core of a virtual machine may learn of a finished I/O only at its next timer tick,
/// milliseconds late; a core that never halts learns at once.
pub struct Spinners {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Spinners {
    /// Starts them; `None` where the scheduler has no idle class, since at normal priority
    /// they would take from what is measured.
    pub fn start() -> Option<Spinners> {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (said, hears) = std::sync::mpsc::channel();
        let threads: Vec<_> = (0..cores)
            .map(|_| {
                let (stop, said) = (stop.clone(), said.clone());
                std::thread::spawn(move || {
                    let idle = become_idle_class();
                    let _ = said.send(idle);
                    while idle && !stop.load(Ordering::Relaxed) {
                        for _ in 0..1000 {
                            std::hint::spin_loop();
                        }
                    }
                })
            })
            .collect();
        let all = (0..cores).all(|_| hears.recv().unwrap_or(false));
        let spinners = Spinners { stop, threads };
        all.then_some(spinners)
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(target_os = "linux")]
fn become_idle_class() -> bool {
    const SCHED_IDLE: i32 = 5;
    unsafe extern "C" {
        fn sched_setscheduler(pid: i32, policy: i32, param: *const i32) -> i32;
    }
    let priority = 0;
    // SAFETY: `param` points to a struct whose one field is an int, alive during the call; pid
    // 0 is the calling thread.
    unsafe { sched_setscheduler(0, SCHED_IDLE, &priority) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn become_idle_class() -> bool {
    false
}

/// Several measurements of one thing.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    fn sorted(&self) -> Vec<f64> {
        let mut values = self.0.clone();
        values.sort_by(f64::total_cmp);
        values
    }

    pub fn median(&self) -> f64 {
        quantile(&self.sorted(), 0.5)
    }

    pub fn low(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    pub fn high(&self) -> f64 {
        self.sorted().last().copied().unwrap_or(f64::NAN)
    }
}

/// The value below which a share of the sorted `values` lies.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let at = ((values.len() - 1) as f64 * share).round() as usize;
    values[at]
}

/// What must hold of a row's figure.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Only told.
    Told,
}

impl Target {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Target::AtLeast(bound) => Some(value >= bound),
            Target::AtMost(bound) => Some(value <= bound),
            Target::Told => None,
        }
    }
}

/// One line of the table.
pub struct Row {
    pub question: &'static str,
    /// What is compared with the target: median and extremes over the rounds.
    pub figure: Series,
    pub unit: &'static str,
    pub target: Target,
    /// The floor's and the engine's own medians, and whatever else helps to read the figure.
    pub note: String,
}

impl Row {
    pub fn print(&self, json: bool) {
        let (median, low, high) = (self.figure.median(), self.figure.low(), self.figure.high());
        let met = self.target.is_met(median);
        if json {
            let (op, bound) = match self.target {
                Target::AtLeast(bound) => ("\"at least\"", format!("{bound}")),
                Target::AtMost(bound) => ("\"at most\"", format!("{bound}")),
                Target::Told => ("null", "null".into()),
            };
            println!(
                "{{\"question\":{:?},\"median\":{median:.4},\"low\":{low:.4},\"high\":{high:.4},\
                 \"rounds\":{},\"unit\":{:?},\"target\":{op},\"bound\":{bound},\"met\":{},\
                 \"note\":{:?}}}",
                self.question,
                self.figure.0.len(),
                self.unit,
                met.map_or("null".into(), |met| met.to_string()),
                self.note,
            );
            return;
        }
        let target = match self.target {
            Target::AtLeast(bound) => format!(">= {bound}"),
            Target::AtMost(bound) => format!("<= {bound}"),
            Target::Told => String::new(),
        };
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        println!(
            "{:<54} {:>10} {:<5} [{} .. {}] {:>8} {:<7} {}",
            self.question,
            digits(median),
            self.unit,
            digits(low),
            digits(high),
            target,
            verdict,
            self.note
        );
    }
}

/// Three significant digits or so.
pub fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Nanoseconds that the calling thread has run, or 0 where the system does not tell.
pub fn own_cpu_nanos() -> u64 {
    cpu_nanos(Path::new("/proc/thread-self"))
}

/// Nanoseconds that the threads of that name have run.
pub fn cpu_nanos_of(name: &str) -> u64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    tasks
        .filter_map(|task| Some(task.ok()?.path()))
        .filter(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim() == name)
        })
        .map(|task| cpu_nanos(&task))
        .sum()
}

fn cpu_nanos(task: &Path) -> u64 {
    let stat = std::fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    let first = stat.split_whitespace().next();
    first.and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}
