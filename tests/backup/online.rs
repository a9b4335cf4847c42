//! Making backups: beside a writer, with a name, on a full disk.

use super::*;
use turnkeep::storage::sim::OpKind;
use turnkeep::{ListedBackup, verify_on};

/// A host copied its database file while it was written to, and the copy was of two moments.
#[test]
fn a_backup_is_the_journal_at_the_moment_it_was_asked_for() {
    let disk = SimDisk::new(1);
    let journal = open(&disk);
    for round in 0..12 {
        work(&journal, round);
        match round {
            4 => drop(journal.compact().expect("compacts")),
            8 => drop(journal.checkpoint().expect("checkpoints")),
            _ => {}
        }
        let then = dump(&disk, JOURNAL);
        let backup = journal.backup(STORE).expect("backs up");
        assert_eq!(backup.next_lsn, journal.accepted_lsn());
        work(&journal, 100 + round);
        let path = store(&disk).path_of(backup.number);
        assert_eq!(dump(&disk, &path), then, "round {round}");
        let report = verify_on(storage(&disk), &path, &mut |_| ()).expect("verifies");
        assert!(report.is_sound(), "{report}");
        assert!(
            store(&disk)
                .verify(&number(&backup))
                .expect("verifies")
                .is_good()
        );
    }
    let listed = store(&disk).list().expect("lists");
    assert_eq!(listed.len(), 12);
}

/// Accepted is not durable: a backup makes it so first, or would be behind its journal.
#[test]
fn what_was_submitted_before_the_call_is_in_it() {
    let disk = SimDisk::new(2);
    let journal = open(&disk);
    let session = journal.session("s").expect("opens");
    let ticket = session.submit("note", "not waited for").expect("submits");
    let backup = journal.backup(STORE).expect("backs up");
    assert!(ticket.is_durable());
    let there = dump(&disk, store(&disk).path_of(backup.number));
    assert!(there.iter().any(|line| line.contains("not waited for")));
}

/// `turnkeep backup create` runs in another process than the host.
#[test]
fn a_backup_beside_the_writer_holds_everything_acknowledged() {
    let disk = SimDisk::new(3);
    let journal = open(&disk);
    work_through(&journal, 0..6);
    let then = dump(&disk, JOURNAL);
    let backup = store(&disk).create(JOURNAL, None).expect("backs up");
    work_through(&journal, 6..9);
    assert_eq!(dump(&disk, store(&disk).path_of(backup.number)), then);
    drop(journal);
    // After a kill as well: the page in memory was exact.
    disk.kill();
    let then = dump(&disk, JOURNAL);
    let backup = store(&disk).create(JOURNAL, None).expect("backs up");
    assert_eq!(dump(&disk, store(&disk).path_of(backup.number)), then);
}

/// On a real disk, with threads: a writer appends and compacts at full speed, while another
/// handle, which shares nothing with it but the files, makes backups.
#[test]
fn backups_beside_a_busy_writer_are_each_a_prefix() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("j");
    let options = Journal::options()
        .first_segment_bytes(64 << 10)
        .segment_bytes(64 << 10)
        .compact_after_bytes(128 << 10);
    let (journal, _) = options.open(&path).expect("opens");
    let session = journal.session("s").expect("opens");
    // The session is there before the first backup is asked for.
    session.append("begun", "").expect("appends");
    let acknowledged = std::sync::atomic::AtomicU64::new(0);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let text = format!("{n} {}", "x".repeat(600));
                session.append("note", text).expect("appends");
                acknowledged.store(n, std::sync::atomic::Ordering::SeqCst);
            }
        });
        // Also when an assertion fails: the writer would go on for ever.
        let _stops = Stops(&stop);
        let store = Backups::at(home.path().join("store"));
        for _ in 0..8 {
            let floor = acknowledged.load(std::sync::atomic::Ordering::SeqCst);
            let backup = store.create(&path, None).expect("backs up");
            let reader = Reader::open(store.path_of(backup.number)).expect("reads");
            let entries = reader.find("s").expect("is there").read(..).expect("reads");
            let notes = entries.map(|entry| entry.expect("reads"));
            let notes = notes.filter(|entry| entry.name == "note");
            let mut count = 0;
            for (n, note) in (1..).zip(notes) {
                assert!(note.content.starts_with(format!("{n} ").as_bytes()));
                count = n;
            }
            assert!(
                count >= floor,
                "{floor} were acknowledged, {count} are there"
            );
        }
    });
}

/// Stops the writer when it goes out of scope.
struct Stops<'s>(&'s std::sync::atomic::AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A checkpoint that compaction takes away is none.
#[test]
fn a_named_checkpoint_survives_compaction_and_retention_until_it_is_dropped() {
    let disk = SimDisk::new(4);
    let journal = open(&disk);
    work_through(&journal, 0..5);
    let then = dump(&disk, JOURNAL);
    let named = journal.checkpoint_named("before-upgrade").expect("is made");
    assert_eq!(code(journal.checkpoint_named("before-upgrade")), "invalid");
    assert_eq!(code(journal.checkpoint_named("../x")), "invalid");
    journal
        .find("other 1")
        .expect("is there")
        .delete()
        .expect("deletes");
    for round in 5..20 {
        work(&journal, round);
        journal.compact().expect("compacts");
    }
    let beside = Backups::beside_on(storage(&disk), JOURNAL);
    assert_eq!(dump(&disk, beside.path_of(named.number)), then);
    assert_eq!(
        journal.checkpoints().expect("lists"),
        std::slice::from_ref(&named)
    );
    journal.drop_checkpoint("before-upgrade").expect("drops");
    assert_eq!(journal.checkpoints().expect("lists"), []);
    assert_eq!(code(journal.drop_checkpoint("before-upgrade")), "no_backup");
    assert_eq!(beside.list().expect("lists"), []);
}

