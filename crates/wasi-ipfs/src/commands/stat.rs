//! `stat`: prints what is known about a file, directory or symlink, one field on each line.

use anyhow::Context;
use cid::Cid;
use pinset::{CacheMode, Fetched, IpfsPath, Kind, Metadata, Node, RootCid};

use crate::{
    columns,
    escape::escape,
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    output::Output,
    progress::Line,
    record::{About, Record},
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
        let opened = cache.stat(&immutable).await;
        let node = opened.with_context(|| format!("cannot open '{path}'"))?;
        let (cid, target) = match &node {
            Node::File(file) => (Some(file.cid().to_string()), None),
            Node::Dir(directory) => (directory.cid().map(ToString::to_string), None),
            Node::Symlink(link) => (link.cid().map(ToString::to_string), Some(link.target())),
        };
        let known = Known {
            path: path.as_str(),
            resolved: path.is_named().then(|| immutable.to_string()),
            cid,
            metadata: node.metadata(),
            target,
            blocks: match args.blocks {
                true => Some(count(cache, path, &immutable, &node).await?),
                false => None,
            },
        };
        let mut output = Output::new();
        output.result(&known.record(), known.lines()).await?;
        output.finish().await?;
        Ok(0)
    })
    .await
}

/// Counts the blocks of the node itself, and of the DAG below it.
async fn count(
    cache: &CacheMode,
    path: &ContentPath,
    immutable: &IpfsPath,
    node: &Node,
) -> anyhow::Result<Fetched> {
    let line = Line::new(format!("counting {path}"));
    let counted = match node {
        Node::File(_) | Node::Dir(_) => immutable.clone(),
        // The link's own block, which is not followed. As a raw block it leads nowhere.
        Node::Symlink(link) => match link.cid().and_then(RootCid::cid) {
            Some(cid) => Cid::new_v1(RAW, *cid.hash()).into(),
            // It lies in its CID.
            None => return Ok(Fetched::default()),
        },
    };
    let whole = cache.prefetch(&counted, &line).await;
    whole.with_context(|| format!("cannot count the blocks of '{path}'"))
}

/// The multicodec of raw blocks.
const RAW: u64 = 0x55;

/// The facts about a node.
struct Known<'a> {
    path: &'a str,
    /// The path that a name stands for.
    resolved: Option<String>,
    cid: Option<String>,
    metadata: Metadata,
    /// Of a symlink.
    target: Option<&'a str>,
    blocks: Option<Fetched>,
}

impl Known<'_> {
    fn record(&self) -> Record<'_> {
        Record::Stat {
            path: self.path,
            resolved: self.resolved.clone(),
            cid: self.cid.clone(),
            about: About::of(&self.metadata, self.target),
            blocks: self.blocks.map(|whole| whole.blocks),
            block_bytes: self.blocks.map(|whole| whole.bytes),
        }
    }

    fn lines(&self) -> String {
        let metadata = &self.metadata;
        let unknown = || "not recorded".to_owned();
        let mode = metadata.mode.map_or_else(unknown, |mode| {
            format!("{mode:04o} {}", columns::mode(metadata.kind, Some(mode)))
        });
        let mtime = metadata.mtime.map_or_else(unknown, columns::time);
        let mut lines = vec![format!("Path:   {}", escape(self.path))];
        if let Some(resolved) = &self.resolved {
            lines.push(format!("Is:     {}", escape(resolved)));
        }
        if let Some(cid) = &self.cid {
            lines.push(format!("CID:    {cid}"));
        }
        lines.push(format!("Kind:   {}", columns::kind(metadata.kind)));
        if let Some(target) = self.target {
            lines.push(format!("Target: {}", escape(target)));
        }
        if metadata.kind != Kind::Dir {
            lines.push(format!("Size:   {}", metadata.len));
        }
        lines.push(format!("Mode:   {mode}"));
        lines.push(format!("Mtime:  {mtime}"));
        if let Some(whole) = self.blocks {
            lines.push(format!(
                "Blocks: {} ({} bytes, {})",
                whole.blocks,
                whole.bytes,
                show_size(whole.bytes)
            ));
        }
        lines.join("\n")
    }
}
