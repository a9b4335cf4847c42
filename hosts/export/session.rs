//! One session, written out.

use crate::detect::Host;
use crate::documents::cursor::{DOCUMENT_KEY, DocumentCursor};
use crate::documents::split::Frame;
use crate::error::{Error, Result};
use crate::import::cursor::{CURSOR_KEY, Cursor, PARTIAL_KEY};
use crate::import::note::{ItemNote, Note};
use crate::importer::host_of;
use crate::rows::writer::{ROWS_KEY, RowsCursor};
use std::io::{self, Write};
use turnkeep::{Entry, Kind, Reader, ReaderSession, SessionInfo};

/// A session that can be written.
#[derive(Debug)]
pub struct Exported {
    session: ReaderSession,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a session came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of lines.
    Lines(Cursor),
    /// A JSON document.
    Document(DocumentCursor),
    /// Rows of a database.
    Rows(RowsCursor),
    /// No import.
    Own,
}

impl Origin {
    /// Where the file was below the folder that was imported.
    pub fn source(&self) -> Option<&str> {
        match self {
            Origin::Lines(cursor) => Some(&cursor.source),
            Origin::Document(cursor) => Some(&cursor.source),
            Origin::Rows(cursor) => Some(&cursor.source),
            Origin::Own => None,
        }
    }

    /// Whose it was; nothing is known of bytes that were not understood.
    pub fn host(&self) -> Option<Host> {
        match self {
            Origin::Lines(cursor) => host_of(cursor.format),
            Origin::Document(cursor) => Some(cursor.host),
            Origin::Rows(cursor) => Some(cursor.host),
            Origin::Own => None,
        }
    }
}

/// How writing went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes written.
    pub bytes: u64,
    /// Lines of a file, messages of a document, or records.
    pub lines: u64,
    /// Bytes of the file that are not in the journal any more.
    pub missing_bytes: u64,
    /// Messages of the document that are not in the journal any more.
    pub missing_messages: u64,
    /// Messages that an earlier state of the document had and its last one has not.
    pub later_messages: u64,
    /// Records of the session that hold nothing of the file.
    pub other_records: u64,
}

impl Written {
    /// Whether the file is not all there.
    pub fn is_incomplete(&self) -> bool {
        self.missing_bytes > 0 || self.missing_messages > 0
    }
}

/// Something to write on that tells how much was written.
struct Out<'o, W, F> {
    out: &'o mut W,
    failed: F,
    bytes: u64,
}

