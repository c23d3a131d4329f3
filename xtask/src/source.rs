//! Runs `source-checks`, the program that reads the workspace's source.

use std::ffi::OsStr;

use anyhow::Result;

use crate::{process, workspace::Workspace};

/// Runs it on this workspace; it prints what it finds, and fails where a check does.
pub(crate) fn check<A: AsRef<OsStr>>(workspace: &Workspace, arguments: &[A]) -> Result<()> {
    let package = ["run", "--quiet", "--package", "source-checks", "--"];
    process::run(workspace.cargo(&package).args(arguments))
}
