//! The clock of a host jumps: it was set wrong, a virtual machine was paused, a battery was empty.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use turnkeep::Error;
use turnkeep::storage::{DirEntry, DiskStorage, File, Lock, LockError, OpenMode, Storage};
use turnkeep_rigs::check::check;
use turnkeep_rigs::ledger::Ledger;
use turnkeep_rigs::random::Random;
use turnkeep_rigs::script::{Script, Step};

/// The real disk, with a clock that says something else each time.
#[derive(Debug)]
struct Jumping {
    asked: AtomicU64,
}

impl Storage for Jumping {
    fn unix_ms(&self) -> u64 {
        let now = DiskStorage.unix_ms();
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        match Random::new(asked).below(6) {
            0 => 0,
            1 => now,
            2 => u64::MAX,
            3 => now - 86_400_000,
            4 => now + 86_400_000,
            _ => 1,
        }
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        DiskStorage.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        DiskStorage.open(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiskStorage.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        DiskStorage.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        DiskStorage.lock(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        DiskStorage.free_bytes(path)
    }
    fn overwrites_in_place(&self, path: &Path) -> bool {
        DiskStorage.overwrites_in_place(path)
    }
    fn entropy(&self) -> io::Result<[u8; 16]> {
        DiskStorage.entropy()
    }
}

#[test]
fn a_clock_that_jumps_changes_no_order_and_loses_nothing() {
    let mut looked_for = 0;
    for seed in 0..25 {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("journal");
        let script = Script::new(Random::new(seed).word(), 30);
        let disk = Arc::new(Jumping {
            asked: AtomicU64::new(seed),
        });
        let options = || script.options().storage(disk.clone());
        let mut ledger = Ledger::default();
        let (mut journal, _) = options().open(&path).unwrap();
        while let Some(action) = script.actions.get(ledger.at()) {
            if action.step == Step::Reopen {
                let accepted = journal.accepted_lsn().get();
                journal.close().unwrap();
                let closed = turnkeep_rigs::ledger::Said::Closed { code: 0, accepted };
                ledger.hear(&script, closed).unwrap();
                let (opened, recovery) = options().open(&path).unwrap();
                ledger.check(&opened, &recovery).unwrap();
                journal = opened;
                continue;
            }
            let result = ledger.perform(&script, &journal).unwrap();
            // What the script asks for in vain, whatever the clock says.
            let refused = matches!(result, Err(Error::Invalid { .. } | Error::TooLarge { .. }));
            assert!(result.is_ok() || refused, "seed {seed}: {result:?}");
        }
        drop(journal);
        looked_for += ledger.oracle.accepted.len();
        check(&path, &options(), &mut ledger).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
    }
    assert!(looked_for > 300, "{looked_for} records looked for");
}
