//! Codex rollouts: `rollout-<time>-<session uuid>.jsonl`.
//!
//! A line is `{timestamp, ordinal, type, payload}`. The first is `session_meta`; a task's
//! start and end are events. Older releases wrote no tasks; there the prompts start turns,
//! and each prompt is written as an item and once more as an event.

use super::meta::LineMeta;
use super::parse::string;
use super::turns::{Mark, Outcome};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Beginnings of user messages that the host wrote, not a human.
const INJECTED: [&str; 5] = [
    "<environment_context>",
    "<user_instructions>",
    "<skills_instructions>",
    "<turn_aborted>",
    "# AGENTS.md instructions",
];

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Payload<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    role: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    turn_id: Option<&'a RawValue>,
    thread_id: Option<&'a RawValue>,
    content: Option<&'a RawValue>,
    source: Option<&'a RawValue>,
    #[serde(rename = "internal_chat_message_metadata_passthrough")]
    passthrough: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Passthrough<'a> {
    #[serde(borrow)]
    turn_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// `source` of a session that another one spawned.
#[derive(Deserialize)]
struct Source {
    subagent: SubAgent,
}

#[derive(Deserialize)]
struct SubAgent {
    thread_spawn: ThreadSpawn,
}

#[derive(Deserialize)]
struct ThreadSpawn {
    parent_thread_id: String,
}

/// Tells whether `text` is a line of this format.
pub(super) fn recognises(text: &str) -> bool {
    serde_json::from_str::<Record>(text).is_ok_and(|record| {
        string(record.kind).is_some()
            && string(record.timestamp).is_some()
            && record.payload.is_some_and(|raw| raw.get().starts_with('{'))
    })
}

/// Reads the facts of a line.
pub(super) fn read(text: &str) -> serde_json::Result<LineMeta> {
    let record: Record = serde_json::from_str(text)?;
    let payload: Payload = record
        .payload
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    let kind = string(record.kind).unwrap_or_else(|| "other".into());
    let detail = string(payload.kind);
    let is_meta = kind == "session_meta";
    let role = string(payload.role);
    let mark = match (kind.as_str(), detail.as_deref()) {
        ("event_msg", Some(event)) => event_mark(event),
        ("response_item", Some(item)) => item_mark(item, role.as_deref(), &payload),
        _ => Mark::Other,
    };
    let passthrough: Option<Passthrough> = payload
        .passthrough
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    Ok(LineMeta {
        kind: match &detail {
            Some(detail) => format!("{kind}/{detail}"),
            None => kind,
        },
        role,
        uuid: string(payload.id).filter(|_| !is_meta),
        parent_uuid: None,
        timestamp: string(record.timestamp),
        session_id: string(if is_meta {
            payload.id
        } else {
            payload.thread_id
        }),
        parent_session_id: payload
            .source
            .filter(|_| is_meta)
            .and_then(|raw| serde_json::from_str::<Source>(raw.get()).ok())
            .map(|source| source.subagent.thread_spawn.parent_thread_id),
        turn_id: string(payload.turn_id)
            .or_else(|| string(passthrough.and_then(|passthrough| passthrough.turn_id))),
        tool_name: string(payload.name).filter(|_| mark == Mark::Calls),
        mark,
    })
}

fn event_mark(event: &str) -> Mark {
    match event {
        "task_started" | "turn_started" => Mark::Begins,
        "task_complete" | "turn_complete" => Mark::Ends(Outcome::Completed),
        "turn_aborted" => Mark::Ends(Outcome::Interrupted),
        "user_message" => Mark::Asks { may_repeat: true },
        "agent_message" => Mark::Says,
        _ => Mark::Other,
    }
}

fn item_mark(item: &str, role: Option<&str>, payload: &Payload) -> Mark {
    match (item, role) {
        ("message", Some("user")) if !is_injected(payload) => Mark::Asks { may_repeat: true },
        ("message", Some("assistant")) => Mark::Says,
        ("function_call" | "custom_tool_call" | "local_shell_call" | "web_search_call", _) => {
            Mark::Calls
        }
        _ => Mark::Other,
    }
}

fn is_injected(payload: &Payload) -> bool {
    let parts: Vec<ContentPart> = payload
        .content
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    let text = parts.iter().find_map(|part| part.text);
    let text = text.map_or("", |raw| raw.get().trim_start_matches('"'));
    INJECTED.iter().any(|tag| text.starts_with(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(kind: &str, payload: &str) -> LineMeta {
        let line =
            format!(r#"{{"timestamp":"t","ordinal":1,"type":"{kind}","payload":{payload}}}"#);
        assert!(recognises(&line));
        read(&line).expect("valid JSON")
    }

    #[test]
    fn tasks_start_and_end_turns() {
        let start = meta("event_msg", r#"{"type":"task_started","turn_id":"T"}"#);
        assert_eq!(
            (start.mark, start.turn_id.as_deref()),
            (Mark::Begins, Some("T"))
        );
        assert_eq!(start.kind, "event_msg/task_started");
        let end = meta("event_msg", r#"{"type":"task_complete","turn_id":"T"}"#);
        assert_eq!(end.mark, Mark::Ends(Outcome::Completed));
        let end = meta(
            "event_msg",
            r#"{"type":"turn_aborted","reason":"interrupted"}"#,
        );
        assert_eq!(end.mark, Mark::Ends(Outcome::Interrupted));
    }

    #[test]
    fn prompts_are_told_from_what_the_host_injects() {
        let human = r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}],
            "internal_chat_message_metadata_passthrough":{"turn_id":"T"}}"#;
        let human = meta("response_item", human);
        assert_eq!(human.mark, Mark::Asks { may_repeat: true });
        assert_eq!(human.turn_id.as_deref(), Some("T"));
        let injected = r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>\n"}]}"#;
        assert_eq!(meta("response_item", injected).mark, Mark::Other);
    }

    #[test]
    fn a_session_tells_who_spawned_it() {
        let own = meta("session_meta", r#"{"id":"child","source":"exec"}"#);
        assert_eq!(own.session_id.as_deref(), Some("child"));
        assert_eq!((own.parent_session_id, own.uuid), (None, None));
        let spawned = r#"{"id":"child","source":{"subagent":{"thread_spawn":{"parent_thread_id":"p","depth":1}}}}"#;
        let spawned = meta("session_meta", spawned);
        assert_eq!(spawned.parent_session_id.as_deref(), Some("p"));
    }

    #[test]
    fn tools_have_names() {
        let call = r#"{"type":"function_call","name":"exec_command","id":"fc"}"#;
        let call = meta("response_item", call);
        assert_eq!(call.tool_name.as_deref(), Some("exec_command"));
        assert_eq!(call.mark, Mark::Calls);
    }
}
