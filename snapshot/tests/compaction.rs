//! Compaction moves what stays, drops what may go, and says so beforehand.

use super::{compacted, contents, digest, files, fill, fresh, open, options};
use crate::error::Error;
use crate::format::ids::{Lsn, SnapshotId};
use crate::journal::turn::Input;
use crate::model::retention::Retention;

#[test]
fn what_stays_is_read_from_packs_as_it_was_from_the_log() {
    let (at, journal) = fresh();
    fill(&journal, 150);
    let all = contents(&journal);
    let expected = compacted(&journal, &all);
    let before = digest(&journal);
    let plan = journal.plan_compaction().expect("plans");
    let done = journal.compact().expect("compacts");

    assert_eq!(
        (
            plan.segments,
            plan.records_keep,
            plan.records_superseded,
            plan.records_erased
        ),
        (
            done.segments,
            done.records_kept,
            done.records_superseded,
            done.records_erased
        )
    );
    assert_eq!((plan.bytes_in, plan.erasing), (done.bytes_in, false));
    assert!(done.records_superseded > 100, "{done}");
    assert_eq!(
        done.records_kept + done.records_superseded + 1,
        journal.durable_lsn().get()
    );
    assert_eq!(done.snapshot, Some(SnapshotId::new(1)));
    assert_eq!(contents(&journal), expected);
    assert_eq!(digest(&journal), before);
    assert_eq!(journal.stat().expect("counts").uncompacted_bytes, 0);
    assert_eq!(
        journal
            .shared
            .index
            .read()
            .session(1.into_no())
            .map(|l| l.places.len()),
        Some(0)
    );

    assert_eq!(
        journal.shared.index.read().first_lsns.len(),
        1,
        "only the active segment"
    );

    // In the order of the journal, and backwards, the same records.
    let kept: usize = expected.values().map(Vec::len).sum();
    let in_order: Vec<Lsn> = journal
        .read(Lsn::new(1))
        .expect("reads")
        .map(|e| e.expect("a record").lsn)
        .collect();
    assert_eq!(in_order.len(), kept);
    assert!(in_order.is_sorted_by(|a, b| a < b));
    let session = journal.find("session 2").expect("there");
    let mut backwards: Vec<_> = session
        .read(..)
        .expect("reads")
        .rev()
        .map(|e| super::Said(e.expect("a record")))
        .collect();
    backwards.reverse();
    assert_eq!(backwards, expected["session 2"]);
    let value = session.get("key 1").expect("reads").expect("has a value");
    assert!(value.starts_with(b"value "));

    // And after what is appended next, also across an unclean and a clean stop.
    fill(&journal, 20);
    let all = contents(&journal);
    let before = digest(&journal);
    drop((session, journal));
    let journal = open(&at, options());
    assert_eq!(
        (contents(&journal), digest(&journal)),
        (all.clone(), before)
    );
    journal.close().expect("closes");
    let journal = open(&at, options());
    assert_eq!((contents(&journal), digest(&journal)), (all, before));
}

#[test]
fn compacting_again_finds_nothing_to_do() {
    let (at, journal) = fresh();
    assert_eq!(
        journal.compact().expect("compacts").to_string(),
        "nothing to compact"
    );
    assert!(files(&at, ".state").is_empty());
    fill(&journal, 30);
    assert!(journal.compact().expect("compacts").snapshot.is_some());
    let names = files(&at, "");
    let again = journal.compact().expect("compacts");
    assert_eq!(again.snapshot, None);
    assert_eq!(files(&at, ""), names);
    let plan = journal.plan_compaction().expect("plans");
    assert_eq!((plan.segments, plan.records_keep), (0, 0));
}

