//! What a salvage tells: from where and into which journal, how far it has come, and why it
//! refuses.

use super::*;
use crate::storage::sim::{OpKind, SimDisk};
use std::io::ErrorKind;

#[test]
fn a_report_names_both_journals_and_both_directories() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 1, 3);
    let id = journal.stat().expect("counts").journal;
    drop(journal);
    let salvaged = rescue(&home);
    assert_eq!(salvaged.report.from, home.path);
    assert_eq!(salvaged.report.into, salvaged.path);
    assert_eq!(salvaged.report.journal, id);
    let reader = Reader::open(&salvaged.path).expect("opens");
    let new = reader.stat().expect("counts").journal;
    assert_eq!(salvaged.report.new_journal, new);
}

#[test]
fn progress_goes_over_what_is_read_and_then_over_what_is_written() {
    let home = Home::new();
    compacted(&home);
    let files = home.files();
    let sizes = |ending: &str| {
        let of = files.iter().filter(|(name, _)| name.ends_with(ending));
        of.map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
    };
    let dir = tempfile::tempdir().expect("a directory");
    let (mut read, mut written) = (Vec::new(), Vec::new());
    let report = salvage_on(
        Arc::new(DiskStorage),
        &home.path,
        dir.path().join("salvaged"),
        &mut |p| match p.file {
            "salvaged records" => written.push((p.done_bytes, p.total_bytes)),
            _ => read.push((p.done_bytes, p.total_bytes)),
        },
    );
    let report = report.expect("salvages");
    for (steps, total) in [
        (&read, sizes(".seg") + sizes(".pack")),
        (&written, report.bytes_kept),
    ] {
        assert!(steps.len() > 3 && total > 0);
        assert!(steps.is_sorted());
        assert!(
            steps.iter().all(|step| step.1 == total),
            "{total}: {steps:?}"
        );
        assert_eq!(steps.last(), Some(&(total, total)));
    }
}

#[test]
fn what_was_erased_and_not_yet_compacted_is_counted() {
    let home = Home::new();
    let journal = home.open();
    fill(&journal, "a", 2, 5);
    let gone = journal.session("gone").expect("opens");
    gone.append("note", "one").expect("is kept");
    gone.append("note", "two").expect("is kept");
    gone.delete().expect("deletes");
    let durable = journal.durable_lsn();
    drop((gone, journal));
    let report = rescue(&home).report;
    assert!(report.records_erased >= 2, "{report}");
    assert_eq!(
        report.records_kept + report.records_erased,
        durable.get() - 1
    );
}

#[test]
fn packs_without_headers_cost_nothing() {
    let home = Home::new();
    compacted(&home);
    let all = everything(&home);
    for name in home.names(".pack") {
        home.flip(&name, 20);
    }
    let salvaged = rescue(&home);
    assert_kept(&all, &salvaged);
}

/// The block of the last group rots. If the page says that it was durable, that is damage, and the bytes are
/// put aside; if nothing does, it is the torn end of the log, of which there is nothing to say.
#[test]
fn a_damaged_end_is_told_if_something_is_missing_there() {
    for is_proven in [true, false] {
        let home = Home::new();
        let journal = home.open();
        let session = journal.session("s").expect("opens");
        session.append("event", "durable").expect("is kept");
        let mark = home.read("WATERMARK");
        session.append("event", "the last one").expect("is kept");
        drop((session, journal));
        if !is_proven {
            home.write("WATERMARK", &mark);
        }
        let name = home.logged()[0].clone();
        let mut bytes = home.read(&name);
        let at = bytes
            .windows(8)
            .position(|w| w == b"the last")
            .expect("is there");
        let block = at / 4096 * 4096;
        bytes[block..block + 4096].fill(0xAA);
        home.write(&name, &bytes);
        let report = rescue(&home).report;
        let damage = report
            .findings
            .iter()
            .filter(|f| f.severity == Severity::Damage);
        assert_eq!(damage.count() > 0, is_proven, "{report}");
        assert_eq!(!report.quarantined.is_empty(), is_proven, "{report}");
        assert_eq!(!report.lost.is_empty(), is_proven, "{report}");
    }
}

#[test]
fn what_the_system_refuses_is_not_called_something_else() {
    let disk = SimDisk::new(7);
    let storage = || Arc::new(disk.clone());
    let (journal, _) = small()
        .storage(storage())
        .open("/a.journal")
        .expect("opens");
    fill(&journal, "a", 1, 3);
    drop(journal);
    disk.kill();
    let salvage = || salvage_on(Arc::new(disk.clone()), "/a.journal", "/into", &mut |_| ());
    // Listing the journal, the target, and making that: everything before anything is read.
    for (kind, nth) in [(OpKind::List, 1), (OpKind::CreateDir, 1)] {
        disk.fail_nth(kind, nth, ErrorKind::PermissionDenied, false);
        let refused = salvage().expect_err("is refused");
        disk.clear_faults();
        assert_eq!(refused.code(), "io", "{kind:?} {nth}: {refused}");
    }
    let mut refused = Vec::new();
    for nth in 1..4 {
        disk.fail_nth(OpKind::List, nth, ErrorKind::PermissionDenied, false);
        refused.extend(salvage().err().map(|error| error.code()));
        disk.clear_faults();
    }
    assert!(
        refused.len() > 1 && refused.iter().all(|code| *code != "invalid"),
        "{refused:?}"
    );
    assert!(salvage().expect("salvages").is_complete());
    disk.fail_nth(OpKind::CreateDir, 1, ErrorKind::PermissionDenied, false);
    let refused = salvage_on(Arc::new(disk.clone()), "/a.journal", "/again", &mut |_| ());
    disk.clear_faults();
    let refused = refused.expect_err("is refused").to_string();
    assert!(
        refused.contains("create") && refused.contains("/again"),
        "{refused}"
    );

    let dir = tempfile::tempdir().expect("a directory");
    let (file, empty) = (dir.path().join("file"), dir.path().join("empty"));
    std::fs::write(&file, "x").expect("is written");
    std::fs::create_dir(&empty).expect("is made");
    let into = dir.path().join("into");
    let said = |from: &Path| {
        super::salvage(from, &into)
            .expect_err("is refused")
            .to_string()
    };
    assert!(
        said(&file).contains("it is a file, not a directory"),
        "{}",
        said(&file)
    );
    assert_eq!(
        super::salvage(&empty, &into)
            .expect_err("is refused")
            .code(),
        "not_found"
    );
    assert!(!into.exists());
}
