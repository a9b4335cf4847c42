//! The writer of the log: one write and one data sync per group.
//!
//! What a crash right after each step leaves, and which row of the recovery table meets it:
//!
//! 0. behind a clean end, the page is synced that says so no longer: *clean end*;
//! 1. the group is written, not synced: any subset of its sectors: *torn tail*;
//! 2. the group is synced, the watermark page not stored: whole, not proven: logged again;
//! 3. the page is stored: proven.
//!
//! Rotation writes the sealing group, syncs the old segment, and only then writes to the new
//! one; a crash between leaves an empty newest segment: *clean end* of the one before.

use super::commit::Write;
use super::events::JournalEvent;
use super::index::{Index, Loc};
use super::segments::SegmentFile;
use super::tail::Pending;
use super::watch::{Watch, span};
use crate::error::{Error, Result};
use crate::format::group::{CLOSE, GroupBuffer, Place, SEAL};
use crate::format::ids::{Epoch, JournalId, Lsn, Seq, SessionNo};
use crate::format::manifest::ReplayPoint;
use crate::format::names;
use crate::format::segment::SEGMENT_DATA;
use crate::format::watermark::{CLEAN, Watermark};
use crate::sabotage::Sabotage;
use crate::storage::{File, Page, Storage};
use crate::sync::{Arc, RwLock};
use std::path::Path;
use std::time::Instant;

/// Everything that the one who leads needs.
#[derive(Debug)]
pub(crate) struct LogWriter {
    storage: Arc<dyn Storage>,
    journal: JournalId,
    active: Arc<SegmentFile>,
    /// The end of the log: where the next group goes and what it links to.
    at: ReplayPoint,
    epoch: Epoch,
    durable_lsn: Lsn,
    page: Arc<dyn Page>,
    /// The file that the page is of.
    page_file: Arc<dyn File>,
    counter: u64,
    index: Arc<RwLock<Index>>,
    /// The log ends with a closing group, and nothing was written behind it.
    is_closed: bool,
    watch: Arc<Watch>,
    /// Bytes written and not yet told of.
    untold_bytes: u64,
    /// Records written and not yet synced, which nobody may see.
    unsynced: Vec<(SessionNo, Seq, Lsn, Loc)>,
}

/// Where a writer begins.
pub(crate) struct Start {
    pub journal: JournalId,
    pub active: Arc<SegmentFile>,
    pub at: ReplayPoint,
    pub epoch: Epoch,
    pub page: Arc<dyn Page>,
    pub page_file: Arc<dyn File>,
    pub counter: u64,
    pub index: Arc<RwLock<Index>>,
    /// The log ends with a closing group.
    pub is_closed: bool,
    pub watch: Arc<Watch>,
}

impl LogWriter {
    /// Goes on at `start.at`, below which everything is durable.
    pub(crate) fn new(storage: Arc<dyn Storage>, start: Start) -> Self {
        LogWriter {
            storage,
            journal: start.journal,
            active: start.active,
            durable_lsn: start.at.next_lsn,
            at: start.at,
            epoch: start.epoch,
            page: start.page,
            page_file: start.page_file,
            counter: start.counter,
            index: start.index,
            is_closed: start.is_closed,
            watch: start.watch,
            untold_bytes: 0,
            unsynced: Vec::new(),
        }
    }

    /// Writes the closing group, which proves everything before it, and says so on the page.
    pub(crate) fn close(&mut self) -> Result<()> {
        if self.is_closed {
            return Ok(());
        }
        self.write_marker(CLOSE)?;
        // Zeros behind the closing group tell what is written there later from what an earlier
        // life of the file left. They are no part of the log, and the next group overwrites them.
        let header = self.active.header();
        let room = header.capacity.saturating_sub(self.at.offset);
        let zeros = vec![0; u64::from(header.group_align).max(512).min(room) as usize];
        self.active
            .file()
            .write_all_at(&zeros, self.at.offset)
            .map_err(|e| Error::io("write", self.active.path(), e))?;
        self.sync_active()?;
        self.store_watermark(CLEAN);
        // Without this a power cut makes the next opening a recovery, which loses nothing; so a
        // failure is none of the caller's.
        let _ = self.page_file.sync_data();
        self.is_closed = true;
        Ok(())
    }

    /// Seals the active segment and goes on in `next`, which is empty and durable.
    pub(crate) fn rotate(&mut self, next: Arc<SegmentFile>) -> Result<()> {
        self.write_marker(SEAL)?;
        self.sync_active()?;
        self.publish_index();
        self.durable_lsn = self.at.next_lsn;
        self.store_watermark(0);
        let old = std::mem::replace(&mut self.active, next);
        old.map_sealed();
        self.at.segment = self.active.id();
        self.at.offset = SEGMENT_DATA;
        let mut index = self.index.write();
        index.segments.insert(self.active.id(), self.active.clone());
        index.first_lsns.insert(self.at.next_lsn, self.active.id());
        drop(index);
        self.watch.tell(JournalEvent::Rotated {
            segment: self.active.id(),
            first: self.at.next_lsn,
        });
        Ok(())
    }

