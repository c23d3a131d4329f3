//! Checks rules for source files that no lint knows: how they begin, how long they are, and where unsafe code may be.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{process, workspace::Workspace};

/// The most lines of a file. A longer file holds two concepts.
const MOST_LINES: usize = 600;

/// The files that may hold unsafe code. Each is a small module of its own, with a SAFETY line for each block.
const MAY_BE_UNSAFE: &[(&str, &str)] = &[
    (
        "crates/block-staging/src/platform/cached.rs",
        "no safe wrapper of preadv2 reads into memory that is not initialised",
    ),
    (
        "crates/wasi-ipfs/src/precompiled.rs",
        "wasmtime has no safe function that loads native code; the user vouches for it by a flag",
    ),
    (
        "tests/guests/src/posix.rs",
        "the guests call libc for what std lacks on WASI; nothing of it runs on the host",
    ),
];

/// The keyword that begins unsafe code.
const KEYWORD: &str = "unsafe";

/// Checks every Rust file that is in Git or not ignored by it.
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
        // A removed file whose removal is not committed is still listed.
        if path.exists() {
            let source =
                fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
            wrong.extend(faults(name, &source));
        }
    }
    for (name, _) in MAY_BE_UNSAFE {
        if !Path::new(&workspace.root).join(name).exists() {
            wrong.push(format!(
                "{name} does not exist: remove it from the list of files that may hold unsafe code"
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
            "{name}:1: does not begin with `//!`: say what the file owns and what it must not know"
        ));
    }
    let lines = source.lines().count();
    if lines > MOST_LINES {
        faults.push(format!(
            "{name}: {lines} lines, more than {MOST_LINES}: split it by concept"
        ));
    }
    let may_be_unsafe = MAY_BE_UNSAFE.iter().any(|(listed, _)| *listed == name);
    for (at, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if !may_be_unsafe && has_unsafe(code) {
            faults.push(format!(
                "{name}:{}: unsafe code in a file that is not listed for it",
                at + 1
            ));
        }
        if code.trim_start().starts_with(concat!("#[", "ignore")) {
            faults.push(format!("{name}:{}: an ignored test", at + 1));
        }
    }
    faults
}

/// Whether the keyword begins a block, a function, an implementation, a trait or an attribute here.
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
        // Written with another word; otherwise this file itself would be at fault.
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
