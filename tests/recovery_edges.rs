//! The edges of recovery: what stands far behind, what fills a segment to its last byte, what is
//! used again, and what is said of it.

use std::path::Path;
use std::sync::Arc;
use turnkeep::format::checksum::Seed;
use turnkeep::format::frame::{Frame, FrameHeader};
use turnkeep::format::group::{GroupBuffer, Place};
use turnkeep::format::segment::SegmentHeader;
use turnkeep::storage::sim::{OpKind, SimDisk};
use turnkeep::{
    Corruption, Durability, Epoch, Error, Journal, Lsn, Options, Recovery, SegmentId, salvage_on,
    verify_on,
};

const PATH: &str = "/agents.journal";
const PAGE: &str = "/agents.journal/WATERMARK";
const FIRST: &str = "/agents.journal/00000000000000000001.seg";
const SECOND: &str = "/agents.journal/00000000000000000002.seg";
const BLOCK: usize = 4096;

fn options(disk: &SimDisk, segment_bytes: u64) -> Options {
    Journal::options()
        .background(false)
        .storage(Arc::new(disk.clone()))
        .first_segment_bytes(segment_bytes)
        .segment_bytes(segment_bytes)
}

fn small(disk: &SimDisk) -> Options {
    options(disk, 8 * BLOCK as u64)
}

fn open(disk: &SimDisk) -> Result<(Journal, Recovery), Error> {
    small(disk).open(Path::new(PATH))
}

/// Opens, appends one record for each payload, each in a group of its own, and is killed.
fn append(options: Options, disk: &SimDisk, payloads: &[&[u8]]) {
    let (journal, _) = options.open(Path::new(PATH)).expect("opens");
    let session = journal.session("agent").expect("opens");
    for payload in payloads {
        session.append("note", payload).expect("is kept");
    }
    drop((session, journal));
    disk.kill();
}

fn contents(journal: &Journal) -> Vec<Vec<u8>> {
    let entries = journal.read(Lsn::new(1)).expect("reads");
    let contents = entries.map(|entry| entry.expect("reads").content);
    contents.filter(|content| !content.is_empty()).collect()
}

fn corruption(result: Result<(Journal, Recovery), Error>) -> Corruption {
    match result.map(|(_, recovery)| recovery) {
        Err(Error::Corrupt(corruption)) => *corruption,
        other => panic!("expected corruption, found {other:?}"),
    }
}

/// Overwrites bytes of a file, at once and for good.
fn overwrite(disk: &SimDisk, path: &str, at: usize, bytes: &[u8]) {
    let mut file = disk.read_file(path).expect("reads");
    file[at..at + bytes.len()].copy_from_slice(bytes);
    disk.write_file(path, &file).expect("writes");
}

/// Offset of the `n`-th group of a segment in which every group takes a block.
fn group(n: usize) -> usize {
    BLOCK * (1 + n)
}

/// A record of several megabytes is acknowledged, another one after it. The big one rots, and the
/// watermark page is an old one: only the group behind it, further away than is read at once,
/// knows that something is missing. Taken for a torn tail, both would be gone without a word.
#[test]
fn what_proves_a_loss_is_found_however_far_behind_it_stands() {
    for blocks in [254, 255, 256, 257, 511, 512, 513, 700] {
        let disk = SimDisk::new(7);
        append(options(&disk, 4 << 20), &disk, &[b"first"]);
        let page = disk.read_file(PAGE).expect("reads");
        let big = vec![b'x'; blocks * BLOCK - 200];
        append(options(&disk, 4 << 20), &disk, &[&big, b"last"]);
        disk.write_file(PAGE, &page).expect("writes");
        // Recovery's own group is the first of its segment, the big one the second.
        let bytes = disk.read_file(SECOND).expect("reads");
        let behind = group(1) + blocks * BLOCK;
        assert_eq!(bytes[group(1)..][..4], bytes[behind..][..4], "a group");
        overwrite(&disk, SECOND, group(1) + 100, &[0xAA]);
        let corruption = corruption(options(&disk, 4 << 20).open(Path::new(PATH)));
        assert_eq!(corruption.segment, Some(SegmentId::new(2)));
        assert_eq!(corruption.offset, Some(group(1) as u64));
        assert_eq!(
            (corruption.lsn_from, corruption.lsn_to),
            (Some(Lsn::new(3)), Some(Lsn::new(4))),
            "{blocks} blocks: {corruption}"
        );
    }
}

