//! Whatever is damaged: the rest is kept, nothing is invented, and the result opens.

mod dropped;
mod gathered;
mod invented;
pub(super) mod made;
mod misplaced;
mod told;
mod whose;

use super::*;
use crate::format::checksum::payload_checksum;
use crate::format::frame::BODY_VERSION;
use crate::format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader};
use crate::format::ids::{Epoch, Seq};
use crate::format::segment::SegmentHeader;
use crate::journal::batch::Batch;
use crate::journal::entry::Entry;
use crate::journal::handle::Journal;
use crate::journal::shared::Durability;
use crate::journal::turn::Input;
use crate::model::event::{self, Envelope, encode_payload};
use crate::recovery::reader::Reader;
use crate::recovery::testing::{Home, files, fill, small};
use crate::recovery::verify::verify;
use std::path::PathBuf;

/// A salvaged journal.
struct Salvaged {
    _dir: tempfile::TempDir,
    path: PathBuf,
    report: SalvageReport,
    entries: Vec<Entry>,
}

/// Salvages, and checks what must hold whatever was damaged.
fn rescue(home: &Home) -> Salvaged {
    let before = home.files();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("salvaged");
    let report = salvage(&home.path, &path).expect("salvages");
    assert!(before == home.files(), "salvaging changed the journal");
    let verified = verify(&path).expect("verifies");
    assert!(verified.is_sound(), "{report}\n{verified}");
    assert_eq!(verified.findings, [], "{report}");
    let reader = Reader::open(&path).expect("opens for reading");
    let log = reader.read(Lsn::new(1)).expect("reads");
    let mut entries: Vec<Entry> = log.map(|e| e.expect("a record")).collect();
    let note = entries.pop().expect("the note of the salvage");
    assert_eq!(
        (note.name.as_str(), note.session),
        ("salvaged", SessionNo::new(0))
    );
    assert!(note.content.starts_with(b"{\"kind\":\"salvage\""));
    assert!(note.at_ms > 0, "it says when");
    assert_eq!(entries.len() as u64, report.records_kept);
    let in_sessions: usize = reader
        .sessions()
        .expect("lists")
        .iter()
        .map(|info| {
            let session = reader.session(&info.id).expect("is there");
            let read = session.read(..).expect("reads");
            let count = read.filter(|entry| entry.is_ok()).count();
            assert_eq!(count as u64, {
                let of = report.sessions.iter().find(|s| s.id == info.id);
                of.expect("is in the report").kept
            });
            count
        })
        .sum();
    assert_eq!(in_sessions, entries.len());
    Salvaged {
        _dir: dir,
        path,
        report,
        entries,
    }
}

impl Salvaged {
    /// Opens it for writing, which must find nothing to do.
    fn open(&self) -> Journal {
        let (journal, recovery) = small().open(&self.path).expect("opens");
        assert!(recovery.clean, "{recovery}");
        journal
    }

    fn lost(&self) -> Vec<u64> {
        let ranges = self.report.lost.iter();
        ranges.flat_map(|r| r.from.get()..r.to.get()).collect()
    }
}

fn everything(home: &Home) -> Vec<Entry> {
    let reader = Reader::open(&home.path).expect("opens for reading");
    let log = reader.read(Lsn::new(1)).expect("reads");
    log.map(|e| e.expect("a record")).collect()
}

/// The kept records are those of `all` that are not lost, unchanged.
fn assert_kept(all: &[Entry], salvaged: &Salvaged) {
    let lost = salvaged.lost();
    let expected: Vec<&Entry> = all
        .iter()
        .filter(|e| !lost.contains(&e.lsn.get()))
        .collect();
    assert_eq!(
        expected.len(),
        salvaged.entries.len(),
        "{}",
        salvaged.report
    );
    for (expected, found) in expected.into_iter().zip(&salvaged.entries) {
        assert_eq!(expected, found);
    }
    whose::assert_named(all, salvaged);
}

/// A journal with several packs and snapshots, and a log behind them.
fn compacted(home: &Home) {
    let journal = home.open();
    for round in 0..3 {
        fill(&journal, &format!("r{round}"), 3, 40);
        journal.compact().expect("compacts");
    }
    fill(&journal, "tail", 3, 20);
}

