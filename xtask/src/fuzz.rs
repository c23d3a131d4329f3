//! `cargo xtask fuzz`: builds the targets of `fuzz/` with coverage, and runs each for a while.
//!
//! The targets use libFuzzer on the pinned stable toolchain: the compiler passes that instrument for coverage do not
//! need nightly. Building libFuzzer needs a C++ compiler. Corpora, seeds and findings are below the target directory,
//! and a corpus is kept from run to run.
//!
//! Invariant: a target passes only if it ran and found nothing.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{fixtures, process, workspace::Workspace};

/// Which targets to run, and for how long.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// How long each target runs, in minutes [default: 1].
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    minutes: Option<u64>,
    /// How long each target runs, in seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Also starts from files of other projects [default of DIR: ../shared/fixtures].
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    fixtures: Option<Option<PathBuf>>,
    /// The targets, by their files' names in fuzz/targets [default: all of them].
    targets: Vec<String>,
}

/// The manifest of the targets.
pub(crate) const MANIFEST: &str = "fuzz/Cargo.toml";

/// The variable that names the folder for a target's seeds. If it is set, the target writes its seeds and ends.
const SEEDS: &str = "WASI_IPFS_FUZZ_SEEDS";

/// The compiler flags for counters at each edge, a table of their addresses, and tracing of the values compared.
const INSTRUMENT: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The length of the longest input, in bytes.
const MAX_LEN: u32 = 32 * 1024;

/// The time limit for one input, in seconds. An input that takes longer is a finding.
const TIMEOUT: u32 = 10;

/// The memory limit of a process, including corpus and counters. The limit for one input is far lower. Each target sets
/// it by the input's size.
const RSS_LIMIT_MB: u32 = 1024;

/// The length of the longest input that is shown when it fails, in bytes.
const MAX_SHOWN: usize = 4096;

/// The number of last lines of a failed target's output that are shown.
const LAST_LINES: usize = 80;

/// One target's folders.
struct Target {
    name: String,
    program: PathBuf,
    corpus: PathBuf,
    seeds: PathBuf,
    findings: PathBuf,
    log: PathBuf,
}

/// A target's report at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Report {
    runs: u64,
    runs_a_second: u64,
}

/// Runs the targets. Returns an error if one of them failed.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    let fixtures = flags.fixtures.as_ref();
    let fixtures = fixtures.map(|dir| fixtures::find(workspace, dir.as_ref()));
    let fixtures = fixtures.transpose()?;
    let wanted = wanted(&all(workspace)?, &flags.targets)?;
    let seconds = match (flags.minutes, flags.seconds) {
        (_, Some(seconds)) => seconds,
        (minutes, None) => minutes.unwrap_or(1) * 60,
    };
    let host = host(workspace)?;
    let mut build = cargo(workspace, &host, "build");
    let begun = Instant::now();
    process::run(build.arg("--bins"))?;
    println!("built in {} s", begun.elapsed().as_secs());

    let (mut passed, mut failed) = (0, 0);
    for name in wanted {
        let target = Target::new(workspace, &host, name);
        let done = target
            .seed(fixtures.as_deref())
            .and_then(|()| target.fuzz(seconds));
        match done {
            Ok(report) => {
                passed += 1;
                let corpus = fs::read_dir(&target.corpus).map_or(0, Iterator::count);
                println!("{}: {report}, corpus of {corpus}", target.name);
            }
            Err(error) => {
                failed += 1;
                println!("{}: {error:#}", target.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    match failed {
        0 => Ok(()),
        _ => bail!("fuzz: {failed} targets failed"),
    }
}

/// Returns a `cargo` command for the instrumented targets. They are built in their own folder, because their flags
/// differ from those of the other programs, and a common folder would be rebuilt at each change.
pub(crate) fn cargo(workspace: &Workspace, host: &str, command: &str) -> Command {
    let mut cargo = workspace.cargo(&[command, "--release", "--locked"]);
    cargo
        .args(["--manifest-path", MANIFEST, "--target-dir"])
        .arg(workspace.target.join("fuzz/build"))
        // The host is named as the target, so that build scripts and macros are not instrumented.
        .args(["--target", host])
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", INSTRUMENT);
    cargo
}

/// Returns the host's target triple.
pub(crate) fn host(workspace: &Workspace) -> Result<String> {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(&workspace.root);
    let version = process::output(rustc.arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

/// Returns the names of all targets.
fn all(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let folder = workspace.root.join("fuzz/targets");
    let listing = || format!("cannot list {}", folder.display());
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into()));
        }
    }
    Ok(names)
}

fn wanted(all: &BTreeSet<String>, asked: &[String]) -> Result<Vec<String>> {
    if let Some(unknown) = asked.iter().find(|name| !all.contains(*name)) {
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        bail!(
            "no target is called {unknown}; there are {}",
            all.join(", ")
        );
    }
    Ok(match asked {
        [] => all.iter().cloned().collect(),
        some => some.to_vec(),
    })
}

impl Target {
    fn new(workspace: &Workspace, host: &str, name: String) -> Self {
        let folder = workspace.target.join("fuzz").join(&name);
        let build = workspace.target.join("fuzz/build").join(host);
        Self {
            program: build.join("release").join(&name),
            corpus: folder.join("corpus"),
            seeds: folder.join("seeds"),
            findings: folder.join("findings"),
            log: folder.join("log"),
            name,
        }
    }

    /// Makes the target write its seeds anew.
    fn seed(&self, fixtures: Option<&Path>) -> Result<()> {
        // A run without fixtures must not use the seeds of a run with them.
        let _ = fs::remove_dir_all(&self.seeds);
        for folder in [&self.corpus, &self.seeds, &self.findings] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut program = Command::new(&self.program);
        program.env(SEEDS, &self.seeds);
        match fixtures {
            Some(folder) => program.env(fixtures::VARIABLE, folder),
            None => program.env_remove(fixtures::VARIABLE),
        };
        let status = program.status();
        let status = status.with_context(|| format!("cannot start {}", self.program.display()))?;
        if !status.success() {
            bail!("it cannot write its seeds: {status}");
        }
        Ok(())
    }

    fn fuzz(&self, seconds: u64) -> Result<Report> {
        let log = fs::File::create(&self.log)
            .with_context(|| format!("cannot make {}", self.log.display()))?;
        let mut program = Command::new(&self.program);
        program
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-rss_limit_mb={RSS_LIMIT_MB}"))
            .arg(format!("-max_len={MAX_LEN}"))
            .arg(format!("-artifact_prefix={}/", self.findings.display()))
            .arg("-print_final_stats=1")
            .args([&self.corpus, &self.seeds])
            .env_remove(SEEDS)
            .env("RUST_BACKTRACE", "1")
            .stdout(Stdio::null())
            .stderr(log);
        eprintln!("$ {}", process::line(&program));
        let status = program.status();
        let status = status.with_context(|| format!("cannot start {}", self.program.display()))?;
        let said = fs::read(&self.log).context("its log is gone")?;
        let said = String::from_utf8_lossy(&said);
        if status.success() {
            let report = Report::of(&said).context("it ended without having run")?;
            return Ok(report);
        }
        let lines: Vec<_> = said.lines().collect();
        for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
            eprintln!("{line}");
        }
        match finding(&said) {
            Some(input) => {
                show(input);
                bail!(
                    "{status}, by the input {input}; to run it again: {} {input}",
                    self.program.display()
                )
            }
            None => bail!("{status}; its output is in {}", self.log.display()),
        }
    }
}

