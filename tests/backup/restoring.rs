//! Restoring: in the place of what is there, without what was deleted since, or not at all.

use super::*;
use turnkeep::storage::sim::CrashModel;
use turnkeep::{BackupKind, ErasedHow, Error, ListedBackup, Lsn, Recovery, Restore, verify_on};

fn restore(disk: &SimDisk, which: &Which) -> turnkeep::Restored {
    let restored = store(disk).restore(which, JOURNAL, &Restore::default());
    restored.expect("restores")
}

fn bring_back() -> Restore {
    let mut options = Restore::default();
    options.bring_back = true;
    options
}

fn dry_run() -> Restore {
    let mut options = Restore::default();
    options.dry_run = true;
    options
}

fn reopen(disk: &SimDisk) -> (Journal, Recovery) {
    options(disk).open(JOURNAL).expect("opens")
}

/// A journal with history in packs and in the log, backed up; then more, and closed.
fn backed_up(disk: &SimDisk) -> (turnkeep::Backup, Vec<String>) {
    let journal = open(disk);
    work_through(&journal, 0..6);
    journal.compact().expect("compacts");
    work_through(&journal, 6..9);
    let backup = journal.backup(STORE).expect("backs up");
    let then = dump(disk, JOURNAL);
    work_through(&journal, 9..12);
    journal
        .session("later")
        .expect("opens")
        .append("note", "x")
        .expect("appends");
    journal.close().expect("closes");
    (backup, then)
}

/// What `state.json` and its backups could not do: go back, and come back again.
#[test]
fn a_restored_journal_shows_what_the_backup_shows_and_what_was_there_is_kept() {
    let disk = SimDisk::new(1);
    let (backup, then) = backed_up(&disk);
    let there = dump(&disk, JOURNAL);
    let restored = restore(&disk, &number(&backup));
    assert_eq!(dump(&disk, JOURNAL), then);
    assert_eq!(restored.sessions_since, 1);
    assert!(restored.records_since > 10, "{restored}");
    let kept = restored.kept.expect("it is kept");
    assert_eq!(kept.kind, BackupKind::Consistent);
    assert_eq!(dump(&disk, store(&disk).path_of(kept.number)), there);

    let (journal, recovery) = reopen(&disk);
    assert!(recovery.clean, "{recovery}");
    work(&journal, 50);
    journal.compact().expect("compacts");
    work(&journal, 51);
    journal.close().expect("closes");
    let report = verify_on(storage(&disk), JOURNAL, &mut |_| ()).expect("verifies");
    assert!(report.is_sound(), "{report}");
    assert_eq!(report.findings, [], "nothing of the old journal is left");

    // And back: what was kept is a backup like any other.
    restore(&disk, &number(&kept));
    assert_eq!(dump(&disk, JOURNAL), there);
}

/// A worker of the journal that was lost holds a token and a position. Were their numbers given
/// out again, it could finish a turn of the restored one, and a follower would miss records.
#[test]
fn nothing_that_was_handed_out_is_handed_out_again() {
    let disk = SimDisk::new(2);
    let journal = open(&disk);
    work(&journal, 0);
    let session = journal.session("s").expect("opens");
    let mut turn = session.begin(Input::user("go")).expect("begins");
    turn.started().expect("starts");
    let id = turn.id();
    let old = turn.token().expect("is durable");
    let backup = journal.backup(STORE).expect("backs up");
    journal.close().expect("closes");
    for _ in 0..5 {
        let (journal, _) = reopen(&disk);
        work(&journal, 1);
        let mut turn = journal
            .find("s")
            .expect("is there")
            .turn(id)
            .expect("is open");
        turn.retry().expect("begins again");
        journal.close().expect("closes");
    }
    let last = options(&disk)
        .open_read_only(JOURNAL)
        .expect("reads")
        .durable_lsn();
    let before = options(&disk)
        .open_read_only(JOURNAL)
        .expect("reads")
        .stat();
    let restored = restore(&disk, &number(&backup));
    assert!(restored.next_lsn > last, "{} and {last}", restored.next_lsn);
    assert!(restored.epoch.get() > old.epoch.get() + 65_000);
    assert_ne!(restored.journal, Some(before.expect("counts").journal));
    let (journal, _) = reopen(&disk);
    let session = journal.find("s").expect("is there");
    let stale = session.turn(id).expect("is open").with_token(old);
    assert_eq!(code(stale.and_then(|turn| turn.complete("late"))), "fenced");
    let mut turn = session.turn(id).expect("is open");
    turn.retry().expect("goes on");
    turn.complete("done").expect("completes");
    assert!(journal.accepted_lsn() > last);
}

