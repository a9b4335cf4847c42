//! Whose the lost records were: named for each LSN wherever anything that is left tells.

use super::*;

/// Every LSN that is missing is spoken of, once, and what is said of it is not wrong.
pub(super) fn assert_named(all: &[Entry], salvaged: &Salvaged) {
    let report = &salvaged.report;
    let ranges = |ranges: &[LsnRange]| -> Vec<u64> {
        let lsns = ranges.iter().flat_map(|r| r.from.get()..r.to.get());
        lsns.collect()
    };
    let mut missing = ranges(&report.lost);
    missing.extend(ranges(&report.uncertain));
    missing.sort_unstable();
    let spoken_of = report.lost_records.iter();
    let spoken_of: Vec<u64> = spoken_of.flat_map(|l| l.from.get()..l.to.get()).collect();
    assert_eq!(missing, spoken_of, "{report}");
    for lost in &report.lost_records {
        assert!(lost.may_be_another || !lost.sessions.is_empty(), "{lost}");
        for lsn in lost.from.get()..lost.to.get() {
            let Some(entry) = all.iter().find(|e| e.lsn.get() == lsn) else {
                continue;
            };
            let is_it = |of: &&LostOf| {
                of.no == entry.session && of.seqs.from <= entry.seq && entry.seq < of.seqs.to
            };
            let is_named = lost.sessions.iter().find(is_it).is_some();
            let (no, seq) = (entry.session, entry.seq);
            assert!(
                is_named || lost.may_be_another || lost.sessions_left_out > 0,
                "lsn {lsn} was record {seq} of session {no}: {lost}"
            );
            if lost.is_known() {
                let at = lsn - lost.from.get();
                let said = u64::from(lost.sessions[0].seqs.from.get()) + at;
                assert_eq!(said, u64::from(seq.get()), "{lost}");
            }
        }
    }
}

/// What is said of an LSN.
fn of(salvaged: &Salvaged, lsn: u64) -> &LostRecords {
    let holds = |l: &&LostRecords| (l.from.get()..l.to.get()).contains(&lsn);
    let found = salvaged.report.lost_records.iter().find(holds);
    found.unwrap_or_else(|| panic!("nothing is said of lsn {lsn}: {}", salvaged.report))
}

/// Fills the blocks of these records with zeros: nothing of them is left, and no header.
/// Each was appended alone, but for the first of each session, whose creation stands before it.
pub(super) fn wipe(home: &Home, all: &[Entry], lsns: &[u64]) {
    for name in home.logged() {
        let mut bytes = home.read(&name);
        for at in (4096..bytes.len()).step_by(4096) {
            let first = u64::from_le_bytes(bytes[at + 16..at + 24].try_into().expect("8 bytes"));
            let frames = u32::from_le_bytes(bytes[at + 36..at + 40].try_into().expect("4 bytes"));
            let holds = (first..first + u64::from(frames)).any(|lsn| lsns.contains(&lsn));
            if bytes[at..at + 3] == *b"TKG" && holds {
                bytes[at..at + 4096].fill(0);
            }
        }
        home.write(&name, &bytes);
    }
    assert!(
        lsns.iter()
            .all(|lsn| all.iter().any(|e| e.lsn.get() == *lsn))
    );
}

fn lsn_of(all: &[Entry], content: &str) -> u64 {
    let found = all.iter().find(|e| e.content == content.as_bytes());
    found.expect("was there").lsn.get()
}

/// A host with three agents, whose disk loses blocks that a snapshot covers. The report said
/// which LSNs were lost, and of no session that it had lost anything.
#[test]
fn lost_records_that_a_snapshot_covers_are_named() {
    let home = Home::new();
    let journal = home.open();
    let names = ["a", "b", "c"];
    let sessions = names.map(|name| journal.session(name).expect("opens"));
    for i in 0..12 {
        for (name, session) in names.iter().zip(&sessions) {
            session
                .append("event", format!("{name} {i}"))
                .expect("is kept");
        }
    }
    journal.checkpoint().expect("is kept");
    for (name, session) in names.iter().zip(&sessions) {
        session
            .append("event", format!("{name} behind"))
            .expect("is kept");
    }
    drop((sessions, journal));
    let all = everything(&home);
    // Neighbours, the last that the snapshot covers, and several of one session.
    let contents = ["a 3", "b 3", "c 3", "b 7", "c 11", "a 9", "a 10", "a 11"];
    let lsns: Vec<u64> = contents.iter().map(|c| lsn_of(&all, c)).collect();
    wipe(&home, &all, &lsns);
    let salvaged = rescue(&home);
    assert_kept(&all, &salvaged);
    assert_eq!(salvaged.lost().len(), lsns.len());
    for (content, lsn) in contents.iter().zip(&lsns) {
        let lost = of(&salvaged, *lsn);
        assert!(lost.is_known() && lost.is_certain, "{lost}");
        assert_eq!(lost.sessions[0].id.as_deref(), Some(&content[..1]));
        let entry = all.iter().find(|e| e.lsn.get() == *lsn).expect("was there");
        assert_eq!(lost.sessions[0].seqs.from, entry.seq);
    }
    let counts = salvaged.report.sessions.iter().map(|session| {
        let lost = session.lost.iter();
        let lost: u32 = lost.map(|range| range.to.get() - range.from.get()).sum();
        (&*session.id, lost)
    });
    assert_eq!(counts.collect::<Vec<_>>(), [("a", 4), ("b", 2), ("c", 2)]);
    // The salvaged journal does not count what it does not have.
    let reader = Reader::open(&salvaged.path).expect("opens");
    let records: u64 = reader
        .sessions()
        .expect("lists")
        .iter()
        .map(|s| s.records)
        .sum();
    assert_eq!(records, salvaged.report.records_kept);
}

