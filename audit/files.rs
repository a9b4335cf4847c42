//! Looking at the directory: what does not belong there, who may read it, what is damaged.

use super::codes::Code;
use super::report::{AuditFinding, Collector};
use super::{Audit, Reader, VerifyReport};
use crate::error::{Error, Result};
use crate::format::names::{self, Name};
use crate::model::finding::{Finding, Severity};
use crate::recovery::open::read_watermark;
use crate::snapshot::stat::Files;
use crate::snapshot::{catalog, load};
use crate::storage::dir::Dir;
use crate::storage::{DirEntry, FileKind};

/// What a file of the journal may be opened for by its owner, and nobody else.
const FILE_MODE: u32 = 0o600;
/// Likewise, the directory.
const DIR_MODE: u32 = 0o700;

pub(super) fn inspect(
    audit: &Audit,
    dir: &Dir,
    reader: Option<&Reader>,
    verified: Option<&VerifyReport>,
    out: &mut Collector,
) -> Result<()> {
    let listed = dir.list()?;
    // After the listing: what was published meanwhile is referred to.
    let found = match catalog::read_newest(dir) {
        Ok(found) => found,
        Err(Error::Corrupt(_)) => None,
        Err(error) => return Err(error),
    };
    out.report.files = listed.len() as u64;
    permissions_of(dir, ".", DIR_MODE, "the directory", out);
    for entry in &listed {
        inspect_entry(dir, entry, out);
    }
    if let Some(found) = &found {
        let files = listed.iter().filter(|entry| entry.is_file);
        for name in catalog::garbage(files.map(|entry| &*entry.name), &found.manifest) {
            let is_there = dir.storage().meta(&dir.join(name)).map_or_else(
                |error| error.kind() != std::io::ErrorKind::NotFound,
                |meta| meta.kind == FileKind::File,
            );
            if is_there && !matches!(Name::parse(name), Name::Tmp) {
                let what = "no manifest refers to it";
                out.add(AuditFinding::new(Code::FileUnreferenced, what).in_file(name));
            }
        }
        out.report.snapshots = found.manifest.snapshots.len() as u64;
        if let Err(why) = read_watermark(dir, found.manifest.journal) {
            let finding = AuditFinding::new(Code::WatermarkUnreadable, why);
            out.add(finding.in_file(names::WATERMARK));
        }
        if verified.is_none() {
            look_at_snapshots(dir, found, out)?;
        }
    }
    for finding in verified.iter().flat_map(|report| &report.findings) {
        if let Some(finding) = translate(finding, reader.is_some()) {
            out.add(finding);
        }
    }
    out.report.bytes = Files::count(dir)?.total().bytes;
    if let Ok(free) = dir.storage().free_bytes(dir.path()) {
        out.report.free_bytes = Some(free);
        let wished = audit.low_space_bytes;
        if free < wished {
            let what = format!("{free} bytes are free, {wished} are wished");
            out.add(AuditFinding::new(Code::DiskLowSpace, what));
        }
    }
    Ok(())
}

fn inspect_entry(dir: &Dir, entry: &DirEntry, out: &mut Collector) {
    let name = &*entry.name;
    let mut add = |code, what: &str| out.add(AuditFinding::new(code, what).in_file(name));
    let parsed = Name::parse(name);
    if !entry.is_file {
        let kind = dir.storage().meta(&dir.join(name)).map(|meta| meta.kind);
        match (kind, parsed) {
            (Ok(FileKind::Link), _) => add(Code::FileSymlink, "a symbolic link"),
            (_, Name::Quarantine) => add(Code::FileQuarantine, "what a salvage could not keep"),
            (_, Name::Foreign) => add(Code::FileForeign, "not the journal's"),
            (Ok(FileKind::Dir), _) => add(Code::FileNotRegular, "a directory"),
            _ => add(Code::FileNotRegular, "not a regular file"),
        }
        return;
    }
    match parsed {
        Name::Foreign | Name::Quarantine => add(Code::FileForeign, "not the journal's"),
        Name::Tmp => add(Code::FileUnfinished, "a file that was never finished"),
        _ => {}
    }
    if parsed != Name::Foreign {
        permissions_of(dir, name, FILE_MODE, name, out);
    }
}

fn permissions_of(dir: &Dir, name: &str, wished: u32, what: &str, out: &mut Collector) {
    // A disk without such rights, or a file that is gone by now, has nothing to be told.
    let Ok(meta) = dir.storage().meta(&dir.join(name)) else {
        return;
    };
    if let Some(mode) = meta.mode
        && mode & 0o077 != 0
    {
        let what = format!("{what} has mode {mode:04o}, at most {wished:04o} is wished");
        out.add(AuditFinding::new(Code::FilePermissions, what).in_file(name));
    }
}

