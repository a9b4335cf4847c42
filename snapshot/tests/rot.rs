//! Packs that rot while nobody has them open: their index, or one of their blocks.

use super::{contents, files, fill, fresh, open, options};
use crate::error::Error;
use crate::format::pack::Pack;
use crate::journal::handle::Journal;
use std::path::PathBuf;
use tempfile::TempDir;

/// Flips a bit in the middle of a pack's index.
fn rot(at: &TempDir, name: &str) -> PathBuf {
    let path = at.path().join(name);
    let mut bytes = std::fs::read(&path).expect("reads");
    let (_, footer) = Pack::ends(&bytes).expect("a pack");
    let middle = footer.index_offset + footer.index_len / 2;
    bytes[middle as usize] ^= 4;
    std::fs::write(&path, bytes).expect("writes");
    path
}

fn is_named(error: &Error, path: &PathBuf) -> bool {
    matches!(error, Error::Corrupt(why) if why.path == *path && why.offset.is_some())
}

/// Records of all sessions that can be read, and the errors on the way.
fn read_all(journal: &Journal) -> (usize, Vec<Error>) {
    let (mut good, mut bad) = (0, Vec::new());
    for session in journal.sessions().expect("lists") {
        let session = journal.find(&session.id).expect("there");
        for entry in session.read(..).expect("begins") {
            match entry {
                Ok(_) => good += 1,
                Err(error) => bad.push(error),
            }
        }
    }
    (good, bad)
}

/// 1. A pack that the last two snapshots need rots.
/// 2. Opening does not read it, for the snapshot before would need it too.
/// 3. Whoever searches it is told which file it is, every time.
#[test]
fn a_pack_that_all_snapshots_need_is_named_by_whoever_searches_it() {
    let (at, journal) = fresh();
    fill(&journal, 20);
    journal.compact().expect("compacts");
    fill(&journal, 5);
    let sessions = journal.sessions().expect("lists").len();
    journal.checkpoint().expect("is made");
    journal.close().expect("closes");
    let packs = files(&at, ".pack");
    let path = rot(&at, &packs[0]);

    let (journal, recovery) = options().open(at.path()).expect("opens");
    assert_eq!(recovery.warnings, [""; 0]);
    for _ in 0..2 {
        let (_, bad) = read_all(&journal);
        assert_eq!(bad.len(), sessions, "each session says so once");
        assert!(bad.iter().all(|error| is_named(error, &path)), "{bad:?}");
    }
    let mut log = journal.read(crate::Lsn::new(1)).expect("begins");
    assert!(
        log.next()
            .is_some_and(|first| is_named(&first.expect_err("rotten"), &path))
    );
    let last = journal.find("session 0").expect("there").last(1);
    assert_eq!(last.expect("is in the log").len(), 1);
    let verified = crate::verify(at.path()).expect("reads");
    let named = |finding: &crate::model::Finding| finding.file.as_deref() == Some(&*packs[0]);
    assert!(verified.damage().any(named), "{verified}");
}

/// 1. The newest snapshot has a pack of its own, which rots.
/// 2. The snapshot before serves, and the next compaction replaces what is damaged.
#[test]
fn a_pack_that_the_snapshot_before_does_without_costs_a_longer_replay() {
    let (at, journal) = fresh();
    fill(&journal, 20);
    journal.compact().expect("compacts");
    fill(&journal, 20);
    let all = contents(&journal);
    journal.compact().expect("compacts");
    let left = contents(&journal);
    drop(journal);
    let packs = files(&at, ".pack");
    rot(&at, packs.last().expect("a pack"));

    let (journal, recovery) = options().open(at.path()).expect("opens");
    let warning = recovery.warnings.iter().find(|w| w.contains("passed over"));
    assert!(warning.is_some(), "{:?}", recovery.warnings);
    let found = contents(&journal);
    for (id, entries) in &left {
        let all = &all[id];
        assert!(
            entries.iter().all(|entry| found[id].contains(entry)),
            "{id}"
        );
        assert!(found[id].iter().all(|entry| all.contains(entry)), "{id}");
    }
    journal.compact().expect("replaces what is damaged");
    drop(journal);
    let verified = crate::verify(at.path()).expect("reads");
    drop(open(&at, options()));
    assert!(verified.is_sound(), "{verified}");
}

/// 1. One block of a pack rots. Records stand there by session.
/// 2. Reading the journal in LSN order, which takes them from all blocks in turn, gives what comes
///    before the first record of that block, and then says which record is damaged.
/// 3. Reading by session gives every record of the other blocks.
#[test]
fn a_block_that_rots_hides_nothing_but_its_own_records() {
    let (at, journal) = fresh();
    for round in 0..40 {
        for name in ["a", "b", "c"] {
            let session = journal.session(name).expect("a session");
            let note = format!("{name} {round} ").repeat(600 + 8 * round);
            session.append("note", note).expect("is kept");
        }
    }
    journal.compact().expect("compacts");
    let whole: Vec<_> = journal.read(crate::Lsn::new(1)).expect("begins").collect();
    let whole: Vec<_> = whole.into_iter().map(|e| e.expect("reads")).collect();
    journal.close().expect("closes");
    let packs = files(&at, ".pack");
    let path = at.path().join(&packs[0]);
    let mut bytes = std::fs::read(&path).expect("reads");
    let (blocks, hit) = {
        let pack = Pack::decode(&bytes).expect("a pack");
        let hit = pack.index.block_count() / 2;
        (pack.index.block_count(), pack.index.block_offset(hit))
    };
    assert!(blocks >= 6, "{blocks} blocks");
    bytes[hit.expect("there is one") as usize + 100] ^= 1;
    std::fs::write(&path, &bytes).expect("writes");

    let (journal, _) = options().open(at.path()).expect("opens");
    let mut read = Vec::new();
    let mut error = None;
    for entry in journal.read(crate::Lsn::new(1)).expect("begins") {
        match entry {
            Ok(entry) => read.push(entry),
            Err(damage) => error = Some(damage),
        }
    }
    assert!(!read.is_empty() && read.len() < whole.len());
    assert_eq!(read, whole[..read.len()]);
    let first_lost = whole[read.len()].lsn;
    match error {
        Some(Error::Corrupt(why)) => {
            assert_eq!(why.path, path);
            assert_eq!(why.lsn_from, Some(first_lost), "{why}");
        }
        other => panic!("{other:?}"),
    }
    let (good, bad) = read_all(&journal);
    assert_eq!(good + bad.len(), whole.len());
    assert!(bad.iter().all(|error| is_named(error, &path)), "{bad:?}");
    assert!(good > whole.len() / 2, "{good} of {}", whole.len());
}
