//! Pruning and removing: by count, by age, and never the last good one.

use super::*;
use std::num::NonZeroU32;
use turnkeep::{KeepBackups, ListedBackup};

const DAY_MS: u64 = 86_400_000;

fn keep(last: u32, within_days: Option<u64>) -> KeepBackups {
    KeepBackups {
        last: NonZeroU32::new(last).expect("at least one"),
        within_ms: within_days.map(|days| days * DAY_MS),
    }
}

/// A store with a backup of each of ten days, the fourth with a name.
fn ten_days(disk: &SimDisk) -> Journal {
    let journal = open(disk);
    for day in 1..=10 {
        work(&journal, day);
        let name = (day == 4).then_some("monthly");
        store(disk).create(JOURNAL, name).expect("backs up");
        disk.advance_ms(DAY_MS);
    }
    journal
}

fn numbers(disk: &SimDisk) -> Vec<u64> {
    let listed = store(disk).list().expect("lists");
    listed.iter().map(ListedBackup::number).collect()
}

#[test]
fn count_and_age_keep_and_names_are_never_pruned() {
    let disk = SimDisk::new(1);
    let _journal = ten_days(&disk);
    let told = store(&disk).prune(&keep(2, Some(5)), true).expect("tells");
    assert_eq!(numbers(&disk).len(), 10);
    let done = store(&disk)
        .prune(&keep(2, Some(5)), false)
        .expect("prunes");
    assert_eq!((told.kept, told.removed), (done.kept, done.removed));
    assert_eq!(numbers(&disk), [4, 7, 8, 9, 10]);
    store(&disk).prune(&keep(2, None), false).expect("prunes");
    assert_eq!(numbers(&disk), [4, 9, 10]);
    // However old they are.
    disk.advance_ms(1000 * DAY_MS);
    store(&disk)
        .prune(&keep(1, Some(1)), false)
        .expect("prunes");
    assert_eq!(numbers(&disk), [4, 10]);
}

/// Ten backups by rotation, and the only one that was whole had just been rotated out.
#[test]
fn the_last_good_one_stays_whatever_is_younger() {
    let disk = SimDisk::new(2);
    let _journal = ten_days(&disk);
    for rotten in [7, 8, 9, 10] {
        rot(&disk, store(&disk).path_of(rotten), ".seg");
    }
    let pruned = store(&disk).prune(&keep(1, None), false).expect("prunes");
    assert_eq!(pruned.damaged, [10, 9, 8, 7]);
    assert_eq!(numbers(&disk), [4, 6, 7, 8, 9, 10]);
    let good = store(&disk).verify(&Which::Number(6)).expect("verifies");
    assert!(good.is_good());
    // With a good one that is younger they go.
    store(&disk).create(JOURNAL, None).expect("backs up");
    store(&disk).prune(&keep(1, None), false).expect("prunes");
    assert_eq!(numbers(&disk), [4, 11]);
}

#[test]
fn the_last_good_one_is_not_removed_by_hand_either() {
    let disk = SimDisk::new(3);
    let journal = open(&disk);
    work(&journal, 1);
    let first = journal.backup(STORE).expect("backs up");
    assert_eq!(code(store(&disk).remove(&number(&first))), "invalid");
    let second = journal.backup(STORE).expect("backs up");
    rot(&disk, store(&disk).path_of(second.number), ".seg");
    assert_eq!(code(store(&disk).remove(&number(&first))), "invalid");
    store(&disk)
        .remove(&number(&second))
        .expect("it is damaged");
    assert_eq!(numbers(&disk), [1]);
}

/// Two journals in one store: the backups of one are not the other's last good one.
#[test]
fn each_journal_has_a_last_good_one() {
    let disk = SimDisk::new(4);
    let journal = open(&disk);
    work(&journal, 1);
    journal.backup(STORE).expect("backs up");
    let (other, _) = options(&disk).open("/other.journal").expect("opens");
    work(&other, 2);
    (0..3).for_each(|_| drop(other.backup(STORE).expect("backs up")));
    store(&disk).prune(&keep(1, None), false).expect("prunes");
    assert_eq!(numbers(&disk), [1, 4]);
}

/// A clock that was set back makes young backups old, or old ones young; it removes none.
#[test]
fn a_clock_that_jumps_costs_no_backup_that_counts() {
    let disk = SimDisk::new(5);
    let _journal = ten_days(&disk);
    disk.advance_ms(u64::MAX / 2);
    store(&disk)
        .prune(&keep(3, Some(7)), false)
        .expect("prunes");
    assert_eq!(numbers(&disk), [4, 8, 9, 10]);
}
