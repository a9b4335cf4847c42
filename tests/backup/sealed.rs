//! A sealed journal is backed up, verified and restored by somebody who has no key, and what was
//! said is in the clear nowhere.

use super::*;
use turnkeep::{Key, KeyRing, Restore};

const SECRET: &str = "the launch code is 0000";

fn sealing(disk: &SimDisk, n: u8) -> Options {
    options(disk).keys(KeyRing::new(Key::new([n; 32])))
}

fn say(journal: &Journal, round: u32) {
    let session = journal.session("s").expect("opens");
    let key = format!("req-{round}");
    let turn = session
        .begin(Input::user(SECRET).key(&key))
        .expect("begins");
    turn.call("c", "tool", SECRET).expect("calls");
    turn.result("c", SECRET).expect("answers");
    turn.complete(SECRET).expect("ends");
    session.put("k", SECRET).expect("puts");
    journal
        .session(&format!("gone {round}"))
        .expect("opens")
        .append("note", SECRET)
        .expect("appends");
}

fn contents(reader: &Reader) -> Vec<(Seq, Vec<u8>)> {
    let entries = reader.find("s").expect("is there").read(..).expect("reads");
    entries
        .map(|entry| {
            let entry = entry.expect("opens");
            (entry.seq, entry.content)
        })
        .collect()
}

fn expect_no_secret(disk: &SimDisk, dir: impl AsRef<Path>) {
    for (name, bytes) in files(disk, dir) {
        let is_there = bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
        assert!(!is_there, "{name} says it");
    }
}

/// The keeper of the backups is not who may read what the agents said.
#[test]
fn a_sealed_journal_is_backed_up_verified_and_restored_without_its_key() {
    let disk = SimDisk::new(31);
    let (journal, _) = sealing(&disk, 1).open(JOURNAL).expect("opens");
    say(&journal, 0);
    journal.compact().expect("compacts");
    say(&journal, 1);
    let reader = sealing(&disk, 1).open_read_only(JOURNAL).expect("opens");
    let then = contents(&reader);
    assert!(then.iter().any(|(_, content)| content == SECRET.as_bytes()));

    let backup = store(&disk).create(JOURNAL, None).expect("backs up");
    let report = store(&disk).verify(&number(&backup)).expect("verifies");
    assert!(report.is_good(), "{report}");
    let of_backup = store(&disk).path_of(backup.number);
    expect_no_secret(&disk, &of_backup);

    say(&journal, 2);
    let gone = journal.find("gone 0").expect("is there");
    gone.delete().expect("deletes");
    journal.close().expect("closes");
    let done = store(&disk)
        .restore(&number(&backup), JOURNAL, &Restore::default())
        .expect("restores");
    assert_eq!(done.erased_again.len(), 1);
    expect_no_secret(&disk, JOURNAL);
    let kept = done.kept.expect("what was there is kept");
    expect_no_secret(&disk, store(&disk).path_of(kept.number));

    for path in [of_backup.as_path(), Path::new(JOURNAL)] {
        let with_key = sealing(&disk, 1).open_read_only(path).expect("opens");
        assert_eq!(contents(&with_key), then, "{}", path.display());
        for other in [options(&disk), sealing(&disk, 2)] {
            let reader = other.open_read_only(path).expect("opens");
            let mut entries = reader.find("s").expect("is there").read(..).expect("reads");
            let refused = entries.find_map(|entry| entry.err()).expect("is shut");
            assert_eq!(refused.code(), "no_key", "{}", path.display());
        }
    }

    // The restored one goes on sealing, and compacts without dropping a key.
    let (journal, _) = sealing(&disk, 1).open(JOURNAL).expect("opens");
    say(&journal, 3);
    journal.compact().expect("compacts");
    journal.close().expect("closes");
    expect_no_secret(&disk, JOURNAL);
    let with_key = sealing(&disk, 1).open_read_only(JOURNAL).expect("opens");
    assert_eq!(contents(&with_key)[..then.len()], then);
}

/// A key was dropped, so what it sealed is lost for good; its journal is none the less whole, and an
/// upgrade loses nothing more.
#[test]
fn a_journal_whose_key_is_gone_is_upgraded_all_the_same() {
    let disk = SimDisk::new(32);
    let (journal, _) = sealing(&disk, 1).open(JOURNAL).expect("opens");
    say(&journal, 0);
    journal.close().expect("closes");
    let reader = sealing(&disk, 1).open_read_only(JOURNAL).expect("opens");
    let then = contents(&reader);
    let mut upgrade = turnkeep::Upgrade::default();
    upgrade.even_if_current = true;
    let done = store(&disk)
        .upgrade(JOURNAL, &upgrade, &mut |_| ())
        .expect("upgrades");
    assert!(done.records > 0);
    store(&disk).confirm_upgrade(JOURNAL).expect("confirms");
    expect_no_secret(&disk, JOURNAL);
    let with_key = sealing(&disk, 1).open_read_only(JOURNAL).expect("opens");
    assert_eq!(contents(&with_key), then);
}
