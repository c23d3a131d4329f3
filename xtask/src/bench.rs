//! `cargo xtask bench`: the benches, release, one after the other, or one of them with its own arguments.

use anyhow::Result;
use clap::Args;

use crate::{guests, kubo, process, test::FIXTURES, workspace::Workspace};

/// Which bench, and what it is given.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Measures cold reads out of a real Kubo instead, which is got as `cargo xtask kubo` gets it.
    #[arg(long, group = "only")]
    kubo: bool,
    /// Measures the replacement policy alone: hit rates on the published traces (where `../shared/fixtures` is there),
    /// and the cost of an event, beside others' caches.
    #[arg(long, group = "only")]
    replacement: bool,
    /// Measures ways to lay staged blocks out on disk, alone.
    #[arg(long, group = "only")]
    layouts: bool,
    /// Arguments of the bench program, by default of the one that runs guests, which then runs alone; `--help` behind
    /// `--` shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs it, or all but the one that needs a Kubo.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    match flags {
        Flags {
            replacement: true, ..
        } => of_pinset(workspace, "replacement", &flags.arguments),
        Flags { layouts: true, .. } => of_pinset(workspace, "layouts", &flags.arguments),
        Flags { kubo: true, .. } => of_guests(workspace, flags),
        Flags { arguments, .. } if !arguments.is_empty() => of_guests(workspace, flags),
        Flags { .. } => {
            of_guests(workspace, flags)?;
            of_pinset(workspace, "replacement", &[])?;
            of_pinset(workspace, "layouts", &[])
        }
    }
}

fn of_guests(workspace: &Workspace, flags: &Flags) -> Result<()> {
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

/// Needs no guest, and no wasmtime.
fn of_pinset(workspace: &Workspace, name: &str, arguments: &[String]) -> Result<()> {
    let package = ["bench", "-p", "pinset", "--bench", name, "--"];
    let mut cargo = workspace.cargo(&package);
    if let Ok(fixtures) = workspace.root.join("../shared/fixtures").canonicalize() {
        cargo.env(FIXTURES, fixtures);
    }
    process::run(cargo.args(arguments))
}
