//! File names and the ids in them. Nothing else in the crate spells a file name.

use super::ids::{PackId, SegmentId, SnapshotId};

/// Name of the lock file.
pub const LOCK: &str = "LOCK";
/// Name of the watermark page.
pub const WATERMARK: &str = "WATERMARK";
/// Makes a directory a backup: what it is a backup of, and the checksum of every file in it.
pub const BACKUP: &str = "BACKUP";
/// Ending of files that are still being made; swept at opening, never read.
pub const TMP_SUFFIX: &str = ".tmp";
/// Directory into which salvage puts what it could not keep.
pub const QUARANTINE: &str = "quarantine";

/// What a name in a journal's directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// The lock file.
    Lock,
    /// The watermark page.
    Watermark,
    /// A manifest, by its generation.
    Manifest(u64),
    /// A segment of the log.
    Segment(SegmentId),
    /// A segment file waiting to be used again.
    Spare(u64),
    /// A pack.
    Pack(PackId),
    /// The state file of a snapshot.
    State(SnapshotId),
    /// What makes the directory a backup.
    Backup,
    /// A file that was still being made.
    Tmp,
    /// Salvage's quarantine.
    Quarantine,
    /// None of ours.
    Foreign,
}

impl Name {
    /// Reads a name. Only the exact spelling counts: `1.seg` is foreign.
    pub fn parse(name: &str) -> Name {
        match name {
            LOCK => return Name::Lock,
            WATERMARK => return Name::Watermark,
            QUARANTINE => return Name::Quarantine,
            BACKUP => return Name::Backup,
            _ => {}
        }
        if name.ends_with(TMP_SUFFIX) {
            return Name::Tmp;
        }
        let parsed = if let Some(digits) = name.strip_prefix("manifest-") {
            number(digits, 8).map(Name::Manifest)
        } else if let Some(rest) = name.strip_prefix("spare-") {
            rest.strip_suffix(".seg")
                .and_then(|digits| number(digits, 20))
                .map(Name::Spare)
        } else if let Some(digits) = name.strip_suffix(".seg") {
            number(digits, 20).map(|id| Name::Segment(SegmentId::new(id)))
        } else if let Some(digits) = name.strip_suffix(".pack") {
            number(digits, 20).map(|id| Name::Pack(PackId::new(id)))
        } else if let Some(digits) = name.strip_suffix(".state") {
            number(digits, 20).map(|id| Name::State(SnapshotId::new(id)))
        } else {
            None
        };
        parsed.unwrap_or(Name::Foreign)
    }
}

/// At least `width` digits, no more than needed beyond that.
fn number(digits: &str, width: usize) -> Option<u64> {
    let canonical = digits.len() == width || (digits.len() > width && !digits.starts_with('0'));
    if !canonical || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Name of a segment of the log.
pub fn segment(id: SegmentId) -> String {
    format!("{:020}.seg", id.get())
}

/// Name of a segment file that waits to be used.
pub fn spare(number: u64) -> String {
    format!("spare-{number:020}.seg")
}

/// Name of a pack.
pub fn pack(id: PackId) -> String {
    format!("{:020}.pack", id.get())
}

/// Name of a snapshot's state file.
pub fn state(id: SnapshotId) -> String {
    format!("{:020}.state", id.get())
}

/// Name of a backup's directory in a store of backups.
pub fn backup(number: u64) -> String {
    format!("{number:020}.backup")
}

/// The number of the backup whose directory is called that.
pub fn parse_backup(name: &str) -> Option<u64> {
    number(name.strip_suffix(".backup")?, 20)
}

/// Name of a manifest.
pub fn manifest(generation: u64) -> String {
    format!("manifest-{generation:08}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_turn_into_each_other() {
        for id in [1, 42, 99_999_999, 100_000_000, u64::MAX] {
            assert_eq!(
                Name::parse(&segment(SegmentId::new(id))),
                Name::Segment(SegmentId::new(id))
            );
            assert_eq!(Name::parse(&spare(id)), Name::Spare(id));
            assert_eq!(
                Name::parse(&pack(PackId::new(id))),
                Name::Pack(PackId::new(id))
            );
            assert_eq!(
                Name::parse(&state(SnapshotId::new(id))),
                Name::State(SnapshotId::new(id))
            );
            assert_eq!(Name::parse(&manifest(id)), Name::Manifest(id));
            assert_eq!(parse_backup(&backup(id)), Some(id));
        }
    }

    #[test]
    fn other_spellings_are_foreign() {
        for name in [
            "",
            "1.seg",
            "notes.txt",
            "manifest-1",
            "00000000000000000001.SEG",
            "-1.seg",
        ] {
            assert_eq!(Name::parse(name), Name::Foreign, "{name:?}");
        }
        assert_eq!(Name::parse("00000000000000000001.state.tmp"), Name::Tmp);
    }
}
