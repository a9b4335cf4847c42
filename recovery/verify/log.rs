//! Verifying the log.
//!
//! The part behind the newest snapshot is read as an opening reads it: folded, linked, and judged
//! at its end by the verdict table. What comes before it, the recovery path of older snapshots,
//! and what stands behind damage, is surveyed: group after group, going on at the next whole
//! one behind every fault.

use super::packs::Held;
use super::report::{file_name, finding_of, finding_of_error};
use super::{Catalog, Verifier};
use crate::error::Result;
use crate::format::group::Group;
use crate::format::ids::{Lsn, SegmentId, Seq};
use crate::format::manifest::ReplayPoint;
use crate::format::names;
use crate::format::segment::SEGMENT_DATA;
use crate::journal::segments::SegmentFile;
use crate::journal::walk::{Step, Stop, Walk};
use crate::model::finding::{Finding, Severity};
use crate::recovery::open::{check_present, read_watermark};
use crate::recovery::resync::{Wanted, next_group};
use crate::recovery::scan::{Known, LogEnd, Segments, read_log};
use crate::recovery::verdict::Verdict;
use crate::snapshot::image::Image;
use crate::sync::Arc;
use std::collections::BTreeMap;

/// The first LSN that any segment holds.
pub(super) fn first_lsn(segments: &Segments) -> Result<Option<Lsn>> {
    for segment in segments.whole.values() {
        let first = next_group(segment, SEGMENT_DATA, Wanted::WholeGroup);
        // A segment that cannot be read is named when its turn comes.
        if let Ok(Some((_, header))) = first {
            return Ok(Some(header.first_lsn));
        }
    }
    Ok(None)
}

/// Verifies every segment; `base` is what the newest snapshot that loads says.
pub(super) fn verify_log(
    verifier: &mut Verifier<'_>,
    catalog: &Catalog,
    segments: &Segments,
    base: Option<Image>,
    held: Held,
) -> Result<()> {
    for (_, why) in segments.broken.values() {
        verifier.add_corruption("segment_header", why);
    }
    let mut checker = Checker {
        held,
        next_seqs: Vec::new(),
        records: 0,
        findings: Vec::new(),
        ends: BTreeMap::new(),
    };
    let known = verifier.known(catalog);
    match base {
        Some(image) => {
            let until = image.point;
            survey(&mut checker, segments, None, Some(until))?;
            replay(verifier, catalog, segments, &mut checker, image, known)?;
        }
        None => {
            let end = survey(&mut checker, segments, None, None)?.end;
            let what = "no snapshot loads, so the journal does not open";
            checker.say(Finding::new(Severity::Damage, "no_snapshot", what));
            verifier.report.next_lsn = end.unwrap_or_default();
            verifier.report.durable_lsn = known;
        }
    }
    for (id, segment) in &segments.whole {
        let name = names::segment(*id);
        let read = checker.ends.get(id).copied().unwrap_or(SEGMENT_DATA);
        verifier.advance(&name, read);
        verifier.read_rest(&name, &**segment.file(), read, verifier.size(&name))?;
    }
    verifier.report.records += checker.records;
    verifier.report.findings.append(&mut checker.findings);
    Ok(())
}

