//! A seeded disk that loses power, tears sectors, fails syncs and fills up.
//!
//! [`SimDisk`] keeps a directory tree in memory and remembers for every byte and every name
//! whether it is durable. A power loss then leaves any state that a correct disk and file
//! system could leave, chosen by the seed: so a bug that loses data on one disk in a million
//! is found on a laptop in seconds, and found again by the same seed.
//!
//! What is modelled, and is meant to be as unkind as the standards allow:
//! - **Bytes.** Un-synced writes are tracked by sectors of 512 bytes. Each survives or not on
//!   its own, in any of the states it had since the last sync; it may be torn at any byte or
//!   be garbage, and may garble its block of 4096 bytes, if the [`CrashModel`] says so.
//!   Lengths survive on their own; bytes gained without their sectors are zeros.
//! - **Names.** Created, renamed and removed names are pending until their directory is synced.
//! - **Failed syncs.** They mark sectors clean without making them durable. The process goes
//!   on to see its bytes and later syncs succeed; a power loss brings the old ones back.
//! - **Time.** A sync can be held for as long as one likes ([`SimDisk::hold_syncs`]).
//! - **Space.** A full disk cuts a write at any byte. Overwriting what has space needs none.
//! - **Death.** A kill keeps everything visible. After a kill or a power loss, every handle of
//!   the dead process fails for good, so that threads it left behind cannot touch the disk.
//!
//! A recording keeps every state of a run, and each moment of it can be made into every crash
//! state it has, one by one ([`SimDisk::start_recording`]).
//!
//! What is not: links, permissions, directories as targets of a rename, sectors that
//! rot without being told to ([`SimDisk::rot`]).
//!
//! ```
//! use std::path::Path;
//! use turnkeep::storage::sim::{CrashModel, SimDisk};
//! use turnkeep::storage::{OpenMode, Storage};
//!
//! let disk = SimDisk::new(7);
//! let file = disk.open(Path::new("/turns"), OpenMode::CreateNew)?;
//! file.write_all_at(b"acknowledged", 0)?;
//! file.sync_data()?;
//! disk.sync_dir(Path::new("/"))?;
//! file.write_all_at(b"in flight...", 512)?;
//! disk.power_loss(&CrashModel::default());
//! assert!(file.size().is_err());
//! disk.restart();
//! assert!(disk.read_file("/turns")?.starts_with(b"acknowledged"));
//! # Ok::<(), std::io::Error>(())
//! ```

mod content;
mod crash;
mod disk;
mod faults;
mod file;
mod handles;
mod moment;
mod names;
mod ranges;
mod rng;
mod tree;

pub use crash::{CrashModel, Keep, NameModel};
pub use faults::{FaultError, OpKind, is_powered_off};
pub use moment::{Harm, Moment, Pending};

use crate::sync::{Condvar, Mutex};
use disk::{Node, ROOT, State};
use file::FileNode;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A machine with one disk, in memory.
///
/// The handle made by [`SimDisk::new`] or [`SimDisk::fork`] is the machine itself and never
/// dies. A clone is what a process has of it: it belongs to the life in which it was cloned,
/// and as a [`Storage`](super::Storage) it is dead after the next [`SimDisk::kill`] or
/// [`SimDisk::restart`]. So give each engine under test a fresh clone. The methods below,
/// which stand for the world outside the process, work through any handle at any time.
pub struct SimDisk {
    shared: Arc<Shared>,
    /// The life that this handle belongs to; `None` for the machine itself.
    life: Option<u64>,
}

struct Shared {
    /// Held for the length of one operation.
    state: Mutex<State>,
    /// Whether syncs of files wait, and how many do.
    held: Mutex<Held>,
    released: Condvar,
}

#[derive(Default)]
struct Held {
    holds: bool,
    waiting: usize,
}

impl Clone for SimDisk {
    fn clone(&self) -> Self {
        SimDisk {
            shared: self.shared.clone(),
            life: Some(self.shared.state.lock().life),
        }
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("SimDisk")
            .field("handle_of", &self.life)
            .field("life", &state.life)
            .field("off", &state.off)
            .field("nodes", &state.nodes.len())
            .field("used_bytes", &state.used)
            .field("counters", &state.counters)
            .finish()
    }
}

