//! Whose files are these? Finding out before anything is imported.
//!
//! What it is: a walk over a folder, a look at the first bytes of each file, and for each the
//! one host that claims it, or the reason why it is left alone.
//!
//! It promises:
//! - The same tree gives the same answer, in the order of the names.
//! - Nothing is guessed by what a message says: names, folders and the names of fields decide.
//! - A damaged file in a host's folder is that host's, so that it is kept and told of, and not
//!   passed over as unknown.
//! - Files that hold a host's keys and passwords are left alone, also when the host is named.
//!
//! On purpose it does not open anything but regular files, and follows no links.

mod look;

pub use look::Look;

use crate::error::{Error, Result};
use crate::report::Refusal;
use crate::rows::Tables;
use crate::source::Limits;
use crate::transcripts::Format;
use crate::transcripts::walk::{self, Entry, Skip};
use crate::{agenthive, claude_mem, claudelet, documents::DocumentKind, hermes, systemprompt};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The code of a file that nobody claims.
pub const UNKNOWN: &str = "file.no_known_host";

/// Who left a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Host {
    /// Claude Code, and tools that write like it.
    ClaudeCode,
    /// Codex.
    Codex,
    /// hermes-webui, and the agent behind it.
    HermesWebui,
    /// claude-mem.
    ClaudeMem,
    /// claudelet.
    Claudelet,
    /// systemprompt-code-orchestrator.
    Systemprompt,
    /// AgentHive.
    Agenthive,
}

impl Host {
    /// All of them.
    pub const ALL: [Host; 7] = [
        Host::ClaudeCode,
        Host::Codex,
        Host::HermesWebui,
        Host::ClaudeMem,
        Host::Claudelet,
        Host::Systemprompt,
        Host::Agenthive,
    ];

    /// The name that `--from` takes and `--json` prints.
    pub fn name(self) -> &'static str {
        match self {
            Host::ClaudeCode => "claude-code",
            Host::Codex => "codex",
            Host::HermesWebui => "hermes-webui",
            Host::ClaudeMem => "claude-mem",
            Host::Claudelet => "claudelet",
            Host::Systemprompt => "systemprompt",
            Host::Agenthive => "agenthive",
        }
    }
}

