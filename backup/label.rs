//! The file `BACKUP`: what a backup says of itself.
//!
//! Lines of text, so that a person can read it with nothing but `cat`, and a checksum of all of
//! them in the last one, so that a program can believe it. Whoever can read a backup can check
//! it without this crate: the checksums are those of `crc32`, `gzip` and zip.

use crate::format::checksum::payload_checksum;
use crate::format::ids::{Epoch, JournalId, Lsn};
use serde::Serialize;
use std::fmt::{self, Write};
use std::path::Path;

/// First line of the file; the number is raised when an older release would misread it.
const FIRST_LINE: &str = "turnkeep backup 1";

/// Longest name of a backup in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// Longest file that is read as a label.
pub const MAX_LABEL_BYTES: u64 = 16 << 20;

/// What a backup is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackupKind {
    /// What the journal had acknowledged at one moment; verified when it was made.
    #[default]
    Consistent,
    /// Every file of the journal as it was, byte for byte, whether it validates or not: what a
    /// restore over a damaged journal and an upgrade keep.
    Verbatim,
}

impl BackupKind {
    fn word(self) -> &'static str {
        match self {
            BackupKind::Consistent => "consistent",
            BackupKind::Verbatim => "verbatim",
        }
    }
}

/// A backup at a glance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Backup {
    /// Its number in the store: the higher, the younger.
    pub number: u64,
    /// 32 hexadecimal digits that no other backup has.
    pub id: String,
    /// Its name, if it has one. Named ones are never pruned.
    pub name: Option<String>,
    /// What it is made of.
    pub kind: BackupKind,
    /// The journal it was made of.
    pub journal: JournalId,
    /// Where that was, in words.
    pub source: String,
    /// When it was made, in milliseconds since 1970 by the clock of then.
    pub created_ms: u64,
    /// It holds the records below, from LSN 1 on; 0 if nobody could tell.
    pub next_lsn: Lsn,
    /// The latest writer whose records it may hold.
    pub epoch: Epoch,
    /// The newest format version among its files.
    pub format: u16,
    /// How many files it has.
    pub files: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

impl fmt::Display for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backup {}", self.number)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        write!(
            f,
            " of {}: all records below lsn {}, {} bytes in {} files",
            self.source, self.next_lsn, self.bytes, self.files
        )?;
        match self.kind {
            BackupKind::Consistent => Ok(()),
            BackupKind::Verbatim => write!(f, ", kept as they were"),
        }
    }
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSum {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// CRC-32 of all of it.
    pub crc: u32,
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// What is told of the backup.
    pub backup: Backup,
    /// Its files, by name.
    pub files: Vec<FileSum>,
}

/// Whether a backup may be called that: letters, digits, `.`, `_` and `-`, not beginning with a
/// dot, and not a number, which would be taken for one.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let is_fine = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-');
    match name {
        "" => Err("it is empty"),
        _ if name.len() > MAX_NAME_BYTES => Err("it has more than 64 bytes"),
        _ if !name.bytes().all(is_fine) => Err("it has more in it than letters, digits and ._-"),
        _ if name.starts_with(['.', '-']) => Err("it begins with a dot or a dash"),
        _ if name.bytes().all(|c| c.is_ascii_digit()) => Err("it is a number"),
        _ => Ok(()),
    }
}

