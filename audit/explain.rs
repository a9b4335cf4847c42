//! Explaining a session: every stamp of its life in order, what is missing, and what to do.
//!
//! A stamp is a record that moved something: a turn begun, an attempt started, input claimed, a
//! repair. What was merely said in between (events, pieces of an answer, values) is counted. No
//! content of the host's is in a stamp unless that is asked for; what the engine itself wrote,
//! such as the evidence of a watchdog's verdict, always is.

use super::Audit;
use super::report::AuditFinding;
use super::sessions::Look;
use crate::error::{Error, Result};
use crate::format::ids::{Epoch, Lsn, Seq};
use crate::journal::entry::Entry;
use crate::journal::info::SessionInfo;
use crate::model::event::Kind;
use crate::recovery::reader::Reader;
use serde::Serialize;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

/// A moment of a session's life: one record, or several that only said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stamp {
    /// When, in milliseconds since the Unix epoch, by the writer's clock.
    pub at_ms: u64,
    /// The record's place in the journal; of several the first one's.
    pub lsn: Lsn,
    /// Its place in the session.
    pub seq: Seq,
    /// The writer that accepted it.
    pub epoch: Epoch,
    /// What happened, by its stable name.
    pub kind: &'static str,
    /// The turn concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<Seq>,
    /// The attempt at the turn, or the claim of the input, that spoke.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// The queued input concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Seq>,
    /// The turn that this one was begun in place of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Seq>,
    /// An event's name, a class, a key, a reason: by kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Who did it, or makes the attempt.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// The session's generation from here on, if this is what brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// The first record that was dropped by this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drops_from: Option<Seq>,
    /// How many records this stands for.
    pub records: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Attachments that they refer to.
    #[serde(skip_serializing_if = "is_zero_64")]
    pub refs: u64,
    /// What the engine wrote into it: evidence of a verdict, steps of a repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The host's content, if it was asked for.
    #[serde(skip)]
    pub content: Option<Vec<u8>>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_zero_64(number: &u64) -> bool {
    *number == 0
}

/// What remains of a session that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Deleted {
    /// Its generation after the deletion: one of that name begins above it.
    pub generation: u32,
    /// Its last record, which deleted it.
    pub seq: Seq,
    /// That record's place in the journal.
    pub lsn: Lsn,
}

/// What is known of a session beside its stamps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The session's id.
    pub session: String,
    /// The session at a glance; none if it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub info: Option<SessionInfo>,
    /// The latest session of that name that was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Deleted>,
    /// The latest writer that is known of.
    pub epoch: Epoch,
    /// That writer is known to be gone, or was said to be.
    pub writer_is_gone: bool,
    /// Records that were read.
    pub records: u64,
    /// Records that were cleared or truncated, by those that a stamp of their own tells of.
    pub dropped: u64,
    /// Records that a compaction dropped because later ones stand for them: progress of ended
    /// turns, replaced values, claims that are over.
    pub superseded: u64,
    /// Records that do not validate any more, and why the first of them does not.
    pub unreadable: u64,
    /// See there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_unreadable: Option<String>,
    /// What is missing, and what to do.
    pub findings: Vec<AuditFinding>,
}

impl Audit {
    /// Explains the session `id` of the journal at `path`: hands each stamp of its life to
    /// `each`, in order, until that breaks, and returns what is missing and what to do. With
    /// `content`, stamps have the host's content, one for each record.
    ///
    /// Memory does not follow the session's length. Takes no lock and changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownSession`], and as [`crate::Options::open_read_only`]. A record that does
    /// not validate is no error: it is counted.
    pub fn explain(
        &self,
        path: impl AsRef<Path>,
        id: &str,
        content: bool,
        each: &mut dyn FnMut(Stamp) -> ControlFlow<()>,
    ) -> Result<Explanation> {
        let reader = self.open(path.as_ref())?;
        let (mut told, session) = self.known_of(&reader, id)?;
        let Some(Extent { next, holes }) = session else {
            return Ok(told);
        };
        told.dropped = holes
            .iter()
            .map(|(from, to)| u64::from(to.get() - from.get()))
            .sum();
        let mut pen = Pen {
            content,
            // A clear of a session that has nothing but its creation leaves no hole.
            latest_drop: holes.last().map_or(Seq::new(2), |(_, to)| *to),
            generation: told.info.as_ref().map_or(0, |info| info.generation),
            pending: None,
            each,
        };
        let mut expected = Seq::new(1);
        for entry in reader.session(id)?.read(..)? {
            match entry {
                Ok(entry) => {
                    told.superseded += missing(expected, entry.seq, &holes);
                    expected = entry.seq.next();
                    told.records += 1;
                    if pen.write(&entry).is_break() {
                        return Ok(told);
                    }
                }
                Err(error) => {
                    told.unreadable += 1;
                    expected = expected.next();
                    told.why_unreadable.get_or_insert_with(|| error.to_string());
                }
            }
        }
        told.superseded += missing(expected, next, &holes);
        let _ = pen.lift();
        Ok(told)
    }

