//! `cargo xtask tidy`: checks everything that can be checked without running the code.
//!
//! All checks run, even after one has failed, so that one run reports everything that has to be fixed.

mod boundaries;
mod differences;
mod features;
mod files;
mod packaging;
mod refused;

use anyhow::{Result, bail};
use clap::{Args, builder::PossibleValuesParser};

use crate::{fuzz, pictures, process, source, steps::Steps, tools, workspace::Workspace};

/// Which checks to run.
#[derive(Args, Debug, Default)]
pub(crate) struct Flags {
    /// Also looks the dependencies up in the database of advisories, which is fetched from GitHub.
    #[arg(long)]
    advisories: bool,
    /// The checks to run [default: all of them].
    #[arg(value_parser = PossibleValuesParser::new(NAMES))]
    checks: Vec<String>,
}

/// The names of the checks.
const NAMES: [&str; 19] = [
    "format",
    "format-guests",
    "format-fuzz",
    "clippy",
    "clippy-guests",
    "clippy-fuzz",
    "docs",
    "boundaries",
    "refused",
    "features",
    "files",
    "differences",
    "circles",
    "shares",
    "prose",
    "pictures",
    "dependencies",
    "resolution",
    "packages",
];

/// Runs the checks. The error names those that failed.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    let wanted =
        |name: &&str| flags.checks.is_empty() || flags.checks.iter().any(|check| check == name);
    let mut failed = Vec::new();
    let mut steps = Steps::default();
    for name in NAMES.into_iter().filter(wanted) {
        if let Err(error) = steps.run(name, || check(workspace, flags, name)) {
            eprintln!("tidy: {name}: {error:#}");
            failed.push(name);
        }
    }
    eprintln!("tidy: {steps}");
    if !failed.is_empty() {
        bail!("tidy: {}", failed.join(", "));
    }
    Ok(())
}

fn check(workspace: &Workspace, flags: &Flags, name: &str) -> Result<()> {
    let cargo = |arguments: &[&str]| process::run(&mut workspace.cargo(arguments));
    let guests = "tests/guests/Cargo.toml";
    match name {
        "format" => cargo(&["fmt", "--all", "--check"]),
        "format-guests" => cargo(&["fmt", "--all", "--check", "--manifest-path", guests]),
        "format-fuzz" => cargo(&["fmt", "--check", "--manifest-path", fuzz::MANIFEST]),
        "clippy" => {
            let everything = ["--workspace", "--all-targets", "--all-features"];
            cargo(&[&["clippy"], &everything[..], &["--", "-D", "warnings"]].concat())
        }
        "clippy-guests" => {
            // Use the guests' build folder. They are a workspace of their own, which would get a second one.
            let build = workspace.guests().join("build");
            let mut cargo = workspace.cargo(&[
                "clippy",
                "--workspace",
                "--locked",
                "--manifest-path",
                guests,
                "--target-dir",
            ]);
            cargo
                .arg(build)
                .args(["--target", "wasm32-wasip2", "--", "-D", "warnings"]);
            process::run(&mut cargo)
        }
        "clippy-fuzz" => {
            let mut cargo = fuzz::cargo(workspace, &fuzz::host(workspace)?, "clippy");
            process::run(cargo.args(["--", "-D", "warnings"]))
        }
        "docs" => {
            let mut cargo = workspace.cargo(&["doc", "--workspace", "--no-deps"]);
            process::run(cargo.env("RUSTDOCFLAGS", "-Dwarnings"))
        }
        "boundaries" => boundaries::check(workspace),
        "refused" => refused::check(workspace),
        "features" => features::check(workspace),
        "files" => files::check(workspace),
        "differences" => differences::check(workspace),
        "circles" | "shares" => source::check(workspace, &[name]),
        "prose" => source::check(workspace, &[name, "--bounded"]),
        "pictures" => pictures::check(workspace),
        "dependencies" => dependencies(workspace, flags),
        "resolution" => packaging::resolves_afresh(workspace),
        "packages" => packaging::packs(workspace),
        unknown => bail!("there is no check {unknown}"),
    }
}

fn dependencies(workspace: &Workspace, flags: &Flags) -> Result<()> {
    let mut deny = std::process::Command::new(tools::CARGO_DENY.ensure(workspace)?);
    deny.current_dir(&workspace.root);
    deny.args(["--workspace", "--all-features", "--locked", "check"]);
    // The other three fetch nothing except crates that are not downloaded yet.
    if flags.advisories {
        deny.arg("advisories");
    }
    process::run(deny.args(["bans", "licenses", "sources"]))
}
