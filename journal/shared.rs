//! What all handles of one open journal share.

use super::commit::{Commit, Want};
use super::index::Index;
use super::log_read::Shown;
use super::log_writer::LogWriter;
use super::options::Options;
use super::queue::Dropped;
use super::redact::Unstored;
use super::segments::{Expected, SegmentFile, adopt_spare, make_spare};
use super::tail::{Accepted, Prepared, Tail};
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::format::frame::SEALED;
use crate::format::ids::{Epoch, JournalId, Lsn, SegmentId, SessionNo};
use crate::format::manifest::Manifest;
use crate::format::names;
#[cfg(feature = "encryption")]
use crate::format::seal::{NONCE_LEN, SEAL_HEADER_LEN};
use crate::format::segment::SegmentHeader;
use crate::model::check::Condition;
use crate::model::event::{Envelope, Kind, encode_payload};
use crate::model::session::SessionEntry;
use crate::storage::dir::Dir;
use crate::storage::{Lock, OpenMode};
#[cfg(feature = "encryption")]
use crate::sync::AtomicU64;
use crate::sync::{Arc, AtomicBool, Condvar, Mutex, Ordering, RwLock};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
#[cfg(feature = "encryption")]
use std::path::Path;
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::Duration;

/// How soon an append is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// When the call returns, the record survives power loss.
    #[default]
    Durable,
    /// When the call returns, the record is accepted; it is synced within the stated time, or
    /// with the next durable record, whichever comes first.
    Relaxed(Duration),
    /// When the call returns, the record was handed to the operating system: it survives the
    /// death of the process, not a power cut.
    Buffered,
}

/// What the background does: set by the room that knows how.
pub(crate) type Maintain = Box<dyn Fn(&Arc<Shared>) -> Result<()> + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) dir: Dir,
    pub(crate) options: Options,
    pub(crate) journal: JournalId,
    pub(crate) commit: Commit<Tail, LogWriter>,
    pub(crate) index: Arc<RwLock<Index>>,
    /// The newest published manifest.
    pub(crate) manifest: Mutex<Manifest>,
    /// Held by whoever compacts or checkpoints.
    pub(crate) compacting: Mutex<()>,
    pub(crate) maker: Mutex<Maker>,
    pub(crate) upkeep: Mutex<Upkeep>,
    pub(crate) watch: Arc<Watch>,
    maintain: OnceLock<Maintain>,
    keeper: Keeper,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn Lock>>>,
    closed: AtomicBool,
    /// Claims that were dropped while there was no room to say so.
    pub(super) dropped_claims: Mutex<Vec<Dropped>>,
    /// Set when the next segment was taken: another one should be made.
    hint: Arc<AtomicBool>,
    /// How many records were sealed: a part of each nonce.
    #[cfg(feature = "encryption")]
    sealed: AtomicU64,
}

/// What the background has done, for `stat` to tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upkeep {
    pub(crate) compactions: u64,
    pub(crate) failures: u64,
    pub(crate) last_failure: Option<String>,
}

/// What is needed to make the next segment.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) next_id: SegmentId,
    /// Files that may be used again.
    pub(crate) spares: Vec<String>,
}

/// Wakes the housekeeping thread.
#[derive(Default)]
struct Keeper {
    work: Mutex<Work>,
    bell: Condvar,
}

#[derive(Default)]
struct Work {
    rung: bool,
    stop: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Journal({})", self.dir.path().display())
    }
}

