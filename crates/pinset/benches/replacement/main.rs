//! `cargo bench -p pinset --bench replacement`: hit rates and costs of the replacement policy, beside those of the
//! caches that are its alternatives, in one run.
//!
//! Hit rates are by object, on the published traces that `WASI_IPFS_FIXTURES` names. Costs are of one thread. All
//! random numbers come from fixed seeds. `--json FILE` also writes the figures to a file.

mod caches;
mod cost;
mod hit_rates;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use serde_json::json;

/// Hit rates and costs of the replacement policy, beside LRU, quick_cache and moka.
#[derive(Debug, Parser)]
#[command(name = "replacement")]
struct Flags {
    /// The largest number of entries for the cost of an event. The numbers go from 1,000 up in powers of ten.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// How often each cost is measured; the best round counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Measures only this cache; for profiles.
    #[arg(long, value_name = "NAME")]
    cache: Option<String>,
    /// Measures only the costs; for profiles.
    #[arg(long)]
    costs: bool,
    /// The file to write the figures to as JSON. A relative path starts at the workspace's folder.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The flag that Cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let hit_rates = match flags.costs {
        true => Vec::new(),
        false => hit_rates::measure(),
    };
    let costs = cost::measure(flags.entries, flags.rounds, flags.cache.as_deref());
    let Some(path) = flags.json else {
        return ExitCode::SUCCESS;
    };
    // Cargo runs a bench in the folder of its package.
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    let all = json!({ "hit_rates_percent": hit_rates, "nanoseconds_an_event": costs });
    match std::fs::write(&path, format!("{all:#}\n")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
