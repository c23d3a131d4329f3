//! The builder of a pinset.

use std::{path::PathBuf, sync::Arc, time::Duration};

use pinner_api::{MAX_BLOCK, Pinner};

use crate::{
    budget::{Budget, Refused},
    cache::{nodes::NodeCache, store::Store},
    error::Error,
    fetch::engine::{Engine, Settings},
    host::cache::{CacheMode, IsolatedPinset, PinsetCache},
    lock_dir::LockDir,
    pins::{keeper::Pins, recovery},
    staging::Staging,
    task,
};

/// Sets up a pinset: a [`PinsetCache`] for all guests, or an [`IsolatedPinset`] for one. Either comes as a
/// [`CacheMode`].
///
/// ```no_run
/// # async fn f(pinner: std::sync::Arc<dyn pinner_api::Pinner>) -> Result<(), pinset::Error> {
/// use pinset::{IpfsPath, PinsetBuilder};
///
/// let cache = PinsetBuilder::new(pinner, 1 << 30).shared().await?;
/// let path: IpfsPath = "/ipfs/bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354".parse()?;
/// let node = cache.open(&path).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PinsetBuilder {
    pinner: Arc<dyn Pinner>,
    budget: Budget,
    in_flight_bytes: u64,
    node_cache_bytes: u64,
    block_deadline: Duration,
    allow_blocking: bool,
    pins: usize,
    lock_dir: Option<PathBuf>,
    staging: Option<PathBuf>,
    most_blocks: Option<u64>,
}

impl PinsetBuilder {
    /// The least budget: room for one block of the largest size, while another is read.
    pub const MIN_BUDGET: u64 = 2 * MAX_BLOCK as u64;

    /// Starts a builder over this backend and with this budget, in bytes. The disk space that staging takes never
    /// exceeds the budget, and the size of the pins on the backend aims at it. A number is a budget of this pinset
    /// alone; a [`Budget`] can be given to several pinsets, each of which gets an equal share.
    pub fn new(pinner: Arc<dyn Pinner>, budget: impl Into<Budget>) -> Self {
        Self {
            pinner,
            budget: budget.into(),
            in_flight_bytes: 64 << 20,
            node_cache_bytes: 16 << 20,
            block_deadline: Duration::from_secs(30),
            allow_blocking: false,
            pins: 1 << 16,
            lock_dir: None,
            staging: None,
            most_blocks: None,
        }
    }

    /// Sets how many blocks may be staged, however small they are: by this pinset, or by all that share its budget. A
    /// staged block takes up to 200 bytes of memory. By default the blocks take at most a sixteenth of the memory of the
    /// machine, or of the process's control group.
    ///
    /// The bound is kept by weight: to replacement, no block is lighter than the budget divided by this number.
    pub fn most_blocks(mut self, most: u64) -> Self {
        self.most_blocks = Some(most);
        self
    }

    /// Sets how long a block may take, from the request to its last byte, with the time that it waits for its turn. A
    /// block that gets no turn in that time is [`Error::Busy`]. Default 30 s.
    pub fn block_deadline(mut self, deadline: Duration) -> Self {
        self.block_deadline = deadline;
        self
    }

    /// Sets how many bytes of blocks may be in flight at once, in memory. One block is always allowed. Default 64 MiB.
    ///
    /// One session may have half of it, and the next one half of the rest.
    ///
    /// A block counts for its length as far as it is known before it arrives. One that turns out longer counts for more
    /// from then on: blocks whose authors lie about their lengths may take more, by 2 MiB each.
    pub fn in_flight_bytes(mut self, bytes: u64) -> Self {
        self.in_flight_bytes = bytes;
        self
    }

    /// Sets whether a read may wait for the disk on the current thread, as wasmtime-wasi's
    /// `allow_blocking_current_thread` does. Then such a read needs no other thread, which is much faster where the file
    /// system cannot tell what is in memory (overlayfs, as in containers). It suits a process that runs one guest, or a
    /// runtime with a thread for each. The default is false.
    pub fn allow_blocking(mut self, allow: bool) -> Self {
        self.allow_blocking = allow;
        self
    }

    /// Sets how many bytes of decoded nodes are kept in memory. Default 16 MiB.
    pub fn node_cache_bytes(mut self, bytes: u64) -> Self {
        self.node_cache_bytes = bytes;
        self
    }

    /// Sets how many pins there may be on the backend at once. Lazy pins beyond them are not made, and
    /// [counted](crate::Stats::pins_dropped). The pins of [`CacheMode::ensure`] and [`CacheMode::pin`] are always made,
    /// and count. Default 65,536.
    pub fn pins(mut self, most: usize) -> Self {
        self.pins = most;
        self
    }

