//! `get`: copies a file or a tree to the host.
//!
//! The copy is made in a temporary directory beside its destination and moved there when it is complete. It never
//! overwrites anything: whatever happens, the destination is complete or absent.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use cap_std::{ambient_authority, fs::Dir};

use crate::{
    host::{self, HostArgs, Sharing},
    ipfs_path::ContentPath,
    progress::Line,
};

/// The copy's name in its temporary directory. The host name is taken from -o, or else from the path's last name, which
/// `destination` checks; nothing else of the path becomes a host name (I4).
const COPY: &str = "copy";

/// Copy a file or a directory to the host
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
    host::with_host(args.host.open(Sharing::Shared), async |cache| {
        let parent = match destination.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let cannot = || format!("cannot write in '{}'", parent.display());
        let beside = Beside::new(parent).with_context(cannot)?;
        let directory =
            Dir::open_ambient_dir(&beside.path, ambient_authority()).with_context(cannot)?;
        let immutable = args.path.resolve(cache).await?;
        let line = Line::new(format!("copying {}", args.path));
        cache
            .materialize(&immutable, &directory, COPY, &line)
            .await
            .with_context(|| format!("cannot copy '{}'", args.path))?;
        rename_new(&beside.path.join(COPY), &destination)
            .with_context(|| format!("cannot create '{}'", destination.display()))?;
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

/// Moves `from` to `to`. Fails if `to` exists by then.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // The file system does not support the flag: check and rename instead.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            renamed => return Ok(renamed?),
        }
    }
    match to.symlink_metadata() {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => std::fs::rename(from, to),
    }
}

/// A temporary directory that is removed when dropped, even if the last step of a cancelled write is still running
/// in it.
struct Beside {
    path: PathBuf,
}

impl Beside {
    fn new(parent: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix(".wasi-ipfs-get-")
            .tempdir_in(parent)?;
        Ok(Self {
            path: directory.keep(),
        })
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        for _ in 0..10 {
            match std::fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => return,
            }
        }
        eprintln!("warning: '{}' could not be removed", self.path.display());
    }
}