#[test]
fn many_compactions_keep_few_packs_snapshots_and_segments() {
    let at = tempfile::tempdir().expect("a directory");
    let options = options().max_packs(3).keep_snapshots(2);
    let journal = open(&at, options.clone());
    let mut rewritten = 0;
    for round in 0..12 {
        fill(&journal, 15);
        // Half of the time all is open anew in between.
        let plan = journal.plan_compaction().expect("plans");
        let done = journal.compact().expect("compacts");
        assert_eq!(plan.packs_rewritten, done.packs_rewritten, "round {round}");
        assert_eq!(
            plan.records_superseded, done.records_superseded,
            "round {round}"
        );
        assert_eq!(plan.records_keep, done.records_kept, "round {round}");
        assert_eq!(plan.bytes_in, done.bytes_in, "round {round}");
        rewritten += done.packs_rewritten;
        let snapshot = journal
            .stat()
            .expect("counts")
            .snapshots
            .pop()
            .expect("one");
        assert!(snapshot.packs <= 3, "round {round}: {snapshot}");
        assert_eq!(snapshot.packed_to, journal.durable_lsn());
        assert!(files(&at, ".state").len() <= 2);
        assert!(
            files(&at, "")
                .iter()
                .filter(|name| name.starts_with("manifest"))
                .count()
                <= 2
        );
        assert!(files(&at, ".pack").len() <= 7, "{:?}", files(&at, ".pack"));
        assert!(files(&at, ".seg").len() <= 12, "{:?}", files(&at, ".seg"));
    }
    assert!(rewritten > 0, "packs were merged");
    let (all, before) = (contents(&journal), digest(&journal));
    let left: usize = compacted(&journal, &all).values().map(Vec::len).sum();
    let kept: usize = all.values().map(Vec::len).sum();
    assert!(
        kept < left + 150,
        "{kept} kept, {left} needed: merging drops what may go by now"
    );
    drop(journal);
    let journal = open(&at, options);
    assert_eq!((contents(&journal), digest(&journal)), (all, before));
}

#[test]
fn retention_can_keep_everything() {
    let at = tempfile::tempdir().expect("a directory");
    let keep = Retention {
        keep_progress_of_ended_turns: true,
        keep_replaced_values: true,
    };
    let journal = open(&at, options().retention(keep));
    fill(&journal, 60);
    journal
        .find("session 1")
        .expect("there")
        .remove("key 1")
        .expect("removes");
    let all = contents(&journal);
    let done = journal.compact().expect("compacts");
    assert_eq!((done.records_superseded, done.records_erased), (0, 0));
    assert_eq!(contents(&journal), all);
}

#[test]
fn progress_of_a_turn_that_is_open_stays() {
    let (_at, journal) = fresh();
    let session = journal.session("s").expect("a session");
    let mut turn = session.begin(Input::user("go")).expect("begins");
    turn.started().expect("starts");
    turn.progress("delta", "a piece")
        .expect("goes in")
        .wait()
        .expect("is durable");
    assert_eq!(journal.compact().expect("compacts").records_superseded, 0);
    turn.complete("done").expect("completes");
    // It goes with the next rewriting of its pack, not before: packs are not copied for it.
    let done = journal.compact().expect("compacts");
    assert_eq!((done.records_superseded, done.packs_rewritten), (0, 0));
    assert_eq!(session.read(..).expect("reads").count(), 5);
}

#[test]
fn a_closed_journal_opens_without_replaying() {
    let (at, journal) = fresh();
    fill(&journal, 40);
    let (all, before) = (contents(&journal), digest(&journal));
    let other = journal.clone();
    journal.close().expect("closes");
    assert!(matches!(other.compact(), Err(Error::Closed)));
    assert!(matches!(other.checkpoint(), Err(Error::Closed)));
    assert!(matches!(other.clone().close(), Err(Error::Closed)));
    let (journal, recovery) = options().open(at.path()).expect("opens");
    assert!(recovery.clean, "{recovery}");
    assert_eq!(recovery.replayed_records, 0, "{recovery}");
    assert_eq!((contents(&journal), digest(&journal)), (all, before));
    // Closing once more has nothing to store.
    let states = files(&at, ".state");
    journal.close().expect("closes");
    assert_eq!(files(&at, ".state"), states);
}

#[test]
fn a_checkpoint_in_the_middle_of_a_segment_is_gone_on_from() {
    let (at, journal) = fresh();
    fill(&journal, 33);
    let info = journal.checkpoint().expect("checkpoints");
    assert_eq!((info.lsn, info.packs), (journal.durable_lsn(), 0));
    assert_eq!(
        journal.checkpoint().expect("checkpoints"),
        info,
        "nothing new, no new snapshot"
    );
    fill(&journal, 9);
    let (all, before) = (contents(&journal), digest(&journal));
    drop(journal);
    let (journal, recovery) = options().open(at.path()).expect("opens");
    assert_eq!(recovery.snapshot, Some(info.id));
    assert!(recovery.replayed_records < all.values().map(Vec::len).sum::<usize>() as u64);
    assert_eq!(
        (contents(&journal), digest(&journal)),
        (all.clone(), before)
    );
    let expected = compacted(&journal, &all);
    // A compaction takes the checkpoint's places along.
    journal.compact().expect("compacts");
    assert_eq!(contents(&journal), expected);
    journal.checkpoint().expect("checkpoints");
    fill(&journal, 5);
    journal.compact().expect("compacts");
    let (all, before) = (contents(&journal), digest(&journal));
    drop(journal);
    let journal = open(&at, options());
    assert_eq!((contents(&journal), digest(&journal)), (all, before));
}

