//! `pins`: lists this library's pins on a node and their holders, and releases those that dead processes left.
//!
//! It lists the pins of every host, container and user. It only releases pins of a process of our own lock directory
//! that is proven to be dead, or of a holder that the user names and vouches for (I5).

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use pinner_api::{Holder, PinDepth, Pinner};
use pinset::{
    lock_dir::LockDir,
    recovery::{self, Proof, Reaped, RecoveryError, Standing, Surveyed},
};

use crate::{
    host::{lock_dir_in, until_stopped},
    output::Output,
    record::Record,
    source::KuboArgs,
    units::parse_duration,
    usage::Usage,
};

/// List this library's pins on a Kubo node, and release those that dead processes left
///
/// Prints one line for each pin: standing, depth, holder, root. The standing is `ours` (its process is alive and uses
/// this lock directory), `dead` (its process used this lock directory and is proven to be dead), `elsewhere` (its
/// process uses the lock directory of another user, container or host, about which nothing is known here), or `lost`
/// (its process used this lock directory, but its lock file was removed). Pins of the node's owner are neither listed
/// nor touched.
///
/// Every start of `wasi-ipfs` on a node releases the pins that dead processes of its own lock directory left.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten, next_help_heading = "Node")]
    kubo: KuboArgs,

    /// Release the pins of dead processes
    #[arg(long)]
    reap: bool,

    /// With --reap: release only the pins of this holder
    #[arg(long, value_name = "HOLDER", requires = "reap")]
    holder: Option<Holder>,

    /// With --holder: release its pins even without proof that it is dead. Content that a live process relies on may
    /// then be garbage-collected
    #[arg(long, requires = "holder")]
    force: bool,

    /// The directory that was passed to the runs as --staging. It contains the lock directory that proves who is dead
    #[arg(long, value_name = "DIR")]
    staging: Option<PathBuf>,

    /// How long one call to the node may take: 500ms, 30s, 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
}

const EXAMPLES: &str = "\
Examples:
  wasi-ipfs pins                                   # on the node that `ipfs` talks to
  wasi-ipfs pins --kubo=/ip4/10.0.0.7/tcp/5001
  wasi-ipfs pins --reap                            # of dead processes of this user on this host
  wasi-ipfs pins --reap --holder <HOLDER> --force  # of a host that is gone for good";

pub(crate) async fn run(args: &Args) -> anyhow::Result<i32> {
    if args.timeout.is_zero() {
        return Err(Usage::invalid(
            "--timeout 0 leaves no time for any call; give 30s",
        ));
    }
    let lock_dir = match &args.staging {
        Some(staging) => LockDir::open(&lock_dir_in(staging)?),
        None => LockDir::open_default(),
    };
    let lock_dir = lock_dir.context("cannot tell whose pins are dead")?;
    until_stopped(async {
        let node = args.kubo.connect(None, args.timeout).await?;
        match (args.reap, &args.holder) {
            (false, _) => list(&*node, &lock_dir).await,
            (true, None) => {
                let reaped = recovery::reap(&*node, &lock_dir).await.map_err(explain)?;
                report(&reaped).await
            }
            (true, Some(holder)) => {
                let proof = match args.force {
                    true => Proof::Waived,
                    false => Proof::Required,
                };
                let released = recovery::release(&*node, &lock_dir, holder, proof).await;
                report(&released.map_err(explain)?).await
            }
        }
    })
    .await
}

async fn list(node: &dyn Pinner, lock_dir: &LockDir) -> anyhow::Result<i32> {
    let surveyed = recovery::survey(node, lock_dir).await.map_err(explain)?;
    let mut output = Output::new();
    for Surveyed { pin, standing } in &surveyed {
        let depth = match pin.depth {
            PinDepth::Recursive => "recursive",
            PinDepth::Lazy => "lazy",
        };
        let standing = word(*standing);
        let (holder, root) = (pin.holder.to_string(), pin.root.to_string());
        let line = format!("{standing:<9} {depth:<9} {holder} {root}");
        let record = Record::Pin {
            standing,
            depth,
            holder,
            root,
        };
        output.result(&record, line).await?;
    }
    output.finish().await?;
    Ok(0)
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Alive => "ours",
        Standing::Dead => "dead",
        Standing::Lost => "lost",
        Standing::Elsewhere => "elsewhere",
    }
}

async fn report(reaped: &Reaped) -> anyhow::Result<i32> {
    let mut output = Output::new();
    let Reaped { holders, pins } = reaped;
    let record = Record::Released {
        pins: *pins,
        holders: *holders,
    };
    let line = format!("released {pins} pins of {holders} holders");
    output.result(&record, line).await?;
    output.finish().await?;
    Ok(0)
}

/// Adds what to do about the error.
fn explain(error: RecoveryError) -> anyhow::Error {
    let what_to_do = match &error {
        RecoveryError::NotProven { .. } => Some(
            "a running process may rely on its pins; if its host or container is gone for good, use --force",
        ),
        RecoveryError::Alive { .. } => {
            Some("end that process; --force does not release the pins of a live process")
        }
        RecoveryError::List { .. } => Some("nothing was released"),
        RecoveryError::Release { .. } => Some("run the command again to release the rest"),
        _ => None,
    };
    let error = anyhow::Error::new(error);
    match what_to_do {
        Some(what_to_do) => {
            let said = format!("{error:#}");
            anyhow::anyhow!("{said}: {what_to_do}")
        }
        None => error,
    }
}