/// What a verification would say of snapshots and manifests.
fn look_at_snapshots(dir: &Dir, found: &catalog::Found, out: &mut Collector) -> Result<()> {
    for (generation, why) in &found.damaged {
        let finding = AuditFinding::new(Code::ManifestDamaged, why.what.clone());
        out.add(finding.in_file(&names::manifest(*generation)));
    }
    for snapshot in &found.manifest.snapshots {
        // A sound journal opens whatever the keys are that it is to remember.
        let why = match load::load(dir, found.manifest.journal, snapshot, 1) {
            Ok(_) => continue,
            Err(Error::Corrupt(why)) => why.what.clone(),
            Err(Error::Io { source, .. }) => source.to_string(),
            Err(error) => return Err(error),
        };
        let finding = AuditFinding::new(Code::SnapshotDamaged, why);
        out.add(finding.in_file(&names::state(snapshot.id)));
    }
    Ok(())
}

/// A verification's finding as an audit's; none for what was looked at here, and for what only
/// says that a writer is at work.
fn translate(finding: &Finding, opens: bool) -> Option<AuditFinding> {
    let name = finding.file.as_deref().map_or(Name::Foreign, Name::parse);
    let code = match (finding.code, name) {
        ("foreign" | "unfinished" | "unreferenced" | "not_a_file" | "watermark" | "live", _) => {
            return None;
        }
        ("torn_tail", _) => Code::LogTornTail,
        ("unmade_segment", _) => Code::LogUnmade,
        ("unproven", _) => Code::LogUnproven,
        ("manifest_missing", _) => Code::ManifestLost,
        ("no_snapshot", _) => Code::SnapshotLost,
        (_, Name::Manifest(_)) if opens => Code::ManifestDamaged,
        (_, Name::Manifest(_)) => Code::ManifestLost,
        (_, Name::State(_)) if opens => Code::SnapshotDamaged,
        (_, Name::State(_)) => Code::SnapshotLost,
        (_, Name::Pack(_)) => Code::PackDamaged,
        _ if finding.severity == Severity::Note => return None,
        _ => Code::LogDamaged,
    };
    let what = match code.severity() >= finding.severity {
        true => finding.what.clone(),
        false => format!("{}; the journal opens without it", finding.what),
    };
    let mut told = AuditFinding::new(code, what);
    told.file = finding.file.clone();
    told.offset = finding.offset;
    told.lsn_from = finding.lsn_from;
    told.lsn_to = finding.lsn_to;
    told.session_no = finding.session;
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code that a verification gives must be told as something: one that is not known
    /// here is damage if it matters at all.
    #[test]
    fn what_a_verification_finds_is_told() {
        let state = "00000000000000000007.state";
        let rows = [
            (
                Severity::Warning,
                "torn_tail",
                "1.seg",
                true,
                Some(Code::LogTornTail),
            ),
            (
                Severity::Warning,
                "unmade_segment",
                "1.seg",
                true,
                Some(Code::LogUnmade),
            ),
            (
                Severity::Note,
                "unproven",
                "1.seg",
                true,
                Some(Code::LogUnproven),
            ),
            (
                Severity::Damage,
                "manifest_missing",
                "",
                false,
                Some(Code::ManifestLost),
            ),
            (
                Severity::Damage,
                "no_snapshot",
                "",
                false,
                Some(Code::SnapshotLost),
            ),
            (
                Severity::Damage,
                "state",
                state,
                true,
                Some(Code::SnapshotDamaged),
            ),
            (
                Severity::Damage,
                "state",
                state,
                false,
                Some(Code::SnapshotLost),
            ),
            (
                Severity::Damage,
                "unreadable",
                state,
                true,
                Some(Code::SnapshotDamaged),
            ),
            (
                Severity::Damage,
                "of a later release",
                "1.seg",
                true,
                Some(Code::LogDamaged),
            ),
            (Severity::Note, "of a later release", "1.seg", true, None),
            (Severity::Note, "live", "1.seg", true, None),
        ];
        for (severity, code, file, opens, told) in rows {
            let finding = Finding::new(severity, code, "seen").in_file(file).at(9);
            let translated = translate(&finding, opens);
            assert_eq!(translated.as_ref().map(|t| t.code), told, "{code}");
            assert!(translated.is_none_or(|t| t.offset == Some(9)));
        }
    }
}
