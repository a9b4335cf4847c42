//! The tail: what is accepted and not yet written.
//!
//! One short lock protects it. Under that lock a record is checked against the fold, gets its
//! LSN and its place in its session, is folded, and is copied into the next group. Encoding and
//! checksums of payloads happen before, the write after.

use super::commit::{Admission, Stage};
use super::segments::SegmentFile;
use crate::error::{Error, Result};
use crate::format::checksum::payload_checksum;
use crate::format::frame::{BATCH_END, BODY_VERSION, FrameHeader, IN_BATCH, frame_len};
use crate::format::group::{GROUP_HEADER_LEN, GroupBuffer, MAX_BODY_LEN};
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
use crate::format::segment::SEGMENT_DATA;
use crate::model::check::{Condition, Draft, Found, Refusal, Verdict};
use crate::model::event::{Envelope, Kind};
use crate::model::fold::Record;
use crate::model::session::Standing;
use crate::model::state::State;
use crate::sync::{Arc, AtomicBool, Ordering};

/// Memory that an idle group buffer keeps.
const KEEP_BYTES: usize = 4 << 20;

/// A record that is encoded and checksummed, and not yet accepted.
pub(crate) struct Prepared<'a> {
    /// What must hold. In a batch: before its first record.
    pub condition: Option<Condition>,
    /// The session; for a new one, any number: it is given here.
    pub session: SessionNo,
    pub kind: Kind,
    pub envelope: Envelope<'a>,
    pub content_len: u32,
    pub payload: &'a [u8],
    pub payload_check: u32,
    /// How the payload is stored.
    pub codec: u8,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(
        session: SessionNo,
        kind: Kind,
        envelope: Envelope<'a>,
        content_len: u32,
        payload: &'a [u8],
    ) -> Self {
        let payload_check = payload_checksum(payload);
        Prepared {
            condition: None,
            session,
            kind,
            envelope,
            content_len,
            payload,
            payload_check,
            codec: 0,
        }
    }
}

/// Where an accepted record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub lsn: Lsn,
    pub session: SessionNo,
    pub seq: Seq,
    /// The fold had it already: a turn with the same idempotency key.
    pub existing: bool,
}

/// What the writer gets: a group, and where it goes.
#[derive(Debug)]
pub(crate) struct Pending {
    pub buffer: GroupBuffer,
    /// LSN after the last record.
    pub end_lsn: Lsn,
    /// The group begins in this segment, and the active one is sealed before.
    pub rotate_to: Option<Arc<SegmentFile>>,
}

/// Limits from the options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub max_record_bytes: u32,
    pub max_pending_bytes: usize,
    pub align: u64,
}

/// The active segment, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub capacity: u64,
    pub free: u64,
}

pub(crate) struct Tail {
    /// The fold of everything accepted.
    pub state: State,
    /// LSN of the next record.
    next_lsn: Lsn,
    epoch: Epoch,
    stage: GroupBuffer,
    idle: Option<GroupBuffer>,
    /// Bytes taken by the writer and not given back.
    in_flight_bytes: usize,
    /// Bytes of the active segment that no taken group has claimed.
    active_room: u64,
    /// Bytes of the active segment, used or not.
    active_capacity: u64,
    /// How many bytes the segment before it, or this one at opening, was filled with.
    filled_bytes: u64,
    /// The segment after the active one, if it is ready.
    next_segment: Option<Arc<SegmentFile>>,
    /// The active segment is to be sealed with the next group, though it has room.
    rotate_wanted: bool,
    limits: Limits,
    /// Set when the next segment was taken.
    hint: Arc<AtomicBool>,
}

impl Tail {
    pub(crate) fn new(
        state: State,
        next_lsn: Lsn,
        epoch: Epoch,
        active: Room,
        limits: Limits,
    ) -> Self {
        Tail {
            state,
            next_lsn,
            epoch,
            stage: GroupBuffer::default(),
            idle: Some(GroupBuffer::default()),
            in_flight_bytes: 0,
            active_room: active.free,
            active_capacity: active.capacity,
            filled_bytes: active.capacity.saturating_sub(active.free),
            next_segment: None,
            rotate_wanted: false,
            limits,
            hint: Arc::new(AtomicBool::new(true)),
        }
    }

    /// How full segments get before they are sealed, for the size of the next one.
    pub(crate) fn filled_bytes(&self) -> u64 {
        self.filled_bytes
    }

    /// Is set when another segment should be made.
    pub(crate) fn hint(&self) -> Arc<AtomicBool> {
        self.hint.clone()
    }

