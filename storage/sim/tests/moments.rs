//! Going through crash states one by one leaves none out that chance could find, and adds none.

use super::*;

/// Every state that any combination of options leaves.
fn every_state(moment: &Moment, model: &CrashModel) -> BTreeSet<u64> {
    let pending = moment.pending(model);
    let mut picks = vec![0; pending.options().len()];
    let mut states = BTreeSet::new();
    loop {
        states.insert(pending.leave(&picks, &[]).state_hash());
        let next = (0..picks.len()).find(|&at| picks[at] + 1 < pending.options()[at]);
        let Some(next) = next else {
            return states;
        };
        picks[..next].fill(0);
        picks[next] += 1;
    }
}

/// A disk with a few of everything pending.
fn pending(seed: u64) -> SimDisk {
    let mut rng = rng::Rng::new(seed);
    let disk = SimDisk::new(seed);
    let old = synced(&disk, "/old", &[b'o'; 1536]);
    synced(&disk, "/gone", &[b'g'; 10]);
    for n in 0..3 {
        match rng.below(6) {
            0 => drop(disk.remove(path("/gone"))),
            1 => drop(disk.rename(path("/gone"), path("/new"))),
            2 => {
                if let Ok(file) = disk.open(path("/made"), OpenMode::CreateNew) {
                    file.write_all_at(&[b'm'; 600], 0).unwrap();
                    if rng.below(2) == 0 {
                        file.sync_data().unwrap();
                    }
                }
            }
            3 => old.set_len(rng.below(2000)).unwrap(),
            _ => old.write_all_at(&[b'0' + n; 700], rng.below(1400)).unwrap(),
        }
    }
    disk
}

#[test]
fn every_state_that_chance_finds_is_gone_through_and_no_other() {
    for seed in 0..40 {
        let disk = pending(seed);
        disk.start_recording();
        let moment = disk.take_recording().pop().expect("the present one");
        for model in [CLEAN, CLEAN_ORDERED] {
            let all = every_state(&moment, &model);
            let found = outcomes(&disk, &model, SimDisk::state_hash);
            let missing: Vec<_> = found.difference(&all).collect();
            assert!(missing.is_empty(), "seed {seed}, {model:?}: left out");
            if all.len() <= 12 {
                assert_eq!(found.len(), all.len(), "seed {seed}, {model:?}: made up");
            }
        }
    }
}

#[test]
fn a_recording_keeps_the_machine_as_it_was_before_each_change() {
    let disk = SimDisk::new(1);
    disk.start_recording();
    let file = disk.open(path("/a"), OpenMode::CreateNew).unwrap();
    file.write_all_at(&[7; 4096], 0).unwrap();
    file.sync_data().unwrap();
    file.page().unwrap().store(0, &[8; 8]);
    disk.sync_dir(path("/")).unwrap();
    let moments = disk.take_recording();
    let next: Vec<_> = moments.iter().map(Moment::next).collect();
    let kinds = [OpKind::Open, OpKind::Write, OpKind::SyncData];
    let mut expected: Vec<_> = kinds.into_iter().map(Some).collect();
    expected.extend([None, Some(OpKind::SyncDir), None]);
    assert_eq!(next, expected);
    let states: Vec<_> = moments
        .iter()
        .map(|moment| every_state(moment, &CLEAN).len())
        .collect();
    // Nothing; the name; eight sectors and a length; all or nothing; one more sector; that.
    assert_eq!(states[0], 1);
    assert_eq!(states[1], 2);
    assert_eq!(states[2], 1 + 256 + 1);
    assert_eq!(states[3], 2);
    assert_eq!(states[4], 3);
    assert_eq!(states[5], 2);
}

#[test]
fn harm_is_done_where_it_is_asked_for_and_nowhere_else() {
    let disk = SimDisk::new(1);
    let file = synced(&disk, "/a", &[b'o'; 4096]);
    disk.start_recording();
    file.write_all_at(&[b'n'; 512], 1024).unwrap();
    let moment = disk.take_recording().pop().expect("the present one");
    let pending = moment.pending(&CrashModel::HARSHEST);
    assert_eq!(pending.options(), [2]);
    assert_eq!(pending.about(0), "sector 2 of a");
    assert_eq!((pending.sectors(), pending.neighbours()), (&[0][..], 7));
    let left = |picks: &[u32], harms: &[Harm]| {
        let disk = pending.leave(picks, harms);
        disk.read_file("/a").unwrap()
    };
    let torn = Harm::Torn {
        sector: 0,
        rest: 0,
        cut: 100,
    };
    let bytes = left(&[1], &[torn]);
    assert!(bytes[1024..1124].iter().all(|byte| *byte == b'n'));
    assert!(
        bytes[..1024]
            .iter()
            .chain(&bytes[1124..])
            .all(|byte| *byte == b'o')
    );
    let garbage = Harm::Garbage { sector: 0, seed: 1 };
    let bytes = left(&[1], &[garbage]);
    assert!(bytes[1024..1536].iter().any(|byte| *byte != b'n'));
    assert!(
        bytes[..1024]
            .iter()
            .chain(&bytes[1536..])
            .all(|byte| *byte == b'o')
    );
    let neighbour = Harm::Neighbour {
        neighbour: 6,
        seed: 1,
    };
    let bytes = left(&[0], &[neighbour]);
    assert!(bytes[..3584].iter().all(|byte| *byte == b'o'));
    assert!(bytes[3584..].iter().any(|byte| *byte != b'o'));
}