/// Behind the newest snapshot only sequence numbers tell: with as many gaps as lost records it
/// was one of these sessions, else it may have been another.
#[test]
fn behind_every_snapshot_the_sessions_with_a_gap_there_are_named() {
    let home = Home::new();
    let journal = home.open();
    let sessions = ["a", "b"].map(|name| journal.session(name).expect("opens"));
    for i in 0..6 {
        for (name, session) in ["a", "b"].iter().zip(&sessions) {
            session
                .append("event", format!("{name} {i}"))
                .expect("is kept");
        }
    }
    drop((sessions, journal));
    let (good, all) = (home.files(), everything(&home));
    let cases: [(&[&str], &[&str], bool); 4] = [
        (&["a 2"], &["a"], false),
        (&["a 2", "b 2"], &["a", "b"], false),
        (&["a 4", "b 4", "a 5"], &["b"], true),
        (&["a 5"], &[], true),
    ];
    for (wiped, named, may_be_another) in cases {
        let lsns: Vec<u64> = wiped.iter().map(|c| lsn_of(&all, c)).collect();
        wipe(&home, &all, &lsns);
        let salvaged = rescue(&home);
        assert_kept(&all, &salvaged);
        assert_eq!(salvaged.lost(), lsns);
        for lsn in lsns {
            let lost = of(&salvaged, lsn);
            let ids: Vec<&str> = lost
                .sessions
                .iter()
                .filter_map(|s| s.id.as_deref())
                .collect();
            assert_eq!(
                (&*ids, lost.may_be_another),
                (named, may_be_another),
                "{lost}"
            );
            assert_eq!(
                lost.to_string().contains("session unknown"),
                may_be_another,
                "{lost}"
            );
        }
        for (name, bytes) in &good {
            home.write(name, bytes);
        }
    }
}

/// The last record of a session, and nothing behind it: its header says whose it was.
#[test]
fn a_header_whose_payload_is_damaged_says_whose_it_was() {
    let home = Home::new();
    let journal = home.open();
    let [a, b] = ["a", "b"].map(|name| journal.session(name).expect("opens"));
    a.append("event", "a first").expect("is kept");
    a.append("event", "a last").expect("is kept");
    b.append("event", "b only").expect("is kept");
    drop((a, b, journal));
    let all = everything(&home);
    let name = home.logged()[0].clone();
    for content in ["a last", "b only"] {
        let bytes = home.read(&name);
        let at = bytes.windows(6).position(|w| w == content.as_bytes());
        home.flip(&name, at.expect("is there"));
    }
    let salvaged = rescue(&home);
    assert_kept(&all, &salvaged);
    for (content, id, seq) in [("a last", "a", 3), ("b only", "b", 2)] {
        let lost = of(&salvaged, lsn_of(&all, content));
        assert!(lost.is_known(), "{lost}");
        assert_eq!(lost.sessions[0].id.as_deref(), Some(id), "{lost}");
        assert_eq!(lost.sessions[0].seqs.from, Seq::new(seq));
        let of = salvaged.report.sessions.iter().find(|s| s.id == id);
        assert_eq!(of.expect("is in the report").lost, [lost.sessions[0].seqs]);
    }
}

/// Whole packs are gone, and with them their index. The snapshot knows the sessions.
#[test]
fn what_a_missing_pack_held_is_named_by_the_sessions_that_lack_it() {
    let home = Home::new();
    compacted(&home);
    let all = everything(&home);
    for name in home.names(".pack") {
        home.remove(&name);
    }
    let salvaged = rescue(&home);
    assert_named(&all, &salvaged);
    let missing = &salvaged.report.lost_records;
    assert!(!missing.is_empty());
    for lost in missing {
        assert!(!lost.sessions.is_empty() && !lost.may_be_another, "{lost}");
    }
    let lacking = salvaged.report.sessions.iter();
    let lacking = lacking.filter(|s| !s.lost.is_empty() || !s.uncertain.is_empty());
    assert_eq!(lacking.count(), 3, "{}", salvaged.report);
    // No index tells whether a compaction had dropped them.
    for session in &salvaged.report.sessions {
        let of = |e: &&Entry| e.session == session.no && !salvaged.entries.contains(e);
        let missing: Vec<Seq> = all.iter().filter(of).map(|e| e.seq).collect();
        let seqs = session.uncertain.iter();
        let seqs = seqs.flat_map(|r| (r.from.get()..r.to.get()).map(Seq::new));
        assert_eq!(seqs.collect::<Vec<_>>(), missing, "{}", salvaged.report);
        assert_eq!(session.lost, []);
    }
}