    /// What the fold knows, and which records are dropped; none for a deleted session.
    fn known_of(&self, reader: &Reader, id: &str) -> Result<(Explanation, Option<Extent>)> {
        let now_ms = self.disk().unix_ms();
        reader.fold(|state, writer| {
            let deleted = state.find_deleted(id).map(|tombstone| Deleted {
                generation: tombstone.generation,
                seq: tombstone.last_seq,
                lsn: tombstone.last_lsn,
            });
            let mut told = Explanation {
                session: id.to_owned(),
                deleted,
                epoch: writer.epoch,
                writer_is_gone: writer.has_closed || self.stopped,
                ..Explanation::default()
            };
            let Some(session) = state.find(id).and_then(|no| state.session(no)) else {
                return match deleted {
                    Some(_) => Ok((told, None)),
                    None => Err(Error::UnknownSession { id: id.to_owned() }),
                };
            };
            told.info = Some(SessionInfo::of(session));
            let look = Look {
                audit: self,
                state,
                now: writer.now(self.stopped),
                now_ms,
            };
            look.session(session, &mut |finding| told.findings.push(finding));
            let extent = Extent {
                next: session.next_seq,
                holes: session.holes.clone(),
            };
            Ok((told, Some(extent)))
        })
    }
}

/// Which records a session has.
struct Extent {
    /// The one that comes next.
    next: Seq,
    /// Those that were dropped.
    holes: Vec<(Seq, Seq)>,
}

/// How many records between `from` and `to` are neither there nor in a hole.
fn missing(from: Seq, to: Seq, holes: &[(Seq, Seq)]) -> u64 {
    if from >= to {
        return 0;
    }
    let in_holes = holes.iter().map(|(start, end)| {
        let (start, end) = ((*start).max(from), (*end).min(to));
        u64::from(end.get().saturating_sub(start.get()))
    });
    u64::from(to.get() - from.get()) - in_holes.sum::<u64>()
}

/// Writes stamps: one for a record that moved something, one for a run of others.
struct Pen<'e> {
    content: bool,
    latest_drop: Seq,
    generation: u32,
    pending: Option<Stamp>,
    each: &'e mut dyn FnMut(Stamp) -> ControlFlow<()>,
}

