//! One staged block: how it is read, and when it is protected from replacement.

use std::{
    io,
    ops::Range,
    sync::{Arc, OnceLock, Weak},
};

use bytes::Bytes;

use crate::{
    block::Key,
    staging::Extent,
    sync::{AtomicBool, AtomicUsize, Ordering},
};

/// Blocks longer than this, in bytes, are hashed, written and decoded on a blocking thread.
pub(crate) const OFF_THREAD: usize = 64 * 1024;

/// One staged block. Whoever holds the `Arc` may read it: meanwhile it is in use and not evicted.
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

    /// Returns whether somebody is reading the block, here or in another process. The index itself holds one `Arc`.
    pub(super) fn is_read(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || !self.extent.claim()
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

/// Drops a block that does not stay in staging. The last holder frees its slot.
pub(crate) fn let_go(staged: Arc<Staged>) {
    staged.extent.discard();
}
