//! `cat`: prints the bytes of files, one after the other, in bounded memory.

use anyhow::Context;
use pinset::{CacheMode, Node};

use crate::{
    escape::escape,
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    messages,
    output::{Output, ReaderGone},
    units::parse_size,
};

/// The size of one read, in bytes.
const CHUNK: usize = 1024 * 1024;

/// Print files
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// Begin at this byte: bytes, or 64KiB, 1G (1 GiB). Of several files it counts from the beginning of the first
    #[arg(short, long, value_name = "SIZE", default_value = "0", value_parser = parse_size, hide_default_value = true)]
    offset: u64,

    /// Print at most so many bytes
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    length: Option<u64>,

    /// The files: /ipfs/CID/name, CID/name or /ipns/NAME/name
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<ContentPath>,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs cat --car site.car /ipfs/<CID>/index.html
  wasi-ipfs cat --car logs.car <CID>/jan.log <CID>/feb.log | grep error
  wasi-ipfs cat --offset 1GiB --length 64KiB --gateway https://trustless-gateway.link <CID>";

/// The part of the output that is still to come.
struct Part {
    /// The bytes that are left out before it.
    skipped: u64,
    /// Its own bytes.
    bytes: u64,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    host::with_host(args.host.open(Sharing::Shared), async |cache| {
        let mut output = Output::new();
        let mut status = 0;
        let mut part = Part {
            skipped: args.offset,
            bytes: args.length.unwrap_or(u64::MAX),
        };
        for path in &args.paths {
            // As with any `cat`, a file that fails does not hide the others.
            if let Err(error) = print(cache, path, &mut part, &mut output).await {
                if error.is::<ReaderGone>() {
                    return Err(error);
                }
                output.finish().await?;
                messages::error(&error);
                status = 1;
            }
        }
        output.finish().await?;
        Ok(status)
    })
    .await
}

async fn print(
    mode: &CacheMode,
    path: &ContentPath,
    part: &mut Part,
    output: &mut Output,
) -> anyhow::Result<()> {
    let immutable = path.resolve(mode).await?;
    let opened = mode.open(&immutable).await;
    let file = match opened.with_context(|| format!("cannot open '{path}'"))? {
        Node::File(file) => file,
        Node::Dir(_) => {
            anyhow::bail!("'{path}' is a directory; list it with ls, or copy it with get")
        }
        Node::Symlink(link) => {
            anyhow::bail!("'{path}' is a symlink to '{}'", escape(link.target()))
        }
    };
    let mut offset = part.skipped.min(file.len());
    part.skipped -= offset;
    while offset < file.len() && part.bytes > 0 {
        let wanted = (file.len() - offset).min(part.bytes).min(CHUNK as u64);
        let bytes = file
            .read_at(offset, wanted as usize)
            .await
            .with_context(|| format!("cannot read '{path}' at byte {offset}"))?;
        // If a file is shorter than its recorded length, the read fails; it never reports an early end (I7).
        let read = bytes.len() as u64;
        offset += read;
        part.bytes -= read;
        output.bytes(&bytes).await?;
    }
    Ok(())
}
