//! What compactions dropped and what was erased is not called lost; what is lost is not called
//! dropped.

use super::*;

fn remove(home: &Home, is: impl Fn(&str) -> bool) {
    for name in home.names("").iter().filter(|name| is(name)) {
        home.remove(name);
    }
}

fn without_catalog(home: &Home) {
    remove(home, |name| {
        name.starts_with("manifest") || name.ends_with(".state")
    });
}

/// Damages every place of a pack or a segment where `text` stands.
fn rot(home: &Home, text: &str) {
    for ending in [".pack", ".seg"] {
        let mut hit = 0;
        for name in home.names(ending) {
            let mut bytes = home.read(&name);
            let found = bytes.windows(text.len()).enumerate();
            let found = found.filter(|(_, w)| *w == text.as_bytes());
            let found: Vec<usize> = found.map(|(at, _)| at).collect();
            hit += found.len();
            for at in found {
                bytes[at] ^= 0x40;
            }
            home.write(&name, &bytes);
        }
        assert!(hit > 0 || ending == ".seg", "{text} stands in no pack");
    }
}

fn lost_of<'s>(salvaged: &'s Salvaged, id: &str) -> &'s SalvagedSession {
    let found = salvaged.report.sessions.iter().find(|s| s.id == id);
    found.expect("is in the report")
}

/// 1. A session is compacted into a pack.
/// 2. It is deleted, or cut.
/// 3. The pack rots, where it was.
///
/// The index lists what is gone, and nobody misses it.
#[test]
fn what_was_erased_is_not_lost_when_the_pack_that_held_it_rots() {
    let home = Home::new();
    let journal = home.open();
    let gone = journal.session("gone").expect("opens");
    let cut = journal.session("cut").expect("opens");
    cut.append("note", "stays").expect("is kept");
    let from = cut.info().expect("counts").records + 1;
    gone.append("note", "went with its session")
        .expect("is kept");
    cut.append("note", "QXJKZ 0417").expect("is kept");
    journal.compact().expect("compacts");
    gone.delete().expect("deletes");
    cut.truncate_from(Seq::new(from as u32)).expect("drops");
    fill(&journal, "later", 1, 3);
    drop((gone, cut, journal));
    for text in ["went with its session", "QXJKZ 0417"] {
        rot(&home, text);
    }
    let salvaged = rescue(&home);
    let report = &salvaged.report;
    assert_eq!(
        (&*report.lost, &*report.uncertain),
        (&[][..], &[][..]),
        "{report}"
    );
    assert_eq!(lost_of(&salvaged, "cut").lost, []);
    assert!(!report.sessions.iter().any(|s| s.id == "gone"));
}

/// Without a snapshot nothing tells whether a compaction dropped a record that is not there; but
/// the pack's own index does.
#[test]
fn without_a_snapshot_the_index_of_a_pack_says_what_is_lost() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    for text in ["first", "the one that rots", "third"] {
        session.append("note", text).expect("is kept");
    }
    journal.compact().expect("compacts");
    session.append("note", "behind").expect("is kept");
    drop((session, journal));
    let all = everything(&home);
    without_catalog(&home);
    rot(&home, "the one that rots");
    let salvaged = rescue(&home);
    let is = |e: &&Entry| e.content == b"the one that rots";
    let rotten = all.iter().find(is).expect("was there");
    assert!(
        salvaged.lost().contains(&rotten.lsn.get()),
        "{}",
        salvaged.report
    );
    let warned = salvaged
        .report
        .findings
        .iter()
        .any(|f| f.code == "no_state");
    assert!(warned, "{}", salvaged.report);
    let of = lost_of(&salvaged, "s");
    let is_in = |ranges: &[SeqRange]| {
        let mut ranges = ranges.iter();
        ranges.any(|r| r.from <= rotten.seq && rotten.seq < r.to)
    };
    assert!(
        is_in(&of.lost) && !is_in(&of.uncertain),
        "{}",
        salvaged.report
    );
}

