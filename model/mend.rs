//! Folding on behind a loss: what salvage does where records are missing.
//!
//! The fold itself refuses records that do not follow on, and must. Behind damage they do not:
//! so here what is missing is noted first, and then the record is folded as always. Nothing is
//! invented:
//! - Missing records of a session become a hole, as if they had been truncated.
//! - A session whose creation is missing gets the name `lost+found/session-<number>`. A number
//!   of which no record is left becomes a tombstone, so that it is not given again.
//! - A record of a turn whose beginning is missing stands in its session, and moves no turn.
//! - A session that is created under the name of another one proves that the other was deleted
//!   in between, for a writer refuses anything else.

use super::event::Kind;
use super::fold::{Effect, FoldFault, Record};
use super::session::{SessionEntry, SessionState, Tombstone};
use super::state::State;
use crate::format::ids::{Lsn, Seq, SessionNo};

/// What the names of sessions whose creation is lost begin with.
pub const LOST_AND_FOUND: &str = "lost+found/session-";

/// Most sessions that may be missing in a row. A number beyond is no session's, whatever its
/// checksum says, and must not make the state grow.
const MAX_MISSING_SESSIONS: u32 = 1 << 20;

/// What folding a record behind a loss came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// What the record did.
    pub effect: Effect,
    /// Records of its session that are missing before it, half-open.
    pub missing: Option<(Seq, Seq)>,
    /// A session that must have been deleted, since its name was given again.
    pub deleted: Option<SessionNo>,
}

impl State {
    /// Folds a record although records before it may be missing. `survives` says whether any
    /// record of a session is left.
    ///
    /// # Errors
    /// [`FoldFault`] for a record that cannot be a later one of this journal: one before the
    /// last, of a deleted session, out of its session's order. The state is then as it was, but
    /// for sessions before the record's, which are there now.
    pub fn apply_mending(
        &mut self,
        record: &Record<'_>,
        survives: impl Fn(SessionNo) -> bool,
    ) -> Result<Mended, FoldFault> {
        let no = record.session;
        let last = self.last_lsn();
        if record.lsn <= last {
            let found = record.lsn;
            return Err(FoldFault::Lsn { last, found });
        }
        let is_creation = record.kind == Kind::SessionCreated;
        if is_creation && record.envelope.name.is_empty() {
            return Err(FoldFault::SessionName { session: no });
        }
        self.fill_sessions(no, survives)?;
        let mut deleted = None;
        if no == self.next_session() {
            if is_creation && record.seq == Seq::new(1) {
                deleted = self.free_name(record.envelope.name, record.lsn);
            } else {
                self.add_lost(no);
            }
        }
        let missing = self.skip_missing(record)?;
        let effect = match self.apply(record) {
            // Its beginning is lost. The record is there to be read.
            Err(FoldFault::Turn { .. }) => {
                let Some(SessionEntry::Live(session)) = self.entries.get_mut(no.get() as usize)
                else {
                    return Err(FoldFault::UnknownSession { session: no });
                };
                session.stamp(record);
                self.last_lsn = record.lsn;
                Effect::Recorded
            }
            applied => applied?,
        };
        Ok(Mended {
            effect,
            missing,
            deleted,
        })
    }

    /// Notes that the records in `from..to` of a session are lost: what hangs on them is
    /// forgotten, as if they had been truncated.
    pub fn lose(&mut self, no: SessionNo, from: Seq, to: Seq) {
        if let Some(SessionEntry::Live(session)) = self.entries.get_mut(no.get() as usize) {
            let to = to.min(session.next_seq);
            let open_before = session.open.len();
            session.drop_range(from, to);
            self.open_turns = self.open_turns - open_before + session.open.len();
            self.note_queue(no);
        }
    }

    /// Makes the sessions before `no` that are not there.
    fn fill_sessions(
        &mut self,
        no: SessionNo,
        survives: impl Fn(SessionNo) -> bool,
    ) -> Result<(), FoldFault> {
        let expected = self.next_session();
        if no.get().saturating_sub(expected.get()) > MAX_MISSING_SESSIONS || no.get() == u32::MAX {
            let found = no;
            return Err(FoldFault::SessionOrder { expected, found });
        }
        while self.next_session() < no {
            let missing = self.next_session();
            if survives(missing) {
                self.add_lost(missing);
            } else {
                self.entries.push(SessionEntry::Deleted(Tombstone {
                    no: missing,
                    name_hash: 0,
                    generation: 0,
                    last_seq: Seq::new(0),
                    last_lsn: Lsn::new(0),
                }));
            }
        }
        Ok(())
    }

