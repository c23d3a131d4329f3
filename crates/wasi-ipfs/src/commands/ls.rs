//! `ls`: prints a directory's entries as they come, in the directory's own order. Memory does not grow with their
//! number.

use anyhow::Context;
use futures_util::TryStreamExt;
use pinset::{Access, Dir, Entry, IpfsPath, Limits, Node, Session, Symlinks};

use crate::{
    columns,
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    output::Output,
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

    /// The directory: /ipfs/CID/name, CID/name or /ipns/NAME/name
    path: ContentPath,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs ls --car site.car /ipfs/<CID>
  wasi-ipfs ls -l --car site.car <CID>/docs
  wasi-ipfs ls --kubo /ipns/docs.ipfs.tech

With -l, what UnixFS does not record is shown as ? (mode) and - (size of a directory, time).";

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    host::with_host(args.host.open(Sharing::Shared), async |cache| {
        let session = cache.session(Access::Any, Limits::default());
        let mut output = Output::new();
        let path = args.path.resolve(cache).await?;
        let ended = list(args, &path, &session, &mut output).await;
        // The entries listed before an error are valid.
        output.finish().await?;
        ended
    })
    .await
}

async fn list(
    args: &Args,
    immutable: &IpfsPath,
    session: &Session,
    output: &mut Output,
) -> anyhow::Result<i32> {
    let path = &args.path;
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
    while let Some(entry) = entries
        .try_next()
        .await
        .with_context(|| format!("cannot list '{path}' further"))?
    {
        let name = output.name(entry.name()).into_owned();
        let line = match args.long {
            false => name,
            true => match describe(session, &directory, &entry, &name).await {
                Ok(line) => line,
                Err(error) => {
                    let error = anyhow::Error::new(error);
                    eprintln!("error: cannot look at '{name}': {error:#}");
                    status = 1;
                    format!("?????????? {:>14} {:20} {} {name}", "?", "?", entry.cid())
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
    let at = |last| session.metadata_at(directory, entry.name(), last);
    let metadata = at(Symlinks::NoFollow).await?;
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
