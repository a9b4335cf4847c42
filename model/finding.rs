//! Findings: what an inspection saw, as data. Verify, audit and salvage report in these.

use crate::format::ids::{Lsn, SessionNo};
use serde::Serialize;
use std::fmt;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; there is nothing to do.
    Note,
    /// Nothing acknowledged is concerned; the next opening, or the host, sets it right.
    Warning,
    /// Something acknowledged no longer validates. It takes a person's decision.
    Damage,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Damage => "damage",
        })
    }
}

/// One thing that an inspection saw. Parts that are not known are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Stable, machine-readable name of the kind of finding.
    pub code: &'static str,
    /// Name of the file concerned, within the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Byte offset in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// First record concerned, inclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn_from: Option<Lsn>,
    /// Last record concerned, exclusive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn_to: Option<Lsn>,
    /// Session concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionNo>,
    /// What was seen, in words.
    pub what: String,
}

impl Finding {
    /// Starts a finding: how much it matters, its code, what was seen.
    pub fn new(severity: Severity, code: &'static str, what: impl Into<String>) -> Self {
        Finding {
            severity,
            code,
            file: None,
            offset: None,
            lsn_from: None,
            lsn_to: None,
            session: None,
            what: what.into(),
        }
    }

    /// Adds the file, by its name within the journal.
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// Adds the byte offset.
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Adds the records concerned, `from` inclusive, `to` exclusive.
    pub fn of_lsns(mut self, from: Lsn, to: Lsn) -> Self {
        self.lsn_from = Some(from);
        self.lsn_to = Some(to);
        self
    }

    /// Adds the session.
    pub fn of_session(mut self, session: SessionNo) -> Self {
        self.session = Some(session);
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.what)?;
        if let Some(file) = &self.file {
            write!(f, " in {file}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        match (self.lsn_from, self.lsn_to) {
            (Some(from), Some(to)) if from.next() == to => write!(f, ", lsn {from}")?,
            (Some(from), Some(to)) => write!(f, ", lsn {from}..{to}")?,
            (Some(from), None) => write!(f, ", from lsn {from}")?,
            (None, _) => {}
        }
        match self.session {
            Some(session) => write!(f, ", session {session} [{}]", self.code),
            None => write!(f, " [{}]", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_what_and_where() {
        let finding = Finding::new(Severity::Damage, "frame_payload", "corrupt frame")
            .in_file("00000000000000000017.seg")
            .at(4096)
            .of_lsns(Lsn::new(18_205), Lsn::new(18_206))
            .of_session(SessionNo::new(3));
        assert_eq!(
            finding.to_string(),
            "damage: corrupt frame in 00000000000000000017.seg at byte 4096, lsn 18205, \
             session 3 [frame_payload]"
        );
        let bare = Finding::new(Severity::Note, "clean", "closed cleanly");
        assert_eq!(bare.to_string(), "note: closed cleanly [clean]");
    }

    #[test]
    fn the_worst_severity_is_the_greatest() {
        assert!(Severity::Note < Severity::Warning && Severity::Warning < Severity::Damage);
    }
}
