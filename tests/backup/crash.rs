//! The power fails before every operation of a backup, a restore, a prune and an upgrade, and
//! the next process goes on with what is left.
//!
//! Each operation is cut under four models of what survives. The oracle: the journal shows what it
//! showed, or, of a restore, what the backup shows; nothing that is listed as a backup is
//! anything but good; and doing it again succeeds.

use super::*;
use turnkeep::format::header::FORMAT_VERSION;
use turnkeep::storage::sim::{CrashModel, is_powered_off};
use turnkeep::{Error, KeepBackups, ListedBackup, Restore, Upgrade, verify_on};

const MODELS: [CrashModel; 4] = [
    CrashModel::HARSHEST,
    CrashModel::ORDERED,
    CrashModel::NOTHING_SURVIVES,
    CrashModel::EVERYTHING_SURVIVES,
];

/// Cuts `act` before each of its operations, and hands what is left to `check`, which is told
/// whether the act came to its end. Returns how many cuts there were.
fn cut_everywhere(
    base: &SimDisk,
    act: impl Fn(&SimDisk) -> turnkeep::Result<()>,
    check: impl Fn(&SimDisk, &str),
) -> u64 {
    let whole = base.fork();
    whole.kill();
    let before = whole.ops();
    act(&whole).expect("without a cut it succeeds");
    let ops = whole.ops() - before;
    for at in 0..ops {
        for (nth, model) in MODELS.iter().enumerate() {
            for seed in 0..2 {
                let disk = base.fork();
                disk.kill();
                disk.reseed(at << 8 | seed);
                disk.arm_power_loss(at);
                let cut = act(&disk);
                disk.power_loss(model);
                disk.restart();
                let story = format!("before operation {at} of {ops}, model {nth}, seed {seed}");
                if let Err(Error::Io { source, .. }) = &cut {
                    assert!(is_powered_off(source), "{story}: {cut:?}");
                }
                check(&disk, &story);
                act(&disk).unwrap_or_else(|e| panic!("{story}: again: {e:?}"));
                check(&disk, &format!("{story}, again"));
            }
        }
    }
    ops
}

/// What is listed as complete is good, and the journal can be opened and written to.
fn complete(disk: &SimDisk, story: &str) -> Vec<turnkeep::Backup> {
    let listed = store(disk).list().expect("lists");
    let complete = listed.iter().filter_map(ListedBackup::complete);
    let complete: Vec<_> = complete.cloned().collect();
    for backup in &complete {
        let report = store(disk).verify(&number(backup)).expect("verifies");
        assert!(report.is_good(), "{story}: {report}");
    }
    complete
}

fn shown(disk: &SimDisk, story: &str) -> Vec<String> {
    // On a copy: the disk itself stays as the crash left it.
    let copy = disk.fork();
    copy.kill();
    // Who only looks sees the same as who opens it, and so does a backup made now.
    let seen = dump(&copy, JOURNAL);
    let report = verify_on(storage(&copy), JOURNAL, &mut |_| ()).expect("verifies");
    assert!(report.is_sound(), "{story}: {report}");
    let made = Backups::at_on(storage(&copy), "/of-what-is-left").create(JOURNAL, None);
    let made = made.unwrap_or_else(|e| panic!("{story}: {e:?}"));
    let made = Backups::at_on(storage(&copy), "/of-what-is-left").path_of(made.number);
    assert_eq!(dump(&copy, made), seen, "{story}");
    let opened = options(&copy).open(JOURNAL);
    let (journal, _) = opened.unwrap_or_else(|e| panic!("{story}: {e:?}"));
    let there = dump(&copy, JOURNAL);
    assert_eq!(there, seen, "{story}");
    // Far enough for the log to leave its segment, and to come back to what was left behind.
    work_through(&journal, 77..90);
    journal.close().unwrap_or_else(|e| panic!("{story}: {e:?}"));
    let opened = options(&copy).open(JOURNAL);
    drop(opened.unwrap_or_else(|e| panic!("{story}: again: {e:?}")));
    there
}

