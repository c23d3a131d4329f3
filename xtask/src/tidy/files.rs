//! The rules for source files that no lint knows: how they open, how long they are, and where unsafe code may be.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{process, workspace::Workspace};

/// A file of more lines is two concepts.
const MOST_LINES: usize = 600;

/// The files that may hold unsafe code, each a small module of its own with a SAFETY line a block.
const MAY_BE_UNSAFE: &[(&str, &str)] = &[
    (
        "crates/block-staging/src/platform/cached.rs",
        "no safe wrapper of preadv2 reads into memory that is not initialised",
    ),
    (
        "tests/guests/src/posix.rs",
        "the guests call libc for what std lacks on WASI; nothing of it runs on the host",
    ),
];

/// What opens it.
const KEYWORD: &str = "unsafe";

/// Looks at every Rust file that Git knows, or would take.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let mut git = std::process::Command::new("git");
    git.current_dir(&workspace.root);
    git.args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        "*.rs",
    ]);
    let mut wrong = Vec::new();
    for name in process::output(&mut git)?.lines() {
        let path = workspace.root.join(name);
        // A file that was removed and not yet committed is still listed.
        if path.exists() {
            let source =
                fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
            wrong.extend(faults(name, &source));
        }
    }
    for (name, _) in MAY_BE_UNSAFE {
        if !Path::new(&workspace.root).join(name).exists() {
            wrong.push(format!(
                "{name} is gone: take it out of the list of what may be unsafe"
            ));
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

fn faults(name: &str, source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !source.starts_with("//!") {
        faults.push(format!(
            "{name}:1: opens without `//!`: say what it owns and what it must not know"
        ));
    }
    let lines = source.lines().count();
    if lines > MOST_LINES {
        faults.push(format!(
            "{name}: {lines} lines, where {MOST_LINES} are the most: split it by concept"
        ));
    }
    let may_be_unsafe = MAY_BE_UNSAFE.iter().any(|(listed, _)| *listed == name);
    for (at, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if !may_be_unsafe && has_unsafe(code) {
            faults.push(format!(
                "{name}:{}: unsafe code outside of the files that are listed for it",
                at + 1
            ));
        }
        if code.trim_start().starts_with(concat!("#[", "ignore")) {
            faults.push(format!("{name}:{}: a test that is switched off", at + 1));
        }
    }
    faults
}

/// Whether the keyword opens a block, a function, an implementation, a trait or an attribute here.
fn has_unsafe(code: &str) -> bool {
    code.match_indices(KEYWORD).any(|(at, word)| {
        let apart = |c: char| !(c.is_alphanumeric() || c == '_' || c == '"');
        let before = code[..at].chars().next_back().is_none_or(apart);
        let behind = code[at + word.len()..].trim_start();
        let opens = ["{", "fn ", "impl", "trait ", "extern ", "("];
        before && opens.iter().any(|opening| behind.starts_with(opening))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_fault_and_nothing_in_a_good_file() {
        assert_eq!(
            faults("a.rs", "//! Good.\nfn f() {} // unsafe { }\n"),
            Vec::<String>::new()
        );
        assert_eq!(faults("a.rs", "fn f() {}\n").len(), 1);
        assert_eq!(
            faults("a.rs", &format!("//! Long.\n{}", "\n".repeat(MOST_LINES))).len(),
            1
        );
        let ignored = format!("//! Off.\n    #[{}]\n", "ignore");
        assert_eq!(faults("a.rs", &ignored).len(), 1);
        // Written with another word, or this file would itself be found to be at fault.
        for code in [
            "let x = RISKY { y };",
            "RISKY  impl Send for X {}",
            "pub RISKY fn f();",
            "#[RISKY(no_mangle)]",
        ] {
            let source = format!("//! Risky.\n{}\n", code.replace("RISKY", KEYWORD));
            assert_eq!(faults("a.rs", &source).len(), 1, "{code}");
            assert_eq!(faults(MAY_BE_UNSAFE[0].0, &source).len(), 0, "{code}");
        }
        for code in [
            "#![forbid(unsafe_code)]",
            "let not_unsafe = 1;",
            "an_unsafe (x)",
        ] {
            assert!(!has_unsafe(code), "{code}");
        }
    }
}