/// A background compaction finds a checkpoint that is ahead of the sealed part of the log.
#[test]
fn a_checkpoint_ahead_of_the_sealed_log_is_packed_up_to_where_it_is_sealed() {
    let (at, journal) = fresh();
    fill(&journal, 100);
    journal.checkpoint().expect("checkpoints");
    let all = contents(&journal);
    let expected = compacted(&journal, &all);
    let done = crate::snapshot::compaction::compact(&journal.shared, false).expect("compacts");
    assert!(done.packed_to < journal.durable_lsn());
    let snapshot = journal
        .stat()
        .expect("counts")
        .snapshots
        .pop()
        .expect("one");
    assert_eq!(
        (snapshot.lsn, snapshot.packed_to),
        (journal.durable_lsn(), done.packed_to)
    );
    let sealed_to = done.packed_to;
    let found = contents(&journal);
    for (id, entries) in &found {
        let (packed, rest): (Vec<_>, Vec<_>) = entries
            .iter()
            .cloned()
            .partition(|entry| entry.lsn < sealed_to);
        let expected_packed: Vec<_> = expected[id]
            .iter()
            .filter(|e| e.lsn < sealed_to)
            .cloned()
            .collect();
        let all_rest: Vec<_> = all[id]
            .iter()
            .filter(|e| e.lsn >= sealed_to)
            .cloned()
            .collect();
        assert_eq!(packed, expected_packed, "{id}");
        assert_eq!(rest, all_rest, "{id}");
    }
    let before = digest(&journal);
    drop(journal);
    let journal = open(&at, options());
    assert_eq!((contents(&journal), digest(&journal)), (found, before));
}

#[test]
fn a_damaged_newest_snapshot_costs_a_longer_replay_and_nothing_else() {
    let (at, journal) = fresh();
    fill(&journal, 20);
    journal.compact().expect("compacts");
    fill(&journal, 20);
    journal.compact().expect("compacts");
    fill(&journal, 20);
    journal.compact().expect("compacts");
    let (all, before) = (contents(&journal), digest(&journal));
    drop(journal);
    let newest = files(&at, ".state").pop().expect("one");
    let mut bytes = std::fs::read(at.path().join(&newest)).expect("reads");
    bytes[200] ^= 4;
    std::fs::write(at.path().join(&newest), bytes).expect("writes");
    let (journal, recovery) = options().open(at.path()).expect("opens");
    assert!(
        recovery
            .warnings
            .iter()
            .any(|warning| warning.contains(&newest)),
        "{recovery}"
    );
    // What the newest had dropped or not is read from the log again.
    assert_eq!(digest(&journal), before);
    assert_eq!(
        compacted(&journal, &contents(&journal)),
        compacted(&journal, &all)
    );
    // The next compaction replaces the damaged one.
    journal.compact().expect("compacts");
    assert!(!files(&at, ".state").contains(&newest));
    drop(journal);
    let (journal, recovery) = options().open(at.path()).expect("opens");
    assert!(recovery.warnings.is_empty(), "{recovery}");
    assert_eq!(digest(&journal), before);
}

/// With one snapshot nothing of the log was given up yet, so the log is the older path.
#[test]
fn a_damaged_only_snapshot_costs_reading_the_whole_log() {
    let (at, journal) = fresh();
    fill(&journal, 20);
    let all = contents(&journal);
    journal.compact().expect("compacts");
    let before = digest(&journal);
    drop(journal);
    for name in files(&at, ".state") {
        std::fs::remove_file(at.path().join(name)).expect("removes");
    }
    let (journal, recovery) = options().open(at.path()).expect("opens");
    assert_eq!((recovery.snapshot, recovery.warnings.len()), (None, 1));
    assert_eq!((contents(&journal), digest(&journal)), (all, before));
    // With two, it was: then there is no third path, and that is said.
    for _ in 0..2 {
        fill(&journal, 5);
        journal.compact().expect("compacts");
    }
    drop(journal);
    for name in files(&at, ".state") {
        std::fs::remove_file(at.path().join(name)).expect("removes");
    }
    assert!(matches!(options().open(at.path()), Err(Error::Corrupt(_))));
}

trait IntoNo {
    fn into_no(self) -> crate::SessionNo;
}

impl IntoNo for u32 {
    fn into_no(self) -> crate::SessionNo {
        crate::SessionNo::new(self)
    }
}
