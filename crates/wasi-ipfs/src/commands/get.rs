//! `get`: copies a file or a tree to the host.
//!
//! The copy never overwrites anything. The destination is absent, or has all that there is: what the content itself lacks
//! is left out and named, and the status is 1.

use std::{
    io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use cap_std::{ambient_authority, fs::Dir};

use crate::{
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    lacking::Copying,
    messages::{self, Form},
    output::Output,
    progress::Line,
    record::{Record, Text},
};

/// Copy a file or a directory to the host
///
/// Parts that the content lacks (a block that is in no source, an entry of an unknown codec, or with a name that no path can
/// have) are left out of the copy of a directory and named on standard error, and the status is 1. After any other error
/// nothing is left of the copy.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    host: HostArgs,

    /// The destination, which must not exist yet. Unless given, it is the last name of PATH, in the current directory
    #[arg(short, long, value_name = "DEST")]
    output: Option<PathBuf>,

    /// The file or directory: /ipfs/CID/name, CID/name or /ipns/NAME/name
    path: ContentPath,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs get --car site.car /ipfs/<CID>/docs            # makes ./docs
  wasi-ipfs get --car site.car <CID>/docs -o manual
  wasi-ipfs get --kubo <CID>";

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    let destination = args.destination()?;
    refuse_existing(&destination)?;
    // The host name is taken from -o, or else from the path's last name, which `destination` checks; nothing else of
    // the path becomes a host name (I4).
    let name = destination
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("'{}' cannot be a copy's name", destination.display()))?;
    host::with_host(args.host.open(Sharing::Shared), async |cache| {
        let parent = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = Dir::open_ambient_dir(parent, ambient_authority())
            .with_context(|| format!("cannot write in '{}'", parent.display()))?;
        let immutable = args.path.resolve(cache).await?;
        let copying = Copying::new(Line::new(format!("copying {}", args.path)));
        cache
            .materialize(&immutable, &directory, name, &copying)
            .await
            .with_context(|| format!("cannot copy '{}'", args.path))?;
        if copying.lacking() > 0 {
            return Ok(1);
        }
        if messages::form() == Form::Json {
            let record = Record::Copied {
                path: args.path.as_str(),
                destination: Text::destination(&destination),
            };
            let mut output = Output::new();
            output.result(&record, "").await?;
            output.finish().await?;
        }
        Ok(0)
    })
    .await
}

impl Args {
    fn destination(&self) -> anyhow::Result<PathBuf> {
        if let Some(destination) = &self.output {
            return Ok(destination.clone());
        }
        let name = self.path.last_name();
        anyhow::ensure!(
            !matches!(name, "." | "..") && !name.contains(['\\', '\0']),
            "'{name}' cannot be the name of the copy; choose one with -o DEST"
        );
        Ok(name.into())
    }
}

fn refuse_existing(destination: &Path) -> anyhow::Result<()> {
    match destination.symlink_metadata() {
        Ok(_) => anyhow::bail!(
            "'{}' already exists and is not overwritten; remove it, or choose another name with -o DEST",
            destination.display()
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(anyhow::Error::new(error)
            .context(format!("cannot look at '{}'", destination.display()))),
    }
}
