//! claudelet: session files, their daily backups, and queues.
//!
//! `sessions/<date>_<first 8 of the id>.json` is the session of the id that stands in it; the
//! file's name is no identity, since generated ids all begin alike. Copies below `backups/` are
//! earlier states of the same session. A queue file becomes input queued in its session. The list
//! `.todos.md` and the recovery log are kept line by line.

use crate::detect::{Host, Look, Role};
use crate::documents::split::Split;
use crate::documents::{DocumentKind, Reading, Waiting, message};
use crate::report::Finding;
use crate::transcripts::meta::LineMeta;
use serde::Deserialize;
use std::path::Path;

/// A session.
pub static SESSION: DocumentKind = DocumentKind {
    host: Host::Claudelet,
    format: "claudelet-session",
    lists: &["messages"],
    read: session,
    item,
};

/// A queue.
pub static QUEUE: DocumentKind = DocumentKind {
    host: Host::Claudelet,
    format: "claudelet-queue",
    lists: &[],
    read: queue,
    item,
};

/// Any other JSON in its folders.
pub static OTHER: DocumentKind = DocumentKind {
    host: Host::Claudelet,
    format: "claudelet-document",
    lists: &[],
    read: other,
    item,
};

/// Says what a file is, if it is one of this host.
pub fn claim(look: &Look<'_>) -> Option<Role> {
    let name = look.name.as_str();
    if name.starts_with(".claude-agent-") {
        return Some(Role::LeftAlone {
            code: "host.credentials",
            why: "keys and tokens are left alone".into(),
        });
    }
    let is_home = look.is_in(".claudelet");
    if is_home && name.starts_with(".lock_") {
        return Some(Role::LeftAlone {
            code: "host.lock_file",
            why: "it speaks of a process, which is gone".into(),
        });
    }
    let is_session = look.has(&["sessionId", "createdAt"])
        && (look.has(&["messages"]) || look.has(&["workingDirectory"]));
    if name.ends_with(".corrupted") || name.ends_with(".json.tmp") {
        return (is_home || is_session).then(|| Role::Verbatim {
            code: match name.ends_with(".tmp") {
                true => "claudelet.leftover",
                false => "claudelet.set_aside",
            },
            why: match name.ends_with(".tmp") {
                true => "a file that a save left behind before it was renamed",
                false => "the host had set it aside as damaged",
            }
            .into(),
        });
    }
    if (is_home && name == "transaction.log") || name == ".todos.md" {
        return Some(Role::Lines {
            format: crate::transcripts::Format::Text,
            session: format!("claudelet/{}", look.entry.source.to_string_lossy()),
            parent: None,
        });
    }
    if !name.ends_with(".json") {
        return None;
    }
    if is_home && look.folders[0] == "queues" {
        return Some(Role::Document(&QUEUE));
    }
    is_session.then_some(Role::Document(&SESSION))
}

#[derive(Deserialize)]
struct Queued {
    id: Option<String>,
    text: Option<String>,
    priority: Option<String>,
}

fn waiting(raw: Option<&str>) -> Vec<Waiting> {
    let all: Vec<Queued> = raw
        .and_then(|raw| serde_json::from_str(raw).ok())
        .unwrap_or_default();
    let all = all.into_iter().enumerate().map(|(at, queued)| {
        let class = queued.priority.unwrap_or_else(|| "normal".into());
        Waiting {
            key: queued.id.unwrap_or_else(|| format!("#{at}")),
            priority: match class.as_str() {
                "urgent" => 2,
                "todo" => 0,
                _ => 1,
            },
            class,
            content: queued.text.unwrap_or_default(),
        }
    });
    all.collect()
}

fn session(split: &Split<'_>, path: &Path) -> Reading {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let id = split
        .string("sessionId")
        .unwrap_or_else(|| stem.to_string());
    let is_copy = path.iter().any(|name| name == "backups");
    let mut findings = Vec::new();
    let begins: String = id.chars().take(8).collect();
    if !is_copy && !stem.ends_with(&begins) {
        findings.push(Finding::new(
            "claudelet.id_differs_from_name",
            format!("the file is named {stem:?} and says it is {id:?}"),
        ));
    }
    if split.raw("status").is_none() {
        findings.push(Finding::new(
            "claudelet.no_status",
            "it says nothing about its status, which the host takes for completed",
        ));
    }
    let empty = split.items().filter(|raw| {
        let content = Split::new(raw.as_bytes(), &[]).ok();
        content.is_some_and(|fields| fields.raw("content") == Some("\"\""))
    });
    let empty = empty.count();
    if empty > 0 {
        findings.push(Finding::new(
            "claudelet.empty_content",
            format!("{empty} messages are empty, which the host's own guide takes for damage"),
        ));
    }
    Reading {
        session: id,
        is_copy,
        // What waited when a copy was made has been worked off, or waits in the file itself.
        queue: match is_copy {
            true => Vec::new(),
            false => waiting(split.raw("pendingMessages")),
        },
        findings,
        ..Reading::default()
    }
}

fn queue(split: &Split<'_>, path: &Path) -> Reading {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let lists = ["pendingMessages", "messages", "queue", "items"];
    let list = lists.iter().find_map(|name| split.raw(name));
    Reading {
        session: format!("{stem}/queue"),
        parent: Some(stem.into_owned()),
        queue: waiting(list.or_else(|| split.whole_list())),
        ..Reading::default()
    }
}

fn other(_: &Split<'_>, path: &Path) -> Reading {
    Reading {
        session: format!("claudelet/{}", path.to_string_lossy()),
        ..Reading::default()
    }
}

fn item(raw: &str) -> LineMeta {
    let meta = message(raw, "timestamp", "id");
    let tool = Split::new(raw.as_bytes(), &[]).ok();
    LineMeta {
        tool_name: tool.and_then(|fields| fields.string("toolName")),
        ..meta
    }
}
