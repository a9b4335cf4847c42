//! What must be true after a crash, kept outside of the journal.

use std::collections::{BTreeMap, BTreeSet};
use turnkeep::{Entry, Error, InputStatus, Journal, Kind, Lsn, Recovery};

/// A record that was offered to the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub session: String,
    pub kind: Kind,
    pub name: String,
    pub content: Vec<u8>,
    /// Seq of the turn that it belongs to, or of the first record to drop.
    pub about: u32,
    pub batch: Option<u64>,
    pub seq: u32,
}

/// Everything accepted, in LSN order, and how much of it was acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    pub accepted: Vec<Record>,
    /// Records below this LSN were acknowledged.
    pub acknowledged: u64,
}

/// A session as the accepted records make it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    pub next_seq: u32,
    /// LSNs that a reader must see, unless compaction may drop them.
    pub visible: BTreeMap<u32, u64>,
    pub open: BTreeSet<u32>,
    pub values: BTreeMap<String, u64>,
    /// Input that is queued.
    pub queue: BTreeSet<u32>,
    /// LSNs that compaction may drop, though nobody deleted them.
    pub superseded: BTreeSet<u64>,
}

/// The twenty-line model: what the first `count` records say.
pub fn fold(records: &[Record]) -> BTreeMap<String, Session> {
    let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
    for (at, record) in records.iter().enumerate() {
        let lsn = at as u64 + 1;
        if record.kind == Kind::SessionDeleted {
            sessions.remove(&record.session);
            continue;
        }
        let session = sessions.entry(record.session.clone()).or_default();
        session.next_seq = record.seq + 1;
        session.visible.insert(record.seq, lsn);
        match record.kind {
            Kind::TurnSubmitted => drop(session.open.insert(record.seq)),
            Kind::TurnCompleted => {
                session.open.remove(&record.about);
                let progress = session.visible.values().copied().filter(|lsn| {
                    let earlier = &records[*lsn as usize - 1];
                    earlier.kind == Kind::TurnProgress && earlier.about == record.about
                });
                session.superseded.extend(progress.collect::<Vec<_>>());
            }
            Kind::InputQueued => drop(session.queue.insert(record.seq)),
            Kind::InputConfirmed => {
                session.queue.remove(&record.about);
                let claims = session.visible.values().copied().filter(|lsn| {
                    let earlier = &records[*lsn as usize - 1];
                    let is_claim = matches!(earlier.kind, Kind::InputClaimed | Kind::InputReleased);
                    is_claim && earlier.about == record.about
                });
                session.superseded.extend(claims.collect::<Vec<_>>());
            }
            Kind::Put | Kind::Remove => {
                session
                    .superseded
                    .extend(session.values.insert(record.name.clone(), lsn));
                if record.kind == Kind::Remove {
                    session.values.remove(&record.name);
                    session.superseded.insert(lsn);
                }
            }
            Kind::SessionTruncated | Kind::SessionCleared => {
                let from = if record.kind == Kind::SessionCleared {
                    2
                } else {
                    record.about
                };
                session
                    .visible
                    .retain(|seq, _| *seq < from || *seq == record.seq);
                session.open.retain(|seq| *seq < from);
                let gone = |lsn: &u64| records[*lsn as usize - 1].seq >= from;
                session.values.retain(|_, lsn| !gone(lsn));
            }
            _ => {}
        }
    }
    sessions
}

impl Oracle {
    /// Checks a journal that was just opened, and forgets what the crash took.
    pub fn check(&mut self, journal: &Journal, recovery: &Recovery) -> Result<(), String> {
        let next = recovery.next_lsn.get();
        if next < self.acknowledged {
            return Err(format!(
                "lost: lsn {}..{} were acknowledged, the log ends before {next}",
                next, self.acknowledged
            ));
        }
        let count = next as usize - 1;
        if count > self.accepted.len() {
            return Err(format!(
                "invented: {count} records, {} accepted",
                self.accepted.len()
            ));
        }
        if count > 0
            && let Some(batch) = self.accepted[count - 1].batch
            && self
                .accepted
                .get(count)
                .is_some_and(|r| r.batch == Some(batch))
        {
            return Err(format!("batch {batch} was split after lsn {count}"));
        }
        self.accepted.truncate(count);
        self.acknowledged = next;
        check_unclaimed(journal)?;
        self.check_reads(journal)
    }

    /// Checks that everything durable reads back, whichever way it is read.
    pub fn check_reads(&self, journal: &Journal) -> Result<(), String> {
        let durable = &self.accepted[..self.acknowledged as usize - 1];
        check_reads(durable, &fold(durable), journal)
    }
}

/// Checks that no claim outlived its writer, in a journal that was just opened. Later a claim may
/// stand that nobody holds: on a full disk a dropped one is let go of when somebody claims next.
///
/// # Errors
/// The input that has one.
pub fn check_unclaimed(journal: &Journal) -> Result<(), String> {
    let pending = journal.pending().map_err(|e| e.to_string())?;
    match pending.iter().find(|i| i.status == InputStatus::Claimed) {
        Some(input) => Err(format!("{input:?} has a claim that nobody holds")),
        None => Ok(()),
    }
}