impl<W: Write, F: Fn(io::Error) -> Error> Out<'_, W, F> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(&self.failed)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl Exported {
    /// Looks at a session.
    ///
    /// # Errors
    /// The journal's.
    pub fn new(reader: &Reader, info: &SessionInfo) -> Result<Exported> {
        let session = reader.session(&info.id)?;
        // A value of that name which is no bookmark is a host's own.
        let lines = session.get(CURSOR_KEY)?;
        let lines = lines.and_then(|value| Cursor::decode(&value).ok());
        let document = session.get(DOCUMENT_KEY)?;
        let document = document.and_then(|value| DocumentCursor::decode(&value).ok());
        let rows = session.get(ROWS_KEY)?;
        let rows = rows.and_then(|value| RowsCursor::decode(&value).ok());
        let origin = match (lines, document, rows) {
            (Some(cursor), _, _) => Origin::Lines(cursor),
            (_, Some(cursor), _) if cursor.frame.is_some() => Origin::Document(cursor),
            (_, _, Some(cursor)) => Origin::Rows(cursor),
            _ => Origin::Own,
        };
        Ok(Exported { session, origin })
    }

    /// The session's records.
    ///
    /// # Errors
    /// The journal's.
    pub fn entries(&self) -> Result<turnkeep::ReaderEntries> {
        Ok(self.session.read(..)?)
    }

    /// The session.
    pub fn session(&self) -> &ReaderSession {
        &self.session
    }

    /// Writes the imported file as it was, or else each record as `describe` puts it, by line.
    /// `failed` names the place that could not be written.
    ///
    /// # Errors
    /// The journal's, and whatever `failed` makes of the system's.
    pub fn write(
        &self,
        out: &mut impl Write,
        describe: impl Fn(&Entry) -> Vec<u8>,
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<Written> {
        let mut out = Out {
            out,
            failed,
            bytes: 0,
        };
        let mut written = match &self.origin {
            Origin::Lines(cursor) => self.write_lines(cursor, &mut out),
            Origin::Document(cursor) => self.write_document(cursor, &mut out),
            Origin::Rows(_) | Origin::Own => self.write_records(describe, &mut out),
        }?;
        written.bytes = out.bytes;
        Ok(written)
    }

    fn write_lines<W: Write, F: Fn(io::Error) -> Error>(
        &self,
        cursor: &Cursor,
        out: &mut Out<'_, W, F>,
    ) -> Result<Written> {
        let mut written = Written::default();
        let mut number = 0;
        for entry in self.entries()? {
            let entry = entry?;
            let Some(note) = Note::decode(&entry.extra) else {
                written.other_records += u64::from(is_host_data(&entry));
                continue;
            };
            out.put(&entry.content)?;
            written.lines += u64::from(note.number != number);
            number = note.number;
        }
        written.missing_bytes = cursor.at.offset.saturating_sub(out.bytes);
        if cursor.partial_bytes > 0 {
            let partial = self.session.get(PARTIAL_KEY)?.unwrap_or_default();
            out.put(&partial)?;
            written.lines += 1;
            written.missing_bytes += cursor.partial_bytes.saturating_sub(partial.len() as u64);
        }
        Ok(written)
    }

    fn write_document<W: Write, F: Fn(io::Error) -> Error>(
        &self,
        cursor: &DocumentCursor,
        out: &mut Out<'_, W, F>,
    ) -> Result<Written> {
        let mut written = Written::default();
        let Some(frame) = self.frame(cursor)? else {
            // Salvaged without it: what is left is messages, one a line.
            written.missing_messages = 1;
            for entry in self.entries()? {
                let entry = entry?;
                if is_item(&entry) {
                    out.put(&entry.content)?;
                    out.put(b"\n")?;
                    written.lines += 1;
                }
            }
            return Ok(written);
        };
        let mut before = frame.before_each();
        if frame.items == 0 {
            out.put(frame.head.as_bytes())?;
        }
        for entry in self.entries()? {
            let entry = entry?;
            if !is_item(&entry) {
                let is_ours = ItemNote::decode(&entry.extra).is_some();
                written.other_records += u64::from(is_host_data(&entry) && !is_ours);
            } else if written.lines < frame.items {
                let before = before.next().unwrap_or_default();
                out.put(before.as_bytes())?;
                out.put(&entry.content)?;
                written.lines += 1;
            } else {
                written.later_messages += 1;
            }
        }
        out.put(frame.tail.as_bytes())?;
        written.missing_messages = frame.items - written.lines;
        Ok(written)
    }

    /// The frame that the document had last.
    fn frame(&self, cursor: &DocumentCursor) -> Result<Option<Frame>> {
        // It is nearer to the end.
        for entry in self.entries()?.rev() {
            let entry = entry?;
            let note = ItemNote::decode(&entry.extra);
            if note.is_some_and(|note| note.frame.is_some() && note.frame == cursor.frame) {
                return Ok(serde_json::from_slice(&entry.content).ok());
            }
        }
        Ok(None)
    }

    fn write_records<W: Write, F: Fn(io::Error) -> Error>(
        &self,
        describe: impl Fn(&Entry) -> Vec<u8>,
        out: &mut Out<'_, W, F>,
    ) -> Result<Written> {
        let mut written = Written::default();
        for entry in self.entries()? {
            out.put(&describe(&entry?))?;
            out.put(b"\n")?;
            written.lines += 1;
        }
        Ok(written)
    }
}

fn is_item(entry: &Entry) -> bool {
    ItemNote::decode(&entry.extra).is_some_and(|note| note.item.is_some())
}

/// Whether a record holds something that a host said, beyond what an import makes for itself.
fn is_host_data(entry: &Entry) -> bool {
    let said = matches!(
        entry.kind,
        Kind::Message | Kind::TurnSubmitted | Kind::TurnEvent | Kind::TurnProgress
    );
    said || !entry.content.is_empty() && entry.kind.is_turn_end()
}
