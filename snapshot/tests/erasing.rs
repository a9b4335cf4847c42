//! What was deleted, cleared or truncated leaves every file with the next compaction.

use super::{contents, digest, files, fill, fresh, open, options};
use crate::format::ids::Seq;
use crate::journal::handle::Journal;
use crate::journal::turn::Input;
use std::collections::HashMap;
use tempfile::TempDir;

/// Files that hold any twenty bytes in a row of one of these. Packs may be compressed, so what
/// goes in does not compress; but a few bytes of it may by chance occur earlier, and then it
/// stands there in pieces.
fn holding_any<'n>(at: &TempDir, needles: impl IntoIterator<Item = &'n [u8]>) -> Vec<String> {
    let pieces: HashMap<[u8; 4], Vec<&[u8]>> = needles
        .into_iter()
        .flat_map(|needle| needle.chunks(20).filter(|piece| piece.len() >= 4))
        .fold(HashMap::new(), |mut pieces, piece| {
            let start = piece[..4].try_into().expect("four bytes");
            pieces.entry(start).or_default().push(piece);
            pieces
        });
    let holds = |name: &String| {
        let bytes = std::fs::read(at.path().join(name)).expect("reads");
        let starts = bytes.windows(4).enumerate();
        starts
            .filter(|(_, start)| *start != [0; 4])
            .any(|(i, start)| {
                let start: [u8; 4] = start.try_into().expect("four bytes");
                let candidates = pieces.get(&start).into_iter().flatten();
                candidates
                    .clone()
                    .any(|piece| bytes[i..].starts_with(piece))
            })
    };
    files(at, "").into_iter().filter(holds).collect()
}

/// Files that hold this.
fn holding(at: &TempDir, needle: &[u8]) -> Vec<String> {
    holding_any(at, [needle])
}

/// Bytes that no compressor finds anything in, and that occur nowhere else.
fn secret(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(200).collect()
}

/// Three sessions with a secret each, all in packs, in older snapshots and in spares.
fn prepare() -> (TempDir, Journal) {
    let (at, journal) = fresh();
    for round in 0..4 {
        fill(&journal, 12);
        for (n, name) in ["deleted", "cleared", "truncated"].into_iter().enumerate() {
            let session = journal.session(name).expect("a session");
            let n = n as u64 * 10 + round;
            session.append("secret", secret(n)).expect("goes in");
            session
                .put(&format!("hidden {round}"), secret(100 + n))
                .expect("goes in");
            session.append("kept", "kept").expect("goes in");
        }
        journal.compact().expect("compacts");
    }
    for n in [0, 12, 23, 100, 111] {
        assert!(
            !holding(&at, &secret(n)).is_empty(),
            "secret {n} is somewhere"
        );
    }
    (at, journal)
}

fn all_secrets() -> impl Iterator<Item = u64> {
    (0..3).flat_map(|n| (0..4).flat_map(move |round| [n * 10 + round, 100 + n * 10 + round]))
}

#[test]
fn no_byte_of_it_is_left_in_any_file() {
    let (at, journal) = prepare();
    journal
        .find("deleted")
        .expect("there")
        .delete()
        .expect("deletes");
    journal
        .find("cleared")
        .expect("there")
        .clear()
        .expect("clears");
    journal
        .find("truncated")
        .expect("there")
        .truncate_from(Seq::new(2))
        .expect("truncates");
    let (all, before) = (contents(&journal), digest(&journal));
    let plan = journal.plan_compaction().expect("plans");
    assert!(plan.erasing);
    let done = journal.compact().expect("compacts");
    assert!(done.erased, "{done}");
    assert_eq!(plan.records_erased, done.records_erased);
    assert_eq!(plan.packs_rewritten, done.packs_rewritten);
    assert!(done.records_erased >= 3 * 8, "{done}");
    let secrets: Vec<Vec<u8>> = all_secrets().map(secret).collect();
    assert_eq!(holding_any(&at, secrets.iter().map(Vec::as_slice)), [""; 0]);
    for name in ["deleted", "hidden 0"] {
        assert_eq!(
            holding(&at, name.as_bytes()),
            [""; 0],
            "{name:?} is still named"
        );
    }
    assert_eq!(
        files(&at, ".state").len(),
        2,
        "two recovery paths, both clean"
    );
    assert_eq!(
        contents(&journal).keys().collect::<Vec<_>>(),
        all.keys().collect::<Vec<_>>()
    );
    assert_eq!(digest(&journal), before);
    // Either manifest refers to what is there, and to nothing else.
    let dir = super::dir(&at);
    for name in files(&at, "")
        .iter()
        .filter(|name| name.starts_with("manifest"))
    {
        let bytes = std::fs::read(at.path().join(name)).expect("reads");
        let manifest = crate::format::manifest::Manifest::decode(&bytes).expect("decodes");
        assert_eq!(manifest.snapshots.len(), 2, "{name}");
        for snapshot in &manifest.snapshots {
            let journal = journal.shared.journal;
            crate::snapshot::load::load(&dir, journal, snapshot, 128).expect("loads");
            crate::snapshot::load::open_packs(&dir, journal, &snapshot.packs, &[]).expect("opens");
        }
    }
    // The flag is gone with it: nothing is left to do.
    assert_eq!(journal.compact().expect("compacts").snapshot, None);

    // The older of the two paths gives the same journal.
    let all = contents(&journal);
    drop(journal);
    let newest = files(&at, ".state").pop().expect("one");
    std::fs::write(at.path().join(newest), b"").expect("writes");
    let journal = open(&at, options());
    assert_eq!((contents(&journal), digest(&journal)), (all, before));
    assert!(journal.find("deleted").is_err());
}

