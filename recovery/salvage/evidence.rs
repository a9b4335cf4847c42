//! What is left of records that are not there: who wrote them, without what they said.
//!
//! Four things outlive a record. A snapshot's state refers to some by LSN (values, open turns,
//! the first and the last of each session), and knows the place in the log of all that are in no
//! pack. A pack's index lists what a damaged block held. And a frame's header, with a checksum of
//! its own, stands where the payload is gone. This says whose a lost record was, never what was
//! in it; nothing is taken into the journal for it.

use super::gather::{Found, Gathered, HeaderOnly, Listed, Rank};
use super::source::FrameAt;
use crate::format::ids::{Lsn, Seq, SessionNo};
use crate::journal::index::Loc;
use crate::model::session::SessionEntry;
use crate::model::state::State;
use crate::snapshot::image::Image;
use std::collections::BTreeMap;

/// What a snapshot knows of single records.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Records whose LSN the state gives.
    named: Vec<Listed>,
    /// Where the records are that are in no pack, in the order of the log.
    places: Vec<(Loc, SessionNo, Seq)>,
    /// The first LSN of each segment that holds some of them.
    first_lsns: Vec<(Lsn, Loc)>,
    /// The snapshot's LSN.
    end: Lsn,
}

impl Known {
    /// Reads it off a snapshot.
    pub(super) fn of(image: &Image, end: Lsn) -> Known {
        let mut places = Vec::new();
        for (session, log) in image.logs() {
            let seqs = (log.first_seq.get()..).map(Seq::new);
            places.extend(
                log.places
                    .iter()
                    .zip(seqs)
                    .map(|(l, seq)| (*l, session, seq)),
            );
        }
        places.sort_unstable_by_key(|(loc, ..)| order(loc));
        let firsts = image.first_lsns.iter();
        Known {
            named: named(&image.state),
            places,
            first_lsns: firsts.map(|(lsn, id)| (*lsn, Loc::new(*id, 0))).collect(),
            end,
        }
    }

    /// The snapshot's LSN: of all sessions with records below, it knows.
    pub(super) fn end(&self) -> Lsn {
        self.end
    }

    /// The LSNs of the places. Places stand in the order of LSNs; so where as many lie between
    /// two records that are there as LSNs do, each has one of its own.
    fn placed(&self, by_session: &Survivors) -> Vec<Listed> {
        let place = |loc: &Loc| self.places.partition_point(|(l, ..)| order(l) < order(loc));
        let firsts = self.first_lsns.iter().map(|(lsn, loc)| (place(loc), *lsn));
        let found = self
            .places
            .iter()
            .enumerate()
            .flat_map(|(i, (_, no, seq))| {
                let lsn = by_session.lsn_of(*no, *seq);
                let around = lsn.map(|lsn| [(i, lsn), (i + 1, lsn.next())]);
                around.into_iter().flatten()
            });
        let mut fences: Vec<(usize, Lsn)> = firsts.chain(found).collect();
        fences.push((self.places.len(), self.end));
        fences.sort_unstable();
        let mut listed = Vec::new();
        for pair in fences.windows(2) {
            let [(from, first), (to, end)] = [pair[0], pair[1]];
            if end.get().checked_sub(first.get()) != Some((to - from) as u64) {
                continue;
            }
            let lsns = (first.get()..).map(Lsn::new);
            let between = self.places[from..to].iter().zip(lsns);
            listed.extend(between.map(|(&(_, session, seq), lsn)| Listed { lsn, session, seq }));
        }
        listed
    }
}

fn order(loc: &Loc) -> (u64, u64) {
    (loc.segment().get(), loc.offset())
}

/// The records whose LSN a state knows.
fn named(state: &State) -> Vec<Listed> {
    let mut named = Vec::new();
    for entry in state.entries() {
        let session = entry.no();
        let mut add = |lsn: Lsn, seq: Seq| named.push(Listed { lsn, session, seq });
        match entry {
            SessionEntry::Deleted(tombstone) => add(tombstone.last_lsn, tombstone.last_seq),
            SessionEntry::Live(live) => {
                if session.get() > 0 {
                    add(live.created_lsn, Seq::new(1));
                }
                add(live.last_lsn, Seq::new(live.next_seq.get() - 1));
                live.values.values().for_each(|v| add(v.lsn, v.seq));
                live.queue.iter().for_each(|q| add(q.lsn, q.seq));
                live.open.iter().for_each(|t| add(t.submitted_lsn, t.seq));
            }
        }
    }
    // A session without a record of its own has no first and no last one.
    named.retain(|l| l.lsn.get() > 0);
    named
}

