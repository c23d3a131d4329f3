//! `cat`: prints the bytes of files, one after the other, in bounded memory.

use anyhow::Context;
use pinset::{CacheMode, Node};

use crate::{
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    output::{Output, ReaderGone},
};

/// The size of one read, in bytes.
const CHUNK: usize = 1024 * 1024;

/// Print files
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// The files: /ipfs/CID/name, CID/name or /ipns/NAME/name
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<ContentPath>,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs cat --car site.car /ipfs/<CID>/index.html
  wasi-ipfs cat --car logs.car <CID>/jan.log <CID>/feb.log | grep error
  wasi-ipfs cat --gateway https://trustless-gateway.link <CID>";

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    host::with_host(args.host.open(Sharing::Shared), async |cache| {
        let mut output = Output::new();
        let mut status = 0;
        for path in &args.paths {
            // As with any `cat`, a file that fails does not hide the others.
            if let Err(error) = print(cache, path, &mut output).await {
                if error.is::<ReaderGone>() {
                    return Err(error);
                }
                output.finish().await?;
                eprintln!("error: {error:#}");
                status = 1;
            }
        }
        output.finish().await?;
        Ok(status)
    })
    .await
}

async fn print(mode: &CacheMode, path: &ContentPath, output: &mut Output) -> anyhow::Result<()> {
    let immutable = path.resolve(mode).await?;
    let file = match mode.open(&immutable).await.context("cannot open")? {
        Node::File(file) => file,
        Node::Dir(_) => {
            anyhow::bail!("'{path}' is a directory; list it with ls, or copy it with get")
        }
        Node::Symlink(link) => anyhow::bail!("'{path}' is a symlink to '{}'", link.target()),
    };
    let mut offset = 0;
    while offset < file.len() {
        let bytes = file
            .read_at(offset, CHUNK)
            .await
            .with_context(|| format!("cannot read '{path}' at byte {offset}"))?;
        // If a file is shorter than its recorded length, the read fails; it never reports an early end (I7).
        offset += bytes.len() as u64;
        output.bytes(&bytes).await?;
    }
    Ok(())
}
