//! The command `wasi-ipfs`: run a WASI program on `/ipfs`, and list, read, copy, fetch and import content.
//!
//! The way of one call: `main` parses the flags, and `commands/` has one file for each subcommand. `host` opens the
//! sources (`source`, `archive`), sets up the cache, and closes it at every end (`signals`). `program` gets a program's
//! bytes, `guest` runs it, and `wasmtime_flags` and `session_limits` say within which bounds.
//! Output goes through `output`, `columns` and `progress`, messages through `messages`, both as text or as `record`s; and
//! what comes from content through `escape`.
//!
//! Exit statuses: the guest's own from `run`; otherwise 0 for success, 1 for an error, 2 for wrong usage, and 128 + n
//! for signal n.

mod archive;
mod columns;
mod commands;
mod compiled;
mod component;
mod engine;
mod escape;
mod guest;
mod host;
mod importing;
mod ipfs_path;
mod key_values;
mod lacking;
mod messages;
mod module;
mod output;
mod precompiled;
mod program;
mod progress;
mod record;
mod scratch;
mod session_limits;
mod signals;
mod source;
mod summary;
mod units;
mod usage;
mod wasmtime_error;
mod wasmtime_flags;

use std::{process::ExitCode, time::Duration};

use clap::{
    ArgAction, CommandFactory, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};

use crate::{
    messages::{Form, Log, Tone},
    output::ReaderGone,
    usage::Usage,
};

/// IPFS as a filesystem for WebAssembly: run WASI programs on /ipfs/CID/…, verified and lazy.
#[derive(Debug, Parser)]
#[command(name = "wasi-ipfs", version, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    messages: MessageArgs,

    #[command(subcommand)]
    command: Command,
}

/// The form of output, and how much is said.
#[derive(Debug, clap::Args)]
struct MessageArgs {
    /// Print results, and errors on standard error, as JSON: one object on each line. docs/json.md describes them
    #[arg(long, global = true, help_heading = "Messages")]
    json: bool,

    /// Say nothing but warnings and errors: no progress, no notes
    #[arg(short, long, global = true, help_heading = "Messages")]
    quiet: bool,

    /// Log more to standard error; -vv and -vvv log more still. WASI_IPFS_LOG says it in detail
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Messages")]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs import ./photos -o photos.car          # prints the CID
  wasi-ipfs ls --car photos.car /ipfs/<CID>
  wasi-ipfs run --car photos.car program.wasm /ipfs/<CID>/a.jpg
  wasi-ipfs run --kubo program.wasm /ipfs/<CID>    # from the Kubo node that `ipfs` talks to

Environment:
  WASI_IPFS_LOG (or RUST_LOG)   what is logged to standard error: warn, pinset=debug, …
  WASI_IPFS_KUBO_AUTH           credentials for the RPC of --kubo
  WASI_IPFS_GATEWAY_AUTH        credentials for gateways
  IPFS_GATEWAY                  the gateway that is asked if no source is given
  IPFS_PATH                     the repository of the node that --kubo finds, unless ~/.ipfs
  XDG_CACHE_HOME                where blocks are staged, in wasi-ipfs, unless ~/.cache";

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
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

impl Command {
    /// Its name on the command line.
    fn name(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Ls(_) => "ls",
            Self::Cat(_) => "cat",
            Self::Get(_) => "get",
            Self::Stat(_) => "stat",
            Self::Prefetch(_) => "prefetch",
            Self::Pins(_) => "pins",
            Self::Cache(_) => "cache",
            Self::Import(_) => "import",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(error),
    };
    let MessageArgs {
        json,
        quiet,
        verbose,
    } = cli.messages;
    messages::set(
        if json { Form::Json } else { Form::Text },
        if quiet { Tone::Quiet } else { Tone::Usual },
    );
    let name = cli.command.name();
    // A guest can make calls fail as often as it likes, and its own messages go to standard error too.
    let usual = match (quiet, &cli.command) {
        (true, _) | (_, Command::Run(_)) => 0,
        _ => 1,
    };
    if let Err(error) = start_log(usual + usize::from(verbose)) {
        return fail(error, name);
    }
    // At least two threads: a guest that writes into a full pipe blocks one, and signals need another.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(
                anyhow::Error::new(error).context("cannot start threads"),
                name,
            );
        }
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
            Command::Completions(args) => commands::completions::run(args, Cli::command()).await,
            Command::Man(args) => commands::man::run(args, Cli::command()).await,
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
        Err(error) => fail(error, name),
    }
}

/// Shows help, the version, or why the command line cannot be understood.
fn not_parsed(mut error: clap::Error) -> ExitCode {
    hide_credentials(&mut error);
    // The flags were not parsed, but this one is easily found: it has no value.
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        messages::set(Form::Json, Tone::Usual);
        messages::error(&anyhow::anyhow!(
            "{}",
            error.render().to_string().trim_end()
        ));
    } else {
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Hides the credentials in an address that was refused, since clap repeats a value as it was given.
fn hide_credentials(error: &mut clap::Error) {
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && let Some((_, address)) = value.rsplit_once('@')
    {
        let shown = ContextValue::String(format!("…@{address}"));
        error.insert(ContextKind::InvalidValue, shown);
    }
}

/// Says why the subcommand `name` failed.
fn fail(error: anyhow::Error, name: &str) -> ExitCode {
    if error.is::<ReaderGone>() {
        return ExitCode::SUCCESS;
    }
    let Some(usage) = error.downcast_ref::<Usage>() else {
        messages::error(&error);
        return ExitCode::FAILURE;
    };
    match messages::form() {
        Form::Json => messages::error(&error),
        Form::Text => {
            let mut cli = Cli::command();
            cli.build();
            let mut command = cli.find_subcommand(name).cloned().unwrap_or(cli);
            let shown = escape::escape_lines(&usage.to_string()).into_owned();
            let _ = command.error(usage.kind, shown).print();
        }
    }
    ExitCode::from(2)
}

/// The levels of the log, from the least of it to all.
const LEVELS: [tracing::Level; 5] = [
    tracing::Level::ERROR,
    tracing::Level::WARN,
    tracing::Level::INFO,
    tracing::Level::DEBUG,
    tracing::Level::TRACE,
];

/// Starts logging to standard error, without colours, up to this one of the [`LEVELS`] unless the environment says
/// otherwise.
fn start_log(level: usize) -> anyhow::Result<()> {
    use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};
    let level = LEVELS[level.min(LEVELS.len() - 1)];
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
        .with_writer(|| Log)
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

    #[test]
    fn every_subcommand_is_found_by_its_name() {
        let cli = Cli::command();
        for name in cli.get_subcommands().map(clap::Command::get_name) {
            let arguments = match name {
                "run" => vec!["program"],
                "cat" | "get" | "ls" | "prefetch" | "stat" => {
                    vec!["bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"]
                }
                "cache" => vec!["stats"],
                "import" => vec!["path", "--only-hash"],
                "completions" => vec!["bash"],
                _ => Vec::new(),
            };
            let cli = Cli::try_parse_from(["wasi-ipfs", name].into_iter().chain(arguments));
            assert_eq!(cli.expect(name).command.name(), name);
        }
    }
}
