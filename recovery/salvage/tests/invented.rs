//! What must not come back: what was erased, void, never acknowledged, or never a record.

use super::*;

#[test]
fn what_was_deleted_or_truncated_does_not_come_back() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 30);
    let secret = journal.session("secret").expect("opens");
    secret.append("note", "deleted-payload").expect("is kept");
    let cut = journal.session("cut").expect("opens");
    cut.append("note", "stays").expect("is kept");
    cut.append("note", "truncated-payload").expect("is kept");
    let from = cut.last(1).expect("reads")[0].seq;
    journal.compact().expect("compacts");
    cut.truncate_from(from).expect("drops");
    secret.delete().expect("deletes");
    fill(&journal, "b", 2, 30);
    drop((secret, cut, journal));
    let name = home.logged().pop().expect("a segment");
    let expect_gone = |what: &str| {
        let salvaged = rescue(&home);
        assert!(
            salvaged.report.records_erased >= 3,
            "{what}: {}",
            salvaged.report
        );
        for (name, bytes) in files(&salvaged.path) {
            for payload in [&b"deleted-payload"[..], b"truncated-payload"] {
                let found = bytes.windows(payload.len()).any(|w| w == payload);
                assert!(!found, "{what}: {name}");
            }
        }
        let journal = salvaged.open();
        assert!(journal.find("secret").is_err());
        assert_eq!(
            journal
                .find("cut")
                .expect("is there")
                .last(9)
                .expect("reads")
                .len(),
            3
        );
    };
    expect_gone("undamaged");
    home.flip(&name, 4096 * 2 + 110);
    expect_gone("with a damaged segment");
    for manifest in home.names("").iter().filter(|n| n.starts_with("manifest")) {
        home.remove(manifest);
    }
    expect_gone("without a manifest");
}

#[test]
fn a_torn_tail_is_neither_kept_nor_lost() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    session.append("event", "durable").expect("is kept");
    let mark = home.read("WATERMARK");
    session.append("event", "torn").expect("is kept");
    session.append("event", "behind").expect("is kept");
    drop((session, journal));
    home.write("WATERMARK", &mark);
    let name = home.logged()[0].clone();
    let mut bytes = home.read(&name);
    let at = bytes
        .windows(4)
        .position(|w| w == b"torn")
        .expect("is there");
    bytes[at] ^= 1;
    // What stands behind was not proven by anything, and a power cut took the proof.
    let behind = (at / 4096 + 1) * 4096;
    bytes[behind..behind + 4096].fill(0);
    home.write(&name, &bytes);
    let salvaged = rescue(&home);
    assert_eq!(salvaged.lost(), [0_u64; 0], "{}", salvaged.report);
    assert_eq!(
        salvaged.entries.last().expect("a record").content,
        b"durable"
    );
}

/// A host journals what an agent read: the bytes of this very segment. One bit of the header in
/// front of them rots. What looks like frames in there was never appended.
#[test]
fn frames_inside_of_a_payload_are_not_taken_for_records() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    for i in 0..4 {
        session
            .append("event", format!("record {i}"))
            .expect("is kept");
    }
    let name = home.logged()[0].clone();
    let copied = home.read(&name)[4096..5 * 4096].to_vec();
    for offset in 0..8 {
        let mut content = vec![b'.'; offset];
        content.extend_from_slice(&copied);
        session.append("read_file", content).expect("is kept");
    }
    session.append("event", "behind").expect("is kept");
    drop((session, journal));
    let (good, all) = (home.files(), everything(&home));
    for segment in home.logged() {
        let bytes = &good[&segment];
        for group in (4096..bytes.len()).step_by(4096) {
            if bytes[group..group + 3] != *b"TKG" || bytes[group + 36] == 0 {
                continue;
            }
            for offset in [5, 64, 72, 88, 120] {
                home.flip(&segment, group + offset);
                let salvaged = rescue(&home);
                assert!(salvaged.lost().len() <= 1, "{}", salvaged.report);
                assert_kept(&all, &salvaged);
                home.write(&segment, bytes);
            }
        }
    }
}

