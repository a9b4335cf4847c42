//! A JSON document as its messages and the frame around them.

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// The most elements of a list that are told apart. A sidecar of 32 MiB has some ten thousand;
/// each costs 16 bytes here.
const MAX_ITEMS: usize = 1 << 20;

/// The most fields at a document's top.
const MAX_FIELDS: usize = 1 << 16;

/// The UTF-8 byte order mark.
const BOM: &str = "\u{FEFF}";

/// Why a file is not taken for a document. It is then kept as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has no bytes, or only white space.
    Empty,
    /// Nothing but NUL bytes, or a run of them inside: a file that grew without its data.
    Nul {
        /// Where the run begins.
        at: u64,
    },
    /// No UTF-8.
    NotUtf8 {
        /// The first byte that is not.
        at: u64,
    },
    /// It ends too early: a plain write that was cut.
    Torn,
    /// Something else that is no JSON.
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// JSON, but no object and no list.
    NotADocument,
    /// More fields or list elements than are told apart.
    TooMany,
}

impl Fault {
    /// A stable, machine-readable name.
    pub fn code(&self) -> &'static str {
        match self {
            Fault::Empty => "document.empty",
            Fault::Nul { .. } => "document.nul",
            Fault::NotUtf8 { .. } => "document.not_utf8",
            Fault::Torn => "document.torn",
            Fault::NotJson { .. } => "document.not_json",
            Fault::NotADocument => "document.not_a_document",
            Fault::TooMany => "document.too_many_parts",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Empty => write!(f, "nothing but white space"),
            Fault::Nul { at } => write!(f, "NUL bytes at byte {at}"),
            Fault::NotUtf8 { at } => write!(f, "not UTF-8 at byte {at}"),
            Fault::Torn => write!(f, "torn: the JSON ends too early"),
            Fault::NotJson { line, column } => {
                write!(f, "not JSON at line {line}, column {column}")
            }
            Fault::NotADocument => write!(f, "JSON, but neither an object nor a list"),
            Fault::TooMany => write!(f, "more fields or list elements than are told apart"),
        }
    }
}

/// A document, taken apart. Everything borrows from its text.
#[derive(Clone, Debug)]
pub struct Split<'d> {
    text: &'d str,
    /// The fields at the top, in their order; of two with one name the latter counts. Empty for
    /// a list.
    fields: Vec<(String, &'d str)>,
    /// The elements of the list, as ranges of the text.
    items: Vec<Range<usize>>,
}

impl<'d> Split<'d> {
    /// Takes `bytes` apart: the elements of the first of `lists` that is a field with a list,
    /// and everything around them. The name `""` is the document itself, if that is a list.
    ///
    /// # Errors
    /// [`Fault`] if it is no JSON document.
    pub fn new(bytes: &'d [u8], lists: &[&str]) -> Result<Split<'d>, Fault> {
        if bytes.trim_ascii().is_empty() {
            return Err(Fault::Empty);
        }
        if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
            return Err(Fault::Nul { at: at as u64 });
        }
        let text = std::str::from_utf8(bytes).map_err(|e| Fault::NotUtf8 {
            at: e.valid_up_to() as u64,
        })?;
        let json = text.strip_prefix(BOM).unwrap_or(text);
        let mut split = Split {
            text,
            fields: Vec::new(),
            items: Vec::new(),
        };
        let list = match json.trim_start().as_bytes()[0] {
            b'{' => {
                let Fields(fields) = serde_json::from_str(json).map_err(|e| fault(&e))?;
                split.fields = fields;
                let named = |name: &&str| split.raw(name);
                lists.iter().find_map(named)
            }
            b'[' => {
                serde_json::from_str::<IgnoredAny>(json).map_err(|e| fault(&e))?;
                lists.contains(&"").then_some(json)
            }
            _ => {
                serde_json::from_str::<IgnoredAny>(json).map_err(|e| fault(&e))?;
                return Err(Fault::NotADocument);
            }
        };
        // A field of that name that holds something else belongs to the frame.
        if let Some(list) = list.filter(|list| list.trim_start().starts_with('[')) {
            let Items(items) = serde_json::from_str(list).map_err(|e| fault(&e))?;
            let start = |item: &str| item.as_ptr() as usize - text.as_ptr() as usize;
            let ranges = items
                .iter()
                .map(|item| start(item)..start(item) + item.len());
            split.items = ranges.collect();
        }
        Ok(split)
    }

