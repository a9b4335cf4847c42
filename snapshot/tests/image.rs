//! An image that was stored and loaded is the image that it was.

use super::{dir, fill, fresh, replayed};
use crate::error::Error;
use crate::format::ids::SnapshotId;
use crate::snapshot::image::Image;
use crate::snapshot::load::load;
use crate::snapshot::write::write_state;

fn assert_same(a: &Image, b: &Image) {
    assert_eq!(a.state.digest(), b.state.digest());
    assert_eq!(a.state.open_turn_count(), b.state.open_turn_count());
    assert_eq!(
        (a.point, a.log_from, a.must_erase),
        (b.point, b.log_from, b.must_erase)
    );
    assert_eq!((&a.packs, &a.first_lsns), (&b.packs, &b.first_lsns));
    for (no, log) in a.logs() {
        assert_eq!(
            Some(log),
            b.log(no).or(Some(&Default::default())),
            "places of session {no}"
        );
    }
    assert_eq!(unpacked_len(a), unpacked_len(b));
}

#[test]
fn a_stored_image_loads_as_the_same_image() {
    let (at, journal) = fresh();
    fill(&journal, 120);
    journal
        .find("session 3")
        .expect("there")
        .delete()
        .expect("deletes");
    let session = journal.find("session 4").expect("there");
    session.clear().expect("clears");
    let image = replayed(&journal);
    assert!(image.first_lsns.len() > 1, "the log spans segments");
    assert!(image.must_erase);
    let live = journal.shared.commit.with_stage(|tail| tail.state.digest());
    assert_eq!(image.state.digest(), live, "replay gives the live fold");
    assert_eq!(unpacked_len(&image) + 1, journal.durable_lsn().get());

    let id = SnapshotId::new(1);
    let snapshot = write_state(&dir(&at), journal.shared.journal, id, &image).expect("writes");
    let loaded = load(&dir(&at), journal.shared.journal, &snapshot, 128).expect("loads");
    assert_same(&image, &loaded);
}

#[test]
fn any_flipped_byte_of_a_state_file_is_named_with_its_place() {
    let (at, journal) = fresh();
    fill(&journal, 4);
    let id = SnapshotId::new(1);
    let snapshot =
        write_state(&dir(&at), journal.shared.journal, id, &replayed(&journal)).expect("writes");
    let path = at.path().join("00000000000000000001.state");
    let good = std::fs::read(&path).expect("reads");
    for at_byte in (0..good.len()).step_by(3) {
        let mut bad = good.clone();
        bad[at_byte] ^= 0x10;
        std::fs::write(&path, &bad).expect("writes");
        match load(&dir(&at), journal.shared.journal, &snapshot, 128) {
            Err(Error::Corrupt(corruption)) => {
                assert_eq!(corruption.path, path);
                let offset = corruption.offset.expect("an offset");
                assert!(
                    offset <= at_byte as u64,
                    "byte {at_byte} was blamed on {offset}"
                );
            }
            other => panic!("byte {at_byte} was flipped unseen: {other:?}"),
        }
    }
    for len in [0, 63, good.len() - 1] {
        std::fs::write(&path, &good[..len]).expect("writes");
        assert!(
            load(&dir(&at), journal.shared.journal, &snapshot, 128).is_err(),
            "cut to {len}"
        );
    }
    std::fs::remove_file(&path).expect("removes");
    let missing = load(&dir(&at), journal.shared.journal, &snapshot, 128);
    assert!(
        matches!(missing, Err(Error::Corrupt(_))),
        "a missing file is corruption: {missing:?}"
    );
    let mut other = snapshot;
    other.state_crc ^= 1;
    std::fs::write(&path, &good).expect("writes");
    assert!(
        load(&dir(&at), journal.shared.journal, &other, 128).is_err(),
        "another file's check"
    );
}

/// How many records are in no pack.
fn unpacked_len(image: &Image) -> u64 {
    image.logs().map(|(_, log)| log.places.len() as u64).sum()
}
