//! `cargo xtask test`: builds the guests, runs `tidy`, then every test. The last line is `N passed, N failed`.
//!
//! Invariant: green means that everything that was asked for ran. Each requested test that could not run, each failed
//! check of `tidy`, and each test program that did not finish counts as one failure.

use std::{
    env, fmt,
    io::{BufRead, BufReader, Write, stdout},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    fixtures, guests, kubo, process, s3,
    steps::Steps,
    tally::{Shown, Tally},
    tidy,
    workspace::Workspace,
};

/// Which tests to run, and with what.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Also runs the tests on CARs and traces of other projects [default of DIR: ../shared/fixtures].
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    fixtures: Option<Option<PathBuf>>,
    /// Also runs the tests on a real Kubo and a real IPFS Cluster, installed or built with Go (see `cargo xtask kubo`).
    #[arg(long)]
    kubo: bool,
    /// Also runs the tests on a real S3: moto's server, fetched by pip.
    #[arg(long)]
    s3: bool,
    /// Also builds and runs the guests that take minutes to build: uutils' coreutils.
    #[arg(long)]
    all_guests: bool,
    /// Leaves out `tidy`, and tests that take minutes (`WASI_IPFS_QUICK` tells them).
    #[arg(long)]
    quick: bool,
    /// Arguments for `cargo test`, instead of `--workspace`: `-p pinset`, `-- a_name`.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CARGO-TEST-ARGS"
    )]
    arguments: Vec<String>,
}

/// The variable that names the program `ipfs` for the tests.
const KUBO: &str = "WASI_IPFS_KUBO";

/// The variable that names the program `ipfs-cluster-service` for the tests.
const CLUSTER: &str = "WASI_IPFS_CLUSTER";

/// The variable that makes the tests skip those that take minutes.
const QUICK: &str = "WASI_IPFS_QUICK";

impl Flags {
    /// Whether a test's `NOT RUN` line is a failure. It is if anything was asked for, unless the line names the
    /// variable of something that was not: each test that needs a variable names it.
    fn counts(&self, line: &str) -> bool {
        let asked = [
            (fixtures::VARIABLE, self.fixtures.is_some()),
            (KUBO, self.kubo),
            (CLUSTER, self.kubo),
            (s3::VARIABLE, self.s3),
            ("--all-guests", self.all_guests),
            ("in a quick run", !self.quick),
        ];
        let excused = asked
            .iter()
            .any(|(mark, asked)| !asked && line.contains(mark));
        (self.fixtures.is_some() || self.kubo || self.s3 || self.all_guests) && !excused
    }

    /// Whether the models run too: they are built by themselves, and no argument of `cargo test` is for them.
    fn runs_models(&self) -> bool {
        self.arguments.is_empty()
    }

    /// Splits the arguments into those of cargo and those of the test programs.
    fn divided(&self) -> (&[String], &[String]) {
        let mut arguments = self.arguments.splitn(2, |word| word == "--");
        let mut next = || arguments.next().unwrap_or(&[]);
        (next(), next())
    }

    /// Whether the arguments select packages.
    fn chooses_packages(&self) -> bool {
        let chooses = |word: &String| word.starts_with("-p") || word.starts_with("--package");
        self.divided().0.iter().any(chooses)
    }

    /// Whether the tests may run ripgrep, the matrix's guests or coreutils, which take minutes to build.
    fn runs_others(&self) -> bool {
        let is_named = |word: &String| word.ends_with(RUNS_OTHERS);
        !self.chooses_packages() || self.divided().0.iter().any(is_named)
    }
}

/// The crate whose tests run guests of other people.
const RUNS_OTHERS: &str = "e2e";

/// Something failed. The last line printed says how much.
#[derive(Debug)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not everything passed")
    }
}

impl std::error::Error for Failed {}

/// Runs the tests and counts the results.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    let mut steps = Steps::default();
    if let Err(error) = all(workspace, flags, &mut steps, &mut tally, &mut wrong) {
        wrong.push(format!("{error:#}"));
    }
    let missing = tally.not_run.iter().filter(|line| flags.counts(line));
    wrong.extend(missing.cloned());
    if flags.fixtures.is_none() {
        println!("NOT RUN (not asked for): others' CARs, traces; pass --fixtures[=DIR]");
    }
    if !flags.kubo {
        println!("NOT RUN (not asked for): a real Kubo and IPFS Cluster; pass --kubo");
    }
    if !flags.s3 {
        println!("NOT RUN (not asked for): a real S3; pass --s3");
    }
    if !flags.all_guests {
        println!("NOT RUN (not asked for): guests that take minutes to build; pass --all-guests");
    }
    if flags.quick {
        println!("NOT RUN (--quick): tidy, tests that take minutes");
    }
    if tally.ignored > 0 {
        wrong.push(format!("{} tests are ignored; none may be", tally.ignored));
    }
    for what in &wrong {
        match what.starts_with("NOT RUN") {
            true => println!("{what}"),
            false => println!("failed: {what}"),
        }
    }
    println!("test: {steps}");
    let failed = tally.failed + wrong.len() as u64;
    println!("{} passed, {failed} failed", tally.passed);
    match failed {
        0 => Ok(()),
        _ => Err(Failed.into()),
    }
}

