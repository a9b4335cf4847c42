//! Across the files of a session folder: what no file alone shows.

use crate::detect::{Found, Role, Survey};
use crate::report::{FileReport, Finding};
use crate::source::{self, Limits, Whole};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

#[derive(Deserialize)]
struct Entry {
    session_id: Option<String>,
}

/// Adds findings about how sidecars, their backups, the index and the agent's database stand to
/// each other. Nothing is decided by them: which of two is right, only people can tell.
pub fn compare(survey: &Survey, reports: &mut [FileReport], limits: &Limits) {
    backups(reports);
    namesakes(reports);
    rows_without_sidecar(reports);
    for found in &survey.found {
        if matches!(found.role, Role::Document(kind) if kind.format == super::sidecar::INDEX.format)
        {
            index(found, reports, limits);
        }
    }
}

fn messages(report: &FileReport) -> u64 {
    report.lines + report.already_there
}

fn backups(reports: &mut [FileReport]) {
    let is_whole = |report: &FileReport| report.format.starts_with("hermes-");
    let live: HashMap<String, (u64, bool)> = reports
        .iter()
        .filter(|report| report.file.ends_with(".json"))
        .map(|report| (report.file.clone(), (messages(report), is_whole(report))))
        .collect();
    let mut saved = HashSet::new();
    for report in reports
        .iter_mut()
        .filter(|report| report.file.ends_with(".json.bak"))
    {
        let name = report.file.trim_end_matches(".bak");
        let finding = match live.get(name) {
            _ if !is_whole(report) => Finding::new(
                "hermes.damaged_backup",
                "the backup is damaged; what is left of it is kept as it is",
            ),
            None => Finding::new(
                "hermes.orphan_backup",
                "there is no sidecar beside the backup",
            ),
            Some((_, false)) => {
                saved.insert(name.to_owned());
                Finding::new(
                    "hermes.backup_of_damaged",
                    "the sidecar is damaged and this is whole",
                )
            }
            Some((live, true)) if messages(report) > *live => Finding::new(
                "hermes.shrunken_live",
                format!(
                    "the backup has {} messages and the sidecar {live}; whether somebody meant \
                     that the number does not tell",
                    messages(report)
                ),
            ),
            Some(_) => continue,
        };
        report.findings.push(finding);
    }
    for report in reports
        .iter_mut()
        .filter(|report| report.file.ends_with(".json"))
    {
        let is_damaged = report.format == "quarantine"
            && report.host == Some(crate::detect::Host::HermesWebui)
            && !report.findings.has("document.too_large");
        if is_damaged && !saved.contains(&report.file) {
            report.findings.push(Finding::new(
                "hermes.damaged_without_backup",
                "it is damaged, and there is no whole backup of it",
            ));
        }
    }
}

fn namesakes(reports: &mut [FileReport]) {
    let mut of_session: HashMap<String, usize> = HashMap::new();
    let id = |report: &FileReport| match report.format {
        "hermes-sidecar" => Some(report.session.split('#').next()?.to_owned()),
        "hermes-core" => report.parent.clone(),
        _ => None,
    };
    for id in reports.iter().filter_map(id) {
        *of_session.entry(id).or_default() += 1;
    }
    for report in reports.iter_mut() {
        let count = id(report).map_or(0, |id| of_session[&id]);
        if count > 1 {
            report.findings.push(Finding::new(
                "hermes.two_files_one_session",
                format!("{count} files say that they are this session"),
            ));
        }
    }
}

fn rows_without_sidecar(reports: &mut [FileReport]) {
    let sidecars: HashSet<_> = reports
        .iter()
        .filter(|report| report.format == "hermes-sidecar")
        .map(|report| {
            report
                .session
                .split('#')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    for report in reports
        .iter_mut()
        .filter(|report| report.format == "hermes-state-db")
    {
        let without = report
            .session_ids
            .iter()
            .filter(|id| !sidecars.contains(*id));
        let without: Vec<_> = without.collect();
        if let Some(first) = without.first() {
            let what = format!(
                "{} sessions are in the database and have no sidecar; first {first:?}",
                without.len()
            );
            report
                .findings
                .push(Finding::new("hermes.state_db_missing_sidecar", what));
        }
    }
}

fn index(found: &Found, reports: &mut [FileReport], limits: &Limits) {
    let Ok(Whole::Bytes(bytes)) = source::read_whole(&found.entry.path, limits.document_bytes)
    else {
        return;
    };
    let Ok(entries) = serde_json::from_slice::<Vec<Entry>>(&bytes) else {
        return;
    };
    let listed: HashSet<_> = entries
        .into_iter()
        .filter_map(|entry| entry.session_id)
        .collect();
    let files: HashSet<_> = reports
        .iter()
        .filter(|report| report.format == "hermes-sidecar")
        .map(|report| {
            report
                .session
                .split('#')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    let source = found.entry.source.to_string_lossy().into_owned();
    let Some(report) = reports.iter_mut().find(|report| report.file == source) else {
        return;
    };
    let mut tell = |code, ids: Vec<&String>, what: &str| {
        if let Some(first) = ids.iter().min() {
            let what = format!("{} sessions {what}; first {first:?}", ids.len());
            report.findings.push(Finding::new(code, what));
        }
    };
    tell(
        "hermes.index_missing_file",
        listed.difference(&files).collect(),
        "are in the index and have no sidecar",
    );
    tell(
        "hermes.index_missing_entry",
        files.difference(&listed).collect(),
        "have a sidecar and are not in the index",
    );
}
