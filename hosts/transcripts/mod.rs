//! Agent transcripts as other tools left them on disk.
//!
//! What it is: a walk over a folder, a reader that gives every byte of a file back in lines,
//! and as much understanding of the lines as an import needs: which session, which turn, who
//! speaks.
//!
//! It promises:
//! - The raw lines of a file, one after the other, are the file. Nothing is trimmed,
//!   re-encoded or dropped, whatever the file holds.
//! - Damage stays where it is. A line that is no JSON is reported with its place, and the next
//!   line is read as if nothing had happened. One bad file never ends a walk.
//! - Memory is bounded by the longest line, and that by a limit.
//! - The order of a walk depends on the names only.
//!
//! On purpose it does not: follow symbolic links, write anything, repair anything, or decide
//! by the content of a message. It knows no journal.

mod claude;
mod claude_content;
mod codex;
pub mod gist;
mod hermes;
pub mod lines;
pub mod meta;
pub mod parse;
pub mod turns;
pub mod walk;

use crate::source;
use lines::{At, Part, RawLine, RawLines};
use meta::{Content, Damage, Why};
use parse::Context;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use turns::{Mark, Outcome, Place, Turns};

/// Size of the read buffer of one file.
const BUFFER_BYTES: usize = 256 << 10;

/// How many whole lines of JSON may go by before a file is taken for one that is of no known
/// format, or never names its session. Transcripts tell both in their first ten.
const PROBED_LINES: u32 = 1000;

/// Who wrote a transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Claude Code, and tools that write like it.
    ClaudeCode,
    /// Codex.
    Codex,
    /// hermes-webui's journal of turns.
    HermesTurns,
    /// hermes-webui's journal of one run.
    HermesRun,
    /// A log of words, not of JSON.
    Text,
    /// Bytes that are not understood and are kept as they are.
    Quarantine,
    /// Nobody known.
    Unknown,
}

impl Format {
    /// Returns the name that `--json` prints too.
    pub fn name(self) -> &'static str {
        match self {
            Format::ClaudeCode => "claude-code",
            Format::Codex => "codex",
            Format::HermesTurns => "hermes-turns",
            Format::HermesRun => "hermes-run",
            Format::Text => "text",
            Format::Quarantine => "quarantine",
            Format::Unknown => "unknown",
        }
    }

    /// Returns the format that `text`, a line without terminator, is certainly of.
    pub fn of_line(text: &[u8]) -> Option<Format> {
        let text = std::str::from_utf8(text).ok()?;
        if codex::recognises(text) {
            Some(Format::Codex)
        } else if claude::recognises(text) {
            Some(Format::ClaudeCode)
        } else if hermes::recognises_run(text) {
            Some(Format::HermesRun)
        } else if hermes::recognises_turns(text) {
            Some(Format::HermesTurns)
        } else {
            None
        }
    }
}

/// One transcript file and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// Where it is.
    pub path: PathBuf,
    /// Where it is below the folder that was walked; its name there.
    pub source: PathBuf,
    /// Who wrote it.
    pub format: Format,
    /// The session: for Claude Code the file's name if that is a UUID (a resumed session has
    /// lines of the one before in its file), else what the content says, else the file's name.
    /// For sub-agents the parent's id, a slash, and the file's name.
    pub session_id: String,
    /// The session that started this one.
    pub parent_session_id: Option<String>,
    /// Lines over this many bytes come in pieces.
    pub limit_bytes: usize,
}

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its bytes and where they are.
    pub raw: RawLine,
    /// What was understood of it.
    pub content: Content,
    /// Its place among the turns.
    pub place: Place,
}

