//! Which session a document goes to, and from which message on.

use super::cursor::{Chain, DOCUMENT_KEY, DocumentCursor, frame_hash};
use super::split::Split;
use super::{DocumentKind, Reading};
use crate::error::{Error, Result};
use crate::import::cursor::CURSOR_KEY;
use crate::import::note::ItemNote;
use crate::import::target::{Targets, Why, bounded, namesakes};
use turnkeep::{Seq, Session};

/// Where a document goes.
#[derive(Debug)]
pub enum Target {
    /// Into this session.
    Into(Box<Place>),
    /// Nowhere.
    Nowhere(Why),
}

/// A session that takes a document, and how far it has.
#[derive(Debug)]
pub struct Place {
    /// The session.
    pub session: Session,
    /// What is there already.
    pub cursor: DocumentCursor,
    /// The turn that was open at the end of the last import, if it still is.
    pub open_turn: Option<Seq>,
    /// Whether the file has fewer messages than are there.
    pub is_shorter: bool,
}

/// Finds the place for a document: the session of its id, unless something else has that, then
/// the first of `id#2`, `id#3` and so on that it continues, is a beginning of, or that is new.
///
/// # Errors
/// The journal's.
pub fn find(
    targets: &Targets<'_>,
    kind: &DocumentKind,
    source: &str,
    split: &Split<'_>,
    reading: &Reading,
) -> Result<Target> {
    let first = bounded(&reading.session);
    for id in namesakes(&first) {
        let session = match targets.journal().find(&id) {
            Ok(session) => session,
            Err(turnkeep::Error::SessionDeleted { .. }) => {
                return Ok(Target::Nowhere(Why::Deleted));
            }
            Err(turnkeep::Error::UnknownSession { .. }) => {
                let session = targets.create(&id, reading.parent.as_deref())?;
                return Ok(fresh(session, kind, source, reading));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(value) = session.get(DOCUMENT_KEY)? else {
            let info = session.info()?;
            match (info.generation, info.records) {
                // A parent that was made when its child came first.
                (0, ..=1) => return Ok(fresh(session, kind, source, reading)),
                _ if session.get(CURSOR_KEY)?.is_some() => continue,
                (0, _) => continue,
                _ => return Ok(Target::Nowhere(Why::Cleared)),
            }
        };
        let cursor = DocumentCursor::decode(&value).map_err(|why| Error::Cursor {
            id: id.clone(),
            why,
        })?;
        if cursor.format != kind.format || cursor.host != kind.host {
            continue;
        }
        let Some(is_shorter) = compare(&session, &cursor, source, split, reading)? else {
            continue;
        };
        return Ok(Target::Into(Box::new(Place {
            open_turn: targets.open_turn(&session)?,
            session,
            cursor,
            is_shorter,
        })));
    }
    Err(Error::TooManyNamesakes {
        id: reading.session.clone(),
        count: crate::import::target::MAX_NAMESAKES,
    })
}

fn fresh(session: Session, kind: &DocumentKind, source: &str, reading: &Reading) -> Target {
    let mut cursor = DocumentCursor::new(kind.host, kind.format, source);
    cursor.is_copy = reading.is_copy;
    Target::Into(Box::new(Place {
        session,
        cursor,
        open_turn: None,
        is_shorter: false,
    }))
}

/// Whether two places below imported folders are of one file: the folders may have been
/// different ones.
pub fn same_file(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let rest = long.strip_suffix(short);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// Whether the document has fewer messages than are there; `None` if it is another one.
fn compare(
    session: &Session,
    cursor: &DocumentCursor,
    source: &str,
    split: &Split<'_>,
    reading: &Reading,
) -> Result<Option<bool>> {
    if cursor.items == 0 || split.is_empty() {
        // Without messages nothing but the name says that two files are one.
        let is_same = same_file(&cursor.source, source)
            || cursor.is_copy != reading.is_copy
            || cursor.knows(frame_hash(&split.frame()));
        return Ok(is_same.then_some(cursor.items > 0));
    }
    if split.len() as u64 >= cursor.items {
        let known = split.items().take(cursor.items as usize);
        let chain = known.fold(Chain::default(), Chain::push);
        return Ok((chain == cursor.chain).then_some(false));
    }
    // The hash speaks of all messages only, so the fewer are compared with the records.
    let mut items = split.items();
    for entry in session.read(..)? {
        let entry = entry?;
        if ItemNote::decode(&entry.extra)
            .and_then(|note| note.item)
            .is_none()
        {
            continue;
        }
        match items.next() {
            None => break,
            Some(item) if item.as_bytes() == entry.content => {}
            Some(_) => return Ok(None),
        }
    }
    Ok(Some(true))
}
