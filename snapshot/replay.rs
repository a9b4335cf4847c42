//! The sealed part of the log, replayed onto an image.
//!
//! Recovery reads the log with suspicion and decides what damage means. Here the journal is
//! open: everything below the durable mark was checked or written by this process, so whatever
//! does not follow on is damage, and is named.

use super::image::Image;
use crate::error::{Corruption, Error, Result};
use crate::format::ids::{Lsn, SegmentId};
use crate::format::names::{self, Name};
use crate::journal::segments::{Expected, SegmentFile};
use crate::journal::shared::Shared;
use crate::journal::walk::{Stop, start_of};
use crate::storage::OpenMode;
use crate::sync::Arc;

/// The log's segments from some point on.
#[derive(Debug)]
pub(crate) struct Log {
    /// Segments before the active one, ascending. Nobody writes to them any more.
    pub sealed: Vec<Arc<SegmentFile>>,
    /// The one that groups go to.
    pub active: Arc<SegmentFile>,
    /// First LSN of the active segment: where the sealed part ends.
    pub sealed_to: Lsn,
}

impl Log {
    /// The log from segment `from` on, as it is now.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NewerFormat`].
    pub fn from(shared: &Shared, from: SegmentId) -> Result<Log> {
        let (open, first_lsns) = {
            let index = shared.index.read();
            (index.segments.clone(), index.first_lsns.clone())
        };
        let (_, active) = open
            .last_key_value()
            .expect("an open journal has an active segment");
        let begins = first_lsns
            .iter()
            .rev()
            .find(|(_, segment)| **segment == active.id());
        let sealed_to = begins.map_or(Lsn::new(1), |(lsn, _)| *lsn);
        // Not every segment of the log has records, and those without are not in the index;
        // but the groups in them are links of the chain.
        let mut sealed = Vec::new();
        for entry in shared.dir.list()? {
            let Name::Segment(id) = Name::parse(&entry.name) else {
                continue;
            };
            if id < from || id >= active.id() {
                continue;
            }
            let expected = Expected {
                journal: shared.journal,
                id,
            };
            match open.get(&id) {
                Some(segment) => sealed.push(segment.clone()),
                None => match SegmentFile::open(&shared.dir, expected, OpenMode::Read) {
                    Ok(segment) => sealed.push(Arc::new(segment)),
                    // One that nobody got to use. Were it a link, the next would not follow on.
                    Err(Error::Corrupt(_)) => {}
                    Err(error) => return Err(error),
                },
            }
        }
        sealed.sort_by_key(|segment| segment.id());
        Ok(Log {
            sealed,
            active: active.clone(),
            sealed_to,
        })
    }

    /// Folds the sealed segments onto `image`, whose log goes on in the active one afterwards.
    ///
    /// # Errors
    /// [`Error::Corrupt`] naming the first place that does not follow on; [`Error::Io`].
    pub fn replay_sealed(&self, image: &mut Image) -> Result<()> {
        let from = image.point.segment;
        if from >= self.active.id() {
            return Ok(());
        }
        if !self.sealed.iter().any(|segment| segment.id() == from) {
            return Err(
                Corruption::new(names::segment(from), "a segment is missing")
                    .in_segment(from)
                    .of_lsns(image.point.next_lsn, self.sealed_to)
                    .into(),
            );
        }
        let mut doubt = None;
        for (i, segment) in self.sealed.iter().enumerate() {
            if segment.id() < from {
                continue;
            }
            let stop = image.replay(segment, self.void_from(i))?;
            match stop {
                Stop::Sealed | Stop::Full => {}
                // Nothing was written behind, or damage: the next segment tells.
                Stop::Fault(_) => {
                    doubt.get_or_insert_with(|| self.damage(segment, image, &stop));
                }
                Stop::OutOfOrder { .. } => {
                    return Err(doubt
                        .unwrap_or_else(|| self.damage(segment, image, &stop))
                        .into());
                }
            }
        }
        image.point = start_of(&self.active, &image.point);
        if image.point.next_lsn != self.sealed_to {
            let found = image.point.next_lsn;
            let what = "the sealed log does not reach the active segment";
            let plain = Corruption::new(self.active.path(), what).but(self.sealed_to, found);
            return Err(doubt.unwrap_or(plain).into());
        }
        Ok(())
    }

    /// Folds what the active segment holds below `end`, which is durable.
    ///
    /// # Errors
    /// As [`Log::replay_sealed`].
    pub fn replay_active(&self, image: &mut Image, end: Lsn) -> Result<()> {
        let stop = image.replay(&self.active, Some(end))?;
        if image.point.next_lsn != end {
            return Err(self.damage(&self.active, image, &stop).into());
        }
        Ok(())
    }

    /// From which LSN on a sealed segment is void: a later one logged it again.
    fn void_from(&self, sealed: usize) -> Option<Lsn> {
        self.sealed[sealed + 1..]
            .iter()
            .chain([&self.active])
            .map(|later| later.header().base_lsn)
            .filter(|base| base.get() != 0)
            .min()
    }

    fn damage(&self, segment: &SegmentFile, image: &Image, stop: &Stop) -> Corruption {
        let what = match stop {
            Stop::Fault(fault) => fault.to_string(),
            Stop::OutOfOrder { fault, .. } => fault.to_string(),
            Stop::Sealed | Stop::Full => "the segment ends too early".to_owned(),
        };
        let mut corruption = Corruption::new(segment.path(), what)
            .at(image.point.offset)
            .in_segment(segment.id());
        corruption.lsn_from = Some(image.point.next_lsn);
        corruption
    }
}
