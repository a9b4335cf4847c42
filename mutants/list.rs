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
