//! One row of the recovery table, one test, with bytes on a disk.

use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::{CrashModel, OpKind, SimDisk};
use turnkeep::{
    Corruption, Durability, Error, Journal, Lsn, Options, Recovery, Sabotage, SegmentId,
};

const PATH: &str = "/agents.journal";
const BLOCK: u64 = 4096;

fn options(disk: &SimDisk) -> Options {
    Journal::options()
        .background(false)
        .storage(Arc::new(disk.clone()))
        .first_segment_bytes(8 * BLOCK)
        .segment_bytes(8 * BLOCK)
}

fn open(disk: &SimDisk) -> Result<(Journal, Recovery), Error> {
    options(disk).open(Path::new(PATH))
}

/// A disk with a journal of `records` records of its own group each, killed without a close.
fn journal_of(records: usize) -> SimDisk {
    let disk = SimDisk::new(7);
    let (journal, _) = open(&disk).expect("opens");
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

fn contents(journal: &Journal) -> Vec<String> {
    let entries = journal.read(Lsn::new(1)).expect("reads");
    entries
        .map(|entry| String::from_utf8(entry.expect("reads").content).expect("is text"))
        .filter(|content| !content.is_empty())
        .collect()
}

fn expected(records: usize) -> Vec<String> {
    (0..records).map(|n| format!("record {n}")).collect()
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let files = disk.list_files(PATH).expect("lists");
    let is_segment = |name: &String| name.ends_with(".seg") && !name.starts_with("spare");
    files
        .into_iter()
        .filter(is_segment)
        .map(|name| format!("{PATH}/{name}"))
        .collect()
}

fn corruption(disk: &SimDisk) -> Corruption {
    let before = disk.fork();
    before.kill();
    let error = open(disk).map(|_| ()).expect_err("is refused");
    for name in before.list_files(PATH).expect("lists") {
        if name != "LOCK" {
            let path = format!("{PATH}/{name}");
            let (old, new) = (before.read_file(&path), disk.read_file(&path));
            assert_eq!(
                old.expect("reads"),
                new.expect("is there"),
                "{name} was changed"
            );
        }
    }
    match error {
        Error::Corrupt(corruption) => *corruption,
        other => panic!("expected corruption, found {other}"),
    }
}

/// Overwrites bytes of a file, at once and for good.
fn overwrite(disk: &SimDisk, path: &str, at: u64, bytes: &[u8]) {
    let mut file = disk.read_file(path).expect("reads");
    file[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    disk.write_file(path, &file).expect("writes");
}

/// Offset of the `n`-th group of a segment in which every group takes a block.
fn group(n: u64) -> u64 {
    BLOCK * (1 + n)
}

#[test]
fn the_end_of_the_written_area_is_a_clean_end() {
    let disk = journal_of(3);
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!(recovery.torn_bytes, 0, "{recovery}");
    assert!(!recovery.clean);
    assert_eq!(contents(&journal), expected(3));
}

#[test]
fn a_broken_group_that_nothing_proves_is_cut_and_its_bytes_are_reported() {
    let disk = journal_of(3);
    let torn = disk.fork();
    torn.kill();
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    session.append("note", "record 3").expect("is kept");
    drop((session, journal));
    // The page as it was before the last group: nothing proves that group.
    let page = torn.read_file(format!("{PATH}/WATERMARK")).expect("reads");
    disk.kill();
    disk.write_file(format!("{PATH}/WATERMARK"), &page)
        .expect("writes");
    let last = segments(&disk).pop().expect("there is one");
    // Its first block is recovery's proof; the record's group is the second.
    overwrite(&disk, &last, group(1) + 100, &[0; 8]);
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(recovery.torn_bytes > 64, "{recovery}");
    assert_eq!(contents(&journal), expected(3));
    drop(journal);
    disk.kill();
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!(recovery.torn_bytes, 0, "cut once and for all: {recovery}");
    assert_eq!(contents(&journal), expected(3));
}

#[test]
fn a_group_with_a_broken_frame_is_cut_whole_with_its_batch() {
    let disk = journal_of(2);
    let page = disk.read_file(format!("{PATH}/WATERMARK")).expect("reads");
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    session
        .append_all([("a", "one"), ("b", "two"), ("c", "three")])
        .expect("is kept");
    drop((session, journal));
    disk.kill();
    disk.write_file(format!("{PATH}/WATERMARK"), &page)
        .expect("writes");
    let last = segments(&disk).pop().expect("there is one");
    let bytes = disk.read_file(&last).expect("reads");
    let at = bytes
        .windows(5)
        .position(|window| window == b"three")
        .expect("is there");
    overwrite(&disk, &last, at as u64, b"tree?");
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(recovery.torn_bytes > 0);
    assert_eq!(contents(&journal), expected(2));
}

#[test]
fn a_broken_group_that_a_later_one_proves_is_refused_by_name() {
    let disk = journal_of(4);
    let first = segments(&disk).remove(0);
    overwrite(&disk, &first, group(1) + 100, &[0xAA]);
    let corruption = corruption(&disk);
    assert_eq!(corruption.segment, Some(SegmentId::new(1)));
    assert_eq!(corruption.offset, Some(group(1)));
    assert_eq!(corruption.lsn_from, Some(Lsn::new(3)), "{corruption}");
}

#[test]
fn a_broken_group_that_only_the_watermark_page_proves_is_refused() {
    let disk = journal_of(3);
    let first = segments(&disk).remove(0);
    overwrite(&disk, &first, group(2) + 100, &[0xAA]);
    let corruption = corruption(&disk);
    assert_eq!(corruption.lsn_from, Some(Lsn::new(4)), "{corruption}");
    assert_eq!(corruption.lsn_to, Some(Lsn::new(5)));
}

#[test]
fn zeros_in_the_middle_are_no_end() {
    let disk = journal_of(4);
    let first = segments(&disk).remove(0);
    overwrite(&disk, &first, group(1), &[0; BLOCK as usize]);
    assert_eq!(corruption(&disk).offset, Some(group(1)));
}

#[test]
fn anything_broken_in_a_sealed_segment_is_refused() {
    let disk = journal_of(12);
    let files = segments(&disk);
    assert!(files.len() > 2, "several segments: {files:?}");
    overwrite(&disk, &files[0], group(2) + 70, &[0xAA]);
    assert_eq!(corruption(&disk).segment, Some(SegmentId::new(1)));
}

#[test]
fn what_an_earlier_life_left_behind_is_a_clean_end() {
    let disk = journal_of(2);
    let first = segments(&disk).remove(0);
    let bytes = disk.read_file(&first).expect("reads");
    let group_of_now = &bytes[group(1) as usize..group(2) as usize];
    // The same bytes under another life's id and seed are what reuse leaves behind.
    let mut older = group_of_now.to_vec();
    older[8..16].copy_from_slice(&0_u64.to_le_bytes());
    overwrite(&disk, &first, group(2), &older);
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!(contents(&journal), expected(2), "{recovery}");
}

#[test]
fn a_whole_group_at_the_place_of_another_is_refused() {
    let disk = journal_of(4);
    let first = segments(&disk).remove(0);
    let bytes = disk.read_file(&first).expect("reads");
    let later = bytes[group(3) as usize..group(4) as usize].to_vec();
    overwrite(&disk, &first, group(1), &later);
    assert_eq!(corruption(&disk).offset, Some(group(1)));
}

#[test]
fn a_doubled_group_at_the_end_is_refused() {
    let disk = journal_of(3);
    let first = segments(&disk).remove(0);
    let bytes = disk.read_file(&first).expect("reads");
    let last = bytes[group(2) as usize..group(3) as usize].to_vec();
    overwrite(&disk, &first, group(3), &last);
    assert_eq!(corruption(&disk).offset, Some(group(3)));
}

#[test]
fn a_broken_header_of_an_empty_newest_segment_is_made_again() {
    let disk = journal_of(3);
    // The next segment is ready before it is needed.
    let mut next = disk.read_file(segments(&disk).remove(0)).expect("reads");
    next[20] ^= 1;
    next[BLOCK as usize..].fill(0);
    disk.write_file(format!("{PATH}/{:020}.seg", 2), &next)
        .expect("writes");
    let (journal, _) = open(&disk).expect("opens");
    assert_eq!(contents(&journal), expected(3));
    journal
        .session("agent")
        .expect("opens")
        .append("note", "record 3")
        .expect("is kept");
    drop(journal);
    disk.kill();
    let (journal, _) = open(&disk).expect("opens");
    assert_eq!(contents(&journal), expected(4));
}

#[test]
fn a_broken_header_of_a_segment_with_records_is_refused() {
    let disk = journal_of(3);
    let first = segments(&disk).remove(0);
    overwrite(&disk, &first, 40, &[0xAA]);
    assert_eq!(corruption(&disk).segment, Some(SegmentId::new(1)));
}

#[test]
fn a_missing_segment_is_refused_by_name() {
    for missing in 0..3 {
        let disk = journal_of(14);
        let files = segments(&disk);
        disk.remove_file(&files[missing]).expect("removes");
        let corruption = corruption(&disk);
        let named = corruption.segment.expect("names a segment").get() as usize;
        assert!(
            named == missing + 1 || named == missing + 2,
            "{missing}: {corruption}"
        );
    }
}

#[test]
fn a_doubled_and_a_foreign_segment_are_refused_by_name() {
    let disk = journal_of(14);
    let files = segments(&disk);
    let first = disk.read_file(&files[0]).expect("reads");
    disk.write_file(&files[1], &first).expect("writes");
    assert_eq!(corruption(&disk).segment, Some(SegmentId::new(2)));

    let other = SimDisk::new(99);
    drop(open(&other).expect("opens"));
    other.kill();
    let foreign = other.read_file(segments(&other).remove(0)).expect("reads");
    let disk = journal_of(14);
    disk.write_file(segments(&disk).remove(0), &foreign)
        .expect("writes");
    assert_eq!(corruption(&disk).segment, Some(SegmentId::new(1)));
}

#[test]
fn records_that_were_not_proven_are_logged_again_before_anything_is_served() {
    // 1. a record is written, and its sync fails: the pages are clean, and not on the disk.
    // 2. the process opens the journal again in the same boot, and sees the record's bytes.
    // 3. it serves them. 4. the power fails. What was served must still be there.
    let disk = journal_of(2);
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    let kind = turnkeep::storage::sim::OpKind::SyncData;
    disk.fail_nth(kind, 1, std::io::ErrorKind::Other, false);
    assert!(matches!(
        session.append("note", "record 2"),
        Err(Error::Poisoned { .. })
    ));
    assert!(matches!(
        session.append("note", "record 3"),
        Err(Error::Poisoned { .. })
    ));
    assert_eq!(
        contents(&journal),
        expected(2),
        "what is durable still reads"
    );
    let read = session.read(..).expect("a session reads too");
    let read = read.map(|entry| String::from_utf8(entry.expect("reads").content));
    let read: Vec<_> = read.map(|text| text.expect("is text")).collect();
    assert_eq!(read[read.len() - 2..], expected(2), "by session as well");
    drop((session, journal));
    disk.kill();
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!(recovery.relogged_records, 1, "{recovery}");
    assert_eq!(contents(&journal), expected(3));
    drop(journal);
    disk.power_loss(&CrashModel::NOTHING_SURVIVES);
    disk.restart();
    let (journal, _) = open(&disk).expect("opens");
    assert_eq!(
        contents(&journal),
        expected(3),
        "what was once visible stays"
    );
}

#[test]
fn dying_again_and_again_does_not_fill_the_disk() {
    let disk = journal_of(3);
    for _ in 0..20 {
        let (journal, _) = open(&disk).expect("opens");
        assert_eq!(contents(&journal), expected(3));
        disk.kill();
        drop(journal);
    }
    assert!(segments(&disk).len() <= 3, "{:?}", segments(&disk));
}

#[test]
fn opening_after_a_clean_close_writes_nothing() {
    let disk = journal_of(5);
    let (journal, _) = open(&disk).expect("opens");
    journal.close().expect("closes");
    let names = disk.list_files(PATH).expect("lists");
    let bytes = |name: &String| disk.read_file(format!("{PATH}/{name}")).expect("reads");
    let before: Vec<_> = names
        .iter()
        .filter(|name| *name != "LOCK")
        .map(bytes)
        .collect();
    let (writes, syncs) = (disk.writes(), disk.syncs());
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(recovery.clean, "{recovery}");
    assert_eq!(recovery.replayed_records, 0, "{recovery}");
    assert_eq!(contents(&journal), expected(5));
    // The one write is the holder's name in the lock file.
    assert!(
        disk.writes() - writes <= 1 && disk.syncs() == syncs,
        "a clean open wrote"
    );
    drop(journal);
    disk.kill();
    assert_eq!(disk.list_files(PATH).expect("lists"), names);
    let after: Vec<_> = names
        .iter()
        .filter(|name| *name != "LOCK")
        .map(bytes)
        .collect();
    assert_eq!(before, after);
}

/// 1. A journal is closed, and the sync of its closing group fails.
/// 2. It is opened again in the same boot, where that group can still be read.
/// 3. A turn is appended behind it, and acknowledged.
/// 4. The power goes, and with it the closing group: the turn stood behind a hole, and opening
///    refused the journal as corrupt.
#[test]
fn a_closing_group_whose_sync_failed_is_not_believed() {
    let disk = journal_of(3);
    let (journal, _) = open(&disk).expect("opens");
    disk.fail_nth(OpKind::SyncData, 1, std::io::ErrorKind::Other, false);
    journal.close().expect_err("the sync fails");
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(!recovery.clean, "{recovery}");
    let session = journal.session("agent").expect("opens");
    session.append("note", "record 3").expect("is kept");
    drop((session, journal));
    disk.power_loss(&CrashModel {
        failed_syncs_may_land: false,
        ..CrashModel::default()
    });
    disk.restart();
    let (journal, _) = open(&disk).expect("a correct disk is never refused");
    assert_eq!(contents(&journal), expected(4));
}

/// 1. A journal is closed, opened again, and two groups are written without a sync.
/// 2. The power fails: the second one arrived, the first did not.
/// 3. The log seems to end where it was closed. It must not be appended to there, or the group
///    that arrived stands behind another history.
fn write_behind_a_clean_end(seed: u64) -> Result<Vec<String>, Error> {
    let disk = SimDisk::new(seed);
    let (journal, _) = open(&disk)?;
    journal.session("agent")?.append("note", "before")?;
    journal.close()?;
    let (journal, recovery) = open(&disk)?;
    assert!(recovery.clean);
    let session = journal.session("agent")?;
    for lost in ["lost 0", "lost 1"] {
        session.append_with(Durability::Buffered, "note", lost)?;
    }
    disk.power_loss(&CrashModel::HARSHEST);
    disk.restart();
    drop((session, journal));
    let (journal, _) = open(&disk)?;
    journal.session("agent")?.append("note", "after")?;
    disk.kill();
    drop(journal);
    let (journal, _) = open(&disk)?;
    Ok(contents(&journal))
}

#[test]
fn what_was_written_behind_a_clean_end_is_looked_for() {
    for seed in 0..200 {
        let found = write_behind_a_clean_end(seed).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert_eq!(found.first().map(String::as_str), Some("before"));
        assert_eq!(found.last().map(String::as_str), Some("after"));
    }
    // If the page went on to say that the journal is closed, it would go wrong.
    Sabotage::set(Some(Sabotage::KeepCleanMark));
    let broken = (0..200).any(|seed| write_behind_a_clean_end(seed).is_err());
    Sabotage::set(None);
    assert!(broken);
}

#[test]
fn a_power_cut_after_a_clean_close_leaves_it_clean() {
    let disk = journal_of(3);
    open(&disk).expect("opens").0.close().expect("closes");
    disk.power_loss(&CrashModel::NOTHING_SURVIVES);
    disk.restart();
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(recovery.clean, "{recovery}");
    assert_eq!(contents(&journal), expected(3));
}

/// 1. The sync of a sealing group fails: the journal is poisoned, and that group is not on the
///    medium.
/// 2. The host closes the journal; everything accepted is durable, so a closing group is written
///    behind it.
/// 3. The power goes, and the sealing group with it: the closing group stood behind a hole, and
///    opening refused the journal as corrupt.
#[test]
fn a_poisoned_journal_writes_nothing_when_it_is_closed() {
    let disk = journal_of(3);
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    session.append("note", "record 3").expect("is kept");
    // The first sync makes the next segment; the second is the sealing group's.
    disk.fail_nth(OpKind::SyncData, 2, std::io::ErrorKind::Other, false);
    let error = journal.compact().expect_err("the sync fails");
    assert_eq!(error.code(), "poisoned", "{error}");
    let writes = disk.writes();
    drop(session);
    let error = journal.close().expect_err("it is poisoned");
    assert_eq!(error.code(), "poisoned", "{error}");
    assert_eq!(disk.writes(), writes);
    disk.power_loss(&CrashModel {
        failed_syncs_may_land: false,
        ..CrashModel::default()
    });
    disk.restart();
    let (journal, _) = open(&disk).expect("a correct disk is never refused");
    assert_eq!(contents(&journal), expected(4));
}

#[test]
fn closing_what_nothing_was_appended_to_writes_nothing() {
    let disk = journal_of(3);
    open(&disk).expect("opens").0.close().expect("closes");
    let (writes, syncs) = (disk.writes(), disk.syncs());
    for _ in 0..5 {
        let (journal, recovery) = open(&disk).expect("opens");
        assert!(recovery.clean, "{recovery}");
        journal.close().expect("closes");
    }
    // The holder's name in the lock file, at most, once for each opening.
    assert!(disk.writes() - writes <= 5 && disk.syncs() == syncs);
}

#[test]
fn the_segment_of_a_clean_close_is_appended_to() {
    let disk = journal_of(2);
    for n in 2..6 {
        let (journal, _) = open(&disk).expect("opens");
        let session = journal.session("agent").expect("opens");
        session
            .append("note", format!("record {n}"))
            .expect("is kept");
        journal.close().expect("closes");
    }
    let files = segments(&disk).len();
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(recovery.clean);
    assert_eq!(contents(&journal), expected(6));
    assert!(
        files <= 4,
        "each opening took a segment: {:?}",
        segments(&disk)
    );
}

#[test]
fn a_damaged_newest_snapshot_means_the_one_before_and_a_longer_replay() {
    let disk = journal_of(4);
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    journal.checkpoint().expect("is taken");
    session.append("note", "record 4").expect("is kept");
    journal.checkpoint().expect("is taken");
    session.append("note", "record 5").expect("is kept");
    drop((session, journal));
    disk.kill();
    let files = disk.list_files(PATH).expect("lists");
    let states: Vec<_> = files
        .iter()
        .filter(|name| name.ends_with(".state"))
        .collect();
    assert!(states.len() >= 2, "{files:?}");
    let newest = format!("{PATH}/{}", states.last().expect("there is one"));
    disk.rot(&newest, 200, 0x10).expect("rots");
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(!recovery.warnings.is_empty(), "{recovery}");
    assert_eq!(contents(&journal), expected(6));
}

/// Rots every state file there is.
fn rot_snapshots(disk: &SimDisk) {
    for name in disk.list_files(PATH).expect("lists") {
        if name.ends_with(".state") {
            disk.rot(format!("{PATH}/{name}"), 200, 0x10).expect("rots");
        }
    }
}

#[test]
fn damaged_snapshots_cost_nothing_while_the_log_is_there_from_its_beginning() {
    let disk = journal_of(4);
    let (journal, _) = open(&disk).expect("opens");
    journal.compact().expect("compacts");
    drop(journal);
    disk.kill();
    rot_snapshots(&disk);
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(!recovery.warnings.is_empty());
    assert_eq!(contents(&journal), expected(4));
}

#[test]
fn a_journal_whose_snapshots_are_all_damaged_is_refused() {
    let disk = journal_of(4);
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    for n in 4..12 {
        session
            .append("note", format!("record {n}"))
            .expect("is kept");
        journal.compact().expect("compacts");
    }
    assert!(
        !disk
            .list_files(PATH)
            .expect("lists")
            .contains(&format!("{:020}.seg", 1))
    );
    drop((session, journal));
    disk.kill();
    rot_snapshots(&disk);
    corruption(&disk);
}

#[test]
fn a_damaged_watermark_page_is_made_again_and_said() {
    let disk = journal_of(3);
    disk.write_file(format!("{PATH}/WATERMARK"), &[0xAA; 4096])
        .expect("writes");
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!(recovery.warnings.len(), 1, "{recovery}");
    assert_eq!(contents(&journal), expected(3));
    drop(journal);
    disk.kill();
    let (_journal, recovery) = open(&disk).expect("opens");
    assert!(recovery.warnings.is_empty(), "{recovery}");
}

#[test]
fn a_missing_manifest_is_refused_while_there_are_records() {
    let disk = journal_of(3);
    for name in disk.list_files(PATH).expect("lists") {
        if name.starts_with("manifest") {
            disk.remove_file(format!("{PATH}/{name}")).expect("removes");
        }
    }
    corruption(&disk);
}

#[test]
fn a_crash_at_any_point_of_making_a_journal_leaves_none_or_a_whole_one() {
    for after in 0..40 {
        let disk = SimDisk::new(after);
        disk.arm_power_loss(after);
        let first = open(&disk).map(|_| ());
        if disk.is_off() {
            disk.power_loss(&CrashModel::HARSHEST);
            disk.restart();
        } else {
            disk.disarm();
            disk.kill();
            first.expect("nothing was in its way");
        }
        let (journal, _) = open(&disk).expect("opens");
        journal
            .session("agent")
            .expect("opens")
            .append("note", "record 0")
            .expect("is kept");
        assert_eq!(contents(&journal), expected(1));
    }
}