/// A small journal with a pack, a snapshot and a log, and one backup of what it was before.
fn base() -> (SimDisk, turnkeep::Backup, Vec<String>, Vec<String>) {
    let disk = SimDisk::new(11);
    let journal = open(&disk);
    work_through(&journal, 0..2);
    journal.compact().expect("compacts");
    work(&journal, 2);
    let then = dump(&disk, JOURNAL);
    let backup = journal.backup(STORE).expect("backs up");
    work(&journal, 3);
    journal.close().expect("closes");
    let now = dump(&disk, JOURNAL);
    let settled = disk.fork();
    settled.kill();
    settled.power_loss(&CrashModel::EVERYTHING_SURVIVES);
    settled.restart();
    (settled, backup, then, now)
}

#[test]
fn a_backup_cut_anywhere_is_not_there_or_whole() {
    let (base, first, then, now) = base();
    let cuts = cut_everywhere(
        &base,
        |disk| store(disk).create(JOURNAL, None).map(drop),
        |disk, story| {
            assert_eq!(shown(disk, story), now, "{story}");
            for backup in complete(disk, story) {
                let expected = if backup.number == first.number {
                    &then
                } else {
                    &now
                };
                let path = store(disk).path_of(backup.number);
                assert_eq!(&dump(disk, path), expected, "{story}");
            }
        },
    );
    assert!(cuts > 15, "{cuts}");
}

#[test]
fn a_restore_cut_anywhere_leaves_the_old_journal_or_the_new_one() {
    let (base, first, then, now) = base();
    let cuts = cut_everywhere(
        &base,
        |disk| {
            let done = store(disk).restore(&number(&first), JOURNAL, &Restore::default());
            done.map(drop)
        },
        |disk, story| {
            let there = shown(disk, story);
            assert!(there == now || there == then, "{story}: {there:#?}");
            let complete = complete(disk, story);
            let kept = |b: &turnkeep::Backup| dump(disk, store(disk).path_of(b.number)) == now;
            assert!(
                there == now || complete.iter().any(kept),
                "{story}: not kept"
            );
        },
    );
    assert!(cuts > 40, "{cuts}");
}

#[test]
fn a_restore_into_nothing_cut_anywhere_leaves_nothing_or_all_of_it() {
    let (base, first, then, _) = base();
    let elsewhere = "/elsewhere.journal";
    cut_everywhere(
        &base,
        |disk| {
            let into = match dump_if_there(disk, elsewhere) {
                // Done already: what follows a cut behind the last step.
                Some(_) => "/a-third.journal",
                None => elsewhere,
            };
            store(disk)
                .restore(&number(&first), into, &Restore::default())
                .map(drop)
        },
        |disk, story| {
            if let Some(there) = dump_if_there(disk, elsewhere) {
                assert_eq!(there, then, "{story}");
            }
            complete(disk, story);
        },
    );
}

fn dump_if_there(disk: &SimDisk, path: &str) -> Option<Vec<String>> {
    let names = disk.list_files(path).ok()?;
    let is_there = names
        .iter()
        .any(|name| name.starts_with("manifest-") && !name.ends_with("tmp"));
    is_there.then(|| {
        let copy = disk.fork();
        copy.kill();
        drop(options(&copy).open(path).expect("opens"));
        dump(&copy, path)
    })
}

#[test]
fn a_prune_cut_anywhere_leaves_a_good_one() {
    let (base, ..) = base();
    (0..2).for_each(|_| drop(store(&base).create(JOURNAL, None).expect("backs up")));
    let keep = KeepBackups {
        last: std::num::NonZeroU32::MIN,
        within_ms: None,
    };
    cut_everywhere(
        &base,
        |disk| store(disk).prune(&keep, false).map(drop),
        |disk, story| {
            let complete = complete(disk, story);
            assert!(complete.iter().any(|backup| backup.number == 3), "{story}");
        },
    );
}

#[test]
fn an_upgrade_cut_anywhere_leaves_a_whole_journal() {
    let (base, _, _, now) = base();
    cut_everywhere(
        &base,
        |disk| {
            // One that was cut is begun again by hand where the format did not change.
            let stale = Which::Name(format!("before-upgrade-to-{FORMAT_VERSION}"));
            if store(disk).find(&stale).is_ok() {
                store(disk).remove(&stale)?;
            }
            let mut options = Upgrade::default();
            options.even_if_current = true;
            store(disk)
                .upgrade(JOURNAL, &options, &mut |_| ())
                .map(drop)
        },
        |disk, story| {
            assert_eq!(shown(disk, story), now, "{story}");
            complete(disk, story);
        },
    );
}

