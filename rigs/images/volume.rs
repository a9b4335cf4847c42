//! A real file system on the served disk: made, mounted, unmounted.

use super::disk::Blocks;
use super::served::{CONTROL, DISK, Served};
use super::watchdog::Watchdog;
use crate::fuse::mounted::{self, Server};
use nix::mount::{MntFlags, umount, umount2};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A kind of file system, with the defaults that its users have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Ext4, Kind::Xfs, Kind::Btrfs];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As small as its tools make it.
    fn size(self) -> u64 {
        match self {
            Kind::Ext4 => 64 << 20,
            Kind::Xfs => 300 << 20,
            Kind::Btrfs => 128 << 20,
        }
    }

    /// What to run to make it on a file.
    fn mkfs(self) -> (&'static str, &'static [&'static str]) {
        match self {
            // Nothing that the kernel would go on with later, unasked.
            Kind::Ext4 => (
                "mkfs.ext4",
                &[
                    "-q",
                    "-F",
                    "-b4096",
                    "-E",
                    "lazy_itable_init=0,lazy_journal_init=0",
                ],
            ),
            Kind::Xfs => ("mkfs.xfs", &["-q", "-f"]),
            Kind::Btrfs => ("mkfs.btrfs", &["-q", "-f"]),
        }
    }
}

/// What is said of an image that the kernel does not mount.
pub const UNMOUNTABLE: &str = "the file system does not mount";

const PREFIX: &str = "turnkeep-images-";

