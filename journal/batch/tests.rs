//! What goes into a batch comes out of the journal as the calls say, together or not at all.

use super::*;
use crate::format::ids::{Lsn, Seq};
use crate::journal::entry::Entry;
use crate::journal::handle::Journal;
use crate::journal::options::Options;
use crate::journal::turn::Input;
use crate::model::turn::TurnState;
use crate::storage::sim::SimDisk;

fn open(disk: &SimDisk) -> Journal {
    let options = Options::default()
        .background(false)
        .first_segment_bytes(64 << 10)
        .segment_bytes(64 << 10);
    let opened = options.storage(Arc::new(disk.clone())).open("/journal");
    opened.expect("opens").0
}

fn journal() -> (SimDisk, Journal) {
    let disk = SimDisk::new(7);
    let journal = open(&disk);
    (disk, journal)
}

fn last(session: &Session) -> Entry {
    session.last(1).expect("reads").pop().expect("a record")
}

/// A host ends a turn together with what else became of it. Had the batch another kind of
/// end than was asked for, a failed turn would read as cancelled after a crash.
#[test]
fn a_batch_ends_a_turn_in_the_way_that_was_asked_for() {
    type End = fn(Batch, &Turn) -> Batch;
    let ends: [(End, Kind, &str, &[u8]); 4] = [
        (
            |b, t| b.complete(t, "answer"),
            Kind::TurnCompleted,
            "",
            b"answer",
        ),
        (
            |b, t| b.fail(t, "no network", "detail"),
            Kind::TurnFailed,
            "no network",
            b"detail",
        ),
        (
            |b, t| b.cancel(t, "the user said so"),
            Kind::TurnCancelled,
            "the user said so",
            b"",
        ),
        (
            |b, t| b.interrupt(t, "host died"),
            Kind::TurnInterrupted,
            "host died",
            b"",
        ),
    ];
    for (end, kind, name, content) in ends {
        let (disk, journal) = journal();
        let session = journal.session("s").expect("opens");
        let mut turn = session
            .begin(Input::user("hello").key("k"))
            .expect("begins");
        turn.started().expect("starts");
        let batch = Batch::new().turn_event(&turn, "tool", "x");
        let batch = end(batch, &turn).put(&session, "status", "over");
        assert_eq!((batch.len(), batch.is_empty()), (3, false));
        let lsn = journal.append_all(&batch).expect("is kept");
        drop((session, turn, journal));
        let journal = open(&disk);
        let session = journal.find("s").expect("is there");
        let entries = session.last(3).expect("reads");
        let turns: Vec<_> = entries.iter().map(|e| e.turn.map(Seq::get)).collect();
        assert_eq!(turns, [Some(2), Some(2), None]);
        assert_eq!(entries[0].kind, Kind::TurnEvent);
        assert_eq!((entries[0].attempt, entries[1].attempt), (1, 1));
        let ended = &entries[1];
        assert_eq!(
            (ended.kind, &*ended.name, &*ended.content),
            (kind, name, content)
        );
        assert_eq!((entries[2].kind, entries[2].lsn), (Kind::Put, lsn));
        assert!(journal.open_turns().expect("lists").is_empty());
        let again = session
            .begin(Input::user("hello").key("k"))
            .expect("is found");
        assert!(!again.is_new());
        assert_eq!(TurnState::brought_by(kind), Some(again.state()));
        assert_eq!(
            session.get("status").expect("reads").as_deref(),
            Some(&b"over"[..])
        );
    }
}

#[test]
fn a_batch_sets_and_removes_values() {
    let (_disk, journal) = journal();
    let session = journal.session("s").expect("opens");
    let batch = Batch::new().put(&session, "a", "1").put(&session, "b", "2");
    journal.append_all(&batch).expect("is kept");
    assert_eq!(session.keys().expect("reads"), ["a", "b"]);
    let batch = Batch::new().remove(&session, "a").put(&session, "b", "3");
    journal.append_all(&batch).expect("is kept");
    assert_eq!(session.keys().expect("reads"), ["b"]);
    assert_eq!(session.get("a").expect("reads"), None);
    assert_eq!(session.get("b").expect("reads").as_deref(), Some(&b"3"[..]));
}

