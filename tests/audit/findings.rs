//! What is found, and that looking changes nothing.

use super::{Home, codes, flip, set_mode};
use std::sync::Arc;
use std::time::Duration;
use turnkeep::audit::{Category, Code};
use turnkeep::model::Severity;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Error, Input, Seq};

#[test]
fn a_journal_that_was_closed_has_nothing_to_be_told() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    let turn = session.begin(Input::user("hello")).expect("begins");
    turn.complete("done").expect("ends");
    journal.close().expect("closes");
    let report = home.report();
    assert_eq!((codes(&report), report.worst), (vec![], None));
    assert!(report.is_clean() && report.is_readable && report.is_verified);
    assert!(report.writer_is_gone, "it said so");
    assert_eq!(
        (report.sessions, report.turns, report.open_turns),
        (1, 1, 0)
    );
    let quick = home.audit().verify(false).run(&home.path).expect("audits");
    assert_eq!(codes(&quick), []);
    assert_eq!(quick.bytes, report.bytes);
}

/// Hermes marked turns of a living worker as interrupted, and then dropped its answer: whether a
/// worker lives was guessed from a registry. Here a reader says that it cannot know.
#[test]
fn beside_a_writer_open_turns_are_only_noted_and_nothing_is_touched() {
    let home = Home::new();
    let journal = home.open();
    let session = journal.session("s").expect("opens");
    let mut turn = session
        .begin(Input::user("hello"))
        .expect("begins")
        .owner("w1");
    turn.started().expect("starts");
    turn.call("c1", "shell", "{}")
        .expect("calls")
        .wait()
        .expect("is durable");
    let before = home.files();
    let report = home.report();
    assert_eq!(codes(&report), [Code::LogNotClosed, Code::TurnOpen]);
    assert!(report.is_clean() && !report.writer_is_gone);
    assert!(
        report.findings[1].what.contains("by w1"),
        "{}",
        report.findings[1]
    );
    assert!(home.files() == before, "looking changed a file");
    // It progresses or it does not, whoever lives.
    let stuck = home.audit().unfinished_after(Duration::ZERO);
    let report = stuck.run(&home.path).expect("audits");
    assert_eq!(report.findings[0].code, Code::TurnOverdue);
    assert_eq!(report.findings[0].turn, Some(turn.id()));
    assert!(report.oldest_unfinished_ms.is_some());
    turn.result("c1", "{}").expect("results");
    turn.complete("done")
        .expect("the writer goes on undisturbed");
}

#[test]
fn what_a_dead_host_left_is_told_by_its_cause() {
    let home = Home::new();
    home.die_after(|_, session| {
        session.begin(Input::user("never started")).expect("begins");
        let mut turn = session.begin(Input::user("cut short")).expect("begins");
        turn.started().expect("starts");
        turn.call("c1", "shell", "{}")
            .expect("calls")
            .wait()
            .expect("is durable");
    });
    let report = home.report();
    assert!(report.is_clean(), "nobody knows yet: {report}");
    let report = home.audit().stopped(true).run(&home.path).expect("audits");
    let told: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.code, finding.turn.map(Seq::get)))
        .collect();
    let expected = [
        (Code::TurnNeverStarted, Some(2)),
        (Code::TurnWriterGone, Some(3)),
        (Code::TurnOpenCalls, Some(3)),
        (Code::LogNotClosed, None),
    ];
    assert_eq!(told, expected);
    assert!(
        report
            .findings
            .iter()
            .take(3)
            .all(|f| f.session.as_deref() == Some("s"))
    );
    // As soon as somebody has opened it, epochs say the same to everybody.
    let journal = home.open();
    journal
        .session("other")
        .expect("opens")
        .append("note", "x")
        .expect("appends");
    let report = home.report();
    assert_eq!(report.counts[&Code::TurnWriterGone], 1);
    assert_eq!(report.counts[&Code::TurnNeverStarted], 1);
    assert_eq!(report.worst, Some(Severity::Warning));
}

