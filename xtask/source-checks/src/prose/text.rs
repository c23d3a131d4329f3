//! The prose of a file: its comments, messages or pages as paragraphs with joined lines.

use crate::{
    lexer::{self, Kind},
    tree,
};

/// A paragraph: words separated by single spaces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Paragraph {
    /// The words.
    pub(super) text: String,
    /// The offset in the text at which each line begins, and the line's number, counted from 1.
    lines: Vec<(usize, usize)>,
}

impl Paragraph {
    /// Returns the line of a place in the text.
    pub(super) fn line_of(&self, at: usize) -> usize {
        let before = self.lines.iter().take_while(|(from, _)| *from <= at);
        before.last().map_or(0, |(_, line)| *line)
    }

    fn add(&mut self, words: &str, line: usize) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.lines.push((self.text.len(), line));
        let words: Vec<_> = words.split_whitespace().collect();
        self.text.push_str(&words.join(" "));
    }
}

/// Collects paragraphs, line by line.
#[derive(Default)]
struct Paragraphs {
    done: Vec<Paragraph>,
    current: Paragraph,
    /// Whether a code block is open.
    in_code: bool,
}

impl Paragraphs {
    fn end(&mut self) {
        if !self.current.text.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }

    /// Adds a line of Markdown.
    fn line(&mut self, text: &str, line: usize) {
        let text = text.trim();
        if text.starts_with("```") || text.starts_with("~~~") {
            self.in_code = !self.in_code;
            return self.end();
        }
        if self.in_code {
            return;
        }
        // A list item, a heading or a table row begins a paragraph.
        let marks = ["- ", "* ", "#", "> ", "|"];
        let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_numbered = number.len() < text.len() && number.starts_with(". ");
        if text.is_empty() || is_numbered || marks.iter().any(|mark| text.starts_with(mark)) {
            self.end();
        }
        let is_heading = text.starts_with('#');
        let text = match is_numbered {
            true => number.trim_start_matches(". "),
            false => text.trim_start_matches(['-', '*', '#', '>', ' ']),
        };
        if !text.is_empty() {
            self.current.add(text, line);
        }
        if is_heading {
            self.end();
        }
    }

    fn finished(mut self) -> Vec<Paragraph> {
        self.end();
        self.done
    }
}

/// Returns the paragraphs of a file. Its name is relative to the root.
pub(super) fn paragraphs(name: &str, source: &str) -> Vec<Paragraph> {
    if name.ends_with(".md") {
        let mut page = Paragraphs::default();
        for (at, line) in source.lines().enumerate() {
            page.line(line, at + 1);
        }
        return page.finished();
    }
    let mut all = comments(source);
    if is_for_users(name) {
        all.extend(messages(source));
    }
    all
}

/// Whether literals of the file can reach a user.
fn is_for_users(name: &str) -> bool {
    let is_own =
        name.starts_with("crates/") && name.contains("/src/") || name.starts_with("xtask/");
    is_own && !name.contains("/tests/") && !name.ends_with("tests.rs")
}

fn comments(source: &str) -> Vec<Paragraph> {
    let mut all = Vec::new();
    let mut open = Paragraphs::default();
    let (mut mark, mut last) = ("", 0);
    let mut line = 1;
    for piece in lexer::pieces(source) {
        let text = &source[piece.range];
        if piece.kind == Kind::Comment {
            let marks = ["//!", "///", "//", "/*"];
            let found = marks.into_iter().find(|mark| text.starts_with(mark));
            let found = found.unwrap_or_default();
            if found != mark || line != last + 1 {
                all.extend(std::mem::take(&mut open).finished());
            }
            if found == "/*" {
                let inside = text.trim_start_matches(['/', '*', '!']);
                for (at, text) in inside.trim_end_matches(['*', '/']).lines().enumerate() {
                    open.line(text.trim_start().trim_start_matches("* "), line + at);
                }
            } else {
                open.line(&text[found.len()..], line);
            }
            mark = found;
            last = line;
        }
        line += text.matches('\n').count();
    }
    all.extend(open.finished());
    all
}

/// Returns the string literals of more than one word, except those in tests.
fn messages(source: &str) -> Vec<Paragraph> {
    // This parser may not understand a file of another checkout. Then none of its lines counts as a test's.
    let tests = syn::parse_file(source).map(|file| tree::test_lines(&file));
    let tests = tests.unwrap_or_default();
    let mut all = Vec::new();
    let mut line = 1;
    for piece in lexer::pieces(source) {
        let text = &source[piece.range];
        let is_test = tests.iter().any(|lines| lines.contains(&line));
        if piece.kind == Kind::Text && text.contains(' ') && !is_test {
            let mut message = Paragraph::default();
            for (at, text) in text.lines().enumerate() {
                // A backslash at the end of a line joins it with the next.
                let text = text.trim_end_matches('\\').replace("\\n", " ");
                message.add(&text.replace("\\\"", "\""), line + at);
            }
            all.push(message);
        }
        line += text.matches('\n').count();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(name: &str, source: &str) -> Vec<(usize, String)> {
        let all = paragraphs(name, source).into_iter();
        all.map(|one| (one.line_of(0), one.text)).collect()
    }

    #[test]
    fn comments_are_joined_over_their_lines() {
        let source = "//! One\n//! two.\n//!\n//! ```\n//! code\n//! ```\n//! Three.\n\n/// Four.\nfn f() {} // five\n// six\n/* seven\n * eight */\n";
        let wanted = [
            (1, "One two."),
            (7, "Three."),
            (9, "Four."),
            (10, "five six"),
            (12, "seven eight"),
        ];
        let wanted = wanted.map(|(line, text)| (line, text.to_owned()));
        assert_eq!(texts("tests/a.rs", source), wanted);
    }

    #[test]
    fn messages_are_those_of_the_crates_own_code() {
        let source = "fn f() {\n    g(\"a\", \"no\\nsuch \\\n        file\");\n}\n#[cfg(test)]\nmod tests {\n    fn f() { g(\"not this\"); }\n}\n";
        let wanted = [(2, "no such file".to_owned())];
        assert_eq!(texts("crates/a/src/lib.rs", source), wanted);
        assert_eq!(texts("crates/a/tests/b.rs", source), []);
    }

    #[test]
    fn a_page_is_read_by_items_and_rows() {
        let source = "# Head\ntext\nmore\n\n* one\n  two\n1. three\n| a | b |\n| c | d |\n";
        let found = texts("README.md", source);
        let texts: Vec<_> = found.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "Head",
                "text more",
                "one two",
                "three",
                "| a | b |",
                "| c | d |"
            ]
        );
        let page = &paragraphs("README.md", source)[1];
        assert_eq!(page.line_of(page.text.find("more").unwrap_or(0)), 3);
    }
}
