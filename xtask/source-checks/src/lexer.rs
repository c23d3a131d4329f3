//! Splits Rust source into code, comments and string literals. A syntax parser does not keep comments.

use std::ops::Range;

/// The kinds of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything else, including white space and character literals.
    Code,
    /// A comment or a doc comment, with its slashes and without the line break.
    Comment,
    /// The content between the quotes of a string literal.
    Text,
}

/// A piece of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its kind.
    pub(crate) kind: Kind,
    /// Its bytes.
    pub(crate) range: Range<usize>,
}

/// Splits the source. The pieces cover all of it, in order.
pub(crate) fn pieces(source: &str) -> Vec<Piece> {
    let bytes = source.as_bytes();
    let mut pieces = Vec::new();
    let (mut code_from, mut at) = (0, 0);
    while at < bytes.len() {
        let rest = &source[at..];
        let (kind, range) = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            (Kind::Comment, at..at + end)
        } else if rest.starts_with("/*") {
            (Kind::Comment, at..at + block_comment(rest))
        } else if let Some(hashes) = raw_string(source, at) {
            let from = at + 1 + hashes + 1;
            let close = format!("\"{}", "#".repeat(hashes));
            let length = source[from..].find(&close);
            (
                Kind::Text,
                from..length.map_or(source.len(), |length| from + length),
            )
        } else if bytes[at] == b'"' {
            (Kind::Text, at + 1..at + 1 + string(&source[at + 1..]))
        } else {
            at += match bytes[at] {
                b'\'' => character(rest),
                _ => rest.chars().next().map_or(1, char::len_utf8),
            };
            continue;
        };
        pieces.push(Piece {
            kind: Kind::Code,
            range: code_from..range.start,
        });
        code_from = range.end;
        // The closing quote belongs to the code, and must not open a literal.
        at = match kind {
            Kind::Text => (range.end + 1).min(source.len()),
            _ => range.end,
        };
        pieces.push(Piece { kind, range });
    }
    pieces.push(Piece {
        kind: Kind::Code,
        range: code_from..source.len(),
    });
    pieces.retain(|piece| !piece.range.is_empty());
    pieces
}

/// The length of a block comment. These nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The number of `#` of a raw string that begins here; `None` if none does.
fn raw_string(source: &str, at: usize) -> Option<usize> {
    let before = source[..at].chars().next_back();
    // In `br"…"` the `r` follows a letter, which is a prefix only if it stands alone.
    let prefix = |c: char| c == 'b' || c == 'c';
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let earlier = source[..at].chars().rev().nth(1);
    let inside = match before {
        Some(c) if prefix(c) => earlier.is_some_and(is_word),
        Some(c) => is_word(c),
        None => false,
    };
    let rest = source[at..].strip_prefix('r').filter(|_| !inside)?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// The length of the content before the closing quote.
fn string(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

/// The length of a character literal, or of the quote that opens a lifetime.
fn character(rest: &str) -> usize {
    let mut inside = rest[1..].chars();
    match inside.next() {
        Some('\\') => {
            let end = rest[2..].char_indices().skip(1).find(|(_, c)| *c == '\'');
            end.map_or(1, |(end, _)| 2 + end + 1)
        }
        Some(c) if inside.next() == Some('\'') => 1 + c.len_utf8() + 1,
        _ => 1,
    }
}

/// Returns the lines with code, counted from 1.
pub(crate) fn lines_of_code(source: &str) -> Vec<usize> {
    let mut has_code = vec![false; source.lines().count() + 1];
    let mut line = 0;
    for piece in pieces(source) {
        for c in source[piece.range].chars() {
            has_code[line] |= piece.kind != Kind::Comment && !c.is_whitespace();
            line += usize::from(c == '\n');
        }
    }
    let lines = has_code.iter().enumerate().filter(|(_, has)| **has);
    lines.map(|(line, _)| line + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(source: &str) -> Vec<(Kind, &str)> {
        let pieces = pieces(source).into_iter();
        pieces
            .map(|piece| (piece.kind, &source[piece.range]))
            .collect()
    }

    #[test]
    fn quotes_and_comments_inside_each_other() {
        let source = r###"let a = "x // \" y"; // z "
/* a /* b */ c */ br#"raw " // "# '"' 'a"###;
        let texts: Vec<_> = divided(source)
            .into_iter()
            .filter(|(kind, _)| *kind != Kind::Code)
            .collect();
        assert_eq!(
            texts,
            [
                (Kind::Text, r#"x // \" y"#),
                (Kind::Comment, r#"// z ""#),
                (Kind::Comment, "/* a /* b */ c */"),
                (Kind::Text, r#"raw " // "#),
            ]
        );
        assert_eq!(
            divided("'\\'' \"a\" '\u{e9}' for_r\"b\"")
                .iter()
                .filter(|(kind, _)| *kind == Kind::Text)
                .count(),
            2
        );
    }

    #[test]
    fn all_of_it_is_covered() {
        for source in ["", "\"", "r#\"", "/*", "'", "'\\", "\"\\", "a\n\n// b"] {
            let together: String = divided(source).iter().map(|(_, text)| *text).collect();
            assert_eq!(together, source);
        }
    }

    #[test]
    fn blank_lines_and_comments_do_not_count() {
        let source = "//! a\n\nfn f() {\n    // b\n    g(\"x\n\ny\"); /* c\n d */ }\n";
        assert_eq!(lines_of_code(source), [3, 5, 7, 8]);
    }
}