    /// Sets the directory in which the staging directory and the holder's lock are created. By default each user has
    /// one, at [`LockDir::default_path`], below the user's cache directory. If it is missing, it is created with mode
    /// 0700.
    pub fn lock_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.lock_dir = Some(path.into());
        self
    }

    /// Sets a directory in which blocks are staged and stay. The next start on it finds them, and uses each block after
    /// verifying it once. If it is missing, it is created with mode 0700; its parents must exist. It must hold nothing
    /// else. By default staging is temporary: a directory beside the holder's lock, removed with the pinset.
    ///
    /// Up to 63 pinsets and processes share one directory; more than that only read. One of them stages and evicts there.
    /// The others read the blocks that are there, and stage the blocks that they fetch in temporary parts of their own;
    /// one of them takes over when the first is gone. All together stay within the budget of the first, of which each
    /// has an equal part, and at most its own budget. A guest's [isolated](Self::isolated) pinset needs a directory of
    /// its own.
    pub fn staging(mut self, path: impl Into<PathBuf>) -> Self {
        self.staging = Some(path.into());
        self
    }

    /// Makes one pinset for all guests.
    ///
    /// Sweeps the staging directories of processes that died, and releases their pins in the background. If the budget
    /// is shared, the other pinsets shrink to their smaller shares. The work on the disk is done on a blocking thread,
    /// and usually takes milliseconds.
    ///
    /// # Cancellation
    /// Nothing is left behind: whatever was created by then is removed.
    ///
    /// # Errors
    /// [`Error::BudgetTooSmall`], also if too many pinsets share the budget; [`Error::Staging`] if the lock directory
    /// or its file system cannot be used, or if other pinsets are reading all blocks of the shared budget at this
    /// instant.
    pub async fn shared(self) -> Result<CacheMode, Error> {
        let cache = PinsetCache::new(self.start().await?);
        Ok(CacheMode::Shared(Arc::new(cache)))
    }

    /// Makes a pinset for one guest.
    ///
    /// # Cancellation
    /// As for [`shared`](Self::shared).
    ///
    /// # Errors
    /// As [`shared`](Self::shared).
    pub async fn isolated(self) -> Result<CacheMode, Error> {
        let pinset = IsolatedPinset::new(self.start().await?);
        Ok(CacheMode::Isolated(pinset))
    }

    /// Makes the engine on a blocking thread. If nobody waits for it any more, it is dropped there.
    async fn start(self) -> Result<Engine, Error> {
        task::blocking(move || self.engine()).await
    }

    fn engine(self) -> Result<Engine, Error> {
        let budget_bytes = self.budget.total_bytes();
        let too_small = |minimum_bytes| Error::BudgetTooSmall {
            budget_bytes,
            minimum_bytes,
        };
        if budget_bytes < Self::MIN_BUDGET {
            return Err(too_small(Self::MIN_BUDGET));
        }
        // A directory that cannot be used must not cost the other pinsets their blocks.
        let lock_dir = match &self.lock_dir {
            Some(path) => LockDir::open(path)?,
            None => LockDir::open_default()?,
        };
        let share = self.budget.join().map_err(|refused| match refused {
            Refused::TooSmall { least } => too_small(least),
            Refused::InUse => Error::Staging {
                what: format!(
                    "other pinsets are reading all of the {budget_bytes} bytes that they share with this one; try again"
                ),
                source: None,
            },
        })?;
        recovery::start(&self.pinner, &lock_dir, self.block_deadline);
        let held = lock_dir.hold()?;
        let store = match &self.staging {
            Some(path) => Store::open(path, share.clone())?,
            None => Store::new(Staging::create_within(held.staging_dir()?, share.clone())?),
        };
        if let Some(most) = self.most_blocks {
            store.set_most_blocks(most);
        }
        let pins = Pins::new(
            self.pinner.clone(),
            held,
            share,
            self.block_deadline,
            self.pins,
        );
        Ok(Engine::new(
            self.pinner,
            store,
            NodeCache::new(self.node_cache_bytes),
            pins,
            Settings {
                in_flight_bytes: self.in_flight_bytes,
                block_deadline: self.block_deadline,
                may_block: self.allow_blocking,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use pinner_mock::MockNode;

    use super::*;

    #[tokio::test]
    async fn where_others_are_reading_all_of_the_budget_a_start_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let budget = Budget::new(8 << 20);
        let locks = LockDir::open(&dir.path().join("busy")).unwrap();
        let held = locks.hold().unwrap();
        let share = budget.join().unwrap();
        let busy = Staging::create_within(held.staging_dir().unwrap(), share).unwrap();
        let whole = std::iter::from_fn(|| busy.reserve(MAX_BLOCK));
        let mut all: Vec<_> = whole.collect();
        all.extend(std::iter::from_fn(|| busy.reserve(1)));
        let start = || {
            let pinset = PinsetBuilder::new(Arc::new(MockNode::new()), budget.clone());
            pinset.lock_dir(dir.path().join("lock")).isolated()
        };
        let error = start().await.unwrap_err();
        assert!(matches!(error, Error::Staging { .. }), "{error:?}");
        assert!(error.to_string().contains("8388608 bytes"), "{error}");
        assert_eq!(budget.members(), 1);
        let names = std::fs::read_dir(dir.path().join("lock")).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name());
        assert!(names.all(|name| !name.to_string_lossy().contains("staging")));
        all.clear();
        start().await.unwrap();
    }
}