/// What a file is to its host, and how it is read.
#[derive(Clone, Debug)]
pub enum Role {
    /// Lines whose format and session stand in them.
    Transcript,
    /// Lines of a format and a session that the path tells.
    Lines {
        /// The format.
        format: Format,
        /// The session.
        session: String,
        /// Its parent.
        parent: Option<String>,
    },
    /// A whole JSON document.
    Document(&'static DocumentKind),
    /// A SQLite database with tables that are known.
    Database(&'static Tables),
    /// Kept byte for byte, and not understood.
    Verbatim {
        /// Why, as a code.
        code: &'static str,
        /// Why, in words.
        why: String,
    },
    /// Left alone.
    LeftAlone {
        /// Why, as a code.
        code: &'static str,
        /// Why, in words.
        why: String,
    },
}

/// One file, and what it is.
#[derive(Clone, Debug)]
pub struct Found {
    /// The file.
    pub entry: Entry,
    /// Whose it is. Of transcripts this is known only when they are read.
    pub host: Option<Host>,
    /// What it is to that host.
    pub role: Role,
}

/// Everything below a folder.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What can be imported, in order.
    pub found: Vec<Found>,
    /// What is left alone, and what nobody claims, which has the code [`UNKNOWN`].
    pub refused: Vec<Refusal>,
    /// Sessions that a host's own list says were deleted.
    pub deleted: Vec<String>,
}

impl Survey {
    /// The bytes of all that can be imported.
    pub fn bytes(&self) -> u64 {
        self.found.iter().map(|found| found.entry.size_bytes).sum()
    }
}

/// Looks at everything below `root`, or at `root` itself. With `from` only that host's claims
/// count, and whatever looks like a document is taken for its.
///
/// # Errors
/// [`Error::Io`] when `root` itself cannot be looked at.
pub fn survey(root: &Path, from: Option<Host>, limits: &Limits) -> Result<Survey> {
    let entries = walk::walk_all(root, limits).map_err(|e| Error::io("read", root, e))?;
    let is_single = entries.len() == 1 && entries[0].path == root;
    let mut survey = Survey::default();
    let mut undecided = Vec::new();
    let mut folders: HashMap<PathBuf, Host> = HashMap::new();
    for entry in entries {
        if let Some(skip) = &entry.skipped {
            survey.refused.push(refusal(&entry, skip));
            continue;
        }
        if entry.size_bytes > limits.file_bytes {
            survey.refused.push(refusal(&entry, &Skip::TooLarge));
            continue;
        }
        let look = match Look::new(&entry) {
            Ok(look) => look,
            Err(e) => {
                let skip = Skip::Unreadable(e.to_string());
                survey.refused.push(refusal(&entry, &skip));
                continue;
            }
        };
        let (home, is_document) = (look.home(), look.is_document());
        match claim(&look, from, is_single) {
            Some((host, role)) => {
                if let (Some(host), false) = (host, matches!(role, Role::Transcript)) {
                    folders.entry(home).or_insert(host);
                }
                survey.take(entry, host, role);
            }
            None => undecided.push((entry, is_document, home)),
        }
    }
    for (entry, is_document, home) in undecided {
        let near = home
            .ancestors()
            .find_map(|folder| folders.get(folder).copied());
        match from.or(near).and_then(other_document) {
            Some((host, kind)) if is_document => {
                survey.take(entry, Some(host), Role::Document(kind));
            }
            _ => survey.refused.push(refusal(&entry, &Skip::NoHost)),
        }
    }
    survey.found.sort_by(|a, b| order(a).cmp(&order(b)));
    survey.deleted = hermes::deleted(&survey.found, limits);
    Ok(survey)
}

/// Copies come after what they are copies of, and the rest by name.
fn order(found: &Found) -> (bool, &[u8]) {
    let source = found.entry.source.as_os_str().as_encoded_bytes();
    let is_copy = source.ends_with(b".bak") || source.windows(8).any(|w| w == b"backups/");
    (is_copy, source)
}

impl Survey {
    fn take(&mut self, entry: Entry, host: Option<Host>, role: Role) {
        if let Role::LeftAlone { code, why } = role {
            let file = entry.source.to_string_lossy().into_owned();
            self.refused.push(Refusal {
                file,
                code,
                why,
                is_failure: false,
            });
            return;
        }
        self.found.push(Found { entry, host, role });
    }
}

/// Who says that the file is theirs.
fn claim(look: &Look<'_>, from: Option<Host>, is_single: bool) -> Option<(Option<Host>, Role)> {
    type Claim = fn(&Look<'_>) -> Option<Role>;
    let claims: [(Host, Claim); 5] = [
        (Host::HermesWebui, hermes::claim),
        (Host::ClaudeMem, claude_mem::claim),
        (Host::Claudelet, claudelet::claim),
        (Host::Systemprompt, systemprompt::claim),
        (Host::Agenthive, agenthive::claim),
    ];
    for (host, claim) in claims {
        let is_wanted = from.is_none_or(|from| from == host);
        match claim(look) {
            // Keys are left alone whoever is named.
            Some(role) if is_wanted || matches!(role, Role::LeftAlone { .. }) => {
                return Some((Some(host), role));
            }
            _ => {}
        }
    }
    let may_be = matches!(from, None | Some(Host::ClaudeCode | Host::Codex));
    let is_transcript = look.name.ends_with(".jsonl") || (is_single && !look.is_document());
    (may_be && is_transcript && !look.is_sqlite).then_some((from, Role::Transcript))
}

/// The kind that a host's files are of which it has no name for.
fn other_document(host: Host) -> Option<(Host, &'static DocumentKind)> {
    let kind = match host {
        Host::HermesWebui => &hermes::OTHER,
        Host::Claudelet => &claudelet::OTHER,
        Host::Systemprompt => &systemprompt::OTHER,
        Host::Agenthive => &agenthive::OTHER,
        _ => return None,
    };
    Some((host, kind))
}

/// Why an entry of a walk is not read.
pub fn refusal(entry: &Entry, skip: &Skip) -> Refusal {
    Refusal {
        file: entry.source.to_string_lossy().into_owned(),
        code: skip.code(),
        why: skip.to_string(),
        is_failure: skip.is_failure(),
    }
}
