//! A source file for the report: which of its lines are tests, and which paragraphs a reason excuses.

use super::reasons::Reason;

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
    pub(super) fn excuse<'r>(
        &self,
        missed: impl Iterator<Item = usize>,
        reasons: &[Reason<'r>],
    ) -> (Vec<Run<'r>>, Vec<Reason<'r>>) {
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
        let mut used = vec![false; reasons.len()];
        for run in &mut runs {
            // The line above says what leads to the run.
            let lines = run.first.saturating_sub(1).max(1)..=run.last;
            let is_there =
                |reason: &Reason<'_>| lines.clone().any(|n| self.line(n).contains(reason.code));
            let fits = || (0..reasons.len()).filter(|at| is_there(&reasons[*at]));
            // A long run may have several.
            let unused: Vec<_> = fits().filter(|at| !used[*at]).collect();
            let Some(first) = unused.first().copied().or_else(|| fits().next_back()) else {
                continue;
            };
            run.excuse = Excuse::Given(reasons[first].why);
            for (n, at) in unused.iter().enumerate() {
                let same = |other: &usize| reasons[*other].code == reasons[*at].code;
                used[*at] = !unused[..n].iter().any(same);
            }
        }
        let stale = reasons.iter().zip(used).filter(|(_, used)| !used);
        (runs, stale.map(|(reason, _)| *reason).collect())
    }

    fn line(&self, line: usize) -> &'a str {
        self.lines.get(line - 1).copied().unwrap_or_default()
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
    // A disk.
    one();
    two();

    three();
    two();
}

fn b() {
    four();
}

#[cfg(test)]
mod tests {
    fn c() {}
}
";

    fn reason(code: &'static str, why: &'static str) -> Reason<'static> {
        Reason { line: 1, code, why }
    }

    fn run(first: usize, last: usize, why: Option<&str>) -> Run<'_> {
        let excuse = why.map_or(Excuse::Missing, Excuse::Given);
        Run {
            first,
            last,
            excuse,
        }
    }

    #[test]
    fn a_reason_excuses_its_paragraph_and_no_more() {
        let source = Source::new(TEXT);
        let reasons = [reason("one()", "a disk"), reason("four()", "stale")];
        let (runs, stale) = source.excuse([4, 5, 7].into_iter(), &reasons);
        assert_eq!(runs, [run(4, 5, Some("a disk")), run(7, 7, None)]);
        assert_eq!(stale, [reasons[1]]);
    }

    #[test]
    fn the_same_code_in_two_places_takes_a_reason_each() {
        let source = Source::new(TEXT);
        let both = [reason("two()", "a disk"), reason("two()", "a lock")];
        let (runs, stale) = source.excuse([5, 8].into_iter(), &both);
        assert_eq!(runs, [run(5, 5, Some("a disk")), run(8, 8, Some("a lock"))]);
        assert_eq!(stale, []);
        let (runs, stale) = source.excuse([5, 8].into_iter(), &both[..1]);
        assert_eq!(runs, [run(5, 5, Some("a disk")), run(8, 8, Some("a disk"))]);
        assert_eq!(stale, []);
        let (_, stale) = source.excuse([8].into_iter(), &both);
        assert_eq!(stale, [both[1]]);
    }

    #[test]
    fn tests_are_not_measured() {
        let source = Source::new(TEXT);
        assert!(!source.is_test("crates/a/src/lib.rs", 12));
        assert!(source.is_test("crates/a/src/lib.rs", 17));
        assert!(source.is_test("crates/a/src/x/tests.rs", 1));
    }
}
