//! `stat`: prints what is known about a file, directory or symlink, one field on each line.

use anyhow::Context;
use pinset::{Kind, Node};

use crate::{
    columns,
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    output::{Output, escape},
    progress::Line,
    units::show_size,
};

/// Show CID, kind, size, mode and time
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// Also count the blocks of the whole DAG below the path, which fetches them
    #[arg(long)]
    blocks: bool,

    /// The path: /ipfs/CID/name, CID/name or /ipns/NAME/name. A symlink at its end is shown, not followed
    path: ContentPath,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs stat --car site.car /ipfs/<CID>/index.html
  wasi-ipfs stat --blocks --car site.car <CID>
  wasi-ipfs stat --kubo /ipns/docs.ipfs.tech       # shows what the name stands for now";

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    host::with_host(args.host.open(Sharing::Shared), async |cache| {
        let path = &args.path;
        let immutable = path.resolve(cache).await?;
        let node = cache.stat(&immutable).await.context("cannot open")?;
        let cid = match &node {
            Node::File(file) => Some(file.cid().to_string()),
            Node::Dir(directory) => directory.cid().map(ToString::to_string),
            Node::Symlink(_) => None,
        };
        let metadata = node.metadata();
        let unknown = || "not recorded".to_owned();

        let mut output = Output::new();
        output
            .line(format_args!("Path:   {}", output.name(path.as_str())))
            .await?;
        if path.is_named() {
            output
                .line(format_args!(
                    "Is:     {}",
                    output.name(&immutable.to_string())
                ))
                .await?;
        }
        if let Some(cid) = cid {
            output.line(format_args!("CID:    {cid}")).await?;
        }
        output
            .line(format_args!("Kind:   {}", columns::kind(metadata.kind)))
            .await?;
        if let Node::Symlink(link) = &node {
            output
                .line(format_args!("Target: {}", escape(link.target())))
                .await?;
        }
        if metadata.kind != Kind::Dir {
            output
                .line(format_args!("Size:   {}", metadata.len))
                .await?;
        }
        let mode = metadata.mode.map_or_else(unknown, |mode| {
            format!("{mode:04o} {}", columns::mode(metadata.kind, Some(mode)))
        });
        output.line(format_args!("Mode:   {mode}")).await?;
        let mtime = metadata.mtime.map_or_else(unknown, columns::time);
        output.line(format_args!("Mtime:  {mtime}")).await?;
        if args.blocks {
            let line = Line::new(format!("counting {path}"));
            let whole = cache
                .prefetch(&immutable, &line)
                .await
                .context("cannot count the blocks")?;
            drop(line);
            output
                .line(format_args!(
                    "Blocks: {} ({} bytes, {})",
                    whole.blocks,
                    whole.bytes,
                    show_size(whole.bytes)
                ))
                .await?;
        }
        output.finish().await?;
        Ok(0)
    })
    .await
}