/// The last group was written and not proven; a crash tears it in this or that way.
fn torn(spoil: impl Fn(&mut [u8])) -> Recovery {
    let disk = SimDisk::new(7);
    append(small(&disk), &disk, &[b"first"]);
    let page = disk.read_file(PAGE).expect("reads");
    append(small(&disk), &disk, &[&[b'x'; 10_000]]);
    disk.write_file(PAGE, &page).expect("writes");
    let mut bytes = disk.read_file(SECOND).expect("reads");
    spoil(&mut bytes[group(1)..]);
    disk.write_file(SECOND, &bytes).expect("writes");
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!(contents(&journal), [b"first"]);
    assert_eq!(recovery.relogged_records, 0);
    recovery
}

#[test]
fn what_a_torn_tail_took_is_said_to_the_byte() {
    let written = |bytes: &[u8]| {
        let last = bytes.iter().rposition(|byte| *byte != 0);
        last.map_or(0, |last| last as u64 + 1)
    };
    // Its header says how long it was.
    let mut len = 0;
    let whole = torn(|bytes| bytes[5000] ^= 1).torn_bytes;
    // Without the header it reaches to the last byte that is not zero, ...
    let without = torn(|bytes| bytes[20] ^= 1).torn_bytes;
    // ... or to a block that never arrived, ...
    let cut = torn(|bytes| {
        bytes[20] ^= 1;
        bytes[BLOCK - 10..2 * BLOCK].fill(0);
    });
    assert_eq!(cut.torn_bytes, BLOCK as u64 - 10);
    let disk = SimDisk::new(7);
    append(small(&disk), &disk, &[b"first"]);
    append(small(&disk), &disk, &[&[b'x'; 10_000]]);
    len += written(&disk.read_file(SECOND).expect("reads")[group(1)..]);
    assert_eq!(without, len);
    assert!((len..len + 8).contains(&whole), "{whole} of {len}");
    assert!(
        cut.to_string().ends_with("; cut a torn tail of 4086 bytes"),
        "{cut}"
    );
}

/// What a segment of that id, in an earlier life of the file, would hold: a group of two blocks.
fn of_an_earlier_life(now: &SegmentHeader, id: SegmentId) -> Vec<u8> {
    let payload = [b'o'; 6000];
    let mut buffer = GroupBuffer::default();
    let header = FrameHeader {
        payload_check: turnkeep::format::checksum::payload_checksum(&payload),
        lsn: Lsn::new(1),
        payload_len: payload.len() as u32,
        ..frame_of(now)
    };
    buffer.push(&header, &payload);
    buffer.push(
        &FrameHeader {
            lsn: Lsn::new(2),
            ..header
        },
        &payload,
    );
    buffer.seal(&Place {
        seed: Seed::of_life(now.journal, id.get()),
        segment: id,
        next_lsn: Lsn::new(1),
        durable_lsn: Lsn::new(1),
        link: 0,
        prev_group: 0,
        flags: 0,
        epoch: Epoch::new(1),
        at_ms: 0,
        align: BLOCK,
    });
    buffer.bytes().to_vec()
}

/// The header of any frame, to be changed where it matters.
fn frame_of(now: &SegmentHeader) -> FrameHeader {
    let disk = SimDisk::new(3);
    append(small(&disk), &disk, &[b"any"]);
    let bytes = disk.read_file(FIRST).expect("reads");
    let seed = SegmentHeader::decode(&bytes).expect("good").seed();
    let _ = now;
    let (frame, _) = Frame::decode(seed, &bytes[group(0) + 64..]).expect("a frame");
    frame.header
}

/// A file that is used again still holds what it held before, from the end of the log on: the
/// beginning of a group, or the middle of one. Nothing was torn, and nothing is said to be.
#[test]
fn what_an_earlier_life_left_behind_is_not_taken_for_a_torn_tail() {
    for skipped in 0..4 {
        let disk = SimDisk::new(7);
        append(small(&disk), &disk, &[b"first"]);
        append(small(&disk), &disk, &[b"second"]);
        let bytes = disk.read_file(SECOND).expect("reads");
        let now = SegmentHeader::decode(&bytes).expect("good");
        let older = of_an_earlier_life(&now, SegmentId::new(1));
        assert_eq!(older.len(), 3 * BLOCK);
        let rest = older.get(skipped * BLOCK..).unwrap_or_default();
        overwrite(&disk, SECOND, group(2), rest);
        let (journal, recovery) = open(&disk).expect("opens");
        assert_eq!(contents(&journal), [&b"first"[..], b"second"]);
        // A block in which no frame begins cannot be told from a torn one.
        let is_known = skipped < 2 || skipped == 3;
        assert_eq!(recovery.torn_bytes == 0, is_known, "{skipped}: {recovery}");
    }
}