    /// The raw JSON of a field at the top.
    pub fn raw(&self, name: &str) -> Option<&'d str> {
        let mut fields = self.fields.iter().rev();
        fields.find(|(field, _)| field == name).map(|(_, raw)| *raw)
    }

    /// A field at the top that is a string with something in it.
    pub fn string(&self, name: &str) -> Option<String> {
        let text: String = serde_json::from_str(self.raw(name)?).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// The document, if it is a list.
    pub fn whole_list(&self) -> Option<&'d str> {
        let json = self.text.strip_prefix(BOM).unwrap_or(self.text);
        json.trim_start().starts_with('[').then_some(json)
    }

    /// A field at the top that is an integer.
    pub fn number(&self, name: &str) -> Option<i64> {
        serde_json::from_str(self.raw(name)?).ok()
    }

    /// Whether a field at the top holds something: not `null`, not `false`, not empty.
    pub fn is_set(&self, name: &str) -> bool {
        let nothing = ["null", "false", "0", "\"\"", "[]", "{}"];
        self.raw(name).is_some_and(|raw| !nothing.contains(&raw))
    }

    /// Names of fields that stand there more than once.
    pub fn repeated(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        let names = self.fields.iter().map(|(name, _)| name.as_str());
        names.filter(move |name| !seen.insert(*name))
    }

    /// How many elements the list has.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no list, or nothing in it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// One element of the list, raw, and where it begins.
    pub fn item(&self, index: usize) -> (&'d str, u64) {
        let range = self.items[index].clone();
        let start = range.start as u64;
        (&self.text[range], start)
    }

    /// The elements of the list, raw.
    pub fn items(&self) -> impl DoubleEndedIterator<Item = &'d str> + '_ {
        self.items.iter().map(|range| &self.text[range.clone()])
    }

    /// How many bytes stand around the elements.
    pub fn frame_bytes(&self) -> u64 {
        let items: usize = self.items.iter().map(|item| item.len()).sum();
        (self.text.len() - items) as u64
    }

    /// Everything around the elements.
    pub fn frame(&self) -> Frame {
        let (Some(first), Some(last)) = (self.items.first(), self.items.last()) else {
            return Frame {
                head: self.text.to_owned(),
                ..Frame::default()
            };
        };
        let mut gaps: Vec<(String, u64)> = Vec::new();
        for pair in self.items.windows(2) {
            let gap = &self.text[pair[0].end..pair[1].start];
            match gaps.last_mut() {
                Some((same, count)) if same == gap => *count += 1,
                _ => gaps.push((gap.to_owned(), 1)),
            }
        }
        Frame {
            head: self.text[..first.start].to_owned(),
            gaps,
            tail: self.text[last.end..].to_owned(),
            items: self.items.len() as u64,
        }
    }

    /// How deep the JSON is nested.
    pub fn depth(&self) -> usize {
        let (mut depth, mut deepest) = (0_usize, 0);
        let (mut in_string, mut escaped) = (false, false);
        for byte in self.text.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'[' | b'{' if !in_string => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        deepest
    }
}

/// What stands around the elements of a document's list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Before the first; everything, if there is none.
    pub head: String,
    /// Between each two, with how many times in a row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<(String, u64)>,
    /// After the last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    /// How many elements there are.
    pub items: u64,
}

impl Frame {
    /// What stands before each element, the first one's being the head.
    pub fn before_each(&self) -> impl Iterator<Item = &str> {
        let gaps = self.gaps.iter();
        let gaps = gaps.flat_map(|(gap, count)| (0..*count).map(move |_| gap.as_str()));
        std::iter::once(self.head.as_str()).chain(gaps)
    }

    /// Encodes it for a record.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers are JSON")
    }
}

fn fault(error: &serde_json::Error) -> Fault {
    match error.classify() {
        Category::Eof => Fault::Torn,
        Category::Data => Fault::TooMany,
        _ => Fault::NotJson {
            line: error.line(),
            column: error.column(),
        },
    }
}

struct Fields<'d>(Vec<(String, &'d str)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsMap;
        impl<'de> Visitor<'de> for AsMap {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
                    if fields.len() == MAX_FIELDS {
                        return Err(serde::de::Error::custom("too many fields"));
                    }
                    fields.push((name, raw.get()));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(AsMap)
    }
}

