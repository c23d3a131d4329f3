//! `import`: writes local files into a CAR, and prints the CIDs that `ipfs add` would give them.
//!
//! Standard output has the CIDs and nothing else, so that a shell can capture them; or the CAR, and then the CIDs are on
//! standard error.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

use anyhow::Context;
use cid::Version;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use pinner_car::{Chunker, ImportOptions, ImportedAll, Profile};

use crate::{
    host, importing, messages,
    output::Output,
    record::{Record, Text},
    scratch::Scratch,
    units::show_size,
    usage::Usage,
};

/// Import local files and directories into a CAR archive, and print their CIDs
///
/// The CIDs are those of `ipfs add` for the same options. A Kubo that was not configured otherwise has the profile
/// unixfs-v0-2015: `ipfs add X` is --profile unixfs-v0-2015, and `ipfs add --cid-version=1 X` is --profile
/// unixfs-v0-2015 --cid-version 1.
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

    /// The version of the CIDs, whatever the profile says. With 1, leaves are raw unless --raw-leaves=false is given
    #[arg(long, value_name = "0|1", value_parser = PossibleValuesParser::new(["0", "1"]).map(version))]
    cid_version: Option<Version>,

    /// Whether leaves are raw blocks, whatever the profile says
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    raw_leaves: Option<bool>,

    /// How files are cut, whatever the profile says: size-N, pieces of N bytes
    #[arg(short = 's', long, value_name = "size-N")]
    chunker: Option<Chunker>,

    /// Put everything into one directory, under its own names, and print that directory's CID alone
    #[arg(short, long, visible_alias = "wrap-with-directory")]
    wrap: bool,

    /// Keep permissions. Not with raw leaves: add --raw-leaves=false
    #[arg(long)]
    preserve_mode: bool,

    /// Keep modification times. Not with raw leaves: add --raw-leaves=false
    #[arg(long)]
    preserve_mtime: bool,

    /// Follow PATH itself if it is a symlink. Symlinks below it are never followed
    #[arg(long)]
    dereference_args: bool,

    /// Print the CIDs, and write nothing
    #[arg(short = 'n', long, conflicts_with = "output")]
    only_hash: bool,

    /// Print on standard error how many files, blocks and bytes there are
    #[arg(long)]
    stats: bool,

    /// Where to write the archive. It appears there once it is complete, and replaces an existing file. With -, it goes
    /// to standard output, and the CIDs to standard error
    #[arg(
        short,
        long,
        value_name = "FILE.car",
        required_unless_present = "only_hash"
    )]
    output: Option<PathBuf>,

    /// Files and directories. Each has a CID, on a line of its own; the archive has one root for each
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs import ./photos -o photos.car
  CID=$(wasi-ipfs import --profile unixfs-v0-2015 ./site -o site.car)
  wasi-ipfs import --only-hash --profile unixfs-v0-2015 --cid-version 1 -w a.txt b.txt
  wasi-ipfs import ./site -o - | ssh host 'ipfs dag import'
  wasi-ipfs import -H --raw-leaves=false --preserve-mode --preserve-mtime ./home -o home.car";

/// The size of one write of an archive to standard output, in bytes.
const CHUNK: usize = 1 << 20;

fn version(text: String) -> Version {
    match text.as_str() {
        "0" => Version::V0,
        // No other text comes here.
        _ => Version::V1,
    }
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    let options = ImportOptions {
        profile: args.profile,
        hidden: args.hidden,
        raw_leaves: args.raw_leaves,
        cid_version: args.cid_version,
        chunker: args.chunker,
        wrap: args.wrap,
        preserve_mode: args.preserve_mode,
        preserve_mtime: args.preserve_mtime,
        dereference_args: args.dereference_args,
    };
    let paths = args.paths.clone();
    host::until_stopped(async {
        match &args.output {
            None => {
                let imported = importing::to_nowhere(paths, options).await?;
                args.print(&imported).await
            }
            Some(car) if car.as_os_str() == "-" => {
                if io::stdout().is_terminal() {
                    return Err(Usage::invalid(
                        "-o - would write the archive to the terminal; send it into a pipe or a file",
                    ));
                }
                let scratch = Scratch::new(None)?;
                let car = scratch.path().join("0.car");
                let imported = importing::to_car(paths, &car, options).await?;
                copy_to_stdout(&car).await?;
                args.say(&imported);
                Ok(0)
            }
            Some(car) => {
                let imported = importing::to_car(paths, car, options).await?;
                args.print(&imported).await
            }
        }
    })
    .await
}

/// Writes the archive to standard output.
async fn copy_to_stdout(car: &Path) -> anyhow::Result<()> {
    let mut car = File::open(car).context("cannot open the archive")?;
    let mut output = Output::new();
    loop {
        // It was written a moment ago, so these bytes are in memory; a read from the disk delays this task alone.
        let mut bytes = Vec::with_capacity(CHUNK);
        let read = (&mut car).take(CHUNK as u64).read_to_end(&mut bytes);
        if read.context("cannot read the archive")? == 0 {
            return output.finish().await;
        }
        output.bytes(&bytes).await?;
    }
}

impl Args {
    /// The records of the roots, each with its line.
    fn records<'a>(&'a self, imported: &'a ImportedAll) -> impl Iterator<Item = Record<'a>> {
        imported.roots.iter().enumerate().map(|(at, root)| {
            let path = match self.wrap {
                true => None,
                false => self.paths.get(at).map(|path| Text::path(path)),
            };
            let cid = root.to_string();
            Record::Imported { cid, path }
        })
    }

    async fn print(&self, imported: &ImportedAll) -> anyhow::Result<i32> {
        self.say_totals(imported);
        let mut output = Output::new();
        for (record, root) in self.records(imported).zip(&imported.roots) {
            output.result(&record, root).await?;
        }
        let roots: Vec<_> = imported.roots.iter().map(ToString::to_string).collect();
        output
            .finish()
            .await
            .with_context(|| format!("the CID is {}", roots.join(" ")))?;
        Ok(0)
    }

    /// The same on standard error, where standard output has the archive.
    fn say(&self, imported: &ImportedAll) {
        for (record, root) in self.records(imported).zip(&imported.roots) {
            messages::report(&record, root);
        }
        self.say_totals(imported);
    }

    fn say_totals(&self, ImportedAll { total, .. }: &ImportedAll) {
        if !self.stats {
            return;
        }
        let record = Record::ImportedTotal {
            files: total.files,
            directories: total.directories,
            symlinks: total.symlinks,
            bytes: total.bytes,
            blocks: total.blocks,
            block_bytes: total.block_bytes,
        };
        let words = format!(
            "imported: {} files, {} directories, {} symlinks, {} bytes ({})\nblocks: {}, {} bytes ({})",
            total.files,
            total.directories,
            total.symlinks,
            total.bytes,
            show_size(total.bytes),
            total.blocks,
            total.block_bytes,
            show_size(total.block_bytes),
        );
        messages::report(&record, words);
    }
}