/// The records that are there, by session and place in it.
pub(super) struct Survivors(Vec<(SessionNo, Seq, Lsn)>);

impl Survivors {
    pub(super) fn of(records: &[Found]) -> Survivors {
        let mut all: Vec<_> = records.iter().map(|r| (r.session, r.seq, r.lsn)).collect();
        all.sort_unstable();
        Survivors(all)
    }

    fn lsn_of(&self, session: SessionNo, seq: Seq) -> Option<Lsn> {
        let at = self
            .0
            .partition_point(|&(no, s, _)| (no, s) < (session, seq));
        let &(no, found, lsn) = self.0.get(at)?;
        ((no, found) == (session, seq)).then_some(lsn)
    }

    /// Whether a record fits between those of its session that are there: LSNs and sequence
    /// numbers ascend together, and no sequence number takes less than one LSN.
    fn leave_room_for(&self, record: &Listed) -> bool {
        let Listed { lsn, session, seq } = *record;
        let at = self
            .0
            .partition_point(|&(no, s, _)| (no, s) < (session, seq));
        let (before, behind) = self.0.split_at(at);
        let of_session = |r: &&(SessionNo, Seq, Lsn)| r.0 == session;
        let before = before.last().filter(of_session).map(|r| (r.1, r.2));
        let (seq_before, lsn_before) = before.unwrap_or_default();
        let fits = |seqs: u32, lsns: Option<u64>| lsns.is_some_and(|lsns| u64::from(seqs) <= lsns);
        let follows = fits(
            seq.get() - seq_before.get(),
            lsn.get().checked_sub(lsn_before.get()),
        );
        follows
            && behind.first().filter(of_session).is_none_or(|next| {
                next.1 > seq
                    && fits(
                        next.1.get() - seq.get(),
                        next.2.get().checked_sub(lsn.get()),
                    )
            })
    }

    /// Adds records that are known to have been, and iterates over all by session.
    pub(super) fn with(self, pinned: &BTreeMap<Lsn, Listed>) -> Vec<(SessionNo, Seq, Lsn)> {
        let mut all = self.0;
        all.extend(pinned.values().map(|l| (l.session, l.seq, l.lsn)));
        all.sort_unstable();
        all
    }
}

/// The records that are not there and whose they were is known, by LSN. `is_missed` says which
/// LSNs are asked for.
pub(super) fn pin(
    known: Option<&Known>,
    gathered: &Gathered,
    records: &[Found],
    survivors: &Survivors,
    is_missed: impl Fn(Lsn) -> bool,
) -> BTreeMap<Lsn, Listed> {
    let mut pinned = BTreeMap::new();
    let mut taken = BTreeMap::new();
    let mut add = |listed: Listed| {
        let is_new = !taken.contains_key(&(listed.session, listed.seq));
        if is_new && is_missed(listed.lsn) && survivors.leave_room_for(&listed) {
            let first = *pinned.entry(listed.lsn).or_insert(listed);
            if first == listed {
                taken.insert((listed.session, listed.seq), listed.lsn);
            }
        }
    };
    // The more it takes to be wrong, the sooner.
    if let Some(known) = known {
        known.named.iter().for_each(|listed| add(*listed));
    }
    gathered.listed_lost.iter().for_each(|listed| add(*listed));
    if let Some(known) = known {
        known.placed(survivors).into_iter().for_each(&mut add);
    }
    let linked = |header: &&HeaderOnly| is_linked(header, records);
    let headers = gathered.headers.iter().filter(linked);
    headers.for_each(|header| add(header.record));
    pinned
}

/// Whether no neighbour in the log contradicts a header: each frame names the check of the one
/// before it.
fn is_linked(header: &HeaderOnly, records: &[Found]) -> bool {
    let of_log = |f: &&Found| f.place.off == FrameAt::DIRECT && f.rank == Rank::Grouped;
    let at = |lsn: u64| {
        let n = records.binary_search_by_key(&lsn, |r| r.lsn.get());
        n.ok().map(|n| &records[n]).filter(of_log)
    };
    let lsn = header.record.lsn.get();
    at(lsn + 1).is_none_or(|next| next.prev == header.check)
        && at(lsn - 1).is_none_or(|before| before.check == header.prev)
}

#[cfg(test)]
mod tests {
    use super::super::sources::Sources;
    use super::super::tests::made::found;
    use super::*;
    use crate::format::ids::SegmentId;
    use crate::journal::turn::Input;
    use crate::recovery::reader::Reader;
    use crate::recovery::testing::{Home, fill};
    use crate::storage::DiskStorage;
    use crate::storage::dir::Dir;
    use crate::sync::Arc;

