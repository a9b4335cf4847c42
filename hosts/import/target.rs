//! Which session a transcript goes to, and from where on.

use super::cursor::{CURSOR_KEY, Cursor, PARTIAL_KEY, Relation, Window, hash};
use super::note::Note;
use crate::error::{Error, Result};
use crate::source;
use crate::transcripts::Transcript;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use turnkeep::{Journal, OpenTurnInfo, Seq, Session};

/// How many files may claim to be one session before something else is wrong.
pub const MAX_NAMESAKES: u32 = 1000;

/// The longest session id taken from a file as it is, in bytes. The journal allows 512; what
/// is added to tell namesakes apart must fit too.
const MAX_ID_BYTES: usize = 400;

/// Where a transcript goes.
#[derive(Debug)]
pub enum Target {
    /// Into this session, from here on.
    Into(Box<Place>),
    /// Nowhere.
    Nowhere(Why),
}

/// A session that takes a transcript, and how far it has.
#[derive(Debug)]
pub struct Place {
    /// The session.
    pub session: Session,
    /// What is there already.
    pub cursor: Cursor,
    /// The bytes around it.
    pub window: Window,
    /// The partial line that is kept.
    pub partial: Vec<u8>,
    /// The turn that was open at the end of the last import, if it still is.
    pub open_turn: Option<Seq>,
}

/// Why a transcript is not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The session was deleted in the journal, and stays so.
    Deleted,
    /// The session's history was cleared or truncated in the journal, and stays so.
    Cleared,
    /// The file is a beginning of what was imported already.
    OlderCopy,
}

impl Why {
    /// A stable, machine-readable name.
    pub fn code(&self) -> &'static str {
        match self {
            Why::Deleted => "session.deleted",
            Why::Cleared => "session.cleared",
            Why::OlderCopy => "file.older_copy",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Deleted => "its session was deleted from the journal, and stays deleted",
            Why::Cleared => "its session was cleared in the journal, and stays cleared",
            Why::OlderCopy => "an older copy of what is in the journal",
        })
    }
}

/// Finds places for transcripts in one journal.
#[derive(Debug)]
pub struct Targets<'j> {
    journal: &'j Journal,
    /// As of the last time that somebody asked for one that was not in it.
    open_turns: RefCell<HashMap<String, Seq>>,
}

