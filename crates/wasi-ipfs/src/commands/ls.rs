//! `ls`: prints a directory's entries as they come, in the directory's own order. Memory does not grow with their
//! number.

use anyhow::Context;
use futures_util::TryStreamExt;
use pinset::{Access, Dir, IpfsPath, Kind, LeftOut, Limits, Node, RootCid, Session, Symlinks};

use crate::{
    columns,
    escape::{escape, escape_bytes},
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    lacking::is_lacking,
    messages::{self, Form},
    output::Output,
    record::{About, Record, Text},
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

With -l, what UnixFS does not record is shown as ? (mode) and - (size of a directory, time). Control characters in
names are escaped; --json has the names as they are.";

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    host::with_open_host(args.host.open(Sharing::Shared), async |host| {
        // A listing may be of any length.
        let mut limits = Limits::default();
        limits.targets = usize::MAX;
        let session = host.cache.session(Access::Any, limits);
        let mut output = Output::new();
        let ended = match &args.path {
            Some(path) => {
                let immutable = path.resolve(&host.cache).await?;
                list(args, path, &immutable, &session, &mut output).await
            }
            None => list_roots(args, &host.roots, &session, &mut output).await,
        };
        // The entries listed before an error are valid.
        output.finish().await?;
        ended
    })
    .await
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
        let item = Item {
            name: &name,
            cid: name.clone(),
            kind: None,
        };
        status = status.max(show(args, session, &above, item, output).await?);
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
    let opened = session.open(immutable).await;
    let directory = match opened.with_context(|| format!("cannot open '{path}'"))? {
        Node::Dir(directory) => directory,
        Node::File(file) => {
            let (metadata, cid) = (file.metadata(), file.cid().to_string());
            let name = escape(path.last_name());
            let line = match args.long {
                true => long_line(metadata, &cid, &name),
                false => name.into_owned(),
            };
            let record = Record::Entry {
                name: Text::name(path.last_name().as_bytes()),
                cid,
                about: About::of(&metadata, None),
            };
            output.result(&record, line).await?;
            return Ok(0);
        }
        Node::Symlink(link) => {
            anyhow::bail!("'{path}' is a symlink to '{}'", escape(link.target()))
        }
    };
    let mut status = 0;
    let mut entries = directory.entries()?.keep_left_out();
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
                messages::error(&error);
                status = 1;
                continue;
            }
        };
        let item = Item {
            name: entry.name(),
            cid: entry.cid().to_string(),
            kind: entry.kind(),
        };
        status = status.max(show(args, session, &directory, item, output).await?);
    }
    Ok(status.max(show_left_out(args, path, entries.left_out(), output).await?))
}

/// Shows the links that no path can name, but that are in the directory. Returns the status.
async fn show_left_out(
    args: &Args,
    path: &ContentPath,
    left_out: &LeftOut,
    output: &mut Output,
) -> anyhow::Result<i32> {
    for (name, cid) in &left_out.links {
        let (shown, cid) = (escape_bytes(name), cid.to_string());
        let line = match args.long {
            true => unknown_line(&cid, &shown),
            false => shown,
        };
        let record = Record::Entry {
            name: Text::name(name),
            cid,
            about: About::of_kind(None),
        };
        output.result(&record, line).await?;
    }
    let unlisted = left_out.count - left_out.links.len() as u64;
    if unlisted > 0 {
        let what = format!("{unlisted} entries of '{path}' are not listed: no path can name them");
        messages::error(&anyhow::anyhow!(what));
        return Ok(1);
    }
    Ok(0)
}

/// An entry of a directory, or a root, as its link tells.
struct Item<'a> {
    name: &'a str,
    cid: String,
    kind: Option<Kind>,
}

/// Shows what is in `directory`. Returns the status: 1 if `-l` cannot tell all.
async fn show(
    args: &Args,
    session: &Session,
    directory: &Dir,
    item: Item<'_>,
    output: &mut Output,
) -> anyhow::Result<i32> {
    let mut status = 0;
    let name = escape(item.name);
    let described = match args.long {
        false => None,
        true => match describe(session, directory, &item).await {
            Ok(described) => Some(described),
            Err(error) => {
                let what = match &args.path {
                    Some(path) => format!("cannot look at '{name}' in '{path}'"),
                    None => format!("cannot look at '{name}'"),
                };
                messages::error(&anyhow::Error::new(error).context(what));
                status = 1;
                None
            }
        },
    };
    let line = match &described {
        // With --json, the line is not shown.
        _ if messages::form() == Form::Json => String::new(),
        None if !args.long => name.into_owned(),
        None => unknown_line(&item.cid, &name),
        Some((metadata, target)) => {
            let mut line = long_line(*metadata, &item.cid, &name);
            if let Some(target) = target {
                line.push_str(" -> ");
                line.push_str(&escape(target));
            }
            line
        }
    };
    let record = Record::Entry {
        name: Text::name(item.name.as_bytes()),
        cid: item.cid,
        about: match &described {
            Some((metadata, target)) => About::of(metadata, target.as_deref()),
            None => About::of_kind(item.kind),
        },
    };
    output.result(&record, line).await?;
    Ok(status)
}

/// The details for `-l`: the metadata, and the target of a symlink.
type Described = (pinset::Metadata, Option<String>);

async fn describe(
    session: &Session,
    directory: &Dir,
    item: &Item<'_>,
) -> Result<Described, pinset::Error> {
    let (name, last) = (item.name, Symlinks::NoFollow);
    let metadata = match item.kind {
        // The link to a raw block may be wrong about its length.
        Some(Kind::File) => session.open_at(directory, name, last).await?.metadata(),
        _ => session.metadata_at(directory, name, last).await?,
    };
    if metadata.kind == Kind::Symlink
        && let Node::Symlink(link) = session.open_at(directory, name, last).await?
    {
        return Ok((metadata, Some(link.target().to_owned())));
    }
    Ok((metadata, None))
}

/// The line of an item about which nothing but its link is known.
fn unknown_line(cid: &str, name: &str) -> String {
    format!("?????????? {:>14} {:20} {cid} {name}", "?", "?")
}

fn long_line(metadata: pinset::Metadata, cid: &str, name: &str) -> String {
    let size = match metadata.kind {
        Kind::Dir => "-".to_owned(),
        Kind::File | Kind::Symlink => metadata.len.to_string(),
    };
    format!(
        "{} {size:>14} {:20} {cid} {name}",
        columns::mode(metadata.kind, metadata.mode),
        metadata.mtime.map_or("-".into(), columns::time),
    )
}
