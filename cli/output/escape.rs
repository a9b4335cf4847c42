//! Host text on a terminal.
//!
//! Transcripts hold escape sequences, NULs, and characters that turn the reading direction.
//! Printed as they are they move the cursor, change the title, or make a line read as another.

use std::borrow::Cow;

/// How much of the layout of a text stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One line: line ends and tabs are escaped as well.
    Line,
    /// Line ends and tabs stay.
    Block,
}

/// Makes `bytes` harmless: control characters, direction overrides, separators of lines and
/// bytes that are no UTF-8 are written as escapes, everything else stays.
pub fn escape(bytes: &[u8], layout: Layout) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(|c| !is_escaped(c, layout))
    {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                c if !is_escaped(c, layout) => safe.push(c),
                '\n' => safe.push_str("\\n"),
                '\r' => safe.push_str("\\r"),
                '\t' => safe.push_str("\\t"),
                '\x1b' => safe.push_str("\\e"),
                c => safe.extend(c.escape_unicode()),
            }
        }
        for byte in chunk.invalid() {
            safe.push_str(&format!("\\x{byte:02x}"));
        }
    }
    Cow::Owned(safe)
}

/// Cuts `text` to at most `max_chars`, with an ellipsis for what is left out.
pub fn shorten(text: &str, max_chars: usize) -> Cow<'_, str> {
    if text.chars().count() <= max_chars {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(max_chars.saturating_sub(1)).collect();
    Cow::Owned(kept + "…")
}

fn is_escaped(c: char, layout: Layout) -> bool {
    match c {
        '\n' | '\t' => layout == Layout::Line,
        // Separators of lines and paragraphs, then marks and overrides of direction.
        '\u{2028}' | '\u{2029}' => true,
        '\u{200E}' | '\u{200F}' | '\u{061C}' => true,
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_the_cursor_gets_through() {
        let hostile = "a\x1b[2Jb\0c\u{9b}31md\u{202e}e\rf\x07g\u{2028}h\x7f".as_bytes();
        let safe = escape(hostile, Layout::Block);
        assert_eq!(
            safe,
            "a\\e[2Jb\\u{0}c\\u{9b}31md\\u{202e}e\\rf\\u{7}g\\u{2028}h\\u{7f}"
        );
        assert!(safe.chars().all(|c| !c.is_control()));
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        let text = "tea 茶 \u{1F600} é — \"quoted\" \\n";
        assert!(
            matches!(escape(text.as_bytes(), Layout::Line), Cow::Borrowed(same) if same == text)
        );
        assert_eq!(escape(b"a\n\tb", Layout::Block), "a\n\tb");
        assert_eq!(escape(b"a\n\tb", Layout::Line), "a\\n\\tb");
        assert_eq!(escape(b"cut \xF0\x9F", Layout::Line), "cut \\xf0\\x9f");
    }

    #[test]
    fn shortening_counts_characters() {
        assert_eq!(shorten("héllo", 5), "héllo");
        assert_eq!(shorten("héllo!", 5), "héll…");
    }
}
