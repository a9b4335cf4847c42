//! How much an import takes from a source, each with its unit, its default and its reason.

/// Bounds of an import. A consuming builder; the defaults take everything that was seen in the
/// wild and stay within 128 MiB of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// See [`Limits::line_bytes`].
    pub line_bytes: usize,
    /// See [`Limits::document_bytes`].
    pub document_bytes: u64,
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
            line_bytes: 64 << 20,
            document_bytes: 32 << 20,
            file_bytes: 64 << 30,
            files: 1_000_000,
            folder_depth: 64,
            json_depth: 128,
        }
    }
}

impl Limits {
    /// Longest line that is kept in one record, in bytes; a longer one is kept in pieces.
    /// Default: 64 MiB, five times the longest seen. Raising it raises the memory that one
    /// hostile line can ask for, by three times as much.
    pub fn line_bytes(mut self, bytes: usize) -> Limits {
        self.line_bytes = bytes;
        self
    }

    /// Largest JSON document that is understood, in bytes; a larger one is kept verbatim, in
    /// pieces. Default: 32 MiB. Raising it raises the memory that one hostile file can ask for,
    /// by twice as much.
    pub fn document_bytes(mut self, bytes: u64) -> Limits {
        self.document_bytes = bytes;
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
