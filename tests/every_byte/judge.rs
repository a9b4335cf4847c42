//! What became of a damage: what an opening shows, what a refusal names, what a salvage keeps.

use super::damage::Damage;
use super::tree::{Files, Tree};
use super::world::{End, PATH, World, is_unhit, packed};
use std::collections::BTreeMap;
use std::path::Path;
use turnkeep::model::event::decode_payload;
use turnkeep::{Corruption, Entry, Error, Journal, Kind, Lsn, Reader, SalvageReport};

const INTO: &str = "/rescued.journal";

/// What became of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is read as before.
    Identical,
    /// Everything that was acknowledged is; of what was not, less.
    TornTail,
    /// The one exception: the last group is gone, which nothing proved.
    LastGroup,
    /// Opening refuses, and says where.
    Refused,
    /// Opening goes well, and whoever reads there is told where.
    ReadRefused,
}

/// Judges one damage. An error is a finding: something was lost without a word, or invented, or
/// a refusal did not say where, or a salvage lost what was not hit.
///
/// What is done thoroughly is salvaged even if it cost nothing, what was salvaged is opened, and
/// `verify` must have seen what was refused.
pub fn judge(world: &World, damage: &Damage, is_thorough: bool) -> Result<Outcome, String> {
    let files = damage.apply(world);
    let storage = Tree::new(Path::new(PATH), &files, 7);
    let opened = world.shape.options().create(false).storage(storage.clone());
    let outcome = match opened.open(PATH) {
        Err(error) => {
            names_the_place(damage, &error)?;
            // Looking alone must not know it better.
            let reader = world.shape.options().storage(storage.clone());
            if let Ok(reader) = reader.open_read_only(PATH) {
                look(world, damage, &files, &reader).map_err(|e| format!("a reader: {e}"))?;
            }
            let untouched = storage.files(Path::new(PATH));
            let changed = untouched.iter().find(|(name, bytes)| {
                *name != "LOCK" && files.get(*name).is_none_or(|before| before != *bytes)
            });
            if let Some((name, _)) = changed {
                return Err(format!("refused, and changed {name}: {error}"));
            }
            Outcome::Refused
        }
        Ok((journal, _)) => read(world, damage, &files, &journal)?,
    };
    let is_loud = matches!(outcome, Outcome::Refused | Outcome::ReadRefused);
    if is_loud || is_thorough {
        salvage(world, &files, outcome, is_thorough)?;
    }
    if is_thorough {
        let untouched = Tree::new(Path::new(PATH), &files, 7);
        let report = turnkeep::verify_on(untouched, PATH, &mut |_| ());
        let report = report.map_err(|e| format!("verify refuses: {e}"))?;
        if is_loud && report.is_sound() {
            return Err(format!("refused, and verify finds nothing: {report}"));
        }
    }
    Ok(outcome)
}

/// Everything that a journal shows is what was acknowledged, or an error that says where.
fn read(
    world: &World,
    damage: &Damage,
    files: &Files,
    journal: &Journal,
) -> Result<Outcome, String> {
    let log = journal.read(Lsn::new(1)).map_err(|e| e.to_string())?;
    let mut checked = Checked::new(world, damage);
    checked.log(log)?;
    let sessions = journal.sessions().map_err(|e| e.to_string())?;
    for info in &sessions {
        let session = journal.find(&info.id).map_err(|e| e.to_string())?;
        let entries = session.read(..).map_err(|e| e.to_string())?;
        checked.session(info.no.get(), entries)?;
        for key in session.keys().map_err(|e| e.to_string())? {
            checked.note(session.get(&key).map(drop))?;
        }
    }
    let mut open_turns = journal.open_turns().map_err(|e| e.to_string())?;
    // Who looks again after a repair is one writer further on.
    open_turns
        .iter_mut()
        .for_each(|turn| turn.from_earlier_writer = true);
    let mut expected = world.open_turns.clone();
    expected
        .iter_mut()
        .for_each(|turn| turn.from_earlier_writer = true);
    if checked.is_whole() && (sessions != world.sessions || open_turns != expected) {
        return Err("all records are there, and sessions or turns differ".to_owned());
    }
    checked.outcome(files)
}

/// As [`read`], by a reader.
fn look(world: &World, damage: &Damage, files: &Files, reader: &Reader) -> Result<Outcome, String> {
    let log = reader.read(Lsn::new(1)).map_err(|e| e.to_string())?;
    let mut checked = Checked::new(world, damage);
    checked.log(log)?;
    for info in reader.sessions().map_err(|e| e.to_string())? {
        let session = reader.find(&info.id).map_err(|e| e.to_string())?;
        let entries = session.read(..).map_err(|e| e.to_string())?;
        checked.session(info.no.get(), entries)?;
    }
    checked.outcome(files)
}