    /// Capacity of the segment after the active one.
    pub(crate) fn next_segment_capacity(&self) -> Option<u64> {
        self.next_segment
            .as_ref()
            .map(|next| next.header().capacity)
    }

    pub(crate) fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn pending_bytes(&self) -> usize {
        self.in_flight_bytes + self.staged_bytes()
    }

    pub(crate) fn has_next_segment(&self) -> bool {
        self.next_segment.is_some()
    }

    /// Sets the segment after the active one; gives back the one that was set before.
    pub(crate) fn set_next_segment(&mut self, next: Arc<SegmentFile>) -> Option<Arc<SegmentFile>> {
        self.next_segment.replace(next)
    }

    /// Takes the segment after the active one away.
    pub(crate) fn take_next_segment(&mut self) -> Option<Arc<SegmentFile>> {
        self.next_segment.take()
    }

    /// Asks for the active segment to be sealed before the next group, or even without one. It
    /// happens once there is a segment to go on in.
    pub(crate) fn want_rotation(&mut self) {
        self.rotate_wanted = true;
    }

    /// Whether a rotation that was asked for has not happened yet.
    pub(crate) fn wants_rotation(&self) -> bool {
        self.rotate_wanted
    }

    /// Accepts a record, unless it says what a record before it said.
    pub(crate) fn admit(&mut self, record: &Prepared<'_>) -> Result<Admission<Accepted>> {
        let bytes = frame_len(record.payload.len());
        if let Some(obstacle) = self.obstacle(std::slice::from_ref(record), bytes)? {
            return Ok(obstacle);
        }
        match self.verdict(record, record.condition)? {
            Verdict::Accept => {
                let value = self.fold(record)?;
                self.stage_frame(record, value, 0);
                Ok(Admission::Accepted {
                    value,
                    end_lsn: self.next_lsn.get(),
                })
            }
            // Its place is below everything accepted so far.
            Verdict::Existing { seq, .. } | Verdict::Duplicate { seq } => Ok(Admission::Already {
                value: Accepted {
                    lsn: Lsn::default(),
                    session: record.session,
                    seq,
                    existing: true,
                },
                end_lsn: self.next_lsn.get(),
            }),
        }
    }

