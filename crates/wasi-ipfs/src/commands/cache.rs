//! `cache`: shows, verifies and removes the blocks that runs with `--keep` have left on this machine.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use pinset::staging::stored::{self, Rotten, Writer};

use crate::{
    escape::escape,
    host::{kept_in, until_stopped},
    messages,
    output::Output,
    progress::Line,
    record::{self, Record, Text},
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
            messages::warning(format_args!(
                "nothing is kept: '{}' does not exist",
                path.display()
            ));
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
    let mut lines = vec![
        format!("directory: {}", escape(&path.display().to_string())),
        format!(
            "kept: {} blocks, {} bytes ({}); {} bytes ({}) on the disk",
            contents.blocks,
            contents.bytes,
            show_size(contents.bytes),
            contents.allocated_bytes,
            show_size(contents.allocated_bytes),
        ),
    ];
    lines.extend(contents.classes.iter().map(|class| {
        format!(
            "slots of {}: {} blocks, {} bytes ({})",
            show_size(class.slot_bytes),
            class.blocks,
            class.bytes,
            show_size(class.bytes),
        )
    }));
    lines.push(match contents.writer {
        Writer::Nobody => "in use: no".to_owned(),
        Writer::Process(Some(id)) => format!("in use: by process {id}"),
        Writer::Process(None) => "in use: yes".to_owned(),
    });
    let classes = contents.classes.iter().map(|class| record::Class {
        slot_bytes: class.slot_bytes,
        blocks: class.blocks,
        bytes: class.bytes,
    });
    let record = Record::Kept {
        directory: Text::directory(&path),
        blocks: contents.blocks,
        bytes: contents.bytes,
        allocated_bytes: contents.allocated_bytes,
        classes: classes.collect(),
        in_use: !matches!(contents.writer, Writer::Nobody),
        process: match contents.writer {
            Writer::Process(id) => id,
            Writer::Nobody => None,
        },
    };
    let mut output = Output::new();
    output.result(&record, lines.join("\n")).await?;
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
    let line = format!(
        "verified: {} blocks, {} bytes ({}); {} wrong{}, {} evicted meanwhile",
        verified.blocks,
        verified.bytes,
        show_size(verified.bytes),
        verified.rotten.len(),
        if clear { " and removed" } else { "" },
        verified.gone,
    );
    let record = Record::Verified {
        blocks: verified.blocks,
        bytes: verified.bytes,
        wrong: verified.rotten.len() as u64,
        removed: clear,
        evicted_meanwhile: verified.gone,
    };
    let mut output = Output::new();
    output.result(&record, line).await?;
    for hash in &verified.rotten {
        // As a CID of raw bytes, which is how other tools name a block of unknown content.
        let cid = cid::Cid::new_v1(RAW, *hash).to_string();
        let line = format!("wrong: {cid}");
        output.result(&Record::WrongBlock { cid }, line).await?;
    }
    output.finish().await?;
    Ok(i32::from(!verified.rotten.is_empty()))
}

/// The multicodec of raw blocks.
const RAW: u64 = 0x55;

async fn clear(path: PathBuf) -> anyhow::Result<i32> {
    let cleared = on_the_disk(&path, stored::clear).await?;
    let line = format!(
        "removed: {} blocks, {} bytes ({})",
        cleared.blocks,
        cleared.bytes,
        show_size(cleared.bytes)
    );
    let record = Record::Cleared {
        blocks: cleared.blocks,
        bytes: cleared.bytes,
    };
    let mut output = Output::new();
    output.result(&record, line).await?;
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