#[test]
fn each_way_of_dropping_suffices() {
    type Way = fn(&crate::Session) -> crate::Result<crate::Lsn>;
    let ways: [(&str, u64, Way); 3] = [
        ("deleted", 0, |session| session.delete()),
        ("cleared", 1, |session| session.clear()),
        ("truncated", 2, |session| session.truncate_from(Seq::new(2))),
    ];
    for (name, n, way) in ways {
        let (at, journal) = prepare();
        way(&journal.find(name).expect("there")).expect("drops");
        assert!(journal.compact().expect("compacts").erased, "{name}");
        for round in 0..4 {
            assert_eq!(holding(&at, &secret(n * 10 + round)), [""; 0], "{name}");
        }
    }
}

/// A checkpoint folds the deletion without erasing anything: what follows must still know.
#[test]
fn a_checkpoint_between_deletion_and_compaction_hides_nothing() {
    let (at, journal) = prepare();
    journal
        .find("deleted")
        .expect("there")
        .delete()
        .expect("deletes");
    journal.checkpoint().expect("checkpoints");
    journal.close().expect("closes");
    let journal = open(&at, options());
    fill(&journal, 3);
    assert!(journal.compact().expect("compacts").erased);
    for round in 0..4 {
        assert_eq!(holding(&at, &secret(round)), [""; 0]);
        assert_eq!(holding(&at, &secret(100 + round)), [""; 0]);
    }
    assert!(
        !holding(&at, &secret(10)).is_empty(),
        "what was not deleted is there"
    );
}

/// A streamed piece of an answer is superseded and leaves the packs. It is still in an old
/// segment. Then its session is deleted, and nothing in packs or new segments holds any of it.
#[test]
fn what_compaction_had_dropped_before_goes_as_well() {
    let (at, journal) = fresh();
    let session = journal.session("s").expect("a session");
    let mut turn = session.begin(Input::user("go")).expect("begins");
    turn.started().expect("starts");
    drop(turn.progress("delta", secret(1)).expect("goes in"));
    turn.complete("done").expect("completes");
    journal.compact().expect("compacts");
    assert!(
        !holding(&at, &secret(1)).is_empty(),
        "the older path still has it"
    );
    session.delete().expect("deletes");
    journal.compact().expect("compacts");
    assert_eq!(holding(&at, &secret(1)), [""; 0]);
}

#[test]
fn the_segment_that_the_log_goes_on_in_holds_no_earlier_life() {
    let (at, journal) = prepare();
    // Segments are reused by now, so the active one may lie over old secrets.
    let reused = journal.stat().expect("counts").files.spares.files;
    assert!(reused > 0, "files are used again");
    for round in 0..6 {
        fill(&journal, 14);
        let name = format!("again {round}");
        let session = journal.session(&name).expect("a session");
        session
            .append("secret", secret(1000 + round))
            .expect("goes in");
        fill(&journal, 14);
        journal.compact().expect("compacts");
        fill(&journal, 14);
        journal.compact().expect("compacts");
        session.delete().expect("deletes");
        journal.compact().expect("compacts");
        assert_eq!(
            holding(&at, &secret(1000 + round)),
            [""; 0],
            "round {round}"
        );
    }
}