impl SimDisk {
    /// A machine that is on, with an empty root directory. Whatever chance decides on it
    /// follows from `seed` and the order of operations.
    pub fn new(seed: u64) -> Self {
        SimDisk::machine(State::new(seed))
    }

    fn machine(state: State) -> Self {
        SimDisk {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                held: Mutex::new(Held::default()),
                released: Condvar::new(),
            }),
            life: None,
        }
    }

    /// A copy of the machine in the state it is in: on or off, locks held, faults waiting.
    /// No handle leads to the copy's process, so what continues on the copy begins with
    /// [`SimDisk::kill`] or a power loss. Costs little: bytes are shared until written.
    pub fn fork(&self) -> SimDisk {
        let mut state = self.shared.state.lock().clone();
        state.handles.clear();
        state.tape = None;
        SimDisk::machine(state)
    }

    /// Chooses differently from here on: with [`SimDisk::fork`], many crash states of one run.
    pub fn reseed(&self, seed: u64) {
        self.shared.state.lock().rng = rng::Rng::new(seed);
    }

    /// Turns the power off now, if it is not off already. `model` says what the next
    /// [`SimDisk::restart`] may find, also if the power was already off.
    pub fn power_loss(&self, model: &CrashModel) {
        let mut state = self.shared.state.lock();
        state.model = *model;
        state.off = true;
        state.armed = None;
    }

    /// Lets `after_ops` more operations complete and turns the power off in the middle of the
    /// next one. Only operations that may change the disk count: a loss during a read leaves
    /// what one before the next change leaves. That operation and every later one fail (see
    /// [`is_powered_off`]), until [`SimDisk::restart`].
    ///
    /// The model is the one last given to [`SimDisk::power_loss`], else the default; calling
    /// that after the run sets it.
    pub fn arm_power_loss(&self, after_ops: u64) {
        self.shared.state.lock().armed = Some(after_ops);
    }

    /// Takes back [`SimDisk::arm_power_loss`], if the power is still on.
    pub fn disarm(&self) {
        self.shared.state.lock().armed = None;
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.shared.state.lock().off
    }

    /// Turns the power on again, first off if it was on. What is on the disk is now one of the
    /// states that the crash model allows, and all of it is durable. All handles from before
    /// stay dead and their locks are released. Waiting faults keep waiting.
    pub fn restart(&self) {
        let mut state = self.shared.state.lock();
        state.crash();
        state.off = false;
        state.armed = None;
        state.end_process();
    }

    /// Ends the process, not the machine: everything written stays visible and as durable as it
    /// was, all handles are dead, locks are released.
    pub fn kill(&self) {
        self.shared.state.lock().end_process();
    }

    /// Makes the `nth` operation of `kind` from now (1 is the next) fail with `error`, an
    /// [`io::ErrorKind`] or a raw system error number; if `sticky`, all later ones too, until
    /// [`SimDisk::clear_faults`].
    pub fn fail_nth(&self, kind: OpKind, nth: u64, error: impl Into<FaultError>, sticky: bool) {
        assert!(nth > 0, "operations are counted from 1");
        let mut state = self.shared.state.lock();
        state.faults.add(kind, nth - 1, error.into(), sticky);
    }

    /// Forgets all faults, waiting and sticky.
    pub fn clear_faults(&self) {
        self.shared.state.lock().faults.clear();
    }

    /// How many operations failed on request so far.
    pub fn faults_met(&self) -> u64 {
        self.shared.state.lock().faults.met
    }

    /// Limits the space for bytes of files to `bytes`; `None` is no limit. Space is taken by
    /// the bytes written, not by lengths, and given back when a file is removed or shortened.
    pub fn set_capacity(&self, bytes: impl Into<Option<u64>>) {
        self.shared.state.lock().capacity = bytes.into();
    }

    /// The space taken by the bytes of files.
    pub fn used_bytes(&self) -> u64 {
        self.shared.state.lock().used
    }

    /// What [`Storage::overwrites_in_place`](super::Storage::overwrites_in_place) says.
    pub fn set_overwrites_in_place(&self, overwrites: bool) {
        self.shared.state.lock().overwrites_in_place = overwrites;
    }

    /// Lets time pass. (Each operation takes a millisecond.)
    pub fn advance_ms(&self, ms: u64) {
        self.shared.state.lock().clock_ms += ms;
    }

    /// From here on no sync of a file comes to its end, until [`SimDisk::release_syncs`]: a disk
    /// that takes its time. Everything else goes on meanwhile.
    pub fn hold_syncs(&self) {
        self.shared.held.lock().holds = true;
    }

    /// Lets the syncs go on that wait, and all later ones.
    pub fn release_syncs(&self) {
        self.shared.held.lock().holds = false;
        self.shared.released.notify_all();
    }

    /// How many syncs wait.
    pub fn held_syncs(&self) -> usize {
        self.shared.held.lock().waiting
    }

    /// Flips the bits `xor` of the byte at `offset`: on the medium, and for every reader.
    ///
    /// # Errors
    /// `NotFound` without such a file, `UnexpectedEof` without such a byte.
    pub fn rot(&self, path: impl AsRef<Path>, offset: u64, xor: u8) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        let id = state.walk(path.as_ref())?;
        state.file(id)?;
        let mut there = false;
        state.change(id, |file, _| there = file.rot(offset, xor))?;
        match there {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// All bytes of a file, as a process would see them.
    ///
    /// # Errors
    /// `NotFound` or `IsADirectory`.
    pub fn read_file(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let state = self.shared.state.lock();
        Ok(state.file(state.walk(path.as_ref())?)?.volatile.to_vec())
    }

    /// Puts a file in place, replacing what has the name; both are durable at once. Handles to
    /// the file replaced keep that one.
    ///
    /// # Errors
    /// If the directory is missing, or the name is a directory's.
    pub fn write_file(&self, path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        let (dir, name) = state.parent(path.as_ref())?;
        let replaced = state.walk(path.as_ref()).ok();
        if let Some(replaced) = replaced {
            state.file(replaced)?;
            state.unlinked(replaced);
        }
        let id = state.add(Node::File(Arc::new(FileNode::settled(dir, bytes))));
        state.used += bytes.len() as u64;
        state.dir_mut(dir)?.settle(name, Some(id));
        replaced.into_iter().for_each(|id| state.reap(id));
        Ok(())
    }

    /// Removes a file, durably at once.
    ///
    /// # Errors
    /// `NotFound` or `IsADirectory`.
    pub fn remove_file(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        let (dir, name) = state.parent(path.as_ref())?;
        let id = state.walk(path.as_ref())?;
        state.file(id)?;
        state.unlinked(id);
        state.dir_mut(dir)?.settle(name, None);
        state.reap(id);
        Ok(())
    }

    /// The names of the files in a directory, sorted, as a process would see them.
    ///
    /// # Errors
    /// `NotFound` or `NotADirectory`.
    pub fn list_files(&self, dir: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let state = self.shared.state.lock();
        let entries = &state.dir(state.walk(dir.as_ref())?)?.volatile;
        let files = entries.iter().filter(|(_, id)| state.file(**id).is_ok());
        Ok(files.map(|(name, _)| name.clone()).collect())
    }

    /// How many operations that may change the disk were begun.
    pub fn ops(&self) -> u64 {
        self.shared.state.lock().counters.ops
    }

    /// How many times a file was synced, or was to be.
    pub fn syncs(&self) -> u64 {
        self.shared.state.lock().counters.syncs
    }

    /// How many times a directory was synced, or was to be.
    pub fn dir_syncs(&self) -> u64 {
        self.shared.state.lock().counters.dir_syncs
    }

    /// How many writes there were, whether they succeeded or not. Stores to pages are none.
    pub fn writes(&self) -> u64 {
        self.shared.state.lock().counters.writes
    }

    /// How many bytes were written to files, by writes.
    pub fn bytes_written(&self) -> u64 {
        self.shared.state.lock().counters.bytes_written
    }

    /// Hash of all durable names and bytes: equal states have equal hashes.
    pub fn state_hash(&self) -> u64 {
        self.shared.state.lock().hash(ROOT)
    }
}

#[cfg(test)]
mod tests;