/// hermes brought deleted, cleared and truncated sessions back from `.bak` files, seven times over.
#[test]
fn what_was_deleted_cleared_or_truncated_since_stays_so() {
    let disk = SimDisk::new(3);
    let journal = open(&disk);
    work_through(&journal, 0..3);
    for id in ["deleted", "made anew", "cleared", "truncated", "as it was"] {
        let session = journal.session(id).expect("opens");
        (0..4).for_each(|n| drop(session.append("note", format!("{id} {n} secret"))));
    }
    // Dropped before the backup: nobody's business any more.
    let as_it_was = journal.find("as it was").expect("is there");
    as_it_was.truncate_from(Seq::new(5)).expect("truncates");
    let backup = journal.backup(STORE).expect("backs up");
    let find = |id: &str| journal.find(id).expect("is there");
    find("deleted").delete().expect("deletes");
    find("made anew").delete().expect("deletes");
    let anew = journal.session("made anew").expect("opens");
    anew.append("note", "another").expect("appends");
    find("cleared").clear().expect("clears");
    find("truncated")
        .truncate_from(Seq::new(3))
        .expect("truncates");
    find("truncated").append("note", "after").expect("appends");
    find("as it was").append("note", "more").expect("appends");
    let never = journal.session("never in the backup").expect("opens");
    never.append("note", "x").expect("appends");
    never.delete().expect("deletes");
    journal.close().expect("closes");

    let told = store(&disk)
        .restore(&number(&backup), JOURNAL, &dry_run())
        .expect("tells");
    let restored = restore(&disk, &number(&backup));
    assert_eq!(told.erased_again, restored.erased_again);
    let mut erased: Vec<_> = restored
        .erased_again
        .iter()
        .map(|e| (&*e.session, e.how))
        .collect();
    erased.sort_by_key(|(id, _)| *id);
    let expected = [
        ("cleared", ErasedHow::DroppedFrom(Seq::new(2))),
        ("deleted", ErasedHow::Deleted),
        ("made anew", ErasedHow::Deleted),
        ("truncated", ErasedHow::DroppedFrom(Seq::new(3))),
    ];
    assert_eq!(erased, expected);
    let there = dump(&disk, JOURNAL).join("\n");
    for gone in [
        "deleted 0",
        "made anew 0",
        "cleared 0",
        "truncated 1",
        "as it was 3",
    ] {
        assert!(!there.contains(gone), "{gone} came back:\n{there}");
        for (name, bytes) in files(&disk, JOURNAL) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            assert!(
                !text.contains(&format!("{gone} secret")),
                "{gone} is in {name}"
            );
        }
    }
    for kept in ["truncated 0", "as it was 2"] {
        assert!(there.contains(kept), "{kept} is gone:\n{there}");
    }
    // Nor does an import bring it back afterwards.
    let (journal, _) = reopen(&disk);
    for id in ["deleted", "made anew", "never in the backup"] {
        assert_eq!(code(journal.find(id)), "session_deleted", "{id}");
        assert_eq!(code(journal.create_session(id)), "session_deleted", "{id}");
    }
    // The generation goes on counting: who holds an older one notices.
    let generation = journal
        .find("cleared")
        .expect("is there")
        .info()
        .expect("tells")
        .generation;
    assert!(generation >= 1);
}

/// Sometimes the deletion was the mistake.
#[test]
fn what_was_deleted_comes_back_only_if_somebody_says_so() {
    let disk = SimDisk::new(4);
    let journal = open(&disk);
    work_through(&journal, 0..3);
    let then = dump(&disk, JOURNAL);
    let backup = journal.backup(STORE).expect("backs up");
    journal
        .find("work")
        .expect("is there")
        .delete()
        .expect("deletes");
    journal.close().expect("closes");
    let restored = store(&disk).restore(&number(&backup), JOURNAL, &bring_back());
    let restored = restored.expect("restores");
    assert_eq!(restored.brought_back.len(), 1, "{restored}");
    assert_eq!(dump(&disk, JOURNAL), then);
}

#[test]
fn a_dry_run_changes_no_byte_and_tells_what_a_restore_then_does() {
    let disk = SimDisk::new(5);
    let (backup, _) = backed_up(&disk);
    let before = disk.state_hash();
    let told = store(&disk)
        .restore(&number(&backup), JOURNAL, &dry_run())
        .expect("tells");
    assert_eq!(disk.state_hash(), before);
    assert!(told.dry_run && told.kept.is_none());
    let done = restore(&disk, &number(&backup));
    assert_eq!((told.sessions, told.epoch), (done.sessions, done.epoch));
    assert_eq!(told.records_since, done.records_since);
    assert_eq!(told.replaced, done.replaced);
}

