//! `cargo xtask suites`: other people's tests, each by wasmtime-wasi alone and with the adapter. The program that runs
//! them is in `tests/e2e`.

use std::path::{PathBuf, absolute};

use anyhow::{Context, Result};
use clap::Args;

use crate::{process, workspace::Workspace};

/// Which tests to run.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// A folder of prebuilt tests: modules of preview 1 and components, with wasi-testsuite's JSON beside them.
    #[arg(long, value_name = "DIR")]
    dir_of_tests: PathBuf,
}

/// Runs the tests, and fails if one ends differently.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    let folder = &flags.dir_of_tests;
    let folder = absolute(folder).with_context(|| format!("no path: {}", folder.display()))?;
    let program = ["run", "--quiet", "--package", "e2e", "--bin", "suites"];
    let mut cargo = workspace.cargo(&program);
    cargo.args(["--", "--dir-of-tests"]).arg(folder);
    process::run(&mut cargo)
}
