//! How much a session may use, and how much it has used (I9).
//!
//! Counts and waits; knows nothing of the things that are opened or fetched.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    block::KeyHash,
    error::{Error, Limit},
    sync::{Mutex, lock},
    unixfs::Target,
};

/// The limits of a session. Every limit has a default that ordinary programs do not reach.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The most files and directories that are open at once. The default is 65,536.
    pub open_handles: usize,
    /// The most blocks that are fetched at once, including read-ahead. Further fetches wait. The default is 32.
    pub fetches_in_flight: usize,
    /// The most distinct CIDs that the session opens in its life. The default is 1,000,000.
    pub targets: usize,
    /// The most bytes that are fetched from the backend for the session in its life. There is no limit by default.
    pub fetched_bytes: u64,
    /// The most bytes of a path. The default is 4,096, as on Linux.
    pub path_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_handles: 65_536,
            fetches_in_flight: 32,
            targets: 1_000_000,
            fetched_bytes: u64::MAX,
            path_bytes: 4096,
        }
    }
}

/// The limits of one session, and the counts that they bound.
pub(crate) struct Allowance {
    limits: Limits,
    open_handles: AtomicUsize,
    fetched_bytes: AtomicU64,
    fetches: Semaphore,
    /// The hashes of the distinct CIDs that were opened: 8 bytes each, so that a million targets take no more than 8 MB
    /// (I9).
    targets: Mutex<HashSet<u64, KeyHash>>,
}

impl Allowance {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            fetches: Semaphore::new(limits.fetches_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            limits,
            open_handles: AtomicUsize::new(0),
            fetched_bytes: AtomicU64::new(0),
            targets: Mutex::default(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The number of bytes fetched so far.
    pub(crate) fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes.load(Ordering::Relaxed)
    }

    /// Counts one more open handle.
    pub(crate) fn count_handle(self: &Arc<Self>) -> Result<HandleGuard, Error> {
        let limit = self.limits.open_handles;
        let before = self.open_handles.fetch_add(1, Ordering::Relaxed);
        let guard = HandleGuard {
            allowance: self.clone(),
        };
        if before >= limit {
            // Dropping the guard takes the count back.
            return Err(reached(Limit::OpenHandles, limit as u64));
        }
        Ok(guard)
    }

    /// Counts `target` among the distinct CIDs that were opened, by the start of its digest. Two digests with the same
    /// start count as one, which allows no more than a few extra targets.
    pub(crate) fn count_target(&self, target: &Target) -> Result<(), Error> {
        let limit = self.limits.targets;
        let digest = match target {
            Target::Block(cid) => cid.hash().digest(),
            // An inline target is not counted: there is no block to fetch or to keep.
            Target::Inline { .. } => return Ok(()),
        };
        let mut hash = [0; 8];
        let len = digest.len().min(8);
        hash[..len].copy_from_slice(&digest[..len]);
        let hash = u64::from_le_bytes(hash);
        let mut targets = lock(&self.targets);
        if targets.len() >= limit && !targets.contains(&hash) {
            return Err(reached(Limit::Targets, limit as u64));
        }
        targets.insert(hash);
        Ok(())
    }

    /// Waits until one more block may be fetched beside the others.
    pub(crate) async fn fetch_permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        let limit = self.limits.fetched_bytes;
        if self.fetched_bytes() >= limit {
            return Err(reached(Limit::FetchedBytes, limit));
        }
        self.fetches.acquire().await.map_err(|_| Error::Closed)
    }

    /// Counts bytes that were fetched.
    pub(crate) fn count_fetched(&self, bytes: u64) {
        self.fetched_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn reached(limit: Limit, value: u64) -> Error {
    Error::LimitReached { limit, value }
}

/// One open handle, which the session counts until the guard is dropped.
pub(crate) struct HandleGuard {
    allowance: Arc<Allowance>,
}

impl std::fmt::Debug for HandleGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandleGuard")
    }
}

impl Drop for HandleGuard {
    fn drop(&mut self) {
        self.allowance.open_handles.fetch_sub(1, Ordering::Relaxed);
    }
}
