//! How much a session may use, and how much it has used (I9).
//!
//! Counts and waits; knows nothing of the things that are opened or fetched.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use crate::{
    error::{Error, Limit},
    grant::distinct::Distinct,
    sync::{Mutex, lock, new_number},
    unixfs::Target,
};

/// The limits of a session. Every limit has a default that ordinary programs do not reach.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The most files, directories and listings that are open at once. The default is 65,536.
    pub open_handles: usize,
    /// The most blocks that are fetched at once, including read-ahead. Further fetches wait. The default is 32.
    pub fetches_in_flight: usize,
    /// The most distinct CIDs that the session opens in its life, estimated with an error of about 2 %. The default is
    /// 1,000,000.
    pub targets: usize,
    /// The most bytes that are fetched from the backend for the session in its life. There is no limit by default.
    pub fetched_bytes: u64,
    /// The most bytes of a path. The default is 4,096, as on Linux.
    pub path_bytes: usize,
    /// The most bytes that are kept in memory for the session's open streams and files: what was waited for and not
    /// taken yet, and blocks that found no room in staging while they are read. The default is 16 MiB.
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_handles: 65_536,
            fetches_in_flight: 32,
            targets: 1_000_000,
            fetched_bytes: u64::MAX,
            path_bytes: 4096,
            memory_bytes: 16 << 20,
        }
    }
}

/// The limits of one session, and the counts that they bound.
pub(crate) struct Allowance {
    limits: Limits,
    number: u64,
    open_handles: AtomicUsize,
    fetched_blocks: AtomicU64,
    fetched_bytes: AtomicU64,
    served_bytes: AtomicU64,
    memory_bytes: AtomicU64,
    closed: AtomicBool,
    /// Tasks that fetch ahead of readers.
    ahead: AtomicUsize,
    targets: Mutex<Distinct>,
}

impl Allowance {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            number: new_number(),
            open_handles: AtomicUsize::new(0),
            fetched_blocks: AtomicU64::new(0),
            fetched_bytes: AtomicU64::new(0),
            served_bytes: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            ahead: AtomicUsize::new(0),
            targets: Mutex::default(),
        }
    }

    /// The session's number, which no other session of the process has.
    pub(crate) fn number(&self) -> u64 {
        self.number
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
        self.ensure_open()?;
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

    /// Counts `target` among the distinct CIDs that were opened, by the start of its digest.
    pub(crate) fn count_target(&self, target: &Target) -> Result<(), Error> {
        let limit = self.limits.targets;
        let digest = match target {
            Target::Block(cid) => cid.hash().digest(),
            // An inline target is not counted: there is no block to fetch or to keep.
            Target::Inline { .. } => return Ok(()),
        };
        let mut targets = lock(&self.targets);
        match targets.insert(digest, limit as u64) {
            true => Ok(()),
            false => Err(reached(Limit::Targets, limit as u64)),
        }
    }

    /// Returns an error if the session has fetched all that it may.
    pub(crate) fn may_fetch(&self) -> Result<(), Error> {
        self.ensure_open()?;
        let limit = self.limits.fetched_bytes;
        match self.fetched_bytes() >= limit {
            true => Err(reached(Limit::FetchedBytes, limit)),
            false => Ok(()),
        }
    }

    /// Counts memory that is kept for the session.
    pub(crate) fn keep(self: &Arc<Self>, bytes: u64) -> Result<KeptMemory, Error> {
        let limit = self.limits.memory_bytes;
        let more = |kept: u64| kept.checked_add(bytes).filter(|kept| *kept <= limit);
        let counted = self
            .memory_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.map_err(|_| reached(Limit::MemoryBytes, limit))?;
        Ok(KeptMemory {
            allowance: self.clone(),
            bytes,
        })
    }

    /// Counts something that others keep open for the session.
    pub(crate) fn keep_handle(self: &Arc<Self>, bytes: u64) -> Result<KeptHandle, Error> {
        Ok(KeptHandle {
            _handle: self.count_handle()?,
            _memory: self.keep(bytes)?,
        })
    }

    /// Counts a task that fetches ahead, unless the session has as many as it may have fetches.
    pub(crate) fn count_ahead(self: &Arc<Self>) -> Option<AheadGuard> {
        let most = self.limits.fetches_in_flight;
        let more = |tasks: usize| (tasks < most).then_some(tasks + 1);
        let counted = self
            .ahead
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        counted.ok().map(|_| AheadGuard {
            allowance: self.clone(),
        })
    }

    /// Counts a block that was fetched.
    pub(crate) fn count_fetched(&self, bytes: u64) {
        self.fetched_blocks.fetch_add(1, Ordering::Relaxed);
        self.fetched_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes of files that were returned.
    pub(crate) fn count_served(&self, bytes: usize) {
        self.served_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The number of open handles, and the bytes kept in memory.
    pub(crate) fn held(&self) -> (usize, u64) {
        let handles = self.open_handles.load(Ordering::Relaxed);
        (handles, self.memory_bytes.load(Ordering::Relaxed))
    }

    /// The numbers of blocks and bytes fetched, and of bytes served.
    pub(crate) fn done(&self) -> (u64, u64, u64) {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (
            now(&self.fetched_blocks),
            now(&self.fetched_bytes),
            now(&self.served_bytes),
        )
    }

    /// Ends the session.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Returns an error if the session was ended.
    pub(crate) fn ensure_open(&self) -> Result<(), Error> {
        match self.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
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

/// Memory that is kept for a session, which counts it until this is dropped.
pub(crate) struct KeptMemory {
    allowance: Arc<Allowance>,
    bytes: u64,
}

impl std::fmt::Debug for KeptMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeptMemory({})", self.bytes)
    }
}

impl Drop for KeptMemory {
    fn drop(&mut self) {
        let kept = &self.allowance.memory_bytes;
        kept.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Something that the embedder keeps open for a session: an open handle, and kept memory. Both are counted until this
/// is dropped.
#[derive(Debug)]
pub struct KeptHandle {
    _handle: HandleGuard,
    _memory: KeptMemory,
}

/// One task that fetches ahead, which the session counts until this is dropped.
pub(crate) struct AheadGuard {
    allowance: Arc<Allowance>,
}

impl Drop for AheadGuard {
    fn drop(&mut self) {
        self.allowance.ahead.fetch_sub(1, Ordering::Relaxed);
    }
}
