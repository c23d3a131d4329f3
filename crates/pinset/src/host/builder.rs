//! How a pinset is made.

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
    lock_dir: Option<PathBuf>,
    staging: Option<PathBuf>,
}

impl PinsetBuilder {
    /// The least budget: room for one block of the largest size, while another is read.
    pub const MIN_BUDGET: u64 = 2 * MAX_BLOCK as u64;

    /// Over this backend, within this budget: what staging takes of the disk, in bytes, never exceeds it, and
    /// what is pinned on the backend aims at it. A number is a budget of this pinset's own; a [`Budget`] can be given
    /// to several, each of which gets an equal share.
    pub fn new(pinner: Arc<dyn Pinner>, budget: impl Into<Budget>) -> Self {
        Self {
            pinner,
            budget: budget.into(),
            in_flight_bytes: 32 << 20,
            node_cache_bytes: 16 << 20,
            block_deadline: Duration::from_secs(30),
            lock_dir: None,
            staging: None,
        }
    }

    /// How long a block may take, from asking the backend to its last byte. Default 30 s.
    pub fn block_deadline(mut self, deadline: Duration) -> Self {
        self.block_deadline = deadline;
        self
    }

    /// How many bytes of blocks may be on their way at once, in memory; at least one block's. Default 32 MiB.
    pub fn in_flight_bytes(mut self, bytes: u64) -> Self {
        self.in_flight_bytes = bytes;
        self
    }

    /// How many bytes of decoded nodes are kept in memory. Default 16 MiB.
    pub fn node_cache_bytes(mut self, bytes: u64) -> Self {
        self.node_cache_bytes = bytes;
        self
    }

    /// The directory in which the staging directory and the holder's lock are made. Default: one per user, at
    /// [`LockDir::default_path`], below the user's directory for caches. It is made, mode 0700, if it is not there.
    pub fn lock_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.lock_dir = Some(path.into());
        self
    }

    /// The directory in which blocks are staged, and stay: the next start on it finds them, and uses each after
    /// verifying it once. It is made, mode 0700, if it is not there (its parents are not); it is to hold nothing
    /// else. Without it, staging is temporary: a directory beside the holder's lock, gone with the pinset.
    ///
    /// Any number of pinsets and processes may use one directory. One of them stages and evicts, within its own
    /// budget; the others read what is there, keep what they fetch in memory, and one of them takes over when the
    /// first is gone. A guest's [isolated](Self::isolated) pinset wants a directory of its own.
    pub fn staging(mut self, path: impl Into<PathBuf>) -> Self {
        self.staging = Some(path.into());
        self
    }

    /// One pinset for all guests.
    ///
    /// Sweeps the staging directories of processes that died, and releases their pins beside what follows. Where the
    /// budget is shared, the others come down to their smaller shares. The work on the disk is done on a blocking
    /// thread, and takes milliseconds as a rule.
    ///
    /// # Cancellation
    /// Nothing is left behind: what was made until then is removed.
    ///
    /// # Errors
    /// [`Error::BudgetTooSmall`], also where the budget is one of several pinsets' and there are too many of them;
    /// [`Error::Staging`] where the lock directory or its file system cannot be used, or where others are reading
    /// all that the budget has at this instant.
    pub async fn shared(self) -> Result<CacheMode, Error> {
        let cache = PinsetCache::new(self.start().await?);
        Ok(CacheMode::Shared(Arc::new(cache)))
    }

    /// A pinset for one guest.
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

    /// The engine, made on a blocking thread. One that nobody waits for any more is dropped there.
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
        let share = self.budget.join().map_err(|refused| match refused {
            Refused::TooSmall { least } => too_small(least),
            Refused::InUse => Error::Staging {
                what: format!(
                    "other pinsets are reading all of the {budget_bytes} bytes that they share with this one; try again"
                ),
                source: None,
            },
        })?;
        let lock_dir = match &self.lock_dir {
            Some(path) => LockDir::open(path)?,
            None => LockDir::open_default()?,
        };
        recovery::start(&self.pinner, &lock_dir);
        let held = lock_dir.hold()?;
        let store = match &self.staging {
            Some(path) => Store::open(path, share.clone())?,
            None => Store::new(Staging::create_within(held.staging_dir()?, share.clone())?),
        };
        let pins = Pins::new(self.pinner.clone(), held, share, self.block_deadline);
        Ok(Engine::new(
            self.pinner,
            store,
            NodeCache::new(self.node_cache_bytes),
            pins,
            Settings {
                in_flight_bytes: self.in_flight_bytes,
                block_deadline: self.block_deadline,
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
        // Nothing was made.
        assert!(!dir.path().join("lock").exists());
        assert_eq!(budget.members(), 1);
        all.clear();
        start().await.unwrap();
    }
}
