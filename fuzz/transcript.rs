//! Importing arbitrary bytes as the transcript of an agent, while the file grows.

use std::path::Path;
use std::sync::Arc;
use turnkeep::storage::sim::SimDisk;
use turnkeep::{Journal, Options};
use turnkeep_hosts::export::session::Exported;
use turnkeep_hosts::import::target::{Target, Targets};
use turnkeep_hosts::import::writer::{self, RECORD_OVERHEAD_BYTES};
use turnkeep_hosts::transcripts::walk;

/// Lines longer than this are kept in pieces.
const LINE_LIMIT_BYTES: usize = 512;

/// The first two bytes say how much of the rest is there at the first import. Nothing panics;
/// importing the same file again adds nothing; and if it is taken for a transcript at all, its
/// bytes come back as they were.
pub fn transcript(data: &[u8]) {
    let Some((at, file)) = data.split_first_chunk::<2>() else {
        return;
    };
    let cut = usize::from(u16::from_le_bytes(*at)).min(file.len());
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("a.jsonl");
    let disk = SimDisk::new(0);
    let (journal, _) = options(&disk).open("/journal").expect("a new journal");
    std::fs::write(&path, &file[..cut]).expect("writes");
    import(&journal, folder.path());
    std::fs::write(&path, file).expect("writes");
    let added = import(&journal, folder.path());
    let again = import(&journal, folder.path());
    assert_eq!(added.is_some(), again.is_some(), "it is the same file");
    assert!(
        again.is_none_or(|bytes| bytes == 0),
        "{again:?} bytes twice"
    );
    if added.is_some() {
        let exported = exports(&disk);
        assert!(
            exported.iter().any(|bytes| bytes == file),
            "not what was imported: {:?}",
            exported
                .iter()
                .map(|b| b.escape_ascii().to_string())
                .collect::<Vec<_>>()
        );
    }
}

fn options(disk: &SimDisk) -> Options {
    Journal::options()
        .storage(Arc::new(disk.clone()))
        .background(false)
        .first_segment_bytes(64 << 10)
        .max_record_bytes(LINE_LIMIT_BYTES as u32 + RECORD_OVERHEAD_BYTES)
}

/// Imports the folder; returns the bytes added, or `None` if there is nothing to import in it.
fn import(journal: &Journal, folder: &Path) -> Option<u64> {
    let targets = Targets::new(journal).expect("the journal is sound");
    let entries = walk::walk(folder).expect("lists");
    let transcript = walk::open(&entries[0], LINE_LIMIT_BYTES).ok()?;
    let Ok(found) = targets.find(&transcript) else {
        panic!("the journal is sound, and the file can be read");
    };
    let Target::Into(place) = found else {
        return None;
    };
    let Ok(added) = writer::add(journal, &transcript, *place, |_| {}) else {
        panic!("the journal is sound, and the file can be read");
    };
    journal.sync().expect("the disk is sound");
    Some(added.bytes)
}

/// What each session of the journal gives back.
fn exports(disk: &SimDisk) -> Vec<Vec<u8>> {
    let reader = options(disk).open_read_only("/journal").expect("opens");
    let sessions = reader.sessions().expect("lists");
    let export = |info| -> turnkeep_hosts::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let failed = |e| panic!("a vector takes bytes: {e}");
        Exported::new(&reader, info)?.write(&mut bytes, |_| Vec::new(), failed)?;
        Ok(bytes)
    };
    let mut exported = Vec::new();
    for info in &sessions {
        match export(info) {
            Ok(bytes) => exported.push(bytes),
            Err(_) => panic!("the journal is sound"),
        }
    }
    exported
}
