//! Power cuts during a salvage: what is being salvaged stays as it was, and what is being made is
//! no journal yet, or all of it.

use crate::choices::{Budget, choices};
use crate::models::Model;
use crate::trace::PATH;
use crate::workloads::{self, Kind};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Error, Journal, Lsn, SalvageReport, salvage_on};

const INTO: &str = "/journals/rescued";

fn salvage(disk: &SimDisk, into: &str) -> Result<SalvageReport, Error> {
    let storage = Arc::new(disk.clone());
    salvage_on(storage, Path::new(PATH), Path::new(into), &mut |_| ())
}

/// The files of the journal that is salvaged, byte for byte.
fn source(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let files = disk.list_files(PATH).expect("the journal is there");
    let read = |name: String| {
        let bytes = disk.read_file(format!("{PATH}/{name}"));
        (name, bytes.expect("the file is there"))
    };
    files.into_iter().map(read).collect()
}

/// Number and content of each record, in order.
type Contents = Vec<(u32, Vec<u8>)>;

/// What a journal holds; none if there is no journal.
fn contents(disk: &SimDisk, path: &str) -> Result<Option<Contents>, String> {
    let options = Journal::options()
        .background(false)
        .create(false)
        .storage(Arc::new(disk.clone()));
    let journal = match options.open(path) {
        Ok((journal, _)) => journal,
        Err(Error::NotFound { .. } | Error::NotAJournal { .. }) => return Ok(None),
        Err(error) => return Err(format!("half a journal: {error}")),
    };
    let entries = journal.read(Lsn::new(1)).map_err(|e| e.to_string())?;
    let entries = entries.map(|entry| entry.map(|entry| (entry.seq.get(), entry.content)));
    entries
        .collect::<Result<_, _>>()
        .map(Some)
        .map_err(|e| e.to_string())
}

#[test]
fn a_power_cut_during_a_salvage_harms_neither_journal() {
    let (mut unique, mut made, mut whole) = (HashSet::new(), 0_u64, 0_u64);
    for (kind, seed) in [(Kind::Turns, 1), (Kind::Compact, 2), (Kind::Rotate, 3)] {
        let trace = workloads::record(kind, seed, 512).expect("the disk does not fail");
        let last = trace.moments.last().expect("there is a last moment");
        let pending = last.pending(&Model::Posix.crash());
        let newest: Vec<u32> = pending
            .options()
            .iter()
            .map(|options| options - 1)
            .collect();
        let disk = pending.leave(&newest, &[]);
        // In the middle of the first record there is.
        let segment = disk.list_files(PATH).expect("the journal is there");
        let segment = segment.into_iter().find(|name| name.ends_with(".seg"));
        let path = format!("{PATH}/{}", segment.expect("there is a segment"));
        disk.rot(&path, 4096 + 150, 0x10)
            .expect("the byte is there");
        let before = source(&disk);

        disk.start_recording();
        let report = salvage(&disk, INTO).expect("the disk does not fail");
        let moments = disk.take_recording();
        let rescued = contents(&disk, INTO)
            .expect("it opens")
            .expect("it is there");
        assert!(rescued.len() as u64 >= report.records_kept);
        for (at, moment) in moments.iter().enumerate() {
            for model in [Model::Posix, Model::Ordered] {
                let pending = moment.pending(&model.crash());
                let budget = Budget {
                    whole: 256,
                    harmed: if model == Model::Posix { 32 } else { 0 },
                };
                let looked = choices(&pending, budget, at as u64, &mut |choice| {
                    let crashed = pending.leave(&choice.picks, &choice.harms);
                    made += 1;
                    if !unique.insert(crashed.state_hash()) {
                        return Ok(());
                    }
                    if source(&crashed) != before {
                        return Err("the journal that is salvaged was changed".to_owned());
                    }
                    match contents(&crashed, INTO)? {
                        None => {}
                        Some(found) if found == rescued => whole += 1,
                        Some(found) => {
                            return Err(format!("{} of {} records", found.len(), rescued.len()));
                        }
                    }
                    let again = salvage(&crashed, "/journals/again").map_err(|e| e.to_string())?;
                    let same =
                        again.records_kept == report.records_kept && again.lost == report.lost;
                    same.then_some(())
                        .ok_or_else(|| format!("salvaged again: {again}"))
                });
                if let Err(what) = looked {
                    panic!("{what}\n  {kind:?}, {model:?}, before operation {at}");
                }
            }
        }
        // After the last sync it is there for certain.
        let last = moments.last().expect("there is a last moment");
        let pending = last.pending(&Model::Posix.crash());
        let crashed = pending.leave(&vec![0; pending.options().len()], &[]);
        assert_eq!(contents(&crashed, INTO), Ok(Some(rescued)));
    }
    println!(
        "{made} crash states of a salvage, {} unique, {whole} of them finished",
        unique.len()
    );
    assert!(whole > 0 && unique.len() > 2_000);
}
