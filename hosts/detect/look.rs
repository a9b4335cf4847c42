//! The first look at a file.

use crate::source;
use crate::transcripts::walk::Entry;
use std::io;
use std::path::PathBuf;

/// How much of a file is looked at. The fields that tell documents apart stand in their first
/// few hundred bytes.
const LOOKED_AT_BYTES: usize = 16 << 10;

/// How a SQLite database begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// What is seen of a file without reading it.
#[derive(Debug)]
pub struct Look<'e> {
    /// The file.
    pub entry: &'e Entry,
    /// Its name.
    pub name: String,
    /// The name of the folder that it is in, and of the one above.
    pub folders: [String; 2],
    /// Names of the fields at the top, as far as they were looked at, if it is a JSON object.
    pub fields: Vec<String>,
    /// Its first byte that is not white space.
    pub first: Option<u8>,
    /// Whether it is a database.
    pub is_sqlite: bool,
}

impl<'e> Look<'e> {
    /// Looks at a file.
    ///
    /// # Errors
    /// The system's.
    pub fn new(entry: &'e Entry) -> io::Result<Look<'e>> {
        let name = entry.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        // Lines are looked at when they are read.
        let start = match name.ends_with(".jsonl") {
            true => Vec::new(),
            false => source::read_start(&entry.path, LOOKED_AT_BYTES)?,
        };
        let bare = start.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&start);
        let mut above = entry.path.ancestors().skip(1);
        let mut folder = || {
            let name = above.next().and_then(|path| path.file_name());
            name.unwrap_or_default().to_string_lossy().into_owned()
        };
        Ok(Look {
            folders: [folder(), folder()],
            fields: fields(bare),
            first: bare.trim_ascii_start().first().copied(),
            is_sqlite: start.starts_with(SQLITE),
            name,
            entry,
        })
    }

    /// Whether all of these are fields at its top.
    pub fn has(&self, names: &[&str]) -> bool {
        names
            .iter()
            .all(|name| self.fields.iter().any(|f| f == name))
    }

    /// Whether it is in a folder of this name, or in one below that.
    pub fn is_in(&self, folder: &str) -> bool {
        let above = self.entry.path.ancestors().skip(1);
        above
            .filter_map(|path| path.file_name())
            .any(|name| name == folder)
    }

    /// Whether by its name it is a JSON document, or was one.
    pub fn is_document(&self) -> bool {
        let endings = [".json", ".bak", ".corrupted", ".tmp"];
        endings.iter().any(|ending| self.name.ends_with(ending)) || self.name.contains(".json.")
    }

    /// The folder that it is in, below the one that is imported.
    pub fn home(&self) -> PathBuf {
        self.entry
            .source
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default()
    }
}

/// The names of the fields at the top of a JSON object of which there is only the beginning.
fn fields(start: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut at) = (0_u32, 0);
    // A string is a name if it stands at the top and a colon follows.
    while at < start.len() {
        match start[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let Some(len) = string_len(&start[at + 1..]) else {
                    break;
                };
                let text = &start[at + 1..at + 1 + len];
                at += 1 + len;
                let behind = start[at + 1..].trim_ascii_start();
                if depth == 1
                    && behind.first() == Some(&b':')
                    && let Ok(name) = std::str::from_utf8(text)
                {
                    names.push(name.to_owned());
                }
            }
            _ => {}
        }
        at += 1;
    }
    names
}

/// How many bytes there are before the quote that ends a string.
fn string_len(rest: &[u8]) -> Option<usize> {
    let mut escaped = false;
    rest.iter().position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_off_a_beginning() {
        let cases: [(&str, &[&str]); 7] = [
            (
                r#"{"a":1,"b":{"c":2},"d":["e",{"f":1}],"g":"#,
                &["a", "b", "d", "g"],
            ),
            (r#"{ "a" : "b\":\"", "c":"torn"#, &["a", "c"]),
            (r#"[{"a":1}]"#, &[]),
            (r#"{"a\"b":1,"cut"#, &["a\\\"b"]),
            (r#"{"k":"v","#, &["k"]),
            ("", &[]),
            ("\"", &[]),
        ];
        for (start, names) in cases {
            assert_eq!(fields(start.as_bytes()), names, "{start}");
        }
    }
}