#[test]
fn a_file_of_another_journal_is_left_out() {
    let (home, other) = (Home::new(), Home::new());
    let journal = home.open();
    fill(&journal, "a", 2, 60);
    drop(journal);
    let all = everything(&home);
    let journal = other.open();
    fill(&journal, "other", 3, 60);
    drop(journal);
    let foreign = other.logged()[1].clone();
    let target = "00000000000000000077.seg";
    home.write(target, &other.read(&foreign));
    let salvaged = rescue(&home);
    assert_kept(&all, &salvaged);
    let finding = salvaged
        .report
        .findings
        .iter()
        .find(|f| f.code == "foreign");
    assert_eq!(finding.expect("is named").file.as_deref(), Some(target));
}

/// Whatever is done to the files: no panic, the result is sound, and every record in it was
/// once accepted with exactly these bytes.
#[test]
fn nothing_is_invented_whatever_the_damage() {
    let home = Home::new();
    compacted(&home);
    let (good, all) = (home.files(), everything(&home));
    let mut random = 0x5EED_u64;
    let mut next = move |below: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((random >> 33) as usize) % below.max(1)
    };
    for round in 0..60 {
        for _ in 0..next(6) + 1 {
            let n = next(good.len());
            let (name, bytes) = good.iter().nth(n).expect("a file");
            if name == "LOCK" {
                continue;
            }
            let mut bytes = bytes.clone();
            match next(6) {
                0 => bytes.truncate(next(bytes.len())),
                1 => {
                    let (from, len) = (next(bytes.len()), next(20_000));
                    let to = (from + len).min(bytes.len());
                    bytes[from..to].fill([0, 0xFF, 0x5A][next(3)]);
                }
                2 => {
                    let (from, to) = (next(bytes.len()), next(bytes.len()));
                    let len = next(9000).min(bytes.len() - from.max(to));
                    bytes.copy_within(from..from + len, to);
                }
                3 => bytes = good.values().nth(next(good.len())).expect("a file").clone(),
                _ => {
                    for _ in 0..next(8) + 1 {
                        let at = next(bytes.len());
                        bytes[at] ^= 1 << next(8);
                    }
                }
            }
            match next(8) {
                0 => home.remove_if_there(name),
                _ => home.write(name, &bytes),
            }
        }
        let salvaged = rescue(&home);
        let mut originals = all.iter();
        for entry in &salvaged.entries {
            let original = originals.find(|original| original.lsn == entry.lsn);
            assert_eq!(original, Some(entry), "round {round}");
        }
        for (name, bytes) in &good {
            home.write(name, bytes);
        }
    }
}

/// 1. A group is written and its sync never returns.
/// 2. The power fails; a record in it is torn.
/// 3. Opening logs the rest again and goes on, with other records under the same LSNs.
/// 4. The segment with the torn group stays, and what it holds must not come back.
#[test]
fn what_a_later_segment_logged_again_is_void() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    session.append("event", "durable").expect("is kept");
    let mark = home.read("WATERMARK");
    for i in 0..5 {
        session
            .append("event", format!("unproven {i}"))
            .expect("is kept");
    }
    drop((session, journal));
    home.write("WATERMARK", &mark);
    let name = home.logged()[0].clone();
    let mut bytes = home.read(&name);
    let torn = bytes
        .windows(10)
        .position(|w| w == b"unproven 1")
        .expect("is there");
    bytes[torn] ^= 1;
    // What the groups behind it knew to be durable never reached the disk either.
    let (torn, last) = (
        torn / 4096 * 4096,
        bytes.windows(10).rposition(|w| w == b"unproven 4"),
    );
    let last = last.expect("is there") / 4096 * 4096;
    let group = bytes[last..last + 4096].to_vec();
    bytes[torn + 4096..].fill(0);
    home.write(&name, &bytes);
    let journal = home.open();
    let session = journal.find("s").expect("is there");
    // As many as make the void record behind them the next one, if it counted.
    for i in 0..3 {
        session
            .append("event", format!("instead {i}"))
            .expect("is kept");
    }
    drop((session, journal));
    // It did after all, when nobody asked any more.
    let mut bytes = home.read(&name);
    bytes[last..last + 4096].copy_from_slice(&group);
    home.write(&name, &bytes);
    let all = everything(&home);
    assert!(all.iter().any(|e| e.content == b"instead 2"));
    let salvaged = rescue(&home);
    assert!(salvaged.report.is_complete(), "{}", salvaged.report);
    assert_kept(&all, &salvaged);
}