/// claude-mem said "healthy" for 31 days with 23,744 inputs queued and none done.
#[test]
fn input_that_nobody_takes_or_survives_is_told() {
    let home = Home::new();
    let disk = SimDisk::new(7);
    let open = || {
        let options = home.options().storage(Arc::new(disk.clone()));
        options.open("/agents.journal").expect("opens").0
    };
    for _ in 0..2 {
        let journal = open();
        let session = journal.session("s").expect("opens");
        session
            .enqueue(Input::new("normal", "poison").key("k"))
            .expect("is queued");
        let claim = journal.claim("w1").expect("claims").expect("waits");
        disk.kill();
        drop(claim); // nothing is said any more
    }
    let journal = open();
    let session = journal.session("s").expect("opens");
    session
        .enqueue(Input::new("todo", "bad"))
        .expect("is queued");
    session
        .enqueue(Input::new("todo", "waits"))
        .expect("is queued");
    let claim = journal
        .claim_class("w2", "todo")
        .expect("claims")
        .expect("waits");
    claim.bury("cannot be understood").expect("is buried");
    session.end("gone").expect("ends");
    disk.kill();
    let audit = home.audit().storage(Arc::new(disk.clone())).stopped(true);
    let audit = audit.dead_letters(0).waiting_after(Duration::ZERO);
    let report = audit.run("/agents.journal").expect("audits");
    for code in [
        Code::QueueDeadLetter,
        Code::QueueManyDead,
        Code::QueueLostClaims,
        Code::QueueClaimLost,
        Code::QueueOverdue,
        Code::QueueSessionEnded,
    ] {
        assert!(report.counts.contains_key(&code), "{code}: {report}");
    }
    let lost = report
        .findings
        .iter()
        .find(|f| f.code == Code::QueueLostClaims);
    assert_eq!(lost.expect("is listed").input, Some(Seq::new(2)));
    assert_eq!((report.queued, report.dead_letters), (3, 1));
}

#[test]
fn a_full_queue_partial_answers_and_lost_parents_are_told() {
    let home = Home::new();
    home.die_after(|journal, session| {
        let mut turn = session.begin(Input::user("x")).expect("begins");
        turn.started().expect("starts");
        turn.progress("text", "half an ans").expect("is kept");
        turn.fail("overloaded", "").expect("ends");
        let parent = journal.session("parent").expect("opens");
        journal.child_session("child", &parent).expect("opens");
        parent.delete().expect("is deleted");
        let queue = journal.session("queue").expect("opens");
        let mut batch = turnkeep::Batch::new();
        for n in 0..7_400 {
            batch = batch.enqueue(&queue, Input::new("normal", n.to_string()));
        }
        journal.append_all(&batch).expect("is queued");
    });
    let report = home.report();
    for code in [
        Code::TurnPartialOutput,
        Code::SessionParentGone,
        Code::QueueNearFull,
    ] {
        assert_eq!(report.counts.get(&code), Some(&1), "{code}: {report}");
    }
}

#[test]
fn what_does_not_belong_in_the_directory_is_told_by_name() {
    let home = Home::new();
    home.die_after(|_, _| ());
    let folder = |name: &str| std::fs::create_dir(home.path.join(name)).expect("is made");
    let file = |name: &str| std::fs::write(home.path.join(name), b"x").expect("is written");
    file("holiday.jpg");
    file("00000000000000000099.pack.tmp");
    file("00000000000000000099.pack");
    folder("00000000000000000098.pack");
    folder("quarantine");
    folder("photos");
    std::os::unix::fs::symlink("/etc/passwd", home.path.join("link")).expect("links");
    set_mode(&home.path.join("LOCK"), 0o644);
    set_mode(&home.path, 0o755);
    for entry in std::fs::read_dir(&home.path).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_file() && !path.is_symlink() && !path.ends_with("LOCK") {
            set_mode(&path, 0o600);
        }
    }
    let before = home.files();
    for verify in [true, false] {
        let audit = home.audit().verify(verify).low_space_bytes(u64::MAX);
        let report = audit.run(&home.path).expect("audits");
        let mut told: Vec<_> = report
            .findings
            .iter()
            .filter(|f| f.code != Code::LogNotClosed)
            .map(|f| (f.code, f.file.as_deref().unwrap_or_default()))
            .collect();
        told.sort_unstable();
        let expected = [
            (Code::FileUnfinished, "00000000000000000099.pack.tmp"),
            (Code::FileUnreferenced, "00000000000000000099.pack"),
            (Code::FileForeign, "holiday.jpg"),
            (Code::FileForeign, "photos"),
            (Code::FileNotRegular, "00000000000000000098.pack"),
            (Code::FileSymlink, "link"),
            (Code::FilePermissions, "."),
            (Code::FilePermissions, "LOCK"),
            (Code::FileQuarantine, "quarantine"),
            (Code::DiskLowSpace, ""),
        ];
        assert_eq!(told, expected);
    }
    assert!(home.files() == before);
}

