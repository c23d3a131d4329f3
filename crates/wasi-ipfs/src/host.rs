//! The cache between a subcommand and its sources: set up from the flags, and always closed at the end.
//!
//! Invariant: however a command ends (by itself, by an error, a signal that can be caught or a panic), the cache is
//! closed before the process ends: pins are released, and staging is removed unless it is to be kept.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use futures_util::FutureExt;
use pinset::{CacheMode, PinsetBuilder, RootCid, lock_dir::LockDir};

use crate::{
    messages,
    signals::{Signals, Stop},
    source::{SourceArgs, Sources, Total},
    summary::Summary,
    units::{parse_duration, parse_size},
    usage::Usage,
};

/// How long a close may take after a signal. Pins that are not released by then are released by the next start.
const CLOSES_WITHIN: Duration = Duration::from_millis(1200);

/// How long to wait for holders of the closed cache: a guest that was told to stop, or a fetch in flight.
const LETS_GO_WITHIN: Duration = Duration::from_millis(300);

/// Sources, and how they are cached.
#[derive(Args, Debug)]
pub(crate) struct HostArgs {
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    cache: CacheArgs,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Cache")]
struct CacheArgs {
    /// Disk space for staged blocks: bytes, or 64MiB, 1G (1 GiB), 1.5GB. It is never exceeded; content larger than it
    /// can be read too
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = parse_size)]
    budget: u64,

    /// An existing directory to stage blocks in, instead of the user's own, $XDG_CACHE_HOME/wasi-ipfs or
    /// ~/.cache/wasi-ipfs
    #[arg(long, value_name = "DIR")]
    staging: Option<PathBuf>,

    /// Keep the staged blocks. The next run with --keep uses them, and fetches only the missing ones. Without it, they
    /// are removed at the end. Only one run at a time stages blocks; concurrent runs read them. See `wasi-ipfs cache`
    #[arg(long)]
    keep: bool,

    /// How long one block, or the resolution of a name, may take: 500ms, 30s, 2m. Longer is an I/O error
    #[arg(long, alias = "timeout", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    block_timeout: Duration,

    /// At the end, print to standard error what was fetched, staged and served
    #[arg(long)]
    stats: bool,
}

/// Which guests may share the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// All guests of this process.
    Shared,
    /// Only one guest.
    Isolated,
}

/// The cache over the sources, and what to report at the end.
pub(crate) struct Host {
    /// The cache.
    pub(crate) cache: CacheMode,
    /// The roots that the sources name.
    pub(crate) roots: Vec<RootCid>,
    total: Option<Total>,
    report: Report,
    staging: Staging,
}

/// Whether the staging directory is kept at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Staging {
    Goes,
    Stays,
}

#[derive(Clone, Copy)]
enum Report {
    Stats,
    Nothing,
}

impl HostArgs {
    /// Opens the sources and sets up a cache over them.
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn open(&self, sharing: Sharing) -> anyhow::Result<Host> {
        let CacheArgs {
            budget,
            staging,
            keep,
            block_timeout,
            stats,
        } = &self.cache;
        if *keep && sharing == Sharing::Isolated {
            return Err(Usage::invalid(
                "--keep would show a guest what earlier guests have read; leave out --isolated or --keep",
            ));
        }
        if block_timeout.is_zero() {
            return Err(Usage::invalid(
                "--block-timeout 0 leaves no time for any block; give 30s",
            ));
        }
        // `pinset` checks this too, but only after the imports, which may take long.
        if *budget < PinsetBuilder::MIN_BUDGET {
            return Err(anyhow::Error::new(pinset::Error::BudgetTooSmall {
                budget_bytes: *budget,
                minimum_bytes: PinsetBuilder::MIN_BUDGET,
            })
            .context("--budget"));
        }
        let lock_dir = staging.as_deref().map(lock_dir_in).transpose()?;
        let Sources {
            pinner,
            roots,
            total,
        } = self
            .sources
            .open(staging.as_deref(), *block_timeout)
            .await?;
        let mut pinset = PinsetBuilder::new(pinner, *budget)
            .block_deadline(*block_timeout)
            // The process runs one guest.
            .allow_blocking(true);
        if let Some(lock_dir) = lock_dir {
            pinset = pinset.lock_dir(lock_dir);
        }
        if *keep {
            pinset = pinset.staging(kept_in(staging.as_deref())?);
        }
        let cache = match sharing {
            Sharing::Shared => pinset.shared().await,
            Sharing::Isolated => pinset.isolated().await,
        }
        .context("cannot set up the cache")?;
        Ok(Host {
            cache,
            roots,
            total,
            report: match stats {
                true => Report::Stats,
                false => Report::Nothing,
            },
            staging: match keep {
                true => Staging::Stays,
                false => Staging::Goes,
            },
        })
    }
}

