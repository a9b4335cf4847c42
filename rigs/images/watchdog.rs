//! Ends the rig when it hangs.
//!
//! A process that waits for a file system that waits for its disk cannot be killed. So the disk's
//! server is: everything that waits for it then fails.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nothing takes so long between two signs of life, on a machine with much to do either.
const HANG_SECONDS: u64 = 180;
const STOPPED: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub struct Watchdog {
    began: Instant,
    alive: Arc<AtomicU64>,
    doing: Arc<Mutex<String>>,
}

impl Watchdog {
    /// Watches from now on.
    pub fn start(server: Pid) -> Watchdog {
        let watchdog = Watchdog {
            began: Instant::now(),
            alive: Arc::default(),
            doing: Arc::default(),
        };
        let watched = watchdog.clone();
        std::thread::spawn(move || watched.watch(server));
        watchdog
    }

    /// A sign of life.
    pub fn alive(&self) {
        let now = self.began.elapsed().as_secs();
        self.alive.store(now, Ordering::Relaxed);
    }

    /// What to say if it hangs from here on.
    pub fn doing(&self, what: String) {
        self.alive();
        *self.doing.lock().expect("nobody panics with it") = what;
    }

    /// Stops watching.
    pub fn stop(&self) {
        self.alive.store(STOPPED, Ordering::Relaxed);
    }

    fn watch(&self, server: Pid) {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let alive = self.alive.load(Ordering::Relaxed);
            if alive == STOPPED {
                return;
            }
            if self.began.elapsed().as_secs() > alive + HANG_SECONDS {
                let doing = self.doing.lock().expect("nobody panics with it");
                println!("WRONG: {doing}: nothing for {HANG_SECONDS} s, given up");
                let _ = kill(server, Signal::SIGKILL);
                // The namespace goes with the process, and the mounts with the namespace.
                std::process::exit(3);
            }
        }
    }
}
