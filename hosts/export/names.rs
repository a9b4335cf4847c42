//! File names out of a host's text.

use crate::import::cursor::hash;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The longest name of a file or folder; most file systems allow 255 bytes.
const MAX_NAME_BYTES: usize = 200;

/// The most folders above a file.
const MAX_DEPTH: usize = 32;

/// How many files may want one name.
const MAX_NAMESAKES: u32 = 10_000;

/// Names that Windows keeps for devices, with any ending.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];

/// A path below some folder: at least one name, each harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafePath {
    names: Vec<String>,
    /// Whether it is the text as it was.
    pub is_unchanged: bool,
}

impl SafePath {
    /// The path of an imported file, `source`, which has its folders before slashes.
    pub fn of_source(source: &str) -> SafePath {
        let separator = |c: char| c == '/' || (cfg!(windows) && c == '\\');
        let mut names: Vec<_> = source.split(separator).map(safe_name).collect();
        if names.len() > MAX_DEPTH {
            names.drain(..names.len() - MAX_DEPTH);
        }
        let is_unchanged = names.join("/") == source;
        SafePath {
            names,
            is_unchanged,
        }
    }

    /// The name of a session's file: different for different ids.
    pub fn of_session(id: &str) -> SafePath {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let mut name: String = id.chars().map(|c| if plain(c) { c } else { '_' }).collect();
        if name != id || name.starts_with('.') {
            name.truncate(MAX_NAME_BYTES / 2);
            name = format!("{name}~{:016x}", hash(id.as_bytes()));
        }
        SafePath {
            names: vec![safe_name(&format!("{name}.entries.jsonl"))],
            is_unchanged: true,
        }
    }

    /// Makes the file below `folder`, and the folders above it. If the name is taken, the file
    /// gets a number.
    ///
    /// # Errors
    /// The system's, with the path that it is about.
    pub fn create(&self, folder: &Path) -> Result<(File, PathBuf), (PathBuf, io::Error)> {
        let (name, above) = self.names.split_last().expect("there is at least one name");
        let mut below = PathBuf::new();
        for folder_name in above {
            below = numbered(&below, folder_name, |path| {
                let path = folder.join(path);
                match fs::create_dir(&path) {
                    // Of the thing itself: a link may lead anywhere.
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                        match fs::symlink_metadata(&path)?.is_dir() {
                            true => Ok(()),
                            false => Err(e),
                        }
                    }
                    made => made,
                }
            })?
            .1;
        }
        numbered(&below, name, |path| {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).open(folder.join(path))
        })
    }
}

/// Makes something called `name` below `below`; if the name is taken, with a number.
fn numbered<T>(
    below: &Path,
    name: &str,
    make: impl Fn(&Path) -> io::Result<T>,
) -> Result<(T, PathBuf), (PathBuf, io::Error)> {
    for namesake in 1..=MAX_NAMESAKES {
        let path = below.join(with_number(name, namesake));
        match make(&path) {
            Ok(made) => return Ok((made, path)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err((path, e)),
        }
    }
    Err((below.join(name), io::ErrorKind::AlreadyExists.into()))
}

fn with_number(name: &str, namesake: u32) -> String {
    match (namesake, name.rsplit_once('.')) {
        (1, _) => name.into(),
        (n, Some((stem, extension))) => format!("{stem}~{n}.{extension}"),
        (n, None) => format!("{name}~{n}"),
    }
}

/// A name that is one, on every system, and is neither hidden from a shell nor too long.
fn safe_name(name: &str) -> String {
    let harmless = |c: char| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let mut safe: String = name.chars().map(harmless).collect();
    if safe.chars().all(|c| c == '.' || c == ' ') {
        safe = "_".repeat(safe.len().clamp(1, MAX_NAME_BYTES));
    }
    if safe.ends_with(['.', ' ']) {
        safe.pop();
        safe.push('_');
    }
    let stem = safe
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let device = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    if DEVICES.contains(&device) && stem.len() <= 4 {
        safe.insert(0, '_');
    }
    if safe.len() > MAX_NAME_BYTES {
        let mut end = MAX_NAME_BYTES / 2;
        while !safe.is_char_boundary(end) {
            end -= 1;
        }
        safe = format!("{}~{:016x}", &safe[..end], hash(name.as_bytes()));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn ordinary_paths_stay_as_they_are() {
        for source in [
            "a.jsonl",
            "-home-me-src/0b5f2c1e/subagents/agent-a1.jsonl",
            ".claude/projects/x y/ü.jsonl",
        ] {
            let path = SafePath::of_source(source);
            assert!(path.is_unchanged, "{source}");
            assert_eq!(path.names.join("/"), source);
        }
    }

    #[test]
    fn no_text_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("a/b/inside");
        fs::create_dir_all(&inside).expect("creates");
        let long = "x/".repeat(500) + &"é".repeat(5000);
        let hostile = [
            "",
            ".",
            "..",
            "/",
            "//",
            "../../x",
            "/etc/passwd",
            "a/../../../x",
            "a/./..",
            "..\\x",
            "C:\\x",
            "C:x",
            "a\0b",
            "a\nb",
            "NUL",
            "com1.jsonl",
            "...",
            "a/ ",
            &long,
        ];
        for text in hostile {
            for path in [SafePath::of_source(text), SafePath::of_session(text)] {
                let made = path.create(&inside);
                let (mut file, below) = made.unwrap_or_else(|e| panic!("{text:?}: {e:?}"));
                file.write_all(b"x").expect("writes");
                let whole = inside.join(&below).canonicalize().expect("it is there");
                assert!(
                    whole.starts_with(inside.canonicalize().expect("there")),
                    "{text:?}"
                );
            }
        }
        let beside = fs::read_dir(folder.path()).expect("reads").count();
        let above = fs::read_dir(folder.path().join("a"))
            .expect("reads")
            .count();
        assert_eq!((beside, above), (1, 1));
    }

    #[test]
    fn a_taken_name_gets_a_number_and_nothing_is_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = SafePath::of_source("p/s.jsonl");
        let made: Vec<_> = (0..3)
            .map(|_| path.create(folder.path()).expect("makes").1)
            .collect();
        assert_eq!(
            made,
            ["p/s.jsonl", "p/s~2.jsonl", "p/s~3.jsonl"].map(PathBuf::from)
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        fs::create_dir(&out).expect("creates");
        std::os::unix::fs::symlink("../outside", out.join("s.jsonl")).expect("links");
        std::os::unix::fs::symlink("..", out.join("up")).expect("links");
        let (_, made) = SafePath::of_source("s.jsonl").create(&out).expect("makes");
        assert_eq!(made, Path::new("s~2.jsonl"));
        let (_, made) = SafePath::of_source("up/s.jsonl")
            .create(&out)
            .expect("makes");
        assert_eq!(made, Path::new("up~2/s.jsonl"));
        let outside = fs::read_dir(folder.path()).expect("reads").count();
        assert_eq!(outside, 1);
    }

    #[test]
    fn different_sessions_have_different_names() {
        let ids = ["a/b", "a_b", "a b", "a", "A\u{301}", ".a", "a.entries"];
        let names: std::collections::BTreeSet<_> = ids
            .iter()
            .map(|id| SafePath::of_session(id).names)
            .collect();
        assert_eq!(names.len(), ids.len());
    }
}