/// Neither a manifest nor a pack: no compaction ever dropped anything, so the first record that
/// is not there is lost as certainly as any other.
#[test]
fn without_a_manifest_and_without_packs_nothing_was_dropped() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    for i in 0..6 {
        session
            .append("note", format!("record {i}"))
            .expect("is kept");
    }
    drop((session, journal));
    let all = everything(&home);
    without_catalog(&home);
    let name = home.logged()[0].clone();
    let mut bytes = home.read(&name);
    bytes[4096..8192].fill(0);
    home.write(&name, &bytes);
    let salvaged = rescue(&home);
    assert!(!salvaged.lost().is_empty(), "{}", salvaged.report);
    assert_eq!(salvaged.lost()[0], all[0].lsn.get());
    assert_eq!(salvaged.report.uncertain, [], "{}", salvaged.report);
    let sessions = &salvaged.report.sessions;
    assert!(
        sessions.iter().any(|s| !s.lost.is_empty()),
        "{}",
        salvaged.report
    );
    assert!(
        sessions.iter().all(|s| s.uncertain.is_empty()),
        "{}",
        salvaged.report
    );
    assert_kept(&all, &salvaged);
}

/// A pack without an index, and no manifest: what is missing before the log begins may have been
/// dropped. From where the log begins on, nothing was.
#[test]
fn with_a_pack_that_has_no_index_what_is_missing_below_the_log_is_uncertain() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 40);
    journal.compact().expect("compacts");
    fill(&journal, "b", 2, 6);
    journal.compact().expect("compacts");
    fill(&journal, "c", 2, 6);
    drop(journal);
    let all = everything(&home);
    without_catalog(&home);
    remove(&home, |name| name.starts_with("spare"));
    let packs = home.names(".pack");
    for name in &packs {
        // The footer, and a good part of the blocks.
        let bytes = home.read(name);
        home.flip(name, bytes.len() - 20);
        home.flip(name, 200);
    }
    let logged = home.logged();
    let held = crate::recovery::verify::verify_segment(home.path.join(&logged[0]));
    let held = held.expect("verifies");
    // A record in the middle of the log, beyond the first.
    let behind = all.iter().find(|e| e.lsn > held.first_lsn.next());
    let behind = behind.expect("several").lsn;
    let name = &logged[0];
    let bytes = home.read(name);
    let group = (4096..bytes.len()).step_by(4096).find(|at| {
        let first = u64::from_le_bytes(bytes[at + 16..at + 24].try_into().expect("8 bytes"));
        bytes[*at..at + 3] == *b"TKG" && bytes[at + 36] != 0 && first == behind.get()
    });
    let mut wiped = bytes.clone();
    let group = group.expect("is there");
    wiped[group..group + 4096].fill(0);
    home.write(name, &wiped);
    let salvaged = rescue(&home);
    let report = &salvaged.report;
    assert_eq!(salvaged.lost(), [behind.get()], "{report}");
    assert!(!report.uncertain.is_empty(), "{report}");
    assert!(
        report.uncertain.iter().all(|r| r.to <= held.first_lsn),
        "{report}"
    );
}

/// What a host calls its own sessions is its own affair.
#[test]
fn a_session_that_is_called_as_if_it_had_been_lost_was_not_renamed() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("lost+found/session-1").expect("opens");
    session.append("note", "one").expect("is kept");
    drop((session, journal));
    let salvaged = rescue(&home);
    let of = lost_of(&salvaged, "lost+found/session-1");
    assert!(!of.is_renamed);
    assert_eq!(salvaged.report.findings, []);
    assert!(salvaged.report.is_complete(), "{}", salvaged.report);
}

/// A compaction sets a segment aside, to be used again, and it is the only copy left of what the
/// packs held. Its header is broken: the number in its name says which life it had.
#[test]
fn a_segment_that_was_set_aside_is_read_without_its_header() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 60);
    let first = home.logged()[0].clone();
    let aside = (format!("spare-{first}"), home.read(&first));
    for round in 0..3 {
        fill(&journal, &format!("b{round}"), 2, 10);
        journal.compact().expect("compacts");
    }
    drop(journal);
    let all = everything(&home);
    assert!(
        !home.names("").contains(&first),
        "it is not needed any more"
    );
    remove(&home, |name| name.ends_with(".pack"));
    let without = rescue(&home).entries.len();
    home.write(&aside.0, &aside.1);
    let with = rescue(&home).entries.len();
    assert!(with > without, "it holds some that nothing else does");
    home.flip(&aside.0, 20);
    let salvaged = rescue(&home);
    assert_eq!(salvaged.entries.len(), with);
    assert!(salvaged.entries.iter().all(|entry| all.contains(entry)));
}
