//! The check `shares`: no crate may hold too large a share of the code.
//!
//! The rule: it counts the lines with code in the files below `crates/*/src`. Blank lines and comments, including doc
//! comments, are not code. Items, modules and files that are compiled for tests only, under `#[cfg(test)]` or
//! `#[test]`, are left out. The folders `tests`, `benches`, `examples`, `xtask` and `fuzz` are not counted.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use crate::{crates, lexer, tree::SourceFile};

/// Every crate's share has to be below this, in percent.
const LIMIT_PERCENT: f64 = 30.0;

/// Prints the table of shares, and fails if one reaches the limit.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut table = Vec::new();
    for one in crates::read(root, &["crates/*"])? {
        let files = one.trees.iter().flat_map(|tree| &tree.files);
        // A program and its library may share a file.
        let files: BTreeMap<&PathBuf, usize> =
            files.map(|file| (&file.path, lines(file))).collect();
        table.push((files.values().sum::<usize>(), files.len(), one.folder));
    }
    table.sort_by(|a, b| b.cmp(a));
    let all: usize = table.iter().map(|(lines, _, _)| lines).sum();
    let percent = |lines: usize| 100.0 * lines as f64 / all.max(1) as f64;
    println!(
        "{:<28} {:>7} {:>6} {:>7}",
        "crate", "lines", "files", "share"
    );
    for (lines, files, folder) in &table {
        let share = percent(*lines);
        println!("{folder:<28} {lines:>7} {files:>6} {share:>5.1} %");
    }
    println!("{:<28} {all:>7}", "together");
    match table.first() {
        Some((lines, _, folder)) if percent(*lines) >= LIMIT_PERCENT => bail!(
            "{folder} holds {:.1} % of the code; it must be less than {LIMIT_PERCENT} %",
            percent(*lines)
        ),
        Some(_) => Ok(()),
        None => bail!("no crate found below {}", root.display()),
    }
}

fn lines(file: &SourceFile) -> usize {
    let is_test = |line: &usize| file.test_lines.iter().any(|lines| lines.contains(line));
    let lines = lexer::lines_of_code(&file.text).into_iter();
    lines.filter(|line| !is_test(line)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn tests_comments_and_blank_lines_do_not_count() -> Result<()> {
        let lib = "\
//! Docs.

mod a;
#[cfg(test)]
mod tests;

/// Docs.
pub fn f() {
    // why
    a::g();
}

#[cfg(test)]
mod inline {
    #[test]
    fn f() {}
}
";
        let read = |path: &Path| match path.to_str() {
            Some("src/lib.rs") => Some(lib.to_owned()),
            Some("src/a.rs") => {
                Some("struct A;\nimpl A {\n    #[cfg(test)]\n    fn t() {}\n}\n".to_owned())
            }
            _ => None,
        };
        let tree = Tree::load(Path::new("src/lib.rs"), &read)?;
        let counts: Vec<_> = tree.files.iter().map(lines).collect();
        // `#[cfg(test)] mod tests;` is for tests only, so its file is never read.
        assert_eq!(counts, [4, 3]);
        Ok(())
    }
}