#[test]
fn an_undamaged_journal_is_kept_whole_and_goes_on() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 3, 60);
    journal.compact().expect("compacts");
    let session = journal.session("turns").expect("opens");
    session.put("todo", "1. read").expect("is kept");
    let turn = session
        .begin(Input::user("hello").key("k1"))
        .expect("begins");
    turn.event("tool", "x")
        .expect("goes in")
        .wait()
        .expect("syncs");
    let (open, sessions) = (
        journal.open_turns().expect("lists"),
        journal.sessions().expect("lists"),
    );
    drop((turn, session, journal));
    let all = everything(&home);
    let salvaged = rescue(&home);
    assert!(salvaged.report.is_complete(), "{}", salvaged.report);
    assert_ne!(salvaged.report.journal, salvaged.report.new_journal);
    assert_kept(&all, &salvaged);
    let journal = salvaged.open();
    assert_eq!(journal.sessions().expect("lists"), sessions);
    let mut still_open = journal.open_turns().expect("lists");
    assert!(still_open.iter().all(|turn| turn.from_earlier_writer));
    still_open
        .iter_mut()
        .for_each(|turn| turn.from_earlier_writer = false);
    assert_eq!(still_open, open);
    let session = journal.find("turns").expect("is there");
    assert_eq!(
        session.get("todo").expect("reads").as_deref(),
        Some(&b"1. read"[..])
    );
    let again = session
        .begin(Input::user("hello").key("k1"))
        .expect("is found");
    assert!(!again.is_new());
    again.complete("done").expect("ends");
    let lsn = session.append("note", "goes on").expect("is kept");
    assert!(lsn > salvaged.report.next_lsn);
    journal.compact().expect("compacts");
    journal.close().expect("closes");
    assert!(verify(&salvaged.path).expect("verifies").is_sound());
}

#[test]
fn a_flipped_bit_of_a_group_costs_at_most_the_record_it_hits() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 60);
    drop(journal);
    let (good, all) = (home.files(), everything(&home));
    for name in home.logged() {
        let groups = (4096..good[&name].len())
            .step_by(4096)
            .filter(|at| good[&name][*at..at + 3] == *b"TKG");
        for (n, group) in groups.enumerate() {
            // The header of the group, of its first frame, the payload.
            let (offset, costs) = [(5, 0), (22, 0), (75, 1), (60, 0), (106, 1)][n % 5];
            let bytes = &good[&name];
            let holds_frames = bytes[group + 36] != 0;
            home.flip(&name, group + offset);
            let salvaged = rescue(&home);
            let costs = if holds_frames { costs } else { 0 };
            assert_eq!(
                salvaged.lost().len(),
                costs,
                "{name} {group}: {}",
                salvaged.report
            );
            assert_kept(&all, &salvaged);
            if costs > 0 {
                assert!(!salvaged.report.quarantined.is_empty());
                let lsn = Lsn::new(u64::from_le_bytes(
                    bytes[group + 72..group + 80].try_into().expect("8 bytes"),
                ));
                assert_eq!(salvaged.lost(), [lsn.get()]);
                let entry = all.iter().find(|e| e.lsn == lsn).expect("was there");
                let of = salvaged
                    .report
                    .sessions
                    .iter()
                    .find(|s| s.no == entry.session);
                let lost = &of.expect("is in the report").lost;
                // What nothing follows, and whose header is damaged, may be of any session.
                let follows = all
                    .iter()
                    .any(|e| e.session == entry.session && e.lsn > lsn);
                let is_known = follows || offset == 106;
                assert_eq!(lost.len(), usize::from(is_known), "{}", salvaged.report);
            }
            home.write(&name, &good[&name]);
        }
    }
}

#[test]
fn of_a_broken_batch_the_records_that_validate_are_kept() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    let batch = (0..10).fold(Batch::new(), |batch, i| {
        batch.event(&session, "event", format!("record {i}"))
    });
    journal.append_all(&batch).expect("is kept");
    session.append("event", "behind").expect("is kept");
    drop((session, journal));
    let all = everything(&home);
    let name = home.logged()[0].clone();
    let bytes = home.read(&name);
    let at = bytes
        .windows(8)
        .position(|w| w == b"record 4")
        .expect("is there");
    home.flip(&name, at);
    let salvaged = rescue(&home);
    let lost = all
        .iter()
        .find(|e| e.content == b"record 4")
        .expect("was there");
    assert_eq!(salvaged.lost(), [lost.lsn.get()]);
    assert_kept(&all, &salvaged);
}

