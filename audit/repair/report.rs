//! What a repair planned and did: before, steps, after.

use super::plan::{Action, Step};
use crate::audit::codes::Code;
use crate::audit::orphans::Orphan;
use crate::audit::report::AuditReport;
use crate::format::ids::Lsn;
use crate::model::finding::Severity;
use crate::recovery::report::Recovery;
use crate::recovery::salvage::json;
use serde::Serialize;
use std::fmt;

/// How many steps are listed in the record. The journal can hold more turns than a record bytes.
const RECORDED_STEPS: usize = 1000;

/// The report of a repair, or of what one would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[must_use = "it says what was done, and what is left"]
pub struct RepairReport {
    /// Nothing was done: it is what would be done.
    pub is_dry_run: bool,
    /// Something acknowledged is damaged, so nothing is done: salvage comes first.
    pub is_blocked: bool,
    /// What is to be done, in order.
    pub steps: Vec<Step>,
    /// The record in session 0 that says so. None if nothing was done.
    pub record: Option<Lsn>,
    /// What opening the journal found.
    pub recovery: Option<Recovery>,
    /// Turns that were interrupted.
    pub interrupted: Vec<Orphan>,
    /// The audit before.
    pub before: AuditReport,
    /// The audit afterwards, if anything was done.
    pub after: Option<AuditReport>,
}

impl RepairReport {
    pub(super) fn planned(before: AuditReport, steps: Vec<Step>) -> Self {
        RepairReport {
            is_dry_run: true,
            is_blocked: before.worst == Some(Severity::Damage),
            steps,
            record: None,
            recovery: None,
            interrupted: Vec::new(),
            before,
            after: None,
        }
    }

    /// Whether nothing that a repair may do is left to be done.
    pub fn is_done(&self) -> bool {
        !self.is_blocked && self.steps.iter().all(|step| step.is_done)
    }

    fn leaves_orphans(&self) -> bool {
        let report = self.after.as_ref().unwrap_or(&self.before);
        let codes = [Code::TurnNeverStarted, Code::TurnWriterGone];
        codes.iter().any(|code| report.counts.contains_key(code))
            && !self.steps.iter().any(|s| s.action == Action::Interrupt)
    }

    /// Takes in what was found afterwards, and which steps that would lead to.
    pub(super) fn finish(&mut self, after: AuditReport, left: &[Step]) {
        for step in &mut self.steps {
            step.is_done = !left.iter().any(|left| left.is_as(step));
        }
        self.after = Some(after);
    }

    /// The record's content: one JSON object.
    pub(super) fn note(&self, found: &Recovery) -> String {
        let mut out = String::from("{");
        json::text(&mut out, "kind", "repair");
        json::text(&mut out, "opening", &found.to_string());
        json::list(
            &mut out,
            "planned",
            &self.steps,
            RECORDED_STEPS,
            |out, step| {
                out.push('{');
                json::text(out, "action", step.action.as_str());
                json::text(out, "code", step.code.as_str());
                if let Some(file) = &step.file {
                    json::text(out, "file", file);
                }
                if let Some(session) = &step.session {
                    json::text(out, "session", session);
                }
                if let Some(turn) = step.turn {
                    json::number(out, "turn", turn.get().into());
                }
                json::text(out, "what", &step.what);
                out.push('}');
            },
        );
        out.push('}');
        out
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_blocked {
            write!(
                f,
                "not repaired: something acknowledged is damaged; stop the host, then salvage into another directory"
            )?;
            return write!(f, "\n{}", self.before);
        }
        match (self.steps.len(), self.is_dry_run) {
            (0, _) => write!(f, "nothing to repair")?,
            (n, true) => write!(f, "{n} to repair, nothing changed")?,
            (n, false) => {
                let done = self.steps.iter().filter(|step| step.is_done).count();
                write!(f, "repaired {done} of {n}")?;
            }
        }
        if let Some(lsn) = self.record {
            write!(f, ", recorded at lsn {lsn}")?;
        }
        for step in &self.steps {
            let mark = match (self.is_dry_run, step.is_done) {
                (true, _) => "would",
                (false, true) => "done",
                (false, false) => "left",
            };
            write!(f, "\n{mark}: {step}")?;
            if let Some(why) = &step.why {
                write!(f, " ({why})")?;
            }
        }
        if self.leaves_orphans() {
            let hint =
                "turns whose writer is gone are left to the host, unless it wants them interrupted";
            write!(f, "\nleft: {hint}")?;
        }
        write!(f, "\nbefore: {}", self.before)?;
        match &self.after {
            Some(after) => write!(f, "\nafter: {after}"),
            None => Ok(()),
        }
    }
}
