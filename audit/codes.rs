//! The codes of findings: each has a name that stays, a severity, a category, and what to do.
//!
//! Programs switch on the name, so a code that is no longer given keeps its place, and its name
//! is not given another meaning. The table is in `docs/AUDIT.md`, compared with this one by a
//! test.

use crate::model::finding::Severity;
use serde::{Serialize, Serializer};
use std::fmt;

/// What can be done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Nothing is to be done.
    Ok,
    /// It can be set right without losing anything: by the next opening, or as is said.
    Repairable,
    /// It takes the host's decision, or a person's.
    Manual,
}

impl Category {
    /// Returns the stable, machine-readable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Category::Ok => "ok",
            Category::Repairable => "repairable",
            Category::Manual => "manual",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident, $category:ident, $todo:literal;)*) => {
        /// What kind of thing an audit found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// Returns the stable, machine-readable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                }
            }

            /// Returns how much it matters.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Code::$name => Severity::$severity,)*
                }
            }

            /// Returns what can be done about it.
            pub const fn category(self) -> Category {
                match self {
                    $(Code::$name => Category::$category,)*
                }
            }

            /// Returns what to do, in a sentence.
            pub const fn todo(self) -> &'static str {
                match self {
                    $(Code::$name => $todo,)*
                }
            }
        }
    };
}

codes! {
    /// Records of the log that were acknowledged do not validate, or are missing.
    LogDamaged = "log.damaged", Damage, Manual,
        "stop the host, then salvage into another directory";
    /// The log ends with a group that was never acknowledged.
    LogTornTail = "log.torn-tail", Warning, Repairable,
        "nothing is lost; the next opening cuts it";
    /// The newest segment was being made when the writer died.
    LogUnmade = "log.unmade-segment", Warning, Repairable,
        "nothing is lost; the next opening makes it again";
    /// Records stand at the log's end that nothing proves durable.
    LogUnproven = "log.unproven", Note, Ok,
        "none: the next opening logs them again, or a writer is at work";
    /// The latest writer has not closed the journal: it is at work, or it died.
    LogNotClosed = "log.not-closed", Note, Ok,
        "none: the next opening recovers";
    /// The page that keeps the durable watermark says nothing.
    WatermarkUnreadable = "watermark.unreadable", Warning, Repairable,
        "the next opening makes it again";
    /// A snapshot's state file is missing or damaged, and the journal opens without.
    SnapshotDamaged = "snapshot.damaged", Warning, Repairable,
        "the next checkpoint or clean close makes another in place of a newest one; compactions replace older ones";
    /// A snapshot's state file is missing or damaged, and nothing replaces it.
    SnapshotLost = "snapshot.lost", Damage, Manual,
        "stop the host, then salvage into another directory";
    /// A pack is missing or damaged.
    PackDamaged = "pack.damaged", Damage, Manual,
        "stop the host, then salvage into another directory";
    /// A manifest is damaged, and the one before it is enough.
    ManifestDamaged = "manifest.damaged", Warning, Repairable,
        "the next snapshot publishes another";
    /// No manifest validates, or there is none.
    ManifestLost = "manifest.lost", Damage, Manual,
        "stop the host, then salvage into another directory";
    /// A temporary file of a write that is under way, or was broken off.
    FileUnfinished = "file.unfinished", Note, Repairable,
        "an opening after a crash removes it, and so does a compaction";
    /// A file of the journal's that no manifest refers to.
    FileUnreferenced = "file.unreferenced", Note, Repairable,
        "an opening after a crash removes it, and so does a compaction";
    /// A file that is not the journal's.
    FileForeign = "file.foreign", Note, Manual,
        "move it elsewhere; the journal never touches it";
    /// Something other than a regular file has a name of the journal's.
    FileNotRegular = "file.not-regular", Warning, Manual,
        "find out who put it there, and move it elsewhere";
    /// A symbolic link stands in the directory.
    FileSymlink = "file.symlink", Warning, Manual,
        "the journal follows none; move the file itself here, or the link away";
    /// Others than the owner may read or write a file, or list the directory.
    FilePermissions = "file.permissions", Warning, Repairable,
        "take the rights of others away: chmod go-rwx";
    /// A salvage kept damaged bytes in the directory `quarantine`.
    FileQuarantine = "file.quarantine", Note, Manual,
        "look through it, and remove it when nothing is to be had from it any more";
    /// The file system has less space left than is wished.
    DiskLowSpace = "disk.low-space", Warning, Manual,
        "free some space before appends are refused";
    /// A turn was submitted, and its writer ended before any attempt at it began.
    TurnNeverStarted = "turn.never-started", Warning, Repairable,
        "the host takes it up, or interrupts it";
    /// An attempt at a turn was under way when its writer ended.
    TurnWriterGone = "turn.writer-gone", Warning, Repairable,
        "the host begins a further attempt, or interrupts the turn";
    /// A turn of the latest writer has not ended. Whether that writer lives, a reader cannot tell.
    TurnOpen = "turn.open", Note, Ok,
        "none while the host is at work; if it is stopped, say so to the audit";
    /// A turn of the latest writer has not ended for longer than is wished.
    TurnOverdue = "turn.overdue", Warning, Manual,
        "find out what its worker does; cancel it, or have the watchdog interrupt it";
    /// Calls of a turn whose writer is gone have no result.
    TurnOpenCalls = "turn.open-calls", Warning, Repairable,
        "the host records that they will get none, or their results";
    /// A turn ended without an answer, and what had come of it is kept.
    TurnPartialOutput = "turn.partial-output", Note, Ok,
        "none: read the turn to see what it had";
    /// The host is done with the session, and a turn of it has not ended.
    SessionEndedOpen = "session.ended-open", Warning, Manual,
        "end the turn";
    /// The session that this one is a child of was deleted.
    SessionParentGone = "session.parent-gone", Note, Ok,
        "none: it is complete without";
    /// A claim ended with its writer, so the input waits again.
    QueueClaimLost = "queue.claim-lost", Note, Ok,
        "none: the next claim takes it up";
    /// Several claims of the input ended with their writer: it may kill whoever takes it up.
    QueueLostClaims = "queue.lost-claims", Warning, Manual,
        "look at the input; withdraw it, or release it by hand when what was wrong is mended";
    /// Input was given up and is kept.
    QueueDeadLetter = "queue.dead-letter", Warning, Manual,
        "look at the input; release it, or withdraw it";
    /// The journal keeps more dead letters than is wished.
    QueueManyDead = "queue.many-dead-letters", Warning, Manual,
        "something fails again and again; look at the latest";
    /// Input has waited for longer than is wished.
    QueueOverdue = "queue.overdue", Warning, Manual,
        "find out whether anybody claims input of its class";
    /// The host is done with the session, and input of it is queued.
    QueueSessionEnded = "queue.session-ended", Warning, Manual,
        "let a turn take it, or withdraw it";
    /// A session has nearly as much input queued as it may.
    QueueNearFull = "queue.near-full", Warning, Manual,
        "claim or withdraw some before input is refused";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_differ_and_are_spelled_alike() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for name in names {
            let (place, what) = name.split_once('.').expect("place and what");
            let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            assert!(is_plain(place) && is_plain(what), "{name}");
        }
    }

    #[test]
    fn no_damage_is_repaired_by_a_program() {
        for code in Code::ALL {
            let is_damage = code.severity() == Severity::Damage;
            assert!(!is_damage || code.category() == Category::Manual, "{code}");
            let is_ok = code.category() == Category::Ok;
            assert!(!is_ok || code.severity() == Severity::Note, "{code}");
        }
    }
}