#[test]
fn a_missing_segment_costs_its_records_and_no_others() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 3, 60);
    drop(journal);
    let all = everything(&home);
    let segments = home.logged();
    let missing = &segments[2];
    let held = crate::recovery::verify::verify_segment(home.path.join(missing)).expect("verifies");
    home.remove(missing);
    let salvaged = rescue(&home);
    assert_eq!(
        salvaged.lost(),
        (held.first_lsn.get()..held.end_lsn.get()).collect::<Vec<u64>>()
    );
    assert_kept(&all, &salvaged);
    drop(salvaged.open());
}

#[test]
fn without_headers_nothing_is_lost() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 60);
    drop(journal);
    let all = everything(&home);
    for name in home.names(".seg") {
        home.flip(&name, 20);
    }
    let salvaged = rescue(&home);
    assert!(salvaged.report.is_complete(), "{}", salvaged.report);
    assert_kept(&all, &salvaged);
}

#[test]
fn without_a_manifest_a_page_or_a_state_nothing_is_lost() {
    let home = Home::new();
    compacted(&home);
    let (good, all) = (home.files(), everything(&home));
    let manifests = || {
        home.names("")
            .into_iter()
            .filter(|n| n.starts_with("manifest"))
    };
    for name in manifests() {
        home.flip(&name, 100);
    }
    let salvaged = rescue(&home);
    assert!(salvaged.report.is_complete(), "{}", salvaged.report);
    assert_kept(&all, &salvaged);
    for name in manifests() {
        home.remove(&name);
    }
    home.write("WATERMARK", &[0xFF; 4096]);
    let salvaged = rescue(&home);
    assert!(salvaged.report.is_complete(), "{}", salvaged.report);
    assert_kept(&all, &salvaged);
    for name in home.names(".state") {
        home.flip(&name, 200);
    }
    let salvaged = rescue(&home);
    assert_kept(&all, &salvaged);
    for (name, bytes) in &good {
        home.write(name, bytes);
    }
    for name in home.names(".state") {
        home.write(&name, &good[&name][..good[&name].len() / 2]);
    }
    let salvaged = rescue(&home);
    assert_kept(&all, &salvaged);
    assert!(!salvaged.report.findings.is_empty());
}

#[test]
fn a_damaged_pack_costs_at_most_the_damaged_block() {
    let home = Home::new();
    compacted(&home);
    // Without the older path, the packs are all there is.
    let journal = home.open();
    fill(&journal, "more", 3, 20);
    journal.compact().expect("compacts");
    fill(&journal, "end", 3, 5);
    journal.compact().expect("compacts");
    drop(journal);
    let (good, all) = (home.files(), everything(&home));
    let mut hit = 0;
    for name in home.names(".pack") {
        let len = good[&name].len();
        for offset in (0..len).step_by(len / 23 + 1) {
            home.flip(&name, offset);
            let salvaged = rescue(&home);
            let lost = salvaged.lost();
            hit += usize::from(!lost.is_empty());
            let kept: Vec<u64> = salvaged.entries.iter().map(|e| e.lsn.get()).collect();
            for entry in &all {
                let lsn = entry.lsn.get();
                assert!(
                    kept.contains(&lsn) || lost.contains(&lsn),
                    "{name} {offset}: {lsn}"
                );
            }
            assert_kept(&all, &salvaged);
            assert!(
                salvaged
                    .report
                    .findings
                    .iter()
                    .any(|f| f.file.as_deref() == Some(&name))
            );
            home.write(&name, &good[&name]);
        }
    }
    assert!(hit > 5, "some blocks were hit");
}

