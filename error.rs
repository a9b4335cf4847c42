//! Errors: one variant for each thing that a caller would do differently.

use crate::format::ids::{Epoch, Lsn, SegmentId, Seq};
use crate::format::seal::KeyId;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of most calls.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong. Every variant says where, and [`Error::advice`] what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another handle holds the journal. Wait for it, or open read-only.
    #[error("journal {} is held by {holder}", path.display())]
    Locked {
        /// The journal's directory.
        path: PathBuf,
        /// Who holds it, in words.
        holder: String,
        /// Process id of the holder, if it could be learned.
        pid: Option<u32>,
    },
    /// There is nothing at the path, and creating was not asked for.
    #[error("no journal at {}", path.display())]
    NotFound {
        /// The path asked for.
        path: PathBuf,
    },
    /// What is at the path is not a journal. It was not touched.
    #[error("{} is not a journal: {why}", path.display())]
    NotAJournal {
        /// The path asked for.
        path: PathBuf,
        /// What was found instead.
        why: String,
    },
    /// A file was written by a newer release. It was not touched.
    #[error("{} has format version {found}, this release reads up to {supported}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The newest version this release reads.
        supported: u16,
    },
    /// Something acknowledged no longer validates. Nothing on disk was changed.
    #[error("{0}")]
    Corrupt(Box<Corruption>),
    /// The system refused an operation. The journal may be poisoned by it.
    #[error("cannot {op} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        op: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The disk is full. The append was refused before anything was accepted; appends go on
    /// when there is space again.
    #[error("no space left for {needed_bytes} more bytes in {}", path.display())]
    NoSpace {
        /// The journal's directory.
        path: PathBuf,
        /// How much was needed.
        needed_bytes: u64,
    },
    /// A write or a sync failed earlier: nothing more is acknowledged by this handle.
    /// Reading what is durable still works. Reopen to go on.
    #[error("journal is poisoned by an earlier failure")]
    Poisoned {
        /// The first failure.
        #[source]
        cause: Arc<Error>,
    },
    /// The record or batch is larger than the journal's settings allow. It was not accepted.
    #[error("{what} of {len} bytes exceeds the limit of {max}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its length in bytes.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// Too many bytes wait for the disk, and the caller asked not to wait.
    #[error("{pending_bytes} bytes already wait for the disk")]
    Backpressure {
        /// Accepted and not yet durable.
        pending_bytes: u64,
    },
    /// No session of that name.
    #[error("no session {id:?}")]
    UnknownSession {
        /// The id asked for.
        id: String,
    },
    /// A session of that name is there, and another one was to be made.
    #[error("session {id:?} is there already")]
    SessionExists {
        /// The id asked for.
        id: String,
    },
    /// What the caller expected of the session does not hold any more: somebody else was here.
    /// Nothing was appended. Read again, and decide again.
    #[error("session {session:?}: {what} is {found}, expected {expected}")]
    Conflict {
        /// The session.
        session: String,
        /// What was expected: `head` and `value` as the LSN of a record, 0 for none, or
        /// `generation`.
        what: &'static str,
        /// What was expected.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// The session was deleted.
    #[error("session {id:?} is deleted")]
    SessionDeleted {
        /// Its id or number.
        id: String,
    },
    /// No such turn: it never was, its beginning was dropped, or it ended longer ago than is
    /// remembered. Read the session to see.
    #[error("no open turn {turn} in session {session:?}")]
    UnknownTurn {
        /// The session.
        session: String,
        /// The turn: the sequence number of its first record.
        turn: Seq,
    },
    /// The turn has ended, and ends once. What was to be said about it is too late.
    #[error("turn {turn} of session {session:?} is {state} already")]
    TurnEnded {
        /// The session.
        session: String,
        /// The turn.
        turn: Seq,
        /// How it ended.
        state: &'static str,
    },
    /// A turn is open where none may be: the session has as many open turns as it may have, or
    /// the turn to be superseded goes on. Wait for it, cancel it, or queue the input.
    #[error("turn {turn} of session {session:?} is still open")]
    TurnOpen {
        /// The session.
        session: String,
        /// The open turn; of several, the latest.
        turn: Seq,
    },
    /// Another attempt holds the turn, or this one is over because its writer is. Stop working
    /// on it: nothing that this attempt says will be taken.
    #[error(
        "attempt {attempt} of turn {turn} of session {session:?} is fenced off: the latest is \
         attempt {current} of writer {epoch}{}",
        by(owner)
    )]
    Fenced {
        /// The session.
        session: String,
        /// The turn.
        turn: Seq,
        /// The attempt that spoke; 0 for none.
        attempt: u32,
        /// The latest attempt.
        current: u32,
        /// Who makes that attempt; empty if the host did not tell.
        owner: String,
        /// The writer under which it began.
        epoch: Epoch,
    },
    /// The turn has calls without a result, so it is not complete. Record their results, or
    /// that there will be none.
    #[error("turn {turn} of session {session:?} has {calls} calls without a result")]
    OpenCalls {
        /// The session.
        session: String,
        /// The turn.
        turn: Seq,
        /// How many.
        calls: u32,
    },
    /// The turn has no open call of that id: it never was, or has its result.
    #[error("turn {turn} of session {session:?} has no open call of that id")]
    UnknownCall {
        /// The session.
        session: String,
        /// The turn.
        turn: Seq,
    },
    /// The turn cannot go there from where it is, for example back.
    #[error("{what}: turn {turn} of session {session:?} is {state}")]
    WrongState {
        /// What was asked.
        what: &'static str,
        /// The session.
        session: String,
        /// The turn.
        turn: Seq,
        /// The state it is in.
        state: &'static str,
    },
    /// No such input is queued: it became a turn, was confirmed or withdrawn, or never was.
    #[error("no input {input} is queued in session {session:?}")]
    UnknownInput {
        /// The session.
        session: String,
        /// The input: the sequence number of the record that queued it.
        input: u64,
    },
    /// Another claim holds the input, or this one is over: it was taken away by hand, or its
    /// writer is gone. Leave the input to who has it.
    #[error(
        "input {input} of session {session:?} has claim {claim} of writer {epoch}{}",
        by(owner)
    )]
    InputClaimed {
        /// The session.
        session: String,
        /// The input.
        input: u64,
        /// The latest claim.
        claim: u32,
        /// Who made it; empty if the host did not tell, or if it is over.
        owner: String,
        /// The writer under which it was made; 0 if it is over.
        epoch: Epoch,
    },
    /// The input does not stand where that could be done with it.
    #[error("{what}: input {input} of session {session:?} is {state}")]
    InputState {
        /// What was asked.
        what: &'static str,
        /// The session.
        session: String,
        /// The input.
        input: u64,
        /// Where it stands.
        state: &'static str,
    },
    /// Input is queued among the records to be dropped. It would go unseen, so it must leave the
    /// queue first.
    #[error("input {input} of session {session:?} is still queued")]
    InputPending {
        /// The session.
        session: String,
        /// The oldest of it.
        input: Seq,
    },
    /// The session, or the journal, has as many of these as it may have. Some must go first.
    #[error("session {session:?} has {max} {what}, and may not have more")]
    Full {
        /// The session.
        session: String,
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        max: u64,
    },
    /// The directory is a backup. Opened for writing it would become a second journal of the same
    /// identity, so it is not. Restore it, or open it for reading.
    #[error("{} is a backup", path.display())]
    IsBackup {
        /// The backup's directory.
        path: PathBuf,
    },
    /// No such backup is in the store.
    #[error("no backup {wanted} in {}", store.display())]
    NoBackup {
        /// The directory of the backups.
        store: PathBuf,
        /// What was asked for, in words.
        wanted: String,
    },
    /// A backup does not validate. Nothing was restored.
    #[error(
        "backup {number} in {} is damaged{}",
        store.display(),
        match sound {
            Some(sound) => format!("; backup {sound} is sound"),
            None => String::new(),
        }
    )]
    DamagedBackup {
        /// The directory of the backups.
        store: PathBuf,
        /// The backup.
        number: u64,
        /// The newest one of the same journal that was just verified, if there is one.
        sound: Option<u64>,
        /// The first thing that is wrong with it.
        #[source]
        cause: Box<Corruption>,
    },
    /// The call's arguments do not make sense together.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// Which argument.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// The key is not there: it was not given, was dropped, or is that of somebody else. Nothing is
    /// damaged by that, and nothing was stored in the clear.
    #[error("no key for {what}{}", of_id(key))]
    NoKey {
        /// What would have been opened or sealed.
        what: String,
        /// The key's id, if a record asks for it.
        key: Option<KeyId>,
    },
    /// The content does not open with the key that it names, under good checksums: somebody who
    /// has no key changed it, or put it where it does not belong.
    #[error("record {lsn} in {} was tampered with", path.display())]
    Tampered {
        /// The file.
        path: PathBuf,
        /// The record.
        lsn: Lsn,
    },
    /// The journal was closed.
    #[error("journal is closed")]
    Closed,
    /// The handle was inherited by a forked process. It is the parent's: nothing was done, and
    /// the parent goes on undisturbed. Open the journal for reading, or in a process of its own.
    #[error("journal belongs to process {owner}, of which this one is a fork")]
    Forked {
        /// Process id of the one that opened it.
        owner: u32,
    },
    /// The journal was opened for reading, or its place cannot be written.
    #[error("journal {} is open for reading only", path.display())]
    ReadOnly {
        /// The journal's directory.
        path: PathBuf,
    },
}

