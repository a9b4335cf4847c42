//! What a line says, in the words that a person would look for.

use serde_json::Value;

/// Objects in objects are looked into this deep.
const DEPTH: u32 = 8;

/// Lines above this are not worth parsing for one line of text.
const MAX_BYTES: usize = 1 << 20;

/// Finds the text of a transcript's line: what was asked or answered, the call of a tool with
/// its input, the result of one. `None` if there is none, or it is not JSON.
pub fn gist(line: &[u8]) -> Option<String> {
    if line.len() > MAX_BYTES || !line.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let value: Value = serde_json::from_slice(line).ok()?;
    let text = said(&value, DEPTH)?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn said(value: &Value, depth: u32) -> Option<String> {
    if depth == 0 {
        return None;
    }
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => {
            let parts: Vec<_> = parts
                .iter()
                .filter_map(|part| said(part, depth - 1))
                .collect();
            (!parts.is_empty()).then(|| parts.join(" | "))
        }
        Value::Object(object) => {
            let name = object.get("name").and_then(Value::as_str);
            let input = object.get("input").or(object.get("arguments"));
            if let (Some(name), Some(input)) = (name, input) {
                let input = match input {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                return Some(format!("{name} {input}"));
            }
            // Whichever comes first in this order is what the line is about.
            let keys = [
                "message", "payload", "content", "text", "thinking", "output", "summary", "data",
            ];
            keys.iter()
                .filter_map(|key| object.get(*key))
                .find_map(|part| said(part, depth - 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_line_are_found() {
        let cases = [
            (
                r#"{"type":"user","message":{"role":"user","content":"fix it"}}"#,
                Some("fix it"),
            ),
            (
                r#"{"message":{"content":[{"type":"text","text":"on it"},{"type":"tool_use","name":"Bash","input":{"command":"ls"}}]}}"#,
                Some(r#"on it | Bash {"command":"ls"}"#),
            ),
            (
                r#"{"message":{"content":[{"type":"tool_result","content":[{"type":"text","text":"3 files"}]}]}}"#,
                Some("3 files"),
            ),
            (
                r#"{"type":"event_msg","payload":{"type":"user_message","message":"go"}}"#,
                Some("go"),
            ),
            (
                r#"{"payload":{"type":"function_call","name":"shell","arguments":"{\"a\":1}"}}"#,
                Some(r#"shell {"a":1}"#),
            ),
            (
                r#"{"type":"summary","summary":"Tea","leafUuid":"u"}"#,
                Some("Tea"),
            ),
            (r#"{"type":"system"}"#, None),
            ("{torn", None),
            ("plain text", None),
        ];
        for (line, text) in cases {
            assert_eq!(gist(line.as_bytes()).as_deref(), text, "{line}");
        }
    }
}