/// Reads the log from the newest snapshot on, as an opening does.
fn replay(
    verifier: &mut Verifier<'_>,
    catalog: &Catalog,
    segments: &Segments,
    checker: &mut Checker,
    mut image: Image,
    known: Lsn,
) -> Result<()> {
    if let Err(error) = check_present(verifier.dir, segments, &image) {
        checker.say(finding_of_error("segment_missing", error)?);
    }
    let from = image.point;
    let mut folds = true;
    let known_end = Known {
        lsn: known,
        closed_at: None, // every byte is read
    };
    let read = read_log(
        verifier.dir,
        segments,
        from,
        known_end,
        |segment, at, group| {
            checker.group(segment, at.offset, group);
            if folds && let Err(misfit) = image.apply_group(segment.id(), at.offset, group) {
                // Records behind it cannot be folded either, for it is missing.
                folds = false;
                let error = misfit.into_error(segment);
                checker.say(finding_of_error("misfit", error)?);
            }
            Ok(())
        },
    );
    verifier.report.sessions = image.state.sessions().count() as u64;
    let end = match read {
        Ok(mut end) => {
            end.hold_against_page(segments, catalog.mark.is_some());
            end
        }
        Err(error) => {
            checker.say(finding_of_error("log", error)?);
            let behind = survey(checker, segments, Some(from), None)?;
            verifier.report.next_lsn = behind.end.unwrap_or(from.next_lsn);
            verifier.report.durable_lsn = known;
            return Ok(());
        }
    };
    verifier.report.next_lsn = end.point.next_lsn;
    verifier.report.durable_lsn = end.proven_lsn;
    verifier.report.torn_bytes = end.torn_bytes;
    match &end.corruption {
        Some(why) if is_being_written(verifier, catalog, &end, known) => {
            let what = format!("a writer is at work; read up to here ({})", why.what);
            let finding = Finding::new(Severity::Note, "live", what);
            let finding = finding.in_file(file_name(&why.path));
            checker.say(finding.at(end.point.offset));
        }
        Some(why) => {
            let behind = survey(checker, segments, Some(end.point), None)?;
            let mut finding = finding_of("log", why);
            // What was proven is all gone for an opening; what is lost ends where groups begin.
            finding.lsn_to = behind.first.or(finding.lsn_to);
            checker.say(finding);
        }
        None => checker.say_end(&end),
    }
    Ok(())
}

/// Whether what looks like damage is a writer at work: everything that was durable at the
/// beginning was read, and more has become durable since.
fn is_being_written(verifier: &Verifier<'_>, catalog: &Catalog, end: &LogEnd, known: Lsn) -> bool {
    let now = read_watermark(verifier.dir, catalog.journal).ok();
    let moved = match (catalog.mark, now) {
        (Some(then), Some(now)) => now.counter != then.counter,
        _ => false,
    };
    moved && end.point.next_lsn >= known
}

/// What is looked at in every group beyond what the walk checks.
struct Checker {
    held: Held,
    /// The next sequence number of each session; 0 where none is known yet.
    next_seqs: Vec<u32>,
    records: u64,
    findings: Vec<Finding>,
    /// Up to where each segment was read.
    ends: BTreeMap<SegmentId, u64>,
}

