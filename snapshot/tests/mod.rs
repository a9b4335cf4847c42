//! Tests of the room over real directories.

mod catalog;
mod compaction;
mod erasing;
#[cfg(feature = "sim")]
mod faults;
mod image;
mod live;
mod rot;

use crate::format::ids::Lsn;
use crate::journal::entry::Entry;
use crate::journal::handle::Journal;
use crate::journal::options::Options;
use crate::journal::segments::SegmentFile;
use crate::model::event::Kind;
use crate::snapshot::image::Image;
use crate::storage::dir::Dir;
use crate::sync::Arc;
use std::collections::BTreeMap;
use tempfile::TempDir;

/// Small segments, no threads.
fn options() -> Options {
    Journal::options()
        .background(false)
        .first_segment_bytes(64 << 10)
        .segment_bytes(64 << 10)
}

fn open(at: &TempDir, options: Options) -> Journal {
    options.open(at.path()).expect("opens").0
}

fn fresh() -> (TempDir, Journal) {
    let at = tempfile::tempdir().expect("a directory");
    let journal = open(&at, options());
    (at, journal)
}

fn dir(at: &TempDir) -> Dir {
    Dir::new(Arc::new(crate::storage::DiskStorage), at.path())
}

/// A fold from nothing, over all segments that the journal has open.
fn replayed(journal: &Journal) -> Image {
    let shared = &journal.shared;
    let segments: Vec<Arc<SegmentFile>> = shared.index.read().segments.values().cloned().collect();
    let mut image = Image::empty(segments[0].id(), 128);
    let end = Lsn::new(shared.commit.durable());
    for segment in &segments {
        image.replay(segment, Some(end)).expect("replays");
    }
    image
}

/// A few sessions with turns, events, values, queue, a truncation and a deletion.
fn fill(journal: &Journal, rounds: u32) {
    for i in 0..rounds {
        let session = journal
            .session(&format!("session {}", i % 7))
            .expect("a session");
        let mut turn = session
            .begin(crate::journal::turn::Input::user("hello"))
            .expect("a turn");
        turn.started().expect("starts");
        for n in 0..3 {
            drop(
                turn.progress("delta", format!("piece {n} of round {i}"))
                    .expect("progress"),
            );
        }
        let call = turn.event("tool_call", "x".repeat(100 + i as usize % 700));
        drop(call.expect("an event"));
        if i % 5 != 4 {
            turn.complete("done").expect("completes");
        }
        session
            .put(&format!("key {}", i % 3), format!("value {i}").as_bytes())
            .expect("a value");
        session.append("note", format!("note {i}")).expect("a note");
    }
}

/// An entry that prints as one word.
#[derive(Clone, PartialEq, Eq)]
struct Said(Entry);

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.0.lsn, self.0.seq, self.0.kind)
    }
}

impl std::ops::Deref for Said {
    type Target = Entry;
    fn deref(&self) -> &Entry {
        &self.0
    }
}

/// What each session says, record by record.
fn contents(journal: &Journal) -> BTreeMap<String, Vec<Said>> {
    let sessions = journal.sessions().expect("lists");
    let read = |id: &str| -> Vec<Said> {
        let entries = journal.find(id).expect("is there").read(..).expect("reads");
        entries
            .map(|entry| Said(entry.expect("a whole record")))
            .collect()
    };
    sessions
        .iter()
        .map(|session| (session.id.clone(), read(&session.id)))
        .collect()
}

/// What compaction leaves of `contents` by the default retention, said by other means than the
/// compaction's own: progress of ended turns and values that are not current go.
fn compacted(journal: &Journal, all: &BTreeMap<String, Vec<Said>>) -> BTreeMap<String, Vec<Said>> {
    let open = journal.open_turns().expect("lists");
    let stays = |id: &String, entry: &Said, entries: &[Said]| match entry.kind {
        Kind::TurnProgress => open
            .iter()
            .any(|turn| turn.session == *id && Some(turn.turn) == entry.turn),
        Kind::Put => {
            let later = |other: &&Said| {
                matches!(other.kind, Kind::Put | Kind::Remove)
                    && other.name == entry.name
                    && other.seq > entry.seq
            };
            entries.iter().find(later).is_none()
        }
        Kind::Remove => false,
        _ => true,
    };
    all.iter()
        .map(|(id, entries)| {
            let left = entries.iter().filter(|entry| stays(id, entry, entries));
            (id.clone(), left.cloned().collect())
        })
        .collect()
}

fn digest(journal: &Journal) -> u128 {
    journal.shared.commit.with_stage(|tail| tail.state.digest())
}

/// Names in the journal's directory that end so.
fn files(at: &TempDir, ending: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(at.path())
        .expect("lists")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}
