//! `cargo xtask …`: the commands that both people and the CI run, one file for each command.
//!
//! If the machine lacks something that a command needs (WASI targets, guests, tools), the command gets it from the
//! registries of crates, npm or PyPI, from rustup or from Go's module proxy. Everything that it builds is under the
//! target directory.

mod bench;
mod car;
mod coverage;
mod demo;
mod fixtures;
mod fuzz;
mod guests;
mod kubo;
mod pictures;
mod process;
mod s3;
mod source;
mod steps;
mod suites;
mod tally;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds the guests for wasm32-wasip1 and wasm32-wasip2, and gets programs in other languages and by other people.
    Guests(guests::Flags),
    /// Runs `tidy` and then all tests; ends with `N passed, N failed`.
    Test(test::Flags),
    /// Runs the fuzz targets, each for a minute; ends with `N passed, N failed`.
    Fuzz(fuzz::Flags),
    /// Provides a real Kubo, installed or built with Go, and prints its path; starts a private node with `--run`.
    Kubo(kubo::Flags),
    /// Imports a directory and lets a guest list, stat and read it through /ipfs.
    Demo,
    /// Checks format, lints, documentation, the crates' boundaries, the rules for files, and the dependencies.
    Tidy(tidy::Flags),
    /// Runs other people's tests with the adapter and without; one that ends differently fails.
    Suites(suites::Flags),
    /// Counts habits of prose; `--list HABIT` shows where one occurs, `--root DIR` reads another checkout.
    Prose(source::Flags),
    /// Draws the pictures of the README into `docs`.
    Pictures(pictures::Flags),
    /// Runs the benches in release mode; further arguments go to the bench program.
    Bench(bench::Flags),
    /// Measures which lines the tests run; every other line needs a reason.
    Coverage(coverage::Flags),
}

fn main() -> ExitCode {
    let done = Workspace::find().and_then(|workspace| match Arguments::parse().command {
        Task::Guests(flags) => guests::run(&workspace, &flags),
        Task::Test(flags) => test::run(&workspace, &flags),
        Task::Fuzz(flags) => fuzz::run(&workspace, &flags),
        Task::Kubo(flags) => kubo::run(&workspace, &flags),
        Task::Demo => demo::run(&workspace),
        Task::Tidy(flags) => tidy::run(&workspace, &flags),
        Task::Suites(flags) => suites::run(&workspace, &flags),
        Task::Prose(flags) => source::prose(&workspace, &flags),
        Task::Pictures(flags) => pictures::run(&workspace, &flags),
        Task::Bench(flags) => bench::run(&workspace, &flags),
        Task::Coverage(flags) => coverage::run(&workspace, &flags),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // `test` has printed what failed, and its last line is the count.
        Err(error) if error.is::<test::Failed>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
