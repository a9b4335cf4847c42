//! The mutants, as `cargo mutants --list --json` names them.

use serde::Deserialize;
use std::path::Path;

/// A line and a column, both from 1.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

#[derive(Deserialize, Clone, Copy)]
pub struct Span {
    pub start: Place,
}

/// One change to one file.
#[derive(Deserialize, Clone)]
pub struct Mutant {
    pub file: String,
    pub genre: String,
    pub name: String,
    pub replacement: String,
    pub span: Span,
}

/// A mutant's number is its place in this list, from 1.
pub fn read(path: &Path) -> Vec<Mutant> {
    let text = std::fs::read(path).expect("the list of mutants");
    serde_json::from_slice(&text).expect("what `cargo mutants --list --json` printed")
}

/// A mutant's name without line and column, and without what stands behind a tab: what it is
/// called after the code around it has moved.
pub fn without_place(name: &str) -> String {
    let name = name.split('\t').next().expect("a first");
    match name.split_once(": ") {
        Some((place, what)) => {
            let file = place.split(':').next().expect("a first");
            format!("{file}: {what}")
        }
        None => name.to_string(),
    }
}
