//! Manifests: the highest that validates is in force, and what is garbage follows from it.

use super::dir;
use crate::error::Error;
use crate::format::ids::{JournalId, Lsn, PackId, SegmentId, SnapshotId};
use crate::format::manifest::{Manifest, PackRef, ReplayPoint, SnapshotRef};
use crate::format::names;
use crate::snapshot::catalog::{garbage, publish, read_newest, sweep};

fn manifest(generation: u64) -> Manifest {
    let pack = |id, from, to| PackRef {
        id: PackId::new(id),
        lsn_from: Lsn::new(from),
        lsn_to: Lsn::new(to),
        records: to - from,
        bytes: 4096,
        index_crc: id as u32,
    };
    let snapshot = |id, packs: Vec<PackRef>| SnapshotRef {
        id: SnapshotId::new(id),
        lsn: packs[packs.len() - 1].lsn_to,
        state_len: 100,
        state_crc: 1,
        log_from: SegmentId::new(6),
        replay: ReplayPoint {
            segment: SegmentId::new(6),
            offset: 4096,
            next_lsn: packs[packs.len() - 1].lsn_to,
            ..ReplayPoint::default()
        },
        packs,
    };
    Manifest {
        journal: JournalId([5; 16]),
        generation,
        created_ms: 0,
        group_align: 4096,
        next_snapshot: SnapshotId::new(10),
        next_pack: PackId::new(10),
        log_floor: SegmentId::new(4),
        snapshots: vec![
            snapshot(7, vec![pack(3, 1, 50)]),
            snapshot(9, vec![pack(3, 1, 50), pack(8, 50, 90)]),
        ],
    }
}

/// One row, one kind of file.
#[test]
fn garbage_is_exactly_what_no_kept_snapshot_needs() {
    let segment = |id| names::segment(SegmentId::new(id));
    let pack = |id| names::pack(PackId::new(id));
    let state = |id| names::state(SnapshotId::new(id));
    let table = [
        (names::LOCK.to_owned(), false),
        (names::WATERMARK.to_owned(), false),
        (names::QUARANTINE.to_owned(), false),
        ("notes.txt".to_owned(), false),
        (names::spare(3), false),
        ("manifest-00000021.tmp".to_owned(), true),
        (format!("{}.tmp", pack(8)), true),
        (names::manifest(21), false), // newer, damaged: evidence
        (names::manifest(20), false), // in force
        (names::manifest(18), false), // the one before
        (names::manifest(17), true),
        (names::manifest(3), true),
        (segment(3), true),
        (segment(4), false),
        (segment(5), false),
        (segment(99), false),
        (pack(3), false),
        (pack(7), true),
        (pack(8), false),
        (pack(10), true), // never published
        (state(6), true),
        (state(7), false),
        (state(8), true),
        (state(9), false),
        (state(10), true), // never published
    ];
    let found = garbage(table.iter().map(|(name, _)| &**name), &manifest(20));
    for (name, is_garbage) in &table {
        assert_eq!(found.contains(&&**name), *is_garbage, "{name}");
    }
}

#[test]
fn the_highest_manifest_that_validates_is_in_force() {
    let at = tempfile::tempdir().expect("a directory");
    let dir = dir(&at);
    assert!(read_newest(&dir).expect("reads").is_none());
    for generation in 1..=4 {
        publish(&dir, &manifest(generation)).expect("publishes");
    }
    let listed = dir.list().expect("lists").len();
    assert_eq!(listed, 2, "the newest and the one before are kept");
    let newest = at.path().join(names::manifest(4));
    let good = std::fs::read(&newest).expect("reads");
    assert_eq!(
        read_newest(&dir).expect("reads").expect("one").manifest,
        manifest(4)
    );

    let mut bad = good.clone();
    bad[90] ^= 1;
    std::fs::write(&newest, &bad).expect("writes");
    let found = read_newest(&dir).expect("reads").expect("one");
    assert_eq!(found.manifest, manifest(3));
    assert_eq!(found.damaged.len(), 1);
    assert_eq!(found.damaged[0].0, 4);
    assert_eq!(found.damaged[0].1.path, newest);

    // A manifest under another's name is not believed.
    std::fs::write(at.path().join(names::manifest(9)), &good).expect("writes");
    assert_eq!(
        read_newest(&dir).expect("reads").expect("one").manifest,
        manifest(3)
    );

    std::fs::write(at.path().join(names::manifest(3)), b"").expect("writes");
    assert!(matches!(read_newest(&dir), Err(Error::Corrupt(_))));
}

#[test]
fn a_manifest_of_a_later_release_is_refused_by_name() {
    let at = tempfile::tempdir().expect("a directory");
    let dir = dir(&at);
    publish(&dir, &manifest(1)).expect("publishes");
    publish(&dir, &manifest(2)).expect("publishes");
    let path = at.path().join(names::manifest(2));
    let mut bytes = std::fs::read(&path).expect("reads");
    bytes[8] = 9;
    // The header's checksum: what stands before and behind it.
    let covered = [&bytes[..12], &bytes[16..64]].concat();
    let check = crate::format::checksum::checksum(crate::format::checksum::HEADER_SEED, &covered);
    bytes[12..16].copy_from_slice(&check.to_le_bytes());
    std::fs::write(&path, &bytes).expect("writes");
    match read_newest(&dir) {
        Err(Error::NewerFormat {
            path: named,
            found: 9,
            ..
        }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sweep_removes_garbage_and_nothing_else() {
    let at = tempfile::tempdir().expect("a directory");
    let dir = dir(&at);
    publish(&dir, &manifest(2)).expect("publishes");
    let keep = [
        names::segment(SegmentId::new(4)),
        names::LOCK.into(),
        "mine".into(),
    ];
    let drop = [
        names::segment(SegmentId::new(3)),
        names::pack(PackId::new(4)),
        "x.tmp".into(),
    ];
    for name in keep.iter().chain(&drop) {
        std::fs::write(at.path().join(name), b"").expect("writes");
    }
    // A directory that only looks like one of ours is not.
    std::fs::create_dir(at.path().join("y.tmp")).expect("makes");
    let swept = sweep(&dir, &manifest(2)).expect("sweeps");
    assert_eq!((swept.segments, swept.files), (1, 2));
    for name in &keep {
        assert!(at.path().join(name).exists(), "{name}");
    }
    for name in &drop {
        assert!(!at.path().join(name).exists(), "{name}");
    }
    assert!(at.path().join("y.tmp").exists());
    // The manifest that is to be published must not contradict itself.
    let contradiction = Manifest {
        generation: 0,
        ..manifest(2)
    };
    assert!(matches!(
        publish(&dir, &contradiction),
        Err(Error::Invalid { .. })
    ));
}