impl Checker {
    fn say(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    fn group(&mut self, segment: &SegmentFile, offset: u64, group: &Group<'_>) {
        let end = offset + group.header.len() as u64;
        self.ends.insert(segment.id(), end);
        for (at, frame) in group.frames() {
            let header = &frame.header;
            self.records += u64::from(header.lsn >= self.held.end);
            let finding = |code, what: String| {
                Finding::new(Severity::Damage, code, what)
                    .in_file(file_name(segment.path()))
                    .at(offset + at as u64)
                    .of_lsns(header.lsn, header.lsn.next())
                    .of_session(header.session)
            };
            if !self.held.agrees(header) {
                let what = "the log and a pack hold different records under one lsn";
                let finding = finding("disagree", what.into());
                self.say(finding);
            }
            let session = header.session.get() as usize;
            // Numbers are given in order, so a number far beyond all others is no session's.
            if session >= self.next_seqs.len() && session < self.next_seqs.len() + (1 << 20) {
                self.next_seqs.resize(session + 1, 0);
            }
            let Some(next) = self.next_seqs.get_mut(session) else {
                continue;
            };
            let (expected, found) = (*next, header.seq.get());
            *next = header.seq.next().get();
            if expected != 0 && expected != found {
                let (expected, found) = (Seq::new(expected), Seq::new(found));
                let what = format!("record {found} of a session where {expected} comes next");
                let finding = finding("sequence", what);
                self.say(finding);
            }
        }
    }

    /// Now it is known where the loss ends that was named last.
    fn end_last_loss(&mut self, from: Lsn, to: Lsn) {
        let last = self.findings.last_mut();
        if let Some(last) = last.filter(|f| f.lsn_from == Some(from) && f.lsn_to.is_none()) {
            last.lsn_to = Some(to);
        }
    }

    /// After damage, what comes next in a session is not known.
    fn forget_sequences(&mut self) {
        self.next_seqs.fill(0);
    }

    /// Says how a log that is not damaged ends.
    fn say_end(&mut self, end: &LogEnd) {
        let name = names::segment(end.point.segment);
        let place = |finding: Finding| finding.in_file(&*name).at(end.point.offset);
        match end.verdict {
            Verdict::TornTail => {
                let what = format!(
                    "a torn tail of {} bytes that was never acknowledged; cut by the next opening",
                    end.torn_bytes
                );
                self.say(place(Finding::new(Severity::Warning, "torn_tail", what)));
            }
            Verdict::Recreate => {
                let what = "the newest segment was being made; made again by the next opening";
                self.say(place(Finding::new(
                    Severity::Warning,
                    "unmade_segment",
                    what,
                )));
            }
            Verdict::CleanEnd | Verdict::Corrupt(_) => {}
        }
        if let Some(first) = end.unproven.first() {
            let what = "records that nothing proves durable; logged again by the next opening";
            let finding = Finding::new(Severity::Note, "unproven", what);
            let to = end.point.next_lsn;
            self.say(place(finding).of_lsns(first.before.next_lsn, to));
        }
    }
}

/// What a survey came upon.
#[derive(Clone, Copy, Debug, Default)]
struct Surveyed {
    /// The first record.
    first: Option<Lsn>,
    /// The LSN after the last record.
    end: Option<Lsn>,
}

/// Reads group after group up to `until`, and goes on behind every fault. It begins with the
/// first segment, or behind `damage`, which was named already.
fn survey(
    checker: &mut Checker,
    segments: &Segments,
    damage: Option<ReplayPoint>,
    until: Option<ReplayPoint>,
) -> Result<Surveyed> {
    if damage.is_some() {
        checker.forget_sequences();
    }
    let first_needed = until.map(|_| checker.held.end.max(Lsn::new(1)));
    let mut survey = Survey {
        checker,
        segments,
        point: None,
        expected: damage.map(|at| at.next_lsn),
        first_needed,
        is_named: damage.is_some(),
        found: Surveyed::default(),
        until,
        before: damage.map(|at| at.segment),
    };
    let first = damage.map_or(SegmentId::new(0), |at| at.segment);
    let broken = segments.broken.iter().map(|(id, (file, _))| (*id, file));
    let whole = segments.whole.iter().map(|(id, file)| (*id, file));
    let all: BTreeMap<SegmentId, &Arc<SegmentFile>> = whole.chain(broken).collect();
    for (id, segment) in all.into_iter().filter(|(id, _)| *id >= first) {
        if until.is_some_and(|until| id > until.segment) {
            break;
        }
        if !segments.whole.contains_key(&id) {
            survey.headless(segment)?;
        } else if let Some(at) = damage.filter(|at| at.segment == id) {
            if let Some(offset) = survey.find(segment, at.offset.max(SEGMENT_DATA))? {
                survey.segment(segment, offset)?;
            }
        } else {
            survey.segment(segment, SEGMENT_DATA)?;
        }
        survey.before = Some(id);
    }
    if let Some(until) = until {
        survey.name_missing_end(until);
    }
    Ok(survey.found)
}

struct Survey<'s> {
    checker: &'s mut Checker,
    segments: &'s Segments,
    /// Where the next group must be and what it links to, if that is known.
    point: Option<ReplayPoint>,
    /// The LSN that comes next, if that is known.
    expected: Option<Lsn>,
    /// The first LSN that no pack holds: the log begins there, or before.
    first_needed: Option<Lsn>,
    /// What is missing before the next group was named already.
    is_named: bool,
    found: Surveyed,
    until: Option<ReplayPoint>,
    /// The segment before.
    before: Option<SegmentId>,
}