/// Two journals of one identity: whatever is told of one is believed of the other.
#[test]
fn a_backup_is_not_opened_for_writing() {
    let disk = SimDisk::new(5);
    let journal = open(&disk);
    work(&journal, 0);
    let backup = journal.backup(STORE).expect("backs up");
    let path = store(&disk).path_of(backup.number);
    let before = files(&disk, &path);
    assert_eq!(code(options(&disk).open(&path).map(|_| ())), "is_backup");
    assert_eq!(files(&disk, &path), before);
    let into = store(&disk).restore(&number(&backup), &path, &turnkeep::Restore::default());
    assert_eq!(code(into), "invalid");
}

/// A disk fills up at any byte: what is half there must not look like a backup, nor stay.
#[test]
fn a_full_disk_leaves_no_backup_and_takes_nothing_away() {
    let disk = SimDisk::new(6);
    let journal = open(&disk);
    work_through(&journal, 0..4);
    journal.compact().expect("compacts");
    work_through(&journal, 4..6);
    let good = journal.backup(STORE).expect("backs up");
    let (then, used) = (dump(&disk, JOURNAL), disk.used_bytes());
    let mut refused = 0;
    for spare in (0..).step_by(1500) {
        disk.set_capacity(used + spare);
        match journal.backup(STORE) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.code(), "no_space", "{spare} bytes: {error:?}"),
        }
        refused += 1;
        let listed = store(&disk).list().expect("lists");
        assert_eq!(
            listed,
            [ListedBackup::Complete(good.clone())],
            "{spare} bytes"
        );
        assert_eq!(disk.used_bytes(), used, "{spare} bytes: something stays");
    }
    assert!(refused > 5, "it never was full");
    disk.set_capacity(None);
    assert_eq!(dump(&disk, JOURNAL), then);
    work(&journal, 7);
}

/// Every operation of a backup fails once: it is refused, and the journal and the backups that
/// there were are as they were.
#[test]
fn a_backup_that_fails_anywhere_harms_nothing() {
    let kinds = [
        OpKind::Open,
        OpKind::Write,
        OpKind::SyncData,
        OpKind::SyncDir,
        OpKind::Rename,
    ];
    let base = SimDisk::new(7);
    let journal = open(&base);
    work_through(&journal, 0..4);
    let good = journal.backup(STORE).expect("backs up");
    let then = dump(&base, JOURNAL);
    drop(journal);
    for kind in kinds.into_iter().chain([OpKind::Read, OpKind::CreateDir]) {
        for nth in 1.. {
            let disk = base.fork();
            disk.kill();
            disk.fail_nth(kind, nth, std::io::ErrorKind::Other, false);
            let made = store(&disk).create(JOURNAL, None);
            let met = disk.faults_met();
            disk.clear_faults();
            let listed = store(&disk).list().expect("lists");
            let complete: Vec<_> = listed.iter().filter_map(ListedBackup::complete).collect();
            let ctx = format!("{kind:?} {nth}: {made:?}");
            match made {
                Ok(made) => assert_eq!(complete, [&good, &made], "{ctx}"),
                Err(_) => assert!(complete.contains(&&good), "{ctx}"),
            }
            for backup in complete {
                let path = store(&disk).path_of(backup.number);
                assert_eq!(dump(&disk, path), then, "{ctx}");
            }
            assert_eq!(dump(&disk, JOURNAL), then, "{ctx}");
            if met == 0 {
                break;
            }
        }
    }
}

/// A damaged journal has no backup that says it is good.
#[test]
fn a_damaged_journal_is_not_backed_up() {
    let disk = SimDisk::new(8);
    let journal = open(&disk);
    work_through(&journal, 0..4);
    journal.compact().expect("compacts");
    journal.close().expect("closes");
    rot(&disk, JOURNAL, ".pack");
    assert_eq!(code(store(&disk).create(JOURNAL, None)), "corrupt");
    assert_eq!(store(&disk).list().expect("lists"), []);
}

#[test]
fn two_do_not_work_in_one_store_and_looking_waits_for_nobody() {
    let disk = SimDisk::new(9);
    let journal = open(&disk);
    work(&journal, 0);
    journal.backup(STORE).expect("backs up");
    let held = disk.lock(Path::new("/store/LOCK")).expect("is free");
    assert_eq!(code(journal.backup(STORE)), "locked");
    assert_eq!(store(&disk).list().expect("lists").len(), 1);
    let report = store(&disk).verify(&Which::Newest).expect("verifies");
    assert!(report.is_good(), "{report}");
    drop(held);
    journal.backup(STORE).expect("backs up");
}
