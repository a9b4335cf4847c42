//! What the entries of a state file hold.
//!
//! `format::state` knows the container. First comes the journal's entry, then for each session,
//! in the order of numbers, the session or what is left of it, followed by the places of its
//! records that are in no pack.

use crate::format::ids::{Lsn, SegmentId, Seq};
use crate::journal::index::{Loc, SessionLog};
use crate::model::session::SessionState;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Version of the bodies below.
pub(super) const SCHEMA: u16 = 1;

/// Most places in one entry: far below the longest body, whatever the numbers are.
pub(super) const PLACES_PER_ENTRY: usize = 64 << 10;

/// The journal as a whole.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JournalBody<'a> {
    /// Something was dropped whose bytes may still be in some file.
    pub must_erase: bool,
    /// First LSN of each segment that is not packed.
    pub first_lsns: Vec<(Lsn, SegmentId)>,
    /// The journal's own session.
    pub session: Cow<'a, SessionState>,
}

/// Consecutive records of a session in one segment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PlacesBody {
    /// Sequence number of the first.
    pub first_seq: Seq,
    /// The segment.
    pub segment: SegmentId,
    /// Each offset less the one before, in units of 8 bytes: small numbers, a byte or two each.
    pub steps: Vec<u32>,
}

impl PlacesBody {
    /// Splits the places of a session into entries.
    pub(super) fn split(log: &SessionLog) -> impl Iterator<Item = PlacesBody> {
        let mut rest = 0;
        std::iter::from_fn(move || {
            let segment = log.places.get(rest)?.segment();
            let first_seq = Seq::new(log.first_seq.get() + rest as u32);
            let mut before = 0;
            let steps: Vec<u32> = log
                .places
                .range(rest..)
                .take_while(|loc| loc.segment() == segment)
                .take(PLACES_PER_ENTRY)
                .map(|loc| {
                    let at = (loc.offset() / 8) as u32;
                    at.wrapping_sub(std::mem::replace(&mut before, at))
                })
                .collect();
            rest += steps.len();
            Some(PlacesBody {
                first_seq,
                segment,
                steps,
            })
        })
    }

    /// Adds the places to those before them. An error says what does not follow on.
    pub(super) fn append_to(&self, log: &mut SessionLog) -> Result<(), String> {
        let last = log.places.back().map(Loc::segment);
        let in_order = match last {
            None => self.first_seq.get() >= 1,
            Some(last) => last <= self.segment && log.end_seq() == self.first_seq,
        };
        let end = (self.first_seq.get() as usize).checked_add(self.steps.len());
        if !in_order || self.segment.get() > u64::from(u32::MAX) {
            let segment = self.segment;
            return Err(format!(
                "places from {} in segment {segment} are out of order",
                self.first_seq
            ));
        }
        if end.is_none_or(|end| end > u32::MAX as usize) {
            return Err(format!(
                "places from {} go beyond all numbers",
                self.first_seq
            ));
        }
        let mut at = 0_u32;
        let mut seq = self.first_seq;
        log.places.reserve(self.steps.len());
        for &step in &self.steps {
            at = at
                .checked_add(step)
                .ok_or("an offset beyond the largest segment")?;
            log.push(seq, Loc::new(self.segment, u64::from(at) * 8));
            seq = seq.next();
        }
        Ok(())
    }
}
