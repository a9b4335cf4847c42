//! The bookmark of an import, kept as a value of the session that it fills.

use crate::source;
use crate::transcripts::lines::At;
use crate::transcripts::turns::Turns;
use crate::transcripts::{Format, Transcript};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The key of the bookmark.
pub const CURSOR_KEY: &str = "import.cursor";

/// The key of the partial last line of a file that is still written.
pub const PARTIAL_KEY: &str = "import.partial";

/// The version of the bookmark that this release writes.
const VERSION: u32 = 1;

/// How many bytes at the start and at the end of what was imported are remembered by their
/// hash. Transcripts differ from their first line on, which has ids and times.
const WINDOW_BYTES: usize = 4096;

/// How far the import of one file has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    version: u32,
    /// Where the file was below the folder that was imported first.
    pub source: String,
    /// Who wrote it.
    pub format: Format,
    /// Where the next line begins.
    #[serde(flatten)]
    pub at: At,
    /// The turns up to there.
    pub turns: Turns,
    /// Hashes of the first and the last bytes before [`At::offset`].
    head: u64,
    tail: u64,
    /// Length of the partial line kept under [`PARTIAL_KEY`].
    pub partial_bytes: u64,
}

impl Cursor {
    /// Stands at the start of `transcript`.
    pub fn new(transcript: &Transcript) -> Cursor {
        Cursor {
            version: VERSION,
            source: transcript.source.to_string_lossy().into_owned(),
            format: transcript.format,
            at: At::default(),
            turns: Turns::default(),
            head: hash_of_window(b""),
            tail: hash_of_window(b""),
            partial_bytes: 0,
        }
    }

    /// Moves behind everything that `window` has seen.
    pub fn advance(&mut self, at: At, turns: Turns, window: &Window) {
        (self.at, self.turns) = (at, turns);
        (self.head, self.tail) = window.hashes();
    }

    /// Encodes the value.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are JSON")
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// In words, when it is of a later release or damaged by another program.
    pub fn decode(value: &[u8]) -> Result<Cursor, String> {
        let cursor: Cursor = serde_json::from_slice(value).map_err(|e| e.to_string())?;
        match cursor.version {
            VERSION => Ok(cursor),
            other => Err(format!(
                "its version is {other}, this release knows {VERSION}"
            )),
        }
    }

    /// Compares the file at `path` with what was imported up to here, which is `partial` more
    /// than whole lines.
    ///
    /// # Errors
    /// The system's.
    pub fn compare(&self, path: &Path, partial: &[u8]) -> io::Result<Relation> {
        let mut file = source::open(path)?;
        if file.metadata()?.len() < self.at.offset {
            return Ok(Relation::Shorter);
        }
        let window = Window::read(&mut file, self.at.offset)?;
        if window.hashes() != (self.head, self.tail) {
            return Ok(Relation::Other);
        }
        // The file stands behind the window.
        let mut rest = Vec::new();
        file.take(partial.len() as u64).read_to_end(&mut rest)?;
        Ok(match rest {
            rest if rest == partial => Relation::Continues(window),
            rest if partial.starts_with(&rest) => Relation::Shorter,
            _ => Relation::Other,
        })
    }
}

/// How a file is related to what was imported.
#[derive(Clone, Debug)]
pub enum Relation {
    /// It begins with that. The window is the one to go on with.
    Continues(Window),
    /// It ends before that; whether it is a beginning of it, only all of it can tell.
    Shorter,
    /// It is another one.
    Other,
}

/// The first and the last bytes of what was read so far.
#[derive(Clone, Debug, Default)]
pub struct Window {
    head: Vec<u8>,
    tail: Vec<u8>,
    /// The hash of the first bytes, once they can be no others.
    head_hash: Option<u64>,
}