fn all(
    workspace: &Workspace,
    flags: &Flags,
    steps: &mut Steps,
    tally: &mut Tally,
    wrong: &mut Vec<String>,
) -> Result<()> {
    // Check this first, so that nobody waits for minutes to learn that a folder is missing.
    let fixtures = flags
        .fixtures
        .as_ref()
        .map(|dir| fixtures::find(workspace, dir.as_ref()));
    let fixtures = fixtures.transpose()?;
    let programs = match flags.kubo {
        true => Some(steps.run("kubo", || programs(workspace))?),
        false => None,
    };
    let moto = match flags.s3 {
        true => Some(steps.run("s3", || s3::ensure(workspace))?),
        false => None,
    };
    steps.run("guests", || match flags.runs_others() {
        true if flags.all_guests => guests::build_all(workspace),
        true => guests::build(workspace),
        false => guests::build_ours(workspace),
    })?;
    if !flags.quick {
        let checks = steps.run("tidy", || tidy::run(workspace, &tidy::Flags::default()));
        wrong.extend(checks.err().map(|error| format!("{error:#}")));
    }

    let mut cargo = command(workspace, flags);
    cargo.env("WASI_IPFS_GUESTS", workspace.guests());
    match fixtures {
        Some(dir) => cargo.env(fixtures::VARIABLE, dir),
        None => cargo.env_remove(fixtures::VARIABLE),
    };
    match programs {
        Some((kubo, cluster)) => cargo.env(KUBO, kubo).env(CLUSTER, cluster),
        None => cargo.env_remove(KUBO).env_remove(CLUSTER),
    };
    match moto {
        Some(folder) => cargo.env(s3::VARIABLE, folder),
        None => cargo.env_remove(s3::VARIABLE),
    };
    if flags.quick {
        cargo.env(QUICK, "1");
    }
    steps.run("build", || process::run(&mut compile(workspace, flags)))?;
    steps.run("tests", || stream(&mut cargo, &mut stdout(), tally, wrong))?;
    if flags.runs_models() {
        let mut cargo = models(workspace, flags);
        steps.run("models", || stream(&mut cargo, &mut stdout(), tally, wrong))?;
    }
    Ok(())
}

fn programs(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    let asked = "NOT RUN: --kubo asked for real nodes";
    let kubo = kubo::KUBO.ensure(workspace).context(asked)?;
    let cluster = kubo::CLUSTER.ensure(workspace).context(asked)?;
    Ok((kubo, cluster))
}

fn command(workspace: &Workspace, flags: &Flags) -> Command {
    let mut cargo = workspace.cargo(&["test", "--no-fail-fast"]);
    let (ours, theirs) = flags.divided();
    if !flags.chooses_packages() {
        cargo.arg("--workspace");
    }
    // The output of a passed test is hidden by default, and its NOT RUN line would be too.
    cargo.args(ours).args(["--", "--show-output"]).args(theirs);
    cargo
}

/// Builds what `command` then runs, so that each is timed by itself.
fn compile(workspace: &Workspace, flags: &Flags) -> Command {
    let mut cargo = workspace.cargo(&["test", "--no-run"]);
    if !flags.chooses_packages() {
        cargo.arg("--workspace");
    }
    cargo.args(flags.divided().0);
    cargo
}

/// Builds and runs the models of concurrency, in a folder of their own: under another cfg everything is built anew, and
/// neither build is to throw away the other.
fn models(workspace: &Workspace, flags: &Flags) -> Command {
    let set = env::var("RUSTFLAGS").unwrap_or_default();
    let mut cargo = workspace.cargo(&["test", "--no-fail-fast", "--lib"]);
    cargo
        .args(["-p", "block-staging", "-p", "pinset", "--target-dir"])
        .arg(workspace.target.join("shuttle"))
        .args(["models", "--", "--show-output"])
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", format!("{set} --cfg shuttle").trim_start());
    if flags.quick {
        cargo.env(QUICK, "1");
    }
    cargo
}

