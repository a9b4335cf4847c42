//! A ring of keys in a file that only its owner reads.
//!
//! A line for each key: its id, a colon, its bytes in hexadecimal. The first is the one that new
//! records are sealed with; the others only open. So a key is rotated by putting another one before
//! it, and dropped by taking its line away. Empty lines and lines that begin with `#` say nothing.

use super::keys::Keys;
use crate::error::{Error, Result};
use crate::format::seal::{Key, KeyId, wipe};
use crate::storage::disk::DiskStorage;
use crate::storage::{OpenMode, Storage};
use std::path::Path;

/// Longest key file that is read, in bytes: some six hundred keys.
const MAX_BYTES: usize = 64 << 10;

/// Keys at hand: the first seals, all open. See [`crate::Options::keys`].
///
/// ```
/// use turnkeep::{Journal, KeyRing};
///
/// let home = tempfile::tempdir()?;
/// let (path, keys) = (home.path().join("j"), home.path().join("keys"));
/// KeyRing::create(&keys)?; // once; and keep a copy where the journal's backups are not
/// let (journal, _) = Journal::options().keys(KeyRing::read(&keys)?).open(&path)?;
/// journal.session("s")?.append("note", "for few eyes")?;
/// journal.close()?;
/// assert!(turnkeep::search(&path, b"few eyes")?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyRing {
    keys: Vec<Key>,
}

impl KeyRing {
    /// A ring with one key, which seals and opens.
    pub fn new(key: Key) -> KeyRing {
        KeyRing { keys: vec![key] }
    }

    /// Adds an older key, which only opens.
    pub fn and(mut self, older: Key) -> KeyRing {
        self.keys.push(older);
        self
    }

    /// The ids of its keys; the first is the one that seals.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(Key::id)
    }

    /// Reads a ring from the lines of a key file, from wherever the host keeps it, such as an
    /// environment variable.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the line: one that is no key, or whose id is another key's, as
    /// after a digit was lost; or if there is no key at all.
    pub fn parse(text: &str) -> Result<KeyRing> {
        let refuse = |why: String| Error::Invalid { what: "key", why };
        let mut keys = Vec::new();
        for (n, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parsed = line
                .split_once(':')
                .and_then(|(id, key)| Some((hex::<8>(id)?, hex::<32>(key)?)));
            let (id, mut bytes) =
                parsed.ok_or_else(|| refuse(format!("line {n} is not an id, a colon, a key")))?;
            let key = Key::new(bytes);
            wipe(&mut bytes);
            if key.id() != KeyId(id) {
                let why = format!("line {n}: {} is not the id of that key", KeyId(id));
                return Err(refuse(why));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(refuse("there is none".to_owned()));
        }
        Ok(KeyRing { keys })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// As [`KeyRing::parse`]; [`Error::Io`], also if others than its owner may read the file.
    pub fn read(path: impl AsRef<Path>) -> Result<KeyRing> {
        let path = path.as_ref();
        let mut bytes = DiskStorage
            .read_secret(path, MAX_BYTES)
            .map_err(|e| Error::io("read", path, e))?;
        let ring = str::from_utf8(&bytes)
            .map_err(|_| Error::Invalid {
                what: "key",
                why: format!("{} is not text", path.display()),
            })
            .and_then(KeyRing::parse);
        wipe(&mut bytes);
        ring
    }

    /// Makes a key file with one new key. Durable when it returns. Without this file what is
    /// sealed with it cannot be read by anybody: keep a copy.
    ///
    /// # Errors
    /// [`Error::Io`], also if there is a file already: keys are not overwritten.
    pub fn create(path: impl AsRef<Path>) -> Result<KeyRing> {
        KeyRing::new(Key::generate()?).write(path.as_ref())
    }

    /// Puts a new key before the others and writes the ring to another file. Durable when it
    /// returns; put it in the place of the old one, and keep that until the host runs with this.
    ///
    /// # Errors
    /// As [`KeyRing::create`].
    pub fn rotate(mut self, path: impl AsRef<Path>) -> Result<KeyRing> {
        self.keys.insert(0, Key::generate()?);
        self.write(path.as_ref())
    }

    fn write(self, path: &Path) -> Result<KeyRing> {
        // As long as it gets, so that no part of it is left behind where it was before.
        let mut text = Vec::with_capacity(self.keys.len() * 82);
        for key in &self.keys {
            text.extend_from_slice(format!("{}:", key.id()).as_bytes());
            let digit = |n: u8| b"0123456789abcdef"[usize::from(n)];
            let bytes = key.reveal().iter();
            text.extend(bytes.flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
            text.push(b'\n');
        }
        let written = DiskStorage
            .open(path, OpenMode::CreateNew)
            .and_then(|file| file.write_all_at(&text, 0).and_then(|()| file.sync_data()));
        wipe(&mut text);
        let folder = path.parent().filter(|parent| *parent != Path::new(""));
        written
            .and_then(|()| DiskStorage.sync_dir(folder.unwrap_or(Path::new("."))))
            .map_err(|e| Error::io("write", path, e))?;
        Ok(self)
    }
}

impl Key {
    /// A new key, from the operating system's random numbers.
    ///
    /// # Errors
    /// [`Error::Io`] if it has none.
    pub fn generate() -> Result<Key> {
        let mut bytes = [0; 32];
        for half in bytes.chunks_exact_mut(16) {
            let drawn = DiskStorage.entropy();
            half.copy_from_slice(&drawn.map_err(|e| Error::io("draw", Path::new("a key"), e))?);
        }
        let key = Key::new(bytes);
        wipe(&mut bytes);
        Ok(key)
    }
}

impl Keys for KeyRing {
    fn seal_with(&self, _session: &str) -> Option<Key> {
        self.keys.first().cloned()
    }

    fn find(&self, id: KeyId) -> Option<Key> {
        self.keys.iter().find(|key| key.id() == id).cloned()
    }
}

/// `2 * N` hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? * 16 + digit(1)?) as u8;
    }
    Some(bytes)
}
