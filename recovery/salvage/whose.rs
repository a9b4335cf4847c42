//! Whose the lost records were, for each LSN that is lost.
//!
//! Where [`super::evidence`] knows it, it is known. Else sequence numbers tell: those that are
//! missing between two records of a session were between them in the log too, so each session
//! with a gap around a lost LSN may have written it. Below a snapshot that knows all sessions it
//! was one of those; behind it, it was as long as gaps and lost LSNs are equally many. Otherwise
//! it may have been a session of which nothing later is left, and nothing tells which.

use super::choose::Missing;
use super::evidence::{Known, Survivors, pin};
use super::fold::Folded;
use super::gather::{Found, Gathered, Listed};
use super::report::{LostOf, LostRecords, LsnRange, SeqRange};
use crate::format::ids::{Lsn, Seq, SessionNo};
use crate::model::session::SessionEntry;
use crate::model::state::State;
use std::collections::{BTreeMap, BTreeSet};

/// Most sessions that one range of lost records names; how many more there are, it says.
const NAMED: usize = 64;

/// Sequence numbers of a session that are missing: their LSNs lie between `after` and `before`.
#[derive(Clone, Copy, Debug)]
struct Gap {
    session: SessionNo,
    from: Seq,
    to: Seq,
    after: Lsn,
    before: Lsn,
    /// There may have been more of them.
    is_open: bool,
}

/// Names the sessions of what is missing, and notes in `folded` what each has lost. `records` are
/// all that are left, erased ones included; below `logged_from` compactions may have dropped some.
pub(super) fn name_sessions(
    known: Option<&Known>,
    gathered: &Gathered,
    records: &[Found],
    missing: &Missing,
    logged_from: Lsn,
    folded: &mut Folded,
) -> Vec<LostRecords> {
    let mut ranges: Vec<(LsnRange, bool)> = Vec::new();
    ranges.extend(missing.lost.iter().map(|range| (*range, true)));
    ranges.extend(missing.uncertain.iter().map(|range| (*range, false)));
    ranges.sort_unstable_by_key(|(range, _)| range.from);
    if ranges.is_empty() {
        return Vec::new();
    }
    let base_lsn = known.map_or(Lsn::default(), Known::end);
    let is_missed = |lsn: Lsn| {
        let at = ranges.partition_point(|(range, _)| range.to <= lsn);
        ranges.get(at).is_some_and(|(range, _)| range.from <= lsn)
    };
    let survivors = Survivors::of(records);
    let pinned = pin(known, gathered, records, &survivors, is_missed);
    let gaps = gaps(&survivors.with(&pinned), &folded.state);
    let mut sweep = Sweep::new(&gaps, &pinned, base_lsn, logged_from);
    for (range, is_certain) in &ranges {
        sweep.range(*range, *is_certain);
    }
    let (pieces, touched) = sweep.finish();
    note_losses(&pieces, &gaps, &touched, base_lsn, logged_from, folded);
    let mut named: Vec<LostRecords> = Vec::new();
    for piece in pieces {
        let next = piece.into_lost(&gaps, &folded.state);
        if !named.last_mut().is_some_and(|last| last.join(&next)) {
            named.push(next);
        }
    }
    named
}

