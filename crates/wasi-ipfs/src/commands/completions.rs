//! `completions`: prints a shell's completions of this command.

use clap_complete::Shell;

use crate::output::Output;

/// Print completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs completions bash > ~/.local/share/bash-completion/completions/wasi-ipfs
  wasi-ipfs completions zsh > ~/.zfunc/_wasi-ipfs      # a directory of $fpath
  wasi-ipfs completions fish > ~/.config/fish/completions/wasi-ipfs.fish";

pub(crate) async fn run(args: &Args, mut cli: clap::Command) -> anyhow::Result<i32> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut cli, "wasi-ipfs", &mut text);
    // For bash, clap_complete 4.6 spells the hyphen of our name in two ways, so that nothing behind a subcommand would be
    // completed.
    let text = String::from_utf8_lossy(&text).replace("wasi__subcmd__ipfs", "wasi__ipfs");
    let mut output = Output::new();
    output.bytes(text.as_bytes()).await?;
    output.finish().await?;
    Ok(0)
}
