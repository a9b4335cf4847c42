//! What is read from a journal, in lines that stay the same as long as it reads the same.

use std::fmt::Write;
use turnkeep::{Entry, Lsn, Reader};

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Every session, record, value, open turn and queued input.
pub fn listing(reader: &Reader) -> String {
    let mut said = String::new();
    // Writing to memory does not fail.
    let mut line = |text: String| writeln!(said, "{text}").expect("memory");
    for info in reader.sessions().expect("lists") {
        let parent = info.parent.map(|parent| parent.get());
        line(format!(
            "session {} {} parent {parent:?} ended {:?} generation {} records {} turns {} open {} keys {}",
            info.no,
            text(info.id.as_bytes()),
            info.ended,
            info.generation,
            info.records,
            info.turns,
            info.open_turns,
            info.keys,
        ));
        let session = reader.find(&info.id).expect("is there");
        for entry in session.read(..).expect("reads") {
            line(record(&entry.expect("reads")));
        }
        for key in session.keys().expect("lists") {
            let value = session.get(&key).expect("reads").expect("is there");
            line(format!("value {key} = {}", text(&value)));
        }
    }
    for turn in reader.open_turns().expect("lists") {
        line(format!(
            "open {} turn {} ordinal {} {:?} attempt {} owner {:?} calls {} epoch {}",
            text(turn.session.as_bytes()),
            turn.turn,
            turn.ordinal,
            turn.state,
            turn.attempt,
            turn.owner,
            turn.open_calls,
            turn.epoch,
        ));
    }
    for input in reader.pending().expect("lists") {
        line(format!(
            "pending {} input {} class {} priority {} {:?} owner {:?} claims {} lost {}",
            text(input.session.as_bytes()),
            input.input,
            input.class,
            input.priority,
            input.status,
            input.owner,
            input.claims,
            input.lost_claims,
        ));
    }
    let log = reader.read(Lsn::new(1)).expect("reads");
    let lsns: Vec<u64> = log.map(|entry| entry.expect("reads").lsn.get()).collect();
    line(format!("log {lsns:?}"));
    said
}

fn record(entry: &Entry) -> String {
    let key = entry.key.as_deref().map(text);
    format!(
        "record {} seq {} epoch {} {} at {} turn {:?} supersedes {:?} attempt {} name {:?} actor {:?} \
         key {key:?} link {} refs {:?} extra {} content {}",
        entry.lsn,
        entry.seq,
        entry.epoch,
        entry.kind.as_str(),
        entry.at_ms,
        entry.turn.map(|turn| turn.get()),
        entry.supersedes.map(|turn| turn.get()),
        entry.attempt,
        entry.name,
        entry.actor,
        entry.link,
        entry.refs,
        text(&entry.extra),
        text(&entry.content),
    )
}