    /// Adds the next session, whose creation is lost.
    fn add_lost(&mut self, no: SessionNo) {
        let mut name = format!("{LOST_AND_FOUND}{no}");
        while self.names.contains_key(name.as_str()) {
            name.push('+');
        }
        let session = SessionState::new(no, &name);
        self.names.insert(session.name.clone(), no);
        self.entries.push(SessionEntry::Live(Box::new(session)));
    }

    /// Makes `name` free for a session that is created under it.
    fn free_name(&mut self, name: &str, lsn: Lsn) -> Option<SessionNo> {
        let no = self.find(name)?;
        let SessionEntry::Live(session) = self.entries.get_mut(no.get() as usize)? else {
            return None;
        };
        if session.created_lsn == Lsn::new(0) {
            // Only we have called it so.
            self.names.remove(name);
            let mut other = format!("{name}+");
            while self.names.contains_key(other.as_str()) {
                other.push('+');
            }
            session.name = other.as_str().into();
            self.names.insert(session.name.clone(), no);
            return None;
        }
        let before = Lsn::new(lsn.get() - 1);
        let tombstone = session.tombstone(session.next_seq, before.max(session.last_lsn));
        self.open_turns -= session.open.len();
        self.names.remove(name);
        self.tombstones.insert(tombstone.name_hash, no);
        self.entries[no.get() as usize] = SessionEntry::Deleted(tombstone);
        self.note_queue(no);
        Some(no)
    }

