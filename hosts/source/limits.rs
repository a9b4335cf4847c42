//! How much an import takes from a source, each with its unit, its default and its reason.

use crate::transcripts::lines::LINE_LIMIT_BYTES;

/// Bounds of an import. A consuming builder; the defaults take everything that was seen in the
/// wild. With them an import of ordinary transcripts stays within 128 MiB of memory, and one of
/// files that somebody made to be imported within 192 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// See [`Limits::line_bytes`].
    pub line_bytes: usize,
    /// See [`Limits::document_bytes`].
    pub document_bytes: u64,
    /// See [`Limits::frame_bytes`].
    pub frame_bytes: u64,
    /// See [`Limits::file_bytes`].
    pub file_bytes: u64,
    /// See [`Limits::files`].
    pub files: usize,
    /// See [`Limits::folder_depth`].
    pub folder_depth: usize,
    /// See [`Limits::json_depth`].
    pub json_depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            line_bytes: LINE_LIMIT_BYTES,
            document_bytes: 16 << 20,
            frame_bytes: 6 << 20,
            file_bytes: 64 << 30,
            files: 1_000_000,
            folder_depth: 64,
            json_depth: 128,
        }
    }
}

impl Limits {
    /// Longest line that is kept in one record, in bytes; a longer one is kept in pieces.
    /// Default: 16 MiB; the longest seen had 13 million characters. Raising it raises the memory
    /// that one hostile line can ask for, by four times as much.
    pub fn line_bytes(mut self, bytes: usize) -> Limits {
        self.line_bytes = bytes;
        self
    }

    /// Largest JSON document that is understood, in bytes; a larger one is kept verbatim, in
    /// pieces. Default: 16 MiB. Raising it raises the memory that one hostile file can ask for,
    /// by four times as much.
    pub fn document_bytes(mut self, bytes: u64) -> Limits {
        self.document_bytes = bytes;
        self
    }

    /// Most bytes around the messages of a document that is understood; with more it is kept
    /// verbatim. Default: 6 MiB, as each state of a document is a record of its own. Raising it
    /// raises the memory that one hostile file can ask for, by ten times as much: quotes double
    /// when they are put into a record, and that is held more than once.
    pub fn frame_bytes(mut self, bytes: u64) -> Limits {
        self.frame_bytes = bytes;
        self
    }

    /// Largest file that is read at all, in bytes. Default: 64 GiB; a transcript of 37 GB was
    /// seen. Raising it costs disk, not memory.
    pub fn file_bytes(mut self, bytes: u64) -> Limits {
        self.file_bytes = bytes;
        self
    }

    /// How many files and folders are listed. Default: a million. Each takes some hundred bytes
    /// of memory.
    pub fn files(mut self, count: usize) -> Limits {
        self.files = count;
        self
    }

    /// How many folders deep a walk goes. Default: 64.
    pub fn folder_depth(mut self, depth: usize) -> Limits {
        self.folder_depth = depth;
        self
    }

    /// JSON nested deeper than this is told, and kept as it is. Default: 128, where many hosts'
    /// own readers give up.
    pub fn json_depth(mut self, depth: usize) -> Limits {
        self.json_depth = depth;
        self
    }
}
