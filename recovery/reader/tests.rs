//! A reader sees exactly what is durable, and touches nothing.

use super::*;
use crate::journal::shared::Durability;
use crate::journal::turn::Input;
use crate::recovery::testing::{Home, ReadOnlyDisk, fill, small};
use std::time::Duration;

fn look(home: &Home) -> Reader {
    small()
        .storage(Arc::new(ReadOnlyDisk))
        .open_read_only(&home.path)
        .expect("opens for reading")
}

fn contents(entries: impl Iterator<Item = Result<Entry>>) -> Vec<Vec<u8>> {
    entries.map(|e| e.expect("reads").content).collect()
}

#[test]
fn a_reader_beside_a_writer_sees_what_the_writer_reads_and_writes_nothing() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 3, 120);
    let before = home.files();
    assert!(home.names(".seg").len() > 2, "several segments");
    let reader = look(&home);
    assert_eq!(reader.durable_lsn(), journal.durable_lsn());
    assert_eq!(
        reader.sessions().expect("lists"),
        journal.sessions().expect("lists")
    );
    for info in reader.sessions().expect("lists") {
        let (theirs, ours) = (
            journal.find(&info.id).expect("is there"),
            reader.session(&info.id).expect("is there"),
        );
        assert_eq!(
            contents(ours.read(..).expect("reads")),
            contents(theirs.read(..).expect("reads"))
        );
        assert_eq!(
            contents(ours.read(..).expect("reads").rev()),
            contents(theirs.read(..).expect("reads").rev())
        );
        assert_eq!(ours.last(7).expect("reads"), theirs.last(7).expect("reads"));
    }
    assert_eq!(
        contents(reader.read(Lsn::new(1)).expect("reads")),
        contents(journal.read(Lsn::new(1)).expect("reads"))
    );
    assert!(before == home.files(), "reading changed a file");
}

#[test]
fn what_a_crash_could_undo_is_not_seen() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    session.append("event", "durable").expect("is kept");
    let edge = journal.durable_lsn();
    for i in 0..5 {
        session
            .append_with(Durability::Buffered, "event", format!("buffered {i}"))
            .expect("is handed to the system");
    }
    assert_eq!(journal.durable_lsn(), edge, "nothing was synced");
    let reader = look(&home);
    assert_eq!(reader.durable_lsn(), edge);
    let seen = reader.session("s").expect("is there").read(..);
    assert_eq!(
        contents(seen.expect("reads")).last().map(Vec::as_slice),
        Some(&b"durable"[..])
    );
    session.append("event", "synced").expect("is kept");
    assert_eq!(reader.durable_lsn(), edge, "a view stands still");
    reader.refresh().expect("goes on");
    assert_eq!(reader.durable_lsn(), journal.durable_lsn());
    assert_eq!(
        reader
            .session("s")
            .expect("is there")
            .last(1)
            .expect("reads")[0]
            .content,
        b"synced"
    );
}

#[test]
fn without_the_watermark_page_only_what_groups_prove_is_seen() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 10);
    let edge = journal.durable_lsn();
    drop(journal);
    home.remove("WATERMARK");
    let reader = look(&home);
    // The last group is proven by nothing that stands behind it.
    assert_eq!(reader.durable_lsn().get() + 1, edge.get());
    assert_eq!(reader.warnings().len(), 1);
    // An opening logs it again, and proves it.
    let journal = home.open();
    assert_eq!(journal.durable_lsn(), edge);
    reader.refresh().expect("goes on");
    assert_eq!(reader.durable_lsn(), edge);
    let last = reader
        .session("s0")
        .expect("is there")
        .last(1)
        .expect("reads");
    assert_eq!(
        last,
        journal
            .find("s0")
            .expect("is there")
            .last(1)
            .expect("reads")
    );
}

#[test]
fn a_reader_goes_on_over_segments_and_new_sessions() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 5);
    let reader = look(&home);
    for round in 0..6 {
        fill(&journal, "b", 3 + round, 60);
        reader.refresh().expect("goes on");
        assert_eq!(reader.durable_lsn(), journal.durable_lsn());
        assert_eq!(
            reader.sessions().expect("lists"),
            journal.sessions().expect("lists")
        );
    }
    let ours = contents(reader.read(Lsn::new(1)).expect("reads"));
    assert_eq!(ours.len() as u64 + 1, journal.durable_lsn().get());
    assert_eq!(ours, contents(journal.read(Lsn::new(1)).expect("reads")));
}

