//! `man`: prints or writes manual pages, one for the command and one for each subcommand.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap_mangen::Man;

use crate::output::Output;

/// Print the manual page of a subcommand, or write all pages
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Write all pages into this directory, which is made if it is not there
    #[arg(short, long, value_name = "DIR", conflicts_with = "subcommand")]
    output: Option<PathBuf>,

    /// The subcommand; without it, the page of the whole command
    #[arg(value_name = "SUBCOMMAND")]
    subcommand: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs man run | man -l -
  wasi-ipfs man -o ~/.local/share/man/man1";

pub(crate) async fn run(args: &Args, mut cli: clap::Command) -> anyhow::Result<i32> {
    if let Some(directory) = &args.output {
        let shown = directory.display();
        fs::create_dir_all(directory).with_context(|| format!("cannot make '{shown}'"))?;
        clap_mangen::generate_to(cli, directory)
            .with_context(|| format!("cannot write the pages into '{shown}'"))?;
        return Ok(0);
    }
    cli.build();
    let command = match &args.subcommand {
        None => cli,
        Some(name) => cli
            .find_subcommand(name)
            .cloned()
            .with_context(|| format!("unknown subcommand '{name}'"))?,
    };
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .context("cannot make the page")?;
    let mut output = Output::new();
    output.bytes(&page).await?;
    output.finish().await?;
    Ok(0)
}
