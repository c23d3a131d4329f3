//! `cargo xtask coverage`: measures which lines the tests run, and checks that the others have a reason.
//!
//! A line of the measured crates that no test runs needs a reason in `docs/coverage.md`, which quotes code of that line's
//! paragraph. A quotation goes with the code that it quotes: a reason that no longer excuses anything is a fault too.

mod lcov;
mod reasons;
mod source;

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use clap::{Args, builder::PossibleValuesParser};

use self::{
    reasons::{LIST, Reason},
    source::{Excuse, Run, Source},
};
use crate::{guests, process, tools, workspace::Workspace};

/// The crates that are measured: those on which everything else depends.
const MEASURED: [&str; 6] = [
    "block-staging",
    "pinner-api",
    "pinset",
    "pinset-policy",
    "unixfs",
    "wasi-ipfs-fs",
];

/// The least percentage of lines that the tests have to run.
const LEAST_PERCENT: f64 = 95.0;

/// The crates to measure.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Measures these crates alone, by their own tests alone [default: all measured crates, by all tests].
    #[arg(value_parser = PossibleValuesParser::new(MEASURED))]
    crates: Vec<String>,
}

/// Runs the tests under measurement, and judges the lines that they did not run.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    guests::build(workspace)?;
    add_llvm_tools(workspace)?;
    let tool = tools::CARGO_LLVM_COV.ensure(workspace)?;
    // Programs from an earlier run, with other tests or older sources, would count as programs that run nothing.
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
            "NOT RUN: others' CARs, traces: {} does not exist",
            fixtures.display()
        );
    }
    process::run(&mut cov)?;
    let report = fs::read_to_string(&report).context("cannot read the report of coverage")?;
    let list = workspace.root.join(LIST);
    let list = fs::read_to_string(list).with_context(|| format!("cannot read {LIST}"))?;
    judge(&workspace.root, &measured, &report, &list)
}

/// Installs llvm-cov's tools, which are a component of the toolchain.
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

/// Prints every line that was not run, with its reason, and the percentages. Fails if a reason is missing or stale, or
/// if too few lines were run.
fn judge(root: &Path, measured: &[&str], report: &str, list: &str) -> Result<()> {
    let (mut all, mut run) = (0, 0);
    let mut faults = 0;
    let files = lcov::parse(report, root)?;
    let reasons = reasons::parse(list)?;
    for file in reasons.keys().filter(|file| !files.contains_key(**file)) {
        let is_measured = |name: &&str| file.starts_with(&format!("crates/{name}/"));
        if measured.iter().any(is_measured) {
            faults += 1;
            println!("{LIST}: {file} is not measured: take its reasons out");
        }
    }
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
            let of_file = reasons.get(file.as_str()).map_or(&[][..], Vec::as_slice);
            let (runs, stale) = source.excuse(missed, of_file);
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
            for Reason { line, code, .. } in stale {
                faults += 1;
                println!("{LIST}:{line}: `{code}` of {file} is run, or gone: take the reason out");
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
        bail!("{reached:.2} % of the lines are run, but at least {LEAST_PERCENT} % are required");
    }
    Ok(())
}

fn percent(run: usize, all: usize) -> f64 {
    100.0 * run as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on a crate of ten lines, given how often each of them ran.
    fn verdict(source: &str, counts: [u64; 10], list: &str) -> Result<String> {
        let root = tempfile::tempdir()?;
        let folder = root.path().join("crates/pinset/src");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("lib.rs"), source)?;
        let mut report = format!("SF:{}\n", folder.join("lib.rs").display());
        for (at, count) in counts.iter().enumerate() {
            report += &format!("DA:{},{count}\n", at + 1);
        }
        Ok(match judge(root.path(), &["pinset"], &report, list) {
            Ok(()) => "good".to_owned(),
            Err(error) => error.to_string(),
        })
    }

    #[test]
    fn each_fault_is_one() -> Result<()> {
        let source = format!("{}last();\n", "x\n".repeat(9));
        let excused = "## crates/pinset/src/lib.rs\n- `last()`: no test can\n";
        let elsewhere = "## crates/pinset/src/gone.rs\n- `x`: no test can\n";
        let last_missed = [1, 1, 1, 1, 1, 1, 1, 1, 1, 0];
        assert_eq!(verdict(&source, [1; 10], "")?, "good");
        assert!(verdict(&source, last_missed, "")?.contains("1 places without a reason"));
        assert!(verdict(&source, last_missed, excused)?.contains("90.00 % of the lines"));
        assert!(verdict(&source, [1; 10], excused)?.contains("one too many"));
        assert!(verdict(&source, [1; 10], elsewhere)?.contains("one too many"));
        assert!(
            judge(Path::new("/"), &["pinset"], "", "").is_err(),
            "an empty report"
        );
        Ok(())
    }
}