#[test]
fn sessions_whose_creation_is_lost_are_found_under_another_name() {
    let home = Home::new();
    let journal = home.open();
    for name in ["first", "lost-creation", "third"] {
        let session = journal.session(name).expect("opens");
        session
            .append("event", format!("of {name}"))
            .expect("is kept");
    }
    drop(journal);
    let name = home.logged()[0].clone();
    let at = home
        .read(&name)
        .windows(13)
        .position(|w| w == b"lost-creation");
    home.flip(&name, at.expect("is there"));
    let salvaged = rescue(&home);
    assert_eq!(salvaged.lost().len(), 1);
    let journal = salvaged.open();
    assert!(journal.find("lost-creation").is_err());
    let found = journal.find("lost+found/session-2").expect("is there");
    assert_eq!(
        found.last(1).expect("reads")[0].content,
        b"of lost-creation"
    );
    let renamed: Vec<&str> = salvaged
        .report
        .sessions
        .iter()
        .filter(|s| s.is_renamed)
        .map(|s| &*s.id)
        .collect();
    assert_eq!(renamed, ["lost+found/session-2"]);
    for name in ["first", "third"] {
        let session = journal.find(name).expect("is there");
        assert_eq!(session.read(..).expect("reads").count(), 2);
    }
    // The name is free, and the numbers go on.
    assert_eq!(
        journal.session("lost-creation").expect("opens").no().get(),
        4
    );
}

#[test]
fn values_and_turns_whose_record_is_lost_are_forgotten() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    session.put("todo", "value-that-is-lost").expect("is kept");
    session.put("kept", "value").expect("is kept");
    session
        .begin(Input::user("input-that-is-lost"))
        .expect("begins");
    session.append("event", "x").expect("is kept");
    journal.checkpoint().expect("is kept");
    session.append("event", "behind").expect("is kept");
    drop((session, journal));
    let name = home.logged()[0].clone();
    for lost in [&b"value-that-is-lost"[..], b"input-that-is-lost"] {
        let at = home.read(&name).windows(lost.len()).position(|w| w == lost);
        home.flip(&name, at.expect("is there"));
    }
    let salvaged = rescue(&home);
    assert_eq!(salvaged.lost().len(), 2, "{}", salvaged.report);
    let journal = salvaged.open();
    let session = journal.find("s").expect("is there");
    assert_eq!(session.keys().expect("reads"), ["kept"]);
    assert!(journal.open_turns().expect("lists").is_empty());
}

#[test]
fn targets_that_would_hurt_are_refused() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 3);
    drop(journal);
    let code = |from: &Path, into: &Path| salvage(from, into).expect_err("is refused").code();
    let inside = home.path.join("salvaged");
    assert_eq!(code(&home.path, &inside), "invalid");
    assert!(!inside.exists());
    assert_eq!(code(&home.path, &home.path), "invalid");
    let elsewhere = tempfile::tempdir().expect("a directory");
    let into = elsewhere.path().join("into");
    assert_eq!(code(&elsewhere.path().join("nothing"), &into), "not_found");
    std::fs::write(elsewhere.path().join("notes.txt"), "x").expect("is written");
    assert_eq!(code(elsewhere.path(), &into.join("x")), "not_a_journal");
    assert_eq!(code(&home.path, elsewhere.path()), "invalid");
    assert!(!into.exists());
    std::fs::create_dir(&into).expect("is made");
    assert!(salvage(&home.path, &into).expect("salvages").is_complete());
}

/// 1. A compaction merges packs, and drops what was superseded in them.
/// 2. The process dies before it removed the old ones.
/// 3. An old one rots: nothing is lost by that.
#[test]
fn a_leftover_pack_that_is_damaged_costs_nothing() {
    let home = Home::new();
    let open = || small().max_packs(2).open(&home.path).expect("opens").0;
    let journal = open();
    fill(&journal, "a", 2, 20);
    let session = journal.session("turns").expect("opens");
    let turn = session.begin(Input::user("hello")).expect("begins");
    for i in 0..20 {
        let ticket = turn
            .progress("piece", format!("piece {i}"))
            .expect("goes in");
        ticket.wait().expect("syncs");
    }
    journal.compact().expect("compacts");
    let old = home.names(".pack")[0].clone();
    let mut bytes = home.read(&old);
    turn.complete("done").expect("ends");
    for round in 0..4 {
        fill(&journal, &format!("b{round}"), 2, 20);
        journal.compact().expect("compacts");
    }
    drop((turn, session, journal));
    assert!(!home.names(".pack").contains(&old), "it was merged");
    let all = everything(&home);
    assert!(
        !all.iter().any(|e| e.name == "piece"),
        "progress was dropped"
    );
    bytes[200] ^= 1;
    home.write(&old, &bytes);
    let salvaged = rescue(&home);
    assert!(salvaged.report.is_complete(), "{}", salvaged.report);
    assert_kept(&all, &salvaged);
}