/// What a power cut left behind a torn group, and nothing proves, no opening would believe.
#[test]
fn what_stands_behind_a_torn_group_was_never_acknowledged() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    session.append("event", "durable").expect("is kept");
    for i in 0..4 {
        let buffered = Durability::Buffered;
        session
            .append_with(buffered, "event", format!("buffered {i}"))
            .expect("is handed to the system");
    }
    let files = home.files();
    drop((session, journal));
    for (name, bytes) in &files {
        home.write(name, bytes);
    }
    let name = home.logged()[0].clone();
    let at = files[&name].windows(10).position(|w| w == b"buffered 1");
    home.flip(&name, at.expect("is there"));
    let salvaged = rescue(&home);
    assert!(salvaged.report.is_complete(), "{}", salvaged.report);
    assert_eq!(
        salvaged.entries.last().expect("a record").content,
        b"buffered 0"
    );
}

/// The bytes of a frame that was never appended, as whoever can read the journal can make them.
fn forged(home: &Home, segment: &str, lsn: u64) -> Vec<u8> {
    let header = SegmentHeader::decode(&home.read(segment)).expect("a header");
    let mut payload = Vec::new();
    let envelope = Envelope {
        name: "forged",
        ..Envelope::default()
    };
    encode_payload(&envelope, b"never appended", &mut payload).expect("encodes");
    let mut bytes = Vec::new();
    Frame {
        header: FrameHeader {
            payload_check: payload_checksum(&payload),
            lsn: Lsn::new(lsn),
            session: SessionNo::new(1),
            seq: Seq::new(lsn as u32),
            payload_len: payload.len() as u32,
            prev: 0,
            epoch: Epoch::new(1),
            kind: event::Kind::Message.get(),
            flags: 0,
            codec: 0,
            body_version: BODY_VERSION,
        },
        check: 0,
        payload: &payload,
    }
    .relocate(header.seed(), 7, &mut bytes);
    bytes
}

/// A host journals bytes that were made to look like records of this very file. Then just what
/// would contradict them rots.
#[test]
fn forged_frames_inside_of_a_payload_are_not_taken_for_records() {
    // Which LSN is forged, relative to the record that holds it; where the header of that
    // record is hit; and which records behind or before it are wiped out.
    let cases: [(i64, usize, &[i64]); 4] = [
        (0, 70, &[]),
        (-5, 70, &[-6, -5, -4]),
        (1, 5, &[1, 2]),
        (1, 5 + 64 * 1000, &[1, 2]),
    ];
    for (case, (forge, hit, wiped)) in cases.into_iter().enumerate() {
        let home = Home::new();
        let journal = home.open();
        let session = journal.session("s").expect("opens");
        session.append("event", "first").expect("is kept");
        let segment = home.logged()[0].clone();
        for i in 0..6 {
            session
                .append("event", format!("record {i}"))
                .expect("is kept");
        }
        let lsn = journal.accepted_lsn().get();
        let target = lsn.checked_add_signed(forge).expect("an lsn");
        let mut content = Vec::new();
        // One of these is aligned as frames are.
        for _ in 0..8 {
            content.extend_from_slice(&forged(&home, &segment, target));
            content.push(b'.');
        }
        session.append("event", content).expect("is kept");
        for i in 0..4 {
            session
                .append("event", format!("behind {i}"))
                .expect("is kept");
        }
        drop((session, journal));
        let mut bytes = home.read(&segment);
        // The first group holds two records, each other one.
        let block = |lsn: u64| (lsn as usize - 1) * 4096;
        assert_eq!(bytes[block(lsn) + 72], lsn as u8);
        match hit {
            5.. if hit > 4096 => {
                // The header of the group, and the payload before what is forged.
                bytes[block(lsn) + 5] ^= 1;
                bytes[block(lsn) + 108] ^= 1;
            }
            hit => bytes[block(lsn) + hit] ^= 1,
        }
        for wiped in wiped {
            let at = block(lsn.checked_add_signed(*wiped).expect("an lsn"));
            bytes[at..at + 4096].fill(0);
        }
        home.write(&segment, &bytes);
        let salvaged = rescue(&home);
        let found = salvaged.entries.iter().any(|e| e.name == "forged");
        assert!(!found, "case {case}");
    }
}
