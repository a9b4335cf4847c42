//! The content of a message in a Claude Code transcript: one string, or a list of parts.
//!
//! It is read where it stands, so that a line of a megabyte is gone through once: what is of no
//! interest is passed over without being looked at twice.

use super::parse::string;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;

/// How much of a text decides what it is.
const BEGINNING_BYTES: usize = 64;

/// What a message holds. Of another shape than these two it holds nothing.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    /// The first text begins like this; none if there is none.
    pub beginning: Option<String>,
    /// The parts, if it is a list of objects.
    pub parts: Vec<Part<'a>>,
}

/// One part of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    /// What tool it is about.
    pub name: Option<&'a RawValue>,
    text: Option<&'a RawValue>,
}

impl Part<'_> {
    /// Whether it is of that type.
    pub fn is(&self, kind: &str) -> bool {
        string(self.kind).as_deref() == Some(kind)
    }
}

impl<'a> Content<'a> {
    /// Reads what is of a shape that [`Deserialize`] refuses, as far as it goes.
    pub fn of(raw: &'a RawValue) -> Content<'a> {
        match raw.get().starts_with('"') {
            true => Content {
                beginning: Some(beginning_of(raw)),
                parts: Vec::new(),
            },
            false => serde_json::from_str(raw.get()).unwrap_or_default(),
        }
    }

    fn text(text: &str) -> Content<'a> {
        Content {
            beginning: Some(cut(text)),
            parts: Vec::new(),
        }
    }
}

/// How a text begins that is still JSON: what it is told by has no escapes in it.
fn beginning_of(raw: &RawValue) -> String {
    cut(raw.get().trim_start_matches('"'))
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(BEGINNING_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of parts")
    }

    fn visit_str<E>(self, text: &str) -> Result<Content<'de>, E> {
        Ok(Content::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content<'de>, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = seq.next_element::<Part<'de>>()? {
            parts.push(part);
        }
        let first = parts.iter().find_map(|part| part.text);
        Ok(Content {
            beginning: first.map(beginning_of),
            parts,
        })
    }
}