    /// Makes a hole of what is missing in the record's session before it.
    fn skip_missing(&mut self, record: &Record<'_>) -> Result<Option<(Seq, Seq)>, FoldFault> {
        let no = record.session;
        let Some(entry) = self.entries.get_mut(no.get() as usize) else {
            // It is the one that is created next.
            return Ok(None);
        };
        let SessionEntry::Live(session) = entry else {
            return Err(FoldFault::DeletedSession { session: no });
        };
        let (expected, found) = (session.next_seq, record.seq);
        let fits = expected <= found && found.get() < u32::MAX;
        if !fits || record.kind == Kind::SessionCreated {
            let session = no;
            return Err(FoldFault::Seq {
                session,
                expected,
                found,
            });
        }
        if expected == found {
            return Ok(None);
        }
        session.next_seq = found;
        // Nothing that is remembered is of a record which is only missing.
        session.drop_range(expected, found);
        Ok(Some((expected, found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ids::Epoch;
    use crate::model::event::Envelope;
    use crate::model::turn::TurnState;

    struct Log(u64);

    impl Log {
        fn fold(
            &mut self,
            state: &mut State,
            (session, seq): (u32, u32),
            kind: Kind,
            envelope: &Envelope<'_>,
        ) -> Result<Mended, FoldFault> {
            self.0 += 1;
            let record = Record {
                lsn: Lsn::new(self.0),
                session: SessionNo::new(session),
                seq: Seq::new(seq),
                epoch: Epoch::new(1),
                kind,
                envelope,
                content_len: 3,
            };
            state.apply_mending(&record, |no| no.get() == 2)
        }
    }

    fn named(name: &str) -> Envelope<'_> {
        Envelope {
            name,
            ..Envelope::default()
        }
    }

    #[test]
    fn missing_records_become_a_hole_and_missing_sessions_lost_ones_or_tombstones() {
        let (mut state, mut log) = (State::default(), Log(0));
        let none = Envelope::default();
        let message = Kind::Message;
        log.fold(&mut state, (1, 1), Kind::SessionCreated, &named("a"))
            .expect("begins");
        let mended = log.fold(&mut state, (1, 5), message, &none).expect("folds");
        assert_eq!(mended.missing, Some((Seq::new(2), Seq::new(5))));
        assert_eq!(state.visible_len(SessionNo::new(1)), 2);
        log.fold(&mut state, (4, 7), message, &none).expect("folds");
        assert_eq!(state.find("lost+found/session-2"), Some(SessionNo::new(2)));
        assert!(state.session(SessionNo::new(3)).is_none());
        assert_eq!(state.find("lost+found/session-4"), Some(SessionNo::new(4)));
        assert_eq!(state.visible_len(SessionNo::new(4)), 1);
        assert_eq!(state.next_session(), SessionNo::new(5));
        let again = log.fold(&mut state, (3, 1), message, &none);
        assert!(matches!(again, Err(FoldFault::DeletedSession { .. })));
        let again = log.fold(&mut state, (4, 7), message, &none);
        assert!(matches!(again, Err(FoldFault::Seq { .. })));
    }

    #[test]
    fn a_record_of_a_lost_turn_stands_in_its_session() {
        let (mut state, mut log) = (State::default(), Log(0));
        log.fold(&mut state, (1, 1), Kind::SessionCreated, &named("a"))
            .expect("begins");
        let of_lost = Envelope {
            turn: 2,
            ..Envelope::default()
        };
        log.fold(&mut state, (1, 3), Kind::TurnCompleted, &of_lost)
            .expect("folds");
        assert!(state.is_visible(SessionNo::new(1), Seq::new(3)));
        assert_eq!(state.open_turn_count(), 0);
        log.fold(&mut state, (1, 4), Kind::TurnSubmitted, &named(""))
            .expect("begins");
        assert_eq!(state.open_turn_count(), 1);
        let session = SessionNo::new(1);
        state.lose(session, Seq::new(4), Seq::new(5));
        assert_eq!(state.open_turn_count(), 0);
        assert!(!state.is_visible(session, Seq::new(4)));
    }

    #[test]
    fn a_name_that_is_given_again_proves_a_deletion() {
        let (mut state, mut log) = (State::default(), Log(0));
        log.fold(&mut state, (1, 1), Kind::SessionCreated, &named("a"))
            .expect("begins");
        log.fold(&mut state, (1, 2), Kind::TurnSubmitted, &named(""))
            .expect("begins");
        let mended = log
            .fold(&mut state, (2, 1), Kind::SessionCreated, &named("a"))
            .expect("begins");
        assert_eq!(mended.deleted, Some(SessionNo::new(1)));
        assert_eq!(state.find("a"), Some(SessionNo::new(2)));
        assert_eq!(state.open_turn_count(), 0);
        let second = state.session(SessionNo::new(2)).expect("is there");
        assert_eq!(second.generation, 2);
    }

    #[test]
    fn without_a_loss_it_is_the_fold() {
        let (mut whole, mut mended) = (State::default(), State::default());
        let turn = Envelope {
            turn: 2,
            attempt: 1,
            ..Envelope::default()
        };
        let records = [
            (1, 1, Kind::SessionCreated, named("a")),
            (1, 2, Kind::TurnSubmitted, named("ask")),
            (1, 3, Kind::TurnStarted, turn.clone()),
            (2, 1, Kind::SessionCreated, named("b")),
            (2, 2, Kind::Put, named("key")),
            (1, 4, Kind::TurnCompleted, turn),
            (2, 3, Kind::SessionDeleted, named("")),
        ];
        let mut log = Log(0);
        for (session, seq, kind, envelope) in &records {
            log.fold(&mut mended, (*session, *seq), *kind, envelope)
                .expect("folds");
            let record = Record {
                lsn: Lsn::new(log.0),
                session: SessionNo::new(*session),
                seq: Seq::new(*seq),
                epoch: Epoch::new(1),
                kind: *kind,
                envelope,
                content_len: 3,
            };
            whole.apply(&record).expect("folds");
        }
        assert_eq!(mended.digest(), whole.digest());
        let ended = whole.session(SessionNo::new(1)).expect("is there");
        assert_eq!(ended.end_of(Seq::new(2)), Some(TurnState::Completed));
    }

    #[test]
    fn a_number_beyond_reason_makes_no_sessions() {
        let (mut state, mut log) = (State::default(), Log(0));
        for session in [u32::MAX, 1 << 30] {
            let far = log.fold(&mut state, (session, 1), Kind::Message, &named(""));
            assert!(matches!(far, Err(FoldFault::SessionOrder { .. })));
        }
        assert_eq!(state.entries().len(), 1);
    }
}