/// A record that is larger than a segment, not proven when the process died: the segment that it
/// is logged again in has room for it.
#[test]
fn an_unproven_record_that_is_larger_than_a_segment_is_logged_again() {
    for align in [512, 4096, 65536] {
        let disk = SimDisk::new(7);
        let segment = 8 * align.max(BLOCK as u32);
        let options = || options(&disk, segment.into()).group_align(align);
        append(options(), &disk, &[b"first"]);
        let page = disk.read_file(PAGE).expect("reads");
        let big = vec![b'x'; 3 * segment as usize + 1000];
        append(options(), &disk, &[&big]);
        disk.write_file(PAGE, &page).expect("writes");
        for relogged in [1, 0] {
            let (journal, recovery) = options().open(Path::new(PATH)).expect("opens");
            assert_eq!(recovery.relogged_records, relogged, "{align}: {recovery}");
            assert_eq!(contents(&journal), [&b"first"[..], &big]);
            drop(journal);
            disk.kill();
        }
        assert!(disk.used_bytes() < 6_000_000, "{}", disk.used_bytes());
    }
}

/// A process dies again and again with a handful of unproven records: the segments that they are
/// logged again in are as large as they must be, and not a multiple of that.
#[test]
fn what_is_logged_again_takes_no_more_room_than_it_needs() {
    let disk = SimDisk::new(7);
    append(small(&disk), &disk, &[b"first"]);
    let page = disk.read_file(PAGE).expect("reads");
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    for _ in 0..4 {
        let unproven = session.append_with(Durability::Buffered, "note", "unproven");
        unproven.expect("is handed over");
    }
    drop((session, journal));
    disk.kill();
    disk.write_file(PAGE, &page).expect("writes");
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!(recovery.relogged_records, 4, "{recovery}");
    let mut expected = vec![&b"first"[..]];
    expected.extend([&b"unproven"[..]; 4]);
    assert_eq!(contents(&journal), expected);
    drop(journal);
    let files = disk.list_files(PATH).expect("lists");
    let newest = files.iter().rfind(|name| name.ends_with(".seg"));
    let path = format!("{PATH}/{}", newest.expect("a segment"));
    let bytes = disk.read_file(path).expect("reads");
    let header = SegmentHeader::decode(&bytes).expect("good");
    let most = recovery.relogged_records as usize + 12;
    assert!(header.capacity as usize <= most * BLOCK, "{header:?}");
}

/// A crash, and a snapshot right behind what the recovery logged again; and another crash. The
/// segment of the first recovery holds nothing that the second does not log again, but the
/// snapshot's replay begins in it.
#[test]
fn the_segment_that_a_snapshot_begins_its_replay_in_outlives_the_next_crashes() {
    let disk = SimDisk::new(7);
    append(small(&disk), &disk, &[b"first", b"second"]);
    let (journal, _) = open(&disk).expect("opens");
    journal.checkpoint().expect("is taken");
    drop(journal);
    disk.kill();
    for _ in 0..4 {
        let (journal, _) = open(&disk).expect("opens");
        assert_eq!(contents(&journal), [&b"first"[..], b"second"]);
        drop(journal);
        disk.kill();
    }
}