impl Pen<'_> {
    fn write(&mut self, entry: &Entry) -> ControlFlow<()> {
        let stamp = self.stamp(entry);
        if self.content || !is_only_said(entry.kind) {
            self.lift()?;
            return (self.each)(stamp);
        }
        match &mut self.pending {
            Some(run) if run.kind == stamp.kind && run.turn == stamp.turn => {
                run.records += 1;
                run.bytes += stamp.bytes;
                run.refs += stamp.refs;
                if run.name != stamp.name {
                    run.name.clear();
                }
                ControlFlow::Continue(())
            }
            _ => {
                self.lift()?;
                self.pending = Some(stamp);
                ControlFlow::Continue(())
            }
        }
    }

    /// Ends a run.
    fn lift(&mut self) -> ControlFlow<()> {
        match self.pending.take() {
            Some(run) => (self.each)(run),
            None => ControlFlow::Continue(()),
        }
    }

    fn stamp(&self, entry: &Entry) -> Stamp {
        let linked = || Some(Seq::new(entry.link as u32)).filter(|seq| seq.get() != 0);
        let drops_from = match entry.kind {
            Kind::SessionTruncated => linked(),
            Kind::SessionCleared => Some(Seq::new(2)),
            _ => None,
        };
        let is_latest = drops_from.is_some() && self.latest_drop == entry.seq;
        Stamp {
            at_ms: entry.at_ms,
            lsn: entry.lsn,
            seq: entry.seq,
            epoch: entry.epoch,
            kind: entry.kind.as_str(),
            turn: entry.turn,
            attempt: entry.attempt,
            input: match entry.kind {
                Kind::InputQueued => Some(entry.seq),
                Kind::TurnSubmitted => linked(),
                kind if kind.is_about_input() => linked(),
                _ => None,
            },
            supersedes: entry.supersedes,
            name: entry.name.clone(),
            who: entry.actor.clone(),
            generation: is_latest.then_some(self.generation),
            drops_from,
            records: 1,
            bytes: entry.content.len() as u64,
            refs: entry.refs.len() as u64,
            evidence: is_the_engines(entry.kind)
                .then(|| String::from_utf8_lossy(&entry.content).into_owned())
                .filter(|text| !text.is_empty()),
            content: (self.content && !is_the_engines(entry.kind)).then(|| entry.content.clone()),
        }
    }
}

/// Whether a record of the kind moves nothing that a life is told by.
const fn is_only_said(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::TurnEvent | Kind::TurnProgress | Kind::Message | Kind::Put | Kind::Remove
    )
}

/// Whether the host has no way to put content into a record of the kind.
const fn is_the_engines(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Maintenance | Kind::TurnInterrupted | Kind::TurnCallInterrupted
    )
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.records {
            1 => write!(f, "{}", self.kind.replace('_', " "))?,
            n => write!(f, "{n} x {}", self.kind.replace('_', " "))?,
        }
        if let Some(turn) = self.turn {
            write!(f, ", turn {turn}")?;
        }
        if let Some(input) = self.input {
            write!(f, ", input {input}")?;
        }
        match (self.attempt, self.input) {
            (0, _) => {}
            (claim, Some(_)) => write!(f, ", claim {claim}")?,
            (attempt, None) => write!(f, ", attempt {attempt}")?,
        }
        if let Some(turn) = self.supersedes {
            write!(f, ", in place of turn {turn}")?;
        }
        if !self.name.is_empty() {
            write!(f, ", {:?}", self.name)?;
        }
        if !self.who.is_empty() {
            write!(f, " by {}", self.who)?;
        }
        if let Some(from) = self.drops_from {
            write!(f, ", drops from {from} on")?;
        }
        if let Some(generation) = self.generation {
            write!(f, ", generation {generation}")?;
        }
        if self.bytes > 0 && self.evidence.is_none() {
            write!(f, ", {} bytes", self.bytes)?;
        }
        if self.refs > 0 {
            write!(f, ", {} attachments", self.refs)?;
        }
        match &self.evidence {
            Some(evidence) => write!(f, ": {evidence}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.info, self.deleted) {
            (None, Some(deleted)) => {
                return write!(
                    f,
                    "deleted by record {} at lsn {}, generation {}; nothing brings it back",
                    deleted.seq, deleted.lsn, deleted.generation
                );
            }
            (Some(info), before) => {
                write!(
                    f,
                    "generation {}, {} turns, {} open",
                    info.generation, info.turns, info.open_turns
                )?;
                if let Some(reason) = &info.ended {
                    write!(f, "; ended: {reason}")?;
                }
                if let Some(before) = before {
                    write!(f, "; one of that name was deleted at lsn {}", before.lsn)?;
                }
            }
            (None, None) => {}
        }
        write!(f, "; {} records", self.records)?;
        if self.dropped > 0 {
            write!(f, ", {} more were cleared or truncated", self.dropped)?;
        }
        if self.superseded > 0 {
            write!(f, ", {} compacted away, superseded", self.superseded)?;
        }
        if let Some(why) = &self.why_unreadable {
            write!(f, ", {} unreadable ({why})", self.unreadable)?;
        }
        for finding in &self.findings {
            write!(f, "\n{finding}")?;
        }
        if self.findings.is_empty() && self.unreadable == 0 {
            write!(f, "; nothing is missing")?;
        }
        Ok(())
    }
}
