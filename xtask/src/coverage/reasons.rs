//! The list of reasons, `docs/coverage.md`: why lines are not run, file by file.
//!
//! A line `## FILE` opens a file's reasons, and a line `` - `CODE`: WHY `` is one of them. All other lines are prose.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// Where the list lies, from the workspace's root.
pub(super) const LIST: &str = "docs/coverage.md";

/// Why a place in a file is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason<'a> {
    /// Its line in the list, counted from 1.
    pub(super) line: usize,
    /// Code that a line of the place contains.
    pub(super) code: &'a str,
    /// Why.
    pub(super) why: &'a str,
}

/// The reasons by their files, in the list's order.
pub(super) type Reasons<'a> = BTreeMap<&'a str, Vec<Reason<'a>>>;

/// Reads the list.
pub(super) fn parse(list: &str) -> Result<Reasons<'_>> {
    let mut reasons = Reasons::new();
    let mut file = None;
    for (at, text) in list.lines().enumerate() {
        let line = at + 1;
        if let Some(name) = text.strip_prefix("## ") {
            file = Some(name.trim());
        } else if let Some(entry) = text.strip_prefix("- `") {
            let parts = entry.split_once("`: ").filter(|(code, why)| {
                let says = |part: &str| !part.trim().is_empty();
                says(code) && says(why)
            });
            let (Some(file), Some((code, why))) = (file, parts) else {
                bail!("{LIST}:{line}: expected - `CODE`: WHY below a ## FILE");
            };
            let why = why.trim();
            reasons
                .entry(file)
                .or_default()
                .push(Reason { line, code, why });
        }
    }
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_file_by_file() -> Result<()> {
        let list = "# Title\n\nProse.\n\n## a.rs\n\n- `one();`: needs a disk.\n- `two`: so.\n\n## b.rs\n- `x`: y\n";
        let reasons = parse(list)?;
        let one = Reason {
            line: 7,
            code: "one();",
            why: "needs a disk.",
        };
        assert_eq!(reasons["a.rs"][0], one);
        assert_eq!((reasons["a.rs"].len(), reasons["b.rs"].len()), (2, 1));
        for wrong in ["- `a`: no file", "## a.rs\n- `a` why", "## a.rs\n- `a`: "] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        Ok(())
    }
}
