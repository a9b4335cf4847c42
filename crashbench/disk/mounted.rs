//! The disk, mounted, with the knobs.

use super::fuse::Files;
use super::model::{Keep, Names, ROOT};
use super::shared::Shared;
use crate::Result;
use fuser::{BackgroundSession, Config, MountOption};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// What goes wrong next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Power fails before the n-th change from now, counted from 1.
    PowerOff {
        /// The n.
        change: u64,
    },
    /// The next sync fails.
    FailSync,
    /// This many bytes more can be allocated.
    Full {
        /// The bytes.
        free_bytes: u64,
    },
}

/// What `/proc/mounts` shows as the device.
const SOURCE: &str = "crashbench";

/// Unmounts what runs that were killed have left mounted.
pub fn sweep() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        if let (Some(SOURCE), Some(path)) = (words.next(), words.next()) {
            let gone = std::fs::metadata(path)
                .is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN));
            // Nobody serves it, so nobody misses it; if it stays, nothing is worse than before.
            if gone && unmount(path, UnmountFlags::DETACH).is_ok() {
                let _ = std::fs::remove_dir(path);
            }
        }
    }
}

/// A mounted disk with one directory for a store. Dropped, it is unmounted and gone.
pub struct Disk {
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
    point: TempDir,
}

impl Disk {
    /// Mounts an empty disk.
    ///
    /// # Errors
    /// Without `/dev/fuse` or the right to mount.
    pub fn mount(names: Names) -> Result<Disk> {
        let shared = Arc::new(Shared::new(names));
        let made = shared.with(|model| {
            let made = model.create(ROOT, OsStr::new("store"), 0o755, true);
            model.settle();
            made
        });
        made.map_err(std::io::Error::from_raw_os_error)?;
        let mut disk = Disk {
            shared,
            session: None,
            point: tempfile::tempdir()?,
        };
        disk.attach()?;
        Ok(disk)
    }

    /// The directory for a store, which is durable and empty at first.
    pub fn home(&self) -> PathBuf {
        self.point.path().join("store")
    }

    /// Sets what goes wrong next.
    pub fn arm(&self, fault: Fault) {
        self.shared.arm(fault);
    }

    /// Whether an armed power cut or failing sync has come about, or a write met the full disk.
    pub fn met(&self) -> bool {
        self.shared.met()
    }

    /// Gives back all space.
    pub fn empty_the_rest(&self) {
        self.shared.with(|model| model.capacity = None);
    }

    /// Waits until the armed power cut has come; if it does not come, cuts now.
    pub fn wait_for_cut(&self, timeout: Duration) {
        self.shared.wait_for_cut(timeout);
    }

    /// Lets the requests go that wait since the cut. They fail, and so do all others.
    pub fn release(&self) {
        self.shared.release();
    }

    /// Power comes back: what was lost is lost, and no cache of the kernel remembers it.
    pub fn power_on(&mut self, keep: Keep) -> Result<()> {
        self.detach()?;
        self.shared.power_on(keep);
        self.attach()
    }

    fn attach(&mut self) -> Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName(SOURCE.into()), MountOption::NoAtime];
        let files = Files(self.shared.clone());
        self.session = Some(fuser::spawn_mount(files, self.path(), &config)?);
        Ok(())
    }

    fn detach(&mut self) -> Result<()> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        // A process that another thread is just starting holds all our files until it has begun.
        let mut tries = 0;
        while let Err(error) = unmount(self.path(), UnmountFlags::empty()) {
            if error != Errno::BUSY || tries == 200 {
                unmount(self.path(), UnmountFlags::DETACH)?;
                return Err(format!("cannot unmount {}: {error}", self.path().display()).into());
            }
            tries += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(session.join()?)
    }

    fn path(&self) -> &Path {
        self.point.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.release();
        if let Err(error) = self.detach() {
            eprintln!("crashbench: {error}");
        }
    }
}
