//! The documents of hermes-webui.

use crate::detect::Host;
use crate::documents::split::Split;
use crate::documents::{DocumentKind, Reading, Waiting, message};
use crate::report::Finding;
use crate::transcripts::meta::LineMeta;
use crate::transcripts::turns::{Mark, Outcome};
use std::path::Path;

/// `<sid>.json`.
pub static SIDECAR: DocumentKind = DocumentKind {
    host: Host::HermesWebui,
    format: "hermes-sidecar",
    lists: &["messages"],
    read: sidecar,
    item,
};

/// `<sid>.json.bak`: what the sidecar was before a save with fewer messages.
pub static BACKUP: DocumentKind = DocumentKind {
    host: Host::HermesWebui,
    format: "hermes-backup",
    lists: &["messages"],
    read: backup,
    item,
};

/// `session_<sid>.json`: the agent's own transcript, or a sidecar of the old naming.
pub static CORE: DocumentKind = DocumentKind {
    host: Host::HermesWebui,
    format: "hermes-core",
    lists: &["messages"],
    read: core,
    item,
};

/// `_index.json`, a list.
pub static INDEX: DocumentKind = DocumentKind {
    host: Host::HermesWebui,
    format: "hermes-index",
    lists: &[],
    read: other,
    item,
};

/// `_deleted_webui_sessions.json` and `_pruned_webui_orphans.json`.
pub static TOMBSTONES: DocumentKind = DocumentKind {
    host: Host::HermesWebui,
    format: "hermes-tombstones",
    lists: &[],
    read: tombstones,
    item,
};

/// Any other JSON in its folders.
pub static OTHER: DocumentKind = DocumentKind {
    host: Host::HermesWebui,
    format: "hermes-document",
    lists: &[],
    read: other,
    item,
};

/// Above this the host's tombstones drop entries.
const TOMBSTONE_CAPS: [(&str, usize); 2] = [
    ("_deleted_webui_sessions.json", 1000),
    ("_pruned_webui_orphans.json", 500),
];

fn sidecar(split: &Split<'_>, path: &Path) -> Reading {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let id = split
        .string("session_id")
        .unwrap_or_else(|| stem.to_string());
    let mut findings = Vec::new();
    if id != stem {
        findings.push(Finding::new(
            "hermes.id_differs_from_name",
            format!("the file is named {stem:?} and says it is {id:?}"),
        ));
    }
    let said = split.number("message_count");
    if let Some(said) = said.filter(|said| *said != split.len() as i64) {
        findings.push(Finding::new(
            "hermes.count_differs",
            format!("it says it has {said} messages and has {}", split.len()),
        ));
    }
    let place = |name| split.raw(name).map(|raw| raw.as_ptr() as usize);
    let before = |a, b| matches!((place(a), place(b)), (Some(a), Some(b)) if a < b);
    if before("anchor_activity_scenes", "message_count") {
        findings.push(Finding::new(
            "hermes.legacy_layout",
            "scenes stand before the message count",
        ));
    }
    if split.is_set("_recovered_from_state_db") {
        findings.push(Finding::new(
            "hermes.rebuilt",
            "the host had made it anew from state.db",
        ));
    }
    let items: Vec<_> = split.items().collect();
    let twice = items.windows(2).filter(|pair| pair[0] == pair[1]).count();
    if twice > 0 {
        findings.push(Finding::new(
            "hermes.repeated_messages",
            format!("{twice} messages are the same as the one before"),
        ));
    }
    // The prompt of a turn that was in flight, or that a crash ended.
    let pending = split.string("pending_user_message");
    let queue: Vec<_> = pending
        .into_iter()
        .map(|content| Waiting {
            key: format!(
                "pending/{}",
                split.raw("pending_started_at").unwrap_or("null")
            ),
            class: "pending_user_message".into(),
            priority: 0,
            content,
        })
        .collect();
    if !queue.is_empty() {
        findings.push(Finding::new(
            "hermes.pending_turn",
            "a prompt has no answer yet; it is queued",
        ));
    }
    if split.is_set("active_stream_id") {
        findings.push(Finding::new(
            "hermes.active_stream",
            "the host had not finished an answer when it wrote this",
        ));
    }
    Reading {
        session: id,
        parent: split.string("parent_session_id"),
        queue,
        findings,
        ..Reading::default()
    }
}

