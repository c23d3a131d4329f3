//! Checks that the compiler refuses what the design forbids.
//!
//! A crate keeps such code in `src/refused.rs`, which is compiled only here. A comment `// refused: CODE` ends each line
//! that must be refused, with that error.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// The crates with such code.
const CRATES: &[&str] = &["pinset"];

const MARK: &str = "// refused: ";

pub(super) fn check(workspace: &Workspace) -> Result<()> {
    for name in CRATES {
        let path = format!("crates/{name}/src/refused.rs");
        let code = fs::read_to_string(workspace.root.join(&path))
            .with_context(|| format!("cannot read {path}"))?;
        let wanted = marks(&code);
        if wanted.is_empty() {
            bail!("{path} marks no line");
        }
        let mut cargo = workspace.cargo(&["rustc", "--profile", "check", "--lib", "-p", name]);
        cargo.args(["--message-format", "short", "--", "--cfg", "refused"]);
        let output = cargo.output().context("cannot run cargo")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let refused = errors(&said, &path);
        if refused != wanted {
            bail!(
                "{path}: the compiler has to refuse these lines, {wanted:?}, and refuses {refused:?}:\n{said}"
            );
        }
    }
    Ok(())
}

/// The marked lines, counted from 1, and their errors.
fn marks(code: &str) -> Vec<(usize, String)> {
    let marked = |(index, line): (usize, &str)| {
        let (_, error) = line.split_once(MARK)?;
        Some((index + 1, error.trim().to_owned()))
    };
    code.lines().enumerate().filter_map(marked).collect()
}

/// The lines that the compiler refuses. An error elsewhere is line 0.
fn errors(said: &str, path: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for line in said.lines() {
        let Some((place, rest)) = line.split_once(": error[") else {
            continue;
        };
        let error = rest.split(']').next().unwrap_or_default();
        let number = place
            .strip_prefix(path)
            .and_then(|place| place.split(':').nth(1))
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        found.push((number, error.to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_errors_are_found_by_their_lines() {
        let code = "fn a() {\n    B(()) // refused: E0423\n}\n";
        assert_eq!(marks(code), [(2, "E0423".to_owned())]);
        let said = "warning: x\na/b.rs:2:5: error[E0423]: cannot\nc.rs:7:1: error[E0001]: no\n";
        let wanted = [(2, "E0423".to_owned()), (0, "E0001".to_owned())];
        assert_eq!(errors(said, "a/b.rs"), wanted);
    }
}
