//! The simulated disk and the real one answer the same script with the same words.
//!
//! Whatever is proved on the simulated disk is worth as much as its likeness to a real one.
//! So the same random operations run on both, and every result is compared: values, lengths,
//! bytes, and the kind of each error.

use super::sim::SimDisk;
use super::{DirEntry, DiskStorage, File, Lock, LockError, Map, OpenMode, PAGE_LEN, Page, Storage};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SCRIPTS: u64 = 150;
const STEPS: usize = 120;

/// What an operation answered, in a form that can be compared.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Number(u64),
    Bytes(Vec<u8>),
    Entries(Vec<(String, bool)>),
    Held,
    Failed(io::ErrorKind),
    /// Writing by a handle for reading: systems differ in the word for it.
    Refused,
}

fn answer<T>(result: io::Result<T>, with: impl FnOnce(T) -> Answer) -> Answer {
    match result {
        Ok(value) => with(value),
        Err(e) => Answer::Failed(e.kind()),
    }
}

/// One of the disks with everything that the script has open on it.
struct Side<'a> {
    storage: &'a dyn Storage,
    root: PathBuf,
    files: Vec<(Arc<dyn File>, OpenMode)>,
    pages: Vec<Arc<dyn Page>>,
    maps: Vec<Arc<dyn Map>>,
    locks: Vec<Box<dyn Lock>>,
}

/// One operation; paths and handles are numbers that both sides resolve for themselves.
#[derive(Clone, Debug)]
enum Op {
    CreateDir(String),
    List(String),
    Open(String, OpenMode),
    Close(usize),
    Rename(String, String),
    Remove(String),
    RemoveDir(String),
    SyncDir(String),
    Lock(String),
    Unlock(usize),
    Size(usize),
    Read(usize, u64, usize),
    Write(usize, u64, Vec<u8>),
    SyncData(usize),
    SetLen(usize, u64),
    Map(usize),
    MapBytes(usize),
    Page(usize),
    Store(usize, usize, Vec<u8>),
}

/// The script's own dice; any will do.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % bound
    }

    fn path(&mut self) -> String {
        let dir = ["", "", "", "sub/", "absent/", "f/"][self.below(6)];
        let name = ["a", "b", "c", "f", "sub"][self.below(5)];
        format!("{dir}{name}")
    }

    fn dir(&mut self) -> String {
        ["", "sub", "absent", "f"][self.below(4)].to_owned()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let first = self.below(256);
        (0..len).map(|i| (first + i * 7) as u8).collect()
    }

    fn op(&mut self) -> Op {
        let handle = self.below(6);
        match self.below(31) {
            0 => Op::CreateDir(self.path()),
            1 => Op::List(self.dir()),
            2..=4 => Op::Open(self.path(), OpenMode::CreateNew),
            5 => Op::Open(self.path(), OpenMode::Read),
            6 | 7 => Op::Open(self.path(), OpenMode::ReadWrite),
            8 => Op::Close(handle),
            9 | 10 => Op::Rename(self.path(), self.path()),
            11 => Op::Remove(self.path()),
            12 => Op::SyncDir(self.dir()),
            // Names of their own: a lock's words differ, so nobody else may read the file.
            13 => Op::Lock(["LOCK", "sub/LOCK", "absent/LOCK"][self.below(3)].to_owned()),
            14 => Op::Unlock(handle),
            15 => Op::Size(handle),
            16..=18 => Op::Read(handle, self.below(9000) as u64, self.below(5000)),
            19..=22 => {
                let len = self.below(5000);
                Op::Write(handle, self.below(9000) as u64, self.bytes(len))
            }
            23 => Op::SyncData(handle),
            24 | 25 => Op::SetLen(handle, self.below(9000) as u64),
            26 => Op::Map(handle),
            27 => Op::MapBytes(handle),
            28 => Op::Page(handle),
            29 => Op::RemoveDir(self.path()),
            _ => {
                let offset = 8 * self.below(PAGE_LEN / 8);
                let len = 8 * self.below((PAGE_LEN - offset) / 8 + 1);
                Op::Store(handle, offset, self.bytes(len))
            }
        }
    }
}

