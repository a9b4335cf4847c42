//! hermes-webui: sidecars and their backups, turn journals, run journals, the index, tombstones,
//! and the agent's `state.db`.
//!
//! Where what goes: the sidecar `<sid>.json` is the session `<sid>`; its backup `<sid>/bak`; a
//! shard of the turn journal `<sid>/turns~<pid>`; a run `<sid>/runs/<run>`; rows of `state.db`
//! `<sid>/state.db`. All but the first are children of `<sid>`, so none is mixed with another,
//! and what the host says twice can be compared.
//!
//! What its own list of deleted sessions names is left out, whatever else still has it: a backup
//! that outlived its session is not what somebody wants back.
//!
//! [`sidecar`] reads documents, [`audit`] looks across the shards of a turn journal, [`across`]
//! compares files of one folder, [`state_db`] knows the tables.

pub mod across;
pub mod audit;
pub mod sidecar;
pub mod state_db;

pub use sidecar::OTHER;

use crate::detect::{Found, Host, Look, Role};
use crate::documents::split::Split;
use crate::source::{self, Limits, Whole};
use crate::transcripts::Format;
use serde::Deserialize;
use std::path::Path;

/// The folder of turn journals.
pub const TURN_JOURNAL: &str = "_turn_journal";

/// The folder of run journals.
const RUN_JOURNAL: &str = "_run_journal";

/// The list of deleted sessions.
const TOMBSTONES: &str = "_deleted_webui_sessions.json";

/// Says what a file is, if it is one of this host.
pub fn claim(look: &Look<'_>) -> Option<Role> {
    let name = look.name.as_str();
    if look.is_sqlite {
        let is_ours = name.starts_with("state") && name.contains(".db");
        return is_ours.then_some(Role::Database(&state_db::TABLES));
    }
    let [folder, above] = &look.folders;
    if let Some(stem) = name.strip_suffix(".jsonl") {
        if folder == TURN_JOURNAL {
            let (session, shard) = split_shard(stem);
            return Some(Role::Lines {
                format: Format::HermesTurns,
                session: format!("{session}/turns~{shard}"),
                parent: Some(session.to_owned()),
            });
        }
        return (above == RUN_JOURNAL).then(|| Role::Lines {
            format: Format::HermesRun,
            session: format!("{folder}/runs/{stem}"),
            parent: Some(folder.clone()),
        });
    }
    let is_sidecar = look.has(&["session_id"])
        && (look.has(&["messages"]) || look.has(&["message_count"]) || look.has(&["workspace"]));
    if is_leftover(name) {
        return (is_sidecar || name.starts_with("_index.")).then(|| Role::Verbatim {
            code: "hermes.leftover",
            why: "a file that a save left behind before it was renamed".into(),
        });
    }
    match name {
        "_index.json" if look.first == Some(b'[') => return Some(Role::Document(&sidecar::INDEX)),
        TOMBSTONES | "_pruned_webui_orphans.json" => {
            return Some(Role::Document(&sidecar::TOMBSTONES));
        }
        _ => {}
    }
    let kind = match () {
        () if name.ends_with(".json.bak") && is_sidecar => &sidecar::BACKUP,
        () if !name.ends_with(".json") || !is_sidecar => return None,
        () if name.starts_with("session_") => &sidecar::CORE,
        () => &sidecar::SIDECAR,
    };
    Some(Role::Document(kind))
}

/// The session of a shard's name, and which shard: the process, or none in the old layout.
pub fn split_shard(stem: &str) -> (&str, &str) {
    stem.rsplit_once('~').unwrap_or((stem, "legacy"))
}

fn is_leftover(name: &str) -> bool {
    name.contains(".tmp.") || name.ends_with(".recover.tmp")
}

#[derive(Deserialize)]
struct Tombstones {
    #[serde(default)]
    ids: Vec<String>,
}

/// The sessions that the host's own list among `found` says were deleted.
pub fn deleted(found: &[Found], limits: &Limits) -> Vec<String> {
    let lists = found.iter().filter(|found| {
        found.host == Some(Host::HermesWebui)
            && found
                .entry
                .path
                .file_name()
                .is_some_and(|name| name == TOMBSTONES)
    });
    let mut deleted: Vec<String> = lists
        .flat_map(|list| ids(&list.entry.path, limits))
        .collect();
    deleted.sort();
    deleted.dedup();
    deleted
}

fn ids(path: &Path, limits: &Limits) -> Vec<String> {
    match source::read_whole(path, limits.document_bytes) {
        Ok(Whole::Bytes(bytes)) if Split::new(&bytes, &[]).is_ok() => {
            serde_json::from_slice::<Tombstones>(&bytes)
                .map_or_else(|_| Vec::new(), |list| list.ids)
        }
        // It is told when it is imported.
        _ => Vec::new(),
    }
}
