//! A file as raw lines: every byte is in exactly one of them.
//!
//! Lines end at `\n` and nowhere else: U+2028, U+0085, form feeds and lone `\r` are content.
//! The terminator stays in the line, so writing the lines one after the other gives the file
//! back. Memory is bounded by the limit, whatever the file holds: a longer line comes in
//! pieces.

use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read};

/// The longest line that is delivered whole unless told otherwise: 16 MiB. The longest seen in the
/// wild had 13 million characters; files of one endless line (a disk full of NULs) exist too.
pub const LINE_LIMIT_BYTES: usize = 16 << 20;

/// A line of no more bytes than this is read into memory that grows with it.
const SHORT_BYTES: usize = 512 << 10;

/// The UTF-8 byte order mark.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One line, or a piece of one, with its terminator if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLine {
    /// Number of the line in the file, from 1. All pieces of a line have the same.
    pub number: u64,
    /// Where its first byte stands in the file.
    pub offset: u64,
    /// The bytes as they are, `\n` or `\r\n` included. Never empty.
    pub bytes: Vec<u8>,
    /// Whether this is the whole line.
    pub part: Part,
}

/// A place between two lines, or between two pieces of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Offset in the file.
    pub offset: u64,
    /// Number of the line that begins or goes on here, from 1.
    pub number: u64,
    /// Pieces of that line before this place.
    pub pieces: u32,
}

impl Default for At {
    fn default() -> At {
        At {
            offset: 0,
            number: 1,
            pieces: 0,
        }
    }
}

/// How much of a line a [`RawLine`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// A piece of a line that is longer than the limit.
    Piece {
        /// Which piece, from 0.
        index: u32,
        /// Whether the line ends with it.
        last: bool,
    },
}

impl RawLine {
    /// Tells whether the line has its `\n`. Only the last one of a file may not.
    pub fn is_terminated(&self) -> bool {
        self.bytes.ends_with(b"\n")
    }

    /// Returns the line without terminator and byte order mark, and the offset in the file at
    /// which that begins.
    pub fn text(&self) -> (&[u8], u64) {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        match bytes.strip_prefix(BOM) {
            Some(rest) if self.offset == 0 => (rest, BOM.len() as u64),
            _ => (bytes, self.offset),
        }
    }
}

/// Iterates over the lines of a reader. After a read error it ends.
#[derive(Debug)]
pub struct RawLines<R> {
    reader: R,
    limit_bytes: usize,
    offset: u64,
    number: u64,
    /// Pieces of the current line delivered so far.
    pieces: u32,
    failed: bool,
}

impl<R: BufRead> RawLines<R> {
    /// Reads lines of at most `limit_bytes` from `reader`, which stands at the file's start.
    pub fn new(reader: R, limit_bytes: usize) -> Self {
        RawLines {
            reader,
            limit_bytes: limit_bytes.max(1),
            offset: 0,
            number: 1,
            pieces: 0,
            failed: false,
        }
    }

    /// Goes on where an earlier reading stopped; `reader` stands there.
    pub fn resume(reader: R, limit_bytes: usize, at: &At) -> Self {
        RawLines {
            offset: at.offset,
            number: at.number,
            pieces: at.pieces,
            ..RawLines::new(reader, limit_bytes)
        }
    }

    /// Where the next line, or piece of one, begins.
    pub fn at(&self) -> At {
        At {
            offset: self.offset,
            number: self.number,
            pieces: self.pieces,
        }
    }

    fn take_until(&mut self, most: usize, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let mut limited = (&mut self.reader).take(most as u64);
        limited.read_until(b'\n', bytes)
    }

