//! Lives on a file system that forgets: `power [--seeds N] [--from SEED] [--lives N]`.
//!
//! `--break VARIANT` breaks the engine first, if it was built with `--features sabotage`. A seed
//! that hangs is ended by SIGALRM, and the program with it.

fn main() {
    #[cfg(target_os = "linux")]
    std::process::exit(rig::main());
    #[cfg(not(target_os = "linux"))]
    println!("SKIPPED: the file system that forgets needs Linux");
}

#[cfg(target_os = "linux")]
mod rig {
    use std::time::Instant;
    use turnkeep_rigs::arguments::Arguments;
    use turnkeep_rigs::fuse::mounted::{missing, own_namespace};
    use turnkeep_rigs::fuse::power::{Outcome, run};

    /// After this long a seed is taken to hang; it takes a tenth of a second.
    const HANG_SECONDS: u32 = 120;

    pub fn main() -> i32 {
        let arguments = Arguments::read(&["--seeds", "--from", "--lives"]);
        if let Some(why) = missing() {
            println!("SKIPPED: the file system that forgets: {why}");
            return 0;
        }
        // Without, it works as well, but one that is killed leaves a mount behind.
        let _ = own_namespace();
        let began = Instant::now();
        let (from, seeds) = (
            arguments.number("--from", 0),
            arguments.number("--seeds", 150),
        );
        let lives = arguments.number("--lives", 4) as usize;
        let at = std::env::temp_dir().join(format!("turnkeep-power-{}", std::process::id()));
        std::fs::create_dir_all(&at).expect("a directory to mount at");
        let mut sum = Outcome::default();
        let mut wrong = 0;
        for seed in from..from + seeds {
            // Its server dies with it, and whoever waits for that goes on.
            nix::unistd::alarm::set(HANG_SECONDS);
            match run(seed, lives, &at) {
                Ok(outcome) => sum.add(&outcome),
                Err(what) => {
                    wrong += 1;
                    println!("WRONG: seed {seed}: {what}");
                }
            }
        }
        let _ = std::fs::remove_dir(&at);
        println!(
            "{seeds} seeds: {} power cuts, {} syncs failed with EIO, {} reopenings in the same boot, \
             {} full disks, {} mapped writes, {} acknowledged records looked for, {wrong} wrong, {:.0} s",
            sum.power_cuts,
            sum.failed_syncs,
            sum.same_boot,
            sum.full_disks,
            sum.mapped_writes,
            sum.acknowledged,
            began.elapsed().as_secs_f64()
        );
        i32::from(wrong > 0)
    }
}