#[test]
fn actor_and_extra_are_of_the_record_that_was_added_last() {
    let (_disk, journal) = journal();
    let session = journal.session("s").expect("opens");
    let batch = Batch::new()
        .actor("nobody")
        .extra("of nothing")
        .event(&session, "first", "1")
        .actor("user")
        .event(&session, "second", "2")
        .extra(b"\x00\xff")
        .event(&session, "third", "3");
    journal.append_all(&batch).expect("is kept");
    let entries = session.last(3).expect("reads");
    let told: Vec<_> = entries
        .iter()
        .map(|e| (&*e.name, &*e.actor, &*e.extra))
        .collect();
    let expected: [(&str, &str, &[u8]); 3] = [
        ("first", "user", b""),
        ("second", "", b"\x00\xff"),
        ("third", "", b""),
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_empty_batch_and_one_that_holds_a_refused_record_leave_nothing() {
    let (_disk, journal) = journal();
    let session = journal.session("s").expect("opens");
    let turn = session.begin(Input::user("hello")).expect("begins");
    turn.complete("done").expect("ends");
    let before = (journal.accepted_lsn(), last(&session));
    // Nothing to append, so everything before it is waited for.
    let lsn = journal.append_all(&Batch::new()).expect("waits");
    assert_eq!((Batch::new().is_empty(), lsn.next()), (true, before.0));
    let batch = Batch::new()
        .event(&session, "event", "x")
        .fail(&turn, "too late", "");
    let refused = journal.append_all(&batch).expect_err("it ended");
    assert_eq!(refused.code(), "turn_ended");
    assert_eq!((journal.accepted_lsn(), last(&session)), before);
}

/// Two journals in one host, and a session of the one in a batch for the other. Sessions are
/// known by number there: the record would have gone to whichever session has that number.
#[test]
fn sessions_of_another_journal_are_refused() {
    let ((_one, ours), (_other, theirs)) = (journal(), journal());
    let (own, foreign) = (
        ours.session("own").expect("opens"),
        theirs.session("foreign").expect("opens"),
    );
    let before = ours.accepted_lsn();
    let batches = [
        Batch::new().event(&own, "a", "1").event(&foreign, "b", "2"),
        Batch::new().event(&foreign, "b", "2"),
    ];
    for batch in &batches {
        let refused = ours.append_all(batch).expect_err("is of another journal");
        assert_eq!(refused.code(), "invalid", "{refused}");
    }
    let input = Input::user("hello");
    for (batch, session) in [(&batches[1], &own), (&Batch::new(), &foreign)] {
        let begun = ours.submit_then_begin(batch, session, &input);
        assert_eq!(begun.expect_err("is of another journal").code(), "invalid");
    }
    assert_eq!(ours.accepted_lsn(), before);
    assert_eq!(own.last(9).expect("reads").len(), 1);
}

#[test]
fn a_batch_and_the_turn_behind_it_are_accepted_together() {
    let (disk, journal) = journal();
    let session = journal.session("s").expect("opens");
    let batch = Batch::new().event(&session, "context", "before the turn");
    let (turn, ticket) = journal
        .submit_then_begin(&batch, &session, &Input::user("hello").key("k"))
        .expect("is accepted");
    assert!(turn.is_new() && !turn.is_ended());
    assert_eq!((turn.id().get(), turn.ordinal(), turn.attempt()), (3, 1, 0));
    assert_eq!(ticket.wait().expect("syncs"), ticket.lsn());
    assert_eq!(last(&session).lsn, ticket.lsn());
    turn.event("tool", "x")
        .expect("goes in")
        .wait()
        .expect("syncs");
    drop((session, turn, ticket, journal));
    let journal = open(&disk);
    let session = journal.find("s").expect("is there");
    let kinds: Vec<_> = session
        .read(..)
        .expect("reads")
        .map(|e| e.expect("a record").kind)
        .collect();
    let expected = [
        Kind::SessionCreated,
        Kind::Message,
        Kind::TurnSubmitted,
        Kind::TurnEvent,
    ];
    assert_eq!(kinds, expected);
    let open = journal.open_turns().expect("lists");
    assert_eq!(open[0].turn.get(), 3);
}

/// A host retries after a timeout, with the same key: the turn is there, so the batch that went
/// before it must not be there twice.
#[test]
fn a_key_that_was_seen_gives_the_turn_and_takes_no_batch() {
    let (_disk, journal) = journal();
    let session = journal.session("s").expect("opens");
    let input = Input::user("hello").key("k");
    let batch = Batch::new().event(&session, "context", "before the turn");
    let (first, ticket) = journal
        .submit_then_begin(&batch, &session, &input)
        .expect("is accepted");
    ticket.wait().expect("syncs");
    let before = journal.accepted_lsn();
    let again = journal.submit_then_begin(&batch, &session, &input);
    assert_eq!(again.expect_err("was seen").code(), "invalid");
    let (found, ticket) = journal
        .submit_then_begin(&Batch::new(), &session, &input)
        .expect("is found");
    assert!(!found.is_new() && ticket.is_durable());
    assert_eq!(found.id(), first.id());
    assert_eq!(journal.accepted_lsn(), before);
    let (second, ticket) = journal
        .submit_then_begin(&Batch::new(), &session, &Input::user("next"))
        .expect("is accepted");
    assert!(second.is_new());
    assert_eq!((second.ordinal(), ticket.lsn()), (2, before));
    assert_eq!(ticket.lsn().next(), journal.accepted_lsn());
    assert!(Lsn::new(1) < ticket.lsn());
}