/// Runs `cargo test`, passes its output to `out` as it comes, and counts the results.
fn stream(
    cargo: &mut Command,
    out: &mut impl Write,
    tally: &mut Tally,
    wrong: &mut Vec<String>,
) -> Result<()> {
    let line = process::line(cargo);
    eprintln!("$ {line}");
    let mut child = cargo
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start: {line}"))?;
    if let Some(output) = child.stdout.take() {
        // Not `lines()`: a test may print bytes that are not UTF-8.
        for bytes in BufReader::new(output).split(b'\n') {
            let bytes = bytes.context("cannot read what cargo test prints")?;
            let text = String::from_utf8_lossy(&bytes);
            if tally.line(text.trim_end_matches('\r')) == Shown::Yes {
                writeln!(out, "{text}").context("cannot print")?;
            }
        }
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    // If tests failed, cargo's status says nothing new. Otherwise something did not build or did not finish.
    if !status.success() && tally.failed == 0 {
        wrong.push(format!("{line}: {status}"));
    }
    if status.success() && tally.passed == 0 {
        wrong.push("no test ran".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        Workspace {
            root: "/no/such/root".into(),
            target: "/no/such/target".into(),
        }
    }

    fn flags(arguments: &[&str]) -> Flags {
        Flags {
            fixtures: None,
            kubo: false,
            s3: false,
            all_guests: false,
            quick: true,
            arguments: arguments.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn arguments_go_where_they_belong() {
        let line = |arguments: &[&str]| process::line(&command(&workspace(), &flags(arguments)));
        assert_eq!(
            line(&[]),
            "cargo test --no-fail-fast --workspace -- --show-output"
        );
        assert_eq!(
            line(&["-p", "pinset", "--", "staging"]),
            "cargo test --no-fail-fast -p pinset -- --show-output staging"
        );
    }

    #[test]
    fn models_are_built_by_themselves() {
        let line = process::line(&models(&workspace(), &flags(&[])));
        assert!(
            line.contains("--cfg shuttle") && line.contains("--target-dir /no/such/target/shuttle"),
            "{line}"
        );
        assert!(flags(&[]).runs_models() && !flags(&["-p", "pinset"]).runs_models());
    }

    #[test]
    fn others_are_built_for_the_tests_that_run_them() -> Result<()> {
        let runs = |arguments: &[&str]| flags(arguments).runs_others();
        assert!(runs(&[]) && runs(&["--", "-p"]) && runs(&["-p", RUNS_OTHERS]));
        assert!(!runs(&["-p", "pinset", "--", RUNS_OTHERS]));
        let members = Workspace::find()?.members()?;
        assert!(members.iter().any(|member| member.name == RUNS_OTHERS));
        Ok(())
    }

    #[test]
    fn what_was_not_asked_for_is_no_failure() {
        let lines = [
            "NOT RUN: WASI_IPFS_FIXTURES does not name the folder of fixtures",
            "NOT RUN: kubo: pins: WASI_IPFS_KUBO names no program",
            "NOT RUN: kubo: pins: WASI_IPFS_CLUSTER names no program",
            "NOT RUN: kubo: the FUSE mount: it needs /dev/fuse",
            "NOT RUN: s3: archives: WASI_IPFS_MOTO names no folder",
            "NOT RUN: uutils coreutils: it is built with --all-guests",
            "NOT RUN: files of a gibibyte, in a quick run",
        ];
        let counted = |fixtures: bool, kubo: bool, s3: bool, quick: bool| {
            let flags = Flags {
                fixtures: fixtures.then_some(None),
                kubo,
                s3,
                all_guests: false,
                quick,
                arguments: Vec::new(),
            };
            lines.map(|line| flags.counts(line))
        };
        assert_eq!(counted(false, false, false, false), [false; 7]);
        assert_eq!(
            counted(true, false, false, false),
            [true, false, false, true, false, false, true]
        );
        assert_eq!(
            counted(false, true, false, true),
            [false, true, true, true, false, false, false]
        );
        assert_eq!(
            counted(false, false, true, true),
            [false, false, false, true, true, false, false]
        );
        assert_eq!(
            counted(true, true, true, false),
            [true, true, true, true, true, false, true]
        );
        let asked = Flags {
            all_guests: true,
            ..flags(&[])
        };
        assert!(asked.counts(lines[5]));
    }

    #[test]
    fn a_program_that_dies_is_a_failure() -> Result<()> {
        let script = |script: &str| {
            let (mut tally, mut wrong) = (Tally::default(), Vec::new());
            let mut shell = Command::new("sh");
            // The output is discarded, since this test's own output is counted too.
            stream(
                shell.args(["-c", script]),
                &mut std::io::sink(),
                &mut tally,
                &mut wrong,
            )?;
            Ok::<_, anyhow::Error>((tally.passed, tally.failed, wrong.len()))
        };
        let said = |counts: &str, then: &str| {
            let rest = "0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
            script(&format!("echo 'test result: {counts}; {rest}'; {then}"))
        };
        assert_eq!(said("ok. 2 passed; 0 failed", "true")?, (2, 0, 0));
        assert_eq!(said("ok. 2 passed; 0 failed", "exit 101")?, (2, 0, 1));
        assert_eq!(said("ok. 2 passed; 0 failed", "kill $$")?, (2, 0, 1));
        assert_eq!(said("FAILED. 2 passed; 3 failed", "exit 101")?, (2, 3, 0));
        assert_eq!(script("true")?, (0, 0, 1));
        Ok(())
    }
}