/// What [`Shared`] is made of.
pub(crate) struct Parts {
    pub(crate) dir: Dir,
    pub(crate) options: Options,
    pub(crate) journal: JournalId,
    pub(crate) commit: Commit<Tail, LogWriter>,
    pub(crate) index: Arc<RwLock<Index>>,
    pub(crate) manifest: Manifest,
    pub(crate) maker: Maker,
    pub(crate) lock: Box<dyn Lock>,
    pub(crate) hint: Arc<AtomicBool>,
    pub(crate) watch: Arc<Watch>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        Shared {
            dir: parts.dir,
            options: parts.options,
            journal: parts.journal,
            commit: parts.commit,
            index: parts.index,
            manifest: Mutex::new(parts.manifest),
            compacting: Mutex::new(()),
            maker: Mutex::new(parts.maker),
            upkeep: Mutex::new(Upkeep::default()),
            watch: parts.watch,
            maintain: OnceLock::new(),
            keeper: Keeper::default(),
            threads: Mutex::new(Vec::new()),
            lock: Mutex::new(Some(parts.lock)),
            closed: AtomicBool::new(false),
            dropped_claims: Mutex::new(Vec::new()),
            hint: parts.hint,
            #[cfg(feature = "encryption")]
            sealed: AtomicU64::new(0),
        }
    }

    /// Starts the committer and the housekeeping thread. If the system gives none, the journal
    /// works without: whoever waits commits.
    pub(crate) fn start(self: &Arc<Self>, maintain: Maintain) {
        let _ = self.maintain.set(maintain);
        if !self.options.background {
            return;
        }
        let mut threads = self.threads.lock();
        let shared = self.clone();
        let committer = std::thread::Builder::new()
            .name("turnkeep-commit".into())
            .spawn(move || shared.commit.run_committer());
        if let Ok(thread) = committer {
            self.commit.set_threaded(true);
            threads.push(thread);
        }
        let shared = self.clone();
        let keeper = std::thread::Builder::new()
            .name("turnkeep-keeper".into())
            .spawn(move || shared.keep_house());
        if let Ok(thread) = keeper {
            threads.push(thread);
        }
    }

    /// Encodes one record and hands it to the log.
    pub(crate) fn append(
        &self,
        durability: Durability,
        record: &NewRecord<'_>,
    ) -> Result<(Accepted, u64)> {
        let mut payload = PAYLOAD.take();
        let result = self.append_with(&mut payload, durability, record);
        PAYLOAD.set(payload);
        result
    }

    fn append_with(
        &self,
        payload: &mut Vec<u8>,
        durability: Durability,
        record: &NewRecord<'_>,
    ) -> Result<(Accepted, u64)> {
        #[cfg(feature = "metrics")]
        let begun = std::time::Instant::now();
        let prepared = self.encode(record, payload, self.dir.storage().unix_ms())?;
        let mut offer = |tail: &mut Tail| tail.admit(&prepared);
        let prepare = |capacity| self.prepare_segment(capacity);
        let accepted = match durability {
            Durability::Durable => self.commit.append(Want::Durable, &prepare, &mut offer)?,
            Durability::Buffered => self.commit.append(Want::Written, &prepare, &mut offer)?,
            Durability::Relaxed(within) => {
                let (want, within) = (Want::Nothing, Some(within));
                self.commit
                    .submit(want, within, true, &prepare, &mut offer)?
            }
        };
        #[cfg(feature = "metrics")]
        if durability == Durability::Durable {
            self.watch.meters.appended(begun.elapsed());
        }
        self.ring_if_needed();
        Ok(accepted)
    }

    /// As [`Shared::append`], without waiting for anything but room.
    pub(crate) fn submit(&self, may_wait: bool, record: &NewRecord<'_>) -> Result<(Accepted, u64)> {
        let (want, within) = self.ticket_want();
        self.offer(may_wait, want, within, record)
    }

    /// How soon what is submitted is to be durable, if nobody waits for it.
    fn ticket_want(&self) -> (Want, Option<Duration>) {
        match self.options.ticket_delay {
            Duration::ZERO => (Want::Durable, None),
            delay => (Want::Nothing, Some(delay)),
        }
    }

    /// As [`Shared::submit`]; the record is synced within the stated time.
    pub(crate) fn note(
        &self,
        may_wait: bool,
        within: Duration,
        record: &NewRecord<'_>,
    ) -> Result<(Accepted, u64)> {
        self.offer(may_wait, Want::Nothing, Some(within), record)
    }

    fn offer(
        &self,
        may_wait: bool,
        want: Want,
        within: Option<Duration>,
        record: &NewRecord<'_>,
    ) -> Result<(Accepted, u64)> {
        let mut payload = PAYLOAD.take();
        let result = self
            .encode(record, &mut payload, self.dir.storage().unix_ms())
            .and_then(|prepared| {
                self.commit.submit(
                    want,
                    within,
                    may_wait,
                    &|capacity| self.prepare_segment(capacity),
                    &mut |tail: &mut Tail| tail.admit(&prepared),
                )
            });
        PAYLOAD.set(payload);
        self.ring_if_needed();
        result
    }

    /// Encodes a record: as the host redacts it, and sealed if the journal has keys.
    fn encode<'p, 'a: 'p>(
        &self,
        record: &NewRecord<'a>,
        payload: &'p mut Vec<u8>,
        at_ms: u64,
    ) -> Result<Prepared<'p>> {
        let mut envelope = record.envelope.clone();
        envelope.at_ms = at_ms;
        let mut said = Unstored {
            kind: record.kind,
            name: envelope.name,
            actor: envelope.actor,
            content: Cow::Borrowed(record.content),
            extra: Cow::Borrowed(std::mem::take(&mut envelope.extra)),
        };
        if let Some(redact) = &self.options.redact {
            redact(&mut said);
        }
        let is_silent =
            said.content.is_empty() && said.extra.is_empty() && envelope.refs.is_empty();
        let must_seal = self.options.locksmith.is_sealing() && !is_silent;
        payload.clear();
        let content_at = if must_seal {
            let refs = std::mem::take(&mut envelope.refs);
            encode_part(&envelope, &[], payload)?;
            self.seal(record, &said, refs, payload)?
        } else {
            let whole = Envelope {
                extra: &said.extra,
                ..envelope.clone()
            };
            encode_part(&whole, &said.content, payload)?;
            payload.len() - said.content.len()
        };
        let content_len = (payload.len() - content_at) as u32;
        let prepared = Prepared::new(record.session, record.kind, envelope, content_len, payload);
        Ok(Prepared {
            condition: record.condition,
            codec: if must_seal { SEALED } else { 0 },
            ..prepared
        })
    }

    /// Adds what only the host understands to a payload that ends with its envelope, sealed.
    /// Returns where it begins.
    #[cfg(feature = "encryption")]
    fn seal(
        &self,
        record: &NewRecord<'_>,
        said: &Unstored<'_>,
        refs: Vec<&str>,
        payload: &mut Vec<u8>,
    ) -> Result<usize> {
        let from = payload.len();
        payload.resize(from + SEAL_HEADER_LEN, 0);
        let private = Envelope {
            refs,
            extra: &said.extra,
            ..Envelope::default()
        };
        encode_part(&private, &said.content, payload)?;
        let drawn = self.dir.storage().entropy();
        let drawn = drawn.map_err(|e| Error::io("draw", Path::new("a nonce"), e))?;
        let count = self.sealed.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; NONCE_LEN];
        nonce[..16].copy_from_slice(&drawn);
        nonce[16..].copy_from_slice(&count.to_le_bytes());
        let about = (record.kind, record.session);
        let session = match record.kind {
            Kind::SessionCreated => record.envelope.name.to_owned(),
            _ => self.commit.with_stage(|tail| {
                let state = tail.state.session(record.session);
                state.map_or(String::new(), |state| state.name.to_string())
            }),
        };
        let locksmith = &self.options.locksmith;
        locksmith.seal(&session, about, nonce, payload, from)?;
        Ok(from)
    }

    #[cfg(not(feature = "encryption"))]
    fn seal(
        &self,
        record: &NewRecord<'_>,
        _: &Unstored<'_>,
        _: Vec<&str>,
        _: &mut Vec<u8>,
    ) -> Result<usize> {
        Err(Error::NoKey {
            what: format!("new records of session {}", record.session),
            key: None,
        })
    }

    /// Hands several records to the log, all or none. Returns the last record's LSN.
    pub(crate) fn submit_batch(&self, records: &[NewRecord<'_>]) -> Result<(Lsn, u64)> {
        self.commit.check_home()?;
        if records.is_empty() {
            let end = self.commit.with_stage(|tail| tail.next_lsn());
            return Ok((Lsn::new(end.get() - 1), end.get()));
        }
        let (_, end_lsn) = self.submit_records(records)?;
        Ok((Lsn::new(end_lsn - 1), end_lsn))
    }

    /// As [`Shared::submit_batch`], for at least one record. Returns the places of all.
    pub(crate) fn submit_records(&self, records: &[NewRecord<'_>]) -> Result<(Vec<Accepted>, u64)> {
        let at_ms = self.dir.storage().unix_ms();
        let mut payloads = vec![Vec::new(); records.len()];
        let prepared = records
            .iter()
            .zip(&mut payloads)
            .map(|(record, payload)| self.encode(record, payload, at_ms))
            .collect::<Result<Vec<_>>>()?;
        let (want, within) = self.ticket_want();
        let accepted = self.commit.submit(
            want,
            within,
            true,
            &|capacity| self.prepare_segment(capacity),
            &mut |tail: &mut Tail| tail.admit_all(&prepared),
        )?;
        self.ring_if_needed();
        Ok(accepted)
    }

    /// The present writer.
    pub(crate) fn epoch(&self) -> Epoch {
        self.commit.with_stage(|tail| tail.epoch())
    }

    /// Looks at the fold, and returns when all that `look` saw is durable. `look` also gives
    /// the LSN after what it saw.
    pub(crate) fn settled<T>(&self, look: impl FnOnce(&Tail) -> (T, Lsn)) -> Result<T> {
        self.commit.check_home()?;
        let (value, end) = self.commit.with_stage(|tail| look(tail));
        self.commit.wait_durable(end.get())?;
        Ok(value)
    }

    /// Makes the segment after the active one, of at least `capacity` bytes, unless it is there.
    ///
    /// # Errors
    /// [`Error::NoSpace`] or [`Error::Io`]; the journal goes on and a later append tries again.
    /// A failed rename or directory sync poisons it.
    pub(crate) fn prepare_segment(&self, capacity: u64) -> Result<()> {
        let mut maker = self.maker.lock();
        let ready = self.commit.with_stage(|tail| tail.next_segment_capacity());
        if ready.is_some_and(|ready| ready >= capacity) {
            return Ok(());
        }
        let filled = self.commit.with_stage(|tail| tail.filled_bytes());
        let planned = self.options.next_capacity(filled);
        let align = u64::from(self.options.group_align).max(4096);
        let header = SegmentHeader {
            journal: self.journal,
            id: maker.next_id,
            capacity: planned.max(capacity.next_multiple_of(align)),
            base_lsn: Lsn::default(),
            group_align: self.options.group_align,
            base_link: 0,
            base_group_link: 0,
            created_ms: self.dir.storage().unix_ms(),
        };
        let old = maker.spares.pop();
        let spare = make_spare(&self.dir, &header, old.as_deref())?;
        // From here on the id is taken, whatever happens.
        maker.next_id = maker.next_id.next();
        if let Err(error) = adopt_spare(&self.dir, &spare, header.id) {
            self.watch.failed(&error);
            self.commit.poison(error);
            let cause = self
                .commit
                .failure()
                .expect("the log was poisoned a line ago");
            return Err(Error::Poisoned { cause });
        }
        let expected = Expected {
            journal: self.journal,
            id: header.id,
        };
        let segment = SegmentFile::open(&self.dir, expected, OpenMode::ReadWrite)?;
        let smaller = self
            .commit
            .with_stage(|tail| tail.set_next_segment(Arc::new(segment)));
        if let Some(smaller) = smaller {
            // An empty segment: should its removal be undone by a crash, it says nothing.
            let _ = self.dir.remove(&names::segment(smaller.id()));
        }
        self.look_at_space();
        Ok(())
    }

    /// Tells if the disk has come to be low on space.
    pub(crate) fn look_at_space(&self) {
        if let Ok(free) = self.dir.storage().free_bytes(self.dir.path()) {
            self.watch
                .has_space(free, self.options.thresholds.low_space_bytes);
        }
    }

    /// Which records a reader of the whole log is shown: not those of dropped history. That a
    /// session was deleted is shown, so that whoever follows can drop what was derived from it.
    pub(crate) fn shown(self: &Arc<Self>) -> Shown {
        let shared = self.clone();
        Box::new(move |entry| {
            shared
                .commit
                .with_stage(|tail| match tail.state.entry(entry.session) {
                    Some(SessionEntry::Live(session)) => session.is_visible(entry.seq),
                    Some(SessionEntry::Deleted(_)) => entry.kind == Kind::SessionDeleted,
                    None => false,
                })
        })
    }

    /// Wakes the housekeeping thread.
    pub(crate) fn ring(&self) {
        let mut work = self.keeper.work.lock();
        work.rung = true;
        drop(work);
        self.keeper.bell.notify_one();
    }

    /// Releases the threads and the lock. What is accepted and not durable is not waited for.
    pub(crate) fn shut(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.keeper.work.lock().stop = true;
        self.keeper.bell.notify_one();
        self.commit.stop_committer();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A thread that lets go of the last handle does not wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
        self.lock.lock().take();
        self.watch.end();
    }

    /// Whether the journal was shut, or is about to be.
    pub(crate) fn is_shut(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Wakes the housekeeping thread if a segment should be made.
    fn ring_if_needed(&self) {
        if self.options.background && self.hint.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }

    fn keep_house(self: Arc<Self>) {
        loop {
            let mut work = self.keeper.work.lock();
            while !work.rung && !work.stop {
                crate::sync::wait(&self.keeper.bell, &mut work);
            }
            if work.stop {
                return;
            }
            work.rung = false;
            drop(work);
            if self.commit.failure().is_some() {
                continue;
            }
            if !self.commit.with_stage(|tail| tail.has_next_segment()) {
                // A failure is met again, and told, by the append that needs the room.
                let _ = self.prepare_segment(0);
            }
            if let Some(maintain) = self.maintain.get() {
                // The log goes on without; `stat` tells how much waits to be compacted.
                let _ = maintain(&self);
            }
        }
    }
}

/// A record that is to be encoded.
#[derive(Clone, Debug)]
pub(crate) struct NewRecord<'a> {
    pub condition: Option<Condition>,
    pub session: SessionNo,
    pub kind: Kind,
    pub envelope: Envelope<'a>,
    pub content: &'a [u8],
}

impl<'a> NewRecord<'a> {
    pub(crate) fn new(session: SessionNo, kind: Kind) -> Self {
        NewRecord {
            condition: None,
            session,
            kind,
            envelope: Envelope::default(),
            content: &[],
        }
    }
}

/// Appends an envelope and a content to a payload.
fn encode_part(envelope: &Envelope<'_>, content: &[u8], payload: &mut Vec<u8>) -> Result<()> {
    encode_payload(envelope, content, payload).map_err(|e| Error::Invalid {
        what: "envelope",
        why: e.to_string(),
    })
}

thread_local! {
    /// Memory that each appending thread keeps, so that an append allocates nothing.
    static PAYLOAD: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
