//! What bad input gets: each its own error, with the path and what to do next; nothing lost,
//! nothing half-written.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Batch, Error, Input, Journal, Options, Seq};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn small() -> Options {
    Journal::options()
        .first_segment_bytes(64 << 10)
        .segment_bytes(64 << 10)
}

/// Every error names the path and says what to do next.
fn check(error: &Error, code: &str, path: Option<&Path>) {
    assert_eq!(error.code(), code, "{error}");
    assert!(!error.advice().is_empty());
    if let Some(path) = path {
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
}

fn refused<T>(result: Result<T, Error>) -> Error {
    result.map(|_| ()).expect_err("is refused")
}

#[test]
fn a_journal_that_is_held_is_refused_saying_who_holds_it() {
    let home = home();
    let path = home.path().join("j");
    let (journal, _) = small().open(&path).expect("opens");
    let error = refused(small().open(&path));
    check(&error, "locked", Some(&path));
    assert!(matches!(error, Error::Locked { pid: Some(pid), .. } if pid == std::process::id()));
    drop(journal);
    let _ = small().open(&path).expect("the claim went with the holder");
}

#[test]
fn a_file_that_is_no_journal_is_refused_and_not_touched() {
    let home = home();
    let file = home.path().join("notes.txt");
    fs::write(&file, "my notes").expect("writes");
    check(&refused(small().open(&file)), "not_a_journal", Some(&file));
    assert_eq!(fs::read(&file).expect("reads"), b"my notes");
    let error = refused(small().open(home.path()));
    check(&error, "not_a_journal", Some(home.path()));
    assert_eq!(
        fs::read_dir(home.path()).expect("lists").count(),
        1,
        "nothing was added"
    );
}

#[test]
fn an_empty_directory_becomes_a_journal_and_a_missing_one_only_if_asked() {
    let home = home();
    let path = home.path().join("j");
    check(
        &refused(small().create(false).open(&path)),
        "not_found",
        Some(&path),
    );
    assert!(!path.exists());
    fs::create_dir(&path).expect("makes");
    let (_journal, recovery) = small().open(&path).expect("opens");
    assert!(recovery.created);
    let deep = home.path().join("missing/j");
    check(&refused(small().open(&deep)), "io", Some(&deep));
}

#[test]
fn a_newer_format_is_refused_by_name_and_not_touched() {
    let home = home();
    let path = home.path().join("j");
    drop(small().open(&path).expect("opens"));
    let manifest = path.join("manifest-00000001");
    let mut bytes = fs::read(&manifest).expect("reads");
    bytes[8] = 9;
    // The checksum of the header as a later release would write it.
    let covered = [&bytes[..12], &bytes[16..64]].concat();
    let seed = turnkeep::format::checksum::HEADER_SEED;
    let check_value = turnkeep::format::checksum::checksum(seed, &covered);
    bytes[12..16].copy_from_slice(&check_value.to_le_bytes());
    fs::write(&manifest, &bytes).expect("writes");
    let error = refused(small().open(&path));
    check(&error, "newer_format", Some(&manifest));
    assert!(matches!(error, Error::NewerFormat { found: 9, .. }));
    assert_eq!(fs::read(&manifest).expect("reads"), bytes);
}

#[test]
fn a_record_over_the_limit_is_refused_and_nothing_of_it_stays() {
    let home = home();
    let (journal, _) = small()
        .max_record_bytes(4096)
        .open(home.path().join("j"))
        .expect("opens");
    let session = journal.session("s").expect("opens");
    let before = session.append("note", "fits").expect("is kept");
    let error = refused(session.append("note", vec![0; 5000]));
    check(&error, "too_large", None);
    assert!(matches!(error, Error::TooLarge { max: 4096, .. }));
    let big = vec![0; 4000];
    let batch = (0..6000).fold(Batch::new(), |batch, _| batch.event(&session, "note", &big));
    check(&refused(journal.append_all(&batch)), "too_large", None);
    let after = session.append("note", "fits").expect("is kept");
    assert_eq!(after.get(), before.get() + 1);
}

#[test]
fn unknown_and_deleted_sessions_are_told_apart() {
    let home = home();
    let (journal, _) = small().open(home.path().join("j")).expect("opens");
    check(&refused(journal.find("nobody")), "unknown_session", None);
    let session = journal.session("somebody").expect("opens");
    session.append("note", "hello").expect("is kept");
    session.delete().expect("is deleted");
    check(&refused(journal.find("somebody")), "session_deleted", None);
    check(
        &refused(session.append("note", "late")),
        "session_deleted",
        None,
    );
    check(&refused(session.info()), "session_deleted", None);
    let again = journal.session("somebody").expect("is another session");
    assert_ne!(again.no(), session.no());
    assert_eq!(
        again.read(..).expect("reads").count(),
        1,
        "only its own creation"
    );
}

#[test]
fn session_ids_are_opaque_and_never_become_paths() {
    let home = home();
    let path = home.path().join("j");
    let (journal, _) = small().open(&path).expect("opens");
    let ids = [
        "../../etc/passwd",
        ".",
        "..",
        "a/b",
        "nul\0byte",
        "\u{2028}",
        "C:\\x",
    ];
    for id in ids {
        journal
            .session(id)
            .expect("opens")
            .append("note", id)
            .expect("is kept");
    }
    check(&refused(journal.session("")), "invalid", None);
    check(
        &refused(journal.session(&"x".repeat(2000))),
        "invalid",
        None,
    );
    let mut found: Vec<_> = journal
        .sessions()
        .expect("lists")
        .into_iter()
        .map(|info| info.id)
        .collect();
    found.sort();
    let mut expected = ids.map(String::from);
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(fs::read_dir(home.path()).expect("lists").count(), 1);
}

#[test]
fn an_ended_turn_stays_ended_and_a_key_finds_its_turn() {
    let home = home();
    let (journal, _) = small().open(home.path().join("j")).expect("opens");
    let session = journal.session("s").expect("opens");
    let turn = session.begin(Input::user("hi").key("k1")).expect("begins");
    turn.complete("hello").expect("ends");
    check(&refused(turn.complete("again")), "turn_ended", None);
    check(&refused(turn.event("late", "x")), "turn_ended", None);
    let same = session
        .begin(Input::user("hi").key("k1"))
        .expect("is found");
    assert!(!same.is_new() && same.is_ended());
    assert_eq!(same.id(), turn.id());
    check(&refused(session.turn(Seq::new(999))), "unknown_turn", None);
    check(&refused(session.turn(turn.id())), "turn_ended", None);
    let mut first = session.begin(Input::user("again")).expect("begins");
    first.started().expect("starts");
    let mut second = session.turn(first.id()).expect("is open");
    second.retry().expect("starts again");
    check(
        &refused(first.complete("from the first run")),
        "fenced",
        None,
    );
    second.complete("from the second run").expect("ends");
}

#[test]
fn a_closed_journal_says_so() {
    let home = home();
    let (journal, _) = small().open(home.path().join("j")).expect("opens");
    let session = journal.session("s").expect("opens");
    session.append("note", "1").expect("is kept");
    journal.clone().close().expect("closes");
    check(&refused(session.append("note", "2")), "closed", None);
    check(&refused(journal.close()), "closed", None);
}

#[test]
fn a_full_disk_refuses_and_appends_go_on_when_there_is_space() {
    let disk = SimDisk::new(3);
    let (journal, _) = small()
        .background(false)
        .storage(Arc::new(disk.clone()))
        .open(Path::new("/j"))
        .expect("opens");
    let session = journal.session("s").expect("opens");
    session.append("note", "first").expect("is kept");
    disk.set_capacity(disk.used_bytes());
    let mut kept = 1;
    let error = loop {
        match session.append("note", vec![b'x'; 3000]) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 1000, "the disk never fills");
    };
    check(&error, "no_space", Some(Path::new("/j")));
    assert!(kept > 5, "what was prepared is used up first");
    assert_eq!(session.read(..).expect("reads").count(), kept + 1);
    disk.set_capacity(None);
    session.append("note", "after").expect("goes on");
    drop((session, journal));
    disk.kill();
    let (journal, _) = small()
        .background(false)
        .storage(Arc::new(disk.clone()))
        .open("/j")
        .expect("opens");
    let session = journal.find("s").expect("is there");
    assert_eq!(session.read(..).expect("reads").count(), kept + 2);
}

#[cfg(unix)]
#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    let path = home.path().join("j");
    let (journal, _) = small().open(&path).expect("opens");
    journal
        .session("s")
        .expect("opens")
        .append("note", "1")
        .expect("is kept");
    journal.close().expect("closes");
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).expect("lists") {
        let file = entry.expect("lists").path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
