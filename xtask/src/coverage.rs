//! `cargo xtask coverage`: which lines the tests run, and why the others are not run.
//!
//! A line of the measured crates that no test runs needs a reason: a comment `// coverage: WHY` in or right above
//! the paragraph of code that it stands in. The reason lives beside the code and not in a list, so that it moves
//! and goes with it; one that no longer excuses anything is a fault too.

mod lcov;
mod source;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use clap::{Args, builder::PossibleValuesParser};

use self::source::{Excuse, Run, Source};
use crate::{guests, process, tools, workspace::Workspace};

/// The crates that are measured: what everything else stands on.
const MEASURED: [&str; 4] = ["pinner-api", "pinset", "unixfs", "wasi-ipfs-fs"];

/// The least that has to be run, in percent of all lines.
const LEAST_PERCENT: f64 = 95.0;

/// What to measure.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// These alone, by their own tests alone [default: all that are measured, by all tests].
    #[arg(value_parser = PossibleValuesParser::new(MEASURED))]
    crates: Vec<String>,
}

/// Runs the tests under measurement and looks at what they left out.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    guests::build(workspace)?;
    add_llvm_tools(workspace)?;
    let tool = tools::CARGO_LLVM_COV.ensure(workspace)?;
    // Programs of another run, of all tests or of older sources, would count as programs that run nothing.
    let mut clean = std::process::Command::new(&tool);
    clean.current_dir(&workspace.root);
    process::run(clean.args(["llvm-cov", "clean", "--workspace"]))?;
    let report = workspace.target.join("coverage.lcov");
    let mut cov = std::process::Command::new(&tool);
    cov.current_dir(&workspace.root)
        .args(["llvm-cov", "test", "--lcov", "--output-path"])
        .arg(&report)
        .env("WASI_IPFS_GUESTS", workspace.guests());
    let mut measured = MEASURED.to_vec();
    if flags.crates.is_empty() {
        cov.arg("--workspace");
    } else {
        measured.retain(|name| flags.crates.iter().any(|wanted| wanted == name));
        cov.args(measured.iter().flat_map(|name| ["-p", name]));
    }
    let fixtures = workspace.root.join("../shared/fixtures");
    if let Ok(fixtures) = fixtures.canonicalize() {
        cov.env(crate::fixtures::VARIABLE, fixtures);
    } else {
        println!(
            "NOT RUN: others' CARs, traces: {} is not there",
            fixtures.display()
        );
    }
    process::run(&mut cov)?;
    let report = fs::read_to_string(&report).context("cannot read the report of coverage")?;
    judge(&workspace.root, &measured, &report)
}

/// llvm-cov itself comes with the toolchain, as a component.
fn add_llvm_tools(workspace: &Workspace) -> Result<()> {
    let mut rustup = std::process::Command::new("rustup");
    rustup.current_dir(&workspace.root);
    let installed = process::output(rustup.args(["component", "list", "--installed"]))?;
    if installed.lines().any(|line| line.starts_with("llvm-tools")) {
        return Ok(());
    }
    let mut rustup = std::process::Command::new("rustup");
    rustup.current_dir(&workspace.root);
    process::run(rustup.args(["component", "add", "llvm-tools"]))
}

/// Prints every line that was not run, with its reason, and the percentages; fails where either is missing.
fn judge(root: &Path, measured: &[&str], report: &str) -> Result<()> {
    let (mut all, mut run) = (0, 0);
    let mut faults = 0;
    let files = lcov::parse(report, root)?;
    for name in measured {
        let folder = format!("crates/{name}/src/");
        let (mut all_here, mut run_here) = (0, 0);
        for (file, counts) in files.iter().filter(|(file, _)| file.starts_with(&folder)) {
            let text = fs::read_to_string(root.join(file))
                .with_context(|| format!("cannot read {file}"))?;
            let source = Source::new(&text);
            let counts: Vec<_> = counts
                .iter()
                .filter(|(line, _)| !source.is_test(file, **line))
                .collect();
            all_here += counts.len();
            run_here += counts.iter().filter(|(_, count)| **count > 0).count();

            let missed = counts
                .iter()
                .filter(|(_, count)| **count == 0)
                .map(|(line, _)| **line);
            let (runs, stale) = source.excuse(missed);
            for Run {
                first,
                last,
                excuse,
            } in runs
            {
                match excuse {
                    Excuse::Given(why) => println!("{file}:{first}-{last}: {why}"),
                    Excuse::Missing => {
                        faults += 1;
                        println!("{file}:{first}-{last}: NO REASON");
                    }
                }
            }
            for line in stale {
                faults += 1;
                println!("{file}:{line}: a reason for what is run: take it out");
            }
        }
        if all_here == 0 {
            bail!("the report has no line of {name}");
        }
        println!(
            "{name}: {:.2} % of {all_here} lines",
            percent(run_here, all_here)
        );
        all += all_here;
        run += run_here;
    }
    let reached = percent(run, all);
    println!("together: {reached:.2} % of {all} lines");
    if faults > 0 {
        bail!("{faults} places without a reason, or with one too many");
    }
    if reached < LEAST_PERCENT {
        bail!("{reached:.2} % of the lines are run, where {LEAST_PERCENT} % are the least");
    }
    Ok(())
}

fn percent(run: usize, all: usize) -> f64 {
    100.0 * run as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate of ten lines of code, of which the report says how often each ran.
    fn verdict(source: &str, counts: [u64; 10]) -> Result<String> {
        let root = tempfile::tempdir()?;
        let folder = root.path().join("crates/pinset/src");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("lib.rs"), source)?;
        let mut report = format!("SF:{}\n", folder.join("lib.rs").display());
        for (at, count) in counts.iter().enumerate() {
            report += &format!("DA:{},{count}\n", at + 1);
        }
        Ok(match judge(root.path(), &["pinset"], &report) {
            Ok(()) => "good".to_owned(),
            Err(error) => error.to_string(),
        })
    }

    #[test]
    fn each_fault_is_one() -> Result<()> {
        let plain = "x\n".repeat(10);
        let excused = format!("{}x // coverage: no test can\n", "x\n".repeat(9));
        let last_missed = [1, 1, 1, 1, 1, 1, 1, 1, 1, 0];
        assert_eq!(verdict(&plain, [1; 10])?, "good");
        assert!(verdict(&plain, last_missed)?.contains("1 places without a reason"));
        assert!(verdict(&excused, last_missed)?.contains("90.00 % of the lines"));
        assert!(verdict(&excused, [1; 10])?.contains("one too many"));
        assert!(
            judge(Path::new("/"), &["pinset"], "").is_err(),
            "an empty report"
        );
        Ok(())
    }
}
