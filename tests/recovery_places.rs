//! A refusal names the place that is damaged, and not the place where that was noticed.

use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Corruption, Durability, Error, Journal, Lsn, Options, verify_on};

const PATH: &str = "/agents.journal";
const BLOCK: usize = 4096;

fn options(disk: &SimDisk) -> Options {
    Journal::options()
        .background(false)
        .storage(Arc::new(disk.clone()))
        .first_segment_bytes(8 * BLOCK as u64)
        .segment_bytes(8 * BLOCK as u64)
}

/// A disk with a journal of `records` records of its own group each, killed without a close.
fn journal_of(records: usize) -> SimDisk {
    let disk = SimDisk::new(7);
    let (journal, _) = options(&disk).open(PATH).expect("opens");
    let session = journal.session("agent").expect("opens");
    for n in 0..records {
        session
            .append("note", format!("record {n}"))
            .expect("is kept");
    }
    drop((session, journal));
    disk.kill();
    disk
}

/// The segments that hold groups.
fn logged(disk: &SimDisk) -> Vec<String> {
    let mut files = disk.list_files(PATH).expect("lists");
    files.retain(|name| name.ends_with(".seg") && !name.starts_with("spare"));
    let mut paths: Vec<String> = files.iter().map(|name| format!("{PATH}/{name}")).collect();
    paths.retain(|path| disk.read_file(path).expect("reads")[BLOCK..BLOCK + 4] != [0; 4]);
    paths
}

/// What an opening, and a reader, say of the journal; they say the same, and change nothing.
fn corruption(disk: &SimDisk) -> Corruption {
    let before = disk.state_hash();
    let refused = |error: Error| match error {
        Error::Corrupt(corruption) => *corruption,
        error => panic!("not corrupt: {error}"),
    };
    let by_reader = options(disk).open_read_only(PATH);
    let by_reader = refused(by_reader.expect_err("a reader refuses"));
    assert_eq!(disk.state_hash(), before);
    let (opened, disk) = (options(disk).open(PATH), disk.fork());
    let by_opening = refused(opened.map(|_| ()).expect_err("an opening refuses"));
    assert_eq!(by_opening, by_reader);
    drop(disk);
    by_opening
}

/// The disk wipes the blocks of a whole segment. The error named the segment before, or the one
/// behind, where somebody who looks for the damage finds none.
#[test]
fn a_segment_that_was_wiped_is_named_and_not_its_neighbour() {
    let good = journal_of(24);
    let segments = logged(&good);
    assert!(segments.len() >= 3);
    for (n, path) in segments.iter().enumerate() {
        let disk = good.fork();
        disk.kill();
        let mut bytes = disk.read_file(path).expect("reads");
        bytes[BLOCK..].fill(0);
        disk.write_file(path, &bytes).expect("is written");
        let found = corruption(&disk);
        assert_eq!(found.path, Path::new(path), "{found}");
        assert_eq!(found.offset, Some(BLOCK as u64), "{found}");
        assert!(n == 0 || found.lsn_from > Some(Lsn::new(1)), "{found}");
        assert_eq!(found.lsn_to, Some(Lsn::new(26)), "{found}");
    }
}

/// A segment in the middle is gone. The error named the one behind it, as out of order.
#[test]
fn a_segment_that_is_gone_is_named_and_not_the_one_behind() {
    let good = journal_of(24);
    let segments = logged(&good);
    for path in &segments[..segments.len() - 1] {
        let disk = good.fork();
        disk.kill();
        disk.remove_file(path).expect("is removed");
        let found = corruption(&disk);
        assert_eq!(found.path, Path::new(path), "{found}");
        assert_eq!(found.what, "a segment is missing");
        assert!(found.lsn_from.is_some(), "{found}");
    }
}

/// 1. Somebody restores files under each other's names: the newest segment and the watermark page.
/// 2. The segment's header does not validate, nothing in it does: it looks like one that was
///    being made. The page, which would know better, says nothing.
/// 3. Opening made the segment again, and what was acknowledged in it was gone.
#[test]
fn a_broken_header_is_not_made_again_while_the_page_says_nothing() {
    let disk = journal_of(17);
    let newest = logged(&disk).pop().expect("a segment");
    let page = format!("{PATH}/WATERMARK");
    let (segment, mark) = (
        disk.read_file(&newest).expect("reads"),
        disk.read_file(&page).expect("reads"),
    );
    disk.write_file(&newest, &mark).expect("is written");
    disk.write_file(&page, &segment).expect("is written");
    let found = corruption(&disk);
    assert_eq!(found.path, Path::new(&newest), "{found}");
    let report = turnkeep::verify_on(Arc::new(disk.clone()), PATH, &mut |_| ());
    assert!(!report.expect("verifies").is_sound());
    // Where they belong again, nothing is missing.
    disk.write_file(&newest, &segment).expect("is written");
    disk.write_file(&page, &mark).expect("is written");
    let (journal, _) = options(&disk).open(PATH).expect("opens");
    let entries = journal.read(Lsn::new(1)).expect("reads");
    assert_eq!(entries.filter(|entry| entry.is_ok()).count(), 18);
}