struct Items<'d>(Vec<&'d str>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsList;
        impl<'de> Visitor<'de> for AsList {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(raw) = list.next_element::<&RawValue>()? {
                    if items.len() == MAX_ITEMS {
                        return Err(serde::de::Error::custom("too many elements"));
                    }
                    items.push(raw.get());
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(AsList)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Split<'_> {
        Split::new(text.as_bytes(), &["messages", ""]).expect("a document")
    }

    fn again(text: &str) -> String {
        let split = split(text);
        let frame = split.frame();
        assert_eq!(frame.items as usize, split.len());
        let encoded: Frame = serde_json::from_slice(&frame.encode()).expect("its own");
        assert_eq!(encoded, frame);
        let mut whole = String::new();
        for (before, item) in frame
            .before_each()
            .zip(split.items().map(Some).chain([None]))
        {
            whole += before;
            whole += item.unwrap_or_default();
        }
        whole + &frame.tail
    }

    #[test]
    fn frame_and_messages_are_the_file() {
        let cases = [
            r#"{"a":1,"messages":[{"role":"user"},  {"x":[1,2]} ,7],"z":"\u2028]"}"#,
            "{\n  \"messages\": [\n    1,\n    2,\n    3\n  ]\n}\n",
            r#"{"messages":[],"a":1}"#,
            r#"{"messages":null}"#,
            r#"{"messages":{"no":"list"}}"#,
            r#"{"a":[1,2]}"#,
            "[1, {\"b\":\"\u{2028}\u{85}\"},\t\"]\"]",
            "\u{FEFF}{\"messages\":[ 1 ]}\r\n",
            r#"{"messages":[1],"messages":[2,3]}"#,
            r#"{"messages":["\ud800"]}"#,
        ];
        for text in cases {
            assert_eq!(again(text), text);
        }
        let items: Vec<_> = split(cases[0]).items().collect();
        assert_eq!(items, [r#"{"role":"user"}"#, r#"{"x":[1,2]}"#, "7"]);
        let twice = split(cases[8]);
        assert_eq!(twice.items().collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(twice.repeated().collect::<Vec<_>>(), ["messages"]);
    }

    #[test]
    fn what_is_no_document_is_told_apart() {
        let cases: [(&[u8], Fault); 10] = [
            (b"", Fault::Empty),
            (b" \n", Fault::Empty),
            (b"\0\0\0", Fault::Nul { at: 0 }),
            (b"{\"a\":\"\0\"}", Fault::Nul { at: 6 }),
            (b"{\"a\":\"\xF0\x9F", Fault::NotUtf8 { at: 6 }),
            (b"{\"messages\":[1,", Fault::Torn),
            (b"[1,2", Fault::Torn),
            (b"{} {}", Fault::NotJson { line: 1, column: 4 }),
            (b"7", Fault::NotADocument),
            (b"hello", Fault::NotJson { line: 1, column: 1 }),
        ];
        for (bytes, fault) in cases {
            let got = Split::new(bytes, &["messages"]).expect_err("no document");
            assert_eq!(got, fault, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn any_depth_is_read_and_any_length_is_bounded() {
        let deep = format!(
            "{{\"messages\":[{}{}]}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let split = split(&deep);
        assert_eq!((split.len(), split.depth()), (1, 100_002));
        assert_eq!(again(&deep), deep);
        let many = format!("{{\"messages\":[{}0]}}", "0,".repeat(MAX_ITEMS));
        let fault = Split::new(many.as_bytes(), &["messages"]).expect_err("too many");
        assert_eq!(fault, Fault::TooMany);
        assert_eq!(again(r#"{"a":"[[[[{{\"[["}"#), r#"{"a":"[[[[{{\"[["}"#);
    }

    #[test]
    fn fields_are_read_as_what_they_are() {
        let split = split(r#"{"s":"x","e":"","n":3,"z":null,"l":[],"o":{"a":1}}"#);
        assert_eq!(split.string("s").as_deref(), Some("x"));
        assert_eq!((split.string("e"), split.string("n")), (None, None));
        assert_eq!((split.number("n"), split.number("s")), (Some(3), None));
        let set = ["s", "e", "n", "z", "l", "o", "absent"].map(|name| split.is_set(name));
        assert_eq!(set, [true, false, true, false, false, true, false]);
    }
}
