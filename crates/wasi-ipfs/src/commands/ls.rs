//! `ls`: prints a directory's entries as they come, in the directory's own order. Memory does not grow with their
//! number.

use anyhow::Context;
use futures_util::TryStreamExt;
use pinset::{Access, CacheMode, Dir, Entry, IpfsPath, Limits, Node, RootCid, Session, Symlinks};

use crate::{
    columns,
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    lacking::is_lacking,
    output::Output,
    usage::Usage,
};

/// List a directory
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// Show kind, mode, size, time and CID too. This fetches the first block of each entry; without it, none is
    /// fetched
    #[arg(short = 'l', long)]
    long: bool,

    /// The directory: /ipfs/CID/name, CID/name or /ipns/NAME/name. Without it, the roots that archives and imports name
    /// are listed
    path: Option<ContentPath>,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs ls --car site.car                      # the roots of the archive
  wasi-ipfs ls --car site.car /ipfs/<CID>
  wasi-ipfs ls -l --car site.car <CID>/docs
  wasi-ipfs ls --kubo /ipns/docs.ipfs.tech

With -l, what UnixFS does not record is shown as ? (mode) and - (size of a directory, time).";

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    let open = async {
        let host = args.host.open(Sharing::Shared).await?;
        host.give(async |cache, roots| {
            Ok(Rooted {
                cache,
                roots: roots.to_vec(),
            })
        })
        .await
    };
    host::with_host(open, async |Rooted { cache, roots }| {
        // A listing may be of any length.
        let mut limits = Limits::default();
        limits.targets = usize::MAX;
        let session = cache.session(Access::Any, limits);
        let mut output = Output::new();
        let ended = match &args.path {
            Some(path) => {
                let immutable = path.resolve(cache).await?;
                list(args, path, &immutable, &session, &mut output).await
            }
            None => list_roots(args, roots, &session, &mut output).await,
        };
        // The entries listed before an error are valid.
        output.finish().await?;
        ended
    })
    .await
}

/// A cache, and the roots that its sources name.
struct Rooted {
    cache: CacheMode,
    roots: Vec<RootCid>,
}

impl host::Cache for Rooted {
    fn mode(&self) -> &CacheMode {
        &self.cache
    }
}

/// Lists the roots that the sources name, in their order.
async fn list_roots(
    args: &Args,
    roots: &[RootCid],
    session: &Session,
    output: &mut Output,
) -> anyhow::Result<i32> {
    if roots.is_empty() {
        return Err(Usage::missing(
            "the sources name no roots; give a PATH, as /ipfs/CID/name",
        ));
    }
    let mut status = 0;
    let above = session.root()?;
    for root in roots {
        let name = root.to_string();
        let metadata = match args.long {
            false => None,
            true => match session.metadata_at(&above, &name, Symlinks::NoFollow).await {
                Ok(metadata) => Some(metadata),
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    eprintln!("error: cannot look at '{name}': {error:#}");
                    status = 1;
                    None
                }
            },
        };
        let line = match metadata {
            Some(metadata) => long_line(metadata, &name, &name),
            None if args.long => unknown_line(&name, &name),
            None => name,
        };
        output.line(line).await?;
    }
    Ok(status)
}

async fn list(
    args: &Args,
    path: &ContentPath,
    immutable: &IpfsPath,
    session: &Session,
    output: &mut Output,
) -> anyhow::Result<i32> {
    let directory = match session.open(immutable).await.context("cannot open")? {
        Node::Dir(directory) => directory,
        Node::File(file) => {
            let name = output.name(path.last_name()).into_owned();
            let line = match args.long {
                true => long_line(file.metadata(), &file.cid().to_string(), &name),
                false => name,
            };
            output.line(line).await?;
            return Ok(0);
        }
        Node::Symlink(link) => anyhow::bail!("'{path}' is a symlink to '{}'", link.target()),
    };
    let mut status = 0;
    let mut entries = directory.entries()?;
    loop {
        let entry = match entries.try_next().await {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(error) => {
                let lacking = is_lacking(&error);
                let error = anyhow::Error::new(error);
                let error = error.context(format!("cannot list all of '{path}'"));
                // The rest of a directory may be there although a shard of it is missing.
                if !lacking || !entries.pass_over() {
                    return Err(error);
                }
                eprintln!("error: {error:#}");
                status = 1;
                continue;
            }
        };
        let name = output.name(entry.name()).into_owned();
        let line = match args.long {
            false => name,
            true => match describe(session, &directory, &entry, &name).await {
                Ok(line) => line,
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    eprintln!("error: cannot look at '{name}': {error:#}");
                    status = 1;
                    unknown_line(&entry.cid().to_string(), &name)
                }
            },
        };
        output.line(line).await?;
    }
    Ok(status)
}

async fn describe(
    session: &Session,
    directory: &Dir,
    entry: &Entry,
    shown: &str,
) -> Result<String, pinset::Error> {
    let (name, last) = (entry.name(), Symlinks::NoFollow);
    let metadata = match entry.kind() {
        // The link to a raw block may be wrong about its length.
        Some(pinset::Kind::File) => session.open_at(directory, name, last).await?.metadata(),
        _ => session.metadata_at(directory, name, last).await?,
    };
    let mut line = long_line(metadata, &entry.cid().to_string(), shown);
    if metadata.kind == pinset::Kind::Symlink
        && let Node::Symlink(link) = session
            .open_at(directory, entry.name(), Symlinks::NoFollow)
            .await?
    {
        // Escaped as a name is: it is untrusted text too.
        line.push_str(" -> ");
        line.push_str(&crate::output::escape(link.target()));
    }
    Ok(line)
}

fn unknown_line(cid: &str, name: &str) -> String {
    format!("?????????? {:>14} {:20} {cid} {name}", "?", "?")
}

fn long_line(metadata: pinset::Metadata, cid: &str, name: &str) -> String {
    let size = match metadata.kind {
        pinset::Kind::Dir => "-".to_owned(),
        pinset::Kind::File | pinset::Kind::Symlink => metadata.len.to_string(),
    };
    format!(
        "{} {size:>14} {:20} {cid} {name}",
        columns::mode(metadata.kind, metadata.mode),
        metadata.mtime.map_or("-".into(), columns::time),
    )
}
