//! Backups, named checkpoints, restoring, pruning and upgrading, as a host sees them, across
//! crashes, full disks and rot.
//!
//! The oracle is what a reader shows: every session with every record, value, open turn and queued
//! input. A backup shows what its journal showed at the moment it was asked for.

mod crash;
mod keeping;
mod online;
mod restoring;
mod sealed;
mod upgrading;

use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::Storage;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Backups, Input, Journal, Options, Reader, Seq, Which};

const JOURNAL: &str = "/agents.journal";
const STORE: &str = "/store";

fn storage(disk: &SimDisk) -> Arc<dyn Storage> {
    Arc::new(disk.clone())
}

fn options(disk: &SimDisk) -> Options {
    Journal::options()
        .background(false)
        .storage(storage(disk))
        .group_align(512)
        .first_segment_bytes(16 << 10)
        .segment_bytes(32 << 10)
}

fn open(disk: &SimDisk) -> Journal {
    options(disk).open(JOURNAL).expect("opens").0
}

fn store(disk: &SimDisk) -> Backups {
    Backups::at_on(storage(disk), STORE)
}

fn number(backup: &turnkeep::Backup) -> Which {
    Which::Number(backup.number)
}

/// Everything that a reader is shown, in words.
fn dump(disk: &SimDisk, path: impl AsRef<Path>) -> Vec<String> {
    let reader = options(disk)
        .open_read_only(path.as_ref())
        .unwrap_or_else(|e| panic!("{}: {e:?}", path.as_ref().display()));
    dump_of(&reader)
}

fn dump_of(reader: &Reader) -> Vec<String> {
    let mut said = Vec::new();
    for info in reader.sessions().expect("lists") {
        let session = reader.find(&info.id).expect("is there");
        said.push(format!("session {} ended {:?}", info.id, info.ended));
        for entry in session.read(..).expect("reads") {
            let entry = entry.expect("reads");
            let content = String::from_utf8_lossy(&entry.content).into_owned();
            said.push(format!(
                "  {} {} {:?} {:?} {content:?}",
                entry.lsn, entry.seq, entry.kind, entry.name
            ));
        }
        for key in session.keys().expect("lists") {
            let value = session.get(&key).expect("reads");
            said.push(format!("  {key} = {value:?}"));
        }
    }
    for turn in reader.open_turns().expect("lists") {
        said.push(format!("open {} {}", turn.session, turn.turn));
    }
    for input in reader.pending().expect("lists") {
        said.push(format!("queued {} {}", input.session, input.input));
    }
    said
}

/// Some of everything that a journal can hold; what is called `round` tells one from the next.
fn work(journal: &Journal, round: u32) {
    let session = journal.session("work").expect("opens");
    let text = format!("round {round}, {}", "and so on ".repeat(20));
    let mut turn = session.begin(Input::user(&text)).expect("begins");
    turn.started().expect("starts");
    turn.call("call", "tool", "{}").expect("calls");
    turn.result("call", "done").expect("answers");
    turn.complete(&text).expect("ends");
    session.put("round", round.to_string()).expect("puts");
    let other = journal.session(&format!("other {}", round % 3));
    let other = other.expect("opens");
    other.append("note", &text).expect("appends");
    if round.is_multiple_of(4) {
        let input = Input::new("later", format!("input {round}"));
        other.enqueue(input).expect("is queued");
    }
}

fn work_through(journal: &Journal, rounds: std::ops::Range<u32>) {
    rounds.for_each(|round| work(journal, round));
}

/// Every file of a directory, byte for byte.
fn files(disk: &SimDisk, path: impl AsRef<Path>) -> Vec<(String, Vec<u8>)> {
    let path = path.as_ref();
    let names = disk.list_files(path).expect("lists").into_iter();
    names
        .filter(|name| name != "LOCK")
        .map(|name| {
            let bytes = disk.read_file(path.join(&name)).expect("reads");
            (name, bytes)
        })
        .collect()
}

/// Flips a byte in the middle of the first file whose name ends so.
fn rot(disk: &SimDisk, dir: impl AsRef<Path>, ending: &str) -> String {
    let dir = dir.as_ref();
    let names = disk.list_files(dir).expect("lists");
    let name = names.iter().find(|name| name.ends_with(ending));
    let name = name.unwrap_or_else(|| panic!("no {ending} among {names:?}"));
    let path = dir.join(name);
    let len = disk.read_file(&path).expect("reads").len() as u64;
    disk.rot(&path, len / 2, 0x20).expect("rots");
    name.clone()
}

fn code<T: std::fmt::Debug>(result: turnkeep::Result<T>) -> &'static str {
    result.expect_err("is refused").code()
}

fn first_note(journal: &Journal, id: &str) -> Seq {
    let entries = journal.find(id).expect("is there").read(..);
    let mut entries = entries.expect("reads");
    let note = entries.find(|entry| entry.as_ref().expect("reads").name == "note");
    note.expect("there is one").expect("reads").seq
}