impl Side<'_> {
    fn new<'a>(storage: &'a dyn Storage, root: &Path) -> Side<'a> {
        Side {
            storage,
            root: root.to_owned(),
            files: Vec::new(),
            pages: Vec::new(),
            maps: Vec::new(),
            locks: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn run(&mut self, op: &Op) -> Answer {
        let done = |()| Answer::Done;
        match op {
            Op::CreateDir(name) => answer(self.storage.create_dir(&self.path(name)), done),
            Op::List(name) => answer(self.storage.list(&self.path(name)), entries),
            Op::Open(name, mode) => match self.storage.open(&self.path(name), *mode) {
                Ok(file) => {
                    self.files.push((file, *mode));
                    Answer::Done
                }
                Err(e) => Answer::Failed(e.kind()),
            },
            Op::Rename(from, to) => {
                let renamed = self.storage.rename(&self.path(from), &self.path(to));
                answer(renamed, done)
            }
            Op::Remove(name) => answer(self.storage.remove(&self.path(name)), done),
            Op::RemoveDir(name) => answer(self.storage.remove_dir(&self.path(name)), done),
            Op::SyncDir(name) => answer(self.storage.sync_dir(&self.path(name)), done),
            Op::Lock(name) => match self.storage.lock(&self.path(name)) {
                Ok(lock) => {
                    self.locks.push(lock);
                    Answer::Done
                }
                Err(LockError::Held(_)) => Answer::Held,
                Err(LockError::Io(e)) => Answer::Failed(e.kind()),
            },
            Op::Unlock(n) => {
                if *n < self.locks.len() {
                    self.locks.remove(*n);
                }
                Answer::Done
            }
            Op::MapBytes(n) => {
                let map = self.maps.get(*n);
                map.map_or(Answer::Done, |map| Answer::Number(map.bytes().len() as u64))
            }
            Op::Store(n, offset, bytes) => {
                if let Some(page) = self.pages.get(*n) {
                    page.store(*offset, bytes);
                }
                Answer::Done
            }
            Op::Close(n)
            | Op::Size(n)
            | Op::Read(n, ..)
            | Op::Write(n, ..)
            | Op::SyncData(n)
            | Op::SetLen(n, _)
            | Op::Map(n)
            | Op::Page(n) => match self.files.get(*n).cloned() {
                Some((file, mode)) => self.run_on(op, *n, file.as_ref(), mode),
                None => Answer::Done,
            },
        }
    }

    fn run_on(&mut self, op: &Op, n: usize, file: &dyn File, mode: OpenMode) -> Answer {
        let done = |()| Answer::Done;
        let changed = |result: io::Result<()>| match result {
            Err(_) if mode == OpenMode::Read => Answer::Refused,
            result => answer(result, done),
        };
        match op {
            Op::Close(_) => {
                self.files.remove(n);
                Answer::Done
            }
            Op::Size(_) => answer(file.size(), Answer::Number),
            Op::Read(_, offset, len) => {
                let mut buf = vec![0; *len];
                answer(file.read_at(&mut buf, *offset), |read| {
                    Answer::Bytes(buf[..read].to_vec())
                })
            }
            // Nothing may shorten a file under a page or map, which the engine never does.
            Op::SetLen(_, len) if self.pages.is_empty() && self.maps.is_empty() => {
                changed(file.set_len(*len))
            }
            Op::Write(_, _, bytes) if mode == OpenMode::Read && bytes.is_empty() => Answer::Done,
            Op::Write(_, offset, bytes) => changed(file.write_all_at(bytes, *offset)),
            Op::SyncData(_) => answer(file.sync_data(), done),
            Op::Map(_) => match file.map() {
                Ok(map) => {
                    let bytes = map.bytes().to_vec();
                    self.maps.push(map);
                    Answer::Bytes(bytes)
                }
                Err(e) => Answer::Failed(e.kind()),
            },
            Op::Page(_) => match file.page() {
                Ok(page) => {
                    self.pages.push(page);
                    Answer::Done
                }
                Err(_) if mode == OpenMode::Read => Answer::Refused,
                Err(e) => Answer::Failed(e.kind()),
            },
            _ => Answer::Done,
        }
    }

    /// Every name and every byte, but for those of locks: the holder's words differ.
    fn everything(&self, dir: &str) -> Vec<(String, Vec<u8>)> {
        let mut all = Vec::new();
        for entry in self.storage.list(&self.path(dir)).unwrap() {
            let name = if dir.is_empty() {
                entry.name
            } else {
                format!("{dir}/{}", entry.name)
            };
            if name.ends_with("LOCK") {
                all.push((name, Vec::new()));
            } else if entry.is_file {
                let file = self
                    .storage
                    .open(&self.path(&name), OpenMode::Read)
                    .unwrap();
                let mut bytes = vec![0; file.size().unwrap() as usize];
                file.read_at(&mut bytes, 0).unwrap();
                all.push((name, bytes));
            } else {
                all.extend(self.everything(&name));
                all.push((name + "/", Vec::new()));
            }
        }
        all.sort();
        all
    }
}

fn entries(listed: Vec<DirEntry>) -> Answer {
    let mut listed: Vec<_> = listed.into_iter().map(|e| (e.name, e.is_file)).collect();
    listed.sort();
    Answer::Entries(listed)
}

/// Runs one script on both disks, and says how often both did what was asked.
fn compare(seed: u64) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let sim = SimDisk::new(seed);
    let mut real = Side::new(&DiskStorage, dir.path());
    let mut simulated = Side::new(&sim, Path::new("/"));
    let mut dice = Dice(seed);
    let mut done = 0;
    for step in 0..STEPS {
        let op = dice.op();
        if let Op::Rename(from, to) = &op
            && (is_directory(&real, from) || is_directory(&real, to))
        {
            continue; // The simulated disk renames files only.
        }
        let expected = real.run(&op);
        let found = simulated.run(&op);
        assert_eq!(found, expected, "seed {seed} step {step}: {op:?}");
        done += usize::from(!matches!(found, Answer::Failed(_) | Answer::Refused));
    }
    let same = real.everything("") == simulated.everything("");
    assert!(same, "seed {seed}: names or bytes differ");
    done
}

fn is_directory(side: &Side<'_>, name: &str) -> bool {
    side.path(name).is_dir()
}

#[cfg(target_os = "linux")]
#[test]
fn the_simulated_disk_answers_as_the_real_one() {
    let done: usize = (0..SCRIPTS).map(compare).sum();
    let asked = SCRIPTS as usize * STEPS;
    assert!(
        done > asked / 3,
        "only {done} of {asked} operations succeeded"
    );
}