/// The gaps between `points`, which are all known records by session and place in it.
fn gaps(points: &[(SessionNo, Seq, Lsn)], state: &State) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut created = vec![None; state.entries().len()];
    for by_session in points.chunk_by(|a, b| a.0 == b.0) {
        let (session, seq, lsn) = by_session[0];
        if let Some(slot) = created.get_mut(session.get() as usize) {
            *slot = Some((lsn, seq == Seq::new(1)));
        }
        for pair in by_session.windows(2) {
            let ((_, seq, after), (_, to, before)) = (pair[0], pair[1]);
            if seq.next() < to {
                gaps.push(Gap {
                    session,
                    from: seq.next(),
                    to,
                    after,
                    before,
                    is_open: false,
                });
            }
        }
    }
    // Sessions get their numbers in the order in which they are created: so a creation that is
    // lost lies between its neighbours'.
    let mut after = Lsn::default();
    for (no, slot) in created.iter().enumerate() {
        let session = SessionNo::new(no as u32);
        match slot {
            Some((lsn, true)) => after = *lsn,
            Some((lsn, false)) => {
                let first = points.partition_point(|point| point.0 < session);
                gaps.push(Gap {
                    session,
                    from: Seq::new(1),
                    to: points[first].1,
                    after,
                    before: *lsn,
                    is_open: false,
                });
            }
            // Nothing is left of it but the number, which a later one proves.
            None if is_gone(state, session) => {
                let later = created[no..].iter().flatten();
                let before = later
                    .map(|(lsn, _)| *lsn)
                    .min()
                    .unwrap_or(Lsn::new(u64::MAX));
                gaps.push(Gap {
                    session,
                    from: Seq::new(1),
                    to: Seq::new(2),
                    after,
                    before,
                    is_open: true,
                });
            }
            None => {}
        }
    }
    gaps.sort_unstable_by_key(|gap| (gap.session, gap.from));
    gaps
}

/// Whether no record of a session, and no snapshot, tells of it.
fn is_gone(state: &State, session: SessionNo) -> bool {
    matches!(state.entry(session), Some(SessionEntry::Deleted(t)) if t.last_lsn.get() == 0)
}

/// Lost LSNs of which the same is known.
#[derive(Debug)]
struct Piece {
    range: LsnRange,
    is_certain: bool,
    of: Of,
    may_be_another: bool,
}

#[derive(Debug)]
enum Of {
    /// It is known which record it was.
    Record(Listed),
    /// It was one of those of these gaps, by number; and how many more there are.
    Gaps(Vec<usize>, u64),
}

/// One way through all missing LSNs, in order.
struct Sweep<'s> {
    gaps: &'s [Gap],
    pinned: &'s BTreeMap<Lsn, Listed>,
    base_lsn: Lsn,
    logged_from: Lsn,
    /// Where something changes.
    edges: BTreeSet<Lsn>,
    starts: Vec<usize>,
    started: usize,
    ends: BTreeSet<(Lsn, usize)>,
    active: BTreeSet<usize>,
    touched: Vec<bool>,
    fresh: Vec<usize>,
    /// Pieces that gaps hang together: the first, how many LSNs and how many sequence numbers
    /// they have, how far the gaps reach, and whether one is open.
    cluster: (usize, u64, u64, Lsn, bool),
    pieces: Vec<Piece>,
}

impl<'s> Sweep<'s> {
    fn new(
        gaps: &'s [Gap],
        pinned: &'s BTreeMap<Lsn, Listed>,
        base_lsn: Lsn,
        logged_from: Lsn,
    ) -> Self {
        let mut edges: BTreeSet<Lsn> = BTreeSet::from([base_lsn, logged_from]);
        edges.extend(gaps.iter().flat_map(|gap| [gap.after.next(), gap.before]));
        edges.extend(pinned.keys().flat_map(|lsn| [*lsn, lsn.next()]));
        let mut starts: Vec<usize> = (0..gaps.len()).collect();
        starts.sort_unstable_by_key(|n| gaps[*n].after);
        Sweep {
            gaps,
            pinned,
            base_lsn,
            logged_from,
            edges,
            starts,
            started: 0,
            ends: BTreeSet::new(),
            active: BTreeSet::new(),
            touched: vec![false; gaps.len()],
            fresh: Vec::new(),
            cluster: (0, 0, 0, Lsn::default(), false),
            pieces: Vec::new(),
        }
    }

    fn range(&mut self, range: LsnRange, is_certain: bool) {
        let inner = self.edges.range(range.from.next()..range.to);
        let edges: Vec<Lsn> = inner.copied().chain([range.to]).collect();
        let mut from = range.from;
        for to in edges {
            self.piece(LsnRange { from, to }, is_certain);
            from = to;
        }
    }

