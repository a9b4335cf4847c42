//! systemprompt-code-orchestrator: `state.json` and its backups, tasks, logs, reports.
//!
//! A task `tasks/<id>.json` is the session of its id, with one turn: the task itself, which ends
//! as its status says; its log entries are the turn's. `state.json` repeats the tasks as they
//! were at the last save, and is kept as it is: where it differs from a task's own file, the file
//! is newer and neither is dropped.

use crate::detect::{Host, Look, Role};
use crate::documents::split::Split;
use crate::documents::{DocumentKind, Lead, Reading};
use crate::report::Finding;
use crate::transcripts::Format;
use crate::transcripts::meta::LineMeta;
use crate::transcripts::turns::{Mark, Outcome};
use std::path::Path;

/// `tasks/<id>.json`.
pub static TASK: DocumentKind = DocumentKind {
    host: Host::Systemprompt,
    format: "systemprompt-task",
    lists: &["logs"],
    read: task,
    item,
};

/// `state.json`.
pub static STATE: DocumentKind = DocumentKind {
    host: Host::Systemprompt,
    format: "systemprompt-state",
    lists: &[],
    read: state,
    item,
};

/// Any other JSON in its folders, reports among them.
pub static OTHER: DocumentKind = DocumentKind {
    host: Host::Systemprompt,
    format: "systemprompt-document",
    lists: &[],
    read: other,
    item,
};

/// Says what a file is, if it is one of this host.
pub fn claim(look: &Look<'_>) -> Option<Role> {
    let name = look.name.as_str();
    let is_home = look.is_in("coding-agent-state");
    if is_home && name.ends_with(".pid") {
        return Some(Role::LeftAlone {
            code: "host.process_file",
            why: "it speaks of processes, which are gone".into(),
        });
    }
    if is_home && name.ends_with(".log") {
        return Some(Role::Lines {
            format: Format::Text,
            session: format!("systemprompt/{name}"),
            parent: None,
        });
    }
    if !name.ends_with(".json") {
        return None;
    }
    let is_state = name.starts_with("state.") && look.has(&["tasks"]);
    let is_task = look.folders[0] == "tasks" && look.has(&["id", "description"]);
    let is_report = look.folders[0] == "reports" && name.starts_with("report_");
    match () {
        () if is_state => Some(Role::Document(&STATE)),
        () if is_task || (is_home && look.folders[0] == "tasks") => Some(Role::Document(&TASK)),
        () if is_report => Some(Role::Document(&OTHER)),
        () => None,
    }
}

fn task(split: &Split<'_>, path: &Path) -> Reading {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let id = split.string("id").unwrap_or_else(|| stem.to_string());
    let mut findings = Vec::new();
    if id != stem {
        findings.push(Finding::new(
            "systemprompt.id_differs_from_name",
            format!("the file is named {stem:?} and says it is {id:?}"),
        ));
    }
    if !crate::transcripts::is_uuid(&id) {
        findings.push(Finding::new(
            "systemprompt.id_is_no_uuid",
            "the host itself refuses to load a task of such an id",
        ));
    }
    let result = split.raw("result").unwrap_or_default();
    if !result.is_empty() && !result.contains("\"success\"") {
        findings.push(Finding::new(
            "systemprompt.other_result",
            "its result is not of the shape that the host writes",
        ));
    }
    let status = split.string("status");
    let end = match status.as_deref() {
        Some("completed") => Some(Outcome::Completed),
        Some("failed") => Some(Outcome::Failed),
        Some("cancelled") => Some(Outcome::Cancelled),
        Some("in_progress" | "waiting" | "pending") => None,
        other => {
            findings.push(Finding::new(
                "systemprompt.unknown_status",
                format!("its status is {other:?}"),
            ));
            None
        }
    };
    if status.as_deref() == Some("in_progress") {
        findings.push(Finding::new(
            "systemprompt.unfinished_task",
            "it was in progress when the host wrote it last",
        ));
    }
    let lead = split.string("description").map(|content| Lead {
        name: "task",
        actor: split.string("assigned_to").unwrap_or_default(),
        content,
        time: split.string("created_at"),
    });
    Reading {
        session: id,
        lead,
        end,
        findings,
        ..Reading::default()
    }
}

fn state(split: &Split<'_>, path: &Path) -> Reading {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut findings = Vec::new();
    if split.raw("version").is_some() {
        findings.push(Finding::new(
            "systemprompt.version_field",
            "it has a version, which only the documentation knows",
        ));
    }
    Reading {
        session: format!("systemprompt/{name}"),
        findings,
        ..Reading::default()
    }
}

fn other(_: &Split<'_>, path: &Path) -> Reading {
    Reading {
        session: format!("systemprompt/{}", path.to_string_lossy()),
        ..Reading::default()
    }
}

/// A log entry.
fn item(raw: &str) -> LineMeta {
    let Ok(fields) = Split::new(raw.as_bytes(), &[]) else {
        return LineMeta {
            kind: "log".into(),
            ..LineMeta::default()
        };
    };
    LineMeta {
        kind: match fields.string("type") {
            Some(kind) => format!("log/{kind}"),
            None => "log".into(),
        },
        role: fields.string("prefix"),
        timestamp: fields.string("timestamp"),
        mark: Mark::Other,
        ..LineMeta::default()
    }
}
