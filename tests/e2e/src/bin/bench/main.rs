//! `cargo xtask bench`: the same guest on the same bytes, through `/ipfs` and through wasmtime-wasi's own preopened
//! directory, side by side in one run. It prints ratios as a table, and writes them as JSON to the file that `--json`
//! names.

mod kubo;
mod memory;
mod speed;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use serde_json::{Map, Value, json};
use speed::{Plan, Way};

/// Reads of /ipfs against reads of a plain preopened directory, warm, in one run.
#[derive(Parser, Debug)]
#[command(name = "bench")]
struct Flags {
    /// Length of the large file, in MiB.
    #[arg(long, default_value_t = 1024)]
    large_mib: u64,
    /// How often the files of the warm reads are made anew, since their place in memory affects the speed.
    #[arg(long, default_value_t = 3)]
    copies: u32,
    /// How often each measurement is made, on each copy.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Cold reads out of the Kubo that WASI_IPFS_KUBO names, instead of warm ones.
    #[arg(long)]
    kubo: bool,
    /// Only the work whose name contains this; for profiles.
    #[arg(long, value_name = "TEXT", default_value = "")]
    work: String,
    /// Only /ipfs, and no ratios; for profiles.
    #[arg(long)]
    profile: bool,
    /// Where to write the figures as JSON.
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// Fails if a figure misses its target.
    #[arg(long)]
    strict: bool,
    /// Measures one thing in a process of its own (used by the bench itself).
    #[arg(long, hide = true)]
    only: Option<Only>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Only {
    Gigabyte,
    Handles,
    ColdHandles,
}

/// A figure and its target.
struct Figure {
    name: String,
    value: f64,
    target: Option<Target>,
}

enum Target {
    AtLeast(f64),
    Below(f64),
}

impl Figure {
    fn falls_short(&self) -> bool {
        match self.target {
            None => false,
            Some(Target::AtLeast(least)) => self.value < least,
            Some(Target::Below(most)) => self.value >= most,
        }
    }

    fn target(&self) -> String {
        match self.target {
            None => "reported".to_owned(),
            Some(Target::AtLeast(least)) => format!("at least {least}"),
            Some(Target::Below(most)) => format!("below {most}"),
        }
    }
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    match flags.only {
        Some(Only::Gigabyte) => return memory::gigabyte(),
        Some(Only::Handles) => return memory::handles(),
        Some(Only::ColdHandles) => return memory::cold_handles(),
        None => {}
    }
    if flags.kubo && flags.profile {
        println!("{:#}", kubo::profile(flags.rounds));
        return ExitCode::SUCCESS;
    }
    let (seconds, figures) = if flags.kubo {
        kubo::measure(flags.rounds)
    } else {
        let ways = if flags.profile { 1 } else { 3 };
        let (seconds, mut figures) = speed::measure(&Plan {
            large_mib: flags.large_mib,
            copies: flags.copies,
            rounds: flags.rounds,
            wanted: &flags.work,
            ways: &Way::ALL[..ways],
        });
        if flags.profile {
            println!("{seconds:#}");
            return ExitCode::SUCCESS;
        }
        figures.extend(memory::measure());
        (seconds, figures)
    };
    println!("\n{:<58} {:>9}  target", "ratio, or MiB", "measured");
    let mut short = false;
    for figure in &figures {
        let mark = if figure.falls_short() { "  SHORT" } else { "" };
        short |= figure.falls_short();
        let (name, value, target) = (&figure.name, figure.value, figure.target());
        println!("{name:<58} {value:>9.2}  {target}{mark}");
    }
    let named = figures.iter().map(|figure| {
        let value = json!({
            "value": figure.value,
            "target": figure.target(),
            "short": figure.falls_short(),
        });
        (figure.name.clone(), value)
    });
    let figures: Map<String, Value> = named.collect();
    let all = json!({ "figures": figures, "seconds": seconds });
    let text = format!("{all:#}\n");
    if let Err(error) = std::fs::write(&flags.json, &text) {
        eprintln!("{}: {error}", flags.json.display());
        return ExitCode::FAILURE;
    }
    println!("\n{}", flags.json.display());
    ExitCode::from(u8::from(short && flags.strict))
}
