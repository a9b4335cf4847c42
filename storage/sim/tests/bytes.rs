use super::*;

#[test]
fn synced_data_is_never_lost_even_to_the_harshest_model() {
    let disk = SimDisk::new(1);
    let file = synced(&disk, "/f", &[b'a'; 8192]);
    // In flight, in blocks of their own.
    file.write_all_at(&[b'b'; 5000], 8192).unwrap();
    file.set_len(100_000).unwrap();
    let kept = outcomes(&disk, &CrashModel::HARSHEST, |disk| {
        disk.read_file("/f").unwrap()[..8192] == [b'a'; 8192]
    });
    assert_eq!(kept, BTreeSet::from([true]));
}

#[test]
fn any_subset_of_unsynced_sectors_survives() {
    let disk = SimDisk::new(2);
    let file = synced(&disk, "/f", &[b'a'; 4 * 512]);
    file.write_all_at(&[b'b'; 2 * 512], 0).unwrap();
    file.write_all_at(&[b'b'; 512], 3 * 512).unwrap();
    let seen = outcomes(&disk, &CLEAN, |disk| file_by_sector(disk, "/f"));
    let expected = set([
        "aaaa", "baaa", "abaa", "bbaa", "aaab", "baab", "abab", "bbab",
    ]);
    assert_eq!(seen, expected);
}

#[test]
fn a_sector_written_often_survives_in_any_of_its_states() {
    let disk = SimDisk::new(3);
    let file = synced(&disk, "/f", &[b'a'; 512]);
    for letter in [b'b', b'c', b'd'] {
        file.write_all_at(&[letter; 512], 0).unwrap();
    }
    let seen = outcomes(&disk, &CLEAN, |disk| file_by_sector(disk, "/f"));
    assert_eq!(seen, set(["a", "b", "c", "d"]));
    file.sync_data().unwrap();
    let seen = outcomes(&disk, &CLEAN, |disk| file_by_sector(disk, "/f"));
    assert_eq!(seen, set(["d"]));
}

#[test]
fn what_is_written_to_part_of_a_sector_takes_the_rest_along() {
    let disk = SimDisk::new(4);
    let file = synced(&disk, "/f", &[b'a'; 512]);
    file.write_all_at(b"xy", 255).unwrap();
    let seen = outcomes(&disk, &CLEAN, |disk| disk.read_file("/f").unwrap());
    let mut new = vec![b'a'; 512];
    new[255..257].copy_from_slice(b"xy");
    assert_eq!(seen, BTreeSet::from([vec![b'a'; 512], new]));
}

#[test]
fn torn_sectors_are_cut_at_any_byte_or_garbage() {
    let disk = SimDisk::new(5);
    let file = synced(&disk, "/f", &[b'a'; 512]);
    file.write_all_at(&[b'b'; 512], 0).unwrap();
    let model = CrashModel {
        torn: true,
        ..CLEAN
    };
    let mut heads = BTreeSet::new();
    let mut tails = BTreeSet::new();
    let mut garbage = 0;
    for bytes in outcomes(&disk, &model, |disk| disk.read_file("/f").unwrap()) {
        let turn = bytes.iter().position(|b| *b != bytes[0]).unwrap_or(512);
        match (bytes[0], bytes[511]) {
            (b'b', b'a') if bytes[turn..].iter().all(|b| *b == b'a') => drop(heads.insert(turn)),
            (b'a', b'b') if bytes[turn..].iter().all(|b| *b == b'b') => drop(tails.insert(turn)),
            (b'a', b'a') | (b'b', b'b') if turn == 512 => {}
            _ => garbage += 1,
        }
    }
    assert!(heads.len() > 5 && tails.len() > 5, "{heads:?} {tails:?}");
    assert!(heads.iter().any(|cut| cut % 8 != 0), "{heads:?}");
    assert!(garbage > 3, "{garbage}");
}

