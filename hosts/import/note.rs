//! What a record says about the line that it holds: name, actor, and a little JSON.

use crate::transcripts::Line;
use crate::transcripts::meta::{Content, LineMeta};
use serde::{Deserialize, Serialize};

/// Names, roles and times in a file are not ours; longer ones are cut.
const MAX_TEXT_BYTES: usize = 128;

/// The name of a record with a damaged line.
pub const DAMAGED: &str = "damaged";

/// The name of a record with white space.
pub const BLANK: &str = "blank";

/// The metadata of a line's record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Where the record's bytes stand in the file.
    pub offset: u64,
    /// The line's number in the file, from 1.
    pub number: u64,
    /// When the line was written, as the host wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The tool called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The host's id of the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<String>,
    /// The session that the line names, if it is not the file's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// Offset in the file at which that was noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage_at: Option<u64>,
    /// Offset in the file of a whole record glued to the damaged one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glued_at: Option<u64>,
}

/// A note with the name and the actor that stand beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The record's name.
    pub name: String,
    /// Who acted.
    pub actor: String,
    /// The rest.
    pub note: Note,
}

impl Label {
    /// Labels a line of the session `session_id`.
    pub fn of(line: &Line, session_id: &str) -> Label {
        let note = Note {
            offset: line.raw.offset,
            number: line.raw.number,
            ..Note::default()
        };
        match &line.content {
            Content::Known(meta) => known(meta, session_id, note),
            Content::Blank => Label {
                name: BLANK.into(),
                actor: String::new(),
                note,
            },
            Content::Damaged(damage) => {
                let glued = damage.glued.as_deref();
                let label = match glued {
                    Some(glued) => known(&glued.meta, session_id, note),
                    None => known(&LineMeta::default(), session_id, note),
                };
                let note = Note {
                    damage: Some(damage.why.to_string()),
                    damage_at: Some(damage.at),
                    glued_at: glued.map(|glued| glued.offset),
                    ..label.note
                };
                Label {
                    name: DAMAGED.into(),
                    note,
                    ..label
                }
            }
        }
    }
}

impl Note {
    /// Encodes it for a record.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are JSON")
    }

    /// Decodes a record's metadata; `None` if the record holds no line.
    pub fn decode(extra: &[u8]) -> Option<Note> {
        if extra.is_empty() {
            return None;
        }
        serde_json::from_slice(extra).ok()
    }
}

/// The metadata of a record that holds a message of a document, a row of a table, or a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemNote {
    /// Which element of the document's list it is, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u64>,
    /// Which row of which table it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// The host has that row no more; the record holds nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// The hash of the frame that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    /// The file that had this frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// It says in short what the records behind it hold, and is no part of a file itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub derived: bool,
    /// Where the bytes stood in the file when they were read first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// When it was written, as the host wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The tool called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The host's id of the turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<String>,
}

impl ItemNote {
    /// Of a record that is no part of a file itself.
    pub fn derived(time: Option<&str>) -> ItemNote {
        ItemNote {
            derived: true,
            time: time.map(cut),
            ..ItemNote::default()
        }
    }

    /// Encodes it for a record.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings are JSON")
    }

    /// Decodes a record's metadata; `None` if the record is something else.
    pub fn decode(extra: &[u8]) -> Option<ItemNote> {
        if extra.is_empty() {
            return None;
        }
        serde_json::from_slice(extra).ok()
    }
}

fn known(meta: &LineMeta, session_id: &str, note: Note) -> Label {
    let cut = |text: &Option<String>| text.as_deref().map(cut);
    Label {
        name: self::cut(&meta.kind),
        actor: cut(&meta.role).unwrap_or_default(),
        note: Note {
            time: cut(&meta.timestamp),
            tool: cut(&meta.tool_name),
            turn: cut(&meta.turn_id),
            session: cut(&meta.session_id).filter(|id| !session_id.starts_with(id)),
            ..note
        },
    }
}

/// The text, or as much of its beginning as is kept beside a record.
pub fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].into()
}

/// A key that is not too long, and another than others.
pub fn cut_key(key: &str) -> String {
    let short = cut(key);
    match short.len() == key.len() {
        true => short,
        false => format!("{short}~{:016x}", super::cursor::hash(key.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcripts::lines::{Part, RawLine};
    use crate::transcripts::meta::{Damage, Glued, Why};
    use crate::transcripts::turns::Place;

    fn label(content: Content) -> Label {
        let raw = RawLine {
            number: 3,
            offset: 70,
            bytes: b"x\n".to_vec(),
            part: Part::Whole,
        };
        let place = Place::default();
        Label::of(
            &Line {
                raw,
                content,
                place,
            },
            "mine",
        )
    }

    #[test]
    fn a_line_is_labelled_with_its_place_and_facts() {
        let label = label(Content::Known(LineMeta {
            kind: "é".repeat(100),
            role: Some("user".into()),
            session_id: Some("other".into()),
            ..LineMeta::default()
        }));
        assert_eq!((label.name.len(), label.actor.as_str()), (128, "user"));
        assert_eq!((label.note.number, label.note.offset), (3, 70));
        assert_eq!(label.note.session.as_deref(), Some("other"));
        assert_eq!(Note::decode(&label.note.encode()), Some(label.note));
        assert_eq!(Note::decode(b""), None);
        assert_eq!(Note::decode(b"not json"), None);
    }

    #[test]
    fn damage_is_named_and_the_record_glued_to_it_described() {
        let glued = Glued {
            offset: 75,
            meta: LineMeta {
                role: Some("assistant".into()),
                session_id: Some("mine".into()),
                ..LineMeta::default()
            },
        };
        let label = label(Content::Damaged(Damage {
            why: Why::Torn,
            at: 74,
            glued: Some(Box::new(glued)),
        }));
        assert_eq!(
            (label.name.as_str(), label.actor.as_str()),
            (DAMAGED, "assistant")
        );
        assert_eq!(
            (label.note.damage_at, label.note.glued_at),
            (Some(74), Some(75))
        );
        assert_eq!(label.note.session, None);
    }
}