/// What exactly is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The file concerned.
    pub path: PathBuf,
    /// The byte offset in it, if one is known.
    pub offset: Option<u64>,
    /// The segment concerned, if it is one.
    pub segment: Option<SegmentId>,
    /// The records concerned: first LSN, inclusive.
    pub lsn_from: Option<Lsn>,
    /// The records concerned: last LSN, exclusive.
    pub lsn_to: Option<Lsn>,
    /// What is wrong, in words.
    pub what: String,
    /// What was expected, if that helps.
    pub expected: Option<String>,
    /// What was found instead.
    pub found: Option<String>,
}

impl Corruption {
    /// Starts a description of damage in `path`.
    pub fn new(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Corruption {
            path: path.into(),
            offset: None,
            segment: None,
            lsn_from: None,
            lsn_to: None,
            what: what.into(),
            expected: None,
            found: None,
        }
    }

    /// Adds the byte offset.
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Adds the segment.
    pub fn in_segment(mut self, segment: SegmentId) -> Self {
        self.segment = Some(segment);
        self
    }

    /// Adds the range of records concerned, `from` inclusive, `to` exclusive.
    pub fn of_lsns(mut self, from: Lsn, to: Lsn) -> Self {
        self.lsn_from = Some(from);
        self.lsn_to = Some(to);
        self
    }

