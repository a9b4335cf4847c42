//! Opening, verifying, reading and salvaging a directory in which any file may hold anything.

use crate::mend;
use arbitrary::{Arbitrary, Unstructured};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Error, Journal, Kind, Lsn, Options};

const PATH: &str = "/agents.journal";

/// What is done to a file.
#[derive(Arbitrary, Debug)]
enum Edit<'a> {
    /// It holds these bytes and nothing else.
    Replace(&'a [u8]),
    /// A part of it is overwritten.
    Overwrite(u16, &'a [u8]),
    /// It ends earlier.
    Truncate(u16),
    /// It is gone.
    Remove,
    /// It holds what another file holds.
    CopyOf(u8),
    /// A part of it is overwritten, and its checksums are made good.
    Forge(u16, &'a [u8]),
    /// There is a file of this name that was not there.
    Add(u8, u8, &'a [u8]),
}

/// Any edits of any files of a journal: nothing panics; verifying and reading change nothing;
/// whatever is shown, by an opening, a reader or after a salvage, was written to it.
pub fn open_dir(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let (journal, records) = sound_journal();
    let disk = journal.fork();
    disk.kill();
    let mut names = disk.list_files(PATH).expect("the journal is there");
    names.sort();
    let mut forged = false;
    for _ in 0..6 {
        let Ok((which, edit)) = <(u8, Edit<'_>)>::arbitrary(&mut input) else {
            break;
        };
        let name = &names[usize::from(which) % names.len()];
        forged |= apply(&disk, name, &names, &edit);
        if input.is_empty() {
            break;
        }
    }
    let invented = |found: Vec<Found>| {
        let strange = found.into_iter().find(|record| !records.contains(record));
        assert!(forged || strange.is_none(), "invented: {strange:?}");
    };
    look(&disk, &invented);
    rescue(&disk.fork(), &invented);
    // The first opening may repair; the second sees what that left.
    for _ in 0..2 {
        let Ok((journal, _)) = open(&disk) else {
            return;
        };
        let found = read(&journal);
        disk.kill();
        drop(journal);
        found.into_iter().for_each(&invented);
    }
}

/// Looking never touches, whatever there is to see.
fn look(disk: &SimDisk, invented: &dyn Fn(Vec<Found>)) {
    let before = disk.state_hash();
    let writes = disk.ops();
    let _ = turnkeep::verify_on(Arc::new(disk.clone()), PATH, &mut |_| ());
    if let Ok(reader) = options(disk).open_read_only(PATH)
        && let Ok(log) = reader.read(Lsn::new(1))
    {
        let whole = log.map_while(Result::ok);
        let found = whole.map(|entry| (entry.lsn, entry.name, entry.content));
        invented(found.collect());
        for session in reader.sessions().unwrap_or_default() {
            let _ = reader
                .find(&session.id)
                .and_then(|session| session.last_turns(2));
        }
    }
    assert_eq!(
        (disk.state_hash(), disk.ops()),
        (before, writes),
        "looking wrote"
    );
}

/// What salvage makes is a sound journal of nothing but what was there.
fn rescue(disk: &SimDisk, invented: &dyn Fn(Vec<Found>)) {
    const INTO: &str = "/rescued.journal";
    disk.kill();
    let Ok(_) = turnkeep::salvage_on(Arc::new(disk.clone()), PATH, INTO, &mut |_| ()) else {
        return;
    };
    let (journal, _) = options(disk)
        .open(Path::new(INTO))
        .unwrap_or_else(|error| panic!("salvage made what does not open: {error}"));
    let mut found = Vec::new();
    for entry in journal.read(Lsn::new(1)).expect("it can be read") {
        let entry = entry.expect("every record is whole");
        // What salvage itself has to say is a record too, and marked.
        if entry.kind != Kind::Maintenance {
            found.push((entry.lsn, entry.name, entry.content));
        }
    }
    invented(found);
    drop(journal);
    let report = turnkeep::verify_on(Arc::new(disk.clone()), INTO, &mut |_| ());
    let report = report.expect("it can be verified");
    assert!(
        report.is_sound(),
        "salvage made what is not sound: {report}"
    );
}

fn apply(disk: &SimDisk, name: &str, names: &[String], edit: &Edit<'_>) -> bool {
    let path = format!("{PATH}/{name}");
    let mut bytes = disk.read_file(&path).unwrap_or_default();
    let overwrite = |bytes: &mut [u8], at: u16, with: &[u8]| {
        // Most of a file is zeros; what is near its beginning matters most.
        let at = usize::from(at) % bytes.len().max(1);
        let len = with.len().min(bytes.len() - at);
        bytes[at..at + len].copy_from_slice(&with[..len]);
    };
    let mut forged = false;
    match edit {
        Edit::Replace(with) => bytes = with.to_vec(),
        Edit::Overwrite(at, with) => overwrite(&mut bytes, *at, with),
        Edit::Truncate(len) => bytes.truncate(usize::from(*len)),
        Edit::Remove => {
            let _ = disk.remove_file(&path);
            return false;
        }
        Edit::CopyOf(other) => {
            let other = &names[usize::from(*other) % names.len()];
            bytes = disk
                .read_file(format!("{PATH}/{other}"))
                .unwrap_or_default();
        }
        Edit::Forge(at, with) => {
            overwrite(&mut bytes, *at, with);
            let _ = mend::file(&mut bytes);
            forged = true;
        }
        Edit::Add(kind, number, with) => {
            let name = match kind % 6 {
                0 => format!("{number:020}.seg"),
                1 => format!("{number:020}.pack"),
                2 => format!("{number:020}.state"),
                3 => format!("manifest-{number:08}"),
                4 => format!("spare-{number:020}"),
                _ => format!("{number}.tmp"),
            };
            let _ = disk.write_file(format!("{PATH}/{name}"), with);
            return false;
        }
    }
    let _ = disk.write_file(&path, &bytes);
    forged
}

type Found = (Lsn, String, Vec<u8>);

fn options(disk: &SimDisk) -> Options {
    Journal::options()
        .background(false)
        .storage(Arc::new(disk.clone()))
        .first_segment_bytes(8 * 4096)
        .segment_bytes(8 * 4096)
        .max_record_bytes(4096)
}

fn open(disk: &SimDisk) -> Result<(Journal, turnkeep::Recovery), Error> {
    options(disk).open(Path::new(PATH))
}

/// Everything that the journal shows, every way round.
fn read(journal: &Journal) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for entry in journal.read(Lsn::new(1))? {
        let entry = entry?;
        found.push((entry.lsn, entry.name, entry.content));
    }
    for info in journal.sessions()? {
        let session = journal.find(&info.id)?;
        for entry in session.read(..)?.rev() {
            let entry = entry?;
            found.push((entry.lsn, entry.name, entry.content));
        }
        for key in session.keys()? {
            session.get(&key)?;
        }
        session.last_turns(2)?;
    }
    journal.open_turns()?;
    let _ = journal.stat()?;
    Ok(found)
}

/// A journal with packs, two snapshots, a log behind them and a spare, killed; and its records.
fn sound_journal() -> &'static (SimDisk, BTreeSet<Found>) {
    static MADE: OnceLock<(SimDisk, BTreeSet<Found>)> = OnceLock::new();
    MADE.get_or_init(|| {
        let disk = SimDisk::new(1);
        let (journal, _) = open(&disk).expect("a new journal opens");
        let mut records = BTreeSet::new();
        work(&journal, &mut records).expect("a sound disk takes everything");
        disk.kill();
        drop(journal);
        (disk, records)
    })
}

/// Whatever is ever accepted goes into `records`, also what a compaction drops later: the
/// snapshot before that may have to serve.
fn work(journal: &Journal, records: &mut BTreeSet<Found>) -> Result<(), Error> {
    for round in 0..3 {
        for id in ["agent-7f3a", "agent-\u{e9}"] {
            let session = journal.session(id)?;
            let mut turn = session.begin(turnkeep::Input::user("what?").key([round]))?;
            turn.started()?;
            for n in 0..6_u8 {
                turn.event("tool_call", [n; 300])?.wait()?;
            }
            session.put("todo", [round; 40])?;
            if round < 2 {
                turn.complete("that")?;
            }
        }
        records.extend(read(journal)?);
        match round {
            0 => drop(journal.compact()?),
            1 => drop(journal.checkpoint()?),
            _ => {}
        }
    }
    Ok(())
}