impl Transcript {
    /// Looks into the file at `path` and tells whose it is. Reads up to the first line that
    /// names a session, or a thousand. The format is [`Format::Unknown`] if no line is known.
    ///
    /// # Errors
    /// The system's, when the file cannot be read.
    pub fn open(path: &Path, source: &Path, limit_bytes: usize) -> io::Result<Transcript> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let sub_agent_of = sub_agent_of(path);
        let mut found = (Format::Unknown, None, None);
        let mut probed = 0;
        for raw in RawLines::new(buffered(path)?, limit_bytes) {
            let raw = raw?;
            let (text, offset) = raw.text();
            if found.0 == Format::Unknown && raw.part == Part::Whole {
                found.0 = Format::of_line(text).unwrap_or(Format::Unknown);
            }
            let context = Context {
                format: found.0,
                sub_agent: sub_agent_of.is_some(),
            };
            let Content::Known(meta) = parse::parse(text, offset, context) else {
                continue;
            };
            probed += 1;
            if meta.session_id.is_some() {
                found = (found.0, meta.session_id, meta.parent_session_id);
                break;
            }
            if probed == PROBED_LINES {
                break;
            }
        }
        let (format, in_content, parent) = found;
        let (session_id, parent_session_id) = match (format, sub_agent_of) {
            (Format::ClaudeCode, Some(folder)) => {
                let parent = in_content.unwrap_or(folder);
                (format!("{parent}/{stem}"), Some(parent))
            }
            (Format::ClaudeCode, None) if is_uuid(&stem) => (stem.into_owned(), None),
            _ => (in_content.unwrap_or_else(|| stem.into_owned()), parent),
        };
        Ok(Transcript {
            path: path.to_path_buf(),
            source: source.to_path_buf(),
            format,
            session_id,
            parent_session_id,
            limit_bytes,
        })
    }

    /// A file of which the path tells whose it is.
    pub fn named(
        entry: &walk::Entry,
        format: Format,
        session_id: String,
        parent_session_id: Option<String>,
        limit_bytes: usize,
    ) -> Transcript {
        Transcript {
            path: entry.path.clone(),
            source: entry.source.clone(),
            format,
            session_id,
            parent_session_id,
            limit_bytes,
        }
    }

    /// Reads the file from its start.
    ///
    /// # Errors
    /// The system's, when the file cannot be opened.
    pub fn lines(&self) -> io::Result<Lines> {
        self.lines_from(&At::default(), Turns::default())
    }

    /// Goes on where an earlier reading stopped, with the turns as they were then.
    ///
    /// # Errors
    /// The system's, when the file cannot be opened.
    pub fn lines_from(&self, at: &At, turns: Turns) -> io::Result<Lines> {
        let mut file = source::open(&self.path)?;
        file.seek(SeekFrom::Start(at.offset))?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, file);
        Ok(Lines {
            raw: RawLines::resume(reader, self.limit_bytes, at),
            context: Context {
                format: self.format,
                sub_agent: sub_agent_of(&self.path).is_some(),
            },
            turns,
        })
    }
}

/// Iterates over the lines of a transcript. After a read error it ends.
#[derive(Debug)]
pub struct Lines {
    raw: RawLines<BufReader<File>>,
    context: Context,
    turns: Turns,
}

impl Lines {
    /// Returns how many turns there were so far.
    pub fn turns(&self) -> u32 {
        self.turns.count()
    }

    /// Where the next line begins, and the turns up to there.
    pub fn state(&self) -> (At, Turns) {
        (self.raw.at(), self.turns.clone())
    }

    /// Returns how the last turn stands after the last line, if it has not ended.
    pub fn finish(mut self) -> Option<Outcome> {
        self.turns.finish()
    }
}

impl Iterator for Lines {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = match self.raw.next()? {
            Ok(raw) => raw,
            Err(e) => return Some(Err(e)),
        };
        let content = match raw.part {
            Part::Whole => {
                let (text, offset) = raw.text();
                parse::parse(text, offset, self.context)
            }
            Part::Piece { .. } if self.context.format == Format::Quarantine => {
                parse::parse(b"-", raw.offset, self.context)
            }
            Part::Piece { .. } => Content::Damaged(Damage {
                why: Why::TooLong,
                at: raw.offset,
                glued: None,
            }),
        };
        let mark = match &content {
            Content::Known(meta) => meta.mark,
            Content::Blank => Mark::Other,
            // The record glued to a torn one counts; what is left of the torn one does not.
            Content::Damaged(damage) => damage
                .glued
                .as_ref()
                .map_or(Mark::Other, |glued| glued.meta.mark),
        };
        Some(Ok(Line {
            raw,
            content,
            place: self.turns.place(mark),
        }))
    }
}

fn buffered(path: &Path) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(BUFFER_BYTES, source::open(path)?))
}

/// For `<parent>/subagents/agent-*.jsonl` the parent's name.
fn sub_agent_of(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    if folder.file_name()? != "subagents" {
        return None;
    }
    let parent = folder.parent()?.file_name()?;
    Some(parent.to_string_lossy().into_owned())
}

/// Whether the text is a UUID.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
