//! Finding transcripts below a folder.

use super::{Format, Transcript};
use crate::source::Limits;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One file below the folder, or one thing that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// Where it is below the folder that was walked.
    pub source: PathBuf,
    /// Its length when it was found.
    pub size_bytes: u64,
    /// Why it is not read, if it is not.
    pub skipped: Option<Skip>,
}

/// Why something is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Its name does not end in `.jsonl`.
    NotJsonl,
    /// A symbolic link could lead anywhere, also back.
    SymbolicLink,
    /// A pipe, a socket, a device.
    NotAFile,
    /// It has no bytes.
    Empty,
    /// No line of it is one of a known format.
    UnknownFormat,
    /// It is no host's that is known.
    NoHost,
    /// It is larger than what is read at all.
    TooLarge,
    /// It is a folder below too many others.
    TooDeep,
    /// There is more in the folder than is listed.
    TooMany,
    /// The system's word.
    Unreadable(String),
}

impl Skip {
    /// Tells whether something may be missing from the import because of this.
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Skip::Unreadable(_) | Skip::TooLarge | Skip::TooDeep | Skip::TooMany
        )
    }

    /// A stable, machine-readable name.
    pub fn code(&self) -> &'static str {
        match self {
            Skip::NotJsonl => "file.not_jsonl",
            Skip::SymbolicLink => "file.symbolic_link",
            Skip::NotAFile => "file.not_regular",
            Skip::Empty => "file.empty",
            Skip::UnknownFormat => "file.unknown_format",
            Skip::NoHost => crate::detect::UNKNOWN,
            Skip::TooLarge => "file.too_large",
            Skip::TooDeep => "folder.too_deep",
            Skip::TooMany => "folder.too_many_files",
            Skip::Unreadable(_) => "file.unreadable",
        }
    }
}

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Skip::NotJsonl => write!(f, "the name does not end in .jsonl"),
            Skip::SymbolicLink => write!(f, "a symbolic link"),
            Skip::NotAFile => write!(f, "not a regular file"),
            Skip::Empty => write!(f, "empty"),
            Skip::UnknownFormat => write!(f, "no line of a known format"),
            Skip::NoHost => write!(f, "a file of no known host"),
            Skip::TooLarge => write!(f, "larger than the limit of a file"),
            Skip::TooDeep => write!(f, "below too many folders"),
            Skip::TooMany => write!(f, "more files than are listed; the rest is left out"),
            Skip::Unreadable(why) => write!(f, "cannot be read: {why}"),
        }
    }
}

/// Lists the transcripts below `root`: as [`walk_all`], and whatever has another name than theirs
/// is skipped.
///
/// # Errors
/// As [`walk_all`].
pub fn walk(root: &Path) -> io::Result<Vec<Entry>> {
    let is_single = !fs::metadata(root)?.is_dir();
    let mut entries = walk_all(root, &Limits::default())?;
    for entry in &mut entries {
        let is_named = entry.source.extension().is_some_and(|e| e == "jsonl");
        // A single file may have any name.
        if !is_named && !is_single && matches!(entry.skipped, None | Some(Skip::Empty)) {
            entry.skipped = Some(Skip::NotJsonl);
        }
    }
    Ok(entries)
}

/// Lists what is below `root`, ordered by path, a folder's file before the folder of the same
/// name. `root` may be a single file, whatever its name, or a link that its user named.
///
/// # Errors
/// The system's, when `root` itself cannot be looked at. Anything below it that cannot becomes
/// an entry with [`Skip::Unreadable`].
pub fn walk_all(root: &Path, limits: &Limits) -> io::Result<Vec<Entry>> {
    let metadata = fs::metadata(root)?;
    if !metadata.is_dir() {
        let source = root.file_name().map_or_else(|| root.into(), PathBuf::from);
        let skipped = match () {
            () if !metadata.is_file() => Some(Skip::NotAFile),
            () if metadata.len() == 0 => Some(Skip::Empty),
            () => None,
        };
        // Whoever named a link meant what it leads to; what is opened later follows none.
        let path = match fs::symlink_metadata(root)?.is_symlink() {
            true => fs::canonicalize(root)?,
            false => root.to_path_buf(),
        };
        return Ok(vec![Entry {
            path,
            source,
            size_bytes: metadata.len(),
            skipped,
        }]);
    }
    // Fails here, and not as an entry, when the folder that was asked for is closed.
    fs::read_dir(root)?;
    let mut entries = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        if folder.components().count() > limits.folder_depth {
            entries.push(skipped(root, folder, Skip::TooDeep));
            continue;
        }
        if let Err(e) = list(root, &folder, limits, &mut entries, &mut folders) {
            entries.push(skipped(root, folder, Skip::Unreadable(e.to_string())));
        }
        if entries
            .last()
            .is_some_and(|e| e.skipped == Some(Skip::TooMany))
        {
            break;
        }
    }
    entries.sort_by(|a, b| {
        let a = a.source.as_os_str().as_encoded_bytes();
        a.cmp(b.source.as_os_str().as_encoded_bytes())
    });
    Ok(entries)
}

/// Opens an entry as a transcript, or says why it is none.
pub fn open(entry: &Entry, limit_bytes: usize) -> Result<Transcript, Skip> {
    if let Some(skip) = &entry.skipped {
        return Err(skip.clone());
    }
    match Transcript::open(&entry.path, &entry.source, limit_bytes) {
        Ok(transcript) if transcript.format == Format::Unknown => Err(Skip::UnknownFormat),
        Ok(transcript) => Ok(transcript),
        Err(e) => Err(Skip::Unreadable(e.to_string())),
    }
}

fn list(
    root: &Path,
    folder: &Path,
    limits: &Limits,
    entries: &mut Vec<Entry>,
    folders: &mut Vec<PathBuf>,
) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let source = folder.join(entry.file_name());
        if entries.len() + folders.len() >= limits.files {
            entries.push(skipped(root, source, Skip::TooMany));
            break;
        }
        // Of the link itself, not of what it points to.
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(e) => {
                entries.push(skipped(root, source, Skip::Unreadable(e.to_string())));
                continue;
            }
        };
        if metadata.is_dir() {
            folders.push(source);
            continue;
        }
        let skipped = if metadata.is_symlink() {
            Some(Skip::SymbolicLink)
        } else if !metadata.is_file() {
            Some(Skip::NotAFile)
        } else if metadata.len() == 0 {
            Some(Skip::Empty)
        } else {
            None
        };
        entries.push(Entry {
            path: entry.path(),
            source,
            size_bytes: metadata.len(),
            skipped,
        });
    }
    Ok(())
}

fn skipped(root: &Path, source: PathBuf, skip: Skip) -> Entry {
    Entry {
        path: root.join(&source),
        source,
        size_bytes: 0,
        skipped: Some(skip),
    }
}
