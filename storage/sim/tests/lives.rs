use super::*;
use crate::storage::{Holder, LockError};

/// Creates, writes, syncs, renames; each step counts as one operation.
fn run(disk: &SimDisk) -> io::Result<()> {
    disk.create_dir(path("/j"))?;
    let file = disk.open(path("/j/tmp"), OpenMode::CreateNew)?;
    file.write_all_at(&[b'a'; 2000], 0)?;
    file.set_len(3000)?;
    file.read_at(&mut [0; 10], 0)?;
    file.sync_data()?;
    disk.rename(path("/j/tmp"), path("/j/f"))?;
    disk.sync_dir(path("/j"))?;
    disk.sync_dir(path("/"))?;
    disk.remove(path("/j/f"))
}

const RUN_OPS: u64 = 9;

#[test]
fn armed_power_fails_in_the_middle_of_that_operation() {
    for after in 0..=RUN_OPS {
        let disk = SimDisk::new(after);
        disk.arm_power_loss(after);
        let result = run(&disk);
        if after == RUN_OPS {
            result.unwrap();
            assert!(!disk.is_off());
            assert_eq!(disk.ops(), RUN_OPS);
            continue;
        }
        assert!(is_powered_off(&result.unwrap_err()), "after {after}");
        assert!(disk.is_off());
        assert_eq!(disk.ops(), after + 1);
        assert!(is_powered_off(&disk.list(path("/")).unwrap_err()));
        disk.restart();
        disk.list(path("/")).unwrap();
    }
}

#[test]
fn the_operation_in_which_the_power_fails_may_have_happened() {
    // By number of operations before: the last state without the operation, and with it.
    let reached = |after: u64, look: fn(&SimDisk) -> bool| {
        let disk = SimDisk::new(0);
        disk.arm_power_loss(after);
        run(&disk).unwrap_err();
        outcomes(&disk, &CLEAN, look)
    };
    let either = BTreeSet::from([false, true]);
    assert_eq!(reached(0, |d| d.list_files("/j").is_ok()), either);
    let written = |d: &SimDisk| d.read_file("/j/tmp").is_ok_and(|b| b.starts_with(b"aaa"));
    assert_eq!(reached(2, written), either);
    assert_eq!(reached(6, |d| d.read_file("/j/f").is_ok()), either);
    assert_eq!(
        reached(7, |d| d.list_files("/").is_ok()),
        BTreeSet::from([true])
    );
}

#[test]
fn handles_from_before_a_power_loss_stay_dead() {
    let disk = SimDisk::new(1);
    let file = synced(&disk, "/f", b"before");
    let process = disk.clone();
    let map = file.map().unwrap();
    disk.power_loss(&CLEAN);
    for _ in 0..2 {
        let errors = [
            file.size().unwrap_err(),
            file.read_at(&mut [0], 0).unwrap_err(),
            file.write_all_at(b"after", 0).unwrap_err(),
            file.sync_data().unwrap_err(),
            file.map().unwrap_err(),
            process.remove(path("/f")).unwrap_err(),
            process.open(path("/f"), OpenMode::Read).unwrap_err(),
            process.entropy().unwrap_err(),
        ];
        assert!(errors.iter().all(is_powered_off), "{errors:?}");
        disk.restart();
    }
    assert_eq!(
        map.bytes(),
        b"before",
        "memory of the process, not of the disk"
    );
    assert_eq!(disk.read_file("/f").unwrap(), b"before");
    let next = disk.clone();
    next.open(path("/f"), OpenMode::Read).unwrap();
}

#[test]
fn a_kill_loses_nothing_and_makes_nothing_durable() {
    let disk = SimDisk::new(2);
    let process = disk.clone();
    let file = synced(&process, "/f", &[b'a'; 512]);
    file.write_all_at(&[b'b'; 512], 0).unwrap();
    process.open(path("/g"), OpenMode::CreateNew).unwrap();
    disk.kill();
    assert!(is_powered_off(&file.sync_data().unwrap_err()));
    assert!(is_powered_off(&process.sync_dir(path("/")).unwrap_err()));
    assert_eq!(
        (names(&disk).as_str(), file_by_sector(&disk, "/f").as_str()),
        ("f g", "b")
    );
    let look = |disk: &SimDisk| names(disk) + ": " + &file_by_sector(disk, "/f");
    let seen = outcomes(&disk, &CLEAN, look);
    assert_eq!(seen, set(["f: a", "f: b", "f g: a", "f g: b"]));
}

