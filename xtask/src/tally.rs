//! Counts the results that test binaries report, line by line, while their output passes through.
//!
//! Invariant: a test that was not run is never counted as passed. A `NOT RUN` line is kept and shown even if its test
//! succeeded.

/// The results of the binaries so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that are marked as ignored.
    pub(crate) ignored: u64,
    /// The `NOT RUN` lines, with which tests report what they could not run.
    pub(crate) not_run: Vec<String>,
    section: Section,
}

/// The part of a binary's output that a line belongs to.
#[derive(Debug, Default, PartialEq, Eq)]
enum Section {
    /// Everything except the output of succeeded tests.
    #[default]
    Report,
    /// The output of succeeded tests, which is only wanted for its `NOT RUN` lines.
    Successes,
}

/// Whether to show a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It is shown.
    Yes,
    /// It is hidden, since a succeeded test printed it.
    No,
}

impl Tally {
    /// Counts one line.
    pub(crate) fn line(&mut self, line: &str) -> Shown {
        // A test may print a similar line itself, but libtest's line ends with the time taken.
        let counts = line.strip_prefix("test result: ");
        if let Some(counts) = counts.filter(|counts| counts.contains(" filtered out; finished in "))
        {
            self.section = Section::Report;
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.ignored += count(counts, "ignored");
            return Shown::Yes;
        }
        match line {
            "successes:" => self.section = Section::Successes,
            "failures:" => self.section = Section::Report,
            _ => {}
        }
        if line.starts_with("NOT RUN") {
            self.not_run.push(line.to_owned());
            return Shown::Yes;
        }
        match self.section {
            Section::Report => Shown::Yes,
            Section::Successes => Shown::No,
        }
    }
}

/// Returns the number before `what` in `ok. 3 passed; 0 failed; …`.
fn count(counts: &str, what: &str) -> u64 {
    let words: Vec<_> = counts
        .split([' ', ';', '.'])
        .filter(|word| !word.is_empty())
        .collect();
    let number = words.windows(2).find(|pair| pair[1] == what);
    number.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_binaries_and_hides_what_succeeded_tests_say() {
        let output = "\
running 2 tests
test a ... ok
test b ... FAILED

successes:

---- a stdout ----
chatter
test result: ok. 1000 passed
NOT RUN: no fixtures


successes:
    a

failures:

---- b stdout ----
panicked

failures:
    b

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
running 3 tests
test result: ok. 12 passed; 0 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.01s";
        let mut tally = Tally::default();
        let shown: Vec<_> = output
            .lines()
            .filter(|line| tally.line(line) == Shown::Yes)
            .collect();
        assert_eq!((tally.passed, tally.failed, tally.ignored), (13, 1, 2));
        assert_eq!(tally.not_run, ["NOT RUN: no fixtures"]);
        assert!(shown.contains(&"panicked") && shown.contains(&"NOT RUN: no fixtures"));
        assert!(!shown.contains(&"chatter") && !shown.contains(&"    a"));
    }
}