/// Whatever rots in a backup: it is named, it is not restored, and a good one is.
#[test]
fn a_rotten_backup_is_never_restored_and_a_sound_one_is_named() {
    for ending in [
        ".pack",
        ".seg",
        ".state",
        "WATERMARK",
        "manifest-00000004",
        "BACKUP",
    ] {
        let disk = SimDisk::new(6);
        let (older, _) = backed_up(&disk);
        let (journal, _) = reopen(&disk);
        let newer = journal.backup(STORE).expect("backs up");
        journal.close().expect("closes");
        let path = store(&disk).path_of(newer.number);
        let ending = match ending.starts_with("manifest") {
            true => {
                let names = disk.list_files(&path).expect("lists");
                names
                    .into_iter()
                    .find(|name| name.starts_with("manifest"))
                    .expect("is there")
            }
            false => ending.to_owned(),
        };
        let rotten = rot(&disk, &path, &ending);
        let report = store(&disk).verify(&number(&newer)).expect("verifies");
        assert!(!report.is_good(), "{rotten}");
        assert!(report.problems.iter().any(|p| p.file == rotten), "{report}");
        let before = files(&disk, JOURNAL);
        let refused = store(&disk).restore(&number(&newer), JOURNAL, &Restore::default());
        match refused {
            Err(Error::DamagedBackup {
                number,
                sound,
                cause,
                ..
            }) => {
                assert_eq!(
                    (number, sound),
                    (newer.number, Some(older.number)),
                    "{rotten}"
                );
                assert!(cause.path.ends_with(&rotten), "{cause}");
            }
            other => panic!("{rotten}: {other:?}"),
        }
        assert_eq!(files(&disk, JOURNAL), before, "{rotten}");
        // A label that does not validate is no candidate for the newest; it is still listed.
        let listed = store(&disk).list().expect("lists");
        let is_damaged = matches!(listed.last(), Some(ListedBackup::Damaged { .. }));
        assert_eq!(is_damaged, rotten == "BACKUP");
    }
}

/// With a file taken away, or one put there, a backup is not what it was.
#[test]
fn a_missing_or_strange_file_is_damage() {
    let disk = SimDisk::new(7);
    let (backup, _) = backed_up(&disk);
    let path = store(&disk).path_of(backup.number);
    let manifest = disk.list_files(&path).expect("lists");
    let manifest = manifest
        .iter()
        .find(|name| name.starts_with("manifest"))
        .expect("one");
    let bytes = disk.read_file(path.join(manifest)).expect("reads");
    disk.write_file(path.join("manifest-00000099"), &bytes)
        .expect("writes");
    let report = store(&disk).verify(&number(&backup)).expect("verifies");
    assert_eq!(report.problems[0].code, "strange", "{report}");
    disk.remove_file(path.join("manifest-00000099"))
        .expect("removes");
    assert!(
        store(&disk)
            .verify(&number(&backup))
            .expect("verifies")
            .is_good()
    );
    disk.remove_file(path.join(manifest)).expect("removes");
    let report = store(&disk).verify(&number(&backup)).expect("verifies");
    assert_eq!(report.problems[0].code, "missing", "{report}");
    let refused = store(&disk).restore(&number(&backup), JOURNAL, &Restore::default());
    assert_eq!(code(refused), "damaged_backup");
}

/// The journal is damaged: that is what backups are for. Its bytes are kept as they are.
#[test]
fn a_damaged_journal_is_kept_file_by_file_and_replaced() {
    let disk = SimDisk::new(8);
    let (backup, then) = backed_up(&disk);
    for name in disk.list_files(JOURNAL).expect("lists") {
        if name.ends_with(".state") {
            rot(&disk, JOURNAL, &name);
        }
    }
    let there = files(&disk, JOURNAL);
    assert_eq!(code(options(&disk).open(JOURNAL).map(|_| ())), "corrupt");
    let refused = store(&disk).restore(&number(&backup), JOURNAL, &Restore::default());
    assert_eq!(
        code(refused),
        "invalid",
        "what was deleted since cannot be known"
    );
    assert_eq!(files(&disk, JOURNAL), there);
    let restored = store(&disk).restore(&number(&backup), JOURNAL, &bring_back());
    let restored = restored.expect("restores");
    assert_eq!(dump(&disk, JOURNAL), then);
    let kept = restored.kept.expect("it is kept");
    assert_eq!(kept.kind, BackupKind::Verbatim);
    let kept_files: Vec<_> = files(&disk, store(&disk).path_of(kept.number))
        .into_iter()
        .filter(|(name, _)| name != "BACKUP")
        .collect();
    assert_eq!(kept_files, there);
    let again = store(&disk).restore(&number(&kept), JOURNAL, &bring_back());
    assert_eq!(code(again), "damaged_backup");
}

