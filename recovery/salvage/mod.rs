//! Salvaging: a fresh, sound journal with every record of a damaged one that still validates.
//!
//! The damaged journal is never changed. Records are gathered from packs, block by block, and
//! from segments, group by group and, where a group is broken, frame by frame; before the damage
//! and behind it, with or without a manifest. What a compaction or a deletion took away does not
//! come back as far as anything that is left tells of it.
//!
//! The journal that is made has an identity of its own, for it is another journal: it has gaps.
//! Its records keep their LSNs, sequence numbers, session numbers and epochs. A batch of which a
//! part is lost is there in part. What is lost is a hole, as if it had been truncated; sessions
//! whose creation is lost are called `lost+found/session-<number>`; see
//! [`crate::model::mend`] for how the fold goes on. What a lost record did is not known: a value
//! may be an older one, a turn may be open that had ended. The last record of the journal itself
//! (session 0, [`crate::Kind::Maintenance`], named `salvaged`) holds the report as JSON; the
//! whole report and a copy of what does not validate are in the directory `quarantine`.
//!
//! Memory follows the number of records, not their length: about 60 bytes each.

mod choose;
mod evidence;
mod fold;
mod gather;
mod gather_log;
mod gather_packs;
pub(crate) mod json;
mod quarantine;
mod report;
mod source;
mod sources;
mod whose;
mod write;

#[cfg(test)]
mod tests;

pub use report::{
    LostOf, LostRecords, LsnRange, Quarantined, SalvageReport, SalvagedSession, SeqRange,
};

use super::open::take_lock;
use super::verify::{Progress, finding_of_error, holds_files};
use crate::error::{Error, Result};
use crate::format::ids::{JournalId, Lsn, SegmentId, SessionNo};
use crate::format::manifest::PackRef;
use crate::format::names::Name;
use crate::model::finding::{Finding, Severity};
use crate::model::mend::LOST_AND_FOUND;
use crate::storage::dir::Dir;
use crate::storage::{DiskStorage, Storage};
use choose::{Chosen, choose, name_missing};
use fold::{Folded, fold};
use gather::{Found, Gathered, plausible};
use source::{Fetch, Kind, Source};
use sources::Sources;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use whose::name_sessions;

/// Most items of each list in the record that documents the salvage; the file has them all.
const NOTE_ITEMS: usize = 100;