/// A journal is closed, opened again and written to; then the closing group rots. Nothing says
/// that what stands behind it was durable but that it is whole and follows on.
#[test]
fn a_closing_group_that_rots_does_not_take_what_was_written_behind_it() {
    let disk = SimDisk::new(7);
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    session.append("note", "before").expect("is kept");
    journal.close().expect("closes");
    let closed = disk.read_file(FIRST).expect("reads");
    let closing = (1..8)
        .map(|n| n * BLOCK)
        .rfind(|at| closed[*at..at + 4] != [0; 4])
        .expect("a group");
    let (journal, _) = open(&disk).expect("opens");
    let page = disk.read_file(PAGE).expect("reads");
    let session = journal.session("agent").expect("opens");
    session.append("note", "behind").expect("is kept");
    drop((session, journal));
    disk.kill();
    disk.write_file(PAGE, &page).expect("writes");
    let bytes = disk.read_file(FIRST).expect("reads");
    assert_ne!(bytes[closing + BLOCK..][..4], [0; 4], "a group behind it");
    overwrite(&disk, FIRST, closing + 20, &[0xAA]);
    let corruption = corruption(open(&disk));
    assert_eq!(corruption.offset, Some(closing as u64), "{corruption}");
    assert_eq!(
        corruption.what,
        "a closing or sealing group does not validate"
    );
}

/// The name of a segment is durable before the log goes there, so a process may die and leave one
/// that holds nothing. It is used, and no further file is made.
#[test]
fn an_empty_segment_is_used_again_where_the_disk_overwrites_in_place() {
    for in_place in [true, false] {
        let disk = SimDisk::new(7);
        append(options(&disk, 16 * BLOCK as u64), &disk, &[b"first"]);
        let bytes = disk.read_file(FIRST).expect("reads");
        let header = SegmentHeader {
            id: SegmentId::new(2),
            ..SegmentHeader::decode(&bytes).expect("good")
        };
        let mut empty = vec![0; bytes.len()];
        let encoded = header.encode();
        empty[..encoded.len()].copy_from_slice(&encoded);
        disk.write_file(SECOND, &empty).expect("writes");
        disk.set_overwrites_in_place(in_place);
        let (journal, _) = options(&disk, 16 * BLOCK as u64)
            .open(Path::new(PATH))
            .expect("opens");
        assert_eq!(contents(&journal), [b"first"]);
        drop(journal);
        disk.kill();
        let files = disk.list_files(PATH).expect("lists");
        let segments = files.iter().filter(|name| name.ends_with(".seg")).count();
        assert_eq!(segments, if in_place { 2 } else { 3 }, "{files:?}");
    }
}

/// A close leaves the segment that was made ahead, with nothing in it. The next opening goes on in
/// the last one, and then in that: no file is left over, and none is left out.
#[test]
fn the_segment_that_was_made_ahead_is_used_after_a_close() {
    let disk = SimDisk::new(7);
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    session.append("note", "0").expect("is kept");
    drop(session);
    journal.close().expect("closes");
    let bytes = disk.read_file(FIRST).expect("reads");
    let header = SegmentHeader {
        id: SegmentId::new(2),
        ..SegmentHeader::decode(&bytes).expect("good")
    };
    let mut empty = vec![0; bytes.len()];
    let encoded = header.encode();
    empty[..encoded.len()].copy_from_slice(&encoded);
    disk.write_file(SECOND, &empty).expect("writes");
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(recovery.clean, "{recovery}");
    let session = journal.session("agent").expect("opens");
    for n in 1..8 {
        session.append("note", n.to_string()).expect("is kept");
    }
    drop(session);
    journal.close().expect("closes");
    let segments = || {
        let files = disk.list_files(PATH).expect("lists").into_iter();
        files.filter(|name| name.ends_with(".seg")).count()
    };
    assert_eq!(segments(), 2);
    assert_ne!(
        disk.read_file(SECOND).expect("reads")[BLOCK..BLOCK + 4],
        [0; 4]
    );
    let (journal, _) = open(&disk).expect("opens");
    assert_eq!(contents(&journal).len(), 8);
}

/// A crash after a segment was sealed, before the next one, whose header rots, held a group: the
/// page says that nothing was in it. Without the page nothing does, and opening refuses.
#[test]
fn a_broken_header_behind_a_sealed_segment_is_made_again_only_if_the_page_says_so() {
    for page_validates in [true, false] {
        let disk = SimDisk::new(7);
        let (journal, _) = open(&disk).expect("opens");
        let session = journal.session("agent").expect("opens");
        let (mut page, mut kept) = (Vec::new(), 0);
        while !disk
            .list_files(PATH)
            .expect("lists")
            .iter()
            .any(|name| SECOND.ends_with(name))
            || disk.read_file(SECOND).expect("reads")[BLOCK..BLOCK + 4] == [0; 4]
        {
            page = disk.read_file(PAGE).expect("reads");
            kept += 1;
            session
                .append("note", "x".repeat(BLOCK / 2))
                .expect("is kept");
        }
        drop((session, journal));
        disk.kill();
        let mut second = disk.read_file(SECOND).expect("reads");
        second[40] ^= 1;
        second[BLOCK..].fill(0);
        disk.write_file(SECOND, &second).expect("writes");
        if !page_validates {
            page = vec![0xAA; BLOCK];
        }
        disk.write_file(PAGE, &page).expect("writes");
        if page_validates {
            let (journal, _) = open(&disk).expect("opens");
            assert_eq!(contents(&journal).len(), kept - 1);
            continue;
        }
        let corruption = corruption(open(&disk));
        assert_eq!(corruption.segment, Some(SegmentId::new(2)), "{corruption}");
    }
}

