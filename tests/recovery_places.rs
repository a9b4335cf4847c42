//! A refusal names the place that is damaged, and not the place where that was noticed.

use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Corruption, Error, Journal, Lsn, Options};

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