/// A power cut takes the watermark page, and the disk the block with the first group of the newest
/// segment. Nothing but the groups behind it tells that it was ever there; the segment was taken
/// for one that nothing had been written to, and all that was acknowledged in it was gone without
/// a word.
#[test]
fn the_first_group_of_the_newest_segment_is_missed() {
    let good = journal_of(24);
    let page = format!("{PATH}/WATERMARK");
    let wiped = vec![0; good.read_file(&page).expect("reads").len()];
    good.write_file(&page, &wiped).expect("is written");
    let newest = logged(&good).pop().expect("there are some");
    let mut bytes = good.read_file(&newest).expect("reads");
    let groups = bytes.chunks(BLOCK).filter(|block| block[..4] != [0; 4]);
    assert!(groups.count() >= 3, "a header, and two groups");
    bytes[BLOCK..2 * BLOCK].fill(0);
    good.write_file(&newest, &bytes).expect("is written");
    let found = corruption(&good);
    assert_eq!(found.path, Path::new(&newest), "{found}");
    assert_eq!(found.offset, Some(BLOCK as u64), "{found}");
}

/// A write goes astray: the last group of a segment stands in the place of its first. Opening reads
/// no further back than the newest snapshot; who read from the beginning got what comes after the
/// stray group, and no word of all the records before it.
#[test]
fn a_group_that_strayed_to_the_beginning_of_its_segment_hides_nothing() {
    let disk = journal_of(24);
    let (journal, _) = options(&disk).open(PATH).expect("opens");
    journal.checkpoint().expect("is made");
    drop(journal);
    disk.kill();
    let first = logged(&disk).remove(0);
    let mut bytes = disk.read_file(&first).expect("reads");
    let last = bytes.chunks(BLOCK).rposition(|block| block[..4] != [0; 4]);
    let last = last.expect("there is one") * BLOCK;
    assert!(last > BLOCK);
    bytes.copy_within(last..last + BLOCK, BLOCK);
    disk.write_file(&first, &bytes).expect("is written");
    let (journal, _) = options(&disk).open(PATH).expect("opens");
    let read: Result<Vec<_>, Error> = journal.read(Lsn::new(1)).expect("reads").collect();
    match read {
        Err(Error::Corrupt(found)) => {
            assert_eq!(found.path, Path::new(&first), "{found}");
            assert_eq!(found.offset, Some(BLOCK as u64), "{found}");
            assert_eq!(found.lsn_from, Some(Lsn::new(1)), "{found}");
        }
        other => panic!("{other:?}"),
    }
}

/// 1. A power cut tears the first group of a fresh segment and spares the one behind it; nothing had
///    been acknowledged of either.
/// 2. Opening cuts both and goes on in another segment.
/// 3. Everything is packed, and the torn segment is the first one left of the log. `verify` took the
///    spared group for a part of it, and called the journal damaged.
#[test]
fn what_an_opening_cut_is_no_damage_later() {
    let disk = SimDisk::new(7);
    let (journal, _) = options(&disk).open(PATH).expect("opens");
    let session = journal.session("agent").expect("opens");
    for n in 0..4 {
        session.append("note", format!("{n}")).expect("is kept");
    }
    // Packs what there is, and seals the segment: what comes next stands in a fresh one.
    journal.compact().expect("compacts");
    for n in 0..3 {
        let group = session.append_with(Durability::Buffered, "note", format!("lost {n}"));
        group.expect("is written");
    }
    disk.kill();
    drop((session, journal));
    let torn = logged(&disk).pop().expect("a segment");
    disk.rot(&torn, BLOCK as u64 + 100, 1).expect("is torn");

    let (journal, recovery) = options(&disk).open(PATH).expect("opens");
    assert!(recovery.torn_bytes > 0, "{recovery}");
    let session = journal.find("agent").expect("is there");
    for _ in 0..3 {
        session.append("note", "more").expect("is kept");
        journal.compact().expect("compacts");
        let report = verify_on(Arc::new(disk.clone()), PATH, &mut |_| ());
        let report = report.expect("reads");
        assert!(report.is_sound(), "{report}");
    }
}
