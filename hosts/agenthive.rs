//! AgentHive: trackers with their backups and checkpoints, contexts, and its mesh database.
//!
//! A tracker is one document that the host writes anew with each change: each state of it that is
//! imported is a record of its session. Checkpoints and backups are documents of their own.

use crate::detect::{Host, Look, Role};
use crate::documents::split::Split;
use crate::documents::{DocumentKind, Reading};
use crate::report::Finding;
use crate::rows::row::Row;
use crate::rows::{RowMeta, Table, Tables};
use crate::transcripts::Format;
use crate::transcripts::meta::LineMeta;
use crate::transcripts::turns::Mark;
use std::path::Path;

/// `phase-tracker.json` and its backups.
pub static TRACKER: DocumentKind = DocumentKind {
    host: Host::Agenthive,
    format: "agenthive-tracker",
    lists: &[],
    read: tracker,
    item,
};

/// `checkpoints/<name>-<date>.json`.
pub static CHECKPOINT: DocumentKind = DocumentKind {
    host: Host::Agenthive,
    format: "agenthive-checkpoint",
    lists: &[],
    read: other,
    item,
};

/// Any other JSON in its folders.
pub static OTHER: DocumentKind = DocumentKind {
    host: Host::Agenthive,
    format: "agenthive-document",
    lists: &[],
    read: other,
    item,
};

/// The mesh database.
pub static TABLES: Tables = Tables {
    host: Host::Agenthive,
    format: "agenthive-mesh",
    suffix: "mesh",
    tables: &[
        Table {
            name: "mesh_sessions",
            session: &["session_id"],
            by_way_of: None,
            time: &["created_at"],
            read: session,
        },
        Table {
            name: "agent_executions",
            session: &["session_id"],
            by_way_of: None,
            time: &["created_at", "started_at"],
            read: |row| by_agent(row, Mark::Calls),
        },
        Table {
            name: "agent_messages",
            session: &["session_id"],
            by_way_of: None,
            time: &["created_at", "sent_at"],
            read: |row| by_agent(row, Mark::Says),
        },
        Table {
            name: "session_checkpoints",
            session: &["session_id"],
            by_way_of: None,
            time: &["created_at"],
            read: |_| RowMeta::default(),
        },
        Table {
            name: "task_decompositions",
            session: &["session_id"],
            by_way_of: None,
            time: &["created_at"],
            read: |_| RowMeta::default(),
        },
        Table {
            name: "mesh_metrics",
            session: &["session_id"],
            by_way_of: None,
            time: &["recorded_at", "created_at"],
            read: |_| RowMeta::default(),
        },
    ],
};

/// Says what a file is, if it is one of this host.
pub fn claim(look: &Look<'_>) -> Option<Role> {
    let name = look.name.as_str();
    if look.is_sqlite {
        let database = crate::rows::database::Database::open(&look.entry.path).ok()?;
        let is_ours = crate::rows::listing::has_table(&database, &["mesh_sessions"]);
        return is_ours.then_some(Role::Database(&TABLES));
    }
    if name.ends_with(".lock") && (look.has(&["pid", "timestamp"]) || look.is_in("agenthive-locks"))
    {
        return Some(Role::LeftAlone {
            code: "host.lock_file",
            why: "it speaks of a process, which is gone".into(),
        });
    }
    if name.starts_with("agenthive-session.log") {
        return Some(Role::Lines {
            format: Format::Text,
            session: format!("agenthive/{name}"),
            parent: None,
        });
    }
    let is_tracker = look.has(&["sessionInfo", "phases"]);
    if is_tracker && name.contains(".tmp.") {
        return Some(Role::Verbatim {
            code: "agenthive.leftover",
            why: "a file that a save left behind before it was renamed".into(),
        });
    }
    let is_backup = look.is_in("agenthive-backups");
    if is_tracker || name == "phase-tracker.json" {
        return Some(Role::Document(&TRACKER));
    }
    if look.has(&["name", "phase", "week", "tracker"]) {
        return Some(Role::Document(&CHECKPOINT));
    }
    let is_context = look.name.ends_with(".json")
        && (look.is_in("contexts") || (look.folders[0] == "indexes" && name == "contexts.json"))
        && (look.has(&["id", "type"]) || look.has(&["contexts"]));
    // What a full backup tells of itself, beside its archives.
    let is_info = look.is_in("backups")
        && [
            "git-info.json",
            "db-info.json",
            "config-info.json",
            "system-info.json",
        ]
        .contains(&name);
    match is_context || is_info || (is_backup && name.ends_with(".bak") && look.first == Some(b'{'))
    {
        true => Some(Role::Document(&OTHER)),
        false => None,
    }
}

fn tracker(split: &Split<'_>, path: &Path) -> Reading {
    let mut reading = other(split, path);
    let info = split
        .raw("sessionInfo")
        .and_then(|raw| Split::new(raw.as_bytes(), &[]).ok());
    let id = info.and_then(|info| info.string("sessionId"));
    if id.is_none() {
        reading.findings.push(Finding::new(
            "agenthive.no_session",
            "the tracker names no session",
        ));
    }
    reading
}

fn other(_: &Split<'_>, path: &Path) -> Reading {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Reading {
        session: format!("agenthive/{}", path.to_string_lossy()),
        is_copy: name.ends_with(".bak"),
        ..Reading::default()
    }
}

fn item(_: &str) -> LineMeta {
    LineMeta::default()
}

fn session(row: &Row) -> RowMeta {
    let status = row.text("status").unwrap_or_default();
    let is_open = matches!(status, "active" | "paused");
    RowMeta {
        actor: row.text("user_id").unwrap_or_default().to_owned(),
        mark: Mark::Asks { may_repeat: false },
        finding: is_open.then(|| {
            let id = row.first(&["session_id"]).unwrap_or_default();
            Finding::new(
                "agenthive.unfinished_session",
                format!("session {id:?} was {status} when the host wrote it last"),
            )
        }),
        ..RowMeta::default()
    }
}

fn by_agent(row: &Row, mark: Mark) -> RowMeta {
    RowMeta {
        actor: row
            .first(&["agent_id", "agent_name", "from_agent"])
            .unwrap_or_default(),
        mark,
        ..RowMeta::default()
    }
}