/// A session whose every record is gone: a later number proves that there was one.
#[test]
fn a_session_of_which_nothing_is_left_is_named_by_its_number() {
    let home = Home::new();
    let journal = home.open();
    for name in ["a", "gone", "c"] {
        let session = journal.session(name).expect("opens");
        session
            .append("event", format!("{name} 0"))
            .expect("is kept");
    }
    drop(journal);
    let all = everything(&home);
    let lsn = lsn_of(&all, "gone 0");
    wipe(&home, &all, &[lsn]);
    let salvaged = rescue(&home);
    assert_kept(&all, &salvaged);
    let lost = of(&salvaged, lsn);
    assert_eq!(lost.sessions[0].no, SessionNo::new(2));
    assert_eq!(lost.sessions[0].id, None);
    assert!(lost.may_be_another, "{lost}");
    assert!(lost.to_string().contains("session number 2"), "{lost}");
}

/// The report of a program: journals by the id that every message prints, losses by session.
#[test]
fn the_note_in_the_journal_names_journals_and_sessions() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("agent \"7\"").expect("opens");
    for i in 0..5 {
        session
            .append("event", format!("record {i}"))
            .expect("is kept");
    }
    drop((session, journal));
    let all = everything(&home);
    wipe(&home, &all, &[lsn_of(&all, "record 2")]);
    let salvaged = rescue(&home);
    let report = std::fs::read_to_string(salvaged.path.join("quarantine/report.json"));
    let report = report.expect("is there");
    let lsn = lsn_of(&all, "record 2");
    let expected = format!(
        "\"lost_records\":[{{\"lsns\":[{lsn},{}],\"is_certain\":true,\"sessions\":[{{\"no\":1,\
         \"id\":\"agent \\\"7\\\"\",\"seqs\":[4,5]}}],\"may_be_another\":false}}]",
        lsn + 1
    );
    assert!(report.contains(&expected), "{report}");
}

/// The group is wiped that a session was created in, with its first record. Its creation lay
/// between its neighbours'.
#[test]
fn the_lost_beginning_of_a_session_is_named() {
    let home = Home::new();
    let journal = home.open();
    for name in ["a", "b", "c"] {
        let session = journal.session(name).expect("opens");
        for i in 0..3 {
            session
                .append("event", format!("{name} {i}"))
                .expect("is kept");
        }
    }
    drop(journal);
    let all = everything(&home);
    let lsn = lsn_of(&all, "b 0");
    wipe(&home, &all, &[lsn]);
    let salvaged = rescue(&home);
    assert_kept(&all, &salvaged);
    let first = all.iter().find(|e| e.lsn.get() == lsn).expect("was there");
    let no = first.session;
    let lost = of(&salvaged, lsn);
    assert!(lost.is_known(), "{lost}");
    let named = &lost.sessions[0];
    assert_eq!(
        (named.no, named.id.as_deref()),
        (no, Some("lost+found/session-2"))
    );
    assert_eq!(
        (named.seqs.from, named.seqs.to),
        (Seq::new(1), first.seq.next())
    );
    let session = salvaged.report.sessions.iter().find(|s| s.no == no);
    assert_eq!(session.expect("is there").lost, [named.seqs]);
}

/// A session was deleted and compacted away, so no record of it is left. It is not suspected of
/// what was lost later.
#[test]
fn a_session_that_was_deleted_is_no_suspect() {
    let home = Home::new();
    let journal = home.open();
    let a = journal.session("a").expect("opens");
    a.append("event", "a first").expect("is kept");
    let gone = journal.session("gone").expect("opens");
    gone.append("event", "went").expect("is kept");
    gone.delete().expect("deletes");
    for i in 0..2 {
        a.append("event", format!("before {i}")).expect("is kept");
        journal.compact().expect("compacts");
    }
    for i in 0..4 {
        a.append("event", format!("behind {i}")).expect("is kept");
    }
    drop((a, gone, journal));
    let all = everything(&home);
    assert!(!all.iter().any(|e| e.content == b"went"));
    let lsn = lsn_of(&all, "behind 1");
    wipe(&home, &all, &[lsn]);
    let salvaged = rescue(&home);
    let lost = of(&salvaged, lsn);
    assert!(lost.is_known(), "{lost}");
    assert_eq!(lost.sessions[0].id.as_deref(), Some("a"));
}
