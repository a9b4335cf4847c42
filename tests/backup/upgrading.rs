//! Upgrading: record for record the same, the old files kept until somebody is content.

use super::*;
use turnkeep::storage::sim::CrashModel;
use turnkeep::{Upgrade, Versions, verify_on};

fn again() -> Upgrade {
    let mut options = Upgrade::default();
    options.even_if_current = true;
    options
}

#[test]
fn an_upgraded_journal_is_the_same_and_the_old_files_are_kept_until_confirmed() {
    let disk = SimDisk::new(1);
    let journal = open(&disk);
    work_through(&journal, 0..5);
    journal.compact().expect("compacts");
    work_through(&journal, 5..7);
    let id = journal.stat().expect("counts").journal;
    journal.close().expect("closes");
    let (then, old) = (dump(&disk, JOURNAL), files(&disk, JOURNAL));
    let nothing = store(&disk).upgrade(JOURNAL, &Upgrade::default(), &mut |_| ());
    assert!(nothing.expect("looks").after.is_none(), "it is current");
    assert_eq!(code(store(&disk).confirm_upgrade(JOURNAL)), "no_backup");

    let done = store(&disk)
        .upgrade(JOURNAL, &again(), &mut |_| ())
        .expect("upgrades");
    assert_eq!(dump(&disk, JOURNAL), then);
    let kept = done.kept.expect("the old files");
    let kept_files: Vec<_> = files(&disk, store(&disk).path_of(kept.number))
        .into_iter()
        .filter(|(name, _)| name != "BACKUP")
        .collect();
    assert_eq!(kept_files, old);
    let twice = store(&disk).upgrade(JOURNAL, &again(), &mut |_| ());
    assert_eq!(code(twice), "invalid", "the first is not confirmed");
    let (journal, recovery) = options(&disk).open(JOURNAL).expect("opens");
    assert!(recovery.clean, "{recovery}");
    assert_ne!(journal.stat().expect("counts").journal, id);
    work(&journal, 8);
    journal.close().expect("closes");
    let report = verify_on(storage(&disk), JOURNAL, &mut |_| ()).expect("verifies");
    assert!(report.is_sound(), "{report}");

    // The way back, while it is kept.
    store(&disk)
        .export(&Which::Number(kept.number), "/old", &mut |_| ())
        .expect("exports");
    assert_eq!(files(&disk, "/old"), old);
    store(&disk).confirm_upgrade(JOURNAL).expect("confirms");
    assert_eq!(code(store(&disk).confirm_upgrade(JOURNAL)), "no_backup");
    let log = disk.read_file("/store/upgrade.log").expect("reads");
    let log = String::from_utf8(log).expect("is text");
    for step in ["begin ", "kept as ", "equal", "in force", "confirmed"] {
        assert!(log.contains(step), "{step} is missing in\n{log}");
    }
}

/// Confirming throws the old files away, so the new ones are read before.
#[test]
fn an_upgrade_is_not_confirmed_over_a_damaged_journal() {
    let disk = SimDisk::new(2);
    let journal = open(&disk);
    work_through(&journal, 0..4);
    journal.close().expect("closes");
    store(&disk)
        .upgrade(JOURNAL, &again(), &mut |_| ())
        .expect("upgrades");
    rot(&disk, JOURNAL, ".pack");
    assert_eq!(code(store(&disk).confirm_upgrade(JOURNAL)), "invalid");
    assert_eq!(store(&disk).list().expect("lists").len(), 1);
}

#[test]
fn a_damaged_journal_is_not_upgraded_and_one_after_a_crash_is() {
    let disk = SimDisk::new(3);
    let journal = open(&disk);
    work_through(&journal, 0..4);
    disk.power_loss(&CrashModel::EVERYTHING_SURVIVES);
    disk.restart();
    drop(journal);
    let then = dump(&disk, JOURNAL);
    store(&disk)
        .upgrade(JOURNAL, &again(), &mut |_| ())
        .expect("upgrades");
    assert_eq!(dump(&disk, JOURNAL), then);
    let versions = Versions::of_on(storage(&disk), JOURNAL).expect("looks");
    assert!(versions.is_current());
    store(&disk).confirm_upgrade(JOURNAL).expect("confirms");
    disk.list_files(JOURNAL)
        .expect("lists")
        .iter()
        .filter(|name| name.ends_with(".state"))
        .for_each(|name| drop(rot(&disk, JOURNAL, name)));
    let before = files(&disk, JOURNAL);
    let refused = store(&disk).upgrade(JOURNAL, &again(), &mut |_| ());
    assert_eq!(code(refused), "corrupt");
    assert_eq!(files(&disk, JOURNAL), before);
}