/// The header of the only segment rots before anything was appended. It was taken for one that a
/// crash left half made, and the log went on in the next segment; but replay begins in this one, so
/// the next opening refused, and what had been acknowledged in between could not be read.
#[test]
fn a_broken_header_of_the_segment_that_replay_begins_in_is_refused() {
    let disk = SimDisk::new(7);
    drop(open(&disk).expect("opens"));
    disk.kill();
    overwrite(&disk, FIRST, 40, &[0xAA]);
    let by_reader = small(&disk).open_read_only(PATH);
    assert!(matches!(by_reader, Err(Error::Corrupt(_))));
    let corruption = corruption(open(&disk));
    assert_eq!(corruption.path, Path::new(FIRST));
    assert_eq!(corruption.segment, Some(SegmentId::new(1)));
}

/// The segment that the page says the log ends in is gone, and the log reads to the end of the
/// one before: the refusal names the file that is not there.
#[test]
fn a_missing_last_segment_is_what_the_refusal_names() {
    let disk = SimDisk::new(7);
    append(small(&disk), &disk, &[&[b'x'; 3000][..]; 14]);
    let files = disk.list_files(PATH).expect("lists");
    let segments: Vec<_> = files.iter().filter(|name| name.ends_with(".seg")).collect();
    let mut logged = segments.into_iter().filter(|name| {
        let bytes = disk.read_file(format!("{PATH}/{name}")).expect("reads");
        !name.starts_with("spare") && bytes[BLOCK..BLOCK + 4] != [0; 4]
    });
    let last = logged.next_back().expect("several");
    let path = format!("{PATH}/{last}");
    disk.remove_file(&path).expect("removes");
    let corruption = corruption(open(&disk));
    assert_eq!(corruption.path, Path::new(&path));
    assert_eq!(corruption.what, "a segment is missing");
    assert_eq!(corruption.offset, None);
    let id = last.trim_end_matches(".seg").parse().expect("a number");
    assert_eq!(corruption.segment, Some(SegmentId::new(id)));
}

/// A snapshot's index refers to segments that replay does not read. If one of them is gone,
/// opening says so, and not whoever reads its records years later.
#[test]
fn a_segment_that_only_the_snapshot_refers_to_is_missed_when_opening() {
    let disk = SimDisk::new(7);
    let (journal, _) = open(&disk).expect("opens");
    let session = journal.session("agent").expect("opens");
    for _ in 0..14 {
        session.append("note", [b'x'; 3000]).expect("is kept");
    }
    journal.checkpoint().expect("is taken");
    session.append("note", "last").expect("is kept");
    drop((session, journal));
    disk.kill();
    disk.remove_file(FIRST).expect("removes");
    let corruption = corruption(open(&disk));
    assert_eq!(corruption.path, Path::new(FIRST));
    assert_eq!(corruption.what, "a segment is missing");
    assert_eq!(corruption.segment, Some(SegmentId::new(1)));
    assert_eq!(corruption.lsn_from, Some(Lsn::new(1)));
}

/// What a crash left of a publication is cleared away by the opening that recovers, and not by
/// one that had nothing to do.
#[test]
fn leftovers_are_cleared_away_by_the_opening_that_recovers() {
    let disk = SimDisk::new(7);
    append(small(&disk), &disk, &[b"first"]);
    let leftover = format!("{PATH}/manifest-00000000000000000009.tmp");
    disk.write_file(&leftover, b"half a manif").expect("writes");
    let (journal, recovery) = open(&disk).expect("opens");
    assert!(!recovery.clean);
    assert!(disk.read_file(&leftover).is_err());
    journal.close().expect("closes");
    disk.write_file(&leftover, b"half a manif").expect("writes");
    let (_journal, recovery) = open(&disk).expect("opens");
    assert!(recovery.clean);
    assert!(disk.read_file(&leftover).is_ok());
}