#[test]
fn a_follower_gets_every_record_once_and_in_order_while_a_thread_writes() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 1);
    let reader = look(&home);
    let follow = reader
        .follow(Lsn::new(1))
        .poll_every(Duration::from_millis(1));
    let writer = std::thread::spawn({
        let journal = journal.clone();
        move || fill(&journal, "b", 4, 150)
    });
    let mut lsns = Vec::new();
    let dir = Dir::new(Arc::new(ReadOnlyDisk), &home.path);
    let id = journal.stat().expect("counts").journal;
    for entry in follow {
        let lsn = entry.expect("reads").lsn;
        // The page says so a moment before the writer's own handle does.
        let page = read_watermark(&dir, id).map(|mark| mark.durable_lsn);
        let durable = page.unwrap_or_default().max(journal.durable_lsn());
        assert!(lsn < durable, "only what is durable");
        lsns.push(lsn.get());
        if lsns.len() == 2 + 3 + 600 {
            break;
        }
    }
    writer.join().expect("writes");
    assert_eq!(lsns, (1..=605).collect::<Vec<u64>>());
    let mut follow = reader.follow(journal.durable_lsn());
    let none = follow.next_timeout(Duration::from_millis(5));
    assert_eq!(none.expect("waits"), None);
    journal.session("late").expect("is made");
    journal.sync().expect("syncs");
    let entry = follow.next_timeout(Duration::from_secs(5)).expect("reads");
    assert_eq!(entry.expect("an entry").name, "late");
}

#[test]
fn values_turns_and_dropped_records_are_as_the_writer_left_them() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    session.put("todo", "1. read").expect("is kept");
    session.put("gone", "x").expect("is kept");
    session.remove("gone").expect("is removed");
    let turn = session.begin(Input::user("hello")).expect("begins");
    session.append("note", "later dropped").expect("is kept");
    let cut = session.last(1).expect("reads")[0].seq;
    session.truncate_from(cut).expect("drops");
    let other = journal.session("other").expect("opens");
    other.append("note", "secret").expect("is kept");
    other.delete().expect("deletes");
    let reader = look(&home);
    let ours = reader.find("s").expect("is there");
    assert_eq!(
        ours.get("todo").expect("reads").as_deref(),
        Some(&b"1. read"[..])
    );
    assert_eq!(ours.get("gone").expect("reads"), None);
    assert_eq!(ours.keys().expect("reads"), ["todo"]);
    let open = reader.open_turns().expect("lists");
    assert_eq!(open, journal.open_turns().expect("lists"));
    assert_eq!(open[0].turn, turn.id());
    assert!(!open[0].from_earlier_writer);
    let seen = contents(ours.read(..).expect("reads"));
    assert!(!seen.contains(&b"later dropped".to_vec()));
    assert_eq!(
        ours.last_turns(1).expect("reads"),
        session.last_turns(1).expect("reads")
    );
    assert!(matches!(
        reader.session("other"),
        Err(Error::SessionDeleted { .. })
    ));
    assert!(matches!(
        reader.session("nobody"),
        Err(Error::UnknownSession { .. })
    ));
}

#[test]
fn damage_is_an_error_and_not_a_shorter_journal() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 150);
    drop(journal);
    let segments = home.logged();
    home.flip(&segments[0], 8192 + 70);
    let opened = small().open_read_only(&home.path);
    let Err(Error::Corrupt(why)) = opened else {
        panic!("damage was swallowed: {opened:?}");
    };
    assert!(why.path.ends_with(&segments[0]), "{why}");
    assert_eq!(why.offset, Some(8192));
    // Nor if only the groups behind it prove that it was durable.
    home.remove("WATERMARK");
    let opened = small().open_read_only(&home.path);
    assert!(matches!(opened, Err(Error::Corrupt(_))), "{opened:?}");
}

#[test]
fn damage_below_a_reader_is_an_error_of_the_record_it_hits() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 20);
    drop(journal);
    let reader = look(&home);
    let segment = &home.logged()[0];
    // The frames of the third and the fourth group.
    home.flip(segment, 4096 * 3 + 64 + 41);
    home.flip(segment, 4096 * 4 + 64 + 41);
    let entries = reader.session("s0").expect("is there").read(..);
    let read: Vec<bool> = entries.expect("reads").map(|e| e.is_ok()).collect();
    assert_eq!(read.len(), 21);
    assert_eq!(read.iter().filter(|ok| !**ok).count(), 2);
    assert!(reader.read(Lsn::new(1)).expect("reads").any(|e| e.is_err()));
}

#[test]
fn what_is_no_journal_is_named() {
    let home = Home::new();
    let open = |path: &Path| small().open_read_only(path).expect_err("is refused").code();
    assert_eq!(open(&home.path), "not_found");
    std::fs::create_dir(&home.path).expect("is made");
    assert_eq!(open(&home.path), "not_found");
    home.write("notes.txt", b"hello");
    assert_eq!(open(&home.path), "not_a_journal");
    assert_eq!(open(&home.path.join("notes.txt")), "not_a_journal");
    home.remove("notes.txt");
    let journal = home.open();
    fill(&journal, "a", 1, 3);
    drop(journal);
    home.remove("manifest-00000001");
    assert_eq!(open(&home.path), "corrupt");
}

