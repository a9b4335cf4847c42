//! The queue of pending input: nothing lost, nothing stuck, nothing done twice unseen.

use super::{Host, code, said};
use std::collections::BTreeSet;
use std::sync::Mutex;
use turnkeep::{Batch, Error, Input, InputStatus, Kind, Seq};

fn queue(host: &Host, class: &str, text: &str, priority: u64) -> Seq {
    let input = Input::new(class, text).priority(priority);
    host.session().enqueue(input).expect("is queued").input
}

fn statuses(host: &Host) -> Vec<InputStatus> {
    let pending = host.journal().pending().expect("lists");
    pending.iter().map(|input| input.status).collect()
}

#[test]
fn input_that_is_queued_survives_and_comes_in_order() {
    let mut host = Host::new();
    queue(&host, "normal", "second", 1);
    queue(&host, "urgent", "first", 9);
    queue(&host, "normal", "third", 1);
    let todo = queue(&host, "todo", "fourth", 0);
    for crash in [Host::killed, Host::lost_power, Host::packed] {
        crash(&mut host);
        assert_eq!(statuses(&host), [InputStatus::Waiting; 4]);
    }
    let reader = host.options().open_read_only(super::PATH).expect("opens");
    assert_eq!(
        reader.pending().expect("lists"),
        host.journal().pending().expect("lists")
    );
    let claim = host.journal().claim_class("w", "todo").expect("claims");
    assert_eq!(claim.expect("there is one").input(), todo);
    let mut order = Vec::new();
    while let Some(claim) = host.journal().claim("w").expect("claims") {
        order.push(String::from_utf8(claim.entry().content.clone()).expect("text"));
        claim.confirm().expect("is done");
    }
    assert_eq!(order, ["first", "second", "third", "fourth"]);
    host.lost_power();
    assert_eq!(statuses(&host), []);
}

/// claude-mem queued the same observation ten times in a millisecond.
#[test]
fn the_same_id_is_queued_once() {
    let mut host = Host::new();
    let input = || Input::new("normal", "text").key("tool-use-1");
    let first = host.session().enqueue(input()).expect("is queued");
    assert!(first.is_new);
    for crash in [Host::killed, Host::packed] {
        crash(&mut host);
        let again = host.session().enqueue(input()).expect("is known");
        assert_eq!((again.input, again.is_new), (first.input, false));
    }
    let claim = host.journal().claim("w").expect("claims").expect("waits");
    let turn = claim.begin().expect("begins");
    // Also when it has become a turn, whichever way it is sent again.
    assert!(!host.session().enqueue(input()).expect("is known").is_new);
    let same = host.session().begin(input()).expect("is found");
    assert_eq!((same.id(), same.is_new()), (turn.id(), false));
    assert_eq!(statuses(&host), []);
}

/// claude-mem's rows stayed in `processing` for ever when the worker died.
#[test]
fn a_claim_dies_with_its_owner_however_that_dies() {
    let mut host = Host::new();
    queue(&host, "normal", "text", 0);
    let claim = host.journal().claim("w").expect("claims").expect("waits");
    assert_eq!(statuses(&host), [InputStatus::Claimed]);
    assert!(host.journal().claim("other").expect("claims").is_none());
    drop(claim);
    assert_eq!(statuses(&host), [InputStatus::Waiting]);
    let journal = host.journal().clone();
    std::thread::spawn(move || {
        let _claim = journal.claim("w").expect("claims").expect("waits");
        std::panic::resume_unwind(Box::new("the worker panics"));
    })
    .join()
    .expect_err("it panicked");
    assert_eq!(statuses(&host), [InputStatus::Waiting]);
    let claim = host.journal().claim("w").expect("claims").expect("waits");
    assert_eq!((claim.number(), claim.lost_claims()), (3, 0));
    // The process dies with the claim in hand: nothing is said any more.
    host.disk.kill();
    assert!(claim.confirm().is_err());
    host.journal = None;
    host.open();
    assert_eq!(statuses(&host), [InputStatus::Waiting]);
    let claim = host.journal().claim("w").expect("claims").expect("waits");
    assert_eq!((claim.number(), claim.lost_claims()), (4, 1));
    claim.begin().expect("begins");
}

