//! Tests of the rules and of the fold.

mod dropping;
mod hostile;
mod naive;
mod queue;
mod rules;

use super::*;
use crate::format::body;
use crate::format::ids::{Epoch, Lsn, Seq, SessionNo};
use crate::model::session::{QueuedInput, Standing};

/// A small generator of numbers; the seed replays everything.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// A writer without a disk: checks, numbers and applies.
pub struct Writer {
    pub state: State,
    pub epoch: u32,
}

impl Writer {
    pub fn new() -> Self {
        Writer {
            state: State::default(),
            epoch: 1,
        }
    }

    /// With a session of that name, which gets number 1.
    pub fn with_session(name: &str) -> Self {
        let mut writer = Writer::new();
        writer.create(name);
        writer
    }

    pub fn create(&mut self, name: &str) -> u32 {
        let no = self.state.next_session().get();
        self.put_in(no, Kind::SessionCreated, &named(name));
        no
    }

    pub fn check(&self, no: u32, kind: Kind, envelope: &Envelope<'_>) -> Result<Verdict, Refusal> {
        let draft = Draft::new(
            Epoch::new(self.epoch),
            SessionNo::new(no),
            kind,
            envelope,
            10,
        );
        self.state.check(&draft)
    }

    pub fn refusal(&self, no: u32, kind: Kind, envelope: &Envelope<'_>) -> Refusal {
        self.check(no, kind, envelope).expect_err("is refused")
    }

    /// Applies what was accepted.
    pub fn apply(&mut self, no: u32, kind: Kind, envelope: &Envelope<'_>) -> Effect {
        let session = SessionNo::new(no);
        let record = Record {
            lsn: self.state.last_lsn().next(),
            session,
            seq: self.state.next_seq(session).expect("the session is live"),
            epoch: Epoch::new(self.epoch),
            kind,
            envelope,
            content_len: 10,
        };
        self.state.apply(&record).expect("accepted records fold")
    }

    /// Accepts and applies; returns the record's seq.
    pub fn put_in(&mut self, no: u32, kind: Kind, envelope: &Envelope<'_>) -> u32 {
        assert_eq!(self.check(no, kind, envelope), Ok(Verdict::Accept));
        let session = SessionNo::new(no);
        let seq = self.state.next_seq(session).expect("the session is live");
        self.apply(no, kind, envelope);
        seq.get()
    }

    /// Begins a turn in session 1.
    pub fn begin(&mut self, key: &str) -> u32 {
        self.put_in(1, Kind::TurnSubmitted, &keyed(key))
    }

    /// The input of session 1 that is to be taken next.
    pub fn next_input(&self) -> Option<&QueuedInput> {
        self.one().next_input(Epoch::new(self.epoch), None)
    }

    /// The state of session 1.
    pub fn one(&self) -> &SessionState {
        let session = self.state.session(SessionNo::new(1));
        session.expect("session 1 is live")
    }
}

pub fn named(name: &str) -> Envelope<'_> {
    Envelope {
        name,
        at_ms: 5,
        ..Envelope::default()
    }
}

pub fn keyed(key: &str) -> Envelope<'_> {
    Envelope {
        key: key.as_bytes(),
        ..Envelope::default()
    }
}

pub fn linked(link: u64) -> Envelope<'static> {
    Envelope {
        link,
        ..Envelope::default()
    }
}

pub fn of_turn(turn: u32, attempt: u32) -> Envelope<'static> {
    Envelope {
        turn,
        attempt,
        ..Envelope::default()
    }
}

/// An envelope for a record of that kind; if it is about a call, of the call "c".
pub fn call_of(kind: Kind, turn: u32, attempt: u32) -> Envelope<'static> {
    let is_call = matches!(
        kind,
        Kind::TurnCall | Kind::TurnResult | Kind::TurnCallInterrupted
    );
    Envelope {
        key: if is_call { b"c" } else { b"" },
        ..of_turn(turn, attempt)
    }
}

/// With a name as well.
pub fn call_named(kind: Kind, name: &'static str) -> Envelope<'static> {
    Envelope {
        name,
        ..call_of(kind, 0, 0)
    }
}

/// Stores every entry as a snapshot does, and loads it into a new state.
pub fn reloaded(state: &State) -> State {
    let mut loaded = State::new(state.limits);
    for entry in state.entries() {
        let mut bytes = Vec::new();
        body::encode(entry, &mut bytes).expect("a session's state is a body");
        let entry: SessionEntry = body::decode(&bytes).expect("what was encoded decodes");
        loaded.insert_loaded(entry).expect("what was stored loads");
    }
    loaded
}

/// Equality of all that a state holds, and not only of what is stored.
pub fn assert_same(left: &State, right: &State) {
    assert_eq!(left.entries, right.entries);
    assert_eq!(left.names, right.names);
    assert_eq!(left.tombstones, right.tombstones);
    assert_eq!(left.last_lsn, right.last_lsn);
    assert_eq!(left.open_turns, right.open_turns);
    assert_eq!(left.queues, right.queues);
    assert_eq!(left.digest(), right.digest());
}

pub fn seq(raw: u32) -> Seq {
    Seq::new(raw)
}

pub fn lsn(raw: u64) -> Lsn {
    Lsn::new(raw)
}