/// Makes at `into` a sound journal with every record of the journal at `path` that still
/// validates. `path` is not changed; `into` must not exist, or be empty.
///
/// Stop the writer first: no lock is taken on what is only read.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotAJournal`], [`Error::NewerFormat`]; [`Error::Invalid`] if
/// `into` is not empty or lies in `path`; [`Error::NoSpace`], [`Error::Io`]. Damage is not an
/// error: it is in the report. After an error `into` holds no journal.
pub fn salvage(path: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<SalvageReport> {
    salvage_on(Arc::new(DiskStorage), path, into, &mut |_| ())
}

/// As [`salvage`], on any disk, saying how far it has come: once over what is read, and once
/// over what is written.
///
/// # Errors
/// As [`salvage`].
pub fn salvage_on(
    storage: Arc<dyn Storage>,
    path: impl AsRef<Path>,
    into: impl AsRef<Path>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<SalvageReport> {
    let started = Instant::now();
    let from = Dir::new(storage.clone(), path.as_ref());
    let into = Dir::new(storage, into.as_ref());
    expect_files(&from)?;
    expect_empty(&from, &into)?;
    let sources = Sources::find(&from)?;
    let mut report = SalvageReport {
        from: from.path().to_path_buf(),
        into: into.path().to_path_buf(),
        journal: sources.journal,
        findings: sources.findings.clone(),
        ..SalvageReport::default()
    };
    let mut gathered = gather(&sources, progress);
    let age = |no: u32| sources.files[no as usize].id;
    let Chosen {
        mut records,
        conflicts,
    } = choose(&mut gathered, age);
    let logged_from = logged_from(&sources, &gathered, &records);
    let highest = records.last().map(|record| record.lsn);
    let mut fetch = Fetch::new(&from, &sources.files);
    let (base, known) = sources.base(&from, &mut report.findings).unzip();
    // Nothing is lost of what the state says was erased, so the state comes first.
    let everything = records.clone();
    let mut folded = fold(&mut fetch, base, &mut records, &gathered, logged_from)?;
    gathered
        .listed_lost
        .retain(|l| folded.state.is_visible(l.session, l.seq) || folded.has_lost(l));
    let missing = name_missing(&everything, &gathered, logged_from);
    drop(everything);
    report.lost_records = name_sessions(
        known.as_ref(),
        &gathered,
        &records,
        &missing,
        logged_from,
        &mut folded,
    );
    (report.lost, report.uncertain) = (missing.lost, missing.uncertain);
    let before = records.len();
    records.retain(|record| folded.state.is_visible(record.session, record.seq));
    report.records_erased = (before - records.len()) as u64;
    report.records_kept = records.len() as u64;
    report.bytes_kept = records.iter().map(|r| u64::from(r.place.payload_len)).sum();
    report.findings.extend(folded.findings.iter().cloned());
    report
        .findings
        .extend(conflicts.iter().map(|pair| conflict(&sources, pair)));
    report.sessions = sessions(&folded, &records);

    let target = Target::make(&into)?;
    let damage = gathered.damage.iter().filter(|damage| {
        // What stands behind the end of the log is damage only if something is missing there.
        let from = damage.lsn_from.unwrap_or(Lsn::new(1));
        !damage.is_tail || from < gathered.durable
    });
    let damage: Vec<_> = damage.cloned().collect();
    report
        .findings
        .extend(damage.iter().map(|damage| finding(&sources, damage)));
    report
        .findings
        .sort_by_key(|f| std::cmp::Reverse(f.severity));
    report.quarantined = quarantine::keep(&into, &sources.files, &damage, &sources.damaged)?;
    let entropy = into.storage().entropy();
    let entropy = entropy.map_err(|e| Error::io("draw an id for", into.path(), e))?;
    report.new_journal = JournalId(entropy);
    let total = report.bytes_kept;
    let mut done = 0;
    let mut on_record = |bytes| {
        done += bytes;
        progress(Progress {
            file: "salvaged records",
            done_bytes: done,
            total_bytes: total,
        });
    };
    let end = gathered.durable.max(highest.map_or(Lsn::new(1), Lsn::next));
    let content = write::Content {
        journal: report.new_journal,
        note: json::report(&report, NOTE_ITEMS),
        state: folded.state,
        records: &records,
        note_lsn: end.max(sources.base_lsn),
        epoch: gathered.epoch.next(),
        created_ms: into.storage().unix_ms(),
    };
    report.next_lsn = write::write(&into, &mut fetch, content, &mut on_record)?;
    quarantine::write_report(&into, &json::report(&report, usize::MAX))?;
    drop(target);
    report.micros = started.elapsed().as_micros() as u64;
    Ok(report)
}

/// Refuses a directory without any file of a journal.
fn expect_files(dir: &Dir) -> Result<()> {
    match dir.storage().list(dir.path()) {
        Ok(_) if holds_files(dir) => Ok(()),
        Ok(listed) if listed.is_empty() => Err(Error::NotFound {
            path: dir.path().to_path_buf(),
        }),
        Ok(_) => Err(not_a_journal(dir, "it holds no file of a journal")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NotFound {
            path: dir.path().to_path_buf(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(not_a_journal(dir, "it is a file, not a directory"))
        }
        Err(error) => Err(Error::io("list", dir.path(), error)),
    }
}

fn not_a_journal(dir: &Dir, why: &str) -> Error {
    Error::NotAJournal {
        path: dir.path().to_path_buf(),
        why: why.to_owned(),
    }
}

/// Refuses a target that is not empty, or that would change what is to be salvaged.
fn expect_empty(from: &Dir, into: &Dir) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::Invalid {
            what: "target of a salvage",
            why: format!("{} {why}", into.path().display()),
        })
    };
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or(path.to_path_buf());
    if absolute(into.path()).starts_with(absolute(from.path())) {
        return refuse("lies in the journal that is to be salvaged");
    }
    match into.storage().list(into.path()) {
        Ok(listed) if listed.is_empty() => Ok(()),
        Ok(_) => refuse("is not empty"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("list", into.path(), error)),
    }
}

/// The directory that the journal is made in, held against others.
struct Target {
    _lock: Box<dyn crate::storage::Lock>,
}

impl Target {
    fn make(dir: &Dir) -> Result<Target> {
        match dir.storage().create_dir(dir.path()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", dir.path(), error)),
        }
        super::create::sync_parent(dir)?;
        let lock = take_lock(dir)?;
        Ok(Target { _lock: lock })
    }
}

/// Gathers from all files: the packs in force first, for they say what a compaction dropped.
fn gather(sources: &Sources, progress: &mut dyn FnMut(Progress<'_>)) -> Gathered {
    let total_bytes = sources.files.iter().map(|file| file.len).sum();
    let mut done_bytes = 0;
    let mut gathered = Gathered::default();
    gathered.journal = sources.journal;
    gathered.durable = plausible(sources.known_lsn);
    gathered.epoch = sources.epoch;
    let in_force: BTreeMap<u64, PackRef> = sources
        .packs_in_force()
        .map(|pack| (pack.id.get(), pack))
        .collect();
    let files = || (0_u32..).zip(&sources.files);
    let is_in_force = |file: &Source| file.kind == Kind::Pack && in_force.contains_key(&file.id);
    let mut advance = |file: &Source| {
        done_bytes += file.len;
        progress(Progress {
            file: &file.name,
            done_bytes,
            total_bytes,
        });
    };
    for (no, file) in files().filter(|(_, file)| is_in_force(file)) {
        gathered.pack(no, file, in_force.get(&file.id));
        advance(file);
    }
    gathered.close_packs();
    for (no, file) in files().filter(|(_, file)| !is_in_force(file)) {
        match &file.kind {
            Kind::Pack => gathered.pack(no, file, None),
            Kind::Segment(_) => {
                let void_from = sources.void_from(SegmentId::new(file.id));
                gathered.segment(no, file, void_from);
            }
        }
        advance(file);
    }
    gathered.finish();
    gathered
}

/// From this LSN on no compaction has dropped anything.
fn logged_from(sources: &Sources, gathered: &Gathered, records: &[Found]) -> Lsn {
    let accounted = gathered.accounted.iter().map(|(_, to)| *to);
    let in_force = sources.packs_in_force().map(|pack| pack.lsn_to);
    let known = accounted.chain(in_force).max().unwrap_or(Lsn::new(1));
    let has_packs = sources.files.iter().any(|file| file.kind == Kind::Pack);
    if sources.has_manifest || !has_packs {
        return known;
    }
    // There were compactions, and nothing says up to where.
    let is_logged = |record: &&Found| record.rank == gather::Rank::Grouped;
    let first_logged = records.iter().find(is_logged).map(|record| record.lsn);
    known.max(first_logged.unwrap_or(Lsn::new(1)))
}

fn sessions(folded: &Folded, records: &[Found]) -> Vec<SalvagedSession> {
    let mut kept: BTreeMap<SessionNo, u64> = BTreeMap::new();
    for record in records {
        *kept.entry(record.session).or_default() += 1;
    }
    let sessions = folded.state.sessions().map(|session| SalvagedSession {
        no: session.no,
        id: session.name.to_string(),
        kept: kept.get(&session.no).copied().unwrap_or(0),
        lost: folded.lost_of(session.no),
        uncertain: folded.uncertain_of(session.no),
        is_renamed: session.created_lsn == Lsn::new(0) && session.name.starts_with(LOST_AND_FOUND),
    });
    sessions.collect()
}

fn finding(sources: &Sources, damage: &gather::Damage) -> Finding {
    let file = &sources.files[damage.source as usize];
    let mut finding = Finding::new(Severity::Damage, "damaged", damage.what.clone())
        .in_file(&*file.name)
        .at(damage.offset);
    (finding.lsn_from, finding.lsn_to) = (damage.lsn_from, damage.lsn_to);
    finding
}

fn conflict(sources: &Sources, (chosen, other): &(Found, Found)) -> Finding {
    let name = |found: &Found| &*sources.files[found.place.source as usize].name;
    let what = format!(
        "different records under one lsn; the one in {} was kept",
        name(chosen)
    );
    Finding::new(Severity::Damage, "conflict", what)
        .in_file(name(other))
        .at(other.place.at)
        .of_lsns(other.lsn, other.lsn.next())
        .of_session(other.session)
}

/// The id that a file's name gives, if its records are to be gathered.
fn id_of(name: &str) -> Option<(bool, u64)> {
    match Name::parse(name) {
        Name::Segment(id) => Some((false, id.get())),
        Name::Spare(number) => Some((false, number)),
        Name::Pack(id) => Some((true, id.get())),
        _ => None,
    }
}