impl Window {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let missing = WINDOW_BYTES - self.head.len();
        self.head
            .extend_from_slice(&bytes[..missing.min(bytes.len())]);
        let last = &bytes[bytes.len().saturating_sub(WINDOW_BYTES)..];
        let kept = WINDOW_BYTES - last.len();
        self.tail.drain(..self.tail.len().saturating_sub(kept));
        self.tail.extend_from_slice(last);
        if self.head.len() == WINDOW_BYTES && self.head_hash.is_none() {
            self.head_hash = Some(hash_of_window(&self.head));
        }
    }

    /// What a window over the first `len` bytes of `file` has seen.
    fn read(file: &mut File, len: u64) -> io::Result<Window> {
        let width = len.min(WINDOW_BYTES as u64);
        let mut window = Window {
            head: vec![0; width as usize],
            tail: vec![0; width as usize],
            head_hash: None,
        };
        file.read_exact(&mut window.head)?;
        file.seek(SeekFrom::Start(len - width))?;
        file.read_exact(&mut window.tail)?;
        Ok(window)
    }

    fn hashes(&self) -> (u64, u64) {
        let head = self.head_hash.unwrap_or_else(|| hash_of_window(&self.head));
        (head, hash_of_window(&self.tail))
    }
}

/// FNV-1a: the same in every release and on every machine, which the standard library's is
/// not. It is compared with files that nobody made to deceive their own import.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// As [`hash`], eight bytes at a time: it is taken of each batch, which may be one line.
fn hash_of_window(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(8);
    let rest = hash(words.remainder());
    words.fold(rest, |hash, word| {
        let word = word
            .iter()
            .rev()
            .fold(0, |word, byte| word << 8 | u64::from(*byte));
        (hash ^ word).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_window_over_pieces_is_the_window_over_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..20_000_u32).flat_map(|n| n.to_le_bytes()).collect();
        fs::write(&path, &bytes).expect("writes");
        for step in [1, 7, 4095, 4096, 4097, 30_000] {
            let mut window = Window::default();
            let mut len = 0;
            for piece in bytes.chunks(step).take(5000) {
                window.push(piece);
                len += piece.len() as u64;
            }
            let mut file = File::open(&path).expect("opens");
            let read = Window::read(&mut file, len).expect("reads");
            assert_eq!((read.head, read.tail), (window.head, window.tail), "{step}");
        }
    }

    #[test]
    fn a_file_continues_only_what_it_begins_with() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.jsonl");
        let line = br#"{"sessionId":"s","type":"user","message":{"content":"hi"}}"#;
        fs::write(&path, line).expect("writes");
        let transcript = Transcript::open(&path, Path::new("s.jsonl"), 1 << 20).expect("opens");
        let mut cursor = Cursor::new(&transcript);
        assert!(matches!(
            cursor.compare(&path, b"").expect("reads"),
            Relation::Continues(_)
        ));
        let mut window = Window::default();
        window.push(line);
        let at = At {
            offset: line.len() as u64,
            ..At::default()
        };
        cursor.advance(at, Turns::default(), &window);
        let again = Cursor::decode(&cursor.encode()).expect("its own value");
        assert_eq!(again, cursor);
        for (file, partial, expected) in [
            (line.to_vec(), "", 'c'),
            ([&line[..], b"more"].concat(), "", 'c'),
            ([&line[..], b"more"].concat(), "mo", 'c'),
            ([&line[..], b"more"].concat(), "ma", 'o'),
            ([&line[..], b"mo"].concat(), "more", 's'),
            (line.to_vec(), "more", 's'),
            (line[..line.len() - 1].to_vec(), "", 's'),
            (line.to_ascii_uppercase(), "", 'o'),
        ] {
            fs::write(&path, &file).expect("writes");
            let relation = match cursor.compare(&path, partial.as_bytes()).expect("reads") {
                Relation::Continues(_) => 'c',
                Relation::Shorter => 's',
                Relation::Other => 'o',
            };
            assert_eq!(relation, expected, "{} {partial}", file.escape_ascii());
        }
        assert!(Cursor::decode(b"{}").is_err());
        let later = String::from_utf8(cursor.encode()).expect("JSON");
        let later = later.replace("\"version\":1", "\"version\":2");
        assert!(Cursor::decode(later.as_bytes()).is_err());
    }
}
