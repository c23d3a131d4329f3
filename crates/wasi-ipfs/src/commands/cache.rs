//! `cache`: shows, verifies and removes the blocks that runs with `--keep` have left on this machine.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use pinset::staging::stored::{self, Rotten, Writer};

use crate::{
    host::{kept_in, until_stopped},
    output::Output,
    progress::Line,
    units::show_size,
};

/// Show, verify or remove the blocks that runs with --keep have left
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs run --keep --kubo program.wasm /ipfs/<CID>   # the next such run finds the blocks here
  wasi-ipfs cache stats
  wasi-ipfs cache verify --clear                         # hashes all blocks, removes the corrupt ones
  wasi-ipfs cache clear --staging /var/cache/wasi";

#[derive(Debug, Subcommand)]
enum Action {
    /// Show how many blocks and bytes are kept, in slots of which size, and which process uses them
    Stats(Place),
    /// Hash every kept block. Exits with 1 if any is corrupt
    ///
    /// A run verifies each kept block once before its first use, so this is never necessary. It shows whether the disk
    /// can be trusted.
    Verify {
        #[command(flatten)]
        place: Place,
        /// Remove the corrupt blocks. No run may be using the directory
        #[arg(long)]
        clear: bool,
    },
    /// Remove every kept block. No run may be using the directory
    Clear(Place),
}

/// The directory of the blocks.
#[derive(Clone, Debug, clap::Args)]
struct Place {
    /// The directory that was passed to the runs as --staging
    #[arg(long, value_name = "DIR")]
    staging: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    let (Action::Stats(place) | Action::Verify { place, .. } | Action::Clear(place)) = &args.action;
    let path = kept_in(place.staging.as_deref())?;
    until_stopped(async {
        if !path.exists() {
            eprintln!("nothing is kept: '{}' does not exist", path.display());
            return Ok(0);
        }
        match &args.action {
            Action::Stats(_) => stats(path.clone()).await,
            Action::Verify { clear, .. } => verify(path.clone(), *clear).await,
            Action::Clear(_) => clear(path.clone()).await,
        }
    })
    .await
}

async fn stats(path: PathBuf) -> anyhow::Result<i32> {
    let contents = on_the_disk(&path, stored::contents).await?;
    let mut output = Output::new();
    let shown = path.display().to_string();
    let name = output.name(&shown).into_owned();
    output.line(format_args!("directory: {name}")).await?;
    output
        .line(format_args!(
            "kept: {} blocks, {} bytes ({}); {} bytes ({}) on the disk",
            contents.blocks,
            contents.bytes,
            show_size(contents.bytes),
            contents.allocated_bytes,
            show_size(contents.allocated_bytes),
        ))
        .await?;
    for class in &contents.classes {
        output
            .line(format_args!(
                "slots of {}: {} blocks, {} bytes ({})",
                show_size(class.slot_bytes),
                class.blocks,
                class.bytes,
                show_size(class.bytes),
            ))
            .await?;
    }
    match contents.writer {
        Writer::Nobody => output.line("in use: no").await?,
        Writer::Process(Some(id)) => output.line(format_args!("in use: by process {id}")).await?,
        Writer::Process(None) => output.line("in use: yes").await?,
    }
    output.finish().await?;
    Ok(0)
}

async fn verify(path: PathBuf, clear: bool) -> anyhow::Result<i32> {
    let rotten = match clear {
        true => Rotten::Clear,
        false => Rotten::Report,
    };
    let line = Line::new("verifying".to_owned());
    let verified = on_the_disk(&path, move |path| {
        stored::verify(path, rotten, |progress| {
            line.say(format_args!(
                "{} of {} blocks, {}",
                progress.blocks,
                progress.of_blocks,
                show_size(progress.bytes)
            ));
        })
    })
    .await?;
    let mut output = Output::new();
    output
        .line(format_args!(
            "verified: {} blocks, {} bytes ({}); {} wrong{}, {} evicted meanwhile",
            verified.blocks,
            verified.bytes,
            show_size(verified.bytes),
            verified.rotten.len(),
            if clear { " and removed" } else { "" },
            verified.gone,
        ))
        .await?;
    for hash in &verified.rotten {
        // As a CID of raw bytes, which is how other tools name a block of unknown content.
        let cid = cid::Cid::new_v1(RAW, *hash);
        output.line(format_args!("wrong: {cid}")).await?;
    }
    output.finish().await?;
    Ok(i32::from(!verified.rotten.is_empty()))
}

/// The multicodec of raw blocks.
const RAW: u64 = 0x55;

async fn clear(path: PathBuf) -> anyhow::Result<i32> {
    let cleared = on_the_disk(&path, stored::clear).await?;
    let mut output = Output::new();
    output
        .line(format_args!(
            "removed: {} blocks, {} bytes ({})",
            cleared.blocks,
            cleared.bytes,
            show_size(cleared.bytes)
        ))
        .await?;
    output.finish().await?;
    Ok(0)
}

/// Does the work on a thread that may block on the disk.
async fn on_the_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, pinset::staging::StagingError> + Send + 'static,
) -> anyhow::Result<T> {
    let path = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    Ok(done.context("the thread that reads the disk failed")??)
}