#[test]
fn a_journal_that_is_gone_is_made_again_and_a_held_one_is_left_alone() {
    let disk = SimDisk::new(9);
    let (backup, then) = backed_up(&disk);
    let elsewhere = "/elsewhere.journal";
    let restored = store(&disk).restore(&Which::Newest, elsewhere, &Restore::default());
    assert!(restored.expect("restores").kept.is_none());
    assert_eq!(dump(&disk, elsewhere), then);
    let (journal, _) = reopen(&disk);
    let refused = store(&disk).restore(&number(&backup), JOURNAL, &Restore::default());
    assert_eq!(code(refused), "locked");
    work(&journal, 60);
    let what = Which::Number(99);
    let refused = store(&disk).restore(&what, elsewhere, &Restore::default());
    assert_eq!(code(refused), "no_backup");
    disk.create_dir(Path::new("/photos")).expect("makes");
    disk.write_file("/photos/cat.jpg", b"meow").expect("writes");
    let refused = store(&disk).restore(&Which::Newest, "/photos", &Restore::default());
    assert_eq!(code(refused), "not_a_journal");
    assert_eq!(disk.list_files("/photos").expect("lists"), ["cat.jpg"]);
}

/// A power cut left records of which nobody can tell whether they were acknowledged. The page is
/// lost as well. What is kept before the restore must have them.
#[test]
fn an_unsettled_end_is_kept_as_it_is() {
    let disk = SimDisk::new(10);
    let (backup, _) = backed_up(&disk);
    let (journal, _) = reopen(&disk);
    let session = journal.session("last").expect("opens");
    session.append("note", "acknowledged").expect("appends");
    disk.power_loss(&CrashModel::NOTHING_SURVIVES);
    disk.restart();
    disk.remove_file("/agents.journal/WATERMARK")
        .expect("removes");
    drop(journal);
    let restored = restore(&disk, &number(&backup));
    let kept = restored.kept.expect("it is kept");
    assert_eq!(kept.kind, BackupKind::Verbatim);
    let into = "/looked-at";
    store(&disk)
        .export(&number(&kept), into, &mut |_| ())
        .expect("exports");
    let (journal, _) = options(&disk).open(into).expect("opens");
    assert_eq!(first_note(&journal, "last"), Seq::new(2));
}

/// A copy for a release that knows nothing of stores, or for another machine.
#[test]
fn an_exported_backup_is_a_journal_byte_for_byte() {
    let disk = SimDisk::new(11);
    let (backup, then) = backed_up(&disk);
    store(&disk)
        .export(&number(&backup), "/copy", &mut |_| ())
        .expect("exports");
    let source: Vec<_> = files(&disk, store(&disk).path_of(backup.number))
        .into_iter()
        .filter(|(name, _)| name != "BACKUP")
        .collect();
    assert_eq!(files(&disk, "/copy"), source);
    let (journal, _) = options(&disk).open("/copy").expect("opens");
    assert_eq!(journal.accepted_lsn(), backup.next_lsn);
    assert!(journal.accepted_lsn() > Lsn::new(1));
    drop(journal);
    assert_eq!(dump(&disk, "/copy"), then);
    let refused = store(&disk).export(&number(&backup), "/copy", &mut |_| ());
    assert_eq!(code(refused), "invalid");
}

/// `turnkeep log -f` ran on while somebody restored, and showed nothing any more: it waited for a word
/// of a journal that was gone.
#[test]
fn who_reads_along_goes_on_with_the_restored_journal() {
    let disk = SimDisk::new(41);
    let (backup, then) = backed_up(&disk);
    let reader = options(&disk).open_read_only(JOURNAL).expect("opens");
    let mut follow = reader.follow(reader.durable_lsn());
    let wait = std::time::Duration::ZERO;
    assert!(follow.next_timeout(wait).expect("reads").is_none());
    restore(&disk, &number(&backup));
    reader.refresh().expect("looks again");
    assert_eq!(dump_of(&reader), then);
    // What comes now is behind everything that was handed out, so nobody misses it.
    let (journal, _) = reopen(&disk);
    let session = journal.session("work").expect("opens");
    let said = session
        .append("note", "after the restore")
        .expect("appends");
    let mut seen = Vec::new();
    while let Some(entry) = follow.next_timeout(wait).expect("reads") {
        seen.push((entry.lsn, entry.content));
    }
    assert_eq!(seen.last(), Some(&(said, b"after the restore".to_vec())));
}
