//! The disk, through real system calls: what was synced is kept, and nothing else is promised.
#![cfg(target_os = "linux")]

use crashbench::disk::{self, Disk, Fault, Keep, Names};
use crashbench::rng::Rng;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::time::Duration;

fn mount(names: Names) -> Option<Disk> {
    if let Some(why) = disk::missing() {
        eprintln!("SKIPPED: {why}");
        return None;
    }
    Some(Disk::mount(names).expect("a disk"))
}

fn cut(disk: &mut Disk, keep: Keep) {
    disk.wait_for_cut(Duration::ZERO);
    disk.release();
    disk.power_on(keep).expect("power");
}

#[test]
fn a_power_cut_takes_what_was_not_synced() {
    let Some(mut disk) = mount(Names::Journaled) else {
        return;
    };
    let path = disk.home().join("log");
    let mut file = File::create(&path).expect("a file");
    file.write_all(b"kept").expect("a write");
    file.sync_data().expect("a sync");
    file.write_all(b" lost").expect("a write");
    fs::write(disk.home().join("late"), "x").expect("a file");
    drop(file);
    assert_eq!(fs::read(&path).expect("a file"), b"kept lost");

    cut(&mut disk, Keep::Nothing);
    assert_eq!(fs::read(&path).expect("a file"), b"kept");
    assert!(!disk.home().join("late").exists());
}

#[test]
fn where_posix_is_all_a_name_needs_a_sync_of_its_directory() {
    let Some(mut disk) = mount(Names::BySyncOfDirectory) else {
        return;
    };
    for (name, sync_directory) in [("kept", true), ("lost", false)] {
        let file = File::create(disk.home().join(name)).expect("a file");
        file.sync_all().expect("a sync");
        if sync_directory {
            File::open(disk.home())
                .and_then(|dir| dir.sync_all())
                .expect("a sync");
        }
    }
    cut(&mut disk, Keep::Nothing);
    assert!(disk.home().join("kept").exists());
    assert!(!disk.home().join("lost").exists());
}

#[test]
fn pages_of_a_failed_sync_read_well_and_are_never_written() {
    let Some(mut disk) = mount(Names::Journaled) else {
        return;
    };
    let path = disk.home().join("log");
    let mut file = File::create(&path).expect("a file");
    file.write_all(&[1; 4096]).expect("a write");
    file.sync_all().expect("a sync");
    file.write_all(&[2; 4096]).expect("a write");
    disk.arm(Fault::FailSync);
    assert!(file.sync_all().is_err());
    assert!(disk.met());
    file.sync_all()
        .expect("the second sync lies, as Linux does");
    let seen = fs::read(&path).expect("a file");
    assert_eq!(seen[4096..], [2; 4096]);
    drop(file);

    cut(&mut disk, Keep::Nothing);
    let left = fs::read(&path).expect("a file");
    assert_eq!(left[..4096], [1; 4096]);
    assert!(
        left[4096..].iter().all(|&byte| byte == 0),
        "the pages of the failed sync came back"
    );
}

#[test]
fn a_full_disk_refuses_until_there_is_space_again() {
    let Some(disk) = mount(Names::Journaled) else {
        return;
    };
    let path = disk.home().join("log");
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .expect("a file");
    disk.arm(Fault::Full { free_bytes: 8192 });
    file.write_all(&[1; 8192]).expect("what fits");
    let refused = file.write_all(&[2; 100]).expect_err("nothing more fits");
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    assert!(disk.met());
    disk.empty_the_rest();
    file.write_all(&[3; 100]).expect("space");
    assert_eq!(fs::metadata(&path).expect("a file").len(), 8292);
}

#[test]
fn files_can_be_renamed_linked_cut_and_removed() {
    let Some(mut disk) = mount(Names::Journaled) else {
        return;
    };
    let home = disk.home();
    fs::create_dir_all(home.join("a/b")).expect("directories");
    fs::write(home.join("a/b/one"), vec![7; 10_000]).expect("a file");
    fs::rename(home.join("a/b/one"), home.join("two")).expect("a rename");
    fs::hard_link(home.join("two"), home.join("three")).expect("a link");
    fs::remove_file(home.join("two")).expect("a removal");
    let file = OpenOptions::new()
        .write(true)
        .open(home.join("three"))
        .expect("a file");
    file.set_len(5000).expect("a cut");
    file.set_len(6000).expect("a hole");
    file.sync_all().expect("a sync");
    assert!(fs::remove_dir(home.join("a")).is_err(), "it is not empty");
    drop(file);

    cut(&mut disk, Keep::Nothing);
    let left = fs::read(home.join("three")).expect("a file");
    assert_eq!(left[..5000], [7; 5000]);
    assert_eq!(left[5000..], [0; 1000]);
    let names: Vec<_> = fs::read_dir(home.join("a"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn a_power_cut_may_keep_whole_pages_and_the_same_ones_again() {
    let mut kept = Vec::new();
    for _ in 0..2 {
        let Some(mut disk) = mount(Names::Journaled) else {
            return;
        };
        let path = disk.home().join("log");
        let mut file = File::create(&path).expect("a file");
        file.write_all(&[1; 64 * 4096]).expect("a write");
        file.sync_all().expect("a sync");
        file.seek(SeekFrom::Start(0)).expect("a seek");
        file.write_all(&[2; 64 * 4096]).expect("a write");
        drop(file);
        cut(&mut disk, Keep::Some(&mut Rng::new(5)));
        let left = fs::read(&path).expect("a file");
        assert_eq!(left.len(), 64 * 4096);
        for page in left.chunks(4096) {
            assert!(page.iter().all(|byte| byte == &page[0]), "a torn page");
        }
        assert!(
            left.contains(&1) && left.contains(&2),
            "all kept, or all lost"
        );
        kept.push(left);
    }
    assert_eq!(kept[0], kept[1]);
}