/// What was read, held against what is true.
struct Checked<'w> {
    world: &'w World,
    damage: &'w Damage,
    /// How many records of the log were read before it ended or refused.
    whole: usize,
    refusals: usize,
    /// The first acknowledged record that a session does not show, and says nothing of.
    missing: Option<Lsn>,
}

impl<'w> Checked<'w> {
    fn new(world: &'w World, damage: &'w Damage) -> Self {
        Checked {
            world,
            damage,
            whole: 0,
            refusals: 0,
            missing: None,
        }
    }

    fn note(&mut self, read: Result<(), Error>) -> Result<(), String> {
        if let Err(error) = read {
            names_the_place(self.damage, &error)?;
            self.refusals += 1;
        }
        Ok(())
    }

    fn log(&mut self, log: impl Iterator<Item = Result<Entry, Error>>) -> Result<(), String> {
        for entry in log {
            match entry {
                Ok(entry) => {
                    let expected = self.world.truth.get(self.whole);
                    if expected != Some(&entry) {
                        let lsn = entry.lsn;
                        return Err(format!("the log has lsn {lsn} where another belongs"));
                    }
                    self.whole += 1;
                }
                Err(error) => self.note(Err(error))?,
            }
        }
        Ok(())
    }

    fn session(
        &mut self,
        no: u32,
        entries: impl Iterator<Item = Result<Entry, Error>>,
    ) -> Result<(), String> {
        let mut expected = self.world.truth.iter().filter(|e| e.session.get() == no);
        for entry in entries {
            match entry {
                Ok(entry) => {
                    // Those that were refused are not given: what is, is in its order.
                    if !expected.any(|e| *e == entry) {
                        let (lsn, seq) = (entry.lsn, entry.seq);
                        return Err(format!("session {no} has {seq}, lsn {lsn}, out of place"));
                    }
                }
                Err(error) => self.note(Err(error))?,
            }
        }
        let missing = expected.map(|e| e.lsn).next();
        self.missing = self.missing.into_iter().chain(missing).min();
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.whole == self.world.truth.len() && self.refusals == 0 && self.missing.is_none()
    }

    fn outcome(&self, files: &Files) -> Result<Outcome, String> {
        let world = self.world;
        if self.refusals > 0 {
            return Ok(Outcome::ReadRefused);
        }
        let Some(first) = world.truth.get(self.whole).map(|e| e.lsn) else {
            return match self.missing {
                Some(lsn) => Err(format!("SILENT: a session lost lsn {lsn}, the log did not")),
                None => Ok(Outcome::Identical),
            };
        };
        if self.missing.is_some_and(|lsn| lsn < first) {
            return Err(format!(
                "SILENT: a session lost more than the log: {:?}",
                self.missing
            ));
        }
        if first >= world.acknowledged {
            return Ok(Outcome::TornTail);
        }
        // What is known and written down: rot in the last group, which the page does not prove.
        let tail = world.truth.iter().zip(&world.places).skip(self.whole);
        let hit = tail.filter(|(_, places)| {
            places.iter().all(|(name, range)| {
                let group = range.start / world.shape.align as usize * world.shape.align as usize;
                let whole = group.min(range.start)..range.end;
                !is_unhit(&world.files, files, name, &whole)
            })
        });
        let is_last_group = world.shape.end == End::PowerCut && first == world.unproven_from;
        match is_last_group && hit.count() > 0 {
            true => Ok(Outcome::LastGroup),
            false => Err(format!(
                "SILENT: the log ends before lsn {first}, acknowledged"
            )),
        }
    }
}

/// A refusal says which file, and where in it as far as that makes sense.
fn names_the_place(damage: &Damage, error: &Error) -> Result<(), String> {
    let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let Error::Corrupt(why) = error else {
        return Err(format!("refused without naming damage: {error:?}"));
    };
    let Corruption { path, .. } = &**why;
    let file = name(path).unwrap_or_default();
    let is_it = damage.files().contains(&&*file);
    // In a log or a pack there is always an offset or a record to name.
    let is_log = file.ends_with(".seg") || file.ends_with(".pack");
    let has_place = why.offset.is_some() || why.lsn_from.is_some() || why.expected.is_some();
    let about = match damage {
        // What stands in its place may be whole, and contradict the others only.
        Damage::Swapped { .. } | Damage::Older { .. } | Damage::Foreign { .. } => true,
        _ => is_it && (has_place || !is_log),
    };
    match about && path.starts_with(PATH) {
        true => Ok(()),
        false => Err(format!("a refusal that names another place: {error}")),
    }
}

