//! Checks `docs/differences.md`: each difference names the tests that show it, and each of them exists.
//!
//! A test is named as `cargo test` names it, with its package in front: `e2e descriptor::reads_answer_as_natively`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// The table.
const FILE: &str = "docs/differences.md";

/// The packages whose tests are named, and the folders of their modules.
const PACKAGES: [(&str, &str); 3] = [
    ("e2e", "tests/e2e/tests/all"),
    ("pinset", "crates/pinset/tests/all"),
    ("wasi-ipfs-fs", "crates/wasi-ipfs-fs/src"),
];

/// The previews that a row may be about.
const PREVIEWS: [&str; 3] = ["1", "0.2", "0.3"];

/// The columns of a row: the difference under `/ipfs`, natively, the previews, the tests.
const COLUMNS: usize = 4;

/// Checks every row.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let path = workspace.root.join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
    let source = |path: &Path| fs::read_to_string(workspace.root.join(path)).ok();
    let faults = faults(&text, source);
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn faults(text: &str, source: impl Fn(&Path) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut rows = 0;
    let lines: Vec<_> = text.lines().collect();
    for (at, line) in lines
        .iter()
        .enumerate()
        .filter(|(at, _)| is_row(&lines, *at))
    {
        rows += 1;
        let mut fault = |what: String| faults.push(format!("{FILE}:{}: {what}", at + 1));
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [_, _, previews, tests] = cells[..] else {
            fault(format!("not {COLUMNS} cells"));
            continue;
        };
        let known = |preview: &str| PREVIEWS.contains(&preview);
        if !previews.split(", ").all(known) {
            fault(format!("{previews:?} are not previews"));
        }
        let named = named(tests);
        if named.is_empty() {
            fault("no test is named".to_owned());
        }
        for test in named {
            if let Err(what) = exists(test, &source) {
                fault(format!("`{test}`: {what}"));
            }
        }
    }
    if rows == 0 {
        faults.push(format!("{FILE}: there is no row"));
    }
    faults
}

/// Whether a line is a row of a table, and neither its head nor the line below that.
fn is_row(lines: &[&str], at: usize) -> bool {
    let is_rule = |at: usize| lines.get(at).is_some_and(|line| line.starts_with("|---"));
    lines[at].starts_with('|') && !is_rule(at) && !is_rule(at + 1)
}

/// The pieces of code in a cell.
fn named(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Finds out whether there is a test of that name.
fn exists(
    test: &str,
    source: &impl Fn(&Path) -> Option<String>,
) -> std::result::Result<(), &'static str> {
    let (package, name) = test.split_once(' ').ok_or("it names no package")?;
    let folder = PACKAGES.iter().find(|(known, _)| *known == package);
    let (_, folder) = folder.ok_or("the package is unknown")?;
    let mut modules: Vec<_> = name.split("::").collect();
    let function = modules.pop().ok_or("it has no name")?;
    let file = PathBuf::from(folder).join(modules.join("/"));
    let text = source(&file.with_extension("rs")).ok_or("there is no such file")?;
    match is_test(&text, function) {
        true => Ok(()),
        false => Err("there is no such test in that file"),
    }
}

/// Whether a file has this function as a test: by its attribute, or in a macro that makes tests of functions.
fn is_test(text: &str, function: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let begins = format!("fn {function}(");
    let defined = lines.iter().position(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&begins)
    });
    let Some(defined) = defined else {
        return false;
    };
    let above = lines[..defined].iter().rev();
    let mut above = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    above.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test")) || {
        let mut of_a_list = false;
        lines.iter().any(|line| {
            of_a_list |= makes_tests(line);
            let named = of_a_list && line.split(' ').any(|word| word == function);
            of_a_list &= !line.ends_with('}');
            named
        })
    }
}

/// Whether a line begins a list of functions of which a macro makes tests.
fn makes_tests(line: &str) -> bool {
    line.starts_with("each_") && line.contains("! {")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "each_variant! {\n    one two\n}\neach_sharing! { five }\n\nasync fn two(variant: Variant) {}\n\n\
        /// Says something.\n#[tokio::test]\n// Why.\nasync fn three() {}\n\nfn four() {}\n\n\
        async fn five(variant: Variant) {}\n";

    fn of(rows: &str) -> Vec<String> {
        let file = Path::new("tests/e2e/tests/all/some/where.rs");
        faults(rows, |path| (path == file).then(|| SOURCE.to_owned()))
    }

    #[test]
    fn a_row_names_tests_that_exist() {
        let head = "| under `/ipfs` | natively | previews | tests |\n|---|---|---|---|\n";
        let good = "| a | b | 1, 0.3 | `e2e some::where::two`, `e2e some::where::three` |\n\
            | a | b | 0.2 | `e2e some::where::five` |\n";
        assert_eq!(of(&format!("{head}{good}")), Vec::<String>::new());
        for wrong in [
            "",
            "| a | b | 1 | |",
            "| a | 1 | `e2e some::where::two` |",
            "| a | b | 2 | `e2e some::where::two` |",
            "| a | b | 1 | `some::where::two` |",
            "| a | b | 1 | `other some::where::two` |",
            "| a | b | 1 | `e2e somewhere::two` |",
            // Named, but not there; there, but no test; a beginning of a test's name.
            "| a | b | 1 | `e2e some::where::one` |",
            "| a | b | 1 | `e2e some::where::four` |",
            "| a | b | 1 | `e2e some::where::thre` |",
        ] {
            assert_eq!(of(&format!("{head}{wrong}\n")).len(), 1, "{wrong}");
        }
    }
}
