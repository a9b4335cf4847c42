//! The journals of hermes-webui: `_turn_journal/<session>~<pid>.jsonl`, one shard for each
//! process, and `_run_journal/<session>/<run>.jsonl`.
//!
//! Which session a file belongs to stands in its path; see [`crate::hermes`].

use super::meta::LineMeta;
use super::parse::string;
use super::turns::{Mark, Outcome};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    event_id: Option<&'a RawValue>,
    session_id: Option<&'a RawValue>,
    turn_id: Option<&'a RawValue>,
    run_id: Option<&'a RawValue>,
    role: Option<&'a RawValue>,
    reason: Option<&'a RawValue>,
    created_at: Option<&'a RawValue>,
}

/// Tells whether `text` is a line of a turn journal.
pub(super) fn recognises_turns(text: &str) -> bool {
    let record = serde_json::from_str::<Record>(text);
    record.is_ok_and(|r| r.event.is_some() && r.turn_id.is_some() && r.session_id.is_some())
}

/// Tells whether `text` is a line of a run journal.
pub(super) fn recognises_run(text: &str) -> bool {
    let record = serde_json::from_str::<Record>(text);
    record.is_ok_and(|r| r.event.is_some() && r.run_id.is_some() && r.event_id.is_some())
}

/// Reads the facts of a line of a turn journal.
pub(super) fn read_turns(text: &str) -> serde_json::Result<LineMeta> {
    let record: Record = serde_json::from_str(text)?;
    let event = string(record.event).unwrap_or_else(|| "other".into());
    let mark = match event.as_str() {
        "submitted" => Mark::Begins,
        "assistant_started" => Mark::Says,
        "completed" => Mark::Ends(Outcome::Completed),
        "interrupted" if string(record.reason).as_deref() == Some("cancelled") => {
            Mark::Ends(Outcome::Cancelled)
        }
        "interrupted" => Mark::Ends(Outcome::Interrupted),
        _ => Mark::Other,
    };
    Ok(facts(&record, event, mark))
}

/// Reads the facts of a line of a run journal. A run is one attempt at a turn, which the turn
/// journal has: its lines begin and end none.
pub(super) fn read_run(text: &str) -> serde_json::Result<LineMeta> {
    let record: Record = serde_json::from_str(text)?;
    let event = string(record.event).unwrap_or_else(|| "other".into());
    Ok(facts(&record, event, Mark::Other))
}

fn facts(record: &Record, kind: String, mark: Mark) -> LineMeta {
    LineMeta {
        kind,
        role: string(record.role),
        uuid: string(record.event_id),
        // A number of seconds, or what some version wrote as text.
        timestamp: string(record.created_at).or(record.created_at.map(|raw| raw.get().into())),
        session_id: string(record.session_id),
        turn_id: string(record.turn_id).or_else(|| string(record.run_id)),
        mark,
        ..LineMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_a_turn_are_what_they_say() {
        let mark = |rest: &str| {
            let line = format!(r#"{{"turn_id":"t","session_id":"s","created_at":1.5,{rest}}}"#);
            assert!(recognises_turns(&line) && !recognises_run(&line));
            let meta = read_turns(&line).expect("JSON");
            assert_eq!(meta.timestamp.as_deref(), Some("1.5"));
            assert_eq!(meta.turn_id.as_deref(), Some("t"));
            meta.mark
        };
        assert_eq!(mark(r#""event":"submitted","role":"user""#), Mark::Begins);
        assert_eq!(mark(r#""event":"worker_started""#), Mark::Other);
        assert_eq!(
            mark(r#""event":"completed""#),
            Mark::Ends(Outcome::Completed)
        );
        let cancelled = r#""event":"interrupted","reason":"cancelled""#;
        assert_eq!(mark(cancelled), Mark::Ends(Outcome::Cancelled));
        let lost = r#""event":"interrupted","reason":"rate_limit""#;
        assert_eq!(mark(lost), Mark::Ends(Outcome::Interrupted));
        assert_eq!(mark(r#""event":7"#), Mark::Other);
    }

    #[test]
    fn a_run_has_events_with_ids() {
        let line = r#"{"version":1,"event_id":"r:1","seq":1,"run_id":"r","session_id":"s","event":"token","created_at":"2026-05-11T00:11:22Z","payload":{"text":"x"}}"#;
        assert!(recognises_run(line) && !recognises_turns(line));
        let meta = read_run(line).expect("JSON");
        assert_eq!((meta.kind.as_str(), meta.mark), ("token", Mark::Other));
        assert_eq!(meta.timestamp.as_deref(), Some("2026-05-11T00:11:22Z"));
        assert_eq!(meta.turn_id.as_deref(), Some("r"));
    }
}
