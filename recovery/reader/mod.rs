//! Reading a journal beside its writer, or without one.
//!
//! A reader takes no lock and writes nothing, so it works from another process, in a directory
//! that cannot be written, and beside a writer that appends and compacts. It sees exactly what
//! is proven durable: a record that a crash could still undo is not there for it.
//!
//! What it sees stands still until [`Reader::refresh`], or a [`Follow`], goes on to what has
//! become durable since. The writer knows nothing of its readers: it may compact, and give up or
//! reuse files that a reader holds. So a read that does not validate is tried once more from the
//! newest manifest, and only if that fails too it is corruption.
//!
//! Segments are read by system calls and never mapped here: another process may use the file
//! again while this one looks. Packs are immutable, and mapped.
//!
//! On purpose not here: any way to write, and waiting for the writer other than by looking at
//! the watermark page now and then.

mod entries;
mod follow;
mod view;

#[cfg(test)]
mod tests;

pub use entries::{ReaderEntries, ReaderLog};
pub use follow::Follow;

use super::create::{prepare_directory, refuse_records};
use super::open::read_watermark;
use crate::error::{Error, Result};
use crate::format::ids::{Epoch, Lsn, SegmentId, Seq, SessionNo};
use crate::format::watermark::CLEAN;
use crate::journal::entries::{Entries, bounds, last, last_turns};
use crate::journal::entry::Entry;
use crate::journal::index::Index;
use crate::journal::info::{OpenTurnInfo, SessionInfo};
use crate::journal::keys::Locksmith;
use crate::journal::options::Options;
use crate::journal::queue::PendingInput;
use crate::journal::turn_entries::TurnEntries;
use crate::model::session::SessionState;
use crate::model::state::State;
use crate::snapshot::checkpoint::SnapshotInfo;
use crate::snapshot::stat::{Files, Stat};
use crate::storage::dir::Dir;
use crate::sync::{Arc, RwLock};
use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use view::View;

pub(crate) use view::may_be_motion;

impl Options {
    /// Opens the journal in the directory at `path` for reading only: without a lock, without
    /// writing anything, beside a writer or without one.
    ///
    /// Of the settings only [`Options::key_window`] and [`Options::storage`] matter.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no journal; [`Error::NotAJournal`];
    /// [`Error::NewerFormat`]; [`Error::Corrupt`] if something durable does not validate;
    /// [`Error::Io`].
    pub fn open_read_only(self, path: impl AsRef<Path>) -> Result<Reader> {
        let dir = Dir::new(self.disk(), path.as_ref());
        expect_journal(&dir)?;
        let key_window = self.key_window.max(1);
        let view = RwLock::new(View::load(&dir, key_window)?);
        let shared = Shared {
            dir,
            key_window,
            locksmith: self.locksmith,
            view,
        };
        Ok(Reader {
            shared: Arc::new(shared),
        })
    }
}

/// Refuses a directory that holds no journal, and says in which way.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAJournal`], [`Error::Io`]; [`Error::Corrupt`] if there are
/// records, but no manifest.
pub(crate) fn expect_journal(dir: &Dir) -> Result<()> {
    match prepare_directory(dir, false) {
        Err(Error::NotFound { path }) if dir.storage().list(dir.path()).is_ok() => {
            refuse_records(dir)?;
            Err(Error::NotFound { path })
        }
        prepared => prepared,
    }
}

/// A journal, open for reading only. Cheap to clone; every clone sees the same.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

struct Shared {
    dir: Dir,
    key_window: usize,
    locksmith: Locksmith,
    /// Held for as long as something is looked up, and while it goes on.
    view: RwLock<View>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({})", self.path().display())
    }
}

impl Reader {
    /// Opens the journal in the directory at `path` with the default settings. See
    /// [`Options::open_read_only`].
    ///
    /// # Errors
    /// As [`Options::open_read_only`].
    pub fn open(path: impl AsRef<Path>) -> Result<Reader> {
        Options::default().open_read_only(path)
    }

    /// The journal's directory.
    pub fn path(&self) -> &Path {
        self.shared.dir.path()
    }

    /// Everything below is durable, and seen by this reader.
    pub fn durable_lsn(&self) -> Lsn {
        self.shared.view.read().durable_lsn()
    }

    /// What was found damaged when the journal was opened, and could be done without.
    pub fn warnings(&self) -> Vec<String> {
        self.shared.view.read().warnings.clone()
    }

    /// Lists all sessions, oldest first.
    pub fn sessions(&self) -> Result<Vec<SessionInfo>> {
        let view = self.shared.view.read();
        Ok(view.state.sessions().map(SessionInfo::of).collect())
    }

