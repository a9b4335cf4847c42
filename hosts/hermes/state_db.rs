//! `state.db`, the agent's own database, in all its versions: some have only `sessions(id)`.

use crate::detect::Host;
use crate::rows::row::Row;
use crate::rows::{RowMeta, Table, Tables};
use crate::transcripts::turns::Mark;

/// What is known of it.
pub static TABLES: Tables = Tables {
    host: Host::HermesWebui,
    format: "hermes-state-db",
    suffix: "state.db",
    tables: &[
        Table {
            name: "sessions",
            session: &["id"],
            by_way_of: None,
            time: &["no_such_column"],
            read: |_| RowMeta::default(),
        },
        Table {
            name: "messages",
            session: &["session_id"],
            by_way_of: None,
            time: &["timestamp"],
            read: message,
        },
        Table {
            name: "session_turn_leases",
            session: &["conversation_id"],
            by_way_of: None,
            time: &["acquired_at"],
            read: |_| RowMeta::default(),
        },
        Table {
            name: "compression_locks",
            session: &["session_id"],
            by_way_of: None,
            time: &["acquired_at"],
            read: |_| RowMeta::default(),
        },
    ],
};

fn message(row: &Row) -> RowMeta {
    let role = row.text("role").unwrap_or_default();
    let mark = match role {
        "user" => Mark::Asks { may_repeat: false },
        "assistant" if row.text("tool_calls").is_some() => Mark::Calls,
        "assistant" => Mark::Done,
        _ => Mark::Other,
    };
    RowMeta {
        actor: role.to_owned(),
        mark,
        ..RowMeta::default()
    }
}