    fn survivors(all: &[(u32, u32, u64)]) -> Survivors {
        let all = all.iter();
        let all = all.map(|&(no, seq, lsn)| (SessionNo::new(no), Seq::new(seq), Lsn::new(lsn)));
        Survivors(all.collect())
    }

    /// Five records of one session, from 10 on; the last two in a segment of their own.
    fn known(end: u64) -> Known {
        let place = |n: u32, segment, offset| {
            (
                Loc::new(SegmentId::new(segment), offset),
                SessionNo::new(1),
                Seq::new(n),
            )
        };
        Known {
            named: Vec::new(),
            places: vec![
                place(1, 1, 4160),
                place(2, 1, 8256),
                place(3, 1, 12352),
                place(4, 2, 4160),
                place(5, 2, 8256),
            ],
            first_lsns: vec![
                (Lsn::new(10), Loc::new(SegmentId::new(1), 0)),
                (Lsn::new(13), Loc::new(SegmentId::new(2), 0)),
            ],
            end: Lsn::new(end),
        }
    }

    fn placed(known: &Known, survivors: &Survivors) -> Vec<(u64, u32)> {
        let placed = known.placed(survivors);
        placed.iter().map(|l| (l.lsn.get(), l.seq.get())).collect()
    }

    #[test]
    fn where_as_many_places_as_lsns_lie_between_two_fences_each_has_its_own() {
        let all = [(10, 1), (11, 2), (12, 3), (13, 4), (14, 5)];
        assert_eq!(placed(&known(15), &survivors(&[])), all);
        // One that a compaction dropped was among the last: of those nothing is known.
        assert_eq!(placed(&known(16), &survivors(&[])), all[..3]);
        // Unless a record that is there stands between.
        assert_eq!(placed(&known(16), &survivors(&[(1, 4, 13)])), all[..4]);
        assert_eq!(
            placed(&known(16), &survivors(&[(1, 4, 14)])),
            [(10, 1), (11, 2), (12, 3), (14, 4), (15, 5)]
        );
        // Another session's record of that sequence is not it.
        assert_eq!(placed(&known(16), &survivors(&[(2, 4, 13)])), all[..3]);
    }

    fn listed(no: u32, seq: u32, lsn: u64) -> Listed {
        Listed {
            lsn: Lsn::new(lsn),
            session: SessionNo::new(no),
            seq: Seq::new(seq),
        }
    }

    /// Of session 2 the third record and the seventh are there, at LSN 20 and 30.
    #[test]
    fn a_record_fits_where_its_session_has_room_for_it() {
        let all = survivors(&[(1, 9, 40), (2, 3, 20), (2, 7, 30), (3, 1, 1)]);
        let fits = |no, seq, lsn| all.leave_room_for(&listed(no, seq, lsn));
        // No sequence number takes less than one LSN, before it and behind it.
        let sound = [(4, 21), (4, 27), (5, 22), (5, 28), (6, 23), (6, 29)];
        assert!(sound.iter().all(|(seq, lsn)| fits(2, *seq, *lsn)));
        let tight = [
            (4, 20),
            (4, 28),
            (5, 21),
            (5, 29),
            (6, 22),
            (6, 30),
            (4, 5),
            (6, 99),
        ];
        assert!(tight.iter().all(|(seq, lsn)| !fits(2, *seq, *lsn)));
        // One that is there leaves none, neither does another under its number.
        assert!(!fits(2, 3, 20) && !fits(2, 7, 30) && !fits(2, 7, 31));
        // Before the first and behind the last of the session, whatever others hold.
        assert!(fits(2, 1, 1) && fits(2, 2, 19) && !fits(2, 2, 20) && !fits(2, 2, 1));
        assert!(fits(2, 8, 31) && !fits(2, 8, 30) && fits(2, 9, 32) && !fits(2, 9, 31));
        assert!(fits(4, 1, 1) && fits(4, 5, 5) && !fits(4, 5, 4));
    }

    fn grouped(lsn: u64, prev: u32) -> Found {
        found(lsn, Rank::Grouped, prev)
    }

