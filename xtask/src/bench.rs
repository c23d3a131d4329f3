//! `cargo xtask bench`: builds the guests and the bench program, release, and hands its arguments on.

use anyhow::Result;
use clap::Args;

use crate::{guests, kubo, process, workspace::Workspace};

/// What the bench program is given.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Measures cold reads out of a real Kubo instead, which is got as `cargo xtask kubo` gets it.
    #[arg(long)]
    kubo: bool,
    /// Arguments of the bench program; `--help` behind `--` shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs it.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    guests::build(workspace)?;
    let package = [
        "run",
        "--release",
        "-p",
        "wasi-ipfs-tests",
        "--bin",
        "bench",
        "--",
    ];
    let mut cargo = workspace.cargo(&package);
    cargo.env("WASI_IPFS_GUESTS", workspace.guests());
    if flags.kubo {
        cargo.env("WASI_IPFS_KUBO", kubo::KUBO.ensure(workspace)?);
        cargo.arg("--kubo");
    }
    process::run(cargo.args(&flags.arguments))
}
