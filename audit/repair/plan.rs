//! What is to be done about what an audit found.

use crate::audit::codes::Code;
use crate::audit::report::{AuditFinding, AuditReport};
use crate::format::ids::Seq;
use crate::model::finding::Severity;
use serde::{Serialize, Serializer};
use std::fmt;

/// What a step of a repair does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Opens the journal for writing, which cuts what was never acknowledged and makes the newest
    /// segment and the watermark page again.
    Recover,
    /// Takes the rights of others off a file or the directory.
    Restrict,
    /// Interrupts a turn whose writer is gone, and its open calls.
    Interrupt,
    /// Makes a snapshot of what the log says in place of damaged ones, publishes the manifest
    /// again, and removes files that nothing refers to.
    Renew,
}

impl Action {
    /// Returns the stable, machine-readable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Recover => "recover",
            Action::Restrict => "restrict",
            Action::Interrupt => "interrupt",
            Action::Renew => "renew",
        }
    }

    /// The action that is the answer to a finding; none if it takes somebody's decision, or if
    /// there is nothing to be done.
    fn on(code: Code) -> Option<Action> {
        Some(match code {
            Code::LogTornTail | Code::LogUnmade | Code::WatermarkUnreadable => Action::Recover,
            Code::SnapshotDamaged
            | Code::ManifestDamaged
            | Code::FileUnfinished
            | Code::FileUnreferenced => Action::Renew,
            Code::FilePermissions => Action::Restrict,
            Code::TurnNeverStarted | Code::TurnWriterGone => Action::Interrupt,
            _ => return None,
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One step of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// What it answers.
    pub code: Code,
    /// The file concerned, within the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The session concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The turn concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<Seq>,
    /// What was seen, in words.
    pub what: String,
    /// Whether an audit afterwards found it no more; always false in a plan.
    pub is_done: bool,
    /// Why it is not done, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Step {
    /// Whether both answer the same finding.
    pub(super) fn is_as(&self, other: &Step) -> bool {
        let of = |step: &Step| {
            (
                step.code,
                step.file.clone(),
                step.session.clone(),
                step.turn,
            )
        };
        of(self) == of(other)
    }

    fn about(finding: &AuditFinding) -> Option<Step> {
        let action = Action::on(finding.code)?;
        Some(Step {
            action,
            code: finding.code,
            file: finding.file.clone(),
            session: finding.session.clone(),
            turn: finding.turn,
            what: finding.what.clone(),
            is_done: false,
            why: None,
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.action, self.code)?;
        if let Some(session) = &self.session {
            write!(f, " session {session}")?;
        }
        if let Some(turn) = self.turn {
            write!(f, " turn {turn}")?;
        }
        if let Some(file) = &self.file {
            write!(f, " {file}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// The steps that answer `found`, in the order in which they are taken; none if there is damage.
pub(super) fn steps(found: &AuditReport, interrupts: bool) -> Vec<Step> {
    if found.worst == Some(Severity::Damage) {
        return Vec::new();
    }
    let steps = found.findings.iter().filter_map(Step::about);
    let mut steps: Vec<_> = steps
        .filter(|step| interrupts || step.action != Action::Interrupt)
        .collect();
    steps.sort_by_key(|step| step.action);
    steps
}
