//! The command `wasi-ipfs`: run a WASI program on `/ipfs`, and list, read, copy, fetch and import content.
//!
//! The way of one call: `main` parses the flags, and `commands/` has one file for each subcommand. `host` opens the
//! sources (`source`, `archive`), sets up the cache, and closes it at every end (`signals`). `program` gets a program's
//! bytes, `guest` runs it, and `wasmtime_flags` and `session_limits` say within which bounds.
//! Output goes through `output`, `columns` and `progress`.
//!
//! Exit statuses: the guest's own from `run`; otherwise 0 for success, 1 for an error, 2 for wrong usage, and 128 + n
//! for signal n.

mod archive;
mod columns;
mod commands;
mod compiled;
mod component;
mod engine;
mod guest;
mod host;
mod importing;
mod ipfs_path;
mod key_values;
mod lacking;
mod module;
mod output;
mod precompiled;
mod program;
mod progress;
mod session_limits;
mod signals;
mod source;
mod summary;
mod units;
mod usage;
mod wasmtime_error;
mod wasmtime_flags;

use std::{process::ExitCode, time::Duration};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{output::ReaderGone, usage::Usage};

/// IPFS as a filesystem for WebAssembly: run WASI programs on /ipfs/CID/…, verified and lazy.
#[derive(Debug, Parser)]
#[command(name = "wasi-ipfs", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs import ./photos -o photos.car          # prints the CID
  wasi-ipfs ls --car photos.car /ipfs/<CID>
  wasi-ipfs run --car photos.car program.wasm /ipfs/<CID>/a.jpg
  wasi-ipfs run --kubo program.wasm /ipfs/<CID>    # from the Kubo node that `ipfs` talks to

WASI_IPFS_LOG (or RUST_LOG) sets what is logged to standard error: warn, pinset=debug, …";

/// How long the end of `get` waits at most for the removal of an unfinished copy.
const REMOVED_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<commands::run::Args>),
    Ls(commands::ls::Args),
    Cat(commands::cat::Args),
    Get(commands::get::Args),
    Stat(commands::stat::Args),
    Prefetch(commands::prefetch::Args),
    Pins(commands::pins::Args),
    Cache(commands::cache::Args),
    Import(commands::import::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A guest can make calls fail as often as it likes, and its own messages go to standard error too.
    let level = match cli.command {
        Command::Run(_) => tracing::Level::ERROR,
        _ => tracing::Level::WARN,
    };
    if let Err(error) = start_log(level) {
        return fail(error);
    }
    // At least two threads: a guest that writes into a full pipe blocks one, and signals need another.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(anyhow::Error::new(error).context("cannot start threads")),
    };
    let ended = runtime.block_on(async {
        match &cli.command {
            Command::Run(args) => commands::run::run(args).await,
            Command::Ls(args) => commands::ls::run(args).await,
            Command::Cat(args) => commands::cat::run(args).await,
            Command::Get(args) => commands::get::run(args).await,
            Command::Stat(args) => commands::stat::run(args).await,
            Command::Prefetch(args) => commands::prefetch::run(args).await,
            Command::Pins(args) => commands::pins::run(args).await,
            Command::Cache(args) => commands::cache::run(args).await,
            Command::Import(args) => commands::import::run(args).await,
        }
    });
    match cli.command {
        // A copy that was given up is being removed.
        Command::Get(_) => runtime.shutdown_timeout(REMOVED_WITHIN),
        // Do not wait for threads that are still blocked (by a compilation, or a full pipe).
        _ => runtime.shutdown_background(),
    }
    match ended {
        // Not an `ExitCode`: a guest's status may have more than eight bits if the system allows it.
        Ok(status) => std::process::exit(status),
        Err(error) => fail(error),
    }
}

fn fail(error: anyhow::Error) -> ExitCode {
    if error.is::<ReaderGone>() {
        return ExitCode::SUCCESS;
    }
    if let Some(usage) = error.downcast_ref::<Usage>() {
        let _ = Cli::command().error(usage.kind, usage).print();
        return ExitCode::from(2);
    }
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

/// Starts logging to standard error, without colours, from `level` on unless the environment says otherwise.
fn start_log(level: tracing::Level) -> anyhow::Result<()> {
    use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};
    let wanted = ["WASI_IPFS_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| Some((name, std::env::var(name).ok()?)));
    let targets = match wanted {
        None => Targets::new().with_default(level),
        Some((name, text)) => text.parse().map_err(|error| {
            anyhow::anyhow!(
                "invalid log filter {name}={text}: {error}; expected a level like warn, or pinset=debug,warn"
            )
        })?,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(targets)
        .with(lines)
        .init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }
}