    /// Adds what was expected and what was found.
    pub fn but(mut self, expected: impl ToString, found: impl ToString) -> Self {
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }
}

impl std::fmt::Display for Corruption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "corrupt: {} in {}", self.what, self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        match (self.lsn_from, self.lsn_to) {
            (Some(from), Some(to)) if from.next() == to => write!(f, ", lsn {from}")?,
            (Some(from), Some(to)) => write!(f, ", lsn {from}..{to}")?,
            (Some(from), None) => write!(f, ", from lsn {from}")?,
            _ => {}
        }
        if let (Some(expected), Some(found)) = (&self.expected, &self.found) {
            write!(f, ": expected {expected}, found {found}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Corruption {}

impl From<Corruption> for Error {
    fn from(corruption: Corruption) -> Self {
        Error::Corrupt(Box::new(corruption))
    }
}

/// As an addition to a sentence.
fn of_id(key: &Option<KeyId>) -> String {
    match key {
        None => String::new(),
        Some(key) => format!(": it is sealed with {key}"),
    }
}

fn by(owner: &str) -> String {
    match owner {
        "" => String::new(),
        owner => format!(", by {owner:?}"),
    }
}

impl Error {
    /// Wraps a system error with what was attempted and where. A full disk or an exhausted
    /// quota becomes [`Error::NoSpace`].
    pub fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::NoSpace {
                path: path.to_path_buf(),
                needed_bytes: 0,
            },
            _ => Error::Io {
                op,
                path: path.to_path_buf(),
                source,
            },
        }
    }

    /// Returns a stable, machine-readable name of the variant.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Locked { .. } => "locked",
            Error::NotFound { .. } => "not_found",
            Error::NotAJournal { .. } => "not_a_journal",
            Error::NewerFormat { .. } => "newer_format",
            Error::Corrupt(_) => "corrupt",
            Error::Io { .. } => "io",
            Error::NoSpace { .. } => "no_space",
            Error::Poisoned { .. } => "poisoned",
            Error::TooLarge { .. } => "too_large",
            Error::Backpressure { .. } => "backpressure",
            Error::UnknownSession { .. } => "unknown_session",
            Error::SessionDeleted { .. } => "session_deleted",
            Error::SessionExists { .. } => "session_exists",
            Error::Conflict { .. } => "conflict",
            Error::UnknownTurn { .. } => "unknown_turn",
            Error::TurnEnded { .. } => "turn_ended",
            Error::TurnOpen { .. } => "turn_open",
            Error::Fenced { .. } => "fenced",
            Error::OpenCalls { .. } => "open_calls",
            Error::UnknownCall { .. } => "unknown_call",
            Error::WrongState { .. } => "wrong_state",
            Error::UnknownInput { .. } => "unknown_input",
            Error::InputClaimed { .. } => "input_claimed",
            Error::InputState { .. } => "input_state",
            Error::InputPending { .. } => "input_pending",
            Error::Full { .. } => "full",
            Error::Invalid { .. } => "invalid",
            Error::NoKey { .. } => "no_key",
            Error::Tampered { .. } => "tampered",
            Error::IsBackup { .. } => "is_backup",
            Error::NoBackup { .. } => "no_backup",
            Error::DamagedBackup { .. } => "damaged_backup",
            Error::Closed => "closed",
            Error::Forked { .. } => "forked",
            Error::ReadOnly { .. } => "read_only",
        }
    }

    /// Returns what to do next, in one sentence.
    pub fn advice(&self) -> &'static str {
        match self {
            Error::Locked { .. } => "stop the process that holds it, or open it for reading",
            Error::NotFound { .. } => "check the path, or create a journal there",
            Error::NotAJournal { .. } => {
                "check the path; an empty or new directory becomes a journal"
            }
            Error::NewerFormat { .. } => "use the release that wrote it, or a newer one",
            Error::Corrupt(_) => {
                "nothing was changed; run `turnkeep verify` to see all damage, \
                 then `turnkeep salvage` to keep everything that is whole"
            }
            Error::Io { .. } => "check permissions and the disk, then open the journal again",
            Error::NoSpace { .. } => "free some space; appends go on by themselves",
            Error::Poisoned { .. } => {
                "open the journal again: recovery keeps everything acknowledged"
            }
            Error::TooLarge { .. } => "split the payload, or raise the limit in the options",
            Error::Backpressure { .. } => "wait for earlier tickets, or use the waiting call",
            Error::UnknownSession { .. } => "list the sessions to see the ids there are",
            Error::SessionDeleted { .. } => "open a new session; a deleted one does not come back",
            Error::SessionExists { .. } => "use the session that is there, or another id",
            Error::Conflict { .. } => "read the session again, and decide again",
            Error::UnknownTurn { .. } => "list the open turns, or read the session",
            Error::TurnEnded { .. } => "an ended turn stays ended; begin another in its place",
            Error::TurnOpen { .. } => "wait for the open turn, cancel it, or queue the input",
            Error::Fenced { .. } => "stop working on the turn; a further attempt may be begun",
            Error::OpenCalls { .. } => "record the results, or interrupt the calls",
            Error::UnknownCall { .. } => "list the turn's open calls; each gets one result",
            Error::WrongState { .. } => "look at the turn's state; it moves forwards only",
            Error::UnknownInput { .. } => "list the pending input to see what there is",
            Error::InputClaimed { .. } => "leave it to who has it, or release it by hand",
            Error::InputState { .. } => "list the pending input to see where it stands",
            Error::InputPending { .. } => "withdraw it, or let it become a turn, and try again",
            Error::Full { .. } => "end, withdraw or remove some first",
            Error::Invalid { .. } => "correct the argument",
            Error::NoKey { .. } => "give the key of that id; without it only the content is lost",
            Error::Tampered { .. } => {
                "find out who writes to these files; what is in a backup of before is whole"
            }
            Error::IsBackup { .. } => "restore it, or open it for reading",
            Error::NoBackup { .. } => "list the backups to see which there are",
            Error::DamagedBackup { .. } => {
                "restore the sound one if there is one, or salvage this one's directory"
            }
            Error::Closed => "open the journal again",
            Error::Forked { .. } => {
                "append in the process that opened it; a forked one may open it for reading"
            }
            Error::ReadOnly { .. } => "open it for writing, or make its directory writable",
        }
    }
}
