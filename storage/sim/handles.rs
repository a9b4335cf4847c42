//! The handles that a process gets: each belongs to the life it was made in.

use super::disk::State;
use super::faults::powered_off;
use super::{Shared, SimDisk};
use crate::storage::{
    DirEntry, File, Holder, Lock, LockError, Map, OpenMode, PAGE_LEN, Page, Storage, lock,
};
use crate::sync::{MutexGuard, wait};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Shared {
    /// The machine, for a handle of the given life, if it is on and that life goes on.
    fn enter(&self, life: Option<u64>) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.off || life.is_some_and(|life| life != state.life) {
            return Err(powered_off());
        }
        Ok(state)
    }
}

impl Shared {
    fn wait_while_held(&self) {
        let mut held = self.held.lock();
        held.waiting += 1;
        while held.holds {
            wait(&self.released, &mut held);
        }
        held.waiting -= 1;
    }
}

impl Storage for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.shared.enter(self.life)?.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.shared.enter(self.life)?.list(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.shared.enter(self.life)?;
        Ok(Arc::new(SimFile {
            id: state.open(path, mode)?,
            life: state.life,
            writable: mode != OpenMode::Read,
            shared: self.shared.clone(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.enter(self.life)?.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.shared.enter(self.life)?.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.shared.enter(self.life)?.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.shared.enter(self.life)?.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        let mut state = self.shared.enter(self.life).map_err(LockError::Io)?;
        match state.lock(path) {
            Ok(id) => {
                // Not this process's own id: the same seed has to give the same bytes.
                let text = lock::text(simulated_pid(state.life), None, "sim");
                let mut there = text;
                let file = state.file(id).map_err(LockError::Io)?;
                let len = file.volatile.read(&mut there, 0);
                if there[..len] != text {
                    state.keep_moment(None);
                    state.store(id, &text, 0).map_err(LockError::Io)?;
                }
                Ok(Box::new(SimLock {
                    id,
                    life: state.life,
                    shared: self.shared.clone(),
                }))
            }
            Err(Some(error)) => Err(LockError::Io(error)),
            Err(None) => {
                let holder = state.walk(path).and_then(|id| holder(&state, id));
                Err(LockError::Held(holder.unwrap_or_default()))
            }
        }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let state = self.shared.enter(self.life)?;
        state.walk(path)?;
        let capacity = state.capacity.unwrap_or(1 << 40);
        Ok(capacity.saturating_sub(state.used))
    }

    fn overwrites_in_place(&self, path: &Path) -> bool {
        let state = self.shared.enter(self.life);
        state.is_ok_and(|state| state.overwrites_in_place && state.walk(path).is_ok())
    }

    fn entropy(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        self.shared.enter(self.life)?.rng.fill(&mut bytes);
        Ok(bytes)
    }

    fn unix_ms(&self) -> u64 {
        self.shared.state.lock().clock_ms
    }
}

fn simulated_pid(life: u64) -> u32 {
    life as u32 + 1
}

fn holder(state: &State, id: u64) -> io::Result<Holder> {
    let mut text = [0; lock::TEXT_LEN];
    let len = state.file(id)?.volatile.read(&mut text, 0);
    Ok(lock::parse(&text[..len]))
}

struct SimFile {
    shared: Arc<Shared>,
    life: u64,
    id: u64,
    writable: bool,
}

impl SimFile {
    fn enter(&self) -> io::Result<MutexGuard<'_, State>> {
        self.shared.enter(Some(self.life))
    }

    fn enter_writable(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.enter()?;
        if !self.writable {
            let why = "the file is open for reading only";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        Ok(state)
    }
}

impl File for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.enter()?.file(self.id)?.volatile.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.enter()?.read(self.id, buf, offset)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.enter_writable()?.write(self.id, buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.wait_while_held();
        self.enter()?.sync_data(self.id)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.enter_writable()?.set_len(self.id, len)
    }

    fn map(&self) -> io::Result<Arc<dyn Map>> {
        Ok(Arc::new(SimMap(self.enter()?.map(self.id)?)))
    }

    fn page(&self) -> io::Result<Arc<dyn Page>> {
        self.enter_writable()?.page(self.id)?;
        Ok(Arc::new(SimPage(SimFile {
            shared: self.shared.clone(),
            ..*self
        })))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.life == self.life {
            state.close(self.id);
        }
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile")
            .field("node", &self.id)
            .field("life", &self.life)
            .field("writable", &self.writable)
            .finish()
    }
}

/// The bytes as they were when they were mapped.
struct SimMap(Arc<[u8]>);

impl Map for SimMap {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SimMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimMap")
            .field("len", &self.0.len())
            .finish()
    }
}

/// Keeps the file open, as a map does.
#[derive(Debug)]
struct SimPage(SimFile);

impl Page for SimPage {
    fn store(&self, offset: usize, bytes: &[u8]) {
        assert!(
            offset.is_multiple_of(8) && bytes.len().is_multiple_of(8),
            "a page is stored to in whole words"
        );
        assert!(
            offset <= PAGE_LEN && bytes.len() <= PAGE_LEN - offset,
            "a store stays within its page"
        );
        // The store of a process that is gone reaches nothing.
        if let Ok(mut state) = self.0.enter() {
            state.keep_moment(None);
            let _ = state.store(self.0.id, bytes, offset as u64);
        }
    }
}

struct SimLock {
    shared: Arc<Shared>,
    life: u64,
    id: u64,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.life == self.life {
            state.locked.remove(&self.id);
        }
    }
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimLock")
            .field("node", &self.id)
            .field("life", &self.life)
            .finish()
    }
}
