//! How much a session may use, and how much it has used (I9).
//!
//! Counts and waits; knows nothing of what is opened or fetched.

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

/// How much a session may use. Every limit has a default that ordinary programs do not notice.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Files and directories open at once. Default 65,536.
    pub open_handles: usize,
    /// Blocks being fetched at once, read-ahead included; more wait. Default 32.
    pub fetches_in_flight: usize,
    /// Distinct CIDs opened in the session's life. Default 1,000,000.
    pub targets: usize,
    /// Bytes fetched from the backend for the session in its life. Default: no limit.
    pub fetched_bytes: u64,
    /// A path's length in bytes. Default 4,096, as Linux has it.
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

/// One session's limits, and what counts towards them.
pub(crate) struct Allowance {
    limits: Limits,
    open_handles: AtomicUsize,
    fetched_bytes: AtomicU64,
    fetches: Semaphore,
    /// Hashes of the distinct CIDs opened: 8 bytes each, so that a million targets are 8 MB and no more (I9).
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

    /// Bytes fetched so far.
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
            // The guard takes the count back.
            return Err(reached(Limit::OpenHandles, limit as u64));
        }
        Ok(guard)
    }

    /// Counts `target` among the distinct CIDs opened: by the start of its digest. Two that start alike count as
    /// one, which lets nobody open more than a few more.
    pub(crate) fn count_target(&self, target: &Target) -> Result<(), Error> {
        let limit = self.limits.targets;
        let digest = match target {
            Target::Block(cid) => cid.hash().digest(),
            // It costs nobody anything.
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

    /// Waits for leave to fetch one more block at the same time as the others.
    pub(crate) async fn fetch_permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        let limit = self.limits.fetched_bytes;
        if self.fetched_bytes() >= limit {
            return Err(reached(Limit::FetchedBytes, limit));
        }
        self.fetches.acquire().await.map_err(|_| Error::Closed)
    }

    /// Counts what was fetched.
    pub(crate) fn count_fetched(&self, bytes: u64) {
        self.fetched_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn reached(limit: Limit, value: u64) -> Error {
    Error::LimitReached { limit, value }
}

/// One open handle; taken off the session's count when dropped.
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
