//! The report as JSON, for the record that goes into the salvaged journal and the file beside
//! the quarantine. One fixed shape, so a dozen lines do what a library would.

use super::report::{LsnRange, SalvageReport, SeqRange};
use std::fmt::Write;

/// The report, each list cut to `limit` items; `<list>_left_out` says how many were.
pub(super) fn report(report: &SalvageReport, limit: usize) -> String {
    let mut out = String::from("{");
    text(&mut out, "kind", "salvage");
    text(&mut out, "from_journal", &report.journal.to_string());
    text(&mut out, "journal", &report.new_journal.to_string());
    number(&mut out, "records_kept", report.records_kept);
    number(&mut out, "records_erased", report.records_erased);
    number(&mut out, "records_lost", report.records_lost());
    let lsns = |out: &mut String, range: &LsnRange| {
        let _ = write!(out, "[{},{}]", range.from, range.to);
    };
    list(&mut out, "lost_lsns", &report.lost, limit, lsns);
    list(&mut out, "uncertain_lsns", &report.uncertain, limit, lsns);
    list(
        &mut out,
        "lost_records",
        &report.lost_records,
        limit,
        |out, lost| {
            out.push('{');
            key(out, "lsns");
            let _ = write!(out, "[{},{}]", lost.from, lost.to);
            flag(out, "is_certain", lost.is_certain);
            list(out, "sessions", &lost.sessions, limit, |out, of| {
                out.push('{');
                number(out, "no", of.no.get().into());
                if let Some(id) = &of.id {
                    text(out, "id", id);
                }
                key(out, "seqs");
                let _ = write!(out, "[{},{}]}}", of.seqs.from, of.seqs.to);
            });
            if lost.sessions_left_out > 0 {
                number(out, "sessions_left_out", lost.sessions_left_out);
            }
            flag(out, "may_be_another", lost.may_be_another);
            out.push('}');
        },
    );
    let hit = report
        .sessions
        .iter()
        .filter(|s| !s.lost.is_empty() || !s.uncertain.is_empty() || s.is_renamed);
    let hit: Vec<_> = hit.collect();
    list(&mut out, "damaged_sessions", &hit, limit, |out, session| {
        out.push('{');
        number(out, "no", session.no.get().into());
        text(out, "id", &session.id);
        number(out, "kept", session.kept);
        let seqs = |out: &mut String, range: &SeqRange| {
            let _ = write!(out, "[{},{}]", range.from, range.to);
        };
        list(out, "lost_seqs", &session.lost, limit, seqs);
        list(out, "uncertain_seqs", &session.uncertain, limit, seqs);
        flag(out, "is_renamed", session.is_renamed);
        out.push('}');
    });
    list(
        &mut out,
        "findings",
        &report.findings,
        limit,
        |out, finding| {
            string(out, &finding.to_string());
        },
    );
    list(
        &mut out,
        "quarantined",
        &report.quarantined,
        limit,
        |out, item| {
            out.push('{');
            text(out, "copy", &item.copy);
            text(out, "file", &item.file);
            number(out, "offset", item.offset);
            number(out, "len", item.len);
            number(out, "copied", item.copied);
            out.push('}');
        },
    );
    out.push('}');
    out
}

fn key(out: &mut String, name: &str) {
    if !out.ends_with(['{', '[']) {
        out.push(',');
    }
    string(out, name);
    out.push(':');
}

pub(crate) fn number(out: &mut String, name: &str, value: u64) {
    key(out, name);
    let _ = write!(out, "{value}");
}

fn flag(out: &mut String, name: &str, value: bool) {
    key(out, name);
    let _ = write!(out, "{value}");
}

pub(crate) fn text(out: &mut String, name: &str, value: &str) {
    key(out, name);
    string(out, value);
}

pub(crate) fn list<T>(
    out: &mut String,
    name: &str,
    items: &[T],
    limit: usize,
    mut item: impl FnMut(&mut String, &T),
) {
    key(out, name);
    out.push('[');
    for (n, value) in items.iter().take(limit).enumerate() {
        if n > 0 {
            out.push(',');
        }
        item(out, value);
    }
    out.push(']');
    if items.len() > limit {
        number(
            out,
            &format!("{name}_left_out"),
            (items.len() - limit) as u64,
        );
    }
}

fn string(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ids::{Lsn, Seq, SessionNo};
    use crate::recovery::salvage::{LostRecords, SalvagedSession};

    #[test]
    fn lists_are_cut_and_text_is_escaped() {
        let range = |n| LsnRange {
            from: Lsn::new(n),
            to: Lsn::new(n + 2),
        };
        let mut salvaged = SalvageReport {
            lost: vec![range(1), range(5), range(9)],
            ..SalvageReport::default()
        };
        let id = "0".repeat(32);
        let expected = format!(
            "{{\"kind\":\"salvage\",\"from_journal\":\"{id}\",\"journal\":\"{id}\",\
             \"records_kept\":0,\"records_erased\":0,\"records_lost\":6,\
             \"lost_lsns\":[[1,3],[5,7]],\"lost_lsns_left_out\":1,\"uncertain_lsns\":[],\"lost_records\":[],\
             \"damaged_sessions\":[],\"findings\":[],\"quarantined\":[]}}"
        );
        assert_eq!(report(&salvaged, 2), expected);
        // What is not cut says nothing of it; what is says how many.
        assert!(!report(&salvaged, 3).contains("left_out"));
        salvaged.lost.extend([range(13), range(17)]);
        assert!(report(&salvaged, 2).contains("\"lost_lsns_left_out\":3,"));
        let mut out = String::new();
        string(&mut out, "a\"b\\c\n\u{1}é");
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\u0001é\"");
    }

    #[test]
    fn how_many_sessions_are_left_out_is_said_if_any_are() {
        let lost = |left_out| LostRecords {
            from: Lsn::new(1),
            to: Lsn::new(2),
            is_certain: true,
            sessions: Vec::new(),
            sessions_left_out: left_out,
            may_be_another: false,
        };
        let salvaged = SalvageReport {
            lost_records: vec![lost(0), lost(7), lost(0)],
            ..SalvageReport::default()
        };
        let json = report(&salvaged, 9);
        assert_eq!(json.matches("sessions_left_out").count(), 1, "{json}");
        assert!(json.contains("\"sessions_left_out\":7"), "{json}");
    }

    #[test]
    fn a_session_is_listed_for_whatever_happened_to_it() {
        let session = |id: &str| SalvagedSession {
            no: SessionNo::new(1),
            id: id.to_owned(),
            kept: 1,
            lost: Vec::new(),
            uncertain: Vec::new(),
            is_renamed: false,
        };
        let seqs = vec![SeqRange {
            from: Seq::new(2),
            to: Seq::new(4),
        }];
        let mut all = ["sound", "lost", "uncertain", "renamed"].map(session);
        all[1].lost = seqs.clone();
        all[2].uncertain = seqs;
        all[3].is_renamed = true;
        let salvaged = SalvageReport {
            sessions: all.to_vec(),
            ..SalvageReport::default()
        };
        let json = report(&salvaged, 9);
        let is_listed = |id: &str| json.contains(&format!("\"id\":\"{id}\""));
        assert_eq!(
            all.map(|s| is_listed(&s.id)),
            [false, true, true, true],
            "{json}"
        );
    }
}
