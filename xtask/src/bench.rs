//! `cargo xtask bench`: the benches, release, one after the other, or one of them with its own arguments.

use anyhow::Result;
use clap::Args;

use crate::{fixtures, guests, kubo, process, workspace::Workspace};

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
    /// Measures cold sequential reads through the pinset alone, over backends of several latencies.
    #[arg(long, group = "only")]
    cold: bool,
    /// Measures how long a persistent staging directory takes to open, alone.
    #[arg(long, group = "only")]
    warm_start: bool,
    /// Arguments of the bench program, by default of the one that runs guests, which then runs alone; `--help` behind
    /// `--` shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// The benches of the pinset.
const OF_PINSET: [&str; 4] = ["replacement", "layouts", "cold", "warm_start"];

/// Runs it, or all but the one that needs a Kubo.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    let Flags {
        kubo,
        replacement,
        layouts,
        cold,
        warm_start,
        arguments,
    } = flags;
    let asked_for = [*replacement, *layouts, *cold, *warm_start];
    if let Some((name, _)) = OF_PINSET.iter().zip(asked_for).find(|(_, asked)| *asked) {
        return of_pinset(workspace, name, arguments);
    }
    of_guests(workspace, flags)?;
    if *kubo || !arguments.is_empty() {
        return Ok(());
    }
    OF_PINSET
        .iter()
        .try_for_each(|name| of_pinset(workspace, name, &[]))
}

fn of_guests(workspace: &Workspace, flags: &Flags) -> Result<()> {
    guests::build_ours(workspace)?;
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
        cargo.env(fixtures::VARIABLE, fixtures);
    }
    process::run(cargo.args(arguments))
}
