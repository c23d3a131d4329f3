//! Makes text from content, from servers and from guests harmless, before it is shown.
//!
//! Invariant: whatever comes out, a terminal prints it and does nothing else, and each piece of it stays on its line.

use std::{borrow::Cow, fmt::Write};

/// Returns `text` with control characters escaped, line breaks too.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    escape_where(text, is_active)
}

/// Returns `text` with control characters escaped, except line breaks: for messages of several lines.
pub(crate) fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_where(text, |c| c != '\n' && is_active(c))
}

/// Returns `bytes` as text. Control characters, and bytes that are not UTF-8, are escaped.
pub(crate) fn escape_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&escape(chunk.valid()));
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Whether a terminal, or whoever reads what it shows, may take the character for more than itself: control characters,
/// line separators, and marks that change the direction of the text around them.
pub(crate) fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn escape_where(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_escaped(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_by_a_name() {
        assert_eq!(escape("é b.txt"), "é b.txt");
        assert_eq!(escape("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(escape("a\u{9b}2J"), "a\\u{9b}2J");
        assert_eq!(escape("exe.\u{202e}gpj"), "exe.\\u{202e}gpj");
        assert_eq!(escape_lines("a\n\tb\r"), "a\n\\tb\\r");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown() {
        assert_eq!(escape_bytes("é".as_bytes()), "é");
        assert_eq!(escape_bytes(b"a\xff\x1bb\xe9"), "a\\xff\\u{1b}b\\xe9");
    }
}