#[test]
fn a_restart_settles_what_the_power_loss_left() {
    let disk = SimDisk::new(3);
    let file = synced(&disk, "/f", &[b'a'; 8192]);
    file.write_all_at(&[b'b'; 9000], 100).unwrap();
    disk.open(path("/g"), OpenMode::CreateNew).unwrap();
    disk.power_loss(&CrashModel::HARSHEST);
    disk.restart();
    let hash = disk.state_hash();
    let again = outcomes(&disk, &CrashModel::HARSHEST, SimDisk::state_hash);
    assert_eq!(again, BTreeSet::from([hash]));
}

#[test]
fn the_lock_is_refused_with_its_holder_and_released_by_drop_kill_and_power_loss() {
    let disk = SimDisk::new(4);
    let lock = disk.lock(path("/LOCK")).unwrap();
    let refused = |disk: &SimDisk| match disk.lock(path("/LOCK")) {
        Err(LockError::Held(holder)) => holder,
        other => panic!("expected a refusal, got {other:?}"),
    };
    let holder = Holder {
        pid: Some(1),
        note: "sim".to_owned(),
    };
    assert_eq!(refused(&disk), holder);
    drop(lock);
    let lock = disk.lock(path("/LOCK")).unwrap();
    disk.kill();
    let next = disk.lock(path("/LOCK")).unwrap();
    drop(lock);
    assert_eq!(
        refused(&disk).pid,
        Some(2),
        "a dead handle's drop releases nothing"
    );
    disk.write_file("/LOCK", b"scribble").unwrap();
    disk.lock(path("/LOCK"))
        .expect("another file of that name is another lock");
    drop(next);
    let _held = disk.lock(path("/LOCK")).unwrap();
    disk.power_loss(&CLEAN);
    assert!(matches!(disk.lock(path("/LOCK")), Err(LockError::Io(e)) if is_powered_off(&e)));
    disk.restart();
    disk.lock(path("/LOCK")).unwrap();
}

#[test]
fn forks_are_independent_and_equal() {
    let disk = SimDisk::new(5);
    let file = synced(&disk, "/f", &[b'a'; 1 << 20]);
    let _lock = disk.lock(path("/LOCK")).unwrap();
    let fork = disk.fork();
    assert_eq!(fork.state_hash(), disk.state_hash());
    assert!(matches!(fork.lock(path("/LOCK")), Err(LockError::Held(_))));
    fork.kill();
    fork.lock(path("/LOCK"))
        .expect("the copy's process was killed");
    file.write_all_at(b"original", 0).unwrap();
    file.sync_data().unwrap();
    assert!(fork.read_file("/f").unwrap().starts_with(b"aaaa"));
    let copy = fork.open(path("/f"), OpenMode::ReadWrite).unwrap();
    copy.set_len(3).unwrap();
    assert_eq!(disk.read_file("/f").unwrap().len(), 1 << 20);
}

#[test]
fn a_seed_and_the_operations_decide_everything() {
    let outcome = |seed: u64| {
        let disk = SimDisk::new(seed);
        disk.arm_power_loss(8);
        run(&disk).unwrap_err();
        disk.restart();
        (disk.state_hash(), disk.entropy().unwrap(), disk.unix_ms())
    };
    let first: Vec<_> = (0..50).map(outcome).collect();
    let second: Vec<_> = (0..50).map(outcome).collect();
    assert_eq!(first, second);
    let states: BTreeSet<_> = first.iter().map(|(hash, ..)| hash).collect();
    assert!(states.len() > 1, "seeds make a difference");
}

#[test]
fn the_state_hash_counts_durable_names_and_bytes() {
    let disk = SimDisk::new(6);
    let empty = disk.state_hash();
    let file = disk.open(path("/f"), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(disk.state_hash(), empty, "nothing is durable yet");
    disk.sync_dir(path("/")).unwrap();
    let named = disk.state_hash();
    assert_ne!(named, empty);
    file.sync_data().unwrap();
    assert_ne!(disk.state_hash(), named);
}

#[test]
fn operations_are_counted_and_take_time() {
    let disk = SimDisk::new(7);
    let start = disk.unix_ms();
    run(&disk).unwrap();
    assert_eq!(
        (disk.ops(), disk.syncs(), disk.dir_syncs()),
        (RUN_OPS, 1, 2)
    );
    assert_eq!((disk.writes(), disk.bytes_written()), (1, 2000));
    assert_eq!(disk.unix_ms(), start + RUN_OPS);
    disk.advance_ms(60_000);
    assert_eq!(disk.unix_ms(), start + RUN_OPS + 60_000);
    let shown = format!("{disk:?}");
    assert!(shown.contains("bytes_written: 2000"), "{shown}");
}

#[test]
fn disks_that_copy_on_write_say_so() {
    let disk = SimDisk::new(8);
    assert!(disk.overwrites_in_place(path("/")));
    disk.set_overwrites_in_place(false);
    assert!(!disk.overwrites_in_place(path("/")));
}
