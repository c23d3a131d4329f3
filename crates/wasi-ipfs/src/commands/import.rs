//! `import`: writes local files into a CAR, and prints the CID that `ipfs add` would give them.
//!
//! Standard output has the CID and nothing else, so that a shell can capture it.

use std::path::PathBuf;

use anyhow::Context;
use pinner_car::{ImportOptions, Profile};

use crate::{host, importing, output::Output, units::show_size};

/// Import a local file or directory into a CAR archive, and print its CID
///
/// The CID is the same as Kubo's for the same options.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How files are chunked and directories built: unixfs-v1-2025 (CIDv1, raw leaves of 1 MiB) or unixfs-v0-2015
    /// (CIDv0, leaves of 256 KiB; Kubo's default)
    #[arg(long, default_value_t)]
    profile: Profile,

    /// Import hidden files too
    #[arg(short = 'H', long)]
    hidden: bool,

    /// Whether leaves are raw blocks, whatever the profile says
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    raw_leaves: Option<bool>,

    /// Keep permissions. Not with raw leaves: add --raw-leaves=false
    #[arg(long)]
    preserve_mode: bool,

    /// Keep modification times. Not with raw leaves: add --raw-leaves=false
    #[arg(long)]
    preserve_mtime: bool,

    /// Follow PATH itself if it is a symlink. Symlinks below it are never followed
    #[arg(long)]
    dereference_args: bool,

    /// Print on standard error how many files, blocks and bytes there are
    #[arg(long)]
    stats: bool,

    /// Where to write the archive. It appears there once it is complete, and replaces an existing file
    #[arg(short, long, value_name = "FILE.car")]
    output: PathBuf,

    /// The file or directory
    path: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs import ./photos -o photos.car
  CID=$(wasi-ipfs import --profile unixfs-v0-2015 ./site -o site.car)
  wasi-ipfs import -H --raw-leaves=false --preserve-mode --preserve-mtime ./home -o home.car";

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    let options = ImportOptions {
        profile: args.profile,
        hidden: args.hidden,
        raw_leaves: args.raw_leaves,
        preserve_mode: args.preserve_mode,
        preserve_mtime: args.preserve_mtime,
        dereference_args: args.dereference_args,
        ..ImportOptions::default()
    };
    host::until_stopped(async {
        let imported = importing::to_car(&args.path, &args.output, options).await?;
        if args.stats {
            eprintln!(
                "imported: {} files, {} directories, {} symlinks, {} bytes ({})",
                imported.files,
                imported.directories,
                imported.symlinks,
                imported.bytes,
                show_size(imported.bytes),
            );
            eprintln!(
                "blocks: {}, {} bytes ({})",
                imported.blocks,
                imported.block_bytes,
                show_size(imported.block_bytes),
            );
        }
        let mut output = Output::new();
        output.line(imported.root).await?;
        output
            .finish()
            .await
            .with_context(|| format!("the CID is {}", imported.root))?;
        Ok(0)
    })
    .await
}
