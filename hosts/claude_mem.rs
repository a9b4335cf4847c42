//! claude-mem: its SQLite database, in the variants that it had since October 2025.
//!
//! A row belongs to the session by which the coding agent knows it, `content_session_id` (before
//! version 17 `claude_session_id`), and goes to `<id>/claude-mem`, a child of `<id>`: the agent's
//! own transcript, if it is imported, is that. Observations and summaries know only claude-mem's
//! own id, which `sdk_sessions` leads from; without a row there they are kept under their own id,
//! and told.
//!
//! What waits in `pending_messages` is queued, also what a worker had claimed: its claim is not
//! ours to know, and nothing that waited may be dropped.

use crate::detect::{Host, Look, Role};
use crate::documents::Waiting;
use crate::report::Finding;
use crate::rows::row::Row;
use crate::rows::{RowMeta, Table, Tables};
use crate::transcripts::turns::Mark;

/// Columns with the coding agent's id of the session, newest name first.
const CONTENT: &[&str] = &["content_session_id", "claude_session_id", "session_id"];

/// Columns with claude-mem's own.
const MEMORY: &[&str] = &["memory_session_id", "sdk_session_id", "session_id"];

/// Columns with a row's time in milliseconds, or else as text.
const TIME: &[&str] = &[
    "created_at_epoch",
    "started_at_epoch",
    "created_at",
    "started_at",
];

const BY_SESSION: Option<(&str, &[&str], &[&str])> = Some((
    "sdk_sessions",
    &["memory_session_id", "sdk_session_id"],
    CONTENT,
));

/// What is known of the tables.
pub static TABLES: Tables = Tables {
    host: Host::ClaudeMem,
    format: "claude-mem-db",
    suffix: "claude-mem",
    tables: &[
        Table {
            name: "sdk_sessions",
            session: CONTENT,
            by_way_of: None,
            time: TIME,
            read: session,
        },
        Table {
            name: "user_prompts",
            session: CONTENT,
            by_way_of: None,
            time: TIME,
            read: |row| asks(row, Mark::Asks { may_repeat: false }),
        },
        Table {
            name: "observations",
            session: MEMORY,
            by_way_of: BY_SESSION,
            time: TIME,
            read: observation,
        },
        Table {
            name: "session_summaries",
            session: MEMORY,
            by_way_of: BY_SESSION,
            time: TIME,
            read: |row| asks(row, Mark::Done),
        },
        Table {
            name: "pending_messages",
            session: CONTENT,
            by_way_of: None,
            time: TIME,
            read: pending,
        },
        Table {
            name: "transcript_events",
            session: CONTENT,
            by_way_of: None,
            time: &["event_index"],
            read: |_| RowMeta::default(),
        },
        Table {
            name: "observation_queue",
            session: MEMORY,
            by_way_of: BY_SESSION,
            time: TIME,
            read: |row| RowMeta {
                waiting: match row.first(&["processed_at_epoch"]) {
                    Some(_) => None,
                    None => waiting(row, "observation_queue", "observation"),
                },
                ..RowMeta::default()
            },
        },
    ],
};

/// Says what a file is, if it is one of this host.
pub fn claim(look: &Look<'_>) -> Option<Role> {
    let left_alone = |code, why: &str| {
        Some(Role::LeftAlone {
            code,
            why: why.into(),
        })
    };
    if look.is_sqlite {
        let is_named = look.name.starts_with("claude-mem") && look.name.contains(".db");
        return is_named.then_some(Role::Database(&TABLES));
    }
    if !look.is_in(".claude-mem") && !look.is_in("claude-mem") {
        return None;
    }
    match look.name.as_str() {
        "settings.json" | ".env" | "transcript-watch.json" => left_alone(
            "host.settings",
            "settings, in which keys may stand, are left alone",
        ),
        "worker.pid" | "spawn.lock" | "supervisor.json" | "transcript-watch-state.json" => {
            left_alone(
                "host.process_file",
                "it speaks of processes, which are gone",
            )
        }
        name if name.starts_with(".server-beta.") => {
            left_alone("host.settings", "settings of a server are left alone")
        }
        _ => None,
    }
}

fn session(row: &Row) -> RowMeta {
    let finding = row
        .get("memory_session_id")
        .or(row.get("sdk_session_id"))
        .filter(|id| id.is_null())
        .map(|_| {
            let id = row.first(CONTENT).unwrap_or_default();
            Finding::new(
                "claude_mem.no_memory_session",
                format!("session {id:?} never got an id of its own; its observations were lost"),
            )
        });
    RowMeta {
        finding,
        ..RowMeta::default()
    }
}

fn asks(row: &Row, mark: Mark) -> RowMeta {
    RowMeta {
        actor: if matches!(mark, Mark::Asks { .. }) {
            "user"
        } else {
            ""
        }
        .into(),
        mark,
        finding: sync_rev(row),
        ..RowMeta::default()
    }
}

fn observation(row: &Row) -> RowMeta {
    let hash = row.text("content_hash").unwrap_or_default();
    let id = row.first(&["id"]).unwrap_or_default();
    let odd_hash = hash.starts_with("__null_migration_").then(|| {
        Finding::new(
            "claude_mem.made_up_hash",
            format!("observation {id} has a hash that a migration made up"),
        )
    });
    let no_project = (row.text("project") == Some("unknown")).then(|| {
        Finding::new(
            "claude_mem.unknown_project",
            format!("observation {id} belongs to no known project"),
        )
    });
    RowMeta {
        actor: row.text("agent_type").unwrap_or_default().to_owned(),
        mark: Mark::Says,
        finding: sync_rev(row).or(odd_hash).or(no_project),
        ..RowMeta::default()
    }
}

/// A revision is text; a number that grew by one in a column without a type became a fraction.
fn sync_rev(row: &Row) -> Option<Finding> {
    let is_real = row.get("sync_rev")?.is_f64();
    let id = row.first(&["id"]).unwrap_or_default();
    is_real.then(|| {
        Finding::new(
            "claude_mem.sync_rev_real",
            format!("row {id} has a revision that is a fraction, which its own sync refuses"),
        )
    })
}

fn pending(row: &Row) -> RowMeta {
    let status = row.text("status").unwrap_or("pending");
    let waits = matches!(status, "pending" | "processing");
    let class = row.text("message_type").unwrap_or("observation").to_owned();
    let finding = match status {
        "processing" => Some("a worker had claimed it and never said what became of it"),
        "failed" => Some("it was given up"),
        _ => None,
    };
    let id = row.first(&["id"]).unwrap_or_default();
    RowMeta {
        waiting: waits
            .then(|| waiting(row, "pending_messages", &class))
            .flatten(),
        finding: finding.map(|what| {
            Finding::new(
                match status {
                    "failed" => "claude_mem.failed_message",
                    _ => "claude_mem.stuck_message",
                },
                format!("pending message {id}: {what}"),
            )
        }),
        ..RowMeta::default()
    }
}

fn waiting(row: &Row, table: &str, class: &str) -> Option<Waiting> {
    let id = row.first(&["id"])?;
    Some(Waiting {
        key: format!("{table}/{id}"),
        class: class.into(),
        priority: 0,
        content: String::from_utf8_lossy(&row.encode()).into_owned(),
    })
}