    /// Lists every turn that was submitted and has not ended.
    ///
    /// A turn of an earlier writer than the latest has lost its worker for certain. Of the
    /// latest writer's turns a reader cannot tell: it takes no lock, so it does not know whether
    /// that writer lives.
    pub fn open_turns(&self) -> Result<Vec<OpenTurnInfo>> {
        let view = self.shared.view.read();
        let turns = view.state.open_turns();
        Ok(turns
            .map(|(session, turn)| OpenTurnInfo::of(session, turn, view.epoch))
            .collect())
    }

    /// Lists the queued input of all sessions, by session and age, dead letters included.
    ///
    /// Of claims of the latest writer a reader cannot tell whether that writer lives.
    pub fn pending(&self) -> Result<Vec<PendingInput>> {
        let view = self.shared.view.read();
        let queues = view.state.queues();
        Ok(queues
            .flat_map(|session| PendingInput::all_of(session, view.epoch))
            .collect())
    }

    /// The session `id`, to be read.
    ///
    /// # Errors
    /// [`Error::UnknownSession`], or [`Error::SessionDeleted`] if there was one of that id.
    pub fn session(&self, id: &str) -> Result<ReaderSession> {
        let view = self.shared.view.read();
        match view.state.find(id) {
            Some(no) => Ok(ReaderSession {
                reader: self.clone(),
                no,
                id: id.into(),
            }),
            None if view.state.find_deleted(id).is_some() => {
                Err(Error::SessionDeleted { id: id.to_owned() })
            }
            None => Err(Error::UnknownSession { id: id.to_owned() }),
        }
    }

    /// As [`Reader::session`], under the name that it has in a [`crate::Journal`].
    ///
    /// # Errors
    /// As [`Reader::session`].
    pub fn find(&self, id: &str) -> Result<ReaderSession> {
        self.session(id)
    }

    /// Reads the whole journal in LSN order, from `from` to the durable edge of now.
    pub fn read(&self, from: Lsn) -> Result<ReaderLog> {
        Ok(ReaderLog::new(self.clone(), from))
    }

    /// Follows the journal from `from` on, as records become durable.
    ///
    /// Save [`Follow::position`] after handling an entry, and follow from it the next time.
    pub fn follow(&self, from: Lsn) -> Follow {
        Follow::new(self.clone(), from)
    }

    /// Counts what the journal is made of. What only the writer knows (what is accepted and not
    /// durable, its compactions) is left at nothing.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be read.
    pub fn stat(&self) -> Result<Stat> {
        let files = Files::count(&self.shared.dir)?;
        let view = self.shared.view.read();
        let index = view.index.read();
        let snapshots = &view.manifest.snapshots;
        let packed_to = snapshots.last().map_or(SegmentId::new(0), |s| s.log_from);
        let mut sealed = index
            .segments
            .range(packed_to..)
            .map(|(_, segment)| segment);
        sealed.next_back();
        Ok(Stat {
            journal: view.manifest.journal,
            created_ms: view.manifest.created_ms,
            files,
            sessions: view.state.sessions().count() as u64,
            records: view
                .state
                .sessions()
                .map(|s| u64::from(s.visible_len()))
                .sum(),
            open_turns: view.state.open_turn_count() as u64,
            accepted_lsn: view.durable_lsn(),
            durable_lsn: view.durable_lsn(),
            pending_bytes: 0,
            snapshots: snapshots.iter().map(SnapshotInfo::of).collect(),
            uncompacted_bytes: sealed.map(|segment| segment.header().capacity).sum(),
            index_bytes: index.memory_bytes() as u64,
            compactions: 0,
            failed_compactions: 0,
            last_failure: None,
        })
    }

    /// Goes on to what is durable now.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if something that became durable does not validate, [`Error::Io`]. The
    /// reader then sees what it saw before.
    pub fn refresh(&self) -> Result<()> {
        let advanced = self.shared.view.write().advance(&self.shared.dir);
        match advanced {
            Err(error) if view::may_be_motion(&error) => self.reload(),
            advanced => advanced,
        }
    }

    /// Reads everything anew, from the newest manifest on.
    fn reload(&self) -> Result<()> {
        let fresh = View::load(&self.shared.dir, self.shared.key_window)?;
        let mut view = self.shared.view.write();
        // Another clone may have been here first, and gone further.
        if fresh.durable_lsn() >= view.durable_lsn() {
            *view = fresh;
        }
        Ok(())
    }

    /// Looks at the fold, and at what is known of the latest writer.
    pub(crate) fn fold<T>(&self, look: impl FnOnce(&State, Writer) -> T) -> T {
        let view = self.shared.view.read();
        let mark = read_watermark(&self.shared.dir, view.manifest.journal).ok();
        let end = (view.point.segment, view.point.offset);
        let has_closed = mark
            .is_some_and(|mark| mark.flags & CLEAN != 0 && (mark.segment, mark.end_offset) == end);
        let epoch = view.epoch;
        look(&view.state, Writer { epoch, has_closed })
    }

    /// Now, by the clock of its disk.
    pub(crate) fn unix_ms(&self) -> u64 {
        self.shared.dir.storage().unix_ms()
    }