fn backup(split: &Split<'_>, path: &Path) -> Reading {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".json.bak").unwrap_or(&name).to_owned();
    let id = split.string("session_id").unwrap_or(stem);
    // Nothing of it waits: it is what was before.
    Reading {
        session: format!("{id}/bak"),
        parent: Some(id),
        ..Reading::default()
    }
}

fn core(split: &Split<'_>, path: &Path) -> Reading {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_prefix("session_").unwrap_or(&stem).to_owned();
    let id = split.string("session_id").unwrap_or(stem);
    Reading {
        session: format!("{id}/core"),
        parent: Some(id),
        ..Reading::default()
    }
}

fn tombstones(split: &Split<'_>, path: &Path) -> Reading {
    let mut reading = other(split, path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let cap = TOMBSTONE_CAPS.iter().find(|(capped, _)| *capped == name);
    let ids: Vec<&serde_json::value::RawValue> = split
        .raw("ids")
        .and_then(|raw| serde_json::from_str(raw).ok())
        .unwrap_or_default();
    if let Some((_, cap)) = cap.filter(|(_, cap)| ids.len() >= *cap) {
        reading.findings.push(Finding::new(
            "hermes.tombstones_full",
            format!("it has its {cap} entries, so the host has dropped others"),
        ));
    }
    reading
}

fn other(_: &Split<'_>, path: &Path) -> Reading {
    Reading {
        session: format!("hermes-webui/{}", path.to_string_lossy()),
        ..Reading::default()
    }
}

/// A message. The host marks those that it made up itself.
fn item(raw: &str) -> LineMeta {
    let meta = message(raw, "timestamp", "id");
    let Ok(fields) = Split::new(raw.as_bytes(), &[]) else {
        return meta;
    };
    let time = meta
        .timestamp
        .clone()
        .or_else(|| fields.raw("_ts").map(str::to_owned));
    let mark = match fields.string("type").as_deref() {
        Some("interrupted") if fields.is_set("_error") => Mark::Ends(Outcome::Interrupted),
        _ if fields.is_set("_error") => Mark::Fails,
        _ if fields.is_set("_partial") => Mark::Calls,
        _ => meta.mark,
    };
    LineMeta {
        timestamp: time,
        turn_id: fields.string("_active_turn_token"),
        mark,
        ..meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(raw: &str) -> Mark {
        item(raw).mark
    }

    #[test]
    fn messages_are_asked_answered_or_made_up_by_the_host() {
        let user = r#"{"role":"user","content":"hi","timestamp":1778458282.5}"#;
        assert_eq!(mark(user), Mark::Asks { may_repeat: false });
        assert_eq!(item(user).timestamp.as_deref(), Some("1778458282.5"));
        let parts = r#"{"role":"assistant","content":[{"type":"text","text":"x"}],"_ts":7}"#;
        assert_eq!(
            (mark(parts), item(parts).timestamp),
            (Mark::Done, Some("7".into()))
        );
        let calls = r#"{"role":"assistant","content":"","tool_calls":[{"id":"c"}]}"#;
        assert_eq!(mark(calls), Mark::Calls);
        assert_eq!(mark(r#"{"role":"tool","tool_call_id":"c"}"#), Mark::Other);
        let marker = r#"{"role":"assistant","_error":true,"type":"interrupted"}"#;
        assert_eq!(mark(marker), Mark::Ends(Outcome::Interrupted));
        assert_eq!(mark(r#"{"role":"assistant","_error":true}"#), Mark::Fails);
        assert_eq!(mark(r#"{"role":"assistant","_partial":true}"#), Mark::Calls);
        assert_eq!(item("7").kind, "other");
    }
}