    /// Accepts all of `records` or none, as one batch in one group. One record is not a batch.
    pub(crate) fn admit_all(
        &mut self,
        records: &[Prepared<'_>],
    ) -> Result<Admission<Vec<Accepted>>> {
        if let [record] = records {
            return Ok(self.admit(record)?.map(|place| vec![place]));
        }
        let bytes = records.iter().map(|r| frame_len(r.payload.len())).sum();
        if let Some(obstacle) = self.obstacle(records, bytes)? {
            return Ok(obstacle);
        }
        Ok(Admission::Accepted {
            value: self.admit_batch(records)?,
            end_lsn: self.next_lsn.get(),
        })
    }

    /// What keeps `bytes` of frames from being accepted now, if anything does.
    fn obstacle<T>(&self, records: &[Prepared<'_>], bytes: usize) -> Result<Option<Admission<T>>> {
        self.check_sizes(records, bytes)?;
        let pending = self.pending_bytes();
        if pending > 0 && pending + bytes > self.limits.max_pending_bytes {
            return Ok(Some(Admission::Wait {
                pending_bytes: pending as u64,
            }));
        }
        let missing = self.missing_room(bytes);
        Ok(missing.map(|capacity| Admission::Segment { capacity }))
    }

    /// Checks what must hold, and then each record against the fold of those before it. If one is refused, the fold is
    /// put back as it was, and nothing was staged.
    fn admit_batch(&mut self, records: &[Prepared<'_>]) -> Result<Vec<Accepted>> {
        for record in records {
            if let Some(condition) = record.condition {
                let name = record.envelope.name;
                self.state
                    .check_condition(record.session, condition, name)
                    .map_err(|refusal| self.refused(record, refusal))?;
            }
        }
        let before = self
            .state
            .savepoint(records.iter().map(|record| record.session));
        let first_lsn = self.next_lsn;
        let places: Result<Vec<Accepted>> = records
            .iter()
            .map(|record| match self.verdict(record, None)? {
                Verdict::Accept => self.fold(record),
                Verdict::Existing { seq, .. } | Verdict::Duplicate { seq } => {
                    let why = format!("an idempotency key in it already belongs to record {seq}");
                    Err(Error::Invalid { what: "batch", why })
                }
            })
            .collect();
        let places = match places {
            Ok(places) => places,
            Err(refusal) => {
                self.next_lsn = first_lsn;
                self.state.rollback(before);
                return Err(refusal);
            }
        };
        let last = records.len().saturating_sub(1);
        for (i, (record, place)) in records.iter().zip(&places).enumerate() {
            let flags = if i == last {
                IN_BATCH | BATCH_END
            } else {
                IN_BATCH
            };
            self.stage_frame(record, *place, flags);
        }
        Ok(places)
    }

    fn verdict(&self, record: &Prepared<'_>, condition: Option<Condition>) -> Result<Verdict> {
        let session = match record.kind {
            Kind::SessionCreated => self.state.next_session(),
            _ => record.session,
        };
        let draft = Draft {
            epoch: self.epoch,
            session,
            kind: record.kind,
            envelope: &record.envelope,
            content_len: record.content_len,
            condition,
        };
        self.state
            .check(&draft)
            .map_err(|refusal| self.refused(record, refusal))
    }

    /// Gives the record its place and folds it.
    fn fold(&mut self, record: &Prepared<'_>) -> Result<Accepted> {
        let session = match record.kind {
            Kind::SessionCreated => self.state.next_session(),
            _ => record.session,
        };
        let seq = self.state.next_seq(session).unwrap_or(Seq::new(1));
        let lsn = self.next_lsn;
        self.state
            .apply(&Record {
                lsn,
                session,
                seq,
                epoch: self.epoch,
                kind: record.kind,
                envelope: &record.envelope,
                content_len: record.content_len,
            })
            .map_err(|fault| Error::Invalid {
                what: "record",
                why: fault.to_string(),
            })?;
        self.next_lsn = lsn.next();
        Ok(Accepted {
            lsn,
            session,
            seq,
            existing: false,
        })
    }

    fn stage_frame(&mut self, record: &Prepared<'_>, place: Accepted, flags: u8) {
        let header = FrameHeader {
            payload_check: record.payload_check,
            lsn: place.lsn,
            session: place.session,
            seq: place.seq,
            payload_len: record.payload.len() as u32,
            prev: 0,
            epoch: self.epoch,
            kind: record.kind as u8,
            flags,
            codec: record.codec,
            body_version: BODY_VERSION,
        };
        self.stage.push(&header, record.payload);
    }

    fn check_sizes(&self, records: &[Prepared<'_>], bytes: usize) -> Result<()> {
        let max = self.limits.max_record_bytes;
        for record in records {
            if record.payload.len() > max as usize {
                let len = record.payload.len() as u64;
                return Err(Error::TooLarge {
                    what: "record",
                    len,
                    max: max.into(),
                });
            }
        }
        let max = self
            .limits
            .max_pending_bytes
            .max(max as usize + 4096)
            .min(MAX_BODY_LEN / 2);
        if bytes > max {
            return Err(Error::TooLarge {
                what: "batch",
                len: bytes as u64,
                max: max as u64,
            });
        }
        Ok(())
    }

    fn staged_bytes(&self) -> usize {
        self.stage.len() - GROUP_HEADER_LEN
    }

    /// What a group of everything staged and `more` bytes takes on disk.
    fn group_cost(&self, more: usize) -> u64 {
        ((self.stage.len() + more) as u64).next_multiple_of(self.limits.align)
    }

    /// Room for the group that seals or closes a segment, kept free at its end.
    fn reserve(&self) -> u64 {
        2 * (GROUP_HEADER_LEN as u64).next_multiple_of(self.limits.align)
    }

    /// `None` if the next group with `more` bytes fits where it will go, else the capacity of a
    /// segment in which it would.
    fn missing_room(&self, more: usize) -> Option<u64> {
        let need = self.group_cost(more) + self.reserve();
        if need <= self.active_room {
            return None;
        }
        let whole = need + SEGMENT_DATA;
        match &self.next_segment {
            Some(next) if whole <= next.header().capacity => None,
            _ => Some(whole),
        }
    }

    fn refused(&self, record: &Prepared<'_>, refusal: Refusal) -> Error {
        let name = |no| {
            self.state
                .session(no)
                .map_or_else(|| no.to_string(), |s| s.name.to_string())
        };
        let session = name(record.session);
        match refusal {
            Refusal::UnknownSession { .. } => Error::UnknownSession { id: session },
            Refusal::Deleted { .. } => Error::SessionDeleted { id: session },
            Refusal::TurnUnknown { turn } => Error::UnknownTurn { session, turn },
            Refusal::TurnEnded { turn, state } => Error::TurnEnded {
                session,
                turn,
                state: state.as_str(),
            },
            Refusal::TurnOpen { turn } => Error::TurnOpen { session, turn },
            Refusal::OpenCalls { turn, calls } => Error::OpenCalls {
                session,
                turn,
                calls,
            },
            Refusal::CallUnknown { turn } => Error::UnknownCall { session, turn },
            Refusal::IllegalTransition { turn, from, .. } => Error::WrongState {
                what: record.kind.as_str(),
                session,
                turn,
                state: from.as_str(),
            },
            Refusal::Fenced {
                turn,
                attempt,
                current,
                epoch,
            } => {
                let state = self.state.session(record.session);
                let open = state.and_then(|state| state.open_turn(turn));
                Error::Fenced {
                    session,
                    turn,
                    attempt,
                    current,
                    owner: open.map_or_else(String::new, |open| open.owner.to_string()),
                    epoch,
                }
            }
            Refusal::NameTaken { .. } => Error::SessionExists {
                id: record.envelope.name.to_owned(),
            },
            Refusal::PreconditionFailed { expected, found } => match (expected, found) {
                (_, Found::OpenTurn(turn)) => Error::TurnOpen { session, turn },
                (Condition::Head(expected), Found::Head(found)) => Error::Conflict {
                    session,
                    what: "head",
                    expected: expected.get(),
                    found: found.get(),
                },
                (Condition::Value(expected), Found::Value(found)) => Error::Conflict {
                    session,
                    what: "value",
                    expected: expected.map_or(0, Lsn::get),
                    found: found.map_or(0, Lsn::get),
                },
                (Condition::Generation(expected), Found::Generation(found)) => Error::Conflict {
                    session,
                    what: "generation",
                    expected: expected.into(),
                    found: found.into(),
                },
                _ => Error::Invalid {
                    what: "condition",
                    why: refusal.to_string(),
                },
            },
            Refusal::InputUnknown { input } => Error::UnknownInput { session, input },
            Refusal::InputClaimed {
                input,
                claim,
                epoch,
            } => {
                let state = self.state.session(record.session);
                let queued = state.and_then(|state| state.queued(input));
                let owner = match queued.map(|queued| &queued.standing) {
                    Some(Standing::Claimed { owner, .. }) => owner.to_string(),
                    _ => String::new(),
                };
                Error::InputClaimed {
                    session,
                    input,
                    claim,
                    owner,
                    epoch,
                }
            }
            Refusal::InputStanding { input, standing } => Error::InputState {
                what: record.kind.as_str(),
                session,
                input,
                state: standing,
            },
            Refusal::InputPending { input } => Error::InputPending { session, input },
            Refusal::Full { what, max } => Error::Full { session, what, max },
            other => Error::Invalid {
                what: record.kind.as_str(),
                why: other.to_string(),
            },
        }
    }
}

impl Stage for Tail {
    type Group = Pending;

    fn is_empty(&self) -> bool {
        self.stage.is_empty() && !(self.rotate_wanted && self.next_segment.is_some())
    }

    fn end_lsn(&self) -> u64 {
        self.next_lsn.get()
    }

    fn take(&mut self) -> Pending {
        let idle = self.idle.take().unwrap_or_default();
        let buffer = std::mem::replace(&mut self.stage, idle);
        let cost = (buffer.len() as u64).next_multiple_of(self.limits.align);
        self.in_flight_bytes += buffer.len() - GROUP_HEADER_LEN;
        let mut rotate_to = None;
        let need = if buffer.is_empty() { 0 } else { cost } + self.reserve();
        let full = need > self.active_room && !buffer.is_empty();
        // A group that fits in the active segment only goes there before it is sealed.
        let fits = |next: &Arc<SegmentFile>| full || SEGMENT_DATA + need <= next.header().capacity;
        if (full || self.rotate_wanted)
            && let Some(next) = self.next_segment.take_if(|next| fits(next))
        {
            self.filled_bytes = self.active_capacity.saturating_sub(self.active_room);
            self.active_capacity = next.header().capacity;
            self.active_room = self.active_capacity - SEGMENT_DATA;
            self.rotate_wanted = false;
            rotate_to = Some(next);
            self.hint.store(true, Ordering::Relaxed);
        }
        if !buffer.is_empty() {
            self.active_room = self.active_room.saturating_sub(cost);
        }
        Pending {
            buffer,
            end_lsn: self.next_lsn,
            rotate_to,
        }
    }

    fn give_back(&mut self, mut group: Pending) {
        self.in_flight_bytes -= group.bytes_in_flight();
        group.buffer.clear(KEEP_BYTES);
        self.idle = Some(group.buffer);
    }
}

impl Pending {
    fn bytes_in_flight(&self) -> usize {
        self.buffer.frames_len()
    }
}
