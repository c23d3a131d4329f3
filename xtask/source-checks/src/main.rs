//! Checks that read the workspace's source without compiling it. `cargo xtask tidy` and `cargo xtask prose` run them.
//!
//! It is a program of its own, so that commands that do not read source are built without a Rust parser.

mod circles;
mod crates;
mod lexer;
mod names;
mod prose;
mod shares;
mod tree;
mod uses;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "Checks of the workspace's source")]
struct Arguments {
    /// The root of the checkout to read.
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    root: PathBuf,
    #[command(subcommand)]
    check: Check,
}

#[derive(Debug, Subcommand)]
enum Check {
    /// Fails if files of a crate import each other in a circle.
    Circles(circles::Flags),
    /// Prints each crate's share of the code; fails if one is too large.
    Shares,
    /// Counts habits of prose to avoid.
    Prose(prose::Flags),
}

fn main() -> ExitCode {
    let Arguments { root, check } = Arguments::parse();
    match run(&root, &check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &std::path::Path, check: &Check) -> Result<()> {
    match check {
        Check::Circles(flags) => circles::check(root, flags),
        Check::Shares => shares::check(root),
        Check::Prose(flags) => prose::count(root, flags),
    }
}
