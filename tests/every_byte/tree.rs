//! A disk of trees in memory, made for being copied: files are shared until somebody writes.
//!
//! Nothing here fails and nothing waits, so a damage costs what the engine costs. Zeros at the end
//! of a file take no memory, since prepared segments are mostly that.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use turnkeep::storage::{DirEntry, File, Lock, LockError, Map, OpenMode, PAGE_LEN, Page, Storage};

/// The files of one directory, by name.
pub type Files = BTreeMap<String, Arc<Vec<u8>>>;

/// What a file holds: these bytes, then zeros up to its length.
#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Arc<Vec<u8>>,
    len: usize,
}

impl Content {
    fn read(&self, buf: &mut [u8], offset: usize) -> usize {
        let want = buf.len().min(self.len.saturating_sub(offset));
        let from = offset.min(self.bytes.len());
        let have = want.min(self.bytes.len() - from);
        buf[..have].copy_from_slice(&self.bytes[from..from + have]);
        buf[have..want].fill(0);
        want
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.len = self.len.max(end);
        if end > self.bytes.len() && is_zero(bytes) && offset >= self.bytes.len() {
            return;
        }
        let own = Arc::make_mut(&mut self.bytes);
        if own.len() < end {
            own.resize(end, 0);
        }
        own[offset..end].copy_from_slice(bytes);
    }

    fn whole(&self) -> Arc<Vec<u8>> {
        if self.bytes.len() == self.len {
            return self.bytes.clone();
        }
        let mut bytes = self.bytes.to_vec();
        bytes.resize(self.len, 0);
        Arc::new(bytes)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes
        .chunks(4096)
        .all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// An open file.
#[derive(Clone, Debug, Default)]
struct Node(Arc<RwLock<Content>>);

impl Node {
    fn of(bytes: &Arc<Vec<u8>>) -> Node {
        let len = bytes.len();
        let bytes = bytes.clone();
        Node(Arc::new(RwLock::new(Content { bytes, len })))
    }

    fn look<T>(&self, look: impl FnOnce(&Content) -> T) -> T {
        look(&self.0.read().expect("nobody panics while writing"))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        change(&mut self.0.write().expect("nobody panics while writing"))
    }
}

#[derive(Debug)]
struct WholeFile(Arc<Vec<u8>>);

impl Map for WholeFile {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Page for Node {
    fn store(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= PAGE_LEN);
        self.change(|content| content.write(bytes, offset));
    }
}

impl File for Node {
    fn size(&self) -> io::Result<u64> {
        Ok(self.look(|content| content.len) as u64)
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        Ok(self.look(|content| content.read(buf, offset)))
    }
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.change(|content| content.write(buf, offset as usize));
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|content| {
            content.len = len as usize;
            if content.bytes.len() > content.len {
                Arc::make_mut(&mut content.bytes).truncate(len as usize);
            }
        });
        Ok(())
    }
    fn map(&self) -> io::Result<Arc<dyn Map>> {
        Ok(Arc::new(WholeFile(self.look(Content::whole))))
    }
    fn page(&self) -> io::Result<Arc<dyn Page>> {
        match self.look(|content| content.len) {
            len if len >= PAGE_LEN => Ok(Arc::new(self.clone())),
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }
}

/// The disk: directories of files, one level deep but for `quarantine`.
#[derive(Debug, Default)]
pub struct Tree {
    dirs: Mutex<BTreeMap<PathBuf, BTreeMap<String, Node>>>,
    drawn: Mutex<u8>,
}

impl Tree {
    /// A disk with one directory; `seed` is where its random ids begin.
    pub fn new(path: &Path, files: &Files, seed: u8) -> Arc<Tree> {
        let nodes = files
            .iter()
            .map(|(name, bytes)| (name.clone(), Node::of(bytes)));
        let mut dirs = BTreeMap::from([(PathBuf::from("/"), BTreeMap::new())]);
        if !files.is_empty() {
            dirs.insert(path.to_path_buf(), nodes.collect());
        }
        Arc::new(Tree {
            dirs: Mutex::new(dirs),
            drawn: Mutex::new(seed),
        })
    }

    /// What a directory holds now.
    pub fn files(&self, path: &Path) -> Files {
        let dirs = self.dirs.lock().expect("nobody panics");
        let nodes = dirs.get(path).into_iter().flatten();
        let files = nodes.map(|(name, node)| (name.clone(), node.look(Content::whole)));
        files.collect()
    }

    fn within<T>(
        &self,
        path: &Path,
        act: impl FnOnce(&mut BTreeMap<String, Node>, &str) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut dirs = self.dirs.lock().expect("nobody panics");
        let parent = path.parent().unwrap_or(Path::new("/"));
        let dir = dirs.get_mut(parent).ok_or(ErrorKind::NotFound)?;
        let name = path.file_name().and_then(|name| name.to_str());
        act(dir, name.ok_or(ErrorKind::InvalidInput)?)
    }
}

#[derive(Debug)]
struct Held;

impl Lock for Held {}

impl Storage for Tree {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut dirs = self.dirs.lock().expect("nobody panics");
        match dirs.contains_key(path) {
            true => Err(ErrorKind::AlreadyExists.into()),
            false => {
                dirs.insert(path.to_path_buf(), BTreeMap::new());
                Ok(())
            }
        }
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dirs = self.dirs.lock().expect("nobody panics");
        let dir = dirs.get(path).ok_or(ErrorKind::NotFound)?;
        let entry = |name: &String, is_file| DirEntry {
            name: name.clone(),
            is_file,
        };
        Ok(dir.keys().map(|name| entry(name, true)).collect())
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        self.within(path, |dir, name| match (mode, dir.get(name)) {
            (OpenMode::CreateNew, Some(_)) => Err(ErrorKind::AlreadyExists.into()),
            (OpenMode::CreateNew, None) => {
                let node = dir.entry(name.to_owned()).or_default();
                Ok(Arc::new(node.clone()) as Arc<dyn File>)
            }
            (_, Some(node)) => Ok(Arc::new(node.clone()) as Arc<dyn File>),
            (_, None) => Err(ErrorKind::NotFound.into()),
        })
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.within(from, |dir, name| {
            dir.remove(name).ok_or(ErrorKind::NotFound.into())
        })?;
        self.within(to, |dir, name| {
            dir.insert(name.to_owned(), node);
            Ok(())
        })
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.within(path, |dir, name| {
            dir.remove(name).map(drop).ok_or(ErrorKind::NotFound.into())
        })
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        let taken = self.within(path, |dir, name| {
            dir.entry(name.to_owned()).or_default();
            Ok(())
        });
        taken.map_err(LockError::Io)?;
        Ok(Box::new(Held))
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
    fn overwrites_in_place(&self, _: &Path) -> bool {
        true
    }
    fn entropy(&self) -> io::Result<[u8; 16]> {
        let mut drawn = self.drawn.lock().expect("nobody panics");
        *drawn = drawn.wrapping_add(1);
        Ok(std::array::from_fn(|n| {
            drawn.wrapping_mul(31).wrapping_add(n as u8 * 7)
        }))
    }
    fn unix_ms(&self) -> u64 {
        1_700_000_000_000
    }
}
