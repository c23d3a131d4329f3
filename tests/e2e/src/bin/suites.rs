//! `cargo xtask suites`: other people's tests, each with the adapter and without. A difference is named, and fails.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use e2e::suite::{self, Verdict};

/// Runs prebuilt tests by wasmtime-wasi alone and with the adapter, and compares them.
#[derive(Parser, Debug)]
#[command(name = "suites")]
struct Flags {
    /// The folder of the tests: modules and components, with wasi-testsuite's JSON beside them.
    #[arg(long, value_name = "DIR")]
    dir_of_tests: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let [mut pass, mut fail, mut gained, mut different, mut left_out] = [0; 5];
    let cases = match suite::find(&flags.dir_of_tests) {
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("error: {}: {error}", flags.dir_of_tests.display());
            return ExitCode::FAILURE;
        }
    };
    for case in &cases {
        let name = &case.name;
        match case.compare().await {
            Ok(Verdict::Alike { passes: true }) => pass += 1,
            Ok(Verdict::Alike { passes: false }) => {
                fail += 1;
                println!("fails both ways: {name}");
            }
            Ok(Verdict::Gained(how)) => {
                gained += 1;
                println!("passes with the adapter alone: {name}: {how}");
            }
            Ok(Verdict::Different(how)) => {
                different += 1;
                println!("DIFFERENT: {name}: {how}");
            }
            Ok(Verdict::NotRun(why)) => {
                left_out += 1;
                println!("NOT RUN: {name}: {why}");
            }
            Err(error) => {
                different += 1;
                println!("ERROR: {name}: {error}");
            }
        }
    }
    println!(
        "{} tests: {pass} pass both ways, {fail} fail both ways, {gained} pass with the adapter alone, \
         {different} different, {left_out} not run",
        cases.len()
    );
    match different == 0 && pass + gained > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
