//! The bookmark of a document's import, kept as a value of the session that it fills.

use super::split::Frame;
use crate::detect::Host;
use crate::import::cursor::hash;
use crate::import::feed::Bookmark;
use crate::transcripts::turns::Turns;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The key of the bookmark.
pub const DOCUMENT_KEY: &str = "import.document";

/// The name of a record that holds a frame.
pub const FRAME: &str = "import.frame";

/// The version of the bookmark that this release writes.
const VERSION: u32 = 1;

/// How many frames are remembered by their hashes, so that importing them again adds nothing.
const KNOWN_FRAMES: usize = 256;

/// How far the import of a document has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentCursor {
    version: u32,
    /// Whose file it is.
    pub host: Host,
    /// What it is to that host.
    pub format: String,
    /// Where the file was below the folder that was imported first.
    pub source: String,
    /// Whether that is a copy that the host made of another file.
    #[serde(default)]
    pub is_copy: bool,
    /// How many messages are in the journal.
    pub items: u64,
    /// A hash over them.
    pub chain: Chain,
    /// The turns up to there.
    pub turns: Turns,
    /// Whether the record that stands for the whole document, a task say, is there.
    pub led: bool,
    /// The frame that the file at [`DocumentCursor::source`] had at the last import.
    pub frame: Option<u64>,
    /// Hashes of frames that are records, the latest last.
    known: Vec<u64>,
    /// Input of the host's queue that was queued here, by its key: the input's number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub queued: BTreeMap<String, u32>,
}

impl DocumentCursor {
    /// Nothing was imported yet.
    pub fn new(host: Host, format: &str, source: &str) -> DocumentCursor {
        DocumentCursor {
            version: VERSION,
            host,
            format: format.into(),
            source: source.into(),
            is_copy: false,
            items: 0,
            chain: Chain::default(),
            turns: Turns::default(),
            led: false,
            frame: None,
            known: Vec::new(),
            queued: BTreeMap::new(),
        }
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// In words, when it is of a later release or damaged by another program.
    pub fn decode(value: &[u8]) -> Result<DocumentCursor, String> {
        let cursor: DocumentCursor = serde_json::from_slice(value).map_err(|e| e.to_string())?;
        match cursor.version {
            VERSION => Ok(cursor),
            other => Err(format!(
                "its version is {other}, this release knows {VERSION}"
            )),
        }
    }

    /// Whether the frame of this hash is a record.
    pub fn knows(&self, frame: u64) -> bool {
        self.known.contains(&frame)
    }

    /// Remembers that the frame of this hash is a record.
    pub fn learn(&mut self, frame: u64) {
        if self.known.len() == KNOWN_FRAMES {
            self.known.remove(0);
        }
        self.known.push(frame);
    }
}

impl Bookmark for DocumentCursor {
    const KEY: &'static str = DOCUMENT_KEY;

    fn set_turns(&mut self, turns: Turns) {
        self.turns = turns;
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are JSON")
    }
}

/// A hash over messages, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain(u64);

impl Default for Chain {
    fn default() -> Chain {
        Chain(hash(b""))
    }
}

impl Chain {
    /// The hash with one more message.
    pub fn push(self, message: &str) -> Chain {
        // The length first, or `ab`, `c` would be `a`, `bc`.
        let len = (message.len() as u64).to_le_bytes();
        let bytes = len.iter().chain(message.as_bytes());
        Chain(bytes.fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
        }))
    }
}

/// The hash by which a frame is known.
pub fn frame_hash(frame: &Frame) -> u64 {
    hash(&frame.encode())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_tells_where_messages_end() {
        let chain = |messages: &[&str]| {
            let messages = messages.iter();
            messages.fold(Chain::default(), |chain, message| chain.push(message))
        };
        assert_eq!(chain(&["a", "b"]), chain(&["a"]).push("b"));
        assert_ne!(chain(&["ab", "c"]), chain(&["a", "bc"]));
        assert_ne!(chain(&["", "a"]), chain(&["a"]));
    }

    #[test]
    fn a_bookmark_comes_back_and_forgets_the_oldest_frames() {
        let mut cursor = DocumentCursor::new(Host::Claudelet, "claudelet-session", "s.json");
        (0..300).for_each(|frame| cursor.learn(frame));
        assert!(!cursor.knows(43) && cursor.knows(44) && cursor.knows(299));
        assert_eq!(DocumentCursor::decode(&cursor.encode()), Ok(cursor.clone()));
        cursor.version = 2;
        assert!(DocumentCursor::decode(&cursor.encode()).is_err());
        assert!(DocumentCursor::decode(b"{}").is_err());
    }
}