/// The lock directory in the `--staging` directory. It is a directory of our own, as in the directory for temporary
/// files, since it must be closed to others.
pub(crate) fn lock_dir_in(staging: &Path) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(
        staging.is_dir(),
        "--staging '{}' is not a directory; create it first, or choose another",
        staging.display()
    );
    let user = rustix::process::getuid().as_raw();
    Ok(staging.join(format!("wasi-ipfs-{user}")))
}

/// The directory of the kept blocks. It is in the lock directory, which is closed to others.
pub(crate) fn kept_in(staging: Option<&Path>) -> anyhow::Result<PathBuf> {
    let lock_dir = staging.map_or_else(|| Ok(LockDir::default_path()), lock_dir_in)?;
    Ok(lock_dir.join("blocks"))
}

/// Opens a host, runs `body` on its cache, and closes it, as [`with_open_host`] does.
pub(crate) async fn with_host(
    open: impl Future<Output = anyhow::Result<Host>>,
    body: impl AsyncFnOnce(&CacheMode) -> anyhow::Result<i32>,
) -> anyhow::Result<i32> {
    with_open_host(open, async |host| body(&host.cache).await).await
}

/// Opens a host, runs `body` on it, and closes it: at the end of `body`, after an error or a panic of it, or after a
/// signal, which ends `body` by dropping it. Returns the exit status.
pub(crate) async fn with_open_host(
    open: impl Future<Output = anyhow::Result<Host>>,
    body: impl AsyncFnOnce(&Host) -> anyhow::Result<i32>,
) -> anyhow::Result<i32> {
    // Listen before anything is on the disk.
    let mut signals = Signals::listen().context("cannot catch signals")?;
    let host = tokio::select! {
        stop = signals.next() => return Ok(stop.status()),
        host = open => host?,
    };
    let (ended, stopped) = tokio::select! {
        stop = signals.next() => (Ok(Ok(stop.status())), Some(stop)),
        ended = AssertUnwindSafe(body(&host)).catch_unwind() => (ended, None),
    };
    let Host {
        cache,
        total,
        report,
        staging,
        ..
    } = host;
    let (stats, staged_in) = (cache.stats(), cache.staging_dir());
    let closed = close(&cache, stopped, &mut signals).await;
    drop(cache);
    if staging == Staging::Goes {
        let_go_of(&staged_in).await;
    }
    if let Report::Stats = report {
        let summary = Summary(&stats, total);
        messages::report(&summary.record(), &summary);
    }
    match (ended, closed, stopped) {
        (Err(panic), _, _) => resume_unwind(panic),
        (Ok(_), Some(stop), None) => Ok(stop.status()),
        (Ok(ended), _, _) => ended,
    }
}

/// Waits until a temporary staging directory is gone.
async fn let_go_of(staging: &Path) {
    // The last holder to be dropped removes the staging directory and then the lock beside it. It may be on another
    // thread, so the process must wait for both.
    let lock = staging.with_extension("lock");
    let let_go = async {
        while staging.exists() || lock.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(LETS_GO_WITHIN, let_go).await.is_err() {
        // A guest that never pauses keeps its handles open until the process ends. The close has removed the blocks;
        // the empty directory is removed now. The next start removes the lock beside it.
        let _ = std::fs::remove_dir_all(staging);
    }
}

/// Closes the cache, without a limit of time until a signal comes. Returns the signal that came meanwhile.
async fn close(mode: &CacheMode, stopped: Option<Stop>, signals: &mut Signals) -> Option<Stop> {
    let closing = mode.close();
    tokio::pin!(closing);
    let mut stopped_now = None;
    let mut closed = None;
    if stopped.is_none() {
        tokio::select! {
            stop = signals.next() => stopped_now = Some(stop),
            done = &mut closing => closed = Some(done),
        }
    }
    if closed.is_none() {
        closed = tokio::time::timeout(CLOSES_WITHIN, closing).await.ok();
    }
    match closed {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            let error = anyhow::Error::new(error);
            messages::warning(format_args!("the cache could not be closed: {error:#}"));
        }
        None => messages::warning(format_args!(
            "not all pins were released within {CLOSES_WITHIN:?}; the next start on this machine releases them"
        )),
    }
    stopped_now
}

/// Runs `body` to its end or until a signal comes, for commands that need no cache.
pub(crate) async fn until_stopped(
    body: impl Future<Output = anyhow::Result<i32>>,
) -> anyhow::Result<i32> {
    let mut signals = Signals::listen().context("cannot catch signals")?;
    tokio::select! {
        stop = signals.next() => Ok(stop.status()),
        ended = body => ended,
    }
}
