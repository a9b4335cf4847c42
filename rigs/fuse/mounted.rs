//! Mounting one, and what is said where that is not possible.

use fuser::{Config, FileAttr, FileType, Filesystem, INodeNo, MountOption};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Why a rig that mounts cannot run here; `None` if it can.
pub fn missing() -> Option<&'static str> {
    if !Path::new("/dev/fuse").exists() {
        return Some("there is no /dev/fuse");
    }
    if !nix::unistd::geteuid().is_root() {
        return Some("mounting takes the superuser");
    }
    None
}

/// Gives this process a mount namespace of its own, so that what it mounts goes with it, however
/// it ends.
///
/// # Errors
/// What the system says; mounts are everybody's then.
pub fn own_namespace() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
}

/// After this long, on a machine with much to do, mounting is taken to hang.
const MOUNT_SECONDS: u64 = 60;

/// A process that serves a file system, until this is dropped.
#[derive(Debug)]
pub struct Server {
    pid: Pid,
    at: PathBuf,
}

impl Server {
    /// Forks a process that mounts `filesystem` at `at`, and mounts it again, after `between`,
    /// whenever it was unmounted.
    ///
    /// A process of its own, because a fault on a page that is mapped from it waits for the server
    /// with the memory of the process locked; a server in the same process would wait for that.
    /// Only whoever has no other thread may call this.
    ///
    /// # Errors
    /// What the system says.
    pub fn start<F>(filesystem: F, at: &Path, between: impl Fn(&F)) -> io::Result<Server>
    where
        F: Filesystem + Clone + Send + 'static,
    {
        // SAFETY: this process has no other thread, so the child may do what its parent could.
        match unsafe { fork()? } {
            ForkResult::Parent { child } => Ok(Server {
                pid: child,
                at: at.to_owned(),
            }),
            ForkResult::Child => {
                // It does not outlive the rig, however that ends.
                let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
                let mut config = Config::default();
                config.mount_options = vec![MountOption::FSName("turnkeep-rig".into())];
                let mut served = Ok(());
                while served.is_ok() {
                    let session = fuser::Session::new(filesystem.clone(), at, &config);
                    served = session.and_then(fuser::Session::run);
                    between(&filesystem);
                }
                std::process::exit(1);
            }
        }
    }

    /// The process that serves it.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Unmounts it, so that the kernel forgets what it has cached.
    ///
    /// # Errors
    /// What the system says.
    pub fn unmount(&self) -> io::Result<()> {
        Ok(nix::mount::umount(&self.at)?)
    }

    /// Returns when it is mounted and answers.
    ///
    /// # Errors
    /// If it does not within [`MOUNT_SECONDS`].
    pub fn wait_for(&self, file: &str) -> io::Result<()> {
        let until = Instant::now() + Duration::from_secs(MOUNT_SECONDS);
        while !self.at.join(file).exists() {
            if Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
        // Its connection is gone, so nothing is waited for.
        let _ = nix::mount::umount2(&self.at, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// The attributes of a file of `size` bytes, or of the directory.
pub fn attributes(ino: u64, size: u64, kind: FileType) -> FileAttr {
    let directory = kind == FileType::Directory;
    FileAttr {
        ino: INodeNo(ino),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm: if directory { 0o700 } else { 0o600 },
        nlink: if directory { 2 } else { 1 },
        uid: 0,
        gid: 0,
        rdev: 0,
        flags: 0,
        blksize: 4096,
    }
}