/// A message that kills whoever reads it: claude-mem replayed it at every start, then dropped
/// the whole queue after three tries.
#[test]
fn input_that_no_worker_survives_is_buried_and_kept() {
    let mut host = Host::with(|options| options.max_lost_claims(2));
    let poison = queue(&host, "normal", "poison", 9);
    queue(&host, "normal", "harmless", 0);
    for _ in 0..2 {
        let claim = host.journal().claim("w").expect("claims").expect("waits");
        assert_eq!(claim.input(), poison);
        std::mem::forget(claim);
        host.killed();
    }
    let claim = host.journal().claim("w").expect("claims").expect("waits");
    assert_eq!(claim.entry().content, b"harmless");
    claim.confirm().expect("is done");
    host.packed();
    let dead = host.session().pending().expect("lists");
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].input, dead[0].status), (poison, InputStatus::Dead));
    assert_eq!((dead[0].claims, dead[0].lost_claims), (2, 2));
    let because = dead[0].because.expect("says why");
    let why = host
        .session()
        .read(because..=because)
        .expect("reads")
        .next();
    let why = why.expect("is there").expect("reads");
    assert_eq!(why.kind, Kind::InputBuried);
    assert!(why.name.contains("too often"), "{}", why.name);
    let text = host.session().read(poison..=poison).expect("reads");
    assert_eq!(said(text), [(Kind::InputQueued, "poison".to_owned())]);
    // Someone looks at it, mends what was wrong, and lets it go again.
    host.session().release(poison, "mended").expect("waits");
    let claim = host.journal().claim("w").expect("claims").expect("waits");
    assert_eq!((claim.number(), claim.lost_claims()), (3, 0));
    claim.bury("cannot be understood").expect("is buried");
    assert_eq!(statuses(&host), [InputStatus::Dead]);
    host.session().withdraw(poison, "given up").expect("goes");
    assert_eq!(code(host.session().withdraw(poison, "")), "unknown_input");
}

#[test]
fn claimed_input_is_its_workers_alone() {
    let host = Host::new();
    let input = queue(&host, "normal", "text", 0);
    let session = host.session();
    let claim = session.claim("worker-1").expect("claims").expect("waits");
    match session.withdraw(input, "never mind") {
        Err(Error::InputClaimed { owner, claim, .. }) => {
            assert_eq!((&*owner, claim), ("worker-1", 1));
        }
        other => panic!("{other:?}"),
    }
    for refused in [session.clear(), session.truncate_from(input)] {
        assert_eq!(code(refused), "input_pending");
    }
    // By hand it is taken away, and the worker that wakes up again is told.
    session.release(input, "it hangs").expect("waits");
    assert_eq!(code(session.release(input, "again")), "input_state");
    let other = session.claim("worker-2").expect("claims").expect("waits");
    assert_eq!(code(claim.begin()), "input_claimed");
    let pending = session.pending().expect("lists");
    assert_eq!((&*pending[0].owner, pending[0].claims), ("worker-2", 2));
    let turn = session.begin(Input::user("open")).expect("begins");
    other.steer(&turn).expect("becomes part of it");
    let last = session.last(1).expect("reads").remove(0);
    assert_eq!(
        (last.kind, last.turn),
        (Kind::InputConfirmed, Some(turn.id()))
    );
    assert_eq!(statuses(&host), []);
}

/// Input and what came of it, in one batch: after a crash there are both or neither.
#[test]
fn a_batch_confirms_input_with_what_came_of_it() {
    let mut host = Host::new();
    queue(&host, "normal", "observe", 0);
    let session = host.session();
    let claim = session.claim("w").expect("claims").expect("waits");
    let batch = Batch::new()
        .put(&session, "observation", "seen")
        .confirm(&claim);
    host.journal().append_all(&batch).expect("is there");
    drop(claim);
    host.lost_power();
    assert_eq!(statuses(&host), []);
    assert_eq!(
        host.session().get("observation").expect("reads"),
        Some(b"seen".to_vec())
    );
    queue(&host, "normal", "observe", 0);
    let session = host.session();
    let claim = session.claim("w").expect("claims").expect("waits");
    session.release(claim.input(), "taken away").expect("waits");
    let batch = Batch::new()
        .put(&session, "observation", "twice")
        .confirm(&claim);
    assert_eq!(code(host.journal().append_all(&batch)), "input_claimed");
    assert_eq!(
        session.get("observation").expect("reads"),
        Some(b"seen".to_vec())
    );
}

