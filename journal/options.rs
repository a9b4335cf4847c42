//! Settings of a journal, each with its unit, its default, and what raising it costs.

use super::keys::Locksmith;
use super::redact::{Redact, Unstored};
use super::thresholds::Thresholds;
use crate::error::{Error, Result};
use crate::model::retention::Retention;
use crate::model::state::MAX_OPEN_TURNS;
use crate::storage::Storage;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How a journal is opened. A consuming builder; the defaults are safe.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    pub(crate) create: bool,
    pub(crate) segment_bytes: u64,
    pub(crate) first_segment_bytes: u64,
    pub(crate) max_record_bytes: u32,
    pub(crate) max_pending_bytes: usize,
    pub(crate) ticket_delay: Duration,
    pub(crate) group_align: u32,
    pub(crate) keep_snapshots: usize,
    pub(crate) compact_after_bytes: u64,
    pub(crate) max_packs: usize,
    pub(crate) key_window: usize,
    pub(crate) max_open_turns: usize,
    pub(crate) max_lost_claims: u32,
    pub(crate) retention: Retention,
    pub(crate) background: bool,
    pub(crate) storage: Option<Arc<dyn Storage>>,
    pub(crate) locksmith: Locksmith,
    pub(crate) redact: Option<Arc<Redact>>,
    pub(crate) thresholds: Thresholds,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            create: true,
            segment_bytes: 64 << 20,
            first_segment_bytes: 1 << 20,
            max_record_bytes: 16 << 20,
            max_pending_bytes: 16 << 20,
            ticket_delay: Duration::ZERO,
            group_align: 4096,
            keep_snapshots: 3,
            compact_after_bytes: 64 << 20,
            max_packs: 24,
            key_window: 128,
            max_open_turns: MAX_OPEN_TURNS,
            max_lost_claims: 3,
            retention: Retention::default(),
            background: true,
            storage: None,
            locksmith: Locksmith::default(),
            redact: None,
            thresholds: Thresholds::default(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("create", &self.create)
            .field("segment_bytes", &self.segment_bytes)
            .field("max_record_bytes", &self.max_record_bytes)
            .field("max_pending_bytes", &self.max_pending_bytes)
            .field("group_align", &self.group_align)
            .field("keep_snapshots", &self.keep_snapshots)
            .field("compact_after_bytes", &self.compact_after_bytes)
            .field("background", &self.background)
            .field("locksmith", &self.locksmith)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Whether a missing journal is made. Default: yes.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Size of a segment file in bytes. Default: 64 MiB. Larger segments rotate less often and
    /// take longer to prepare; two are kept ready at any time.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Size of a journal's first segment in bytes; each next one is up to four times
    /// as large as what went into one of late, at most [`Options::segment_bytes`], so that a small
    /// journal stays small. Default: 1 MiB.
    pub fn first_segment_bytes(mut self, bytes: u64) -> Self {
        self.first_segment_bytes = bytes;
        self
    }

    /// Largest record in bytes, its envelope included. Default: 16 MiB. Raising it raises the
    /// memory that hostile input can ask for.
    pub fn max_record_bytes(mut self, bytes: u32) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// Bytes that may be accepted and not yet durable before appends wait. Default: 16 MiB.
    pub fn max_pending_bytes(mut self, bytes: usize) -> Self {
        self.max_pending_bytes = bytes;
        self
    }

    /// How long records that were submitted may wait for others before they are committed, if
    /// nobody waits for their tickets. Default: not at all. A few milliseconds make the groups
    /// of a stream of tickets larger and its syncs fewer.
    pub fn ticket_delay(mut self, delay: Duration) -> Self {
        self.ticket_delay = delay;
        self
    }

    /// Groups begin at multiples of this many bytes, counted from the first group of a segment: a
    /// power of two from 8 to 65536.
    ///
    /// Default: 4096, which assumes nothing of the disk: no block with acknowledged bytes is
    /// ever rewritten. 512 or less assumes *powersafe overwrite*: that a power cut garbles only
    /// bytes that were being written. It takes effect with the next segment.
    pub fn group_align(mut self, bytes: u32) -> Self {
        self.group_align = bytes;
        self
    }

    /// How many snapshots are kept, at least 1. Default: 3. Each holds on to the log segments
    /// that it needs.
    pub fn keep_snapshots(mut self, count: usize) -> Self {
        self.keep_snapshots = count;
        self
    }

    /// Bytes of sealed log after which it is compacted in the background. Default: 64 MiB.
    /// Raising it makes opening after a crash slower.
    pub fn compact_after_bytes(mut self, bytes: u64) -> Self {
        self.compact_after_bytes = bytes;
        self
    }

    /// How many packs there may be before neighbours are merged, at least 2. Default: 24.
    pub fn max_packs(mut self, count: usize) -> Self {
        self.max_packs = count;
        self
    }

    /// How many idempotency keys of ended turns each session remembers. Default: 128. Keys of
    /// open turns are always remembered.
    pub fn key_window(mut self, count: usize) -> Self {
        self.key_window = count;
        self
    }

    /// How many turns of a session may be open at once: from 1 to 1,024, which is the default.
    /// With 1, a turn begins only when the one before has ended; until then
    /// [`crate::Session::begin`] fails with [`Error::TurnOpen`]. Turns that are open already stay.
    pub fn max_open_turns(mut self, count: usize) -> Self {
        self.max_open_turns = count;
        self
    }

    /// How many claims of an input may end with their writer before the input is not handed out
    /// again but buried, so that input which kills whoever takes it up does not do so for ever.
    /// Default 3. Claims that are released do not count: whoever can do that can decide.
    pub fn max_lost_claims(mut self, count: u32) -> Self {
        self.max_lost_claims = count;
        self
    }

    /// What compaction may drop. The default drops progress of answered turns and replaced values.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Whether threads of the journal's own commit tickets, prepare segments and compact.
    /// Default: yes. Without, tickets are committed by whoever waits for them, and compaction
    /// runs only on call: everything happens in the caller, in an order that a seed repeats.
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// The disk. Default: the operating system's.
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Seals the content, references and metadata of every new record, and opens them on reading.
    /// Default: nothing is sealed.
    ///
    /// Records of before stay as they are, and are read as ever. What stays readable to whoever
    /// has the files, and how a key is rotated or dropped, is in `docs/GUARANTEES.md`.
    #[cfg(feature = "encryption")]
    pub fn keys(mut self, keys: impl super::keys::Keys + 'static) -> Self {
        self.locksmith.keys = Some(Arc::new(keys));
        self
    }

    /// Whether a record whose key is not there is shown as it is stored, with
    /// [`Entry::sealed`](crate::Entry::sealed) set, instead of [`Error::NoKey`]. Default: no.
    pub fn show_sealed(mut self, show: bool) -> Self {
        self.locksmith.show_sealed = show;
        self
    }

    /// What every record passes before it is stored, and before it is sealed: take out of its
    /// content and metadata what must not be kept. Called on the appending thread, once for each
    /// record; if it panics, nothing was appended.
    ///
    /// ```
    /// # let home = tempfile::tempdir()?;
    /// let (journal, _) = turnkeep::Journal::options()
    ///     .redact(|record| {
    ///         if let Some(at) = record.content.windows(3).position(|bytes| bytes == b"sk-") {
    ///             record.content.to_mut().truncate(at);
    ///         }
    ///     })
    ///     .open(home.path().join("j"))?;
    /// let session = journal.session("s")?;
    /// session.append("note", "my key is sk-123")?;
    /// assert_eq!(session.last(1)?[0].content, b"my key is ");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn redact(mut self, redact: impl Fn(&mut Unstored<'_>) + Send + Sync + 'static) -> Self {
        self.redact = Some(Arc::new(redact));
        self
    }

    /// From what on [`crate::Journal::health`] gives alerts.
    pub fn thresholds(mut self, thresholds: Thresholds) -> Self {
        self.thresholds = thresholds;
        self
    }

    /// The disk that was set, or the operating system's.
    pub(crate) fn disk(&self) -> Arc<dyn Storage> {
        self.storage
            .clone()
            .unwrap_or_else(|| Arc::new(crate::storage::disk::DiskStorage) as Arc<dyn Storage>)
    }

    /// Refuses settings that make no sense.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |what, why: &str| {
            Err(Error::Invalid {
                what,
                why: why.to_owned(),
            })
        };
        if !self.group_align.is_power_of_two() || !(8..=65536).contains(&self.group_align) {
            return refuse("group_align", "it must be a power of two from 8 to 65536");
        }
        let least = 4096 + 4 * u64::from(self.group_align);
        if self.first_segment_bytes < least || self.segment_bytes < self.first_segment_bytes {
            return refuse(
                "segment_bytes",
                "a segment holds its header and at least four groups",
            );
        }
        if self.segment_bytes > 1 << 34 {
            return refuse("segment_bytes", "16 GiB is the most");
        }
        if self.max_record_bytes < 256 || self.max_record_bytes > 1 << 28 {
            return refuse("max_record_bytes", "it must be from 256 bytes to 256 MiB");
        }
        if self.keep_snapshots == 0 || self.max_packs < 2 {
            return refuse(
                "keep_snapshots",
                "at least one snapshot and two packs are needed",
            );
        }
        if !(1..=MAX_OPEN_TURNS).contains(&self.max_open_turns) {
            return refuse("max_open_turns", "it must be from 1 to 1024");
        }
        Ok(())
    }

    /// Capacity of the next segment, when `filled` bytes went into one of late.
    pub(crate) fn next_capacity(&self, filled: u64) -> u64 {
        filled
            .saturating_mul(4)
            .checked_next_power_of_two()
            .unwrap_or(u64::MAX)
            .clamp(self.first_segment_bytes, self.segment_bytes)
    }
}
