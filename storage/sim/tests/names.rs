use super::*;

fn create(disk: &SimDisk, name: &str) -> Arc<dyn File> {
    let file = disk.open(path(name), OpenMode::CreateNew).unwrap();
    file.write_all_at(name.as_bytes(), 0).unwrap();
    file.sync_data().unwrap();
    file
}

/// Each file's name, and in brackets the name it was created by.
fn named(disk: &SimDisk) -> String {
    let files = disk.list_files("/").unwrap();
    let files = files.iter().map(|name| {
        let bytes = disk.read_file(path("/").join(name)).unwrap();
        format!("{name}({})", String::from_utf8(bytes).unwrap())
    });
    files.collect::<Vec<_>>().join(" ")
}

#[test]
fn an_unsynced_name_may_be_lost_with_all_its_synced_bytes() {
    let disk = SimDisk::new(1);
    create(&disk, "/a");
    assert_eq!(outcomes(&disk, &CLEAN, names), set(["", "a"]));
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(outcomes(&disk, &CLEAN, named), set(["a(/a)"]));
}

#[test]
fn unsynced_names_survive_in_any_combination_by_the_standard() {
    let disk = SimDisk::new(2);
    for name in ["/a", "/b", "/c"] {
        create(&disk, name);
    }
    let expected = set(["", "a", "b", "c", "a b", "a c", "b c", "a b c"]);
    assert_eq!(outcomes(&disk, &CLEAN, names), expected);
}

#[test]
fn unsynced_names_survive_up_to_some_moment_on_journaling_file_systems() {
    let disk = SimDisk::new(3);
    for name in ["/a", "/b", "/c"] {
        disk.open(path(name), OpenMode::CreateNew).unwrap();
    }
    let seen = outcomes(&disk, &CLEAN_ORDERED, names);
    assert_eq!(seen, set(["", "a", "a b", "a b c"]));
    let b = disk.open(path("/b"), OpenMode::ReadWrite).unwrap();
    b.sync_data().unwrap();
    let seen = outcomes(&disk, &CLEAN_ORDERED, names);
    assert_eq!(seen, set(["a b", "a b c"]), "the sync took b's name along");
    assert!(
        outcomes(&disk, &CLEAN, names).contains(""),
        "which no standard promises"
    );
}

#[test]
fn a_rename_is_atomic() {
    for model in [CLEAN, CLEAN_ORDERED] {
        let disk = SimDisk::new(4);
        create(&disk, "/old");
        create(&disk, "/tmp");
        disk.rename(path("/old"), path("/kept")).unwrap();
        disk.sync_dir(path("/")).unwrap();
        disk.rename(path("/tmp"), path("/kept")).unwrap();
        let seen = outcomes(&disk, &model, named);
        assert_eq!(seen, set(["kept(/old) tmp(/tmp)", "kept(/tmp)"]));
        disk.sync_dir(path("/")).unwrap();
        assert_eq!(outcomes(&disk, &model, named), set(["kept(/tmp)"]));
    }
}

#[test]
fn a_file_never_has_two_names() {
    let disk = SimDisk::new(5);
    create(&disk, "/a");
    disk.sync_dir(path("/")).unwrap();
    disk.rename(path("/a"), path("/b")).unwrap();
    disk.rename(path("/b"), path("/c")).unwrap();
    let seen = outcomes(&disk, &CLEAN, named);
    assert_eq!(seen, set(["a(/a)", "b(/a)", "c(/a)"]));
}

#[test]
fn a_new_file_may_survive_under_the_name_it_was_renamed_to_only() {
    let disk = SimDisk::new(6);
    create(&disk, "/tmp");
    disk.rename(path("/tmp"), path("/m")).unwrap();
    let seen = outcomes(&disk, &CLEAN, named);
    assert_eq!(seen, set(["", "tmp(/tmp)", "m(/tmp)"]));
}

