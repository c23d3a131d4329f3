//! One staged block: how it is read, and when it is protected from replacement.

use std::{
    io,
    ops::Range,
    sync::{Arc, OnceLock, Weak},
};

use bytes::Bytes;

use crate::{
    block::Key,
    cache::off_thread,
    staging::{Extent, Parked},
    sync::{AtomicBool, AtomicUsize, Ordering},
};

/// Blocks longer than this, in bytes, are hashed, written and decoded on a blocking thread.
pub(crate) const OFF_THREAD: usize = 64 * 1024;

/// One staged block with a handle. Whoever holds the `Arc` may read it: meanwhile it is in use and not evicted. If
/// nobody holds or watches it, the table of blocks may [park](Self::park) it.
///
/// If the block does not stay, the last holder frees its slot, on a thread that may wait for the disk.
///
/// The fields have C's order, so that those that a read needs come first. When a reader jumps, the block is in none of
/// the processor's caches, and each cache line costs as much as all the rest of the look-up.
#[repr(C)]
pub(crate) struct Staged {
    /// Whether the bytes were hashed in this run.
    verified: AtomicBool,
    extent: Extent,
    /// Where the file's bytes lie in the block, once the block was decoded as a dag-pb leaf.
    leaf: OnceLock<Range<u32>>,
    /// The number of readers that had it read ahead and have not consumed it yet.
    kept: AtomicUsize,
    pub(crate) key: Key,
}

impl Staged {
    pub(crate) fn new(key: Key, extent: Extent, verified: bool) -> Self {
        Self {
            key,
            extent,
            leaf: OnceLock::new(),
            verified: AtomicBool::new(verified),
            kept: AtomicUsize::new(0),
        }
    }

    /// As [`new`](Self::new), for a block that was parked.
    pub(super) fn unparked(key: Key, extent: Extent, rest: Rest) -> Self {
        let mut staged = Self::new(key, extent, rest.verified);
        staged.leaf = rest.leaf.map(OnceLock::from).unwrap_or_default();
        staged
    }

    /// Parks a block that nobody holds or watches, and that this process owns. Otherwise returns it.
    pub(super) fn park(self: Arc<Self>) -> Result<(Parked, Rest), Arc<Self>> {
        // A watcher is a reader whose next read will be in this block, or a protection of what was read ahead.
        if Arc::weak_count(&self) > 0 || self.extent.charge() == 0 {
            return Err(self);
        }
        let mut staged = Arc::try_unwrap(self)?;
        let rest = Rest {
            leaf: staged.leaf.get().cloned(),
            verified: staged.is_verified(),
        };
        match staged.extent.park() {
            Some(parked) => Ok((parked, rest)),
            None => Err(Arc::new(staged)),
        }
    }

    /// Leaves the block to its directory, which is being closed, unless somebody reads it.
    pub(super) fn abandon(self: Arc<Self>) {
        if let Ok(mut staged) = Arc::try_unwrap(self) {
            _ = staged.extent.park();
        }
    }

    pub(crate) fn extent(&self) -> &Extent {
        &self.extent
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Acquire)
    }

    pub(crate) fn set_verified(&self) {
        self.verified.store(true, Ordering::Release);
    }

    /// The block's length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.extent.len()
    }

    /// Returns where the payload lies, if this block is known to be a dag-pb leaf.
    pub(crate) fn leaf(&self) -> Option<Range<u64>> {
        self.leaf
            .get()
            .map(|span| u64::from(span.start)..u64::from(span.end))
    }

    pub(crate) fn set_leaf(&self, payload: Range<usize>) {
        // A block is at most 2 MiB.
        _ = self.leaf.set(payload.start as u32..payload.end as u32);
    }

    /// Protects the block from replacement, after it was read ahead and before the reader reaches it.
    pub(crate) fn keep(self: &Arc<Self>) -> Kept {
        self.kept.fetch_add(1, Ordering::SeqCst);
        Kept(Arc::downgrade(self))
    }

    /// Returns whether replacement must pass the block over.
    pub(super) fn in_use(self: &Arc<Self>) -> bool {
        self.kept.load(Ordering::SeqCst) > 0 || self.is_read()
    }

    /// Returns whether somebody is reading the block in this process. The table itself holds one `Arc`.
    pub(super) fn is_read(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    /// Reads from the page cache on the current thread. Returns `None` if this would have to wait for the disk.
    pub(crate) fn try_read(&self, at: u64, len: usize) -> io::Result<Option<Bytes>> {
        Ok(self.extent.try_read(at as usize, len)?.map(Bytes::from))
    }
}

/// Protects a block that was read ahead: the block counts as in use, so that the next one to arrive does not push it
/// out. But it is evicted when the share of the budget becomes smaller. Otherwise one reader that stops within its file
/// could hold up every new pinset.
#[derive(Debug)]
pub(crate) struct Kept(Weak<Staged>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(staged) = self.0.upgrade() {
            staged.kept.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.extent.frees_slot() {
            let extent = self.extent.take();
            off_thread::run(move || drop(extent));
        }
    }
}

/// The properties of a block that outlast its handle.
#[derive(Debug)]
pub(super) struct Rest {
    leaf: Option<Range<u32>>,
    pub(super) verified: bool,
}
