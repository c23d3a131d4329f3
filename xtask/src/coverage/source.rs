//! A source file for the report: which of its lines are tests, and where its reasons are.

use std::collections::BTreeSet;

/// The mark before a reason.
const MARK: &str = "// coverage: ";

/// A file's lines.
#[derive(Debug)]
pub(super) struct Source<'a> {
    lines: Vec<&'a str>,
    /// The first line of the tests inside the file, counted from 1.
    tests_from: Option<usize>,
}

/// Lines of one paragraph that no test runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run<'a> {
    /// The first line, counted from 1.
    pub(super) first: usize,
    /// The last line.
    pub(super) last: usize,
    /// Why they are not run.
    pub(super) excuse: Excuse<'a>,
}

/// Why lines are not run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Excuse<'a> {
    /// A comment gives the reason.
    Given(&'a str),
    /// There is no reason.
    Missing,
}

impl<'a> Source<'a> {
    /// The file with this content.
    pub(super) fn new(text: &'a str) -> Self {
        let lines: Vec<_> = text.lines().collect();
        // In this project, the tests are always the last item of a file.
        let opening = lines.windows(2).position(|pair| {
            pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
        });
        Self {
            lines,
            tests_from: opening.map(|before| before + 1),
        }
    }

    /// Whether the line belongs to a test. Lines of tests always run, and would only improve the figure.
    pub(super) fn is_test(&self, file: &str, line: usize) -> bool {
        file.ends_with("/tests.rs")
            || file.contains("/tests/")
            || self.tests_from.is_some_and(|from| line >= from)
    }

    /// Returns the paragraphs of missed lines with their reasons, and the lines of the reasons that excuse nothing.
    pub(super) fn excuse(&self, missed: impl Iterator<Item = usize>) -> (Vec<Run<'a>>, Vec<usize>) {
        let mut stale: BTreeSet<_> = (1..=self.lines.len())
            .filter(|line| {
                self.reason(*line).is_some() && self.tests_from.is_none_or(|from| *line < from)
            })
            .collect();
        let mut runs: Vec<Run<'_>> = Vec::new();
        for line in missed {
            match runs.last_mut() {
                // A line without code does not end a run, but a blank line does. So a reason excuses only the
                // paragraph that it was written for, and not code that was added below.
                Some(run) if !self.blank_between(run.last, line) => run.last = line,
                _ => runs.push(Run {
                    first: line,
                    last: line,
                    excuse: Excuse::Missing,
                }),
            }
        }
        for run in &mut runs {
            let is_comment = |line: &usize| self.line(*line).trim_start().starts_with("//");
            let above = (1..run.first)
                .rev()
                .take_while(is_comment)
                .last()
                .unwrap_or(run.first);
            for line in above..=run.last {
                if let Some(why) = self.reason(line) {
                    run.excuse = Excuse::Given(why);
                    stale.remove(&line);
                }
            }
        }
        (runs, stale.into_iter().collect())
    }

    fn line(&self, line: usize) -> &'a str {
        self.lines.get(line - 1).copied().unwrap_or_default()
    }

    fn reason(&self, line: usize) -> Option<&'a str> {
        let (_, why) = self.line(line).split_once(MARK)?;
        Some(why.trim()).filter(|why| !why.is_empty())
    }

    fn blank_between(&self, first: usize, last: usize) -> bool {
        (first + 1..last).any(|line| self.line(line).trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
//! A file.
fn a() {
    // coverage: needs a disk that fails
    // in the middle of a write.
    one();
    two();

    three();
}

fn b() {
    four(); // coverage: stale
}

#[cfg(test)]
mod tests {
    fn c() {}
}
";

    #[test]
    fn a_reason_excuses_its_paragraph_and_no_more() {
        let source = Source::new(TEXT);
        let (runs, stale) = source.excuse([5, 6, 8].into_iter());
        let wanted = [
            Run {
                first: 5,
                last: 6,
                excuse: Excuse::Given("needs a disk that fails"),
            },
            Run {
                first: 8,
                last: 8,
                excuse: Excuse::Missing,
            },
        ];
        assert_eq!(runs, wanted);
        assert_eq!(stale, [12]);
    }

    #[test]
    fn tests_are_not_measured() {
        let source = Source::new(TEXT);
        assert!(!source.is_test("crates/a/src/lib.rs", 12));
        assert!(source.is_test("crates/a/src/lib.rs", 17));
        assert!(source.is_test("crates/a/src/x/tests.rs", 1));
    }
}