    /// The index in force, and the generation of the manifest that it goes back to.
    fn index(&self) -> (Arc<RwLock<Index>>, u64) {
        let view = self.shared.view.read();
        (view.index.clone(), view.manifest.generation)
    }

    fn locksmith(&self) -> Locksmith {
        self.shared.locksmith.clone()
    }

    /// After a read failed: makes sure that the newest manifest was looked at. Returns whether
    /// anything changed since the manifest of `generation`, so that it is worth another try.
    fn has_moved_on(&self, generation: u64) -> Result<bool> {
        let newest = view::generation(&self.shared.dir)?;
        if self.index().1 == generation && newest == Some(generation) {
            return Ok(false);
        }
        if newest != Some(self.index().1) {
            self.reload()?;
        }
        Ok(true)
    }
}

/// What can be known of the latest writer without its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    pub epoch: Epoch,
    /// It has closed the journal, so it is gone for certain. If not, nobody can tell from here.
    pub has_closed: bool,
}

impl Writer {
    /// As whom to look at turns and claims: as the latest writer, or as the one after it if the
    /// latest is known to be gone.
    pub fn now(self, is_gone: bool) -> Epoch {
        match is_gone || self.has_closed {
            true => self.epoch.next(),
            false => self.epoch,
        }
    }
}

/// A session, to be read. Cheap to clone.
#[derive(Clone)]
pub struct ReaderSession {
    reader: Reader,
    no: SessionNo,
    id: Arc<str>,
}

impl fmt::Debug for ReaderSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReaderSession({:?}, no {})", self.id, self.no)
    }
}

impl ReaderSession {
    /// The host's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its number in the journal.
    pub fn no(&self) -> SessionNo {
        self.no
    }

    /// The session at a glance.
    ///
    /// # Errors
    /// [`Error::SessionDeleted`] if it was deleted since.
    pub fn info(&self) -> Result<SessionInfo> {
        self.look(SessionInfo::of)
    }

    /// Reads durable records by their place in the session, forwards, or backwards with
    /// [`Iterator::rev`]. Truncated and cleared records are not there.
    ///
    /// # Errors
    /// As [`ReaderSession::info`]. Damage is an error of the record that it hits.
    pub fn read(&self, range: impl RangeBounds<Seq>) -> Result<ReaderEntries> {
        let (from, to) = bounds(range);
        let holes = self.look(|state| state.holes.clone())?;
        Ok(ReaderEntries::new(
            self.reader.clone(),
            self.no,
            from,
            to,
            holes,
        ))
    }

    /// The last `count` records, oldest first.
    ///
    /// # Errors
    /// As [`ReaderSession::read`], and for the first record that is damaged.
    pub fn last(&self, count: usize) -> Result<Vec<Entry>> {
        last(self.read(..)?, count)
    }

    /// The records of the last `count` turns, oldest first, and whatever stands between them.
    ///
    /// # Errors
    /// As [`ReaderSession::last`].
    pub fn last_turns(&self, count: usize) -> Result<Vec<Entry>> {
        last_turns(self.read(..)?, count)
    }

    /// The records of one turn, in order. See [`TurnEntries`].
    ///
    /// # Errors
    /// As [`ReaderSession::read`].
    pub fn turn_entries(&self, turn: Seq) -> Result<TurnEntries<ReaderEntries>> {
        Ok(TurnEntries::new(self.read(turn..)?, turn))
    }

    /// The records from a turn's first one on.
    ///
    /// # Errors
    /// As [`ReaderSession::read`].
    pub fn from_turn(&self, turn: Seq) -> Result<ReaderEntries> {
        self.read(turn..)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// As [`ReaderSession::last`].
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let Some(seq) = self.look(|state| state.values.get(key).map(|value| value.seq))? else {
            return Ok(None);
        };
        let entry = self.read(seq..seq.next())?.next().transpose()?;
        Ok(entry.map(|entry| entry.content))
    }

    /// The keys that hold a value, in order.
    ///
    /// # Errors
    /// As [`ReaderSession::info`].
    pub fn keys(&self) -> Result<Vec<String>> {
        self.look(|state| state.values.keys().map(|key| key.to_string()).collect())
    }

    fn look<T>(&self, look: impl FnOnce(&SessionState) -> T) -> Result<T> {
        let view = self.reader.shared.view.read();
        let state = view.state.session(self.no);
        state.map(look).ok_or_else(|| Error::SessionDeleted {
            id: self.id.to_string(),
        })
    }
}

/// Entries of a session over the index that `reader` has now.
fn entries_now(
    reader: &Reader,
    session: SessionNo,
    from: Seq,
    to: Seq,
    holes: &[(Seq, Seq)],
) -> (Entries, u64) {
    let (index, generation) = reader.index();
    let locksmith = reader.locksmith();
    let entries = Entries::new(index, locksmith, session, from, to, holes.to_vec());
    (entries, generation)
}