/// Why the rig cannot run here; `None` if it can. If so, mounts are this process's own from now on.
pub fn missing(kind: Kind) -> Option<String> {
    if let Some(why) = mounted::missing() {
        return Some(why.into());
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there is no /dev/loop-control".into());
    }
    let (mkfs, _) = kind.mkfs();
    let quiet = |word: &str, option: &str| {
        let mut command = Command::new(word);
        command.arg(option).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    for (program, option) in [(mkfs, "-V"), ("mount", "-V"), ("losetup", "-V")] {
        if quiet(program, option).is_err() {
            return Some(format!("there is no {program}"));
        }
    }
    let own = mounted::own_namespace();
    own.err()
        .map(|e| format!("no mount namespace of its own: {e}"))
}

/// The disk, and the file system on it.
#[derive(Debug)]
pub struct Volume {
    kind: Kind,
    pub watchdog: Watchdog,
    // The server goes first, then what it was mounted in.
    _server: Server,
    home: Home,
}

/// A directory that goes when this is dropped.
#[derive(Debug)]
struct Home(PathBuf);

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the served disk says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told {
    /// Writes and flushes so far.
    pub point: u64,
    pub flushes: u64,
    /// Of the last cut.
    pub cut: u64,
    pub pending: u64,
    pub arrived: u64,
    pub fingerprint: u64,
}

impl Volume {
    /// Serves a disk with a new file system, or with the contents of the file `from`. To be
    /// called while the process has one thread.
    ///
    /// # Errors
    /// What keeps the rig from working.
    pub fn new(kind: Kind, sector: usize, from: Option<&Path>) -> Result<Volume, String> {
        clear_stale();
        let name = format!("{PREFIX}{}", std::process::id());
        let home = Home(std::env::temp_dir().join(name));
        for name in [SERVED, MOUNTED] {
            let made = fs::create_dir_all(home.0.join(name));
            made.map_err(|e| format!("{}: {e}", home.0.display()))?;
        }
        let blocks = match from {
            Some(path) => File::open(path).and_then(|file| Blocks::load(&file)),
            None => Ok(make(kind, &home.0.join("fresh.img"))?),
        };
        let blocks = blocks.map_err(|e| format!("reading a disk: {e}"))?;
        let served = Served::new(blocks, kind.size(), sector);
        let at = home.0.join(SERVED);
        let server = Server::start(served, &at, |_| {});
        let server = server.map_err(|e| format!("serving: {e}"))?;
        let watchdog = Watchdog::start(server.pid());
        let ready = server.wait_for(CONTROL);
        ready.map_err(|e| format!("serving: {e}"))?;
        Ok(Volume {
            kind,
            watchdog,
            _server: server,
            home,
        })
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.home.0.join(MOUNTED)
    }

    /// The disk as a file.
    pub fn disk(&self) -> PathBuf {
        self.home.0.join(SERVED).join(DISK)
    }

    /// Tells the served disk what to do.
    ///
    /// # Errors
    /// What the system says.
    pub fn order(&self, word: &str, slot: usize, seed: u64) -> Result<(), String> {
        let control = self.home.0.join(SERVED).join(CONTROL);
        let told = fs::write(control, format!("{word} {slot} {seed}"));
        told.map_err(|e| format!("telling the disk to {word}: {e}"))
    }

    /// Asks it.
    ///
    /// # Errors
    /// What the system says.
    pub fn ask(&self) -> Result<Told, String> {
        let told = fs::read_to_string(self.home.0.join(SERVED).join(CONTROL));
        let told = told.map_err(|e| format!("asking the disk: {e}"))?;
        let mut numbers = told.split_whitespace().map(|n| n.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Ok(Told {
            point: next(),
            flushes: next(),
            cut: next(),
            pending: next(),
            arrived: next(),
            fingerprint: next(),
        })
    }

    /// Mounts what is on the disk.
    ///
    /// # Errors
    /// What the kernel says, which begins with [`UNMOUNTABLE`].
    pub fn mount(&self) -> Result<Mounted<'_>, String> {
        self.watchdog.alive();
        // The loop device is let go of by the unmount.
        let mut mount = Command::new("mount");
        mount.args(["-n", "-t", self.kind.name(), "-o", "loop"]);
        let output = mount.arg(self.disk()).arg(self.root()).output();
        let output = output.map_err(|e| format!("mount: {e}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(format!("{UNMOUNTABLE}: {said}"));
        }
        Ok(Mounted { volume: self })
    }
}

const SERVED: &str = "served";
const MOUNTED: &str = "mounted";

/// A mounted file system, until this is dropped.
#[derive(Debug)]
pub struct Mounted<'a> {
    volume: &'a Volume,
}

impl Mounted<'_> {
    /// Unmounts it.
    ///
    /// # Errors
    /// What the system says.
    pub fn unmount(self) -> Result<(), String> {
        self.volume.watchdog.alive();
        umount(&self.volume.root()).map_err(|e| format!("unmounting: {e}"))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // After `unmount` there is none, and that is fine.
        let _ = umount2(&self.volume.root(), MntFlags::MNT_DETACH);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.watchdog.stop();
        let _ = umount2(&self.root(), MntFlags::MNT_DETACH);
    }
}

fn make(kind: Kind, path: &Path) -> Result<Blocks, String> {
    let said = |e: std::io::Error| format!("{}: {e}", path.display());
    let file = File::create_new(path).map_err(said)?;
    file.set_len(kind.size()).map_err(said)?;
    let (program, options) = kind.mkfs();
    let output = Command::new(program).args(options).arg(path).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program}: {}", words.trim()));
    }
    let blocks = File::open(path).and_then(|file| Blocks::load(&file));
    let blocks = blocks.map_err(said);
    let _ = fs::remove_file(path);
    blocks
}

/// Lets go of what a rig that was killed may have left: loop devices on a disk that nobody serves,
/// and directories.
fn clear_stale() {
    let is_stale = |path: &str| {
        let pid = path.split(PREFIX).nth(1).unwrap_or_default();
        let pid = pid.split('/').next().unwrap_or_default();
        !pid.is_empty() && !Path::new("/proc").join(pid).exists()
    };
    for device in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = fs::read_to_string(device.path().join("loop/backing_file"));
        if file.is_ok_and(|file| is_stale(&file)) {
            let node = Path::new("/dev").join(device.file_name());
            let _ = Command::new("losetup").arg("-d").arg(node).status();
        }
    }
    let left = fs::read_dir(std::env::temp_dir());
    for entry in left.into_iter().flatten().flatten() {
        if entry.path().to_str().is_some_and(is_stale) {
            // What is mounted there is gone with its namespace.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
