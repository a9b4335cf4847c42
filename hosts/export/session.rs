//! One session, written out.

use crate::error::{Error, Result};
use crate::import::cursor::{CURSOR_KEY, Cursor, PARTIAL_KEY};
use crate::import::note::Note;
use std::io::{self, Write};
use turnkeep::{Entry, Kind, Reader, ReaderSession, SessionInfo};

/// A session that can be written.
#[derive(Debug)]
pub struct Exported {
    /// The session.
    session: ReaderSession,
    /// The bookmark of its import, if it was imported.
    pub cursor: Option<Cursor>,
}

/// How writing went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes written.
    pub bytes: u64,
    /// Lines of a file, or records.
    pub lines: u64,
    /// Bytes of the file that are not in the journal any more.
    pub missing_bytes: u64,
    /// Records of the session that hold no line of the file.
    pub other_records: u64,
}

impl Exported {
    /// Looks at a session.
    ///
    /// # Errors
    /// The journal's.
    pub fn new(reader: &Reader, info: &SessionInfo) -> Result<Exported> {
        let session = reader.session(&info.id)?;
        let value = session.get(CURSOR_KEY)?;
        // A value of that name which is no bookmark is a host's own.
        let cursor = value.and_then(|value| Cursor::decode(&value).ok());
        Ok(Exported { session, cursor })
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
        match &self.cursor {
            Some(cursor) => self.write_file(cursor, out, failed),
            None => self.write_records(out, describe, failed),
        }
    }

    fn write_file(
        &self,
        cursor: &Cursor,
        out: &mut impl Write,
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<Written> {
        let mut written = Written::default();
        let mut number = 0;
        for entry in self.session.read(..)? {
            let entry = entry?;
            let Some(note) = Note::decode(&entry.extra) else {
                written.other_records += u64::from(is_host_data(&entry));
                continue;
            };
            out.write_all(&entry.content).map_err(&failed)?;
            written.bytes += entry.content.len() as u64;
            written.lines += u64::from(note.number != number);
            number = note.number;
        }
        written.missing_bytes = cursor.at.offset.saturating_sub(written.bytes);
        if cursor.partial_bytes > 0 {
            let partial = self.session.get(PARTIAL_KEY)?.unwrap_or_default();
            out.write_all(&partial).map_err(&failed)?;
            written.bytes += partial.len() as u64;
            written.lines += 1;
            written.missing_bytes += cursor.partial_bytes.saturating_sub(partial.len() as u64);
        }
        Ok(written)
    }

    fn write_records(
        &self,
        out: &mut impl Write,
        describe: impl Fn(&Entry) -> Vec<u8>,
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<Written> {
        let mut written = Written::default();
        for entry in self.session.read(..)? {
            let entry = entry?;
            let mut line = describe(&entry);
            line.push(b'\n');
            out.write_all(&line).map_err(&failed)?;
            written.bytes += line.len() as u64;
            written.lines += 1;
        }
        Ok(written)
    }
}

/// Whether a record holds something that a host said, beyond what an import makes for itself.
fn is_host_data(entry: &Entry) -> bool {
    let said = matches!(
        entry.kind,
        Kind::Message | Kind::TurnSubmitted | Kind::TurnEvent | Kind::TurnProgress
    );
    said || !entry.content.is_empty() && entry.kind.is_turn_end()
}