#[test]
fn damage_that_the_journal_survives_is_told_apart_from_damage_that_it_does_not() {
    let home = Home::new();
    for n in 0..3 {
        home.die_after(|journal, session| {
            for i in 0..40 {
                session
                    .append("note", format!("{n} {i} {}", "z".repeat(900)))
                    .expect("appends");
            }
            journal.checkpoint().expect("is taken");
        });
    }
    let sound = home.report();
    assert!(sound.is_clean(), "{sound}");

    // A snapshot is made again from the log; the watermark page, at the next opening.
    let (state, page) = (home.newest(".state"), home.path.join("WATERMARK"));
    let kept = (
        std::fs::read(&state).expect("reads"),
        std::fs::read(&page).expect("reads"),
    );
    flip(&state, 100);
    std::fs::write(&page, vec![0; 4096]).expect("is written");
    for verify in [true, false] {
        let report = home.audit().verify(verify).run(&home.path).expect("audits");
        let codes = codes(&report);
        assert!(codes.contains(&Code::SnapshotDamaged), "{report}");
        assert!(codes.contains(&Code::WatermarkUnreadable), "{report}");
        assert!(
            report.is_readable && report.worst == Some(Severity::Warning),
            "{report}"
        );
    }
    std::fs::remove_file(&state).expect("is removed");
    assert!(codes(&home.report()).contains(&Code::SnapshotDamaged));
    std::fs::write(&state, &kept.0).expect("is written");
    set_mode(&state, 0o600);
    std::fs::write(&page, &kept.1).expect("is written");
    assert_eq!(home.report().counts, sound.counts);

    // Records that were acknowledged are not made again from anything.
    let mut segments = home
        .files()
        .into_keys()
        .filter(|name| name.ends_with(".seg"));
    let segment = home.path.join(segments.next().expect("there is one"));
    let bytes = std::fs::read(&segment).expect("reads");
    flip(&segment, 4096 + 200);
    let report = home.report();
    assert_eq!(report.worst, Some(Severity::Damage), "{report}");
    let damaged = &report.findings[0];
    assert_eq!(
        (damaged.code, damaged.category),
        (Code::LogDamaged, Category::Manual)
    );
    assert!(damaged.offset == Some(4096), "{damaged}");
    std::fs::write(&segment, bytes).expect("is written");

    let manifest = home
        .files()
        .into_keys()
        .filter(|name| name.starts_with("manifest-"));
    let manifests: Vec<_> = manifest.map(|name| home.path.join(name)).collect();
    for path in &manifests {
        flip(path, 40);
    }
    let report = home.report();
    assert!(!report.is_readable);
    assert!(codes(&report).contains(&Code::ManifestLost), "{report}");
    let quick = home.audit().verify(false).run(&home.path).expect("audits");
    assert!(
        codes(&quick).contains(&Code::ManifestLost),
        "a quick look says no less"
    );
}

#[test]
fn a_torn_tail_and_packs_are_told() {
    let home = Home::new();
    home.die_after(|journal, session| {
        for i in 0..100 {
            session
                .append("note", format!("{i} {}", "z".repeat(900)))
                .expect("appends");
        }
        journal.compact().expect("compacts");
        session.append("note", "the last").expect("appends");
    });
    let reader = turnkeep::Reader::open(&home.path).expect("opens");
    let stat = reader.stat().expect("counts");
    assert_eq!(stat.files.packs.files, 1);
    flip(&home.newest(".pack"), 300);
    let report = home.report();
    assert!(codes(&report).contains(&Code::PackDamaged), "{report}");
    flip(&home.newest(".pack"), 300);
    // Half a group behind the end, as a crash leaves it.
    let mut torn = None;
    for (name, (bytes, _)) in home.files() {
        if name.ends_with(".seg") && bytes[4096..4100] != [0; 4] {
            let end = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .expect("is not empty");
            torn = Some((
                home.path.join(name),
                (end + 1).next_multiple_of(4096),
                bytes,
            ));
        }
    }
    let (path, at, mut bytes) = torn.expect("there is a log");
    bytes[at..at + 8].copy_from_slice(b"torn off");
    std::fs::write(path, bytes).expect("is written");
    let report = home.report();
    assert!(codes(&report).contains(&Code::LogTornTail), "{report}");
    assert_eq!(report.worst, Some(Severity::Warning));
}

#[test]
fn what_is_no_journal_is_an_error_and_not_a_finding() {
    let home = Home::new();
    let audit = |path: &std::path::Path| home.audit().run(path).map(|_| ());
    assert!(matches!(audit(&home.path), Err(Error::NotFound { .. })));
    std::fs::create_dir(&home.path).expect("is made");
    std::fs::write(home.path.join("holiday.jpg"), b"x").expect("is written");
    assert!(matches!(audit(&home.path), Err(Error::NotAJournal { .. })));
}