    fn write_marker(&mut self, flags: u32) -> Result<()> {
        let mut marker = GroupBuffer::default();
        self.write_group(&mut marker, self.at.next_lsn, flags)
    }

    /// Writes one group at the end of the log.
    fn write_group(&mut self, buffer: &mut GroupBuffer, end_lsn: Lsn, flags: u32) -> Result<()> {
        let header = self.active.header();
        let links = buffer.seal(&Place {
            seed: header.seed(),
            segment: header.id,
            next_lsn: self.at.next_lsn,
            durable_lsn: self.durable_lsn,
            link: self.at.link,
            prev_group: self.at.group_link,
            flags,
            epoch: self.epoch,
            at_ms: self.storage.unix_ms(),
            align: header.group_align as usize,
        });
        let offset = self.at.offset;
        self.active
            .file()
            .write_all_at(buffer.bytes(), offset)
            .map_err(|e| Error::io("write", self.active.path(), e))?;
        for (at, frame) in buffer.frames() {
            let loc = Loc::new(header.id, offset + at as u64);
            let frame = frame.header;
            self.unsynced
                .push((frame.session, frame.seq, frame.lsn, loc));
        }
        let written = buffer.bytes().len() as u64;
        self.untold_bytes += written;
        self.at.offset = offset + written;
        self.is_closed = false;
        self.at.next_lsn = end_lsn;
        self.at.link = links.link;
        self.at.group_link = links.group_link;
        self.at.epoch = self.epoch;
        Ok(())
    }

    fn sync_active(&mut self) -> Result<()> {
        if Sabotage::SkipSync.is_on() {
            return Ok(());
        }
        let _syncing = self.watch.syncing();
        let mut synced = self.active.file().sync_data();
        if Sabotage::RetrySync.is_on() && synced.is_err() {
            synced = self.active.file().sync_data();
        }
        synced.map_err(|e| Error::io("sync", self.active.path(), e))
    }

    /// Lets readers see what is durable now.
    fn publish_index(&mut self) {
        if self.unsynced.is_empty() {
            return;
        }
        let mut index = self.index.write();
        for (session, seq, _, loc) in self.unsynced.drain(..) {
            index.session_mut(session).push(seq, loc);
        }
    }

    /// Takes back that the log ends where it was closed, before anything is written behind that.
    ///
    /// Both slots are overwritten and synced: whatever a crash leaves of the page from now on, it
    /// does not say so any more. Otherwise recovery would not look for what was written behind the
    /// end and arrived in part, and would append in front of it.
    fn reopen(&mut self) -> Result<()> {
        if Sabotage::KeepCleanMark.is_on() {
            return Ok(());
        }
        self.store_watermark(0);
        self.store_watermark(0);
        self.page_file
            .sync_data()
            .map_err(|e| Error::io("sync", Path::new(names::WATERMARK), e))
    }

    fn store_watermark(&mut self, flags: u32) {
        self.counter += 1;
        let mark = Watermark {
            counter: self.counter,
            durable_lsn: self.durable_lsn,
            segment: self.active.id(),
            end_offset: self.at.offset,
            flags,
            epoch: self.epoch,
        };
        self.page
            .store(mark.slot_offset(), &mark.encode(self.journal));
    }
}

impl Write for LogWriter {
    type Group = Pending;

    fn write(&mut self, group: &mut Pending, sync: bool) -> Result<u64> {
        span!("turnkeep.commit");
        let begun = Instant::now();
        let from = self.durable_lsn;
        let written = self.write_through(group, sync);
        match &written {
            Ok(_) => {
                let records = self.durable_lsn.get() - from.get();
                if records > 0 {
                    let bytes = std::mem::take(&mut self.untold_bytes);
                    self.watch
                        .committed(self.durable_lsn, records, bytes, begun);
                }
            }
            Err(error) => self.watch.failed(error),
        }
        written
    }
}

impl LogWriter {
    fn write_through(&mut self, group: &mut Pending, sync: bool) -> Result<u64> {
        if self.is_closed {
            self.reopen()?;
        }
        if let Some(next) = group.rotate_to.take() {
            self.rotate(next)?;
        }
        if Sabotage::AckBeforeSync.is_on() {
            // The sync of this group comes with the next one.
            self.sync_active()?;
        }
        if !group.buffer.is_empty() {
            self.write_group(&mut group.buffer, group.end_lsn, 0)?;
        }
        if sync {
            if Sabotage::EarlyWatermark.is_on() {
                self.durable_lsn = self.at.next_lsn;
                self.store_watermark(0);
            }
            if !Sabotage::AckBeforeSync.is_on() {
                self.sync_active()?;
            }
            self.durable_lsn = self.at.next_lsn;
            self.store_watermark(0);
            self.publish_index();
        }
        Ok(self.at.next_lsn.get())
    }
}