/// A writer compacts, gives up segments and uses their files again while a reader holds places
/// in them: the reader must find the records where they are now.
#[test]
fn a_reader_finds_what_compaction_moved_under_it() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 3, 150);
    let reader = look(&home);
    let sessions: Vec<ReaderSession> = (0..3)
        .map(|n| reader.session(&format!("s{n}")).expect("is there"))
        .collect();
    let expected: Vec<Vec<Vec<u8>>> = (0..3)
        .map(|n| {
            let session = journal.find(&format!("s{n}")).expect("is there");
            contents(session.read(..).expect("reads"))
        })
        .collect();
    // Begun before, read to the end after.
    let mut begun: Vec<ReaderEntries> = sessions
        .iter()
        .map(|session| session.read(..).expect("reads"))
        .collect();
    let mut log = reader.read(Lsn::new(1)).expect("reads");
    let mut follow = reader.follow(Lsn::new(1));
    for _ in 0..5 {
        assert!(log.next().expect("a record").is_ok());
        assert!(follow.next().expect("a record").is_ok());
    }
    for round in 0..4 {
        journal.compact().expect("compacts");
        fill(&journal, &format!("after {round}"), 3, 60);
    }
    assert!(!home.names(".pack").is_empty(), "there are packs");
    for (n, entries) in begun.iter_mut().enumerate() {
        let found: Vec<Vec<u8>> = contents(entries.take(expected[n].len()));
        assert!(found == expected[n], "session {n}");
    }
    for (n, session) in sessions.iter().enumerate() {
        let mut found = contents(session.read(..).expect("reads").rev());
        found.reverse();
        assert!(
            found[..expected[n].len()] == expected[n],
            "session {n} backwards"
        );
    }
    let first = 5 + log.filter(|entry| entry.is_ok()).count();
    assert_eq!(first, 453);
    let end = journal.durable_lsn();
    let mut lsns = 5;
    while let Some(entry) = follow.next_timeout(Duration::ZERO).expect("reads") {
        lsns += 1;
        assert_eq!(entry.lsn.get(), lsns);
    }
    assert_eq!(lsns + 1, end.get());
    reader.refresh().expect("goes on");
    for (n, session) in sessions.iter().enumerate() {
        let theirs = journal.find(&format!("s{n}")).expect("is there");
        assert!(
            contents(session.read(..).expect("reads")) == contents(theirs.read(..).expect("reads"))
        );
    }
    assert_eq!(
        reader.stat().expect("counts").files,
        journal.stat().expect("counts").files
    );
}

/// Whoever watches a journal from outside counts what its writer counts; what only the writer
/// knows is nothing.
#[test]
fn a_reader_counts_what_the_writer_counts() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 3, 60);
    let check = |what: &str| {
        let (ours, theirs) = (look(&home).stat(), journal.stat().expect("counts"));
        let expected = Stat {
            accepted_lsn: theirs.durable_lsn,
            pending_bytes: 0,
            index_bytes: 0,
            compactions: 0,
            ..theirs
        };
        let ours = Stat {
            index_bytes: 0,
            ..ours.expect("counts")
        };
        assert_eq!(ours, expected, "{what}");
    };
    check("never compacted");
    journal.compact().expect("compacts");
    fill(&journal, "b", 2, 120);
    let session = journal.session("turns").expect("opens");
    session.begin(Input::user("hello")).expect("begins");
    session.put("k", "v").expect("is kept");
    check("compacted, and gone on");
    assert!(look(&home).stat().expect("counts").uncompacted_bytes > 0);
    assert_eq!(look(&home).stat().expect("counts").open_turns, 1);
    session
        .append_with(Durability::Buffered, "event", "not durable")
        .expect("is handed to the system");
    let (ours, theirs) = (look(&home).stat(), journal.stat().expect("counts"));
    assert_eq!(ours.expect("counts").accepted_lsn, theirs.durable_lsn);
    assert!(theirs.accepted_lsn > theirs.durable_lsn);
}

#[test]
fn a_reader_opens_beside_a_thread_that_appends_and_compacts() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 30);
    let early = look(&home);
    let writer = std::thread::spawn({
        let journal = journal.clone();
        move || {
            for round in 0..8 {
                fill(&journal, &format!("b{round}"), 3, 40);
                journal.compact().expect("compacts");
            }
        }
    });
    while !writer.is_finished() {
        let durable = journal.durable_lsn();
        let reader = look(&home);
        assert!(reader.durable_lsn() >= durable);
        early.refresh().expect("goes on");
        assert!(early.durable_lsn() >= durable);
        for reader in [&reader, &early] {
            let lsns: Vec<u64> = reader
                .read(Lsn::new(1))
                .expect("reads")
                .map(|e| e.expect("a record").lsn.get())
                .collect();
            assert!(lsns.len() as u64 >= durable.get() - 1);
            assert!(lsns.iter().zip(1..).all(|(lsn, n)| *lsn == n));
        }
    }
    writer.join().expect("writes");
}