    #[test]
    fn a_header_that_a_neighbour_in_the_log_contradicts_says_nothing() {
        let header = HeaderOnly {
            record: listed(1, 5, 5),
            check: 50,
            prev: 40,
        };
        let linked = |records: &[Found]| is_linked(&header, records);
        assert!(linked(&[]));
        assert!(linked(&[grouped(4, 30), grouped(6, 50)]));
        assert!(!linked(&[grouped(4, 30), grouped(6, 51)]));
        assert!(linked(&[grouped(3, 77), grouped(7, 77)]), "no neighbours");
        let other = HeaderOnly { prev: 41, ..header };
        assert!(!is_linked(&other, &[grouped(4, 30), grouped(6, 50)]));
        // Only what stands in a whole group of the log decides.
        let lone = Found {
            rank: Rank::Lone,
            ..grouped(6, 51)
        };
        let mut packed = grouped(6, 51);
        packed.place.off = 40;
        assert!(linked(&[lone]) && linked(&[packed]));
    }

    #[test]
    fn each_lost_record_is_pinned_once_and_by_the_surest_word() {
        let known = Known {
            named: vec![listed(1, 1, 10), listed(1, 2, 11)],
            end: Lsn::new(20),
            ..Known::default()
        };
        let mut gathered = Gathered::default();
        // Another record under an LSN that the state named, the same one elsewhere, a new one.
        gathered.listed_lost = vec![listed(2, 1, 10), listed(1, 2, 14), listed(2, 2, 12)];
        gathered.headers = vec![HeaderOnly {
            record: listed(3, 1, 13),
            check: 1,
            prev: 1,
        }];
        let missed = |lsn: Lsn| lsn.get() != 11;
        let none = survivors(&[]);
        let pinned = pin(Some(&known), &gathered, &[], &none, missed);
        let expected = [
            listed(1, 1, 10),
            listed(1, 2, 14),
            listed(2, 2, 12),
            listed(3, 1, 13),
        ];
        let expected = expected.map(|l| (l.lsn, l));
        assert_eq!(pinned, BTreeMap::from(expected));
        // What does not fit between those that are there is not believed.
        let there = survivors(&[(2, 5, 13)]);
        let pinned = pin(Some(&known), &gathered, &[], &there, missed);
        assert!(!pinned.contains_key(&Lsn::new(12)));
    }

    #[test]
    fn a_state_names_the_records_that_it_refers_to() {
        let home = Home::new();
        let journal = home.open();
        fill(&journal, "a", 2, 9);
        let session = journal.session("turns").expect("opens");
        session.put("key", "the value").expect("is kept");
        let mut open = session.begin(Input::user("the open turn")).expect("begins");
        open.started().expect("starts");
        let waiting = session
            .begin(Input::user("the queued turn"))
            .expect("begins");
        session.append("note", "in between").expect("is kept");
        session.append("note", "the last").expect("is kept");
        let gone = journal.session("gone").expect("opens");
        gone.append("note", "went").expect("is kept");
        gone.delete().expect("deletes");
        journal.checkpoint().expect("is taken");
        let read = || {
            let reader = Reader::open(&home.path).expect("opens");
            let log = reader.read(Lsn::new(1)).expect("reads");
            log.map(|entry| entry.expect("a record"))
                .collect::<Vec<_>>()
        };
        let all = read();
        drop((open, waiting, session, gone, journal));
        let dir = Dir::new(Arc::new(DiskStorage), &home.path);
        let sources = Sources::find(&dir).expect("finds");
        let (_, known) = sources.base(&dir, &mut Vec::new()).expect("a state");
        let listed = |named: &Listed| {
            let is = |e: &&crate::journal::entry::Entry| {
                (e.lsn, e.session, e.seq) == (named.lsn, named.session, named.seq)
            };
            all.iter().find(is)
        };
        let mut contents: Vec<String> = Vec::new();
        for named in &known.named {
            let entry = listed(named).unwrap_or_else(|| panic!("{named:?} is no record"));
            contents.push(String::from_utf8_lossy(&entry.content).into_owned());
        }
        for content in ["the value", "the open turn", "the queued turn", "the last"] {
            assert!(
                contents.iter().any(|c| c == content),
                "{content}: {contents:?}"
            );
        }
        assert!(!contents.iter().any(|c| c == "in between"));
        // Of each session the first record and the last one, of one that was deleted the last.
        let numbers: std::collections::BTreeSet<_> = all.iter().map(|e| e.session).collect();
        for no in numbers.into_iter().filter(|no| no.get() > 0) {
            let of = |e: &&crate::journal::entry::Entry| e.session == no;
            let (first, last) = (all.iter().find(of), all.iter().rfind(of));
            let has = |e: Option<&crate::journal::entry::Entry>| {
                e.is_some_and(|e| known.named.iter().any(|l| l.lsn == e.lsn))
            };
            assert!(has(last), "the last record of {no}");
            let is_deleted = all.iter().any(|e| e.session == no && e.content == b"went");
            assert!(is_deleted || has(first), "the first record of {no}");
        }
    }
}