#[test]
fn an_unsynced_removal_may_come_back_and_takes_its_space_again() {
    let disk = SimDisk::new(7);
    create(&disk, "/a");
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(disk.used_bytes(), 2);
    disk.remove(path("/a")).unwrap();
    assert_eq!(disk.used_bytes(), 0);
    let seen = outcomes(&disk, &CLEAN, |disk| (named(disk), disk.used_bytes()));
    let expected = [(String::new(), 0), ("a(/a)".to_owned(), 2)];
    assert_eq!(seen, BTreeSet::from(expected));
    let fork = disk.fork();
    fork.power_loss(&CrashModel::NOTHING_SURVIVES);
    fork.restart();
    let again = fork.open(path("/a"), OpenMode::ReadWrite).unwrap();
    again.write_all_at(b"longer", 0).unwrap();
    assert_eq!(
        fork.used_bytes(),
        6,
        "a file that came back is one like any other"
    );
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(outcomes(&disk, &CLEAN, names), set([""]));
}

#[test]
fn a_directory_whose_parent_was_not_synced_goes_with_all_in_it() {
    let disk = SimDisk::new(8);
    disk.create_dir(path("/j")).unwrap();
    let file = disk.open(path("/j/f"), OpenMode::CreateNew).unwrap();
    disk.sync_dir(path("/j")).unwrap();
    let there = |disk: &SimDisk| disk.read_file("/j/f").is_ok();
    let seen = outcomes(&disk, &CLEAN, there);
    assert_eq!(seen, BTreeSet::from([false, true]));
    file.sync_data().unwrap();
    let seen = outcomes(&disk, &CLEAN, there);
    assert_eq!(seen, BTreeSet::from([false, true]), "by the standard");
    let seen = outcomes(&disk, &CLEAN_ORDERED, there);
    assert_eq!(seen, BTreeSet::from([true]), "where order is kept");
    disk.sync_dir(path("/")).unwrap();
    assert_eq!(outcomes(&disk, &CLEAN, there), BTreeSet::from([true]));
}

#[test]
fn where_order_is_kept_a_sync_takes_all_directories_above_along() {
    let disk = SimDisk::new(12);
    for dir in ["/x", "/x/y", "/x/y/z"] {
        disk.create_dir(path(dir)).unwrap();
    }
    let file = disk.open(path("/x/y/z/f"), OpenMode::CreateNew).unwrap();
    file.sync_data().unwrap();
    let there = |disk: &SimDisk| disk.read_file("/x/y/z/f").is_ok();
    let seen = outcomes(&disk, &CLEAN_ORDERED, there);
    assert_eq!(seen, BTreeSet::from([true]));
}

#[test]
fn a_file_without_a_name_can_be_used_until_it_is_closed() {
    let disk = SimDisk::new(9);
    let file = create(&disk, "/a");
    disk.remove(path("/a")).unwrap();
    disk.sync_dir(path("/")).unwrap();
    file.write_all_at(b"still", 0).unwrap();
    file.sync_data().unwrap();
    let mut read = [0; 5];
    assert_eq!(file.read_at(&mut read, 0).unwrap(), 5);
    assert_eq!(disk.used_bytes(), 0);
    let nodes = || disk.shared.state.lock().nodes.len();
    assert_eq!(nodes(), 2);
    drop(file);
    assert_eq!(nodes(), 1, "nobody can reach the file any more");
}

#[test]
fn a_failed_directory_sync_settles_nothing() {
    let disk = SimDisk::new(10);
    create(&disk, "/a");
    disk.fail_nth(OpKind::SyncDir, 1, EIO, false);
    disk.sync_dir(path("/")).unwrap_err();
    assert_eq!(outcomes(&disk, &CLEAN, names), set(["", "a"]));
}

#[test]
fn files_put_in_place_by_tests_are_durable_whatever_was_pending() {
    let disk = SimDisk::new(11);
    create(&disk, "/a");
    create(&disk, "/b");
    disk.rename(path("/b"), path("/c")).unwrap();
    disk.write_file("/a", b"put").unwrap();
    disk.write_file("/c", b"put too").unwrap();
    let seen = outcomes(&disk, &CrashModel::HARSHEST, |disk| {
        (disk.read_file("/a").unwrap(), disk.read_file("/c").unwrap())
    });
    assert_eq!(
        seen,
        BTreeSet::from([(b"put".to_vec(), b"put too".to_vec())])
    );
    disk.remove_file("/a").unwrap();
    let seen = outcomes(&disk, &CrashModel::HARSHEST, |disk| {
        disk.read_file("/a").is_ok()
    });
    assert_eq!(seen, BTreeSet::from([false]));
}