/// A path in words of one line: absolute, for it is read in other directories than it was written in.
pub fn words(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or(path.to_path_buf());
    let text = path.display().to_string();
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

impl Label {
    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let b = &self.backup;
        let mut text = format!("{FIRST_LINE}\nnumber {}\nid {}\n", b.number, b.id);
        let mut line = |key: &str, value: &dyn fmt::Display| {
            // Writing to memory does not fail.
            let _ = writeln!(text, "{key} {value}");
        };
        if let Some(name) = &b.name {
            line("name", name);
        }
        line("kind", &b.kind.word());
        line("journal", &b.journal);
        line("source", &b.source);
        line("created_ms", &b.created_ms);
        line("next_lsn", &b.next_lsn);
        line("epoch", &b.epoch);
        line("format", &b.format);
        for file in &self.files {
            line(
                "file",
                &format_args!("{:08x} {} {}", file.crc, file.len, file.name),
            );
        }
        let crc = payload_checksum(text.as_bytes());
        text.push_str(&format!("crc {crc:08x}\n"));
        text.into_bytes()
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn decode(bytes: &[u8]) -> Result<Label, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
        let body = text.strip_suffix('\n').and_then(|all| all.rfind('\n'));
        let (body, last) = text.split_at(body.ok_or("it ends too early")? + 1);
        let crc = last.strip_prefix("crc ").ok_or("its checksum is missing")?;
        let crc = hex32(crc.trim_end_matches('\n')).ok_or("its checksum is no number")?;
        let found = payload_checksum(body.as_bytes());
        if crc != found {
            return Err(format!("checksum: stored {crc:08x}, computed {found:08x}"));
        }
        let mut lines = body.lines();
        match lines.next() {
            Some(FIRST_LINE) => {}
            Some(other) => return Err(format!("it begins with {other:?}")),
            None => return Err("it is empty".to_owned()),
        }
        let mut label = Label::default();
        for line in lines {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            label
                .take(key, value)
                .ok_or_else(|| format!("line {line:?}"))?;
        }
        let sum = label.files.iter().try_fold(0, |sum: u64, file| {
            sum.checked_add(file.len)
                .ok_or("its files are longer than any can be")
        });
        label.backup.files = label.files.len() as u64;
        label.backup.bytes = sum?;
        Ok(label)
    }

    /// Takes one line. `None` for one that makes no sense; keys of later releases are passed over.
    fn take(&mut self, key: &str, value: &str) -> Option<()> {
        let b = &mut self.backup;
        match key {
            "number" => b.number = value.parse().ok()?,
            "id" => b.id = value.to_owned(),
            "name" => {
                check_name(value).ok()?;
                b.name = Some(value.to_owned());
            }
            "kind" => {
                let kinds = [BackupKind::Consistent, BackupKind::Verbatim];
                b.kind = kinds.into_iter().find(|kind| kind.word() == value)?;
            }
            "journal" => b.journal = journal_id(value)?,
            "source" => b.source = value.to_owned(),
            "created_ms" => b.created_ms = value.parse().ok()?,
            "next_lsn" => b.next_lsn = Lsn::new(value.parse().ok()?),
            "epoch" => b.epoch = Epoch::new(value.parse().ok()?),
            "format" => b.format = value.parse().ok()?,
            "file" => {
                let mut parts = value.splitn(3, ' ');
                let (crc, len, name) = (parts.next()?, parts.next()?, parts.next()?);
                // A name is looked up in the backup's directory, and nowhere else.
                if name.is_empty() || name.contains(['/', '\\']) || name == ".." {
                    return None;
                }
                self.files.push(FileSum {
                    name: name.to_owned(),
                    len: len.parse().ok()?,
                    crc: hex32(crc)?,
                });
            }
            _ => {}
        }
        Some(())
    }
}

fn hex32(text: &str) -> Option<u32> {
    match text.len() {
        8 => u32::from_str_radix(text, 16).ok(),
        _ => None,
    }
}

fn journal_id(text: &str) -> Option<JournalId> {
    let raw = u128::from_str_radix(text, 16).ok()?;
    (text.len() == 32).then_some(JournalId(raw.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Label {
        Label {
            backup: Backup {
                number: 7,
                id: "00ff".repeat(8),
                name: Some("before-upgrade".to_owned()),
                kind: BackupKind::Verbatim,
                journal: JournalId([0xA5; 16]),
                source: "/home/a b/agents.journal".to_owned(),
                created_ms: 1_800_000_000_000,
                next_lsn: Lsn::new(18205),
                epoch: Epoch::new(4),
                format: 0,
                files: 1,
                bytes: 4096,
            },
            files: vec![FileSum {
                name: "WATERMARK".to_owned(),
                len: 4096,
                crc: 0xCBF4_3926,
            }],
        }
    }

    #[test]
    fn a_label_reads_back_as_it_was_written() {
        let label = sample();
        assert_eq!(Label::decode(&label.encode()), Ok(label));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_of_a_label_is_seen() {
        let good = sample().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // The case of a hexadecimal digit of the checksum says nothing.
            let is_case = bad.eq_ignore_ascii_case(&good) && bit / 8 + 9 >= good.len();
            assert!(Label::decode(&bad).is_err() || is_case, "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(Label::decode(&good[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_label_names_no_file_outside_of_its_directory() {
        for name in ["../WATERMARK", "a/b", "..", "", "a\\b"] {
            let mut label = sample();
            label.files[0].name = name.to_owned();
            assert!(Label::decode(&label.encode()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn names_that_could_be_taken_for_something_else_are_refused() {
        let long = "n".repeat(MAX_NAME_BYTES + 1);
        for name in ["", "17", "a b", "-x", ".x", "a/b", "a\nb", &long] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["before-upgrade", "v1.2", "2026-11-21"] {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
        }
    }
}