#[test]
fn without_powersafe_overwrite_the_block_goes_and_no_more() {
    let disk = SimDisk::new(6);
    let file = synced(&disk, "/f", &[b'a'; 3 * 4096]);
    file.write_all_at(&[b'b'; 512], 4096 + 1024).unwrap();
    let unsafe_overwrite = CrashModel {
        psow: false,
        ..CLEAN
    };
    let seen = outcomes(&disk, &unsafe_overwrite, |disk| file_by_sector(disk, "/f"));
    let mut lost_at = BTreeSet::new();
    for sectors in &seen {
        assert_eq!((&sectors[..8], &sectors[16..]), ("aaaaaaaa", "aaaaaaaa"));
        let written = &sectors[10..11];
        assert!(
            written == "a" || written == "b",
            "whole sectors only: {sectors}"
        );
        let block = sectors[8..16].char_indices();
        lost_at.extend(block.filter(|(i, c)| *i != 2 && *c != 'a').map(|(i, _)| i));
    }
    assert_eq!(lost_at, BTreeSet::from([0, 1, 3, 4, 5, 6, 7]));
    let seen = outcomes(&disk, &CLEAN, |disk| file_by_sector(disk, "/f"));
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn unsynced_lengths_survive_or_not_and_gained_bytes_are_zeros() {
    let disk = SimDisk::new(7);
    let file = synced(&disk, "/f", &[b'a'; 512]);
    file.write_all_at(&[b'b'; 512], 512).unwrap();
    file.set_len(3 * 512).unwrap();
    let seen = outcomes(&disk, &CLEAN, |disk| file_by_sector(disk, "/f"));
    assert_eq!(seen, set(["a", "ab", "a0", "ab0", "a00"]));
    file.sync_data().unwrap();
    let seen = outcomes(&disk, &CLEAN, |disk| file_by_sector(disk, "/f"));
    assert_eq!(seen, set(["ab0"]));
}

#[test]
fn an_unsynced_truncation_may_not_have_happened() {
    let disk = SimDisk::new(8);
    let file = synced(&disk, "/f", &[b'a'; 2 * 512]);
    file.set_len(512).unwrap();
    let seen = outcomes(&disk, &CLEAN, |disk| file_by_sector(disk, "/f"));
    // The last is a truncation that took the bytes and not yet the length.
    assert_eq!(seen, set(["aa", "a", "a0"]));
    assert_eq!(disk.used_bytes(), 512);
    let used = outcomes(&disk, &CLEAN, SimDisk::used_bytes);
    assert_eq!(
        used,
        BTreeSet::from([512, 1024]),
        "bytes that came back take space"
    );
    file.set_len(2 * 512).unwrap();
    assert_eq!(file_by_sector(&disk, "/f"), "a0");
    file.sync_data().unwrap();
    let seen = outcomes(&disk, &CLEAN, |disk| file_by_sector(disk, "/f"));
    assert_eq!(seen, set(["a0"]));
}

#[test]
fn growing_again_after_a_crash_never_brings_cut_bytes_back() {
    let disk = SimDisk::new(9);
    let file = synced(&disk, "/f", &[b'a'; 700]);
    file.set_len(600).unwrap();
    let regrown = outcomes(&disk, &CrashModel::HARSHEST, |disk| {
        let file = disk.open(path("/f"), OpenMode::ReadWrite).unwrap();
        let len = file.size().unwrap() as usize;
        file.set_len(2000).unwrap();
        disk.read_file("/f").unwrap()[len..].iter().all(|b| *b == 0)
    });
    assert_eq!(regrown, BTreeSet::from([true]));
}

#[test]
fn page_stores_survive_a_kill_and_crash_to_any_state_ever_stored() {
    let disk = SimDisk::new(10);
    let file = synced(&disk, "/f", &[b'a'; 4096]);
    let page = file.page().unwrap();
    let ops = disk.ops();
    page.store(512, &[b'b'; 512]);
    page.store(512, &[b'c'; 512]);
    page.store(1024, &[b'd'; 512]);
    assert_eq!(disk.ops(), ops, "a store is no system call");
    let mut read = [0; 512];
    file.read_at(&mut read, 512).unwrap();
    assert_eq!(read, [b'c'; 512], "readers see the store");
    let seen = outcomes(&disk, &CLEAN, |disk| {
        file_by_sector(disk, "/f")[..3].to_owned()
    });
    assert_eq!(seen, set(["aaa", "aba", "aca", "aad", "abd", "acd"]));
    disk.kill();
    assert_eq!(file_by_sector(&disk, "/f"), "acdaaaaa");
    page.store(512, &[b'z'; 512]);
    assert_eq!(
        file_by_sector(&disk, "/f"),
        "acdaaaaa",
        "the dead store nothing"
    );
}

#[test]
fn many_stores_take_bounded_memory_and_any_may_be_left() {
    let disk = SimDisk::new(11);
    let file = synced(&disk, "/f", &[0; 4096]);
    let page = file.page().unwrap();
    for i in 1..=10_000_u64 {
        page.store(512, &i.to_le_bytes());
    }
    let at = |disk: &SimDisk| {
        let bytes = disk.read_file("/f").unwrap();
        u64::from_le_bytes(bytes[512..520].try_into().unwrap())
    };
    let seen = outcomes(&disk, &CLEAN, at);
    assert!(seen.contains(&0) && seen.contains(&10_000), "{seen:?}");
    assert!(seen.len() > 10 && seen.len() <= 34, "{seen:?}");
}

#[test]
fn a_failed_sync_then_a_good_one_leaves_old_bytes_after_power_loss() {
    // A user lost a turn this way on three file systems: the sync failed once, the second
    // said all was well, and reading showed the new bytes until the machine was restarted.
    let disk = SimDisk::new(12);
    let file = synced(&disk, "/f", &[b'a'; 1024]);
    file.write_all_at(&[b'b'; 1024], 0).unwrap();
    disk.fail_nth(OpKind::SyncData, 1, EIO, false);
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(EIO));
    assert_eq!(
        file_by_sector(&disk, "/f"),
        "bb",
        "the process sees its bytes"
    );
    file.sync_data()
        .expect("the second sync has nothing to write");
    disk.kill();
    assert_eq!(
        file_by_sector(&disk, "/f"),
        "bb",
        "so does the next process"
    );
    let seen = outcomes(&disk, &CrashModel::HARSHEST, |disk| {
        file_by_sector(disk, "/f")
    });
    assert_eq!(seen, set(["aa"]));
    let landing = CrashModel {
        failed_syncs_may_land: true,
        ..CLEAN
    };
    let seen = outcomes(&disk, &landing, |disk| file_by_sector(disk, "/f"));
    assert_eq!(seen, set(["aa", "ab", "ba", "bb"]));
}

