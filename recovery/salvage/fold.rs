//! Folding what is left: which records are visible, what each session has lost, and the state
//! that the salvaged journal begins with.

use super::gather::{Found, Gathered, Listed, Rank};
use super::report::SeqRange;
use super::source::Fetch;
use crate::error::Result;
use crate::format::ids::{Lsn, Seq, SessionNo};
use crate::model::event::{Kind, decode_payload};
use crate::model::finding::{Finding, Severity};
use crate::model::fold::{Effect, FoldFault, Record};
use crate::model::session::{SessionEntry, SessionState};
use crate::model::state::{Limits, State};
use std::collections::{BTreeMap, BTreeSet};

/// The state of a snapshot that loads.
pub(super) struct Base {
    pub state: State,
    /// It is that of all records below.
    pub lsn: Lsn,
}

/// Ranges of sequence numbers by session, ascending.
type Ranges = BTreeMap<SessionNo, Vec<(Seq, Seq)>>;

/// What folding came to.
pub(super) struct Folded {
    pub state: State,
    /// Ranges that each session has lost, ascending.
    pub lost: Ranges,
    /// Ranges that a compaction may have dropped, for all that is known.
    pub uncertain: Ranges,
    pub findings: Vec<Finding>,
}

impl Folded {
    /// What a session has lost.
    pub(super) fn lost_of(&self, session: SessionNo) -> Vec<SeqRange> {
        of(&self.lost, session)
    }

    /// What a session may have lost.
    pub(super) fn uncertain_of(&self, session: SessionNo) -> Vec<SeqRange> {
        of(&self.uncertain, session)
    }

    /// Whether a listed record is one of those that are known to be lost.
    pub(super) fn has_lost(&self, listed: &Listed) -> bool {
        holds(&self.lost, listed.session, listed.seq)
    }

    /// Notes that a session has lost records, as far as they had not been erased.
    pub(super) fn miss(&mut self, session: SessionNo, from: Seq, to: Seq, is_certain: bool) {
        let Some(state) = self.state.session(session) else {
            return;
        };
        // By ranges: how long one is, a number on the disk says.
        let mut missed = vec![(from, to)];
        let holes = &state.holes;
        let first = holes.partition_point(|(_, end)| *end <= from);
        for (start, end) in holes[first..].iter().take_while(|(start, _)| *start < to) {
            cut(&mut missed, *start, *end);
        }
        for (from, to) in missed {
            if is_certain {
                self.lose(session, from, to);
            } else {
                self.state.lose(session, from, to);
                add(self.uncertain.entry(session).or_default(), from, to);
            }
        }
    }

    fn lose(&mut self, session: SessionNo, from: Seq, to: Seq) {
        self.state.lose(session, from, to);
        add(self.lost.entry(session).or_default(), from, to);
        if let Some(uncertain) = self.uncertain.get_mut(&session) {
            cut(uncertain, from, to);
        }
    }
}

fn of(ranges: &Ranges, session: SessionNo) -> Vec<SeqRange> {
    let ranges = ranges.get(&session).into_iter().flatten();
    ranges.map(|&(from, to)| SeqRange { from, to }).collect()
}

fn holds(ranges: &Ranges, session: SessionNo, seq: Seq) -> bool {
    let mut ranges = ranges.get(&session).into_iter().flatten();
    ranges.any(|(from, to)| (*from..*to).contains(&seq))
}

/// Folds `records`, which ascend by LSN; those that contradict what is known are taken out, and
/// named. Then what the state says about records that are not there is forgotten. From
/// `logged_from` on no compaction has dropped anything.
///
/// # Errors
/// [`crate::Error::Corrupt`], [`crate::Error::Io`] if a record does not read any more.
pub(super) fn fold(
    fetch: &mut Fetch<'_>,
    base: Option<Base>,
    records: &mut Vec<Found>,
    gathered: &Gathered,
    logged_from: Lsn,
) -> Result<Folded> {
    let survivors: BTreeSet<SessionNo> = records.iter().map(|record| record.session).collect();
    let base = base.unwrap_or_else(|| Base {
        state: State::new(Limits::default()),
        lsn: Lsn::new(1),
    });
    let mut folded = Folded {
        state: base.state,
        lost: Ranges::new(),
        uncertain: Ranges::new(),
        findings: Vec::new(),
    };
    let mut keep = Vec::with_capacity(records.len());
    for record in records.iter() {
        keep.push(if record.lsn < base.lsn {
            fits(&mut folded, record)
        } else {
            // What is missing behind the base, or behind a record that no compaction has seen,
            // is lost; else it may have been dropped.
            let entry = folded.state.entry(record.session);
            let before = entry.map_or(Lsn::default(), SessionEntry::last_lsn);
            let is_certain = base.lsn.max(before) >= logged_from;
            apply(&mut folded, fetch, record, &survivors, is_certain)?
        });
    }
    retain(records, keep);
    drop_doubled(&mut folded, records);
    for listed in &gathered.listed_lost {
        let is_there = records.binary_search_by_key(&listed.lsn, |r| r.lsn).is_ok();
        let is_missed = folded.state.is_visible(listed.session, listed.seq)
            || holds(&folded.uncertain, listed.session, listed.seq);
        if !is_there && is_missed {
            folded.lose(listed.session, listed.seq, listed.seq.next());
        }
    }
    forget_dangling(&mut folded, records);
    Ok(folded)
}

fn retain(records: &mut Vec<Found>, keep: Vec<bool>) {
    let mut keep = keep.into_iter();
    records.retain(|_| keep.next().unwrap_or(false));
}