/// Checks that the records read back, whichever way they are read, and nothing else; `model` is
/// their fold.
///
/// # Errors
/// What is not as it was accepted.
pub fn check_reads(
    durable: &[Record],
    model: &BTreeMap<String, Session>,
    journal: &Journal,
) -> Result<(), String> {
    let mut names = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let said = |error: Error| format!("reading failed: {error}");
    for entry in journal.read(Lsn::new(1)).map_err(said)? {
        let entry = entry.map_err(said)?;
        let lsn = entry.lsn.get();
        if entry.kind == Kind::SessionCreated {
            // A session of a deleted one's name is another session.
            names.insert(entry.session, entry.name.clone());
        }
        let Some(record) = durable.get(lsn as usize - 1) else {
            return Err(format!("invented: lsn {lsn}"));
        };
        same(record, &entry, names.get(&entry.session))?;
        let session = model.get(&record.session);
        let dropped = entry.kind != Kind::SessionDeleted
            && session.is_none_or(|s| s.visible.get(&record.seq) != Some(&lsn));
        if dropped {
            return Err(format!("lsn {lsn} was dropped, and is shown"));
        }
        if !seen.insert(lsn) {
            return Err(format!("lsn {lsn} was read twice"));
        }
    }
    for (at, record) in durable.iter().enumerate() {
        let lsn = at as u64 + 1;
        let session = model.get(&record.session);
        let must = session.is_some_and(|session| {
            session.visible.get(&record.seq) == Some(&lsn) && !session.superseded.contains(&lsn)
        });
        if must && !seen.contains(&lsn) {
            return Err(format!(
                "lost: lsn {lsn} ({}) is not read back",
                record.kind
            ));
        }
    }
    check_sessions(durable, journal, model)
}

fn check_sessions(
    durable: &[Record],
    journal: &Journal,
    model: &BTreeMap<String, Session>,
) -> Result<(), String> {
    let said = |error: Error| format!("reading failed: {error}");
    let found = journal.sessions().map_err(said)?;
    let ids: BTreeSet<&str> = found.iter().map(|info| info.id.as_str()).collect();
    let expected: BTreeSet<&str> = model.keys().map(String::as_str).collect();
    if ids != expected {
        return Err(format!("sessions are {ids:?}, expected {expected:?}"));
    }
    let deleted = durable
        .iter()
        .filter(|record| record.kind == Kind::SessionDeleted);
    for id in deleted
        .map(|record| &record.session)
        .filter(|id| !model.contains_key(*id))
    {
        match journal.find(id) {
            Err(Error::SessionDeleted { .. }) => {}
            Err(error) => return Err(format!("deleted session {id} is forgotten: {error}")),
            Ok(_) => return Err(format!("deleted session {id} came back")),
        }
    }
    for (id, expected) in model {
        let session = journal.find(id).map_err(said)?;
        let entries: Vec<Entry> = session
            .read(..)
            .map_err(said)?
            .collect::<Result<_, _>>()
            .map_err(said)?;
        let mut back: Vec<u64> = session
            .read(..)
            .map_err(said)?
            .rev()
            .map(|entry| entry.map(|entry| entry.lsn.get()))
            .collect::<Result<_, _>>()
            .map_err(said)?;
        back.reverse();
        let forth: Vec<u64> = entries.iter().map(|entry| entry.lsn.get()).collect();
        if back != forth {
            return Err(format!(
                "session {id} reads {forth:?} forwards, {back:?} backwards"
            ));
        }
        for (seq, lsn) in &expected.visible {
            if !forth.contains(lsn) && !expected.superseded.contains(lsn) {
                return Err(format!("lost: record {seq} of session {id} (lsn {lsn})"));
            }
        }
        if let Some(lsn) = forth
            .iter()
            .find(|lsn| !expected.visible.values().any(|v| v == *lsn))
        {
            return Err(format!("session {id} shows lsn {lsn}, which was dropped"));
        }
        for (key, lsn) in &expected.values {
            let value = session.get(key).map_err(said)?;
            if value.as_ref() != Some(&durable[*lsn as usize - 1].content) {
                return Err(format!("value {key:?} of session {id} is {value:?}"));
            }
        }
        let keys = session.keys().map_err(said)?;
        if keys.len() != expected.values.len() {
            return Err(format!(
                "session {id} has keys {keys:?}, expected {:?}",
                expected.values
            ));
        }
    }
    let open: BTreeSet<(String, u32)> = journal
        .open_turns()
        .map_err(said)?
        .into_iter()
        .map(|turn| (turn.session, turn.turn.get()))
        .collect();
    let expected: BTreeSet<(String, u32)> = model
        .iter()
        .flat_map(|(id, session)| session.open.iter().map(move |seq| (id.clone(), *seq)))
        .collect();
    if open != expected {
        return Err(format!("open turns are {open:?}, expected {expected:?}"));
    }
    let pending = journal.pending().map_err(said)?;
    let queued: BTreeSet<(String, u32)> = pending
        .into_iter()
        .map(|input| (input.session, input.input.get()))
        .collect();
    let expected: BTreeSet<(String, u32)> = model
        .iter()
        .flat_map(|(id, session)| session.queue.iter().map(move |seq| (id.clone(), *seq)))
        .collect();
    if queued != expected {
        return Err(format!("queued are {queued:?}, expected {expected:?}"));
    }
    Ok(())
}

fn same(record: &Record, entry: &Entry, session: Option<&String>) -> Result<(), String> {
    let is = record.kind == entry.kind
        && record.seq == entry.seq.get()
        && record.content == entry.content
        && (record.kind == Kind::SessionCreated || record.name == entry.name)
        && session.is_none_or(|id| *id == record.session);
    if is {
        return Ok(());
    }
    Err(format!(
        "altered: lsn {} is {entry:?}, accepted was {record:?}",
        entry.lsn
    ))
}
