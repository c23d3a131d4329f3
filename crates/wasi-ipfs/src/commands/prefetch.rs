//! `prefetch`: reads whole DAGs through the cache and verifies each block, so that the source has them afterwards.
//!
//! Without `--keep`, nothing stays on this machine; the benefit is at the source. A Kubo node has fetched the blocks,
//! and keeps them until its garbage collection finds them unpinned. A gateway has them in its own cache. An archive is
//! proven to be complete.

use anyhow::Context;
use pinset::{CacheMode, Node};

use crate::{
    escape::escape,
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    messages,
    output::Output,
    progress::Line,
    record::Record,
    units::show_size,
};

/// Have the source fetch everything below a path
///
/// Fetches and verifies every block, and prints how many there are. A Kubo node (--kubo) then has the blocks until its
/// garbage collection removes what nobody has pinned. A gateway may have them in its cache. An archive (--car) is
/// proven to be complete. With --keep, the blocks also stay on this machine, as far as --budget allows.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// The content to fetch: /ipfs/CID/name, CID/name or /ipns/NAME/name
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<ContentPath>,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs prefetch --keep --gateway https://trustless-gateway.link /ipfs/<CID>
  wasi-ipfs prefetch --kubo /ipfs/<CID>/data       # later runs find it on the node
  wasi-ipfs prefetch --car site.car <CID>          # fails if a block is missing or wrong";

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    host::with_host(args.host.open(Sharing::Shared), async |cache| {
        let mut output = Output::new();
        let mut status = 0;
        for path in &args.paths {
            // A path that fails does not hide the others.
            match fetch(cache, path).await {
                Ok(fetched) => {
                    let record = Record::Fetched {
                        path: path.as_str(),
                        blocks: fetched.blocks,
                        bytes: fetched.bytes,
                    };
                    let line = format!(
                        "{}: {} blocks, {} bytes ({})",
                        escape(path.as_str()),
                        fetched.blocks,
                        fetched.bytes,
                        show_size(fetched.bytes)
                    );
                    output.result(&record, line).await?;
                }
                Err(error) => {
                    output.finish().await?;
                    messages::error(&error);
                    status = 1;
                }
            }
        }
        output.finish().await?;
        Ok(status)
    })
    .await
}

async fn fetch(cache: &CacheMode, path: &ContentPath) -> anyhow::Result<pinset::Fetched> {
    let immutable = path.resolve(cache).await?;
    let line = Line::new(format!("fetching {path}"));
    let node = cache.open(&immutable).await;
    let node = node.with_context(|| format!("cannot open '{path}'"))?;
    // A file's length is known in advance; a directory's contents are known only once they have been read.
    let line = match &node {
        Node::File(file) => line.of(file.len()),
        Node::Dir(_) | Node::Symlink(_) => line,
    };
    cache
        .prefetch(&immutable, &line)
        .await
        .with_context(|| format!("cannot fetch all of '{path}'"))
}