/// Each way in which a directory without a manifest can still hold records.
#[test]
fn without_a_manifest_any_file_that_may_hold_records_is_refused() {
    let files = [
        "00000000000000000001.pack",
        "00000000000000000001.state",
        "00000000000000000002.seg",
        "00000000000000000007.seg",
    ];
    for name in files {
        let disk = SimDisk::new(7);
        drop(open(&disk).expect("opens"));
        disk.kill();
        for name in disk.list_files(PATH).expect("lists") {
            if name != "LOCK" {
                disk.remove_file(format!("{PATH}/{name}")).expect("removes");
            }
        }
        disk.write_file(format!("{PATH}/{name}"), &[0; BLOCK])
            .expect("writes");
        corruption(open(&disk));
        assert!(disk.read_file(format!("{PATH}/{name}")).is_ok(), "{name}");
    }
}

/// Errors of the system are told as what they are.
#[test]
fn what_the_system_refuses_is_not_called_something_else() {
    let disk = SimDisk::new(7);
    append(small(&disk), &disk, &[b"first"]);
    disk.fail_nth(OpKind::List, 1, std::io::ErrorKind::PermissionDenied, false);
    assert!(matches!(open(&disk), Err(Error::Io { .. })));
    disk.clear_faults();
    for kind in [
        std::io::ErrorKind::PermissionDenied,
        std::io::ErrorKind::ReadOnlyFilesystem,
    ] {
        disk.fail_nth(OpKind::Lock, 1, kind, false);
        match open(&disk) {
            Err(Error::ReadOnly { path }) => assert_eq!(path, Path::new(PATH)),
            other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
        }
        disk.clear_faults();
    }
    disk.fail_nth(OpKind::Lock, 1, std::io::ErrorKind::Other, false);
    assert!(matches!(open(&disk), Err(Error::Io { .. })));
}

/// Any alignment that the settings allow. With more than 4096 the writer counted from the first
/// group and the reader from the beginning of the file: the second record that was acknowledged
/// could not be read, and opening refused.
#[test]
fn a_journal_of_any_alignment_reads_back() {
    for align in (3..=16).map(|bits| 1 << bits) {
        let disk = SimDisk::new(7);
        let segment = 8 * align.max(BLOCK as u32);
        let options = || options(&disk, segment.into()).group_align(align);
        let mut kept: Vec<Vec<u8>> = Vec::new();
        for life in 1..4_u8 {
            let payloads = [
                vec![life; 100],
                vec![life; align as usize * 3 / 2],
                vec![life; 9],
            ];
            let payloads: Vec<_> = payloads.iter().map(|payload| &payload[..]).collect();
            append(options(), &disk, &payloads);
            kept.extend(payloads.iter().map(|payload| payload.to_vec()));
        }
        let (journal, recovery) = options().open(Path::new(PATH)).expect("opens");
        assert_eq!(recovery.torn_bytes, 0);
        assert_eq!(contents(&journal), kept, "{align}");
        drop(journal);
        disk.kill();

        let storage = || Arc::new(disk.clone());
        let report = verify_on(storage(), PATH, &mut |_| ()).expect("verifies");
        assert!(report.is_sound(), "{align}: {report}");
        // The longest record of the first life rots: verifying and salvaging find what follows.
        let bytes = disk.read_file(FIRST).expect("reads");
        let rotten = bytes
            .windows(9)
            .position(|bytes| bytes == [1; 9])
            .expect("a record")
            + 200;
        let rotten = rotten
            + bytes[rotten..]
                .windows(9)
                .position(|b| b == [1; 9])
                .expect("two");
        overwrite(&disk, FIRST, rotten, &[0xAA]);
        let report = verify_on(storage(), PATH, &mut |_| ()).expect("verifies");
        let damage: Vec<_> = report.damage().collect();
        assert_eq!(damage.len(), 1, "{align}: {report}");
        let report = salvage_on(storage(), PATH, "/salvaged", &mut |_| ()).expect("salvages");
        // The record that created the session is kept as well.
        assert_eq!(
            report.records_kept as usize,
            kept.len(),
            "{align}: {report}"
        );
    }
}
