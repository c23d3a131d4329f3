//! Runs `source-checks`, the program that reads the workspace's source.

use std::ffi::OsStr;

use anyhow::Result;
use clap::Args;

use crate::{process, workspace::Workspace};

/// Arguments of `source-checks prose`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Passed on as they are.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    arguments: Vec<String>,
}

/// Counts habits of prose, as `cargo xtask prose` does.
pub(crate) fn prose(workspace: &Workspace, flags: &Flags) -> Result<()> {
    check(
        workspace,
        &[&["prose".to_owned()], &flags.arguments[..]].concat(),
    )
}

/// Runs a check on this workspace. It prints its findings, and fails if the check does.
pub(crate) fn check<A: AsRef<OsStr>>(workspace: &Workspace, arguments: &[A]) -> Result<()> {
    let package = ["run", "--quiet", "--package", "source-checks", "--"];
    process::run(workspace.cargo(&package).args(arguments))
}