impl<'j> Targets<'j> {
    /// Looks at `journal` before anything is imported.
    ///
    /// # Errors
    /// The journal's.
    pub fn new(journal: &'j Journal) -> Result<Targets<'j>> {
        Ok(Targets {
            journal,
            open_turns: RefCell::new(open_turns(journal)?),
        })
    }

    /// Finds the place for `transcript`: the session of its id, unless another file or a host
    /// has that, then the first of `id#2`, `id#3`, and so on that it continues or that is new.
    ///
    /// # Errors
    /// The journal's, and the system's about the file.
    pub fn find(&self, transcript: &Transcript) -> Result<Target> {
        let id = bounded(&transcript.session_id);
        for id in namesakes(&id) {
            if let Some(target) = self.try_session(&id, transcript)? {
                return Ok(target);
            }
        }
        Err(Error::TooManyNamesakes {
            id: transcript.session_id.clone(),
            count: MAX_NAMESAKES,
        })
    }

    fn try_session(&self, id: &str, transcript: &Transcript) -> Result<Option<Target>> {
        let session = match self.journal.find(id) {
            Ok(session) => session,
            Err(turnkeep::Error::SessionDeleted { .. }) => {
                return Ok(Some(Target::Nowhere(Why::Deleted)));
            }
            Err(turnkeep::Error::UnknownSession { .. }) => {
                let session = self.create(id, transcript.parent_session_id.as_deref())?;
                return Ok(Some(fresh(session, transcript)));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(value) = session.get(CURSOR_KEY)? else {
            let info = session.info()?;
            return Ok(match (info.generation, info.records) {
                // The parent of a sub-agent whose own transcript was not there yet.
                (0, ..=1) => Some(fresh(session, transcript)),
                (0, _) => None,
                _ => Some(Target::Nowhere(Why::Cleared)),
            });
        };
        let cursor = Cursor::decode(&value).map_err(|why| Error::Cursor { id: id.into(), why })?;
        let partial = match cursor.partial_bytes {
            0 => Vec::new(),
            _ => session.get(PARTIAL_KEY)?.unwrap_or_default(),
        };
        let told = |e: io::Error| Error::io("read", &transcript.path, e);
        let relation = cursor.compare(&transcript.path, &partial);
        Ok(match relation.map_err(told)? {
            Relation::Continues(window) => Some(Target::Into(Box::new(Place {
                open_turn: self.open_turn(&session)?,
                session,
                cursor,
                window,
                partial,
            }))),
            Relation::Other => None,
            Relation::Shorter => {
                let file = source::open(&transcript.path).map_err(told)?;
                let is_older = is_beginning(file, &session, &partial).map_err(|e| match e {
                    Unreadable::File(e) => told(e),
                    Unreadable::Journal(e) => e.into(),
                })?;
                is_older.then_some(Target::Nowhere(Why::OlderCopy))
            }
        })
    }

    /// The journal.
    pub fn journal(&self) -> &'j Journal {
        self.journal
    }

    /// The turn of a session that an earlier import, or an earlier file of this one, left open.
    ///
    /// # Errors
    /// The journal's.
    pub fn open_turn(&self, session: &Session) -> Result<Option<Seq>> {
        if session.info()?.open_turns == 0 {
            return Ok(None);
        }
        let mut open = self.open_turns.borrow_mut();
        if !open.contains_key(session.id()) {
            *open = open_turns(self.journal)?;
        }
        Ok(open.get(session.id()).copied())
    }

    /// Makes the session `id`, and its parent if that is not there.
    ///
    /// # Errors
    /// The journal's.
    pub fn create(&self, id: &str, parent: Option<&str>) -> Result<Session> {
        let Some(parent) = parent else {
            return Ok(self.journal.session(id)?);
        };
        let parent = bounded(parent);
        let parent = match self.journal.find(&parent) {
            Ok(parent) => parent,
            // A deleted parent does not come back to be one.
            Err(turnkeep::Error::SessionDeleted { .. }) => return Ok(self.journal.session(id)?),
            Err(turnkeep::Error::UnknownSession { .. }) => self.journal.session(&parent)?,
            Err(error) => return Err(error.into()),
        };
        Ok(self.journal.child_session(id, &parent)?)
    }
}

fn fresh(session: Session, transcript: &Transcript) -> Target {
    Target::Into(Box::new(Place {
        session,
        cursor: Cursor::new(transcript),
        window: Window::default(),
        partial: Vec::new(),
        open_turn: None,
    }))
}

fn open_turns(journal: &Journal) -> Result<HashMap<String, Seq>> {
    let open = journal.open_turns()?.into_iter();
    let open = open.map(|OpenTurnInfo { session, turn, .. }| (session, turn));
    Ok(open.collect())
}

/// The id and those that are tried after it.
pub fn namesakes(id: &str) -> impl Iterator<Item = String> + '_ {
    (1..=MAX_NAMESAKES).map(move |namesake| match namesake {
        1 => id.to_owned(),
        n => format!("{id}#{n}"),
    })
}

/// Shortens an id that the journal would refuse, so that it stays another than others.
pub fn bounded(id: &str) -> String {
    if id.is_empty() {
        return "unnamed".into();
    }
    if id.len() <= MAX_ID_BYTES {
        return id.into();
    }
    let mut end = MAX_ID_BYTES;
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{:016x}", &id[..end], hash(id.as_bytes()))
}

enum Unreadable {
    File(io::Error),
    Journal(turnkeep::Error),
}

/// Whether the whole file is how the session's lines, and then `partial`, begin.
fn is_beginning(
    file: File,
    session: &Session,
    partial: &[u8],
) -> std::result::Result<bool, Unreadable> {
    let mut file = BufReader::new(file);
    let mut piece = Vec::new();
    for entry in session.read(..).map_err(Unreadable::Journal)? {
        let entry = entry.map_err(Unreadable::Journal)?;
        if Note::decode(&entry.extra).is_none() {
            continue;
        }
        piece.clear();
        let mut limited = (&mut file).take(entry.content.len() as u64);
        limited.read_to_end(&mut piece).map_err(Unreadable::File)?;
        if !entry.content.starts_with(&piece) {
            return Ok(false);
        }
        if piece.len() < entry.content.len() {
            return Ok(true);
        }
    }
    piece.clear();
    let mut limited = file.take(partial.len() as u64 + 1);
    limited.read_to_end(&mut piece).map_err(Unreadable::File)?;
    Ok(partial.starts_with(&piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_any_length_become_ids_that_differ() {
        let [a, b] = ["é".repeat(1000), "é".repeat(1001)].map(|id| bounded(&id));
        assert_ne!(a, b);
        assert!(a.len() <= MAX_ID_BYTES + 17 && a.starts_with('é'));
        assert_eq!(bounded("s"), "s");
        assert_eq!(bounded(""), "unnamed");
    }
}