    fn read(&mut self) -> io::Result<Option<RawLine>> {
        let mut bytes = Vec::new();
        let short = self.limit_bytes.min(SHORT_BYTES);
        if self.take_until(short, &mut bytes)? == 0 {
            return Ok(None);
        }
        if bytes.len() == short && !bytes.ends_with(b"\n") {
            // Growing step by step would leave as much memory behind as the line takes.
            bytes.reserve_exact(self.limit_bytes - short);
            self.take_until(self.limit_bytes - short, &mut bytes)?;
        }
        let ends = bytes.ends_with(b"\n") || self.reader.fill_buf()?.is_empty();
        let part = match (self.pieces, ends) {
            (0, true) => Part::Whole,
            (index, last) => Part::Piece { index, last },
        };
        let line = RawLine {
            number: self.number,
            offset: self.offset,
            bytes,
            part,
        };
        self.offset += line.bytes.len() as u64;
        if ends {
            self.number += 1;
            self.pieces = 0;
        } else {
            self.pieces += 1;
        }
        Ok(Some(line))
    }
}

impl<R: BufRead> Iterator for RawLines<R> {
    type Item = io::Result<RawLine>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let result = self.read();
        self.failed = result.is_err();
        result.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], limit: usize) -> Vec<RawLine> {
        // A tiny buffer, so that lines span refills.
        let reader = io::BufReader::with_capacity(3, bytes);
        RawLines::new(reader, limit)
            .map(|line| line.expect("memory does not fail"))
            .collect()
    }

    #[test]
    fn only_a_newline_ends_a_line() {
        let text = "a\u{2028}b\u{85}c\rd\x0Ce\0f\ng\r\n\n\nh".as_bytes();
        let got = lines(text, 100);
        let texts: Vec<_> = got.iter().map(|l| l.text().0.to_vec()).collect();
        assert_eq!(
            texts,
            [
                "a\u{2028}b\u{85}c\rd\x0Ce\0f".as_bytes(),
                b"g",
                b"",
                b"",
                b"h"
            ]
        );
        assert!(!got[4].is_terminated());
        assert_eq!(got.iter().map(|l| l.number).max(), Some(5));
    }

    #[test]
    fn a_line_over_the_limit_comes_in_pieces_and_memory_stays_bounded() {
        let mut text = b"short\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 25));
        text.extend(b"\nafter\n");
        let got = lines(&text, 10);
        let parts: Vec<_> = got
            .iter()
            .map(|l| (l.number, l.part, l.bytes.len()))
            .collect();
        assert_eq!(
            parts,
            [
                (1, Part::Whole, 6),
                (
                    2,
                    Part::Piece {
                        index: 0,
                        last: false
                    },
                    10
                ),
                (
                    2,
                    Part::Piece {
                        index: 1,
                        last: false
                    },
                    10
                ),
                (
                    2,
                    Part::Piece {
                        index: 2,
                        last: true
                    },
                    6
                ),
                (3, Part::Whole, 6),
            ]
        );
        assert_eq!(got.concat_bytes(), text);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        for text in [&b"123456789\n"[..], b"1234567890"] {
            assert_eq!(lines(text, 10).len(), 1);
            assert_eq!(lines(text, 10)[0].part, Part::Whole);
        }
        // The terminator alone is over the limit.
        assert_eq!(lines(b"1234567890\n", 10).len(), 2);
    }

    #[test]
    fn reading_goes_on_where_it_stopped() {
        let mut text = b"short\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 25));
        text.extend(b"\nafter\nlast");
        let all = lines(&text, 10);
        for stop in 0..=all.len() {
            let mut first = RawLines::new(&text[..], 10);
            let mut got: Vec<_> = first
                .by_ref()
                .take(stop)
                .map(|l| l.expect("reads"))
                .collect();
            let at = first.at();
            let rest = RawLines::resume(&text[at.offset as usize..], 10, &at);
            got.extend(rest.map(|l| l.expect("reads")));
            assert_eq!(got, all, "stopped after {stop}");
        }
    }

    #[test]
    fn a_byte_order_mark_counts_only_at_the_start() {
        let got = lines(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb\n", 100);
        assert_eq!(got[0].text(), (&b"a"[..], 3));
        assert_eq!(got[1].text(), (&b"\xEF\xBB\xBFb"[..], 5));
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for Vec<RawLine> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|l| l.bytes.clone()).collect()
        }
    }
}
