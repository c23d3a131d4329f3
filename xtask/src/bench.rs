//! `cargo xtask bench`: runs the benches in release mode, one after the other, or one of them with its own arguments.

use anyhow::Result;
use clap::Args;

use crate::{fixtures, guests, kubo, process, workspace::Workspace};

/// Which bench to run, and its arguments.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Measures cold reads from a real Kubo instead, which is obtained as by `cargo xtask kubo`.
    #[arg(long, group = "only")]
    kubo: bool,
    /// Measures the replacement policy alone, beside other caches: hit rates on the published traces (if
    /// `../shared/fixtures` exists), and the cost of an event.
    #[arg(long, group = "only")]
    replacement: bool,
    /// Measures only ways to lay out staged blocks on disk.
    #[arg(long, group = "only")]
    layouts: bool,
    /// Measures only cold sequential reads through the pinset, over backends of several latencies.
    #[arg(long, group = "only")]
    cold: bool,
    /// Measures only a thousand sessions on one pinset.
    #[arg(long, group = "only")]
    sessions: bool,
    /// Measures only the memory and the times of a pinset of a million blocks.
    #[arg(long, group = "only")]
    many_blocks: bool,
    /// Measures only how long a persistent staging directory takes to open.
    #[arg(long, group = "only")]
    warm_start: bool,
    /// Arguments of the bench program. Without a flag they go to the bench that runs guests, which then runs alone;
    /// `-- --help` shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// The benches of the pinset.
const OF_PINSET: [&str; 6] = [
    "replacement",
    "layouts",
    "cold",
    "sessions",
    "many_blocks",
    "warm_start",
];

/// Runs the chosen bench, or all except the one that needs a Kubo.
pub(crate) fn run(workspace: &Workspace, flags: &Flags) -> Result<()> {
    let Flags {
        kubo,
        replacement,
        layouts,
        cold,
        sessions,
        many_blocks,
        warm_start,
        arguments,
    } = flags;
    let asked_for = [
        *replacement,
        *layouts,
        *cold,
        *sessions,
        *many_blocks,
        *warm_start,
    ];
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
    let package = ["run", "--release", "-p", "e2e", "--bin", "bench", "--"];
    let mut cargo = workspace.cargo(&package);
    cargo.env("WASI_IPFS_GUESTS", workspace.guests());
    if flags.kubo {
        cargo.env("WASI_IPFS_KUBO", kubo::KUBO.ensure(workspace)?);
        cargo.arg("--kubo");
    }
    process::run(cargo.args(&flags.arguments))
}

/// Runs a bench of the pinset, which needs neither guests nor wasmtime.
fn of_pinset(workspace: &Workspace, name: &str, arguments: &[String]) -> Result<()> {
    let package = ["bench", "-p", "pinset", "--bench", name, "--"];
    let mut cargo = workspace.cargo(&package);
    if let Ok(fixtures) = workspace.root.join("../shared/fixtures").canonicalize() {
        cargo.env(fixtures::VARIABLE, fixtures);
    }
    process::run(cargo.args(arguments))
}