/// What is still to be sent is queued with what made it necessary: both are there, or neither.
#[test]
fn a_batch_queues_input_with_what_made_it_necessary() {
    let mut host = Host::new();
    let session = host.session();
    let outbox = host.journal().session("outbox").expect("opens");
    let batch = || {
        let input = Input::new("send", "revision 7")
            .key("op-1")
            .priority(3)
            .actor("me");
        let input = input.reference("sha256:ab").extra("meta");
        Batch::new()
            .put(&session, "document", "7")
            .enqueue(&outbox, input)
    };
    host.journal().append_all(&batch()).expect("is there");
    assert_eq!(code(host.journal().append_all(&batch())), "invalid");
    host.lost_power();
    let claim = host
        .journal()
        .claim("sender")
        .expect("claims")
        .expect("waits");
    let entry = claim.entry();
    assert_eq!((&*entry.name, &*entry.actor, entry.link), ("send", "me", 3));
    assert_eq!(entry.key.as_deref(), Some(&b"op-1"[..]));
    assert_eq!(
        (&*entry.refs[0], &*entry.extra),
        ("sha256:ab", &b"meta"[..])
    );
    let turn = claim.begin().expect("begins");
    let first = turn.entries().expect("reads").next();
    let first = first.expect("has a beginning").expect("reads");
    assert_eq!(
        (&*first.name, &*first.content),
        ("send", &b"revision 7"[..])
    );
    assert_eq!((first.link, first.attempt), (2, 1));
}

/// With one turn at a time, what cannot begin now is not handed out.
#[test]
fn a_busy_session_is_passed_over() {
    let host = Host::with(|options| options.max_open_turns(1));
    queue(&host, "normal", "in the busy one", 9);
    let turn = host.session().begin(Input::user("busy")).expect("begins");
    let free = host.journal().session("free").expect("opens");
    free.enqueue(Input::user("in the free one"))
        .expect("is queued");
    let claim = host.journal().claim("w").expect("claims").expect("waits");
    assert_eq!(claim.session().id(), "free");
    assert!(host.journal().claim("w").expect("claims").is_none());
    // A turn that cannot begin leaves its input in the queue.
    let busy = host.session().claim("w").expect("claims").expect("waits");
    assert_eq!(code(busy.begin()), "turn_open");
    turn.complete("done").expect("ends");
    let busy = host.journal().claim("w").expect("claims").expect("waits");
    assert_eq!(
        (busy.number(), busy.entry().content.as_slice()),
        (2, &b"in the busy one"[..])
    );
    busy.begin().expect("begins");
    free.delete().expect("is deleted");
    assert_eq!(code(free.claim("w")), "session_deleted");
}

#[test]
fn many_workers_take_each_input_once() {
    let host = Host::new();
    let sessions: Vec<_> = (0..4)
        .map(|n| host.journal().session(&format!("s{n}")).expect("opens"))
        .collect();
    for n in 0..80 {
        let input = Input::user(n.to_string()).priority(n % 3);
        sessions[n as usize % 4].enqueue(input).expect("is queued");
    }
    let taken = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (journal, taken) = (host.journal(), &taken);
            scope.spawn(move || {
                while let Some(claim) = journal.claim(&worker.to_string()).expect("claims") {
                    let content = claim.entry().content.clone();
                    assert!(taken.lock().expect("no panic").insert(content));
                    claim.begin().expect("begins").complete("").expect("ends");
                }
            });
        }
    });
    assert_eq!(taken.into_inner().expect("no panic").len(), 80);
    assert_eq!(statuses(&host), []);
}

/// The disk is full when a worker gives its claim back by dropping it. The input was claimed by
/// nobody until the host was started again.
#[test]
fn a_claim_dropped_on_a_full_disk_waits_again_when_there_is_room() {
    let host = Host::new();
    let input = queue(&host, "normal", "text", 1);
    let claim = host.journal().claim("w").expect("claims").expect("waits");
    let room = host.disk.used_bytes();
    host.disk.set_capacity(room);
    let filler = host.journal().session("filler").expect("opens");
    for bytes in [4000, 1] {
        while filler.append("note", vec![b'x'; bytes]).is_ok() {}
    }
    drop(claim);
    assert_eq!(statuses(&host), [InputStatus::Claimed], "nobody can say so");
    assert!(host.journal().claim("w").expect("looks").is_none());
    host.disk.set_capacity(None);
    let claim = host.journal().claim("w").expect("claims").expect("waits");
    assert_eq!(
        (claim.input(), claim.number(), claim.lost_claims()),
        (input, 2, 0)
    );
    claim.confirm().expect("is done");
    assert_eq!(statuses(&host), []);
}