/// Prints the input at the path in hexadecimal, since a machine of a CI may not keep its files.
fn show(path: &str) {
    match fs::read(path) {
        Ok(input) if input.len() <= MAX_SHOWN => eprintln!("{path} is {}", hexadecimal(&input)),
        Ok(input) => eprintln!("{path} has {} bytes", input.len()),
        Err(error) => eprintln!("cannot read {path}: {error}"),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the path of the input that failed, from libFuzzer's output.
fn finding(said: &str) -> Option<&str> {
    said.lines()
        .find_map(|line| Some(line.split_once("Test unit written to ")?.1.trim()))
}

impl Report {
    /// Parses the lines of `-print_final_stats`. Returns `None` if nothing ran.
    fn of(said: &str) -> Option<Self> {
        let number = |key: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().parse().ok()
        };
        Some(Self {
            runs: number("stat::number_of_executed_units:").filter(|runs| *runs > 0)?,
            runs_a_second: number("stat::average_exec_per_sec:")?,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs, {} a second", self.runs, self.runs_a_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libfuzzer_says() {
        let said = "\
#1048576	DONE   cov: 12 ft: 34
Done 1048576 runs in 61 second(s)
stat::number_of_executed_units: 1048576
stat::average_exec_per_sec:     17189
stat::peak_rss_mb:              74
";
        let report = Report {
            runs: 1_048_576,
            runs_a_second: 17_189,
        };
        assert_eq!(Report::of(said), Some(report));
        assert_eq!(report.to_string(), "1048576 runs, 17189 a second");
        assert_eq!(Report::of("stat::number_of_executed_units: 0\n"), None);
        assert_eq!(finding(said), None);
        let crashed = "artifact_prefix='x/'; Test unit written to x/crash-0a1b\nBase64: AA==\n";
        assert_eq!(finding(crashed), Some("x/crash-0a1b"));
        assert_eq!(hexadecimal(b"\x00z\xff"), "007aff");
    }

    #[test]
    fn only_targets_that_are_there_can_be_asked_for() {
        let all = BTreeSet::from(["car".to_owned(), "path".to_owned()]);
        assert_eq!(wanted(&all, &[]).unwrap(), ["car", "path"]);
        assert_eq!(wanted(&all, &["path".to_owned()]).unwrap(), ["path"]);
        let error = wanted(&all, &["cars".to_owned()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no target is called cars; there are car, path"
        );
    }
}
