//! How the command ends: exit codes and failures.

use serde::Serialize;
use std::io;
use std::path::Path;

/// The result of everything that can fail for the user to see.
pub type Result<T> = std::result::Result<T, Failure>;

/// Exit codes. They are documented in `--help`; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// Something was lost, damage was found, or something else failed.
    Damaged = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// The journal is corrupt; nothing was changed.
    Corrupt = 3,
    /// Another process holds the journal.
    Held = 4,
    /// There is no such journal, session or file.
    NotFound = 5,
    /// The disk or the system: I/O, no space, no permission.
    Disk = 6,
    /// Refused: not a journal, a newer format, too large, read-only, in no state for it.
    Refused = 7,
}

/// Why the command could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The exit code it ends with.
    #[serde(skip)]
    pub exit: Exit,
    /// A stable, machine-readable name.
    pub code: &'static str,
    /// What failed, in one sentence without a full stop.
    pub message: String,
    /// What caused it, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
}

impl Failure {
    /// Starts a failure.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            code,
            message: message.into(),
            causes: Vec::new(),
            advice: None,
        }
    }

    /// Adds what to do next.
    pub fn advise(mut self, advice: &'static str) -> Failure {
        self.advice = Some(advice);
        self
    }

    /// The arguments make no sense together.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, "usage", message)
    }

    /// The system refused `op` on `path`, which is not part of a journal.
    pub fn io(op: &str, path: &Path, error: &io::Error) -> Failure {
        let (exit, code) = match error.kind() {
            io::ErrorKind::NotFound => (Exit::NotFound, "not_found"),
            _ => (Exit::Disk, "io"),
        };
        let mut failure = Failure::new(exit, code, format!("cannot {op} {}", path.display()));
        failure.causes.push(error.to_string());
        failure
    }

    /// The reader of standard output has gone. No failure worth a word.
    pub fn is_broken_pipe(&self) -> bool {
        self.code == BROKEN_PIPE
    }
}

/// The code of a failed write to standard output because nobody reads it any more.
const BROKEN_PIPE: &str = "broken_pipe";

/// Errors of writing to standard output: all other I/O names its path.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::new(Exit::Ok, BROKEN_PIPE, "the reader of the output has gone");
        }
        Failure::io("write to", Path::new("standard output"), &error)
    }
}

impl From<turnkeep::Error> for Failure {
    fn from(error: turnkeep::Error) -> Failure {
        use turnkeep::Error;
        let exit = match &error {
            Error::Corrupt(_) | Error::Tampered { .. } | Error::DamagedBackup { .. } => {
                Exit::Corrupt
            }
            Error::Locked { .. } => Exit::Held,
            Error::NotFound { .. }
            | Error::NoBackup { .. }
            | Error::UnknownSession { .. }
            | Error::SessionDeleted { .. } => Exit::NotFound,
            Error::Io { .. } | Error::NoSpace { .. } | Error::Poisoned { .. } => Exit::Disk,
            _ => Exit::Refused,
        };
        let mut failure = Failure::new(exit, error.code(), error.to_string());
        failure.advice = Some(error.advice());
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            failure.causes.push(error.to_string());
            cause = error.source();
        }
        failure
    }
}

impl From<turnkeep_hosts::Error> for Failure {
    fn from(error: turnkeep_hosts::Error) -> Failure {
        use turnkeep_hosts::Error;
        let message = error.to_string();
        match error {
            Error::Journal(error) => error.into(),
            Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => source.into(),
            Error::Io { op, path, source } => Failure::io(op, &path, &source),
            Error::TooManyNamesakes { .. } => {
                Failure::new(Exit::Refused, "too_many_namesakes", message)
            }
            Error::Database { source, .. } => {
                let mut failure = Failure::new(Exit::Disk, "database", message);
                failure.causes.push(source.to_string());
                failure
            }
            Error::Cursor { .. } => Failure::new(Exit::Refused, "import_cursor", message),
            _ => Failure::new(Exit::Damaged, "import", message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_journal_have_their_exit_codes() {
        use turnkeep::Error;
        let io = || io::Error::from(io::ErrorKind::PermissionDenied);
        let cases = [
            (Error::Closed, Exit::Refused),
            (Error::NotFound { path: "j".into() }, Exit::NotFound),
            (Error::UnknownSession { id: "s".into() }, Exit::NotFound),
            (Error::io("open", Path::new("j"), io()), Exit::Disk),
            (
                Error::Locked {
                    path: "j".into(),
                    holder: "pid 7".into(),
                    pid: Some(7),
                },
                Exit::Held,
            ),
            (
                turnkeep::error::Corruption::new("j", "frame").into(),
                Exit::Corrupt,
            ),
        ];
        for (error, exit) in cases {
            let text = error.to_string();
            let failure = Failure::from(error);
            assert_eq!(failure.exit, exit, "{text}");
            assert!(failure.advice.is_some());
        }
        let failure = Failure::from(Error::io("open", Path::new("j"), io()));
        assert_eq!(failure.causes, ["permission denied"]);
    }
}