    fn piece(&mut self, range: LsnRange, is_certain: bool) {
        let of = match self.pinned.get(&range.from) {
            Some(listed) => Of::Record(*listed),
            None => self.suspects(range),
        };
        self.pieces.push(Piece {
            range,
            is_certain,
            of,
            may_be_another: false,
        });
    }

    fn suspects(&mut self, range: LsnRange) -> Of {
        while let Some(&n) = self.starts.get(self.started)
            && self.gaps[n].after < range.from
        {
            self.started += 1;
            self.active.insert(n);
            self.ends.insert((self.gaps[n].before, n));
            self.fresh.push(n);
        }
        while let Some(&(before, n)) = self.ends.first()
            && before <= range.from
        {
            self.ends.pop_first();
            self.active.remove(&n);
        }
        if range.from >= self.cluster.3 {
            self.close_cluster();
        }
        for n in std::mem::take(&mut self.fresh) {
            if self.active.contains(&n) {
                let gap = &self.gaps[n];
                self.touched[n] = true;
                self.cluster.2 += u64::from(gap.to.get() - gap.from.get());
                self.cluster.3 = self.cluster.3.max(gap.before);
                self.cluster.4 |= gap.is_open;
            }
        }
        self.cluster.1 += range.count();
        let named: Vec<usize> = self.active.iter().take(NAMED).copied().collect();
        let more = (self.active.len() - named.len()) as u64;
        Of::Gaps(named, more)
    }

    /// Says of the pieces of a cluster whether they may be of sessions that have no gap there.
    fn close_cluster(&mut self) {
        let (first, lsns, seqs, _, is_open) = self.cluster;
        let fills = lsns == seqs && !is_open;
        for piece in &mut self.pieces[first..] {
            let (from, to) = (piece.range.from, piece.range.to);
            let is_closed = to <= self.base_lsn || fills && from >= self.logged_from;
            piece.may_be_another = match &piece.of {
                Of::Record(_) => false,
                Of::Gaps(named, _) => named.is_empty() || !is_closed,
            };
        }
        self.cluster = (self.pieces.len(), 0, 0, Lsn::default(), false);
    }

    fn finish(mut self) -> (Vec<Piece>, Vec<bool>) {
        self.close_cluster();
        (self.pieces, self.touched)
    }
}

impl Piece {
    fn into_lost(self, gaps: &[Gap], state: &State) -> LostRecords {
        let name = |no: SessionNo| state.session(no).map(|session| session.name.to_string());
        let (sessions, more) = match self.of {
            Of::Record(Listed { session, seq, .. }) => {
                let seqs = SeqRange {
                    from: seq,
                    to: seq.next(),
                };
                (vec![(session, seqs)], 0)
            }
            Of::Gaps(named, more) => {
                let of = |n: usize| {
                    let Gap { from, to, .. } = gaps[n];
                    (gaps[n].session, SeqRange { from, to })
                };
                (named.into_iter().map(of).collect(), more)
            }
        };
        let sessions = sessions.into_iter().map(|(no, seqs)| LostOf {
            no,
            id: name(no),
            seqs,
        });
        LostRecords {
            from: self.range.from,
            to: self.range.to,
            is_certain: self.is_certain,
            sessions: sessions.collect(),
            sessions_left_out: more,
            may_be_another: self.may_be_another,
        }
    }
}

/// Notes what each session has lost of what a snapshot covers: the fold sees gaps only behind it.
fn note_losses(
    pieces: &[Piece],
    gaps: &[Gap],
    touched: &[bool],
    base_lsn: Lsn,
    logged_from: Lsn,
    folded: &mut Folded,
) {
    for piece in pieces {
        if let Of::Record(Listed { session, seq, .. }) = piece.of {
            folded.miss(session, seq, seq.next(), piece.is_certain);
        }
    }
    let covered = gaps.iter().zip(touched);
    for (gap, _) in covered.filter(|(gap, touched)| **touched && gap.after < base_lsn) {
        let is_certain = gap.after.next() >= logged_from;
        folded.miss(gap.session, gap.from, gap.to, is_certain);
    }
}