#[test]
fn what_is_written_again_after_a_failed_sync_can_be_synced() {
    let disk = SimDisk::new(13);
    let file = synced(&disk, "/f", &[b'a'; 3 * 512]);
    file.write_all_at(&[b'b'; 3 * 512], 0).unwrap();
    disk.fail_nth(OpKind::SyncData, 1, EIO, false);
    file.sync_data().unwrap_err();
    file.write_all_at(&[b'c'; 512], 512).unwrap();
    file.write_all_at(&[b'd'; 512], 3 * 512).unwrap();
    file.sync_data().unwrap();
    let seen = outcomes(&disk, &CrashModel::HARSHEST, |disk| {
        file_by_sector(disk, "/f")
    });
    assert_eq!(seen, set(["acad"]));
}

#[test]
fn the_extreme_models_keep_all_or_nothing() {
    let disk = SimDisk::new(14);
    let file = synced(&disk, "/f", &[b'a'; 1024]);
    file.write_all_at(&[b'b'; 1024], 512).unwrap();
    disk.open(path("/g"), OpenMode::CreateNew).unwrap();
    let look = |disk: &SimDisk| names(disk) + ": " + &file_by_sector(disk, "/f");
    let nothing = outcomes(&disk, &CrashModel::NOTHING_SURVIVES, look);
    assert_eq!(nothing, set(["f: aa"]));
    let g = disk.open(path("/g"), OpenMode::ReadWrite).unwrap();
    g.sync_data().unwrap();
    let ordered = CrashModel {
        names: NameModel::Ordered,
        ..CrashModel::NOTHING_SURVIVES
    };
    let nothing = outcomes(&disk, &ordered, look);
    assert_eq!(nothing, set(["f g: aa"]), "g's sync took its name along");
    let everything = outcomes(&disk, &CrashModel::EVERYTHING_SURVIVES, look);
    assert_eq!(everything, set(["f g: abb"]));
}