/// Salvage keeps every record that is not hit, lists those that it does not keep, and invents
/// nothing.
fn salvage(
    world: &World,
    files: &Files,
    outcome: Outcome,
    is_thorough: bool,
) -> Result<(), String> {
    let storage = Tree::new(Path::new(PATH), files, 7);
    let report = turnkeep::salvage_on(storage.clone(), PATH, INTO, &mut |_| ());
    let report = match report {
        Ok(report) => report,
        Err(error) => return Err(format!("salvage refuses: {error}")),
    };
    if storage.files(Path::new(PATH)) != *files {
        return Err("salvage changed the damaged journal".to_owned());
    }
    let mut kept = BTreeMap::new();
    for (name, bytes) in storage.files(Path::new(INTO)) {
        if name.ends_with(".pack") {
            packed(&bytes, |frame, _| {
                let header = &frame.header;
                let id = (header.session, header.seq, header.epoch, header.kind);
                kept.insert(header.lsn, (id, frame.payload.to_vec()));
            });
        }
    }
    // The last one is what salvage has to say itself.
    let note = kept.pop_last();
    if note.is_none_or(|(_, ((session, _, _, kind), _))| {
        session.get() != 0 || kind != Kind::Maintenance.get()
    }) {
        return Err("salvage left no note".to_owned());
    }
    if kept.len() as u64 != report.records_kept {
        let (kept, said) = (kept.len(), report.records_kept);
        return Err(format!(
            "salvage says that it kept {said} records, and kept {kept}"
        ));
    }
    if is_thorough {
        let opened = world.shape.options().create(false).storage(storage);
        let opened = opened.open(INTO).map_err(|e| format!("does not open: {e}"));
        let log = opened?.0.read(Lsn::new(1)).map_err(|e| e.to_string())?;
        let shown: Result<Vec<Lsn>, Error> = log.map(|entry| Ok(entry?.lsn)).collect();
        let mut shown = shown.map_err(|e| format!("does not read: {e}"))?;
        shown.pop();
        if !shown.iter().eq(kept.keys()) {
            return Err("what was salvaged is not what is shown".to_owned());
        }
    }
    for ((entry, payload), places) in world.truth.iter().zip(&world.payloads).zip(&world.places) {
        let lsn = entry.lsn;
        let id = (entry.session, entry.seq, entry.epoch, entry.kind.get());
        let is_kept = match kept.remove(&lsn) {
            Some(found) if found.0 == id && found.1 == *payload => true,
            Some(_) => return Err(format!("salvage has another lsn {lsn}")),
            None => false,
        };
        let mut places = places.iter();
        let is_unhit = places.any(|(name, range)| is_unhit(&world.files, files, name, range));
        let may_be_cut = lsn >= world.acknowledged
            || world.shape.end == End::PowerCut && lsn >= world.unproven_from;
        if !is_kept && is_unhit && !may_be_cut {
            return Err(format!(
                "salvage lost lsn {lsn}, which was not hit ({outcome:?})"
            ));
        }
        if !is_kept && !may_be_cut && !is_listed(&report, lsn) {
            return Err(format!("SILENT: salvage does not list lsn {lsn} as lost"));
        }
    }
    kept.iter()
        .try_for_each(|(lsn, (_, payload))| came_back(world, *lsn, payload))
}

fn is_listed(report: &SalvageReport, lsn: Lsn) -> bool {
    let mut ranges = report.lost.iter().chain(&report.uncertain);
    let mut named = report.lost_records.iter();
    ranges.any(|range| range.from <= lsn && lsn < range.to)
        && named.any(|lost| lost.from <= lsn && lsn < lost.to)
}

/// A record that is not to be read any more came back: if what dropped it is not there to tell,
/// and it was a record once.
fn came_back(world: &World, lsn: Lsn, payload: &[u8]) -> Result<(), String> {
    let (_, content) = decode_payload(payload).map_err(|e| e.to_string())?;
    let erased = content == b"deleted" || content == b"truncated";
    match world.once.contains(&(lsn.get(), content.to_vec())) && !erased {
        true => Ok(()),
        false => Err(format!("salvage invented lsn {lsn}")),
    }
}