impl Survey<'_> {
    fn segment(&mut self, segment: &Arc<SegmentFile>, offset: u64) -> Result<()> {
        let id = segment.id();
        let void_from = self.segments.void_from(id);
        let mut walk = match self.point {
            Some(point) if point.segment == id => Walk::new(segment, point),
            Some(point) => Walk::from_start(segment, &point),
            None => Walk::unlinked_at(segment, offset),
        };
        loop {
            walk = walk.until(void_from);
            let stop = match self.walk(segment, &mut walk, void_from) {
                Ok(None | Some(Stop::Sealed | Stop::Full)) => return Ok(()),
                Ok(Some(stop)) => stop,
                Err(error) => {
                    let finding = finding_of_error("log", error)?;
                    self.checker.say(finding);
                    self.point = None;
                    return Ok(());
                }
            };
            let at = walk.point().offset;
            let next = match &stop {
                Stop::OutOfOrder { .. } => Some(at),
                _ => self.find(segment, at + 8)?,
            };
            self.name_stop(segment, at, &stop, next.is_some());
            let Some(next) = next else { return Ok(()) };
            self.point = None;
            walk = Walk::unlinked_at(segment, next);
        }
    }

    /// A segment without its header: nothing says where groups may begin, nor which are void.
    fn headless(&mut self, segment: &Arc<SegmentFile>) -> Result<()> {
        self.point = None;
        self.checker.forget_sequences();
        let mut offset = SEGMENT_DATA;
        while let Some(at) = self.find(segment, offset)? {
            let mut walk = Walk::unlinked_at(segment, at);
            let Ok(Step::Group(_, group)) = walk.step() else {
                break;
            };
            self.take(segment, at, &group);
            offset = at + group.header.len() as u64;
        }
        Ok(())
    }

    /// Walks on to the next stop; `None` where this survey ends.
    fn walk(
        &mut self,
        segment: &Arc<SegmentFile>,
        walk: &mut Walk<'_>,
        void_from: Option<Lsn>,
    ) -> Result<Option<Stop>> {
        loop {
            let at = walk.point();
            let is_end =
                |until: ReplayPoint| until.segment == segment.id() && at.offset >= until.offset;
            if self.until.is_some_and(is_end) {
                return Ok(None);
            }
            match walk.step()? {
                Step::Group(offset, group) => {
                    if void_from.is_some_and(|void| group.header.first_lsn >= void) {
                        return Ok(None);
                    }
                    self.take(segment, offset, &group);
                    // A group without frames does not tell what the next frame links to.
                    let links = self.point.is_some() || !group.header.is_empty();
                    self.point = links.then(|| walk.point());
                }
                Step::End(stop) => return Ok(Some(stop)),
            }
        }
    }

    fn take(&mut self, segment: &SegmentFile, offset: u64, group: &Group<'_>) {
        let (first, end) = (group.header.first_lsn, group.header.end_lsn());
        self.name_gap(segment, offset, first);
        self.checker.group(segment, offset, group);
        self.found.first.get_or_insert(first);
        self.found.end = Some(end);
        self.expected = Some(end);
    }

    /// Names the records that are missing before a group.
    fn name_gap(&mut self, segment: &SegmentFile, offset: u64, first: Lsn) {
        let is_named = std::mem::take(&mut self.is_named);
        if self.expected.is_some_and(|expected| expected > first) {
            self.checker.forget_sequences();
            let finding = Finding::new(
                Severity::Damage,
                "order",
                "records that came before already",
            );
            let finding = finding.in_file(file_name(segment.path())).at(offset);
            self.checker
                .say(finding.of_lsns(first, self.expected.unwrap_or(first)));
        }
        let expected = self.expected.or(self.first_needed);
        let Some(expected) = expected.filter(|expected| *expected < first) else {
            return;
        };
        self.checker.forget_sequences();
        let next = self.before.map(SegmentId::next);
        let missing = next.filter(|next| offset == SEGMENT_DATA && *next < segment.id());
        let finding = match missing {
            Some(next) => {
                let last = segment.id().get() - 1;
                let what = match next.get() == last {
                    true => "a segment is missing".to_owned(),
                    false => format!("segments up to {last} are missing"),
                };
                Finding::new(Severity::Damage, "segment_missing", what)
                    .in_file(names::segment(next))
            }
            None if is_named => {
                self.checker.end_last_loss(expected, first);
                return;
            }
            None => Finding::new(
                Severity::Damage,
                "gap",
                "records are missing before this group",
            )
            .in_file(file_name(segment.path()))
            .at(offset),
        };
        self.checker.say(finding.of_lsns(expected, first));
    }

    /// Names what is missing at the end of what a snapshot says was there. A segment that has not a
    /// single whole group looks like one that was never used.
    fn name_missing_end(&mut self, until: ReplayPoint) {
        let read = self.expected.or(self.first_needed);
        let Some(read) = read.filter(|read| *read < until.next_lsn && !self.is_named) else {
            return;
        };
        let what = "records are missing that a snapshot says were there";
        let finding = Finding::new(Severity::Damage, "gap", what);
        let file = names::segment(self.before.unwrap_or(until.segment));
        let finding = finding.in_file(file).of_lsns(read, until.next_lsn);
        self.checker.say(finding);
        self.checker.forget_sequences();
    }

    /// Says what a stop means. `goes_on`: there is a whole group behind it in this segment.
    fn name_stop(&mut self, segment: &SegmentFile, at: u64, stop: &Stop, goes_on: bool) {
        let finding = |code, what: String| {
            Finding::new(Severity::Damage, code, what)
                .in_file(file_name(segment.path()))
                .at(at)
        };
        match stop {
            Stop::OutOfOrder {
                fault, first_lsn, ..
            } => {
                // That records are missing, or come again, is said when it is taken.
                if self.expected == Some(*first_lsn) {
                    let what = format!("a group that does not follow on: {fault}");
                    self.checker.say(finding("order", what));
                }
            }
            Stop::Fault(fault) => {
                let mut later = self.segments.whole.range(segment.id().next()..);
                let is_unused = at == SEGMENT_DATA;
                // A snapshot knows that the log reached further.
                let is_covered = |until: &ReplayPoint| {
                    until.segment == segment.id() && at < until.offset && !goes_on
                };
                let covered = self.until.filter(is_covered);
                // The end of the log, or of what was never used.
                let is_end = later.next().is_none() || is_unused;
                if !goes_on && is_end && covered.is_none() {
                    return;
                }
                let mut finding = finding("group", fault.fault.to_string());
                finding.lsn_from = self.expected;
                finding.lsn_to = covered.map(|until| until.next_lsn);
                self.checker.say(finding);
                // The record after the loss is known when the next group is taken.
                self.is_named = true;
            }
            Stop::Sealed | Stop::Full => return,
        }
        self.checker.forget_sequences();
    }

    /// The next whole group from `from` on that counts: behind a torn group that an opening cut,
    /// whole ones may stand that were written after it, and were cut with it.
    fn find(&mut self, segment: &SegmentFile, from: u64) -> Result<Option<u64>> {
        let void_from = self.segments.void_from(segment.id());
        match next_group(segment, from, Wanted::WholeGroup) {
            Ok(found) => Ok(found
                .filter(|(_, header)| void_from.is_none_or(|void| header.first_lsn < void))
                .map(|(at, _)| at)),
            Err(error) => {
                let finding = finding_of_error("log", error)?;
                self.checker.say(finding);
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests;