/// Whether a record is one of those that a snapshot's state knows.
fn fits(folded: &mut Folded, record: &Found) -> bool {
    let known = match folded.state.entry(record.session) {
        // Erased, which is decided later.
        Some(SessionEntry::Deleted(_)) => true,
        Some(SessionEntry::Live(session)) => record.seq < session.next_seq,
        None => false,
    };
    if !known {
        let what = "a record that the snapshot after it does not know of";
        let finding = Finding::new(Severity::Damage, "misfit", what);
        folded.findings.push(place(finding, record));
    }
    known
}

/// Folds a record; returns whether it is one of the journal.
fn apply(
    folded: &mut Folded,
    fetch: &mut Fetch<'_>,
    found: &Found,
    survivors: &BTreeSet<SessionNo>,
    is_certain: bool,
) -> Result<bool> {
    let frame = fetch.frame(found.place)?;
    let decoded = decode_payload(frame.payload).ok();
    let kind = Kind::try_from(frame.header.kind).ok();
    let (Some((envelope, content)), Some(kind)) = (decoded, kind) else {
        return Ok(false);
    };
    let record = Record {
        lsn: found.lsn,
        session: found.session,
        seq: found.seq,
        epoch: frame.header.epoch,
        kind,
        envelope: &envelope,
        content_len: content.len() as u32,
    };
    let survives = |no| survivors.contains(&no);
    let mended = match folded.state.apply_mending(&record, survives) {
        Ok(mended) => mended,
        // It is erased, as whatever of the session came before.
        Err(FoldFault::DeletedSession { .. }) => return Ok(true),
        Err(fault) => {
            let what = format!("a record that does not follow from those before it: {fault}");
            let finding = Finding::new(Severity::Damage, "misfit", what);
            folded.findings.push(place(finding, found));
            return Ok(false);
        }
    };
    if let Some((from, to)) = mended.missing {
        let ranges = match is_certain {
            true => &mut folded.lost,
            false => &mut folded.uncertain,
        };
        add(ranges.entry(found.session).or_default(), from, to);
    }
    let both = [&mut folded.lost, &mut folded.uncertain];
    match mended.effect {
        // What was dropped afterwards is not missed.
        Effect::Dropped { from, to } => {
            let ranges = both.into_iter().filter_map(|r| r.get_mut(&found.session));
            ranges.for_each(|ranges| cut(ranges, from, to));
        }
        Effect::SessionDeleted => both
            .into_iter()
            .for_each(|r| drop(r.remove(&found.session))),
        _ => {}
    }
    if let Some(no) = mended.deleted {
        folded.lost.remove(&no);
        folded.uncertain.remove(&no);
        let what = "a session whose deletion is lost: its name was given again";
        let finding = Finding::new(Severity::Warning, "deleted_session", what);
        folded.findings.push(finding.of_session(no));
    }
    Ok(true)
}

/// In a session, sequence numbers ascend with LSNs. What contradicts that is not two records.
fn drop_doubled(folded: &mut Folded, records: &mut Vec<Found>) {
    let mut last: BTreeMap<SessionNo, Seq> = BTreeMap::new();
    let mut keep = Vec::with_capacity(records.len());
    for record in records.iter() {
        let before = last.entry(record.session).or_default();
        let ascends = *before < record.seq;
        if ascends {
            *before = record.seq;
        } else if record.rank != Rank::Lone {
            let what = "a record out of the order of its session";
            let finding = Finding::new(Severity::Damage, "order", what);
            folded.findings.push(place(finding, record));
        }
        keep.push(ascends);
    }
    retain(records, keep);
}

/// Values, open turns and waiting input whose record is not there are forgotten.
fn forget_dangling(folded: &mut Folded, records: &[Found]) {
    let mut there: Vec<(SessionNo, Seq)> = records.iter().map(|r| (r.session, r.seq)).collect();
    there.sort_unstable();
    let is_there = |no, seq| there.binary_search(&(no, seq)).is_ok();
    let mut dangling = Vec::new();
    for session in folded.state.sessions() {
        let gone = referred(session).filter(|seq| !is_there(session.no, *seq));
        dangling.extend(gone.map(|seq| (session.no, seq)));
    }
    for (no, seq) in dangling {
        folded.lose(no, seq, seq.next());
    }
}

/// The records that a session's state refers to.
fn referred(session: &SessionState) -> impl Iterator<Item = Seq> + '_ {
    let values = session.values.values().map(|value| value.seq);
    let open = session.open.iter().map(|turn| turn.seq);
    let queue = session.queue.iter().map(|input| input.seq);
    values.chain(open).chain(queue)
}

fn place(finding: Finding, record: &Found) -> Finding {
    finding
        .of_lsns(record.lsn, record.lsn.next())
        .of_session(record.session)
}

/// Adds a range to sorted ones.
fn add(ranges: &mut Vec<(Seq, Seq)>, from: Seq, to: Seq) {
    ranges.push((from, to));
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let joins = later.0 <= earlier.1;
        if joins {
            earlier.1 = earlier.1.max(later.1);
        }
        joins
    });
}

/// Takes a range out of sorted ones.
fn cut(ranges: &mut Vec<(Seq, Seq)>, from: Seq, to: Seq) {
    let cut = ranges.iter().flat_map(|&(start, end)| {
        let before = (start, end.min(from));
        let after = (start.max(to), end);
        [before, after]
            .into_iter()
            .filter(|(start, end)| start < end)
    });
    *ranges = cut.collect();
}

#[cfg(test)]
mod tests;