/// A journal of an older version, as a build of then left it.
fn of_version_0(name: &str) -> SimDisk {
    let disk = SimDisk::new(21);
    let kept = format!("{}/tests/golden/v0/{name}", env!("CARGO_MANIFEST_DIR"));
    disk.create_dir(Path::new(JOURNAL)).expect("creates");
    for entry in std::fs::read_dir(kept).expect("lists") {
        let path = entry.expect("is there").path();
        let bytes = std::fs::read(&path).expect("reads");
        let name = path.file_name().expect("has one");
        let to = Path::new(JOURNAL).join(name);
        disk.write_file(&to, &bytes).expect("writes");
    }
    disk.sync_dir(Path::new("/")).expect("syncs");
    disk.sync_dir(Path::new(JOURNAL)).expect("syncs");
    disk
}

/// An upgrade was cut behind its manifest, begun again, and threw away the old files as the leftovers
/// of an upgrade that had not come about.
#[test]
fn an_upgrade_of_an_older_version_cut_anywhere_keeps_the_old_files_until_confirmed() {
    let base = of_version_0("plain");
    let (old, then) = (files(&base, JOURNAL), dump(&base, JOURNAL));
    let kept_name = Which::Name(format!("before-upgrade-to-{FORMAT_VERSION}"));
    let identity = |disk: &SimDisk| {
        let reader = options(disk).open_read_only(JOURNAL).expect("opens");
        reader.stat().expect("counts").journal
    };
    let before = identity(&base);
    let cuts = cut_everywhere(
        &base,
        |disk| match store(disk).upgrade(JOURNAL, &Upgrade::default(), &mut |_| ()) {
            // It is in force already, and waits to be confirmed.
            Err(Error::Invalid { .. }) => Ok(()),
            done => done.map(drop),
        },
        |disk, story| {
            assert_eq!(shown(disk, story), then, "{story}");
            complete(disk, story);
            let kept = store(disk).find(&kept_name);
            let is_new = identity(disk) != before;
            assert!(!is_new || kept.is_ok(), "{story}: nothing is kept");
            if let Ok(kept) = kept {
                // And perhaps what the upgrade that was cut had begun.
                let kept = files(disk, store(disk).path_of(kept.number));
                for file in &old {
                    assert!(kept.contains(file), "{story}: {}", file.0);
                }
            }
            if story.ends_with("again") {
                assert!(is_new, "{story}: it was not upgraded");
                let confirmed = disk.fork();
                confirmed.kill();
                let confirmed = store(&confirmed).confirm_upgrade(JOURNAL);
                confirmed.unwrap_or_else(|e| panic!("{story}: {e:?}"));
            }
        },
    );
    assert!(cuts > 40, "{cuts}");
}

#[test]
fn an_export_cut_anywhere_leaves_no_journal_or_all_of_it() {
    let (base, first, then, _) = base();
    let cuts = cut_everywhere(
        &base,
        |disk| {
            let begun = disk.list_files("/exported");
            let into = match begun.is_ok_and(|files| !files.is_empty()) {
                true => "/once-more",
                false => "/exported",
            };
            let done = store(disk).export(&number(&first), into, &mut |_| ());
            done.map(drop)
        },
        |disk, story| {
            let there = ["/exported", "/once-more"].map(|path| dump_if_there(disk, path));
            for there in there.iter().flatten() {
                assert_eq!(there, &then, "{story}");
            }
            assert!(
                !story.ends_with("again") || there.iter().any(Option::is_some),
                "{story}"
            );
            complete(disk, story);
        },
    );
    assert!(cuts > 8, "{cuts}");
}

#[test]
fn a_removal_cut_anywhere_leaves_a_good_one() {
    let (base, first, ..) = base();
    let second = store(&base).create(JOURNAL, None).expect("backs up");
    cut_everywhere(
        &base,
        |disk| match store(disk).remove(&number(&first)) {
            // The label was gone already.
            Err(Error::NoBackup { .. }) => Ok(()),
            done => done.map(drop),
        },
        |disk, story| {
            let complete = complete(disk, story);
            assert!(complete.contains(&second), "{story}");
            assert!(!story.ends_with("again") || complete.len() == 1, "{story}");
        },
    );
}
